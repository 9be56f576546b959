/* virt-thin - schedules: a run
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each volume group and thin pool for itself: what fails is told, and the rest is done.
 * Thread-safety: main thread only.
 */
#pragma once

#include "schedule/report.h"

/* Do it now. What came of it is in @report. */
void schedule_run(const Schedule *schedule, gint64 now, ScheduleReport *report);
/* Remove what the schedule has made, of the volume groups it names now. */
void schedule_run_removal(const Schedule *schedule, ScheduleReport *report);

/* --- what is remembered of runs, to be shown: nothing depends on it --- */

typedef struct {
  gint64 start, end; /* of the last one, seconds since the epoch; 0: not yet */
  gboolean running;
  guint taken, removed, failed; /* ScheduleReport */
  guint failures;               /* runs in a row that failed or did not come to an end */
  char *message;                /* NULL */
} ScheduleState;
void schedule_state_free(ScheduleState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ScheduleState, schedule_state_free)
ScheduleState *schedule_state_load(const char *name);
void schedule_state_forget(const char *name);

/* schedule_run() under the schedule's lock, remembered. EBUSY: another run of it is under way; else
 * the error says what failed. */
gboolean schedule_run_alone(const Schedule *schedule, ScheduleReport *report, GError **error);
