/* virt-thin - what the tests of the thin metadata share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin-helper.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>
#include <zlib.h>

int thin_test_setup(void **state)
{
  ThinTest *test = g_new0(ThinTest, 1);
  /* Thousands of small commits: memory is kinder to them than a disk. */
  const char *base = g_access("/dev/shm", W_OK) == 0 ? "/dev/shm" : g_get_tmp_dir();
  test->folder = g_build_filename(base, "virt-thin-test-XXXXXX", NULL);
  assert_non_null(g_mkdtemp(test->folder));
  *state = test;
  return 0;
}

int thin_test_teardown(void **state)
{
  ThinTest *test = *state;
  g_autoptr(GDir) dir = g_dir_open(test->folder, 0, NULL);
  const char *name;
  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *path = g_build_filename(test->folder, name, NULL);
    g_unlink(path);
  }
  g_rmdir(test->folder);
  g_free(test->folder);
  g_free(test);
  return 0;
}

char *thin_test_path(ThinTest *test, const char *name)
{
  return g_build_filename(test->folder, name, NULL);
}

void thin_test_unpack(const char *name, const char *path)
{
  g_autofree char *file = g_strconcat(name, ".gz", NULL);
  const char *top = g_getenv("abs_top_srcdir");
  g_autofree char *source =
      g_build_filename(top ? top : "..", "tests/fixtures/thin-metadata", file, NULL);
  static guint8 buffer[1 << 16];
  gzFile in = gzopen(source, "rb");
  int out = g_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600), n;

  if (!in || out < 0)
    fail_msg("%s: cannot be unpacked to %s", source, path);
  while ((n = gzread(in, buffer, sizeof buffer)) > 0)
    assert_int_equal(write(out, buffer, (size_t)n), n);
  assert_int_equal(n, 0);
  gzclose(in);
  close(out);
}

VtIo *thin_test_open(const char *path, gboolean read_only)
{
  g_autoptr(GError) error = NULL;
  VtIo *io = vt_io_open_file(path, read_only, &error);
  assert_no_error(error);
  return io;
}

VtIo *thin_test_file(ThinTest *test, const char *name, guint64 size)
{
  g_autofree char *path = thin_test_path(test, name);
  int fd = g_open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(ftruncate(fd, (off_t)size), 0);
  close(fd);
  return thin_test_open(path, FALSE);
}

void thin_test_poke(const char *path, guint64 number, ThinKind kind, guint offset, guint64 value,
                    guint size)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  g_autoptr(VtIo) io = thin_test_open(path, FALSE);

  value = GUINT64_TO_LE(value);
  assert_ok(vt_io_read(io, block, sizeof block, number * sizeof block, &error));
  memcpy((guint8 *)block + offset, &value, size);
  thin_block_seal((guint8 *)block, number, kind);
  assert_ok(vt_io_write(io, block, sizeof block, number * sizeof block, &error));
}

char *thin_test_output(const char *const *argv)
{
  g_autofree char *errors = NULL;
  g_autoptr(GError) error = NULL;
  char *output = NULL;
  int status;

  g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, &errors,
               &status, &error);
  assert_no_error(error);
  if (!g_spawn_check_wait_status(status, &error) || *errors)
    fail_msg("%s: %s%s%s", argv[0], error ? error->message : "", output, errors);
  return output;
}

void thin_test_assert_thin_check(const char *path)
{
  const char *argv[] = {"thin_check", "-q", path, NULL};
  g_autofree char *output = thin_test_output(argv);
  if (*output)
    fail_msg("thin_check: %s", output);
}

/* --- dump --------------------------------------------------------------------------- */

typedef struct {
  GString *xml;
  guint64 begin, chunk, n;
  guint32 time;
} Range;

static void end_range(Range *range)
{
  if (range->n == 1)
    g_string_append_printf(range->xml,
                           "    <single_mapping origin_block=\"%" G_GUINT64_FORMAT
                           "\" data_block=\"%" G_GUINT64_FORMAT "\" time=\"%u\"/>\n",
                           range->begin, range->chunk, range->time);
  else if (range->n > 1)
    g_string_append_printf(range->xml,
                           "    <range_mapping origin_begin=\"%" G_GUINT64_FORMAT
                           "\" data_begin=\"%" G_GUINT64_FORMAT "\" length=\"%" G_GUINT64_FORMAT
                           "\" time=\"%u\"/>\n",
                           range->begin, range->chunk, range->n, range->time);
  range->n = 0;
}

