/* virt-thin - schedules: a run of virt-thin backup
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/backup.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "settings/settings.h"

/* "VG/LV" each. Of char *; the caller's. */
static GPtrArray *list_volumes(const Schedule *s, const ScheduleTarget *target,
                               ScheduleReport *report)
{
  GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GError) local = NULL;
  g_autoptr(VolumeGroup) group = cli_open_patient(target->vg, POOL_READ_ONLY, &local);
  g_autoptr(GPtrArray) sets = group ? schedule_sets(group, s, target, report) : NULL;

  if (!group)
    schedule_report_failed(report, s, "%s", local->message);
  for (guint i = 0; sets && i < sets->len; i++) {
    const ScheduleSet *set = sets->pdata[i];

    for (char **name = (char **)set->volumes->pdata; *name; name++)
      g_ptr_array_add(names, g_strconcat(target->vg, "/", *name, NULL));
  }
  return names;
}

static GPtrArray *command_line(const Schedule *s, GPtrArray *volumes)
{
  GPtrArray *args = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *keep = vt_retention_format(&s->keep);
  g_auto(GStrv) rules = g_strsplit(keep, ",", -1);

  g_ptr_array_add(args, g_strdup(settings_program()));
  for (const char *const *device = cli_devices(); device && *device; device++)
    g_ptr_array_add(args, g_strconcat("--device=", *device, NULL));
  g_ptr_array_add(args, g_strdup("backup"));
  for (char **rule = rules; *rule && !vt_retention_keeps_all(&s->keep); rule++)
    g_ptr_array_add(args, g_strconcat("--", *rule, NULL));
  g_ptr_array_add(args, g_strdup("--"));
  for (guint i = 0; i < volumes->len; i++)
    g_ptr_array_add(args, g_strdup(volumes->pdata[i]));
  g_ptr_array_add(args, g_strdup(s->to));
  g_ptr_array_add(args, NULL);
  return args;
}

/* In the child: it does not outlive its schedule's run, whose lock is gone then. */
static void end_with_parent(gpointer unused)
{
  prctl(PR_SET_PDEATHSIG, SIGTERM);
}

/* What was said last, for who asks later: the rest is in the journal. The caller's; NULL: nothing. */
static char *last_line(char *said)
{
  char *line = said ? strrchr(g_strchomp(said), '\n') : NULL;

  line = line ? line + 1 : said;
  if (line && g_str_has_prefix(line, "virt-thin: "))
    line += strlen("virt-thin: ");
  return line && *line ? g_strdup(line) : NULL;
}

/* NULL: it worked; else why not. A terminal shows how far it is. */
static char *run(GPtrArray *args)
{
  g_autofree char *said = NULL, *last = NULL;
  g_autoptr(GError) local = NULL;
  gboolean seen = isatty(STDERR_FILENO);
  int status;

  if (g_spawn_sync(NULL, (char **)args->pdata, NULL, G_SPAWN_CHILD_INHERITS_STDIN, end_with_parent,
                   NULL, NULL, seen ? NULL : &said, &status, &local))
    g_spawn_check_wait_status(status, &local);
  if (said)
    fputs(said, stderr);
  if (!local)
    return NULL;
  last = last_line(said);
  return last ? g_steal_pointer(&last) : g_strdup(local->message);
}

void schedule_back_up(const Schedule *s, const ScheduleTarget *target, ScheduleReport *report)
{
  g_autoptr(GPtrArray) volumes = list_volumes(s, target, report), args = NULL;
  g_autofree char *why = NULL;

  if (volumes->len == 0)
    return;
  args = command_line(s, volumes);
  fflush(stdout);
  why = run(args);
  if (why)
    schedule_report_failed(report, s, "the backup of %s%s to %s: %s", (char *)volumes->pdata[0],
                           volumes->len > 1 ? " and others" : "", s->to, why);
  else
    report->taken += volumes->len;
}
