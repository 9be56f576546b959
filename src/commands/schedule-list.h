/* virt-thin - command schedule list: a table, or JSON
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Main thread only.
 */
#pragma once

#include "schedule/schedule.h"

/* @schedules: of Schedule *. What cannot be told shows as "-" or null. */
void schedule_list_print(GPtrArray *schedules, gboolean json);
