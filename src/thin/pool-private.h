/* virt-thin - what the files of the data plane share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Locks, in the order in which they are taken:
 *   1. pool->admin       messages, opening and closing of volumes, growing: one at a time
 *   2. volume stripes    ascending; virtual chunk c belongs to stripe c % THIN_STRIPES of its
 *                        volume. I/O holds the stripes of its chunks for reading from the
 *                        translation to the end of the data I/O; whoever changes what a chunk is
 *                        mapped to holds its stripe for writing, so that no I/O is in flight on a
 *                        chunk that moves or is freed. All stripes for writing: the volume is
 *                        quiesced.
 *   3. the commit        one runner at a time (ThinGroup)
 *   4. pool->meta        every call into ThinMetadata, every put into the translation cache
 *   5. the data flush    one runner at a time (ThinGroup); its mutex, and pool->failure_lock, are
 *                        leaves
 * A chunk that is mapped and owned is read and written with its stripe alone.
 */
#pragma once

#include <pthread.h>

#include "thin/journal.h"
#include "thin/metadata/metadata.h"
#include "thin/thin.h"
#include "thin/translations.h"

#define THIN_STRIPES 64u /* per volume */
/* chunks that one I/O holds at a time; divides THIN_STRIPES, so that a piece never wraps */
#define THIN_PIECE 32u
#define THIN_LOOKAHEAD 128u   /* chunks translated at a miss */
#define THIN_FREED_RUNS 4096u /* runs gathered for passing discards down */

/* Work that one thread does for all who asked before it began: commits and data flushes. */
typedef struct {
  pthread_mutex_t lock;
  pthread_cond_t done_cond;
  guint64 requested, covers, done; /* numbers of requests */
  gboolean running;
  gboolean succeeded; /* the last run */
} ThinGroup;

typedef struct {
  pthread_mutex_t lock;
  pthread_cond_t returned;
  gsize half; /* bytes of each of a buffer's two halves: one for what lies before a write in its
                 chunk, one for what lies behind */
  GPtrArray *idle;
  char *memory;
} ThinBounce;

typedef struct {
  guint64 chunk, n;
} ThinChunks;

struct ThinPool {
  /* What every I/O reads, and hardly anything writes; the rest keeps its distance. */
  VtIo *metadata, *data;
  Translations *translations;
  guint64 chunk_size;
  guint chunk_shift; /* 0: not a power of two */
  gboolean read_only;
  gboolean skip_zeroing;
  ThinDiscards discards;
  gboolean dirty;  /* atomic: the data device holds writes that no flush has begun after */
  gboolean failed; /* atomic */
  char distance[64];

  pthread_mutex_t admin, meta;
  ThinMetadata *md;
  ThinJournal *journal;  /* NULL: none */
  GHashTable *volumes;   /* device id -> ThinVolume */
  guint64 inserts;       /* mappings made since open, in calls */
  gboolean freed;        /* this transaction may free chunks when it commits */
  gboolean passing_down; /* ... and those of the last one are not yet to be had */
  gboolean out_of_data;
  gboolean starved; /* the last commit found no room, which has been told */
  gboolean aborted;
  guint64 transaction; /* atomic, changes under meta: number of the open one, since the pool was
                          opened */
  guint64 committed;   /* atomic: number of the last one that is on disk */

  pthread_mutex_t failure_lock;
  char *failure;
  gboolean needs_check; /* after it */

  ThinGroup commits, flushes;
  ThinBounce bounce;
  ThinChunks *freed_runs; /* of THIN_FREED_RUNS; the commit runner's */
};

typedef struct {
  _Alignas(64) pthread_rwlock_t lock;
} ThinStripe;

struct ThinVolume {
  ThinPool *pool;
  guint32 id;
  gboolean read_only;
  guint64 tag;        /* of its translations; changes when quiesced */
  guint64 size;       /* atomic; grows at any time, shrinks when quiesced */
  guint64 changed_in; /* atomic: number of the last transaction that changed its map */
  ThinStripe stripes[THIN_STRIPES];
};

/* --- commit.c --- */

void thin_group_init(ThinGroup *group);
void thin_group_clear(ThinGroup *group);

