/* virt-thin - tests: opening for writing: what changes just then; devices not as the text has them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "lvm-helper.h"
#include "lvm/store-private.h"

#define SIZE (16 * MIB)
#define LABEL 512
#define AREA 4096

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

static LvmStore *open_with(const char *first, const char *second, const char *third,
                           gboolean read_only, LvmOpenFunc open, GError **error)
{
  const char *list[] = {first, second, third, NULL};

  return lvm_store_open(list, "tvg", read_only, open, NULL, error);
}

static LvmStore *open_both(gboolean read_only)
{
  GError *error = NULL;
  LvmStore *store = open_with(paths[0], paths[1], NULL, read_only, NULL, &error);

  assert_ok(store, error);
  return store;
}

static void assert_refused(const char *first, const char *second, const char *third, int code,
                           const char *words)
{
  GError *error = NULL;

  assert_null(open_with(first, second, third, FALSE, NULL, &error));
  assert_error(error, code, words);
}

static void copy(const char *from, const char *to)
{
  g_autofree char *data = NULL;
  gsize length;

  assert_true(g_file_get_contents(from, &data, &length, NULL));
  assert_true(g_file_set_contents(to, data, (gssize)length, NULL));
}

/* --- what changes between the look and the lock ------------------------------------- */

static void (*meddle)(void); /* when the second physical volume is opened */
static guint n_meddled;

static VtIo *open_meddled(const char *path, gboolean read_only, gpointer user_data, GError **error)
{
  if (strcmp(path, paths[1]) == 0) {
    meddle();
    n_meddled++;
  }
  return vt_io_open_file(path, read_only, error);
}

static void write_sector(guint64 offset, const guint8 *sector)
{
  lvm_test_put(paths[1], offset, sector, LVM_SECTOR);
}

static void read_sector(guint64 offset, guint8 *sector)
{
  VtIo *io = vt_io_open_file(paths[1], TRUE, NULL);

  assert_true(vt_io_read(io, sector, LVM_SECTOR, offset, NULL));
  vt_io_unref(io);
}

static void another_label(void)
{
  guint8 sector[LVM_SECTOR];

  read_sector(LABEL, sector);
  memset(sector + 32, 'x', 32);
  lvm_test_seal_label(sector);
  write_sector(LABEL, sector);
}

static void no_label(void)
{
  static const guint8 zeros[LVM_SECTOR];

  write_sector(LABEL, zeros);
}

static void damaged_label(void)
{
  lvm_test_flip(paths[1], LABEL + 40);
}

/* Whole, but not the one before: it points to a text that is not committed, too. */
static void another_header(void)
{
  const LvmRange range = {AREA, MIB - AREA};
  VtIo *io = vt_io_open_file(paths[1], FALSE, NULL);
  LvmMetadataArea *area = lvm_metadata_area_new(io, &range);
  LvmTextPlace place = {.offset = LVM_SECTOR * 20, .size = 100 + n_meddled};

  assert_true(lvm_metadata_area_read_header(area, NULL));
  assert_true(lvm_metadata_area_write_header(area, &area->text, &place, NULL));
  lvm_metadata_area_free(area);
  vt_io_unref(io);
}

/* It is looked at again, and refused for what is found then: @times. */
static void assert_meddled(void (*how)(void), guint times, int code, const char *words)
{
  GError *error = NULL;

  meddle = how;
  n_meddled = 0;
  assert_null(open_with(paths[0], paths[1], NULL, FALSE, open_meddled, &error));
  assert_error(error, code, words);
  assert_int_equal(n_meddled, times);
}

static void test_label_changes(void **state)
{
  assert_meddled(another_label, 1, ENOENT, "physical volume pv1");
}

static void test_label_goes(void **state)
{
  assert_meddled(no_label, 1, EBADMSG, "is gone");
}

static void test_label_is_damaged(void **state)
{
  assert_meddled(damaged_label, 1, EBADMSG, "the label at offset 512 is damaged");
}

static void test_header_changes(void **state)
{
  assert_meddled(another_header, 4, ESTALE, "its metadata has changed just now");
}

/* --- I/O that fails ----------------------------------------------------------------- */

static VtIo *failer; /* the second physical volume */
static guint n_good_reads;

