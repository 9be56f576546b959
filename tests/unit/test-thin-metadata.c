/* virt-thin - tests of the thin metadata against pools made by the kernel, and against
 * thin-provisioning-tools SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin-helper.h"

static ThinMetadata *open_fixture(ThinTest *test, const char *name, gboolean read_only)
{
  g_autofree char *path = thin_test_path(test, name);
  g_autoptr(GError) error = NULL;
  thin_test_unpack(name, path);
  g_autoptr(VtIo) io = thin_test_open(path, read_only);
  ThinMetadata *md = thin_metadata_open(io, read_only, 0, &error);
  assert_no_error(error);
  return md;
}

static void assert_dumps_alike(ThinTest *test, const char *name, ThinMetadata *md)
{
  g_autofree char *path = thin_test_path(test, name), *ours = thin_test_dump(md);
  const char *argv[] = {"thin_dump", path, NULL};
  g_autofree char *theirs = thin_test_output(argv);
  assert_string_equal(ours, theirs);
}

/* --- pools made by the kernel ------------------------------------------------------- */

static void test_dump_of_kernel_pools(void **state)
{
  static const char *const names[] = {"01-clean",
                                      "02-crash",
                                      "03a-tid-pool-ahead",
                                      "04a-needs-check",
                                      "04c-leaked-block",
                                      "05a-out-of-data",
                                      "06-delete-msg-pending",
                                      "06-msg-pending",
                                      "06-snap-made-tid-old"};
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    ThinMetadata *md = open_fixture(*state, names[i], TRUE);
    assert_dumps_alike(*state, names[i], md);
    thin_metadata_close(md);
  }
}

static void test_recorded_dump(void **state)
{
  ThinMetadata *md = open_fixture(*state, "01-clean", TRUE);
  g_autofree char *ours = thin_test_dump(md), *recorded = NULL;
  g_autofree char *path =
      g_build_filename(g_getenv("abs_top_srcdir") ? g_getenv("abs_top_srcdir") : "..",
                       "tests/fixtures/thin-metadata/01-clean.xml", NULL);
  assert_ok(g_file_get_contents(path, &recorded, NULL, &error));
  assert_string_equal(ours, recorded);
  thin_metadata_close(md);
}

static void test_status_of_kernel_pool(void **state)
{
  ThinMetadata *md = open_fixture(*state, "01-clean", TRUE);
  ThinStatus status;
  thin_metadata_status(md, &status);
  assert_int_equal(status.chunk_size, 65536);
  assert_int_equal(status.data_size, 1536 * 65536);
  assert_int_equal(status.data_used, 100 * 65536);
  assert_int_equal(status.metadata_size, 2048 * 4096);
  assert_int_equal(status.metadata_used, (14 + 204) * 4096);
  assert_int_equal(status.transaction_id, 7);
  assert_int_equal(status.n_devices, 5);
  thin_metadata_close(md);
}

static void assert_run(ThinMetadata *md, guint32 device, guint64 begin, guint64 end,
                       ThinRun expected)
{
  ThinRun run;
  assert_ok(thin_metadata_lookup(md, device, begin, end, &run, &error));
  assert_int_equal(run.begin, begin);
  assert_int_equal(run.end, expected.end);
  assert_int_equal(run.mapped, expected.mapped);
  if (run.mapped) {
    assert_int_equal(run.chunk, expected.chunk);
    assert_int_equal(run.shared, expected.shared);
  }
}

