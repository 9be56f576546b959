/* virt-thin - the kernel's pool: changes of volumes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each change is tried on a copy of the VG first, where every mistake of the caller shows, and then carried out by
 * lvm2's commands. lvm2 is never told to force anything; --yes answers the questions that it asks of whoever removes or
 * reduces what he means to.
 */
#include "config.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "pool/pool-kernel.h"
#include "pool/pool-rules.h"
#include "pool/settings.h"
#include "util/size.h"

void kernel_prefix(GError **error, KernelPool *k, const char *what, const char *name)
{
  g_autofree char *shown = g_strescape(name ? name : "", NULL);

  g_prefix_error(error, "cannot %s %s/%s: ", what, k->vg_name, shown);
}

static gboolean too_small(guint64 size, guint64 needed, const char *rest, GError **error)
{
  g_autofree char *a = vt_size_format(size), *z = vt_size_format(needed);

  return vt_set_error(error, EINVAL, "%s is less than the %s%s", a, z, rest);
}

gboolean kernel_require_free_name(KernelChange *change, const char *name, GError **error)
{
  if (!lvm_name_check(name, error))
    return FALSE;
  return !lvm_vg_find_lv(change->vg, name) ||
         vt_set_error(error, EEXIST, "there is a volume %s already: choose another name, or remove that", name);
}

gboolean kernel_check_limit(LvmVg *vg, LvmLv *pool, guint64 old_extents, guint64 extents, GError **error)
{
  guint64 extent_size = lvm_vg_extent_size(vg), sum = pool_rules_virtual_size(vg, lvm_lv_name(pool), NULL);

  return pool_rules_check_overcommit(lvm_vg_name(vg), lvm_lv_name(pool),
                                     sum - old_extents * extent_size + extents * extent_size, lvm_lv_size(pool),
                                     settings_overcommit_limit(), error);
}

gboolean kernel_pool_is_active(KernelChange *change, LvmLv *pool)
{
  g_autofree char *uuid = kernel_pool_uuid(change->vg, pool);

  return dmk_is_active(uuid, NULL);
}

gboolean kernel_activate_volume(KernelChange *change, LvmLv *lv, GError **error)
{
  return kernel_run(change, error, "lvchange", "-ay", "-K", kernel_lv(change, lvm_lv_name(lv)), NULL);
}

/* --- create, clone, snapshot --- */

static void add_words(GPtrArray *words, const char *word, ...) G_GNUC_NULL_TERMINATED;

static void add_words(GPtrArray *words, const char *word, ...)
{
  va_list args;

  va_start(args, word);
  for (; word; word = va_arg(args, const char *))
    g_ptr_array_add(words, (gpointer)word);
  va_end(args);
}

gboolean kernel_add_volume(KernelChange *change, LvmLv *pool, const char *name, guint64 extents, LvmLv *origin,
                           const char *const *tags, GError **error)
{
  guint64 size = extents * lvm_vg_extent_size(change->vg);
  gboolean snapshot = origin && pool_rules_is_snapshot_name(name, lvm_lv_name(origin));
  gboolean sealed = snapshot || (origin && pool_rules_is_template_name(name));
  gboolean active = !sealed && kernel_pool_is_active(change, pool);
  g_autoptr(GPtrArray) words = g_ptr_array_new();
  g_autofree char *tag = snapshot ? pool_rules_snapshot_tag(lvm_lv_name(origin)) : NULL;

  if (!kernel_check_limit(change->vg, pool, 0, extents, error) || !kernel_require_free_device(change, pool, error))
    return FALSE;
  add_words(words, "lvcreate", "--yes", "--name", name, "-p", sealed ? "r" : "rw", "-k", sealed ? "y" : "n",
            active ? "-ay" : "-an", NULL);
  if (tag)
    add_words(words, "--addtag", tag, NULL);
  for (; tags && *tags; tags++)
    add_words(words, "--addtag", *tags, NULL);
  if (origin)
    add_words(words, "--snapshot", kernel_lv(change, lvm_lv_name(origin)), NULL);
  else
    add_words(words, "-Wn", "--type", "thin", "--virtualsize", kernel_bytes(change, size), "--thinpool",
              lvm_lv_name(pool), change->pool->vg_name, NULL);
  if (!kernel_run_words(change, words, error))
    return FALSE;
  kernel_undo_with(change, "lvremove", "--yes", kernel_lv(change, name), NULL);
  return !origin || extents == lvm_lv_n_extents(origin) ||
         kernel_run(change, error, "lvextend", "--size", kernel_bytes(change, size), kernel_lv(change, name), NULL);
}

