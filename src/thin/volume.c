/* virt-thin - a thin device opened for I/O: its locks, its translations, reading, flushing
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "thin/gather.h"
#include "thin/pool-private.h"

#define LOOKUPS_AT_A_TIME 64 /* of extents, under one hold of the metadata lock */

/* --- open, close --- */

/* glibc's default lets readers starve a writer: a provision would never get its chunk under a busy
 * reader. No thread takes a stripe twice. */
static void init_stripes(ThinVolume *volume)
{
  pthread_rwlockattr_t attr;
  pthread_rwlockattr_init(&attr);
  pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  for (guint i = 0; i < THIN_STRIPES; i++)
    pthread_rwlock_init(&volume->stripes[i].lock, &attr);
  pthread_rwlockattr_destroy(&attr);
}

static ThinVolume *volume_new(ThinPool *pool, guint32 id, guint64 size, gboolean read_only)
{
  ThinVolume *volume = aligned_alloc(G_ALIGNOF(ThinVolume), sizeof *volume);
  if (!volume) /* no memory */
    g_error("cannot reserve %" G_GSIZE_FORMAT " bytes", sizeof *volume);
  memset(volume, 0, sizeof *volume);
  volume->pool = pool;
  volume->id = id;
  volume->size = size;
  volume->read_only = read_only || pool->read_only;
  init_stripes(volume);
  return volume;
}

/* ... under the metadata lock. */
static ThinVolume *open_locked(ThinPool *pool, guint32 id, guint64 size, gboolean read_only,
                               GError **error)
{
  if (g_hash_table_contains(pool->volumes, GUINT_TO_POINTER(id))) {
    vt_set_error(error, EBUSY, "%s: thin device %u is open already", vt_io_name(pool->metadata),
                 id);
    return NULL;
  }
  ThinDevice device;
  g_autoptr(GError) cause = NULL;
  if (!thin_metadata_get_device(pool->md, id, &device, &cause)) {
    /* Damaged details do not keep what the map still tells from being read. */
    if (!pool->read_only || vt_error_to_errno(cause) == ENOENT) {
      g_propagate_error(error, g_steal_pointer(&cause));
      return NULL;
    }
  }
  ThinVolume *volume = volume_new(pool, id, size, read_only);
  volume->tag = translations_new_tag(pool->translations);
  if (!pool->read_only && thin_metadata_device_changed(pool->md, id))
    volume->changed_in = pool->transaction;
  g_hash_table_insert(pool->volumes, GUINT_TO_POINTER(id), volume);
  return volume;
}

ThinVolume *thin_volume_open(ThinPool *pool, guint32 id, guint64 size, gboolean read_only,
                             GError **error)
{
  if (size % 512 != 0 || size > G_MAXINT64) {
    vt_set_error(error, EINVAL,
                 "%s: cannot open thin device %u with a size of %" G_GUINT64_FORMAT
                 " bytes: not a multiple of 512, or too large",
                 vt_io_name(pool->metadata), id, size);
    return NULL;
  }
  pthread_mutex_lock(&pool->admin);
  pthread_mutex_lock(&pool->meta);
  ThinVolume *volume = open_locked(pool, id, size, read_only, error);
  pthread_mutex_unlock(&pool->meta);
  pthread_mutex_unlock(&pool->admin);
  return volume;
}

void thin_volume_close(ThinVolume *volume)
{
  if (!volume)
    return;
  ThinPool *pool = volume->pool;
  pthread_mutex_lock(&pool->admin);
  pthread_mutex_lock(&pool->meta);
  g_hash_table_remove(pool->volumes, GUINT_TO_POINTER(volume->id));
  pthread_mutex_unlock(&pool->meta);
  pthread_mutex_unlock(&pool->admin);
  for (guint i = 0; i < THIN_STRIPES; i++)
    pthread_rwlock_destroy(&volume->stripes[i].lock);
  free(volume);
}

guint32 thin_volume_id(ThinVolume *volume)
{
  return volume->id;
}

guint64 thin_volume_size(ThinVolume *volume)
{
  return __atomic_load_n(&volume->size, __ATOMIC_ACQUIRE);
}

