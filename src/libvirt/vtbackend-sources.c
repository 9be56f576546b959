/* virt-thin - finding sources: the thin pools there are, behind the volume groups that libvirt
 * finds SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <stdlib.h>

#include "control/service.h"
#include "libvirt/vtbackend-private.h"
#include "lvm/store.h"
#include "pool/choose.h"

/* The thin pools of every VG that is served. */
static void add_served(GHashTable *names)
{
  g_auto(GStrv) vgs = control_service_list();
  for (char **vg = vgs; *vg; vg++) {
    VolumeGroup *group = vtbackend_service(*vg, NULL);
    g_autoptr(GPtrArray) pools = group ? pool_list_pools(group, NULL) : NULL;
    for (guint i = 0; pools && i < pools->len; i++)
      g_hash_table_add(
          names, g_strdup_printf("%s/%s", *vg, ((PoolInfo *)g_ptr_array_index(pools, i))->name));
  }
}

/* The thin pools of every VG that is not, as its text on disk tells. */
static void add_unserved(GHashTable *names)
{
  g_auto(GStrv) paths = settings_devices();
  g_autoptr(GPtrArray) scans = lvm_scan((const char *const *)paths, NULL);
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
  for (guint i = 0; scans && i < scans->len; i++) {
    LvmScan *scan = g_ptr_array_index(scans, i);
    if (!scan->vg_name || !g_hash_table_add(seen, scan->vg_name))
      continue;
    g_autoptr(LvmStore) store =
        lvm_store_open_usual((const char *const *)paths, scan->vg_name, TRUE, NULL, NULL, NULL);
    g_autoptr(GPtrArray) lvs = store ? lvm_vg_lvs(lvm_store_vg(store)) : NULL;
    for (guint j = 0; lvs && j < lvs->len; j++) {
      LvmLv *lv = g_ptr_array_index(lvs, j);
      if (lvm_lv_kind(lv) == LVM_LV_THIN_POOL)
        g_hash_table_add(names, g_strdup_printf("%s/%s", scan->vg_name, lvm_lv_name(lv)));
    }
  }
}

VtPlace vtbackend_find_place(const VtSource *source, char **devices)
{
  g_auto(GStrv) usual = settings_devices(), elsewhere = NULL;
  const char *const *paths = (const char *const *)(*devices ? devices : usual);
  g_autoptr(LvmStore) store = lvm_store_open_usual(paths, source->vg, TRUE, NULL, NULL, NULL);
  LvmLv *lv;
  if (!store && *(elsewhere = pool_find_block_devices(source->vg)))
    store = lvm_store_open((const char *const *)elsewhere, source->vg, TRUE, NULL, NULL, NULL);
  if (!store)
    return VT_NO_GROUP;
  lv = lvm_vg_find_lv(lvm_store_vg(store), source->pool);
  return lv && lvm_lv_kind(lv) == LVM_LV_THIN_POOL ? VT_GROUP_WITH_POOL : VT_GROUP;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
  return g_strcmp0(*(const char *const *)a, *(const char *const *)b);
}

/* Those on block devices that are the kernel's. */
static void add_kernels(GHashTable *names)
{
  g_auto(GStrv) vgs = pool_list_kernel_vgs();
  for (char **vg = vgs; *vg; vg++) {
    g_autoptr(VolumeGroup) group = pool_open_kernel(*vg, NULL, POOL_READ_ONLY, NULL);
    g_autoptr(GPtrArray) pools = group ? pool_list_pools(group, NULL) : NULL;
    for (guint i = 0; pools && i < pools->len; i++)
      g_hash_table_add(
          names, g_strdup_printf("%s/%s", *vg, ((PoolInfo *)g_ptr_array_index(pools, i))->name));
  }
}

/* libvirt's own list, with every thin pool as VG/POOL behind it: virt-manager offers the names for
 * choice. */
char *vtbackend_find_sources(const char *spec, unsigned int flags)
{
  g_autoptr(GHashTable) set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  char *stock = vt.stock.find_sources(spec, flags);
  if (!stock && flags)
    return NULL;
  add_served(set);
  add_unserved(set);
  add_kernels(set);
  if (!stock && g_hash_table_size(set) == 0)
    return NULL;
  if (!stock)
    vt.libvirt.reset_last_error();
  g_autoptr(GPtrArray) names = g_ptr_array_new();
  GHashTableIter iter;
  gpointer name;
  for (g_hash_table_iter_init(&iter, set); g_hash_table_iter_next(&iter, &name, NULL);)
    g_ptr_array_add(names, name);
  g_ptr_array_sort(names, compare_names);
  char *document = vtbackend_sources_document(stock, names);
  free(stock);
  return document;
}
