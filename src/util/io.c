/* virt-thin - the one I/O interface: dispatch, and the checks common to every kind
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/io.h"

#include "util/error.h"

void vt_io_init(VtIo *io, const VtIoOps *ops, const char *name, gboolean read_only)
{
  io->ops = ops;
  io->name = g_strdup(name);
  io->refs = 1;
  io->read_only = read_only;
}

VtIo *vt_io_ref(VtIo *io)
{
  g_atomic_int_inc(&io->refs);
  return io;
}

void vt_io_unref(VtIo *io)
{
  if (!io || !g_atomic_int_dec_and_test(&io->refs))
    return;
  char *name = io->name;
  io->ops->free(io);
  g_free(name);
}

const char *vt_io_name(VtIo *io)
{
  return io->name;
}

guint64 vt_io_size(VtIo *io)
{
  return io->ops->size(io);
}

guint vt_io_sector_size(VtIo *io)
{
  return io->ops->sector_size ? io->ops->sector_size(io) : 512;
}

gboolean vt_io_is_read_only(VtIo *io)
{
  return io->read_only;
}

static gboolean check_range(VtIo *io, const char *verb, guint64 offset, guint64 length,
                            gboolean changes, GError **error)
{
  guint64 size = vt_io_size(io);
  if (offset > size || length > size - offset)
    return vt_set_error(error, EINVAL,
                        "%s: cannot %s %" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT
                        ": it ends at %" G_GUINT64_FORMAT,
                        io->name, verb, length, offset, size);
  if (changes && io->read_only)
    return vt_set_error(error, EROFS, "%s: cannot %s: it is open read-only", io->name, verb);
  return TRUE;
}

static guint64 iov_length(const struct iovec *iov, int n_iov)
{
  guint64 length = 0;
  for (int i = 0; i < n_iov; i++)
    length += iov[i].iov_len;
  return length;
}

gboolean vt_io_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset, GError **error)
{
  return check_range(io, "read", offset, iov_length(iov, n_iov), FALSE, error) &&
         io->ops->readv(io, iov, n_iov, offset, error);
}

gboolean vt_io_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset, GError **error)
{
  return check_range(io, "write", offset, iov_length(iov, n_iov), TRUE, error) &&
         io->ops->writev(io, iov, n_iov, offset, error);
}

gboolean vt_io_read(VtIo *io, void *buf, gsize length, guint64 offset, GError **error)
{
  struct iovec iov = {buf, length};
  return vt_io_readv(io, &iov, 1, offset, error);
}

gboolean vt_io_write(VtIo *io, const void *buf, gsize length, guint64 offset, GError **error)
{
  struct iovec iov = {(void *)buf, length};
  return vt_io_writev(io, &iov, 1, offset, error);
}

gboolean vt_io_flush(VtIo *io, GError **error)
{
  return io->read_only || io->ops->flush(io, error);
}

gboolean vt_io_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags, GError **error)
{
  return check_range(io, "zero", offset, length, TRUE, error) &&
         (length == 0 || io->ops->zero(io, offset, length, flags, error));
}

gboolean vt_io_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return check_range(io, "discard", offset, length, TRUE, error) &&
         (length == 0 || io->ops->discard(io, offset, length, error));
}

gboolean vt_io_back(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return check_range(io, "allocate", offset, length, TRUE, error) &&
         (length == 0 || !io->ops->back || io->ops->back(io, offset, length, error));
}
