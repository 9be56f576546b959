/* virt-thin - tests: labels, areas and texts written anew; a pool that gets other metadata
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "lvm-helper.h"
#include "lvm/model/vg-private.h"
#include "lvm/store-private.h"
#include "lvm/texts.h"

#define SIZE (32 * MIB)

static char *folder, *paths[2];
static LvmVg *vg; /* as it was committed */

static int setup(void **state)
{
  LvmStore *store;

  folder = lvm_test_folder();
  store = lvm_test_create(folder, 2, SIZE, MIB, paths);
  vg = lvm_vg_copy(lvm_store_vg(store));
  assert_non_null(lvm_vg_add_linear(vg, "lin", 20, NULL));
  lvm_test_commit(store, vg);
  vg = lvm_vg_copy(lvm_store_vg(store));
  lvm_store_close(store);
  return 0;
}

static int teardown(void **state)
{
  g_free(paths[0]);
  g_free(paths[1]);
  lvm_vg_free(vg);
  lvm_test_clean(folder);
  return 0;
}

static void wipe(const char *path, guint64 offset, gsize length)
{
  g_autofree char *zeros = g_malloc0(length);
  int fd = open(path, O_WRONLY);

  assert_int_equal(pwrite(fd, zeros, length, (off_t)offset), length);
  close(fd);
}

static LvmProbe *probe_all(void)
{
  const char *all[] = {paths[0], paths[1], NULL};

  return lvm_probe(all, NULL, NULL, NULL);
}

static LvmStore *open_mending(GError **error)
{
  g_autoptr(LvmProbe) probe = probe_all();
  g_autoptr(LvmStore) look = lvm_store_open_as(probe, vg); /* which takes PVs without a label */

  assert_non_null(look);
  return lvm_store_open_mending(probe, vg, NULL, NULL, error);
}

static void mend(void)
{
  GError *error = NULL;
  LvmStore *store = open_mending(&error);

  assert_ok(store, error);
  assert_ok(lvm_store_mend(store, lvm_vg_copy(vg), NULL, "test", &error), error);
  lvm_store_close(store);
}

static void assert_refused(int code, const char *words)
{
  GError *error = NULL;

  assert_null(open_mending(&error));
  assert_error(error, code, words);
}

static void assert_whole_with(guint n_areas)
{
  const char *all[] = {paths[1], paths[0], NULL};
  GError *error = NULL;
  LvmStore *store = lvm_store_open(all, "tvg", FALSE, NULL, NULL, &error);

  assert_ok(store, error);
  assert_non_null(lvm_vg_find_lv(lvm_store_vg(store), "lin"));
  assert_int_equal(store->areas->len, n_areas);
  for (guint i = 0; i < store->devices->len; i++)
    assert_true(((LvmDevice *)store->devices->pdata[i])->label->used);
  lvm_store_close(store);
}

static void assert_whole(void)
{
  assert_whole_with(2);
}

/* --- what is damaged ---------------------------------------------------------------- */

static void test_headers(void **state)
{
  g_autoptr(LvmProbe) before = probe_all(), probe = NULL;

  assert_true(lvm_probe_has_text(before, "tvg"));
  for (guint i = 0; i < 2; i++)
    wipe(paths[i], 4096, 512);
  probe = probe_all();
  assert_false(lvm_probe_has_text(probe, "other"));
  mend();
  assert_whole();
}

static void test_label(void **state)
{
  wipe(paths[1], 512, 512);
  mend();
  assert_whole();
}

/* The label's, and the header's: what the area was is not known, but the other PV's is. */
static void test_label_and_header(void **state)
{
  wipe(paths[1], 0, 4096 + 512);
  mend();
  {
    const char *all[] = {paths[0], paths[1], NULL};
    GError *error = NULL;
    g_autoptr(LvmStore) store = lvm_store_open(all, "tvg", TRUE, NULL, NULL, &error);

    assert_ok(store, error);
  }
}

/* A label that is whole but for what it says of further areas. */
static void test_impossible_areas(void **state)
{
  const LvmRange further[] = {{3072, 0}, {(4ULL << 30) + 2, 0}};
  GError *error = NULL;
  LvmStore *store = open_mending(&error);
  LvmDevice *device;

  assert_ok(store, error);
  device = store->devices->pdata[1];
  g_array_append_vals(device->label->metadata_areas, further, G_N_ELEMENTS(further));
  device->label->pv_header = 0; /* it is made anew, not patched */
  assert_ok(lvm_device_write_label(device, TRUE, &error), error);
  lvm_store_close(store);
  mend();
  assert_whole();
}

