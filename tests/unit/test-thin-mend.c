/* virt-thin - tests: leaks and needs_check mended, whatever comes in between
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Seeded pools get counts that are too high: chunks and metadata blocks that nothing uses, others
 * counted once or many times too often, the sum in the superblock, the mark. Mended, they hold what
 * they held, and neither our check nor thin_check has anything to say. Cut off by a power cut or an
 * I/O error at any point they open, hold what they held, and are mended by another attempt.
 */
#include "thin-helper.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define N_BLOCKS 1024u
#define N_CHUNKS 20000u /* two bitmaps */

static void commit(ThinMetadata *md)
{
  md->changed = TRUE;
  thin_test_commit(md);
}

/* Three devices that share, and some counts of 3 and more. */
static void fill(ThinMetadata *md, GRand *rand)
{
  assert_ok(thin_metadata_create(md, 0, &error));
  thin_test_map(md, 0, 0, 3000);
  for (guint32 id = 1; id <= 4; id++) {
    assert_ok(thin_metadata_snapshot(md, id, (guint32)g_rand_int_range(rand, 0, (gint)id), &error));
    for (int i = 0; i < 20; i++)
      thin_test_map(md, id, (guint64)g_rand_int_range(rand, 0, 4000), 1);
    commit(md);
  }
}

static void leak_chunks(ThinMetadata *md, GRand *rand)
{
  for (int i = 0; i < 30; i++) {
    guint64 chunk = (guint64)g_rand_int_range(rand, 0, N_CHUNKS - 20);
    guint64 n = (guint64)g_rand_int_range(rand, 1, 20);
    for (int times = g_rand_int_range(rand, 1, 5); times > 0; times--)
      assert_ok(thin_data_map_inc(md->data, chunk, n, &error));
  }
}

static void leak_blocks(ThinMetadata *md, GRand *rand)
{
  for (int i = 0; i < 40; i++) {
    guint64 block = (guint64)g_rand_int_range(rand, i ? 0 : N_BLOCKS / 2, N_BLOCKS);
    for (int times = g_rand_int_range(rand, 1, 5); times > 0; times--)
      assert_ok(thin_metadata_map_inc(md->tm.map, block, &error));
  }
}

/* What a superblock alone may have wrong. */
static void change_superblock(VtIo *io, gboolean mark, gint64 more_allocated)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  ThinDiskSuperblock *sb = (ThinDiskSuperblock *)(gpointer)block;
  guint64 n;

  assert_ok(thin_superblock_read(io, 0, (guint8 *)block, &error));
  if (mark)
    sb->header.flags |= GUINT32_TO_LE(THIN_SUPERBLOCK_NEEDS_CHECK);
  n = GUINT64_FROM_LE(sb->data_space_map.root.nr_allocated) + (guint64)more_allocated;
  sb->data_space_map.root.nr_allocated = GUINT64_TO_LE(n);
  thin_block_seal((guint8 *)block, 0, THIN_KIND_SUPERBLOCK);
  assert_ok(vt_io_write(io, block, THIN_METADATA_BLOCK, 0, &error));
}

/* What it holds, whatever it counts. */
static char *content(VtIo *io)
{
  g_autoptr(GError) error = NULL;
  ThinMetadata *md = thin_metadata_open(io, TRUE, 0, &error);
  char *dump, *flags;

  assert_no_error(error);
  dump = thin_test_dump(md);
  flags = strstr(dump, "flags=\"");
  flags[7] = '0';
  thin_metadata_close(md);
  return dump;
}

static VtIo *make_pool(ThinTest *test, guint32 seed)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  VtIo *io = thin_test_file(test, "meta", N_BLOCKS * THIN_METADATA_BLOCK);
  ThinMetadata *md;

  assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, N_CHUNKS, &error));
  assert_ok((md = thin_metadata_open(io, FALSE, 0, &error)) != NULL);
  fill(md, rand);
  if (seed % 4 != 1)
    leak_chunks(md, rand);
  if (seed % 4 != 2)
    leak_blocks(md, rand);
  commit(md);
  thin_metadata_close(md);
  change_superblock(io, seed % 3 == 0, seed % 5 == 0 ? g_rand_int_range(rand, -9, 9) : 0);
  return io;
}

static void assert_mended(ThinTest *test, const char *name, const char *held)
{
  g_autofree char *path = thin_test_path(test, name);
  g_autoptr(VtIo) io = thin_test_open(path, TRUE);
  g_autofree char *holds = content(io);

  assert_string_equal(holds, held);
  thin_test_assert_clean(path, TRUE);
  thin_test_assert_thin_check(path);
}

