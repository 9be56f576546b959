/* virt-thin - schedules: what came of a run
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/report.h"

#include <stdarg.h>

void schedule_report_clear(ScheduleReport *report)
{
  g_clear_pointer(&report->message, g_free);
}

void schedule_report_failed(ScheduleReport *report, const Schedule *s, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start(args, format);
  text = g_strdup_vprintf(format, args);
  va_end(args);
  g_warning("schedule %s: %s", s->name, text);
  report->failed++;
  if (!report->message)
    report->message = g_steal_pointer(&text);
}
