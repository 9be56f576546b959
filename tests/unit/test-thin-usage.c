/* virt-thin - tests: who uses the chunks of a pool, against a count chunk by chunk
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A seeded history of inserts, removals, snapshots and deletions; then every chunk is looked up in
 * every device, and what that gives is compared with one reading of the trees, for sets of devices
 * drawn at random, with strays, and with a metadata snapshot that holds what is removed since. What
 * the skipping of shared nodes saves is counted in reads.
 */
#include "thin-helper.h"

#include <string.h>

#include "thin/format/count-new.h"
#include "thin/format/usage.h"
#include "thin-harness.h"

#undef CHUNK
#define CHUNK 65536u
#define N_CHUNKS 3000u /* of a device: a tree of three levels */
#define N_POOL 100000u
#define N_DEVICES 8u /* ids 1 to 8, some of which are removed */
#define HELD 31u     /* the bit of the metadata snapshot among owners */

typedef struct {
  VtIo *io;
  ThinMetadata *md;
  GRand *rand;
  guint32 held[N_POOL]; /* owners of each chunk when the metadata snapshot was taken; 0: none was */
} Fixture;

static Fixture *open_fixture(ThinTest *test, guint32 seed)
{
  Fixture *f = g_new0(Fixture, 1);

  f->io = thin_test_file(test, "usage", 16 << 20);
  assert_ok(thin_metadata_format(f->io, CHUNK, N_POOL, &error));
  assert_ok((f->md = thin_metadata_open(f->io, FALSE, 0, &error)) != NULL);
  f->rand = g_rand_new_with_seed(seed);
  return f;
}

static void close_fixture(Fixture *f)
{
  thin_metadata_close(f->md);
  vt_io_unref(f->io);
  g_rand_free(f->rand);
  g_free(f);
}

/* Device 1 and snapshots of any that is there; then some go. */
static void make_history(Fixture *f)
{
  assert_ok(thin_metadata_create(f->md, 1, &error));
  thin_test_map(f->md, 1, 0, N_CHUNKS / 2);
  for (guint32 id = 2; id <= N_DEVICES; id++) {
    guint32 origin = (guint32)g_rand_int_range(f->rand, 1, (gint32)id);

    assert_ok(thin_metadata_snapshot(f->md, id, origin, &error));
    for (int i = 0; i < 8; i++)
      thin_test_change(f->md, f->rand, (guint32)g_rand_int_range(f->rand, 1, (gint32)id + 1),
                       N_CHUNKS);
    thin_test_commit(f->md);
  }
}

/* A bit for each device that maps a chunk. */
static guint32 *find_owners(Fixture *f, GArray *devices)
{
  guint32 *owners = g_memdup2(f->held, sizeof f->held);

  for (guint i = 0; i < devices->len; i++) {
    guint32 id = g_array_index(devices, ThinDevice, i).id;

    for (guint64 key = 0; key < N_CHUNKS; key++) {
      ThinRun run;

      assert_ok(thin_metadata_lookup(f->md, id, key, key + 1, &run, &error));
      if (run.mapped)
        owners[run.chunk] |= 1u << id;
    }
  }
  return owners;
}

static ThinUsageClass class_of(guint32 id, gpointer data)
{
  guint32 *sets = data; /* chosen, strays */

  return sets[0] >> id & 1   ? THIN_USAGE_CHOSEN
         : sets[1] >> id & 1 ? THIN_USAGE_STRAY
                             : THIN_USAGE_KNOWN;
}

static void compare_devices(const ThinUsage *usage, GArray *devices, const guint32 *owners)
{
  assert_int_equal(usage->devices->len, devices->len);
  for (guint i = 0; i < devices->len; i++) {
    const ThinDevice *device = &g_array_index(devices, ThinDevice, i);
    const ThinUsageDevice *found = thin_usage_find(usage, device->id);
    guint64 mapped = 0, exclusive = 0;

    for (guint chunk = 0; chunk < N_POOL; chunk++) {
      guint32 who = owners[chunk] & ~(1u << HELD);

      mapped += who >> device->id & 1;
      exclusive += who == 1u << device->id;
    }
    assert_non_null(found);
    assert_int_equal(found->mapped, mapped * CHUNK);
    assert_int_equal(found->exclusive, exclusive * CHUNK);
  }
  assert_null(thin_usage_find(usage, N_DEVICES + 1));
}

