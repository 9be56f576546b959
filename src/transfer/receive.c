/* virt-thin - volumes from a stream into a thin pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "transfer/receive.h"

#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "transfer/receive-private.h"

/* --- a volume --- */

/* As its base, in its own size. */
static gboolean make_clone(Receive *r, const char *base, ReceiveItem *item, GError **error)
{
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(r->group, base, error);
  guint64 size = item->volume->size;

  if (!info)
    return FALSE;
  item->changed = size != info->size;
  if (size >= info->size)
    return pool_clone(r->group, base, item->temporary, size, error);
  return pool_clone(r->group, base, item->temporary, 0, error) &&
         pool_resize(r->group, item->temporary, size, TRUE, error);
}

static gboolean make_temporary(Receive *r, ReceiveItem *item, GError **error)
{
  const StreamVolume *v = item->volume;

  switch (v->base) {
  case STREAM_BASE_EARLIER:
    return make_clone(r, ((ReceiveItem *)r->items->pdata[v->base_index])->temporary, item, error);
  case STREAM_BASE_THERE: return make_clone(r, item->there, item, error);
  default:
    item->changed = TRUE;
    return pool_create(r->group, r->where->pool, item->temporary, v->size, error);
  }
}

static gboolean begin_volume(Receive *r, const StreamRecord *record, GError **error)
{
  g_autofree char *opener = g_strdup_printf("virt-thin receive, pid %d", (int)getpid());
  ReceiveItem *item = receive_prepare(r, record->volume, record->index, error);

  if (!item)
    return FALSE;
  g_ptr_array_add(r->items, item);
  if (make_temporary(r, item, error))
    r->target = pool_volume_open(r->group, item->temporary, FALSE, opener, error);
  return r->target != NULL;
}

/* What of the chunk at @offset is not in [from, to) becomes zero, if nothing was there: without
 * that it would show what the chunk held. */
static gboolean cover(Receive *r, guint64 chunk, guint64 from, guint64 to, GError **error)
{
  guint64 size = vt_io_size(r->target), end = MIN(chunk + r->chunk_size, size), length;
  gboolean mapped = TRUE;

  if (chunk >= end || (from <= chunk && to >= end))
    return TRUE;
  if (!vt_io_extent(r->target, chunk, end - chunk, &length, &mapped, error))
    return FALSE;
  return mapped || vt_io_write_zeros(r->target, chunk, end - chunk, error);
}

static gboolean write_data(Receive *r, const StreamRecord *record, GError **error)
{
  guint64 from = record->offset, to = from + record->length;

  if (!r->zeroes && (!cover(r, from - from % r->chunk_size, from, to, error) ||
                     !cover(r, (to - 1) - (to - 1) % r->chunk_size, from, to, error)))
    return FALSE;
  if (!vt_io_write(r->target, record->data, record->length, from, error))
    return FALSE;
  r->data += record->length;
  cli_progress_update(r->progress, r->data);
  return TRUE;
}

static gboolean end_volume(Receive *r, GError **error)
{
  gboolean ok = vt_io_flush(r->target, error);

  g_clear_pointer(&r->target, vt_io_unref);
  return ok;
}

static gboolean take_record(Receive *r, const StreamRecord *record, GError **error)
{
  if (record->type == STREAM_DATA || record->type == STREAM_ZERO)
    ((ReceiveItem *)r->items->pdata[r->items->len - 1])->changed = TRUE;
  switch (record->type) {
  case STREAM_BEGIN_VOLUME: return begin_volume(r, record, error);
  case STREAM_DATA: return write_data(r, record, error);
  case STREAM_ZERO:
    return vt_io_zero(r->target, record->offset, record->length, VT_IO_ZERO_MAY_UNMAP, error);
  case STREAM_END_VOLUME: return end_volume(r, error);
  default: return TRUE;
  }
}

static gboolean read_all(Receive *r, GError **error)
{
  StreamRecord record;

  do {
    if (!stream_read(r->reader, &record, error) || !take_record(r, &record, error))
      return FALSE;
  } while (record.type != STREAM_END);
  return TRUE;
}

/* --- all of it --- */

static gboolean look(Receive *r, GError **error)
{
  g_autoptr(PoolVgInfo) vg = pool_get_vg_info(r->group, error);
  g_autoptr(PoolInfo) pool = vg ? pool_get_info(r->group, r->where->pool, error) : NULL;

  if (!pool)
    return FALSE;
  r->vg = g_strdup(vg->name);
  r->vg_uuid = g_strdup(vg->uuid);
  r->chunk_size = pool->chunk_size;
  r->zeroes = pool->zeroes;
  transfer_clean_up(r->group);
  r->infos = pool_list_volumes(r->group, NULL, error);
  return r->infos != NULL;
}

/* Filled to the brim a pool would stop guests that are in it. How far the kernel's pools grow by
 * themselves nobody knows. */
static gboolean check_room(Receive *r, guint64 estimate, GError **error)
{
  g_autoptr(PoolInfo) pool = pool_get_info(r->group, r->where->pool, error);
  g_autofree char *wanted = NULL, *free_text = NULL;
  guint64 free;

  if (!pool)
    return FALSE;
  free = MAX(pool->size, pool->max_size) - MIN(pool->used, pool->size);
  if (pool->used == G_MAXUINT64 || estimate <= free ||
      (pool_get_holder(r->group) == POOL_HOLDER_KERNEL && pool->grows_at < 100))
    return TRUE;
  wanted = cli_size(estimate);
  free_text = cli_size(free);
  return vt_set_error(
      error, ENOSPC,
      "it is up to %s of data, and thin pool %s/%s has %s free: make it larger with "
      "virt-thin resize",
      wanted, r->vg, r->where->pool, free_text);
}

static gboolean begin(Receive *r, StreamHeader *header, GError **error)
{
  r->reader = stream_reader_new(r->where->fd, r->where->name, header, error);
  if (!r->reader)
    return FALSE;
  if (header->flags & STREAM_ARCHIVE)
    return vt_set_error(error, EOPNOTSUPP, "%s is an archive: virt-thin unarchive takes it",
                        r->where->name);
  r->id = transfer_format_id(header->id);
  if (!look(r, error))
    return FALSE;
  r->lock = transfer_lock(r->vg, r->id, error);
  if (!r->lock) {
    g_prefix_error(error, "this stream cannot be received: ");
    return FALSE;
  }
  return check_room(r, header->estimate, error);
}

static void end(Receive *r)
{
  cli_progress_free(r->progress);
  g_clear_pointer(&r->target, vt_io_unref);
  if (r->lock)
    receive_remove_temporary(r);
  g_clear_pointer(&r->items, g_ptr_array_unref);
  g_clear_pointer(&r->infos, g_ptr_array_unref);
  g_clear_pointer(&r->reader, stream_reader_free);
  transfer_unlock(r->lock);
  g_free(r->id);
  g_free(r->vg);
  g_free(r->vg_uuid);
}

gboolean transfer_receive(const ReceiveWhere *where, ReceiveResult *result, GError **error)
{
  Receive r = {.where = where, .group = where->group};
  StreamHeader header;
  gboolean ok;

  r.items = g_ptr_array_new_with_free_func((GDestroyNotify)receive_item_free);
  ok = begin(&r, &header, error);
  if (ok)
    r.progress = cli_progress_new(header.estimate, "receiving into %s/%s", r.vg, where->pool);
  ok = ok && read_all(&r, error) && receive_publish(&r, error);
  *result = (ReceiveResult){r.items->len, r.data};
  end(&r);
  return ok;
}
