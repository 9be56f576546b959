/* virt-thin - the kernel's pool: thin pools - making, growing, checking, activating - and the volume group
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "dm/lvm2.h"
#include "lvm/content.h"
#include "pool/pool-kernel.h"
#include "pool/pool-layout.h"
#include "pool/pool-rules.h"
#include "util/size.h"

static void prefix(GError **error, KernelPool *k, const char *what, const char *name)
{
  g_autofree char *shown = g_strescape(name ? name : "(its thin pool)", NULL);

  g_prefix_error(error, "cannot %s %s/%s: ", what, k->vg_name, shown);
}

/* --- a larger pool --- */

/* lvm2 lets the metadata grow without its spare when there is room for one only, and says so in passing; it catches up
 * when the metadata grows the next time. */
static gboolean require_room_for_spare(LvmVg *vg, LvmLv *metadata, guint64 extents, GError **error)
{
  LvmLv *spare = pool_layout_spare(vg);
  guint64 wanted = extents - lvm_lv_n_extents(metadata), n_free = lvm_vg_n_free_extents(vg);

  if (spare && extents > lvm_lv_n_extents(spare))
    wanted += extents - lvm_lv_n_extents(spare);
  return wanted <= n_free ||
         vt_set_error(error, ENOSPC,
                      "that takes %" G_GUINT64_FORMAT
                      " extents, with the spare that is to be as large as the metadata, "
                      "and volume group %s has %" G_GUINT64_FORMAT " free: add a physical volume with virt-thin extend",
                      wanted, lvm_vg_name(vg), n_free);
}

/* lvm2 would change its text, and the kernel leave the pool as it is. */
static gboolean require_no_check(KernelChange *change, LvmLv *pool, GError **error)
{
  const char *name = lvm_lv_name(pool), *vg = change->pool->vg_name;
  g_autoptr(PoolInfo) info = kernel_get_info(change->pool, name, FALSE, error);

  if (!info)
    return FALSE;
  return !info->needs_check ||
         vt_set_error(
             error, EPERM,
             "its metadata is marked needs_check after an earlier failure. Deactivate it (virt-thin deactivate "
             "%s/%s), then have lvm2 check it and clear the mark: lvchange -ay --config "
             "'global/thin_check_options=[\"-q\",\"--clear-needs-check-flag\"]' %s/%s; if that fails: "
             "lvconvert --repair %s/%s",
             vg, name, vg, name, vg, name);
}

static gboolean resize_pool(KernelChange *change, const char *thin_pool, guint64 size, gboolean metadata,
                            GError **error)
{
  LvmLv *pool = kernel_find_pool(change->vg, thin_pool, error);
  LvmLv *lv = pool && metadata ? lvm_vg_find_lv(change->vg, lvm_pool_metadata(pool)) : pool;
  guint64 extents, extent_size = lvm_vg_extent_size(change->vg);

  if (!lv || !pool_rules_extents(metadata ? "a pool's metadata" : "a pool", size, extent_size, &extents, error))
    return FALSE;
  if (extents < lvm_lv_n_extents(lv)) {
    g_autofree char *asked = vt_size_format(size), *has = vt_size_format(lvm_lv_size(lv));

    return vt_set_error(error, EOPNOTSUPP, "%s is less than the %s that it has, and a thin pool cannot shrink", asked,
                        has);
  }
  if (extents == lvm_lv_n_extents(lv))
    return TRUE;
  if (!require_no_check(change, pool, error))
    return FALSE;
  if (!metadata)
    return kernel_run(change, error, "lvextend", "--size", kernel_bytes(change, extents * extent_size),
                      kernel_lv(change, lvm_lv_name(pool)), NULL);
  if (!require_room_for_spare(change->vg, lv, extents, error))
    return FALSE;
  /* With a sign lvm2 takes this for what is to be added, without one it wants a --size, too. */
  return kernel_run(change, error, "lvextend", "--poolmetadatasize",
                    kernel_word(change, "+%" G_GUINT64_FORMAT "b", extents * extent_size - lvm_lv_size(lv)),
                    kernel_lv(change, lvm_lv_name(pool)), NULL);
}

gboolean kernel_resize_pool(Pool *pool, const char *thin_pool, guint64 size, gboolean metadata, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_VG, error);

  if (change && kernel_change_end(change, resize_pool(change, thin_pool, size, metadata, error), error))
    return TRUE;
  prefix(error, k, metadata ? "resize the metadata of" : "resize thin pool", thin_pool);
  return FALSE;
}

/* --- a new pool --- */

static gboolean require_no_max_size(const PoolNew *params, GError **error)
{
  return !params->max_size ||
         vt_set_error(error, EOPNOTSUPP,
                      "a thin pool of the kernel's grows when and by how much lvm.conf says "
                      "(activation/thin_pool_autoextend_threshold), as far as its volume group has room: lvm2 knows no "
                      "maximum size. Leave the maximum away; --reserve leaves room to grow into");
}

