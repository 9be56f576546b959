/* virt-thin - simulation: a failure with as little as it takes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each attempt leaves something out and lives the world again; it is kept when the same law is
 * broken.
 */
#include <stdio.h>
#include <string.h>

#include "run.h"

#define SECONDS 30 /* for one attempt */
#define ROUNDS 4
#define KINDS 16 /* of guests' and administrators' operations, at most */

static Outcome wanted;
static guint n_attempts;

/* Keep @smaller if it fails like *@plan. */
static gboolean keep(SimPlan *plan, const SimPlan *smaller)
{
  Outcome outcome = run_apart(smaller, SECONDS);

  n_attempts++;
  if (!outcome.failed || strcmp(outcome.kind, wanted.kind) != 0)
    return FALSE;
  *plan = *smaller;
  if (outcome.epoch + 1 < plan->epochs)
    plan->epochs = outcome.epoch + 1;
  return TRUE;
}

static gboolean without_bits(SimPlan *plan, gsize where, guint n)
{
  gboolean any = FALSE;

  for (guint i = 0; i < n; i++) {
    SimPlan smaller = *plan;
    guint *bits = (guint *)(gpointer)((char *)&smaller + where);

    if (!(*bits >> i & 1))
      continue;
    *bits &= ~(1u << i);
    any |= keep(plan, &smaller);
  }
  return any;
}

static gboolean is_skipped(const SimPlan *plan, guint epoch)
{
  for (guint i = 0; i < G_N_ELEMENTS(plan->skip_epochs) && plan->skip_epochs[i]; i++)
    if (plan->skip_epochs[i] == epoch + 1)
      return TRUE;
  return FALSE;
}

static gboolean add_skip(SimPlan *plan, guint epoch)
{
  guint i = 0;

  while (i < G_N_ELEMENTS(plan->skip_epochs) && plan->skip_epochs[i])
    i++;
  if (i == G_N_ELEMENTS(plan->skip_epochs))
    return FALSE;
  plan->skip_epochs[i] = epoch + 1;
  return TRUE;
}

/* Stretches of epochs, long ones first. */
static gboolean without_epochs(SimPlan *plan)
{
  gboolean any = FALSE;

  for (guint n = MAX(plan->epochs / 2, 1); n > 0; n /= 2)
    for (guint first = 0; first + n < plan->epochs; first += n) {
      SimPlan smaller = *plan;
      gboolean more = FALSE;

      for (guint e = first; e < first + n; e++)
        if (!is_skipped(&smaller, e))
          more |= add_skip(&smaller, e);
      any |= more && keep(plan, &smaller);
    }
  return any;
}

static gboolean with_less(SimPlan *plan, gsize where, guint most)
{
  gboolean any = FALSE;

  for (guint step = MAX(most / 2, 1); step > 0; step /= 2) {
    SimPlan smaller = *plan;
    guint *value = (guint *)(gpointer)((char *)&smaller + where);

    *value = *value ? *value : most;
    if (*value <= step)
      continue;
    *value -= step;
    any |= keep(plan, &smaller);
  }
  return any;
}

void shrink(SimPlan *plan)
{
  gboolean any = TRUE;

  wanted = run_apart(plan, SECONDS);
  if (!wanted.failed) {
    printf("# it does not fail again\n");
    return;
  }
  plan->epochs = MIN(plan->epochs, wanted.epoch + 1);
  for (guint round = 0; any && round < ROUNDS; round++) {
    any = without_bits(plan, G_STRUCT_OFFSET(SimPlan, events), 9);
    any |= without_epochs(plan);
    any |= with_less(plan, G_STRUCT_OFFSET(SimPlan, workers), plan->workers);
    any |= with_less(plan, G_STRUCT_OFFSET(SimPlan, last_ops), plan->ops);
    any |= without_bits(plan, G_STRUCT_OFFSET(SimPlan, kinds), KINDS);
    any |= without_bits(plan, G_STRUCT_OFFSET(SimPlan, admin_kinds), KINDS);
  }
  printf("# made smaller in %u attempts\n", n_attempts);
}
