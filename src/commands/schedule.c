/* virt-thin - commands schedule add, remove, list, run, enable, disable, apply
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The schedules are sections of virt-thin.conf; what is done is in src/schedule.
 */
#include "schedule/schedule.h"

#include <stdio.h>
#include <string.h>

#include "cli/refresh.h"
#include "commands/commands.h"
#include "commands/schedule-list.h"
#include "schedule/run.h"
#include "schedule/timers.h"
#include "util/systemd.h"

static char *when, *delay, *to, *ssh;
static gboolean disabled, snapshots, json;
static VtKeep keep;
static gboolean keep_all;

static const GOptionEntry no_more = {NULL, 0, 0, 0, NULL, NULL, NULL};

/* --- timers follow the file --- */

/* Schedules of @file that make sense; the names of the others in @broken, told if @told. */
static GPtrArray *read_all(ScheduleFile *file, GPtrArray *broken, gboolean told)
{
  GPtrArray *schedules = g_ptr_array_new_with_free_func((GDestroyNotify)schedule_free);
  g_auto(GStrv) names = schedule_file_names(file);

  for (char **name = names; *name; name++) {
    g_autoptr(GError) local = NULL;
    g_autoptr(Schedule) s = schedule_file_get(file, *name, &local);

    if (s && (!told || !s->enabled || timers_check(s, &local))) {
      g_ptr_array_add(schedules, g_steal_pointer(&s));
      continue;
    }
    if (told)
      cli_warn("%s", local->message);
    g_ptr_array_add(broken, g_strdup(*name));
  }
  return schedules;
}

/* Where no systemd runs, somebody may think that one does. */
static void warn_without_systemd(GPtrArray *schedules)
{
  gboolean any = FALSE;

  for (guint i = 0; i < schedules->len; i++) {
    const Schedule *s = schedules->pdata[i];

    any = any || (s->enabled && s->when);
  }
  if (any && !g_getenv("VIRT_THIN_UNIT_DIR") && !systemd_runs())
    cli_warn("systemd does not run here: no timer counts before it does");
}

/* FALSE, too, when a section makes no sense: its timer stays as it is. @check: all, or but those
 * that are new. */
static gboolean apply(ScheduleFile *file, gboolean check, GError **error)
{
  g_autoptr(GPtrArray) broken = g_ptr_array_new_with_free_func(g_free),
                       schedules = read_all(file, broken, check);
  guint n_broken = broken->len, n_made, n_removed;

  g_ptr_array_add(broken, NULL);
  if (!timers_apply(schedules, (const char *const *)broken->pdata, &n_made, &n_removed, error))
    return FALSE;
  warn_without_systemd(schedules);
  if (check)
    printf("%u schedules: %u timers made or changed, %u removed\n", schedules->len, n_made,
           n_removed);
  return !check || n_broken == 0;
}

/* The file first: a timer without its section would fail at each run. */
static gboolean save_and_apply(ScheduleFile *file, GError **error)
{
  if (!schedule_file_save(file, error))
    return FALSE;
  if (apply(file, FALSE, error))
    return TRUE;
  g_prefix_error(error, "virt-thin.conf is changed, but systemd's timers do not follow; virt-thin "
                        "schedule apply tries again: ");
  return FALSE;
}

static int run_apply(char **args, GError **error)
{
  g_autoptr(ScheduleFile) file = schedule_file_open(TRUE, error);

  return cli_status(file && apply(file, TRUE, error));
}

static const CliCommand schedule_apply = {
    .name = "apply",
    .arguments = "",
    .summary = "Make systemd's timers what virt-thin.conf says",
    .description = "For sections [schedule NAME] that were written or changed by hand. A section "
                   "that makes no sense is told, and its timer left as it is.",
    .max_args = 0,
    .run = run_apply,
};

/* --- add --- */

static gboolean set_keep(const char *option, const char *value, gpointer unused, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (vt_keep_set(&keep, option + strlen("--"), value, &local))
    return TRUE;
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s", local->message);
  return FALSE;
}

#define KEEP(name, what)                                                                           \
  {                                                                                                \
    name, 0, 0, G_OPTION_ARG_CALLBACK, (gpointer)set_keep, "Keep the newest of so many " what, "N" \
  }

