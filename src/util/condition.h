/* virt-thin - waiting on a condition until a point of the monotonic clock
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The service's locks are pthread's, so that a thread checker sees them; this is what GCond would
 * add.
 */
#pragma once

#include <glib.h>
#include <pthread.h>

static inline void vt_condition_init(pthread_cond_t *condition)
{
  pthread_condattr_t attributes;

  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
}

/* FALSE: it is @deadline (g_get_monotonic_time()). */
static inline gboolean vt_condition_wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                               gint64 deadline)
{
  struct timespec at = {deadline / G_USEC_PER_SEC, deadline % G_USEC_PER_SEC * 1000};

  return pthread_cond_timedwait(condition, mutex, &at) == 0;
}
