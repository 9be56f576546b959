/* virt-thin - schedules: a run of virt-thin backup
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/backup.h"

#include "cli/cli.h"
#include "schedule/spawn.h"

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
  GPtrArray *args = spawn_virt_thin("backup");
  g_autofree char *keep = vt_keep_format(&s->keep);
  g_auto(GStrv) rules = g_strsplit(keep, ",", -1);

  for (char **rule = rules; *rule && !vt_keep_is_all(&s->keep); rule++)
    g_ptr_array_add(args, g_strconcat("--", *rule, NULL));
  g_ptr_array_add(args, g_strdup("--"));
  for (guint i = 0; i < volumes->len; i++)
    g_ptr_array_add(args, g_strdup(volumes->pdata[i]));
  g_ptr_array_add(args, g_strdup(s->to));
  g_ptr_array_add(args, NULL);
  return args;
}

void schedule_back_up(const Schedule *s, const ScheduleTarget *target, ScheduleReport *report)
{
  g_autoptr(GPtrArray) volumes = list_volumes(s, target, report), args = NULL;
  g_autofree char *why = NULL;

  if (volumes->len == 0)
    return;
  args = command_line(s, volumes);
  why = spawn_run(args, NULL);
  if (why)
    schedule_report_failed(report, s, "the backup of %s%s to %s: %s", (char *)volumes->pdata[0],
                           volumes->len > 1 ? " and others" : "", s->to, why);
  else
    report->taken += volumes->len;
}
