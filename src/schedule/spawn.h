/* virt-thin - schedules: what is done by other processes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * They end when this one does, whose lock is gone then. Thread-safety: main thread only.
 */
#pragma once

#include <glib.h>

/* virt-thin with the devices that were given, and @command. Of char *; the caller's, who adds
 * arguments and a NULL. */
GPtrArray *spawn_virt_thin(const char *command);
/* Run it. NULL: it worked; else why not, the caller's: the last that it said, which also goes to
 * standard error. *out: its standard output, the caller's; NULL: it goes where ours does. A
 * terminal shows how far it is. */
char *spawn_run(GPtrArray *args, char **out);
/* @from's output is @to's input. NULL: both worked. */
char *spawn_pipe(GPtrArray *from, GPtrArray *to);
/* Run it with @text to read. NULL: it worked. */
char *spawn_feed(GPtrArray *args, const char *text);
