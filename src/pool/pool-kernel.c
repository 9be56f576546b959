/* virt-thin - the kernel's pool: opening and closing, information
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "dm/thin-reader.h"
#include "pool/pool-choose.h"
#include "pool/pool-devices.h"
#include "pool/pool-kernel.h"
#include "pool/pool-layout.h"
#include "pool/pool-rules.h"
#include "pool/settings.h"

/* A reader that comes upon a commit finds it done some milliseconds later. */
#define READ_ATTEMPTS 20
#define READ_PAUSE_US (10 * G_TIME_SPAN_MILLISECOND)

/* --- reading the VG --- */

void kernel_forget(KernelPool *k)
{
  g_clear_pointer(&k->store, lvm_store_close);
}

/* Read, and look at the headers again: what was read is of one moment, or read again. */
static gboolean read_once(KernelPool *k, GError **error)
{
  kernel_forget(k);
  k->store = lvm_store_open((const char *const *)k->paths, k->vg_name, TRUE, dmk_open_direct, NULL, error);
  if (k->store && lvm_store_check_seqno(k->store, error)) {
    if (!*lvm_store_warnings(k->store))
      return TRUE;
    vt_set_error(error, EBADMSG, "%s", *lvm_store_warnings(k->store));
    return FALSE;
  }
  kernel_forget(k);
  return FALSE;
}

/* A PV that is missing or damaged may be one that was read in the middle of a commit; if it stays so, what there is
 * has to do. */
static gboolean read_patiently(KernelPool *k, GError **error)
{
  for (guint i = 1;; i++) {
    g_autoptr(GError) local = NULL;

    if (read_once(k, &local) || (k->store && i == READ_ATTEMPTS))
      return TRUE;
    if (i == READ_ATTEMPTS || local->code == ENOENT) {
      kernel_forget(k);
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    g_usleep(READ_PAUSE_US);
  }
}

static gboolean find_paths(KernelPool *k, GError **error)
{
  g_clear_pointer(&k->paths, g_strfreev);
  k->paths = k->devices ? g_strdupv(k->devices) : pool_find_block_devices(k->vg_name);
  if (*k->paths)
    return TRUE;
  g_clear_pointer(&k->paths, g_strfreev);
  return vt_set_error(error, ENOENT, "there is no volume group %s on any block device that lvm2 would look at",
                      k->vg_name);
}

LvmVg *kernel_read_vg(KernelPool *k, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (k->store && !*lvm_store_warnings(k->store) && lvm_store_check_seqno(k->store, NULL))
    return lvm_store_vg(k->store);
  if (k->paths && read_patiently(k, &local) && !*lvm_store_warnings(k->store))
    return lvm_store_vg(k->store);
  /* Its PVs may be elsewhere now, or more. */
  return find_paths(k, error) && read_patiently(k, error) ? lvm_store_vg(k->store) : NULL;
}

/* What was read is kept, with its PVs open, only while that cannot be in anybody's way: active volumes hold them, too.
 */
static void done(KernelPool *k, gboolean active)
{
  if (!active)
    kernel_forget(k);
  g_mutex_unlock(&k->lock);
}

/* --- finding things --- */

static LvmLv *only_pool(LvmVg *vg, GError **error)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);
  LvmLv *found = NULL;

  for (guint i = 0; i < lvs->len; i++) {
    if (lvm_lv_kind(lvs->pdata[i]) != LVM_LV_THIN_POOL)
      continue;
    if (found) {
      vt_set_error(error, EINVAL, "volume group %s has several thin pools: say which one", lvm_vg_name(vg));
      return NULL;
    }
    found = lvs->pdata[i];
  }
  if (!found)
    vt_set_error(error, ENOENT, "volume group %s has no thin pool", lvm_vg_name(vg));
  return found;
}

LvmLv *kernel_find_pool(LvmVg *vg, const char *name, GError **error)
{
  LvmLv *lv = name ? lvm_vg_find_lv(vg, name) : NULL;
  g_autofree char *shown = NULL;

  if (!name)
    return only_pool(vg, error);
  if (lv && lvm_lv_kind(lv) == LVM_LV_THIN_POOL)
    return lv;
  shown = g_strescape(name, NULL);
  vt_set_error(error, ENOENT, "volume group %s has no thin pool %s", lvm_vg_name(vg), shown);
  return NULL;
}

