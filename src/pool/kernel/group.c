/* virt-thin - the kernel's pool: several volumes are made, or none
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *     lvcreate                   each volume, with the tag virt-thin.with=LAST, the name of the
 *                                last one
 *     (dm/instant.h)             snapshots of volumes that are active get the contents of one
 *                                instant
 *     lvchange --deltag          of LAST: the change is done
 *     lvchange --deltag          of the others
 *
 * Whoever comes after a crash sees by the tag whether it came to that: as long as LAST is missing
 * or has it, those that have it are removed; else they lose it.
 */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "dm/instant.h"
#include "pool/kernel/kernel-private.h"
#include "pool/rules.h"

#define WITH_TAG POOL_OWN_TAGS "with="

/* The next step from *i on that makes a volume; NULL: none. */
static const PoolStep *next_new(GPtrArray *steps, guint *i)
{
  while (*i < steps->len) {
    const PoolStep *step = steps->pdata[(*i)++];

    if (step->kind == POOL_STEP_ADD_THIN)
      return step;
  }
  return NULL;
}

/* NULL: there are no two. */
static const PoolStep *last_of_group(GPtrArray *steps)
{
  const PoolStep *step, *last = NULL;
  guint n = 0;

  for (guint i = 0; (step = next_new(steps, &i)); n++)
    last = step;
  return n > 1 ? last : NULL;
}

gboolean kernel_tag_group(GPtrArray *steps)
{
  const PoolStep *step, *last = last_of_group(steps);

  for (guint i = 0; last && (step = next_new(steps, &i));)
    g_ptr_array_add(step->gained, g_strconcat(WITH_TAG, last->name, NULL));
  return last != NULL;
}

gboolean kernel_untag_group(KernelChange *change, GPtrArray *steps, GError **error)
{
  const PoolStep *step, *last = last_of_group(steps);
  const char *tag = kernel_word(change, WITH_TAG "%s", last->name);
  g_autoptr(GPtrArray) words = g_ptr_array_new();
  g_autoptr(GError) local = NULL;

  if (!kernel_run(change, error, "lvchange", "--deltag", tag, kernel_lv(change, last->name), NULL))
    return FALSE;
  kernel_add_words(words, "lvchange", "--deltag", tag, NULL);
  for (guint i = 0; (step = next_new(steps, &i)) && step != last;)
    kernel_add_words(words, kernel_lv(change, step->name), NULL);
  /* What is left to do changes nothing that anybody sees; if it fails, the next change does it. */
  if (!kernel_run_words(change, words, &local))
    g_warning("volume group %s: volumes keep the tag %s for now: %s", change->pool->vg_name, tag,
              local->message);
  return TRUE;
}

/* --- one instant --- */

static void clear_renewal(gpointer renewal)
{
  g_free(((DmkRenewal *)renewal)->uuid);
}

/* The group as lvm2 has made it, or somebody else has left it since. */
static gboolean check_made(KernelChange *change, const PoolStep *step, GError **error)
{
  LvmLv *lv = lvm_vg_find_lv(change->vg, step->name),
        *origin = lvm_vg_find_lv(change->vg, step->other);
  g_autofree char *uuid = lv ? kernel_uuid(change->vg, lv) : NULL;

  return (lv && origin && lvm_lv_kind(lv) == LVM_LV_THIN && lvm_lv_kind(origin) == LVM_LV_THIN &&
          !g_strcmp0(lvm_thin_origin(lv), step->other) && pool_rules_is_in_pool(lv, step->pool) &&
          pool_rules_is_in_pool(origin, step->pool) && !dmk_is_active(uuid, NULL)) ||
         vt_set_error(error, EBUSY, "somebody else has changed volume %s meanwhile", step->name);
}