static void test_lookup_in_kernel_pool(void **state)
{
  ThinMetadata *md = open_fixture(*state, "01-clean", TRUE);
  /* Device 1: 0..15 at 0 since before the snapshots, 16..19 at 88, ... 48..51 was discarded */
  assert_run(md, 1, 0, 4096, (ThinRun){.end = 16, .mapped = TRUE, .chunk = 0, .shared = TRUE});
  assert_run(md, 1, 4, 10, (ThinRun){.end = 10, .mapped = TRUE, .chunk = 4, .shared = TRUE});
  assert_run(md, 1, 48, 4096, (ThinRun){.end = 52});
  assert_run(md, 1, 64, 4096, (ThinRun){.end = 512});
  assert_run(md, 1, 2560, 4096, (ThinRun){.end = 2564, .mapped = TRUE, .chunk = 96});
  assert_run(md, 1, 2564, 4096, (ThinRun){.end = 4096});
  /* Device 2 never had a snapshot */
  assert_run(md, 2, 2, 10, (ThinRun){.end = 10, .mapped = TRUE, .chunk = 80});
  ThinRun run;
  assert_fails(thin_metadata_lookup(md, 77, 0, 10, &run, &error), ENOENT);
  assert_fails(thin_metadata_create(md, 9, &error), EROFS);
  thin_metadata_close(md);
}

static void test_kernel_pool_refused(void **state)
{
  g_autofree char *path = thin_test_path(*state, "04a-needs-check");
  thin_test_unpack("04a-needs-check", path);
  g_autoptr(VtIo) io = thin_test_open(path, FALSE);
  assert_fails(thin_metadata_open(io, FALSE, 0, &error), EPERM);
}

static void test_write_to_kernel_pool(void **state)
{
  ThinMetadata *md = open_fixture(*state, "01-clean", FALSE);
  g_autofree char *path = thin_test_path(*state, "01-clean");
  guint64 chunk, n;

  assert_dumps_alike(*state, "01-clean", md);
  assert_ok(thin_metadata_snapshot(md, 10, 1, &error));
  assert_ok(thin_metadata_create(md, 11, &error));
  assert_ok(thin_metadata_alloc(md, 10, &chunk, &n, &error));
  assert_int_equal(n, 10);
  assert_ok(thin_metadata_insert(md, 11, 100, chunk, n, &error));
  assert_ok(thin_metadata_remove(md, 1, 8, 600, &error));
  assert_ok(thin_metadata_delete(md, 3, &error));
  thin_metadata_set_transaction_id(md, 8);
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  thin_test_assert_thin_check(path);
  thin_test_assert_clean(path, TRUE);
  assert_dumps_alike(*state, "01-clean", md);
  thin_metadata_close(md);
}

/* --- pools of our own --------------------------------------------------------------- */

static ThinMetadata *new_pool(ThinTest *test, guint64 n_blocks, guint64 n_chunks)
{
  g_autoptr(VtIo) io = thin_test_file(test, "meta", n_blocks * THIN_METADATA_BLOCK);
  g_autoptr(GError) error = NULL;
  assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, n_chunks, &error));
  ThinMetadata *md = thin_metadata_open(io, FALSE, 0, &error);
  assert_no_error(error);
  return md;
}

static void commit_and_judge(ThinTest *test, ThinMetadata *md)
{
  g_autofree char *path = thin_test_path(test, "meta");
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  thin_test_assert_thin_check(path);
  thin_test_assert_clean(path, TRUE);
  assert_dumps_alike(test, "meta", md);
}

static void map_some(ThinMetadata *md, guint32 device, guint64 begin, guint64 n)
{
  while (n > 0) {
    guint64 chunk, got;
    assert_ok(thin_metadata_alloc(md, n, &chunk, &got, &error));
    assert_ok(thin_metadata_insert(md, device, begin, chunk, got, &error));
    begin += got;
    n -= got;
  }
}

static void test_format(void **state)
{
  ThinMetadata *md = new_pool(*state, 1024, 1000);
  g_autofree char *path = thin_test_path(*state, "meta");
  thin_test_assert_thin_check(path);
  assert_dumps_alike(*state, "meta", md);
  ThinStatus status;
  thin_metadata_status(md, &status);
  assert_int_equal(status.data_size, 1000 * 65536);
  assert_int_equal(status.data_used, 0);
  assert_int_equal(status.metadata_used, (9 + 102) * 4096); /* as the kernel's: 9 blocks in use */
  assert_int_equal(status.n_devices, 0);
  g_autoptr(VtIo) io = thin_test_open(path, FALSE);
  assert_fails(thin_metadata_format(io, THIN_CHUNK_MIN, 1000, &error), EEXIST);
  assert_fails(thin_metadata_create(md, 1 << 24, &error), EINVAL);
  thin_metadata_close(md);
}

