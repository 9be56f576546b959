/* virt-thin - what the tests of the engine share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "thin-harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void harness_must(gboolean ok, GError **error, const char *what)
{
  if (ok && !*error)
    return;
  printf("Bail out! %s: %s\n", what,
         *error ? (*error)->message
         : ok   ? "succeeded"
                : "failed without an error");
  fflush(stdout);
  abort();
}

VtIo *harness_memory(const char *name, guint64 size, int *fd)
{
  int own = memfd_create(name, MFD_CLOEXEC);
  g_assert_true(own >= 0 && ftruncate(own, size) == 0);
  g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", own);
  VtIo *io = NULL;
  MUST(io = vt_io_open_file(path, FALSE, &error));
  if (fd)
    *fd = own;
  else
    close(own);
  return io;
}

/* --- watched I/O --- */

typedef struct {
  VtIo io;
  VtIo *base;
  HarnessWatch watch;
  gpointer user_data;
} Watched;

static void tell(VtIo *io, VtIoKinds kind, guint64 offset, guint64 length)
{
  Watched *w = (Watched *)io;
  w->watch(kind, offset, length, w->user_data);
}

static guint64 length_of(const struct iovec *iov, int n_iov)
{
  guint64 length = 0;
  for (int i = 0; i < n_iov; i++)
    length += iov[i].iov_len;
  return length;
}

static gboolean watched_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                              GError **error)
{
  tell(io, VT_IO_READ, offset, length_of(iov, n_iov));
  return vt_io_readv(((Watched *)io)->base, iov, n_iov, offset, error);
}

static gboolean watched_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                               GError **error)
{
  tell(io, VT_IO_WRITE, offset, length_of(iov, n_iov));
  return vt_io_writev(((Watched *)io)->base, iov, n_iov, offset, error);
}

static gboolean watched_flush(VtIo *io, GError **error)
{
  tell(io, VT_IO_FLUSH, 0, 0);
  return vt_io_flush(((Watched *)io)->base, error);
}

static gboolean watched_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                             GError **error)
{
  tell(io, VT_IO_ZERO, offset, length);
  return vt_io_zero(((Watched *)io)->base, offset, length, flags, error);
}

static gboolean watched_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  tell(io, VT_IO_DISCARD, offset, length);
  return vt_io_discard(((Watched *)io)->base, offset, length, error);
}

static gboolean watched_back(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  tell(io, VT_IO_BACK, offset, length);
  return vt_io_back(((Watched *)io)->base, offset, length, error);
}

static guint64 watched_size(VtIo *io)
{
  return vt_io_size(((Watched *)io)->base);
}

static void watched_free(VtIo *io)
{
  vt_io_unref(((Watched *)io)->base);
  g_free(io);
}

static const VtIoOps watched_ops = {
    .readv = watched_readv,
    .writev = watched_writev,
    .flush = watched_flush,
    .zero = watched_zero,
    .discard = watched_discard,
    .back = watched_back,
    .size = watched_size,
    .free = watched_free,
};

VtIo *harness_watch_new(VtIo *base, HarnessWatch watch, gpointer user_data)
{
  Watched *w = g_new0(Watched, 1);
  vt_io_init(&w->io, &watched_ops, vt_io_name(base), FALSE);
  w->base = vt_io_ref(base);
  w->watch = watch;
  w->user_data = user_data;
  return &w->io;
}

/* --- a pool --- */

static VtIo *failing_memory(const char *name, guint64 size, int *fd)
{
  g_autoptr(VtIo) memory = harness_memory(name, size, fd);
  return vt_io_failer_new(memory, 0, G_MAXUINT, EIO);
}

static void set_up(Harness *h, guint64 n_chunks, const ThinOptions *options)
{
  if (options)
    h->options = *options;
  h->options.block_cache = h->options.block_cache ? h->options.block_cache : 4 * MIB;
  h->options.translations = h->options.translations ? h->options.translations : 1 << 14;
  MUST(thin_pool_format(h->metadata, h->options.chunk_size ? h->options.chunk_size : CHUNK,
                        n_chunks * CHUNK, &error));
  MUST(h->pool = thin_pool_open(h->metadata, h->data, &h->options, &error));
}

void harness_open(Harness *h, guint64 n_chunks, guint64 metadata_size, const ThinOptions *options)
{
  memset(h, 0, sizeof *h);
  h->metadata = harness_memory("metadata", metadata_size, &h->metadata_fd);
  h->data = harness_memory("data", n_chunks * CHUNK, &h->data_fd);
  set_up(h, n_chunks, options);
}

