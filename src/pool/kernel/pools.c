/* virt-thin - the kernel's pool: activating and checking thin pools
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "dm/lvm2.h"
#include "dm/thin-reader.h"
#include "pool/health.h"
#include "pool/kernel/kernel-private.h"
#include "pool/rules.h"
#include "pool/usage.h"

/* --- activation --- */

/* All in one command: lvm2 reads the VG, and locks it, once. -ay takes the volumes whatever
 * autoactivation says. */
static gboolean activate(KernelChange *change, LvmLv *pool, GError **error)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(change->vg), words = g_ptr_array_new();
  g_autoptr(GError) local = NULL;

  g_ptr_array_add(words, (gpointer) "lvchange");
  g_ptr_array_add(words, (gpointer) "-ay");
  g_ptr_array_add(words, (gpointer)kernel_lv(change, lvm_lv_name(pool)));
  for (guint i = 0; i < lvs->len; i++)
    if (pool_rules_is_in_pool(lvs->pdata[i], lvm_lv_name(pool)) &&
        !lvm_lv_has_flag(lvs->pdata[i], POOL_SKIP_FLAG))
      g_ptr_array_add(words, (gpointer)kernel_lv(change, lvm_lv_name(lvs->pdata[i])));
  if (kernel_run_words(change, words, &local))
    return TRUE;
  /* One volume that cannot be activated does not keep the others' guests from starting. */
  if (kernel_pool_is_active(change, pool)) {
    g_warning("thin pool %s/%s: not every volume could be activated: %s", change->pool->vg_name,
              lvm_lv_name(pool), local->message);
    return TRUE;
  }
  g_propagate_error(error, g_steal_pointer(&local));
  return FALSE;
}

gboolean kernel_activate(VolumeGroup *group, const char *thin_pool, GError **error)
{
  KernelPool *k = (KernelPool *)group;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_USE, error);
  LvmLv *lv = change ? pool_rules_find_pool(change->vg, thin_pool, error) : NULL;
  gboolean ok = lv && activate(change, lv, error);

  if (ok)
    kernel_watch(change, lvm_lv_name(lv));
  if (change && kernel_change_end(change, ok, error))
    return TRUE;
  return pool_rules_failed("activate", k->vg_name, thin_pool, error);
}

static gboolean is_open(KernelChange *change, LvmLv *lv)
{
  g_autofree char *uuid = kernel_uuid(change->vg, lv);
  DmkInfo info;

  return dmk_is_active(uuid, &info) && info.open_count > 0;
}

static gboolean require_closed(KernelChange *change, LvmLv *lv, GError **error)
{
  g_autofree char *user = kernel_find_user(change->vg, lv);

  return !user || pool_rules_in_use(change->pool->vg_name, lvm_lv_name(lv), user, error);
}

/* @force leaves what is open, and the pool with it. */
static gboolean deactivate(KernelChange *change, LvmLv *pool, gboolean force, GError **error)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(change->vg), words = g_ptr_array_new();
  gboolean any_open = FALSE;

  g_ptr_array_add(words, (gpointer) "lvchange");
  g_ptr_array_add(words, (gpointer) "-an");
  for (guint i = 0; i < lvs->len; i++) {
    if (!pool_rules_is_in_pool(lvs->pdata[i], lvm_lv_name(pool)))
      continue;
    if (!force && !require_closed(change, lvs->pdata[i], error))
      return FALSE;
    if (is_open(change, lvs->pdata[i]))
      any_open = TRUE;
    else
      g_ptr_array_add(words, (gpointer)kernel_lv(change, lvm_lv_name(lvs->pdata[i])));
  }
  if (!any_open)
    g_ptr_array_add(words, (gpointer)kernel_lv(change, lvm_lv_name(pool)));
  return words->len == 2 || kernel_run_words(change, words, error);
}

gboolean kernel_deactivate(VolumeGroup *group, const char *thin_pool, gboolean force,
                           GError **error)
{
  KernelPool *k = (KernelPool *)group;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_USE, error);
  LvmLv *lv = change ? pool_rules_find_pool(change->vg, thin_pool, error) : NULL;

  if (change && kernel_change_end(change, lv && deactivate(change, lv, force, error), error))
    return TRUE;
  return pool_rules_failed("deactivate", k->vg_name, thin_pool, error);
}

/* --- checking --- */

static gboolean run_thin_check(const char *device, gboolean snapshot, GPtrArray *errors,
                               GError **error)
{
  const char *const argv[] = {"thin_check", device, snapshot ? "--metadata-snap" : NULL, NULL};
  g_autofree char *said = NULL;
  g_auto(GStrv) lines = NULL;
  int status;

  if (!dmk_run(argv, &status, &said, error))
    return FALSE;
  lines = g_strsplit(said, "\n", -1);
  for (char **line = lines; status != 0 && *line; line++)
    if (*g_strstrip(*line) && !g_str_has_prefix(*line, "examining "))
      g_ptr_array_add(errors, g_strdup(*line));
  if (status != 0 && errors->len == 0)
    g_ptr_array_add(errors,
                    g_strdup_printf("thin_check ends with status %d and gives no reason", status));
  return TRUE;
}

typedef struct {
  const char *device;
  GPtrArray *errors;
} SnapshotCheck;

