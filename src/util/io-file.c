/* virt-thin - I/O to a regular file or a block device
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reads and writes go through the page cache; vt_io_flush() is fdatasync(), which on Linux also
 * flushes the drive's own cache. The size of a file opened here is kept and only read again by
 * vt_io_grow_file(), so that the data path asks the kernel nothing but the I/O itself.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/error.h"
#include "util/io.h"
#include "util/io-tail.h"
#include "util/memory.h"
#include "util/proc.h"

/* A block device that nobody else has claimed may still be locked by who looks at it for a moment,
 * as udev does after each writer. */
#define ONLOOKER_PATIENCE_US (5 * G_TIME_SPAN_SECOND)

typedef struct {
  VtIo io;
  int fd;
  gboolean is_block, asks_size;
  gboolean has_name; /* constant: it had one when it was opened */
  guint sector_size;
  guint64 size; /* atomic: only grows; not if @asks_size */
  char *lost;   /* atomic, set once: why nothing is written any more; NULL: it is whole */
  VtTail tail;
  pthread_mutex_t flushing;
  int flush_failed; /* under @flushing: errno of the first flush that failed */
} FileIo;

static const VtIoOps file_ops;

static gboolean read_size(FileIo *file, guint64 *size, GError **error)
{
  struct stat st;
  if (file->is_block ? ioctl(file->fd, BLKGETSIZE64, size) < 0 : fstat(file->fd, &st) < 0)
    return vt_set_errno(error, errno, "%s: cannot tell the size", file->io.name);
  if (!file->is_block)
    *size = st.st_size;
  return TRUE;
}

static guint64 file_size(VtIo *io)
{
  FileIo *file = (FileIo *)io;
  guint64 size = 0;
  if (!file->asks_size)
    return __atomic_load_n(&file->size, __ATOMIC_RELAXED);
  return read_size(file, &size, NULL) ? size : 0;
}

typedef ssize_t (*VectorCall)(int fd, const struct iovec *iov, int n_iov, off_t offset);

/* Drop @done bytes from the front of @iov; returns how many whole elements are gone. */
static int iov_advance(struct iovec *iov, int n_iov, gsize done)
{
  int i = 0;
  while (i < n_iov && done >= iov[i].iov_len)
    done -= iov[i++].iov_len;
  if (i < n_iov) {
    iov[i].iov_base = (char *)iov[i].iov_base + done;
    iov[i].iov_len -= done;
  }
  return i;
}

/* @call until all is transferred: the rare rest after a short count or an interruption. */
static gboolean transfer_rest(FileIo *file, VectorCall call, const char *verb,
                              const struct iovec *iov, int n_iov, guint64 offset, gsize done,
                              GError **error)
{
  g_autofree struct iovec *rest = vt_memdup(iov, n_iov * sizeof *iov);
  struct iovec *p = rest;
  for (;;) {
    int gone = iov_advance(p, n_iov, done);
    p += gone;
    n_iov -= gone;
    offset += done;
    if (n_iov == 0)
      return TRUE;
    ssize_t n = call(file->fd, p, MIN(n_iov, IOV_MAX), offset);
    if (n < 0 && errno != EINTR)
      return vt_set_errno(error, errno, "%s: cannot %s at offset %" G_GUINT64_FORMAT, file->io.name,
                          verb, offset);
    if (n == 0)
      return vt_set_error(error, EIO,
                          "%s: cannot %s at offset %" G_GUINT64_FORMAT
                          ": the file ends there, it has been truncated",
                          file->io.name, verb, offset);
    done = MAX(n, 0);
  }
}

static gboolean transfer(VtIo *io, VectorCall call, const char *verb, const struct iovec *iov,
                         int n_iov, guint64 offset, GError **error)
{
  FileIo *file = (FileIo *)io;
  gsize length = vt_iov_length(iov, n_iov);
  ssize_t n = call(file->fd, iov, MIN(n_iov, IOV_MAX), offset);
  if (n >= 0 && (gsize)n == length)
    return TRUE;
  if (n < 0 && errno != EINTR)
    return vt_set_errno(error, errno, "%s: cannot %s at offset %" G_GUINT64_FORMAT, io->name, verb,
                        offset);
  return transfer_rest(file, call, verb, iov, n_iov, offset, MAX(n, 0), error);
}

/* --- is it still there? --- */

