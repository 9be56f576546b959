/* virt-thin - simulation: disks in memory
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "disk-private.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/error.h"

#define MAPPED (G_GUINT64_CONSTANT(256) << 20)

GPtrArray *sim_disks, *sim_underway;
SimFault sim_faults[SIM_FAULTS];
guint sim_n_eio, sim_n_full;
SimProcess *sim_lawless, *sim_lock_owner;
SimBreak sim_break;
const char *const sim_break_names[SIM_N_BREAKS] = {"none",  "flush", "data",   "superblock",
                                                   "write", "text",  "journal"};
static guint64 room = G_MAXUINT64;

typedef struct {
  VtIo io;
  SimDisk *disk;
  SimProcess *process;
  gboolean flush_failed;
} Handle;

/* --- what befalls an I/O --- */

void sim_set_room(guint64 blocks)
{
  room = blocks;
}

gboolean sim_is_full(void)
{
  return room == 0;
}

static gboolean dead(Handle *h, GError **error)
{
  return vt_set_error(error, EIO, "%s: the process is dead", h->disk->path);
}

/* TRUE: @fault strikes this I/O. */
static gboolean strikes(SimFault *fault, VtIoKinds kind)
{
  if (fault->kind == SIM_NOTHING || !(fault->kinds & kind))
    return FALSE;
  if (fault->countdown > 0) {
    fault->countdown--;
    return FALSE;
  }
  if (fault->times != G_MAXUINT && --fault->times == 0) {
    SimFaultKind struck = fault->kind;
    fault->kind = SIM_NOTHING;
    return struck != SIM_NOTHING;
  }
  return TRUE;
}

/* What comes before each I/O; FALSE: it fails. */
static gboolean begin(Handle *h, const char *what, VtIoKinds kind, guint64 offset, guint64 length,
                      GError **error)
{
  gboolean ok = TRUE;

  if (h->process && h->process->dead)
    return dead(h, error);
  sim_digest_add(offset);
  for (guint i = 0; h->process && h->process != sim_lawless && i < SIM_FAULTS; i++) {
    SimFault *fault = &sim_faults[i];
    SimFault was = *fault;

    if (!strikes(fault, kind))
      continue;
    sim_trace("%s at %" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT " meets fault %d", what, offset,
              length, was.kind);
    if (was.kind == SIM_CALL)
      was.call(h->process);
    else if (was.kind == SIM_SLOW)
      sim_sleep(1 + sim_random(40 * G_USEC_PER_SEC));
    else
      ok = FALSE;
  }
  sim_point(what, length);
  if (h->process && h->process->dead)
    return dead(h, error);
  sim_n_eio += !ok;
  return ok || vt_set_error(error, EIO, "%s: cannot %s at offset %" G_GUINT64_FORMAT ": simulated",
                            h->disk->path, what, offset);
}

/* Room for [offset, offset + length), which holds the file system's blocks from then on. */
static gboolean take_room(SimDisk *disk, guint64 offset, guint64 length, GError **error)
{
  guint64 first = offset / SIM_BLOCK, last = (offset + length - 1) / SIM_BLOCK, wanted = 0;

  for (guint64 i = first; i <= last; i++)
    wanted += !disk->backed[i];
  if (wanted > room) {
    sim_n_full++;
    return vt_set_error(error, ENOSPC, "%s: no space left on the file system", disk->path);
  }
  if (room != G_MAXUINT64)
    room -= wanted;
  memset(disk->backed + first, 1, last - first + 1);
  return TRUE;
}

static void give_room(SimDisk *disk, guint64 offset, guint64 length)
{
  guint64 first = (offset + SIM_BLOCK - 1) / SIM_BLOCK, end = (offset + length) / SIM_BLOCK;

  for (guint64 i = first; i < end; i++) {
    if (disk->backed[i] && room != G_MAXUINT64)
      room++;
    disk->backed[i] = 0;
  }
}

/* --- the kind of VtIo --- */

static gboolean disk_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                           GError **error)
{
  Handle *h = (Handle *)io;

  if (!begin(h, "read", VT_IO_READ, offset, vt_iov_length(iov, n_iov), error))
    return FALSE;
  for (int i = 0; i < n_iov; offset += iov[i++].iov_len)
    memcpy(iov[i].iov_base, h->disk->bytes + offset, iov[i].iov_len);
  return TRUE;
}

