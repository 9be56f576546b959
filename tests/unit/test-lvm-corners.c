/* virt-thin - tests: what making and changing volume groups refuses; odd areas, archives, devices
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <utime.h>
#include <glib/gstdio.h>

#include "lvm-helper.h"
#include "lvm/model/vg-private.h"
#include "lvm/store-private.h"
#include "util/crc.h"

#define KIB G_GUINT64_CONSTANT(1024)
#define SIZE (16 * MIB)

static char *folder, *paths[2];

static int setup(void **state)
{
  folder = lvm_test_folder();
  lvm_store_close(lvm_test_create(folder, 2, SIZE, MIB, paths));
  return 0;
}

static int teardown(void **state)
{
  g_free(paths[0]);
  g_free(paths[1]);
  lvm_test_clean(folder);
  return 0;
}

static LvmStore *open_both(gboolean read_only)
{
  const char *both[] = {paths[0], paths[1], NULL};
  GError *error = NULL;
  LvmStore *store = lvm_store_open(both, NULL, read_only, NULL, NULL, &error);

  assert_ok(store, error);
  return store;
}

/* --- making ------------------------------------------------------------------------- */

static void test_create(void **state)
{
  static const struct {
    guint64 extent, area;
    gboolean ok;
  } cases[] = {{2 * KIB, 0, FALSE},         {8192 * MIB, 0, FALSE}, {100 * KIB, 0, FALSE},
               {384 * KIB, 0, TRUE},        {0, 2048 * MIB, FALSE}, {MIB, 64 * KIB, TRUE},
               {192 * KIB, 64 * KIB, FALSE}};
  GError *error = NULL;

  assert_null(lvm_store_create("vg", NULL, NULL, &error));
  assert_error(error, EINVAL, "at least one file");
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *path = lvm_test_file(folder, "new.img", 32 * MIB);
    const char *list[] = {path, NULL};
    LvmCreate params = {.extent_size = cases[i].extent, .metadata_area = cases[i].area};
    LvmStore *store = lvm_store_create("vg", list, &params, &error);

    if (!cases[i].ok)
      assert_error(error, EINVAL, "is not possible");
    assert_int_equal(store != NULL, cases[i].ok);
    lvm_store_close(store);
  }
}

static void test_create_like(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "like.img", 64 * MIB);
  const char *list[] = {path, NULL}, *none[] = {NULL};
  LvmStore *store = open_both(TRUE), *like;
  LvmVg *vg = lvm_store_vg(store);
  GError *error = NULL;

  assert_null(lvm_store_create_like(vg, "a/b", NULL, list, NULL, NULL, &error));
  assert_error(error, EINVAL, "a/b");
  assert_null(lvm_store_create_like(vg, "like", NULL, none, NULL, NULL, &error));
  assert_error(error, EINVAL, "at least one file");
  assert_null(lvm_store_create_like(vg, "like", "no uuid", list, NULL, NULL, &error));
  assert_error(error, EBADMSG, "has no valid id");
  like = lvm_store_create_like(vg, "like", NULL, list, NULL, NULL, &error);
  assert_ok(like, error);
  assert_ok(lvm_store_finish(like, "test", &error), error);
  lvm_store_close(like);
  lvm_store_close(store);
}

/* --- more room ---------------------------------------------------------------------- */

static void test_read_only(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "more.img", SIZE);
  LvmStore *store = open_both(TRUE);
  GError *error = NULL;

  assert_false(lvm_store_add_pv(store, path, NULL, &error));
  assert_error(error, EROFS, "open read-only");
  assert_false(lvm_store_grow_pv(store, paths[0], NULL, &error));
  assert_error(error, EROFS, "open read-only");
  assert_false(lvm_store_grow_pv(store, path, NULL, &error));
  assert_error(error, ENOENT, "is no physical volume of");
  lvm_store_close(store);
}

static void test_no_more(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "more.img", SIZE);
  LvmStore *store = open_both(FALSE);
  GError *error = NULL;
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));

  lvm_section_set_uint(vg->node, "max_pv", 2, NULL);
  lvm_test_commit(store, vg);
  assert_false(lvm_store_add_pv(store, path, NULL, &error));
  assert_error(error, EPERM, "may have 2 physical volumes");
  lvm_test_flip(paths[0], 4096 + 50);
  assert_false(lvm_store_grow_pv(store, paths[0], NULL, &error));
  assert_error(error, ESTALE, "changed by somebody else");
  lvm_test_flip(paths[0], 4096 + 50);
  lvm_store_close(store);
}

