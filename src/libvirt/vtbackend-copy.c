/* virt-thin - copying, discarding, overwriting and allocating: on the files of a service, or the
 * kernel's devices SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The files show a volume's map through SEEK_DATA and SEEK_HOLE, and take a hole through
 * fallocate(). A block device knows neither: what the kernel maps is asked of the pool; of any
 * other device everything is taken for data.
 */
#include "config.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "libvirt/vtbackend-private.h"
#include "util/memory.h"

#define BUFFER (1024 * 1024)
/* zeros are left out in runs of this: the smallest chunk of a thin pool (dm-thin: 64 KiB) */
#define GRAIN 65536

/* The next stretch of data at or behind @offset, ending at @size at the latest. FALSE: there is
 * none. */
static gboolean next_data(int fd, guint64 offset, guint64 size, guint64 *begin, guint64 *end)
{
  off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
  if (data < 0 && errno == ENXIO)
    return FALSE;
  *begin = data < 0 ? offset : (guint64)data;
  off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
  *end = hole < 0 ? size : MIN((guint64)hole, size);
  return *begin < size;
}

static gboolean read_all(int fd, char *buf, gsize length, guint64 offset, gsize *got,
                         const char *name, GError **error)
{
  for (*got = 0; *got < length;) {
    ssize_t n = pread(fd, buf + *got, length - *got, (off_t)(offset + *got));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return vt_set_errno(error, errno, "reading %s at byte %" G_GUINT64_FORMAT, name,
                          offset + *got);
    if (n == 0)
      break;
    *got += (gsize)n;
  }
  return TRUE;
}

static gboolean write_all(int fd, const char *buf, gsize length, guint64 offset, const char *name,
                          GError **error)
{
  while (length > 0) {
    ssize_t n = pwrite(fd, buf, length, (off_t)offset);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return vt_set_errno(error, errno, "writing volume %s at byte %" G_GUINT64_FORMAT, name,
                          offset);
    buf += n;
    length -= (gsize)n;
    offset += (guint64)n;
  }
  return TRUE;
}

/* Write what is not zero of the @length bytes for @offset. */
static gboolean write_nonzero(int fd, const char *buf, gsize length, guint64 offset,
                              const char *name, GError **error)
{
  gsize start = 0;
  while (start < length) {
    /* To the end of the grain, counted from the volume's beginning. */
    gsize end = MIN(length, start + GRAIN - (gsize)((offset + start) % GRAIN));
    if (vt_is_zero(buf + start, end - start)) {
      start = end;
      continue;
    }
    while (end < length && !vt_is_zero(buf + end, MIN(GRAIN, length - end)))
      end = MIN(length, end + GRAIN);
    if (!write_all(fd, buf + start, end - start, offset + start, name, error))
      return FALSE;
    start = end;
  }
  return TRUE;
}

static gboolean copy_range(int in, int out, char *buf, guint64 begin, guint64 end, const char *name,
                           GError **error)
{
  while (begin < end) {
    gsize length = (gsize)MIN(end - begin, BUFFER - begin % GRAIN), got;
    if (!read_all(in, buf, length, begin, &got, name, error) ||
        !write_nonzero(out, buf, got, begin, name, error))
      return FALSE;
    if (got < length)
      break; /* the source ends here */
    begin += length;
  }
  return TRUE;
}

gboolean vtbackend_copy_sparse(int in, int out, guint64 size, const char *name, GError **error)
{
  g_autofree char *buf = g_malloc(BUFFER);
  guint64 begin = 0, end = 0;
  for (guint64 offset = 0; offset < size && next_data(in, offset, size, &begin, &end); offset = end)
    if (!copy_range(in, out, buf, begin, end, name, error))
      return FALSE;
  if (fsync(out) < 0)
    return vt_set_errno(error, errno, "flushing volume %s", name);
  return TRUE;
}

void vtbackend_fd_clear(VtFd *fd)
{
  if (fd->fd >= 0)
    close(fd->fd);
}

gboolean vtbackend_fd_open(VtFd *fd, const char *path, int flags, GError **error)
{
  fd->fd = open(path, flags | O_CLOEXEC);
  return fd->fd >= 0 || vt_set_errno(error, errno, "opening %s", path);
}

