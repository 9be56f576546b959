/* virt-thin - volumes from a stream into a thin pool: does a volume fit what is there?
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a base is says its identity. Whether somebody has written to a volume that is to become as
 * the stream's snapshot the maps tell: as it was received it shares every chunk with a snapshot,
 * and a write ends that.
 */
#include <string.h>

#include "pool/users.h"
#include "transfer/receive-private.h"

void receive_item_free(ReceiveItem *item)
{
  g_free(item->temporary);
  g_free(item->there);
  g_free(item->kept);
  g_free(item->kept_name);
  g_free(item->into);
  g_free(item->source_tag);
  g_ptr_array_unref(item->tags);
  g_free(item);
}

/* --- what there is --- */

static const PoolVolumeInfo *find_name(const Receive *r, const char *name)
{
  for (guint i = 0; name && i < r->infos->len; i++)
    if (strcmp(((PoolVolumeInfo *)r->infos->pdata[i])->name, name) == 0)
      return r->infos->pdata[i];
  return NULL;
}

static gboolean is_in_pool(const Receive *r, const PoolVolumeInfo *info)
{
  return info->kind == POOL_VOLUME_THIN && g_strcmp0(info->pool, r->where->pool) == 0;
}

static const PoolVolumeInfo *find_identity(const Receive *r, const char *identity)
{
  for (guint i = 0; i < r->infos->len; i++) {
    const PoolVolumeInfo *info = r->infos->pdata[i];
    g_autofree char *its = is_in_pool(r, info) ? transfer_identity(r->vg_uuid, info) : NULL;

    if (g_strcmp0(its, identity) == 0)
      return info;
  }
  return NULL;
}

static gboolean find_base(Receive *r, ReceiveItem *item, GError **error)
{
  const StreamVolume *v = item->volume;
  const PoolVolumeInfo *info;

  if (v->base == STREAM_BASE_EARLIER) {
    item->there = g_strdup(((ReceiveItem *)r->items->pdata[v->base_index])->there);
    return TRUE;
  }
  if (v->base == STREAM_BASE_NONE)
    return TRUE;
  info = find_identity(r, v->base_identity);
  if (!info)
    return vt_set_error(error, ENOENT,
                        "%s is what has changed since a snapshot that thin pool %s/%s does not "
                        "have (identity %s): it was removed, or can be written to. Send from an "
                        "older snapshot that is on both sides, or all of it (without --since)",
                        v->name, r->vg, r->where->pool, v->base_identity);
  item->there = g_strdup(info->name);
  return TRUE;
}

/* --- is a volume as it was received? --- */

static gboolean is_same(Receive *r, const char *snapshot, const char *name, gboolean *same,
                        GError **error)
{
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(PoolDeltaRun));
  guint64 offset = 0;

  while (offset != G_MAXUINT64 && runs->len == 0)
    if (!pool_delta(r->group, snapshot, name, 0, &offset, 1, runs, error))
      return FALSE;
  *same = runs->len == 0;
  return TRUE;
}

static gboolean is_unwritten(Receive *r, const ReceiveItem *item, const PoolVolumeInfo *info,
                             gboolean *unwritten, GError **error)
{
  if (!is_same(r, item->there, info->name, unwritten, error))
    return FALSE;
  for (guint i = 0; i < r->infos->len && !*unwritten; i++) {
    const PoolVolumeInfo *snapshot = r->infos->pdata[i];

    if (is_in_pool(r, snapshot) && snapshot->read_only &&
        g_strcmp0(snapshot->snapshot_of, info->name) == 0 && strcmp(snapshot->name, item->there) &&
        !is_same(r, snapshot->name, info->name, unwritten, error))
      return FALSE;
  }
  return TRUE;
}

/* Whoever uses it is told before anything is sent; when all is there that is asked again. */
static gboolean check_unused(const PoolVolumeInfo *info, GError **error)
{
  g_autoptr(BlockScan) scan = NULL;
  g_autofree char *user = pool_volume_user(info, &scan);

  return !user || vt_set_error(error, EBUSY, "volume %s/%s, which is to follow, is in use by %s",
                               info->vg, info->name, user);
}

