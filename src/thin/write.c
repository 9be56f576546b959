/* virt-thin - writing: in place, into a new chunk, or into a copy
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * How a new chunk comes about. With the chunk's stripe held for writing: a run of chunks is
 * allocated; data is written to them in one vectored write, together with what the write does not
 * cover of the first and the last chunk (zeros, or a copy of what was mapped there); only then are
 * the mappings inserted. So nobody ever sees a chunk that is not filled, and a failed write leaves
 * the map as it was. A power cut between the two leaves a counted chunk that nobody maps at worst,
 * as the kernel does.
 *
 * Zeros need no chunk where nothing is mapped: it reads zero already. Not so in a pool that leaves
 * new chunks as they are (skip_zeroing): what is written beside the zeros later would bring up what
 * the data device holds.
 *
 * Out of space: chunks that were freed in the open transaction can be had after a commit, so one is
 * tried before ENOSPC is returned; not again and again, if nothing was freed since.
 */
#include "thin/gather.h"
#include "thin/pool-private.h"

#define ZEROS_SIZE (64u << 10)
#define ZEROS_BY_WRITE (256u << 10) /* longer ones by vt_io_zero() */

static const char zeros[ZEROS_SIZE] __attribute__((aligned(4096)));

/* What is to be written: a caller's memory, or zeros. */
typedef struct {
  ThinCursor cursor;
  gboolean is_zero;
  gboolean only_holes; /* for what is not mapped; zeros are to be there in a chunk of their own */
  VtIoZeroFlags flags;
} Payload;

/* --- data I/O --- */

static gboolean put_payload(ThinGather *gather, Payload *payload, guint64 length, GError **error)
{
  if (payload->is_zero) {
    if (!thin_gather_run(gather, error) ||
        !vt_io_zero(gather->io, gather->offset, length, payload->flags, error))
      return FALSE;
    gather->offset += length;
    return TRUE;
  }
  while (length > 0) {
    struct iovec part = thin_cursor_next(&payload->cursor, length);
    if (!thin_gather_add(gather, part, error))
      return FALSE;
    length -= part.iov_len;
  }
  return TRUE;
}

static gboolean put_zeros(ThinGather *gather, guint64 length, GError **error)
{
  if (length > ZEROS_BY_WRITE) {
    if (!thin_gather_run(gather, error) ||
        !vt_io_zero(gather->io, gather->offset, length, 0, error))
      return FALSE;
    gather->offset += length;
    return TRUE;
  }
  for (gsize part; length > 0; length -= part) {
    part = MIN(length, ZEROS_SIZE);
    if (!thin_gather_add(gather, (struct iovec){(void *)zeros, part}, error))
      return FALSE;
  }
  return TRUE;
}

/* Copy through @buffer, which stays in use by the gather until it has run. */
static gboolean put_copy(ThinGather *gather, char *buffer, gsize size, guint64 source,
                         guint64 length, GError **error)
{
  for (guint64 done = 0; done < length;) {
    gsize part = MIN(length - done, size);
    if (done > 0 && !thin_gather_run(gather, error))
      return FALSE;
    if (!vt_io_read(gather->io, buffer, part, source + done, error) ||
        !thin_gather_add(gather, (struct iovec){buffer, part}, error))
      return FALSE;
    done += part;
  }
  return TRUE;
}

/* Bytes [skip, skip + length) of a new chunk that the write does not cover, and that so far are as
 * @old says. */
static gboolean put_rest(ThinPool *pool, ThinGather *gather, char *buffer, Translation old,
                         guint64 skip, guint64 length, GError **error)
{
  if (length == 0)
    return TRUE;
  if (old.state != TRANSLATION_UNMAPPED)
    return put_copy(gather, buffer, pool->bounce.half, old.chunk * pool->chunk_size + skip, length,
                    error);
  if (!pool->skip_zeroing)
    return put_zeros(gather, length, error);
  return thin_gather_seek(gather, gather->offset + gather->length + length, error);
}

/* Fill chunks [chunk, chunk + n), which come in place of @old, with the payload between @head bytes
 * from their start and @tail bytes from their end. */
