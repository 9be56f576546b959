/* virt-thin - the kernel's pool: volumes opened for I/O
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Through the volume's device. A volume that is not active - a snapshot, say - is activated for as
 * long as it is open here.
 */
#include "config.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dm/thin-reader.h"
#include "pool/kernel/kernel-private.h"
#include "pool/rules.h"
#include "util/memory.h"

#define SECTOR 512u
#define ZEROS_SIZE (1u << 20)

typedef struct {
  PoolVolume base;
  KernelPool *pool;
  char *name, *shown; /* "vg/lv", for messages */
  char *uuid;         /* of the device */
  int fd;
  guint64 chunk_size;
  gboolean zeroes; /* as in PoolInfo */
  gboolean thin, read_only;
  gboolean activated; /* by us */
  GMutex lock;        /* of the map */
  GArray *map;        /* of DmkRange: what was mapped when it was first asked for; NULL: not read */
  gboolean no_map;    /* it is not to be had */
} KernelVolume;

/* --- opening and closing --- */

static gboolean open_device(KernelVolume *volume, GError **error)
{
  g_autofree char *path = NULL;
  struct stat st;
  DmkInfo info;

  if (!dmk_get_info(volume->uuid, &info, error))
    return FALSE;
  path = g_build_filename("/dev/mapper", info.name, NULL);
  volume->fd = open(path, (volume->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  if (volume->fd < 0)
    return vt_set_errno(error, errno, "opening volume %s as %s", volume->shown, path);
  if (fstat(volume->fd, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == info.device)
    return TRUE;
  return vt_set_error(error, EIO, "%s is not the node of volume %s: vgmknodes makes it anew", path,
                      volume->shown);
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
      kernel_run(change, NULL, "lvchange", "-an", volume->shown, NULL)) {
    kernel_change_end(change, TRUE, NULL);
    return;
  }
  if (!dmk_remove_when_closed(volume->uuid, &error) && error->code != ENOENT)
    g_warning("volume %s stays active: %s", volume->shown, error->message);
  if (change)
    kernel_change_end(change, TRUE, NULL);
}

static void volume_close(PoolVolume *base)
{
  KernelVolume *volume = (KernelVolume *)base;

  if (volume->fd >= 0)
    close(volume->fd);
  if (volume->activated)
    deactivate(volume);
  if (volume->map)
    g_array_unref(volume->map);
  g_mutex_clear(&volume->lock);
  g_free(volume->uuid);
  g_free(volume->shown);
  g_free(volume->name);
  g_free(volume);
}

static const PoolVolumeOps volume_ops;

static KernelVolume *volume_new(KernelPool *k, LvmVg *vg, LvmLv *lv, gboolean read_only)
{
  KernelVolume *volume = g_new0(KernelVolume, 1);
  LvmLv *pool;

  volume->base.ops = &volume_ops;
  g_mutex_init(&volume->lock);
  volume->pool = k;
  volume->name = g_strdup(lvm_lv_name(lv));
  volume->shown = g_strdup_printf("%s/%s", k->vg_name, volume->name);
  volume->uuid = kernel_uuid(vg, lv);
  volume->fd = -1;
  volume->read_only = read_only;
  volume->thin = lvm_lv_kind(lv) == LVM_LV_THIN;
  pool = volume->thin ? pool_rules_find_pool(vg, lvm_thin_pool(lv), NULL) : NULL;
  volume->chunk_size = pool ? lvm_pool_chunk_size(pool) : 0;
  volume->zeroes = pool && lvm_pool_zeroes(pool);
  return volume;
}

PoolVolume *kernel_volume_open(VolumeGroup *group, const char *name, gboolean read_only,
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
    return &volume->base;
  if (volume)
    volume_close(&volume->base);
  return NULL;
}

/* --- about it --- */

static const char *volume_name(PoolVolume *base)
{
  return ((KernelVolume *)base)->name;
}

/* The device may grow while it is open. */
static guint64 volume_size(PoolVolume *base)
{
  guint64 size = 0;

  return ioctl(((KernelVolume *)base)->fd, BLKGETSIZE64, &size) == 0 ? size : 0;
}

static guint64 volume_chunk_size(PoolVolume *base)
{
  return ((KernelVolume *)base)->chunk_size;
}

static gboolean volume_is_read_only(PoolVolume *base)
{
  return ((KernelVolume *)base)->read_only;
}

static gboolean check_writable(KernelVolume *volume, GError **error)
{
  return !volume->read_only ||
         vt_set_error(error, EROFS, "volume %s is open read-only", volume->shown);
}

static gboolean check_range(KernelVolume *volume, guint64 offset, guint64 length, GError **error)
{
  guint64 size = volume_size(&volume->base);

  if (offset <= size && length <= size - offset)
    return TRUE;
  return vt_set_error(error, EINVAL,
                      "volume %s: %" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT
                      " reach beyond its end at %" G_GUINT64_FORMAT,
                      volume->shown, length, offset, size);
}

/* --- reading and writing --- */

static gboolean transfer_one(KernelVolume *volume, gboolean write, char *buf, gsize length,
                             guint64 offset, GError **error)
{
  while (length > 0) {
    ssize_t n = write ? pwrite(volume->fd, buf, length, (off_t)offset)
                      : pread(volume->fd, buf, length, (off_t)offset);

    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return vt_set_errno(error, n < 0 ? errno : EIO,
                          "volume %s: cannot %s at offset %" G_GUINT64_FORMAT, volume->shown,
                          write ? "write" : "read", offset);
    buf += n;
    length -= (gsize)n;
    offset += (guint64)n;
  }
  return TRUE;
}

static gboolean transfer(KernelVolume *volume, gboolean write, const struct iovec *iov, int n_iov,
                         guint64 offset, GError **error)
{
  guint64 length = 0;

  for (int i = 0; i < n_iov; i++)
    length += iov[i].iov_len;
  if (!check_range(volume, offset, length, error))
    return FALSE;
  for (int i = 0; i < n_iov; offset += iov[i++].iov_len)
    if (!transfer_one(volume, write, iov[i].iov_base, iov[i].iov_len, offset, error))
      return FALSE;
  return TRUE;
}

static gboolean volume_readv(PoolVolume *base, const struct iovec *iov, int n_iov, guint64 offset,
                             GError **error)
{
  return transfer((KernelVolume *)base, FALSE, iov, n_iov, offset, error);
}

/* What was read of its map is true no more. */
static void forget_map(KernelVolume *volume)
{
  g_mutex_lock(&volume->lock);
  g_clear_pointer(&volume->map, g_array_unref);
  g_mutex_unlock(&volume->lock);
}

static gboolean volume_writev(PoolVolume *base, const struct iovec *iov, int n_iov, guint64 offset,
                              GError **error)
{
  KernelVolume *volume = (KernelVolume *)base;
  gboolean ok = check_writable(volume, error) && transfer(volume, TRUE, iov, n_iov, offset, error);

  forget_map(volume);
  return ok;
}

static gboolean volume_flush(PoolVolume *base, GError **error)
{
  KernelVolume *volume = (KernelVolume *)base;

  return fdatasync(volume->fd) == 0 ||
         vt_set_errno(error, errno, "volume %s: cannot flush", volume->shown);
}

/* --- zeroing and discarding --- */

static gboolean write_zeros(KernelVolume *volume, guint64 offset, guint64 end, GError **error)
{
  g_autofree char *zeros = offset < end ? g_malloc0(MIN(end - offset, ZEROS_SIZE)) : NULL;

  for (; offset < end; offset += MIN(end - offset, ZEROS_SIZE))
    if (!transfer_one(volume, TRUE, zeros, (gsize)MIN(end - offset, ZEROS_SIZE), offset, error))
      return FALSE;
  return TRUE;
}

/* The largest part of [*begin, *end) in whole units of @unit; FALSE: none. */
static gboolean whole_units(guint64 unit, guint64 *begin, guint64 *end)
{
  *begin = (*begin + unit - 1) / unit * unit;
  *end = *end / unit * unit;
  return *begin < *end;
}

/* The kernel keeps the page cache in step with both ioctls. */
static gboolean range_ioctl(KernelVolume *volume, unsigned long request, const char *verb,
                            guint64 begin, guint64 end, GError **error)
{
  guint64 range[2] = {begin, end - begin};

  return ioctl(volume->fd, request, range) == 0 ||
         vt_set_errno(error, errno,
                      "volume %s: cannot %s %" G_GUINT64_FORMAT
                      " bytes at offset %" G_GUINT64_FORMAT,
                      volume->shown, verb, end - begin, begin);
}

static gboolean zero_range(KernelVolume *volume, guint64 begin, guint64 end, GError **error)
{
  guint64 first = begin, last = end;

  if (!whole_units(SECTOR, &first, &last))
    return write_zeros(volume, begin, end, error);
  return write_zeros(volume, begin, first, error) &&
         range_ioctl(volume, BLKZEROOUT, "zero", first, last, error) &&
         write_zeros(volume, last, end, error);
}

/* Chunks that are unmapped read zero; where new ones are not zeroed, only until something in them
 * is written. A pool may be set to ignore discards. */
static gboolean unmap_range(KernelVolume *volume, guint64 begin, guint64 end, GError **error)
{
  guint64 first = begin, last = end;
  g_autoptr(GError) local = NULL;

  if (!volume->zeroes || !volume->chunk_size || !whole_units(volume->chunk_size, &first, &last))
    return zero_range(volume, begin, end, error);
  if (!range_ioctl(volume, BLKDISCARD, "discard", first, last, &local)) {
    if (local->code == EOPNOTSUPP)
      return zero_range(volume, begin, end, error);
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
  }
  return zero_range(volume, begin, first, error) && zero_range(volume, last, end, error);
}

static gboolean volume_zero(PoolVolume *base, guint64 offset, guint64 length, gboolean may_unmap,
                            GError **error)
{
  KernelVolume *volume = (KernelVolume *)base;
  gboolean ok;

  if (!check_writable(volume, error) || !check_range(volume, offset, length, error))
    return FALSE;
  ok =
      length == 0 || (may_unmap ? unmap_range : zero_range)(volume, offset, offset + length, error);
  forget_map(volume);
  return ok;
}

static gboolean volume_discard(PoolVolume *base, guint64 offset, guint64 length, GError **error)
{
  KernelVolume *volume = (KernelVolume *)base;
  guint64 begin = offset, end = offset + length;
  g_autoptr(GError) local = NULL;
  gboolean ok;

  if (!check_writable(volume, error) || !check_range(volume, offset, length, error))
    return FALSE;
  ok = !whole_units(volume->chunk_size ? volume->chunk_size : SECTOR, &begin, &end) ||
       range_ioctl(volume, BLKDISCARD, "discard", begin, end, &local) || local->code == EOPNOTSUPP;
  forget_map(volume);
  if (!ok)
    g_propagate_error(error, g_steal_pointer(&local));
  return ok;
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

static gboolean volume_extent(PoolVolume *base, guint64 offset, guint64 limit, guint64 *length,
                              gboolean *mapped, GError **error)
{
  KernelVolume *volume = (KernelVolume *)base;
  const DmkRange *range;

  if (!check_range(volume, offset, 1, error))
    return FALSE;
  limit = MIN(limit, volume_size(base) - offset);
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

static const PoolVolumeOps volume_ops = {
    .close = volume_close,
    .name = volume_name,
    .size = volume_size,
    .chunk_size = volume_chunk_size,
    .is_read_only = volume_is_read_only,
    .readv = volume_readv,
    .writev = volume_writev,
    .zero = volume_zero,
    .discard = volume_discard,
    .flush = volume_flush,
    .extent = volume_extent,
};
