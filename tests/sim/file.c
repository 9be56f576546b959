/* virt-thin - simulation: a program with a volume's FUSE file open, as a VtIo
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the program asks of the kernel, and the kernel of the folder (mount.c).
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>

#include "service/fuse/fuse-ops.h"
#include "util/error.h"

#define MOST_READ (128u << 10) /* bytes: what a socket takes as one message */

typedef struct {
  VtIo io;
  Mount *mount;
  guint64 ino, fh, size;
  gboolean open;
  ModelVolume *volume; /* that the next request writes to, ... */
  guint32 number;      /* ... as this write */
} File;

void file_begin(void)
{
  sim_fiber_local(&fuse_worker, sizeof fuse_worker);
}

void file_announce(VtIo *io, ModelVolume *v, guint32 number)
{
  ((File *)io)->volume = v;
  ((File *)io)->number = number;
}

/* --- requests --- */

/* Its answer of at least @least bytes; the caller's. */
static Asked *ask(File *f, guint32 opcode, guint64 ino, gconstpointer in, gsize in_size,
                  gconstpointer data, gsize size, gsize least, GError **error)
{
  Asked *asked = mount_ask(f->mount, opcode, ino, in, in_size, data, size, f->volume, f->number);

  if (!asked || asked->err) {
    vt_set_errno(error, asked ? asked->err : EIO, "%s: FUSE request %u", f->io.name, opcode);
    g_clear_pointer(&asked, mount_forget);
    return NULL;
  }
  if (asked->reply->len < least)
    sim_fail("the answer to a FUSE request is short: %u, %u bytes", opcode, asked->reply->len);
  return asked;
}

static gboolean ask_only(File *f, guint32 opcode, gconstpointer in, gsize in_size, GError **error)
{
  Asked *asked = ask(f, opcode, f->ino, in, in_size, NULL, 0, 0, error);

  if (!asked)
    return FALSE;
  mount_forget(asked);
  return TRUE;
}

static gboolean read_part(File *f, guint8 *bytes, gsize length, guint64 offset, GError **error)
{
  const struct fuse_read_in in = {.fh = f->fh, .offset = offset, .size = (guint32)length};
  Asked *asked = ask(f, FUSE_READ, f->ino, &in, sizeof in, NULL, 0, length, error);

  if (!asked)
    return FALSE;
  memcpy(bytes, asked->reply->data, length);
  mount_forget(asked);
  return TRUE;
}

static gboolean file_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                           GError **error)
{
  for (int i = 0; i < n_iov; offset += iov[i++].iov_len)
    for (gsize at = 0; at < iov[i].iov_len; at += MOST_READ)
      if (!read_part((File *)io, (guint8 *)iov[i].iov_base + at,
                     MIN(iov[i].iov_len - at, MOST_READ), offset + at, error))
        return FALSE;
  return TRUE;
}

static gboolean file_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                            GError **error)
{
  File *f = (File *)io;

  for (int i = 0; i < n_iov; offset += iov[i++].iov_len) {
    const struct fuse_write_in in = {
        .fh = f->fh, .offset = offset, .size = (guint32)iov[i].iov_len};
    const struct fuse_write_out *out;
    Asked *asked = ask(f, FUSE_WRITE, f->ino, &in, sizeof in, iov[i].iov_base, iov[i].iov_len,
                       sizeof *out, error);

    if (!asked)
      return FALSE;
    out = (gconstpointer)asked->reply->data;
    if (out->size != iov[i].iov_len)
      sim_fail("a write to a FUSE file is short: %u bytes", out->size);
    mount_forget(asked);
  }
  return TRUE;
}

static gboolean file_flush(VtIo *io, GError **error)
{
  File *f = (File *)io;
  const struct fuse_fsync_in in = {.fh = f->fh};

  return ask_only(f, FUSE_FSYNC, &in, sizeof in, error);
}

static gboolean allocate(File *f, int mode, guint64 offset, guint64 length, GError **error)
{
  const struct fuse_fallocate_in in = {
      .fh = f->fh, .offset = offset, .length = length, .mode = (guint32)mode};

  return ask_only(f, FUSE_FALLOCATE, &in, sizeof in, error);
}

static gboolean file_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                          GError **error)
{
  return allocate((File *)io,
                  flags & VT_IO_ZERO_MAY_UNMAP ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                                               : FALLOC_FL_ZERO_RANGE,
                  offset, length, error);
}

static gboolean file_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return allocate((File *)io, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length, error);
}

static gboolean file_back(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return allocate((File *)io, FALLOC_FL_KEEP_SIZE, offset, length, error);
}

static guint64 file_size(VtIo *io)
{
  return ((File *)io)->size;
}

static void file_free(VtIo *io)
{
  File *f = (File *)io;
  const struct fuse_release_in in = {.fh = f->fh};
  Asked *asked;

  if (f->open && !sim_is_ghost()) {
    mount_keep_open(f->mount, f->ino, f->fh, FALSE);
    asked = mount_ask(f->mount, FUSE_RELEASE, f->ino, &in, sizeof in, NULL, 0, NULL, 0);
    g_clear_pointer(&asked, mount_forget);
  }
  g_free(f);
}

static const VtIoOps ops = {
    .readv = file_readv,
    .writev = file_writev,
    .flush = file_flush,
    .zero = file_zero,
    .discard = file_discard,
    .back = file_back,
    .size = file_size,
    .free = file_free,
};

static gboolean look_up(File *f, GError **error)
{
  const struct fuse_entry_out *out;
  Asked *asked = ask(f, FUSE_LOOKUP, FUSE_ROOT_ID, f->io.name, strlen(f->io.name) + 1, NULL, 0,
                     sizeof *out, error);

  if (!asked)
    return FALSE;
  out = (gconstpointer)asked->reply->data;
  f->ino = out->nodeid;
  mount_forget(asked);
  return TRUE;
}

static gboolean open_file(File *f, gboolean read_only, GError **error)
{
  const struct fuse_open_in in = {.flags = read_only ? O_RDONLY : O_RDWR};
  const struct fuse_open_out *out;
  Asked *asked = ask(f, FUSE_OPEN, f->ino, &in, sizeof in, NULL, 0, sizeof *out, error);

  if (!asked)
    return FALSE;
  out = (gconstpointer)asked->reply->data;
  f->fh = out->fh;
  f->open = TRUE;
  mount_keep_open(f->mount, f->ino, f->fh, TRUE);
  mount_forget(asked);
  return TRUE;
}

VtIo *file_open(Mount *mount, const char *name, guint64 size, gboolean read_only, GError **error)
{
  File *f = g_new0(File, 1);

  vt_io_init(&f->io, &ops, name, read_only);
  f->mount = mount;
  f->size = size;
  if (look_up(f, error) && open_file(f, read_only, error))
    return &f->io;
  vt_io_unref(&f->io);
  return NULL;
}