static const GOptionEntry add_options[] = {
    {"when", 0, 0, G_OPTION_ARG_STRING, &when,
     "When, as systemd's calendar has it (systemd.time(7)): daily, 'Mon..Fri 22:30'; without it "
     "nothing runs it by itself",
     "CALENDAR"},
    {"delay", 0, 0, G_OPTION_ARG_STRING, &delay, "Up to that much later, at random: 10min", "SPAN"},
    {"to", 0, 0, G_OPTION_ARG_FILENAME, &to,
     "Of a backup: its folder; of replicas: where they go, HOST:VG/POOL", "DIR"},
    {"ssh", 0, 0, G_OPTION_ARG_STRING, &ssh, "Of replicas: the command that leads there",
     "COMMAND"},
    {"keep-last", 0, 0, G_OPTION_ARG_CALLBACK, (gpointer)set_keep, "Keep so many, the newest", "N"},
    KEEP("keep-hourly", "hours"),
    KEEP("keep-daily", "days"),
    KEEP("keep-weekly", "weeks"),
    KEEP("keep-monthly", "months"),
    KEEP("keep-yearly", "years"),
    {"keep-within", 0, 0, G_OPTION_ARG_CALLBACK, (gpointer)set_keep,
     "Keep all of that time before the newest: 7d, 1y6m", "SPAN"},
    {"keep-all", 0, 0, G_OPTION_ARG_NONE, &keep_all, "Remove none", NULL},
    {"disabled", 0, 0, G_OPTION_ARG_NONE, &disabled, "Without a timer, until it is enabled", NULL},
    no_more,
};

static gboolean check_keep(ScheduleKind kind, GError **error)
{
  gboolean none = vt_keep_is_all(&keep);

  if (keep_all && !none)
    return cli_usage(error, "--keep-all and another --keep contradict each other");
  return !none || keep_all || kind == SCHEDULE_BACKUP ||
         cli_usage(error, "how many snapshots are to be kept? Give --keep-daily 7 or the like, or "
                          "--keep-all");
}

static int run_add(char **args, GError **error)
{
  Schedule s = {.name = args[0],
                .what = args + 2,
                .when = when,
                .delay = delay,
                .to = to,
                .ssh = ssh,
                .enabled = !disabled};
  g_autoptr(ScheduleFile) file = NULL;
  g_autoptr(GError) local = NULL;

  if (!schedule_check_name(s.name, &local) || !schedule_parse_kind(args[1], &s.kind, &local) ||
      !schedule_check(&s, &local))
    return cli_usage(error, "%s", local->message), CLI_WRONG_USAGE;
  if (!check_keep(s.kind, error))
    return CLI_WRONG_USAGE;
  s.keep = keep;
  if (!timers_check(&s, error))
    return CLI_FAILED;
  file = schedule_file_open(TRUE, error);
  return cli_status(file && schedule_file_add(file, &s, error) && save_and_apply(file, error));
}

static const CliCommand schedule_add = {
    .name = "add",
    .arguments = "NAME KIND VG/LV|VG/POOL|VMID...",
    .summary = "Have something done again and again",
    .description =
        "KIND is snapshot, backup or replicate. A pool stands for its volumes, a VMID for all "
        "volumes of that guest. Volumes of one pool "
        "are done at\none instant. The rules of what is kept are Proxmox VE's; user's snapshots "
        "are left alone. A backup is what virt-thin backup makes, "
        "with its rules; replicas are "
        "snapshots that virt-thin send and receive bring to another\nhost, by ssh.\n\nExample: "
        "virt-thin schedule add nightly snapshot pve/data --when "
        "'*-*-* 01:00' --keep-daily 7 --keep-weekly 4",
    .options = add_options,
    .min_args = 3,
    .max_args = -1,
    .run = run_add,
};

/* --- remove, enable, disable --- */

/* What it has made goes first: afterwards nobody knows it any more. */
static gboolean remove_made(ScheduleFile *file, const char *name, GError **error)
{
  g_autoptr(Schedule) s = schedule_file_get(file, name, error);
  g_auto(ScheduleReport) report = {0};

  if (!s)
    return FALSE;
  schedule_run_removal(s, &report);
  if (report.failed)
    return vt_set_error(error, EIO, "schedule %s is left, as not all of its snapshots are gone: %s",
                        name, report.message);
  printf("%u snapshots removed\n", report.removed);
  return TRUE;
}

static int run_remove(char **args, GError **error)
{
  g_autoptr(ScheduleFile) file = schedule_file_open(TRUE, error);
  g_autoptr(ScheduleState) state =
      schedule_check_name(args[0], NULL) ? schedule_state_load(args[0]) : NULL;

  if (!file)
    return CLI_FAILED;
  if (state && state->running)
    return vt_set_error(error, EBUSY, "schedule %s is running: remove it when that is over",
                        args[0]),
           CLI_FAILED;
  if ((snapshots && !remove_made(file, args[0], error)) ||
      !schedule_file_remove(file, args[0], error) || !save_and_apply(file, error))
    return CLI_FAILED;
  if (state)
    schedule_state_forget(args[0]);
  return CLI_OK;
}

