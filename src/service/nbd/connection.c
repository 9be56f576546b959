/* virt-thin - NBD server: a connection's threads, and how they share its requests
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Leader and followers. One thread, the leader, receives; it takes as many requests as one recv()
 * brought (up to a batch), carries them out and sends their replies with one sendmsg(). A system
 * call per batch instead of two per request is what makes this fast.
 *
 * Whether another thread receives meanwhile is decided by what requests cost. While they are cheap
 * (the page cache), handing over costs more than it gains: the leader stays leader. As soon as they
 * take long (a disk, a flush, a large transfer) it gives the lead to a follower first, and takes
 * batches so small that none keeps a request waiting behind another for longer than BATCH_NS.
 * Threads are started when there is nobody to hand over to, and end when they have been idle for a
 * while.
 *
 * Bounds: a thread has one arena for replies and the connection one receive buffer (and those that
 * batches in flight still point into): NBD_ARENA each for small I/O, a little over NBD_PIECE for
 * large; writes larger than that are written as they arrive, reads are sent in pieces. Where the
 * memory for large I/O is not to be had (memory.c), pieces are small. What was needed for it
 * only is given back when the connection is idle. A client that does not read its replies blocks
 * the threads of its own connection, one after the other, and then nothing of it is received any
 * more.
 */
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "service/nbd/nbd-private.h"

/* requests that take longer are carried out by several threads at once */
#define HANDOVER_NS 20000
#define BATCH_NS 100000
#define ROOM_MIN 4096 /* no recv() for less, if it can be helped */
#define FOLLOWER_IDLE_S 10
#define IDLE_TRIM_S 5

/* --- ending --- */

void nbd_connection_end(NbdConnection *connection)
{
  __atomic_store_n(&connection->ended, TRUE, __ATOMIC_RELEASE);
  shutdown(connection->fd, SHUT_RD); /* wakes the leader */
}

void nbd_connection_kill(NbdConnection *connection)
{
  __atomic_store_n(&connection->ended, TRUE, __ATOMIC_RELEASE);
  __atomic_store_n(&connection->dead, TRUE, __ATOMIC_RELEASE);
  shutdown(connection->fd, SHUT_RDWR); /* wakes senders, too */
}

gboolean nbd_connection_is_dead(NbdConnection *connection)
{
  return __atomic_load_n(&connection->dead, __ATOMIC_ACQUIRE);
}

static gboolean has_ended(NbdConnection *connection)
{
  return __atomic_load_n(&connection->ended, __ATOMIC_ACQUIRE);
}

/* --- buffers --- */

static gsize beyond_arena(gsize capacity)
{
  return capacity > NBD_ARENA ? capacity - NBD_ARENA : 0;
}

void nbd_buffer_free(NbdConnection *connection, NbdBuffer *buffer)
{
  if (!buffer)
    return;
  nbd_memory_give(connection, beyond_arena(buffer->capacity));
  g_free(buffer->data);
  g_free(buffer);
}

/* NULL: there is no memory for one of more than NBD_ARENA. */
static NbdBuffer *buffer_get(NbdConnection *connection, gsize capacity)
{
  NbdBuffer *buffer = NULL;
  pthread_mutex_lock(&connection->lock);
  for (guint i = 0; i < G_N_ELEMENTS(connection->spares) && !buffer; i++)
    if (connection->spares[i] && connection->spares[i]->capacity >= capacity)
      buffer = g_steal_pointer(&connection->spares[i]);
  pthread_mutex_unlock(&connection->lock);
  if (!buffer && beyond_arena(capacity) && !nbd_memory_take(connection, beyond_arena(capacity)))
    return NULL;
  if (!buffer) {
    buffer = g_new0(NbdBuffer, 1);
    buffer->capacity = MAX(capacity, NBD_ARENA);
    buffer->data = g_malloc(buffer->capacity);
  }
  buffer->refs = 1;
  return buffer;
}

static void buffer_unref(NbdConnection *connection, NbdBuffer *buffer)
{
  if (!buffer || !g_atomic_int_dec_and_test(&buffer->refs))
    return;
  pthread_mutex_lock(&connection->lock);
  for (guint i = 0; i < G_N_ELEMENTS(connection->spares) && buffer; i++)
    if (!connection->spares[i])
      connection->spares[i] = g_steal_pointer(&buffer);
    else if (connection->spares[i]->capacity < buffer->capacity) {
      NbdBuffer *smaller = connection->spares[i];
      connection->spares[i] = buffer;
      buffer = smaller;
    }
  pthread_mutex_unlock(&connection->lock);
  nbd_buffer_free(connection, buffer);
}

