/* virt-thin - tests: the reader of a thin pool's metadata against the engine
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Two implementations of one format: on metadata that the kernel wrote they must agree on every
 * device, every mapped range and every count; on damaged metadata the reader must fail cleanly.
 */
#include "thin-helper.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "dm/thin-reader.h"
#include "thin/format/walk.h"

typedef struct {
  ThinTest *test;
  char *path;
  VtIo *metadata, *data;
  ThinPool *pool;
} Fixture;

static void open_fixture(Fixture *f, ThinTest *test, const char *name, gboolean read_only)
{
  ThinOptions options = {.read_only = read_only};

  f->test = test;
  f->path = thin_test_path(test, name);
  thin_test_unpack(name, f->path);
  f->metadata = thin_test_open(f->path, FALSE);
  f->data = thin_test_file(test, "data", G_GUINT64_CONSTANT(4) << 30);
  assert_ok((f->pool = thin_pool_open(f->metadata, f->data, &options, &error)) != NULL);
}

static void close_fixture(Fixture *f)
{
  assert_ok(thin_pool_close(f->pool, &error));
  vt_io_unref(f->metadata);
  vt_io_unref(f->data);
  g_free(f->path);
}

/* The ranges of @map must be the engine's runs. */
static void compare_map(ThinPool *pool, guint32 id, GArray *map)
{
  guint64 size = G_GUINT64_CONSTANT(1) << 34, offset = 0;
  ThinVolume *volume = NULL;
  guint n = 0;

  assert_ok((volume = thin_volume_open(pool, id, size, TRUE, &error)) != NULL);
  while (offset < size) {
    guint64 length = 0;
    gboolean mapped = FALSE;

    assert_ok(thin_volume_extent(volume, offset, size - offset, &length, &mapped, &error));
    if (mapped) {
      guint64 end = offset + length;

      /* The engine's runs also end where chunks are not consecutive, or differ in being shared. */
      assert_true(n < map->len);
      assert_true(g_array_index(map, DmkRange, n).begin <= offset &&
                  end <= g_array_index(map, DmkRange, n).end);
      if (end == g_array_index(map, DmkRange, n).end)
        n++;
    }
    offset += length;
  }
  assert_int_equal(n, map->len);
  thin_volume_close(volume);
}

static void compare_device(const ThinDevice *a, const ThinDevice *b)
{
  assert_int_equal(a->id, b->id);
  assert_int_equal(a->mapped, b->mapped);
  assert_int_equal(a->transaction_id, b->transaction_id);
  assert_int_equal(a->creation_time, b->creation_time);
  assert_int_equal(a->snapshotted_time, b->snapshotted_time);
}

static void compare(Fixture *f, guint64 root)
{
  g_autoptr(GArray) devices = thin_pool_list_devices(f->pool, NULL);
  DmkReader *reader = NULL;
  GArray *all = NULL;

  assert_ok((reader = dmk_reader_open(f->metadata, root, &error)) != NULL);
  assert_ok((all = dmk_reader_devices(reader, 0, THIN_DEVICE_MAX, &error)) != NULL);
  assert_int_equal(all->len, devices->len);
  for (guint i = 0; i < devices->len; i++) {
    const ThinDevice *device = &g_array_index(devices, ThinDevice, i);
    guint64 exclusive, shared, wanted_exclusive, wanted_shared;
    GArray *map = NULL;

    compare_device(device, &g_array_index(all, ThinDevice, i));
    assert_ok(dmk_reader_count(reader, device->id, &exclusive, &shared, &error));
    assert_ok(
        thin_pool_count_device(f->pool, device->id, &wanted_exclusive, &wanted_shared, &error));
    assert_int_equal(exclusive, wanted_exclusive);
    assert_int_equal(shared, wanted_shared);
    assert_ok((map = dmk_reader_map(reader, device->id, &error)) != NULL);
    compare_map(f->pool, device->id, map);
    g_array_unref(map);
  }
  g_array_unref(all);
  dmk_reader_close(reader);
}

/* The devices in order, each against those before it. The blocks that were counted. */
static guint64 compare_new_blocks(ThinPool *pool, VtIo *metadata, guint64 root)
{
  g_autoptr(GByteArray) seen = g_byte_array_new(), wanted_seen = g_byte_array_new();
  g_autoptr(GArray) devices = thin_pool_list_devices(pool, NULL);
  DmkReader *reader = NULL;
  guint64 n, wanted, sum = 0;

  assert_ok((reader = dmk_reader_open(metadata, root, &error)) != NULL);
  for (guint i = 0; i < devices->len; i++) {
    guint32 id = g_array_index(devices, ThinDevice, i).id;

    assert_ok(dmk_reader_count_new(reader, id, G_MAXINT64, seen, &n, &error));
    assert_ok(thin_pool_count_new_blocks(pool, id, wanted_seen, &wanted, &error));
    assert_int_equal(n, wanted);
    sum += n;
  }
  assert_int_equal(seen->len, wanted_seen->len);
  assert_memory_equal(seen->data, wanted_seen->data, seen->len);
  dmk_reader_close(reader);
  return sum;
}

