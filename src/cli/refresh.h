/* virt-thin - libvirt's lists of volumes are brought up to date with what a command has changed
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirt knows what it was told last. Who changes a volume group that libvirt has pools of tells
 * it to look again, when a daemon runs: none is started for that, not by its socket either, and
 * without one nothing is loaded. Thread-safety: main thread only.
 */
#pragma once

#include <glib.h>

/* @vg is being changed, by this command, where libvirt can see it: served, or in the kernel. */
void cli_refresh_later(const char *vg);
/* The command is done: refresh the active thin pools of those volume groups. Waits for some seconds
 * at most. What goes wrong is told, with what to do; it is no failure of the command. */
void cli_refresh_now(void);
