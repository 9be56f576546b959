/* virt-thin - the kernel's pool: another name, and templates
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *     lvchange, lvrename         each snapshot, with its tag
 *     lvchange -an               of what becomes a template: nobody opens it any more
 *     lvchange -pr -ky           the same; and the tags that change with a name
 *     lvrename                   the volume
 *
 * A crash in between leaves some of that done, and the command given once more does the rest: what becomes a template
 * is read-only first, so that nobody writes to what has a template's name.
 */
#include "config.h"

#include <string.h>

#include "pool/pool-kernel.h"
#include "pool/pool-rules.h"

/* @lv is renamed, in lvm2 and in the copy. */
static gboolean rename_lv(KernelChange *change, LvmLv *lv, const char *new_name, GError **error)
{
  const char *vg = change->pool->vg_name, *name = kernel_word(change, "%s", lvm_lv_name(lv));

  if (!kernel_run(change, error, "lvrename", vg, name, new_name, NULL))
    return FALSE;
  kernel_undo_with(change, "lvrename", vg, new_name, name, NULL);
  return lvm_vg_rename_lv(change->vg, lv, new_name, error);
}

/* Snapshot @lv of @volume is one of @new_volume. */
static gboolean retag(KernelChange *change, LvmLv *lv, const char *volume, const char *new_volume, GError **error)
{
  g_autofree char *old_tag = pool_rules_snapshot_tag(volume), *new_tag = pool_rules_snapshot_tag(new_volume);
  const char *path = kernel_lv(change, lvm_lv_name(lv));

  if (!lvm_lv_has_tag(lv, old_tag))
    return TRUE;
  if (!kernel_run(change, error, "lvchange", "--deltag", old_tag, "--addtag", new_tag, path, NULL))
    return FALSE;
  kernel_undo_with(change, "lvchange", "--deltag", new_tag, "--addtag", old_tag, path, NULL);
  return TRUE;
}

/* Snapshot @lv of a volume that becomes @new_name: what it is called then; NULL: as now, or *error. The caller's. */
static char *new_snapshot_name(LvmLv *lv, const char *name, const char *new_name, GError **error)
{
  g_autofree char *part = NULL;

  if (!pool_rules_is_snapshot_name(lvm_lv_name(lv), name))
    return NULL;
  pool_rules_snapshot_of(lv, NULL, &part);
  return pool_rules_snapshot_name(new_name, part, error);
}

/* Would all the names do? */
static gboolean try_rename(KernelChange *change, GPtrArray *snapshots, const char *name, const char *new_name,
                           GError **error)
{
  g_autoptr(LvmVg) vg = lvm_vg_copy(change->vg);

  for (guint i = 0; i < snapshots->len; i++) {
    g_autoptr(GError) local = NULL;
    g_autofree char *snapshot = new_snapshot_name(snapshots->pdata[i], name, new_name, &local);

    if (local) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    if (snapshot && !lvm_vg_rename_lv(vg, lvm_vg_find_lv(vg, lvm_lv_name(snapshots->pdata[i])), snapshot, error))
      return FALSE;
  }
  return lvm_vg_rename_lv(vg, lvm_vg_find_lv(vg, name), new_name, error);
}

/* Its snapshots are called after @new_name. */
static gboolean rename_snapshots(KernelChange *change, const char *name, const char *new_name, GError **error)
{
  g_autoptr(GPtrArray) snapshots = pool_rules_list_snapshots(change->vg, name);

  if (!try_rename(change, snapshots, name, new_name, error))
    return FALSE;
  for (guint i = 0; i < snapshots->len; i++) {
    g_autofree char *snapshot = new_snapshot_name(snapshots->pdata[i], name, new_name, NULL);

    if (!retag(change, snapshots->pdata[i], name, new_name, error) ||
        (snapshot && !rename_lv(change, snapshots->pdata[i], snapshot, error)))
      return FALSE;
  }
  return TRUE;
}

