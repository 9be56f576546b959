/* virt-thin - tests of the check of thin metadata: what it finds, and that nothing makes it fall
 * over SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin-helper.h"

#include <unistd.h>

static char *unpack(ThinTest *test, const char *name)
{
  char *path = thin_test_path(test, name);
  thin_test_unpack(name, path);
  return path;
}

static ThinReport *check(const char *path)
{
  g_autoptr(VtIo) io = thin_test_open(path, TRUE);
  g_autoptr(GError) error = NULL;
  ThinReport *report = thin_check(io, 0, &error);
  assert_no_error(error);
  return report;
}

/* One line of @lines has all of @words in it. */
static void assert_line(GPtrArray *lines, const char *const *words)
{
  for (guint i = 0; i < lines->len; i++) {
    guint n = 0;
    while (words[n] && strstr(lines->pdata[i], words[n]))
      n++;
    if (!words[n])
      return;
  }
  fail_msg("none of %u lines has '%s'; the first: %s", lines->len, words[0],
           lines->len ? (char *)lines->pdata[0] : "-");
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* --- pools made by the kernel ------------------------------------------------------- */

static void test_clean(void **state)
{
  static const char *const names[] = {"01-clean",
                                      "02-crash",
                                      "03a-tid-pool-ahead",
                                      "05a-out-of-data",
                                      "06-delete-msg-pending",
                                      "06-msg-pending",
                                      "06-snap-made-tid-old"};
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *path = unpack(*state, names[i]);
    thin_test_assert_clean(path, i == 0);
  }
}

static void test_damaged_leaf(void **state)
{
  g_autofree char *path = unpack(*state, "04b-damaged-leaf");
  g_autoptr(ThinReport) report = check(path);
  assert_line(report->errors,
              WORDS("device 1", "block 148", "virtual chunks from 0 to the end are lost"));
  assert_int_equal(report->errors->len, 1);
  assert_int_equal(report->leaks->len, 0); /* what the lost node maps is no leak */
}

static void test_leaked_chunk(void **state)
{
  g_autofree char *path = unpack(*state, "04c-leaked-block");
  g_autoptr(ThinReport) report = check(path);
  assert_int_equal(report->errors->len, 0);
  assert_line(report->leaks, WORDS("chunk 1500"));
}

static void test_needs_check(void **state)
{
  g_autofree char *path = unpack(*state, "04a-needs-check");
  g_autoptr(ThinReport) report = check(path);
  assert_int_equal(report->errors->len, 1);
  assert_line(report->errors, WORDS("needs_check"));
}

/* --- damage of our own making ------------------------------------------------------- */

static void assert_poke_leaks(ThinTest *test, guint64 number, ThinKind kind, guint offset,
                              guint64 value, guint size, const char *const *words)
{
  g_autofree char *path = unpack(test, "01-clean");
  thin_test_poke(path, number, kind, offset, value, size);
  g_autoptr(ThinReport) report = check(path);
  assert_int_equal(report->errors->len, 0);
  assert_line(report->leaks, words);
}

/* thin_check says nothing of it, nor do we. */
static void assert_poke_silent(ThinTest *test, guint64 number, ThinKind kind, guint offset,
                               guint64 value, guint size)
{
  g_autofree char *path = unpack(test, "01-clean");
  thin_test_poke(path, number, kind, offset, value, size);
  thin_test_assert_thin_check(path);
  thin_test_assert_clean(path, TRUE);
}

static void assert_poke_found(ThinTest *test, guint64 number, ThinKind kind, guint offset,
                              guint64 value, guint size, const char *const *words)
{
  g_autofree char *path = unpack(test, "01-clean");
  thin_test_poke(path, number, kind, offset, value, size);
  g_autoptr(ThinReport) report = check(path);
  assert_line(report->errors, words);
}

