/* virt-thin - reading a device without the page cache
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What device-mapper writes to a physical volume does not pass the volume's own page cache, so what
 * that holds may be old: a thin pool's metadata, read through it twice, would be the same both
 * times.
 */
#include "config.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dm/thin-reader.h"

#define ALIGNMENT 4096u

typedef struct {
  VtIo io;
  int fd;
  guint64 size;
} DirectIo;

static gboolean read_aligned(DirectIo *direct, char *buf, gsize length, guint64 offset,
                             GError **error)
{
  for (gsize done = 0; done < length;) {
    ssize_t n = pread(direct->fd, buf + done, length - done, (off_t)(offset + done));

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return vt_set_errno(error, errno, "%s: cannot read at offset %" G_GUINT64_FORMAT,
                          direct->io.name, offset);
    if (n == 0)
      return vt_set_error(error, EIO, "%s: ends at offset %" G_GUINT64_FORMAT, direct->io.name,
                          offset + done);
    done += (gsize)n;
  }
  return TRUE;
}

static void scatter(const char *from, const struct iovec *iov, int n_iov)
{
  for (int i = 0; i < n_iov; i++) {
    memcpy(iov[i].iov_base, from, iov[i].iov_len);
    from += iov[i].iov_len;
  }
}

static gboolean direct_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                             GError **error)
{
  DirectIo *direct = (DirectIo *)io;
  guint64 begin = offset / ALIGNMENT * ALIGNMENT, end = offset + vt_iov_length(iov, n_iov);
  void *buf = NULL;
  gboolean ok;

  end = MIN((end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, direct->size);
  if (posix_memalign(&buf, ALIGNMENT, end - begin) != 0)
    return vt_set_error(error, ENOMEM, "%s: no memory to read %" G_GUINT64_FORMAT " bytes",
                        io->name, end - begin);
  ok = read_aligned(direct, buf, end - begin, begin, error);
  if (ok)
    scatter((char *)buf + (offset - begin), iov, n_iov);
  free(buf);
  return ok;
}

static gboolean refuse(VtIo *io, GError **error)
{
  return vt_set_error(error, EROFS, "%s is open read-only", io->name);
}

static gboolean direct_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                              GError **error)
{
  return refuse(io, error);
}

static gboolean direct_flush(VtIo *io, GError **error)
{
  return TRUE;
}

static gboolean direct_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                            GError **error)
{
  return refuse(io, error);
}

static gboolean direct_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return refuse(io, error);
}

static guint64 direct_size(VtIo *io)
{
  return ((DirectIo *)io)->size;
}

static void direct_free(VtIo *io)
{
  close(((DirectIo *)io)->fd);
  g_free(io);
}

static const VtIoOps direct_ops = {
    .readv = direct_readv,
    .writev = direct_writev,
    .flush = direct_flush,
    .zero = direct_zero,
    .discard = direct_discard,
    .size = direct_size,
    .free = direct_free,
};

VtIo *dmk_open_direct(const char *path, gboolean read_only, gpointer user_data, GError **error)
{
  int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC | O_NONBLOCK);
  DirectIo *direct;
  guint64 size = 0;

  if (fd < 0) {
    vt_set_errno(error, errno, "opening %s", path);
    return NULL;
  }
  if (ioctl(fd, BLKGETSIZE64, &size) < 0) {
    vt_set_errno(error, errno, "%s is no block device", path);
    close(fd);
    return NULL;
  }
  direct = g_new0(DirectIo, 1);
  vt_io_init(&direct->io, &direct_ops, path, TRUE);
  direct->fd = fd;
  direct->size = size;
  return &direct->io;
}