/* What has befallen the file behind a loop device of @size bytes. A deletion the kernel notes at
 * the end of its path. */
static const char *describe_loop_loss(int fd, const struct stat *st, guint64 size)
{
  g_autofree char *path = g_strdup_printf("/sys/dev/block/%u:%u/loop/backing_file",
                                          major(st->st_rdev), minor(st->st_rdev)),
                  *file = NULL;
  struct loop_info64 info;
  struct stat behind;
  if (!g_file_get_contents(path, &file, NULL, NULL) || ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
    return NULL;
  if (g_str_has_suffix(g_strchomp(file), " (deleted)"))
    return "the file behind this loop device was deleted or replaced: copy the device before it is "
           "detached";
  if (stat(file, &behind) == 0 && behind.st_ino == info.lo_inode && S_ISREG(behind.st_mode) &&
      (guint64)behind.st_size / 512 * 512 < info.lo_offset + size)
    return "somebody has cut the file behind this loop device: what was behind is lost, restore it "
           "from a backup";
  return NULL;
}

static gboolean is_nameless(const FileIo *file)
{
  struct stat st;

  return !file->is_block && file->has_name && fstat(file->fd, &st) == 0 && st.st_nlink == 0;
}

gboolean vt_io_is_nameless(const VtIo *io)
{
  return io->ops == &file_ops && is_nameless((const FileIo *)io);
}

/* What has befallen it, the caller's; NULL: nothing. */
static char *describe_loss(FileIo *file)
{
  struct stat st;
  guint64 size = 0, before = file_size(&file->io);
  if (file->asks_size || fstat(file->fd, &st) < 0)
    return NULL;
  if (!read_size(file, &size, NULL) || (file->is_block && size == 0))
    return g_strdup("the device is gone");
  if (size < before)
    return g_strdup_printf("somebody has cut it from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                           " bytes: what was behind is lost, restore it from a backup",
                           before, size);
  if (file->is_block && major(st.st_rdev) == LOOP_MAJOR)
    return g_strdup(describe_loop_loss(file->fd, &st, size));
  if (is_nameless(file))
    return g_strdup_printf("the file was deleted or replaced: before the volume group is stopped, "
                           "copy it with cp --sparse=always /proc/%d/fd/%d FILE",
                           (int)getpid(), file->fd);
  return NULL;
}

static gboolean set_lost(FileIo *file, const char *lost, GError **error)
{
  return vt_set_error(error, EIO, "%s: nothing more is written, for %s", file->io.name, lost);
}

/* Has a check found out? */
static gboolean is_known_lost(FileIo *file, GError **error)
{
  const char *lost = __atomic_load_n(&file->lost, __ATOMIC_ACQUIRE);
  return G_UNLIKELY(lost) && !set_lost(file, lost, error);
}

static gboolean check(FileIo *file, gboolean thoroughly, GError **error)
{
  g_autofree char *lost =
      __atomic_load_n(&file->lost, __ATOMIC_ACQUIRE) ? NULL : describe_loss(file);
  char *none = NULL;
  if (!lost && !file->is_block && !file->asks_size && !file->io.read_only &&
      (thoroughly ? vt_tail_look : vt_tail_is_cut)(&file->tail, file->fd))
    lost = g_strdup("somebody has cut it, and let it grow again: what was behind is lost, restore "
                    "it from a backup");
  if (lost && __atomic_compare_exchange_n(&file->lost, &none, lost, FALSE, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE))
    g_warning("%s: nothing more is written, for %s", file->io.name, g_steal_pointer(&lost));
  return !is_known_lost(file, error);
}

static gboolean file_check(VtIo *io, GError **error)
{
  return check((FileIo *)io, TRUE, error);
}

/* One piece of memory, which is what most I/O has, is cheaper without a vector. */
static gboolean file_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                           GError **error)
{
  if (n_iov == 1 &&
      pread(((FileIo *)io)->fd, iov->iov_base, iov->iov_len, offset) == (ssize_t)iov->iov_len)
    return TRUE;
  return transfer(io, preadv, "read", iov, n_iov, offset, error);
}

