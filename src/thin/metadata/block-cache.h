/* virt-thin - the block cache: metadata blocks in memory, checked when read, written back when
 * dirty SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A fixed number of 4096-byte slots, reserved when the cache is made. A block is held while it is
 * looked at or changed; one that is not held may give its slot to another, and is written first
 * when it is dirty. That is safe at any time because the layers above change only blocks that the
 * committed superblock does not reach (copy on write). Block 0, the superblock, is never in the
 * cache.
 *
 * NOT thread-safe. Errors: EBADMSG names block and fault; else what the VtIo said.
 */
#pragma once

#include "thin/format/block.h"

typedef struct ThinCache ThinCache;

typedef struct {
  guint8 *data; /* 4096 bytes, aligned */
  guint32 number;
  guint32 holds;
  guint32 dirty_at; /* 1 + place in the cache's list of dirty slots, 0: clean */
  guint8 kind;
  guint8 used; /* looked at since the hand passed */
} ThinBlock;

/* @n_blocks of @io are metadata. */
ThinCache *thin_cache_new(VtIo *io, gsize bytes, guint64 n_blocks);
void thin_cache_free(ThinCache *cache);
guint64 thin_cache_n_blocks(ThinCache *cache);
void thin_cache_grow(ThinCache *cache, guint64 n_blocks);
void thin_cache_forget_all(ThinCache *cache); /* dirty or not; none may be held */

/* Hold block @number, which must be of @kind. */
ThinBlock *thin_cache_get(ThinCache *cache, guint64 number, ThinKind kind, GError **error);
/* Hold block @number as a new one: all zero, dirty. */
ThinBlock *thin_cache_get_zeroed(ThinCache *cache, guint64 number, ThinKind kind, GError **error);
void thin_cache_dirty(ThinCache *cache, ThinBlock *block);
/* The content is of no more use: do not write it. */
void thin_cache_forget(ThinCache *cache, guint64 number);
/* Write every dirty block. No flush. */
gboolean thin_cache_write_out(ThinCache *cache, GError **error);

static inline void thin_block_put(ThinBlock *block)
{
  block->holds--;
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ThinBlock, thin_block_put)
