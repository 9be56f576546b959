/* virt-thin - volumes from a stream into a thin pool: names, in the end
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A volume that was sent as it was between two snapshots gets a snapshot here, too: the next
 * increment sees by it that nobody has written to the volume meanwhile, and removes it.
 */
#include <string.h>

#include "cli/cli.h"
#include "transfer/receive-private.h"
#include "util/name.h"

/* Only where there may be a next increment: with a snapshot that both sides have. */
static gboolean has_snapshot(const Receive *r, const ReceiveItem *item)
{
  if (item->there)
    return TRUE;
  for (guint i = 0; i < r->items->len; i++) {
    const ReceiveItem *other = r->items->pdata[i];

    if (g_strcmp0(other->volume->snapshot_of, item->volume->name) == 0)
      return TRUE;
  }
  return FALSE;
}

/* The base of @item, if it is in the stream, is read-only in the end. */
static gboolean is_as_a_snapshot(const Receive *r, const ReceiveItem *item)
{
  const StreamVolume *v = item->volume;
  const ReceiveItem *base;

  if (v->base != STREAM_BASE_EARLIER)
    return !item->changed;
  base = r->items->pdata[v->base_index];
  return !item->changed && base->volume->snapshot_of &&
         strcmp(base->volume->snapshot_of, v->name) == 0;
}

static gboolean keep(Receive *r, ReceiveItem *item, guint index, GError **error)
{
  g_autofree char *name = transfer_received_name(r->id), *snapshot = NULL;

  if (item->volume->kind != STREAM_VOLUME || is_as_a_snapshot(r, item) || !has_snapshot(r, item))
    return TRUE;
  snapshot = g_strdup_printf("snap_%s_%s", item->volume->name, name);
  if (!vt_lv_name_check(snapshot, NULL)) /* the volume's own is that long */
    return TRUE;
  item->kept_name = g_steal_pointer(&snapshot);
  item->kept = transfer_receive_name(r->id, STREAM_MAX_VOLUMES + index);
  return pool_clone(r->group, item->temporary, item->kept, 0, error);
}

static void add(GArray *all, const ReceiveItem *item)
{
  const StreamVolume *v = item->volume;
  const PoolPublication one = {.name = item->temporary,
                               .new_name = item->named ? v->name : NULL,
                               .snapshot_of = v->snapshot_of,
                               .origin = v->origin,
                               .sealed = v->kind != STREAM_VOLUME,
                               .tags = (const char *const *)item->tags->pdata,
                               .into = item->into};
  const PoolPublication kept = {.name = item->kept,
                                .new_name = item->kept_name,
                                .snapshot_of = v->name,
                                .origin = v->name,
                                .sealed = TRUE};

  g_array_append_val(all, one);
  if (item->kept)
    g_array_append_val(all, kept);
}

/* Snapshots of what was there before, which an earlier receiving has kept. */
static void add_kept_before(const Receive *r, const char *volume, GPtrArray *names)
{
  for (guint i = 0; i < r->infos->len; i++) {
    const PoolVolumeInfo *info = r->infos->pdata[i];

    if (g_strcmp0(info->snapshot_of, volume) == 0 && transfer_is_received_name(info->snapshot_name))
      g_ptr_array_add(names, info->name);
  }
}

static void remove_all(Receive *r, GPtrArray *names, const char *what)
{
  g_autoptr(GError) error = NULL;

  if (names->len == 0)
    return;
  g_ptr_array_add(names, NULL);
  if (!pool_remove(r->group, (const char *const *)names->pdata, FALSE, &error))
    cli_warn("%s/%s%s, %s, stays for now: %s", r->vg, (const char *)names->pdata[0],
             names->len > 2 ? " and others" : "", what, error->message);
}

gboolean receive_publish(Receive *r, GError **error)
{
  g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(PoolPublication));
  g_autoptr(GPtrArray) before = g_ptr_array_new();

  for (guint i = 0; i < r->items->len; i++) {
    ReceiveItem *item = r->items->pdata[i];

    if (!keep(r, item, i, error))
      return FALSE;
    add(all, item);
    if (item->into)
      add_kept_before(r, item->into, before);
  }
  if (all->len > 0 && !pool_publish(r->group, (const PoolPublication *)all->data, all->len, error))
    return FALSE;
  remove_all(r, before, "which kept what an earlier stream had");
  return TRUE;
}

void receive_remove_temporary(Receive *r)
{
  g_autoptr(GPtrArray) infos = pool_list_volumes(r->group, r->where->pool, NULL),
                       names = g_ptr_array_new();

  for (guint i = 0; infos && i < infos->len; i++) {
    PoolVolumeInfo *info = infos->pdata[i];
    g_autofree char *id = transfer_receive_id(info->name);

    if (g_strcmp0(id, r->id) == 0)
      g_ptr_array_add(names, info->name);
  }
  remove_all(r, names, "which was received in part");
}
