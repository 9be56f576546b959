/* virt-thin - schedules: replicas of volumes in another host's thin pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A run takes a snapshot, has `virt-thin send` write to `ssh HOST virt-thin receive` what has
 * changed since the newest one that both hosts have, and removes on both what the rules do not
 * keep. What both have is known by name and tag (snapshots.h), which travel; that is all there is
 * to know, so the next run goes on wherever one was ended:
 *
 *     killed, or the network gone        and the next run finds
 *     before or while it is sent         a snapshot that the other host has not: removed; what the
 *                                        other host has of it is no volume, and its next receive
 *                                        removes it
 *     after that                         a snapshot that both have, from which it goes on
 *     while it removes                   what is left to remove
 *
 * The newest snapshot that both have is never removed. Thread-safety: main thread only.
 */
#pragma once

#include "schedule/targets.h"

void schedule_replicate(const Schedule *schedule, const ScheduleTarget *target, gint64 now,
                        ScheduleReport *report);
