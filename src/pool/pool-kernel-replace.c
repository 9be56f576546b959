/* virt-thin - the kernel's pool: a volume's content becomes another's
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * lvm2 has no command that gives an LV another's content and leaves it be (lvconvert --merge takes the snapshot away,
 * and wants it to have its origin still). So a new LV is made, takes the volume's name, and the old one is removed:
 *
 *     lvcreate --snapshot        vt-new-ID, a writable snapshot of what the content comes from, with the volume's tags
 *     lvrename                   the volume to vt-old-ID
 *     lvrename                   vt-new-ID to the volume's name
 *     lvremove                   vt-old-ID
 *
 * The LV's UUID is another one afterwards. Its snapshots lose their origin with the old LV; the tag that
 * kernel_keep_snapshots() gave them keeps them findable.
 *
 * The new LV carries the tag virt-thin.replaces=VOLUME/ID from its making to the end, so that whoever comes after a
 * crash knows what to do: without VOLUME, the new LV takes its name; with vt-old-ID beside VOLUME, that is removed; an
 * LV vt-new-ID beside a VOLUME that is still the old one is removed.
 */
#include "config.h"

#include <string.h>

#include "pool/pool-kernel.h"
#include "pool/pool-rules.h"
#include "util/size.h"

#define REPLACES_TAG POOL_OWN_TAGS "replaces="
#define ID_LENGTH 6 /* of a UUID's first group */

typedef struct {
  const char *volume, *new_name, *old_name, *tag;
} Replacement;

static Replacement name_replacement(KernelChange *change, const char *volume, const char *id)
{
  return (Replacement){volume, kernel_word(change, "vt-new-%s", id), kernel_word(change, "vt-old-%s", id),
                       kernel_word(change, REPLACES_TAG "%s/%s", volume, id)};
}

/* --- carrying it out --- */

/* From here on the volume has its new content. */
static gboolean exchange(KernelChange *change, const Replacement *r, GError **error)
{
  const char *vg = change->pool->vg_name;

  if (!kernel_run(change, error, "lvrename", vg, r->volume, r->old_name, NULL))
    return FALSE;
  kernel_undo_with(change, "lvrename", vg, r->old_name, r->volume, NULL);
  if (!kernel_run(change, error, "lvrename", vg, r->new_name, r->volume, NULL))
    return FALSE;
  kernel_undo_with(change, "lvrename", vg, r->volume, r->new_name, NULL);
  return kernel_run(change, error, "lvremove", "--yes", kernel_lv(change, r->old_name), NULL);
}

/* What is left to do changes nothing that anybody sees; if it fails, the next change does it. */
static void finish(KernelChange *change, const Replacement *r)
{
  g_autoptr(GError) error = NULL;

  if (!kernel_run(change, &error, "lvchange", "--deltag", r->tag, kernel_lv(change, r->volume), NULL))
    g_warning("volume %s/%s keeps the tag %s for now: %s", change->pool->vg_name, r->volume, r->tag, error->message);
}

/* @lv's content becomes @from's, in @extents. */
static gboolean replace_content(KernelChange *change, LvmLv *lv, LvmLv *from, guint64 extents, GError **error)
{
  g_autofree char *id = g_strndup(lvm_lv_uuid(lv), ID_LENGTH);
  Replacement r = name_replacement(change, kernel_word(change, "%s", lvm_lv_name(lv)), id);
  LvmLv *pool = kernel_find_pool(change->vg, lvm_thin_pool(lv), error);
  g_auto(GStrv) tags = lvm_lv_tags(lv);
  g_autoptr(GPtrArray) all = g_ptr_array_new();

  for (char **tag = tags; tag && *tag; tag++)
    g_ptr_array_add(all, *tag);
  g_ptr_array_add(all, (gpointer)r.tag);
  g_ptr_array_add(all, NULL);
  if (!pool || !kernel_require_closed(change, lv, error) || !kernel_keep_snapshots(change, r.volume, error) ||
      !kernel_add_volume(change, pool, r.new_name, extents, from, (const char *const *)all->pdata, error) ||
      !exchange(change, &r, error))
    return FALSE;
  finish(change, &r);
  return TRUE;
}

static gboolean rollback(KernelChange *change, const char *volume, const char *snapshot, GError **error)
{
  LvmLv *lv = kernel_find_thin(change->vg, volume, error);
  LvmLv *from = lv ? pool_rules_find_snapshot(change->vg, volume, snapshot, error) : NULL;

  if (!from)
    return FALSE;
  if (strcmp(lvm_thin_pool(from), lvm_thin_pool(lv)) != 0)
    return vt_set_error(error, EOPNOTSUPP, "snapshot %s is in another thin pool (%s)", lvm_lv_name(from),
                        lvm_thin_pool(from));
  return replace_content(change, lv, from, lvm_lv_n_extents(from), error);
}

