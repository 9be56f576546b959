/* virt-thin - commits and data flushes, shared by all who ask; and the end of a pool that failed
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A flush is satisfied by any run that began after it was asked for; while one thread runs, the
 * others gather behind it, and one of them runs for all of them next. A commit flushes the data
 * device twice at most: once before it takes the metadata lock, so that what is waiting there is
 * written while I/O that must look something up goes on; and again under the lock, just before the
 * metadata goes out, but only if mappings were made since the first began (or the caller wants
 * every byte: a snapshot).
 *
 * A failed data flush fails the whole pool, not just the caller: the kernel reports a lost write
 * once, so a later flush would return success, and the next commit would make mappings to chunks
 * durable that never received their data.
 *
 * A commit that finds no room on the file system beneath, which metadata.h makes rare, leaves all
 * as it was: it is an error to whoever asked for it, and the next one, the owner's of every second
 * if nobody else's, tries again. Until one succeeds nothing more is mapped.
 */
#include "thin/pool-private.h"

/* --- groups --- */

void thin_group_init(ThinGroup *group)
{
  pthread_mutex_init(&group->lock, NULL);
  pthread_cond_init(&group->done_cond, NULL);
}

void thin_group_clear(ThinGroup *group)
{
  pthread_mutex_destroy(&group->lock);
  pthread_cond_destroy(&group->done_cond);
}

/* TRUE: the caller is to run, and leave. FALSE: a run that began after this call has ended. */
static gboolean group_join(ThinGroup *group)
{
  pthread_mutex_lock(&group->lock);
  guint64 mine = ++group->requested;
  while (group->running && group->done < mine)
    pthread_cond_wait(&group->done_cond, &group->lock);
  gboolean run = group->done < mine;
  if (run) {
    group->running = TRUE;
    group->covers = group->requested;
  }
  pthread_mutex_unlock(&group->lock);
  return run;
}

/* Become the runner, whatever others have done. */
static void group_claim(ThinGroup *group)
{
  pthread_mutex_lock(&group->lock);
  group->requested++;
  while (group->running)
    pthread_cond_wait(&group->done_cond, &group->lock);
  group->running = TRUE;
  group->covers = group->requested;
  pthread_mutex_unlock(&group->lock);
}

/* The runner begins anew: what was asked for until now is served by it, too. */
static void group_cover(ThinGroup *group)
{
  pthread_mutex_lock(&group->lock);
  group->covers = group->requested;
  pthread_mutex_unlock(&group->lock);
}

static void group_note(ThinGroup *group, gboolean succeeded)
{
  pthread_mutex_lock(&group->lock);
  group->succeeded = succeeded;
  pthread_mutex_unlock(&group->lock);
}

/* After group_join() said FALSE: was the work done? A run that came after the one waited for counts
 * as well. */
static gboolean group_succeeded(ThinGroup *group)
{
  pthread_mutex_lock(&group->lock);
  gboolean succeeded = group->succeeded;
  pthread_mutex_unlock(&group->lock);
  return succeeded;
}

static void group_leave(ThinGroup *group)
{
  pthread_mutex_lock(&group->lock);
  group->running = FALSE;
  group->done = group->covers;
  pthread_cond_broadcast(&group->done_cond);
  pthread_mutex_unlock(&group->lock);
}

/* --- failure --- */

gboolean thin_pool_check_writable(ThinPool *pool, GError **error)
{
  if (pool->read_only)
    return vt_set_error(error, EROFS, "%s: the thin pool is open read-only",
                        vt_io_name(pool->metadata));
  if (!thin_pool_has_failed(pool))
    return TRUE;
  pthread_mutex_lock(&pool->failure_lock);
  vt_set_error(error, EROFS,
               "%s: the thin pool takes no more writes since a failure (%s); stop it, mend the "
               "cause and check it",
               vt_io_name(pool->metadata), pool->failure);
  pthread_mutex_unlock(&pool->failure_lock);
  return FALSE;
}