guint64 thin_volume_n_chunks(ThinVolume *volume)
{
  guint64 chunk_size = volume->pool->chunk_size;
  return (thin_volume_size(volume) + chunk_size - 1) / chunk_size;
}

/* --- locks --- */

static void lock_stripes(ThinVolume *volume, guint begin, guint end, gboolean write)
{
  for (guint i = begin; i < end; i++)
    if (write)
      pthread_rwlock_wrlock(&volume->stripes[i].lock);
    else
      pthread_rwlock_rdlock(&volume->stripes[i].lock);
}

static void unlock_stripes(ThinVolume *volume, guint begin, guint end)
{
  for (guint i = end; i > begin; i--)
    pthread_rwlock_unlock(&volume->stripes[i - 1].lock);
}

void thin_volume_lock_range(ThinVolume *volume, guint64 begin, guint64 end, gboolean write)
{
  lock_stripes(volume, begin % THIN_STRIPES, (end - 1) % THIN_STRIPES + 1, write);
}

void thin_volume_unlock_range(ThinVolume *volume, guint64 begin, guint64 end)
{
  unlock_stripes(volume, begin % THIN_STRIPES, (end - 1) % THIN_STRIPES + 1);
}

void thin_volume_quiesce(ThinVolume *volume)
{
  lock_stripes(volume, 0, THIN_STRIPES, TRUE);
}

void thin_volume_unquiesce(ThinVolume *volume)
{
  unlock_stripes(volume, 0, THIN_STRIPES);
}

/* --- checks --- */

gboolean thin_volume_check_range(ThinVolume *volume, const char *verb, guint64 offset,
                                 guint64 length, GError **error)
{
  guint64 size = thin_volume_size(volume);
  if (G_LIKELY(offset <= size && length <= size - offset))
    return TRUE;
  return vt_set_error(error, EINVAL,
                      "%s: cannot %s %" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT
                      " of thin device %u: it ends at %" G_GUINT64_FORMAT,
                      vt_io_name(volume->pool->metadata), verb, length, offset, volume->id, size);
}

gboolean thin_volume_check_writable(ThinVolume *volume, GError **error)
{
  if (G_UNLIKELY(volume->read_only))
    return vt_set_error(error, EROFS, "%s: thin device %u is open read-only",
                        vt_io_name(volume->pool->metadata), volume->id);
  return G_LIKELY(!thin_pool_has_failed(volume->pool)) ||
         thin_pool_check_writable(volume->pool, error);
}

/* --- translation --- */

/* One lookup that looks ahead of @end, so that what follows is found in the cache. What damage lies
 * there is not the caller's business. */
static gboolean lookup_ahead(ThinVolume *volume, guint64 begin, guint64 end, ThinRun *run,
                             GError **error)
{
  guint64 ahead = MAX(end, MIN(begin + THIN_LOOKAHEAD, thin_volume_n_chunks(volume)));
  g_autoptr(GError) cause = NULL;
  if (thin_metadata_lookup(volume->pool->md, volume->id, begin, ahead, run, &cause))
    return TRUE;
  if (ahead > end)
    return thin_metadata_lookup(volume->pool->md, volume->id, begin, end, run, error);
  g_propagate_error(error, g_steal_pointer(&cause));
  return FALSE;
}

static gboolean translate_locked(ThinVolume *volume, guint64 begin, guint64 end, Translation *map,
                                 GError **error)
{
  ThinPool *pool = volume->pool;
  while (begin < end) {
    ThinRun run;
    if (!lookup_ahead(volume, begin, end, &run, error))
      return FALSE;
    for (guint64 i = run.begin; i < run.end; i++) {
      Translation t = {.chunk = 0, .state = TRANSLATION_UNMAPPED};
      if (run.mapped)
        t = (Translation){.chunk = run.chunk + (i - run.begin),
                          .state = run.shared ? TRANSLATION_SHARED : TRANSLATION_OWNED};
      if (!pool->aborted)
        translations_put(pool->translations, volume->tag, i, t);
      if (i < end)
        *map++ = t;
    }
    begin = run.end;
  }
  return TRUE;
}