static void test_superblock(void **state)
{
  g_autofree char *path = unpack(*state, "01-clean");
  g_autoptr(VtIo) io = thin_test_open(path, FALSE);
  assert_ok(vt_io_write(io, "x", 1, 200, &error));
  g_autoptr(ThinReport) report = check(path);
  assert_line(report->errors, WORDS("block 0", "wrong checksum"));
  assert_fails(thin_metadata_open(io, TRUE, 0, &error), EBADMSG);
  assert_poke_found(*state, 0, THIN_KIND_SUPERBLOCK, 32, 1, 8, WORDS("magic"));
  assert_poke_found(*state, 0, THIN_KIND_SUPERBLOCK, 40, 3, 4, WORDS("version 3"));
  assert_poke_found(*state, 0, THIN_KIND_SUPERBLOCK, 336, 100, 4, WORDS("chunks of 100 sectors"));
  assert_poke_found(*state, 0, THIN_KIND_SUPERBLOCK, 360, 4, 4, WORDS("unknown features"));
  assert_poke_found(*state, 0, THIN_KIND_SUPERBLOCK, 356, 4, 4, WORDS("unknown features"));
  assert_poke_found(*state, 0, THIN_KIND_SUPERBLOCK, 192, G_MAXUINT64, 8, WORDS("cannot be"));
  assert_poke_found(*state, 0, THIN_KIND_SUPERBLOCK, 192, 0, 8, WORDS("cannot be"));
  assert_poke_found(*state, 0, THIN_KIND_SUPERBLOCK, 64, G_MAXUINT64, 8,
                    WORDS("cannot be counted"));
  assert_poke_found(*state, 0, THIN_KIND_SUPERBLOCK, 320, 5000, 8,
                    WORDS("devices from 0 to the end are lost", "5000 of 2048"));
  assert_poke_found(*state, 0, THIN_KIND_SUPERBLOCK, 320, 0, 8,
                    WORDS("devices from 0 to the end are lost"));
  assert_poke_found(*state, 0, THIN_KIND_SUPERBLOCK, 56, 1047, 8, WORDS("metadata snapshot"));
  assert_poke_leaks(*state, 0, THIN_KIND_SUPERBLOCK, 64 + 8, 99, 8,
                    WORDS("99 chunks are in use", "100"));
}

static void test_short(void **state)
{
  g_autofree char *path = unpack(*state, "01-clean");
  assert_int_equal(truncate(path, 1044 * THIN_METADATA_BLOCK), 0);
  g_autoptr(ThinReport) report = check(path);
  assert_line(report->errors, WORDS("has 1044 blocks", "2048"));
  assert_int_equal(truncate(path, 100), 0);
  g_autoptr(ThinReport) report2 = check(path);
  assert_line(report2->errors, WORDS("too short"));
  assert_int_equal(truncate(path, 0), 0);
  assert_int_equal(truncate(path, 1 << 20), 0);
  thin_test_assert_clean(path, TRUE); /* all zero: not formatted yet */
}

static void test_nodes(void **state)
{
  /* leaf 148 is device 1's whole map, 74 entries; 1038 the top leaf, 1040 the details, 1041 the
   * data index */
  assert_poke_found(*state, 148, THIN_KIND_NODE, 16, 4000, 4,
                    WORDS("device 1", "block 148", "more entries than places"));
  assert_poke_found(*state, 148, THIN_KIND_NODE, 20, 100, 4,
                    WORDS("device 1", "block 148", "places for entries"));
  assert_poke_found(*state, 148, THIN_KIND_NODE, 24, 0, 4,
                    WORDS("device 1", "block 148", "wrong size"));
  assert_poke_found(*state, 148, THIN_KIND_NODE, 4, 7, 4,
                    WORDS("device 1", "block 148", "neither leaf nor"));
  assert_poke_found(*state, 148, THIN_KIND_NODE, 40, 9, 8,
                    WORDS("device 1", "block 148", "out of order"));
  assert_poke_found(*state, 148, THIN_KIND_NODE, 4, 1, 4,
                    WORDS("device 1", "lost")); /* its chunks as children */
  assert_poke_found(*state, 148, THIN_KIND_NODE, 0x800, 77777ull << 24, 8,
                    WORDS("device 1", "virtual chunk 0", "chunk 77777 of 1536"));
  assert_poke_found(*state, 148, THIN_KIND_NODE, 0x800, 4, 8,
                    WORDS("device 1", "virtual chunk 0", "time 4"));
  assert_poke_found(*state, 1040, THIN_KIND_NODE, 0x410, 75, 8,
                    WORDS("device 1", "75 chunks mapped", "74"));
  assert_poke_found(*state, 1040, THIN_KIND_NODE, 0x410 + 16, 99, 4,
                    WORDS("device 1", "made at time 99"));
  assert_poke_found(*state, 1040, THIN_KIND_NODE, 0x410 + 20, 99, 4,
                    WORDS("device 1", "last snapshot at 99"));
  assert_poke_found(*state, 1040, THIN_KIND_NODE, 32 + 4 * 8, 1 << 24, 8,
                    WORDS("device details", "device id 16777216"));
  assert_poke_found(*state, 1040, THIN_KIND_NODE, 16, 4, 4, WORDS("device 5", "no details"));
  assert_poke_found(*state, 1038, THIN_KIND_NODE, 16, 4, 4, WORDS("device 5", "no mapping tree"));
  assert_poke_found(*state, 1038, THIN_KIND_NODE, 32 + 4 * 8, 1 << 24, 8,
                    WORDS("device id 16777216"));
  assert_poke_found(*state, 1038, THIN_KIND_NODE, 32 + 4 * 8, G_MAXUINT64 - 1, 8,
                    WORDS("device id 18446744073709551614"));
  assert_poke_found(*state, 1038, THIN_KIND_NODE, 0x800, 1038, 8,
                    WORDS("device 1", "used both as"));
  assert_poke_found(*state, 1038, THIN_KIND_NODE, 4, 1, 4, WORDS("lost"));
}

