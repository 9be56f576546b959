/* virt-thin - the bundled pool: a volume group opened in this process
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/bundled/bundled-private.h"

#include <string.h>

#include "dm/dm.h"
#include "lvm/texts.h"
#include "pool/look.h"
#include "pool/devices.h"
#include "pool/health.h"
#include "pool/rules.h"
#include "settings/settings.h"

/* --- those who ask and are told --- */

static void set_event_func(VolumeGroup *group, PoolEventFunc func, gpointer user_data)
{
  Bundled *b = (Bundled *)group;

  bundled_lock(b);
  b->event_func = func;
  b->event_data = user_data;
  bundled_unlock(b);
}

static void set_user_func(VolumeGroup *group, PoolUserFunc func, gpointer user_data)
{
  Bundled *b = (Bundled *)group;

  bundled_lock(b);
  b->user_func = func;
  b->user_data = user_data;
  bundled_unlock(b);
}

/* --- information --- */

static PoolVgInfo *get_vg_info(VolumeGroup *group, GError **error)
{
  Bundled *b = (Bundled *)group;
  PoolVgInfo *info;

  bundled_lock(b);
  info = pool_rules_vg_info(b->store);
  bundled_unlock(b);
  return info;
}

static PoolInfo *make_info(Bundled *b, BundledPool *pool)
{
  LvmVg *vg = lvm_store_vg(b->store);
  LvmLv *lv = lvm_vg_find_lv(vg, pool->name);
  PoolInfo *info = pool_rules_pool_info(vg, lv);
  ThinStatus status = bundled_pool_status(pool);
  PoolLimits limits;

  if (status.chunk_size) { /* else it could not be read, not even once */
    info->used = status.data_used;
    info->metadata_used = status.metadata_used;
  }
  if (info->metadata_size == 0)
    info->metadata_size = status.metadata_size;
  info->needs_check = status.needs_check;
  info->read_only = b->read_only || !pool->thin || status.mode == THIN_MODE_READ_ONLY ||
                    status.mode == THIN_MODE_FAILED;
  info->active = pool->thin != NULL;
  if (pool->thin)
    bundled_forecast(b, pool);
  pool_forecast_fill(&pool->forecast, info);
  bundled_fill_growth(lv, info);
  limits = settings_limits(b->vg_name, pool->name);
  info->available = pool_rules_available(info, lvm_vg_extent_size(vg), &limits);
  info->grown = g_strdup(pool->grown);
  info->health = bundled_pool_health(b, pool);
  return info;
}

static GPtrArray *list_pools(VolumeGroup *group, GError **error)
{
  Bundled *b = (Bundled *)group;
  GPtrArray *infos = g_ptr_array_new_with_free_func((GDestroyNotify)pool_info_free);
  g_autoptr(GPtrArray) lvs = NULL;

  bundled_lock(b);
  lvs = lvm_vg_lvs(lvm_store_vg(b->store));
  for (guint i = 0; i < lvs->len; i++) {
    BundledPool *p = g_hash_table_lookup(b->pools, lvm_lv_name(lvs->pdata[i]));

    if (p)
      g_ptr_array_add(infos, make_info(b, p));
  }
  bundled_unlock(b);
  return infos;
}

static PoolInfo *get_info(VolumeGroup *group, const char *thin_pool, GError **error)
{
  Bundled *b = (Bundled *)group;
  BundledPool *p;
  PoolInfo *info = NULL;

  bundled_lock(b);
  p = bundled_find_pool(b, thin_pool, error);
  if (p)
    info = make_info(b, p);
  bundled_unlock(b);
  return info;
}

/* The devices of each pool, asked for once per listing. */
typedef struct {
  BundledPool *pool;
  GArray *devices;
} DeviceCache;

static const ThinDevice *find_device(DeviceCache *cache, BundledPool *pool, guint32 id)
{
  if (!pool || !pool->thin)
    return NULL;
  if (cache->pool != pool) {
    g_clear_pointer(&cache->devices, g_array_unref);
    cache->pool = pool;
    cache->devices = thin_pool_list_devices(pool->thin, NULL);
  }
  return cache->devices ? pool_devices_find(cache->devices, id) : NULL;
}