/* The files are gone behind its back. */
static void test_files_gone(void **state)
{
  LvmStore *store = open_both(FALSE);
  GError *error = NULL;

  assert_int_equal(unlink(paths[0]), 0);
  assert_false(lvm_store_check_devices(store, &error));
  assert_error(error, EIO, "pv0.img");
  assert_false(lvm_store_grow_pv(store, paths[0], NULL, &error));
  assert_error(error, ENOENT, "pv0.img");
  assert_int_equal(unlink(paths[1]), 0);
  assert_false(lvm_store_grow_file(store, 5, NULL, &error));
  assert_error(error, ENOENT, "is a file");
  lvm_store_close(store);
}

/* --- archives ----------------------------------------------------------------------- */

static void test_archives(void **state)
{
  g_autofree char *dir = g_build_filename(folder, "archive", NULL),
                  *file = lvm_test_file(folder, "file", 10), *other = NULL;
  static const char *const strangers[] = {"tvg_x.vg", "tvg_00001-1.vgx", "tvg_00001-1",
                                          "tvg00001-1.vg", "else"};
  LvmStore *store = open_both(FALSE);
  GError *error = NULL;
  LvmVg *vg;

  for (guint i = 0; i < 3; i++) /* the third time it is another folder */
    assert_ok(lvm_store_commit(store, lvm_vg_copy(lvm_store_vg(store)), i < 2 ? dir : folder, NULL,
                               &error),
              error);
  for (guint i = 0; i < G_N_ELEMENTS(strangers); i++) {
    g_autofree char *path = g_build_filename(dir, strangers[i], NULL);
    assert_true(g_file_set_contents(path, "x", 1, NULL));
  }
  assert_ok(lvm_store_commit(store, lvm_vg_copy(lvm_store_vg(store)), dir, "x", &error), error);
  vg = lvm_vg_copy(lvm_store_vg(store));
  assert_non_null(lvm_vg_add_linear(vg, "new", 1, NULL));
  assert_false(lvm_store_commit(store, vg, file, "x", &error)); /* no folder */
  assert_error(error, ENOTDIR, "its text cannot be archived first");
  other = g_build_filename(folder, "other", NULL);
  assert_ok(lvm_store_commit(store, vg, other, "x", &error), error);
  assert_int_equal(g_rmdir(other), -1);
  lvm_store_close(store);
}

static void put_archive(const char *dir, guint index, gint64 age)
{
  g_autofree char *path = g_strdup_printf("%s/tvg_%05u-1.vg", dir, index);
  struct utimbuf times;

  times.actime = times.modtime = g_get_real_time() / G_USEC_PER_SEC - age;
  assert_true(g_file_set_contents(path, "x", 1, NULL));
  assert_int_equal(g_utime(path, &times), 0);
}

static guint n_in(const char *dir)
{
  g_autoptr(GDir) open = g_dir_open(dir, 0, NULL);
  guint n = 0;

  while (g_dir_read_name(open))
    n++;
  return n;
}

/* Of more than ten those older than thirty days go, whatever order the folder has them in; what is
 * no file is left. The next one has the number behind the highest. */
static void test_old_archives(void **state)
{
  static const guint order[] = {7, 3, 12, 1, 9, 14, 5, 11, 2, 13, 8, 4, 10};
  g_autofree char *dir = g_build_filename(folder, "archive", NULL),
                  *gone = g_build_filename(dir, "tvg_00000-1.vg", NULL);
  const gint64 day = 24 * 3600;
  LvmStore *store = open_both(FALSE);
  GError *error = NULL;

  assert_null(lvm_store_archive_path(store));
  assert_int_equal(g_mkdir(dir, 0700), 0);
  for (guint i = 0; i < G_N_ELEMENTS(order); i++)
    put_archive(dir, order[i], order[i] == 2 ? day : 40 * day);
  assert_int_equal(symlink("nowhere", gone), 0);
  assert_ok(lvm_store_commit(store, lvm_vg_copy(lvm_store_vg(store)), dir, "x", &error), error);
  assert_int_equal(n_in(dir), 14 - 2 + 1); /* of 0 to 3, which are beyond ten, but 0 and 2 */
  assert_non_null(strstr(lvm_store_archive_path(store), "/tvg_00015-"));
  lvm_store_close(store);
}

/* The folder goes while it is in use: a volume is added only where the text before is kept; what
 * adds none goes on. */