gboolean thin_volume_translate(ThinVolume *volume, guint64 begin, guint64 end, gboolean exact,
                               Translation *map, GError **error)
{
  ThinPool *pool = volume->pool;
  /* After a failure the cache holds what was never committed. */
  for (; begin < end && !thin_pool_has_failed(pool); begin++, map++) {
    *map = translations_get(pool->translations, volume->tag, begin);
    if (map->state == TRANSLATION_NONE || (exact && map->state == TRANSLATION_SHARED))
      break;
  }
  if (G_LIKELY(begin == end))
    return TRUE;
  pthread_mutex_lock(&pool->meta);
  gboolean ok = translate_locked(volume, begin, end, map, error);
  pthread_mutex_unlock(&pool->meta);
  return ok;
}

/* --- the shortest way --- */

/* Most I/O lies within one chunk that is in the cache and needs no change. FALSE: this is none of
 * it, go the long way; nothing has been done. */
gboolean thin_volume_direct_io(ThinVolume *volume, const struct iovec *iov, int n_iov,
                               guint64 offset, guint64 length, gboolean write, gboolean *ok,
                               GError **error)
{
  ThinPool *pool = volume->pool;
  guint64 chunk = thin_pool_chunk_of(pool, offset), skip = offset - chunk * pool->chunk_size;
  if (length == 0 || skip + length > pool->chunk_size)
    return FALSE;
  pthread_rwlock_t *lock = &volume->stripes[chunk % THIN_STRIPES].lock;
  pthread_rwlock_rdlock(lock);
  Translation t = translations_get(pool->translations, volume->tag, chunk);
  gboolean direct = (t.state == TRANSLATION_OWNED || (t.state == TRANSLATION_SHARED && !write)) &&
                    offset + length <= thin_volume_size(volume) && !thin_pool_has_failed(pool);
  if (direct && write) {
    *ok = vt_io_writev(pool->data, iov, n_iov, t.chunk * pool->chunk_size + skip, error);
    thin_pool_set_dirty(pool);
  } else if (direct) {
    *ok = vt_io_readv(pool->data, iov, n_iov, t.chunk * pool->chunk_size + skip, error);
  }
  pthread_rwlock_unlock(lock);
  return direct;
}

/* --- reading --- */

static gboolean read_parts(ThinGather *gather, ThinCursor *cursor, gboolean mapped, guint64 length,
                           GError **error)
{
  while (length > 0) {
    struct iovec part = thin_cursor_next(cursor, length);
    if (!mapped)
      memset(part.iov_base, 0, part.iov_len);
    else if (!thin_gather_add(gather, part, error))
      return FALSE;
    length -= part.iov_len;
  }
  return TRUE;
}

static gboolean read_mapped(ThinVolume *volume, ThinCursor *cursor, const Translation *map,
                            guint64 offset, guint64 length, GError **error)
{
  ThinPool *pool = volume->pool;
  ThinGather gather;
  thin_gather_begin(&gather, pool->data, TRUE, 0);
  for (guint64 skip = offset - thin_pool_chunk_of(pool, offset) * pool->chunk_size; length > 0;
       skip = 0, map++) {
    guint64 part = MIN(length, pool->chunk_size - skip);
    gboolean mapped = map->state != TRANSLATION_UNMAPPED;
    if (mapped && !thin_gather_seek(&gather, map->chunk * pool->chunk_size + skip, error))
      return FALSE;
    if (!read_parts(&gather, cursor, mapped, part, error))
      return FALSE;
    length -= part;
  }
  return thin_gather_run(&gather, error);
}

static gboolean read_piece(ThinVolume *volume, ThinCursor *cursor, guint64 offset, guint64 length,
                           GError **error)
{
  Translation map[THIN_PIECE];
  guint64 begin = thin_pool_chunk_of(volume->pool, offset),
          end = thin_pool_chunk_of(volume->pool, offset + length - 1) + 1;
  thin_volume_lock_range(volume, begin, end, FALSE);
  gboolean ok = thin_volume_check_range(volume, "read", offset, length, error) &&
                thin_volume_translate(volume, begin, end, FALSE, map, error) &&
                read_mapped(volume, cursor, map, offset, length, error);
  thin_volume_unlock_range(volume, begin, end);
  return ok;
}

