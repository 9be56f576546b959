/* virt-thin - the kernel's pool: what there is
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "dm/thin-reader.h"
#include "pool/devices.h"
#include "pool/health.h"
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

/* Usage: the kernel's word while the pool is active, else its superblock's. What of health is the
 * kernel's to say, goes to @state. */
static void take_status(const DmkPoolStatus *status, PoolInfo *info, PoolState *state)
{
  state->tid = status->transaction_id;
  info->needs_check = state->needs_check = status->needs_check;
  info->read_only = status->mode == DMK_READ_ONLY || status->mode == DMK_FAILED;
  if (status->mode == DMK_FAILED) {
    state->tid = info->transaction_id; /* it says no more than that */
    state->trouble =
        "the kernel has given the pool up: deactivate it, and repair it with lvconvert --repair";
    return;
  }
  info->used = status->data_used * info->chunk_size;
  info->metadata_used = status->metadata_used * 4096;
  if (status->mode == DMK_OUT_OF_DATA)
    state->remark = POOL_HEALTH_NO_DATA;
  else if (status->mode == DMK_READ_ONLY && info->metadata_used >= info->metadata_size)
    state->remark = POOL_HEALTH_NO_METADATA;
  else if (status->mode == DMK_READ_ONLY)
    state->trouble = "metadata read-only";
}

static gboolean take_superblock(gpointer reader, gpointer data, GError **error)
{
  dmk_reader_superblock(reader, data);
  return TRUE;
}

static gboolean read_superblock(KernelPool *k, LvmLv *lv, PoolInfo *info, PoolState *state,
                                GError **error)
{
  DmkSuperblock superblock = {0};

  if (!kernel_read_metadata(k, lv, take_superblock, &superblock, error))
    return FALSE;
  info->used = superblock.data_used;
  info->metadata_used = superblock.metadata_used;
  state->tid = superblock.transaction_id;
  state->data_size = superblock.data_size;
  info->needs_check = state->needs_check = superblock.needs_check;
  return TRUE;
}

static PoolInfo *make_info(KernelPool *k, LvmVg *vg, LvmLv *lv, gboolean with_devices)
{
  g_autofree char *uuid = kernel_pool_uuid(vg, lv);
  PoolInfo *info = pool_rules_pool_info(vg, lv);
  const PoolLimits limits = settings_limits(k->vg_name, info->name);
  PoolState state = {.store = k->store, .pool = lv};
  g_autoptr(GArray) devices = NULL;
  g_autoptr(GError) error = NULL;
  DmkPoolStatus status = {0};

  info->active = dmk_is_active(uuid, NULL);
  if (info->active && dmk_get_pool_status(uuid, &status, &error))
    take_status(&status, info, &state);
  else if (!info->active)
    read_superblock(k, lv, info, &state, &error);
  if (!error && info->size && info->used != G_MAXUINT64 && info->used >= info->size)
    state.remark = POOL_HEALTH_NO_DATA;
  if (!error && with_devices)
    state.devices = devices = kernel_peek_devices(k, lv, state.tid);
  state.failure = error;
  info->health = pool_health(&state);
  info->available = pool_rules_available(info, lvm_vg_extent_size(vg), &limits);
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
  PoolForecast forecast;
  PoolInfo *info = NULL;
  LvmVg *vg;
  LvmLv *lv;

  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, error);
  lv = vg ? pool_rules_find_pool(vg, thin_pool, error) : NULL;
  if (lv)
    info = make_info(k, vg, lv, with_devices);
  if (info && with_devices && info->metadata_used != G_MAXUINT64) {
    kernel_forecast(k, lv, &forecast);
    pool_forecast_fill(&forecast, info);
  }
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

static gboolean compare_maps(gint64 left, gint64 right, ThinDelta *delta, gpointer reader,
                             GError **error)
{
  return dmk_reader_delta(reader, left, right, delta, error);
}

static gboolean compare(gpointer reader, gpointer data, GError **error)
{
  return pool_delta_compare(data, compare_maps, reader, error);
}

gboolean kernel_delta(VolumeGroup *group, const char *left, const char *right, PoolDeltaFlags flags,
                      guint64 *offset, guint max, GArray *runs, GError **error)
{
  KernelPool *k = (KernelPool *)group;
  PoolDeltaRequest request = {
      .left = left, .right = right, .flags = flags, .offset = offset, .max = max, .runs = runs};
  gboolean ok;
  LvmVg *vg;
  LvmLv *pool;

  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, error);
  pool = vg ? pool_delta_find(&request, vg, error) : NULL;
  ok = pool && kernel_read_metadata(k, pool, compare, &request, error);
  if (vg && !ok)
    pool_delta_failed(&request, k->vg_name, error);
  done(k, FALSE);
  return ok;
}