static gboolean create(KernelChange *change, const char *thin_pool, const char *name, guint64 size, GError **error)
{
  LvmLv *pool = kernel_find_pool(change->vg, thin_pool, error);
  guint64 extents;

  return pool && kernel_require_free_name(change, name, error) &&
         pool_rules_extents("a volume", size, lvm_vg_extent_size(change->vg), &extents, error) &&
         kernel_add_volume(change, pool, name, extents, NULL, NULL, error);
}

gboolean kernel_create(Pool *pool, const char *thin_pool, const char *name, guint64 size, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_VG, error);

  if (change && kernel_change_end(change, create(change, thin_pool, name, size, error), error))
    return TRUE;
  kernel_prefix(error, k, "create volume", name);
  return FALSE;
}

/* -W: what a program would take for content at its start is wiped, for which it is active. */
static gboolean create_linear(KernelChange *change, const char *name, guint64 size, GError **error)
{
  guint64 extents, extent_size = lvm_vg_extent_size(change->vg);

  return kernel_require_free_name(change, name, error) &&
         pool_rules_extents("a volume", size, extent_size, &extents, error) &&
         kernel_run(change, error, "lvcreate", "--yes", "-Wy", "-Zy", "--type", "linear", "--setautoactivation", "n",
                    "--name", name, "--size", kernel_bytes(change, extents * extent_size), change->pool->vg_name, NULL);
}

gboolean kernel_create_linear(Pool *pool, const char *name, guint64 size, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_VG, error);

  if (change && kernel_change_end(change, create_linear(change, name, size, error), error))
    return TRUE;
  kernel_prefix(error, k, "create volume", name);
  return FALSE;
}

static gboolean clone_volume(KernelChange *change, const char *origin, const char *name, guint64 size, GError **error)
{
  LvmLv *lv = kernel_find_thin(change->vg, origin, error);
  LvmLv *pool = lv ? kernel_find_pool(change->vg, lvm_thin_pool(lv), error) : NULL;
  guint64 extents;

  if (!pool || !kernel_require_free_name(change, name, error))
    return FALSE;
  extents = lvm_lv_n_extents(lv);
  if (size && !pool_rules_extents("a volume", size, lvm_vg_extent_size(change->vg), &extents, error))
    return FALSE;
  if (extents < lvm_lv_n_extents(lv))
    return too_small(size, lvm_lv_size(lv), " of the volume that it is backed by: give as much or more", error);
  return kernel_add_volume(change, pool, name, extents, lv, NULL, error);
}

gboolean kernel_clone(Pool *pool, const char *origin, const char *name, guint64 size, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_VG, error);

  if (change && kernel_change_end(change, clone_volume(change, origin, name, size, error), error))
    return TRUE;
  kernel_prefix(error, k, "create volume", name);
  return FALSE;
}

gboolean kernel_snapshot(Pool *pool, const char *volume, const char *snapshot, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  g_autofree char *name = pool_rules_snapshot_name(volume, snapshot, error);
  KernelChange *change = name ? kernel_change_begin(k, KERNEL_CHANGE_VG, error) : NULL;

  if (change && kernel_change_end(change, clone_volume(change, volume, name, 0, error), error))
    return TRUE;
  kernel_prefix(error, k, "take a snapshot of", volume);
  return FALSE;
}

/* --- resize --- */

/* Give back what lies beyond @size, which the volume is about to lose: afterwards no one reaches it any more. */
static gboolean discard_tail(KernelChange *change, LvmLv *lv, guint64 size, GError **error)
{
  g_autofree char *uuid = kernel_uuid(change->vg, lv), *path = NULL;
  guint64 range[2] = {size, lvm_lv_size(lv) - size};
  DmkInfo info;
  gboolean ok;
  int fd;

  if (!dmk_get_info(uuid, &info, error))
    return FALSE;
  path = g_build_filename("/dev/mapper", info.name, NULL);
  fd = open(path, O_WRONLY | O_EXCL | O_CLOEXEC);
  ok = fd >= 0 && (ioctl(fd, BLKDISCARD, range) == 0 || errno == EOPNOTSUPP);
  if (!ok)
    vt_set_errno(error, errno, "discarding the end of %s", path);
  if (fd >= 0)
    close(fd);
  return ok;
}