static void test_space_maps(void **state)
{
  assert_poke_found(*state, 1041, THIN_KIND_NODE, 32 + 168 * 8, 9999, 8,
                    WORDS("bitmap for 0", "9999 of 2048"));
  /* sums in index entries; the metadata's in the superblock; bits behind the last chunk, block */
  assert_poke_silent(*state, 1041, THIN_KIND_NODE, 32 + 168 * 8 + 8, 1, 4);
  assert_poke_silent(*state, 1047, THIN_KIND_INDEX, 16 + 8, 1, 4);
  assert_poke_silent(*state, 0, THIN_KIND_SUPERBLOCK, 192 + 8, 99, 8);
  assert_poke_silent(*state, 1036, THIN_KIND_BITMAP, 16 + 1536 / 4, 0xff, 1);
  assert_poke_silent(*state, 1046, THIN_KIND_BITMAP, 16 + 2048 / 4, 0xff, 1);
  assert_poke_found(*state, 1036, THIN_KIND_BITMAP, 16, 0, 8,
                    WORDS("chunk 0 is used 3 times", "counted 0 times"));
  assert_poke_found(*state, 1046, THIN_KIND_BITMAP, 16 + 148 / 4, 0, 1,
                    WORDS("metadata block 148 is used 1 times", "counted 0"));
  assert_poke_found(*state, 1047, THIN_KIND_INDEX, 16, 1047, 8, WORDS("bitmap for 0", "used both"));
  assert_poke_found(*state, 1047, THIN_KIND_INDEX, 16, 1036, 8,
                    WORDS("bitmap for 0", "another bitmap's, too"));
  assert_poke_found(*state, 0, THIN_KIND_SUPERBLOCK, 192 + 16, 1038, 8,
                    WORDS("metadata space map", "used both"));
}

/* What thin_restore and thin_repair of whatever version write is whole. */
static void test_thin_restore(void **state)
{
  g_autofree char *xml = thin_test_path(*state, "xml"), *restored = thin_test_path(*state, "meta"),
                  *repaired = thin_test_path(*state, "repaired"), *program = NULL;
  const char *const restore[] = {"thin_restore", "-q", "-i", xml, "-o", restored, NULL},
                    *const repair[] = {"thin_repair", "-i", restored, "-o", repaired, NULL};

  if (!(program = g_find_program_in_path("thin_restore")))
    skip();
  for (guint i = 0; i < 4; i++) {
    const guint n_chunks[] = {1000, 1003, 16320, 20000}, n_blocks[] = {1024, 1030, 16320, 17920};
    g_autofree char *text =
        g_strdup_printf("<superblock uuid=\"\" time=\"1\" transaction=\"3\" version=\"2\" "
                        "data_block_size=\"128\" nr_data_blocks=\"%u\">\n"
                        "<device dev_id=\"1\" mapped_blocks=\"900\" transaction=\"0\" "
                        "creation_time=\"0\" snap_time=\"1\">\n<range_mapping origin_begin=\"0\" "
                        "data_begin=\"%u\" length=\"900\" time=\"0\"/></device>\n</superblock>\n",
                        n_chunks[i], n_chunks[i] - 900);

    assert_true(g_file_set_contents(xml, text, -1, NULL));
    vt_io_unref(thin_test_file(*state, "meta", (guint64)n_blocks[i] * THIN_METADATA_BLOCK));
    vt_io_unref(thin_test_file(*state, "repaired", (guint64)n_blocks[i] * THIN_METADATA_BLOCK));
    g_free(thin_test_output(restore));
    g_free(thin_test_output(repair));
    thin_test_assert_clean(restored, TRUE);
    thin_test_assert_clean(repaired, TRUE);
  }
}

