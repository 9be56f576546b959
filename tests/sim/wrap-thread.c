/* virt-thin - simulation: what the linker calls in place of pthread's and GLib's threads and locks
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The state of a lock lies in the memory that the product gives for it. All zero is unlocked, as a
 * static initialiser leaves it.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "fiber.h"

#define FOREVER G_MAXINT64

/* --- mutexes --- */

typedef struct {
  gsize locked;
} Lock;

static void lock(Lock *l)
{
  sim_point("lock", 1);
  while (l->locked)
    sim_wait(l, FOREVER);
  l->locked = 1;
}

static void unlock(Lock *l)
{
  if (!l->locked)
    sim_fail("a lock is given back that nobody has");
  l->locked = 0;
  sim_wake(l, FALSE);
}

static gboolean wait_on(gconstpointer condition, Lock *l, gint64 deadline)
{
  gboolean woken;

  unlock(l);
  woken = sim_wait(condition, deadline);
  while (l->locked)
    sim_wait(l, FOREVER);
  l->locked = 1;
  return woken;
}

int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);

int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a)
{
  memset(m, 0, sizeof *m);
  return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *m)
{
  if (((Lock *)m)->locked)
    sim_fail("a mutex is destroyed that is locked");
  return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
  lock((Lock *)m);
  return 0;
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *m)
{
  sim_point("try", 1);
  if (((Lock *)m)->locked)
    return EBUSY;
  ((Lock *)m)->locked = 1;
  return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
  unlock((Lock *)m);
  return 0;
}

void __wrap_g_mutex_init(GMutex *m);
void __wrap_g_mutex_clear(GMutex *m);
void __wrap_g_mutex_lock(GMutex *m);
gboolean __wrap_g_mutex_trylock(GMutex *m);
void __wrap_g_mutex_unlock(GMutex *m);

void __wrap_g_mutex_init(GMutex *m)
{
  memset(m, 0, sizeof *m);
}

void __wrap_g_mutex_clear(GMutex *m)
{
}

void __wrap_g_mutex_lock(GMutex *m)
{
  lock((Lock *)m);
}

gboolean __wrap_g_mutex_trylock(GMutex *m)
{
  return __wrap_pthread_mutex_trylock((pthread_mutex_t *)m) == 0;
}

void __wrap_g_mutex_unlock(GMutex *m)
{
  unlock((Lock *)m);
}

/* --- conditions --- */

int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *a);
int __wrap_pthread_cond_destroy(pthread_cond_t *c);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *at);
int __wrap_pthread_cond_signal(pthread_cond_t *c);
int __wrap_pthread_cond_broadcast(pthread_cond_t *c);

int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *a)
{
  return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *c)
{
  return 0;
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
  wait_on(c, (Lock *)m, FOREVER);
  return 0;
}

/* A ghost's time is up. */
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *at)
{
  gint64 deadline = sim_is_ghost() ? 0 : at->tv_sec * G_USEC_PER_SEC + at->tv_nsec / 1000;

  return wait_on(c, (Lock *)m, deadline) ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_signal(pthread_cond_t *c)
{
  sim_wake(c, FALSE);
  return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *c)
{
  sim_wake(c, TRUE);
  return 0;
}

/* --- locks for many readers; a writer that waits goes first, as the product asks for --- */

typedef struct {
  guint32 readers, writer, waiting;
} RwLock;
G_STATIC_ASSERT(sizeof(RwLock) <= sizeof(pthread_rwlock_t));

int __wrap_pthread_rwlock_init(pthread_rwlock_t *l, const pthread_rwlockattr_t *a);
int __wrap_pthread_rwlock_destroy(pthread_rwlock_t *l);
int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *l);
int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *l);
int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *l);

int __wrap_pthread_rwlock_init(pthread_rwlock_t *l, const pthread_rwlockattr_t *a)
{
  memset(l, 0, sizeof *l);
  return 0;
}

int __wrap_pthread_rwlock_destroy(pthread_rwlock_t *l)
{
  if (((RwLock *)l)->readers || ((RwLock *)l)->writer)
    sim_fail("a lock for readers is destroyed that is locked");
  return 0;
}

int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *l)
{
  RwLock *rw = (RwLock *)l;

  sim_point("read lock", 1);
  while (rw->writer || rw->waiting)
    sim_wait(rw, FOREVER);
  rw->readers++;
  return 0;
}

int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *l)
{
  RwLock *rw = (RwLock *)l;

  sim_point("write lock", 1);
  rw->waiting++;
  while (rw->writer || rw->readers)
    sim_wait(rw, FOREVER);
  rw->waiting--;
  rw->writer = 1;
  return 0;
}

int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *l)
{
  RwLock *rw = (RwLock *)l;

  if (rw->writer)
    rw->writer = 0;
  else if (rw->readers)
    rw->readers--;
  else
    sim_fail("a lock for readers is given back that nobody has");
  sim_wake(rw, TRUE);
  return 0;
}
