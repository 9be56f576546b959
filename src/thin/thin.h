/* virt-thin - the thin-mapping engine: dm-thin's on-disk format, read and written in user space
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A thin pool is two runs of bytes: a metadata device in dm-thin's version 2 format (linux
 * drivers/md/dm-thin-metadata.c, drivers/md/persistent-data/) and a data device cut into chunks
 * ("data blocks") of equal size. A thin device is a 24-bit number with a map from its virtual
 * chunks to chunks of the data device; a snapshot shares its origin's map until one of the two is
 * written. How large a device is, and what it is called, only LVM knows (src/lvm): the engine is
 * told when it is opened.
 *
 * Units: offsets, lengths, sizes in bytes; transaction ids, device ids as in the format.
 *
 * Durability. Work is gathered in one open transaction per pool, committed by thin_pool_commit(),
 * thin_volume_flush() on a volume that changed, thin_pool_send() and thin_pool_close(); the owner
 * calls thin_pool_commit() once a second besides. Nothing is durable before the commit that carries
 * it; every commit makes data durable before the metadata that points to it, the superblock last.
 * After a failed commit the pool is read-only (THIN_MODE_FAILED): what was not flushed may be lost,
 * what was flushed is not, and needs_check is set on disk as the kernel would. A flush of the data
 * device that fails is such a failure: the kernel reports a lost write once, so no later commit
 * could be trusted.
 *
 * The file system beneath may be full. What a commit may need is allocated ahead of use, so that
 * one fails for want of room only where that cannot be had: then it is an error
 * (vt_error_is_room()), nothing is lost, no new chunk is mapped (THIN_MODE_OUT_OF_ROOM), and the
 * next commit tries again. A failure for want of room that cannot be taken back (a flush of the
 * data device, a commit of thin_pool_send()) makes the pool read-only as above, without
 * needs_check.
 *
 * Errors: domain VT_ERROR (util/error.h). ENOSPC: no free chunk (or metadata block); EROFS: the
 * pool does not take writes; EBADMSG: damaged metadata, the message names block and range.
 *
 * Thread-safety: every function may be called from any thread, except that open, close, and the
 * last use of a handle are the caller's to order. Reads and writes of chunks that are mapped and
 * not shared take no pool-wide lock.
 *
 * Memory is reserved when a pool is opened: the block cache and the translation cache have fixed
 * sizes, and the space maps' memory follows from the device sizes.
 */
#pragma once

#include "thin/format/delta.h"
#include "thin/format/device.h"
#include "util/error.h"
#include "util/io.h"

typedef struct ThinPool ThinPool;
typedef struct ThinVolume ThinVolume;

typedef enum {
  THIN_DISCARD_PASSDOWN,    /* unmap whole chunks, and discard them on the data device once free */
  THIN_DISCARD_NO_PASSDOWN, /* unmap only */
  THIN_DISCARD_IGNORE,      /* discards are refused: EOPNOTSUPP */
} ThinDiscards;

typedef struct {
  gboolean read_only; /* write nothing; damage and needs_check do not keep the pool from opening */
  /* what the volume group says; EBADMSG if the superblock differs. 0: not known */
  guint64 chunk_size;
  /* pool without zero_new_blocks: a new chunk keeps what the data device held */
  gboolean skip_zeroing;
  ThinDiscards discards;
  gsize block_cache;  /* bytes; 0: the default (64 MiB) */
  gsize translations; /* entries; 0: the default (1 Mi entries of 16 bytes) */
  /* Memory that outlives this process (thin/journal.h): what an engine that died had acknowledged
   * and not committed is applied at open, before anything else. A pool with a journal commits by
   * itself when that is full. NULL: none. */
  void *journal;
  gsize journal_size;      /* bytes */
  const char *journal_key; /* the pool's LV UUID */
} ThinOptions;

typedef enum {
  THIN_MODE_WRITE,
  THIN_MODE_OUT_OF_DATA,     /* writes that need a chunk get ENOSPC until data is freed or the pool
                                grows */
  THIN_MODE_OUT_OF_METADATA, /* the same for metadata; deletes and commits still work from the
                                reserve */
  THIN_MODE_OUT_OF_ROOM,     /* the same for room on the file system that the metadata lies on */
  THIN_MODE_READ_ONLY,       /* opened so */
  THIN_MODE_FAILED,          /* a commit failed: nothing is written any more */
} ThinMode;