LvmLv *kernel_find_volume(LvmVg *vg, const char *name, GError **error)
{
  LvmLv *lv = lvm_vg_find_lv(vg, name);
  g_autofree char *shown = NULL;

  if (lv && pool_rules_is_volume(lv))
    return lv;
  shown = g_strescape(name, NULL);
  if (lv && lvm_lv_kind(lv) == LVM_LV_THIN_POOL)
    vt_set_error(error, EINVAL, "%s/%s is a thin pool, not a volume", lvm_vg_name(vg), shown);
  else
    vt_set_error(error, ENOENT, "volume group %s has no volume %s", lvm_vg_name(vg), shown);
  return NULL;
}

LvmLv *kernel_find_thin(LvmVg *vg, const char *name, GError **error)
{
  LvmLv *lv = kernel_find_volume(vg, name, error);

  if (!lv)
    return NULL;
  if (lvm_lv_kind(lv) == LVM_LV_THIN)
    return lv;
  vt_set_error(error, EOPNOTSUPP,
               "volume %s/%s is in no thin pool (its segments are of type %s): use lvm2's commands on it",
               lvm_vg_name(vg), name, lvm_lv_segment_type(lv));
  return NULL;
}

char *kernel_uuid(LvmVg *vg, LvmLv *lv)
{
  return dmk_uuid(lvm_vg_uuid(vg), lvm_lv_uuid(lv), NULL);
}

char *kernel_pool_uuid(LvmVg *vg, LvmLv *pool)
{
  return dmk_uuid(lvm_vg_uuid(vg), lvm_lv_uuid(pool), "tpool");
}

/* --- the metadata of a thin pool --- */

/* A metadata snapshot is one per pool, so those who want one take turns. The file says whose pool has one of ours, for
 * whoever comes after a crash. */
static int lock_snapshots(KernelPool *k, GError **error)
{
  g_autofree char *folder = g_build_filename(settings_runtime_dir(), ".metadata-snapshots", NULL);
  g_autofree char *path = g_build_filename(folder, k->vg_name, NULL);
  int fd = g_mkdir_with_parents(folder, 0700) == 0 ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

  if (fd >= 0 && flock(fd, LOCK_EX) == 0)
    return fd;
  vt_set_errno(error, errno, "locking %s", path);
  if (fd >= 0)
    close(fd);
  return -1;
}

static gboolean is_left_over(int fd, const char *uuid)
{
  char text[256];
  ssize_t n = pread(fd, text, sizeof text - 1, 0);

  text[MAX(n, 0)] = 0;
  return strcmp(text, uuid) == 0;
}

static gboolean reserve(int fd, const char *uuid, DmkPoolStatus *status, GError **error)
{
  if (!dmk_get_pool_status(uuid, status, error))
    return FALSE;
  if (status->held_root && is_left_over(fd, uuid) && !dmk_release_metadata_snapshot(uuid, error))
    return FALSE;
  else if (status->held_root && !is_left_over(fd, uuid))
    return vt_set_error(error, EBUSY, "another program has a metadata snapshot of the thin pool");
  if (ftruncate(fd, 0) < 0 || pwrite(fd, uuid, strlen(uuid), 0) != (ssize_t)strlen(uuid))
    return vt_set_errno(error, errno, "noting a metadata snapshot");
  return dmk_reserve_metadata_snapshot(uuid, error) && dmk_get_pool_status(uuid, status, error);
}

char *kernel_metadata_device(LvmVg *vg, LvmLv *pool)
{
  LvmLv *metadata = lvm_vg_find_lv(vg, lvm_pool_metadata(pool));
  g_autofree char *layer = metadata ? dmk_uuid(lvm_vg_uuid(vg), lvm_lv_uuid(metadata), "tmeta") : NULL,
                  *plain = metadata ? kernel_uuid(vg, metadata) : NULL;
  DmkInfo info;

  return metadata && (dmk_is_active(layer, &info) || dmk_is_active(plain, &info))
             ? g_build_filename("/dev/mapper", info.name, NULL)
             : NULL;
}

