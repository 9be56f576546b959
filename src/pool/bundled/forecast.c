/* virt-thin - the bundled pool: for how many more snapshots its metadata has room
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a snapshot costs is what its volume writes afterwards, and shows with the next one: the
 * blocks of that one's map that none before it had. The last ten snapshots say what the next will
 * cost. The first of a volume says nothing, for it is the volume as it was.
 */
#include "pool/bundled/bundled-private.h"

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

static gboolean count(BundledPool *pool, GPtrArray *snapshots, BundledForecast *forecast)
{
  g_autofree guint8 *chosen = choose(snapshots);
  g_autoptr(GByteArray) seen = g_byte_array_new();
  guint64 n;

  for (guint i = 0; i < snapshots->len; i++) {
    if (!chosen[i])
      continue;
    if (!thin_pool_count_new_blocks(pool->thin, lvm_thin_device(snapshots->pdata[i]), seen, &n,
                                    NULL))
      return FALSE;
    if (chosen[i] & COUNT) {
      forecast->n_snapshots++;
      forecast->bytes += n * BLOCK + ENTRIES;
    }
  }
  return TRUE;
}

void bundled_forecast(Bundled *b, BundledPool *pool)
{
  BundledForecast *forecast = &pool->forecast;
  g_autoptr(GPtrArray) snapshots = NULL;

  if (forecast->known && forecast->seqno == lvm_vg_seqno(lvm_store_vg(b->store)))
    return;
  snapshots = list_snapshots(lvm_store_vg(b->store), pool->name);
  *forecast = (BundledForecast){.known = TRUE, .seqno = lvm_vg_seqno(lvm_store_vg(b->store))};
  if (!count(pool, snapshots, forecast)) /* damaged, which is told elsewhere */
    forecast->n_snapshots = forecast->bytes = 0;
}

guint64 bundled_room_for_snapshots(const BundledForecast *forecast, const ThinStatus *status)
{
  if (!forecast->n_snapshots)
    return G_MAXUINT64;
  return (status->metadata_size - MIN(status->metadata_used, status->metadata_size)) *
         forecast->n_snapshots / forecast->bytes;
}