gboolean kernel_rollback(Pool *pool, const char *volume, const char *snapshot, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_VG, error);

  if (change && kernel_change_end(change, rollback(change, volume, snapshot, error), error))
    return TRUE;
  g_prefix_error(error, "cannot roll back volume %s/%s: ", k->vg_name, volume);
  return FALSE;
}

static gboolean clone_into(KernelChange *change, const char *origin, const char *name, GError **error)
{
  LvmLv *lv = kernel_find_thin(change->vg, name, error);
  LvmLv *from = lv ? kernel_find_thin(change->vg, origin, error) : NULL;

  if (!from)
    return FALSE;
  if (lv == from)
    return vt_set_error(error, EINVAL, "a volume cannot be a clone of itself");
  if (strcmp(lvm_thin_pool(lv), lvm_thin_pool(from)) != 0)
    return vt_set_error(error, EINVAL, "it is in thin pool %s, volume %s in %s: a clone shares chunks of one pool",
                        lvm_thin_pool(lv), origin, lvm_thin_pool(from));
  if (lvm_lv_n_extents(lv) < lvm_lv_n_extents(from)) {
    g_autofree char *has = vt_size_format(lvm_lv_size(lv)), *needs = vt_size_format(lvm_lv_size(from));

    return vt_set_error(error, EINVAL, "%s is less than the %s of volume %s/%s: resize it first", has, needs,
                        change->pool->vg_name, origin);
  }
  return replace_content(change, lv, from, lvm_lv_n_extents(lv), error);
}

gboolean kernel_clone_into(Pool *pool, const char *origin, const char *name, GError **error)
{
  KernelPool *k = (KernelPool *)pool;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_VG, error);

  if (change && kernel_change_end(change, clone_into(change, origin, name, error), error))
    return TRUE;
  g_prefix_error(error, "cannot make a clone of volume %s/%s: ", k->vg_name, name);
  return FALSE;
}

/* --- after a crash --- */

/* The replacement that @lv's tag tells of. FALSE: none. */
static gboolean parse_tag(KernelChange *change, LvmLv *lv, Replacement *r)
{
  g_auto(GStrv) tags = lvm_lv_tags(lv);

  for (char **tag = tags; tag && *tag; tag++) {
    const char *value = *tag + strlen(REPLACES_TAG);
    const char *slash = g_str_has_prefix(*tag, REPLACES_TAG) ? strchr(value, '/') : NULL;

    if (!slash)
      continue;
    *r = name_replacement(change, kernel_word(change, "%.*s", (int)(slash - value), value), slash + 1);
    return lvm_name_check(r->volume, NULL) && lvm_name_check(r->new_name, NULL);
  }
  return FALSE;
}

static gboolean finish_one(KernelChange *change, LvmLv *lv, const Replacement *r, GError **error)
{
  const char *vg = change->pool->vg_name, *name = lvm_lv_name(lv);
  gboolean has_new_name = strcmp(name, r->new_name) == 0;

  if (has_new_name && lvm_vg_find_lv(change->vg, r->volume))
    return kernel_run(change, error, "lvremove", "--yes", kernel_lv(change, name), NULL);
  if (has_new_name && !kernel_run(change, error, "lvrename", vg, r->new_name, r->volume, NULL))
    return FALSE;
  if (!has_new_name && strcmp(name, r->volume) != 0) /* renamed by hand: it is what it is called now */
    return kernel_run(change, error, "lvchange", "--deltag", r->tag, kernel_lv(change, name), NULL);
  if (lvm_vg_find_lv(change->vg, r->old_name) &&
      !kernel_run(change, error, "lvremove", "--yes", kernel_lv(change, r->old_name), NULL))
    return FALSE;
  return kernel_run(change, error, "lvchange", "--deltag", r->tag, kernel_lv(change, r->volume), NULL);
}

gboolean kernel_finish_replacements(KernelChange *change, gboolean *changed, GError **error)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(change->vg);
  Replacement r;

  for (guint i = 0; i < lvs->len; i++) {
    if (!parse_tag(change, lvs->pdata[i], &r))
      continue;
    *changed = TRUE;
    if (!finish_one(change, lvs->pdata[i], &r, error)) {
      g_prefix_error(error, "ending an interrupted replacement of volume %s/%s: ", change->pool->vg_name, r.volume);
      return FALSE;
    }
  }
  return TRUE;
}