/* Where it is active, as the kernel puts it together: it may be on raid, or being moved. */
static VtIo *open_metadata(KernelPool *k, LvmLv *pool, GError **error)
{
  g_autofree char *device = kernel_metadata_device(lvm_store_vg(k->store), pool);

  return device ? dmk_open_direct(device, TRUE, NULL, error)
                : lvm_store_open_lv(k->store, lvm_pool_metadata(pool), TRUE, error);
}

static gboolean read_at(KernelPool *k, LvmLv *pool, guint64 root, KernelReadFunc func, gpointer data, GError **error)
{
  g_autoptr(VtIo) io = open_metadata(k, pool, error);
  g_autoptr(DmkReader) reader = io ? dmk_reader_open(io, root, error) : NULL;

  return reader && func(reader, data, error);
}

static gboolean read_snapshot(KernelPool *k, LvmLv *pool, const char *uuid, KernelReadFunc func, gpointer data,
                              GError **error)
{
  int fd = lock_snapshots(k, error);
  DmkPoolStatus status;
  gboolean ok;

  if (fd < 0)
    return FALSE;
  ok = reserve(fd, uuid, &status, error);
  if (ok) {
    ok = read_at(k, pool, status.held_root, func, data, error);
    if (dmk_release_metadata_snapshot(uuid, ok ? error : NULL))
      ok = ftruncate(fd, 0) == 0 && ok;
    else
      ok = FALSE;
  }
  close(fd);
  return ok;
}

gboolean kernel_read_metadata(KernelPool *k, LvmLv *pool, KernelReadFunc func, gpointer data, GError **error)
{
  g_autofree char *uuid = kernel_pool_uuid(lvm_store_vg(k->store), pool);

  if (dmk_is_active(uuid, NULL))
    return read_snapshot(k, pool, uuid, func, data, error);
  return read_at(k, pool, 0, func, data, error);
}

typedef struct {
  guint32 first, last;
  gboolean live; /* the superblock is the pool's own */
  GArray *devices;
  DmkSuperblock superblock;
} DeviceRequest;

static gboolean take_devices(gpointer reader, gpointer data, GError **error)
{
  DeviceRequest *request = data;

  dmk_reader_superblock(reader, &request->superblock);
  request->devices = dmk_reader_devices(reader, request->first, request->last, error);
  if (!request->devices || !request->live || dmk_reader_is_current(reader))
    return request->devices != NULL;
  g_clear_pointer(&request->devices, g_array_unref);
  return vt_set_error(error, EBUSY, "a commit came in between");
}

/* Few blocks are read between two commits, if not at once then soon; a pool that leaves no such gap is asked for a
 * metadata snapshot. */
GArray *kernel_read_devices(KernelPool *k, LvmLv *pool, guint32 first, guint32 last, guint64 *tid, GError **error)
{
  DeviceRequest request = {first, last, TRUE, NULL, {0}};
  gboolean ok = FALSE;

  for (guint i = 0; !ok && i < READ_ATTEMPTS; i++)
    ok = read_at(k, pool, 0, take_devices, &request, NULL);
  request.live = FALSE;
  if (!ok && !kernel_read_metadata(k, pool, take_devices, &request, error))
    return NULL;
  *tid = request.superblock.transaction_id;
  return request.devices;
}

/* --- information: the VG and its thin pools --- */

static PoolVgInfo *get_vg_info(Pool *pool, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  PoolVgInfo *info = NULL;
  LvmVg *vg;

  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, error);
  if (vg) {
    info = g_new0(PoolVgInfo, 1);
    info->name = g_strdup(k->vg_name);
    info->uuid = g_strdup(lvm_vg_uuid(vg));
    info->extent_size = lvm_vg_extent_size(vg);
    info->size = lvm_vg_n_extents(vg) * info->extent_size;
    info->free = lvm_vg_n_free_extents(vg) * info->extent_size;
    info->seqno = lvm_vg_seqno(vg);
    lvm_store_metadata_space(k->store, &info->metadata_area_used, &info->metadata_area_size);
    info->devices = g_strdupv((GStrv)lvm_store_paths(k->store));
    info->served_by = g_strdup("the kernel");
  }
  done(k, FALSE);
  return info;
}

