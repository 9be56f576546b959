/* virt-thin - mending a thin pool: looking and mending, from end to end
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/repair/repair-private.h"

static const PoolRepairChoice no_choice;

static gboolean look(Repair *repair, const char *vg, const char *thin_pool, const PoolWhere *where,
                     const PoolRepairChoice *choice, GError **error)
{
  repair->name = g_strdup(thin_pool);
  repair->choice = choice ? choice : &no_choice;
  repair->where = where;
  return repair_look(repair, vg, where, error) && repair_decide(repair, error);
}

PoolRepairPlan *pool_repair_look(const char *vg, const char *thin_pool, const PoolWhere *where,
                                 const PoolRepairChoice *choice, GError **error)
{
  PoolWhere reading = *where;
  g_auto(Repair) repair = {0};

  reading.flags |= POOL_READ_ONLY;
  if (!repair_check_holder(vg, where, error) ||
      !look(&repair, vg, thin_pool, &reading, choice, error))
    return NULL;
  return repair_plan(&repair);
}

/* What it takes to run a plan. */
typedef struct {
  const char *vg, *thin_pool;
  const PoolWhere *where;
  const PoolRepairChoice *choice;
  PoolRepairPlan *plan;
  LvmOpenFunc open;
  gpointer open_data;
} Run;

/* TRUE in *again: text or spare are new, and all is to be looked at with that. */
static gboolean run_once(const Run *run, gboolean first, gboolean *again, GError **error)
{
  g_auto(Repair) repair = {.open = run->open, .open_data = run->open_data};
  g_autoptr(PoolRepairPlan) now = NULL;

  if (!look(&repair, run->vg, run->thin_pool, run->where, run->choice, error))
    return FALSE;
  now = repair_plan(&repair);
  if (!repair_plan_check(now, run->vg, repair.name, error) ||
      (first && !repair_plan_compare(run->plan, now, error)))
    return FALSE;
  *again = repair.mend || repair.spare;
  if (repair.mend)
    return repair_write_text(&repair, run->plan, error);
  return repair.spare ? repair_make_spare(&repair, run->plan, error)
                      : repair_run(&repair, run->plan, error);
}

gboolean repair_run_hooked(const char *vg, const char *thin_pool, const PoolWhere *where,
                           const PoolRepairChoice *choice, PoolRepairPlan *plan, LvmOpenFunc open,
                           gpointer user_data, GError **error)
{
  const Run run = {vg, thin_pool, where, choice, plan, open, user_data};
  gboolean again = TRUE;

  if (!repair_plan_check(plan, vg, thin_pool ? thin_pool : "", error))
    return FALSE;
  for (guint i = 0; again && i < 3; i++)
    if (!run_once(&run, i == 0, &again, error))
      return FALSE;
  return TRUE;
}

gboolean pool_repair_run(const char *vg, const char *thin_pool, const PoolWhere *where,
                         const PoolRepairChoice *choice, PoolRepairPlan *plan, GError **error)
{
  return repair_run_hooked(vg, thin_pool, where, choice, plan, NULL, NULL, error);
}