static gboolean shrink_volume(KernelChange *change, LvmLv *lv, guint64 size, GError **error)
{
  g_autofree char *uuid = kernel_uuid(change->vg, lv);
  const char *path = kernel_lv(change, lvm_lv_name(lv)), *bytes = kernel_bytes(change, size);
  gboolean active = dmk_is_active(uuid, NULL), ok;

  if (!kernel_require_closed(change, lv, error) ||
      !kernel_run(change, error, "lvreduce", "--test", "--yes", "--size", bytes, path, NULL) ||
      (!active && !kernel_activate_volume(change, lv, error)))
    return FALSE;
  ok = discard_tail(change, lv, size, error);
  if (!active)
    ok = kernel_run(change, ok ? error : NULL, "lvchange", "-an", path, NULL) && ok;
  return ok && kernel_run(change, error, "lvreduce", "--yes", "--size", bytes, path, NULL);
}

static gboolean resize(KernelChange *change, const char *name, guint64 size, gboolean shrink, GError **error)
{
  LvmLv *lv = kernel_find_thin(change->vg, name, error);
  LvmLv *pool = lv ? kernel_find_pool(change->vg, lvm_thin_pool(lv), error) : NULL;
  guint64 extents, extent_size = lvm_vg_extent_size(change->vg);

  if (!pool || !pool_rules_extents("a volume", size, extent_size, &extents, error))
    return FALSE;
  if (extents == lvm_lv_n_extents(lv))
    return TRUE;
  if (!lvm_lv_is_writable(lv))
    return vt_set_error(error, EPERM, "it is read-only (a snapshot or template): make a clone of it, and resize that");
  if (extents > lvm_lv_n_extents(lv))
    return kernel_check_limit(change->vg, pool, lvm_lv_n_extents(lv), extents, error) &&
           kernel_run(change, error, "lvextend", "--size", kernel_bytes(change, extents * extent_size),
                      kernel_lv(change, name), NULL);
  if (!shrink)
    return too_small(size, lvm_lv_size(lv),
                     " that it has, and what lies beyond would be lost: allow it to shrink (--shrink) if that is meant",
                     error);
  return shrink_volume(change, lv, extents * extent_size, error);
}

gboolean kernel_resize(Pool *pool, const char *name, guint64 size, gboolean shrink, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_VG, error);

  if (change && kernel_change_end(change, resize(change, name, size, shrink, error), error))
    return TRUE;
  kernel_prefix(error, k, "resize volume", name);
  return FALSE;
}

/* --- remove --- */

gboolean kernel_keep_snapshots(KernelChange *change, const char *name, GError **error)
{
  g_autoptr(GPtrArray) snapshots = pool_rules_list_snapshots(change->vg, name), words = g_ptr_array_new();
  g_autofree char *tag = pool_rules_snapshot_tag(name);
  guint n = 0;

  add_words(words, "lvchange", "--addtag", tag, NULL);
  for (guint i = 0; i < snapshots->len; i++) {
    if (lvm_lv_has_tag(snapshots->pdata[i], tag))
      continue;
    add_words(words, kernel_lv(change, lvm_lv_name(snapshots->pdata[i])), NULL);
    kernel_undo_with(change, "lvchange", "--deltag", tag, words->pdata[words->len - 1], NULL);
    n++;
  }
  return n == 0 || kernel_run_words(change, words, error);
}

static void add_name(GPtrArray *all, const char *name)
{
  for (guint i = 0; i < all->len; i++)
    if (strcmp(all->pdata[i], name) == 0)
      return;
  g_ptr_array_add(all, (gpointer)name);
}

/* All that go, snapshots first, each once; the strings are the change's and the caller's. */
static GPtrArray *collect_names(KernelChange *change, const char *const *names, gboolean with_snapshots)
{
  GPtrArray *all = g_ptr_array_new();

  for (guint i = 0; names[i]; i++) {
    g_autoptr(GPtrArray) snapshots =
        with_snapshots ? pool_rules_list_snapshots(change->vg, names[i]) : g_ptr_array_new();

    for (guint j = 0; j < snapshots->len; j++)
      add_name(all, kernel_word(change, "%s", lvm_lv_name(snapshots->pdata[j])));
    add_name(all, names[i]);
  }
  return all;
}

/* lvm2 would remove the clones of an external origin with it. */
static gboolean check_remove(KernelChange *change, const char *name, GError **error)
{
  LvmLv *lv = kernel_find_thin(change->vg, name, error);
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(change->vg);

  if (!lv || !kernel_require_closed(change, lv, error))
    return FALSE;
  for (guint i = 0; i < lvs->len; i++)
    if (lvm_lv_kind(lvs->pdata[i]) == LVM_LV_THIN && !g_strcmp0(lvm_thin_external_origin(lvs->pdata[i]), name))
      return vt_set_error(error, EBUSY, "volume %s is the external origin of %s", name, lvm_lv_name(lvs->pdata[i]));
  return TRUE;
}