static VtIo *open_failing(const char *path, gboolean read_only, gpointer user_data, GError **error)
{
  g_autoptr(VtIo) base = vt_io_open_file(path, read_only, error);

  if (!base || strcmp(path, paths[1]) != 0)
    return g_steal_pointer(&base);
  return failer = vt_io_failer_new(base, VT_IO_READ, n_good_reads, EIO);
}

/* The label cannot be read, or the header cannot. */
static void test_reading_fails(void **state)
{
  for (n_good_reads = 0; n_good_reads < 2; n_good_reads++) {
    GError *error = NULL;

    assert_null(open_with(paths[0], paths[1], NULL, FALSE, open_failing, &error));
    assert_error(error, EIO, "made to fail");
  }
}

static void test_marking_fails(void **state)
{
  LvmStore *store = open_both(FALSE);
  GError *error = NULL;

  assert_ok(lvm_device_write_label(store->devices->pdata[1], FALSE, &error), error);
  lvm_store_close(store);
  n_good_reads = G_MAXUINT;
  store = open_with(paths[0], paths[1], NULL, FALSE, open_failing, &error);
  assert_ok(store, error);
  vt_io_failer_arm(failer, VT_IO_WRITE, 0, EIO);
  assert_false(lvm_store_mark_used(store, &error));
  assert_error(error, EIO, "made to fail");
  lvm_store_close(store);
}

/* --- which devices ------------------------------------------------------------------ */

/* The PV whose label is damaged is found by its metadata; not where two have that, nor by the
 * metadata of another VG. */
static void test_by_elimination(void **state)
{
  g_autofree char *twin = g_build_filename(folder, "twin.img", NULL),
                  *other = lvm_test_fixture(folder, "01-clean");
  GError *error = NULL;
  LvmStore *store;

  lvm_test_flip(paths[1], LABEL + 40);
  copy(paths[1], twin);
  store = open_with(paths[0], paths[1], NULL, TRUE, NULL, &error);
  assert_ok(store, error);
  assert_int_equal(store->devices->len, 2);
  lvm_store_close(store);
  store = open_with(paths[0], paths[1], twin, TRUE, NULL, &error);
  assert_ok(store, error);
  assert_int_equal(store->devices->len, 1);
  lvm_store_close(store);
  lvm_test_flip(other, LABEL + 40);
  store = open_with(paths[0], other, NULL, TRUE, NULL, &error);
  assert_ok(store, error);
  assert_int_equal(store->devices->len, 1);
  lvm_store_close(store);
  assert_refused(paths[0], other, NULL, EBADMSG, "pv1");
}

/* A further device has what is left of this VG's texts, but none that a header vouches for: it
 * may have been a PV of it, and keeps nobody from what is whole. */
static void test_rests_of_it(void **state)
{
  g_autofree char *rest = g_build_filename(folder, "rest.img", NULL);
  GError *error = NULL;
  LvmStore *store;

  copy(paths[1], rest);
  lvm_test_flip(rest, LABEL + 40);
  assert_refused(paths[0], paths[1], rest, EBADMSG, "the label at offset 512 is damaged");
  lvm_test_flip(rest, AREA + 50);
  store = open_with(paths[0], paths[1], rest, FALSE, NULL, &error);
  assert_ok(store, error);
  assert_int_equal(store->devices->len, 2);
  lvm_store_close(store);
}

/* Another host's VG, of which one PV is not there, and one is a file. */
static void test_foreign_and_missing(void **state)
{
  LvmStore *store = open_both(FALSE);
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));

  g_setenv("LVM_SYSTEM_DIR", folder, TRUE);
  lvm_vg_set_system_id(vg, "somebody.else");
  lvm_test_commit(store, vg);
  lvm_store_close(store);
  assert_refused(paths[1], NULL, NULL, EPERM, "losetup --find --show");
  g_unsetenv("LVM_SYSTEM_DIR");
}

/* --- metadata areas ----------------------------------------------------------------- */

static char *text_of_it(void)
{
  LvmStore *store = open_both(TRUE);
  gsize size;
  char *text = lvm_vg_format(lvm_store_vg(store), &size);

  lvm_store_close(store);
  return text;
}