static void free_spares(NbdConnection *connection)
{
  NbdBuffer *old[G_N_ELEMENTS(connection->spares)];
  pthread_mutex_lock(&connection->lock);
  memcpy(old, connection->spares, sizeof old);
  memset(connection->spares, 0, sizeof connection->spares);
  pthread_mutex_unlock(&connection->lock);
  for (guint i = 0; i < G_N_ELEMENTS(old); i++)
    nbd_buffer_free(connection, old[i]);
}

/* Idle: forget what only large requests needed. The leader, with nothing received. */
static void trim(NbdConnection *connection, NbdWorker *worker)
{
  nbd_worker_trim(worker);
  free_spares(connection);
  if (connection->rx && connection->rx->capacity > NBD_ARENA &&
      connection->rx_start == connection->rx_end && g_atomic_int_get(&connection->rx->refs) == 1)
    nbd_buffer_free(connection, g_steal_pointer(&connection->rx));
}

/* --- receiving: the leader alone --- */

/* Make room for @need bytes from rx_start on. FALSE: there is no memory for them at once. */
static gboolean make_room(NbdConnection *connection, gsize need)
{
  NbdBuffer *rx = connection->rx;
  gsize have = connection->rx_end - connection->rx_start;
  gsize room = rx ? rx->capacity - connection->rx_end : 0;
  if (rx && g_atomic_int_get(&rx->refs) == 1 && rx->capacity >= need) {
    /* Nobody else points into it: start over, unless moving what is there costs more than it
     * brings. */
    if (have == 0 || room < need - have || (have < ROOM_MIN && room < ROOM_MIN)) {
      memmove(rx->data, rx->data + connection->rx_start, have);
      connection->rx_start = 0;
      connection->rx_end = have;
    }
    return TRUE;
  }
  if (rx && room >= need - have && (room >= ROOM_MIN || need > NBD_ARENA))
    return TRUE;
  NbdBuffer *buffer = buffer_get(connection, need);
  if (!buffer)
    return FALSE;
  connection->rx = buffer;
  if (have)
    memcpy(buffer->data, rx->data + connection->rx_start, have);
  connection->rx_start = 0;
  connection->rx_end = have;
  buffer_unref(connection, rx);
  return TRUE;
}

/* Set how long recv() waits, 0: for ever. */
static void set_receive_timeout(NbdConnection *connection, int seconds)
{
  struct timeval timeout = {.tv_sec = seconds};
  setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
}

/* recv() that is patient: a first wait of IDLE_TRIM_S gives spare memory back (-EAGAIN: the receive
 * buffer, too), then it waits for ever. */
static gssize receive_some(NbdConnection *connection, NbdWorker *worker, void *data, gsize length)
{
  for (;;) {
    ssize_t n = recv(connection->fd, data, length, 0);
    int err = n < 0 ? errno : 0;
    if (err == EINTR)
      continue;
    if (err != EAGAIN) {
      if (connection->idle)
        set_receive_timeout(connection, IDLE_TRIM_S);
      connection->idle = FALSE;
      __atomic_fetch_add(&connection->moved, MAX(n, 0), __ATOMIC_RELAXED);
      return n < 0 ? -err : n;
    }
    connection->idle = TRUE;
    set_receive_timeout(connection, 0);
    if (worker && connection->rx_start == connection->rx_end) {
      trim(connection, worker);
      if (!connection->rx)
        return -EAGAIN;
    }
  }
}

/* Have @need bytes at rx_start, for which there is memory. FALSE: the client is gone. */
static gboolean fill(NbdConnection *connection, NbdWorker *worker, gsize need)
{
  while (connection->rx_end - connection->rx_start < need) {
    if (!make_room(connection, need))
      return FALSE;
    NbdBuffer *rx = connection->rx;
    gssize n = receive_some(connection, worker, rx->data + connection->rx_end,
                            rx->capacity - connection->rx_end);
    if (n == -EAGAIN) {
      connection->rx_start = connection->rx_end = 0;
      continue;
    }
    if (n <= 0)
      return FALSE;
    connection->rx_end += n;
  }
  return TRUE;
}

gboolean nbd_receive_payload(NbdConnection *connection, void *data, gsize length)
{
  gsize have = MIN(length, connection->rx_end - connection->rx_start);
  if (have) {
    memcpy(data, connection->rx->data + connection->rx_start, have);
    connection->rx_start += have;
  }
  while (have < length) {
    gssize n = receive_some(connection, NULL, (char *)data + have, length - have);
    if (n <= 0)
      return FALSE;
    have += n;
  }
  return TRUE;
}