static gboolean set_into(Receive *r, ReceiveItem *item, const PoolVolumeInfo *info, GError **error)
{
  gboolean unwritten = TRUE;

  if (!check_unused(info, error))
    return FALSE;
  if (!r->where->force && !is_unwritten(r, item, info, &unwritten, error))
    return FALSE;
  if (!unwritten)
    return vt_set_error(
        error, ESTALE,
        "volume %s/%s was written to, and is as no snapshot of it: take one to keep "
        "that, or give it up with --force",
        r->vg, info->name);
  item->into = g_strdup(info->name);
  return TRUE;
}

/* --- names --- */

static gboolean is_replica(const Receive *r, const ReceiveItem *item, const PoolVolumeInfo *info)
{
  return item->there && is_in_pool(r, info) && !info->read_only && !info->snapshot_of;
}

static gboolean exists(const Receive *r, const StreamVolume *v, const PoolVolumeInfo *info,
                       GError **error)
{
  g_autofree char *identity = transfer_identity(r->vg_uuid, info);

  if (v->identity && g_strcmp0(identity, v->identity) == 0)
    return vt_set_error(error, EEXIST,
                        "%s/%s was received before: send what came after it, with "
                        "--since",
                        r->vg, v->name);
  return vt_set_error(error, EEXIST,
                      "there is a volume %s/%s already: rename or remove it, or send what has "
                      "changed since a snapshot that both sides have, with --since",
                      r->vg, v->name);
}

static gboolean check_volume(Receive *r, ReceiveItem *item, GError **error)
{
  const PoolVolumeInfo *info = find_name(r, item->volume->name);

  if (!info)
    return TRUE;
  if (item->volume->kind != STREAM_VOLUME || !is_replica(r, item, info))
    return exists(r, item->volume, info, error);
  item->named = FALSE;
  return set_into(r, item, info, error);
}

/* A snapshot beside a volume that it is none of would be one of it by its name. */
static gboolean check_snapshot(Receive *r, ReceiveItem *item, GError **error)
{
  const StreamVolume *v = item->volume;
  const PoolVolumeInfo *info = find_name(r, v->snapshot_of);

  if (!check_volume(r, item, error))
    return FALSE;
  if (!info)
    return TRUE;
  if (!is_replica(r, item, info))
    return vt_set_error(error, EEXIST,
                        "there is a volume %s/%s already, of which %s would be no snapshot: rename "
                        "or remove it, or send what has changed since a snapshot that both sides "
                        "have, with --since",
                        r->vg, v->snapshot_of, v->name);
  return !v->moves || set_into(r, item, info, error);
}

/* Of an earlier volume of this stream. */
static gboolean check_twice(const Receive *r, const StreamVolume *v, GError **error)
{
  for (guint i = 0; i < r->items->len; i++)
    if (strcmp(((ReceiveItem *)r->items->pdata[i])->volume->name, v->name) == 0)
      return vt_set_error(error, EBADMSG, "%s has two volumes %s", r->where->name, v->name);
  return TRUE;
}

static gboolean set_tags(ReceiveItem *item, GError **error)
{
  for (char **tag = item->volume->tags; *tag; tag++) {
    if (g_str_has_prefix(*tag, "virt-thin."))
      return vt_set_error(error, EBADMSG,
                          "volume %s in it has the tag %s, which is virt-thin's own",
                          item->volume->name, *tag);
    g_ptr_array_add(item->tags, *tag);
  }
  if (item->volume->identity && item->volume->kind != STREAM_VOLUME) {
    item->source_tag = g_strconcat(POOL_SOURCE_TAG, item->volume->identity, NULL);
    g_ptr_array_add(item->tags, item->source_tag);
  }
  g_ptr_array_add(item->tags, NULL);
  return TRUE;
}

ReceiveItem *receive_prepare(Receive *r, const StreamVolume *volume, guint index, GError **error)
{
  ReceiveItem *item = g_new0(ReceiveItem, 1);

  item->volume = volume;
  item->named = TRUE;
  item->temporary = transfer_receive_name(r->id, index);
  item->tags = g_ptr_array_new();
  if (volume->kind == STREAM_LINEAR)
    vt_set_error(error, EOPNOTSUPP, "%s is in no thin pool: unarchive makes such volumes",
                 volume->name);
  else if (check_twice(r, volume, error) && set_tags(item, error) && find_base(r, item, error) &&
           (volume->kind == STREAM_SNAPSHOT ? check_snapshot : check_volume)(r, item, error))
    return item;
  receive_item_free(item);
  return NULL;
}