static gboolean fill_new(ThinPool *pool, guint64 chunk, guint64 n, const Translation *old,
                         guint64 head, guint64 tail, Payload *payload, GError **error)
{
  const Translation *last = &old[n - 1];
  gboolean copies = (head > 0 && old->state != TRANSLATION_UNMAPPED) ||
                    (tail > 0 && last->state != TRANSLATION_UNMAPPED);
  char *buffer = copies ? thin_bounce_take(&pool->bounce) : NULL;
  ThinGather gather;
  thin_gather_begin(&gather, pool->data, FALSE, chunk * pool->chunk_size);
  gboolean ok = put_rest(pool, &gather, buffer, *old, 0, head, error) &&
                put_payload(&gather, payload, n * pool->chunk_size - head - tail, error) &&
                put_rest(pool, &gather, buffer ? buffer + pool->bounce.half : NULL, *last,
                         pool->chunk_size - tail, tail, error) &&
                thin_gather_run(&gather, error);
  thin_bounce_return(&pool->bounce, buffer);
  thin_pool_set_dirty(pool);
  return ok;
}

/* --- space --- */

/* May a commit give what was not to be had? Else this is where out of space begins. Under the
 * metadata lock. */
static gboolean hope_locked(ThinPool *pool, const GError *error, gboolean tried)
{
  if (g_error_matches(error, VT_ERROR, EAGAIN))
    return TRUE;
  if (!g_error_matches(error, VT_ERROR, ENOSPC))
    return FALSE;
  gboolean low = thin_metadata_is_low(pool->md);
  if (!tried && (pool->freed || pool->passing_down || (low && thin_metadata_changed(pool->md))))
    return TRUE;
  if (!low && !pool->out_of_data) {
    g_warning("%s: the thin pool is out of data space", vt_io_name(pool->metadata));
    pool->out_of_data = TRUE;
  }
  return FALSE;
}

/* Call @change under the metadata lock; after ENOSPC once more, behind a commit, where that may
 * help. EAGAIN: there is no room in the journal, which a commit makes. */
typedef gboolean (*Change)(ThinVolume *volume, gpointer user_data, GError **error);

static gboolean change_metadata(ThinVolume *volume, Change change, gpointer user_data,
                                GError **error)
{
  ThinPool *pool = volume->pool;
  for (gboolean tried = FALSE;; tried = TRUE) {
    g_autoptr(GError) cause = NULL;
    pthread_mutex_lock(&pool->meta);
    gboolean ok = thin_pool_check_writable(pool, &cause) && change(volume, user_data, &cause);
    gboolean hope = !ok && hope_locked(pool, cause, tried);
    if (!ok && !hope)
      thin_pool_judge_locked(pool, cause);
    pthread_mutex_unlock(&pool->meta);
    if (ok)
      return TRUE;
    if (!hope) {
      g_propagate_error(error, g_steal_pointer(&cause));
      return FALSE;
    }
    if (!thin_pool_commit_grouped(pool, error))
      return FALSE;
  }
}

static gboolean alloc_locked(ThinVolume *volume, gpointer user_data, GError **error)
{
  ThinChunks *run = user_data;
  guint64 wanted = run->n, chunk, n;
  if (!thin_metadata_alloc(volume->pool->md, wanted, &chunk, &n, error))
    return FALSE;
  *run = (ThinChunks){chunk, n};
  volume->pool->out_of_data = FALSE;
  return TRUE;
}

typedef struct {
  guint64 begin; /* virtual */
  ThinChunks to;
  const Translation *old;
} Insertion;

static gboolean insert_locked(ThinVolume *volume, gpointer user_data, GError **error)
{
  ThinPool *pool = volume->pool;
  Insertion *ins = user_data;
  if (thin_pool_journal_is_full(pool))
    return vt_set_error(error, EAGAIN, "the journal is full");
  if (!thin_metadata_insert(pool->md, volume->id, ins->begin, ins->to.chunk, ins->to.n, error))
    return FALSE;
  for (guint64 i = 0; i < ins->to.n; i++) {
    translations_put(pool->translations, volume->tag, ins->begin + i,
                     (Translation){.chunk = ins->to.chunk + i, .state = TRANSLATION_OWNED});
    pool->freed |= ins->old[i].state != TRANSLATION_UNMAPPED;
  }
  thin_pool_journal_locked(
      pool, &(ThinJournalEntry){
                .device = volume->id, .begin = ins->begin, .n = ins->to.n, .chunk = ins->to.chunk});
  pool->inserts++;
  __atomic_store_n(&volume->changed_in, pool->transaction, __ATOMIC_RELEASE);
  return TRUE;
}