static NbdRequest decode(const guint8 *data)
{
  NbdRequest request;
  memcpy(&request, data, sizeof request);
  request.magic = GUINT32_FROM_BE(request.magic);
  request.flags = GUINT16_FROM_BE(request.flags);
  request.type = GUINT16_FROM_BE(request.type);
  request.offset = GUINT64_FROM_BE(request.offset);
  request.length = GUINT32_FROM_BE(request.length);
  return request;
}

/* Is this the end of the conversation? A write beyond what any client may send would have to be
 * swallowed whole: out with it. */
static gboolean is_end(const NbdRequest *request)
{
  return request->magic != NBD_REQUEST_MAGIC || request->type == NBD_CMD_DISC ||
         (request->type == NBD_CMD_WRITE && request->length > 2 * NBD_REQUEST_MAX);
}

/* Take up to @limit requests into @worker; waits for one, not for a second. FALSE: there will be
 * none (but the worker may hold some). */
static gboolean receive_batch(NbdConnection *connection, NbdWorker *worker, guint limit)
{
  gsize need = sizeof(NbdRequest);
  worker->n_requests = 0;
  worker->streamed = FALSE;
  while (worker->n_requests < limit) {
    gsize have = connection->rx_end - connection->rx_start;
    if (have < need) {
      if (worker->n_requests > 0)
        return TRUE;
      if (!fill(connection, worker, need))
        return FALSE;
    }
    if (has_ended(connection))
      return FALSE;
    const guint8 *data = connection->rx->data + connection->rx_start;
    NbdRequest request = decode(data);
    if (is_end(&request))
      return FALSE;
    gsize payload = request.type == NBD_CMD_WRITE ? request.length : 0;
    need = sizeof request + payload;
    gboolean whole = connection->rx_end - connection->rx_start >= need;
    if (!whole && worker->n_requests > 0)
      return TRUE;
    gboolean streamed = !whole && (payload > NBD_PIECE || !make_room(connection, need));
    if (!whole && !streamed)
      continue;
    guint i = worker->n_requests++;
    worker->batch[i] = request;
    worker->payload[i] = data + sizeof request;
    connection->rx_start += streamed ? sizeof request : need;
    need = sizeof request;
    if (i == 0) {
      worker->rx = connection->rx;
      g_atomic_int_inc(&worker->rx->refs);
    }
    if (streamed) {
      worker->streamed = TRUE;
      return TRUE;
    }
  }
  return TRUE;
}

/* --- sending --- */

gboolean nbd_send_locked(NbdConnection *connection, struct iovec *iov, guint n_iov)
{
  struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n_iov};
  while (msg.msg_iovlen > 0 && !nbd_connection_is_dead(connection)) {
    __atomic_store_n(&connection->sending_since, g_get_monotonic_time(), __ATOMIC_RELAXED);
    ssize_t n = sendmsg(connection->fd, &msg, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0) {
      nbd_connection_kill(connection);
      break;
    }
    __atomic_fetch_add(&connection->moved, n, __ATOMIC_RELAXED);
    while (msg.msg_iovlen > 0 && (gsize)n >= msg.msg_iov->iov_len) {
      n -= msg.msg_iov->iov_len;
      msg.msg_iov++;
      msg.msg_iovlen--;
    }
    if (msg.msg_iovlen > 0) {
      msg.msg_iov->iov_base = (char *)msg.msg_iov->iov_base + n;
      msg.msg_iov->iov_len -= n;
    }
  }
  __atomic_store_n(&connection->sending_since, 0, __ATOMIC_RELAXED);
  return msg.msg_iovlen == 0;
}

gboolean nbd_send(NbdConnection *connection, struct iovec *iov, guint n_iov)
{
  pthread_mutex_lock(&connection->send_lock);
  gboolean ok = nbd_send_locked(connection, iov, n_iov);
  pthread_mutex_unlock(&connection->send_lock);
  return ok;
}

/* --- leader and followers --- */

static void *worker_main(void *data);

static gint64 now_ns(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * G_GINT64_CONSTANT(1000000000) + now.tv_nsec;
}