/* A label that is not whole, with further areas: within the first, too small, among the extents,
 * and beyond the end of the device. */
static void test_areas_that_are_none(void **state)
{
  const LvmRange ranges[] = {
      {4096, MIB - 4096}, {8192, 64 * 1024}, {2048, 2048}, {4 * MIB, MIB}, {40 * MIB, MIB}};
  g_autofree char *text = lvm_vg_format(vg, NULL);

  lvm_test_set_areas(paths[1], ranges, 1, text);
  {
    VtIo *io = vt_io_open_file(paths[1], FALSE, NULL);
    GError *error = NULL;
    LvmLabel *label;

    assert_ok(lvm_label_read(io, &label, &error), error);
    g_array_append_vals(label->metadata_areas, ranges + 1, G_N_ELEMENTS(ranges) - 1);
    label->pv_header = 0;
    assert_ok(lvm_label_write(io, label, &error), error);
    lvm_label_free(label);
    vt_io_unref(io);
  }
  mend();
  assert_whole();
}

/* The label says that the device is larger than it is; all extents are there. */
static void test_size_of_label(void **state)
{
  GError *error = NULL;
  LvmStore *store = open_mending(&error);
  LvmDevice *device;

  assert_ok(store, error);
  device = store->devices->pdata[1];
  device->label->device_size = SIZE + MIB;
  assert_ok(lvm_device_write_label(device, TRUE, &error), error);
  lvm_store_close(store);
  mend();
  assert_whole();
}

/* The first is without, and the second has one that tells of the VG: it stays the only one. */
static void test_first_without(void **state)
{
  wipe(paths[0], 0, 4096 + 512);
  mend();
  assert_whole_with(1);
}

static void test_unused_label(void **state)
{
  GError *error = NULL;
  LvmStore *store = open_mending(&error);

  assert_ok(store, error);
  assert_ok(lvm_device_write_label(store->devices->pdata[1], FALSE, &error), error);
  lvm_store_close(store);
  mend();
  assert_whole();
}

/* What is left of the headers of areas that no label tells of any more is written over. */
static void test_labels_and_headers(void **state)
{
  wipe(paths[0], 0, 4096 + 16);
  wipe(paths[1], 0, 4096 + 16);
  mend();
  assert_whole_with(1);
}

/* Which of two that are as large was it? The one where it was last seen; else none. */
static void test_two_without_label(void **state)
{
  g_autoptr(LvmProbe) probe = NULL;
  g_autoptr(LvmStore) store = NULL;
  g_autofree char *moved = g_build_filename(folder, "moved", NULL),
                  *other = g_build_filename(folder, "other", NULL);

  wipe(paths[0], 0, 8192);
  wipe(paths[1], 0, 8192);
  mend(); /* they are where they were, and as large; where an area was only one still tells */
  assert_whole_with(1);
  wipe(paths[0], 0, 8192);
  wipe(paths[1], 0, 8192);
  assert_int_equal(g_rename(paths[0], moved), 0);
  assert_int_equal(g_rename(paths[1], other), 0);
  {
    const char *all[] = {moved, other, NULL};

    probe = lvm_probe(all, NULL, NULL, NULL);
  }
  store = lvm_store_open_as(probe, vg);
  assert_true(g_strv_length((char **)lvm_store_warnings(store)) > 0);
}

static gboolean takes(guint pv, guint place)
{
  const char *there[] = {paths[place], NULL};
  g_autoptr(LvmProbe) probe = lvm_probe(there, NULL, NULL, NULL);
  g_autoptr(LvmStore) store = lvm_store_open_as(probe, vg);

  return lvm_store_device(store, lvm_pv_uuid(vg->pvs->pdata[pv])) != NULL;
}

/* One of two that are as large has no label, and the other is not there: it is the one that was
 * last seen where it is, and no other. */
static void test_one_missing_one_without_label(void **state)
{
  wipe(paths[0], 0, 8192);
  wipe(paths[1], 0, 8192);
  for (guint i = 0; i < 2; i++) {
    assert_true(takes(i, i));
    assert_false(takes(1 - i, i));
  }
}

/* --- what is refused ---------------------------------------------------------------- */

static void test_missing(void **state)
{
  assert_int_equal(unlink(paths[1]), 0);
  assert_refused(ENOENT, "of volume group tvg is missing");
}

/* Nor is the other one whole: it is not written to. */
static void test_missing_beside_damage(void **state)
{
  wipe(paths[0], 0, 8192);
  assert_int_equal(unlink(paths[1]), 0);
  assert_refused(ENOENT, "of volume group tvg is missing");
  {
    g_autoptr(LvmProbe) probe = probe_all();

    assert_int_equal(probe->devices->len, 0);
  }
}

