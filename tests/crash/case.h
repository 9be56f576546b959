/* virt-thin - the one case of a program: its seed and folder, and how it fails
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * $VIRT_THIN_TEST_SEED is the seed; $VIRT_THIN_TEST_KEEP leaves the folder of a case that fails.
 */
#pragma once

#include <stdlib.h>

#include "util/error.h"

extern char *case_folder; /* in memory, where that can be; our state is there, too */
extern guint32 case_seed;

void case_begin(guint32 default_seed);
/* Print @title as TAP has it, and remove the folder. */
void case_end(const char *title, ...) G_GNUC_PRINTF(1, 2);
void case_fail(const char *format, ...) G_GNUC_PRINTF(1, 2) G_GNUC_NORETURN;
/* A program of the system's must do it, silent or not. */
void case_run(const char *const *argv);

/* Run @call, which takes &error last. */
#define must(call)                                                                                 \
  do {                                                                                             \
    g_autoptr(GError) error = NULL;                                                                \
    if (!(call))                                                                                   \
      case_fail("%s: %s", #call, error ? error->message : "failed");                               \
  } while (0)
