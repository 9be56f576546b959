/* virt-thin - the data space map: how often each chunk is mapped
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Counts stay on disk and come through the block cache (2 bits a chunk, a tree for counts of 3 and
 * more); in core are the index of the bitmaps and three bits a chunk: freed in this transaction,
 * and freed by a commit but not yet released by freed_done(), both of which are not given out; and
 * lost a reference in this transaction but has others.
 *
 * NOT thread-safe. Errors: ENOSPC, EBADMSG, else of the I/O.
 */
#pragma once

#include "thin/metadata/btree.h"
#include "thin/metadata/metadata.h"

typedef struct ThinDataMap ThinDataMap;

ThinDataMap *thin_data_map_new(ThinTm *tm);
void thin_data_map_free(ThinDataMap *map);
/* Read the index from disk; all counts are unknown until then. */
gboolean thin_data_map_load(ThinDataMap *map, const ThinDiskSpaceMapRoot *root, GError **error);
gboolean thin_data_map_create(ThinDataMap *map, GError **error); /* on a new pool: of 0 chunks */
gboolean thin_data_map_grow(ThinDataMap *map, guint64 n_chunks, GError **error);

guint64 thin_data_map_n_chunks(ThinDataMap *map);
guint64 thin_data_map_n_allocated(ThinDataMap *map);
guint64 thin_data_map_n_usable(ThinDataMap *map); /* can be given out now */

gboolean thin_data_map_count(ThinDataMap *map, guint64 chunk, guint32 *count, GError **error);
/* How many chunks from @chunk on, @n at most, are alike: counted once and not more often at the
 * last commit (*@once TRUE), or not so (FALSE). */
gboolean thin_data_map_run_once(ThinDataMap *map, guint64 chunk, guint64 n, guint64 *run,
                                gboolean *once, GError **error);
gboolean thin_data_map_inc(ThinDataMap *map, guint64 chunk, guint64 n, GError **error);
gboolean thin_data_map_dec(ThinDataMap *map, guint64 chunk, guint64 n, GError **error);
/* The same @by times. */
gboolean thin_data_map_lower(ThinDataMap *map, guint64 chunk, guint64 n, guint32 by,
                             GError **error);
/* So many chunks are in use, whatever the superblock says. */
void thin_data_map_set_allocated(ThinDataMap *map, guint64 n_allocated);
/* Up to @wanted consecutive chunks, counted once from here on. */
gboolean thin_data_map_alloc(ThinDataMap *map, guint64 wanted, guint64 *chunk, guint64 *n,
                             GError **error);

/* Take just these chunks. EBADMSG: one of them cannot be given out. */
gboolean thin_data_map_alloc_at(ThinDataMap *map, guint64 chunk, guint64 n, GError **error);
/* Others had these chunks, too, at the last commit. */
gboolean thin_data_map_mark_fell(ThinDataMap *map, guint64 chunk, guint64 n, GError **error);

gboolean thin_data_map_commit(ThinDataMap *map, ThinDiskSpaceMapRoot *root, GError **error);
void thin_data_map_settle(ThinDataMap *map);

void thin_data_map_freed_foreach(ThinDataMap *map, ThinFreedFunc func, gpointer user_data);
void thin_data_map_freed_done(ThinDataMap *map);