static char *describe_health(LvmLv *lv, const PoolInfo *info, guint64 transaction_id, DmkPoolMode mode)
{
  guint64 expected = lvm_pool_transaction_id(lv);

  if (mode == DMK_FAILED)
    return g_strdup("the kernel has given the pool up: deactivate it, and repair it with lvconvert --repair");
  if (info->needs_check)
    return g_strdup("metadata read-only: needs_check");
  /* lvm2 leaves one more in its text than in the pool while a message is under way. */
  if (expected && transaction_id != expected && transaction_id + 1 != expected)
    return g_strdup_printf("transaction id is %" G_GUINT64_FORMAT ", expected %" G_GUINT64_FORMAT, transaction_id,
                           expected);
  if (mode == DMK_OUT_OF_DATA || (info->size && info->used >= info->size))
    return g_strdup("out of data space");
  if (mode == DMK_READ_ONLY && info->metadata_used >= info->metadata_size)
    return g_strdup("out of metadata space");
  return mode == DMK_READ_ONLY ? g_strdup("metadata read-only") : NULL;
}

static gboolean take_superblock(gpointer reader, gpointer data, GError **error)
{
  dmk_reader_superblock(reader, data);
  return TRUE;
}

/* Usage: the kernel's word while the pool is active, else its superblock's. The transaction id of either. */
static guint64 fill_usage(KernelPool *k, LvmVg *vg, LvmLv *lv, PoolInfo *info)
{
  g_autofree char *uuid = kernel_pool_uuid(vg, lv);
  g_autoptr(GError) error = NULL;
  DmkSuperblock superblock = {0};
  DmkPoolStatus status = {0};

  info->active = dmk_is_active(uuid, NULL);
  if (info->active && dmk_get_pool_status(uuid, &status, &error)) {
    info->used = status.data_used * info->chunk_size;
    info->metadata_used = status.metadata_used * 4096;
    info->needs_check = status.needs_check;
    info->read_only = status.mode == DMK_READ_ONLY || status.mode == DMK_FAILED;
    info->health = describe_health(lv, info, status.transaction_id, status.mode);
  } else if (!info->active && kernel_read_metadata(k, lv, take_superblock, &superblock, &error)) {
    info->used = superblock.data_used;
    info->metadata_used = superblock.metadata_used;
    info->needs_check = superblock.needs_check;
    info->health = describe_health(lv, info, superblock.transaction_id, DMK_READ_WRITE);
  } else {
    info->health = g_strdup(error->message);
  }
  return info->active ? status.transaction_id : superblock.transaction_id;
}

/* An active pool of many volumes is not read through for each question how it is: what it has besides, the check
 * finds. */
static char *describe_devices(KernelPool *k, LvmVg *vg, LvmLv *lv, const PoolInfo *info, guint64 tid)
{
  g_autoptr(GArray) devices = NULL, strays = NULL;

  if (!info->active || info->n_volumes == 0)
    devices = kernel_read_devices(k, lv, 0, THIN_DEVICE_MAX, &tid, NULL);
  if (devices)
    strays = pool_devices_strays(vg, lv, tid, devices);
  return pool_devices_health(lv, tid, strays);
}

static PoolInfo *make_info(KernelPool *k, LvmVg *vg, LvmLv *lv, gboolean with_devices)
{
  LvmLv *metadata = lvm_vg_find_lv(vg, lvm_pool_metadata(lv));
  PoolInfo *info = g_new0(PoolInfo, 1);
  guint64 tid;

  info->vg = g_strdup(k->vg_name);
  info->name = g_strdup(lvm_lv_name(lv));
  info->uuid = g_strdup(lvm_lv_uuid(lv));
  info->size = lvm_lv_size(lv);
  info->metadata_size = metadata ? lvm_lv_size(metadata) : 0;
  info->metadata_spare = pool_layout_spare_size(vg);
  info->chunk_size = lvm_pool_chunk_size(lv);
  info->zeroes = lvm_pool_zeroes(lv);
  info->virtual_size = pool_rules_virtual_size(vg, info->name, &info->n_volumes);
  info->transaction_id = lvm_pool_transaction_id(lv);
  tid = fill_usage(k, vg, lv, info);
  if (!info->health && with_devices)
    info->health = describe_devices(k, vg, lv, info, tid);
  kernel_fill_watch(vg, lv, info);
  return info;
}