static gboolean remove_pool(KernelChange *change, const char *name, GError **error)
{
  guint n;

  pool_rules_virtual_size(change->vg, name, &n);
  if (n > 0)
    return vt_set_error(error, EBUSY, "thin pool %s/%s has %u volume%s: remove %s first", change->pool->vg_name, name,
                        n, n == 1 ? "" : "s", n == 1 ? "that" : "those");
  return kernel_require_empty(change, lvm_vg_find_lv(change->vg, name), error) &&
         kernel_run(change, error, "lvremove", "--yes", kernel_lv(change, name), NULL);
}

static gboolean remove_all(KernelChange *change, const char *const *names, gboolean with_snapshots, GError **error)
{
  g_autoptr(GPtrArray) all = NULL, words = g_ptr_array_new();
  LvmLv *lv = names[0] ? lvm_vg_find_lv(change->vg, names[0]) : NULL;

  if (!names[0])
    return TRUE;
  if (lv && !names[1] && lvm_lv_kind(lv) == LVM_LV_THIN_POOL)
    return remove_pool(change, names[0], error);
  all = collect_names(change, names, with_snapshots);
  for (guint i = 0; i < all->len; i++)
    if (!check_remove(change, all->pdata[i], error))
      return FALSE;
  for (guint i = 0; i < all->len; i++)
    if (!kernel_keep_snapshots(change, all->pdata[i], error))
      return FALSE;
  add_words(words, "lvremove", "--yes", NULL);
  for (guint i = 0; i < all->len; i++)
    add_words(words, kernel_lv(change, all->pdata[i]), NULL);
  return kernel_run_words(change, words, error);
}

gboolean kernel_remove(Pool *pool, const char *const *names, gboolean with_snapshots, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_VG, error);

  if (change && kernel_change_end(change, remove_all(change, names, with_snapshots, error), error))
    return TRUE;
  kernel_prefix(error, k, "remove", names[0]);
  return FALSE;
}

/* lvm2 would remove what needs it, too: a snapshot of the kind before thin ones, a clone it is the external origin of.
 */
static gboolean require_needed_by_none(KernelChange *change, const char *name, GError **error)
{
  g_autoptr(LvmVg) vg = lvm_vg_copy(change->vg);

  return lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, name), error);
}

static gboolean remove_linear(KernelChange *change, const char *name, GError **error)
{
  LvmLv *lv = kernel_find_volume(change->vg, name, error);

  if (!lv)
    return FALSE;
  if (lvm_lv_kind(lv) == LVM_LV_THIN)
    return vt_set_error(error, EINVAL, "it is in thin pool %s", lvm_thin_pool(lv));
  return require_needed_by_none(change, name, error) && kernel_require_closed(change, lv, error) &&
         kernel_run(change, error, "lvremove", "--yes", kernel_lv(change, name), NULL);
}

gboolean kernel_remove_linear(Pool *pool, const char *name, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_VG, error);

  if (change && kernel_change_end(change, remove_linear(change, name, error), error))
    return TRUE;
  kernel_prefix(error, k, "remove", name);
  return FALSE;
}

/* --- tags --- */

static gboolean set_tags(KernelChange *change, const char *name, const char *const *add, const char *const *remove,
                         GError **error)
{
  LvmLv *lv = lvm_vg_find_lv(change->vg, name);
  g_autoptr(GPtrArray) words = g_ptr_array_new();

  if (!lv || lvm_lv_kind(lv) != LVM_LV_THIN_POOL)
    lv = kernel_find_volume(change->vg, name, error);
  if (!lv || !pool_rules_check_tags(add, error) || !pool_rules_check_tags(remove, error))
    return FALSE;
  add_words(words, "lvchange", NULL);
  for (; remove && *remove; remove++)
    if (lvm_lv_has_tag(lv, *remove))
      add_words(words, "--deltag", *remove, NULL);
  for (; add && *add; add++)
    if (!lvm_lv_has_tag(lv, *add))
      add_words(words, "--addtag", *add, NULL);
  if (words->len == 1)
    return TRUE;
  add_words(words, kernel_lv(change, name), NULL);
  return kernel_run_words(change, words, error);
}

gboolean kernel_set_tags(Pool *pool, const char *name, const char *const *add, const char *const *remove,
                         GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_VG, error);

  if (change && kernel_change_end(change, set_tags(change, name, add, remove, error), error))
    return TRUE;
  kernel_prefix(error, k, "change the tags of", name);
  return FALSE;
}
