/* virt-thin - tests: what changing a volume group refuses, and what its text makes hard
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lvm-helper.h"
#include "lvm/model/vg-private.h"

#define MAX_DEVICE ((1u << 24) - 1)

static LvmVg *newest(void)
{
  return lvm_test_vg("vgcfgbackup-04-final.txt", "pve", "pve");
}

static LvmLv *find(LvmVg *vg, const char *name)
{
  LvmLv *lv = lvm_vg_find_lv(vg, name);

  assert_non_null(lv);
  return lv;
}

static void lock(LvmVg *vg, const char *name, gboolean on)
{
  LvmLv *lv = find(vg, name);

  lvm_section_change_word(lvm_lv_edit(lv), "status", "LOCKED", on, NULL);
  lvm_lv_edited(lv);
}

/* --- limits ------------------------------------------------------------------------- */

static void test_max_lv(void **state)
{
  g_autoptr(LvmVg) vg = lvm_test_vg("vgcfgbackup-04-final.txt", "max_lv = 0", "max_lv = 8");

  LVM_DONE(lvm_vg_add_linear(vg, "last", 1, &error));
  LVM_REFUSED(lvm_vg_add_linear(vg, "more", 1, &error), EPERM, "may have 8 volumes");
  LVM_REFUSED(lvm_vg_add_thin(vg, find(vg, "data"), "more", 1, 9, NULL, &error), EPERM,
              "may have 8");
  LVM_REFUSED(lvm_vg_add_thin_pool(vg, "more", 1, 1, 65536, &error), EPERM, "may have 8");
}

static void test_sizes(void **state)
{
  const guint64 most = G_GUINT64_CONSTANT(1) << 32;
  g_autoptr(LvmVg) vg = newest(),
                   wide = lvm_test_vg("vgcfgbackup-04-final.txt", "extent_size = 8192",
                                      "extent_size = 2147483648");
  LvmLv *pool = find(vg, "data");

  LVM_REFUSED(lvm_vg_add_linear(vg, "huge", most, &error), EINVAL, "at most 4294967295");
  LVM_REFUSED(lvm_vg_add_linear(wide, "huge", most / 2, &error), EINVAL, "at most 8388607");
  LVM_REFUSED(lvm_vg_add_thin_pool(vg, "p", 0, 1, 65536, &error), EINVAL, "p cannot have a size");
  LVM_REFUSED(lvm_vg_add_thin_pool(vg, "p", 1, 0, 65536, &error), EINVAL, "p_tmeta cannot");
  LVM_REFUSED(lvm_vg_add_thin_pool(vg, NULL, 1, 1, 65536, &error), EINVAL, "");
  LVM_REFUSED(lvm_vg_grow_pool_data(vg, pool, most, &error), EINVAL, "at most 4294967295");
  LVM_REFUSED(lvm_vg_grow_pool_metadata(vg, pool, 5000, &error), EINVAL, "15.81 GiB");
  LVM_REFUSED(lvm_vg_grow_pool_metadata(vg, pool, 50, &error), ENOSPC,
              "with its metadata and spare");
  LVM_REFUSED(lvm_vg_grow_pool_metadata(vg, pool, 0, &error), EINVAL, "cannot shrink");
  LVM_REFUSED(lvm_vg_add_thin(vg, pool, "new", 1, 0, NULL, &error), EINVAL, "thin device 0");
  LVM_DONE(lvm_vg_grow_spare(vg, 1, &error));
  LVM_DONE(lvm_vg_grow_spare(vg, 3, &error));
  assert_int_equal(lvm_lv_n_extents(find(vg, "lvol0_pmspare")), 3);
  LVM_REFUSED(lvm_vg_grow_spare(vg, 300, &error), ENOSPC, "");
}

/* The '-' of a volume group counts twice; so do a pool's parts' names. */
static void test_long_names(void **state)
{
  g_autofree char *fits = g_strnfill(120, 'n'), *longer = g_strnfill(121, 'n'),
                  *part = g_strnfill(114, 'n');
  g_autoptr(LvmVg) vg = lvm_test_vg("vgcfgbackup-04-final.txt", "\npve {", "\np-v-e {");

  LVM_REFUSED(lvm_vg_add_linear(vg, longer, 1, &error), EINVAL, "129 characters");
  LVM_REFUSED(lvm_vg_add_linear(vg, fits, 1, &error), EINVAL, "128 characters");
  LVM_DONE(lvm_vg_add_linear(vg, fits + 1, 1, &error));
  LVM_REFUSED(lvm_vg_rename_lv(vg, find(vg, "data"), part, &error), EINVAL, "_tdata");
  LVM_REFUSED(lvm_vg_rename_lv(vg, find(vg, "data"), NULL, &error), EINVAL, "");
}

