/* virt-thin - what a change comes to: the one place where changes are decided
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each kind of change is a function that tries it on a copy of the VG, where every mistake of the
 * caller shows, and notes the steps.
 */
#include "pool/plan-private.h"

#include <string.h>

#include "pool/rules.h"
#include "util/name.h"
#include "util/size.h"

#define DEVICE_MAX ((1u << 24) - 1) /* dm-thin.h MAX_DEV_ID */

/* --- several volumes --- */

static void add_name(GPtrArray *names, GHashTable *seen, const char *name)
{
  if (g_hash_table_contains(seen, name))
    return;
  g_ptr_array_add(names, g_strdup(name));
  g_hash_table_add(seen, names->pdata[names->len - 1]);
}

/* The volumes, and before each its snapshots if wanted; each once. */
static GPtrArray *collect_names(PlanWork *w, const char *const *names, gboolean with_snapshots)
{
  GPtrArray *all = g_ptr_array_new();
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

  for (guint i = 0; names[i]; i++) {
    g_autoptr(GPtrArray) snapshots =
        with_snapshots ? pool_rules_list_snapshots(w->vg, names[i]) : g_ptr_array_new();

    for (guint j = 0; j < snapshots->len; j++)
      add_name(all, seen, lvm_lv_name(snapshots->pdata[j]));
    add_name(all, seen, names[i]);
  }
  g_ptr_array_set_free_func(all, g_free);
  return all;
}

/* Is thin volume @name in *pool, with others (NULL: it is the first)? */
static gboolean require_same_pool(PlanWork *w, const char *name, LvmLv **pool, GError **error)
{
  LvmLv *its;

  if (!plan_find_thin(w, name, &its, error))
    return FALSE;
  if (*pool && *pool != its)
    return vt_set_error(
        error, EOPNOTSUPP,
        "volume %s is in thin pool %s, others are in %s: what is done in one step is of one pool",
        name, lvm_lv_name(its), lvm_lv_name(*pool));
  *pool = its;
  return TRUE;
}

/* --- create, clone, snapshot --- */

guint32 pool_plan_free_device(LvmVg *vg, LvmLv *pool, const PoolFacts *facts, GError **error)
{
  guint32 id = lvm_pool_next_device(vg, pool);
  gboolean has = facts->has_device != NULL;

  while (id && has) {
    if (!facts->has_device(pool, id, &has, facts->data, error))
      return 0;
    if (has)
      id = id < DEVICE_MAX ? id + 1 : 0;
  }
  if (!id)
    vt_set_error(error, ENOSPC, "thin pool %s/%s has used up its %u device ids", lvm_vg_name(vg),
                 lvm_lv_name(pool), DEVICE_MAX);
  return id;
}

static void seal(LvmLv *lv)
{
  lvm_lv_set_writable(lv, FALSE);
  lvm_lv_set_flag(lv, POOL_SKIP_FLAG, TRUE);
}

/* @origin: a volume of @pool, or NULL. */
static gboolean add_thin(PlanWork *w, LvmLv *pool, const char *name, guint64 extents, LvmLv *origin,
                         GError **error)
{
  const char *from = origin ? lvm_lv_name(origin) : NULL;
  gboolean snapshot = origin && pool_rules_is_snapshot_name(name, from);
  guint32 device = 0;
  PoolStep *step;
  LvmLv *lv;

  if (!plan_check_limits(w, pool, 0, extents, origin ? lvm_lv_n_extents(origin) : 0, error) ||
      !(device = pool_plan_free_device(w->vg, pool, w->facts, error)) ||
      !(lv = lvm_vg_add_thin(w->vg, pool, name, extents, device, from, error)))
    return FALSE;
  step = plan_add_thin_step(w, POOL_STEP_ADD_THIN, name, pool);
  step->other = g_strdup(from);
  step->extents = extents;
  step->gained = plan_no_tags();
  step->sealed = snapshot || (origin && pool_rules_is_template_name(name));
  if (snapshot)
    g_ptr_array_add(step->gained, pool_rules_snapshot_tag(from));
  for (const char *const *tag = w->change->add; tag && *tag; tag++)
    g_ptr_array_add(step->gained, g_strdup(*tag));
  if (origin && pool_rules_is_temporary_name(name))
    g_ptr_array_add(step->gained, g_strdup(POOL_TEMPORARY_TAG));
  if (step->sealed)
    seal(lv);
  for (guint i = 0; i < step->gained->len; i++)
    if (!lvm_lv_add_tag(lv, step->gained->pdata[i], error))
      return FALSE;
  return TRUE;
}

