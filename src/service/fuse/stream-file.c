/* virt-thin - a volume of the kernel's as a regular file, for one of libvirt's streams
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One file, one open, one thread: a stream's requests come one after the other.
 */
#include "config.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>

#include "pool/guest.h"
#include "service/fuse/mount.h"
#include "service/fuse/stream-file.h"
#include "util/memory.h"

#define FILE_INO 2
#define MAX_TRANSFER (1u << 20)

typedef struct {
  guint64 begin, end;
} Range;

typedef struct {
  VolumeGroup *group;
  const char *name, *folder;
  gboolean read_only, reads_zero;
  VtIo *volume; /* NULL: closed, until there is something to do */
  guint64 size, chunk_size;
  GArray *mapped; /* Ranges of whole chunks, as it was before the first write */
  struct fuse_session *session;
  char *buffer; /* MAX_TRANSFER */
  gboolean opened;
  /* Of what is written, one piece behind the other: */
  guint64 at;         /* where the last one ended */
  guint64 zeros_from; /* up to there, zeros alone since here */
  guint64 kept_back;  /* and those since here are not written; @at: all are */
  guint64 mapped_end; /* the end of the chunk that was last written to */
} StreamFile;

static StreamFile *file_of(fuse_req_t req)
{
  return fuse_req_userdata(req);
}

static int take_error(GError *error)
{
  int err = vt_error_to_errno(error);

  g_warning("%s", error->message);
  g_error_free(error);
  return err;
}

static gboolean open_volume(StreamFile *file, GError **error)
{
  if (!file->volume)
    file->volume =
        pool_volume_open(file->group, file->name, file->read_only, "a stream of libvirt's", error);
  return file->volume != NULL;
}

/* --- writing --- */

static gboolean list_mapped(StreamFile *file, GError **error)
{
  guint64 length;
  gboolean mapped;

  for (guint64 at = 0; at < file->size; at += length) {
    if (!vt_io_extent(file->volume, at, file->size - at, &length, &mapped, error))
      return FALSE;
    Range range = {at, at + length};
    if (mapped)
      g_array_append_val(file->mapped, range);
  }
  return TRUE;
}

static int compare_range(gconstpointer key, gconstpointer element)
{
  guint64 offset = *(const guint64 *)key;
  const Range *range = element;

  return offset < range->begin ? -1 : offset >= range->end;
}

/* The chunk that begins at @begin; also when it is behind what was written last, and nobody knows
 * any more. */
static gboolean is_mapped(StreamFile *file, guint64 begin)
{
  return begin < file->mapped_end || !file->reads_zero ||
         (file->mapped->len &&
          bsearch(&begin, file->mapped->data, file->mapped->len, sizeof(Range), compare_range));
}

/* Zeros up to @end, which are all in the chunk that begins at @begin, or end with a chunk. */
static gboolean take_zeros(StreamFile *file, guint64 begin, guint64 end, GError **error)
{
  guint64 from = file->at;

  file->at = end;
  if (file->zeros_from <= begin && end % file->chunk_size == 0) {
    file->kept_back = end;
    return vt_io_zero(file->volume, begin, end - begin, VT_IO_ZERO_MAY_UNMAP, error);
  }
  if (!is_mapped(file, begin))
    return TRUE; /* kept back */
  file->kept_back = end;
  return vt_io_zero(file->volume, from, end - from, 0, error);
}

/* Data up to @end. What was kept back of its chunk goes first: a pool need not zero the chunks it
 * gives. */
static gboolean take_data(StreamFile *file, guint64 begin, guint64 chunk_end, const char *data,
                          guint64 end, GError **error)
{
  guint64 from = file->at, kept_back = MAX(file->kept_back, begin);

  file->at = file->zeros_from = file->kept_back = end;
  file->mapped_end = chunk_end;
  return (kept_back >= from || vt_io_zero(file->volume, kept_back, from - kept_back, 0, error)) &&
         vt_io_write(file->volume, data, end - from, from, error);
}

/* Where the zeros end that begin with @length bytes of @data and go on in whole chunks, counted
 * from @data. */
