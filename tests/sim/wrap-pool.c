/* virt-thin - simulation: what the linker calls in place of GLib's pools of threads
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * And of the conditions and queues that go with them.
 */
#include "fiber.h"

/* --- conditions; the lock is wrap-thread.c's --- */

void __wrap_g_mutex_lock(GMutex *m);
void __wrap_g_mutex_unlock(GMutex *m);
void __wrap_g_cond_init(GCond *c);
void __wrap_g_cond_clear(GCond *c);
void __wrap_g_cond_broadcast(GCond *c);
gboolean __wrap_g_cond_wait_until(GCond *c, GMutex *m, gint64 end);
gint64 __wrap_g_get_monotonic_time(void);

void __wrap_g_cond_init(GCond *c)
{
}

void __wrap_g_cond_clear(GCond *c)
{
}

void __wrap_g_cond_broadcast(GCond *c)
{
  sim_wake(c, TRUE);
}

/* A ghost's time is up. */
gboolean __wrap_g_cond_wait_until(GCond *c, GMutex *m, gint64 end)
{
  gint64 left = end - __wrap_g_get_monotonic_time();
  gboolean woken;

  __wrap_g_mutex_unlock(m);
  woken = sim_wait(c, sim_is_ghost() ? 0 : sim_now() + left);
  __wrap_g_mutex_lock(m);
  return woken;
}

/* --- pools --- */

typedef struct {
  GFunc func;
  gpointer user_data;
  guint max, running;
  GQueue waiting;
} Pool;

GThreadPool *__wrap_g_thread_pool_new(GFunc func, gpointer user_data, gint max, gboolean exclusive,
                                      GError **error);
gboolean __wrap_g_thread_pool_push(GThreadPool *pool, gpointer data, GError **error);
void __wrap_g_thread_pool_free(GThreadPool *pool, gboolean immediate, gboolean wait);

GThreadPool *__wrap_g_thread_pool_new(GFunc func, gpointer user_data, gint max, gboolean exclusive,
                                      GError **error)
{
  Pool *pool = g_new0(Pool, 1);

  pool->func = func;
  pool->user_data = user_data;
  pool->max = (guint)max;
  g_queue_init(&pool->waiting);
  return (GThreadPool *)(gpointer)pool;
}

static void run_pool(gpointer data)
{
  Pool *pool = data;
  gpointer item;

  while ((item = g_queue_pop_head(&pool->waiting)))
    pool->func(item, pool->user_data);
  pool->running--;
  sim_wake(pool, TRUE);
}

gboolean __wrap_g_thread_pool_push(GThreadPool *threads, gpointer data, GError **error)
{
  Pool *pool = (Pool *)(gpointer)threads;

  g_queue_push_tail(&pool->waiting, data);
  if (pool->running < pool->max) {
    pool->running++;
    sim_spawn(sim_self(), "call", run_pool, pool);
  }
  return TRUE;
}

void __wrap_g_thread_pool_free(GThreadPool *threads, gboolean immediate, gboolean wait)
{
  Pool *pool = (Pool *)(gpointer)threads;

  while (pool->running)
    sim_wait(pool, G_MAXINT64);
  g_free(pool);
}

/* --- queues --- */

gpointer __wrap_g_async_queue_timeout_pop(GAsyncQueue *queue, guint64 timeout);

gpointer __wrap_g_async_queue_timeout_pop(GAsyncQueue *queue, guint64 timeout)
{
  gint64 deadline = sim_now() + (gint64)timeout;
  gpointer item = g_async_queue_try_pop(queue);

  while (!item && sim_now() < deadline && !sim_is_ghost()) {
    sim_sleep(1000);
    item = g_async_queue_try_pop(queue);
  }
  return item;
}