static gboolean plan_create(PlanWork *w, GError **error)
{
  const PoolChange *c = w->change;
  LvmLv *pool;
  guint64 extents;

  return plan_require_free_name(w, c->name, error) &&
         (pool = plan_find_pool(w, c->thin_pool, error)) &&
         plan_get_extents(w, "a volume", &extents, error) &&
         add_thin(w, pool, c->name, extents, NULL, error);
}

/* In sizes, as it was asked for; lvm2 would say it in extents. */
static gboolean require_room(PlanWork *w, guint64 wanted, const char *what_for, GError **error)
{
  guint64 n_free = lvm_vg_n_free_extents(w->vg);
  g_autofree char *wanted_text = lvm_vg_format_extents(w->vg, wanted),
                  *free_text = lvm_vg_format_extents(w->vg, n_free);

  return wanted <= n_free ||
         vt_set_error(
             error, ENOSPC,
             "that takes %s%s, and volume group %s has %s free: add a physical volume with "
             "virt-thin extend %s PATH",
             wanted_text, what_for, lvm_vg_name(w->vg), free_text, lvm_vg_name(w->vg));
}

static gboolean plan_create_linear(PlanWork *w, GError **error)
{
  const char *name = w->change->name;
  guint64 extents;
  LvmLv *lv;

  if (!plan_require_free_name(w, name, error) ||
      !plan_get_extents(w, "a volume", &extents, error) || !require_room(w, extents, "", error))
    return FALSE;
  plan_add_step(w, POOL_STEP_ADD_LINEAR, name)->extents = extents;
  if (w->facts->lvm2)
    return TRUE;
  lv = lvm_vg_add_linear(w->vg, name, extents, error);
  if (lv)
    lvm_lv_set_flag(lv, "NOAUTOACTIVATE", TRUE);
  return lv != NULL;
}

/* @size 0: the origin's. */
static gboolean clone_volume(PlanWork *w, const char *origin, const char *name, guint64 size,
                             GError **error)
{
  LvmLv *pool, *lv = plan_find_thin(w, origin, &pool, error);
  guint64 extents;

  if (!lv || !plan_check_not_snapshot(name, origin, error) ||
      !plan_require_free_name(w, name, error))
    return FALSE;
  extents = lvm_lv_n_extents(lv);
  if (size && !plan_get_extents(w, "a volume", &extents, error))
    return FALSE;
  if (extents < lvm_lv_n_extents(lv))
    return plan_too_small(size, lvm_lv_size(lv), error,
                          " of volume %s/%s that it is backed by: give as much or more",
                          lvm_vg_name(w->vg), origin);
  return add_thin(w, pool, name, extents, lv, error);
}

static gboolean plan_clone(PlanWork *w, GError **error)
{
  return clone_volume(w, w->change->other, w->change->name, w->change->size, error);
}

static gboolean snapshot_volume(PlanWork *w, const char *volume, GError **error)
{
  g_autofree char *name = pool_rules_snapshot_name(volume, w->change->other, error);

  return name && clone_volume(w, volume, name, 0, error);
}

static gboolean plan_snapshot(PlanWork *w, GError **error)
{
  return snapshot_volume(w, w->change->name, error);
}

static gboolean plan_snapshot_group(PlanWork *w, GError **error)
{
  g_autoptr(GPtrArray) all = collect_names(w, w->change->names, FALSE);
  LvmLv *pool = NULL;

  for (guint i = 0; i < all->len; i++)
    if (!require_same_pool(w, all->pdata[i], &pool, error) ||
        !snapshot_volume(w, all->pdata[i], error))
      return FALSE;
  return TRUE;
}

static gboolean plan_snapshot_tagged(PlanWork *w, GError **error)
{
  return pool_rules_check_tags(w->change->add, error) && plan_snapshot_group(w, error);
}

