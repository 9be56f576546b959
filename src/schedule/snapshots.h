/* virt-thin - schedules: the snapshots that one takes, and removes again
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A snapshot of schedule NAME is called auto-2026-11-30-0100, local time (then -2, -3, where that
 * is taken), and has from its first moment on the tag
 *
 *     virt-thin-schedule=NAME/SECONDS     seconds since the epoch
 *
 * What has both, name and tag, is the schedule's to remove; renamed to something else it is the
 * user's, and what was received from another host that host's. The tags are all that is known from
 * one run to the next: what a run that was killed has not removed, the next one does.
 *
 * Errors: VT_ERROR. Thread-safety: one thread.
 */
#pragma once

#include "schedule/history.h"
#include "schedule/targets.h"

/* A snapshot of @volumes of thin pool @pool, at one instant, at time @now. ENOSPC: also when the
 * pool is full, for then every block that a snapshot shares needs a new one to be written. */
gboolean schedule_snapshots_take(VolumeGroup *group, const Schedule *schedule, const char *pool,
                                 const char *const *volumes, gint64 now, GError **error);
/* Remove what the rules do not keep, of each volume's for itself. What is of after @now is neither
 * counted nor removed: the clock was wrong once. */
void schedule_snapshots_prune(VolumeGroup *group, const Schedule *schedule, gint64 now,
                              ScheduleReport *report);
/* Remove them all. */
void schedule_snapshots_remove(VolumeGroup *group, const Schedule *schedule,
                               ScheduleReport *report);
/* What a run does in open @group: a snapshot of each set of volumes that @target means, and the
 * removal of those that are not kept. */
void schedule_snapshots_run(VolumeGroup *group, const Schedule *schedule,
                            const ScheduleTarget *target, gint64 now, ScheduleReport *report);
/* Remove LVs @names (of char *; a NULL is added). */
void schedule_snapshots_remove_named(VolumeGroup *group, const char *vg, const Schedule *schedule,
                                     GPtrArray *names, ScheduleReport *report);
