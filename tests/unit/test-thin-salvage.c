/* virt-thin - tests of metadata written anew from damaged metadata
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "rebuild-helper.h"

#include <stdio.h>
#include <unistd.h>

#include "thin/format/dump.h"
#include "thin/rebuild/rebuild.h"

/* --- damage ------------------------------------------------------------------------- */

static void read_block(VtIo *io, guint64 number, guint64 *block)
{
  MUST(vt_io_read(io, block, THIN_METADATA_BLOCK, number * THIN_METADATA_BLOCK, &error));
}

static void write_block(VtIo *io, guint64 number, const guint64 *block)
{
  MUST(vt_io_write(io, block, THIN_METADATA_BLOCK, number * THIN_METADATA_BLOCK, &error));
}

static VtIo *copy_of(VtIo *io, int *fd)
{
  guint64 size = vt_io_size(io);
  VtIo *copy = harness_memory("damaged", size, fd);
  g_autofree guint8 *all = g_malloc(size);

  MUST(vt_io_read(io, all, size, 0, &error));
  MUST(vt_io_write(copy, all, size, 0, &error));
  return copy;
}

/* Change some block that is a node, @seal: with a right checksum. */
static void damage(VtIo *io, GRand *rand, gboolean seal)
{
  guint64 block[THIN_METADATA_BLOCK / 8], number;

  do {
    number = (guint64)g_rand_int_range(rand, 1, (gint)anew_used(io) + 20);
    read_block(io, number, block);
  } while (!thin_block_verify((guint8 *)block, number, THIN_KIND_NODE, "", NULL));
  for (gint i = g_rand_int_range(rand, 1, 4); i > 0; i--)
    ((guint8 *)block)[g_rand_int_range(rand, 16, seal ? 200 : THIN_METADATA_BLOCK)] ^=
        (guint8)g_rand_int_range(rand, 1, 256);
  if (g_rand_int_range(rand, 0, 4) == 0) /* or the number of a block, or a mapping */
    ((guint64 *)block)[256 + g_rand_int_range(rand, 0, 200)] =
        (guint64)g_rand_int_range(rand, 0, 3000);
  if (seal)
    thin_block_seal((guint8 *)block, number, THIN_KIND_NODE);
  write_block(io, number, block);
}

static char *dump_left(VtIo *io, guint *n_lost)
{
  g_autoptr(GPtrArray) lost = g_ptr_array_new_with_free_func(g_free);
  ThinDumpOptions options = {.device = -1, .lost = lost};
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);

  MUST(thin_dump(io, &options, out, &error));
  fclose(out);
  *n_lost = 0;
  for (guint i = 0; i < lost->len; i++)
    *n_lost += strstr(lost->pdata[i], "it has no") || strstr(lost->pdata[i], "thin devices");
  return text;
}

static guint n_compared;

/* What thin_dump() finds left of damaged maps is what comes back. */
static void rebuild_damaged(VtIo *from, GRand *rand, gboolean sealed, gboolean work)
{
  int fd;
  VtIo *to = harness_memory("anew", LARGE_METADATA, &fd);
  g_autoptr(GArray) lost = g_array_new(FALSE, FALSE, sizeof(ThinLost));
  g_autofree char *left = NULL, *after = NULL;
  guint n_lost;

  MUST(thin_rebuild(from, NULL, to, lost, NULL, &error));
  harness_check(to, 0, FALSE);
  left = dump_left(from, &n_lost);
  after = anew_dump(to);
  if (!sealed && n_lost == 0) {
    assert_string_equal(left, after);
    n_compared += lost->len > 0;
  }
  if (work) {
    harness_tool("thin_check", fd);
    anew_work_on(to, fd, rand);
  }
  vt_io_unref(to);
  close(fd);
}

static void test_damaged(void **state)
{
  GRand *rand = g_rand_new_with_seed(3);
  guint n_rounds = g_getenv("VIRT_THIN_TEST_LONG") ? 2000 : 60;
  int fd;
  VtIo *io = harness_memory("large", LARGE_METADATA, &fd);

  anew_make_large(io, 5, 12, 40);
  n_compared = 0;
  for (guint i = 0; i < n_rounds; i++) {
    int damaged_fd;
    VtIo *damaged = copy_of(io, &damaged_fd);
    gboolean sealed = i % 2 == 1;

    for (gint n = g_rand_int_range(rand, 1, 9); n > 0; n--)
      damage(damaged, rand, sealed);
    rebuild_damaged(damaged, rand, sealed, i % 6 < 2);
    vt_io_unref(damaged);
    close(damaged_fd);
  }
  assert_true(n_compared > n_rounds / 10);
  vt_io_unref(io);
  close(fd);
  g_rand_free(rand);
}

/* --- what is lost is told ----------------------------------------------------------- */

/* The superblock's pointer at @offset leads nowhere. */
static VtIo *without_root(gsize offset, int *fd)
{
  VtIo *io = harness_memory("large", LARGE_METADATA, fd);
  guint64 block[THIN_METADATA_BLOCK / 8], beyond = GUINT64_TO_LE(1u << 30);

  anew_make_large(io, 9, 6, 5);
  read_block(io, 0, block);
  memcpy((guint8 *)block + offset, &beyond, sizeof beyond);
  thin_block_seal((guint8 *)block, 0, THIN_KIND_SUPERBLOCK);
  write_block(io, 0, block);
  return io;
}

