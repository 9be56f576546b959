/* virt-thin - what the kinds of change share while they are decided
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: those of a change (plan.h). Thread-safety: none; a PlanWork is one thread's.
 */
#pragma once

#include "pool/plan.h"
#include "pool/rules.h"

#define PLAN_MAX_SIZE_TAG POOL_OWN_TAGS "max_size=" /* and bytes */

typedef struct {
  LvmVg *vg; /* the plan's */
  GPtrArray *steps;
  const PoolChange *change;
  const PoolFacts *facts;
} PlanWork;

/* --- steps --- */

void plan_step_free(gpointer step);
/* The plan's. */
PoolStep *plan_add_step(PlanWork *w, PoolStepKind kind, const char *name);
/* Of a thin volume. */
PoolStep *plan_add_thin_step(PlanWork *w, PoolStepKind kind, const char *name, LvmLv *pool);
GPtrArray *plan_no_tags(void);
/* @lv loses and gains tags, both taken; no step if those are none. */
gboolean plan_change_tags(PlanWork *w, LvmLv *lv, GPtrArray *lost, GPtrArray *gained,
                          GError **error);
gboolean plan_change_tag(PlanWork *w, LvmLv *lv, const char *lost, const char *gained,
                         GError **error);
/* --- what stands in the way --- */

/* EBUSY: somebody uses it. */
gboolean plan_require_closed(PlanWork *w, LvmLv *lv, GError **error);
gboolean plan_require_no_old_snapshot(LvmLv *lv, GError **error);
gboolean plan_require_free_name(PlanWork *w, const char *name, GError **error);
/* snap_… is what snapshots are called: what has such a name, and not that of its @origin (NULL: it
 * has none) in it, would pass for another's. Of a new volume nobody knows yet what it is made from:
 * libvirt says so afterwards. */
gboolean plan_check_not_snapshot(const char *name, const char *origin, GError **error);
/* EINVAL: "4.00 MiB is less than the 8.00 MiB<rest>". */
gboolean plan_too_small(guint64 size, guint64 needed, GError **error, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
/* May @pool have a volume of @extents in place of one of @old_extents? One that is no larger than
 * what it is made from (@usual extents) is no slip. */
gboolean plan_check_limits(PlanWork *w, LvmLv *pool, guint64 old_extents, guint64 extents,
                           guint64 usual, GError **error);

/* --- what there is --- */

/* A thin pool (NULL: the only one) that can be changed. */
LvmLv *plan_find_pool(PlanWork *w, const char *name, GError **error);
LvmLv *plan_find_thin(PlanWork *w, const char *name, LvmLv **pool, GError **error);
/* The change's size. @what: for the message. */
gboolean plan_get_extents(PlanWork *w, const char *what, guint64 *extents, GError **error);
