/* virt-thin - mending a thin pool: looking and mending, from end to end
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/repair/repair-private.h"

static const PoolRepairChoice no_choice;

static gboolean look(Repair *repair, const char *vg, const char *thin_pool, const PoolWhere *where,
                     const PoolRepairChoice *choice, GError **error)
{
  repair->name = thin_pool;
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

/* TRUE in *again: text or spare are new, and all is to be looked at with that. */
static gboolean run_once(const char *vg, const char *thin_pool, const PoolWhere *where,
                         const PoolRepairChoice *choice, PoolRepairPlan *plan, gboolean first,
                         gboolean *again, GError **error)
{
  g_auto(Repair) repair = {0};
  g_autoptr(PoolRepairPlan) now = NULL;

  if (!look(&repair, vg, thin_pool, where, choice, error))
    return FALSE;
  now = repair_plan(&repair);
  if (!repair_plan_check(now, vg, repair.name, error) ||
      (first && !repair_plan_compare(plan, now, error)))
    return FALSE;
  *again = repair.mend || repair.spare;
  if (repair.mend)
    return repair_write_text(&repair, plan, error);
  return repair.spare ? repair_make_spare(&repair, plan, error) : repair_run(&repair, plan, error);
}

gboolean pool_repair_run(const char *vg, const char *thin_pool, const PoolWhere *where,
                         const PoolRepairChoice *choice, PoolRepairPlan *plan, GError **error)
{
  gboolean again = TRUE;

  if (!repair_plan_check(plan, vg, thin_pool, error))
    return FALSE;
  for (guint i = 0; again && i < 3; i++)
    if (!run_once(vg, thin_pool, where, choice, plan, i == 0, &again, error))
      return FALSE;
  return TRUE;
}