/* A tree whose inner node leads back to itself, on a pool large enough to have inner nodes. */
static void test_loop(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "meta", 1024 * THIN_METADATA_BLOCK);
  g_autofree char *path = thin_test_path(*state, "meta");
  g_autoptr(GError) error = NULL;
  guint64 chunk, n;
  assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, 10000, &error));
  ThinMetadata *md = thin_metadata_open(io, FALSE, 0, &error);
  assert_ok(thin_metadata_create(md, 1, &error));
  assert_ok(thin_metadata_alloc(md, 5000, &chunk, &n, &error));
  assert_ok(thin_metadata_insert(md, 1, 0, chunk, n, &error));
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  guint64 root = thin_metadata_find_device(md, 1, NULL)->root;
  thin_metadata_close(md);
  thin_test_assert_clean(path, TRUE);

  thin_test_poke(path, root, THIN_KIND_NODE, 32 + 252 * 8 + 3 * 8, root, 8);
  g_autoptr(ThinReport) report = check(path);
  assert_line(report->errors, WORDS("device 1", "virtual chunks from", "are lost"));
  md = thin_metadata_open(io, TRUE, 0, &error);
  ThinRun run;
  guint lost = 0, found = 0;
  for (guint64 at = 0; at < 6000; at = run.end) {
    g_autoptr(GError) fault = NULL;
    if (thin_metadata_lookup(md, 1, at, 6000, &run, &fault)) {
      found += run.mapped ? (guint)(run.end - at) : 0;
      continue;
    }
    assert_true(g_error_matches(fault, VT_ERROR, EBADMSG));
    assert_true(run.end > at);
    lost += (guint)(run.end - at);
  }
  assert_true(lost >= 84 && lost <= 252);
  assert_int_equal(lost + found, 5000);
  thin_metadata_close(md);
}

/* --- levels ------------------------------------------------------------------------- */

static guint64 last_done, last_total;
static guint n_told;

static void told(guint64 done, guint64 total, gpointer data)
{
  assert_true(done > last_done && done <= total);
  assert_true(n_told == 0 || total == last_total);
  last_done = done;
  last_total = total;
  n_told++;
}

/* Nearly every block is told of, in order. */
static void test_progress(void **state)
{
  const ThinCheckOptions options = {FALSE, told, NULL};
  g_autoptr(VtIo) io = thin_test_file(*state, "large", 32 << 20);
  g_autoptr(ThinReport) report = NULL;
  guint64 chunk, n;
  ThinMetadata *md;

  assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, 500000, &error));
  assert_ok((md = thin_metadata_open(io, FALSE, 0, &error)) != NULL);
  assert_ok(thin_metadata_create(md, 1, &error));
  for (guint64 at = 0; at < 450000; at += n) {
    assert_ok(thin_metadata_alloc(md, 450000 - at, &chunk, &n, &error));
    assert_ok(thin_metadata_insert(md, 1, at, chunk, n, &error));
  }
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  thin_metadata_close(md);
  assert_ok((report = thin_check_as(io, 0, &options, &error)) != NULL);
  assert_int_equal(report->errors->len, 0);
  assert_true(n_told > 0 && last_done + (8 << 20) > last_total);
}

static void damage(const char *path, guint64 block)
{
  g_autoptr(VtIo) io = thin_test_open(path, FALSE);

  assert_ok(vt_io_write(io, "damage", 6, block * THIN_METADATA_BLOCK + 100, &error));
}

static ThinReport *check_quickly(const char *path)
{
  const ThinCheckOptions options = {.quick = TRUE};
  g_autoptr(VtIo) io = thin_test_open(path, TRUE);
  ThinReport *report = NULL;

  assert_ok((report = thin_check_as(io, 0, &options, &error)) != NULL);
  return report;
}

static void assert_quick_errors(ThinTest *test, const char *fixture, gint64 damaged, guint n)
{
  g_autofree char *path = unpack(test, fixture);
  g_autoptr(ThinReport) report = NULL;

  if (damaged >= 0)
    damage(path, (guint64)damaged);
  report = check_quickly(path);
  assert_int_equal(report->errors->len, n);
}

/* Every root, damaged in turn, is noticed; a leaf is not. */
static void test_quick(void **state)
{
  g_autofree char *path = unpack(*state, "01-clean");
  g_autofree ThinDiskSuperblock *sb = g_malloc0(THIN_METADATA_BLOCK);
  g_autoptr(VtIo) io = thin_test_open(path, TRUE);

  assert_ok(thin_superblock_read(io, 0, (guint8 *)sb, &error));
  const guint64 roots[] = {sb->data_mapping_root,
                           sb->device_details_root,
                           sb->data_space_map.root.bitmap_root,
                           sb->data_space_map.root.ref_count_root,
                           sb->metadata_space_map.root.bitmap_root,
                           sb->metadata_space_map.root.ref_count_root,
                           0};
  for (guint i = 0; i < G_N_ELEMENTS(roots); i++)
    assert_quick_errors(*state, "01-clean", (gint64)GUINT64_FROM_LE(roots[i]), 1);
  assert_quick_errors(*state, "01-clean", -1, 0);
  assert_quick_errors(*state, "04a-needs-check", -1, 1);
  assert_quick_errors(*state, "04b-damaged-leaf", -1, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, thin_test_setup, thin_test_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_clean),        TEST(test_damaged_leaf), TEST(test_leaked_chunk),
      TEST(test_needs_check),  TEST(test_superblock),   TEST(test_short),
      TEST(test_nodes),        TEST(test_space_maps),   TEST(test_loop),
      TEST(test_thin_restore), TEST(test_progress),     TEST(test_quick),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
