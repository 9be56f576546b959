/* virt-thin - tests of the thin metadata against pools made by the kernel, and against thin-provisioning-tools
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin-helper.h"

static ThinMetadata *
open_fixture(ThinTest *test, const char *name, gboolean read_only)
{
  g_autofree char *path = thin_test_path(test, name);
  g_autoptr(GError) error = NULL;
  thin_test_unpack(name, path);
  g_autoptr(VtIo) io = thin_test_open(path, read_only);
  ThinMetadata *md = thin_metadata_open(io, read_only, 0, &error);
  assert_no_error(error);
  return md;
}

static void
assert_dumps_alike(ThinTest *test, const char *name, ThinMetadata *md)
{
  g_autofree char *path = thin_test_path(test, name), *ours = thin_test_dump(md);
  const char *argv[] = {"thin_dump", path, NULL};
  g_autofree char *theirs = thin_test_output(argv);
  assert_string_equal(ours, theirs);
}

/* --- pools made by the kernel ------------------------------------------------------- */

static void
test_dump_of_kernel_pools(void **state)
{
  static const char *const names[] = {"01-clean", "02-crash", "03a-tid-pool-ahead", "04a-needs-check", "04c-leaked-block",
                                      "05a-out-of-data", "06-delete-msg-pending", "06-msg-pending", "06-snap-made-tid-old"};
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    ThinMetadata *md = open_fixture(*state, names[i], TRUE);
    assert_dumps_alike(*state, names[i], md);
    thin_metadata_close(md);
  }
}

static void
test_recorded_dump(void **state)
{
  ThinMetadata *md = open_fixture(*state, "01-clean", TRUE);
  g_autofree char *ours = thin_test_dump(md), *recorded = NULL;
  g_autofree char *path = g_build_filename(g_getenv("abs_top_srcdir"), "tests/fixtures/thin-metadata/01-clean.xml", NULL);
  assert_ok(g_file_get_contents(path, &recorded, NULL, &error));
  assert_string_equal(ours, recorded);
  thin_metadata_close(md);
}

static void
test_status_of_kernel_pool(void **state)
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

static void
assert_run(ThinMetadata *md, guint32 device, guint64 begin, guint64 end, ThinRun expected)
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

static void
test_lookup_in_kernel_pool(void **state)
{
  ThinMetadata *md = open_fixture(*state, "01-clean", TRUE);
  /* Device 1: 0..15 at 0 since before the snapshots, 16..19 at 88, ... 48..51 was discarded */
  assert_run(md, 1, 0, 4096, (ThinRun) {.end = 16, .mapped = TRUE, .chunk = 0, .shared = TRUE});
  assert_run(md, 1, 4, 10, (ThinRun) {.end = 10, .mapped = TRUE, .chunk = 4, .shared = TRUE});
  assert_run(md, 1, 48, 4096, (ThinRun) {.end = 52});
  assert_run(md, 1, 64, 4096, (ThinRun) {.end = 512});
  assert_run(md, 1, 2560, 4096, (ThinRun) {.end = 2564, .mapped = TRUE, .chunk = 96});
  assert_run(md, 1, 2564, 4096, (ThinRun) {.end = 4096});
  /* Device 2 never had a snapshot */
  assert_run(md, 2, 2, 10, (ThinRun) {.end = 10, .mapped = TRUE, .chunk = 80});
  ThinRun run;
  assert_fails(thin_metadata_lookup(md, 77, 0, 10, &run, &error), ENOENT);
  assert_fails(thin_metadata_create(md, 9, &error), EROFS);
  thin_metadata_close(md);
}

static void
test_kernel_pool_refused(void **state)
{
  g_autofree char *path = thin_test_path(*state, "04a-needs-check");
  thin_test_unpack("04a-needs-check", path);
  g_autoptr(VtIo) io = thin_test_open(path, FALSE);
  assert_fails(thin_metadata_open(io, FALSE, 0, &error), EPERM);
}

static void
test_write_to_kernel_pool(void **state)
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

static ThinMetadata *
new_pool(ThinTest *test, guint64 n_blocks, guint64 n_chunks)
{
  g_autoptr(VtIo) io = thin_test_file(test, "meta", n_blocks * THIN_METADATA_BLOCK);
  g_autoptr(GError) error = NULL;
  assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, n_chunks, &error));
  ThinMetadata *md = thin_metadata_open(io, FALSE, 0, &error);
  assert_no_error(error);
  return md;
}

static void
commit_and_judge(ThinTest *test, ThinMetadata *md)
{
  g_autofree char *path = thin_test_path(test, "meta");
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  thin_test_assert_thin_check(path);
  thin_test_assert_clean(path, TRUE);
  assert_dumps_alike(test, "meta", md);
}

static void
map_some(ThinMetadata *md, guint32 device, guint64 begin, guint64 n)
{
  while (n > 0) {
    guint64 chunk, got;
    assert_ok(thin_metadata_alloc(md, n, &chunk, &got, &error));
    assert_ok(thin_metadata_insert(md, device, begin, chunk, got, &error));
    begin += got;
    n -= got;
  }
}

static void
test_format(void **state)
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

static void
test_map_and_unmap(void **state)
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

int
main(void)
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
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