/* --- names that are taken ----------------------------------------------------------- */

static void rename_to(LvmVg *vg, const char *old, const char *name)
{
  lvm_lv_set_name(find(vg, old), name);
}

static void test_names_taken(void **state)
{
  static const char *const parts[] = {"new_tdata", "new_tmeta"};

  for (guint i = 0; i < G_N_ELEMENTS(parts); i++) {
    g_autoptr(LvmVg) vg = newest();

    rename_to(vg, "root", parts[i]);
    LVM_REFUSED(lvm_vg_add_thin_pool(vg, "new", 1, 1, 65536, &error), EEXIST,
                "or new_tmeta already");
    LVM_REFUSED(lvm_vg_rename_lv(vg, find(vg, "data"), "new", &error), EEXIST,
                "or new_tmeta already");
  }
}

static void test_spare_names(void **state)
{
  g_autoptr(LvmVg) vg = newest();

  rename_to(vg, "lvol0_pmspare", "other"); /* hidden, and no spare */
  rename_to(vg, "vm-100-disk-0", "lvol0");
  rename_to(vg, "vm-101-disk-1", "lvol1_pmspare"); /* visible: no spare, either */
  LVM_DONE(lvm_vg_grow_spare(vg, 2, &error));
  assert_int_equal(lvm_lv_n_extents(find(vg, "lvol2_pmspare")), 2);
}

/* --- what others are at work on ----------------------------------------------------- */

static void test_locked(void **state)
{
  static const char *const locked[] = {"data", "data_tdata", "data_tmeta"};
  g_autoptr(LvmVg) vg = newest();
  LvmLv *pool = find(vg, "data"), *lv = find(vg, "vm-100-disk-0");

  for (guint i = 0; i < G_N_ELEMENTS(locked); i++) {
    lock(vg, locked[i], TRUE);
    LVM_REFUSED(lvm_vg_add_thin(vg, pool, "new", 1, 9, NULL, &error), EBUSY, "locked by lvm2");
    LVM_REFUSED(lvm_vg_grow_pool_data(vg, pool, 30, &error), EBUSY, "locked by lvm2");
    LVM_REFUSED(lvm_vg_grow_pool_metadata(vg, pool, 3, &error), EBUSY, "locked by lvm2");
    LVM_REFUSED(lvm_vg_rename_lv(vg, pool, "other", &error), EBUSY, "locked by lvm2");
    lock(vg, locked[i], FALSE);
  }
  lock(vg, "vm-100-disk-0", TRUE);
  LVM_REFUSED(lvm_vg_add_thin(vg, pool, "new", 1, 9, "vm-100-disk-0", &error), EBUSY, "locked");
  LVM_REFUSED(lvm_thin_set_extents(lv, 99, &error), EBUSY, "locked");
  LVM_REFUSED(lvm_vg_remove_lv(vg, lv, &error), EBUSY, "locked");
  lock(vg, "vm-100-disk-0", FALSE);
  LVM_DONE(lvm_vg_add_thin(vg, pool, "new", 1, 9, "no-more", &error)); /* whose origin is gone */
}

/* --- messages and numbers ----------------------------------------------------------- */

/* Message @i of @n. @create NULL: that @device is deleted. */
static void assert_message(LvmLv *pool, guint i, guint n, const char *create, guint device)
{
  g_autoptr(GArray) messages = lvm_pool_messages(pool);
  const LvmMessage *message;

  assert_int_equal(messages->len, n);
  message = &g_array_index(messages, LvmMessage, i);
  assert_int_equal(g_strcmp0(message->create, create), 0);
  if (!create)
    assert_int_equal(message->delete_device, device);
}