static gboolean file_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                            GError **error)
{
  FileIo *file = (FileIo *)io;
  guint begun = vt_tail_begin_write(&file->tail);
  if (is_known_lost(file, error))
    return FALSE;
  if ((n_iov != 1 ||
       pwrite(file->fd, iov->iov_base, iov->iov_len, offset) != (ssize_t)iov->iov_len) &&
      !transfer(io, pwritev, "write", iov, n_iov, offset, error))
    return FALSE;
  if (!file->is_block)
    vt_tail_written(&file->tail, iov, n_iov, offset, vt_iov_length(iov, n_iov), begun);
  return TRUE;
}

/* The kernel tells of a lost write once, to whoever flushes first, and takes it for written then.
 * But several write through one VtIo: a VG's text, its pools, its volumes. So nobody's flush
 * succeeds any more, nor one that was under way meanwhile: they take turns. */
static gboolean file_flush(VtIo *io, GError **error)
{
  FileIo *file = (FileIo *)io;
  gboolean is_first;
  int err;
  if (io->read_only)
    return TRUE;
  pthread_mutex_lock(&file->flushing);
  is_first = !file->flush_failed;
  if (is_first && fdatasync(file->fd) < 0)
    file->flush_failed = errno;
  err = file->flush_failed;
  pthread_mutex_unlock(&file->flushing);
  if (!err)
    return check(file, FALSE, error);
  return vt_set_errno(error, err,
                      is_first ? "%s: cannot flush"
                               : "%s: an earlier flush failed, and what was written before it may "
                                 "be lost: once the cause is mended, open it anew",
                      io->name);
}

static gboolean is_unsupported(int err)
{
  return err == EOPNOTSUPP || err == ENOSYS || err == ENOTTY || err == EINVAL;
}

/* fallocate() that may leave a hole. */
static int make_hole(FileIo *file, int mode, guint64 offset, guint64 length)
{
  int rc, err;

  vt_tail_release(&file->tail, offset, length);
  rc = fallocate(file->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
  err = errno;
  vt_tail_released(&file->tail);
  errno = err;
  return rc;
}

/* fallocate() serves files and, since Linux 4.9, block devices alike, these in whole sectors. */
static gboolean file_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                          GError **error)
{
  FileIo *file = (FileIo *)io;
  int mode = flags & VT_IO_ZERO_MAY_UNMAP ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
  guint64 unit = file->is_block ? file->sector_size : 1, stop = offset + length,
          begin = (offset + unit - 1) / unit * unit, end = stop / unit * unit;
  if (is_known_lost(file, error))
    return FALSE;
  if (begin >= end)
    return vt_io_write_zeros(io, offset, length, error);
  if (make_hole(file, mode, begin, end - begin) == 0)
    return vt_io_write_zeros(io, offset, begin - offset, error) &&
           vt_io_write_zeros(io, end, stop - end, error);
  if (!is_unsupported(errno))
    return vt_set_errno(error, errno,
                        "%s: cannot zero %" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT,
                        io->name, length, offset);
  return vt_io_write_zeros(io, offset, length, error);
}

static gboolean file_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  FileIo *file = (FileIo *)io;
  guint64 range[2] = {offset, length};
  int rc = file->is_block ? ioctl(file->fd, BLKDISCARD, range)
                          : make_hole(file, FALLOC_FL_PUNCH_HOLE, offset, length);
  if (rc == 0 || is_unsupported(errno))
    return TRUE;
  return vt_set_errno(error, errno,
                      "%s: cannot discard %" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT,
                      io->name, length, offset);
}

static guint file_sector_size(VtIo *io)
{
  return ((FileIo *)io)->sector_size;
}

/* Who does not know holes, as a block device, has none to tell. */
static gboolean file_extent(VtIo *io, guint64 offset, guint64 limit, guint64 *length,
                            gboolean *mapped, GError **error)
{
  int fd = ((FileIo *)io)->fd;
  off_t begin = offset, end = lseek(fd, begin, SEEK_DATA);
  gboolean hole_to_end = end < 0 && errno == ENXIO;
  *mapped = end <= begin && !hole_to_end;
  if (end == begin)
    end = lseek(fd, begin, SEEK_HOLE);
  if (end < 0 && !hole_to_end && !is_unsupported(errno))
    return vt_set_errno(error, errno, "%s: cannot look for holes at offset %" G_GUINT64_FORMAT,
                        io->name, offset);
  *length = end > begin ? MIN((guint64)(end - begin), limit) : limit;
  return TRUE;
}

