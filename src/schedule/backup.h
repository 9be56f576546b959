/* virt-thin - schedules: a run of virt-thin backup
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: main thread only.
 */
#pragma once

#include "schedule/targets.h"

/* Back up what @target means, by a process of its own, which ends when this one does. The volume
 * group is open nowhere else here meanwhile. */
void schedule_back_up(const Schedule *schedule, const ScheduleTarget *target,
                      ScheduleReport *report);