void thin_pool_mark_failed(ThinPool *pool, const GError *cause)
{
  pthread_mutex_lock(&pool->failure_lock);
  if (!pool->failure) {
    pool->failure = g_strdup(cause ? cause->message : "unknown cause");
    pool->needs_check = !vt_error_is_room(cause);
    g_warning("%s: the thin pool fails and goes read-only: %s", vt_io_name(pool->metadata),
              pool->failure);
    __atomic_store_n(&pool->failed, TRUE, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&pool->failure_lock);
}

void thin_pool_fail_locked(ThinPool *pool, const GError *cause)
{
  thin_pool_mark_failed(pool, cause);
  if (pool->aborted)
    return;
  pool->aborted = TRUE;
  thin_metadata_abort(pool->md, pool->needs_check);
  /* The journal tells of mappings whose data may be lost: the next engine must not bring them
   * back. */
  static const char nothing[THIN_METADATA_BLOCK];
  if (pool->journal)
    thin_journal_reset(pool->journal, nothing);
}

void thin_pool_judge_locked(ThinPool *pool, const GError *error)
{
  if (thin_metadata_is_broken(pool->md)) {
    thin_pool_fail_locked(pool, error);
    return;
  }
  if (vt_error_is_room(error))
    return;
  switch (vt_error_to_errno(error)) {
  case ENOENT:
  case EEXIST:
  case EBUSY:
  case EINVAL:
  case EROFS:
  case EPERM:
  case EOPNOTSUPP: break;
  default: thin_pool_fail_locked(pool, error);
  }
}

/* --- the journal --- */

void thin_pool_journal_locked(ThinPool *pool, const ThinJournalEntry *entry)
{
  if (pool->journal)
    thin_journal_append(pool->journal, entry);
}

gboolean thin_pool_journal_reset_locked(ThinPool *pool, GError **error)
{
  char superblock[THIN_METADATA_BLOCK];
  if (!pool->journal)
    return TRUE;
  if (!vt_io_read(pool->metadata, superblock, sizeof superblock, 0, error))
    return FALSE;
  thin_journal_reset(pool->journal, superblock);
  return TRUE;
}

/* --- the data flush --- */

/* May be called with pool->meta held: a failure is marked here, and its abort left to the
 * caller. */
static gboolean flush_data(ThinPool *pool, GError **error)
{
  if (group_join(&pool->flushes)) {
    g_autoptr(GError) cause = NULL;
    gboolean dirty = __atomic_exchange_n(&pool->dirty, FALSE, __ATOMIC_SEQ_CST);
    if (dirty && !thin_pool_has_failed(pool) && !vt_io_flush(pool->data, &cause))
      thin_pool_mark_failed(pool, cause);
    group_leave(&pool->flushes);
  }
  return thin_pool_check_writable(pool, error);
}

static void abort_if_failed(ThinPool *pool)
{
  if (!thin_pool_has_failed(pool))
    return;
  pthread_mutex_lock(&pool->meta);
  thin_pool_fail_locked(pool, NULL);
  pthread_mutex_unlock(&pool->meta);
}

gboolean thin_pool_flush_data(ThinPool *pool, GError **error)
{
  if (flush_data(pool, error))
    return TRUE;
  abort_if_failed(pool);
  return FALSE;
}

/* --- the commit --- */

typedef struct {
  ThinPool *pool;
  guint64 inserts; /* that the first data flush covers */
  gboolean all;    /* every byte written until now, mapped before or not */
} CommitFlush;

static gboolean flush_in_commit(gpointer user_data, GError **error)
{
  CommitFlush *flush = user_data;
  ThinPool *pool = flush->pool;
  if (!flush->all && flush->inserts == pool->inserts && !thin_pool_has_failed(pool))
    return TRUE;
  group_cover(&pool->commits);
  return flush_data(pool, error);
}

static void committed_locked(ThinPool *pool)
{
  if (pool->starved)
    g_message("%s: there is room again: changes are committed", vt_io_name(pool->metadata));
  pool->starved = FALSE;
  __atomic_store_n(&pool->committed, pool->transaction, __ATOMIC_RELEASE);
  __atomic_store_n(&pool->transaction, pool->transaction + 1, __ATOMIC_RELEASE);
  pool->passing_down = pool->freed && pool->discards == THIN_DISCARD_PASSDOWN;
  pool->freed = FALSE;
  if (!pool->passing_down)
    thin_metadata_freed_done(pool->md);
}

/* The transaction waits for room, or is lost. */
static void not_committed_locked(ThinPool *pool, const GError *cause)
{
  if (thin_metadata_is_broken(pool->md) || !vt_error_is_room(cause)) {
    thin_pool_fail_locked(pool, cause);
    return;
  }
  if (!pool->starved)
    g_warning("%s: changes cannot be committed for want of room; flushes and what needs metadata "
              "fail until there is "
              "some: %s",
              vt_io_name(pool->metadata), cause->message);
  pool->starved = TRUE;
}

static gboolean commit_changes_locked(ThinPool *pool, CommitFlush *flush, GError **error)
{
  g_autoptr(GError) cause = NULL;
  if (!thin_metadata_changed(pool->md))
    return !flush->all || flush_data(pool, error);
  if (thin_metadata_commit(pool->md, flush_in_commit, flush, &cause) &&
      thin_pool_journal_reset_locked(pool, &cause)) {
    committed_locked(pool);
    return TRUE;
  }
  not_committed_locked(pool, cause);
  g_propagate_error(error, g_steal_pointer(&cause));
  return FALSE;
}

/* What an action changed cannot wait for room: its caller could not be told what came of it, and
 * the volume group's text would not know. So it does not join a transaction that does, and must
 * itself succeed or be forgotten. */
static gboolean commit_action_locked(ThinPool *pool, CommitFlush *flush, ThinAction action,
                                     gpointer user_data, GError **error)
{
  g_autoptr(GError) cause = NULL;
  if (thin_metadata_lacks_room(pool->md) && !commit_changes_locked(pool, flush, error))
    return FALSE;
  if (!action(pool, user_data, error))
    return FALSE;
  if (commit_changes_locked(pool, flush, &cause))
    return TRUE;
  thin_pool_fail_locked(pool, cause);
  g_propagate_error(error, g_steal_pointer(&cause));
  return FALSE;
}

void thin_pool_commit_begin(ThinPool *pool)
{
  group_claim(&pool->commits);
}

gboolean thin_pool_commit_run(ThinPool *pool, ThinAction action, gpointer user_data, GError **error)
{
  CommitFlush flush = {.pool = pool, .all = action != NULL};
  pthread_mutex_lock(&pool->meta);
  flush.inserts = pool->inserts;
  pthread_mutex_unlock(&pool->meta);
  /* With an action volumes are quiesced: their owner has flushed before that, and what came in
   * between is flushed in the commit. */
  gboolean ok = action || flush_data(pool, error);
  pthread_mutex_lock(&pool->meta);
  ok = ok && thin_pool_check_writable(pool, error) &&
       (action ? commit_action_locked(pool, &flush, action, user_data, error)
               : commit_changes_locked(pool, &flush, error));
  if (thin_pool_has_failed(pool))
    thin_pool_fail_locked(pool, NULL);
  pthread_mutex_unlock(&pool->meta);
  group_note(&pool->commits, ok);
  return ok;
}

/* --- passing discards down --- */

typedef struct {
  ThinPool *pool;
  guint64 skip; /* runs handled in earlier rounds */
  gsize n;      /* of pool->freed_runs; THIN_FREED_RUNS: there may be more */
} FreedRound;

static void gather_freed(guint64 chunk, guint64 n, gpointer user_data)
{
  FreedRound *round = user_data;
  ThinChunks *runs = round->pool->freed_runs;
  if (round->skip > 0)
    round->skip--;
  else if (round->n < THIN_FREED_RUNS)
    runs[round->n++] = (ThinChunks){chunk, n};
}

/* Chunks freed by the last commit are discarded on the data device; nobody can have taken them
 * before freed_done(). A discard is a hint: one that fails is worth a line in the log. */
static void pass_down(ThinPool *pool)
{
  guint64 skip = 0;
  FreedRound round;
  do {
    round = (FreedRound){.pool = pool, .skip = skip};
    pthread_mutex_lock(&pool->meta);
    if (!pool->aborted)
      thin_metadata_freed_foreach(pool->md, gather_freed, &round);
    pthread_mutex_unlock(&pool->meta);
    skip += round.n;
    for (gsize i = 0; i < round.n; i++) {
      ThinChunks run = pool->freed_runs[i];
      g_autoptr(GError) error = NULL;
      if (!vt_io_discard(pool->data, run.chunk * pool->chunk_size, run.n * pool->chunk_size,
                         &error))
        g_warning("%s: cannot pass a discard down: %s", vt_io_name(pool->data), error->message);
    }
  } while (round.n == THIN_FREED_RUNS);
}

void thin_pool_commit_end(ThinPool *pool)
{
  pthread_mutex_lock(&pool->meta);
  gboolean passing = pool->passing_down && !pool->aborted;
  pthread_mutex_unlock(&pool->meta);
  if (passing) {
    pass_down(pool);
    pthread_mutex_lock(&pool->meta);
    pool->passing_down = FALSE;
    if (!pool->aborted)
      thin_metadata_freed_done(pool->md);
    pthread_mutex_unlock(&pool->meta);
  }
  group_leave(&pool->commits);
}

gboolean thin_pool_commit_grouped(ThinPool *pool, GError **error)
{
  while (!group_join(&pool->commits))
    if (group_succeeded(&pool->commits))
      return thin_pool_check_writable(pool, error);
  gboolean ok = thin_pool_commit_run(pool, NULL, NULL, error);
  thin_pool_commit_end(pool);
  return ok;
}