static GPtrArray *list_pools(Pool *pool, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  GPtrArray *infos = NULL;
  gboolean active = FALSE;
  LvmVg *vg;

  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, error);
  if (vg) {
    g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);

    infos = g_ptr_array_new_with_free_func((GDestroyNotify)pool_info_free);
    for (guint i = 0; i < lvs->len; i++) {
      if (lvm_lv_kind(lvs->pdata[i]) != LVM_LV_THIN_POOL)
        continue;
      g_ptr_array_add(infos, make_info(k, vg, lvs->pdata[i], TRUE));
      active = active || ((PoolInfo *)infos->pdata[infos->len - 1])->active;
    }
  }
  done(k, active);
  return infos;
}

PoolInfo *kernel_get_info(KernelPool *k, const char *thin_pool, gboolean with_devices, GError **error)
{
  PoolInfo *info = NULL;
  LvmVg *vg;
  LvmLv *lv;

  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, error);
  lv = vg ? kernel_find_pool(vg, thin_pool, error) : NULL;
  if (lv)
    info = make_info(k, vg, lv, with_devices);
  done(k, info && info->active);
  return info;
}

static PoolInfo *get_info(Pool *pool, const char *thin_pool, GError **error)
{
  return kernel_get_info((KernelPool *)pool, thin_pool, TRUE, error);
}

/* --- information: volumes --- */

/* Of each thin pool, its devices, for what its volumes map that are not active; read when first asked for, once. */
typedef struct {
  KernelPool *k;
  LvmVg *vg;
  GHashTable *pools; /* name -> GArray of ThinDevice, or NULL: not to be had */
} MappedCache;

static void unref_devices(gpointer devices)
{
  if (devices)
    g_array_unref(devices);
}

static guint64 inactive_mapped(MappedCache *cache, LvmLv *lv)
{
  const char *name = lvm_thin_pool(lv);
  LvmLv *pool = lvm_vg_find_lv(cache->vg, name);
  const ThinDevice *device;
  gpointer devices = NULL;
  guint64 tid;

  if (!g_hash_table_lookup_extended(cache->pools, name, NULL, &devices)) {
    if (pool)
      devices = kernel_read_devices(cache->k, pool, 0, THIN_DEVICE_MAX, &tid, NULL);
    g_hash_table_insert(cache->pools, g_strdup(name), devices);
  }
  device = devices ? pool_devices_find(devices, lvm_thin_device(lv)) : NULL;
  return device ? device->mapped : G_MAXUINT64;
}

static char *describe_damage(LvmVg *vg, LvmLv *lv)
{
  if (lvm_lv_kind(lv) == LVM_LV_THIN && !lvm_vg_find_lv(vg, lvm_thin_pool(lv)))
    return g_strdup_printf("the volume group has no thin pool %s", lvm_thin_pool(lv));
  return NULL;
}

static PoolVolumeInfo *make_volume_info(MappedCache *cache, LvmLv *lv)
{
  PoolVolumeInfo *info = pool_rules_volume_info(cache->k->vg_name, lv);
  g_autofree char *uuid = kernel_uuid(cache->vg, lv);

  info->active = dmk_is_active(uuid, NULL);
  info->damage = describe_damage(cache->vg, lv);
  if (info->active) {
    info->path = g_build_filename("/dev", cache->k->vg_name, info->name, NULL);
    info->path_is_block = TRUE;
  }
  if (info->kind == POOL_VOLUME_THIN && (!info->active || !dmk_get_thin_mapped(uuid, &info->mapped, NULL)))
    info->mapped = inactive_mapped(cache, lv);
  return info;
}

static gboolean is_wanted(LvmLv *lv, const char *thin_pool)
{
  return pool_rules_is_volume(lv) &&
         (!thin_pool || (lvm_lv_kind(lv) == LVM_LV_THIN && strcmp(lvm_thin_pool(lv), thin_pool) == 0));
}

static GPtrArray *list_volumes(Pool *pool, const char *thin_pool, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  g_autoptr(GHashTable) pools = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, unref_devices);
  MappedCache cache = {k, NULL, pools};
  GPtrArray *infos = NULL;
  gboolean active = FALSE;

  g_mutex_lock(&k->lock);
  cache.vg = kernel_read_vg(k, error);
  if (cache.vg && (!thin_pool || kernel_find_pool(cache.vg, thin_pool, error))) {
    g_autoptr(GPtrArray) lvs = lvm_vg_lvs(cache.vg);

    infos = g_ptr_array_new_with_free_func((GDestroyNotify)pool_volume_info_free);
    for (guint i = 0; i < lvs->len; i++) {
      if (!is_wanted(lvs->pdata[i], thin_pool))
        continue;
      g_ptr_array_add(infos, make_volume_info(&cache, lvs->pdata[i]));
      active = active || ((PoolVolumeInfo *)infos->pdata[infos->len - 1])->active;
    }
  }
  done(k, active);
  return infos;
}