/* --- rollback, and making a volume a clone afterwards --- */

/* A foreign snapshot is known by its origin key, which goes with the origin: from then on it needs
 * the tag. */
static gboolean keep_snapshots(PlanWork *w, const char *name, GError **error)
{
  g_autoptr(GPtrArray) snapshots = pool_rules_list_snapshots(w->vg, name);
  g_autofree char *tag = pool_rules_snapshot_tag(name);

  for (guint i = 0; i < snapshots->len; i++)
    if (!lvm_lv_has_tag(snapshots->pdata[i], tag) &&
        !plan_change_tag(w, snapshots->pdata[i], NULL, tag, error))
      return FALSE;
  return TRUE;
}

/* @lv's content becomes that of @from, its snapshot if @rollback. A clone keeps its size. */
static gboolean replace_content(PlanWork *w, LvmLv *pool, LvmLv *lv, LvmLv *from, gboolean rollback,
                                GError **error)
{
  guint64 old = lvm_lv_n_extents(lv), extents = rollback ? lvm_lv_n_extents(from) : old;
  PoolStep *step;

  if (!plan_require_closed(w, lv, error) ||
      !plan_check_limits(w, pool, old, extents, extents, error) ||
      (w->facts->lvm2 && !keep_snapshots(w, lvm_lv_name(lv), error)))
    return FALSE;
  step = plan_add_thin_step(w, POOL_STEP_REPLACE, lvm_lv_name(lv), pool);
  step->other = g_strdup(lvm_lv_name(from));
  step->old_extents = old;
  step->extents = extents;
  step->rollback = rollback;
  if (!rollback && !pool_rules_descends_from(w->vg, from, lvm_lv_name(lv)))
    lvm_thin_set_origin(lv, lvm_lv_name(from));
  return lvm_thin_set_extents(lv, extents, error);
}

static gboolean plan_rollback(PlanWork *w, GError **error)
{
  LvmLv *pool, *lv = plan_find_thin(w, w->change->name, &pool, error), *from;

  if (!lv || !plan_require_no_old_snapshot(lv, error) ||
      !(from = pool_rules_find_snapshot(w->vg, w->change->name, w->change->other, error)))
    return FALSE;
  if (!pool_rules_is_in_pool(from, lvm_lv_name(pool)))
    return vt_set_error(error, EOPNOTSUPP, "snapshot %s is in another thin pool (%s)",
                        lvm_lv_name(from), lvm_thin_pool(from));
  return replace_content(w, pool, lv, from, TRUE, error);
}

static gboolean plan_clone_into(PlanWork *w, GError **error)
{
  const char *origin = w->change->other;
  LvmLv *pool, *its, *lv = plan_find_thin(w, w->change->name, &pool, error), *from;

  if (!lv || !(from = plan_find_thin(w, origin, &its, error)))
    return FALSE;
  if (lv == from)
    return vt_set_error(error, EINVAL, "a volume cannot be a clone of itself");
  if (its != pool)
    return vt_set_error(error, EINVAL,
                        "it is in thin pool %s, volume %s in %s: a clone shares chunks of one pool",
                        lvm_lv_name(pool), origin, lvm_lv_name(its));
  if (lvm_lv_n_extents(lv) < lvm_lv_n_extents(from))
    return plan_too_small(lvm_lv_size(lv), lvm_lv_size(from), error,
                          " of volume %s/%s: resize it first", lvm_vg_name(w->vg), origin);
  return plan_require_no_old_snapshot(lv, error) &&
         replace_content(w, pool, lv, from, FALSE, error);
}

/* --- rename, template --- */

static gboolean rename_lv(PlanWork *w, LvmLv *lv, const char *new_name, GError **error)
{
  plan_add_step(w, POOL_STEP_RENAME, lvm_lv_name(lv))->other = g_strdup(new_name);
  return lvm_vg_rename_lv(w->vg, lv, new_name, error);
}

