/* virt-thin - simulation: the program
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Without options it is a test: known mistakes are found, the same seed does the same, and worlds
 * from a fresh seed hold. README.md tells the rest.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "run.h"
#include "service.h"

#define SHORT_SECONDS 15
#define LONG_SECONDS 3600
#define BREAK_SECONDS 60 /* in which each known mistake must be found */

static SimPlan plan = {.events = SIM_ALL_EVENTS,
                       .epochs = 20,
                       .ops = 40,
                       .workers = 3,
                       .kinds = G_MAXUINT16,
                       .admin_kinds = G_MAXUINT16};
static gint64 option_seed = -1;
static gint option_worlds, option_epochs, option_ops, option_workers, option_last_ops;
static gint64 option_guest_kinds = G_MAXUINT16, option_admin_kinds = G_MAXUINT16;
static double option_minutes;
static gboolean option_forever, option_judges, option_verbose, option_shrink, option_as_it_is;
static char *option_events, *option_skip, *option_break;

static const GOptionEntry entries[] = {
    {"seed", 0, 0, G_OPTION_ARG_INT64, &option_seed, "of the first world", "N"},
    {"worlds", 0, 0, G_OPTION_ARG_INT, &option_worlds, "how many, one seed after the other", "N"},
    {"minutes", 0, 0, G_OPTION_ARG_DOUBLE, &option_minutes, "worlds for so long", "N"},
    {"forever", 0, 0, G_OPTION_ARG_NONE, &option_forever, "worlds without an end", NULL},
    {"epochs", 0, 0, G_OPTION_ARG_INT, &option_epochs, "lives of engines in a world", "N"},
    {"ops", 0, 0, G_OPTION_ARG_INT, &option_ops, "operations of each guest in an epoch", "N"},
    {"workers", 0, 0, G_OPTION_ARG_INT, &option_workers, "guests", "N"},
    {"events", 0, 0, G_OPTION_ARG_STRING, &option_events,
     "of cut,kill,fail,full,delay,stranger,admin,small,clients", "LIST"},
    {"break", 0, 0, G_OPTION_ARG_STRING, &option_break,
     "make a mistake: flush, data, superblock, write, text, journal", "NAME"},
    {"judges", 0, 0, G_OPTION_ARG_NONE, &option_judges,
     "ask thin_check (and as root lvm2) after every world", NULL},
    {"verbose", 0, 0, G_OPTION_ARG_NONE, &option_verbose, "tell all that happens", NULL},
    {"no-shrink", 0, 0, G_OPTION_ARG_NONE, &option_as_it_is, "leave a failure as large as it is",
     NULL},
    {"shrink", 0, 0, G_OPTION_ARG_NONE, &option_shrink, "make the failure of --seed smaller", NULL},
    {"skip", 0, 0, G_OPTION_ARG_STRING, &option_skip, "epochs in which nothing is done", "LIST"},
    {"last-ops", 0, 0, G_OPTION_ARG_INT, &option_last_ops, "--ops of the last epoch", "N"},
    {"guest-kinds", 0, 0, G_OPTION_ARG_INT64, &option_guest_kinds, "bits", "MASK"},
    {"admin-kinds", 0, 0, G_OPTION_ARG_INT64, &option_admin_kinds, "bits", "MASK"},
    {NULL}};

/* --- a failure --- */

static void run_again(const char *option)
{
  g_autofree char *options = plan_options(&plan), *line = NULL;
  g_auto(GStrv) argv = NULL;

  line = g_strdup_printf("/proc/self/exe %s %s", options, option);
  argv = g_strsplit(line, " ", -1);
  fflush(stdout);
  execv("/proc/self/exe", argv);
}

void sim_fail(const char *format, ...)
{
  g_autofree char *options = plan_options(&plan);
  va_list args;

  if (sim_is_child) {
    sim_outcome->failed = TRUE;
    sim_outcome->epoch = world_epoch();
    g_strlcpy(sim_outcome->kind, format, sizeof sim_outcome->kind);
  }
  printf("not ok - seed %" G_GUINT64_FORMAT ", epoch %u: ", plan.seed, world_epoch());
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  printf("\n# again: tests/sim/sim %s\n", options);
  fflush(stdout);
  if (!sim_is_child && !option_as_it_is && !option_verbose && !option_shrink)
    run_again("--shrink");
  _Exit(1);
}

