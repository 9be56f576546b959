/* virt-thin - the one I/O interface through which every byte to and from a physical volume goes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A VtIo is a run of bytes [0, size) that can be read, written, flushed, zeroed and discarded.
 * There are four kinds below (a file or block device; a part of another; a recorder; a failer),
 * one in src/lvm (a logical volume, mapped on its physical volumes), and what is open of a volume
 * for who reads and writes it (pool_volume_open()). All offsets and lengths are bytes.
 *
 * Contract, for each kind:
 *   - a read or write is whole or an error: no short counts. Past the end is EINVAL.
 *   - after a write returns, every later read sees it, through any VtIo on the same file.
 *   - after vt_io_flush() returns TRUE, everything whose write, zero or discard had returned
 *     before the flush was called survives a power cut. Until then any subset may. Of a file or
 *     device no flush succeeds any more once one has failed, for that is true of none.
 *   - vt_io_check(): is what is beneath still there and whole? EIO: a file was deleted or cut, a
 *     device is gone. From then on (also if a flush finds it out) writes and flushes fail.
 *   - vt_io_zero(): the range then reads zero; MAY_UNMAP lets it give the space back.
 *   - vt_io_discard(): a hint; the range's contents are undefined until written again.
 *     Never fails for want of support.
 *   - vt_io_extent(): what is not mapped reads zero, and takes no room.
 *   - vt_io_back(): the range keeps its contents, and from then on (until it is zeroed with
 *     MAY_UNMAP or discarded) a write to it does not fail for want of room beneath: a file's holes
 *     there are allocated. An error of vt_error_is_room() is the answer that there is no room. A
 *     promise as good as the file system's: one that copies on write (btrfs, ZFS), or keeps both
 *     allocation and holes to itself (NFS before 4.2), may still want room later, so a writer must
 *     live with that. Nobody may be writing to the range meanwhile.
 *
 * Thread-safety: all functions may be called from any thread at any time; overlapping
 * writes in flight at once leave either content. Errors: VT_ERROR, code from the system.
 * Ownership: reference counted; vt_io_unref() of the last reference closes (without a flush).
 */
#pragma once

#include <sys/uio.h>
#include <glib.h>

typedef struct VtIo VtIo;

typedef enum {
  VT_IO_ZERO_MAY_UNMAP = 1 << 0,
} VtIoZeroFlags;

/* What a kind of VtIo implements. */
typedef struct {
  gboolean (*readv)(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset, GError **error);
  gboolean (*writev)(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset, GError **error);
  gboolean (*flush)(VtIo *io, GError **error);
  gboolean (*zero)(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags, GError **error);
  gboolean (*discard)(VtIo *io, guint64 offset, guint64 length, GError **error);
  gboolean (*back)(VtIo *io, guint64 offset, guint64 length,
                   GError **error); /* NULL: nothing to be done */
  gboolean (*extent)(VtIo *io, guint64 offset, guint64 limit, guint64 *length, gboolean *mapped,
                     GError **error); /* NULL: all is mapped. @limit: to the end at most, never 0 */
  gboolean (*check)(VtIo *io, GError **error); /* NULL: it is always there */
  guint64 (*size)(VtIo *io);                   /* may change while open */
  guint (*sector_size)(VtIo *io);              /* NULL: 512 */
  void (*free)(VtIo *io); /* releases what the kind owns, and the struct itself */
} VtIoOps;

/* A kind embeds this as its first member and initialises it with vt_io_init(). */
struct VtIo {
  const VtIoOps *ops;
  char *name; /* atomic */
  GSList *old_names;
  gint refs;
  gint read_only;     /* atomic; once set it stays */
  guint64 chunk_size; /* 0; a kind may set another before it hands the VtIo out */
};

void vt_io_init(VtIo *io, const VtIoOps *ops, const char *name, gboolean read_only);
VtIo *vt_io_ref(VtIo *io);
void vt_io_unref(VtIo *io);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VtIo, vt_io_unref)

/* For messages: the path of a file, vg/lv of a logical volume. Valid as long as @io, also when it
 * has another since. */
const char *vt_io_name(VtIo *io);
/* One thread at a time. */
void vt_io_rename(VtIo *io, const char *name);
guint64 vt_io_size(VtIo *io);
/* The preferred unit of large I/O and of discards; 0: none. */
guint64 vt_io_chunk_size(VtIo *io);
/* Bytes of the smallest piece that what is below can be addressed by: a block device's logical
 * sector size; 512 of a file, as of a loop device over it. What is read and written here need not
 * keep to it. */
guint vt_io_sector_size(VtIo *io);
gboolean vt_io_is_read_only(VtIo *io);

