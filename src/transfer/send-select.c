/* virt-thin - volumes of a thin pool to a stream: which ones, and in which order
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "cli/cli.h"
#include "pool/temporary.h"
#include "transfer/send-private.h"

void send_item_free(SendItem *item)
{
  stream_volume_free(item->volume);
  g_free(item->source);
  g_free(item->source_uuid);
  g_free(item->base);
  g_free(item->base_uuid);
  g_free(item);
}

const PoolVolumeInfo *send_find(const SendPlan *plan, const char *name)
{
  for (guint i = 0; i < plan->infos->len; i++)
    if (strcmp(((PoolVolumeInfo *)plan->infos->pdata[i])->name, name) == 0)
      return plan->infos->pdata[i];
  return NULL;
}

/* --- what is meant --- */

/* For one use, or of a receiving. */
static gboolean is_temporary(const PoolVolumeInfo *info)
{
  g_autofree char *receive = transfer_receive_id(info->name);

  return receive || pool_temporary_is(info) ||
         (info->snapshot_name && transfer_is_received_name(info->snapshot_name));
}

/* The volume whose snapshots count for @info. */
static const char *volume_of(const PoolVolumeInfo *info)
{
  return info->snapshot_of ? info->snapshot_of : info->name;
}

const PoolVolumeInfo *send_find_snapshot(const SendPlan *plan, const PoolVolumeInfo *info,
                                         const char *since)
{
  for (guint i = 0; i < plan->infos->len; i++) {
    const PoolVolumeInfo *snapshot = plan->infos->pdata[i];

    if (g_strcmp0(snapshot->snapshot_of, volume_of(info)) == 0 && snapshot->read_only &&
        (g_strcmp0(snapshot->snapshot_name, since) == 0 || strcmp(snapshot->name, since) == 0))
      return snapshot;
  }
  return NULL;
}

static int compare_age(const PoolVolumeInfo *a, const PoolVolumeInfo *b)
{
  if (a->creation_time != b->creation_time)
    return a->creation_time < b->creation_time ? -1 : 1;
  return a->device_id < b->device_id ? -1 : a->device_id > b->device_id;
}

/* The newest of those that the receiver has; NULL: it has not all. @missing: which. */
static const PoolVolumeInfo *find_since(const SendPlan *plan, const PoolVolumeInfo *info,
                                        const char **missing)
{
  const PoolVolumeInfo *newest = NULL;

  for (char **since = plan->since; *since; since++) {
    const PoolVolumeInfo *snapshot = send_find_snapshot(plan, info, *since);

    if (!snapshot) {
      *missing = *since;
      return NULL;
    }
    if (!newest || compare_age(snapshot, newest) > 0)
      newest = snapshot;
  }
  return newest;
}

static gboolean has_item(const SendPlan *plan, const PoolVolumeInfo *info)
{
  for (guint i = 0; i < plan->items->len; i++)
    if (((SendItem *)plan->items->pdata[i])->info == info)
      return TRUE;
  return FALSE;
}

static gboolean add_item(SendPlan *plan, const PoolVolumeInfo *info, const PoolVolumeInfo *since,
                         GError **error)
{
  SendItem *item;

  if (has_item(plan, info))
    return TRUE;
  if (info->damage)
    return vt_set_error(error, EBADMSG, "volume %s/%s cannot be sent: %s", info->vg, info->name,
                        info->damage);
  item = g_new0(SendItem, 1);
  item->info = info;
  item->since = since;
  g_ptr_array_add(plan->items, item);
  return TRUE;
}

