/* virt-thin - the bundled pool: a gate before a thin pool's two devices
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * When somebody else has given the extents under a thin pool to another (bundled/commit.c),
 * not a byte may be written to them any more, also not by the engine's own commits. The gate passes
 * everything on, until it is shut; then reads go on and changes are ESTALE.
 */
#include "pool/bundled/bundled-private.h"

typedef struct {
  VtIo io;
  VtIo *base;
  const gint *shut; /* atomic */
} Gate;

static gboolean is_open(VtIo *io, GError **error)
{
  if (!g_atomic_int_get(((Gate *)io)->shut))
    return TRUE;
  return vt_set_error(error, ESTALE,
                      "%s: somebody else moved the volume group's extents, nothing is written any "
                      "more: stop the service",
                      vt_io_name(io));
}

static gboolean gate_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                           GError **error)
{
  return vt_io_readv(((Gate *)io)->base, iov, n_iov, offset, error);
}

static gboolean gate_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                            GError **error)
{
  return is_open(io, error) && vt_io_writev(((Gate *)io)->base, iov, n_iov, offset, error);
}

static gboolean gate_flush(VtIo *io, GError **error)
{
  return is_open(io, error) && vt_io_flush(((Gate *)io)->base, error);
}

static gboolean gate_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                          GError **error)
{
  return is_open(io, error) && vt_io_zero(((Gate *)io)->base, offset, length, flags, error);
}

static gboolean gate_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return is_open(io, error) && vt_io_discard(((Gate *)io)->base, offset, length, error);
}

static gboolean gate_back(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return is_open(io, error) && vt_io_back(((Gate *)io)->base, offset, length, error);
}

static gboolean gate_check(VtIo *io, GError **error)
{
  return vt_io_check(((Gate *)io)->base, error);
}

static guint64 gate_size(VtIo *io)
{
  return vt_io_size(((Gate *)io)->base);
}

static guint gate_sector_size(VtIo *io)
{
  return vt_io_sector_size(((Gate *)io)->base);
}

static void gate_free(VtIo *io)
{
  vt_io_unref(((Gate *)io)->base);
  g_free(io);
}

static const VtIoOps gate_ops = {
    .readv = gate_readv,
    .writev = gate_writev,
    .flush = gate_flush,
    .zero = gate_zero,
    .discard = gate_discard,
    .back = gate_back,
    .check = gate_check,
    .size = gate_size,
    .sector_size = gate_sector_size,
    .free = gate_free,
};

VtIo *bundled_gate_new(Bundled *b, VtIo *base)
{
  Gate *gate = g_new0(Gate, 1);

  vt_io_init(&gate->io, &gate_ops, vt_io_name(base), vt_io_is_read_only(base));
  gate->base = base;
  gate->shut = &b->lost;
  return &gate->io;
}
