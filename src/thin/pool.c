/* virt-thin - opening and closing a thin pool, and what is asked of it as a whole
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "thin/format/block.h"
#include "thin/pool-private.h"
#include "util/memory.h"
#include "util/size.h"

#define BLOCK_CACHE_DEFAULT (64u << 20)
#define TRANSLATIONS_DEFAULT (1u << 20)

/* --- format --- */

static gboolean read_superblock_is_zero(VtIo *metadata, gboolean *is_zero, GError **error)
{
  guint8 block[THIN_METADATA_BLOCK];
  if (vt_io_size(metadata) < sizeof block)
    return vt_set_error(error, EBADMSG,
                        "%s: too small for thin pool metadata: %" G_GUINT64_FORMAT " bytes",
                        vt_io_name(metadata), vt_io_size(metadata));
  if (!vt_io_read(metadata, block, sizeof block, 0, error))
    return FALSE;
  *is_zero = vt_is_zero(block, THIN_METADATA_BLOCK);
  return TRUE;
}

static gboolean check_chunk_size(VtIo *metadata, guint64 chunk_size, GError **error)
{
  if (chunk_size >= THIN_CHUNK_MIN && chunk_size <= THIN_CHUNK_MAX &&
      chunk_size % THIN_CHUNK_MIN == 0)
    return TRUE;
  g_autofree char *asked = vt_size_exact(chunk_size);
  return vt_set_error(
      error, EINVAL,
      "%s: a chunk size of %s is not possible: a multiple of 64 KiB, up to 1 GiB, is",
      vt_io_name(metadata), asked);
}

gboolean thin_pool_format(VtIo *metadata, guint64 chunk_size, guint64 data_size, GError **error)
{
  gboolean is_zero;
  if (!check_chunk_size(metadata, chunk_size, error) ||
      !read_superblock_is_zero(metadata, &is_zero, error))
    return FALSE;
  if (!is_zero)
    return vt_set_error(error, EEXIST,
                        "%s: cannot make a thin pool there: the first block is not zero",
                        vt_io_name(metadata));
  return thin_metadata_format(metadata, chunk_size, data_size / chunk_size, error);
}

/* --- open --- */

/* Metadata that is not yet formatted reads as an empty pool: one in memory, as large as what is
 * there. */
static VtIo *empty_metadata(VtIo *metadata, guint64 chunk_size, guint64 data_size, GError **error)
{
  g_autoptr(VtIo) io = NULL;
  int fd = memfd_create("virt-thin-empty-pool", MFD_CLOEXEC);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  if (fd < 0 || ftruncate(fd, vt_io_size(metadata)) < 0)
    vt_set_errno(error, errno, "%s: cannot set up an empty pool in memory", vt_io_name(metadata));
  else
    io = vt_io_open_file(path, FALSE, error);
  if (fd >= 0)
    close(fd);
  if (!io || !thin_metadata_format(io, chunk_size, data_size / chunk_size, error))
    return NULL;
  return g_steal_pointer(&io);
}

/* The metadata to open: @metadata itself, formatted if it has to be and may be. A new reference. */
static VtIo *prepare_metadata(VtIo *metadata, VtIo *data, const ThinOptions *options,
                              GError **error)
{
  gboolean is_zero;
  if (!read_superblock_is_zero(metadata, &is_zero, error))
    return NULL;
  if (!is_zero)
    return vt_io_ref(metadata);
  guint64 chunk_size = options->chunk_size ? options->chunk_size : THIN_CHUNK_MIN;
  if (!check_chunk_size(metadata, chunk_size, error))
    return NULL;
  if (options->read_only)
    return empty_metadata(metadata, chunk_size, vt_io_size(data), error);
  return thin_metadata_format(metadata, chunk_size, vt_io_size(data) / chunk_size, error)
             ? vt_io_ref(metadata)
             : NULL;
}

