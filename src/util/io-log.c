/* virt-thin - a recorder of I/O and its replay as a power cut could have left it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The model of the drive: between two completed flushes it holds what was written in any order, may
 * lose any part of it, and may have written only some 512-byte sectors of a write. A flush that
 * returned makes all that had returned before it durable. The log keeps operations in the order in
 * which they were issued (an entry is added before the operation runs on the base), so a replay is
 * what the drive could hold, never less than was promised: a flush counts only from the entry made
 * when it returned, and covers the operations that had returned when it was issued - which, with
 * several threads, are not simply those before it in the log: a clock notes when each operation
 * returned and each flush was issued.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"
#include "util/io.h"

#define SECTOR 512u

typedef struct {
  VtIoKinds kind; /* WRITE, ZERO, DISCARD, or FLUSH when it returned */
  guint device;
  guint64 offset, length;
  guint8 *data;  /* of a write */
  guint64 clock; /* when it returned (0: not yet); of a FLUSH: when it was issued */
} Entry;

struct VtIoLog {
  GMutex lock;
  GPtrArray *entries;
  guint n_devices;
  guint64 clock;
};

typedef struct {
  VtIo io;
  VtIo *base;
  VtIoLog *log;
  guint device;
} Recorder;

static void entry_free(gpointer data)
{
  Entry *entry = data;
  g_free(entry->data);
  g_free(entry);
}

VtIoLog *vt_io_log_new(void)
{
  VtIoLog *log = g_new0(VtIoLog, 1);
  g_mutex_init(&log->lock);
  log->entries = g_ptr_array_new_with_free_func(entry_free);
  return log;
}

void vt_io_log_free(VtIoLog *log)
{
  if (!log)
    return;
  g_ptr_array_unref(log->entries);
  g_mutex_clear(&log->lock);
  g_free(log);
}

guint vt_io_log_length(VtIoLog *log)
{
  g_mutex_lock(&log->lock);
  guint length = log->entries->len;
  g_mutex_unlock(&log->lock);
  return length;
}

static Entry *begin_entry(Recorder *recorder, VtIoKinds kind, guint64 offset, guint64 length,
                          guint8 *data)
{
  Entry *entry = g_new0(Entry, 1);
  *entry = (Entry){
      .kind = kind, .device = recorder->device, .offset = offset, .length = length, .data = data};
  g_mutex_lock(&recorder->log->lock);
  g_ptr_array_add(recorder->log->entries, entry);
  g_mutex_unlock(&recorder->log->lock);
  return entry;
}

static void end_entry(Recorder *recorder, Entry *entry)
{
  VtIoLog *log = recorder->log;
  g_mutex_lock(&log->lock);
  entry->clock = ++log->clock;
  g_mutex_unlock(&log->lock);
}

static gboolean recorder_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                               GError **error)
{
  return vt_io_readv(((Recorder *)io)->base, iov, n_iov, offset, error);
}

static gboolean recorder_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                                GError **error)
{
  Recorder *recorder = (Recorder *)io;
  GByteArray *bytes = g_byte_array_new();
  for (int i = 0; i < n_iov; i++)
    g_byte_array_append(bytes, iov[i].iov_base, iov[i].iov_len);
  guint64 length = bytes->len;
  Entry *entry =
      begin_entry(recorder, VT_IO_WRITE, offset, length, g_byte_array_free(bytes, FALSE));
  gboolean ok = vt_io_writev(recorder->base, iov, n_iov, offset, error);
  end_entry(recorder, entry);
  return ok;
}

static gboolean recorder_flush(VtIo *io, GError **error)
{
  Recorder *recorder = (Recorder *)io;
  VtIoLog *log = recorder->log;
  g_mutex_lock(&log->lock);
  guint64 issued = ++log->clock;
  g_mutex_unlock(&log->lock);
  if (!vt_io_flush(recorder->base, error))
    return FALSE;
  Entry *entry = g_new0(Entry, 1);
  *entry = (Entry){.kind = VT_IO_FLUSH, .device = recorder->device, .clock = issued};
  g_mutex_lock(&log->lock);
  g_ptr_array_add(log->entries, entry);
  g_mutex_unlock(&log->lock);
  return TRUE;
}

static gboolean recorder_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                              GError **error)
{
  Recorder *recorder = (Recorder *)io;
  Entry *entry = begin_entry(recorder, VT_IO_ZERO, offset, length, NULL);
  gboolean ok = vt_io_zero(recorder->base, offset, length, flags, error);
  end_entry(recorder, entry);
  return ok;
}

static gboolean recorder_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  Recorder *recorder = (Recorder *)io;
  Entry *entry = begin_entry(recorder, VT_IO_DISCARD, offset, length, NULL);
  gboolean ok = vt_io_discard(recorder->base, offset, length, error);
  end_entry(recorder, entry);
  return ok;
}

