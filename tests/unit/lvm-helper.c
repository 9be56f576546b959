/* virt-thin - what the tests of src/lvm share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <glib/gstdio.h>

#include "lvm-helper.h"
#include "lvm/metadata-area.h"
#include "util/crc.h"

static void remove_all(const char *path)
{
  GDir *dir = g_dir_open(path, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *child = g_build_filename(path, name, NULL);

    remove_all(child);
  }
  if (dir)
    g_dir_close(dir);
  g_remove(path);
}

static GPtrArray *folders; /* of those that are there: a test that fails leaves by exit() */

static void remove_folders(void)
{
  for (guint i = 0; i < folders->len; i++)
    remove_all(folders->pdata[i]);
  g_ptr_array_unref(folders);
}

char *lvm_test_folder(void)
{
  /* In memory where that is possible: these tests flush thousands of times. */
  char *template = g_strdup("/dev/shm/virt-thin-test.XXXXXX"), *folder = g_mkdtemp(template);

  if (!folder) {
    g_free(template);
    folder = g_dir_make_tmp("virt-thin-test.XXXXXX", NULL);
  }
  assert_non_null(folder);
  if (!folders) {
    folders = g_ptr_array_new_with_free_func(g_free);
    atexit(remove_folders);
  }
  g_ptr_array_add(folders, g_strdup(folder));
  return folder;
}

void lvm_test_clean(char *folder)
{
  remove_all(folder);
  for (guint i = 0; i < folders->len; i++)
    if (strcmp(folders->pdata[i], folder) == 0)
      g_ptr_array_remove_index_fast(folders, i--);
  g_free(folder);
}

char *lvm_test_file(const char *folder, const char *name, guint64 size)
{
  char *path = g_build_filename(folder, name, NULL);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

  assert_true(fd >= 0);
  assert_int_equal(ftruncate(fd, size), 0);
  close(fd);
  return path;
}

static char *fixture_path(const char *name)
{
  const char *top = g_getenv("abs_top_srcdir");

  return g_build_filename(top ? top : TEST_TOP_SRCDIR, "tests", "fixtures", "lvm", name, NULL);
}

char *lvm_test_fixture(const char *folder, const char *fixture)
{
  g_autofree char *gz = g_strconcat(fixture, ".gz", NULL), *from = fixture_path(gz),
                  *buf = g_malloc(MIB);
  guint64 size = g_str_has_prefix(fixture, "06")                                       ? 64 * MIB
                 : g_str_has_prefix(fixture, "02") || g_str_has_prefix(fixture, "04a") ? 128 * MIB
                                                                                       : 256 * MIB;
  char *path = lvm_test_file(folder, fixture, size);
  gzFile in = gzopen(from, "rb");
  int fd = open(path, O_RDWR);

  assert_non_null(in);
  assert_int_equal(gzread(in, buf, MIB), MIB);
  gzclose(in);
  assert_int_equal(pwrite(fd, buf, MIB, 0), MIB);
  close(fd);
  return path;
}

char *lvm_test_read(const char *name, gsize *length)
{
  g_autofree char *path = fixture_path(name);
  char *text;

  assert_true(g_file_get_contents(path, &text, length, NULL));
  return text;
}

char *lvm_test_replace(const char *text, const char *old, const char *new)
{
  g_auto(GStrv) parts = g_strsplit(text, old, -1);

  return g_strjoinv(new, parts);
}

/* Does lvm2's text begin here? A VG's, that is, not an LV's in the middle of one. */
static gboolean is_text(const char *p)
{
  return g_regex_match_simple("^[A-Za-z0-9_+.-]+ \\{\\nid = \"[^\"]+\"\\nseqno = ", p, 0, 0);
}

LvmVg *lvm_test_vg(const char *fixture, const char *from, const char *to)
{
  g_autofree char *text = lvm_test_read(fixture, NULL), *made = lvm_test_replace(text, from, to);
  GError *error = NULL;
  LvmVg *vg = lvm_vg_parse(made, strlen(made), &error);

  assert_ok(vg, error);
  assert_true(strcmp(text, made) != 0 || strcmp(from, to) == 0);
  return vg;
}

