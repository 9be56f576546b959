/* virt-thin - what each FUSE request does
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A volume's file has a disk's manners: its size is the volume's and no program changes it; O_TRUNC
 * is ignored (without atomic O_TRUNC the kernel sends it as a truncation to 0 that names no open
 * file, which is how it is told from ftruncate()); what goes beyond the end is refused with ENOSPC,
 * as the kernel does for block devices. Nothing is cached by the kernel: attributes and names are
 * asked for each time, data goes by direct I/O.
 *
 * Each file has a second name, <lv>@upload, that no listing shows ('@' is in no LV's name): the
 * same volume, but shrinking by ftruncate() is ignored there. It is for libvirt, whose sparse
 * upload to a regular file seeks over each hole and then cuts the file there (libvirt
 * src/util/virfdstream.c, virFDStreamThreadDoWrite). The number of its node is the volume's with
 * one bit more: nothing to remember over a restart.
 *
 * fallocate() without a mode (posix_fallocate(), preallocation of qemu-img) succeeds and does
 * nothing: a thin volume has all its space as far as a program can tell, and reserving chunks would
 * only fill the pool.
 *
 * The outcome of everything that changes something is noted in the slot before it is answered
 * (service/fuse/shared.h).
 */
#include "config.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "service/fuse/fuse-ops.h"
#include "util/latency.h"

#ifndef FOPEN_PARALLEL_DIRECT_WRITES
#define FOPEN_PARALLEL_DIRECT_WRITES (1 << 6) /* linux 6.2 include/uapi/linux/fuse.h */
#endif

__thread FuseWorker fuse_worker;

static Folder *folder_of(fuse_req_t req)
{
  return fuse_req_userdata(req);
}

static void note(int outcome, guint64 value)
{
  SharedSlot *slot = &fuse_worker.request->slot;
  slot->outcome = outcome;
  slot->value = value;
  __atomic_store_n(&slot->executed, 1, __ATOMIC_RELEASE);
}

/* Answer a request that changed something, or failed to. */
static void reply_done(fuse_req_t req, int err)
{
  note(err, 0);
  fuse_reply_err(req, err);
}

static int take_error(GError *error)
{
  int err = vt_error_to_errno(error);
  g_error_free(error);
  return err;
}

/* --- names and attributes --- */

#define UPLOAD_SUFFIX "@upload"
#define UPLOAD_BIT (1ull << 62) /* clear in the numbers of folder.c */

