/* virt-thin - work beside one's own
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/worker.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

struct VtWorker {
  VtWork work;
  gpointer user_data;
  gsize item_size;
  guint depth;
  gboolean has_thread;
  pthread_t thread;
  pthread_mutex_t lock;   /* of what follows */
  pthread_cond_t changed; /* an item came, or is done; or it ends */
  guint8 *items;          /* @depth, in a ring */
  guint first, n;         /* those that are not done */
  gboolean ends;
  GError *error; /* the first */
};

static gpointer run(gpointer user_data)
{
  VtWorker *worker = user_data;

  pthread_mutex_lock(&worker->lock);
  for (;;) {
    GError *error = NULL;

    while (worker->n == 0 && !worker->ends)
      pthread_cond_wait(&worker->changed, &worker->lock);
    if (worker->ends)
      break;
    if (!worker->error) {
      pthread_mutex_unlock(&worker->lock);
      worker->work(worker->items + worker->first * worker->item_size, worker->user_data, &error);
      pthread_mutex_lock(&worker->lock);
    }
    worker->error = worker->error ? worker->error : error;
    worker->first = (worker->first + 1) % worker->depth;
    worker->n--;
    pthread_cond_broadcast(&worker->changed);
  }
  pthread_mutex_unlock(&worker->lock);
  return NULL;
}

VtWorker *vt_worker_new(VtWork work, gpointer user_data, gsize item_size, guint depth)
{
  VtWorker *worker = g_new0(VtWorker, 1);
  sigset_t all, before;

  worker->work = work;
  worker->user_data = user_data;
  worker->item_size = item_size;
  worker->depth = depth;
  worker->items = g_malloc_n(depth, item_size);
  pthread_mutex_init(&worker->lock, NULL);
  pthread_cond_init(&worker->changed, NULL);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  worker->has_thread = pthread_create(&worker->thread, NULL, run, worker) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return worker;
}

static gboolean has_failed(VtWorker *worker, GError **error)
{
  if (worker->error && error)
    *error = g_error_copy(worker->error);
  return worker->error != NULL;
}

gboolean vt_worker_push(VtWorker *worker, gconstpointer item, GError **error)
{
  gboolean ok;

  pthread_mutex_lock(&worker->lock);
  while (worker->n == worker->depth)
    pthread_cond_wait(&worker->changed, &worker->lock);
  if (!worker->has_thread && !worker->error)
    worker->work(item, worker->user_data, &worker->error);
  ok = !has_failed(worker, error);
  if (ok && worker->has_thread) {
    guint at = (worker->first + worker->n++) % worker->depth;

    memcpy(worker->items + at * worker->item_size, item, worker->item_size);
    pthread_cond_broadcast(&worker->changed);
  }
  pthread_mutex_unlock(&worker->lock);
  return ok;
}

gboolean vt_worker_finish(VtWorker *worker, GError **error)
{
  gboolean ok;

  pthread_mutex_lock(&worker->lock);
  while (worker->n > 0)
    pthread_cond_wait(&worker->changed, &worker->lock);
  ok = !has_failed(worker, error);
  pthread_mutex_unlock(&worker->lock);
  return ok;
}

void vt_worker_free(VtWorker *worker)
{
  if (!worker)
    return;
  pthread_mutex_lock(&worker->lock);
  worker->ends = TRUE;
  pthread_cond_broadcast(&worker->changed);
  pthread_mutex_unlock(&worker->lock);
  if (worker->has_thread)
    pthread_join(worker->thread, NULL);
  pthread_cond_destroy(&worker->changed);
  pthread_mutex_destroy(&worker->lock);
  g_clear_error(&worker->error);
  g_free(worker->items);
  g_free(worker);
}