/* Changes no content, so there is nothing to replay. */
static gboolean recorder_back(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return vt_io_back(((Recorder *)io)->base, offset, length, error);
}

static gboolean recorder_check(VtIo *io, GError **error)
{
  return vt_io_check(((Recorder *)io)->base, error);
}

static guint64 recorder_size(VtIo *io)
{
  return vt_io_size(((Recorder *)io)->base);
}

static guint recorder_sector_size(VtIo *io)
{
  return vt_io_sector_size(((Recorder *)io)->base);
}

static void recorder_free(VtIo *io)
{
  vt_io_unref(((Recorder *)io)->base);
  g_free(io);
}

static const VtIoOps recorder_ops = {
    .readv = recorder_readv,
    .writev = recorder_writev,
    .flush = recorder_flush,
    .zero = recorder_zero,
    .discard = recorder_discard,
    .back = recorder_back,
    .check = recorder_check,
    .size = recorder_size,
    .sector_size = recorder_sector_size,
    .free = recorder_free,
};

VtIo *vt_io_recorder_new(VtIo *base, VtIoLog *log)
{
  Recorder *recorder = g_new0(Recorder, 1);
  vt_io_init(&recorder->io, &recorder_ops, vt_io_name(base), vt_io_is_read_only(base));
  recorder->base = vt_io_ref(base);
  recorder->log = log;
  g_mutex_lock(&log->lock);
  recorder->device = log->n_devices++;
  g_mutex_unlock(&log->lock);
  return &recorder->io;
}

static gboolean put(int fd, const void *data, gsize length, guint64 offset, GError **error)
{
  while (length > 0) {
    ssize_t n = pwrite(fd, data, length, offset);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return vt_set_errno(error, n < 0 ? errno : EIO,
                          "cannot replay a write at offset %" G_GUINT64_FORMAT, offset);
    data = (const char *)data + n;
    length -= n;
    offset += n;
  }
  return TRUE;
}

/* Apply bytes [from, to) of @entry. A discard leaves 0x5a: contents that nothing may rely on. */
static gboolean apply(const Entry *entry, guint64 from, guint64 to, int fd, GError **error)
{
  if (entry->kind == VT_IO_WRITE)
    return put(fd, entry->data + from, to - from, entry->offset + from, error);
  guint8 fill[1 << 16];
  memset(fill, entry->kind == VT_IO_DISCARD ? 0x5a : 0, sizeof fill);
  for (guint64 done = from; done < to; done += sizeof fill)
    if (!put(fd, fill, MIN(sizeof fill, to - done), entry->offset + done, error))
      return FALSE;
  return TRUE;
}

/* Some sectors of @entry: each by a throw of the coin. */
static gboolean apply_torn(const Entry *entry, GRand *rand, int fd, GError **error)
{
  for (guint64 at = 0; at < entry->length;) {
    guint64 next =
        MIN(entry->length, (entry->offset + at) / SECTOR * SECTOR + SECTOR - entry->offset);
    if (g_rand_boolean(rand) && !apply(entry, at, next, fd, error))
      return FALSE;
    at = next;
  }
  return TRUE;
}

static gboolean apply_by_chance(const Entry *entry, GRand *rand, int fd, GError **error)
{
  switch (g_rand_int_range(rand, 0, 4)) {
  case 0: return TRUE;
  case 1: return apply_torn(entry, rand, fd, error);
  default: return apply(entry, 0, entry->length, fd, error);
  }
}

static void shuffle(GPtrArray *array, GRand *rand)
{
  for (guint i = array->len; i > 1; i--) {
    guint j = g_rand_int_range(rand, 0, i);
    gpointer swap = array->pdata[i - 1];
    array->pdata[i - 1] = array->pdata[j];
    array->pdata[j] = swap;
  }
}

gboolean vt_io_log_replay(VtIoLog *log, guint device, guint upto, GRand *rand, int fd,
                          GError **error)
{
  guint64 durable = rand ? 0 : G_MAXUINT64;
  for (guint i = 0; i < upto; i++) {
    const Entry *entry = log->entries->pdata[i];
    if (entry->kind == VT_IO_FLUSH && entry->device == device)
      durable = MAX(durable, entry->clock);
  }
  g_autoptr(GPtrArray) loose = g_ptr_array_new();
  for (guint i = 0; i < upto; i++) {
    Entry *entry = log->entries->pdata[i];
    if (entry->kind == VT_IO_FLUSH || entry->device != device)
      continue;
    if (rand && (entry->clock == 0 || entry->clock > durable))
      g_ptr_array_add(loose, entry);
    else if (!apply(entry, 0, entry->length, fd, error))
      return FALSE;
  }
  if (rand)
    shuffle(loose, rand);
  for (guint i = 0; i < loose->len; i++)
    if (!apply_by_chance(loose->pdata[i], rand, fd, error))
      return FALSE;
  return TRUE;
}