/* Snapshot @lv of a volume that becomes @new_name follows it, with name and tag. */
static gboolean rename_snapshot(PlanWork *w, LvmLv *lv, const char *name, const char *new_name,
                                GError **error)
{
  g_autofree char *old_tag = pool_rules_snapshot_tag(name),
                  *new_tag = pool_rules_snapshot_tag(new_name), *part = NULL, *new_lv = NULL;

  pool_rules_snapshot_of(lv, NULL, &part);
  if (lvm_lv_has_tag(lv, old_tag) && !plan_change_tag(w, lv, old_tag, new_tag, error))
    return FALSE;
  if (!pool_rules_is_snapshot_name(lvm_lv_name(lv), name))
    return TRUE;
  new_lv = pool_rules_snapshot_name(new_name, part, error);
  return new_lv && rename_lv(w, lv, new_lv, error);
}

static gboolean rename_snapshots(PlanWork *w, const char *name, const char *new_name,
                                 GError **error)
{
  g_autoptr(GPtrArray) snapshots = pool_rules_list_snapshots(w->vg, name);

  for (guint i = 0; i < snapshots->len; i++)
    if (!rename_snapshot(w, snapshots->pdata[i], name, new_name, error))
      return FALSE;
  return TRUE;
}

/* The volume itself, and the tags that change with its name. */
static gboolean rename_volume(PlanWork *w, LvmLv *lv, const char *new_name, GError **error)
{
  GPtrArray *lost, *gained;

  pool_rules_rename_tags(lv, new_name, &lost, &gained);
  return plan_change_tags(w, lv, lost, gained, error) && rename_lv(w, lv, new_name, error);
}

static gboolean plan_rename(PlanWork *w, GError **error)
{
  const char *name = w->change->name, *new_name = w->change->other;
  g_autofree char *snapshot_of = NULL;
  LvmLv *lv;

  if (!vt_lv_name_check(new_name, error) || !(lv = pool_rules_find_volume(w->vg, name, error)))
    return FALSE;
  pool_rules_snapshot_of(lv, &snapshot_of, NULL);
  return plan_check_not_snapshot(new_name, snapshot_of, error) &&
         plan_require_free_name(w, new_name, error) && rename_snapshots(w, name, new_name, error) &&
         rename_volume(w, lv, new_name, error);
}

static gboolean plan_template(PlanWork *w, GError **error)
{
  const char *name = w->change->name, *new_name = w->change->other;
  gboolean same = strcmp(name, new_name) == 0;
  LvmLv *pool, *lv;

  if (!vt_lv_name_check(new_name, error) || !(lv = plan_find_thin(w, name, &pool, error)))
    return FALSE;
  if (same && pool_rules_is_sealed(lv))
    return TRUE;
  if (!plan_require_closed(w, lv, error) ||
      (!same && (!plan_require_free_name(w, new_name, error) ||
                 !rename_snapshots(w, name, new_name, error))))
    return FALSE;
  plan_add_thin_step(w, POOL_STEP_SEAL, name, pool);
  seal(lv);
  return same || rename_volume(w, lv, new_name, error);
}

/* --- resize --- */

static gboolean plan_resize(PlanWork *w, GError **error)
{
  const PoolChange *c = w->change;
  LvmLv *pool, *lv = plan_find_thin(w, c->name, &pool, error);
  guint64 extents, old;
  PoolStep *step;

  if (!lv || !plan_get_extents(w, "a volume", &extents, error))
    return FALSE;
  old = lvm_lv_n_extents(lv);
  if (extents == old)
    return TRUE;
  if (!plan_require_no_old_snapshot(lv, error))
    return FALSE;
  if (!lvm_lv_is_writable(lv))
    return vt_set_error(
        error, EPERM,
        "it is read-only (a snapshot or template): make a clone of it, and resize that");
  if (extents < old && !c->flag)
    return plan_too_small(c->size, lvm_lv_size(lv), error,
                          " that it has, and what lies beyond would be lost: allow it to shrink "
                          "(--shrink) if that is meant");
  if ((extents < old && !plan_require_closed(w, lv, error)) ||
      !plan_check_limits(w, pool, old, extents, 0, error))
    return FALSE;
  step = plan_add_thin_step(w, POOL_STEP_RESIZE, c->name, pool);
  step->old_extents = old;
  step->extents = extents;
  return lvm_thin_set_extents(lv, extents, error);
}

/* lvm2 would let the metadata grow without its spare when there is room for one only, and say so in
 * passing. */
