/* virt-thin - simulation: the program
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: sim [OPTION...]; see --help and README.md
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "world.h"

static SimPlan plan = {.events = SIM_ALL_EVENTS & ~SIM_CLIENTS,
                       .epochs = 20,
                       .ops = 40,
                       .workers = 3,
                       .kinds = G_MAXUINT,
                       .admin_kinds = G_MAXUINT};

void sim_fail(const char *format, ...)
{
  va_list args;

  printf("not ok 1 - seed %" G_GUINT64_FORMAT ": ", plan.seed);
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  printf("\n# at step %" G_GUINT64_FORMAT "\n", sim_n_points());
  fflush(stdout);
  _Exit(1);
}

static void quiet(const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
  if (level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR))
    sim_fail("%s", message);
  sim_trace("log: %s", message);
}

int main(int argc, char **argv)
{
  guint64 seed = argc > 1 ? g_ascii_strtoull(argv[1], NULL, 10) : 1, n = argc > 2 ? atoi(argv[2]) : 1;

  setvbuf(stdout, NULL, _IOLBF, 0);
  g_setenv("VIRT_THIN_CONFIG", "/dev/null", TRUE);
  g_setenv("VIRT_THIN_STATE_DIR", "/sim", TRUE);
  g_log_set_default_handler(quiet, NULL);
  sim_verbose = argc > 3;
  for (guint64 i = 0; i < n; i++) {
    plan.seed = seed + i;
    guint64 digest = world_run(&plan);
    if (n < 5)
      printf("# seed %" G_GUINT64_FORMAT " digest %016" G_GINT64_MODIFIER "x\n", plan.seed, digest);
  }
  printf("# %lu worlds %lu ops, %lu changes, %lu cuts, %lu kills, %lu peaceful, %lu refused, %lu sectors %lu points eio %u full %u\n", sim_totals.worlds, sim_totals.ops,
         sim_totals.changes, sim_totals.cuts, sim_totals.kills, sim_totals.peaceful, sim_totals.refused,
         sim_totals.sectors, sim_totals.points, sim_n_eio, sim_n_full);
  return 0;
}