static const GOptionEntry remove_options[] = {
    {"snapshots", 0, 0, G_OPTION_ARG_NONE, &snapshots, "And all snapshots that it has taken", NULL},
    no_more,
};

static const CliCommand schedule_remove = {
    .name = "remove",
    .arguments = "NAME",
    .summary = "Take a schedule out of virt-thin.conf, and its timer away",
    .options = remove_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_remove,
};

static gboolean set_enabled(char **names, gboolean enabled, GError **error)
{
  g_autoptr(ScheduleFile) file = schedule_file_open(TRUE, error);

  if (!file)
    return FALSE;
  for (char **name = names; *name; name++) {
    g_autoptr(Schedule) s = schedule_file_get(file, *name, error);

    if (!s || (enabled && !timers_check(s, error)) ||
        !schedule_file_enable(file, *name, enabled, error))
      return FALSE;
  }
  return save_and_apply(file, error);
}

static int run_enable(char **args, GError **error)
{
  return cli_status(set_enabled(args, TRUE, error));
}

static int run_disable(char **args, GError **error)
{
  return cli_status(set_enabled(args, FALSE, error));
}

static const CliCommand schedule_enable = {
    .name = "enable",
    .arguments = "NAME...",
    .summary = "Let schedules run by themselves again",
    .min_args = 1,
    .max_args = -1,
    .run = run_enable,
};

static const CliCommand schedule_disable = {
    .name = "disable",
    .arguments = "NAME...",
    .summary = "Keep schedules, but let none of them run by itself",
    .min_args = 1,
    .max_args = -1,
    .run = run_disable,
};

/* --- run --- */

static const char *const done[] = {[SCHEDULE_SNAPSHOT] = "snapshots taken",
                                   [SCHEDULE_BACKUP] = "volumes backed up",
                                   [SCHEDULE_REPLICATE] = "snapshots sent"};

static int run_run(char **args, GError **error)
{
  g_autoptr(ScheduleFile) file = schedule_file_open(FALSE, error);
  g_autoptr(Schedule) s = file ? schedule_file_get(file, args[0], error) : NULL;
  g_auto(ScheduleReport) report = {0};
  gboolean ok;

  if (!s)
    return CLI_FAILED;
  ok = schedule_run_alone(s, &report, error);
  if (!ok)
    cli_refresh_now(); /* what was done shows, whatever was not */
  if (ok)
    printf("schedule %s: %u %s, %u removed\n", s->name, report.taken, done[s->kind],
           report.removed);
  return cli_status(ok);
}

static const CliCommand schedule_run_command = {
    .name = "run",
    .arguments = "NAME",
    .summary = "Do what a schedule says, now",
    .description = "What fails is told, and the rest is done; the exit status is 1 then. One run "
                   "of a schedule at a time.",
    .min_args = 1,
    .max_args = 1,
    .run = run_run,
};

/* --- list --- */

static int run_list(char **args, GError **error)
{
  g_autoptr(ScheduleFile) file = schedule_file_open(FALSE, error);
  g_autoptr(GPtrArray) broken = g_ptr_array_new_with_free_func(g_free), schedules = NULL;

  if (!file)
    return CLI_FAILED;
  schedules = read_all(file, broken, FALSE);
  schedule_list_print(schedules, json);
  for (guint i = 0; i < broken->len; i++) {
    g_autoptr(GError) local = NULL;

    schedule_free(schedule_file_get(file, broken->pdata[i], &local));
    cli_warn("%s", local->message);
  }
  return cli_status(broken->len == 0);
}

static const GOptionEntry list_options[] = {
    {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON, times in seconds since the epoch", NULL},
    no_more,
};

static const CliCommand schedule_list = {
    .name = "list",
    .arguments = "",
    .summary = "Schedules: what, when, and what came of the last run",
    .options = list_options,
    .max_args = 0,
    .run = run_list,
};

/* --- the group --- */

static const CliCommand *const commands[] = {
    &schedule_add,    &schedule_remove,      NULL,
    &schedule_list,   &schedule_run_command, NULL,
    &schedule_enable, &schedule_disable,     &schedule_apply,
    &cli_end,
};

const CliCommand cli_schedule = {
    .name = "schedule",
    .summary = "Snapshots that are taken, and removed again, by systemd's timers",
    .description = "Schedules are sections [schedule NAME] of virt-thin.conf(5). No process of "
                   "virt-thin's waits for their time.",
    .commands = commands,
};
