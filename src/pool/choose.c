/* virt-thin - who serves a volume group: the kernel, or virt-thin's own engine
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "pool/choose.h"

#include <string.h>
#include <sys/stat.h>

#include "dm/block-devices.h"
#include "dm/dm.h"
#include "lvm/store.h"

/* --- looking --- */

static GPtrArray *scan_block_devices(void)
{
  g_autofree char *own = g_strconcat(settings_runtime_dir(), "/", NULL);

  return dmk_scan_block_devices(own);
}

GStrv pool_find_block_devices(const char *vg)
{
  g_autoptr(GPtrArray) scans = scan_block_devices();

  return dmk_paths_of(scans, vg);
}

/* --- choosing --- */

static gboolean all_block_devices(GStrv paths)
{
  struct stat st;

  for (; *paths; paths++)
    if (stat(*paths, &st) < 0 || !S_ISBLK(st.st_mode))
      return FALSE;
  return TRUE;
}

static gboolean is_taken(const char *vg, GStrv paths)
{
  g_autoptr(LvmStore) store =
      lvm_store_open((const char *const *)paths, vg, TRUE, NULL, NULL, NULL);

  return store && lvm_store_is_taken(store);
}

/* Where @vg is among @devices, or else wherever lvm2 would look. The caller's GStrv, perhaps
 * empty. */
static GStrv find_vg(const char *vg, const char *const *devices)
{
  gboolean given = devices || settings_devices_are_given();
  g_auto(GStrv) usual = devices ? NULL : settings_devices();
  g_autoptr(GPtrArray) scans = lvm_scan(devices ? devices : (const char *const *)usual, NULL);
  g_auto(GStrv) paths = dmk_paths_of(scans, vg);

  return given || *paths ? g_steal_pointer(&paths) : pool_find_block_devices(vg);
}

PoolEngine pool_choose_engine(const char *vg, const char *const *devices)
{
  PoolEngine engine = settings_engine(vg);
  g_auto(GStrv) paths = NULL;

  if (engine != POOL_ENGINE_AUTO)
    return engine;
  if (!dmk_available(NULL))
    return POOL_ENGINE_BUNDLED;
  paths = find_vg(vg, devices);
  return *paths && all_block_devices(paths) && !is_taken(vg, paths) ? POOL_ENGINE_KERNEL
                                                                    : POOL_ENGINE_BUNDLED;
}

/* --- listing --- */

static gboolean has_thin_pool(GPtrArray *scans, const char *vg)
{
  g_auto(GStrv) paths = dmk_paths_of(scans, vg);
  g_autoptr(LvmStore) store =
      lvm_store_open((const char *const *)paths, vg, TRUE, NULL, NULL, NULL);
  g_autoptr(GPtrArray) lvs =
      store && !lvm_store_is_taken(store) ? lvm_vg_lvs(lvm_store_vg(store)) : NULL;

  for (guint i = 0; lvs && i < lvs->len; i++)
    if (lvm_lv_kind(lvs->pdata[i]) == LVM_LV_THIN_POOL)
      return TRUE;
  return FALSE;
}

GStrv pool_list_kernel_vgs(void)
{
  g_autoptr(GPtrArray) scans = dmk_available(NULL) ? scan_block_devices() : NULL;
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
  GPtrArray *names = g_ptr_array_new();

  for (guint i = 0; scans && i < scans->len; i++) {
    const char *vg = ((LvmScan *)scans->pdata[i])->vg_name;

    if (vg && g_hash_table_add(seen, (gpointer)vg) && settings_engine(vg) != POOL_ENGINE_BUNDLED &&
        has_thin_pool(scans, vg))
      g_ptr_array_add(names, g_strdup(vg));
  }
  g_ptr_array_add(names, NULL);
  return (GStrv)g_ptr_array_free(names, FALSE);
}
