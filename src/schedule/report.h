/* virt-thin - schedules: what came of a run
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: one thread.
 */
#pragma once

#include "schedule/schedule.h"

/* What came of a run. All zero is none yet. */
typedef struct {
  guint taken, removed, failed; /* volumes; snapshots; whatever was to be done */
  char *message;                /* of the first failure; NULL */
} ScheduleReport;
void schedule_report_clear(ScheduleReport *report);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ScheduleReport, schedule_report_clear)
/* Something failed: to standard error or the journal, and into @report. */
void schedule_report_failed(ScheduleReport *report, const Schedule *schedule, const char *format,
                            ...) G_GNUC_PRINTF(3, 4);