static gboolean require_room_to_grow(PlanWork *w, LvmLv *lv, guint64 extents, gboolean metadata,
                                     GError **error)
{
  LvmLv *spare = metadata ? pool_rules_find_spare(w->vg) : NULL;
  guint64 more = extents - lvm_lv_n_extents(lv);

  if (metadata && extents > LVM_POOL_METADATA_MAX / lvm_vg_extent_size(w->vg) + 1)
    return vt_set_error(error, EINVAL, "metadata of a thin pool cannot be larger than 15.81 GiB");
  if (!spare || extents <= lvm_lv_n_extents(spare))
    return require_room(w, more, "", error);
  return require_room(w, more + extents - lvm_lv_n_extents(spare),
                      ", with the spare that is to be as large as the metadata", error);
}

/* The bundled engine brings a spare that stayed behind up to the metadata's size, too. */
static gboolean grow_pool(PlanWork *w, LvmLv *pool, guint64 extents, gboolean *grown,
                          GError **error)
{
  guint64 before = lvm_vg_n_free_extents(w->vg);

  if (!(w->change->flag ? lvm_vg_grow_pool_metadata : lvm_vg_grow_pool_data)(w->vg, pool, extents,
                                                                             error))
    return FALSE;
  *grown = lvm_vg_n_free_extents(w->vg) != before;
  return TRUE;
}

static gboolean plan_resize_pool(PlanWork *w, GError **error)
{
  gboolean metadata = w->change->flag, grown;
  LvmLv *pool = plan_find_pool(w, w->change->thin_pool, error), *lv;
  guint64 extents, old;
  PoolStep *step;

  if (!pool || !plan_get_extents(w, metadata ? "a pool's metadata" : "a pool", &extents, error))
    return FALSE;
  lv = metadata ? lvm_vg_find_lv(w->vg, lvm_pool_metadata(pool)) : pool;
  if (!lv)
    return vt_set_error(error, EBADMSG, "the volume group has no %s", lvm_pool_metadata(pool));
  old = lvm_lv_n_extents(lv);
  if (extents < old) {
    g_autofree char *asked = vt_size_format(w->change->size),
                    *has = vt_size_format(lvm_lv_size(lv));

    return vt_set_error(error, EOPNOTSUPP,
                        "%s is less than the %s that it has, and a thin pool cannot shrink", asked,
                        has);
  }
  grown = extents > old;
  if ((grown && !require_room_to_grow(w, lv, extents, metadata, error)) ||
      (!w->facts->lvm2 && !grow_pool(w, pool, extents, &grown, error)))
    return FALSE;
  if (!grown)
    return TRUE;
  step = plan_add_step(w, POOL_STEP_GROW_POOL, lvm_lv_name(pool));
  step->old_extents = old;
  step->extents = extents;
  step->metadata = metadata;
  return TRUE;
}

/* --- remove --- */

static gboolean remove_pool(PlanWork *w, LvmLv *pool, GError **error)
{
  const char *name = lvm_lv_name(pool);
  guint n;

  pool_rules_virtual_size(w->vg, name, &n);
  if (n > 0)
    return vt_set_error(error, EBUSY, "thin pool %s/%s has %u volume%s: remove %s first",
                        lvm_vg_name(w->vg), name, n, n == 1 ? "" : "s", n == 1 ? "that" : "those");
  plan_add_step(w, POOL_STEP_REMOVE_POOL, name);
  return lvm_vg_remove_lv(w->vg, pool, error);
}

static gboolean plan_remove(PlanWork *w, GError **error)
{
  const char *const *names = w->change->names;
  LvmLv *pool = NULL, *lv = names[0] ? lvm_vg_find_lv(w->vg, names[0]) : NULL;
  g_autoptr(GPtrArray) all = NULL;

  if (lv && !names[1] && lvm_lv_kind(lv) == LVM_LV_THIN_POOL)
    return remove_pool(w, lv, error);
  all = collect_names(w, names, w->change->flag);
  for (guint i = 0; i < all->len; i++)
    if (!require_same_pool(w, all->pdata[i], &pool, error) ||
        !plan_require_closed(w, lvm_vg_find_lv(w->vg, all->pdata[i]), error))
      return FALSE;
  for (guint i = 0; i < all->len; i++)
    if (!keep_snapshots(w, all->pdata[i], error) ||
        !lvm_vg_remove_lv(w->vg, lvm_vg_find_lv(w->vg, all->pdata[i]), error))
      return FALSE;
  for (guint i = 0; i < all->len; i++)
    plan_add_thin_step(w, POOL_STEP_REMOVE, all->pdata[i], pool);
  return TRUE;
}