static char *describe_damage(Bundled *b, BundledPool *pool, LvmLv *lv, const ThinDevice *device)
{
  if (lvm_lv_kind(lv) == LVM_LV_OTHER)
    return g_strdup_printf("its segments are of type %s, which virt-thin does not read",
                           lvm_lv_segment_type(lv));
  if (lvm_lv_kind(lv) != LVM_LV_THIN)
    return lvm_store_lv_damage(b->store, lv);
  if (!pool)
    return pool_rules_missing_pool(lvm_store_vg(b->store), lv);
  if (!pool->thin)
    return g_strdup(pool->refused->message);
  if (lvm_thin_external_origin(lv))
    return g_strdup_printf(
        "it has the external origin %s, which virt-thin does not read: use it through lvm2",
        lvm_thin_external_origin(lv));
  return bundled_pool_damage(b, pool, lv, device != NULL);
}

static PoolVolumeInfo *make_volume_info(Bundled *b, LvmLv *lv, DeviceCache *cache)
{
  PoolVolumeInfo *info = pool_rules_volume_info(b->vg_name, lv);
  gboolean thin = info->kind == POOL_VOLUME_THIN;
  BundledPool *pool = thin ? g_hash_table_lookup(b->pools, lvm_thin_pool(lv)) : NULL;
  const ThinDevice *device = thin ? find_device(cache, pool, lvm_thin_device(lv)) : NULL;

  info->active = !info->skipped;
  info->sector_size = !thin                ? lvm_store_sector_size(b->store, lv)
                      : pool && pool->data ? vt_io_sector_size(pool->data)
                                           : 512;
  info->damage = describe_damage(b, pool, lv, device);
  info->open_by = bundled_volume_openers(b, info->name);
  if (thin)
    info->mapped = device ? device->mapped : pool && pool->thin && cache->devices ? 0 : G_MAXUINT64;
  return info;
}

static GPtrArray *list_volumes(VolumeGroup *group, const char *thin_pool, GError **error)
{
  Bundled *b = (Bundled *)group;
  g_autoptr(GPtrArray) infos =
      g_ptr_array_new_with_free_func((GDestroyNotify)pool_volume_info_free);
  g_autoptr(GPtrArray) lvs = NULL;
  DeviceCache cache = {NULL, NULL};
  gboolean ok;

  bundled_lock(b);
  ok = !thin_pool || bundled_find_pool(b, thin_pool, error);
  lvs = lvm_vg_lvs(lvm_store_vg(b->store));
  for (guint i = 0; ok && i < lvs->len; i++) {
    LvmLv *lv = lvs->pdata[i];

    if (pool_rules_is_volume(lv) && pool_rules_is_in_pool(lv, thin_pool))
      g_ptr_array_add(infos, make_volume_info(b, lv, &cache));
  }
  bundled_unlock(b);
  g_clear_pointer(&cache.devices, g_array_unref);
  return ok ? g_steal_pointer(&infos) : NULL;
}

/* Look up the device of @lv alone: a pool may have thousands, and a client may ask for each of its
 * volumes in turn. */
static void cache_one(Bundled *b, LvmLv *lv, DeviceCache *cache)
{
  BundledPool *pool =
      lvm_lv_kind(lv) == LVM_LV_THIN ? g_hash_table_lookup(b->pools, lvm_thin_pool(lv)) : NULL;
  g_autoptr(GError) error = NULL;
  ThinDevice device;

  if (!pool || !pool->thin)
    return;
  cache->pool = pool;
  if (thin_pool_get_device(pool->thin, lvm_thin_device(lv), &device, &error)) {
    cache->devices = g_array_new(FALSE, FALSE, sizeof device);
    g_array_append_val(cache->devices, device);
  } else if (g_error_matches(error, VT_ERROR, ENOENT)) {
    cache->devices = g_array_new(FALSE, FALSE, sizeof device);
  }
}

static PoolVolumeInfo *get_volume(VolumeGroup *group, const char *name, GError **error)
{
  Bundled *b = (Bundled *)group;
  DeviceCache cache = {NULL, NULL};
  PoolVolumeInfo *info = NULL;
  LvmLv *lv;

  bundled_lock(b);
  lv = pool_rules_find_volume(lvm_store_vg(b->store), name, error);
  if (lv) {
    cache_one(b, lv, &cache);
    info = make_volume_info(b, lv, &cache);
  }
  bundled_unlock(b);
  g_clear_pointer(&cache.devices, g_array_unref);
  return info;
}

static gboolean count_volume(VolumeGroup *group, const char *name, guint64 *exclusive,
                             guint64 *shared, GError **error)
{
  Bundled *b = (Bundled *)group;
  BundledPool *p = NULL;
  gboolean ok = FALSE;
  guint32 device = 0;
  LvmLv *lv;

  bundled_lock(b);
  lv = pool_rules_find_volume(lvm_store_vg(b->store), name, error);
  if (lv && lvm_lv_kind(lv) != LVM_LV_THIN) {
    *exclusive = lvm_lv_size(lv);
    *shared = 0;
    ok = TRUE;
  } else if (lv && (p = bundled_usable_pool(b, lvm_thin_pool(lv), error))) {
    device = lvm_thin_device(lv);
    bundled_pool_hold(b, p);
  }
  bundled_unlock(b);
  if (!p)
    return ok;
  ok = thin_pool_count_device(p->thin, device, exclusive, shared, error);
  bundled_pool_give_back(b, p);
  return ok;
}

