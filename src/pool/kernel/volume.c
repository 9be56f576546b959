/* virt-thin - the kernel's pool: volumes opened for I/O
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Through the volume's device. A volume that is not active - a snapshot, say - is activated for as
 * long as it is open here.
 */
#include "config.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dm/thin-reader.h"
#include "pool/kernel/kernel-private.h"
#include "pool/rules.h"

#define SECTOR 512u

typedef struct {
  VtIo io; /* named vg/lv */
  KernelPool *pool;
  char *name, *uuid; /* of the LV, of the device */
  VtIo *file;        /* the device's node */
  int fd;            /* of @file */
  gboolean zeroes;   /* as in PoolInfo */
  gboolean thin;
  gboolean activated; /* by us */
  GMutex lock;        /* of the map */
  GArray *map;        /* of DmkRange: what was mapped when it was first asked for; NULL: not read */
  gboolean no_map;    /* it is not to be had */
} KernelVolume;

/* --- opening and closing --- */

static gboolean open_device(KernelVolume *volume, GError **error)
{
  const char *shown = vt_io_name(&volume->io);
  g_autofree char *path = NULL;
  struct stat st;
  DmkInfo info;

  if (!dmk_get_info(volume->uuid, &info, error))
    return FALSE;
  path = g_build_filename("/dev/mapper", info.name, NULL);
  volume->fd = open(path, (vt_io_is_read_only(&volume->io) ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  if (volume->fd < 0)
    return vt_set_errno(error, errno, "opening volume %s as %s", shown, path);
  volume->file = vt_io_new_file(volume->fd, shown, vt_io_is_read_only(&volume->io), error);
  if (!volume->file)
    return FALSE;
  if (fstat(volume->fd, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == info.device)
    return TRUE;
  return vt_set_error(error, EIO, "%s is not the node of volume %s: vgmknodes makes it anew", path,
                      shown);
}

/* Only this needs the VG's turn. */
static gboolean activate_and_open(KernelVolume *volume, GError **error)
{
  KernelChange *change = kernel_change_begin(volume->pool, KERNEL_CHANGE_USE, error);
  LvmLv *lv = change ? pool_rules_find_volume(change->vg, volume->name, error) : NULL;
  gboolean ok;

  if (!change)
    return FALSE;
  ok = lv && kernel_activate_volume(change, volume->name, error);
  volume->activated = ok;
  ok = ok && open_device(volume, error);
  return kernel_change_end(change, ok, error);
}

/* If somebody else has it open meanwhile, it goes when that one closes it. */
static void deactivate(KernelVolume *volume)
{
  KernelChange *change = kernel_change_begin(volume->pool, KERNEL_CHANGE_USE, NULL);
  g_autoptr(GError) error = NULL;
  DmkInfo info;

  if (change && dmk_is_active(volume->uuid, &info) && info.open_count == 0 &&
      kernel_run(change, NULL, "lvchange", "-an", vt_io_name(&volume->io), NULL)) {
    kernel_change_end(change, TRUE, NULL);
    return;
  }
  if (!dmk_remove_when_closed(volume->uuid, &error) && !g_error_matches(error, VT_ERROR, ENOENT))
    g_warning("volume %s stays active: %s", vt_io_name(&volume->io), error->message);
  if (change)
    kernel_change_end(change, TRUE, NULL);
}

static void volume_free(VtIo *io)
{
  KernelVolume *volume = (KernelVolume *)io;

  vt_io_unref(volume->file);
  if (volume->activated)
    deactivate(volume);
  if (volume->map)
    g_array_unref(volume->map);
  g_mutex_clear(&volume->lock);
  g_free(volume->uuid);
  g_free(volume->name);
  g_free(volume);
}

static const VtIoOps volume_ops;

static KernelVolume *volume_new(KernelPool *k, LvmVg *vg, LvmLv *lv, gboolean read_only)
{
  g_autofree char *shown = g_strdup_printf("%s/%s", k->vg_name, lvm_lv_name(lv));
  KernelVolume *volume = g_new0(KernelVolume, 1);
  LvmLv *pool;

  vt_io_init(&volume->io, &volume_ops, shown, read_only);
  g_mutex_init(&volume->lock);
  volume->pool = k;
  volume->name = g_strdup(lvm_lv_name(lv));
  volume->uuid = kernel_uuid(vg, lv);
  volume->thin = lvm_lv_kind(lv) == LVM_LV_THIN;
  pool = volume->thin ? pool_rules_find_pool(vg, lvm_thin_pool(lv), NULL) : NULL;
  volume->io.chunk_size = pool ? lvm_pool_chunk_size(pool) : 0;
  volume->zeroes = pool && lvm_pool_zeroes(pool);
  return volume;
}

VtIo *kernel_volume_open(VolumeGroup *group, const char *name, gboolean read_only,
                         const char *opener, GError **error)
{
  KernelPool *k = (KernelPool *)group;
  KernelVolume *volume = NULL;
  LvmVg *vg;
  LvmLv *lv;

  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, error);
  lv = vg ? pool_rules_find_volume(vg, name, error) : NULL;
  if (lv && !read_only && !lvm_lv_is_writable(lv))
    vt_set_error(error, EROFS, "volume %s/%s is read-only: a snapshot, or a template", k->vg_name,
                 name);
  else if (lv && !read_only && k->read_only)
    pool_rules_read_only(k->vg_name, error);
  else if (lv)
    volume = volume_new(k, vg, lv, read_only);
  g_mutex_unlock(&k->lock);
  if (volume && (dmk_is_active(volume->uuid, NULL) ? open_device(volume, error)
                                                   : activate_and_open(volume, error)))
    return &volume->io;
  if (volume)
    vt_io_unref(&volume->io);
  return NULL;
}

/* --- reading and writing --- */

static guint64 volume_size(VtIo *io)
{
  return vt_io_size(((KernelVolume *)io)->file);
}

static gboolean volume_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                             GError **error)
{
  return vt_io_readv(((KernelVolume *)io)->file, iov, n_iov, offset, error);
}

/* What was read of its map is true no more. */
static gboolean forget_map(VtIo *io, gboolean ok)
{
  KernelVolume *volume = (KernelVolume *)io;

  g_mutex_lock(&volume->lock);
  g_clear_pointer(&volume->map, g_array_unref);
  g_mutex_unlock(&volume->lock);
  return ok;
}

static gboolean volume_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                              GError **error)
{
  return forget_map(io, vt_io_writev(((KernelVolume *)io)->file, iov, n_iov, offset, error));
}