typedef struct {
  ThinMode mode;
  gboolean needs_check;
  guint64 transaction_id;
  guint32 time;
  guint64 chunk_size;
  guint64 data_size, data_used; /* bytes of the data device under the space map */
  /* bytes; used includes the reserve shown as the kernel shows it */
  guint64 metadata_size, metadata_used;
  guint64 held_root; /* metadata block of the metadata snapshot, 0: none */
  guint n_devices;
} ThinStatus;

/* Write an empty pool on @metadata (whose first block must be all zero, else EEXIST). */
gboolean thin_pool_format(VtIo *metadata, guint64 chunk_size, guint64 data_size, GError **error);

/* Open. Keeps references on both VtIos. An all-zero superblock is "not yet formatted": with
 * @read_only it opens as an empty pool, else it is formatted, as the kernel does. A data or
 * metadata device larger than the space map says is grown into (not when read_only); a smaller one
 * is EBADMSG. needs_check, or unknown incompatible flags, is EPERM unless read_only. */
ThinPool *thin_pool_open(VtIo *metadata, VtIo *data, const ThinOptions *options, GError **error);

/* Commit and free, also on failure. All volumes must have been closed. */
gboolean thin_pool_close(ThinPool *pool, GError **error);

void thin_pool_get_status(ThinPool *pool, ThinStatus *status);
gboolean thin_pool_commit(ThinPool *pool, GError **error);

/* Is there metadata for @blocks more, beyond the reserve? If not now, it commits: what that frees
 * counts. Of a pool that has failed TRUE: it lacks something else. */
gboolean thin_pool_has_room(ThinPool *pool, guint64 blocks);

/* Take into use what the VtIos have grown to. Committed on return. */
gboolean thin_pool_grow(ThinPool *pool, GError **error);

/* --- devices ------------------------------------------------------------------------ */

typedef enum {
  THIN_CREATE,   /* device */
  THIN_SNAPSHOT, /* device = snapshot of other */
  THIN_DELETE,   /* device */
  THIN_EXCHANGE, /* the maps and details of device and other trade places; ids of open volumes stay
                    theirs */
} ThinMessageKind;

typedef struct {
  ThinMessageKind kind;
  guint32 device;
  guint32 other;
} ThinMessage;

#define THIN_MESSAGE_BLOCKS 2 /* of metadata that must be there for one that adds a device */

/* Carry out @messages and set the transaction id from @old_tid to @new_tid (EPERM if it is not
 * @old_tid), in ONE commit that also makes everything written before durable: all of it or nothing
 * (LVM's messages + set_transaction_id, which the kernel commits apart). Volumes open on the
 * devices named are quiesced meanwhile and see the new maps afterwards. EEXIST, ENOENT, EBUSY
 * (delete of an open one) leave all as it was. Snapshots are O(1). @n_messages may be 0. */
gboolean thin_pool_send(ThinPool *pool, const ThinMessage *messages, gsize n_messages,
                        guint64 old_tid, guint64 new_tid, GError **error);

/* All devices in order of id: GArray of ThinDevice, the caller's. */
GArray *thin_pool_list_devices(ThinPool *pool, GError **error);
gboolean thin_pool_get_device(ThinPool *pool, guint32 id, ThinDevice *device,
                              GError **error); /* ENOENT */

/* Bytes mapped by this device alone, and together with others. Walks the map: O(mapped). */
gboolean thin_pool_count_device(ThinPool *pool, guint32 id, guint64 *exclusive, guint64 *shared,
                                GError **error);

/* Metadata blocks of this device's map that are not in @seen (empty at first), where they are
 * noted: what it has that none of those asked about before had. Reads little: no leaves. */
gboolean thin_pool_count_new_blocks(ThinPool *pool, guint32 id, GByteArray *seen, guint64 *n,
                                    GError **error);

/* How the maps of devices @left and @right differ (thin/format/delta.h); -1: an empty map. Writers
 * of the pool wait for a few milliseconds at most, so one call may not be all of the answer. */
gboolean thin_pool_delta(ThinPool *pool, gint64 left, gint64 right, ThinDelta *delta,
                         GError **error);

/* Have @func read the metadata as the last commit left it, with no other one meanwhile: whoever
 * changes a map waits. */
typedef gboolean (*ThinReadFunc)(VtIo *metadata, gpointer data, GError **error);
gboolean thin_pool_read_still(ThinPool *pool, ThinReadFunc func, gpointer data, GError **error);

/* The metadata snapshot (held root): EEXIST if there is one, ENOENT if there is none. */
gboolean thin_pool_reserve_metadata_snapshot(ThinPool *pool, GError **error);
gboolean thin_pool_release_metadata_snapshot(ThinPool *pool, GError **error);