static void compare_superblock(Fixture *f)
{
  DmkReader *reader = NULL;
  DmkSuperblock superblock;
  ThinStatus status;

  thin_pool_get_status(f->pool, &status);
  assert_ok((reader = dmk_reader_open(f->metadata, 0, &error)) != NULL);
  dmk_reader_superblock(reader, &superblock);
  assert_int_equal(superblock.transaction_id, status.transaction_id);
  assert_int_equal(superblock.data_used, status.data_used);
  assert_int_equal(superblock.needs_check, status.needs_check);
  dmk_reader_close(reader);
}

static void test_agrees_with_the_engine(void **state)
{
  static const char *const names[] = {"01-clean",        "02-crash",         "03a-tid-pool-ahead",
                                      "04a-needs-check", "04c-leaked-block", "05a-out-of-data",
                                      "06-msg-pending"};

  for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
    Fixture f;

    open_fixture(&f, *state, names[i], TRUE);
    compare_superblock(&f);
    compare(&f, 0);
    compare_new_blocks(f.pool, f.metadata, 0);
    close_fixture(&f);
  }
}

/* What a metadata snapshot holds stays as it is while the pool goes on. */
static void test_through_a_metadata_snapshot(void **state)
{
  DmkReader *reader = NULL;
  GArray *before = NULL, *after = NULL;
  ThinStatus status;
  Fixture f;

  open_fixture(&f, *state, "01-clean", FALSE);
  assert_ok(thin_pool_reserve_metadata_snapshot(f.pool, &error));
  thin_pool_get_status(f.pool, &status);
  assert_int_not_equal(status.held_root, 0);
  compare(&f, status.held_root);
  compare_new_blocks(f.pool, f.metadata, status.held_root);
  assert_ok((reader = dmk_reader_open(f.metadata, status.held_root, &error)) != NULL);
  assert_ok((before = dmk_reader_devices(reader, 0, THIN_DEVICE_MAX, &error)) != NULL);
  assert_ok(thin_pool_send(f.pool, &(ThinMessage){THIN_CREATE, 900, 0}, 1, status.transaction_id,
                           status.transaction_id + 1, &error));
  assert_ok((after = dmk_reader_devices(reader, 0, THIN_DEVICE_MAX, &error)) != NULL);
  assert_int_equal(after->len, before->len);
  for (guint i = 0; i < before->len; i++)
    compare_device(&g_array_index(before, ThinDevice, i), &g_array_index(after, ThinDevice, i));
  g_array_unref(before);
  g_array_unref(after);
  dmk_reader_close(reader);
  close_fixture(&f);
}

static void write_chunks(ThinPool *pool, guint first, guint n, guint step)
{
  ThinVolume *volume = NULL;
  char byte = 1;

  assert_ok((volume = thin_volume_open(pool, 0, 64 << 20, FALSE, &error)) != NULL);
  for (guint i = 0; i < n; i++)
    assert_ok(
        thin_volume_write(volume, &byte, 1, (guint64)(first + i * step) * THIN_CHUNK_MIN, &error));
  thin_volume_close(volume);
}

/* Snapshots of a volume that is written to in between: whatever is counted in the large, either
 * engine's word is the same, and each node is counted once. Not without end. */
