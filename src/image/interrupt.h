/* virt-thin - a signal that is to end a copy, which then cleans up
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: image_catch_interrupts() on the main thread, the others anywhere.
 */
#pragma once

#include "util/error.h"

/* Take over SIGINT, SIGTERM and SIGHUP, but what is ignored, and SIGALRM, which repeats them. A
 * call of the main thread that waits ends with EINTR, also when the signal came just before it. */
void image_catch_interrupts(void);
/* TRUE once one of them has come. */
gboolean image_interrupted(void);
/* ECANCELED: one has. */
gboolean image_check_interrupt(GError **error);