static guint checksum(const guint8 *bytes, guint64 length)
{
  guint64 sum = length;

  for (guint64 i = 0; i + 8 <= length; i += 64)
    sum = sum * 31 + *(const guint64 *)(bytes + i);
  return (guint)(sum ^ sum >> 32);
}

/* A write whose fate is open while others go on. One that fails may have been done in part. */
static gboolean change(Handle *h, const char *what, VtIoKinds kind, gboolean needs_room,
                       guint64 offset, guint64 length, const guint8 *bytes, GError **error)
{
  SimUnderway underway = {h->disk, h->process, offset, length, bytes};
  gboolean ok;

  sim_digest_add(checksum(bytes, length));
  g_ptr_array_add(sim_underway, &underway);
  ok = begin(h, what, kind, offset, length, error);
  g_ptr_array_remove_fast(sim_underway, &underway);
  if (h->process && h->process->dead)
    return ok;
  if (ok && needs_room && !take_room(h->disk, offset, length, error))
    return FALSE;
  if (!ok)
    length = sim_random(length / SIM_SECTOR + 1) * SIM_SECTOR;
  if (sim_break == SIM_BREAK_WRITE && sim_random(200) == 0)
    return ok;
  if (length)
    sim_disk_apply(h->disk, offset, length, bytes);
  return ok;
}

static gboolean disk_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                            GError **error)
{
  guint64 length = vt_iov_length(iov, n_iov);
  g_autofree guint8 *bytes = g_malloc(length);
  guint8 *at = bytes;

  for (int i = 0; i < n_iov; at += iov[i++].iov_len)
    memcpy(at, iov[i].iov_base, iov[i].iov_len);
  return change((Handle *)io, "write", VT_IO_WRITE, TRUE, offset, length, bytes, error);
}

static gboolean disk_flush(VtIo *io, GError **error)
{
  Handle *h = (Handle *)io;
  SimDisk *disk = h->disk;
  guint mark = disk->pending->len;

  if (h->flush_failed)
    return vt_set_error(error, EIO, "%s: an earlier flush failed", disk->path);
  if (begin(h, "flush", VT_IO_FLUSH, 0, 0, error)) {
    sim_disk_settle(disk, MIN(mark, disk->pending->len));
    return TRUE;
  }
  for (guint i = 0; i < MIN(mark, disk->pending->len); i++)
    if (!(h->process && h->process->dead))
      ((SimWrite *)disk->pending->pdata[i])->stuck = TRUE;
  h->flush_failed = TRUE; /* as src/util/io-file.c has it */
  return FALSE;
}

static gboolean fill(Handle *h, const char *what, VtIoKinds kind, gboolean needs_room,
                     guint64 offset, guint64 length, guint8 byte, GError **error)
{
  g_autofree guint8 *bytes = g_malloc(length);

  memset(bytes, byte, length);
  return change(h, what, kind, needs_room, offset, length, bytes, error);
}

static gboolean disk_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                          GError **error)
{
  gboolean unmaps = (flags & VT_IO_ZERO_MAY_UNMAP) != 0;

  if (!fill((Handle *)io, "zero", VT_IO_ZERO, !unmaps, offset, length, 0, error))
    return FALSE;
  if (unmaps)
    give_room(((Handle *)io)->disk, offset, length);
  return TRUE;
}

/* What it held is undefined from then on. */
static gboolean disk_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  if (!fill((Handle *)io, "discard", VT_IO_DISCARD, FALSE, offset, length, 0x5a, error))
    return FALSE;
  give_room(((Handle *)io)->disk, offset, length);
  return TRUE;
}

static gboolean disk_back(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  Handle *h = (Handle *)io;

  return begin(h, "back", VT_IO_BACK, offset, length, error) &&
         take_room(h->disk, offset, length, error);
}

static guint64 disk_size(VtIo *io)
{
  return ((Handle *)io)->disk->size;
}

static void disk_free(VtIo *io)
{
  Handle *h = (Handle *)io;

  if (h->disk->lock == h)
    h->disk->owner = NULL, h->disk->lock = NULL;
  g_free(h);
}

static const VtIoOps ops = {
    .readv = disk_readv,
    .writev = disk_writev,
    .flush = disk_flush,
    .zero = disk_zero,
    .discard = disk_discard,
    .back = disk_back,
    .size = disk_size,
    .free = disk_free,
};

/* --- disks --- */