static void test_new_blocks_of_snapshots(void **state)
{
  enum { N = 12, CHUNKS = 900 };
  VtIo *metadata = thin_test_file(*state, "metadata", 16 << 20),
       *data = thin_test_file(*state, "data", 256 << 20);
  g_autoptr(GByteArray) seen = g_byte_array_new();
  ThinOptions options = {.chunk_size = THIN_CHUNK_MIN};
  ThinPool *pool = NULL;
  DmkReader *reader = NULL;
  guint64 sum, n;

  assert_ok((pool = thin_pool_open(metadata, data, &options, &error)) != NULL);
  assert_ok(thin_pool_send(pool, &(ThinMessage){THIN_CREATE, 0, 0}, 1, 0, 1, &error));
  write_chunks(pool, 0, CHUNKS, 1);
  for (guint i = 1; i <= N; i++) {
    assert_ok(thin_pool_send(pool, &(ThinMessage){THIN_SNAPSHOT, i, 0}, 1, i, i + 1, &error));
    write_chunks(pool, i, 1 + i % 3, 300);
  }
  assert_ok(thin_pool_commit(pool, &error));
  sum = compare_new_blocks(pool, metadata, 0);
  assert_in_range(sum, CHUNKS / THIN_NODE_MAX(8) + N * 2, CHUNKS / (THIN_NODE_MAX(8) / 3) + N * 5);
  assert_ok((reader = dmk_reader_open(metadata, 0, &error)) != NULL);
  assert_fails(dmk_reader_count_new(reader, 0, 0, seen, &n, &error), ETIMEDOUT);
  assert_fails(dmk_reader_count_new(reader, 99, G_MAXINT64, seen, &n, &error), ENOENT);
  dmk_reader_close(reader);
  assert_ok(thin_pool_close(pool, &error));
  vt_io_unref(metadata);
  vt_io_unref(data);
}

/* Of thousands of devices one is looked up by the few blocks on its way, and a commit in between
 * shows. */
static void test_one_device_of_many(void **state)
{
  enum { N = 5000, STEP = 3 };
  g_autofree ThinMessage *messages = g_new0(ThinMessage, N);
  VtIo *metadata = thin_test_file(*state, "metadata", 64 << 20),
       *data = thin_test_file(*state, "data", 64 << 20);
  ThinOptions options = {.chunk_size = THIN_CHUNK_MIN};
  DmkReader *reader = NULL;
  ThinPool *pool = NULL;

  assert_ok((pool = thin_pool_open(metadata, data, &options, &error)) != NULL);
  for (guint i = 0; i < N; i++)
    messages[i] = (ThinMessage){THIN_CREATE, i * STEP, 0};
  assert_ok(thin_pool_send(pool, messages, N, 0, 1, &error));
  assert_ok((reader = dmk_reader_open(metadata, 0, &error)) != NULL);
  for (guint id = 0; id < N * STEP + 2; id++) {
    GArray *found = NULL;

    assert_ok((found = dmk_reader_devices(reader, id, id, &error)) != NULL);
    assert_int_equal(found->len, id % STEP == 0 && id < N * STEP);
    if (found->len)
      assert_int_equal(g_array_index(found, ThinDevice, 0).id, id);
    g_array_unref(found);
  }
  assert_true(dmk_reader_is_current(reader));
  assert_ok(thin_pool_send(pool, &(ThinMessage){THIN_CREATE, 1, 0}, 1, 1, 2, &error));
  assert_false(dmk_reader_is_current(reader));
  dmk_reader_close(reader);
  assert_ok(thin_pool_close(pool, &error));
  vt_io_unref(metadata);
  vt_io_unref(data);
}

static void note_failure(GError *error, guint *failures)
{
  if (!error)
    return;
  assert_int_equal(error->code, EBADMSG);
  g_error_free(error);
  ++*failures;
}

static void read_everything(VtIo *metadata, guint *failures)
{
  g_autoptr(GByteArray) seen = g_byte_array_new();
  GError *error = NULL;
  DmkReader *reader = dmk_reader_open(metadata, 0, &error);
  GArray *devices = reader ? dmk_reader_devices(reader, 0, THIN_DEVICE_MAX, &error) : NULL;

  for (guint i = 0; devices && !error && i < devices->len; i++) {
    guint64 exclusive, shared;

    if (dmk_reader_count(reader, g_array_index(devices, ThinDevice, i).id, &exclusive, &shared,
                         &error))
      dmk_reader_count_new(reader, g_array_index(devices, ThinDevice, i).id, G_MAXINT64, seen,
                           &exclusive, &error);
  }
  note_failure(error, failures);
  if (devices)
    g_array_unref(devices);
  dmk_reader_close(reader);
}

/* Every block in turn is overwritten: what is in use is missed, what is not is not. */
static void test_damage_is_an_error(void **state)
{
  g_autofree char *path = thin_test_path(*state, "damaged"), *block = g_malloc(4096);
  guint failures = 0, blocks;
  VtIo *metadata;
  int fd;

  thin_test_unpack("06-msg-pending", path);
  fd = open(path, O_RDWR | O_CLOEXEC);
  metadata = thin_test_open(path, TRUE);
  blocks = (guint)(vt_io_size(metadata) / 4096);
  for (guint i = 0; i < blocks; i++) {
    guint before = failures;

    assert_int_equal(pread(fd, block, 4096, (off_t)i * 4096), 4096);
    assert_int_equal(pwrite(fd, "damage", 6, (off_t)i * 4096 + 100), 6);
    read_everything(metadata, &failures);
    assert_int_equal(pwrite(fd, block, 4096, (off_t)i * 4096), 4096);
    assert_true(i != 0 || failures > before);
  }
  assert_in_range(failures, 4, blocks - 1); /* the superblock, two trees of devices, a map */
  failures = 0;
  read_everything(metadata, &failures);
  assert_int_equal(failures, 0);
  vt_io_unref(metadata);
  close(fd);
}

