/* virt-thin - giving chunks back: discard, zero, shrink
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "thin/pool-private.h"

#define UNMAP_BATCH 1024u /* chunks taken out of the map under one hold of the locks */

/* The first mapped chunk at or behind *@pos, up to @end; the end of its run in *@run_end. FALSE: a
 * lookup failed. */
static gboolean next_mapped(ThinVolume *volume, guint64 *pos, guint64 end, guint64 *run_end,
                            GError **error)
{
  ThinPool *pool = volume->pool;
  ThinRun run = {.mapped = FALSE};
  gboolean ok = TRUE;
  pthread_mutex_lock(&pool->meta);
  while (ok && *pos < end) {
    ok = thin_metadata_lookup(pool->md, volume->id, *pos, end, &run, error);
    if (!ok || run.mapped)
      break;
    *pos = run.end;
  }
  pthread_mutex_unlock(&pool->meta);
  *run_end = run.end;
  return ok;
}

/* Stripes are held for writing; *@full: the journal must be emptied, or metadata regained, by a
 * commit first. */
static gboolean unmap_locked(ThinVolume *volume, guint64 begin, guint64 end, gboolean *full,
                             GError **error)
{
  ThinPool *pool = volume->pool;
  if (!thin_pool_check_writable(pool, error))
    return FALSE;
  *full = thin_pool_journal_is_full(pool) || thin_metadata_wants_commit(pool->md);
  if (*full)
    return TRUE;
  g_autoptr(GError) cause = NULL;
  if (!thin_metadata_remove(pool->md, volume->id, begin, end, &cause)) {
    thin_pool_judge_locked(pool, cause);
    g_propagate_error(error, g_steal_pointer(&cause));
    return FALSE;
  }
  for (guint64 i = begin; i < end; i++)
    translations_put(pool->translations, volume->tag, i,
                     (Translation){.state = TRANSLATION_UNMAPPED});
  thin_pool_journal_locked(
      pool,
      &(ThinJournalEntry){.device = volume->id, .removed = 1, .begin = begin, .n = end - begin});
  pool->freed = TRUE;
  __atomic_store_n(&volume->changed_in, pool->transaction, __ATOMIC_RELEASE);
  return TRUE;
}

static gboolean unmap_batch(ThinVolume *volume, guint64 begin, guint64 end, GError **error)
{
  ThinPool *pool = volume->pool;
  for (;;) {
    gboolean full = FALSE;
    pthread_mutex_lock(&pool->meta);
    gboolean ok = unmap_locked(volume, begin, end, &full, error);
    pthread_mutex_unlock(&pool->meta);
    if (!ok || !full)
      return ok;
    if (!thin_pool_commit_grouped(pool, error))
      return FALSE;
  }
}

/* A long range is taken out with the volume quiesced for a moment, batch by batch; a short one with
 * its own stripes only. */
gboolean thin_volume_unmap(ThinVolume *volume, guint64 begin, guint64 end, GError **error)
{
  while (begin < end) {
    guint64 run_end;
    if (!next_mapped(volume, &begin, end, &run_end, error))
      return FALSE;
    if (begin == end)
      break;
    gboolean all = end - begin >= THIN_STRIPES;
    guint64 stop =
        all ? MIN(end, begin + UNMAP_BATCH) : MIN(end, (begin / THIN_STRIPES + 1) * THIN_STRIPES);
    if (all)
      thin_volume_quiesce(volume);
    else
      thin_volume_lock_range(volume, begin, stop, TRUE);
    gboolean ok = unmap_batch(volume, begin, stop, error);
    if (all)
      thin_volume_unquiesce(volume);
    else
      thin_volume_unlock_range(volume, begin, stop);
    if (!ok)
      return FALSE;
    begin = stop;
  }
  return TRUE;
}

/* The whole chunks inside a range; what reaches the end of the volume reaches the end of its last
 * chunk. */
static void whole_chunks(ThinVolume *volume, guint64 offset, guint64 length, guint64 *begin,
                         guint64 *end)
{
  guint64 chunk_size = volume->pool->chunk_size;
  *begin = (offset + chunk_size - 1) / chunk_size;
  *end = offset + length == thin_volume_size(volume) ? thin_volume_n_chunks(volume)
                                                     : (offset + length) / chunk_size;
  *end = MAX(*begin, *end);
}

static gboolean check(ThinVolume *volume, const char *verb, guint64 offset, guint64 length,
                      GError **error)
{
  return thin_volume_check_writable(volume, error) &&
         thin_volume_check_range(volume, verb, offset, length, error);
}