gboolean vt_io_read(VtIo *io, void *buf, gsize length, guint64 offset, GError **error);
gboolean vt_io_write(VtIo *io, const void *buf, gsize length, guint64 offset, GError **error);
/* The iovec array is not changed. n_iov may exceed IOV_MAX. */
gboolean vt_io_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset, GError **error);
gboolean vt_io_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset, GError **error);
gboolean vt_io_flush(VtIo *io, GError **error);
gboolean vt_io_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags, GError **error);
gboolean vt_io_discard(VtIo *io, guint64 offset, guint64 length, GError **error);
gboolean vt_io_back(VtIo *io, guint64 offset, guint64 length, GError **error);
gboolean vt_io_check(VtIo *io, GError **error);
/* The run of equal kind at @offset: its length, @limit at most, and whether it is mapped. EINVAL at
 * the end. Of a run that damage makes unreachable: EBADMSG, and *length is the lost run's; of any
 * other error 0. */
gboolean vt_io_extent(VtIo *io, guint64 offset, guint64 limit, guint64 *length, gboolean *mapped,
                      GError **error);
/* Zeros by writing them: the range is mapped then. */
gboolean vt_io_write_zeros(VtIo *io, guint64 offset, guint64 length, GError **error);

static inline guint64 vt_iov_length(const struct iovec *iov, int n_iov)
{
  guint64 length = 0;
  for (int i = 0; i < n_iov; i++)
    length += iov[i].iov_len;
  return length;
}

/* --- a file or a block device ------------------------------------------------------- */

/* Are these one file, or nodes of one block device? */
gboolean vt_is_same_file(const char *a, const char *b);

/* Open @path (regular file or block device). Takes no lock: see vt_io_lock(). */
VtIo *vt_io_open_file(const char *path, gboolean read_only, GError **error);
/* @fd (taken, also on failure) as "@name". Its size is the system's at any time: others change
 * it. */
VtIo *vt_io_new_file(int fd, const char *name, gboolean read_only, GError **error);

/* Is @io, made by vt_io_open_file(), a file without a name by now: deleted or replaced, so that all
 * of it goes when the last who has it open closes it? */
gboolean vt_io_is_nameless(const VtIo *io);

/* For a process whose locks are to outlive it: each descriptor that vt_io_lock() locks (not shared)
 * is given to @keep, still this library's, so that it can be passed to a process that stays. What
 * that hands to this one's successor as @kept (@n_kept descriptors, which stay open) gives
 * vt_io_lock() of the same file or device the lock that is held. */
typedef struct {
  const int *kept;
  guint n_kept;
  void (*keep)(int fd, gpointer user_data);
  gpointer user_data;
} VtIoLocks;

/* Lock a VtIo made by vt_io_open_file() against every other virt-thin process: flock(), and
 * for a block device O_EXCL as well; where that succeeds, a flock() of udev's is waited for.
 * EBUSY names the holder's pid and command where the system tells it (/proc/locks). Released
 * on close. @shared: for readers. @locks NULL: this process's alone. */
gboolean vt_io_lock(VtIo *io, gboolean shared, const VtIoLocks *locks, GError **error);

/* Set the size of a regular file (grow only); EINVAL for a block device. */
gboolean vt_io_grow_file(VtIo *io, guint64 size, GError **error);

/* Bytes [@offset, @offset + @size) of @base (a reference is kept) as a VtIo of their own, to read.
 * */
VtIo *vt_io_new_part(VtIo *base, const char *name, guint64 offset, guint64 size);

/* --- test kinds, part of the library because every layer's tests use them ----------- */

/* Records every write, zero, discard and flush that goes to @base, in order and with its data,
 * for replay. Any number of recorders may share one VtIoLog (several PVs: one order). */
typedef struct VtIoLog VtIoLog;
VtIoLog *vt_io_log_new(void);
void vt_io_log_free(VtIoLog *log);
VtIo *vt_io_recorder_new(VtIo *base, VtIoLog *log);
guint vt_io_log_length(VtIoLog *log);

/* Write into the file @fd of recorder number @device (in order of creation) a state that a power
 * cut after entry
 * @upto (exclusive) could leave, on top of the content that @fd holds (the state when recording
 * began): everything before the last completed flush is applied; of the rest each write is, by
 * @rand, applied, dropped, or torn at a 512-byte boundary, in any order. @rand NULL: all applied.
 */
gboolean vt_io_log_replay(VtIoLog *log, guint device, guint upto, GRand *rand, int fd,
                          GError **error);

/* Passes everything to @base until @countdown further operations of the kinds in @kinds have been
 * done, then fails each of those kinds with @err. */
typedef enum {
  VT_IO_READ = 1,
  VT_IO_WRITE = 2,
  VT_IO_FLUSH = 4,
  VT_IO_ZERO = 8,
  VT_IO_DISCARD = 16,
  VT_IO_BACK = 32,
  VT_IO_ONCE = 64, /* the first alone fails */
} VtIoKinds;
VtIo *vt_io_failer_new(VtIo *base, VtIoKinds kinds, guint countdown, int err);
void vt_io_failer_arm(VtIo *failer, VtIoKinds kinds, guint countdown,
                      int err);          /* G_MAXUINT: never */
guint vt_io_failer_count(VtIo *failer);  /* operations seen so far */
guint vt_io_failer_failed(VtIo *failer); /* of these, made to fail */
