/* virt-thin - telling systemd: root's, or that of the user who asks
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: VT_ERROR, EIO with what systemctl says. Thread-safety: pure functions, which wait for
 * systemctl.
 */
#pragma once

#include "util/error.h"

/* Does one run, for root that of the machine? */
gboolean systemd_runs(void);
/* `systemctl WORD...`, `systemctl --user WORD...`. @words: NULL-terminated. */
gboolean systemd_tell(const char *const *words, GError **error);
/* Property @property of @unit, a time, in seconds since the epoch; 0: not known, or none. */
gint64 systemd_ask_time(const char *unit, const char *property);
/* Is @text what `systemd-analyze @what` takes: a calendar's event, a timespan? EINVAL says what it
 * says; EOPNOTSUPP: it is not installed. */
gboolean systemd_check(const char *what, const char *text, GError **error);