/* lvm2 would remove what needs it, too: a snapshot of the kind before thin ones, a clone it is the
 * external origin of.
 */
static gboolean plan_remove_linear(PlanWork *w, GError **error)
{
  LvmLv *lv = pool_rules_find_volume(w->vg, w->change->name, error);

  if (!lv)
    return FALSE;
  if (lvm_lv_kind(lv) == LVM_LV_THIN)
    return vt_set_error(error, EINVAL, "it is in thin pool %s", lvm_thin_pool(lv));
  if (!plan_require_no_old_snapshot(lv, error) || !plan_require_closed(w, lv, error))
    return FALSE;
  plan_add_step(w, POOL_STEP_REMOVE, w->change->name);
  return lvm_vg_remove_lv(w->vg, lv, error);
}

/* --- tags --- */

/* A tag that is both removed and added stays. */
static gboolean plan_set_tags(PlanWork *w, GError **error)
{
  const PoolChange *c = w->change;
  GPtrArray *lost, *gained;
  LvmLv *lv;

  if (!pool_rules_check_tags(c->add, error) || !pool_rules_check_tags(c->remove, error))
    return FALSE;
  lv = lvm_vg_find_lv(w->vg, c->name);
  if (!lv || lvm_lv_kind(lv) != LVM_LV_THIN_POOL)
    lv = pool_rules_find_volume(w->vg, c->name, error);
  if (!lv)
    return FALSE;
  lost = plan_no_tags();
  gained = plan_no_tags();
  for (const char *const *tag = c->remove; tag && *tag; tag++)
    if (lvm_lv_has_tag(lv, *tag) && !(c->add && g_strv_contains(c->add, *tag)))
      g_ptr_array_add(lost, g_strdup(*tag));
  for (const char *const *tag = c->add; tag && *tag; tag++)
    if (!lvm_lv_has_tag(lv, *tag) &&
        !g_ptr_array_find_with_equal_func(gained, *tag, g_str_equal, NULL))
      g_ptr_array_add(gained, g_strdup(*tag));
  return plan_change_tags(w, lv, lost, gained, error);
}

/* --- what was made under a temporary name --- */

static gboolean check_publication(PlanWork *w, const PoolPublication *p, GError **error)
{
  if (!p->new_name)
    return p->into || vt_set_error(error, EINVAL, "%s is to become nothing", p->name);
  for (const char *const *tag = p->tags; tag && *tag; tag++) {
    const char *const one[] = {*tag, NULL};

    if (!g_str_has_prefix(*tag, POOL_SOURCE_TAG) ? !pool_rules_check_tags(one, error)
                                                 : !vt_tag_check(*tag, error))
      return FALSE;
  }
  return (!p->snapshot_of || vt_lv_name_check(p->snapshot_of, error)) &&
         plan_check_not_snapshot(p->new_name, p->snapshot_of, error) &&
         plan_require_free_name(w, p->new_name, error);
}

static gboolean publish_one(PlanWork *w, const PoolPublication *p, LvmLv **pool, GError **error)
{
  GPtrArray *gained;
  LvmLv *lv;

  if (!check_publication(w, p, error) || !require_same_pool(w, p->name, pool, error))
    return FALSE;
  lv = lvm_vg_find_lv(w->vg, p->name);
  if (!p->new_name)
    return TRUE;
  if (!plan_require_closed(w, lv, error))
    return FALSE;
  gained = plan_no_tags();
  for (const char *const *tag = p->tags; tag && *tag; tag++)
    if (!lvm_lv_has_tag(lv, *tag) &&
        !g_ptr_array_find_with_equal_func(gained, *tag, g_str_equal, NULL))
      g_ptr_array_add(gained, g_strdup(*tag));
  if (p->snapshot_of)
    g_ptr_array_add(gained, pool_rules_snapshot_tag(p->snapshot_of));
  if (p->sealed) {
    plan_add_thin_step(w, POOL_STEP_SEAL, p->name, *pool);
    seal(lv);
  }
  return plan_change_tags(w, lv, plan_no_tags(), gained, error) &&
         rename_lv(w, lv, p->new_name, error);
}

