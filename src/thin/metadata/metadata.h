/* virt-thin - thin metadata: what the data plane asks of the trees and space maps
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The layer beneath pool.c and above btree, space maps and block cache. It knows devices, maps and
 * counts; it does no data I/O. Units: chunks (virtual or data), metadata blocks. One open
 * transaction, from the last commit on.
 *
 * NOT thread-safe: the pool's lock serialises every call. Errors: as thin.h. After EBADMSG or an
 * I/O error from a changing call the transaction may be half done: the caller must
 * thin_metadata_abort().
 *
 * Room. A metadata volume may lie in a sparse file on a file system that is full at any time.
 * Therefore blocks are given out only where writing them needs no room (vt_io_back()), and that is
 * kept ahead of what is in use, by the reserve and a step. The reserve is what bounds a
 * transaction: a change that maps is refused when only the reserve is left, of the metadata or of
 * what is backed, and from the reserve come the changes that free and the commit itself (255
 * bitmaps at most, the index, and the paths to them: the kernel counts on the same number,
 * dm-thin-metadata.c
 * __set_metadata_reserve()). So a commit needs no room but what it has; besides that it may be
 * tried again.
 */
#pragma once

#include "thin/thin.h"

typedef struct ThinMetadata ThinMetadata;

gboolean thin_metadata_format(VtIo *metadata, guint64 chunk_size, guint64 n_chunks, GError **error);
/* ENOENT: the superblock is all zero. @read_only: damaged space maps and trees are done without as
 * far as that goes. */
ThinMetadata *thin_metadata_open(VtIo *metadata, gboolean read_only, gsize cache_bytes,
                                 GError **error);
void thin_metadata_close(ThinMetadata *md); /* without a commit */

guint64 thin_metadata_chunk_size(ThinMetadata *md); /* bytes */
guint64 thin_metadata_n_chunks(ThinMetadata *md);
/* Allocatable now: not counting those freed in this transaction. */
guint64 thin_metadata_n_free_chunks(ThinMetadata *md);
void thin_metadata_status(ThinMetadata *md, ThinStatus *status); /* all but mode */
/* Is there room beyond the reserve for @blocks more? ENOSPC, which names what is wanting. */
gboolean thin_metadata_has_room(ThinMetadata *md, guint64 blocks, GError **error);
/* ... or, for a change that may use the reserve, enough of that? */
gboolean thin_metadata_has_reserve(ThinMetadata *md, GError **error);
/* Only the reserve (min(4096, size/10) blocks) is left: changes that map get ENOSPC. */
gboolean thin_metadata_is_low(ThinMetadata *md);
/* ... because the file system beneath has no more room, or had none for the last commit. */
gboolean thin_metadata_lacks_room(ThinMetadata *md);
/* A changing call failed half way: the transaction can only be aborted. */
gboolean thin_metadata_is_broken(ThinMetadata *md);
/* Half of the reserve is gone, and a commit would bring some of it back: commit before the next
 * remove or delete, which may use the reserve. */
gboolean thin_metadata_wants_commit(ThinMetadata *md);
gboolean thin_metadata_changed(ThinMetadata *md); /* has the transaction anything to commit? */
gboolean thin_metadata_device_changed(ThinMetadata *md, guint32 device); /* ... by this device? */

/* Grow the space maps. */
gboolean thin_metadata_grow_data(ThinMetadata *md, guint64 n_chunks, GError **error);
gboolean thin_metadata_grow_metadata(ThinMetadata *md, guint64 n_blocks, GError **error);

/* --- maps --- */

typedef struct {
  guint64 begin, end; /* virtual chunks [begin, end) */
  gboolean mapped;    /* to [chunk, chunk + end - begin) when mapped */
  guint64 chunk;
  gboolean shared; /* must be copied before a write: the time test AND the exact test say so */
} ThinRun;

/* The exact test must hold in the LAST COMMITTED metadata as well as in this transaction. A device
 * that leaves a chunk or a node in this transaction (copy-on-write, discard) gets it back by a
 * power cut or an abort; if the one that stays behind wrote in place before that commit, the
 * other's flushed data would be overwritten. So a chunk, or a node on its path, whose count fell to
 * one or more within the open transaction still counts as shared until it is committed. (The
 * kernel's time test alone never has this problem.) */

