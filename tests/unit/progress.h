/* virt-thin - how far a long test is
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <glib.h>

#define PROGRESS_US (10 * G_USEC_PER_SEC)

/* Print "# TEXT" as TAP has it, but not more often than every 10 seconds: call it at each turn.
 * Thread-safety: one thread only. */
G_GNUC_PRINTF(1, 2) static inline void progress(const char *format, ...)
{
  static gint64 last;
  gint64 now = g_get_monotonic_time();
  va_list args;

  if (last == 0)
    last = now;
  if (now - last < PROGRESS_US)
    return;
  last = now;
  va_start(args, format);
  g_autofree char *text = g_strdup_vprintf(format, args);
  va_end(args);
  printf("# %s\n", text);
  fflush(stdout);
}