/* The volume behind a node of either name. */
static FolderVolume *volume_of(Folder *folder, fuse_ino_t ino)
{
  return folder_get(folder, ino & ~UPLOAD_BIT);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
  conn->max_write = SHARED_MAX_WRITE;
  conn->max_background = 1024; /* asynchronous reads and writes under way; the default, 12, would be
                                  the queue depth of all volumes together */
  conn->congestion_threshold = 768;
  conn->want =
      conn->capable & (FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
  gboolean upload = g_str_has_suffix(name, UPLOAD_SUFFIX);
  g_autofree char *volume_name =
      g_strndup(name, strlen(name) - (upload ? strlen(UPLOAD_SUFFIX) : 0));
  g_autoptr(FolderVolume) volume =
      parent == FUSE_ROOT_ID ? folder_lookup(folder_of(req), volume_name) : NULL;
  struct fuse_entry_param entry = {0};

  if (!volume) {
    fuse_reply_err(req, ENOENT);
    return;
  }
  entry.ino = volume->ino | (upload ? UPLOAD_BIT : 0);
  entry.generation = 1;
  folder_stat(folder_of(req), volume, &entry.attr);
  fuse_reply_entry(req, &entry);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  g_autoptr(FolderVolume) volume = NULL;
  struct stat st;

  if (ino == FUSE_ROOT_ID) {
    folder_stat_root(folder_of(req), &st);
  } else {
    volume = volume_of(folder_of(req), ino);
    if (!volume) {
      fuse_reply_err(req, ENOENT);
      return;
    }
    folder_stat(folder_of(req), volume, &st);
  }
  fuse_reply_attr(req, &st, 0);
}

/* May a truncation to @size go through, which must not change anything? */
static int check_truncate(const struct stat *st, off_t size, gboolean open_file, gboolean upload)
{
  if (size == st->st_size || (size == 0 && !open_file) || (upload && size < st->st_size))
    return 0;
  return size > st->st_size ? ENOSPC : EPERM;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
  Folder *folder = folder_of(req);
  g_autoptr(FolderVolume) volume = volume_of(folder, ino);
  struct stat st;
  int err = 0;

  if (!volume) {
    fuse_reply_err(req, ino == FUSE_ROOT_ID ? EPERM : ENOENT);
    return;
  }
  folder_stat(folder, volume, &st);
  if (to_set & FUSE_SET_ATTR_SIZE)
    err = check_truncate(&st, attr->st_size, fi != NULL, (ino & UPLOAD_BIT) != 0);
  if (!err && to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
    err = folder_set_mode(folder, volume, to_set & FUSE_SET_ATTR_MODE ? attr->st_mode : (mode_t)-1,
                          to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1,
                          to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1);
  if (err) {
    fuse_reply_err(req, err);
    return;
  }
  folder_stat(folder, volume, &st);
  fuse_reply_attr(req, &st, 0);
}

/* Offsets: 1 after ".", 2 after "..", else the number of the file last listed. */
static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
  g_autoptr(GArray) entries = NULL;
  char *buffer = fuse_worker.buffer;
  size_t used = 0;
  struct stat st = {.st_ino = 1, .st_mode = S_IFDIR};

  size = MIN(size, SHARED_MAX_WRITE);
  for (; offset < 2; offset++) {
    size_t length = fuse_add_direntry(req, buffer + used, size - used, offset == 0 ? "." : "..",
                                      &st, offset + 1);
    if (length > size - used)
      break;
    used += length;
  }
  st.st_mode = S_IFREG;
  entries = folder_list(folder_of(req), offset, size / 32 + 1);
  for (guint i = 0; i < entries->len; i++) {
    FolderEntry *entry = &g_array_index(entries, FolderEntry, i);
    st.st_ino = entry->ino;
    size_t length =
        fuse_add_direntry(req, buffer + used, size - used, entry->name, &st, entry->ino);
    if (length > size - used)
      break;
    used += length;
  }
  fuse_reply_buf(req, buffer, used);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
  g_autoptr(FolderVolume) volume = ino == FUSE_ROOT_ID ? NULL : volume_of(folder_of(req), ino);
  struct statvfs st = {0};
  guint64 size, used;

  folder_space(folder_of(req), &size, &used);
  /* The loop driver takes f_bsize for the granularity of discards: chunks. */
  st.f_bsize = volume && volume->chunk_size ? MIN(volume->chunk_size, 1u << 30) : 65536;
  st.f_frsize = 4096;
  st.f_blocks = size / st.f_frsize;
  st.f_bfree = st.f_bavail = (size - MIN(used, size)) / st.f_frsize;
  st.f_namemax = 127;
  fuse_reply_statfs(req, &st);
}

static void op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
  fuse_reply_err(req, 0); /* the kernel has checked (default_permissions) */
}

/* --- what a disk does not do --- */

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
  fuse_reply_err(req, EPERM);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
  fuse_reply_err(req, EPERM);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
  fuse_reply_err(req, EPERM);
}

static void op_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
  fuse_reply_err(req, EPERM);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
  fuse_reply_err(req, EPERM);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
  fuse_reply_err(req, EPERM);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned int flags)
{
  fuse_reply_err(req, EPERM);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
  fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
  fuse_reply_none(req);
}

/* --- open files --- */

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  /* Not through libfuse's fuse_file_info, which knows no FOPEN_PARALLEL_DIRECT_WRITES; without it
   * the writes to one file wait for each other. */
  struct fuse_open_out out = {.open_flags =
                                  FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES | FOPEN_NOFLUSH};
  struct iovec iov = {&out, sizeof out};
  Folder *folder = folder_of(req);
  g_autoptr(FolderVolume) volume = volume_of(folder, ino);
  guint64 unique = fuse_worker.request->header.unique;
  GError *error = NULL;

  if (!volume) {
    fuse_reply_err(req, ENOENT);
    return;
  }
  if (fuse_worker.request->slot.attempts > 0)
    folder_forget_open(folder, unique);
  if (!folder_open(folder, volume, (fi->flags & O_ACCMODE) != O_RDONLY, fuse_req_ctx(req)->pid,
                   unique, &out.fh, &error)) {
    if (!g_error_matches(error, VT_ERROR, EROFS))
      g_message("open by pid %d failed: %s", fuse_req_ctx(req)->pid, error->message);
    reply_done(req, take_error(error));
    return;
  }
  note(0, out.fh);
  if (fuse_reply_iov(req, &iov, 1) != 0)
    folder_close(folder, out.fh); /* the opener was killed meanwhile: nobody will release it */
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  folder_close(folder_of(req), fi->fh);
  reply_done(req, 0);
}

