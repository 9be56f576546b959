/* virt-thin - simulation: a world in a process of its own
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "run.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

Outcome *sim_outcome;
gboolean sim_is_child;

static const char *const event_names[] = {"cut",      "kill",  "fail",  "full",   "delay",
                                          "stranger", "admin", "small", "clients"};

/* --- words --- */

char *events_format(guint events)
{
  GString *text = g_string_new(NULL);

  for (guint i = 0; i < G_N_ELEMENTS(event_names); i++)
    if (events >> i & 1)
      g_string_append_printf(text, "%s%s", text->len ? "," : "", event_names[i]);
  return g_string_free(text, FALSE);
}

gboolean events_parse(const char *words, guint *events)
{
  g_auto(GStrv) all = g_strsplit(words, ",", -1);

  *events = 0;
  for (char **word = all; *word; word++) {
    guint i = 0;

    while (i < G_N_ELEMENTS(event_names) && strcmp(*word, event_names[i]) != 0)
      i++;
    if (i == G_N_ELEMENTS(event_names) && **word)
      return FALSE;
    *events |= **word ? 1u << i : 0;
  }
  return TRUE;
}

char *plan_options(const SimPlan *plan)
{
  GString *text = g_string_new(NULL);
  g_autofree char *events = events_format(plan->events);

  g_string_append_printf(
      text, "--seed %" G_GUINT64_FORMAT " --worlds 1 --epochs %u --ops %u --workers %u --events %s",
      plan->seed, plan->epochs, plan->ops, plan->workers, events);
  if (plan->kinds != G_MAXUINT16)
    g_string_append_printf(text, " --guest-kinds 0x%x", plan->kinds);
  if (plan->admin_kinds != G_MAXUINT16)
    g_string_append_printf(text, " --admin-kinds 0x%x", plan->admin_kinds);
  if (plan->judges)
    g_string_append(text, " --judges");
  if (plan->last_ops)
    g_string_append_printf(text, " --last-ops %u", plan->last_ops);
  for (guint i = 0; i < G_N_ELEMENTS(plan->skip_epochs) && plan->skip_epochs[i]; i++)
    g_string_append_printf(text, "%s%u", i ? "," : " --skip ", plan->skip_epochs[i] - 1);
  if (sim_break)
    g_string_append_printf(text, " --break %s", sim_break_names[sim_break]);
  return g_string_free(text, FALSE);
}

/* --- children --- */

static void be_quiet(void)
{
  int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

  dup2(nowhere, STDOUT_FILENO);
  dup2(nowhere, STDERR_FILENO);
}

/* One that is ended by a signal has failed, too. */
static Outcome child(void (*func)(const SimPlan *plan, gpointer data), const SimPlan *plan,
                     gpointer data, guint seconds)
{
  Outcome outcome;
  pid_t pid;
  int status = 0;

  if (!sim_outcome)
    sim_outcome =
        mmap(NULL, sizeof *sim_outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  memset(sim_outcome, 0, sizeof *sim_outcome);
  fflush(stdout);
  pid = fork();
  if (pid == 0) {
    be_quiet();
    sim_is_child = TRUE;
    alarm(seconds);
    func(plan, data);
    _exit(0);
  }
  waitpid(pid, &status, 0);
  outcome = *sim_outcome;
  outcome.failed = status != 0;
  if (WIFSIGNALED(status))
    g_snprintf(outcome.kind, sizeof outcome.kind, "signal %d", WTERMSIG(status));
  return outcome;
}

static void run_one(const SimPlan *plan, gpointer data)
{
  world_run(plan);
}

Outcome run_apart(const SimPlan *plan, guint seconds)
{
  return child(run_one, plan, NULL, seconds);
}

static void run_many(const SimPlan *plan, gpointer data)
{
  SimPlan next = *plan;

  for (guint64 *n = data;; next.seed++, (*n)++)
    world_run(&next);
}

gboolean run_until_failure(const SimPlan *plan, guint seconds, guint64 *n_worlds)
{
  guint64 *n = mmap(NULL, sizeof *n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Outcome outcome = child(run_many, plan, n, seconds);

  *n_worlds = *n + 1;
  munmap(n, sizeof *n);
  return outcome.failed && strcmp(outcome.kind, "signal 14") != 0;
}