/* FALSE with EROFS when the pool is open read-only or has failed. */
gboolean thin_pool_check_writable(ThinPool *pool, GError **error);
static inline gboolean thin_pool_has_failed(ThinPool *pool)
{
  return G_UNLIKELY(__atomic_load_n(&pool->failed, __ATOMIC_ACQUIRE));
}
/* Remember @cause; no more writes from here on. */
void thin_pool_mark_failed(ThinPool *pool, const GError *cause);
/* The same, and back to the last commit. needs_check is set, but not for want of room: what is on
 * disk is whole then. pool->meta is held. */
void thin_pool_fail_locked(ThinPool *pool, const GError *cause);
/* What a changing call into ThinMetadata said: a refusal, or may the transaction be half done?
 * pool->meta is held. */
void thin_pool_judge_locked(ThinPool *pool, const GError *error);

/* Note a change of a map, once it has been made and before it is acknowledged. pool->meta is held;
 * the caller has made sure of room. */
void thin_pool_journal_locked(ThinPool *pool, const ThinJournalEntry *entry);
static inline gboolean thin_pool_journal_is_full(ThinPool *pool)
{
  return pool->journal && !thin_journal_has_room(pool->journal, 1);
}
/* Empty the journal, for what is on disk now. pool->meta is held. */
gboolean thin_pool_journal_reset_locked(ThinPool *pool, GError **error);

/* After a write to the data device has returned. */
static inline void thin_pool_set_dirty(ThinPool *pool)
{
  if (!__atomic_load_n(&pool->dirty, __ATOMIC_SEQ_CST))
    __atomic_store_n(&pool->dirty, TRUE, __ATOMIC_SEQ_CST);
}
gboolean thin_pool_flush_data(ThinPool *pool, GError **error);

/* Take part in a commit that begins after now. */
gboolean thin_pool_commit_grouped(ThinPool *pool, GError **error);

/* A commit of one's own that carries changes made by @action (under pool->meta; FALSE: nothing is
 * committed). After begin: run, then (with no locks of volumes held any more) end. */
typedef gboolean (*ThinAction)(ThinPool *pool, gpointer user_data, GError **error);
void thin_pool_commit_begin(ThinPool *pool);
gboolean thin_pool_commit_run(ThinPool *pool, ThinAction action, gpointer user_data,
                              GError **error);
void thin_pool_commit_end(ThinPool *pool);

/* --- volume.c --- */

void thin_volume_lock_range(ThinVolume *volume, guint64 begin, guint64 end,
                            gboolean write); /* chunks; within one round of stripes */
void thin_volume_unlock_range(ThinVolume *volume, guint64 begin, guint64 end);
void thin_volume_quiesce(ThinVolume *volume);
void thin_volume_unquiesce(ThinVolume *volume);
/* What chunks [begin, end) are mapped to; their stripes are held. @exact: ask again whether what
 * the cache calls shared still is. */
gboolean thin_volume_translate(ThinVolume *volume, guint64 begin, guint64 end, gboolean exact,
                               Translation *map, GError **error);
gboolean thin_volume_direct_io(ThinVolume *volume, const struct iovec *iov, int n_iov,
                               guint64 offset, guint64 length, gboolean write, gboolean *ok,
                               GError **error);
gboolean thin_volume_check_range(ThinVolume *volume, const char *verb, guint64 offset,
                                 guint64 length, GError **error);
gboolean thin_volume_check_writable(ThinVolume *volume, GError **error);
guint64 thin_volume_n_chunks(ThinVolume *volume);

static inline guint64 thin_pool_chunk_of(const ThinPool *pool, guint64 offset)
{
  return pool->chunk_shift ? offset >> pool->chunk_shift : offset / pool->chunk_size;
}

/* --- write.c, unmap.c --- */

/* Unmap whole chunks [begin, end), a batch at a time. */
gboolean thin_volume_unmap(ThinVolume *volume, guint64 begin, guint64 end, GError **error);
/* Write zeros to [offset, offset + length), wherever something is mapped. */
gboolean thin_volume_write_zeros(ThinVolume *volume, guint64 offset, guint64 length,
                                 VtIoZeroFlags flags, GError **error);

/* --- bounce.c --- */

void thin_bounce_init(ThinBounce *bounce, guint64 chunk_size);
void thin_bounce_clear(ThinBounce *bounce);
char *thin_bounce_take(ThinBounce *bounce);
void thin_bounce_return(ThinBounce *bounce, char *buffer);
