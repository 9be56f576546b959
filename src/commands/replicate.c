/* virt-thin - command replicate: replicas of volumes on another host, now
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A run of a schedule that is in no file; its name, by which it knows its own snapshots from one
 * run to the next, is made from where they go.
 */
#include <stdio.h>
#include <string.h>

#include "commands/commands.h"
#include "schedule/run.h"

static char *ssh;
static VtKeep keep;

static gboolean set_keep(const char *option, const char *value, gpointer unused, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (vt_keep_set(&keep, option + strlen("--"), value, &local))
    return TRUE;
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s", local->message);
  return FALSE;
}

static int run_replicate(char **args, GError **error)
{
  guint n = g_strv_length(args) - 1;
  g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, args[n], -1),
                  *name = g_strdup_printf("replicate-%.12s", digest), *to = args[n];
  Schedule s = {.name = name, .kind = SCHEDULE_REPLICATE, .what = args, .to = to, .ssh = ssh};
  g_auto(ScheduleReport) report = {0};
  g_autoptr(GError) local = NULL;
  gboolean ok;

  args[n] = NULL;
  s.keep = keep;
  if (vt_keep_is_all(&keep))
    s.keep.rules.last = 1;
  if (!schedule_check(&s, &local))
    return cli_usage(error, "%s", local->message), CLI_WRONG_USAGE;
  ok = schedule_run_alone(&s, &report, error);
  if (ok)
    printf("%u snapshots sent, %u removed\n", report.taken, report.removed);
  return cli_status(ok);
}

#define KEEP(name, what)                                                                           \
  {                                                                                                \
    name, 0, 0, G_OPTION_ARG_CALLBACK, (gpointer)set_keep, "Keep the newest of so many " what, "N" \
  }

static const GOptionEntry options[] = {
    {"keep-last", 0, 0, G_OPTION_ARG_CALLBACK, (gpointer)set_keep,
     "Keep so many, the newest (default: 1)", "N"},
    KEEP("keep-hourly", "hours"),
    KEEP("keep-daily", "days"),
    KEEP("keep-weekly", "weeks"),
    KEEP("keep-monthly", "months"),
    KEEP("keep-yearly", "years"),
    {"keep-within", 0, 0, G_OPTION_ARG_CALLBACK, (gpointer)set_keep,
     "Keep all of that time before the newest: 7d, 1y6m", "SPAN"},
    {"ssh", 0, 0, G_OPTION_ARG_STRING, &ssh, "The command that leads there", "COMMAND"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_replicate = {
    .name = "replicate",
    .arguments = "VG/LV|VG/POOL|VMID... HOST:VG/POOL",
    .summary = "Bring volumes to another host, or what has changed of them",
    .description =
        "Takes a snapshot, has virt-thin send write to virt-thin receive there, by ssh, what has "
        "changed since the\nlast time, and removes what is not kept, here and there. A run that "
        "is interrupted is gone on with by the next.\nvirt-thin schedule has it done again and "
        "again.\n\nExample: virt-thin replicate pve/vm-101-disk-0 other:pve2/data --keep-daily 7",
    .options = options,
    .min_args = 2,
    .max_args = -1,
    .run = run_replicate,
};
