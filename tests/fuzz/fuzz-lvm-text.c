/* virt-thin - libFuzzer target: hostile metadata text
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Whatever the text grammar takes is formatted, and that is a fixed point. Whatever is a volume
 * group as well is looked at from every side, changed, and formatted again.
 */
#include "config.h"

#include <stdint.h>
#include <string.h>

#include "lvm/model/text.h"
#include "lvm/model/vg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fixed_point(LvmNode *root)
{
  GString *once = g_string_new(NULL), *twice = g_string_new(NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(LvmNode) copy = lvm_node_copy(root, NULL), again = NULL;

  lvm_node_format(copy, once);
  again = lvm_text_parse(once->str, once->len, "formatted", &error);
  if (!again)
    g_error("what was formatted cannot be parsed: %s:\n%s", error->message, once->str);
  lvm_node_format(again, twice);
  if (!g_string_equal(once, twice))
    g_error("no fixed point:\n%s\n---\n%s", once->str, twice->str);
  g_string_free(once, TRUE);
  g_string_free(twice, TRUE);
}

static void check_vg_fixed_point(LvmVg *vg)
{
  gsize length;
  g_autofree char *once = lvm_vg_format(vg, &length), *twice = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(LvmVg) again = lvm_vg_parse(once, length, &error);

  if (!again)
    g_error("a formatted volume group cannot be parsed: %s:\n%s", error->message, once);
  twice = lvm_vg_format(again, NULL);
  if (strcmp(once, twice) != 0)
    g_error("no fixed point of a volume group:\n%s\n---\n%s", once, twice);
}

static void look_at_lv(LvmVg *vg, LvmLv *lv)
{
  g_auto(GStrv) tags = lvm_lv_tags(lv);
  g_autoptr(GArray) messages = lvm_pool_messages(lv);

  if (lvm_vg_find_lv(vg, lvm_lv_name(lv)) != lv)
    g_error("%s is not found", lvm_lv_name(lv));
  lvm_lv_uuid(lv);
  lvm_lv_segment_type(lv);
  lvm_lv_size(lv);
  lvm_lv_is_writable(lv);
  lvm_lv_creation_time(lv);
  lvm_lv_has_flag(lv, "ACTIVATION_SKIP");
  lvm_pool_chunk_size(lv);
  lvm_pool_discards(lv);
  lvm_pool_zeroes(lv);
  lvm_pool_transaction_id(lv);
  lvm_thin_transaction_id(lv);
  lvm_thin_external_origin(lv);
  lvm_thin_merge(lv);
  if (lvm_lv_kind(lv) == LVM_LV_THIN_POOL)
    lvm_pool_next_device(vg, lv);
}

static void look_at(LvmVg *vg)
{
  g_autoptr(GPtrArray) pvs = lvm_vg_pvs(vg), lvs = lvm_vg_lvs(vg);

  lvm_vg_unwritable(vg);
  lvm_vg_n_extents(vg);
  lvm_vg_n_free_extents(vg);
  lvm_vg_system_id(vg);
  for (guint i = 0; i < pvs->len; i++) {
    lvm_pv_device(pvs->pdata[i]);
    lvm_pv_start(pvs->pdata[i]);
    lvm_pv_size(pvs->pdata[i]);
    lvm_pv_n_free_extents(pvs->pdata[i]);
  }
  for (guint i = 0; i < lvs->len; i++)
    look_at_lv(vg, lvs->pdata[i]);
}

/* The caller's: LVs come and go while they are changed. */
static GPtrArray *names_of(LvmVg *vg)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);
  GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

  for (guint i = 0; i < lvs->len; i++)
    g_ptr_array_add(names, g_strdup(lvm_lv_name(lvs->pdata[i])));
  return names;
}

static void change(LvmVg *vg)
{
  g_autoptr(GPtrArray) names = names_of(vg);

  lvm_vg_add_thin_pool(vg, "fuzz-pool", 3, 1, 65536, NULL);
  for (guint i = 0; i < names->len && i < 20; i++) {
    LvmLv *lv = lvm_vg_find_lv(vg, names->pdata[i]);
    g_autofree char *name = g_strdup_printf("fuzz-%u", i);

    if (!lv) /* gone with its pool */
      continue;
    lvm_lv_add_tag(lv, "t", NULL);
    lvm_lv_set_visible(lv, !lvm_lv_is_visible(lv));
    lvm_lv_set_writable(lv, !lvm_lv_is_writable(lv));
    lvm_lv_set_flag(lv, "F", TRUE);
    if (lvm_lv_kind(lv) == LVM_LV_THIN_POOL) {
      lvm_vg_add_thin(vg, lv, name, 5, MAX(lvm_pool_next_device(vg, lv), 1), "fuzz-0", NULL);
      lvm_pool_add_create(lv, name);
      lvm_pool_add_delete(lv, 3);
      lvm_pool_set_transaction_id(lv, 9);
      lvm_vg_grow_pool_data(vg, lv, lvm_lv_n_extents(lv) + 1, NULL);
      lvm_vg_grow_pool_metadata(vg, lv, 2, NULL);
    } else if (lvm_lv_kind(lv) == LVM_LV_THIN) {
      lvm_thin_set_extents(lv, i, NULL);
      lvm_thin_set_origin(lv, i % 2 ? "x" : NULL);
      lvm_thin_set_device(lv, i + 1, 2);
    }
    g_clear_pointer(&name, g_free);
    name = g_strdup_printf("renamed-%u", i);
    lvm_vg_rename_lv(vg, lv, name, NULL);
    if (i % 3 == 0)
      lvm_vg_remove_lv(vg, lv, NULL);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  g_autoptr(LvmNode) root = lvm_text_parse((const char *)data, size, "fuzz", NULL);
  g_autoptr(LvmVg) vg = NULL, copy = NULL;
  g_autofree char *before = NULL, *after = NULL;

  if (!root)
    return 0;
  check_fixed_point(root);
  vg = lvm_vg_parse((const char *)data, size, NULL);
  if (!vg)
    return 0;
  look_at(vg);
  check_vg_fixed_point(vg);
  before = lvm_vg_format(vg, NULL);
  copy = lvm_vg_copy(vg);
  change(copy);
  look_at(copy);
  check_vg_fixed_point(copy);
  after = lvm_vg_format(vg, NULL);
  if (strcmp(before, after) != 0)
    g_error("a copy's change changed the original");
  return 0;
}