static gboolean check_status(VtIo *metadata, VtIo *data, const ThinOptions *options,
                             const ThinStatus *status, GError **error)
{
  const char *name = vt_io_name(metadata);
  if (options->chunk_size && options->chunk_size != status->chunk_size)
    return vt_set_error(error, EBADMSG,
                        "%s: the metadata has chunks of %" G_GUINT64_FORMAT
                        " bytes, the volume group says %" G_GUINT64_FORMAT
                        "; is this the metadata of another pool?",
                        name, status->chunk_size, options->chunk_size);
  if (options->read_only)
    return TRUE;
  if (vt_io_size(data) < status->data_size)
    return vt_set_error(error, EBADMSG,
                        "%s: has %" G_GUINT64_FORMAT
                        " bytes, the metadata counts on %" G_GUINT64_FORMAT,
                        vt_io_name(data), vt_io_size(data), status->data_size);
  return TRUE;
}

/* A process that was killed may have left what it committed in the page cache only. Blocks and
 * chunks that such a commit freed must not be reused before it is durable; and a flush is asked for
 * by clients who were promised nothing less because we are new. */
static gboolean settle(ThinPool *pool, GError **error)
{
  pool->dirty = TRUE;
  return pool->read_only || vt_io_flush(pool->metadata, error);
}

static gboolean grow_locked(ThinPool *pool, GError **error)
{
  ThinStatus status = {0};
  thin_metadata_status(pool->md, &status);
  guint64 n_chunks = vt_io_size(pool->data) / pool->chunk_size,
          n_blocks =
              MIN(vt_io_size(pool->metadata) / THIN_METADATA_BLOCK, THIN_METADATA_BLOCKS_MAX);
  if (n_blocks > status.metadata_size / THIN_METADATA_BLOCK &&
      !thin_metadata_grow_metadata(pool->md, n_blocks, error))
    return FALSE;
  return n_chunks <= thin_metadata_n_chunks(pool->md) ||
         thin_metadata_grow_data(pool->md, n_chunks, error);
}

static gboolean grow_action(ThinPool *pool, gpointer user_data, GError **error)
{
  g_autoptr(GError) cause = NULL;
  if (grow_locked(pool, &cause))
    return TRUE;
  thin_pool_judge_locked(pool, cause);
  g_propagate_error(error, g_steal_pointer(&cause));
  return FALSE;
}

gboolean thin_pool_grow(ThinPool *pool, GError **error)
{
  if (!thin_pool_check_writable(pool, error))
    return FALSE;
  pthread_mutex_lock(&pool->admin);
  thin_pool_commit_begin(pool);
  gboolean ok = thin_pool_commit_run(pool, grow_action, NULL, error);
  thin_pool_commit_end(pool);
  pthread_mutex_unlock(&pool->admin);
  return ok;
}

/* --- what an engine that died had acknowledged --- */

static gboolean apply_entry(ThinPool *pool, const ThinJournalEntry *entry, GError **error)
{
  pool->freed = TRUE;
  if (entry->removed)
    return thin_metadata_remove(pool->md, entry->device, entry->begin, entry->begin + entry->n,
                                error);
  return thin_metadata_alloc_at(pool->md, entry->chunk, entry->n, error) &&
         thin_metadata_insert(pool->md, entry->device, entry->begin, entry->chunk, entry->n, error);
}

/* The entries stay in the journal until the commit that carries them: should we die, too, the next
 * one finds them again. */
static gboolean apply_journal(ThinPool *pool, GError **error)
{
  char superblock[THIN_METADATA_BLOCK];
  const ThinJournalEntry *entries;
  if (!pool->journal)
    return TRUE;
  if (!vt_io_read(pool->metadata, superblock, sizeof superblock, 0, error))
    return FALSE;
  guint n = thin_journal_pending(pool->journal, superblock, &entries);
  for (guint i = 0; i < n; i++)
    if (!apply_entry(pool, &entries[i], error)) {
      g_prefix_error(
          error, "%s: cannot apply the map changes that the engine before this one left behind: ",
          vt_io_name(pool->metadata));
      return FALSE;
    }
  if (n == 0) {
    thin_journal_reset(pool->journal, superblock);
    return TRUE;
  }
  thin_pool_commit_begin(pool);
  gboolean ok = thin_pool_commit_run(pool, NULL, NULL, error);
  thin_pool_commit_end(pool);
  return ok;
}

