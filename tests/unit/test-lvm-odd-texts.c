/* virt-thin - tests: texts of volume groups that lvm2 would not write
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

#define TEXT "vgcfgbackup-04-final.txt"

static LvmLv *find(LvmVg *vg, const char *name)
{
  LvmLv *lv = lvm_vg_find_lv(vg, name);

  assert_non_null(lv);
  return lv;
}

/* The newest text with a volume that has no segment, in front of the others. */
static LvmVg *with_empty(void)
{
  return lvm_test_vg(TEXT, "logical_volumes {\n",
                     "logical_volumes {\n"
                     "empty {\nid = \"ahL2iu-uUCL-YAyN-Rtrk-Wg09-PVsb-cmw1lb\"\n"
                     "status = [\"READ\", \"VISIBLE\"]\nsegment_count = 0\n}\n");
}

static void test_no_segment(void **state)
{
  g_autoptr(LvmVg) vg = with_empty();
  LvmLv *empty = find(vg, "empty");
  g_autofree char *snapshot = lvm_lv_old_snapshot(find(vg, "root"));

  assert_string_equal(lvm_lv_segment_type(empty), "no segment");
  assert_true(lvm_lv_is_visible(empty));
  assert_null(snapshot);
  LVM_REFUSED(lvm_vg_remove_lv(vg, empty, &error), EOPNOTSUPP, "of type no segment");
  lvm_thin_set_origin(find(vg, "vm-102-disk-0"), "empty"); /* which is no thin volume */
  lvm_vg_drop_dangling(vg);
  assert_null(lvm_thin_origin(find(vg, "vm-102-disk-0")));
  LVM_REFUSED(lvm_vg_check_like(vg, &error), EOPNOTSUPP, "is of type no segment");
}

/* The last pool takes the spare with it, whatever else there is. */
static void test_last_pool(void **state)
{
  g_autoptr(LvmVg) vg = with_empty();

  for (GList *link = vg->lvs.head, *next; link; link = next) {
    next = link->next;
    if (lvm_lv_kind(link->data) == LVM_LV_THIN)
      LVM_DONE(lvm_vg_remove_lv(vg, link->data, &error));
  }
  LVM_DONE(lvm_vg_remove_lv(vg, find(vg, "root"), &error));
  LVM_DONE(lvm_vg_add_thin_pool(vg, "other", 1, 1, 65536, &error));
  LVM_DONE(lvm_vg_remove_lv(vg, find(vg, "other"), &error));
  assert_non_null(lvm_vg_find_lv(vg, "lvol0_pmspare"));
  LVM_DONE(lvm_vg_remove_lv(vg, find(vg, "data"), &error));
  assert_null(lvm_vg_find_lv(vg, "lvol0_pmspare"));
  LVM_DONE(lvm_vg_add_thin_pool(vg, "other", 1, 1, 65536, &error));
  lvm_vg_drop_lv(vg, find(vg, "lvol0_pmspare"));
  LVM_DONE(lvm_vg_remove_lv(vg, find(vg, "other"), &error));
}

/* Texts that are refused as a whole. */
static void test_refused_texts(void **state)
{
  static const struct {
    const char *from, *to, *error;
  } cases[] = {
      {"extent_count = 48\t", "extent_count = 2251799813685249\t", "without a valid start_extent"},
      {"pe_start = 2048", "pe_start = 18014398509481985", "no valid pe_start"},
      {"\tphysical_volumes {\n", "physical_volumes {\n}\nphysical_volumes {\n",
       "is not one section"},
      {"\tphysical_volumes {\n", "logical_volumes = 1\nphysical_volumes {\n", "is not one section"},
      {"transaction_id = 0\n\t\t\t\tdevice_id = 1\n\t\t\t}\n\t\t}\n",
       "transaction_id = 0\ndevice_id = 1\n}\nsegment2 {\nstart_extent = 48\nextent_count = 1\n"
       "type = \"thin\"\n}\n}\n",
       "another number of segments"},
      {"chunk_size = 128\t", "chunk_size = 4294967296\t", "no valid chunk_size"},
  };
  g_autofree char *text = lvm_test_read(TEXT, NULL);

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *made = lvm_test_replace(text, cases[i].from, cases[i].to);

    assert_string_not_equal(text, made);
    LVM_REFUSED(lvm_vg_parse(made, strlen(made), &error), EBADMSG, cases[i].error);
  }
}

/* Empty words say nothing. */
static void test_empty_words(void **state)
{
  g_autoptr(LvmVg) vg =
      lvm_test_vg(TEXT, "max_lv = 0\n", "max_lv = 0\nsystem_id = \"\"\nlock_type = \"\"\n");
  g_autoptr(LvmVg) none = lvm_test_vg(TEXT, "max_lv = 0\n", "max_lv = 0\nlock_type = \"none\"\n");
  g_autoptr(LvmVg) held =
      lvm_test_vg(TEXT, "max_lv = 0\n", "max_lv = 0\nlock_type = \"sanlock\"\n");

  assert_null(lvm_vg_system_id(vg));
  LVM_DONE(lvm_vg_add_linear(vg, "new", 1, &error));
  assert_true(lvm_section_has_word(lvm_lv_node(find(vg, "new")), "status", "WRITE"));
  LVM_DONE(lvm_vg_add_linear(none, "new", 1, &error));
  assert_true(lvm_section_has_word(lvm_lv_node(find(none, "new")), "status", "WRITE"));
  LVM_DONE(lvm_vg_add_linear(held, "new", 1, &error));
  assert_false(lvm_section_has_word(lvm_lv_node(find(held, "new")), "status", "WRITE"));
}