static void test_map_and_unmap(void **state)
{
  ThinMetadata *md = new_pool(*state, 1024, 100000);
  assert_ok(thin_metadata_create(md, 1, &error));
  map_some(md, 1, 0, 50000);
  commit_and_judge(*state, md);
  assert_ok(thin_metadata_remove(md, 1, 10, 49990, &error));
  commit_and_judge(*state, md);
  map_some(md, 1, 1000, 30000);
  commit_and_judge(*state, md);
  assert_ok(thin_metadata_remove(md, 1, 0, G_MAXINT64, &error));
  commit_and_judge(*state, md);
  ThinStatus status;
  thin_metadata_status(md, &status);
  assert_int_equal(status.data_used, 0);
  assert_ok(thin_metadata_delete(md, 1, &error));
  assert_fails(thin_metadata_delete(md, 1, &error), ENOENT);
  commit_and_judge(*state, md);
  thin_metadata_status(md, &status);
  assert_int_equal(status.metadata_used, (15 + 102) * 4096); /* 9, and 6 more bitmaps */
  thin_metadata_close(md);
}

static guint64 data_used(ThinMetadata *md)
{
  ThinStatus status;
  thin_metadata_status(md, &status);
  return status.data_used / THIN_CHUNK_MIN;
}

/* Counts of three and more live in a tree of their own: five snapshots, then each is rewritten
 * whole, then all go. */
static void test_many_references(void **state)
{
  ThinMetadata *md = new_pool(*state, 2000, 100000);
  assert_ok(thin_metadata_create(md, 0, &error));
  map_some(md, 0, 0, 5000);
  for (guint32 i = 1; i <= 6; i++)
    assert_ok(thin_metadata_snapshot(md, i, i / 2, &error));
  /* Each device gets leaves of its own by one change in each of them; the chunks in there are then
   * counted seven times.
   */
  for (guint32 i = 0; i <= 6; i++)
    for (guint64 at = 0; at < 5000; at += 80)
      map_some(md, i, at, 1);
  commit_and_judge(*state, md);
  guint32 count;
  assert_ok(thin_data_map_count(md->data, 5, &count, &error));
  assert_int_equal(count, 7);
  for (guint32 i = 0; i <= 6; i++) {
    map_some(md, i, 0, 5000);
    if (i % 2)
      commit_and_judge(*state, md);
  }
  commit_and_judge(*state, md);
  assert_int_equal(data_used(md), 7 * 5000);
  for (guint32 i = 0; i <= 6; i++)
    assert_ok(thin_metadata_delete(md, i, &error));
  commit_and_judge(*state, md);
  assert_int_equal(data_used(md), 0);
  thin_metadata_close(md);
}

/* Hundreds of snapshots of one device: the counts of metadata blocks overflow into their tree,
 * too. */
static void test_many_snapshots(void **state)
{
  ThinMetadata *md = new_pool(*state, 4000, 100000);
  assert_ok(thin_metadata_create(md, 0, &error));
  map_some(md, 0, 0, 20000);
  for (guint32 i = 1; i <= 500; i++)
    assert_ok(thin_metadata_snapshot(md, i, 0, &error));
  commit_and_judge(*state, md);
  for (guint32 i = 1; i <= 500; i++) {
    map_some(md, i, i * 7, 3);
    if (i % 100 == 0)
      commit_and_judge(*state, md);
  }
  for (guint32 i = 1; i <= 500; i++)
    if (i % 10)
      assert_ok(thin_metadata_delete(md, i, &error));
  commit_and_judge(*state, md);
  guint64 exclusive, shared;
  assert_ok(thin_metadata_count_device(md, 10, &exclusive, &shared, &error));
  assert_true(exclusive == 3 && shared == 19997);
  thin_metadata_close(md);
}

/* The number of blocks that a snapshot with its commit writes does not depend on the size of its
 * origin. */
