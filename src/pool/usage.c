/* virt-thin - who uses a thin pool's chunks: what is the same whoever reads the metadata
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "pool/usage.h"

#include "pool/rules.h"
#include "thin/format/usage.h"

void pool_volume_usage_free(PoolVolumeUsage *volume)
{
  if (!volume)
    return;
  g_free(volume->name);
  g_free(volume);
}

void pool_usage_free(PoolUsage *usage)
{
  if (!usage)
    return;
  g_free(usage->pool);
  g_clear_pointer(&usage->volumes, g_ptr_array_unref);
  g_free(usage);
}

static gint by_name(gconstpointer a, gconstpointer b)
{
  return strcmp((*(PoolVolumeUsage *const *)a)->name, (*(PoolVolumeUsage *const *)b)->name);
}

static void add_volume(PoolUsage *usage, LvmLv *lv, const char *const *chosen)
{
  PoolVolumeUsage *volume = g_new0(PoolVolumeUsage, 1);

  volume->name = g_strdup(lvm_lv_name(lv));
  volume->device_id = lvm_thin_device(lv);
  volume->chosen = !chosen || g_strv_contains(chosen, volume->name);
  g_ptr_array_add(usage->volumes, volume);
}

static gboolean check_chosen(LvmVg *vg, LvmLv *pool, const char *const *chosen, GError **error)
{
  for (; chosen && *chosen; chosen++) {
    LvmLv *lv = pool_rules_find_thin(vg, *chosen, error);

    if (!lv)
      return FALSE;
    if (!pool_rules_is_in_pool(lv, lvm_lv_name(pool)))
      return vt_set_error(error, EINVAL, "volume %s/%s is in thin pool %s", lvm_vg_name(vg),
                          *chosen, lvm_thin_pool(lv));
  }
  return TRUE;
}

PoolUsage *pool_usage_begin(LvmVg *vg, LvmLv *pool, const char *const *chosen, GError **error)
{
  g_autoptr(GPtrArray) lvs = NULL;
  PoolUsage *usage;

  if (!check_chosen(vg, pool, chosen, error))
    return NULL;
  usage = g_new0(PoolUsage, 1);
  usage->pool = g_strdup(lvm_lv_name(pool));
  usage->volumes = g_ptr_array_new_with_free_func((GDestroyNotify)pool_volume_usage_free);
  lvs = lvm_vg_lvs(vg);
  for (guint i = 0; i < lvs->len; i++)
    if (pool_rules_is_in_pool(lvs->pdata[i], usage->pool))
      add_volume(usage, lvs->pdata[i], chosen);
  g_ptr_array_sort(usage->volumes, by_name);
  return usage;
}

static ThinUsageClass classify(guint32 id, gpointer data)
{
  const PoolVolumeUsage *volume = g_hash_table_lookup(data, GUINT_TO_POINTER(id));

  return !volume ? THIN_USAGE_STRAY : volume->chosen ? THIN_USAGE_CHOSEN : THIN_USAGE_KNOWN;
}

static void take(PoolUsage *usage, const ThinUsage *found)
{
  usage->used = found->allocated;
  usage->mapped = found->known;
  usage->strays = found->strays;
  usage->freed = found->freed;
  for (guint i = 0; i < usage->volumes->len; i++) {
    PoolVolumeUsage *volume = usage->volumes->pdata[i];
    const ThinUsageDevice *device = thin_usage_find(found, volume->device_id);

    volume->mapped = device ? device->mapped : 0;
    volume->exclusive = device ? device->exclusive : 0;
  }
}

gboolean pool_usage_read(VtIo *metadata, guint64 superblock, gpointer data, GError **error)
{
  PoolUsage *usage = data;
  g_autoptr(GHashTable) by_id = g_hash_table_new(NULL, NULL);
  g_auto(ThinUsage) found = {.superblock = superblock, .classify = classify, .data = by_id};
  g_autoptr(GError) local = NULL;

  for (guint i = 0; i < usage->volumes->len; i++) {
    PoolVolumeUsage *volume = usage->volumes->pdata[i];

    g_hash_table_insert(by_id, GUINT_TO_POINTER(volume->device_id), volume);
  }
  if (thin_usage(metadata, &found, &local))
    take(usage, &found);
  else if (!g_error_matches(local, VT_ERROR, ENOENT)) /* not yet formatted */
    return g_propagate_error(error, g_steal_pointer(&local)), FALSE;
  return TRUE;
}

PoolUsage *pool_usage_failed(const char *vg, const char *pool, GError **error)
{
  g_prefix_error(error, "telling who uses thin pool %s/%s: ", vg, pool ? pool : "");
  return NULL;
}
