/* virt-thin - a volume group whose thin pool gets other metadata
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * As lvconvert --repair does it (lvm2 tools/lvconvert.c): LVs keep their extents and UUIDs, and
 * trade names and places. What was the metadata is a visible LV, data_meta0, from then on.
 */
#include "config.h"

#include <string.h>

#include "lvm/model/vg-private.h"

char *lvm_vg_kept_metadata_name(LvmVg *vg, LvmLv *pool)
{
  for (guint i = 0;; i++) {
    g_autofree char *name = g_strdup_printf("%s_meta%u", lvm_lv_name(pool), i);

    if (!lvm_vg_find_lv(vg, name))
      return g_steal_pointer(&name);
  }
}

static gboolean check_plain(LvmVg *vg, LvmLv *lv, const char *name, GError **error)
{
  if (lv && lv->kind == LVM_LV_STRIPED)
    return TRUE;
  return vt_set_error(error, lv ? EOPNOTSUPP : ENOENT,
                      "volume group %s has no linear or striped volume %s that could be metadata",
                      lvm_vg_name(vg), name);
}

gboolean lvm_vg_swap_pool_metadata(LvmVg *vg, LvmLv *pool, const char *other, const char *kept,
                                   GError **error)
{
  g_autofree char *name = g_strdup(lvm_pool_metadata(pool)), *kept_name = g_strdup(kept),
                  *between = g_strconcat(name, "_swap", NULL);
  LvmLv *old = lvm_vg_find_lv(vg, name), *new = lvm_vg_find_lv(vg, other);

  if (!check_plain(vg, old, name, error) || !check_plain(vg, new, other, error) ||
      !lvm_lv_check_unlocked(pool, error))
    return FALSE;
  lvm_lv_set_name(new, between);
  lvm_lv_set_name(old, kept_name);
  lvm_lv_set_name(new, name);
  lvm_lv_set_visible(old, TRUE);
  lvm_lv_set_visible(new, FALSE);
  return TRUE;
}
