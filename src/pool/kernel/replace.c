/* virt-thin - the kernel's pool: a volume's content becomes another's
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * lvm2 has no command that gives an LV another's content and leaves it be (lvconvert --merge takes
 * the snapshot away, and wants it to have its origin still). So a new LV is made, takes the
 * volume's name, and the old one is removed:
 *
 *     lvcreate --snapshot        vt-new-ID, a writable snapshot of what the content comes from,
 *                                with the volume's tags
 *     lvrename                   the volume to vt-old-ID
 *     lvrename                   vt-new-ID to the volume's name
 *     lvremove                   vt-old-ID
 *
 * The LV's UUID is another one afterwards. Its snapshots lose their origin with the old LV; the tag
 * that the plan has given them keeps them findable.
 *
 * The new LV carries the tag virt-thin.replaces=VOLUME/ID from its making to the end, so that
 * whoever comes after a crash knows what to do: without VOLUME, the new LV takes its name; with
 * vt-old-ID beside VOLUME, that is removed; an LV vt-new-ID beside a VOLUME that is still the old
 * one is removed.
 */
#include "config.h"

#include <string.h>

#include "pool/kernel/kernel-private.h"
#include "pool/rules.h"
#include "util/name.h"

#define REPLACES_TAG POOL_OWN_TAGS "replaces="
#define ID_LENGTH 6 /* of a UUID's first group */

typedef struct {
  const char *volume, *new_name, *old_name, *tag;
} Replacement;

static Replacement name_replacement(KernelChange *change, const char *volume, const char *id)
{
  return (Replacement){volume, kernel_word(change, "vt-new-%s", id),
                       kernel_word(change, "vt-old-%s", id),
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

  if (!kernel_run(change, &error, "lvchange", "--deltag", r->tag, kernel_lv(change, r->volume),
                  NULL))
    g_warning("volume %s/%s keeps the tag %s for now: %s", change->pool->vg_name, r->volume, r->tag,
              error->message);
}

gboolean kernel_replace(KernelChange *change, const PoolStep *step, GError **error)
{
  LvmLv *lv = lvm_vg_find_lv(change->vg, step->name);
  g_autofree char *id = g_strndup(lvm_lv_uuid(lv), ID_LENGTH);
  Replacement r = name_replacement(change, step->name, id);
  g_auto(GStrv) tags = lvm_lv_tags(lv);
  g_autoptr(GPtrArray) all = g_ptr_array_new();
  const PoolStep new = {.kind = POOL_STEP_ADD_THIN,
                        .name = (char *)r.new_name,
                        .other = step->other,
                        .pool = step->pool,
                        .extents = step->extents,
                        .gained = all};

  for (char **tag = tags; *tag; tag++)
    g_ptr_array_add(all, *tag);
  g_ptr_array_add(all, (gpointer)r.tag);
  if (!kernel_add_thin(change, &new, error) || !exchange(change, &r, error))
    return FALSE;
  finish(change, &r);
  return TRUE;
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
    *r = name_replacement(change, kernel_word(change, "%.*s", (int)(slash - value), value),
                          slash + 1);
    return vt_lv_name_check(r->volume, NULL) && vt_lv_name_check(r->new_name, NULL);
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
  if (!has_new_name &&
      strcmp(name, r->volume) != 0) /* renamed by hand: it is what it is called now */
    return kernel_run(change, error, "lvchange", "--deltag", r->tag, kernel_lv(change, name), NULL);
  if (lvm_vg_find_lv(change->vg, r->old_name) &&
      !kernel_run(change, error, "lvremove", "--yes", kernel_lv(change, r->old_name), NULL))
    return FALSE;
  return kernel_run(change, error, "lvchange", "--deltag", r->tag, kernel_lv(change, r->volume),
                    NULL);
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
      g_prefix_error(error,
                     "ending an interrupted replacement of volume %s/%s: ", change->pool->vg_name,
                     r.volume);
      return FALSE;
    }
  }
  return TRUE;
}