/* A segment with a flag that nobody knows is no thin volume to us. */
static void test_flags_of_segments(void **state)
{
  g_autoptr(LvmVg) vg = lvm_test_vg(TEXT, "\"thin\"", "\"thin+NEW\"");

  assert_int_equal(lvm_lv_kind(find(vg, "vm-100-disk-0")), LVM_LV_OTHER);
}

/* Where the extents lie: what a text may say, and what not. */
static void test_stripes(void **state)
{
  static const char *const wrong[] = {"5, 28", "\"pv0\"", "\"pv0\", \"28\""};
  g_autoptr(LvmVg) linear = lvm_test_vg(TEXT, "\"striped\"", "\"linear\"");
  LvmPv *pv;
  guint64 offset;

  for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
    g_autoptr(LvmVg) vg = lvm_test_vg(TEXT, "\"pv0\", 28", wrong[i]);
    g_autofree char *what = lvm_vg_contradiction(vg);

    assert_non_null(strstr(what, "no list of volumes and extents"));
    assert_false(lvm_lv_same_extents(find(vg, "root"), find(linear, "root")));
    assert_false(lvm_lv_same_extents(find(linear, "root"), find(vg, "root")));
    assert_false(lvm_lv_find_run(vg, find(vg, "root"), &pv, &offset));
  }
  assert_int_equal(lvm_lv_kind(find(linear, "root")), LVM_LV_STRIPED);
  assert_true(lvm_lv_find_run(linear, find(linear, "root"), &pv, &offset));
  assert_int_equal(offset, 2048 * 512 + 28 * 4 * MIB);
  assert_false(lvm_lv_find_run(linear, find(linear, "data_tdata"), &pv, &offset)); /* a gap */
}

static void test_same_extents(void **state)
{
  static const struct {
    const char *from, *to;
  } cases[] = {{"PB5LB5", "PB5LB6"},
               {"pe_start = 2048", "pe_start = 4096"},
               {"\"pv0\", 28", "\"pv0\", 30"},
               {"extent_size = 8192", "extent_size = 4096"},
               {"extent_count = 2\t", "extent_count = 1\t"}};
  g_autoptr(LvmVg) vg = lvm_test_vg(TEXT, "pve", "pve"), same = lvm_test_vg(TEXT, "pve", "pve");

  assert_true(lvm_lv_same_extents(find(vg, "root"), find(same, "root")));
  assert_false(lvm_lv_same_extents(find(vg, "root"), find(same, "data_tdata")));
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(LvmVg) other = lvm_test_vg(TEXT, cases[i].from, cases[i].to);

    assert_false(lvm_lv_same_extents(find(vg, "root"), find(other, "root")));
  }
}

/* A pool that cannot be made again, for its parts are not what they should be. */
static void test_parts_not_alike(void **state)
{
  static const struct {
    const char *from, *to;
  } cases[] = {{"pool = \"data_tdata\"", "pool = \"gone_tdata\""},
               {"pool = \"data_tdata\"", "pool = \"root\""},
               {"pool = \"data_tdata\"", "pool = \"lvol0_pmspare\""},
               {"pool = \"data_tdata\"", "pool = \"data_tmeta\""},
               {"data_tdata", "_tdata"}};

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(LvmVg) vg = lvm_test_vg(TEXT, cases[i].from, cases[i].to);

    LVM_REFUSED(lvm_vg_check_like(vg, &error), EOPNOTSUPP, "has no data and metadata of its own");
  }
}

/* A volume's tags, or a segment's, name no other volume. */
static void test_tags_are_no_names(void **state)
{
  const char *stripes = "\"pv0\", 28\n\t\t\t\t]";
  g_autoptr(LvmVg) vg = lvm_test_vg(TEXT, stripes, "\"pv0\", 28\n]\ntags = [\"data\"]"),
                   used = lvm_test_vg(TEXT, stripes, "\"pv0\", 28\n]\nof = [\"data\"]");

  LVM_DONE(lvm_vg_rename_lv(vg, find(vg, "data"), "renamed", &error));
  LVM_REFUSED(lvm_vg_rename_lv(used, find(used, "data"), "renamed", &error), EOPNOTSUPP,
              "used by root");
}

/* With no '-' the limit of lvm2 is the lower one. */
static void test_longest_name(void **state)
{
  g_autofree char *name = g_strnfill(123, 'n');
  g_autoptr(LvmVg) vg = lvm_test_vg(TEXT, "pve", "pve");

  LVM_REFUSED(lvm_vg_add_linear(vg, name, 1, &error), EINVAL, "is too long");
  LVM_DONE(lvm_vg_add_linear(vg, name + 1, 1, &error));
}

static void test_no_room_for_pool(void **state)
{
  g_autoptr(LvmVg) vg = lvm_test_vg(TEXT, "pve", "pve");

  LVM_REFUSED(lvm_vg_add_thin_pool(vg, "p", 1000, 1, 65536, &error), ENOSPC, "with its metadata");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_segment),        cmocka_unit_test(test_last_pool),
      cmocka_unit_test(test_refused_texts),     cmocka_unit_test(test_empty_words),
      cmocka_unit_test(test_flags_of_segments), cmocka_unit_test(test_stripes),
      cmocka_unit_test(test_same_extents),      cmocka_unit_test(test_parts_not_alike),
      cmocka_unit_test(test_tags_are_no_names), cmocka_unit_test(test_longest_name),
      cmocka_unit_test(test_no_room_for_pool),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