static void test_mended(void **state)
{
  for (guint32 seed = 1; seed <= 20; seed++) {
    g_autoptr(VtIo) io = make_pool(*state, seed);
    g_autofree char *held = content(io);
    g_autoptr(ThinReport) found = NULL, again = NULL;

    assert_ok(thin_mend_leaks(io, 0, &found, &error));
    assert_true(found->leaks->len > 0);
    assert_int_equal(found->needs_check, seed % 3 == 0);
    assert_mended(*state, "meta", held);
    assert_ok(thin_mend_leaks(io, 0, &again, &error));
    assert_int_equal(again->leaks->len, 0);
  }
}

/* One count that is too low is no leak: nothing is written. */
static void test_other_faults_are_refused(void **state)
{
  g_autoptr(VtIo) io = make_pool(*state, 3);
  g_autofree guint8 *before = g_malloc(N_BLOCKS * THIN_METADATA_BLOCK),
                    *after = g_malloc(N_BLOCKS * THIN_METADATA_BLOCK);
  ThinReport *found;
  ThinMetadata *md;
  ThinRun run;

  change_superblock(io, FALSE, 0);
  assert_ok(thin_clear_needs_check(io, 0, &error));
  assert_ok((md = thin_metadata_open(io, FALSE, 0, &error)) != NULL);
  assert_ok(thin_metadata_lookup(md, 0, 2999, 3000, &run, &error));
  guint32 count;
  assert_ok(thin_data_map_count(md->data, run.chunk, &count, &error));
  assert_ok(thin_data_map_lower(md->data, run.chunk, 1, count, &error));
  commit(md);
  thin_metadata_close(md);
  assert_ok(vt_io_read(io, before, N_BLOCKS * THIN_METADATA_BLOCK, 0, &error));
  assert_fails(thin_mend_leaks(io, 0, &found, &error), EBADMSG);
  assert_null(found);
  assert_ok(vt_io_read(io, after, N_BLOCKS * THIN_METADATA_BLOCK, 0, &error));
  assert_memory_equal(before, after, N_BLOCKS * THIN_METADATA_BLOCK);
}

/* What an attempt that did not get to its end has left. */
static void mend_what_is_left(ThinTest *test, const char *name, const char *held)
{
  g_autofree char *path = thin_test_path(test, name);
  g_autoptr(VtIo) io = thin_test_open(path, FALSE);
  g_autofree char *holds = content(io);
  g_autoptr(ThinReport) found = NULL;

  assert_string_equal(holds, held);
  assert_ok(thin_mend_leaks(io, 0, &found, &error));
  thin_test_assert_clean(path, TRUE);
}

static void copy_to(ThinTest *test, const guint8 *bytes, const char *name, int *fd)
{
  g_autofree char *path = thin_test_path(test, name);

  *fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_int_equal(pwrite(*fd, bytes, N_BLOCKS * THIN_METADATA_BLOCK, 0),
                   N_BLOCKS * THIN_METADATA_BLOCK);
}

static void test_power_cuts(void **state)
{
  g_autoptr(VtIo) io = make_pool(*state, 15); /* every kind of leak, the sum, and the mark */
  g_autofree guint8 *bytes = g_malloc(N_BLOCKS * THIN_METADATA_BLOCK);
  g_autofree char *held = content(io);
  g_autoptr(GRand) rand = g_rand_new_with_seed(1);
  g_autoptr(ThinReport) found = NULL;
  VtIoLog *log = vt_io_log_new();
  guint cuts = g_getenv("VIRT_THIN_TEST_LONG") ? 2000 : 200;

  assert_ok(vt_io_read(io, bytes, N_BLOCKS * THIN_METADATA_BLOCK, 0, &error));
  g_autoptr(VtIo) recorder = vt_io_recorder_new(io, log);
  assert_ok(thin_mend_leaks(recorder, 0, &found, &error));
  for (guint cut = 0; cut < cuts; cut++) {
    int fd;
    copy_to(*state, bytes, "cut", &fd);
    assert_ok(vt_io_log_replay(log, 0, cut % (vt_io_log_length(log) + 1), rand, fd, &error));
    close(fd);
    mend_what_is_left(*state, "cut", held);
  }
  print_message("# %u power cuts, after each of %u operations\n", cuts, vt_io_log_length(log));
  vt_io_log_free(log);
}

static void test_io_errors(void **state)
{
  gboolean failed = TRUE;

  for (guint at = 0; failed; at++) {
    g_autoptr(VtIo) io = make_pool(*state, 15);
    g_autofree char *held = content(io);
    g_autoptr(VtIo) failer = vt_io_failer_new(io, VT_IO_READ | VT_IO_WRITE | VT_IO_FLUSH, at, EIO);
    g_autoptr(ThinReport) found = NULL;
    g_autoptr(GError) failure = NULL;

    failed = !thin_mend_leaks(failer, 0, &found, &failure) || vt_io_failer_failed(failer);
    mend_what_is_left(*state, "meta", held);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_mended, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_other_faults_are_refused, thin_test_setup,
                                      thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_power_cuts, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_io_errors, thin_test_setup, thin_test_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