static gboolean open_journal(ThinPool *pool, const ThinOptions *options, GError **error)
{
  if (!options->journal || options->read_only)
    return TRUE;
  pool->journal = thin_journal_open(options->journal, options->journal_size, options->journal_key);
  return pool->journal ||
         vt_set_error(error, ENOSPC,
                      "%s: there is no place for this pool in the journal of the service",
                      vt_io_name(pool->metadata));
}

static guint shift_of(guint64 chunk_size)
{
  return (chunk_size & (chunk_size - 1)) == 0 ? g_bit_nth_lsf(chunk_size, -1) : 0;
}

static ThinPool *pool_new(VtIo *metadata, VtIo *data, ThinMetadata *md, const ThinOptions *options)
{
  ThinPool *pool = g_new0(ThinPool, 1);
  pool->metadata = vt_io_ref(metadata);
  pool->data = vt_io_ref(data);
  pool->md = md;
  pool->read_only = options->read_only;
  pool->skip_zeroing = options->skip_zeroing;
  pool->discards = options->discards;
  pool->chunk_size = thin_metadata_chunk_size(md);
  pool->chunk_shift = shift_of(pool->chunk_size);
  pool->translations =
      translations_new(options->translations ? options->translations : TRANSLATIONS_DEFAULT);
  pool->volumes = g_hash_table_new(NULL, NULL);
  pool->transaction = 1;
  pool->freed_runs = g_new0(ThinChunks, THIN_FREED_RUNS);
  pthread_mutex_init(&pool->admin, NULL);
  pthread_mutex_init(&pool->meta, NULL);
  pthread_mutex_init(&pool->failure_lock, NULL);
  thin_group_init(&pool->commits);
  thin_group_init(&pool->flushes);
  thin_bounce_init(&pool->bounce, pool->chunk_size);
  return pool;
}

static void pool_free(ThinPool *pool)
{
  thin_metadata_close(pool->md);
  if (pool->journal)
    thin_journal_close(pool->journal);
  thin_bounce_clear(&pool->bounce);
  thin_group_clear(&pool->flushes);
  thin_group_clear(&pool->commits);
  pthread_mutex_destroy(&pool->failure_lock);
  pthread_mutex_destroy(&pool->meta);
  pthread_mutex_destroy(&pool->admin);
  g_hash_table_unref(pool->volumes);
  translations_free(pool->translations);
  g_free(pool->freed_runs);
  g_free(pool->failure);
  vt_io_unref(pool->data);
  vt_io_unref(pool->metadata);
  g_free(pool);
}

/* A pool whose metadata has no room for the larger space map opens all the same: deletes may make
 * some. */
static gboolean grow_at_open(ThinPool *pool, GError **error)
{
  g_autoptr(GError) cause = NULL;
  if (pool->read_only || thin_pool_grow(pool, &cause))
    return TRUE;
  if (vt_error_is_room(cause) && !thin_pool_has_failed(pool)) {
    g_warning("%s: cannot take the larger device into use now: %s", vt_io_name(pool->metadata),
              cause->message);
    return TRUE;
  }
  g_propagate_error(error, g_steal_pointer(&cause));
  return FALSE;
}

ThinPool *thin_pool_open(VtIo *metadata, VtIo *data, const ThinOptions *options, GError **error)
{
  static const ThinOptions defaults;
  options = options ? options : &defaults;
  g_autoptr(VtIo) io = prepare_metadata(metadata, data, options, error);
  if (!io)
    return NULL;
  ThinMetadata *md =
      thin_metadata_open(io, options->read_only,
                         options->block_cache ? options->block_cache : BLOCK_CACHE_DEFAULT, error);
  if (!md)
    return NULL;
  ThinStatus status = {0};
  thin_metadata_status(md, &status);
  if (!check_status(io, data, options, &status, error)) {
    thin_metadata_close(md);
    return NULL;
  }
  ThinPool *pool = pool_new(io, data, md, options);
  if (!open_journal(pool, options, error) || !settle(pool, error) || !apply_journal(pool, error) ||
      !grow_at_open(pool, error)) {
    pool_free(pool);
    return NULL;
  }
  return pool;
}

