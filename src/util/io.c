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
  GSList *names = g_slist_prepend(io->old_names, io->name);
  io->ops->free(io);
  g_slist_free_full(names, g_free);
}

const char *vt_io_name(VtIo *io)
{
  return g_atomic_pointer_get(&io->name);
}

void vt_io_rename(VtIo *io, const char *name)
{
  io->old_names = g_slist_prepend(io->old_names, io->name);
  g_atomic_pointer_set(&io->name, g_strdup(name));
}

guint64 vt_io_size(VtIo *io)
{
  return io->ops->size(io);
}

guint64 vt_io_chunk_size(VtIo *io)
{
  return io->chunk_size;
}

guint vt_io_sector_size(VtIo *io)
{
  return io->ops->sector_size ? io->ops->sector_size(io) : 512;
}

gboolean vt_io_is_read_only(VtIo *io)
{
  return g_atomic_int_get(&io->read_only);
}

static gboolean check_range(VtIo *io, const char *verb, guint64 offset, guint64 length,
                            gboolean changes, GError **error)
{
  guint64 size = vt_io_size(io);
  if (offset > size || length > size - offset)
    return vt_set_error(error, EINVAL,
                        "%s: cannot %s %" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT
                        ": it ends at %" G_GUINT64_FORMAT,
                        vt_io_name(io), verb, length, offset, size);
  if (changes && vt_io_is_read_only(io))
    return vt_set_error(error, EROFS, "%s: cannot %s: it is open read-only", vt_io_name(io), verb);
  return TRUE;
}

gboolean vt_io_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset, GError **error)
{
  return check_range(io, "read", offset, vt_iov_length(iov, n_iov), FALSE, error) &&
         io->ops->readv(io, iov, n_iov, offset, error);
}

gboolean vt_io_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset, GError **error)
{
  return check_range(io, "write", offset, vt_iov_length(iov, n_iov), TRUE, error) &&
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
  return io->ops->flush(io, error);
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

gboolean vt_io_extent(VtIo *io, guint64 offset, guint64 limit, guint64 *length, gboolean *mapped,
                      GError **error)
{
  guint64 size = vt_io_size(io);
  *length = 0;
  if (offset >= size || limit == 0)
    return vt_set_error(error, EINVAL,
                        "%s: there is no extent of %" G_GUINT64_FORMAT
                        " bytes at offset %" G_GUINT64_FORMAT ": it ends at %" G_GUINT64_FORMAT,
                        vt_io_name(io), limit, offset, size);
  limit = MIN(limit, size - offset);
  if (io->ops->extent)
    return io->ops->extent(io, offset, limit, length, mapped, error);
  *length = limit;
  *mapped = TRUE;
  return TRUE;
}

gboolean vt_io_write_zeros(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  static const char zeros[1 << 20];
  struct iovec iov[16];
  for (guint64 n; length > 0; offset += n, length -= n) {
    int i = 0;
    for (n = 0; i < (int)G_N_ELEMENTS(iov) && n < length; n += iov[i++].iov_len)
      iov[i] = (struct iovec){(void *)zeros, MIN(sizeof zeros, length - n)};
    if (!vt_io_writev(io, iov, i, offset, error))
      return FALSE;
  }
  return TRUE;
}

gboolean vt_io_check(VtIo *io, GError **error)
{
  return !io->ops->check || io->ops->check(io, error);
}