static gboolean compare_maps(gint64 left, gint64 right, ThinDelta *delta, gpointer pool,
                             GError **error)
{
  return thin_pool_delta(((BundledPool *)pool)->thin, left, right, delta, error);
}

static gboolean delta(VolumeGroup *group, const char *left, const char *right, PoolDeltaFlags flags,
                      guint64 *offset, guint max, GArray *runs, GError **error)
{
  Bundled *b = (Bundled *)group;
  PoolDeltaRequest request = {
      .left = left, .right = right, .flags = flags, .offset = offset, .max = max, .runs = runs};
  BundledPool *p = NULL;
  gboolean ok;
  LvmLv *pool;

  bundled_lock(b);
  pool = pool_delta_find(&request, lvm_store_vg(b->store), error);
  p = pool ? bundled_usable_pool(b, lvm_lv_name(pool), error) : NULL;
  if (p)
    bundled_pool_hold(b, p);
  bundled_unlock(b);
  ok = p && pool_delta_compare(&request, compare_maps, p, error);
  if (p)
    bundled_pool_give_back(b, p);
  return ok || pool_delta_failed(&request, b->vg_name, error);
}

/* --- service --- */

static GPtrArray *hold_pools(Bundled *b)
{
  GPtrArray *pools = g_ptr_array_new();
  GHashTableIter iter;
  gpointer pool;

  bundled_lock(b);
  g_hash_table_iter_init(&iter, b->pools);
  while (g_hash_table_iter_next(&iter, NULL, &pool)) {
    if (!((BundledPool *)pool)->thin)
      continue;
    bundled_pool_hold(b, pool);
    g_ptr_array_add(pools, pool);
  }
  bundled_unlock(b);
  return pools;
}

static void release_pools(Bundled *b, GPtrArray *pools)
{
  bundled_lock(b);
  for (guint i = 0; i < pools->len; i++)
    bundled_pool_release(b, pools->pdata[i]);
  bundled_unlock(b);
  g_ptr_array_unref(pools);
}

/* A commit by somebody else to the VG is noticed within a second, and so is a PV that is gone
 * (@lost). FALSE: what we would write to may be another's by now. */
static gboolean is_still_ours(Bundled *b, GError **lost, GError **error)
{
  gboolean ok = TRUE;

  bundled_lock(b);
  lvm_store_check_devices(b->store, lost);
  bundled_check_seqno(b, NULL);
  if (g_atomic_int_get(&b->lost)) {
    g_propagate_error(error, g_error_copy(b->stuck));
    ok = FALSE;
  }
  bundled_unlock(b);
  return ok;
}

/* Every pool is committed, whatever befalls the others; the first error is told. */
static gboolean commit(VolumeGroup *group, GError **error)
{
  Bundled *b = (Bundled *)group;
  g_autoptr(GError) lost = NULL;
  GPtrArray *pools;
  gboolean ok = TRUE;

  if (b->read_only)
    return TRUE;
  if (!is_still_ours(b, &lost, error))
    return FALSE;
  if (lost) {
    g_propagate_error(error, g_steal_pointer(&lost));
    ok = FALSE;
  }
  pools = hold_pools(b);
  for (guint i = 0; i < pools->len; i++) {
    BundledPool *p = pools->pdata[i];
    g_autoptr(GError) failure = NULL;

    if (thin_pool_commit(p->thin, &failure))
      continue;
    g_prefix_error(&failure, "cannot commit thin pool %s/%s: ", b->vg_name, p->name);
    if (ok)
      g_propagate_error(error, g_steal_pointer(&failure));
    ok = FALSE;
  }
  release_pools(b, pools);
  bundled_watch(b);
  return ok;
}

/* Volumes of @thin_pool, NULL: all. GPtrArray of char *, with a NULL at its end. */
static GPtrArray *list_names(Bundled *b, const char *thin_pool)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(lvm_store_vg(b->store));
  GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

  for (guint i = 0; i < lvs->len; i++) {
    LvmLv *lv = lvs->pdata[i];
    if (pool_rules_is_volume(lv) && pool_rules_is_in_pool(lv, thin_pool))
      g_ptr_array_add(names, g_strdup(lvm_lv_name(lv)));
  }
  g_ptr_array_add(names, NULL);
  return names;
}