/* Removing a volume drops its message and no other's; what is not a message stays. */
static void test_messages(void **state)
{
  g_autoptr(LvmVg) vg = lvm_test_vg("vgcfgbackup-04-final.txt", "zero_new_blocks = 1",
                                    "zero_new_blocks = 1\nodd {\nx = 1\n}\nmessages = 5");
  LvmLv *pool = find(vg, "data");

  lvm_pool_clear_messages(pool);
  lvm_pool_add_create(pool, "vm-100-disk-0");
  lvm_pool_add_delete(pool, 77);
  lvm_pool_add_create(pool, "vm-101-disk-1");
  LVM_DONE(lvm_vg_rename_lv(vg, find(vg, "vm-101-disk-1"), "renamed", &error));
  assert_message(pool, 2, 3, "renamed", 0);
  assert_message(pool, 0, 3, "vm-100-disk-0", 0);
  LVM_DONE(lvm_vg_remove_lv(vg, find(vg, "vm-100-disk-0"), &error));
  assert_message(pool, 0, 2, NULL, 77);
  assert_message(pool, 1, 2, "renamed", 0);
  LVM_DONE(lvm_vg_remove_lv(vg, find(vg, "vm-102-disk-0"), &error));
  assert_message(pool, 0, 2, NULL, 77);
  assert_int_equal(lvm_pool_next_device(vg, pool), 78);
  lvm_pool_clear_messages(pool);
  assert_non_null(lvm_section_find(pool->segment, "odd"));
}

/* Behind the last number the holes are used, which are nobody's here. */
static void test_holes(void **state)
{
  g_autoptr(LvmVg) vg = newest();
  LvmLv *pool = find(vg, "data");

  LVM_DONE(lvm_vg_add_thin_pool(vg, "second", 1, 1, 65536, &error));
  LVM_DONE(lvm_vg_add_thin(vg, find(vg, "second"), "elsewhere", 1, MAX_DEVICE, NULL, &error));
  assert_int_equal(lvm_pool_next_device(vg, pool), 6);
  LVM_DONE(lvm_vg_add_thin(vg, pool, "last", 1, MAX_DEVICE, NULL, &error));
  lvm_pool_add_delete(pool, 6);
  assert_int_equal(lvm_pool_next_device(vg, pool), 7);
  LVM_DONE(lvm_vg_remove_lv(vg, find(vg, "vm-100-disk-0"), &error));
  assert_int_equal(lvm_pool_next_device(vg, pool), 1);
}

/* --- pools that are not whole ------------------------------------------------------- */

static void empty(LvmVg *vg, const char *pool)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);

  for (guint i = 0; i < lvs->len; i++)
    if (lvm_lv_kind(lvs->pdata[i]) == LVM_LV_THIN)
      LVM_DONE(lvm_vg_remove_lv(vg, lvs->pdata[i], &error));
  lvm_pool_clear_messages(find(vg, pool));
}

static void test_broken_pools(void **state)
{
  static const struct {
    const char *from, *to;
    gboolean removed;
  } cases[] = {
      {"pool = \"data_tdata\"", "pool = \"data\"", FALSE},
      {"metadata = \"data_tmeta\"", "metadata = \"data\"", FALSE},
      {"metadata = \"data_tmeta\"", "metadata = \"data_tdata\"", FALSE},
      {"pool = \"data_tdata\"", "pool = \"root\"", FALSE},
      {"metadata = \"data_tmeta\"", "metadata = \"root\"", FALSE},
      {"pool = \"data_tdata\"", "pool = \"gone\"", TRUE},
      {"metadata = \"data_tmeta\"", "metadata = \"gone\"", TRUE},
  };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(LvmVg) vg = lvm_test_vg("vgcfgbackup-04-final.txt", cases[i].from, cases[i].to);
    GError *error = NULL;

    empty(vg, "data");
    assert_int_equal(lvm_vg_remove_lv(vg, find(vg, "data"), &error), cases[i].removed);
    if (!cases[i].removed)
      assert_error(error, EBADMSG, "are not hidden volumes of its own");
  }
}

static void test_parts_gone(void **state)
{
  g_autoptr(LvmVg) vg = lvm_test_vg("vgcfgbackup-04-final.txt", "\"data_tdata\"", "\"gone\"");
  LvmLv *pool = find(vg, "data");

  LVM_REFUSED(lvm_vg_grow_pool_data(vg, pool, 30, &error), EBADMSG, "its volume gone is not there");
  LVM_DONE(lvm_vg_rename_lv(vg, pool, "other", &error));
  assert_string_equal(lvm_pool_data(pool), "gone");
  assert_string_equal(lvm_pool_metadata(pool), "other_tmeta");
}