/* --- volumes: a device opened for I/O ------------------------------------------------ */

/* Open device @id as a volume of @size bytes (any multiple of 512). One handle per device at a time
 * (EBUSY). */
ThinVolume *thin_volume_open(ThinPool *pool, guint32 id, guint64 size, gboolean read_only,
                             GError **error);
/* Commits nothing, loses nothing: the pool's next commit carries it. */
void thin_volume_close(ThinVolume *volume);
guint32 thin_volume_id(ThinVolume *volume);
guint64 thin_volume_size(ThinVolume *volume);

/* Give the volume a new size. When it shrinks, what lies beyond is unmapped first. */
gboolean thin_volume_resize(ThinVolume *volume, guint64 size, GError **error);

/* Any byte range within the size; beyond it is EINVAL. A range never written reads zero. */
gboolean thin_volume_readv(ThinVolume *volume, const struct iovec *iov, int n_iov, guint64 offset,
                           GError **error);
gboolean thin_volume_writev(ThinVolume *volume, const struct iovec *iov, int n_iov, guint64 offset,
                            GError **error);
gboolean thin_volume_read(ThinVolume *volume, void *buf, gsize length, guint64 offset,
                          GError **error);
gboolean thin_volume_write(ThinVolume *volume, const void *buf, gsize length, guint64 offset,
                           GError **error);

/* The range then reads zero. Whole chunks are unmapped when @unmap (or when the whole chunk is not
 * mapped already: then nothing is done); else, and in part-covered chunks, zeros are written. */
gboolean thin_volume_zero(ThinVolume *volume, guint64 offset, guint64 length, gboolean unmap,
                          GError **error);

/* What of the range is not mapped is mapped then, and reads zero; the rest is left alone, also what
 * is shared. */
gboolean thin_volume_back(ThinVolume *volume, guint64 offset, guint64 length, GError **error);

/* Whole chunks inside the range are unmapped and return to the pool at the next commit; parts are
 * left alone (and still hold their data). */
gboolean thin_volume_discard(ThinVolume *volume, guint64 offset, guint64 length, GError **error);

/* When it returns, every write to this volume that had returned before is durable. Commits only if
 * the pool's metadata changed; concurrent flushes share one commit. */
gboolean thin_volume_flush(ThinVolume *volume, GError **error);

/* The run of equal kind that starts at @offset: its length (to @limit bytes at most) and whether it
 * is mapped. Unmapped reads zero. A run that cannot be reached because of damage (read_only pools):
 * EBADMSG, with *length still set to the lost run's. */
gboolean thin_volume_extent(ThinVolume *volume, guint64 offset, guint64 limit, guint64 *length,
                            gboolean *mapped, GError **error);

/* --- checking ------------------------------------------------------------------------ */

typedef struct {
  GPtrArray *errors; /* char *: what is wrong, with block number, device id and virtual range */
  /* char *: blocks and chunks counted more often than used; harmless, reclaimable */
  GPtrArray *leaks;
  gboolean needs_check; /* is set: the first of the errors */
} ThinReport;
void thin_report_free(ThinReport *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ThinReport, thin_report_free)

/* Check everything the format demands: every node, every count, the details. Writes nothing.
 * @data_size 0: not known. NULL only if @metadata cannot be read at all. */
ThinReport *thin_check(VtIo *metadata, guint64 data_size, GError **error);

typedef struct {
  gboolean quick; /* only the superblock, and the blocks that it leads to at once */
  /* Told now and then how far it is: bytes of metadata, of those in use. NULL: nobody. */
  void (*progress)(guint64 done, guint64 total, gpointer data);
  gpointer data;
} ThinCheckOptions;
/* @options NULL: as thin_check(). */
ThinReport *thin_check_as(VtIo *metadata, guint64 data_size, const ThinCheckOptions *options,
                          GError **error);

/* Of metadata that nobody has open: give what leaks back, and take back needs_check, if a check
 * finds no other error. Durable on return; an end on the way leaves a pool with fewer leaks.
 * *@found, the caller's: what there was. EBADMSG: there is another error; nothing is written.
 * ENOSPC: no room for the commit. */
gboolean thin_mend_leaks(VtIo *metadata, guint64 data_size, ThinReport **found, GError **error);

/* Of metadata that nobody has open: take back needs_check, if a check finds no other error. Durable
 * on return. EBADMSG: it does; nothing is written. */
gboolean thin_clear_needs_check(VtIo *metadata, guint64 data_size, GError **error);
