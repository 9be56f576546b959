/* virt-thin - volumes of a thin pool to a stream: what each is nearest to
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A volume that was rolled back is nearest to the snapshot it was rolled back to, whichever that
 * is. So each is compared with those of its family that went before it.
 */
#include <string.h>

#include "transfer/nearest.h"
#include "transfer/send-private.h"

#define MOST_CANDIDATES 64 /* the latest ones */
#define MOST_STEPS 100     /* from what is made from what */

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

/* Those of its family that went before it: the latest first; their number in the stream. */
static GArray *find_earlier(const SendPlan *plan, guint index)
{
  const SendItem *item = plan->items->pdata[index];
  GArray *earlier = g_array_new(FALSE, FALSE, sizeof(guint));

  for (guint i = index; i-- > 0 && earlier->len < MOST_CANDIDATES;)
    if (strcmp(((SendItem *)plan->items->pdata[i])->family, item->family) == 0)
      g_array_append_val(earlier, i);
  return earlier;
}

static gboolean choose(SendPlan *plan, guint index, GError **error)
{
  SendItem *item = plan->items->pdata[index];
  g_autoptr(GArray) earlier = find_earlier(plan, index);
  g_autoptr(GPtrArray) there = g_ptr_array_new(), candidates = g_ptr_array_new();
  guint which = 0;

  for (guint i = 0; i < earlier->len; i++)
    g_ptr_array_add(candidates,
                    ((SendItem *)plan->items->pdata[g_array_index(earlier, guint, i)])->source);
  for (char **since = plan->since; since && *since; since++)
    g_ptr_array_add(there, (gpointer)send_find_snapshot(plan, item->info, *since));
  for (guint i = 0; i < there->len; i++)
    g_ptr_array_add(candidates, ((PoolVolumeInfo *)there->pdata[i])->name);
  g_ptr_array_add(candidates, NULL);
  if (!transfer_nearest(plan->group, candidates, item->source, &which, &item->cost, error))
    return FALSE;
  if (which < earlier->len) {
    guint number = g_array_index(earlier, guint, which);
    const SendItem *base = plan->items->pdata[number];

    set_base(item, STREAM_BASE_EARLIER, number, base->source, base->source_uuid, NULL);
  } else if (which < earlier->len + there->len) {
    const PoolVolumeInfo *base = there->pdata[which - earlier->len];
    g_autofree char *identity = transfer_identity(plan->vg_uuid, base);

    set_base(item, STREAM_BASE_THERE, 0, base->name, base->uuid, identity);
  } else
    set_base(item, STREAM_BASE_NONE, 0, NULL, NULL, NULL);
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
