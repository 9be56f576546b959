/* virt-thin - for how many more snapshots a pool's metadata has room
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "pool/forecast.h"

#include <string.h>

#include "pool/rules.h"

#define LAST 10
#define BLOCK 4096
#define ENTRIES 48 /* bytes, at least, that any device takes in the trees of devices */

static gint compare_devices(gconstpointer a, gconstpointer b)
{
  guint32 x = lvm_thin_device(*(LvmLv *const *)a), y = lvm_thin_device(*(LvmLv *const *)b);

  return x < y ? -1 : x > y;
}

/* LVs; device ids only rise, so they are in the order in which they were taken. */
static GPtrArray *list_snapshots(LvmVg *vg, const char *pool)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);
  GPtrArray *snapshots = g_ptr_array_new();

  for (guint i = 0; i < lvs->len; i++)
    if (pool_rules_is_in_pool(lvs->pdata[i], pool) &&
        pool_rules_snapshot_of(lvs->pdata[i], NULL, NULL))
      g_ptr_array_add(snapshots, lvs->pdata[i]);
  g_ptr_array_sort(snapshots, compare_devices);
  return snapshots;
}

static gint64 find_previous(GPtrArray *snapshots, guint i)
{
  g_autofree char *volume = NULL;
  gint64 found;

  pool_rules_snapshot_of(snapshots->pdata[i], &volume, NULL);
  for (found = (gint64)i - 1; found >= 0; found--) {
    g_autofree char *its = NULL;

    pool_rules_snapshot_of(snapshots->pdata[found], &its, NULL);
    if (strcmp(its, volume) == 0)
      break;
  }
  return found;
}

/* Which of @snapshots are to be looked at, and which of these counted? */
enum { LOOK = 1, COUNT = 2 };
static guint8 *choose(GPtrArray *snapshots)
{
  guint8 *chosen = g_new0(guint8, snapshots->len + 1);

  for (guint i = snapshots->len > LAST ? snapshots->len - LAST : 0; i < snapshots->len; i++) {
    gint64 previous = find_previous(snapshots, i);

    chosen[i] |= LOOK | (previous >= 0 ? COUNT : 0);
    if (previous >= 0)
      chosen[previous] |= LOOK;
  }
  return chosen;
}

gboolean pool_forecast(PoolForecast *forecast, LvmVg *vg, const char *pool, PoolCountNewFunc func,
                       gpointer data, GError **error)
{
  g_autoptr(GPtrArray) snapshots = list_snapshots(vg, pool);
  g_autofree guint8 *chosen = choose(snapshots);
  g_autoptr(GByteArray) seen = g_byte_array_new();
  PoolForecast found = {0};
  guint64 n;

  *forecast = found;
  for (guint i = 0; i < snapshots->len; i++) {
    if (!chosen[i])
      continue;
    if (!func(data, lvm_thin_device(snapshots->pdata[i]), seen, &n, error))
      return FALSE;
    if (chosen[i] & COUNT) {
      found.n_snapshots++;
      found.bytes += n * BLOCK + ENTRIES;
    }
  }
  *forecast = found;
  return TRUE;
}

guint64 pool_forecast_left(const PoolForecast *forecast, guint64 size, guint64 used)
{
  if (!forecast->n_snapshots || used == G_MAXUINT64)
    return G_MAXUINT64;
  return (size - MIN(used, size)) * forecast->n_snapshots / forecast->bytes;
}

void pool_forecast_fill(const PoolForecast *forecast, PoolInfo *info)
{
  info->snapshots_counted = forecast->n_snapshots;
  info->snapshots_metadata = forecast->bytes;
  info->snapshots_left = pool_forecast_left(forecast, info->metadata_size, info->metadata_used);
}