GPtrArray *lvm_test_ring_texts(const char *path)
{
  GPtrArray *texts = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *buf = g_malloc0(MIB + 1);
  int fd = open(path, O_RDONLY);

  assert_int_equal(pread(fd, buf, MIB, 0), MIB);
  close(fd);
  for (gsize offset = 4096 + 512; offset < MIB; offset += 512)
    if (is_text(buf + offset))
      g_ptr_array_add(texts, g_strdup(buf + offset));
  return texts;
}

void lvm_test_flip(const char *path, guint64 offset)
{
  int fd = open(path, O_RDWR);
  guint8 byte;

  assert_int_equal(pread(fd, &byte, 1, offset), 1);
  byte ^= 0x20;
  assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
  close(fd);
}

void lvm_test_put(const char *path, guint64 offset, const void *data, gsize length)
{
  int fd = open(path, O_WRONLY);

  assert_true(fd >= 0);
  assert_int_equal(pwrite(fd, data, length, (off_t)offset), length);
  close(fd);
}

void lvm_test_seal_label(guint8 *sector)
{
  guint32 crc = GUINT32_TO_LE(vt_lvm_crc(LVM_CRC_INITIAL, sector + 20, LVM_SECTOR - 20));

  memcpy(sector + 16, &crc, sizeof crc);
}

static void fill_area(VtIo *io, const LvmRange *range, const char *text)
{
  gsize size = text ? strlen(text) + 1 : 0;
  LvmMetadataArea *area = lvm_metadata_area_new(io, range);
  LvmTextPlace place;
  GError *error = NULL;

  if (text)
    assert_ok(lvm_metadata_area_write_text(area, text, size,
                                           vt_lvm_crc(LVM_CRC_INITIAL, text, size), &place, &error),
              error);
  assert_ok(lvm_metadata_area_write_header(area, text ? &place : NULL, NULL, &error), error);
  lvm_metadata_area_free(area);
}

void lvm_test_set_areas(const char *path, const LvmRange *ranges, guint n, const char *text)
{
  VtIo *io = vt_io_open_file(path, FALSE, NULL);
  GError *error = NULL;
  LvmLabel *label;

  assert_ok(lvm_label_read(io, &label, &error), error);
  g_array_set_size(label->metadata_areas, 0);
  g_array_append_vals(label->metadata_areas, ranges, n);
  label->pv_header = 0; /* it is made anew, not patched */
  assert_ok(lvm_label_write(io, label, &error), error);
  lvm_label_free(label);
  for (guint i = 0; i < n; i++)
    fill_area(io, &ranges[i], text);
  vt_io_unref(io);
}

LvmStore *lvm_test_create(const char *folder, guint n, guint64 size, guint64 extent_size,
                          char **paths)
{
  const char *list[4] = {NULL};
  LvmCreate params = {
      .extent_size = extent_size, .metadata_area = 64 * 1024, .no_autoactivate = TRUE};
  GError *error = NULL;
  LvmStore *store;

  for (guint i = 0; i < n; i++) {
    g_autofree char *name = g_strdup_printf("pv%u.img", i);

    list[i] = paths[i] = lvm_test_file(folder, name, size);
  }
  store = lvm_store_create("tvg", list, &params, &error);
  assert_ok(store, error);
  return store;
}

void lvm_test_commit(LvmStore *store, LvmVg *vg)
{
  GError *error = NULL;

  assert_ok(lvm_store_commit(store, vg, NULL, "test", &error), error);
}

void lvm_test_assert_ok(gboolean ok, GError *error, const char *what, const char *file, int line)
{
  if (ok)
    return;
  print_error("%s: %s\n", what, error ? error->message : "no error set");
  _fail(file, line);
}

void lvm_test_assert_error(GError **error, int code, const char *text, const char *file, int line)
{
  if (!*error) {
    print_error("no error, where \"%s\" was expected\n", text);
    _fail(file, line);
    return;
  }
  if ((*error)->domain != VT_ERROR || (*error)->code != code || !strstr((*error)->message, text)) {
    print_error("error %d \"%s\", where %d \"%s\" was expected\n", (*error)->code,
                (*error)->message, code, text);
    _fail(file, line);
  }
  g_clear_error(error);
}

void lvm_test_discard(GError **error, gboolean ok)
{
  if (!ok) {
    assert_non_null(*error);
    assert_true((*error)->domain == VT_ERROR && *(*error)->message);
  }
  g_clear_error(error);
}