gboolean thin_pool_close(ThinPool *pool, GError **error)
{
  if (!pool)
    return TRUE;
  if (g_hash_table_size(pool->volumes) > 0)
    g_critical("%s: the thin pool is closed with %u volumes open", vt_io_name(pool->metadata),
               g_hash_table_size(pool->volumes));
  gboolean ok = pool->read_only || thin_pool_commit_grouped(pool, error);
  pool_free(pool);
  return ok;
}

/* --- the pool as a whole --- */

static ThinMode mode_locked(ThinPool *pool)
{
  if (thin_pool_has_failed(pool))
    return THIN_MODE_FAILED;
  if (pool->read_only)
    return THIN_MODE_READ_ONLY;
  if (thin_metadata_is_low(pool->md))
    return thin_metadata_lacks_room(pool->md) ? THIN_MODE_OUT_OF_ROOM : THIN_MODE_OUT_OF_METADATA;
  return pool->out_of_data && thin_metadata_n_free_chunks(pool->md) == 0 ? THIN_MODE_OUT_OF_DATA
                                                                         : THIN_MODE_WRITE;
}

void thin_pool_get_status(ThinPool *pool, ThinStatus *status)
{
  memset(status, 0, sizeof *status);
  pthread_mutex_lock(&pool->meta);
  thin_metadata_status(pool->md, status);
  status->mode = mode_locked(pool);
  pthread_mutex_unlock(&pool->meta);
}

gboolean thin_pool_commit(ThinPool *pool, GError **error)
{
  return pool->read_only || thin_pool_commit_grouped(pool, error);
}

gboolean thin_pool_has_room(ThinPool *pool, guint64 blocks)
{
  for (gboolean tried = FALSE;; tried = TRUE) {
    pthread_mutex_lock(&pool->meta);
    /* One that could not go back to its last commit has no space maps. */
    gboolean room = thin_pool_has_failed(pool) || thin_metadata_has_room(pool->md, blocks, NULL),
             hope = thin_metadata_changed(pool->md);
    pthread_mutex_unlock(&pool->meta);
    if (room || tried || !hope || !thin_pool_commit(pool, NULL))
      return room;
  }
}

GArray *thin_pool_list_devices(ThinPool *pool, GError **error)
{
  pthread_mutex_lock(&pool->meta);
  GArray *devices = thin_metadata_list_devices(pool->md, error);
  pthread_mutex_unlock(&pool->meta);
  return devices;
}

gboolean thin_pool_get_device(ThinPool *pool, guint32 id, ThinDevice *device, GError **error)
{
  pthread_mutex_lock(&pool->meta);
  gboolean ok = thin_metadata_get_device(pool->md, id, device, error);
  pthread_mutex_unlock(&pool->meta);
  return ok;
}

gboolean thin_pool_count_device(ThinPool *pool, guint32 id, guint64 *exclusive, guint64 *shared,
                                GError **error)
{
  pthread_mutex_lock(&pool->meta);
  gboolean ok = thin_metadata_count_device(pool->md, id, exclusive, shared, error);
  pthread_mutex_unlock(&pool->meta);
  *exclusive *= pool->chunk_size;
  *shared *= pool->chunk_size;
  return ok;
}

gboolean thin_pool_count_new_blocks(ThinPool *pool, guint32 id, GByteArray *seen, guint64 *n,
                                    GError **error)
{
  pthread_mutex_lock(&pool->meta);
  gboolean ok = thin_metadata_count_new_blocks(pool->md, id, seen, n, error);
  pthread_mutex_unlock(&pool->meta);
  return ok;
}

gboolean thin_pool_delta(ThinPool *pool, gint64 left, gint64 right, ThinDelta *delta,
                         GError **error)
{
  pthread_mutex_lock(&pool->meta);
  gboolean ok = thin_metadata_delta(pool->md, left, right, pool->chunk_size, delta, error);
  pthread_mutex_unlock(&pool->meta);
  return ok;
}

gboolean thin_pool_read_still(ThinPool *pool, ThinReadFunc func, gpointer data, GError **error)
{
  pthread_mutex_lock(&pool->meta);
  gboolean ok = func(pool->metadata, data, error);
  pthread_mutex_unlock(&pool->meta);
  return ok;
}