/* For one set of devices, and one of strays. */
static void compare(Fixture *f, GArray *devices, const guint32 *owners, guint32 chosen,
                    guint32 strays)
{
  guint32 sets[2] = {chosen, strays}, all = 0, volumes, only_strays;
  g_auto(ThinUsage) usage = {.classify = class_of, .data = sets};
  guint64 freed = 0, known = 0, stray = 0, allocated = 0;

  assert_ok(thin_usage(f->io, &usage, &error));
  compare_devices(&usage, devices, owners);
  for (guint i = 0; i < devices->len; i++)
    all |= 1u << g_array_index(devices, ThinDevice, i).id;
  only_strays = strays & ~chosen;
  volumes = all & ~only_strays;
  for (guint chunk = 0; chunk < N_POOL; chunk++) {
    guint32 who = owners[chunk];

    freed += (who & chosen) && !(who & ~chosen);
    known += (who & volumes) != 0;
    stray += (who & only_strays) && !(who & volumes);
    allocated += who != 0;
  }
  assert_int_equal(usage.chunk_size, CHUNK);
  assert_int_equal(usage.freed, freed * CHUNK);
  assert_int_equal(usage.known, known * CHUNK);
  assert_int_equal(usage.strays, stray * CHUNK);
  assert_int_equal(usage.allocated, allocated * CHUNK);
}

static void compare_sets(Fixture *f)
{
  g_autoptr(GArray) devices = thin_metadata_list_devices(f->md, NULL);
  g_autofree guint32 *owners = find_owners(f, devices);
  guint32 any = (2u << N_DEVICES) - 2;

  compare(f, devices, owners, 0, 0);
  compare(f, devices, owners, any, 0);
  compare(f, devices, owners, 0, any);
  for (int i = 0; i < 20; i++)
    compare(f, devices, owners, g_rand_int(f->rand) & any, g_rand_int(f->rand) & any);
}

static void remove_some(Fixture *f)
{
  for (guint32 id = 1; id <= N_DEVICES; id += 3)
    assert_ok(thin_metadata_delete(f->md, id, &error));
  thin_test_commit(f->md);
}

/* What the devices have now stays, whatever is removed later. */
static void hold(Fixture *f)
{
  g_autoptr(GArray) devices = thin_metadata_list_devices(f->md, NULL);
  g_autofree guint32 *owners = find_owners(f, devices);

  for (guint chunk = 0; chunk < N_POOL; chunk++)
    f->held[chunk] = owners[chunk] ? 1u << HELD : 0;
  assert_ok(thin_metadata_reserve_snapshot(f->md, &error));
  thin_test_commit(f->md);
}

static void test_history(void **state)
{
  for (guint32 seed = 1; seed <= 6; seed++) {
    Fixture *f = open_fixture(*state, seed);

    make_history(f);
    compare_sets(f);
    if (seed % 2)
      hold(f);
    remove_some(f);
    compare_sets(f);
    close_fixture(f);
  }
}

static void test_empty_pool(void **state)
{
  Fixture *f = open_fixture(*state, 1);
  g_auto(ThinUsage) usage = {0};

  assert_ok(thin_usage(f->io, &usage, &error));
  assert_int_equal(usage.devices->len, 0);
  assert_int_equal(usage.allocated, 0);
  close_fixture(f);
}

static guint64 bytes_read;

static void count_read(VtIoKinds kind, guint64 offset, guint64 length, gpointer user_data)
{
  bytes_read += length;
}

