/* virt-thin - a signal that is to end a copy, which then cleans up
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "image/interrupt.h"

#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted, heard;

/* It may come between a look at it and a call that then waits, of a pipe say: it comes again, every
 * second, until the next look. */
static void on_interrupt(int signal)
{
  interrupted = 1;
  if (!heard)
    alarm(1);
}

/* What nohup, say, has us ignore we go on to ignore. */
void image_catch_interrupts(void)
{
  static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGALRM};
  struct sigaction action = {.sa_handler = on_interrupt},
                   before; /* no SA_RESTART: a read from a pipe ends, too */

  for (gsize i = 0; i < G_N_ELEMENTS(signals); i++)
    if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
      sigaction(signals[i], &action, NULL);
}

/* Cleaning up is not disturbed. */
gboolean image_interrupted(void)
{
  if (interrupted && !heard) {
    heard = 1;
    alarm(0);
  }
  return interrupted;
}

gboolean image_check_interrupt(GError **error)
{
  return !image_interrupted() || vt_set_error(error, ECANCELED, "interrupted");
}