static void test_snapshot_cost(void **state)
{
  ThinMetadata *md = new_pool(*state, 8000, 400000);
  guint64 costs[2];
  assert_ok(thin_metadata_create(md, 1, &error));
  for (guint i = 0; i < 2; i++) {
    map_some(md, 1, i * 1000, i ? 300000 : 1000);
    commit_and_judge(*state, md);
    guint64 before = thin_metadata_map_n_usable(md->tm.map);
    assert_ok(thin_metadata_snapshot(md, 10 + i, 1, &error));
    assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
    costs[i] =
        before - thin_metadata_map_n_usable(md->tm.map); /* nothing: each copy freed the old one */
    assert_ok(thin_metadata_snapshot(md, 20 + i, 1, &error));
    before -= thin_metadata_map_n_usable(
        md->tm.map); /* one each of top and details leaf; the map's own two come with the commit */
    assert_int_equal(before, 2);
    assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  }
  assert_int_equal(costs[0], 0);
  assert_int_equal(costs[1], 0);
  thin_metadata_close(md);
}

static void test_exchange(void **state)
{
  ThinMetadata *md = new_pool(*state, 1000, 10000);
  ThinDevice a, b;
  assert_ok(thin_metadata_create(md, 1, &error));
  map_some(md, 1, 0, 10);
  thin_metadata_set_transaction_id(md, 4);
  assert_ok(thin_metadata_snapshot(md, 2, 1, &error));
  map_some(md, 1, 5, 100);
  assert_ok(thin_metadata_exchange(md, 1, 2, &error));
  commit_and_judge(*state, md);
  assert_ok(thin_metadata_get_device(md, 1, &a, &error));
  assert_ok(thin_metadata_get_device(md, 2, &b, &error));
  assert_int_equal(a.mapped, 10 * THIN_CHUNK_MIN);
  assert_int_equal(a.transaction_id, 4);
  assert_int_equal(b.mapped, 105 * THIN_CHUNK_MIN);
  assert_run(md, 1, 0, 1000, (ThinRun){.end = 5, .mapped = TRUE, .chunk = 0, .shared = TRUE});
  assert_run(md, 2, 105, 1000, (ThinRun){.end = 1000});
  thin_metadata_close(md);
}

/* A volume whose snapshot is gone writes in place again, but not before the commit that took the
 * snapshot away. */
static void test_sharing_ends(void **state)
{
  ThinMetadata *md = new_pool(*state, 1000, 10000);
  assert_ok(thin_metadata_create(md, 1, &error));
  map_some(md, 1, 0, 1000);
  assert_ok(thin_metadata_snapshot(md, 2, 1, &error));
  assert_run(md, 1, 0, 1000, (ThinRun){.end = 1000, .mapped = TRUE, .shared = TRUE});
  map_some(md, 2, 0, 100);
  commit_and_judge(*state, md);
  assert_run(md, 1, 0, 1000, (ThinRun){.end = 100, .mapped = TRUE});
  assert_ok(thin_metadata_delete(md, 2, &error));
  assert_run(md, 1, 100, 1000,
             (ThinRun){.end = 1000, .mapped = TRUE, .chunk = 100, .shared = TRUE});
  commit_and_judge(*state, md);
  assert_run(md, 1, 0, 1000, (ThinRun){.end = 1000, .mapped = TRUE});
  thin_metadata_close(md);
}

static void test_grow(void **state)
{
  ThinMetadata *md = new_pool(*state, 60, 1000);
  g_autofree char *path = thin_test_path(*state, "meta");
  assert_ok(thin_metadata_create(md, 1, &error));
  map_some(md, 1, 0, 1000);
  assert_fails(thin_metadata_grow_data(md, 999, &error), EINVAL);
  assert_fails(thin_metadata_grow_metadata(md, 61, &error), EINVAL); /* the device is no larger */
  assert_ok(thin_metadata_grow_data(md, 200000, &error));
  commit_and_judge(*state, md);
  map_some(md, 1, 1000, 500);
  commit_and_judge(*state, md);
  /* Past one bitmap of metadata. */
  g_autoptr(VtIo) io = thin_test_open(path, FALSE);
  assert_ok(vt_io_grow_file(io, 40000ull * THIN_METADATA_BLOCK, &error));
  thin_metadata_close(md);
  md = thin_metadata_open(io, FALSE, 0, NULL);
  assert_ok(thin_metadata_grow_metadata(md, 40000, &error));
  map_some(md, 1, 1000000, 190000);
  commit_and_judge(*state, md);
  thin_metadata_close(md);
  md = thin_metadata_open(io, FALSE, 0, NULL);
  assert_int_equal(data_used(md), 191500);
  assert_dumps_alike(*state, "meta", md);
  thin_metadata_close(md);
}

