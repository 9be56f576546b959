/* virt-thin - schedules: systemd's timers
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A schedule with a time has a unit virt-thin-schedule@NAME.timer in settings_unit_dir(), which
 * starts virt-thin-schedule@NAME.service of the template that is installed. What is there and
 * begins with our mark is ours; that of an installation in another place is not.
 *
 * Errors: VT_ERROR. Thread-safety: main thread only.
 */
#pragma once

#include "schedule/schedule.h"

/* Are its times such as systemd takes? EINVAL; EOPNOTSUPP: there is no systemd to ask. */
gboolean timers_check(const Schedule *schedule, GError **error);

/* Make the units match @schedules (of Schedule *; of those that are enabled and have a time), have
 * systemd know, and start them. Others go, but for those of @leave (names). */
gboolean timers_apply(GPtrArray *schedules, const char *const *leave, guint *n_made,
                      guint *n_removed, GError **error);
/* Remove all of ours in @folder, and disable the timer of checks; @tell: systemd, too. */
gboolean timers_remove(const char *folder, gboolean tell, guint *n_removed, GError **error);

/* When @schedule runs next, in seconds since the epoch; 0: not known, or never. */
gint64 timers_next(const Schedule *schedule);