/* There are no nodes here: all that deactivation means is that nobody may be using a volume, and
 * that nothing is lost if the volume group is closed next. */
static gboolean deactivate(VolumeGroup *group, const char *thin_pool, gboolean force,
                           GError **error)
{
  Bundled *b = (Bundled *)group;
  g_autoptr(GPtrArray) names = NULL;
  gboolean ok;

  bundled_lock(b);
  ok = !thin_pool || bundled_find_pool(b, thin_pool, error);
  names = list_names(b, thin_pool);
  if (ok && !force && !lvm_store_check_names(b->store, error)) {
    g_prefix_error(error,
                   "cannot deactivate %s, which would lose it (--force insists): ", b->vg_name);
    ok = FALSE;
  }
  bundled_unlock(b);
  if (!ok || force)
    return ok;
  if (bundled_require_unused(b, (const char *const *)names->pdata, error))
    return TRUE;
  g_prefix_error(error, "cannot deactivate %s%s%s: ", b->vg_name, thin_pool ? "/" : "",
                 thin_pool ? thin_pool : "");
  return FALSE;
}

/* --- opening and closing --- */

static gboolean close_pools(Bundled *b, GError **error)
{
  gboolean ok = TRUE;
  GHashTableIter iter;
  gpointer pool;

  g_hash_table_iter_init(&iter, b->pools);
  while (g_hash_table_iter_next(&iter, NULL, &pool)) {
    g_autoptr(GError) failure = NULL;

    g_hash_table_iter_steal(&iter);
    if (bundled_pool_close(pool, &failure))
      continue;
    if (ok)
      g_propagate_error(error, g_steal_pointer(&failure));
    ok = FALSE;
  }
  return ok;
}

static gboolean bundled_close(VolumeGroup *group, GError **error)
{
  Bundled *b = (Bundled *)group;
  gboolean ok;

  bundled_lock(b);
  bundled_volumes_close(b);
  ok = close_pools(b, b->lost ? NULL : error);
  if (b->lost)
    g_propagate_error(error, g_error_copy(b->stuck)); /* why they could not be committed */
  if (!b->read_only && !b->stuck && !lvm_store_release(b->store, NULL, ok ? error : NULL))
    ok = FALSE;
  pthread_mutex_unlock(&b->lock);
  g_array_unref(b->events);
  g_hash_table_unref(b->pools);
  g_hash_table_unref(b->volumes);
  lvm_store_close(b->store);
  g_clear_error(&b->stuck);
  g_free(b->archive_dir);
  g_free(b->vg_name);
  pthread_cond_destroy(&b->idle);
  pthread_mutex_destroy(&b->lock);
  g_free(b);
  return ok;
}

static gboolean change_volumes(VolumeGroup *group, const PoolChange *change, GError **error)
{
  Bundled *b = (Bundled *)group;
  gboolean ok;

  bundled_lock(b);
  ok = bundled_change(b, change, bundled_make_metadata_room, error);
  bundled_unlock(b);
  return ok || pool_change_failed(change, b->vg_name, error);
}

static const PoolOps bundled_ops = {
    .name = "bundled",
    .close = bundled_close,
    .get_vg_info = get_vg_info,
    .list_pools = list_pools,
    .get_info = get_info,
    .list_volumes = list_volumes,
    .get_volume = get_volume,
    .count_volume = count_volume,
    .usage = bundled_usage,
    .delta = delta,
    .change = change_volumes,
    .check = bundled_check,
    .read_metadata = bundled_read_metadata,
    .deactivate = deactivate,
    .volume_open = bundled_volume_open,
    .volume_open_view = bundled_volume_open_view,
    .set_event_func = set_event_func,
    .set_user_func = set_user_func,
    .commit = commit,
};

VolumeGroup *bundled_open_store(LvmStore *store, const PoolWhere *where, GError **error)
{
  Bundled *b = g_new0(Bundled, 1);

  b->base.ops = &bundled_ops;
  pthread_mutex_init(&b->lock, NULL);
  pthread_cond_init(&b->idle, NULL);
  b->store = store;
  b->read_only = where && (where->flags & POOL_READ_ONLY);
  b->journal = where ? where->journal : NULL;
  b->journal_size = where ? where->journal_size : 0;
  b->vg_name = g_strdup(lvm_vg_name(lvm_store_vg(store)));
  b->archive_dir = settings_archive_dir();
  b->pools = g_hash_table_new(g_str_hash, g_str_equal);
  b->volumes = g_hash_table_new(g_str_hash, g_str_equal);
  b->events = bundled_events_new();
  /* Who only looks is told by what he asks for. */
  for (const char *const *warning = lvm_store_warnings(store); !b->read_only && *warning; warning++)
    g_warning("volume group %s: %s", b->vg_name, *warning);
  if (!bundled_open_pools(b, error) || (!b->read_only && !lvm_store_mark_used(store, error))) {
    pool_unref(&b->base);
    return NULL;
  }
  return &b->base;
}