static gboolean collect(KernelChange *change, GPtrArray *steps, GArray *renewals, guint *n_active,
                        GError **error)
{
  const PoolStep *step;

  *n_active = 0;
  for (guint i = 0; (step = next_new(steps, &i));) {
    LvmLv *origin = step->other ? lvm_vg_find_lv(change->vg, step->other) : NULL;
    DmkRenewal renewal = {0};

    if (!step->other)
      continue;
    if (!check_made(change, step, error))
      return FALSE;
    renewal.device = lvm_thin_device(lvm_vg_find_lv(change->vg, step->name));
    renewal.origin = lvm_thin_device(origin);
    renewal.uuid = kernel_uuid(change->vg, origin);
    if (dmk_is_active(renewal.uuid, NULL))
      (*n_active)++;
    else
      g_clear_pointer(&renewal.uuid, g_free);
    g_array_append_val(renewals, renewal);
  }
  return TRUE;
}

/* lvm2 has no message on its way to the pool. */
static gboolean check_pool(LvmLv *pool, const char *uuid, GError **error)
{
  g_autoptr(GArray) messages = lvm_pool_messages(pool);
  DmkPoolStatus status;

  return dmk_get_pool_status(uuid, &status, error) &&
         ((messages->len == 0 && status.transaction_id == lvm_pool_transaction_id(pool)) ||
          vt_set_error(error, EBUSY, "somebody else is changing thin pool %s", lvm_lv_name(pool)));
}

/* Of volumes that are not active, or of one that is, each snapshot is of that instant already. */
static gboolean renew(KernelChange *change, GPtrArray *steps, GError **error)
{
  g_autoptr(GArray) renewals = g_array_new(FALSE, TRUE, sizeof(DmkRenewal));
  LvmLv *pool = lvm_vg_find_lv(change->vg, last_of_group(steps)->pool);
  g_autofree char *uuid = pool ? kernel_pool_uuid(change->vg, pool) : NULL;
  guint n_active;

  g_array_set_clear_func(renewals, clear_renewal);
  if (!collect(change, steps, renewals, &n_active, error))
    return FALSE;
  return n_active < 2 ||
         (check_pool(pool, uuid, error) &&
          dmk_renew_snapshots(uuid, (const DmkRenewal *)renewals->data, renewals->len, error));
}

gboolean kernel_make_one_instant(KernelChange *change, GPtrArray *steps, GError **error)
{
  int lock = dmk_lock_vg(change->pool->vg_name, error);
  gboolean ok = lock >= 0 && kernel_change_read(change, KERNEL_CHANGE_VG, error) &&
                renew(change, steps, error);

  if (lock >= 0)
    close(lock);
  return ok;
}

/* --- after a crash --- */

/* The name of the last of those that @lv was made with. The caller's; NULL: it was made. */
static char *read_tag(LvmLv *lv)
{
  g_auto(GStrv) tags = lv ? lvm_lv_tags(lv) : NULL;

  for (char **tag = tags; tag && *tag; tag++)
    if (g_str_has_prefix(*tag, WITH_TAG))
      return g_strdup(*tag + strlen(WITH_TAG));
  return NULL;
}

static gboolean finish_one(KernelChange *change, LvmLv *lv, const char *last, GError **error)
{
  LvmLv *last_lv = lvm_vg_find_lv(change->vg, last);
  g_autofree char *undone = read_tag(last_lv);
  const char *path = kernel_lv(change, lvm_lv_name(lv));

  if (last_lv && !undone)
    return kernel_run(change, error, "lvchange", "--deltag",
                      kernel_word(change, WITH_TAG "%s", last), path, NULL);
  return kernel_run(change, error, "lvremove", "--yes", path, NULL);
}

gboolean kernel_finish_groups(KernelChange *change, gboolean *changed, GError **error)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(change->vg);

  for (guint i = 0; i < lvs->len; i++) {
    g_autofree char *last = read_tag(lvs->pdata[i]);

    if (!last)
      continue;
    *changed = TRUE;
    if (!finish_one(change, lvs->pdata[i], last, error)) {
      g_prefix_error(error, "ending what made volume %s/%s with %s, and was interrupted: ",
                     change->pool->vg_name, lvm_lv_name(lvs->pdata[i]), last);
      return FALSE;
    }
  }
  return TRUE;
}
