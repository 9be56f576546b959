/* virt-thin - enable --session: a user's own libvirt, without root
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirt's clients start a session's daemon themselves when none answers, with an environment that
 * they have emptied but for a few variables: $LIBVIRT_STORAGE_BACKEND_DIR does not reach it. What
 * reaches it:
 *
 *   - a socket that somebody listens on already: units of the user's systemd, which starts the
 *     daemon for whoever connects, as often as that ends;
 *   - without such a systemd, $LIBVIRTD_PATH (and its like) in the client's environment, the folder
 *     of the daemon that it starts.
 *
 * Either way the program is a script in our folder that sets what is missing. All of it is made,
 * whether a systemd runs now or not. What is done is said on standard output. Main thread only.
 * Errors: the errno of what failed; ENOENT: libvirt's daemons are not installed; ETIMEDOUT.
 */
#pragma once

#include "util/error.h"

/* $XDG_DATA_HOME/virt-thin-libvirt. The caller's. */
char *session_folder(void);
/* A daemon that runs is ended, for the next connection to start one; guests go on. */
gboolean session_enable(const char *folder, GError **error);
gboolean session_disable(const char *folder, GError **error);