/* Parts whose names are not the pool's keep them. */
static void test_parts_of_other_names(void **state)
{
  static const char *const names[] = {"else_tdata", "data_x"};

  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autoptr(LvmVg) vg = lvm_test_vg("vgcfgbackup-04-final.txt", "data_tdata", names[i]);

    LVM_DONE(lvm_vg_rename_lv(vg, find(vg, "data"), "other", &error));
    assert_string_equal(lvm_pool_data(find(vg, "other")), names[i]);
    find(vg, names[i]);
    find(vg, "other_tmeta");
  }
}

/* --- volumes of other kinds --------------------------------------------------------- */

static void test_references(void **state)
{
  g_autoptr(LvmVg) vg = newest();
  LvmLv *thin = find(vg, "vm-102-disk-0");

  lvm_section_set_string(lvm_segment_first(lvm_lv_edit(thin)), "external_origin", "root", NULL);
  lvm_lv_edited(thin);
  LVM_REFUSED(lvm_vg_remove_lv(vg, find(vg, "root"), &error), EBUSY,
              "the external origin of vm-102");
  LVM_DONE(lvm_vg_rename_lv(vg, find(vg, "root"), "base", &error));
  assert_string_equal(lvm_thin_external_origin(thin), "base");
  lvm_thin_set_origin(thin, "vm-101-disk-1"); /* behind external_origin */
  lvm_thin_set_merge(thin, "vm-101-disk-1");
  LVM_DONE(lvm_vg_rename_lv(vg, find(vg, "vm-101-disk-1"), "target", &error));
  assert_string_equal(lvm_thin_merge(thin), "target");
  LVM_REFUSED(lvm_vg_remove_lv(vg, find(vg, "target"), &error), EBUSY, "to be merged into it");
}

#define HISTORY                                                                                    \
  "historical_logical_volumes {\nnote = 1\na {\nid = \"YrXdz2-l8tC-izKn-FZFs-Ygdi-Kx12-SDGb9s\"\n" \
  "name = \"-a\"\ndescendants = [\"vm-101-disk-1\", \"vm-102-disk-0\"]\n}\n"                       \
  "b {\nid = \"YrXdz2-l8tC-izKn-FZFs-Ygdi-Kx12-SDGb9t\"\nname = \"-b\"\n"                          \
  "origin = \"vm-101-disk-1\"\n}\n}\nlogical_volumes {"

/* Records of removed volumes name those that are left. */
static void test_history(void **state)
{
  g_autoptr(LvmVg) vg = lvm_test_vg("vgcfgbackup-04-final.txt", "logical_volumes {", HISTORY);
  LvmNode *history = lvm_section_find_section(vg->node, "historical_logical_volumes");

  LVM_DONE(lvm_vg_rename_lv(vg, find(vg, "vm-101-disk-1"), "renamed", &error));
  assert_string_equal(lvm_section_get_string(lvm_section_find_section(history, "b"), "origin"),
                      "renamed");
  assert_true(
      lvm_section_has_word(lvm_section_find_section(history, "a"), "descendants", "renamed"));
  LVM_DONE(lvm_vg_remove_lv(vg, find(vg, "renamed"), &error));
  assert_null(lvm_section_find_section(history, "b"));
  assert_non_null(lvm_section_find_section(history, "a"));
  LVM_DONE(lvm_vg_remove_lv(vg, find(vg, "vm-102-disk-0"), &error));
  assert_null(lvm_section_find_section(history, "a"));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_max_lv),
      cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_long_names),
      cmocka_unit_test(test_names_taken),
      cmocka_unit_test(test_spare_names),
      cmocka_unit_test(test_locked),
      cmocka_unit_test(test_messages),
      cmocka_unit_test(test_holes),
      cmocka_unit_test(test_broken_pools),
      cmocka_unit_test(test_parts_gone),
      cmocka_unit_test(test_parts_of_other_names),
      cmocka_unit_test(test_references),
      cmocka_unit_test(test_history),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