static void rebuild_into(VtIo *from, VtIo **to, int *fd, GArray *lost, ThinRebuildStats *stats)
{
  *to = harness_memory("anew", LARGE_METADATA, fd);
  MUST(thin_rebuild(from, NULL, *to, lost, stats, &error));
  anew_check(*to, *fd);
}

static void test_details_lost(void **state)
{
  int fd, to_fd;
  VtIo *from = without_root(G_STRUCT_OFFSET(ThinDiskSuperblock, device_details_root), &fd), *to;
  g_autoptr(GArray) lost = g_array_new(FALSE, FALSE, sizeof(ThinLost)), devices = NULL;
  ThinRebuildStats stats;
  ThinMetadata *md;

  rebuild_into(from, &to, &to_fd, lost, &stats);
  assert_int_equal(lost->len, 0);
  assert_int_equal(stats.n_devices, 8);
  assert_int_equal(stats.n_details_made, 8);
  assert_false(stats.devices_lost);
  md = anew_open(to);
  MUST(devices = thin_metadata_list_devices(md, &error));
  for (guint i = 0; i < devices->len; i++)
    assert_int_equal(g_array_index(devices, ThinDevice, i).snapshotted_time, 6); /* the pool's */
  thin_metadata_close(md);
  vt_io_unref(from);
  vt_io_unref(to);
  close(fd);
  close(to_fd);
}

static void test_maps_lost(void **state)
{
  int fd, to_fd;
  VtIo *from = without_root(G_STRUCT_OFFSET(ThinDiskSuperblock, data_mapping_root), &fd), *to;
  g_autoptr(GArray) lost = g_array_new(FALSE, FALSE, sizeof(ThinLost));
  ThinRebuildStats stats;

  rebuild_into(from, &to, &to_fd, lost, &stats);
  assert_int_equal(stats.n_devices, 8);
  assert_int_equal(stats.n_maps_lost, 8);
  assert_int_equal(stats.n_chunks_mapped, 0);
  assert_true(stats.devices_lost);
  assert_int_equal(lost->len, 8);
  for (guint i = 0; i < lost->len; i++) {
    assert_int_equal(g_array_index(lost, ThinLost, i).offset, 0);
    assert_true(g_array_index(lost, ThinLost, i).length == G_MAXUINT64);
  }
  vt_io_unref(from);
  vt_io_unref(to);
  close(fd);
  close(to_fd);
}

/* The details of before a snapshot do not say that anything is shared; the maps of after it are the
 * snapshot's, too. What a write may not go to in place is what counts as shared. */
static void test_details_older(void **state)
{
  for (gboolean older = FALSE; older <= TRUE; older++) {
    int fd, to_fd;
    VtIo *from = harness_memory("from", LARGE_METADATA, &fd),
         *to = harness_memory("anew", LARGE_METADATA, &to_fd);
    g_autoptr(GArray) lost = g_array_new(FALSE, FALSE, sizeof(ThinLost));
    ThinRoots roots = {.details_older = older};
    guint64 block[THIN_METADATA_BLOCK / 8];
    const ThinDiskSuperblock *superblock = (gconstpointer)block;
    ThinMetadata *md;
    ThinRun run;

    MUST(thin_metadata_format(from, THIN_CHUNK_MIN, 100, &error));
    md = anew_open(from);
    MUST(thin_metadata_create(md, 1, &error));
    anew_map(md, 1, 0, 10);
    anew_commit(md);
    read_block(from, 0, block);
    roots.details_root = GUINT64_FROM_LE(superblock->device_details_root);
    MUST(thin_metadata_snapshot(md, 2, 1, &error));
    anew_commit(md);
    read_block(from, 0, block);
    roots.mapping_root = GUINT64_FROM_LE(superblock->data_mapping_root);
    thin_metadata_close(md);
    MUST(thin_rebuild(from, &roots, to, lost, NULL, &error));
    anew_check(to, to_fd);
    assert_int_equal(lost->len, 0);
    md = anew_open(to);
    MUST(thin_metadata_lookup(md, 1, 0, 10, &run, &error));
    assert_int_equal(run.shared, older);
    MUST(thin_metadata_lookup(md, 2, 0, 10, &run, &error));
    assert_true(run.shared);
    thin_metadata_close(md);
    vt_io_unref(from);
    vt_io_unref(to);
    close(fd);
    close(to_fd);
  }
}

static void test_damaged_fixture(void **state)
{
  g_autofree char *path = thin_test_path(*state, "04b-damaged-leaf");
  g_autoptr(VtIo) from = NULL;
  g_autoptr(GArray) lost = g_array_new(FALSE, FALSE, sizeof(ThinLost));
  ThinRebuildStats stats;
  const ThinLost *range = NULL;
  VtIo *to;
  int fd;

  thin_test_unpack("04b-damaged-leaf", path);
  from = thin_test_open(path, TRUE);
  rebuild_into(from, &to, &fd, lost, &stats);
  assert_int_equal(lost->len, 1);
  range = &g_array_index(lost, ThinLost, 0);
  assert_int_equal(range->device, 1);
  assert_int_equal(range->offset, 0);
  assert_true(range->length == G_MAXUINT64);
  assert_int_equal(stats.n_devices, 5);
  assert_int_equal(stats.n_maps_lost, 1);
  vt_io_unref(to);
  close(fd);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_damaged),
      cmocka_unit_test(test_details_lost),
      cmocka_unit_test(test_maps_lost),
      cmocka_unit_test(test_details_older),
      cmocka_unit_test_setup_teardown(test_damaged_fixture, thin_test_setup, thin_test_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