static gsize whole_zeros(StreamFile *file, const char *data, gsize length, gsize limit)
{
  while (length + file->chunk_size <= limit && vt_is_zero(data + length, file->chunk_size))
    length += file->chunk_size;
  return length;
}

/* Chunk by chunk, but chunks of one kind together. */
static gboolean take(StreamFile *file, const char *data, gsize length, guint64 offset,
                     GError **error)
{
  guint64 last = offset + length;

  if (offset != file->at)
    file->at = file->zeros_from = file->kept_back = offset;
  while (file->at < last) {
    guint64 begin = file->at - file->at % file->chunk_size;
    guint64 chunk_end = MIN(begin + file->chunk_size, file->size), end = MIN(chunk_end, last);
    const char *piece = data + (file->at - offset);

    if (vt_is_zero(piece, end - file->at)) {
      if (file->zeros_from <= begin && end == chunk_end)
        end = file->at + whole_zeros(file, piece, end - file->at, last - file->at);
      if (!take_zeros(file, begin, end, error))
        return FALSE;
      continue;
    }
    while (end < last && !vt_is_zero(data + (end - offset), MIN(file->chunk_size, last - end))) {
      chunk_end = MIN(chunk_end + file->chunk_size, file->size);
      end = MIN(chunk_end, last);
    }
    if (!take_data(file, begin, chunk_end, piece, end, error))
      return FALSE;
  }
  return TRUE;
}

/* --- requests --- */

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
  conn->max_write = MAX_TRANSFER;
}

static void fill_attributes(StreamFile *file, fuse_ino_t ino, struct stat *st)
{
  *st = (struct stat){.st_ino = ino, .st_nlink = 1, .st_blksize = 65536};
  st->st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0500 : S_IFREG | 0600;
  st->st_size = ino == FUSE_ROOT_ID ? 0 : (off_t)file->size;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
  StreamFile *file = file_of(req);
  struct fuse_entry_param entry = {.ino = FILE_INO, .generation = 1};

  if (strcmp(name, file->name) != 0) {
    fuse_reply_err(req, ENOENT);
    return;
  }
  fill_attributes(file, FILE_INO, &entry.attr);
  fuse_reply_entry(req, &entry);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  struct stat st;

  fill_attributes(file_of(req), ino, &st);
  fuse_reply_attr(req, &st, 0);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
  op_getattr(req, ino, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  StreamFile *file = file_of(req);
  g_autoptr(GError) error = NULL;

  if (file->opened) {
    fuse_reply_err(req, EBUSY);
    return;
  }
  file->opened = TRUE;
  fi->direct_io = 1;
  if (fuse_reply_open(req, fi) != 0)
    fuse_session_exit(file->session); /* the opener was killed meanwhile */
  if (!unmount_fuse(file->folder, &error) || rmdir(file->folder) < 0)
    g_warning("folder %s stays: %s", file->folder, error ? error->message : g_strerror(errno));
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
  StreamFile *file = file_of(req);
  GError *error = NULL;

  size = (guint64)offset >= file->size ? 0 : MIN(MIN(size, file->size - offset), MAX_TRANSFER);
  if (size &&
      (!open_volume(file, &error) || !vt_io_read(file->volume, file->buffer, size, offset, &error)))
    fuse_reply_err(req, take_error(error));
  else
    fuse_reply_buf(req, file->buffer, size);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
  StreamFile *file = file_of(req);
  GError *error = NULL;

  if (size && (guint64)offset >= file->size) {
    fuse_reply_err(req, ENOSPC);
    return;
  }
  size = MIN(size, file->size - offset);
  if (!open_volume(file, &error) || !take(file, data, size, offset, &error))
    fuse_reply_err(req, take_error(error));
  else
    fuse_reply_write(req, size);
}

static gboolean flush(StreamFile *file, GError **error)
{
  return !file->volume || file->read_only || vt_io_flush(file->volume, error);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
  GError *error = NULL;

  fuse_reply_err(req, flush(file_of(req), &error) ? 0 : take_error(error));
}

/* At each close(), which waits for it: whoever closes may want to delete the volume next. There may
 * be more to come, though: a child that libvirtd forks closes its copy, too. */
static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  StreamFile *file = file_of(req);
  GError *error = NULL;
  gboolean ok = flush(file, &error);

  g_clear_pointer(&file->volume, vt_io_unref);
  fuse_reply_err(req, ok ? 0 : take_error(error));
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  fuse_reply_err(req, 0);
  fuse_session_exit(file_of(req)->session);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
                     struct fuse_file_info *fi)
{
  StreamFile *file = file_of(req);
  guint64 at = offset, length;
  gboolean mapped = FALSE, wanted = whence == SEEK_DATA;
  GError *error = NULL;