/* Once all have their names, and none an origin. lvm2 knows no command for that. */
static void set_published_origin(PlanWork *w, const PoolPublication *p)
{
  LvmLv *lv = lvm_vg_find_lv(w->vg, p->new_name),
        *origin = p->origin ? lvm_vg_find_lv(w->vg, p->origin) : NULL;

  if (origin && origin != lv && lvm_lv_kind(origin) == LVM_LV_THIN &&
      pool_rules_is_in_pool(origin, lvm_thin_pool(lv)) &&
      !pool_rules_descends_from(w->vg, origin, p->new_name))
    lvm_thin_set_origin(lv, p->origin);
}

static gboolean publish_content(PlanWork *w, const PoolPublication *p, GError **error)
{
  LvmLv *its, *pool, *lv = plan_find_thin(w, p->into, &pool, error), *from;

  if (!lv || !plan_require_no_old_snapshot(lv, error) ||
      !(from = plan_find_thin(w, p->new_name ? p->new_name : p->name, &its, error)))
    return FALSE;
  if (its != pool)
    return vt_set_error(error, EOPNOTSUPP, "volume %s is in another thin pool (%s)", p->into,
                        lvm_lv_name(pool));
  return replace_content(w, pool, lv, from, TRUE, error);
}

static gboolean plan_publish(PlanWork *w, GError **error)
{
  const PoolPublication *all = w->change->publications;
  guint n = w->change->n_publications;
  LvmLv *pool = NULL;

  for (guint i = 0; i < n; i++)
    if (!publish_one(w, &all[i], &pool, error))
      return FALSE;
  for (guint i = 0; i < n && !w->facts->lvm2; i++)
    if (all[i].new_name)
      lvm_thin_set_origin(lvm_vg_find_lv(w->vg, all[i].new_name), NULL);
  for (guint i = 0; i < n && !w->facts->lvm2; i++)
    if (all[i].new_name)
      set_published_origin(w, &all[i]);
  for (guint i = 0; i < n; i++)
    if (all[i].into && !publish_content(w, &all[i], error))
      return FALSE;
  return TRUE;
}

/* --- a further pool; a physical volume --- */

static gboolean set_max_size(LvmLv *pool, guint64 size, GError **error)
{
  g_autofree char *tag = g_strdup_printf(PLAN_MAX_SIZE_TAG "%" G_GUINT64_FORMAT, size);

  return lvm_lv_add_tag(pool, tag, error);
}

/* What of the volume group is not @data_extents: its physical volumes' own metadata, other volumes,
 * the reserve. */
static guint64 overhead(LvmVg *vg, guint64 data_extents)
{
  g_autoptr(GPtrArray) pvs = lvm_vg_pvs(vg);
  guint64 size = 0;

  for (guint i = 0; i < pvs->len; i++)
    size += lvm_pv_size(pvs->pdata[i]);
  return size - data_extents * lvm_vg_extent_size(vg);
}

/* What marks a pool as ours: a writer is told at once that it is full, also by the kernel; and it
 * may grow. */
static gboolean add_pool(PlanWork *w, const PoolLayout *layout, GError **error)
{
  const PoolNew *params = &w->change->new_pool;
  guint64 max = params->max_size, besides = params->size ? 0 : overhead(w->vg, layout->data);
  LvmLv *pool = lvm_vg_add_thin_pool(w->vg, w->change->name, layout->data, layout->metadata,
                                     layout->chunk_size, error);

  if (!pool)
    return FALSE;
  lvm_lv_set_flag(pool, "ERROR_WHEN_FULL", TRUE);
  return !max || set_max_size(pool, MAX(max - MIN(max, besides), lvm_lv_size(pool)), error);
}

