/* virt-thin - the bundled pool: another name, and templates
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Both are one commit of the VG's text: a crash leaves all of the old, or all of the new.
 */
#include <string.h>

#include "pool/pool-bundled.h"
#include "pool/pool-rules.h"

/* Snapshot @lv of a volume that becomes @new_name follows it, with name and tag. */
static gboolean rename_snapshot(LvmVg *vg, LvmLv *lv, const char *name, const char *new_name, GPtrArray *renames,
                                GError **error)
{
  g_autofree char *old_tag = pool_rules_snapshot_tag(name), *new_tag = pool_rules_snapshot_tag(new_name), *part = NULL,
                  *new_lv = NULL;

  pool_rules_snapshot_of(lv, NULL, &part);
  if (lvm_lv_has_tag(lv, old_tag)) {
    lvm_lv_remove_tag(lv, old_tag);
    if (!lvm_lv_add_tag(lv, new_tag, error))
      return FALSE;
  }
  if (!pool_rules_is_snapshot_name(lvm_lv_name(lv), name))
    return TRUE;
  new_lv = pool_rules_snapshot_name(new_name, part, error);
  if (!new_lv)
    return FALSE;
  g_ptr_array_add(renames, g_strdup(lvm_lv_name(lv)));
  g_ptr_array_add(renames, g_strdup(new_lv));
  return lvm_vg_rename_lv(vg, lv, new_lv, error);
}

static gboolean change_tags(LvmLv *lv, const char *new_name, GError **error)
{
  g_autoptr(GPtrArray) lost = NULL, gained = NULL;

  pool_rules_rename_tags(lv, new_name, &lost, &gained);
  for (guint i = 0; i < lost->len; i++)
    lvm_lv_remove_tag(lv, lost->pdata[i]);
  for (guint i = 0; i < gained->len; i++)
    if (!lvm_lv_add_tag(lv, gained->pdata[i], error))
      return FALSE;
  return TRUE;
}

/* Volume @lv of @vg, and its snapshots with it. @renames gains what was called how and is called how now. */
static gboolean rename_lv(LvmVg *vg, LvmLv *lv, const char *new_name, GPtrArray *renames, GError **error)
{
  g_autofree char *name = g_strdup(lvm_lv_name(lv));
  g_autoptr(GPtrArray) snapshots = pool_rules_list_snapshots(vg, name);

  g_ptr_array_add(renames, g_strdup(name));
  g_ptr_array_add(renames, g_strdup(new_name));
  for (guint i = 0; i < snapshots->len; i++)
    if (!rename_snapshot(vg, snapshots->pdata[i], name, new_name, renames, error))
      return FALSE;
  return change_tags(lv, new_name, error) && lvm_vg_rename_lv(vg, lv, new_name, error);
}

static void tell_renames(Bundled *b, GPtrArray *renames)
{
  for (guint i = 0; i < renames->len; i += 2) {
    bundled_volume_renamed(b, renames->pdata[i], renames->pdata[i + 1]);
    bundled_event(b, POOL_EVENT_RENAMED, renames->pdata[i + 1], renames->pdata[i]);
  }
}

static gboolean rename_locked(Bundled *b, const char *name, const char *new_name, GError **error)
{
  g_autoptr(GPtrArray) renames = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *description = g_strdup_printf("rename of %s to %s", name, new_name);
  g_autoptr(LvmVg) vg = NULL;
  LvmLv *lv;

  if (!lvm_name_check(new_name, error) || !bundled_begin(b, &vg, error) ||
      !(lv = bundled_find_volume(b, vg, name, error)) || !rename_lv(vg, lv, new_name, renames, error) ||
      !bundled_commit_text(b, g_steal_pointer(&vg), description, error))
    return FALSE;
  tell_renames(b, renames);
  return TRUE;
}

gboolean bundled_rename(Pool *pool, const char *name, const char *new_name, GError **error)
{
  Bundled *b = (Bundled *)pool;
  gboolean ok;

  bundled_lock(b);
  ok = rename_locked(b, name, new_name, error);
  bundled_unlock(b);
  if (!ok)
    bundled_prefix(error, b, "rename volume", name);
  return ok;
}

/* What was written to it before is committed first: nobody will be there to flush it. */
static gboolean template_locked(Bundled *b, const char *name, const char *new_name, GError **error)
{
  g_autoptr(GPtrArray) renames = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *description = g_strdup_printf("template %s of %s", new_name, name);
  gboolean same = strcmp(name, new_name) == 0;
  g_autoptr(LvmVg) vg = NULL;
  BundledPool *pool;
  LvmLv *lv;

  if (!lvm_name_check(new_name, error) || !bundled_begin(b, &vg, error) ||
      !(lv = bundled_find_thin(b, vg, name, &pool, error)))
    return FALSE;
  if (same && pool_rules_is_sealed(lv))
    return TRUE;
  if (!bundled_require_closed(b, name, error) || (!same && !rename_lv(vg, lv, new_name, renames, error)))
    return FALSE;
  bundled_seal(lv);
  if (!thin_pool_commit(pool->thin, error) || !bundled_commit_text(b, g_steal_pointer(&vg), description, error))
    return FALSE;
  bundled_volume_sealed(b, name);
  tell_renames(b, renames);
  if (same) /* there is no other event for what is read-only now */
    bundled_event(b, POOL_EVENT_RENAMED, name, name);
  return TRUE;
}

gboolean bundled_template(Pool *pool, const char *name, const char *new_name, GError **error)
{
  Bundled *b = (Bundled *)pool;
  gboolean ok = bundled_ask_user(b, name, error);

  if (ok) {
    bundled_lock(b);
    ok = template_locked(b, name, new_name, error);
    bundled_unlock(b);
  }
  if (!ok)
    bundled_prefix(error, b, "make a template of volume", name);
  return ok;
}