  for (; at < file->size; at += length) {
    if (!open_volume(file, &error) ||
        !vt_io_extent(file->volume, at, file->size - at, &length, &mapped, &error)) {
      fuse_reply_err(req, take_error(error));
      return;
    }
    if (mapped == wanted)
      break;
  }
  if (at >= file->size && (wanted || (guint64)offset >= file->size))
    fuse_reply_err(req, ENXIO);
  else
    fuse_reply_lseek(req, MIN(at, file->size));
}

static const struct fuse_lowlevel_ops stream_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .flush = op_flush,
    .release = op_release,
    .fsync = op_fsync,
    .lseek = op_lseek,
};

/* --- the session --- */

static gboolean run(StreamFile *file, int fd, int patience_ms, GError **error)
{
  struct fuse_buf request = {0};
  gboolean ok = TRUE;

  while (!fuse_session_exited(file->session)) {
    struct pollfd wait = {fd, POLLIN, 0};

    if (!file->opened && poll(&wait, 1, patience_ms) == 0) {
      ok = vt_set_error(error, ETIMEDOUT, "nobody has opened %s/%s", file->folder, file->name);
      break;
    }
    int n = fuse_session_receive_buf(file->session, &request);
    if (n == -EINTR)
      continue;
    if (n <= 0)
      break; /* unmounted */
    fuse_session_process_buf(file->session, &request);
  }
  free(request.mem);
  return ok;
}

static gboolean mount_and_run(StreamFile *file, int patience_ms, void (*ready)(void),
                              GError **error)
{
  char *argv[] = {(char *)"virt-thin", NULL};
  struct fuse_args args = FUSE_ARGS_INIT(1, argv);
  int fd = mount_fuse(file->folder, FALSE, error);
  g_autofree char *mount_point = g_strdup_printf("/dev/fd/%d", fd);
  gboolean ok;

  if (fd < 0)
    return FALSE;
  file->session = fuse_session_new(&args, &stream_ops, sizeof stream_ops, file);
  fuse_opt_free_args(&args);
  ok = file->session && fuse_session_mount(file->session, mount_point) == 0;
  if (ok) {
    ready();
    ok = run(file, fd, patience_ms, error);
  } else {
    vt_set_error(error, EIO, "cannot start a FUSE session");
  }
  if (!file->opened && unmount_fuse(file->folder, NULL))
    rmdir(file->folder);
  if (file->session)
    fuse_session_destroy(file->session); /* closes the descriptor */
  return ok;
}

gboolean stream_file_serve(VolumeGroup *group, const char *name, gboolean read_only,
                           const char *folder, int patience_ms, void (*ready)(void), GError **error)
{
  StreamFile file = {.group = group, .name = name, .folder = folder, .read_only = read_only};
  gboolean ok =
      open_volume(&file, error) && pool_guest_reads_zero(group, name, &file.reads_zero, error);

  if (!ok) {
    g_clear_pointer(&file.volume, vt_io_unref);
    return FALSE;
  }
  file.size = vt_io_size(file.volume);
  file.chunk_size = MAX(vt_io_chunk_size(file.volume), 65536);
  file.mapped = g_array_new(FALSE, FALSE, sizeof(Range));
  file.buffer = g_malloc(MAX_TRANSFER);
  ok = (read_only || list_mapped(&file, error)) && mount_and_run(&file, patience_ms, ready, error);
  g_clear_pointer(&file.volume, vt_io_unref);
  g_free(file.buffer);
  g_array_unref(file.mapped);
  return ok;
}
