/* virt-thin - simulation: worlds that are tried in processes of their own, and made smaller
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "world.h"

typedef struct {
  gboolean failed;
  guint epoch;
  char kind[48]; /* what failed, without its particulars */
} Outcome;
/* Of the world under way, in memory that outlives it. */
extern Outcome *sim_outcome;
extern gboolean sim_is_child;

/* Live @plan's world in a child; what it prints goes nowhere. More than @seconds are a failure. */
Outcome run_apart(const SimPlan *plan, guint seconds);
/* Worlds from @plan's seed on, until one fails (TRUE), or @seconds are over. */
gboolean run_until_failure(const SimPlan *plan, guint seconds, guint64 *n_worlds);

/* @plan fails: leave out what it fails without. */
void shrink(SimPlan *plan);

/* The options that mean @plan. The caller's. */
char *plan_options(const SimPlan *plan);

/* "cut,kill" and back; FALSE: there is no such word. */
char *events_format(guint events);
gboolean events_parse(const char *words, guint *events);
