/* virt-thin - the metadata space map: how often each metadata block is referred to
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * All counts are in core (4 bytes a block, at most 16 MiB); what is on disk is brought up to date
 * at commit. The map also knows which blocks the last commit used: those are never given out before
 * the next commit, so whatever goes wrong the old state stays whole on disk. Blocks are given out
 * from the lowest free one on, and only as far as the owner says that writing them needs no more
 * room beneath (vt_io_back()).
 *
 * NOT thread-safe. Errors: ENOSPC, EBADMSG, else of the I/O.
 */
#pragma once

#include "thin/metadata/block-cache.h"

struct ThinTm;
typedef struct ThinMetadataMap ThinMetadataMap;

ThinMetadataMap *thin_metadata_map_new(guint64 n_blocks); /* all counts 0 */
void thin_metadata_map_free(ThinMetadataMap *map);
/* Read counts from disk. */
gboolean thin_metadata_map_load(ThinMetadataMap *map, struct ThinTm *tm,
                                const ThinDiskSpaceMapRoot *root, GError **error);
void thin_metadata_map_grow(ThinMetadataMap *map, guint64 n_blocks);

guint64 thin_metadata_map_n_blocks(ThinMetadataMap *map);
guint64 thin_metadata_map_n_allocated(ThinMetadataMap *map);
/* Can be given out before the next commit. */
guint64 thin_metadata_map_n_usable(ThinMetadataMap *map);
guint64 thin_metadata_map_n_freed(ThinMetadataMap *map); /* ... and after it, besides */
/* Blocks from the first on that there is room for on disk: after load() up to the last in use. Only
 * ever more. */
guint64 thin_metadata_map_n_backed(ThinMetadataMap *map);
void thin_metadata_map_set_backed(ThinMetadataMap *map, guint64 n_backed);
/* Min(4096, size/10): kept for deletes and commits. */
guint64 thin_metadata_map_reserve(ThinMetadataMap *map);

guint32 thin_metadata_map_count(ThinMetadataMap *map, guint64 block);   /* 0 beyond the end */
gboolean thin_metadata_map_is_new(ThinMetadataMap *map, guint64 block); /* since the last commit */
/* Was it referred to more often at the last commit, or is it marked so? Then others see it again if
 * this transaction is lost. */
gboolean thin_metadata_map_fell(ThinMetadataMap *map, guint64 block);
void thin_metadata_map_mark_fell(ThinMetadataMap *map, guint64 block);
gboolean thin_metadata_map_inc(ThinMetadataMap *map, guint64 block, GError **error);
gboolean thin_metadata_map_dec(ThinMetadataMap *map, guint64 block, guint32 *left, GError **error);
/* Let it be @count, which is less than it was, whatever the block is. */
void thin_metadata_map_correct(ThinMetadataMap *map, guint64 block, guint32 count);
gboolean thin_metadata_map_alloc(ThinMetadataMap *map, guint64 *block,
                                 GError **error); /* count 1 */

/* Put the counts into bitmaps, reference count tree and index block, all in the cache, and fill
 * @root for the superblock. No block may be taken or given back between this and settle(); unless
 * what follows fails, and this is called again. */
gboolean thin_metadata_map_commit(ThinMetadataMap *map, struct ThinTm *tm,
                                  ThinDiskSpaceMapRoot *root, GError **error);
/* The superblock is down: what this transaction freed may be given out. */
void thin_metadata_map_settle(ThinMetadataMap *map);
