/* virt-thin - the kernel's pool: what there is
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "dm/thin-reader.h"
#include "pool/devices.h"
#include "pool/kernel/kernel-private.h"
#include "pool/rules.h"

/* What was read is kept, with its PVs open, only while that cannot be in anybody's way: active
 * volumes hold them, too.
 */
static void done(KernelPool *k, gboolean active)
{
  if (!active)
    kernel_forget(k);
  g_mutex_unlock(&k->lock);
}

/* --- information: the VG and its thin pools --- */

PoolVgInfo *kernel_get_vg_info(VolumeGroup *group, GError **error)
{
  KernelPool *k = (KernelPool *)group;
  PoolVgInfo *info = NULL;
  LvmVg *vg;

  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, error);
  if (vg) {
    info = pool_rules_vg_info(k->store);
    info->served_by = g_strdup("the kernel");
  }
  done(k, FALSE);
  return info;
}

static char *describe_health(LvmLv *lv, const PoolInfo *info, guint64 transaction_id,
                             DmkPoolMode mode)
{
  char *conflict;

  if (mode == DMK_FAILED)
    return g_strdup(
        "the kernel has given the pool up: deactivate it, and repair it with lvconvert --repair");
  if (info->needs_check)
    return g_strdup(POOL_HEALTH_NEEDS_CHECK);
  if ((conflict = pool_rules_tid_conflict(lv, transaction_id)))
    return conflict;
  if (mode == DMK_OUT_OF_DATA || (info->size && info->used >= info->size))
    return g_strdup(POOL_HEALTH_NO_DATA);
  if (mode == DMK_READ_ONLY && info->metadata_used >= info->metadata_size)
    return g_strdup(POOL_HEALTH_NO_METADATA);
  return mode == DMK_READ_ONLY ? g_strdup("metadata read-only") : NULL;
}

static gboolean take_superblock(gpointer reader, gpointer data, GError **error)
{
  dmk_reader_superblock(reader, data);
  return TRUE;
}

/* Usage: the kernel's word while the pool is active, else its superblock's. The transaction id of
 * either. */
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

/* An active pool of many volumes is not read through for each question how it is: what it has
 * besides, the check finds. */
static char *describe_devices(KernelPool *k, LvmVg *vg, LvmLv *lv, const PoolInfo *info,
                              guint64 tid)
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
  PoolInfo *info = pool_rules_pool_info(vg, lv);
  guint64 tid;

  tid = fill_usage(k, vg, lv, info);
  if (!info->health && with_devices)
    info->health = describe_devices(k, vg, lv, info, tid);
  kernel_fill_watch(vg, lv, info);
  return info;
}

GPtrArray *kernel_list_pools(VolumeGroup *group, GError **error)
{
  KernelPool *k = (KernelPool *)group;
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

PoolInfo *kernel_get_info(KernelPool *k, const char *thin_pool, gboolean with_devices,
                          GError **error)
{
  PoolInfo *info = NULL;
  LvmVg *vg;
  LvmLv *lv;

  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, error);
  lv = vg ? pool_rules_find_pool(vg, thin_pool, error) : NULL;
  if (lv)
    info = make_info(k, vg, lv, with_devices);
  done(k, info && info->active);
  return info;
}

/* --- information: volumes --- */

/* Of each thin pool, its devices, for what its volumes map that are not active; read when first
 * asked for, once. */
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

static PoolVolumeInfo *make_volume_info(MappedCache *cache, LvmLv *lv)
{
  PoolVolumeInfo *info = pool_rules_volume_info(cache->k->vg_name, lv);
  g_autofree char *uuid = kernel_uuid(cache->vg, lv);

  info->active = dmk_is_active(uuid, NULL);
  info->damage = pool_rules_missing_pool(cache->vg, lv);
  if (info->active) {
    info->path = g_build_filename("/dev", cache->k->vg_name, info->name, NULL);
    info->path_is_block = TRUE;
  }
  if (info->kind == POOL_VOLUME_THIN &&
      (!info->active || !dmk_get_thin_mapped(uuid, &info->mapped, NULL)))
    info->mapped = inactive_mapped(cache, lv);
  return info;
}

GPtrArray *kernel_list_volumes(VolumeGroup *group, const char *thin_pool, GError **error)
{
  KernelPool *k = (KernelPool *)group;
  g_autoptr(GHashTable) pools =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, unref_devices);
  MappedCache cache = {k, NULL, pools};
  GPtrArray *infos = NULL;
  gboolean active = FALSE;

  g_mutex_lock(&k->lock);
  cache.vg = kernel_read_vg(k, error);
  if (cache.vg && (!thin_pool || pool_rules_find_pool(cache.vg, thin_pool, error))) {
    g_autoptr(GPtrArray) lvs = lvm_vg_lvs(cache.vg);

    infos = g_ptr_array_new_with_free_func((GDestroyNotify)pool_volume_info_free);
    for (guint i = 0; i < lvs->len; i++) {
      if (!pool_rules_is_volume(lvs->pdata[i]) || !pool_rules_is_in_pool(lvs->pdata[i], thin_pool))
        continue;
      g_ptr_array_add(infos, make_volume_info(&cache, lvs->pdata[i]));
      active = active || ((PoolVolumeInfo *)infos->pdata[infos->len - 1])->active;
    }
  }
  done(k, active);
  return infos;
}

PoolVolumeInfo *kernel_get_volume(VolumeGroup *group, const char *name, GError **error)
{
  KernelPool *k = (KernelPool *)group;
  g_autoptr(GHashTable) pools =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, unref_devices);
  MappedCache cache = {k, NULL, pools};
  PoolVolumeInfo *info = NULL;
  LvmLv *lv;

  g_mutex_lock(&k->lock);
  cache.vg = kernel_read_vg(k, error);
  lv = cache.vg ? pool_rules_find_volume(cache.vg, name, error) : NULL;
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

gboolean kernel_count_volume(VolumeGroup *group, const char *name, guint64 *exclusive,
                             guint64 *shared, GError **error)
{
  KernelPool *k = (KernelPool *)group;
  CountRequest request = {0, exclusive, shared};
  gboolean ok = FALSE;
  LvmVg *vg;
  LvmLv *lv, *pool_lv;

  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, error);
  lv = vg ? pool_rules_find_volume(vg, name, error) : NULL;
  if (lv && lvm_lv_kind(lv) != LVM_LV_THIN) {
    *exclusive = lvm_lv_size(lv);
    *shared = 0;
    ok = TRUE;
  } else if (lv && (pool_lv = pool_rules_find_pool(vg, lvm_thin_pool(lv), error))) {
    request.device = lvm_thin_device(lv);
    ok = kernel_read_metadata(k, pool_lv, count, &request, error);
  }
  done(k, FALSE);
  return ok;
}
