/* virt-thin - simulation: laws that hold whatever happened, looked at apart from the product
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "world.h"

void laws_check(World *w)
{
  g_autoptr(GPtrArray) errors = NULL, leaks = NULL;
  g_autoptr(GError) error = NULL;

  if (!pool_check(w->group, NULL, &errors, &leaks, &error)) {
    world_judge_error(w, "check", error);
    return;
  }
  if (errors->len && world_loss(w) == MODEL_RUNNING)
    sim_fail("the check finds: %s", (char *)errors->pdata[0]);
}
