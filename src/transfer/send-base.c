/* virt-thin - volumes of a thin pool to a stream: what each is nearest to
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A volume that was rolled back is nearest to the snapshot it was rolled back to, whichever that
 * is. So each is compared with those of its family that went before it, by the maps alone; one that
 * is farther away than the nearest so far is left as soon as that shows.
 */
#include <string.h>

#include "image/interrupt.h"
#include "transfer/send-private.h"

#define MOST_CANDIDATES 64 /* the latest ones */
#define MOST_STEPS 100     /* from what is made from what */
#define RUNS 1024

/* *cost: the bytes that @right has otherwise than @left, or @most when it is no less. */
static gboolean compare(SendPlan *plan, const char *left, const char *right, guint64 most,
                        guint64 *cost, GError **error)
{
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(PoolDeltaRun));
  guint64 offset = 0;

  *cost = 0;
  while (offset != G_MAXUINT64 && *cost < most) {
    g_array_set_size(runs, 0);
    if (!image_check_interrupt(error) ||
        !pool_delta(plan->group, left, right, 0, &offset, RUNS, runs, error))
      return FALSE;
    for (guint i = 0; i < runs->len; i++) {
      const PoolDeltaRun *run = &g_array_index(runs, PoolDeltaRun, i);

      if (run->kind != POOL_DELTA_LEFT_ONLY)
        *cost += run->length;
    }
  }
  *cost = MIN(*cost, most);
  return TRUE;
}

static const char *made_from(const SendPlan *plan, const char *name)
{
  const PoolVolumeInfo *info = send_find(plan, name);

  return !info ? NULL : info->snapshot_of ? info->snapshot_of : info->origin;
}

/* What a family has in common: the volume that all of it was made from, which may be gone. lvm2
 * runs in a circle where a volume was rolled back: its origin is its snapshot; then it is the name
 * that comes first in there. */
static const char *family_of(const SendPlan *plan, const char *name)
{
  const char *from, *first;

  for (guint i = 0; i < MOST_STEPS; i++) {
    from = made_from(plan, name);
    if (!from)
      return name;
    name = from;
  }
  first = name;
  for (guint i = 0; i < MOST_STEPS; i++) {
    name = made_from(plan, name);
    first = strcmp(name, first) < 0 ? name : first;
  }
  return first;
}

static void set_base(SendItem *item, StreamBase base, guint index, const char *name,
                     const char *uuid, const char *identity)
{
  StreamVolume *v = item->volume;

  v->base = base;
  v->base_index = index;
  g_free(v->base_identity);
  v->base_identity = g_strdup(identity);
  g_free(item->base);
  item->base = g_strdup(name);
  g_free(item->base_uuid);
  item->base_uuid = g_strdup(uuid);
}

static gboolean try_there(SendPlan *plan, SendItem *item, const PoolVolumeInfo *there,
                          GError **error)
{
  g_autofree char *identity = transfer_identity(plan->vg_uuid, there);
  guint64 cost;

  if (!compare(plan, there->name, item->source, item->cost, &cost, error))
    return FALSE;
  if (cost >= item->cost)
    return TRUE;
  item->cost = cost;
  set_base(item, STREAM_BASE_THERE, 0, there->name, there->uuid, identity);
  return TRUE;
}

static gboolean try_earlier(SendPlan *plan, SendItem *item, guint index, GError **error)
{
  const SendItem *earlier = plan->items->pdata[index];
  guint64 cost;

  if (!compare(plan, earlier->source, item->source, item->cost, &cost, error))
    return FALSE;
  if (cost >= item->cost)
    return TRUE;
  item->cost = cost;
  set_base(item, STREAM_BASE_EARLIER, index, earlier->source, earlier->source_uuid, NULL);
  return TRUE;
}

static gboolean choose(SendPlan *plan, guint index, GError **error)
{
  SendItem *item = plan->items->pdata[index];
  guint tried = 0;
  guint64 cost;

  item->cost = G_MAXUINT64;
  for (guint i = index; i-- > 0 && tried < MOST_CANDIDATES && item->cost > 0;) {
    const SendItem *earlier = plan->items->pdata[i];

    if (strcmp(earlier->family, item->family) != 0)
      continue;
    tried++;
    if (!try_earlier(plan, item, i, error))
      return FALSE;
  }
  for (char **since = plan->since; since && *since && item->cost > 0; since++)
    if (!try_there(plan, item, send_find_snapshot(plan, item->info, *since), error))
      return FALSE;
  if (!compare(plan, NULL, item->source, item->cost, &cost, error))
    return FALSE;
  if (cost < item->cost)
    set_base(item, STREAM_BASE_NONE, 0, NULL, NULL, NULL);
  item->cost = MIN(cost, item->cost);
  return TRUE;
}

gboolean send_choose_bases(SendPlan *plan, GError **error)
{
  for (guint i = 0; i < plan->items->len; i++) {
    SendItem *item = plan->items->pdata[i];

    item->family = family_of(plan, item->info->name);
  }
  for (guint i = 0; i < plan->items->len; i++) {
    if (!choose(plan, i, error))
      return FALSE;
    plan->estimate += ((SendItem *)plan->items->pdata[i])->cost;
  }
  return TRUE;
}
