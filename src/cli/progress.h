/* virt-thin - a bar or a clock on a terminal's standard error
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Where standard error is no terminal nothing is shown but what cli_bar() gives.
 */
#pragma once

#include <glib.h>

/* "######...": the caller's. @part beyond @total is all of it; unknown (G_MAXUINT64): "??????". */
char *cli_bar(guint64 part, guint64 total);

/* How far something of @total bytes is; 0: not known. */
typedef struct CliProgress CliProgress;
CliProgress *cli_progress_new(guint64 total, const char *format, ...) G_GNUC_PRINTF(2, 3);
void cli_progress_update(CliProgress *progress, guint64 done); /* of NULL: nothing */
void cli_progress_free(CliProgress *progress); /* takes the bar off the screen; NULL is fine */

/* What takes more than a second without saying how far it is: its name and the time. */
typedef struct CliBusy CliBusy;
CliBusy *cli_busy_new(const char *format, ...) G_GNUC_PRINTF(1, 2);
void cli_busy_free(CliBusy *busy);
