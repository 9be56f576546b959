/* virt-thin - what the kinds of change share while they are decided
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/plan-private.h"

#include <string.h>

#include "pool/rules.h"
#include "util/name.h"
#include "util/size.h"

/* --- steps --- */

void plan_step_free(gpointer data)
{
  PoolStep *step = data;

  g_free(step->name);
  g_free(step->other);
  g_free(step->pool);
  g_clear_pointer(&step->lost, g_ptr_array_unref);
  g_clear_pointer(&step->gained, g_ptr_array_unref);
  g_free(step);
}

PoolStep *plan_add_step(PlanWork *w, PoolStepKind kind, const char *name)
{
  PoolStep *step = g_new0(PoolStep, 1);

  step->kind = kind;
  step->name = g_strdup(name);
  g_ptr_array_add(w->steps, step);
  return step;
}

PoolStep *plan_add_thin_step(PlanWork *w, PoolStepKind kind, const char *name, LvmLv *pool)
{
  PoolStep *step = plan_add_step(w, kind, name);

  step->pool = g_strdup(lvm_lv_name(pool));
  return step;
}

GPtrArray *plan_no_tags(void)
{
  return g_ptr_array_new_with_free_func(g_free);
}

gboolean plan_change_tags(PlanWork *w, LvmLv *lv, GPtrArray *lost, GPtrArray *gained,
                          GError **error)
{
  PoolStep *step = plan_add_step(w, POOL_STEP_TAGS, lvm_lv_name(lv));

  step->lost = lost;
  step->gained = gained;
  for (guint i = 0; i < lost->len; i++)
    lvm_lv_remove_tag(lv, lost->pdata[i]);
  for (guint i = 0; i < gained->len; i++)
    if (!lvm_lv_add_tag(lv, gained->pdata[i], error))
      return FALSE;
  if (lost->len + gained->len == 0)
    g_ptr_array_remove_index(w->steps, w->steps->len - 1);
  return TRUE;
}

gboolean plan_change_tag(PlanWork *w, LvmLv *lv, const char *lost, const char *gained,
                         GError **error)
{
  GPtrArray *out = plan_no_tags(), *in = plan_no_tags();

  if (lost)
    g_ptr_array_add(out, g_strdup(lost));
  g_ptr_array_add(in, g_strdup(gained));
  return plan_change_tags(w, lv, out, in, error);
}

/* --- what stands in the way --- */

gboolean plan_require_closed(PlanWork *w, LvmLv *lv, GError **error)
{
  g_autofree char *user = w->facts->find_user(lv, w->facts->data);

  return !user || pool_rules_in_use(lvm_vg_name(w->vg), lvm_lv_name(lv), user, error);
}

gboolean plan_require_no_old_snapshot(LvmLv *lv, GError **error)
{
  g_autofree char *snapshot = lvm_lv_old_snapshot(lv);

  if (!snapshot)
    return TRUE;
  return vt_set_error(error, EOPNOTSUPP,
                      "it has a snapshot that needs a copy of what is overwritten, which lvm2 and "
                      "the kernel alone make: "
                      "use lvm2's commands, or remove that snapshot: lvremove %s",
                      snapshot);
}

gboolean plan_require_free_name(PlanWork *w, const char *name, GError **error)
{
  LvmLv *lv;

  if (!vt_lv_name_check(name, error))
    return FALSE;
  lv = lvm_vg_find_lv(w->vg, name);
  return !lv || vt_set_error(error, EEXIST,
                             "there is a %s %s already: choose another name, or remove that",
                             lvm_lv_kind(lv) == LVM_LV_THIN_POOL ? "thin pool" : "volume", name);
}

gboolean plan_check_not_snapshot(const char *name, const char *origin, GError **error)
{
  g_autofree char *origins =
      origin ? g_strdup_printf(" (of %s: " POOL_SNAPSHOT_PREFIX "%s_…)", origin, origin) : NULL;

  if (!g_str_has_prefix(name, POOL_SNAPSHOT_PREFIX) ||
      (origin && pool_rules_is_snapshot_name(name, origin)))
    return TRUE;
  return vt_set_error(error, EINVAL,
                      "%s is a name for a snapshot, " POOL_SNAPSHOT_PREFIX "VOLUME_NAME, and would "
                      "be none%s: choose another name",
                      name, origins ? origins : "");
}

gboolean plan_too_small(guint64 size, guint64 needed, GError **error, const char *format, ...)
{
  g_autofree char *a = vt_size_format(size), *z = vt_size_format(needed), *rest = NULL;
  va_list args;

  va_start(args, format);
  rest = g_strdup_vprintf(format, args);
  va_end(args);
  return vt_set_error(error, EINVAL, "%s is less than the %s%s", a, z, rest);
}

guint64 pool_plan_max_size(LvmLv *pool)
{
  g_auto(GStrv) tags = lvm_lv_tags(pool);
  guint64 size = 0;

  for (char **tag = tags; *tag; tag++)
    if (g_str_has_prefix(*tag, PLAN_MAX_SIZE_TAG))
      g_ascii_string_to_unsigned(*tag + strlen(PLAN_MAX_SIZE_TAG), 10, 1, G_MAXUINT64, &size, NULL);
  return size;
}

gboolean plan_check_limits(PlanWork *w, LvmLv *pool, guint64 old_extents, guint64 extents,
                           guint64 usual, GError **error)
{
  const char *vg = lvm_vg_name(w->vg), *name = lvm_lv_name(pool);
  guint64 extent_size = lvm_vg_extent_size(w->vg), size = lvm_lv_size(pool);
  PoolLimits limits;

  if (extents <= old_extents || !w->facts->limits)
    return TRUE;
  limits = w->facts->limits(vg, name);
  return (extents <= usual ||
          pool_rules_check_volume(vg, name, extents * extent_size,
                                  MAX(size, pool_plan_max_size(pool)), &limits, error)) &&
         pool_rules_check_overcommit(vg, name,
                                     pool_rules_virtual_size(w->vg, name, NULL) +
                                         (extents - old_extents) * extent_size,
                                     size, &limits, error);
}

LvmLv *plan_find_pool(PlanWork *w, const char *name, GError **error)
{
  LvmLv *pool = pool_rules_find_pool(w->vg, name, error);

  return pool && (!w->facts->check_pool || w->facts->check_pool(pool, w->facts->data, error))
             ? pool
             : NULL;
}

LvmLv *plan_find_thin(PlanWork *w, const char *name, LvmLv **pool, GError **error)
{
  LvmLv *lv = pool_rules_find_thin(w->vg, name, error);

  return lv && (*pool = plan_find_pool(w, lvm_thin_pool(lv), error)) ? lv : NULL;
}

gboolean plan_get_extents(PlanWork *w, const char *what, guint64 *extents, GError **error)
{
  return pool_rules_extents(what, w->change->size, lvm_vg_extent_size(w->vg), extents, error);
}
