/* virt-thin - a part of another VtIo, to read: a partition
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/error.h"
#include "util/io.h"

typedef struct {
  VtIo io;
  VtIo *base;
  guint64 offset, size;
} Part;

static gboolean part_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                           GError **error)
{
  Part *part = (Part *)io;

  return vt_io_readv(part->base, iov, n_iov, part->offset + offset, error);
}

static gboolean part_refuse(VtIo *io, GError **error)
{
  return vt_set_error(error, EROFS, "%s is open to be read", io->name);
}

static gboolean part_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                            GError **error)
{
  return part_refuse(io, error);
}

static gboolean part_flush(VtIo *io, GError **error)
{
  return TRUE;
}

static gboolean part_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                          GError **error)
{
  return part_refuse(io, error);
}

static gboolean part_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return part_refuse(io, error);
}

static guint64 part_size(VtIo *io)
{
  return ((Part *)io)->size;
}

static guint part_sector_size(VtIo *io)
{
  return vt_io_sector_size(((Part *)io)->base);
}

static void part_free(VtIo *io)
{
  vt_io_unref(((Part *)io)->base);
  g_free(io);
}

static const VtIoOps part_ops = {
    .readv = part_readv,
    .writev = part_writev,
    .flush = part_flush,
    .zero = part_zero,
    .discard = part_discard,
    .size = part_size,
    .sector_size = part_sector_size,
    .free = part_free,
};

VtIo *vt_io_new_part(VtIo *base, const char *name, guint64 offset, guint64 size)
{
  Part *part = g_new0(Part, 1);
  guint64 end = vt_io_size(base);

  vt_io_init(&part->io, &part_ops, name, TRUE);
  part->base = vt_io_ref(base);
  part->offset = MIN(offset, end);
  part->size = MIN(size, end - part->offset);
  return &part->io;
}