gboolean vtbackend_discard(const VtVolumeFile *file, guint64 offset, guint64 length,
                           const char *name, GError **error)
{
  g_auto(VtFd) fd = {-1};
  if (file->device)
    return vt_io_zero(file->device, offset, length, VT_IO_ZERO_MAY_UNMAP, error) &&
           vt_io_flush(file->device, error);
  if (!vtbackend_fd_open(&fd, file->path, O_RDWR, error))
    return FALSE;
  if (length == 0 || fallocate(fd.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                               (off_t)length) == 0)
    return TRUE;
  return vt_set_errno(error, errno,
                      "discarding %" G_GUINT64_FORMAT
                      " bytes of volume %s at byte %" G_GUINT64_FORMAT,
                      length, name, offset);
}

typedef struct {
  guint64 begin, length;
} Run;

/* The runs of the first @length bytes that the kernel maps, or does not: all before the first is
 * written, which changes the map. */
static GArray *list_runs(VtIo *device, guint64 length, gboolean wanted, GError **error)
{
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(Run));
  Run run = {0, 0};
  for (; run.begin < length; run.begin += run.length) {
    gboolean mapped;
    if (!vt_io_extent(device, run.begin, length - run.begin, &run.length, &mapped, error))
      return NULL;
    if (mapped == wanted)
      g_array_append_val(runs, run);
  }
  return g_steal_pointer(&runs);
}

/* Write zeros over what of the first @length bytes the kernel maps, or over what it does not. */
static gboolean zero_device(VtIo *device, guint64 length, gboolean mapped, GError **error)
{
  g_autoptr(GArray) runs = list_runs(device, length, mapped, error);
  if (!runs)
    return FALSE;
  for (guint i = 0; i < runs->len; i++) {
    Run *run = &g_array_index(runs, Run, i);
    if (!vt_io_zero(device, run->begin, run->length, 0, error))
      return FALSE;
  }
  return vt_io_flush(device, error);
}

static gboolean zero_range(int fd, const char *zeros, guint64 begin, guint64 end, const char *name,
                           GError **error)
{
  for (; begin < end; begin += MIN(end - begin, BUFFER))
    if (!write_all(fd, zeros, (gsize)MIN(end - begin, BUFFER), begin, name, error))
      return FALSE;
  return TRUE;
}

/* Overwrite [@begin, @end). A chunk shared with a snapshot needs a new one to be written; when
 * there is none, the chunk stays as it is, the snapshot's. */
static gboolean overwrite_range(int fd, const char *zeros, guint64 begin, guint64 end,
                                const char *name, GError **error)
{
  while (begin < end) {
    g_autoptr(GError) local = NULL;
    guint64 stop = MIN(end, begin - begin % GRAIN + GRAIN);
    if (!zero_range(fd, zeros, begin, stop, name, &local) &&
        !g_error_matches(local, VT_ERROR, ENOSPC)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    begin = stop;
  }
  return TRUE;
}

static gboolean overwrite_file(int fd, guint64 length, const char *name, GError **error)
{
  g_autofree char *zeros = g_malloc0(BUFFER);
  guint64 begin = 0, end = 0;
  for (guint64 offset = 0; offset < length && next_data(fd, offset, length, &begin, &end);
       offset = end) {
    g_autoptr(GError) local = NULL;
    if (zero_range(fd, zeros, begin, end, name, &local))
      continue;
    if (!g_error_matches(local, VT_ERROR, ENOSPC)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    if (!overwrite_range(fd, zeros, begin, end, name, error))
      return FALSE;
  }
  return fsync(fd) == 0 || vt_set_errno(error, errno, "flushing volume %s", name);
}

gboolean vtbackend_overwrite(const VtVolumeFile *file, guint64 length, const char *name,
                             GError **error)
{
  g_auto(VtFd) fd = {-1};
  if (file->device)
    return zero_device(file->device, length, TRUE, error);
  return vtbackend_fd_open(&fd, file->path, O_RDWR, error) &&
         overwrite_file(fd.fd, length, name, error);
}

static gboolean allocate_file(int fd, guint64 length, const char *name, GError **error)
{
  return (length == 0 || fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)length) == 0 ||
          vt_set_errno(error, errno, "allocating volume %s", name)) &&
         (fsync(fd) == 0 || vt_set_errno(error, errno, "flushing volume %s", name));
}

gboolean vtbackend_allocate(const VtVolumeFile *file, guint64 length, const char *name,
                            GError **error)
{
  g_auto(VtFd) fd = {-1};
  if (file->device)
    return zero_device(file->device, length, FALSE, error);
  return vtbackend_fd_open(&fd, file->path, O_RDWR, error) &&
         allocate_file(fd.fd, length, name, error);
}