/* It answers ENOSPC when it is full, instead of letting writers wait a minute. lvm2 2.03.16 knows that option for
 * existing pools only. */
static gboolean create_pool(KernelChange *change, const char *name, const PoolNew *params, GError **error)
{
  guint64 extent_size = lvm_vg_extent_size(change->vg);
  PoolLayout layout;

  if (!lvm_name_check(name, error) || !require_no_max_size(params, error))
    return FALSE;
  if (lvm_vg_find_lv(change->vg, name))
    return vt_set_error(error, EEXIST, "volume group %s has a thin pool or volume of that name", change->pool->vg_name);
  if (!pool_layout_choose(change->vg, params, &layout, error) ||
      !kernel_run(change, error, "lvcreate", "--yes", "--type", "thin-pool", "--name", name, "--extents",
                  kernel_word(change, "%" G_GUINT64_FORMAT, layout.data), "--chunksize",
                  kernel_bytes(change, layout.chunk_size), "--poolmetadatasize",
                  kernel_bytes(change, layout.metadata * extent_size), "-kn", change->pool->vg_name, NULL))
    return FALSE;
  kernel_undo_with(change, "lvremove", "--yes", kernel_lv(change, name), NULL);
  if (!kernel_run(change, error, "lvchange", "--errorwhenfull", "y", kernel_lv(change, name), NULL))
    return FALSE;
  kernel_watch(change, name);
  return TRUE;
}

gboolean kernel_create_pool(Pool *pool, const char *thin_pool, const PoolNew *params, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_VG, error);

  if (change && kernel_change_end(change, create_pool(change, thin_pool, params, error), error))
    return TRUE;
  prefix(error, k, "create thin pool", thin_pool);
  return FALSE;
}

/* --- the volume group --- */

/* lvm2 grows the spare only with the metadata, and leaves it behind where there is room for one of them. */
static void catch_up_spare(Pool *pool)
{
  g_autoptr(GPtrArray) infos = pool_list_pools(pool, NULL);
  g_autoptr(GError) error = NULL;
  PoolInfo *largest = NULL;

  for (guint i = 0; infos && i < infos->len; i++) {
    PoolInfo *info = infos->pdata[i];

    if (!largest || info->metadata_size > largest->metadata_size)
      largest = info;
  }
  if (!largest || !largest->metadata_spare || largest->metadata_spare >= largest->metadata_size)
    return;
  if (!kernel_resize_pool(pool, largest->name, largest->metadata_size + 1, TRUE, &error))
    g_warning("the spare metadata stays smaller than that of thin pool %s/%s: %s", largest->vg, largest->name,
              error->message);
}

/* lvm2 would take a device with an image on it. Without --yes: where it finds what we do not know, it asks, gets no
 * answer, and leaves it. */
gboolean kernel_extend(Pool *pool, const char *path, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_VG, error);
  gboolean ok = change && lvm_content_check_free(path, error) &&
                kernel_run(change, error, "vgextend", k->vg_name, path, NULL);

  if (ok) {
    g_mutex_lock(&k->lock);
    kernel_forget(k);
    g_clear_pointer(&k->paths, g_strfreev); /* it has one more */
    g_mutex_unlock(&k->lock);
    kernel_use_room(change);
  }
  if (change && kernel_change_end(change, ok, error)) {
    catch_up_spare(pool);
    return TRUE;
  }
  g_prefix_error(error, "cannot extend volume group %s with %s: ", k->vg_name, path);
  return FALSE;
}

static void take_back_vg(const char *vg, const char *path)
{
  const char *const remove[] = {"vgremove", vg, NULL}, *const clear[] = {"pvremove", path, NULL};
  g_autoptr(GError) error = NULL;

  if (!dmk_lvm2(remove, &error) || !dmk_lvm2(clear, &error))
    g_warning("volume group %s, whose creation failed, could not be removed from %s: %s", vg, path, error->message);
}

gboolean pool_kernel_init(const char *vg, const char *thin_pool, const char *path, guint64 extent_size,
                          const PoolNew *params, GError **error)
{
  g_autofree char *extent = g_strdup_printf("%" G_GUINT64_FORMAT "b", extent_size ? extent_size : 4u << 20);
  /* A pool of thousands of volumes does not fit into the 1 MiB that lvm2 gives its text. */
  const char *const create[] = {"vgcreate", "--metadatasize", "16m", "--physicalextentsize", extent, vg, path, NULL};
  const char *const devices[] = {path, NULL};
  g_autoptr(Pool) pool = NULL;
  gboolean made = FALSE;

  if (lvm_vg_name_check(vg, error) && lvm_name_check(thin_pool, error) && require_no_max_size(params, error) &&
      lvm_content_check_free(path, error) && (made = dmk_lvm2(create, error)) &&
      (pool = pool_open_kernel(vg, devices, 0, error)) && pool_create_pool(pool, thin_pool, params, error))
    return TRUE;
  if (made)
    take_back_vg(vg, path);
  g_prefix_error(error, "cannot make volume group %s on %s: ", vg, path);
  return FALSE;
}

