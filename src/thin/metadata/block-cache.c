/* virt-thin - the block cache: metadata blocks in memory, checked when read, written back when
 * dirty SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A table as long as the metadata says for each block which slot holds it (4 bytes a block): a
 * lookup is one load. Slots are reclaimed by a clock hand. When the hand meets a dirty slot all
 * dirty slots that nobody holds are written at once, in order, so that a transaction larger than
 * the cache still writes long runs.
 */
#include "config.h"
#include "thin/metadata/block-cache.h"

#include <sys/mman.h>

#define SLOTS_MIN 128u
#define WRITE_RUN 256 /* blocks in one write */

struct ThinCache {
  VtIo *io;
  guint64 n_blocks;
  guint32 *slot_of; /* of each metadata block: 1 + slot, 0 when not cached */
  ThinBlock *slots;
  guint8 *memory;
  guint32 n_slots, n_taken, hand;
  guint32 *dirty; /* slots */
  guint32 *order; /* the same while they are written */
  guint32 n_dirty;
};

/* --- slots -------------------------------------------------------------------------- */

ThinCache *thin_cache_new(VtIo *io, gsize bytes, guint64 n_blocks)
{
  ThinCache *cache = g_new0(ThinCache, 1);
  cache->io = vt_io_ref(io);
  cache->n_slots = (guint32)CLAMP(bytes / THIN_METADATA_BLOCK, SLOTS_MIN, THIN_METADATA_BLOCKS_MAX);
  cache->n_blocks = n_blocks;
  cache->slot_of = g_new0(guint32, n_blocks);
  cache->slots = g_new0(ThinBlock, cache->n_slots);
  cache->dirty = g_new(guint32, cache->n_slots);
  cache->order = g_new(guint32, cache->n_slots);
  cache->memory = mmap(NULL, (gsize)cache->n_slots * THIN_METADATA_BLOCK, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (cache->memory == MAP_FAILED)
    g_error("block cache: cannot reserve %u blocks: %s", cache->n_slots, g_strerror(errno));
  for (guint32 i = 0; i < cache->n_slots; i++)
    cache->slots[i].data = cache->memory + (gsize)i * THIN_METADATA_BLOCK;
  return cache;
}

void thin_cache_free(ThinCache *cache)
{
  if (!cache)
    return;
  munmap(cache->memory, (gsize)cache->n_slots * THIN_METADATA_BLOCK);
  g_free(cache->slot_of);
  g_free(cache->slots);
  g_free(cache->dirty);
  g_free(cache->order);
  vt_io_unref(cache->io);
  g_free(cache);
}

guint64 thin_cache_n_blocks(ThinCache *cache)
{
  return cache->n_blocks;
}

void thin_cache_grow(ThinCache *cache, guint64 n_blocks)
{
  if (n_blocks <= cache->n_blocks)
    return;
  cache->slot_of = g_renew(guint32, cache->slot_of, n_blocks);
  memset(cache->slot_of + cache->n_blocks, 0, (n_blocks - cache->n_blocks) * sizeof(guint32));
  cache->n_blocks = n_blocks;
}

static void clean(ThinCache *cache, ThinBlock *block)
{
  if (!block->dirty_at)
    return;
  guint32 last = cache->dirty[--cache->n_dirty];
  cache->dirty[block->dirty_at - 1] = last;
  cache->slots[last].dirty_at = block->dirty_at;
  block->dirty_at = 0;
}

void thin_cache_dirty(ThinCache *cache, ThinBlock *block)
{
  if (block->dirty_at)
    return;
  cache->dirty[cache->n_dirty++] = (guint32)(block - cache->slots);
  block->dirty_at = cache->n_dirty;
}

void thin_cache_forget(ThinCache *cache, guint64 number)
{
  if (number >= cache->n_blocks || !cache->slot_of[number])
    return;
  ThinBlock *block = &cache->slots[cache->slot_of[number] - 1];
  clean(cache, block);
  block->used = FALSE;
  if (block->holds == 0) {
    cache->slot_of[number] = 0;
    block->number = 0;
  }
}

void thin_cache_forget_all(ThinCache *cache)
{
  for (guint32 i = 0; i < cache->n_taken; i++) {
    g_assert(cache->slots[i].holds == 0);
    cache->slot_of[cache->slots[i].number] = 0;
    cache->slots[i].number = cache->slots[i].dirty_at = 0;
  }
  cache->n_taken = cache->n_dirty = cache->hand = 0;
}

/* --- writing ------------------------------------------------------------------------ */

static gint by_number(gconstpointer a, gconstpointer b, gpointer user_data)
{
  const ThinCache *cache = user_data;
  guint32 x = cache->slots[*(const guint32 *)a].number,
          y = cache->slots[*(const guint32 *)b].number;
  return x < y ? -1 : x > y;
}

/* Write the slots order[0..n), which are neighbours on disk. */
static gboolean write_run(ThinCache *cache, const guint32 *order, guint n, GError **error)
{
  struct iovec iov[WRITE_RUN] = {{0}};
  guint64 first = cache->slots[order[0]].number;

  for (guint i = 0; i < n; i++) {
    ThinBlock *block = &cache->slots[order[i]];
    thin_block_seal(block->data, block->number, block->kind);
    iov[i] = (struct iovec){block->data, THIN_METADATA_BLOCK};
  }
  if (!vt_io_writev(cache->io, iov, (int)n, first * THIN_METADATA_BLOCK, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    clean(cache, &cache->slots[order[i]]);
  return TRUE;
}

static gboolean write_dirty(ThinCache *cache, gboolean also_held, GError **error)
{
  guint32 n = 0;
  for (guint32 i = 0; i < cache->n_dirty; i++)
    if (also_held || cache->slots[cache->dirty[i]].holds == 0)
      cache->order[n++] = cache->dirty[i];
  g_qsort_with_data(cache->order, (gint)n, sizeof(guint32), by_number, cache);

  for (guint32 i = 0, run; i < n; i += run) {
    guint32 first = cache->slots[cache->order[i]].number;
    for (run = 1; run < WRITE_RUN && i + run < n &&
                  cache->slots[cache->order[i + run]].number == first + run;
         run++)
      ;
    if (!write_run(cache, cache->order + i, run, error))
      return FALSE;
  }
  return TRUE;
}

gboolean thin_cache_write_out(ThinCache *cache, GError **error)
{
  return write_dirty(cache, TRUE, error);
}

/* --- getting ------------------------------------------------------------------------ */

/* A slot that nobody holds, clean and empty. */
static ThinBlock *take_slot(ThinCache *cache, GError **error)
{
  if (cache->n_taken < cache->n_slots)
    return &cache->slots[cache->n_taken++];
  for (guint32 tries = 0; tries < 2 * cache->n_slots + 1; tries++) {
    ThinBlock *block = &cache->slots[cache->hand];
    cache->hand = (cache->hand + 1) % cache->n_slots;
    if (block->holds)
      continue;
    if (block->used) {
      block->used = FALSE;
      continue;
    }
    if (block->dirty_at && !write_dirty(cache, FALSE, error))
      return NULL;
    cache->slot_of[block->number] = 0;
    block->number = 0;
    return block;
  }
  vt_set_error(error, ENOMEM, "%s: all %u blocks of the metadata cache are held at once",
               vt_io_name(cache->io), cache->n_slots);
  return NULL;
}

static gboolean in_range(ThinCache *cache, guint64 number, ThinKind kind, GError **error)
{
  if (number > 0 && number < cache->n_blocks)
    return TRUE;
  return vt_set_error(error, EBADMSG,
                      "%s: a %s is said to be in block %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT,
                      vt_io_name(cache->io), thin_kind_name(kind), number, cache->n_blocks);
}

static ThinBlock *fill_slot(ThinCache *cache, guint64 number, ThinKind kind, GError **error)
{
  ThinBlock *block = take_slot(cache, error);
  if (!block)
    return NULL;
  if (!thin_block_read(cache->io, number, kind, block->data, error))
    return NULL; /* the slot stays without a block: slot_of[0] is never looked at */
  block->number = (guint32)number;
  block->kind = (guint8)kind;
  cache->slot_of[number] = (guint32)(block - cache->slots) + 1;
  return block;
}

ThinBlock *thin_cache_get(ThinCache *cache, guint64 number, ThinKind kind, GError **error)
{
  if (G_UNLIKELY(!in_range(cache, number, kind, error)))
    return NULL;
  ThinBlock *block;
  if (G_LIKELY(cache->slot_of[number])) {
    block = &cache->slots[cache->slot_of[number] - 1];
    if (G_UNLIKELY(block->kind != kind)) {
      vt_set_error(error, EBADMSG,
                   "%s: metadata block %" G_GUINT64_FORMAT " is used both as a %s and as a %s",
                   vt_io_name(cache->io), number, thin_kind_name(block->kind),
                   thin_kind_name(kind));
      return NULL;
    }
  } else if (!(block = fill_slot(cache, number, kind, error))) {
    return NULL;
  }
  block->holds++;
  block->used = TRUE;
  return block;
}

ThinBlock *thin_cache_get_zeroed(ThinCache *cache, guint64 number, ThinKind kind, GError **error)
{
  if (!in_range(cache, number, kind, error))
    return NULL;
  ThinBlock *block;
  if (cache->slot_of[number])
    block = &cache->slots[cache->slot_of[number] - 1];
  else if (!(block = take_slot(cache, error)))
    return NULL;
  memset(block->data, 0, THIN_METADATA_BLOCK);
  block->number = (guint32)number;
  block->kind = (guint8)kind;
  block->used = TRUE;
  block->holds++;
  cache->slot_of[number] = (guint32)(block - cache->slots) + 1;
  thin_cache_dirty(cache, block);
  return block;
}