/* Requests that wait for a disk whatever the average says. */
static gboolean takes_long(const NbdWorker *worker)
{
  for (guint i = 0; i < worker->n_requests; i++) {
    const NbdRequest *request = &worker->batch[i];
    if ((request->type != NBD_CMD_READ && request->type != NBD_CMD_WRITE) ||
        request->flags & NBD_CMD_FLAG_FUA)
      return TRUE;
  }
  return FALSE;
}

static guint batch_limit(gint64 request_ns)
{
  return CLAMP(BATCH_NS / MAX(request_ns, 1), 1, NBD_BATCH);
}

/* Those there are must do where one more cannot be had. */
static void start_follower(NbdConnection *connection)
{
  if (!nbd_memory_take(connection, NBD_THREAD_MEMORY))
    return;
  pthread_mutex_lock(&connection->lock);
  connection->n_threads++;
  gboolean ok = connection->n_threads <= connection->server->threads &&
                nbd_thread_start(NULL, worker_main, connection);
  connection->n_threads -= !ok;
  pthread_mutex_unlock(&connection->lock);
  if (!ok)
    nbd_memory_give(connection, NBD_THREAD_MEMORY);
}

/* Stop being the leader: wake a follower, or start one. */
static void hand_over(NbdConnection *connection)
{
  pthread_mutex_lock(&connection->lock);
  connection->has_leader = FALSE;
  gboolean all_busy = connection->n_waiting == 0,
           more = connection->n_threads < connection->server->threads;
  if (!all_busy)
    pthread_cond_signal(&connection->leader_gone);
  pthread_mutex_unlock(&connection->lock);
  if (all_busy && more)
    start_follower(connection);
}

/* Become the leader. FALSE: not needed any more. */
static gboolean become_leader(NbdConnection *connection)
{
  gboolean ok = TRUE;
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += FOLLOWER_IDLE_S;
  pthread_mutex_lock(&connection->lock);
  while (connection->has_leader && !has_ended(connection) && ok) {
    connection->n_waiting++;
    ok = pthread_cond_timedwait(&connection->leader_gone, &connection->lock, &until) != ETIMEDOUT ||
         !connection->has_leader;
    connection->n_waiting--;
  }
  if (has_ended(connection)) {
    /* Perhaps the one who was to lead: let those who wait for it go, too. */
    pthread_cond_broadcast(&connection->leader_gone);
    ok = FALSE;
  }
  if (ok)
    connection->has_leader = TRUE;
  pthread_mutex_unlock(&connection->lock);
  return ok;
}

static void lead(NbdConnection *connection, NbdWorker *worker)
{
  gboolean leading = TRUE;
  while (leading) {
    gint64 request_ns = __atomic_load_n(&connection->request_ns, __ATOMIC_RELAXED);
    if (!receive_batch(connection, worker, batch_limit(request_ns))) {
      nbd_connection_end(connection);
      pthread_mutex_lock(&connection->lock);
      pthread_cond_broadcast(&connection->leader_gone);
      pthread_mutex_unlock(&connection->lock);
      leading = FALSE; /* has_leader stays: nobody is to receive again */
    } else if (!worker->streamed && (request_ns > HANDOVER_NS || takes_long(worker))) {
      hand_over(connection);
      leading = FALSE;
    }
    if (worker->n_requests == 0)
      return;
    gint64 start = now_ns();
    guint n = worker->n_requests;
    nbd_execute(worker);
    buffer_unref(connection, g_steal_pointer(&worker->rx));
    gint64 sample = (now_ns() - start) / n;
    __atomic_store_n(&connection->request_ns, request_ns + (sample - request_ns) / 8,
                     __ATOMIC_RELAXED);
    __atomic_fetch_add(&connection->requests, n, __ATOMIC_RELAXED);
  }
}

static void *worker_main(void *data)
{
  NbdConnection *connection = data;
  NbdWorker *worker = g_new0(NbdWorker, 1);
  worker->connection = connection;
  while (become_leader(connection))
    lead(connection, worker);
  nbd_worker_clear(worker);
  g_free(worker);
  free_spares(connection); /* of which there are as many as there were threads */
  pthread_mutex_lock(&connection->lock);
  gboolean last = --connection->n_threads == 0;
  if (!last)
    nbd_memory_give(connection, NBD_THREAD_MEMORY);
  pthread_mutex_unlock(&connection->lock);
  if (last)
    nbd_server_forget(connection);
  return NULL;
}

void *nbd_connection_main(void *data)
{
  NbdConnection *connection = data;
  if (nbd_handshake(connection))
    set_receive_timeout(connection, IDLE_TRIM_S);
  else
    nbd_connection_end(connection);
  return worker_main(connection);
}
