/* virt-thin - I/O that fails when told to, for tests of every layer
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/error.h"
#include "util/io.h"

typedef struct {
  VtIo io;
  VtIo *base;
  GMutex lock;
  VtIoKinds kinds;
  guint countdown, seen, failed;
  int err;
} Failer;

/* Count one operation; FALSE with @error when it is to fail. */
static gboolean pass(Failer *failer, VtIoKinds kind, GError **error)
{
  g_mutex_lock(&failer->lock);
  failer->seen++;
  gboolean fail = (failer->kinds & kind) && failer->countdown == 0;
  if ((failer->kinds & kind) && failer->countdown > 0 && failer->countdown != G_MAXUINT)
    failer->countdown--;
  failer->failed += fail;
  if (fail && (failer->kinds & VT_IO_ONCE))
    failer->kinds = 0;
  g_mutex_unlock(&failer->lock);
  return !fail || vt_set_errno(error, failer->err, "%s: made to fail", failer->io.name);
}

static gboolean failer_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                             GError **error)
{
  Failer *failer = (Failer *)io;
  return pass(failer, VT_IO_READ, error) && vt_io_readv(failer->base, iov, n_iov, offset, error);
}

static gboolean failer_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                              GError **error)
{
  Failer *failer = (Failer *)io;
  return pass(failer, VT_IO_WRITE, error) && vt_io_writev(failer->base, iov, n_iov, offset, error);
}

static gboolean failer_flush(VtIo *io, GError **error)
{
  Failer *failer = (Failer *)io;
  return pass(failer, VT_IO_FLUSH, error) && vt_io_flush(failer->base, error);
}

static gboolean failer_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                            GError **error)
{
  Failer *failer = (Failer *)io;
  return pass(failer, VT_IO_ZERO, error) && vt_io_zero(failer->base, offset, length, flags, error);
}

static gboolean failer_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  Failer *failer = (Failer *)io;
  return pass(failer, VT_IO_DISCARD, error) && vt_io_discard(failer->base, offset, length, error);
}

static gboolean failer_back(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  Failer *failer = (Failer *)io;
  return pass(failer, VT_IO_BACK, error) && vt_io_back(failer->base, offset, length, error);
}

static gboolean failer_check(VtIo *io, GError **error)
{
  return vt_io_check(((Failer *)io)->base, error);
}

static guint64 failer_size(VtIo *io)
{
  return vt_io_size(((Failer *)io)->base);
}

static guint failer_sector_size(VtIo *io)
{
  return vt_io_sector_size(((Failer *)io)->base);
}

static void failer_free(VtIo *io)
{
  Failer *failer = (Failer *)io;
  vt_io_unref(failer->base);
  g_mutex_clear(&failer->lock);
  g_free(failer);
}

static const VtIoOps failer_ops = {
    .readv = failer_readv,
    .writev = failer_writev,
    .flush = failer_flush,
    .zero = failer_zero,
    .discard = failer_discard,
    .back = failer_back,
    .check = failer_check,
    .size = failer_size,
    .sector_size = failer_sector_size,
    .free = failer_free,
};

VtIo *vt_io_failer_new(VtIo *base, VtIoKinds kinds, guint countdown, int err)
{
  Failer *failer = g_new0(Failer, 1);
  vt_io_init(&failer->io, &failer_ops, vt_io_name(base), vt_io_is_read_only(base));
  failer->base = vt_io_ref(base);
  g_mutex_init(&failer->lock);
  vt_io_failer_arm(&failer->io, kinds, countdown, err);
  return &failer->io;
}

void vt_io_failer_arm(VtIo *io, VtIoKinds kinds, guint countdown, int err)
{
  Failer *failer = (Failer *)io;
  g_mutex_lock(&failer->lock);
  failer->kinds = kinds;
  failer->countdown = countdown;
  failer->err = err;
  g_mutex_unlock(&failer->lock);
}

guint vt_io_failer_count(VtIo *io)
{
  Failer *failer = (Failer *)io;
  g_mutex_lock(&failer->lock);
  guint seen = failer->seen;
  g_mutex_unlock(&failer->lock);
  return seen;
}

guint vt_io_failer_failed(VtIo *io)
{
  Failer *failer = (Failer *)io;
  g_mutex_lock(&failer->lock);
  guint failed = failer->failed;
  g_mutex_unlock(&failer->lock);
  return failed;
}