static PoolVolumeInfo *get_volume(Pool *pool, const char *name, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  g_autoptr(GHashTable) pools = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, unref_devices);
  MappedCache cache = {k, NULL, pools};
  PoolVolumeInfo *info = NULL;
  LvmLv *lv;

  g_mutex_lock(&k->lock);
  cache.vg = kernel_read_vg(k, error);
  lv = cache.vg ? kernel_find_volume(cache.vg, name, error) : NULL;
  if (lv)
    info = make_volume_info(&cache, lv);
  done(k, info && info->active);
  return info;
}

typedef struct {
  guint32 device;
  guint64 *exclusive, *shared;
} CountRequest;

static gboolean count(gpointer reader, gpointer data, GError **error)
{
  CountRequest *request = data;

  return dmk_reader_count(reader, request->device, request->exclusive, request->shared, error);
}

static gboolean count_volume(Pool *pool, const char *name, guint64 *exclusive, guint64 *shared, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  CountRequest request = {0, exclusive, shared};
  gboolean ok = FALSE;
  LvmVg *vg;
  LvmLv *lv, *pool_lv;

  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, error);
  lv = vg ? kernel_find_volume(vg, name, error) : NULL;
  if (lv && lvm_lv_kind(lv) != LVM_LV_THIN) {
    *exclusive = lvm_lv_size(lv);
    *shared = 0;
    ok = TRUE;
  } else if (lv && (pool_lv = kernel_find_pool(vg, lvm_thin_pool(lv), error))) {
    request.device = lvm_thin_device(lv);
    ok = kernel_read_metadata(k, pool_lv, count, &request, error);
  }
  done(k, FALSE);
  return ok;
}

/* --- opening and closing --- */

static gboolean kernel_close(Pool *pool, GError **error)
{
  KernelPool *k = (KernelPool *)pool;

  kernel_forget(k);
  g_strfreev(k->paths);
  g_strfreev(k->devices);
  g_free(k->vg_name);
  g_mutex_clear(&k->lock);
  g_free(k);
  return TRUE;
}

static const PoolOps kernel_ops = {
    .name = "kernel",
    .close = kernel_close,
    .get_vg_info = get_vg_info,
    .list_pools = list_pools,
    .get_info = get_info,
    .list_volumes = list_volumes,
    .get_volume = get_volume,
    .count_volume = count_volume,
    .create = kernel_create,
    .create_linear = kernel_create_linear,
    .remove_linear = kernel_remove_linear,
    .clone = kernel_clone,
    .snapshot = kernel_snapshot,
    .rollback = kernel_rollback,
    .clone_into = kernel_clone_into,
    .rename = kernel_rename,
    .template = kernel_template,
    .resize = kernel_resize,
    .resize_pool = kernel_resize_pool,
    .remove = kernel_remove,
    .set_tags = kernel_set_tags,
    .create_pool = kernel_create_pool,
    .extend = kernel_extend,
    .check = kernel_check,
    .activate = kernel_activate,
    .deactivate = kernel_deactivate,
    .volume_open = kernel_volume_open,
};

Pool *pool_open_kernel(const char *vg, const char *const *devices, PoolOpenFlags flags, GError **error)
{
  KernelPool *k = g_new0(KernelPool, 1);
  gboolean ok;

  k->base.ops = &kernel_ops;
  k->vg_name = g_strdup(vg);
  k->devices = g_strdupv((GStrv)devices);
  k->read_only = (flags & POOL_READ_ONLY) != 0;
  g_mutex_init(&k->lock);
  g_mutex_lock(&k->lock);
  ok = kernel_read_vg(k, error) != NULL;
  g_mutex_unlock(&k->lock);
  if (ok)
    return &k->base;
  kernel_close(&k->base, NULL);
  return NULL;
}