/* --- activation --- */

static gboolean is_in_pool(LvmLv *lv, LvmLv *pool)
{
  return lvm_lv_kind(lv) == LVM_LV_THIN && strcmp(lvm_thin_pool(lv), lvm_lv_name(pool)) == 0;
}

/* All in one command: lvm2 reads the VG, and locks it, once. -ay takes the volumes whatever autoactivation says. */
static gboolean activate(KernelChange *change, LvmLv *pool, GError **error)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(change->vg), words = g_ptr_array_new();
  g_autoptr(GError) local = NULL;

  g_ptr_array_add(words, (gpointer) "lvchange");
  g_ptr_array_add(words, (gpointer) "-ay");
  g_ptr_array_add(words, (gpointer)kernel_lv(change, lvm_lv_name(pool)));
  for (guint i = 0; i < lvs->len; i++)
    if (is_in_pool(lvs->pdata[i], pool) && !lvm_lv_has_flag(lvs->pdata[i], POOL_SKIP_FLAG))
      g_ptr_array_add(words, (gpointer)kernel_lv(change, lvm_lv_name(lvs->pdata[i])));
  if (kernel_run_words(change, words, &local))
    return TRUE;
  /* One volume that cannot be activated does not keep the others' guests from starting. */
  if (kernel_pool_is_active(change, pool)) {
    g_warning("thin pool %s/%s: not every volume could be activated: %s", change->pool->vg_name, lvm_lv_name(pool),
              local->message);
    return TRUE;
  }
  g_propagate_error(error, g_steal_pointer(&local));
  return FALSE;
}

gboolean kernel_activate(Pool *pool, const char *thin_pool, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_USE, error);
  LvmLv *lv = change ? kernel_find_pool(change->vg, thin_pool, error) : NULL;
  gboolean ok = lv && activate(change, lv, error);

  if (ok)
    kernel_watch(change, lvm_lv_name(lv));
  if (change && kernel_change_end(change, ok, error))
    return TRUE;
  prefix(error, k, "activate thin pool", thin_pool);
  return FALSE;
}

static gboolean is_open(KernelChange *change, LvmLv *lv)
{
  g_autofree char *uuid = kernel_uuid(change->vg, lv);
  DmkInfo info;

  return dmk_is_active(uuid, &info) && info.open_count > 0;
}

/* @force leaves what is open, and the pool with it. */
static gboolean deactivate(KernelChange *change, LvmLv *pool, gboolean force, GError **error)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(change->vg), words = g_ptr_array_new();
  gboolean any_open = FALSE;

  g_ptr_array_add(words, (gpointer) "lvchange");
  g_ptr_array_add(words, (gpointer) "-an");
  for (guint i = 0; i < lvs->len; i++) {
    if (!is_in_pool(lvs->pdata[i], pool))
      continue;
    if (!force && !kernel_require_closed(change, lvs->pdata[i], error))
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

gboolean kernel_deactivate(Pool *pool, const char *thin_pool, gboolean force, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_USE, error);
  LvmLv *lv = change ? kernel_find_pool(change->vg, thin_pool, error) : NULL;

  if (change && kernel_change_end(change, lv && deactivate(change, lv, force, error), error))
    return TRUE;
  prefix(error, k, "deactivate thin pool", thin_pool);
  return FALSE;
}

/* --- checking --- */

static gboolean run_thin_check(const char *device, gboolean snapshot, GPtrArray *errors, GError **error)
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
    g_ptr_array_add(errors, g_strdup_printf("thin_check ends with status %d and gives no reason", status));
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
  lv = vg ? kernel_find_pool(vg, lvm_lv_name(pool), error) : NULL;
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

static gboolean check(KernelChange *change, const char *thin_pool, GPtrArray *errors, GError **error)
{
  LvmLv *pool = kernel_find_pool(change->vg, thin_pool, error);
  g_autoptr(PoolInfo) info = pool ? kernel_get_info(change->pool, lvm_lv_name(pool), FALSE, error) : NULL;

  if (!info)
    return FALSE;
  if (info->health && !g_str_has_prefix(info->health, "out of "))
    g_ptr_array_add(errors, g_strdup(info->health));
  if (!(info->active ? check_active : check_inactive)(change, pool, errors, error))
    return FALSE;
  return errors->len > 0 || kernel_compare_devices(change, pool, errors, error);
}

gboolean kernel_check(Pool *pool, const char *thin_pool, GPtrArray **errors, GPtrArray **leaks, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_USE, error);

  if (change && kernel_change_end(change, check(change, thin_pool, found, error), error)) {
    *errors = g_steal_pointer(&found);
    *leaks = g_ptr_array_new_with_free_func(g_free);
    return TRUE;
  }
  prefix(error, k, "check thin pool", thin_pool);
  return FALSE;
}