gboolean thin_volume_discard(ThinVolume *volume, guint64 offset, guint64 length, GError **error)
{
  guint64 begin, end;
  if (!check(volume, "discard", offset, length, error))
    return FALSE;
  if (volume->pool->discards == THIN_DISCARD_IGNORE)
    return vt_set_error(error, EOPNOTSUPP, "%s: the thin pool is set to ignore discards",
                        vt_io_name(volume->pool->metadata));
  whole_chunks(volume, offset, length, &begin, &end);
  return thin_volume_unmap(volume, begin, end, error);
}

/* Zeros where anything is mapped: whole stretches that are not cost a lookup only. */
static gboolean zero_mapped(ThinVolume *volume, guint64 offset, guint64 length, VtIoZeroFlags flags,
                            GError **error)
{
  ThinPool *pool = volume->pool;
  guint64 stop = offset + length;
  if (length == 0)
    return TRUE;
  guint64 pos = thin_pool_chunk_of(pool, offset), end = thin_pool_chunk_of(pool, stop - 1) + 1,
          run_end;
  for (; pos < end; pos = run_end) {
    if (!next_mapped(volume, &pos, end, &run_end, error))
      return FALSE;
    if (pos == end)
      break;
    guint64 from = MAX(offset, pos * pool->chunk_size), to = MIN(stop, run_end * pool->chunk_size);
    if (!thin_volume_write_zeros(volume, from, to - from, flags, error))
      return FALSE;
  }
  return TRUE;
}

gboolean thin_volume_zero(ThinVolume *volume, guint64 offset, guint64 length, gboolean unmap,
                          GError **error)
{
  ThinPool *pool = volume->pool;
  guint64 begin, end, stop = offset + length;
  if (!check(volume, "zero", offset, length, error))
    return FALSE;
  /* What is not mapped reads zero only until something beside it is written. */
  if (pool->skip_zeroing)
    return length == 0 || thin_volume_write_zeros(volume, offset, length, 0, error);
  /* A pool that ignores discards keeps what it has allocated. */
  unmap = unmap && pool->discards != THIN_DISCARD_IGNORE;
  VtIoZeroFlags flags = unmap && pool->discards == THIN_DISCARD_PASSDOWN ? VT_IO_ZERO_MAY_UNMAP : 0;
  whole_chunks(volume, offset, length, &begin, &end);
  if (!unmap || begin == end)
    return zero_mapped(volume, offset, length, flags, error);
  guint64 whole = begin * pool->chunk_size, rest = end * pool->chunk_size;
  return zero_mapped(volume, offset, whole - offset, flags, error) &&
         thin_volume_unmap(volume, begin, end, error) &&
         (rest >= stop || zero_mapped(volume, rest, stop - rest, flags, error));
}

static gboolean unmap_beyond(ThinVolume *volume, guint64 size, guint64 old, GError **error)
{
  guint64 chunk_size = volume->pool->chunk_size;
  return thin_volume_unmap(volume, (size + chunk_size - 1) / chunk_size,
                           (old + chunk_size - 1) / chunk_size, error);
}

/* Nothing of what is cut off may come back when the volume grows again. */
static gboolean cut(ThinVolume *volume, guint64 size, guint64 old, GError **error)
{
  guint64 chunk_size = volume->pool->chunk_size;
  guint64 partial_end = MIN((size + chunk_size - 1) / chunk_size * chunk_size, old);
  return zero_mapped(volume, size, partial_end - size, 0, error) &&
         unmap_beyond(volume, size, old, error);
}

static void set_size(ThinVolume *volume, guint64 size)
{
  thin_volume_quiesce(volume);
  __atomic_store_n(&volume->size, size, __ATOMIC_RELEASE);
  thin_volume_unquiesce(volume);
}

gboolean thin_volume_resize(ThinVolume *volume, guint64 size, GError **error)
{
  ThinPool *pool = volume->pool;
  guint64 old = thin_volume_size(volume);
  if (size % 512 != 0 || size > G_MAXINT64)
    return vt_set_error(error, EINVAL,
                        "%s: cannot resize thin device %u to %" G_GUINT64_FORMAT
                        " bytes: not a multiple of 512, or too large",
                        vt_io_name(pool->metadata), volume->id, size);
  if (size < old && !thin_volume_check_writable(volume, error))
    return FALSE;
  pthread_mutex_lock(&pool->admin);
  gboolean ok = size >= old || cut(volume, size, old, error);
  if (ok)
    set_size(volume, size);
  /* Again, now that no I/O can reach there any more: a write may have been on its way. */
  if (ok && size < old && !unmap_beyond(volume, size, old, error)) {
    set_size(volume, old);
    ok = FALSE;
  }
  pthread_mutex_unlock(&pool->admin);
  return ok;
}