/* 500 snapshots that share all but a leaf: nothing like 500 maps is read. */
static void test_cost_follows_nodes(void **state)
{
  Fixture *f = open_fixture(*state, 7);
  VtIo *watched = harness_watch_new(f->io, count_read, NULL);
  g_auto(ThinUsage) usage = {0};
  ThinStatus status;

  assert_ok(thin_metadata_create(f->md, 1, &error));
  thin_test_map(f->md, 1, 0, N_CHUNKS);
  for (guint32 id = 2; id <= 501; id++) {
    assert_ok(thin_metadata_snapshot(f->md, id, 1, &error));
    thin_test_map(f->md, 1, id, 1);
    thin_test_commit(f->md);
  }
  thin_metadata_status(f->md, &status);
  assert_ok(thin_usage(watched, &usage, &error));
  assert_true(bytes_read < 4 * status.metadata_used);
  assert_int_equal(usage.devices->len, 501);
  assert_int_equal(usage.freed, 0);
  vt_io_unref(watched);
  close_fixture(f);
}

/* Every block in turn is overwritten: it is answered as before, or an error that says where. */
static void test_damage_is_an_error(void **state)
{
  Fixture *f = open_fixture(*state, 3);
  g_autofree guint8 *block = g_malloc(THIN_METADATA_BLOCK);
  g_auto(ThinUsage) whole = {0};
  guint failures = 0;

  make_history(f);
  assert_ok(thin_usage(f->io, &whole, &error));
  for (guint64 at = 0; at < 16 << 20; at += THIN_METADATA_BLOCK) {
    g_auto(ThinUsage) usage = {0};
    g_autoptr(GError) failure = NULL;

    assert_ok(vt_io_read(f->io, block, THIN_METADATA_BLOCK, at, &error));
    assert_ok(vt_io_write(f->io, "damage", 6, at + 100, &error));
    if (thin_usage(f->io, &usage, &failure))
      assert_int_equal(usage.known, whole.known);
    else
      failures++;
    if (failure)
      assert_int_equal(failure->code, EBADMSG);
    assert_ok(vt_io_write(f->io, block, THIN_METADATA_BLOCK, at, &error));
  }
  assert_true(failures > 10);
  close_fixture(f);
}

/* --- what the trees say cannot be --- */

/* Each read fails in turn: that is an error, and the answer is right when none does. */
static void test_reads_that_fail(void **state)
{
  Fixture *f = open_fixture(*state, 5);
  VtIo *failer = vt_io_failer_new(f->io, VT_IO_READ, G_MAXUINT, EIO);
  g_auto(ThinUsage) whole = {0};
  gboolean ok = FALSE;
  guint n = 0;

  make_history(f);
  hold(f);
  assert_ok(thin_usage(f->io, &whole, &error));
  for (; !ok; n++) {
    g_auto(ThinUsage) usage = {0};
    g_autoptr(GError) failure = NULL;

    vt_io_failer_arm(failer, VT_IO_READ, n, EIO);
    ok = thin_usage(failer, &usage, &failure);
    if (ok)
      assert_int_equal(usage.known, whole.known);
    else
      assert_true(g_error_matches(failure, VT_ERROR, EIO));
  }
  assert_true(n > 20);
  vt_io_unref(failer);
  close_fixture(f);
}

/* Where what is lied about lies. Devices 1 and 2 have nothing in common. */
typedef struct {
  char *path;
  VtIo *io;
  guint64 details, maps;     /* one leaf each */
  guint64 root, node, leaf;  /* of device 1, the second of their level */
  guint64 first_node, other; /* the first of that level; device 2's root */
  guint64 held;              /* the metadata snapshot's superblock */
} Lies;

static void read_node(Lies *l, guint64 number, guint64 *block)
{
  assert_ok(vt_io_read(l->io, block, THIN_METADATA_BLOCK, number * THIN_METADATA_BLOCK, &error));
}

static guint64 child_of(Lies *l, guint64 number, guint i)
{
  guint64 block[THIN_METADATA_BLOCK / 8];

  read_node(l, number, block);
  return thin_node_child((const guint8 *)block, i);
}

static guint n_of(Lies *l, guint64 number)
{
  guint64 block[THIN_METADATA_BLOCK / 8];

  read_node(l, number, block);
  return thin_node_n((const guint8 *)block);
}