static void quiet(const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
  if (level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR))
    sim_fail("%s", message);
  sim_trace("log: %s", message);
}

static int make_smaller(void)
{
  g_autofree char *options = NULL;

  shrink(&plan);
  options = plan_options(&plan);
  printf("# the same, smaller: tests/sim/sim %s --verbose\n", options);
  option_as_it_is = TRUE;
  world_run(&plan);
  return 1;
}

/* --- worlds --- */

static void tell_totals(double seconds)
{
  const SimTotals *t = &sim_totals;

  printf("# %" G_GUINT64_FORMAT " worlds in %.1f s: %" G_GUINT64_FORMAT
         " operations of guests, %" G_GUINT64_FORMAT " changes, %" G_GUINT64_FORMAT
         " crashes (%" G_GUINT64_FORMAT " power cuts, %" G_GUINT64_FORMAT
         " killed engines), %" G_GUINT64_FORMAT " engines ended in peace\n",
         t->worlds, seconds, t->ops, t->changes, t->cuts + t->kills, t->cuts, t->kills,
         t->peaceful);
  printf("# %u I/O errors, %u times no room, %" G_GUINT64_FORMAT
         " commits by strangers, %" G_GUINT64_FORMAT " clients hung up, %" G_GUINT64_FORMAT
         " requests refused; %" G_GUINT64_FORMAT " sectors compared, %" G_GUINT64_FORMAT
         " pools walked, %" G_GUINT64_FORMAT " lost chunks met, %" G_GUINT64_FORMAT " judged\n",
         sim_n_eio, sim_n_full, t->strangers, t->hung_up, t->refused, t->sectors, t->laws, t->leaks,
         t->judged);
  printf("# control calls: %" G_GUINT64_FORMAT " questions beside the changes, %" G_GUINT64_FORMAT
         " callers hung up, %" G_GUINT64_FORMAT " engines made way for another; %" G_GUINT64_FORMAT
         " requests to files left unanswered by engines that died\n",
         t->asked, t->calls_hung_up, t->restarts, t->replayed);
}

static void run_worlds(guint64 n, double seconds)
{
  g_autoptr(GTimer) timer = g_timer_new();

  for (guint64 i = 0; (!n || i < n) && (seconds <= 0 || g_timer_elapsed(timer, NULL) < seconds);
       i++, plan.seed++) {
    guint64 digest;

    plan.judges = option_judges || (!n && i % 400 == 399);
    digest = world_run(&plan);
    if (n && n <= 10)
      printf("# seed %" G_GUINT64_FORMAT ": trace %016" G_GINT64_MODIFIER "x\n", plan.seed, digest);
    if (!n && i % 500 == 499 && seconds > 60)
      tell_totals(g_timer_elapsed(timer, NULL));
  }
  tell_totals(g_timer_elapsed(timer, NULL));
}

/* --- as a test --- */

static gboolean is_found(SimBreak mistake)
{
  g_autoptr(GTimer) timer = g_timer_new();
  SimPlan broken = plan;
  guint64 n;
  gboolean found;

  sim_break = mistake;
  broken.events = SIM_CUT | SIM_KILL | SIM_ADMIN;
  found = run_until_failure(&broken, BREAK_SECONDS, &n);
  sim_break = SIM_BREAK_NONE;
  printf("# mistake %s: %s in world %" G_GUINT64_FORMAT " after %.1f s\n", sim_break_names[mistake],
         found ? "found" : "NOT FOUND", n, g_timer_elapsed(timer, NULL));
  return found;
}

static gboolean all_found(void)
{
  gboolean ok = TRUE;

  for (SimBreak mistake = 1; mistake < SIM_N_BREAKS; mistake++)
    ok &= is_found(mistake);
  return ok;
}

static gboolean same_again(void)
{
  SimPlan twice = plan;
  guint64 first = world_run(&twice), second = world_run(&twice);

  twice.seed++;
  return first == second && world_run(&twice) != first;
}