static void test_archive_gone(void **state)
{
  g_autofree char *dir = g_build_filename(folder, "archive", NULL);
  LvmStore *store = open_both(FALSE);
  GError *error = NULL;
  guint64 seqno;
  LvmVg *vg;

  assert_ok(lvm_store_commit(store, lvm_vg_copy(lvm_store_vg(store)), dir, "x", &error), error);
  seqno = lvm_vg_seqno(lvm_store_vg(store));
  assert_int_equal(g_unlink(lvm_store_archive_path(store)), 0);
  assert_int_equal(g_rmdir(dir), 0);
  vg = lvm_vg_copy(lvm_store_vg(store));
  assert_non_null(lvm_vg_add_linear(vg, "new", 1, NULL));
  assert_false(lvm_store_commit(store, vg, dir, "x", &error));
  assert_int_equal(vt_error_to_errno(error), ENOENT);
  assert_non_null(strstr(error->message, "its text cannot be archived first"));
  g_clear_error(&error);
  assert_int_equal(lvm_vg_seqno(lvm_store_vg(store)), seqno);
  assert_ok(lvm_store_commit(store, lvm_vg_copy(lvm_store_vg(store)), dir, "x", &error), error);
  assert_int_equal(lvm_vg_seqno(lvm_store_vg(store)), seqno + 1);
  lvm_store_close(store);
}

/* --- areas -------------------------------------------------------------------------- */

/* Texts of many lengths, one behind the other around the ring: each is what is read. */
static void test_ring(void **state)
{
  const LvmRange range = {4096, 64 * KIB};
  g_autofree char *path = lvm_test_file(folder, "ring", MIB), *text = g_malloc0(40 * KIB);
  VtIo *io = vt_io_open_file(path, FALSE, NULL);
  LvmMetadataArea *area = lvm_metadata_area_new(io, &range);
  GError *error = NULL;
  LvmTextPlace place;

  memset(text, 't', 40 * KIB - 1);
  assert_ok(lvm_metadata_area_write_header(area, NULL, NULL, &error), error);
  for (gsize size = 100; size < lvm_metadata_area_max_text(area); size += 611) {
    gsize length;
    const char *end = text + 40 * KIB - size;
    guint32 crc = vt_lvm_crc(LVM_CRC_INITIAL, end, size);
    g_autofree char *back = NULL;

    assert_ok(lvm_metadata_area_write_text(area, end, size, crc, &place, &error), error);
    assert_ok(lvm_metadata_area_write_header(area, &place, NULL, &error), error);
    assert_ok(back = lvm_metadata_area_read_text(area, &length, &error), error);
    assert_string_equal(back, end);
  }
  assert_false(lvm_metadata_area_write_text(area, text, 40 * KIB, 0, &place, &error));
  assert_error(error, ENOSPC, "is full");
  lvm_metadata_area_free(area);
  vt_io_unref(io);
}

/* A header that changes each time it is looked at: somebody writes, or it never comes right. */
typedef struct {
  VtIo io;
  VtIo *base;
  guint left;
} Restless;

static gboolean restless_readv(VtIo *io, const struct iovec *iov, int n, guint64 offset,
                               GError **error)
{
  Restless *restless = (Restless *)io;

  if (!vt_io_readv(restless->base, iov, n, offset, error))
    return FALSE;
  if (restless->left > 0)
    ((guint8 *)iov[0].iov_base)[80] = (guint8)restless->left--;
  return TRUE;
}

static guint64 restless_size(VtIo *io)
{
  return vt_io_size(((Restless *)io)->base);
}

static void restless_free(VtIo *io)
{
  vt_io_unref(((Restless *)io)->base);
  g_free(io);
}

static void test_restless(void **state)
{
  static const VtIoOps ops = {
      .readv = restless_readv, .size = restless_size, .free = restless_free};
  const LvmRange range = {4096, MIB - 4096};

  for (guint n = 3; n < 100; n += 90) {
    Restless *restless = g_new0(Restless, 1);
    LvmMetadataArea *area;
    GError *error = NULL;

    vt_io_init(&restless->io, &ops, "restless", TRUE);
    restless->base = vt_io_open_file(paths[0], TRUE, NULL);
    area = lvm_metadata_area_new(&restless->io, &range);
    vt_io_unref(&restless->io);
    restless->left = n;
    assert_int_equal(lvm_metadata_area_read_header(area, &error), n < 20);
    g_clear_error(&error);
    lvm_metadata_area_free(area);
  }
}

static gboolean note_text(const char *text, gsize length, guint64 offset, gpointer user_data)
{
  GString *found = user_data;

  g_string_append_printf(found, "%.*s ", (int)strcspn(text, " "), text);
  return g_str_has_prefix(text, "last ");
}

/* Which texts there are in an area: those that begin as one does, at a sector, with an end. */
static char *search(guint64 size)
{
  const LvmRange range = {4096, size};
  GString *found = g_string_new(NULL);
  VtIo *io = vt_io_open_file(paths[0], TRUE, NULL);
  LvmMetadataArea *area = lvm_metadata_area_new(io, &range);

  lvm_metadata_area_search(area, note_text, found);
  lvm_metadata_area_free(area);
  vt_io_unref(io);
  return g_string_free(found, FALSE);
}

static void assert_found(guint64 size, const char *names)
{
  g_autofree char *found = search(size);

  assert_string_equal(found, names);
}