void harness_open_failing(Harness *h, guint64 n_chunks, guint64 metadata_size,
                          const ThinOptions *options)
{
  memset(h, 0, sizeof *h);
  h->metadata = failing_memory("metadata", metadata_size, &h->metadata_fd);
  h->data = failing_memory("data", n_chunks * CHUNK, &h->data_fd);
  set_up(h, n_chunks, options);
}

void harness_reopen(Harness *h)
{
  MUST(thin_pool_close(h->pool, &error));
  MUST(h->pool = thin_pool_open(h->metadata, h->data, &h->options, &error));
}

void harness_close(Harness *h)
{
  if (h->pool)
    MUST(thin_pool_close(h->pool, &error));
  vt_io_unref(h->metadata);
  vt_io_unref(h->data);
  close(h->metadata_fd);
  close(h->data_fd);
}

gboolean harness_message(Harness *h, ThinMessageKind kind, guint32 device, guint32 other,
                         GError **error)
{
  ThinMessage message = {kind, device, other};
  if (!thin_pool_send(h->pool, &message, 1, h->tid, h->tid + 1, error))
    return FALSE;
  h->tid++;
  return TRUE;
}

void harness_create(Harness *h, guint32 device)
{
  MUST(harness_message(h, THIN_CREATE, device, 0, &error));
}

void harness_snapshot(Harness *h, guint32 device, guint32 origin)
{
  MUST(harness_message(h, THIN_SNAPSHOT, device, origin, &error));
}

void harness_delete(Harness *h, guint32 device)
{
  MUST(harness_message(h, THIN_DELETE, device, 0, &error));
}

ThinVolume *harness_volume(Harness *h, guint32 device, guint64 size)
{
  ThinVolume *volume = NULL;
  MUST(volume = thin_volume_open(h->pool, device, size, FALSE, &error));
  return volume;
}

guint64 harness_used(Harness *h)
{
  ThinStatus status;
  thin_pool_get_status(h->pool, &status);
  return status.data_used / status.chunk_size;
}

/* --- contents --- */

void harness_fill(void *buf, gsize n, guint8 seed)
{
  guint8 *p = buf;
  for (gsize i = 0; i < n; i++)
    p[i] = seed ? (guint8)(seed + i % 251) : 0;
}

void harness_write(ThinVolume *volume, guint64 offset, gsize n, guint8 seed)
{
  g_autofree guint8 *buf = g_malloc(n);
  harness_fill(buf, n, seed);
  MUST(thin_volume_write(volume, buf, n, offset, &error));
}

void harness_expect(ThinVolume *volume, guint64 offset, gsize n, guint8 seed)
{
  g_autofree guint8 *expected = g_malloc(n), *found = g_malloc(n);
  harness_fill(expected, n, seed);
  memset(found, 0xee, n);
  MUST(thin_volume_read(volume, found, n, offset, &error));
  for (gsize i = 0; i < n; i++)
    if (found[i] != expected[i]) {
      printf("Bail out! thin device %u: byte %" G_GUINT64_FORMAT " is %02x, not %02x\n",
             thin_volume_id(volume), offset + i, found[i], expected[i]);
      fflush(stdout);
      abort();
    }
}

/* --- checks --- */

static guint print_all(const char *kind, GPtrArray *lines)
{
  for (guint i = 0; i < lines->len; i++)
    printf("# %s: %s\n", kind, (char *)lines->pdata[i]);
  return lines->len;
}

void harness_check(VtIo *metadata, guint64 data_size, gboolean leaks_allowed)
{
  g_autoptr(ThinReport) report = NULL;
  MUST(report = thin_check(metadata, data_size, &error));
  guint n = print_all("error", report->errors);
  if (!leaks_allowed)
    n += print_all("leak", report->leaks);
  if (n > 0) {
    printf("Bail out! thin_check() complains\n");
    fflush(stdout);
    abort();
  }
}

void harness_tool(const char *tool, int fd)
{
  harness_tool_with(tool, NULL, fd);
}

void harness_tool_with(const char *tool, const char *option, int fd)
{
  g_autofree char *path = g_strdup_printf("/proc/%d/fd/%d", getpid(), fd), *out = NULL, *err = NULL;
  const char *argv[] = {tool, option ? option : path, option ? path : NULL, NULL};
  int status = 0;
  MUST(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status,
                    &error));
  if (status == 0)
    return;
  printf("Bail out! %s fails: %s%s\n", tool, out, err);
  fflush(stdout);
  abort();
}