static gboolean volume_flush(VtIo *io, GError **error)
{
  return vt_io_flush(((KernelVolume *)io)->file, error);
}

/* --- zeroing and discarding --- */

/* The largest part of [*begin, *end) in whole units of @unit; FALSE: none. */
static gboolean whole_units(guint64 unit, guint64 *begin, guint64 *end)
{
  *begin = (*begin + unit - 1) / unit * unit;
  *end = *end / unit * unit;
  return *begin < *end;
}

/* Chunks that are unmapped read zero; where new ones are not zeroed, only until something in them
 * is written. A pool may be set to ignore discards. */
static gboolean volume_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                            GError **error)
{
  KernelVolume *volume = (KernelVolume *)io;
  guint64 begin = offset, stop = offset + length, end = stop;
  gboolean unmap = (flags & VT_IO_ZERO_MAY_UNMAP) && volume->zeroes && io->chunk_size &&
                   whole_units(io->chunk_size, &begin, &end);
  guint64 range[2] = {begin, end - begin};

  if (unmap && ioctl(volume->fd, BLKDISCARD, range) < 0) {
    if (errno != EOPNOTSUPP)
      return vt_set_errno(error, errno,
                          "%s: cannot discard %" G_GUINT64_FORMAT
                          " bytes at offset %" G_GUINT64_FORMAT,
                          vt_io_name(io), range[1], range[0]);
    unmap = FALSE;
  }
  if (!unmap)
    begin = end = stop;
  return forget_map(io, vt_io_zero(volume->file, offset, begin - offset, 0, error) &&
                            vt_io_zero(volume->file, end, stop - end, 0, error));
}

/* Parts of chunks stay: it is a hint. */
static gboolean volume_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  guint64 begin = offset, end = offset + length;

  return !whole_units(io->chunk_size ? io->chunk_size : SECTOR, &begin, &end) ||
         forget_map(io, vt_io_discard(((KernelVolume *)io)->file, begin, end - begin, error));
}

/* --- what is mapped --- */

typedef struct {
  guint32 device;
  GArray *map;
} MapRequest;

static gboolean take_map(gpointer reader, gpointer data, GError **error)
{
  MapRequest *request = data;

  return (request->map = dmk_reader_map(reader, request->device, error)) != NULL;
}

/* What others have written and the page cache still holds is not mapped yet: out with it first. */
static GArray *read_map(KernelVolume *volume)
{
  KernelPool *k = volume->pool;
  MapRequest request = {0, NULL};
  LvmVg *vg;
  LvmLv *lv, *pool;

  if (fdatasync(volume->fd) < 0)
    return NULL;
  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, NULL);
  lv = vg ? pool_rules_find_thin(vg, volume->name, NULL) : NULL;
  pool = lv ? pool_rules_find_pool(vg, lvm_thin_pool(lv), NULL) : NULL;
  if (pool) {
    request.device = lvm_thin_device(lv);
    kernel_read_metadata(k, pool, take_map, &request, NULL);
  }
  g_mutex_unlock(&k->lock);
  return request.map;
}

/* The first range that ends behind @offset; NULL: none. */
static const DmkRange *find_range(GArray *map, guint64 offset)
{
  guint low = 0, high = map->len;

  while (low < high) {
    guint middle = low + (high - low) / 2;

    if (g_array_index(map, DmkRange, middle).end > offset)
      high = middle;
    else
      low = middle + 1;
  }
  return low < map->len ? &g_array_index(map, DmkRange, low) : NULL;
}

static gboolean volume_extent(VtIo *io, guint64 offset, guint64 limit, guint64 *length,
                              gboolean *mapped, GError **error)
{
  KernelVolume *volume = (KernelVolume *)io;
  const DmkRange *range;

  g_mutex_lock(&volume->lock);
  if (volume->thin && !volume->map && !volume->no_map)
    volume->no_map = !(volume->map = read_map(volume));
  *mapped = TRUE;
  *length = limit;
  if (volume->map) {
    range = find_range(volume->map, offset);
    *mapped = range && range->begin <= offset;
    *length = range ? MIN((*mapped ? range->end : range->begin) - offset, limit) : limit;
  }
  g_mutex_unlock(&volume->lock);
  return TRUE;
}

static const VtIoOps volume_ops = {
    .readv = volume_readv,
    .writev = volume_writev,
    .flush = volume_flush,
    .zero = volume_zero,
    .discard = volume_discard,
    .extent = volume_extent,
    .size = volume_size,
    .free = volume_free,
};