/* The volume behind the request's file; answers it with an error when there is none. */
static VtIo *handle_of(fuse_req_t req, struct fuse_file_info *fi, gboolean to_write)
{
  VtIo *volume = fi ? folder_handle(folder_of(req), fi->fh) : NULL;
  if (!volume)
    reply_done(req, EIO);
  else if (to_write && !folder_handle_writes(folder_of(req), fi->fh)) {
    reply_done(req, EBADF);
    volume = NULL;
  }
  return volume;
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
  VtIo *volume = handle_of(req, fi, FALSE);
  if (!volume)
    return;
  guint64 end = vt_io_size(volume);
  GError *error = NULL;

  gint64 begin = g_get_monotonic_time();

  size = (guint64)offset >= end ? 0 : MIN(MIN(size, end - offset), SHARED_MAX_WRITE);
  if (size && !vt_io_read(volume, fuse_worker.buffer, size, offset, &error))
    fuse_reply_err(req, take_error(error));
  else
    fuse_reply_buf(req, fuse_worker.buffer, size);
  latency_add(LATENCY_FUSE, LATENCY_READ, begin, size);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
  VtIo *volume = handle_of(req, fi, TRUE);
  if (!volume)
    return;
  guint64 end = vt_io_size(volume);
  GError *error = NULL;

  if (size && (guint64)offset >= end) {
    reply_done(req, ENOSPC);
    return;
  }
  gint64 begin = g_get_monotonic_time();

  size = MIN(size, end - offset);
  if (vt_io_write(volume, data, size, offset, &error)) {
    note(0, size);
    fuse_reply_write(req, size);
  } else {
    reply_done(req, take_error(error));
  }
  latency_add(LATENCY_FUSE, LATENCY_WRITE, begin, size);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
  VtIo *volume = handle_of(req, fi, FALSE);
  GError *error = NULL;
  if (!volume)
    return;
  gint64 begin = g_get_monotonic_time();

  reply_done(req,
             vt_io_is_read_only(volume) || vt_io_flush(volume, &error) ? 0 : take_error(error));
  latency_add(LATENCY_FUSE, LATENCY_FLUSH, begin, 0);
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                         struct fuse_file_info *fi)
{
  VtIo *volume = handle_of(req, fi, TRUE);
  if (!volume)
    return;
  guint64 end = vt_io_size(volume);
  gboolean keep_size = mode & FALLOC_FL_KEEP_SIZE, done = TRUE;
  gint64 begin = g_get_monotonic_time();
  GError *error = NULL;

  if (offset < 0 || length <= 0) {
    reply_done(req, EINVAL);
    return;
  }
  if ((guint64)offset + length > end && !keep_size) {
    reply_done(req, ENOSPC);
    return;
  }
  length = (guint64)offset >= end ? 0 : MIN((guint64)length, end - offset);
  switch (mode) {
  case 0:
  case FALLOC_FL_KEEP_SIZE: done = !length || vt_io_back(volume, offset, length, &error); break;
  case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
  case FALLOC_FL_ZERO_RANGE:
  case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
    if (length)
      done = vt_io_zero(volume, offset, length,
                        mode & FALLOC_FL_PUNCH_HOLE ? VT_IO_ZERO_MAY_UNMAP : 0, &error);
    break;
  default: reply_done(req, EOPNOTSUPP); return;
  }
  reply_done(req, done ? 0 : take_error(error));
  if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
    latency_add(LATENCY_FUSE, LATENCY_DISCARD, begin, (guint64)length);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
                     struct fuse_file_info *fi)
{
  VtIo *volume = handle_of(req, fi, FALSE);
  if (!volume)
    return;
  guint64 end = vt_io_size(volume), at = offset, length;
  gboolean mapped, wanted = whence == SEEK_DATA;
  GError *error = NULL;

  if (whence != SEEK_DATA && whence != SEEK_HOLE) {
    fuse_reply_err(req, EINVAL);
    return;
  }
  if (offset < 0 || at >= end) {
    fuse_reply_err(req, ENXIO);
    return;
  }
  while (at < end) {
    if (!vt_io_extent(volume, at, end - at, &length, &mapped, &error)) {
      fuse_reply_err(req, take_error(error));
      return;
    }
    if (mapped == wanted)
      break;
    at += length;
  }
  if (at >= end && wanted)
    fuse_reply_err(req, ENXIO);
  else
    fuse_reply_lseek(req, MIN(at, end));
}

const struct fuse_lowlevel_ops fuse_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .unlink = op_remove,
    .rmdir = op_remove,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .release = op_release,
    .fsync = op_fsync,
    .readdir = op_readdir,
    .statfs = op_statfs,
    .access = op_access,
    .create = op_create,
    .fallocate = op_fallocate,
    .lseek = op_lseek,
};