static void find_places(Lies *l)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  const ThinDiskSuperblock *sb = (const ThinDiskSuperblock *)(gpointer)block;

  read_node(l, 0, block);
  l->details = GUINT64_FROM_LE(sb->device_details_root);
  l->maps = GUINT64_FROM_LE(sb->data_mapping_root);
  l->held = GUINT64_FROM_LE(sb->held_root);
  l->root = child_of(l, l->maps, 0);
  l->other = child_of(l, l->maps, 1);
  l->first_node = child_of(l, l->root, 0);
  l->node = child_of(l, l->root, 1);
  l->leaf = child_of(l, l->node, 1);
  read_node(l, l->node, block);
  assert_false(thin_node_is_leaf((const guint8 *)block));
}

/* @size bytes at @offset of block @number say @value: an error that has @words. Then they say what
 * they did. */
static void lie(Lies *l, guint64 number, ThinKind kind, guint offset, guint64 value, guint size,
                const char *words)
{
  guint64 before[THIN_METADATA_BLOCK / 8];
  g_auto(ThinUsage) usage = {0};
  g_autoptr(GError) failure = NULL;

  read_node(l, number, before);
  thin_test_poke(l->path, number, kind, offset, value, size);
  assert_false(thin_usage(l->io, &usage, &failure));
  assert_int_equal(failure->code, EBADMSG);
  if (!strstr(failure->message, words))
    fail_msg("not '%s', but '%s'", words, failure->message);
  assert_ok(vt_io_write(l->io, before, sizeof before, number * sizeof before, &error));
}

static void lie_node(Lies *l, guint64 number, guint offset, guint64 value, const char *words)
{
  lie(l, number, THIN_KIND_NODE, offset, value, 8, words);
}

#define AT_N G_STRUCT_OFFSET(ThinDiskNode, nr_entries)
#define AT_KEY(i) ((guint)(sizeof(ThinDiskNode) + 8 * (i)))
#define AT_VALUE(size, i) (AT_KEY(THIN_NODE_MAX(size)) + (guint)(size) * (i))
#define AT_CHILD(i) AT_VALUE(8, i)

static void lie_about_devices(Lies *l)
{
  lie_node(l, l->details, AT_KEY(1), THIN_DEVICE_MAX + 1, "is out of range");
  lie_node(l, l->details, AT_KEY(1), 9, "there is a device without a map");
  lie_node(l, l->maps, AT_KEY(1), 9, "or a map without a device");
  lie(l, l->details, THIN_KIND_NODE, AT_N, 1, 4, "or a map without a device");
  lie(l, l->maps, THIN_KIND_NODE, AT_N, 1, 4, "thin device 2 has no map");
  lie_node(l, l->details, AT_VALUE(sizeof(ThinDiskDetails), 0), 1,
           "thin device 1 maps more than its details say");
  lie_node(l, l->maps, AT_CHILD(0), G_MAXUINT64, "there is no metadata block");
}

static void lie_about_nodes(Lies *l)
{
  guint64 n_blocks = vt_io_size(l->io) / THIN_METADATA_BLOCK;

  lie_node(l, l->root, AT_CHILD(1), 0, "cannot hold a node");
  lie_node(l, l->root, AT_CHILD(1), n_blocks, "cannot hold a node");
  lie_node(l, l->root, AT_CHILD(1), l->first_node, "is in one map twice");
  lie_node(l, l->root, AT_CHILD(1), l->leaf, "is a leaf where none can be");
  lie_node(l, l->root, AT_CHILD(0), l->root, "deeper than any can be");
  lie_node(l, l->root, AT_CHILD(1), l->held, "metadata block");
  lie_node(l, l->node, AT_CHILD(1), l->other, "is no leaf where one must be");
  lie_node(l, l->node, AT_CHILD(1), l->details, "another kind of tree");
  lie_node(l, l->leaf, AT_CHILD(0), THIN_MAPPING(N_POOL, 0), "behind the pool's last one");
  lie(l, l->root, THIN_KIND_NODE, AT_N, 0, 4, "is an internal node without children");
  lie(l, l->node, THIN_KIND_NODE, AT_N, 0, 4, "is an internal node without children");
}