static gboolean check_snapshot(gpointer reader, gpointer data, GError **error)
{
  SnapshotCheck *check = data;

  return run_thin_check(check->device, TRUE, check->errors, error);
}

/* While the pool is in use: its trees, as they were a moment ago, through a metadata snapshot. */
static gboolean check_active(KernelChange *change, LvmLv *pool, GPtrArray *errors, GError **error)
{
  KernelPool *k = change->pool;
  g_autofree char *device = kernel_metadata_device(change->vg, pool);
  SnapshotCheck check = {device, errors};
  LvmVg *vg;
  LvmLv *lv;
  gboolean ok;

  if (!device)
    return vt_set_error(error, ENOENT, "its metadata %s is not active", lvm_pool_metadata(pool));
  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, error);
  lv = vg ? pool_rules_find_pool(vg, lvm_lv_name(pool), error) : NULL;
  ok = lv && kernel_read_metadata(k, lv, check_snapshot, &check, error);
  g_mutex_unlock(&k->lock);
  return ok;
}

/* Else everything, space maps too; lvm2 shows the metadata volume alone, read-only. */
static gboolean check_inactive(KernelChange *change, LvmLv *pool, GPtrArray *errors, GError **error)
{
  const char *name = kernel_lv(change, lvm_pool_metadata(pool));
  g_autofree char *device = NULL;
  gboolean ok;

  if (!kernel_run(change, error, "lvchange", "--yes", "-ay", name, NULL))
    return FALSE;
  device = kernel_metadata_device(change->vg, pool);
  ok = device ? run_thin_check(device, FALSE, errors, error)
              : vt_set_error(error, ENOENT, "lvm2 has not made a device for %s", name);
  return kernel_run(change, ok ? error : NULL, "lvchange", "-an", name, NULL) && ok;
}

static gboolean check_trees(KernelChange *change, LvmLv *pool, gboolean active, GPtrArray *errors,
                            GError **error)
{
  return (active ? check_active : check_inactive)(change, pool, errors, error);
}

static gboolean check(KernelChange *change, const char *thin_pool, gboolean quick,
                      GPtrArray *errors, GError **error)
{
  LvmLv *pool = pool_rules_find_pool(change->vg, thin_pool, error);
  g_autoptr(PoolInfo) info =
      pool ? kernel_get_info(change->pool, lvm_lv_name(pool), FALSE, error) : NULL;
  g_autoptr(GError) local = NULL;

  if (!info)
    return FALSE;
  pool_health_add(info->health, errors);
  if ((quick || check_trees(change, pool, info->active, errors, &local)) &&
      (errors->len > 0 || kernel_compare_devices(change, pool, errors, &local)))
    return TRUE;
  if (errors->len == 0) {
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
  }
  /* What is known is told, though the rest cannot be looked at. */
  g_ptr_array_add(errors, g_strdup_printf("its metadata cannot be checked: %s", local->message));
  return TRUE;
}

gboolean kernel_check(VolumeGroup *group, const char *thin_pool, const PoolCheckOptions *options,
                      GPtrArray **errors, GPtrArray **leaks, GError **error)
{
  KernelPool *k = (KernelPool *)group;
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_USE, error);

  if (change &&
      kernel_change_end(change, check(change, thin_pool, options->quick, found, error), error)) {
    *errors = g_steal_pointer(&found);
    *leaks = g_ptr_array_new_with_free_func(g_free);
    return TRUE;
  }
  return pool_rules_failed(POOL_CHECKING, k->vg_name, thin_pool, error);
}

typedef struct {
  PoolMetadataFunc func;
  gpointer data;
} Reading;

static gboolean show(gpointer reader, gpointer data, GError **error)
{
  Reading *reading = data;
  guint64 superblock;
  VtIo *metadata = dmk_reader_metadata(reader, &superblock);

  return reading->func(metadata, superblock, reading->data, error);
}

gboolean kernel_show_metadata(VolumeGroup *group, const char *thin_pool, PoolMetadataFunc func,
                              gpointer data, GError **error)
{
  KernelPool *k = (KernelPool *)group;
  Reading reading = {func, data};
  LvmVg *vg;
  LvmLv *pool;
  gboolean ok;

  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, error);
  pool = vg ? pool_rules_find_pool(vg, thin_pool, error) : NULL;
  ok = pool && kernel_read_metadata(k, pool, show, &reading, error);
  kernel_forget(k);
  g_mutex_unlock(&k->lock);
  return ok;
}

PoolUsage *kernel_usage(VolumeGroup *group, const char *thin_pool, const char *const *chosen,
                        GError **error)
{
  KernelPool *k = (KernelPool *)group;
  g_autoptr(PoolUsage) usage = NULL;
  Reading reading = {pool_usage_read, NULL};
  LvmVg *vg;
  LvmLv *pool;
  gboolean ok;

  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, error);
  pool = vg ? pool_rules_find_pool(vg, thin_pool, error) : NULL;
  reading.data = usage = pool ? pool_usage_begin(vg, pool, chosen, error) : NULL;
  ok = usage && kernel_read_metadata(k, pool, show, &reading, error);
  kernel_forget(k);
  g_mutex_unlock(&k->lock);
  return ok ? g_steal_pointer(&usage) : pool_usage_failed(k->vg_name, thin_pool, error);
}
