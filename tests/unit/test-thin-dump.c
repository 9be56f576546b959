/* virt-thin - tests: metadata in words, against thin_dump; and what is damaged of it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin-helper.h"

#include "thin/format/dump.h"

static char *unpack(ThinTest *test, const char *name)
{
  char *path = thin_test_path(test, name);

  thin_test_unpack(name, path);
  return path;
}

/* What thin_dump() prints; NULL: it failed, with *@error. */
static char *dump(const char *path, const ThinDumpOptions *options, GError **error)
{
  g_autoptr(VtIo) io = thin_test_open(path, TRUE);
  char *text = NULL;
  gsize length;
  FILE *out = open_memstream(&text, &length);
  gboolean ok = thin_dump(io, options, out, error);

  fclose(out);
  if (!ok)
    g_clear_pointer(&text, free);
  return text;
}

static void assert_alike(const char *path, const ThinDumpOptions *options, const char *const *argv)
{
  g_autoptr(GError) error = NULL;
  char *ours = dump(path, options, &error);
  g_autofree char *theirs = thin_test_output(argv);

  assert_no_error(error);
  assert_string_equal(ours, theirs);
  free(ours);
}

static void assert_refused(const char *path, const ThinDumpOptions *options, gint code,
                           const char *words)
{
  g_autoptr(GError) error = NULL;

  assert_null(dump(path, options, &error));
  assert_true(g_error_matches(error, VT_ERROR, code));
  assert_non_null(strstr(error->message, words));
}

/* What cannot be read is left out; line @i of what is said to be lost has @words[i]. */
static void assert_lost(const char *path, const char *const *words, const char *left_over)
{
  g_autoptr(GPtrArray) lost = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GError) error = NULL;
  char *text = dump(path, &(ThinDumpOptions){.device = -1, .lost = lost}, &error);

  assert_no_error(error);
  assert_non_null(strstr(text, left_over));
  free(text);
  assert_int_equal(lost->len, g_strv_length((GStrv)words));
  for (guint i = 0; i < lost->len; i++)
    if (!strstr(lost->pdata[i], words[i]))
      fail_msg("'%s' is not in '%s'", words[i], (char *)lost->pdata[i]);
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_whole(void **state)
{
  g_autofree char *path = unpack(*state, "01-clean");

  assert_alike(path, &(ThinDumpOptions){.device = -1}, WORDS("thin_dump", path));
  assert_alike(path, &(ThinDumpOptions){.device = -1, .format = THIN_DUMP_HUMAN},
               WORDS("thin_dump", "-f", "human_readable", path));
  assert_alike(path, &(ThinDumpOptions){.device = -1, .skip_mappings = TRUE},
               WORDS("thin_dump", "--skip-mappings", path));
  assert_alike(path, &(ThinDumpOptions){.device = 2}, WORDS("thin_dump", "--dev-id", "2", path));
}

static void test_refused(void **state)
{
  g_autofree char *path = unpack(*state, "01-clean"), *zero = thin_test_path(*state, "zero");
  const ThinDumpOptions all = {.device = -1}, none = {.device = 77};
  g_autoptr(VtIo) io = thin_test_open(path, TRUE);
  FILE *full = fopen("/dev/full", "w");

  assert_refused(path, &none, ENOENT, "no thin device 77");
  vt_io_unref(thin_test_file(*state, "zero", 64 * THIN_METADATA_BLOCK));
  assert_refused(zero, &all, ENOENT, "holds no thin metadata yet");
  setvbuf(full, NULL, _IONBF, 0);
  assert_fails(thin_dump(io, &all, full, &error), ENOSPC);
  fclose(full);
}

static void test_failing_reads(void **state)
{
  g_autofree char *path = unpack(*state, "01-clean");
  g_autoptr(VtIo) io = thin_test_open(path, TRUE);
  FILE *out = fopen("/dev/null", "w");
  guint at = 0;

  for (gboolean failed = TRUE; failed; at++) {
    g_autoptr(VtIo) failer = vt_io_failer_new(io, VT_IO_READ, at, EIO);
    g_autoptr(GError) error = NULL;
    failed = !thin_dump(failer, &(ThinDumpOptions){.device = -1}, out, &error);
    assert_true(!failed || g_error_matches(error, VT_ERROR, EIO));
  }
  assert_true(at > 8); /* superblock, two trees, a leaf for each of five devices */
  fclose(out);
}