static void dump_mapping(Range *range, guint64 key, guint64 value)
{
  guint64 chunk = THIN_MAPPING_CHUNK(value);
  guint32 time = THIN_MAPPING_TIME(value);
  if (range->n &&
      (key != range->begin + range->n || chunk != range->chunk + range->n || time != range->time))
    end_range(range);
  if (range->n++ == 0) {
    range->begin = key;
    range->chunk = chunk;
    range->time = time;
  }
}

static void dump_device(ThinMetadata *md, guint32 id, GString *xml)
{
  g_autoptr(GError) error = NULL;
  ThinMetadataDevice *device = thin_metadata_find_device(md, id, &error);
  ThinBtree tree = thin_metadata_device_tree(md);
  Range range = {.xml = xml};
  guint64 key = 0;

  assert_no_error(error);
  g_string_append_printf(
      xml,
      "  <device dev_id=\"%u\" mapped_blocks=\"%" G_GUINT64_FORMAT
      "\" transaction=\"%" G_GUINT64_FORMAT "\" creation_time=\"%u\" snap_time=\"%u\">\n",
      id, device->mapped, device->transaction_id, device->creation_time, device->snapshotted_time);
  do {
    g_auto(ThinLeaf) leaf = {0};
    thin_btree_seek(&tree, device->root, key, &leaf, &error);
    assert_no_error(error);
    for (guint i = leaf.first; i < leaf.n; i++)
      dump_mapping(&range, thin_leaf_key(&leaf, i), thin_leaf_u64(&leaf, i));
    key = leaf.upper;
  } while (key != G_MAXUINT64);
  end_range(&range);
  g_string_append(xml, "  </device>\n");
}

char *thin_test_dump(ThinMetadata *md)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) devices = thin_metadata_list_devices(md, &error);
  GString *xml = g_string_new(NULL);
  ThinStatus status;

  assert_no_error(error);
  thin_metadata_status(md, &status);
  g_string_append_printf(xml,
                         "<superblock uuid=\"\" time=\"%u\" transaction=\"%" G_GUINT64_FORMAT
                         "\" flags=\"%d\" "
                         "version=\"2\" data_block_size=\"%" G_GUINT64_FORMAT
                         "\" nr_data_blocks=\"%" G_GUINT64_FORMAT "\">\n",
                         status.time, status.transaction_id, status.needs_check,
                         status.chunk_size / 512, thin_metadata_n_chunks(md));
  for (guint i = 0; i < devices->len; i++)
    dump_device(md, g_array_index(devices, ThinDevice, i).id, xml);
  g_string_append(xml, "</superblock>\n");
  return g_string_free(xml, FALSE);
}

void thin_test_assert_clean(const char *path, gboolean no_leaks)
{
  g_autoptr(VtIo) io = thin_test_open(path, TRUE);
  g_autoptr(GError) error = NULL;
  g_autoptr(ThinReport) report = thin_check(io, 0, &error);
  assert_no_error(error);
  if (report->errors->len)
    fail_msg("%u errors, the first: %s", report->errors->len, (char *)report->errors->pdata[0]);
  if (no_leaks && report->leaks->len)
    fail_msg("%u leaks, the first: %s", report->leaks->len, (char *)report->leaks->pdata[0]);
}

void thin_test_commit(ThinMetadata *md)
{
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  thin_metadata_freed_done(md);
}

gboolean thin_test_try_map(ThinMetadata *md, guint32 id, guint64 begin, guint64 n, GError **error)
{
  for (guint64 chunk, got; n > 0; begin += got, n -= got)
    if (!thin_metadata_alloc(md, n, &chunk, &got, error) ||
        !thin_metadata_insert(md, id, begin, chunk, got, error))
      return FALSE;
  return TRUE;
}

void thin_test_map(ThinMetadata *md, guint32 id, guint64 begin, guint64 n)
{
  assert_ok(thin_test_try_map(md, id, begin, n, &error));
}

void thin_test_change(ThinMetadata *md, GRand *rand, guint32 id, guint64 n_chunks)
{
  guint64 begin = (guint64)g_rand_int_range(rand, 0, (gint32)n_chunks - 100),
          n = (guint64)g_rand_int_range(rand, 1, 100);

  if (g_rand_int_range(rand, 0, 3) > 0)
    thin_test_map(md, id, begin, n);
  else
    assert_ok(thin_metadata_remove(md, id, begin, begin + n, &error));
}