/* The longest run that starts at @begin and is alike: all unmapped, or mapped to consecutive chunks
 * and alike shared; ends at @end at the latest. ENOENT: no such device. EBADMSG: run->end is still
 * set to the end of what is lost. */
gboolean thin_metadata_lookup(ThinMetadata *md, guint32 device, guint64 begin, guint64 end,
                              ThinRun *run, GError **error);

/* Take up to @wanted consecutive chunks, free in the last commit and now. They are counted once
 * from here on. ENOSPC: none (a commit may free some). Search goes on from the last allocation and
 * wraps. */
gboolean thin_metadata_alloc(ThinMetadata *md, guint64 wanted, guint64 *chunk, guint64 *n,
                             GError **error);
/* Take just these chunks, which a journal says were mapped since the last commit. Those that are
 * counted once stay so: that commit came between their allocation and their insert. EBADMSG: one is
 * neither free nor counted once. */
gboolean thin_metadata_alloc_at(ThinMetadata *md, guint64 chunk, guint64 n, GError **error);
/* Give back chunks that were allocated and never inserted. */
gboolean thin_metadata_unalloc(ThinMetadata *md, guint64 chunk, guint64 n, GError **error);

/* Map virtual [begin, begin+n) to chunks [chunk, chunk+n) just allocated; what was mapped there
 * loses its count. */
gboolean thin_metadata_insert(ThinMetadata *md, guint32 device, guint64 begin, guint64 chunk,
                              guint64 n, GError **error);
/* Unmap [begin, end); chunks whose count falls to 0 are free after the next commit. */
gboolean thin_metadata_remove(ThinMetadata *md, guint32 device, guint64 begin, guint64 end,
                              GError **error);

/* --- devices --- */

gboolean thin_metadata_get_device(ThinMetadata *md, guint32 id, ThinDevice *device, GError **error);
GArray *thin_metadata_list_devices(ThinMetadata *md, GError **error);
gboolean thin_metadata_create(ThinMetadata *md, guint32 id, GError **error);
gboolean thin_metadata_snapshot(ThinMetadata *md, guint32 id, guint32 origin, GError **error);
gboolean thin_metadata_delete(ThinMetadata *md, guint32 id, GError **error);
gboolean thin_metadata_exchange(ThinMetadata *md, guint32 a, guint32 b, GError **error);
gboolean thin_metadata_count_device(ThinMetadata *md, guint32 id, guint64 *exclusive,
                                    guint64 *shared, GError **error); /* chunks */
/* As thin_pool_count_new_blocks(). */
gboolean thin_metadata_count_new_blocks(ThinMetadata *md, guint32 id, GByteArray *seen, guint64 *n,
                                        GError **error);
/* How the maps of devices @left and @right differ; -1: an empty map. */
gboolean thin_metadata_delta(ThinMetadata *md, gint64 left, gint64 right, guint64 chunk_size,
                             ThinDelta *delta, GError **error);
guint64 thin_metadata_transaction_id(ThinMetadata *md);
void thin_metadata_set_transaction_id(ThinMetadata *md, guint64 tid);
gboolean thin_metadata_reserve_snapshot(ThinMetadata *md,
                                        GError **error); /* commit first, and after */
gboolean thin_metadata_release_snapshot(ThinMetadata *md, GError **error);

/* --- commit --- */

/* Write everything out. @flush_data is called once all counts are settled and before any metadata
 * block that the old superblock does not reach is depended on; order as the kernel's: data flush,
 * blocks, flush, superblock, flush. An error of vt_error_is_room() leaves the transaction as it
 * was, unless it is_broken(): it may grow and be committed again, and until that succeeds changes
 * that map are ENOSPC. */
typedef gboolean (*ThinFlush)(gpointer user_data, GError **error);
gboolean thin_metadata_commit(ThinMetadata *md, ThinFlush flush_data, gpointer user_data,
                              GError **error);

/* Runs of chunks that the last commit freed and nobody took since, for passing discards down. They
 * are not allocated again before thin_metadata_freed_done(). */
typedef void (*ThinFreedFunc)(guint64 chunk, guint64 n, gpointer user_data);
void thin_metadata_freed_foreach(ThinMetadata *md, ThinFreedFunc func, gpointer user_data);
void thin_metadata_freed_done(ThinMetadata *md);

/* Forget the transaction: back to the last commit, changes refused from here on; with @needs_check
 * that is set (and written at once if it can be). */
void thin_metadata_abort(ThinMetadata *md, gboolean needs_check);