/* 1038 is the leaf of the devices' tree, 1040 that of their details, of five devices each. */
static void test_half_devices(void **state)
{
  const ThinDumpOptions all = {.device = -1};
  g_autofree char *path = unpack(*state, "01-clean");

  thin_test_poke(path, 1040, THIN_KIND_NODE, 16, 4, 4);
  assert_refused(path, &all, EBADMSG, "thin device 5 has no details");
  assert_lost(path, WORDS("thin device 5: it has no details"), "dev_id=\"4\"");
  thin_test_unpack("01-clean", path);
  thin_test_poke(path, 1038, THIN_KIND_NODE, 16, 4, 4);
  assert_refused(path, &all, EBADMSG, "thin device 5 has no map");
  assert_lost(path, WORDS("thin device 5: it has no map"), "dev_id=\"4\"");
  /* of device 1 there are but the details, of device 9 but the map, before and behind the others */
  thin_test_unpack("01-clean", path);
  thin_test_poke(path, 1038, THIN_KIND_NODE, 32, 0, 8);
  assert_lost(path, WORDS("thin device 0: it has no details", "thin device 1: it has no map"),
              "dev_id=\"2\"");
}

static void test_lost_trees(void **state)
{
  const ThinDumpOptions all = {.device = -1};
  g_autofree char *path = unpack(*state, "04b-damaged-leaf");

  assert_refused(path, &all, EBADMSG, "metadata block 148");
  assert_lost(path, WORDS("thin device 1: virtual chunks 0 to the end"), "mapped_blocks=\"0\"");
  thin_test_unpack("01-clean", path);
  thin_test_poke(path, 0, THIN_KIND_SUPERBLOCK, 328, 5000, 8);
  assert_refused(path, &all, EBADMSG, "5000");
  thin_test_unpack("01-clean", path);
  thin_test_poke(path, 0, THIN_KIND_SUPERBLOCK, 320, 5000, 8);
  assert_refused(path, &all, EBADMSG, "5000");
  assert_lost(path,
              WORDS("thin devices 0 to 16777215", "device 1: it has no map", "device 2", "device 3",
                    "device 4", "device 5"),
              "</superblock>");
}

/* A device of several leaves, one of which is damaged: the range that it covered is named. */
static void test_lost_range(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "meta", 1024 * THIN_METADATA_BLOCK);
  g_autofree char *path = thin_test_path(*state, "meta"), *range = NULL;
  guint64 chunk, n, leaf, begin, end;
  ThinMetadata *md;

  assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, 10000, &error));
  assert_ok((md = thin_metadata_open(io, FALSE, 0, &error)) != NULL);
  assert_ok(thin_metadata_create(md, 1, &error));
  assert_ok(thin_metadata_alloc(md, 5000, &chunk, &n, &error));
  assert_ok(thin_metadata_insert(md, 1, 0, chunk, n, &error));
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  ThinBlock *root = thin_cache_get(md->tm.cache, thin_metadata_find_device(md, 1, NULL)->root,
                                   THIN_KIND_NODE, NULL);
  leaf = thin_node_child(root->data, 2);
  begin = thin_node_key(root->data, 2);
  end = thin_node_key(root->data, 3) - 1;
  thin_block_put(root);
  thin_metadata_close(md);
  assert_ok(vt_io_write(io, "damage", 6, leaf * THIN_METADATA_BLOCK + 200, &error));
  range = g_strdup_printf("virtual chunks %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT ": ", begin,
                          end);
  assert_lost(path, WORDS(range), "origin_begin=\"0\"");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, thin_test_setup, thin_test_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_whole),        TEST(test_refused),    TEST(test_failing_reads),
      TEST(test_half_devices), TEST(test_lost_trees), TEST(test_lost_range),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