static void test_metadata_snapshot(void **state)
{
  ThinMetadata *md = new_pool(*state, 1000, 10000);
  g_autofree char *path = thin_test_path(*state, "meta");
  const char *argv[] = {"thin_dump", "-m", path, NULL};
  assert_ok(thin_metadata_create(md, 1, &error));
  assert_ok(thin_metadata_create(md, 2, &error));
  map_some(md, 1, 0, 1000);
  map_some(md, 2, 0, 1000);
  assert_fails(thin_metadata_release_snapshot(md, &error), ENOENT);
  assert_fails(thin_metadata_reserve_snapshot(md, &error), EINVAL);
  commit_and_judge(*state, md);
  assert_ok(thin_metadata_reserve_snapshot(md, &error));
  assert_fails(thin_metadata_reserve_snapshot(md, &error), EEXIST);
  commit_and_judge(*state, md);
  g_autofree char *before = thin_test_output(argv);
  assert_non_null(strstr(before, "mapped_blocks=\"1000\""));

  map_some(md, 1, 500, 1000);
  assert_ok(thin_metadata_delete(md, 2, &error));
  assert_ok(thin_metadata_create(md, 3, &error));
  commit_and_judge(*state, md);
  g_autofree char *held = thin_test_output(argv);
  assert_string_equal(before, held);
  assert_int_equal(data_used(md), 3000);
  assert_ok(thin_metadata_release_snapshot(md, &error));
  commit_and_judge(*state, md);
  assert_int_equal(data_used(md), 1500);
  thin_metadata_close(md);
}

static void test_time_ends(void **state)
{
  ThinMetadata *md = new_pool(*state, 1000, 10000);
  assert_ok(thin_metadata_create(md, 1, &error));
  md->time = THIN_MAPPING_TIME_MAX - 1;
  assert_ok(thin_metadata_snapshot(md, 2, 1, &error));
  assert_fails(thin_metadata_snapshot(md, 3, 1, &error), EOVERFLOW);
  map_some(md, 2, 0, 10);
  commit_and_judge(*state, md);
  thin_metadata_close(md);
}

/* Nothing changed, nothing written. */
static void test_idle_commit(void **state)
{
  ThinMetadata *md = new_pool(*state, 100, 100);
  assert_ok(thin_metadata_create(md, 1, &error));
  assert_true(thin_metadata_changed(md) && thin_metadata_device_changed(md, 1));
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  assert_false(thin_metadata_changed(md) || thin_metadata_device_changed(md, 1));
  assert_ok(thin_metadata_remove(md, 1, 0, 1000, &error));
  thin_metadata_set_transaction_id(md, 0);
  assert_false(thin_metadata_changed(md));
  thin_metadata_close(md);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, thin_test_setup, thin_test_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_dump_of_kernel_pools),
      TEST(test_recorded_dump),
      TEST(test_status_of_kernel_pool),
      TEST(test_lookup_in_kernel_pool),
      TEST(test_kernel_pool_refused),
      TEST(test_write_to_kernel_pool),
      TEST(test_format),
      TEST(test_map_and_unmap),
      TEST(test_many_references),
      TEST(test_many_snapshots),
      TEST(test_snapshot_cost),
      TEST(test_exchange),
      TEST(test_sharing_ends),
      TEST(test_grow),
      TEST(test_metadata_snapshot),
      TEST(test_time_ends),
      TEST(test_idle_commit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
