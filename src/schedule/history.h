/* virt-thin - schedules: which snapshots are a schedule's, and which of them are kept
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * By name and tag, as snapshots.h has it. Thread-safety: pure functions.
 */
#pragma once

#include "pool/pool.h"
#include "util/keep.h"

#define SCHEDULE_TAG "virt-thin-schedule="
#define SCHEDULE_NAME_PREFIX "auto-"

typedef struct {
  char *lv, *volume, *name, *pool; /* name: what it is called of its volume */
  gint64 time;
} ScheduleSnapshot;
/* @schedule's among @volumes (of PoolVolumeInfo): of ScheduleSnapshot *; the caller's.
 * Of another host's list those that it has received; of these name, pool and tags are looked at. */
GPtrArray *schedule_snapshots_list(GPtrArray *volumes, const char *schedule);
GPtrArray *schedule_snapshots_received(GPtrArray *volumes, const char *schedule);
/* Which of @snapshots are not kept, of each volume for itself: their LVs, the caller's. */
GPtrArray *schedule_snapshots_unkept(GPtrArray *snapshots, const VtKeep *keep);