/* The labels are whole, and tell of no area; or are gone, and before the extents there is no room
 * for one. */
static void test_no_area(void **state)
{
  lvm_test_set_areas(paths[0], NULL, 0, NULL);
  lvm_test_set_areas(paths[1], NULL, 0, NULL);
  assert_refused(EBADMSG, "volume group tvg has no metadata area");
  for (guint i = 0; i < 2; i++) {
    LvmPv *pv = vg->pvs->pdata[i];

    wipe(paths[i], 0, 8192);
    lvm_section_set_uint(pv->node, "pe_start", 15, NULL);
  }
  assert_refused(EBADMSG, "volume group tvg has no metadata area");
}

static VtIo *failers[2];

static VtIo *open_failing(const char *path, gboolean read_only, gpointer n_good_reads,
                          GError **error)
{
  g_autoptr(VtIo) base = vt_io_open_file(path, read_only, error);

  return base ? failers[strcmp(path, paths[1]) == 0] =
                    vt_io_failer_new(base, VT_IO_READ, GPOINTER_TO_UINT(n_good_reads), EIO)
              : NULL;
}

/* The header is read, the label is not. */
static void test_reading_fails(void **state)
{
  g_autoptr(LvmProbe) probe = probe_all();
  GError *error = NULL;

  assert_null(lvm_store_open_mending(probe, vg, open_failing, GUINT_TO_POINTER(1), &error));
  assert_error(error, EIO, "made to fail");
}

/* Labels are written before the text is: where one cannot be, there is no commit. */
static void test_writing_fails(void **state)
{
  g_autoptr(LvmProbe) probe = NULL;
  g_autoptr(LvmVg) mended = lvm_vg_copy(vg);
  GError *error = NULL;
  LvmStore *store;

  wipe(paths[1], 512, 512);
  probe = probe_all();
  store = lvm_store_open_mending(probe, vg, open_failing, GUINT_TO_POINTER(G_MAXUINT), &error);
  assert_ok(store, error);
  vt_io_failer_arm(failers[1], VT_IO_WRITE, 0, EIO);
  assert_false(lvm_store_mend(store, mended, NULL, "test", &error));
  assert_error(error, EIO, "made to fail");
  assert_int_equal(lvm_vg_seqno(lvm_store_vg(store)), lvm_vg_seqno(vg));
  lvm_store_close(store);
  mend();
  assert_whole();
}

static void test_truncated(void **state)
{
  assert_int_equal(truncate(paths[1], SIZE - MIB), 0);
  assert_refused(EBADMSG, "has been truncated");
}

static void test_in_use(void **state)
{
  const char *all[] = {paths[0], paths[1], NULL};
  GError *error = NULL;
  LvmStore *store = lvm_store_open(all, "tvg", FALSE, NULL, NULL, &error);

  assert_ok(store, error);
  assert_refused(EBUSY, "in use by");
  lvm_store_close(store);
}

static void test_not_ours(void **state)
{
  lvm_vg_set_system_id(vg, "somebody.else");
  assert_refused(EPERM, "volume group tvg cannot be changed");
  lvm_vg_set_system_id(vg, NULL);
  lvm_vg_set_flag(vg, "NOBODY_KNOWS", TRUE);
  lvm_section_change_word(vg->node, "status", "EXPORTED", TRUE, NULL);
  assert_refused(EPERM, "volume group tvg cannot be changed");
}

/* --- texts -------------------------------------------------------------------------- */

static void save(const char *dir, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename(dir, name, NULL);

  assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* A folder with what lvm2 keeps of this VG and of others, and with what is no text. */
static void test_folders(void **state)
{
  g_autofree char *dir = g_build_filename(folder, "backup", NULL),
                  *nowhere = g_build_filename(folder, "nowhere", NULL),
                  *text = lvm_vg_format(vg, NULL), *other = lvm_test_replace(text, "tvg", "pvg"),
                  *sub = g_build_filename(dir, "tvg_00002-1.vg", NULL);
  const char *const dirs[] = {dir, nowhere, paths[0], NULL};
  g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free), texts = NULL;
  g_autoptr(LvmProbe) probe = probe_all();
  LvmText *newest;

  assert_int_equal(g_mkdir(dir, 0700), 0);
  assert_int_equal(g_mkdir(sub, 0700), 0); /* no file */
  save(dir, "tvg", text);
  save(dir, "tvg.vg", text);
  save(dir, "tvg_00007-5.vg", other);
  save(dir, "tvg_00008-5.vg", "nothing {");
  save(dir, "tvg_00009-5.old", text);
  save(dir, "tvgs", text);
  save(dir, "else", text);
  texts = lvm_texts_find(probe, "tvg", dirs, problems);
  newest = texts->pdata[0];
  assert_int_equal(newest->kind, LVM_TEXT_COMMITTED);
  assert_true(newest->sources->len >= 4); /* on both PVs, and in two files */
  assert_int_equal(problems->len, 2);     /* what is no text, and what is no folder */
  {
    g_autoptr(GPtrArray) none = lvm_texts_find(probe, "nobody", NULL, NULL);

    assert_int_equal(none->len, 0);
  }
}