gboolean pool_plan_require_no_max_size(const PoolNew *params, GError **error)
{
  return !params->max_size ||
         vt_set_error(error, EOPNOTSUPP,
                      "a thin pool of the kernel's grows when and by how much lvm.conf says "
                      "(activation/thin_pool_autoextend_threshold), as far as its volume group has "
                      "room: lvm2 knows no "
                      "maximum size. Leave the maximum away; --reserve leaves room to grow into");
}

static gboolean plan_create_pool(PlanWork *w, GError **error)
{
  PoolLayout layout;

  if (!plan_require_free_name(w, w->change->name, error) ||
      (w->facts->lvm2 && !pool_plan_require_no_max_size(&w->change->new_pool, error)) ||
      !pool_layout_choose(w->vg, &w->change->new_pool, w->facts->sparse, &layout, error) ||
      !require_room(w, layout.data + layout.metadata, " with its metadata", error))
    return FALSE;
  plan_add_step(w, POOL_STEP_ADD_POOL, w->change->name)->layout = layout;
  return w->facts->lvm2 || add_pool(w, &layout, error);
}

static gboolean plan_extend(PlanWork *w, GError **error)
{
  plan_add_step(w, POOL_STEP_ADD_PV, w->change->name);
  return TRUE;
}

/* --- all --- */

static gboolean (*const planners[POOL_N_CHANGES])(PlanWork *w, GError **error) = {
    [POOL_CREATE] = plan_create,
    [POOL_CREATE_LINEAR] = plan_create_linear,
    [POOL_REMOVE_LINEAR] = plan_remove_linear,
    [POOL_CLONE] = plan_clone,
    [POOL_SNAPSHOT] = plan_snapshot,
    [POOL_SNAPSHOT_GROUP] = plan_snapshot_group,
    [POOL_SNAPSHOT_TAGGED] = plan_snapshot_tagged,
    [POOL_ROLLBACK] = plan_rollback,
    [POOL_CLONE_INTO] = plan_clone_into,
    [POOL_RENAME] = plan_rename,
    [POOL_TEMPLATE] = plan_template,
    [POOL_RESIZE] = plan_resize,
    [POOL_RESIZE_POOL] = plan_resize_pool,
    [POOL_REMOVE] = plan_remove,
    [POOL_SET_TAGS] = plan_set_tags,
    [POOL_PUBLISH] = plan_publish,
    [POOL_CREATE_POOL] = plan_create_pool,
    [POOL_EXTEND] = plan_extend,
};

static gboolean is_overcommitted(LvmVg *vg, LvmLv *pool)
{
  return pool && pool_rules_virtual_size(vg, lvm_lv_name(pool), NULL) > lvm_lv_size(pool);
}

/* Of the pool that was not overcommitted before; a change is of one pool. The caller's. */
static char *note_overcommit(LvmVg *before, LvmVg *after)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(after);

  for (guint i = 0; i < lvs->len; i++) {
    const char *name = lvm_lv_name(lvs->pdata[i]);

    if (lvm_lv_kind(lvs->pdata[i]) == LVM_LV_THIN_POOL && is_overcommitted(after, lvs->pdata[i]) &&
        !is_overcommitted(before, lvm_vg_find_lv(before, name)))
      return pool_rules_overcommit_note(lvm_vg_name(after), name,
                                        pool_rules_virtual_size(after, name, NULL),
                                        lvm_lv_size(lvs->pdata[i]));
  }
  return NULL;
}

PoolPlan *pool_plan(LvmVg *now, const PoolChange *change, const PoolFacts *facts, GError **error)
{
  g_autoptr(PoolPlan) plan = g_new0(PoolPlan, 1);
  PlanWork w = {NULL, NULL, change, facts};

  plan->vg = w.vg = lvm_vg_copy(now);
  plan->steps = w.steps = g_ptr_array_new_with_free_func(plan_step_free);
  if (!planners[change->kind](&w, error))
    return NULL;
  plan->note = note_overcommit(now, plan->vg);
  return g_steal_pointer(&plan);
}

void pool_plan_free(PoolPlan *plan)
{
  if (!plan)
    return;
  lvm_vg_free(plan->vg);
  g_ptr_array_unref(plan->steps);
  g_free(plan->note);
  g_free(plan);
}
