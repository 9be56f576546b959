/* virt-thin - NBD server: the memory of all connections together
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A connection has one thread and two small buffers of its own. What more it wants (threads, large
 * buffers) it takes from what all share, and can do without: then its requests are carried out one
 * after the other, in small pieces. It holds no more than
 *   - its threads take, and as much again as has gone over its socket: who asks and does not read
 *     gets no large buffers;
 *   - is left for the others: however many take all they can, there is as much for the next one.
 * Who has read and then stops keeps what it holds. When that is missed, the one that holds most of
 * those that have not read for a while is disconnected.
 */
#include "service/nbd/nbd-private.h"

#define LOOK_US G_USEC_PER_SEC /* how often who has stopped reading is looked for */

/* Called with memory_lock held. */
static gboolean take(NbdConnection *connection, gsize bytes, gboolean *missed)
{
  NbdServer *server = connection->server;
  gsize holds = connection->holds + bytes;
  gsize credit = server->threads * NBD_THREAD_MEMORY;
  if (holds > credit + __atomic_load_n(&connection->moved, __ATOMIC_RELAXED))
    return FALSE;
  *missed = bytes > server->memory_left || holds > server->memory_left - bytes;
  if (*missed)
    return FALSE;
  connection->holds = holds;
  server->memory_left -= bytes;
  return TRUE;
}

/* It stands in sendmsg() and nothing has gone since. */
static gboolean has_stalled(const NbdConnection *connection, gint64 now)
{
  gint64 since = __atomic_load_n(&connection->sending_since, __ATOMIC_RELAXED);
  return since && now - since > connection->server->stall_us;
}

static void end_a_stalled(NbdServer *server)
{
  gint64 now = g_get_monotonic_time();
  NbdConnection *most = NULL;
  pthread_mutex_lock(&server->lock);
  pthread_mutex_lock(&server->memory_lock);
  gboolean due = now - server->looked > LOOK_US;
  if (due)
    server->looked = now;
  for (guint i = 0; due && i < server->connections->len; i++) {
    NbdConnection *connection = server->connections->pdata[i];
    if (!connection->view && connection->holds && has_stalled(connection, now) &&
        !nbd_connection_is_dead(connection) && (!most || connection->holds > most->holds))
      most = connection;
  }
  pthread_mutex_unlock(&server->memory_lock);
  if (most) {
    g_warning("nbd: the client pid %d (%s) of %s reads no replies, and others need the memory they "
              "take: disconnected",
              (int)most->pid, most->command ?: "?", most->export_name ?: "?");
    nbd_connection_kill(most);
  }
  pthread_mutex_unlock(&server->lock);
}

gboolean nbd_memory_take(NbdConnection *connection, gsize bytes)
{
  gboolean missed = FALSE;
  pthread_mutex_lock(&connection->server->memory_lock);
  gboolean ok = take(connection, bytes, &missed);
  pthread_mutex_unlock(&connection->server->memory_lock);
  if (missed)
    end_a_stalled(connection->server);
  return ok;
}

void nbd_memory_give(NbdConnection *connection, gsize bytes)
{
  NbdServer *server = connection->server;
  pthread_mutex_lock(&server->memory_lock);
  connection->holds -= bytes;
  server->memory_left += bytes;
  pthread_mutex_unlock(&server->memory_lock);
}