static void give_back(ThinPool *pool, ThinChunks run)
{
  g_autoptr(GError) error = NULL;
  pthread_mutex_lock(&pool->meta);
  if (!thin_pool_has_failed(pool) && !thin_metadata_unalloc(pool->md, run.chunk, run.n, &error)) {
    g_warning("%s: cannot give chunks back that were not used: %s", vt_io_name(pool->metadata),
              error->message);
    thin_pool_judge_locked(pool, error);
  }
  pthread_mutex_unlock(&pool->meta);
}

/* --- writing --- */

/* Chunks [begin, begin + n) get new chunks; bytes [from, to) are written. Their stripes are held
 * for writing. */
static gboolean provision(ThinVolume *volume, guint64 begin, guint64 n, const Translation *old,
                          guint64 from, guint64 to, Payload *payload, GError **error)
{
  ThinPool *pool = volume->pool;
  while (n > 0) {
    ThinChunks run = {.n = n};
    if (!change_metadata(volume, alloc_locked, &run, error))
      return FALSE;
    guint64 start = begin * pool->chunk_size, stop = (begin + run.n) * pool->chunk_size;
    guint64 head = from - start, tail = stop > to ? stop - to : 0;
    Insertion insertion = {.begin = begin, .to = run, .old = old};
    if (!fill_new(pool, run.chunk, run.n, old, head, tail, payload, error) ||
        !change_metadata(volume, insert_locked, &insertion, error)) {
      give_back(pool, run);
      return FALSE;
    }
    begin += run.n;
    old += run.n;
    n -= run.n;
    from = stop;
  }
  return TRUE;
}

/* Is there nothing to do for the next @length bytes, which lie as @map says? */
static gboolean is_done(const ThinPool *pool, const Payload *payload, ThinCursor cursor,
                        guint64 length, const Translation *map)
{
  if (payload->only_holes)
    return map->state != TRANSLATION_UNMAPPED;
  return map->state == TRANSLATION_UNMAPPED && !pool->skip_zeroing &&
         (payload->is_zero || thin_cursor_is_zero(cursor, length));
}

/* Make TRANSLATION_NONE of what needs nothing to be done. TRUE: something is left that needs a new
 * chunk. */
static gboolean pass_over_done(const ThinPool *pool, const Payload *payload, guint64 offset,
                               guint64 length, Translation *map)
{
  ThinCursor cursor = payload->cursor;
  gboolean provisions = FALSE;
  for (guint64 part, skip = offset % pool->chunk_size; length > 0;
       length -= part, skip = 0, map++) {
    part = MIN(length, pool->chunk_size - skip);
    if (is_done(pool, payload, cursor, part, map))
      map->state = TRANSLATION_NONE;
    provisions |= map->state == TRANSLATION_UNMAPPED || map->state == TRANSLATION_SHARED;
    if (!payload->is_zero)
      thin_cursor_skip(&cursor, part);
  }
  return provisions;
}

/* How many of the first @n entries of @map are like the first: to be written in place (side by
 * side), to be provisioned, or to be left alone. */
static guint64 count_alike(const Translation *map, guint64 n)
{
  guint64 i = 1;
  gboolean owned = map->state == TRANSLATION_OWNED, skipped = map->state == TRANSLATION_NONE;
  while (i < n && (map[i].state == TRANSLATION_OWNED) == owned &&
         (map[i].state == TRANSLATION_NONE) == skipped &&
         (!owned || map[i].chunk == map->chunk + i))
    i++;
  return i;
}