/* The only device that has its text is not among its PVs any more. */
static void test_no_area(void **state)
{
  g_autofree char *text = text_of_it();
  char *from = strstr(text, "pv0 {"), *to = strstr(text, "pv1 {");
  const LvmRange range = {AREA, MIB - AREA};
  guint64 used, available;
  LvmStore *store;

  assert_true(from && to && from < to);
  memmove(from, to, strlen(to) + 1);
  lvm_test_set_areas(paths[0], &range, 1, text);
  lvm_test_set_areas(paths[1], NULL, 0, NULL);
  assert_refused(paths[0], paths[1], NULL, EBADMSG, "it has no metadata area");
  store = open_both(TRUE);
  lvm_store_metadata_space(store, &used, &available);
  assert_int_equal(available, 0);
  lvm_store_close(store);
}

/* Two areas on one device: the smaller says how long a text can be. */
static void test_two_areas(void **state)
{
  const LvmRange ranges[] = {{AREA, 64 * 1024}, {AREA + 64 * 1024, 256 * 1024}};
  g_autofree char *text = text_of_it();
  guint64 used, available;
  LvmStore *store;

  lvm_test_set_areas(paths[1], ranges, G_N_ELEMENTS(ranges), text);
  store = open_both(FALSE);
  assert_int_equal(store->areas->len, 3);
  lvm_store_metadata_space(store, &used, &available);
  assert_int_equal(available, (64 * 1024 - LVM_SECTOR) / 2 - LVM_SECTOR);
  lvm_test_commit(store, lvm_vg_copy(lvm_store_vg(store)));
  lvm_store_close(store);
  store = open_both(FALSE);
  assert_int_equal(lvm_vg_seqno(lvm_store_vg(store)), 2);
  assert_int_equal(store->areas->len, 3);
  lvm_store_close(store);
}

/* One of two areas has stayed behind, with a text as long as the other's. */
static void test_one_behind(void **state)
{
  g_autofree char *before = g_build_filename(folder, "before", NULL);
  LvmStore *store = open_both(FALSE);
  gsize size;

  lvm_test_commit(store, lvm_vg_copy(lvm_store_vg(store)));
  copy(paths[1], before);
  size = store->text_size;
  lvm_test_commit(store, lvm_vg_copy(lvm_store_vg(store)));
  assert_int_equal(store->text_size, size);
  assert_false(lvm_store_is_untidy(store));
  lvm_store_close(store);
  copy(before, paths[1]);
  store = open_both(FALSE);
  assert_int_equal(lvm_vg_seqno(lvm_store_vg(store)), 3);
  assert_true(lvm_store_is_untidy(store));
  lvm_test_commit(store, lvm_vg_copy(lvm_store_vg(store)));
  lvm_store_close(store);
  store = open_both(FALSE);
  assert_false(lvm_store_is_untidy(store));
  lvm_store_close(store);
}

/* What the last commit left is made durable before the next goes on; where that fails, nothing is
 * written over. */
static void test_settling_fails(void **state)
{
  const LvmRange range = {AREA, MIB - AREA};
  const VtIoKinds kinds[] = {VT_IO_WRITE, VT_IO_FLUSH};
  GError *error = NULL;
  LvmStore *store;
  LvmVg *vg;

  lvm_store_close(open_both(FALSE));
  lvm_test_set_areas(paths[0], &range, 1, NULL); /* which has no text to be settled */
  n_good_reads = G_MAXUINT;
  store = open_with(paths[0], paths[1], NULL, FALSE, open_failing, &error);
  assert_ok(store, error);
  assert_true(lvm_store_is_untidy(store));
  vg = lvm_vg_copy(lvm_store_vg(store));
  for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
    vt_io_failer_arm(failer, kinds[i], 0, EIO);
    assert_false(lvm_store_commit(store, vg, NULL, "x", &error));
    assert_error(error, EIO, "made to fail");
    assert_int_equal(vt_io_failer_failed(failer), i + 1);
    assert_true(lvm_store_is_untidy(store));
  }
  vt_io_failer_arm(failer, 0, 0, EIO);
  lvm_test_commit(store, vg);
  assert_false(lvm_store_is_untidy(store));
  lvm_store_close(store);
  lvm_store_close(open_both(FALSE));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_label_changes),  TEST(test_label_goes),    TEST(test_label_is_damaged),
      TEST(test_header_changes), TEST(test_reading_fails), TEST(test_marking_fails),
      TEST(test_by_elimination), TEST(test_rests_of_it),   TEST(test_foreign_and_missing),
      TEST(test_no_area),        TEST(test_two_areas),     TEST(test_one_behind),
      TEST(test_settling_fails),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