/* Where the file system does not allocate, zeros are written where it says that holes are. */
static gboolean fill_holes(VtIo *io, guint64 offset, guint64 end, GError **error)
{
  for (guint64 length; offset < end; offset += length) {
    gboolean mapped;
    if (!vt_io_extent(io, offset, end - offset, &length, &mapped, error) ||
        (!mapped && !vt_io_write_zeros(io, offset, length, error)))
      return FALSE;
  }
  return TRUE;
}

static gboolean file_back(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  FileIo *file = (FileIo *)io;
  struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
  if (file->is_block)
    return TRUE;
  /* Writes are held to this limit, also within the file; fallocate() is not. */
  getrlimit(RLIMIT_FSIZE, &limit);
  int rc = -1;
  errno = EFBIG;
  if (offset + length <= limit.rlim_cur)
    rc = TEMP_FAILURE_RETRY(fallocate(file->fd, FALLOC_FL_KEEP_SIZE, offset, length));
  if (rc == 0)
    return TRUE;
  if (is_unsupported(errno))
    return fill_holes(io, offset, offset + length, error);
  return vt_set_errno(
      error, errno, "%s: cannot allocate %" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT,
      io->name, length, offset);
}

static void file_free(VtIo *io)
{
  close(((FileIo *)io)->fd);
  g_free(((FileIo *)io)->lost);
  pthread_mutex_destroy(&((FileIo *)io)->tail.lock);
  pthread_mutex_destroy(&((FileIo *)io)->flushing);
  g_free(io);
}

static const VtIoOps file_ops = {
    .readv = file_readv,
    .writev = file_writev,
    .flush = file_flush,
    .zero = file_zero,
    .discard = file_discard,
    .back = file_back,
    .check = file_check,
    .extent = file_extent,
    .size = file_size,
    .sector_size = file_sector_size,
    .free = file_free,
};

static guint read_sector_size(int fd, const struct stat *st)
{
  int size = 0;

  return S_ISBLK(st->st_mode) && ioctl(fd, BLKSSZGET, &size) == 0 && size > 0 ? (guint)size : 512;
}

VtIo *vt_io_new_file(int fd, const char *name, gboolean read_only, GError **error)
{
  struct stat st;
  gboolean ok = fstat(fd, &st) == 0 || vt_set_errno(error, errno, "%s: cannot stat", name);
  if (ok && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
    ok = vt_set_error(error, EINVAL, "%s: neither a regular file nor a block device", name);
  if (!ok) {
    close(fd);
    return NULL;
  }
  FileIo *file = g_new0(FileIo, 1);
  vt_io_init(&file->io, &file_ops, name, read_only);
  file->fd = fd;
  pthread_mutex_init(&file->tail.lock, NULL);
  pthread_mutex_init(&file->flushing, NULL);
  file->is_block = S_ISBLK(st.st_mode);
  file->has_name = st.st_nlink > 0;
  file->asks_size = TRUE;
  file->sector_size = read_sector_size(fd, &st);
  if (read_size(file, &file->size, error))
    return &file->io;
  vt_io_unref(&file->io);
  return NULL;
}

VtIo *vt_io_open_file(const char *path, gboolean read_only, GError **error)
{
  int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    vt_set_errno(error, errno, "%s: cannot open", path);
    return NULL;
  }
  VtIo *io = vt_io_new_file(fd, path, read_only, error);
  if (!io)
    return NULL;
  ((FileIo *)io)->asks_size = FALSE;
  if (!read_only && !((FileIo *)io)->is_block)
    vt_tail_look(&((FileIo *)io)->tail, fd); /* from now on */
  return io;
}

static char *lock_holder(int fd)
{
  struct stat st;
  pid_t pid = 0;
  if (fstat(fd, &st) < 0 || !vt_flock_holder(&st, &pid) || pid == 0)
    return g_strdup("another process");
  g_autofree char *process = vt_process_name(pid);
  return process ? g_strdup_printf("pid %d (%s)", (int)pid, process)
                 : g_strdup_printf("the service that process %d was the engine of",
                                   (int)pid); /* see VtIoLocks */
}

/* Somebody has the device open exclusively. Another virt-thin holds the flock as well, and can be
 * named. */