static void add_pair(GPtrArray *words, const char *option, const char *value)
{
  g_ptr_array_add(words, (gpointer)option);
  g_ptr_array_add(words, (gpointer)value);
}

/* The tags that change with the name, and, for a template, that @lv is read-only and skipped; one command. */
static gboolean change_lv(KernelChange *change, LvmLv *lv, const char *new_name, gboolean template, GError **error)
{
  g_autoptr(GPtrArray) words = g_ptr_array_new(), back = g_ptr_array_new(), lost = NULL, gained = NULL;
  const char *path = kernel_lv(change, lvm_lv_name(lv));

  pool_rules_rename_tags(lv, new_name, &lost, &gained);
  g_ptr_array_add(words, "lvchange");
  g_ptr_array_add(back, "lvchange");
  for (guint i = 0; i < lost->len; i++) {
    add_pair(words, "--deltag", lost->pdata[i]);
    add_pair(back, "--addtag", lost->pdata[i]);
  }
  for (guint i = 0; i < gained->len; i++) {
    add_pair(words, "--addtag", gained->pdata[i]);
    add_pair(back, "--deltag", gained->pdata[i]);
  }
  if (template && lvm_lv_is_writable(lv)) { /* lvm2 fails where there is nothing to do */
    add_pair(words, "-p", "r");
    add_pair(back, "-p", "rw");
  }
  if (template && !lvm_lv_has_flag(lv, POOL_SKIP_FLAG)) {
    add_pair(words, "-k", "y");
    add_pair(back, "-k", "n");
  }
  if (words->len == 1)
    return TRUE;
  g_ptr_array_add(words, (gpointer)path);
  g_ptr_array_add(back, (gpointer)path);
  if (!kernel_run_words(change, words, error))
    return FALSE;
  kernel_undo_with_words(change, back);
  return TRUE;
}

static gboolean rename_volume(KernelChange *change, const char *name, const char *new_name, GError **error)
{
  LvmLv *lv = kernel_find_volume(change->vg, name, error);

  return lv && kernel_require_free_name(change, new_name, error) && rename_snapshots(change, name, new_name, error) &&
         change_lv(change, lv, new_name, FALSE, error) && rename_lv(change, lv, new_name, error);
}

gboolean kernel_rename(Pool *pool, const char *name, const char *new_name, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_VG, error);

  if (change && kernel_change_end(change, rename_volume(change, name, new_name, error), error))
    return TRUE;
  kernel_prefix(error, k, "rename volume", name);
  return FALSE;
}

/* lvm2 itself sees to it that nobody has it open then. */
static gboolean deactivate(KernelChange *change, LvmLv *lv, GError **error)
{
  g_autofree char *uuid = kernel_uuid(change->vg, lv);
  const char *path = kernel_lv(change, lvm_lv_name(lv));

  if (!dmk_is_active(uuid, NULL))
    return TRUE;
  if (!kernel_require_closed(change, lv, error) || !kernel_run(change, error, "lvchange", "-an", path, NULL))
    return FALSE;
  kernel_undo_with(change, "lvchange", "-ay", "-K", path, NULL);
  return TRUE;
}

static gboolean make_template(KernelChange *change, const char *name, const char *new_name, GError **error)
{
  LvmLv *lv = kernel_find_thin(change->vg, name, error);
  gboolean same = strcmp(name, new_name) == 0;

  return lv &&
         (same ||
          (kernel_require_free_name(change, new_name, error) && rename_snapshots(change, name, new_name, error))) &&
         deactivate(change, lv, error) && change_lv(change, lv, new_name, TRUE, error) &&
         (same || rename_lv(change, lv, new_name, error));
}

gboolean kernel_template(Pool *pool, const char *name, const char *new_name, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_VG, error);

  if (change && kernel_change_end(change, make_template(change, name, new_name, error), error))
    return TRUE;
  kernel_prefix(error, k, "make a template of volume", name);
  return FALSE;
}