/* The snapshots of @info that are newer than @since. */
static gboolean add_snapshots(SendPlan *plan, const PoolVolumeInfo *info,
                              const PoolVolumeInfo *since, GError **error)
{
  for (guint i = 0; i < plan->infos->len; i++) {
    const PoolVolumeInfo *snapshot = plan->infos->pdata[i];

    if (g_strcmp0(snapshot->snapshot_of, info->name) == 0 && !is_temporary(snapshot) &&
        (!since || compare_age(snapshot, since) > 0) && !add_item(plan, snapshot, since, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean add_named(SendPlan *plan, const SendWhat *what, const char *name, GError **error)
{
  const PoolVolumeInfo *info = send_find(plan, name), *since = NULL;
  const char *missing;

  if (!info)
    return vt_set_error(error, ENOENT, "thin pool %s/%s has no volume %s", plan->vg, what->pool,
                        name);
  if (plan->since && !(since = find_since(plan, info, &missing)))
    return vt_set_error(error, ENOENT,
                        "volume %s/%s has no snapshot %s to send the changes since: send it "
                        "without --since",
                        plan->vg, volume_of(info), missing);
  if (since == info)
    return vt_set_error(error, EINVAL, "%s/%s is to be sent, and the receiver is to have it",
                        plan->vg, name);
  return (!what->recursive || add_snapshots(plan, info, since, error)) &&
         add_item(plan, info, since, error);
}

static gboolean add_all(SendPlan *plan, GError **error)
{
  const char *missing;

  for (guint i = 0; i < plan->infos->len; i++) {
    const PoolVolumeInfo *info = plan->infos->pdata[i], *since = NULL;

    if (is_temporary(info))
      continue;
    if (plan->since && !(since = find_since(plan, info, &missing))) {
      if (!info->snapshot_of)
        cli_warn("%s/%s has no snapshot %s, and is not sent", plan->vg, info->name, missing);
      continue;
    }
    if (!(since && info->snapshot_of && compare_age(info, since) <= 0) &&
        !add_item(plan, info, since, error))
      return FALSE;
  }
  return TRUE;
}

/* --- in their order --- */

/* What is written to comes last: it is newer than it is old. */
static int compare_items(gconstpointer a, gconstpointer b)
{
  const PoolVolumeInfo *x = (*(SendItem *const *)a)->info, *y = (*(SendItem *const *)b)->info;

  return x->read_only != y->read_only ? (x->read_only ? -1 : 1) : compare_age(x, y);
}

static GStrv copy_tags(const PoolVolumeInfo *info)
{
  GPtrArray *tags = g_ptr_array_new();

  for (char **tag = info->tags; tag && *tag; tag++)
    if (!g_str_has_prefix(*tag, "virt-thin."))
      g_ptr_array_add(tags, g_strdup(*tag));
  g_ptr_array_add(tags, NULL);
  return (GStrv)g_ptr_array_free(tags, FALSE);
}

static StreamVolume *describe(const SendPlan *plan, const PoolVolumeInfo *info)
{
  StreamVolume *v = g_new0(StreamVolume, 1);

  v->name = g_strdup(info->name);
  v->kind = !info->read_only                      ? STREAM_VOLUME
            : info->snapshot_of || info->vmid < 0 ? STREAM_SNAPSHOT
                                                  : STREAM_TEMPLATE;
  if (v->kind == STREAM_SNAPSHOT) {
    v->snapshot_of = g_strdup(info->snapshot_of);
    v->snapshot_name = g_strdup(info->snapshot_name);
  }
  v->origin = g_strdup(info->origin);
  v->pool = g_strdup(info->pool);
  v->uuid = g_strdup(info->uuid);
  v->identity = transfer_identity(plan->vg_uuid, info);
  v->size = info->size;
  v->creation_time = info->creation_time;
  v->tags = copy_tags(info);
  return v;
}

/* The receiver's volume follows the newest snapshot, unless it is sent itself. */
static void mark_moves(SendPlan *plan)
{
  for (guint i = 0; i < plan->items->len; i++) {
    SendItem *item = plan->items->pdata[i];
    gboolean newest = item->since && item->volume->snapshot_of;

    for (guint j = 0; j < plan->items->len && newest; j++) {
      const PoolVolumeInfo *other = ((SendItem *)plan->items->pdata[j])->info;

      newest = strcmp(other->name, item->volume->snapshot_of) != 0 &&
               (j <= i || g_strcmp0(other->snapshot_of, item->volume->snapshot_of) != 0);
    }
    item->volume->moves = newest;
  }
}

gboolean send_select(SendPlan *plan, const SendWhat *what, GError **error)
{
  if (!what->volumes && !add_all(plan, error))
    return FALSE;
  for (const char *const *name = what->volumes; name && *name; name++)
    if (!add_named(plan, what, *name, error))
      return FALSE;
  if (plan->items->len == 0)
    return vt_set_error(error, ENOENT, "there is nothing to send in thin pool %s/%s", plan->vg,
                        what->pool);
  g_ptr_array_sort(plan->items, compare_items);
  for (guint i = 0; i < plan->items->len; i++) {
    SendItem *item = plan->items->pdata[i];

    item->volume = describe(plan, item->info);
  }
  mark_moves(plan);
  return TRUE;
}