static void disk_destroy(gpointer data)
{
  SimDisk *disk = data;

  munmap(disk->bytes, disk->mapped);
  g_ptr_array_unref(disk->pending);
  g_ptr_array_unref(disk->flushed);
  g_free(disk->backed);
  unlink(disk->path);
  g_free(disk->path);
  g_free(disk);
}

SimDisk *sim_disk_new(const char *path, guint64 size)
{
  SimDisk *disk = g_new0(SimDisk, 1);

  disk->path = g_strdup(path);
  disk->size = size;
  disk->mapped = MAPPED;
  disk->bytes = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  g_assert_true(disk->bytes != MAP_FAILED);
  disk->backed = g_malloc0(MAPPED / SIM_BLOCK);
  disk->pending = g_ptr_array_new_with_free_func(sim_write_free);
  disk->flushed = g_ptr_array_new_with_free_func(sim_write_free);
  if (!sim_disks)
    sim_disks = g_ptr_array_new_with_free_func(disk_destroy);
  if (!sim_underway)
    sim_underway = g_ptr_array_new();
  g_ptr_array_add(sim_disks, disk);
  return disk;
}

SimDisk *sim_disk_find(const char *path)
{
  for (guint i = 0; sim_disks && i < sim_disks->len; i++)
    if (strcmp(((SimDisk *)sim_disks->pdata[i])->path, path) == 0)
      return sim_disks->pdata[i];
  return NULL;
}

void sim_disks_clear(void)
{
  if (sim_disks)
    g_ptr_array_set_size(sim_disks, 0);
  memset(sim_faults, 0, sizeof sim_faults);
  room = G_MAXUINT64;
}

const guint8 *sim_disk_bytes(SimDisk *disk)
{
  return disk->bytes;
}

guint8 *sim_disk_fill(SimDisk *disk)
{
  return disk->bytes;
}

guint64 sim_disk_size(SimDisk *disk)
{
  return disk->size;
}

/* --- what the linker calls in place of files --- */

VtIo *__wrap_vt_io_open_file(const char *path, gboolean read_only, GError **error);
VtIo *__real_vt_io_open_file(const char *path, gboolean read_only, GError **error);
gboolean __wrap_vt_io_lock(VtIo *io, gboolean shared, const VtIoLocks *locks, GError **error);
gboolean __real_vt_io_lock(VtIo *io, gboolean shared, const VtIoLocks *locks, GError **error);
gboolean __wrap_vt_io_grow_file(VtIo *io, guint64 size, GError **error);
gboolean __real_vt_io_grow_file(VtIo *io, guint64 size, GError **error);

VtIo *__wrap_vt_io_open_file(const char *path, gboolean read_only, GError **error)
{
  SimDisk *disk = sim_disk_find(path);
  Handle *h;

  if (!disk)
    return __real_vt_io_open_file(path, read_only, error);
  sim_point("open", 0);
  h = g_new0(Handle, 1);
  vt_io_init(&h->io, &ops, path, read_only);
  h->disk = disk;
  h->process = sim_self();
  return &h->io;
}

/* A ghost's locks are gone, whatever it does. */
gboolean __wrap_vt_io_lock(VtIo *io, gboolean shared, const VtIoLocks *locks, GError **error)
{
  Handle *h = (Handle *)io;

  if (io->ops != &ops)
    return __real_vt_io_lock(io, shared, locks, error);
  sim_point("flock", 0);
  if (h->process && h->process == sim_lawless)
    return TRUE;
  if ((sim_lock_owner && h->process != sim_lock_owner) ||
      (h->disk->owner && !h->disk->owner->dead && h->disk->owner != h->process))
    return vt_set_error(error, EBUSY, "%s: in use by another process", h->disk->path);
  if (h->process && !h->process->dead)
    h->disk->owner = h->process, h->disk->lock = h;
  return TRUE;
}

gboolean __wrap_vt_io_grow_file(VtIo *io, guint64 size, GError **error)
{
  Handle *h = (Handle *)io;

  if (io->ops != &ops)
    return __real_vt_io_grow_file(io, size, error);
  if (!begin(h, "grow", 0, 0, size, error))
    return FALSE;
  if (size > h->disk->mapped)
    return vt_set_error(error, EFBIG, "%s: too large for the simulation", h->disk->path);
  h->disk->size = MAX(h->disk->size, size);
  return TRUE;
}
