/* virt-thin - the snapshots since which a volume's changes can be told
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/snapshots.h"

/* A thin pool's next volume has a higher number than all that it has, by lvm2 and by us, and a
 * snapshot keeps its own: so these tell which is older, also where a clock was set back, or none
 * was asked. */
static gint by_device(gconstpointer a, gconstpointer b)
{
  guint32 x = (*(PoolVolumeInfo *const *)a)->device_id,
          y = (*(PoolVolumeInfo *const *)b)->device_id;

  return x < y ? -1 : x > y;
}

static gboolean is_snapshot_before(const PoolVolumeInfo *snapshot, const PoolVolumeInfo *volume)
{
  const char *of = volume->snapshot_of ?: volume->name;

  return snapshot->kind == POOL_VOLUME_THIN && snapshot->read_only && snapshot->snapshot_name &&
         g_strcmp0(snapshot->snapshot_of, of) == 0 &&
         g_strcmp0(snapshot->pool, volume->pool) == 0 &&
         (!volume->snapshot_of || snapshot->device_id < volume->device_id);
}

GPtrArray *pool_snapshots_before(GPtrArray *volumes, const PoolVolumeInfo *volume)
{
  g_autoptr(GHashTable) named = g_hash_table_new(g_str_hash, g_str_equal); /* name -> how many */
  GPtrArray *found = g_ptr_array_new();

  if (volume->kind != POOL_VOLUME_THIN)
    return found;
  for (guint i = 0; i < volumes->len; i++) {
    PoolVolumeInfo *info = volumes->pdata[i];
    guint n;

    if (!is_snapshot_before(info, volume))
      continue;
    n = GPOINTER_TO_UINT(g_hash_table_lookup(named, info->snapshot_name));
    g_hash_table_insert(named, info->snapshot_name, GUINT_TO_POINTER(n + 1));
    g_ptr_array_add(found, info);
  }
  for (guint i = found->len; i-- > 0;) {
    const PoolVolumeInfo *info = found->pdata[i];

    if (GPOINTER_TO_UINT(g_hash_table_lookup(named, info->snapshot_name)) > 1)
      g_ptr_array_remove_index(found, i);
  }
  g_ptr_array_sort(found, by_device);
  return found;
}
