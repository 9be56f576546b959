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
 *     before the host is told            snapshots that both have, but not that they are a whole
 *                                        guest: until the next run tells of its own, the host has
 *                                        those of the run before, which are not removed
 *
 * The newest snapshot that both have is never removed; nor is on the other host what is of a guest
 * that has not come whole this time: failover (failover.h) takes the newest that has.
 * Thread-safety: main thread only.
 */
#pragma once

#include "schedule/targets.h"

/* @targets: GPtrArray of ScheduleTarget *. */
void schedule_replicate(const Schedule *schedule, GPtrArray *targets, gint64 now,
                        ScheduleReport *report);
