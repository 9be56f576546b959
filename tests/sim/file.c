/* virt-thin - simulation: a program with a volume's FUSE file open, as a VtIo
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The kernel's part is played here: requests go straight to the operations' functions, and the
 * linker brings their replies back.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "service/fuse/fuse-ops.h"
#include "util/error.h"

/* What libfuse calls a request. */
typedef struct {
  Folder *folder;
  struct fuse_ctx context;
  gboolean replied;
  int err;
  guint8 *out; /* the caller's, of @room bytes */
  gsize room, length;
} Request;

typedef struct {
  VtIo io;
  Folder *folder;
  fuse_ino_t ino;
  struct fuse_file_info fi;
  FuseWorker worker;
  guint64 size;
} File;

/* --- what the linker calls in place of libfuse --- */

void *__wrap_fuse_req_userdata(fuse_req_t req);
const struct fuse_ctx *__wrap_fuse_req_ctx(fuse_req_t req);
int __wrap_fuse_reply_err(fuse_req_t req, int err);
int __wrap_fuse_reply_buf(fuse_req_t req, const char *buf, size_t size);
int __wrap_fuse_reply_iov(fuse_req_t req, const struct iovec *iov, int count);
int __wrap_fuse_reply_write(fuse_req_t req, size_t count);
int __wrap_fuse_reply_entry(fuse_req_t req, const struct fuse_entry_param *entry);
int __wrap_fuse_reply_attr(fuse_req_t req, const struct stat *st, double timeout);
int __wrap_fuse_reply_lseek(fuse_req_t req, off_t offset);

void *__wrap_fuse_req_userdata(fuse_req_t req)
{
  return ((Request *)(gpointer)req)->folder;
}

const struct fuse_ctx *__wrap_fuse_req_ctx(fuse_req_t req)
{
  return &((Request *)(gpointer)req)->context;
}

static int reply(fuse_req_t req, int err, const void *data, gsize length)
{
  Request *r = (Request *)(gpointer)req;

  if (r->replied)
    sim_fail("a FUSE request is answered twice");
  r->replied = TRUE;
  r->err = err;
  r->length = length;
  if (data && r->out)
    memcpy(r->out, data, MIN(length, r->room));
  return sim_is_ghost() ? -ENOENT : 0;
}

int __wrap_fuse_reply_err(fuse_req_t req, int err)
{
  return reply(req, err, NULL, 0);
}

int __wrap_fuse_reply_buf(fuse_req_t req, const char *buf, size_t size)
{
  return reply(req, 0, buf, size);
}

int __wrap_fuse_reply_iov(fuse_req_t req, const struct iovec *iov, int count)
{
  return reply(req, 0, iov[0].iov_base, iov[0].iov_len);
}

int __wrap_fuse_reply_write(fuse_req_t req, size_t count)
{
  return reply(req, 0, NULL, count);
}

int __wrap_fuse_reply_entry(fuse_req_t req, const struct fuse_entry_param *entry)
{
  return reply(req, 0, entry, sizeof *entry);
}

int __wrap_fuse_reply_attr(fuse_req_t req, const struct stat *st, double timeout)
{
  return reply(req, 0, st, sizeof *st);
}

int __wrap_fuse_reply_lseek(fuse_req_t req, off_t offset)
{
  return reply(req, 0, &offset, sizeof offset);
}

/* --- requests --- */

static fuse_req_t begin(File *f, Request *r, void *out, gsize room)
{
  *r = (Request){.folder = f->folder, .context.pid = getpid(), .out = out, .room = room};
  memset(&f->worker.request->slot, 0, sizeof f->worker.request->slot);
  fuse_worker = f->worker;
  return (fuse_req_t)(gpointer)r;
}

static gboolean end(File *f, const Request *r, const char *what, GError **error)
{
  if (!r->replied)
    sim_fail("a FUSE request to %s is not answered", what);
  return r->err == 0 || vt_set_errno(error, r->err, "%s: cannot %s its file", f->io.name, what);
}

static gboolean file_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                           GError **error)
{
  File *f = (File *)io;

  for (int i = 0; i < n_iov; offset += iov[i++].iov_len) {
    Request r;

    fuse_ops.read(begin(f, &r, iov[i].iov_base, iov[i].iov_len), f->ino, iov[i].iov_len,
                  (off_t)offset, &f->fi);
    if (!end(f, &r, "read", error))
      return FALSE;
    if (r.length != iov[i].iov_len)
      sim_fail("a read of a FUSE file is short: %zu bytes", r.length);
  }
  return TRUE;
}

static gboolean file_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                            GError **error)
{
  File *f = (File *)io;

  for (int i = 0; i < n_iov; offset += iov[i++].iov_len) {
    Request r;

    fuse_ops.write(begin(f, &r, NULL, 0), f->ino, iov[i].iov_base, iov[i].iov_len, (off_t)offset,
                   &f->fi);
    if (!end(f, &r, "write", error))
      return FALSE;
    if (r.length != iov[i].iov_len || !f->worker.request->slot.executed)
      sim_fail("a write to a FUSE file is short, or its outcome not noted");
  }
  return TRUE;
}

static gboolean file_flush(VtIo *io, GError **error)
{
  File *f = (File *)io;
  Request r;

  fuse_ops.fsync(begin(f, &r, NULL, 0), f->ino, 0, &f->fi);
  return end(f, &r, "flush", error);
}

static gboolean allocate(File *f, int mode, guint64 offset, guint64 length, GError **error)
{
  Request r;

  fuse_ops.fallocate(begin(f, &r, NULL, 0), f->ino, mode, (off_t)offset, (off_t)length, &f->fi);
  return end(f, &r, "allocate in", error);
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
  Request r;

  if (f->fi.fh)
    fuse_ops.release(begin(f, &r, NULL, 0), f->ino, &f->fi);
  munmap(f->worker.request, sizeof *f->worker.request);
  g_free(f->worker.buffer);
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

VtIo *file_open(Folder *folder, const char *name, guint64 size, gboolean read_only, GError **error)
{
  File *f = g_new0(File, 1);
  struct fuse_entry_param entry;
  struct fuse_open_out out = {0};
  Request r;

  vt_io_init(&f->io, &ops, name, read_only);
  f->folder = folder;
  f->size = size;
  f->worker.request = mmap(NULL, sizeof *f->worker.request, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  f->worker.buffer = g_malloc(SHARED_MAX_WRITE);
  fuse_ops.lookup(begin(f, &r, &entry, sizeof entry), FUSE_ROOT_ID, name);
  if (end(f, &r, "look up", error)) {
    f->ino = entry.ino;
    f->fi.flags = read_only ? O_RDONLY : O_RDWR;
    fuse_ops.open(begin(f, &r, &out, sizeof out), f->ino, &f->fi);
    if (end(f, &r, "open", error)) {
      f->fi.fh = out.fh;
      return &f->io;
    }
  }
  vt_io_unref(&f->io);
  return NULL;
}

/* --- the folder --- */

Shared *file_shared_new(void)
{
  Shared *shared = g_new0(Shared, 1);

  shared->header = mmap(NULL, sizeof *shared->header, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  shared->header->version = SHARED_VERSION;
  return shared;
}

void file_shared_free(Shared *shared)
{
  munmap(shared->header, sizeof *shared->header);
  g_free(shared);
}

void file_begin(void)
{
  sim_fiber_local(&fuse_worker, sizeof fuse_worker);
}