/* Let every child of the internal node in @block be @child. */
static void set_children(guint8 *block, guint64 number, guint64 child)
{
  for (guint i = 0; i < thin_node_n(block); i++)
    thin_node_set_child(block, i, child);
  thin_block_seal(block, number, THIN_KIND_NODE);
}

/* All details, and the map of every device. */
static void read_whole(VtIo *metadata, guint *failures)
{
  GError *error = NULL;
  DmkReader *reader = dmk_reader_open(metadata, 0, &error);
  GArray *devices = reader ? dmk_reader_devices(reader, 0, THIN_DEVICE_MAX, &error) : NULL;
  guint64 exclusive, shared;

  if (devices)
    dmk_reader_count(reader, 0, &exclusive, &shared, &error);
  note_failure(error, failures);
  g_clear_pointer(&devices, g_array_unref);
  dmk_reader_close(reader);
}

/* A tree that runs in circles, or twice over the same nodes, with every checksum right. */
static void test_tangles_are_an_error(void **state)
{
  enum { N = 500 };
  g_autofree ThinMessage *messages = g_new0(ThinMessage, N);
  VtIo *metadata = thin_test_file(*state, "metadata", 16 << 20),
       *data = thin_test_file(*state, "data", 64 << 20);
  g_autofree guint8 *block = g_malloc(THIN_METADATA_BLOCK),
                    *tangled = g_malloc(THIN_METADATA_BLOCK);
  ThinOptions options = {.chunk_size = THIN_CHUNK_MIN};
  guint internal = 0, failures = 0;
  ThinPool *pool = NULL;

  assert_ok((pool = thin_pool_open(metadata, data, &options, &error)) != NULL);
  for (guint i = 0; i < N; i++)
    messages[i] = (ThinMessage){THIN_CREATE, i, 0};
  assert_ok(thin_pool_send(pool, messages, N, 0, 1, &error));
  assert_ok(thin_pool_close(pool, &error));
  for (guint64 i = 1; i < vt_io_size(metadata) / THIN_METADATA_BLOCK; i++) {
    if (!thin_block_read(metadata, i, THIN_KIND_NODE, block, NULL) || thin_node_is_leaf(block))
      continue;
    internal++;
    for (guint with = 0; with < 2; with++) {
      memcpy(tangled, block, THIN_METADATA_BLOCK);
      set_children(tangled, i, with ? i : thin_node_child(block, 0));
      assert_ok(
          vt_io_write(metadata, tangled, THIN_METADATA_BLOCK, i * THIN_METADATA_BLOCK, &error));
      read_whole(metadata, &failures);
    }
    assert_ok(vt_io_write(metadata, block, THIN_METADATA_BLOCK, i * THIN_METADATA_BLOCK, &error));
  }
  assert_in_range(internal, 2, 2); /* the roots of the devices' tree and of the details */
  assert_int_equal(failures, 4);
  vt_io_unref(metadata);
  vt_io_unref(data);
}

static void test_an_empty_pool(void **state)
{
  VtIo *metadata = thin_test_file(*state, "empty", 4 << 20);
  DmkReader *reader = NULL;
  GArray *devices = NULL;

  assert_ok((reader = dmk_reader_open(metadata, 0, &error)) != NULL);
  assert_ok((devices = dmk_reader_devices(reader, 0, THIN_DEVICE_MAX, &error)) != NULL);
  assert_int_equal(devices->len, 0);
  assert_fails(dmk_reader_map(reader, 1, &error), ENOENT);
  g_array_unref(devices);
  dmk_reader_close(reader);
  vt_io_unref(metadata);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_agrees_with_the_engine, thin_test_setup,
                                      thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_through_a_metadata_snapshot, thin_test_setup,
                                      thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_new_blocks_of_snapshots, thin_test_setup,
                                      thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_one_device_of_many, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_damage_is_an_error, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_tangles_are_an_error, thin_test_setup,
                                      thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_an_empty_pool, thin_test_setup, thin_test_teardown),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
