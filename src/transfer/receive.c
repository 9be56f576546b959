/* virt-thin - volumes from a stream into a thin pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "transfer/receive.h"

#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "transfer/receive-private.h"
#include "transfer/stream-private.h"

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

static gboolean remove_left_over(Receive *r, const ReceiveItem *item, GError **error)
{
  const char *const names[] = {item->temporary, NULL};
  g_autoptr(PoolVolumeInfo) info =
      r->there ? pool_get_volume(r->group, item->temporary, NULL) : NULL;

  return !info || pool_remove(r->group, names, FALSE, error);
}

static void describe(Receive *r, GVariant *dict)
{
  g_autoptr(GBytes) bytes = stream_dict_to_bytes(dict);
  gsize length;
  const guchar *data = g_bytes_get_data(bytes, &length);

  g_checksum_update(r->described, data, (gssize)length);
}

/* A volume that is there whole needs no opening. */
static gboolean begin_volume(Receive *r, const StreamRecord *record, GError **error)
{
  g_autofree char *opener = g_strdup_printf("virt-thin receive, pid %d", (int)getpid());
  ReceiveItem *item = receive_prepare(r, record->volume, record->index, error);
  gboolean there;

  if (item && r->there && !r->there_told) {
    receive_item_free(item);
    return vt_set_error(error, EBADMSG, "%s does not say where it goes on", r->where->name);
  }
  if (!item)
    return FALSE;
  r->passing |= item->volume->kind == STREAM_VOLUME;
  there = receive_is_there(r, record->index, &r->target_to);
  g_ptr_array_add(r->items, item);
  describe(r, record->dict);
  item->changed = there;
  if (!there && !(remove_left_over(r, item, error) && make_temporary(r, item, error)))
    return FALSE;
  if (there && r->target_to == 0)
    return TRUE;
  r->target_kept_to = r->target_to;
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
  r->target_to = to;
  cli_progress_update(r->progress, r->data);
  return receive_checkpoint(r, FALSE, error);
}

static gboolean write_zero(Receive *r, const StreamRecord *record, GError **error)
{
  r->target_to = record->offset + record->length;
  return vt_io_zero(r->target, record->offset, record->length, VT_IO_ZERO_MAY_UNMAP, error);
}

static gboolean end_volume(Receive *r, GError **error)
{
  gboolean ok = !r->target || vt_io_flush(r->target, error);

  g_clear_pointer(&r->target, vt_io_unref);
  return ok && receive_checkpoint(r, TRUE, error);
}

static gboolean take_record(Receive *r, const StreamRecord *record, GError **error)
{
  if (record->type == STREAM_DATA || record->type == STREAM_ZERO) {
    if (!r->target || record->offset < r->target_to)
      return vt_set_error(error, EBADMSG, "%s sends again what is there", r->where->name);
    ((ReceiveItem *)r->items->pdata[r->items->len - 1])->changed = TRUE;
  }
  switch (record->type) {
  case STREAM_DESCRIPTION: return receive_check_resumption(r, record->dict, error);
  case STREAM_BEGIN_VOLUME: return begin_volume(r, record, error);
  case STREAM_DATA: return write_data(r, record, error);
  case STREAM_ZERO: return write_zero(r, record, error);
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

/* The pool has what an earlier stream of this id has brought. */
static gboolean find_there(Receive *r, GError **error)
{
  r->there = transfer_kept(r->vg, r->where->pool, r->id);
  r->kept = transfer_kept(r->vg, r->where->pool, r->id);
  return r->there || vt_set_error(error, ENOENT,
                                  "%s goes on with one that thin pool %s/%s has nothing of: send "
                                  "from the beginning, without --resume",
                                  r->where->name, r->vg, r->where->pool);
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
  r->resumable = r->where->resumable || header->flags & STREAM_RESUMED;
  return check_room(r, header->estimate, error) &&
         (!(header->flags & STREAM_RESUMED) || find_there(r, error));
}

/* What is durable is kept, as far as that goes; TRUE: there is something. */
static gboolean keep(Receive *r)
{
  g_autoptr(GError) error = NULL;

  if (!r->resumable || !r->lock || (!r->kept && r->items->len == 0))
    return FALSE;
  if (r->target && !receive_checkpoint(r, TRUE, &error))
    cli_warn("%s", error->message);
  return r->kept != NULL;
}

static void end(Receive *r, gboolean keeping)
{
  cli_progress_free(r->progress);
  g_clear_pointer(&r->target, vt_io_unref);
  if (r->lock && !keeping) {
    receive_remove_temporary(r);
    transfer_forget(r->vg, r->id);
  }
  g_clear_pointer(&r->items, g_ptr_array_unref);
  g_clear_pointer(&r->infos, g_ptr_array_unref);
  g_clear_pointer(&r->reader, stream_reader_free);
  g_clear_pointer(&r->described, g_checksum_free);
  transfer_token_free(r->there);
  transfer_token_free(r->kept);
  transfer_unlock(r->lock);
  g_free(r->id);
  g_free(r->vg);
  g_free(r->vg_uuid);
}

gboolean transfer_receive(const ReceiveWhere *where, ReceiveResult *result, GError **error)
{
  Receive r = {.where = where, .group = where->group};
  StreamHeader header;
  gboolean ok, keeping;

  r.items = g_ptr_array_new_with_free_func((GDestroyNotify)receive_item_free);
  r.described = g_checksum_new(G_CHECKSUM_SHA256);
  ok = begin(&r, &header, error);
  if (ok)
    r.progress = cli_progress_new(header.estimate, "receiving into %s/%s", r.vg, where->pool);
  ok = ok && read_all(&r, error) && receive_publish(&r, error);
  keeping = !ok && keep(&r);
  *result = (ReceiveResult){.volumes = r.items->len,
                            .data = r.data,
                            .token = keeping ? transfer_token_format(r.kept) : NULL};
  end(&r, keeping);
  return ok;
}