/* Write bytes [from, to) to chunks from @begin on, as @map says. */
static gboolean write_runs(ThinVolume *volume, guint64 begin, guint64 end, const Translation *map,
                           guint64 from, guint64 to, Payload *payload, GError **error)
{
  ThinPool *pool = volume->pool;
  for (guint64 n; begin < end; begin += n, map += n) {
    n = count_alike(map, end - begin);
    guint64 stop = MIN(to, (begin + n) * pool->chunk_size);
    if (map->state == TRANSLATION_OWNED) {
      ThinGather gather;
      thin_gather_begin(&gather, pool->data, FALSE,
                        map->chunk * pool->chunk_size + (from - begin * pool->chunk_size));
      gboolean ok =
          put_payload(&gather, payload, stop - from, error) && thin_gather_run(&gather, error);
      thin_pool_set_dirty(pool);
      if (!ok)
        return FALSE;
    } else if (map->state != TRANSLATION_NONE) {
      if (!provision(volume, begin, n, map, from, stop, payload, error))
        return FALSE;
    } else if (!payload->is_zero) {
      thin_cursor_skip(&payload->cursor, stop - from);
    }
    from = stop;
  }
  return TRUE;
}

/* Most writes find their chunks mapped and owned, and hold their stripes for reading only. Else it
 * is looked at again with the stripes held for writing. */
static gboolean write_piece(ThinVolume *volume, Payload *payload, guint64 offset, guint64 length,
                            GError **error)
{
  Translation map[THIN_PIECE];
  guint64 begin = thin_pool_chunk_of(volume->pool, offset),
          end = thin_pool_chunk_of(volume->pool, offset + length - 1) + 1;
  for (gboolean exclusive = FALSE;; exclusive = TRUE) {
    thin_volume_lock_range(volume, begin, end, exclusive);
    gboolean ok = thin_volume_check_range(volume, "write", offset, length, error) &&
                  thin_volume_check_writable(volume, error) &&
                  thin_volume_translate(volume, begin, end, exclusive, map, error);
    gboolean again = ok && pass_over_done(volume->pool, payload, offset, length, map) && !exclusive;
    if (ok && !again)
      ok = write_runs(volume, begin, end, map, offset, offset + length, payload, error);
    thin_volume_unlock_range(volume, begin, end);
    if (!again)
      return ok;
  }
}

static gboolean write_pieces(ThinVolume *volume, Payload *payload, guint64 offset, guint64 length,
                             GError **error)
{
  guint64 piece_size = THIN_PIECE * volume->pool->chunk_size;
  while (length > 0) {
    guint64 part = MIN(length, piece_size - offset % piece_size);
    if (!write_piece(volume, payload, offset, part, error))
      return FALSE;
    offset += part;
    length -= part;
  }
  return TRUE;
}

gboolean thin_volume_writev(ThinVolume *volume, const struct iovec *iov, int n_iov, guint64 offset,
                            GError **error)
{
  guint64 length = vt_iov_length(iov, n_iov);
  gboolean ok;
  if (!volume->read_only &&
      thin_volume_direct_io(volume, iov, n_iov, offset, length, TRUE, &ok, error))
    return ok;
  Payload payload = {.cursor = {.iov = iov}};
  return thin_volume_check_writable(volume, error) &&
         thin_volume_check_range(volume, "write", offset, length, error) &&
         write_pieces(volume, &payload, offset, length, error);
}

gboolean thin_volume_write(ThinVolume *volume, const void *buf, gsize length, guint64 offset,
                           GError **error)
{
  struct iovec iov = {(void *)buf, length};
  return thin_volume_writev(volume, &iov, 1, offset, error);
}

gboolean thin_volume_write_zeros(ThinVolume *volume, guint64 offset, guint64 length,
                                 VtIoZeroFlags flags, GError **error)
{
  Payload payload = {.is_zero = TRUE, .flags = flags};
  return write_pieces(volume, &payload, offset, length, error);
}

gboolean thin_volume_back(ThinVolume *volume, guint64 offset, guint64 length, GError **error)
{
  Payload payload = {.is_zero = TRUE, .only_holes = TRUE};
  return thin_volume_check_writable(volume, error) &&
         thin_volume_check_range(volume, "allocate", offset, length, error) &&
         write_pieces(volume, &payload, offset, length, error);
}