gboolean bundled_check_inactive(LvmVg *vg, GError **error)
{
  g_autofree char *active = dmk_find_active(lvm_vg_uuid(vg));

  return !active ||
         vt_set_error(
             error, EBUSY,
             "volume group %s is active in the kernel (%s): deactivate it with vgchange -an %s, or "
             "let the kernel serve it (engine= in virt-thin.conf)",
             lvm_vg_name(vg), active, lvm_vg_name(vg));
}

/* PVs that carry active volumes cannot be locked: say so, where it is so. */
static void explain_busy(LvmProbe *probe, const char *vg, GError **error)
{
  LvmVg *text = lvm_probe_vg(probe, vg, NULL);
  g_autoptr(GError) active = NULL;

  if (!text || bundled_check_inactive(text, &active))
    return;
  g_clear_error(error);
  g_propagate_error(error, g_steal_pointer(&active));
}

static gboolean nothing_to_look_at(const char *vg, GError **error)
{
  return vt_set_error(error, ENOENT,
                      "%s%s%sthere is no physical volume to look at: name one with --device, in "
                      "[devices] of virt-thin.conf, or put an image into %s",
                      vg ? "volume group " : "", vg ? vg : "", vg ? ": " : "",
                      settings_state_dir());
}

LvmStore *bundled_open_vg(const char *vg, const PoolWhere *where, LvmOpenFunc open,
                          gpointer user_data, GError **error)
{
  g_autoptr(PoolLook) own = NULL;
  const PoolWhere begun = pool_look_begin(where, &own);
  LvmOpening how = {.read_only = (begun.flags & POOL_READ_ONLY) != 0,
                    .open = open,
                    .user_data = user_data,
                    .locks = begun.locks};
  LvmProbe *probe = pool_look_find(vg, &begun, &how.usual);
  g_autoptr(GError) local = NULL;
  LvmStore *store = NULL;

  if (probe == pool_look_first(&begun) && !*pool_look_paths(&begun)) {
    nothing_to_look_at(vg, error);
    return NULL;
  }
  store = lvm_store_open_probed(probe, vg, &how, &local);
  if (g_error_matches(local, VT_ERROR, EBUSY))
    explain_busy(probe, vg, &local);
  /* A file can be locked though the kernel has it, through a loop device. */
  if (store && !how.read_only && !bundled_check_inactive(lvm_store_vg(store), &local))
    g_clear_pointer(&store, lvm_store_close);
  if (local)
    g_propagate_error(error, g_steal_pointer(&local));
  return store;
}

/* A physical volume that has lost its beginning is none any more, but a text tells of one. */
static void explain_lost(const char *vg, const PoolWhere *where, GError **error)
{
  g_autoptr(PoolLook) own = NULL;
  const PoolWhere begun = pool_look_begin(where, &own);
  g_autofree char *dir = settings_archive_dir(), *message = g_strdup((*error)->message);
  g_auto(GStrv) folders = lvm_texts_folders(dir);
  g_autoptr(GPtrArray) texts =
      lvm_texts_find(pool_look_find(vg, &begun, NULL), vg, (const char *const *)folders, NULL);

  if (!texts->len)
    return;
  g_clear_error(error);
  vt_set_error(
      error, ENOENT,
      "%s; texts of it are left (virt-thin rescue %s --list-texts): if it was not removed, "
      "virt-thin repair %s puts one back",
      message, vg, vg);
}

VolumeGroup *bundled_open(const char *vg, const PoolWhere *where, LvmOpenFunc open,
                          gpointer user_data, GError **error)
{
  g_autoptr(GError) local = NULL;
  LvmStore *store = bundled_open_vg(vg, where, open, user_data, &local);

  if (store)
    return bundled_open_store(store, where, error);
  if (vg && g_error_matches(local, VT_ERROR, ENOENT))
    explain_lost(vg, where, &local);
  g_propagate_error(error, g_steal_pointer(&local));
  return NULL;
}

VolumeGroup *pool_open_bundled(const char *vg, const PoolWhere *where, GError **error)
{
  return bundled_open(vg, where, NULL, NULL, error);
}