static void lie_in_superblock(Lies *l)
{
  const guint sizes = G_STRUCT_OFFSET(ThinDiskSuperblock, data_space_map),
              held = G_STRUCT_OFFSET(ThinDiskSuperblock, held_root);

  lie(l, 0, THIN_KIND_SUPERBLOCK, sizes, G_GUINT64_CONSTANT(1) << 40, 8, "cannot be counted in");
  lie(l, 0, THIN_KIND_SUPERBLOCK, held, l->leaf, 8, "superblock");
  lie(l, l->held, THIN_KIND_SUPERBLOCK, G_STRUCT_OFFSET(ThinDiskSuperblock, data_mapping_root), 0,
      8, "cannot hold a node");
}

static gboolean read_map_node(gpointer io, guint64 number, guint8 *data, GError **error)
{
  return thin_block_read(io, number, THIN_KIND_NODE, data, error);
}

/* How many nodes device 1's map has. FALSE: it cannot be counted. */
static gboolean count_map(Lies *l, guint64 *n, GError **error)
{
  const ThinCountMaps maps = {read_map_node, l->io, "pool",
                              vt_io_size(l->io) / THIN_METADATA_BLOCK};
  g_autoptr(GByteArray) seen = g_byte_array_new();

  return thin_count_new(&maps, l->root, seen, n, error);
}

/* Child 1 of node @number is @child: how many nodes there are cannot be said, for @words. */
static void lie_of_count(Lies *l, guint64 number, guint64 child, const char *words)
{
  guint64 before[THIN_METADATA_BLOCK / 8], n;
  g_autoptr(GError) failure = NULL;

  read_node(l, number, before);
  thin_test_poke(l->path, number, THIN_KIND_NODE, AT_CHILD(1), child, 8);
  assert_false(count_map(l, &n, &failure));
  assert_int_equal(failure->code, EBADMSG);
  if (!strstr(failure->message, words))
    fail_msg("not '%s', but '%s'", words, failure->message);
  assert_ok(vt_io_write(l->io, before, sizeof before, number * sizeof before, &error));
}

static void count_with_lies(Lies *l)
{
  guint64 n_blocks = vt_io_size(l->io) / THIN_METADATA_BLOCK, n;

  assert_ok(count_map(l, &n, &error));
  assert_in_range(n, 70001 / 252 + 3, 2 * 70001 / 252);
  lie_of_count(l, l->root, n_blocks, "there is no metadata block");
  lie_of_count(l, l->node, n_blocks, "there is no metadata block");
  lie_of_count(l, l->root, l->held, "metadata block");
  lie_of_count(l, l->root, l->details, "another kind of tree");
}

static void test_lies(void **state)
{
  Fixture *f = open_fixture(*state, 1);
  Lies l = {.path = thin_test_path(*state, "usage"), .io = f->io};
  g_auto(ThinUsage) usage = {0};

  assert_ok(thin_metadata_create(f->md, 1, &error));
  assert_ok(thin_metadata_create(f->md, 2, &error));
  for (guint64 at = 0; at < 70000; at += 10000) /* a tree of three levels */
    thin_test_map(f->md, 1, at, 10000);
  thin_test_map(f->md, 2, 0, 1000);
  thin_test_commit(f->md);
  assert_ok(thin_metadata_reserve_snapshot(f->md, &error));
  thin_test_map(f->md, 1, 70000, 1);
  thin_test_map(f->md, 2, 1000, 1);
  thin_test_commit(f->md);
  find_places(&l);
  assert_true(n_of(&l, l.root) > 1);
  lie_about_devices(&l);
  lie_about_nodes(&l);
  lie_in_superblock(&l);
  count_with_lies(&l);
  assert_ok(thin_usage(f->io, &usage, &error)); /* all is as it was */
  assert_int_equal(usage.known, 71002 * (guint64)CHUNK);
  g_free(l.path);
  close_fixture(f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_history, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_empty_pool, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_cost_follows_nodes, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_damage_is_an_error, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_reads_that_fail, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_lies, thin_test_setup, thin_test_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