static void test_which_folders(void **state)
{
  g_autofree char *conf = g_build_filename(folder, "lvm.conf", NULL);
  g_auto(GStrv) usual = NULL, named = NULL;

  g_setenv("LVM_SYSTEM_DIR", folder, TRUE);
  usual = lvm_texts_folders(NULL);
  assert_true(g_str_has_suffix(usual[0], "/archive") && g_str_has_suffix(usual[1], "/backup"));
  assert_true(g_file_set_contents(conf, "backup {\narchive_dir = \"/a\"\nbackup_dir = \"/b\"\n}\n",
                                  -1, NULL));
  named = lvm_texts_folders("/ours");
  g_unsetenv("LVM_SYSTEM_DIR");
  assert_string_equal(named[0], "/ours");
  assert_string_equal(named[1], "/a");
  assert_string_equal(named[2], "/b");
  assert_null(named[3]);
}

/* --- a pool's other metadata -------------------------------------------------------- */

static void test_swap(void **state)
{
  LvmLv *pool = lvm_vg_add_thin_pool(vg, "pool", 4, 2, 65536, NULL);
  g_autofree char *kept = NULL, *next = NULL;
  GError *error = NULL;

  assert_non_null(pool);
  assert_non_null(lvm_vg_add_linear(vg, "anew", 2, NULL));
  kept = lvm_vg_kept_metadata_name(vg, pool);
  assert_string_equal(kept, "pool_meta0");
  assert_false(lvm_vg_swap_pool_metadata(vg, pool, "nothing", kept, &error));
  assert_error(error, ENOENT, "no linear or striped volume nothing");
  assert_false(lvm_vg_swap_pool_metadata(vg, pool, "pool", kept, &error));
  assert_error(error, EOPNOTSUPP, "no linear or striped volume pool");
  lvm_section_change_word(lvm_lv_edit(pool), "status", "LOCKED", TRUE, NULL);
  lvm_lv_edited(pool);
  assert_false(lvm_vg_swap_pool_metadata(vg, pool, "anew", kept, &error));
  assert_error(error, EBUSY, "locked by lvm2");
  lvm_section_change_word(lvm_lv_edit(pool), "status", "LOCKED", FALSE, NULL);
  lvm_lv_edited(pool);
  assert_ok(lvm_vg_swap_pool_metadata(vg, pool, "anew", kept, &error), error);
  assert_null(lvm_vg_find_lv(vg, "anew"));
  assert_true(lvm_lv_is_visible(lvm_vg_find_lv(vg, kept)));
  assert_false(lvm_lv_is_visible(lvm_vg_find_lv(vg, "pool_tmeta")));
  next = lvm_vg_kept_metadata_name(vg, pool);
  assert_string_equal(next, "pool_meta1");
  lvm_lv_set_name(lvm_vg_find_lv(vg, "pool_tmeta"), "lost");
  assert_false(lvm_vg_swap_pool_metadata(vg, pool, "lin", next, &error));
  assert_error(error, ENOENT, "no linear or striped volume pool_tmeta");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_areas_that_are_none),
      TEST(test_size_of_label),
      TEST(test_first_without),
      TEST(test_one_missing_one_without_label),
      TEST(test_missing_beside_damage),
      TEST(test_no_area),
      TEST(test_reading_fails),
      TEST(test_writing_fails),
      TEST(test_headers),
      TEST(test_label),
      TEST(test_label_and_header),
      TEST(test_impossible_areas),
      TEST(test_unused_label),
      TEST(test_labels_and_headers),
      TEST(test_two_without_label),
      TEST(test_missing),
      TEST(test_truncated),
      TEST(test_in_use),
      TEST(test_not_ours),
      TEST(test_folders),
      TEST(test_which_folders),
      TEST(test_swap),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