static void put_all(guint64 offset, const void *data, gsize length)
{
  int fd = open(paths[0], O_WRONLY);

  assert_true(fd >= 0);
  assert_int_equal(pwrite(fd, data, length, (off_t)offset), length);
  close(fd);
}

static void test_search(void **state)
{
  static const char *const texts[] = {"first {\nid = \"1", " {\nid = \"2",       "a?b {\nid = \"3",
                                      "no {\nno = \"4",    "second {\nid = \"5", "last {\nid = \"6",
                                      "behind {\nid = \"7"};
  g_autofree char *full = g_malloc(64 * KIB), *name = g_strnfill(200, 'n');

  memset(full, 0, 64 * KIB);
  for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
    strcpy(full + 512 * i, texts[i]);
  put_all(4096 + 512, full, 64 * KIB - 512);
  assert_found(64 * KIB, "first second last ");
  assert_found(1024, ""); /* an area without room for a text; one that is larger than any */
  assert_int_equal(truncate(paths[0], 300 * MIB), 0);
  assert_found(290 * MIB, "");
  assert_int_equal(truncate(paths[0], SIZE), 0);
  memset(full, 'x', 64 * KIB); /* nothing ends */
  memcpy(full, "first {\nid = \"", 14);
  put_all(4096 + 512, full, 64 * KIB - 512);
  assert_found(64 * KIB, "");
  memcpy(full, name, 200); /* a name that is longer than any; one that the area's end cuts off */
  memcpy(full + 200, " {\nid = \"", 10);
  put_all(4096 + 512, full, 64 * KIB - 512);
  assert_found(64 * KIB, "");
  put_all(SIZE - 4, "name", 4);
  assert_found(SIZE, "");
}

/* --- devices ------------------------------------------------------------------------ */

/* A PV of the text that is not marked as used (a crash came in between): opening alone, which may
 * end in a refusal further up, leaves it so. */
static void test_unmarked(void **state)
{
  LvmStore *store = open_both(FALSE);
  GError *error = NULL;

  assert_ok(lvm_device_write_label(store->devices->pdata[1], FALSE, &error), error);
  lvm_store_close(store);
  store = open_both(FALSE);
  assert_false(((LvmDevice *)store->devices->pdata[1])->label->used);
  assert_ok(lvm_store_mark_used(store, &error), error);
  lvm_store_close(store);
  store = open_both(TRUE);
  assert_true(((LvmDevice *)store->devices->pdata[1])->label->used);
  lvm_store_close(store);
}

static void test_read_only_volume(void **state)
{
  LvmStore *store = open_both(FALSE);
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
  GError *error = NULL;
  VtIo *io;

  lvm_lv_set_writable(lvm_vg_add_linear(vg, "lin", 3, NULL), FALSE);
  lvm_test_commit(store, vg);
  assert_null(lvm_store_open_lv(store, "lin", FALSE, &error));
  assert_error(error, EROFS, "it is read-only");
  io = lvm_store_open_lv(store, "lin", TRUE, &error);
  assert_ok(io, error);
  vg = lvm_vg_copy(lvm_store_vg(store)); /* it grows while it is open, and goes */
  assert_ok(lvm_lv_allocate(lvm_vg_find_lv(vg, "lin"), 2, &error), error);
  lvm_test_commit(store, vg);
  assert_int_equal(vt_io_size(io), 5 * MIB);
  vg = lvm_vg_copy(lvm_store_vg(store));
  assert_ok(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "lin"), &error), error);
  lvm_test_commit(store, vg);
  vt_io_unref(io);
  lvm_store_close(store);
  lvm_store_close(NULL);
}

/* What is taken is given back; a VG that nobody took is left alone. */
static void test_release(void **state)
{
  LvmStore *store = open_both(FALSE);
  GError *error = NULL;
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));

  assert_ok(lvm_store_release(store, NULL, &error), error);
  assert_int_equal(lvm_vg_seqno(lvm_store_vg(store)), 1);
  lvm_vg_set_tag(vg, "mine", TRUE);
  lvm_vg_set_system_id(vg, "virt-thin.here");
  lvm_test_commit(store, vg);
  assert_ok(lvm_store_release(store, NULL, &error), error); /* nobody's, as no tag says whose */
  assert_null(lvm_vg_system_id(lvm_store_vg(store)));
  lvm_store_close(store);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_create),           TEST(test_create_like),  TEST(test_read_only),
      TEST(test_no_more),          TEST(test_files_gone),   TEST(test_archives),
      TEST(test_old_archives),     TEST(test_archive_gone), TEST(test_ring),
      TEST(test_search),           TEST(test_restless),     TEST(test_unmarked),
      TEST(test_read_only_volume), TEST(test_release),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