static gboolean set_busy(FileIo *file, GError **error)
{
  if (flock(file->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
    g_autofree char *holder = lock_holder(file->fd);
    return vt_set_error(error, EBUSY, "%s: in use by %s", file->io.name, holder);
  }
  return vt_set_error(
      error, EBUSY,
      "%s: in use by the kernel: mounted, active under LVM or device-mapper, or opened exclusively",
      file->io.name);
}

/* A block device is opened a second time with O_EXCL, which the kernel honours against mounts and
 * its own users; the descriptor then replaces the first. */
static gboolean claim_block_device(FileIo *file, GError **error)
{
  g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", file->fd);
  int fd = open(path, (file->io.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_EXCL);
  if (fd < 0)
    return errno == EBUSY
               ? set_busy(file, error)
               : vt_set_errno(error, errno, "%s: cannot open exclusively", file->io.name);
  if (dup3(fd, file->fd, O_CLOEXEC) < 0) {
    int err = errno;
    close(fd);
    return vt_set_errno(error, err, "%s: cannot replace its descriptor", file->io.name);
  }
  close(fd);
  return TRUE;
}

static gboolean is_same(const struct stat *a, const struct stat *b)
{
  return S_ISBLK(a->st_mode) == S_ISBLK(b->st_mode) &&
         (S_ISBLK(a->st_mode) ? a->st_rdev == b->st_rdev
                              : a->st_dev == b->st_dev && a->st_ino == b->st_ino);
}

gboolean vt_is_same_file(const char *a, const char *b)
{
  struct stat one, two;

  return strcmp(a, b) == 0 || (stat(a, &one) == 0 && stat(b, &two) == 0 && is_same(&one, &two));
}

/* Lock and exclusive open belong to the description behind a descriptor: with that they are taken
 * over. */
static gboolean take_kept_lock(FileIo *file, const VtIoLocks *locks)
{
  struct stat mine, kept;

  if (locks->n_kept == 0 || fstat(file->fd, &mine) < 0)
    return FALSE;
  for (guint i = 0; i < locks->n_kept; i++)
    if (fstat(locks->kept[i], &kept) == 0 && is_same(&mine, &kept))
      return dup3(locks->kept[i], file->fd, O_CLOEXEC) >= 0;
  return FALSE;
}

/* FALSE: errno says why. */
static gboolean wait_for_lock(int fd, int operation, gint64 patience)
{
  gint64 deadline = g_get_monotonic_time() + patience;

  while (flock(fd, operation) < 0) {
    int err = errno;

    if (err != EWOULDBLOCK || g_get_monotonic_time() >= deadline) {
      errno = err;
      return FALSE;
    }
    g_usleep(20 * G_TIME_SPAN_MILLISECOND);
  }
  return TRUE;
}

gboolean vt_io_lock(VtIo *io, gboolean shared, const VtIoLocks *locks, GError **error)
{
  g_return_val_if_fail(io->ops == &file_ops, FALSE);
  FileIo *file = (FileIo *)io;
  if (!shared && locks && take_kept_lock(file, locks))
    return TRUE;
  if (file->is_block && !shared && !claim_block_device(file, error))
    return FALSE;
  if (wait_for_lock(file->fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB,
                    file->is_block && !shared ? ONLOOKER_PATIENCE_US : 0)) {
    if (!shared && locks && locks->keep)
      locks->keep(file->fd, locks->user_data);
    return TRUE;
  }
  if (errno != EWOULDBLOCK)
    return vt_set_errno(error, errno, "%s: cannot lock", io->name);
  g_autofree char *holder = lock_holder(file->fd);
  return vt_set_error(error, EBUSY, "%s: in use by %s", io->name, holder);
}

gboolean vt_io_grow_file(VtIo *io, guint64 size, GError **error)
{
  g_return_val_if_fail(io->ops == &file_ops, FALSE);
  FileIo *file = (FileIo *)io;
  guint64 current;
  if (!read_size(file, &current, error))
    return FALSE;
  if (size < current || (file->is_block && size > current))
    return vt_set_error(error, EINVAL,
                        "%s: cannot change its size from %" G_GUINT64_FORMAT
                        " to %" G_GUINT64_FORMAT " bytes",
                        io->name, current, size);
  if (!file->is_block && ftruncate(file->fd, size) < 0)
    return vt_set_errno(error, errno, "%s: cannot grow to %" G_GUINT64_FORMAT " bytes", io->name,
                        size);
  __atomic_store_n(&file->size, size, __ATOMIC_RELAXED);
  return TRUE;
}