static int run_test(void)
{
  gboolean ok;

  printf("TAP version 13\n1..3\n# seed %" G_GUINT64_FORMAT "\n", plan.seed);
  ok = same_again();
  printf("%sok 1 - the same seed does the same\n", ok ? "" : "not ");
  if (!all_found()) {
    printf("not ok 2 - known mistakes are found\n");
    return 1;
  }
  printf("ok 2 - known mistakes are found\n");
  memset(&sim_totals, 0, sizeof sim_totals);
  run_worlds(0, g_getenv("VIRT_THIN_TEST_LONG") ? LONG_SECONDS : SHORT_SECONDS);
  printf("ok 3 - worlds from a fresh seed hold\n");
  return ok ? 0 : 1;
}

/* --- options --- */

static gboolean take_skips(const char *list)
{
  g_auto(GStrv) all = g_strsplit(list, ",", -1);
  guint n = 0;

  for (char **one = all; *one; one++, n++) {
    if (n == G_N_ELEMENTS(plan.skip_epochs))
      return FALSE;
    plan.skip_epochs[n] = (guint)g_ascii_strtoull(*one, NULL, 10) + 1;
  }
  return TRUE;
}

static gboolean take_break(const char *name)
{
  while (sim_break < SIM_N_BREAKS && strcmp(name, sim_break_names[sim_break]) != 0)
    sim_break++;
  return sim_break < SIM_N_BREAKS;
}

/* Of the machine's chance: the linker gives the simulation's to whoever asks in the usual way. */
static gboolean fresh_seed(guint32 *seed)
{
  return syscall(SYS_getrandom, seed, sizeof *seed, 0) == sizeof *seed;
}

static gboolean take_options(void)
{
  guint32 fresh = 0;

  if (option_seed < 0 && !fresh_seed(&fresh))
    return FALSE;
  plan.seed = option_seed < 0 ? fresh : (guint64)option_seed;
  plan.epochs = option_epochs ? (guint)option_epochs : plan.epochs;
  plan.ops = option_ops ? (guint)option_ops : plan.ops;
  plan.workers = option_workers ? (guint)option_workers : plan.workers;
  plan.last_ops = (guint)option_last_ops;
  plan.kinds = (guint)option_guest_kinds;
  plan.admin_kinds = (guint)option_admin_kinds;
  sim_verbose = option_verbose;
  return (!option_events || events_parse(option_events, &plan.events)) &&
         (!option_skip || take_skips(option_skip)) && (!option_break || take_break(option_break));
}

/* Addresses are the same in every run, whatever hashes them. */
static void without_chance(char **argv)
{
  int now = personality(0xffffffff);

  if (now >= 0 && !(now & ADDR_NO_RANDOMIZE) && personality(now | ADDR_NO_RANDOMIZE) >= 0)
    execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
  g_autoptr(GOptionContext) context = g_option_context_new("- a simulation of the whole system");
  g_autoptr(GError) error = NULL;

  without_chance(argv);
  setvbuf(stdout, NULL, _IOLBF, 0);
  g_setenv("VIRT_THIN_CONFIG", "/dev/null", TRUE);
  g_setenv("VIRT_THIN_STATE_DIR", "/sim", TRUE);
  g_setenv("VIRT_THIN_RUNTIME_DIR", SERVICE_RUNTIME, TRUE);
  g_log_set_default_handler(quiet, NULL);
  g_option_context_add_main_entries(context, entries, NULL);
  if (!g_option_context_parse(context, &argc, &argv, &error) || !take_options()) {
    fprintf(stderr, "sim: %s; see --help\n", error ? error->message : "no such word");
    return 2;
  }
  if (option_shrink)
    return make_smaller();
  if (!option_worlds && option_minutes <= 0 && !option_forever && option_seed < 0)
    return run_test();
  printf("# seed %" G_GUINT64_FORMAT "\n", plan.seed);
  run_worlds(option_minutes > 0 || option_forever ? 0 : (guint64)MAX(option_worlds, 1),
             option_minutes * 60);
  printf("ok\n");
  return 0;
}