gboolean thin_volume_readv(ThinVolume *volume, const struct iovec *iov, int n_iov, guint64 offset,
                           GError **error)
{
  guint64 piece_size = THIN_PIECE * volume->pool->chunk_size, length = vt_iov_length(iov, n_iov);
  gboolean ok;
  if (thin_volume_direct_io(volume, iov, n_iov, offset, length, FALSE, &ok, error))
    return ok;
  if (!thin_volume_check_range(volume, "read", offset, length, error))
    return FALSE;
  ThinCursor cursor = {.iov = iov};
  while (length > 0) {
    guint64 part = MIN(length, piece_size - offset % piece_size);
    if (!read_piece(volume, &cursor, offset, part, error))
      return FALSE;
    offset += part;
    length -= part;
  }
  return TRUE;
}

gboolean thin_volume_read(ThinVolume *volume, void *buf, gsize length, guint64 offset,
                          GError **error)
{
  struct iovec iov = {buf, length};
  return thin_volume_readv(volume, &iov, 1, offset, error);
}

/* --- flush --- */

gboolean thin_volume_flush(ThinVolume *volume, GError **error)
{
  ThinPool *pool = volume->pool;
  if (pool->read_only)
    return TRUE;
  /* A volume opened read-only may have been written through an earlier handle. */
  if (__atomic_load_n(&volume->changed_in, __ATOMIC_ACQUIRE) >
      __atomic_load_n(&pool->committed, __ATOMIC_ACQUIRE))
    return thin_pool_commit_grouped(pool, error);
  return thin_pool_flush_data(pool, error);
}

/* --- extents --- */

/* Go on from *@pos while what is there is of the kind of the first run, at most to @end. TRUE in
 * *@more: it is so at *@pos still. */
static gboolean extend_locked(ThinVolume *volume, guint64 *pos, guint64 end, gboolean first,
                              gboolean *mapped, gboolean *more, GError **error)
{
  for (int i = 0; i < LOOKUPS_AT_A_TIME && *pos < end; i++) {
    ThinRun run = {.end = *pos};
    g_autoptr(GError) cause = NULL;
    if (!thin_metadata_lookup(volume->pool->md, volume->id, *pos, end, &run, &cause)) {
      *more = FALSE;
      if (!first)
        return TRUE; /* the good run ends here; who asks for what follows is told */
      *pos = CLAMP(run.end, *pos + 1, end);
      g_propagate_error(error, g_steal_pointer(&cause));
      return FALSE;
    }
    if (first)
      *mapped = run.mapped;
    *more = run.mapped == *mapped;
    if (!*more)
      return TRUE;
    *pos = run.end;
    first = FALSE;
  }
  return TRUE;
}

gboolean thin_volume_extent(ThinVolume *volume, guint64 offset, guint64 limit, guint64 *length,
                            gboolean *mapped, GError **error)
{
  ThinPool *pool = volume->pool;
  guint64 size = thin_volume_size(volume);
  *length = 0;
  if (offset >= size)
    return vt_set_error(error, EINVAL,
                        "%s: thin device %u has no offset %" G_GUINT64_FORMAT
                        ": it ends at %" G_GUINT64_FORMAT,
                        vt_io_name(pool->metadata), volume->id, offset, size);
  limit = MIN(limit, size - offset);
  if (limit == 0)
    return vt_set_error(error, EINVAL, "%s: thin device %u: an extent of no length was asked for",
                        vt_io_name(pool->metadata), volume->id);
  guint64 begin = thin_pool_chunk_of(pool, offset),
          end = thin_pool_chunk_of(pool, offset + limit - 1) + 1, pos = begin;
  gboolean ok = TRUE, more = TRUE;
  while (ok && more && pos < end) {
    pthread_mutex_lock(&pool->meta);
    ok = extend_locked(volume, &pos, end, pos == begin, mapped, &more, error);
    pthread_mutex_unlock(&pool->meta);
  }
  *length = MIN(pos * pool->chunk_size - offset, limit);
  return ok;
}
