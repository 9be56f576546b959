/* virt-thin - schedules: which volumes are meant
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: told in the report, with the item's name; what is left is done. Thread-safety: one
 * thread.
 */
#pragma once

#include "pool/pool.h"
#include "schedule/report.h"

/* A volume group of which something is meant. */
typedef struct {
  char *vg;
  GPtrArray *names; /* of char *: volumes and thin pools, as they are written */
} ScheduleTarget;

/* GPtrArray of ScheduleTarget *, the caller's. Guests are looked for in every volume group there
 * is, which are opened for reading only. */
GPtrArray *schedule_targets(const Schedule *schedule, ScheduleReport *report);

/* Volumes of one thin pool. */
typedef struct {
  char *pool;
  GPtrArray *volumes; /* of char *, NULL-terminated */
} ScheduleSet;

/* What @target means in its open @group: GPtrArray of ScheduleSet *, each volume once; the
 * caller's. A thin pool stands for its volumes but for snapshots and templates, which do not
 * change. */
GPtrArray *schedule_sets(VolumeGroup *group, const Schedule *schedule, const ScheduleTarget *target,
                         ScheduleReport *report);
/* A snapshot or a template. */
gboolean schedule_is_fixed(const PoolVolumeInfo *volume);
