/* virt-thin - NBD server: listening, the list of connections, stopping
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control/control-socket.h"
#include "service/nbd/nbd-private.h"
#include "util/proc.h"

#define STACK_SIZE (1u << 20)
#define SEND_BUFFER (1 << 20) /* the system may grant less */
#define CLIENTS_MAX 1000      /* or half of the descriptors there may be: the rest is for others */
#define MEMORY (256u << 20)
#define STALL_MS 30000u

/* A detached thread, or with @thread a joinable one, that takes no signals. */
gboolean nbd_thread_start(pthread_t *thread, void *(*function)(void *), void *data)
{
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, STACK_SIZE);
  if (!thread)
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  pthread_t detached;
  int err = pthread_create(thread ? thread : &detached, &attr, function, data);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&attr);
  return err == 0;
}

/* Its timed waits are by the monotonic clock. */
static void cond_init(pthread_cond_t *cond)
{
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(cond, &attr);
  pthread_condattr_destroy(&attr);
}

/* --- connections --- */

static NbdConnection *connection_new(NbdServer *server, int fd, gboolean view)
{
  NbdConnection *connection = g_new0(NbdConnection, 1);
  connection->server = server;
  connection->fd = fd;
  connection->view = view;
  connection->since = g_get_monotonic_time();
  connection->uid = (uid_t)-1;
  gid_t gid;
  if (control_socket_peer(fd, &connection->uid, &gid, &connection->pid, NULL))
    connection->command = vt_process_name(connection->pid);
  pthread_mutex_init(&connection->lock, NULL);
  cond_init(&connection->leader_gone);
  pthread_mutex_init(&connection->send_lock, NULL);
  pthread_mutex_init(&connection->big_lock, NULL);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){SEND_BUFFER}, sizeof(int));
  return connection;
}

static void connection_free(NbdConnection *connection)
{
  close(connection->fd);
  if (connection->contexts)
    g_ptr_array_unref(connection->contexts);
  nbd_buffer_free(connection, connection->rx);
  for (guint i = 0; i < G_N_ELEMENTS(connection->spares); i++)
    nbd_buffer_free(connection, connection->spares[i]);
  pthread_mutex_destroy(&connection->lock);
  pthread_cond_destroy(&connection->leader_gone);
  pthread_mutex_destroy(&connection->send_lock);
  pthread_mutex_destroy(&connection->big_lock);
  g_free(connection->command);
  g_free(connection->export_name);
  g_free(connection);
}

/* The volume is closed before the client can see that the connection is: whoever waits for that may
 * remove the volume then. */
void nbd_server_forget(NbdConnection *connection)
{
  NbdServer *server = connection->server;
  if (connection->volume)
    vt_io_unref(connection->volume);
  pthread_mutex_lock(&server->lock);
  g_ptr_array_remove_fast(server->connections, connection);
  connection_free(connection);
  pthread_cond_broadcast(&server->connection_gone);
  pthread_mutex_unlock(&server->lock);
}

/* Wait for a connection to go, to @deadline_us of g_get_monotonic_time() (-1: as long as it takes).
 * Called with the lock held. */
static gboolean wait_for_one(NbdServer *server, gint64 deadline_us)
{
  struct timespec until = {.tv_sec = deadline_us / G_USEC_PER_SEC,
                           .tv_nsec = deadline_us % G_USEC_PER_SEC * 1000};
  if (deadline_us < 0)
    return pthread_cond_wait(&server->connection_gone, &server->lock) == 0;
  return pthread_cond_timedwait(&server->connection_gone, &server->lock, &until) != ETIMEDOUT;
}

static NbdConnection *find_other_view(NbdConnection *connection, const char *name)
{
  GPtrArray *connections = connection->server->connections;
  for (guint i = 0; i < connections->len; i++) {
    NbdConnection *other = connections->pdata[i];
    if (other != connection && other->view && g_strcmp0(other->export_name, name) == 0)
      return other;
  }
  return NULL;
}

/* Seen from the socket: its leader may be too busy to have noticed. */
static gboolean has_hung_up(NbdConnection *connection)
{
  struct pollfd pfd = {.fd = connection->fd, .events = POLLRDHUP};
  return poll(&pfd, 1, 0) > 0 && pfd.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

gboolean nbd_server_claim(NbdConnection *connection, const char *name, gint64 deadline_us,
                          GError **error)
{
  NbdServer *server = connection->server;
  gboolean ok = TRUE;
  pthread_mutex_lock(&server->lock);
  for (NbdConnection *other; ok && (other = find_other_view(connection, name));)
    if (!has_hung_up(other))
      ok = vt_set_error(error, EBUSY, "nbd: %s has its view already", name);
    else {
      nbd_connection_end(other);
      ok = wait_for_one(server, deadline_us) ||
           vt_set_error(error, ETIMEDOUT, "nbd: the last view of %s still has requests in flight",
                        name);
    }
  if (ok) {
    g_free(connection->export_name); /* of a choice that failed */
    connection->export_name = g_strdup(name);
  }
  pthread_mutex_unlock(&server->lock);
  return ok;
}

/* How many are connected and not on their way out, and are no views; *idle: the one of those that
 * has been choosing an export longest. */
static guint count_clients(NbdServer *server, NbdConnection **idle)
{
  guint n = 0;
  *idle = NULL;
  for (guint i = 0; i < server->connections->len; i++) {
    NbdConnection *connection = server->connections->pdata[i];
    if (connection->view || nbd_connection_is_dead(connection))
      continue;
    n++;
    if (!connection->export_name && (!*idle || connection->since < (*idle)->since))
      *idle = connection;
  }
  return n;
}

/* Is there room for one more client? One that has not chosen an export makes way. */
static gboolean make_way(NbdServer *server)
{
  NbdConnection *idle;
  gboolean full = count_clients(server, &idle) >= server->max_clients;
  if (full && idle)
    nbd_connection_kill(idle);
  return !full || idle;
}

gboolean nbd_server_add(NbdServer *server, int fd, gboolean view, GError **error)
{
  NbdConnection *connection = connection_new(server, fd, view);
  connection->view |=
      server->is_view && connection->pid > 0 && server->is_view(connection->pid, server->user_data);
  if (server->check_peer && !connection->view && connection->uid != 0 &&
      connection->uid != geteuid()) {
    vt_set_error(error, EACCES,
                 "nbd: refused a client of user %d, pid %d (%s): only root and the service's own "
                 "user may connect",
                 (int)connection->uid, (int)connection->pid, connection->command ?: "?");
    connection_free(connection);
    return FALSE;
  }
  pthread_mutex_lock(&server->lock);
  gboolean ok;
  if (server->stopping)
    ok = vt_set_error(error, ESHUTDOWN, "nbd: the server is stopping");
  else if (!connection->view && !make_way(server))
    ok = vt_set_error(error, EUSERS,
                      "nbd: refused a client, pid %d (%s): %u are connected, which is the most",
                      (int)connection->pid, connection->command ?: "?", server->max_clients);
  else {
    connection->n_threads = 1;
    ok = nbd_thread_start(NULL, nbd_connection_main, connection) ||
         vt_set_error(error, EAGAIN, "nbd: cannot start a thread for a client");
  }
  if (ok)
    g_ptr_array_add(server->connections, connection);
  else
    connection_free(connection);
  pthread_mutex_unlock(&server->lock);
  return ok;
}

int nbd_server_connect(NbdServer *server, GError **error)
{
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
    vt_set_errno(error, errno, "nbd: cannot make a socket pair");
    return -1;
  }
  if (nbd_server_add(server, pair[0], TRUE, error))
    return pair[1];
  close(pair[1]);
  return -1;
}

/* --- listening --- */

static gboolean is_shortage(int err)
{
  return err == EMFILE || err == ENFILE || err == ENOMEM || err == ENOBUFS;
}

/* At most one of the kind in 10 seconds. */
static void warn_seldom(gint64 *last, const char *message)
{
  gint64 now = g_get_monotonic_time();
  if (*last && now - *last < 10 * G_USEC_PER_SEC)
    return;
  *last = now;
  g_warning("%s", message);
}

static void *accept_clients(void *data)
{
  NbdServer *server = data;
  gint64 short_warned = 0, refused_warned = 0;
  int pause_ms = -1;
  for (;;) {
    struct pollfd fds[2] = {{.fd = server->wake_fd, .events = POLLIN},
                            {.fd = pause_ms < 0 ? server->listen_fd : -1, .events = POLLIN}};
    poll(fds, 2, pause_ms);
    pause_ms = -1;
    if (fds[0].revents)
      return NULL;
    int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
      if (is_shortage(errno)) {
        g_autofree char *message =
            g_strdup_printf("nbd: cannot take a new client: %s", g_strerror(errno));
        warn_seldom(&short_warned, message);
        pause_ms = 200;
      }
      continue;
    }
    g_autoptr(GError) error = NULL;
    if (!nbd_server_add(server, fd, FALSE, &error))
      warn_seldom(&refused_warned, error->message);
  }
}

static guint count_max_clients(void)
{
  struct rlimit limit;
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? CLAMP(limit.rlim_cur / 2, 8, CLIENTS_MAX)
                                               : CLIENTS_MAX;
}

NbdServer *nbd_server_start_fd(VolumeGroup *group, int listen_fd, const NbdServerOptions *options,
                               GError **error)
{
  static const NbdServerOptions defaults;
  if (!options)
    options = &defaults;
  NbdServer *server = g_new0(NbdServer, 1);
  server->group = group;
  server->read_only = options->read_only;
  server->exports = g_strdupv((char **)options->exports);
  server->check_peer = (options->socket_mode & 0066) == 0;
  server->threads = options->threads ?: 16;
  server->max_clients = options->max_clients ?: count_max_clients();
  server->memory_left = options->memory ?: MEMORY;
  server->stall_us = (options->stall_ms ?: STALL_MS) * G_GINT64_CONSTANT(1000);
  server->is_view = options->is_view;
  server->user_data = options->user_data;
  server->listen_fd = listen_fd;
  server->wake_fd = eventfd(0, EFD_CLOEXEC);
  server->connections = g_ptr_array_new();
  pthread_mutex_init(&server->lock, NULL);
  pthread_mutex_init(&server->memory_lock, NULL);
  cond_init(&server->connection_gone);
  gboolean ok =
      server->wake_fd >= 0 || vt_set_errno(error, errno, "nbd: cannot make an event descriptor");
  if (ok && listen_fd >= 0) {
    /* A client that gives up between poll() and accept() must not block the thread. */
    fcntl(listen_fd, F_SETFL, fcntl(listen_fd, F_GETFL) | O_NONBLOCK);
    ok = nbd_thread_start(&server->acceptor, accept_clients, server) ||
         vt_set_error(error, EAGAIN, "nbd: cannot start a thread");
  }
  if (ok)
    return server;
  server->acceptor = 0;
  server->listen_fd = -1;
  if (listen_fd >= 0)
    close(listen_fd);
  nbd_server_stop(server, 0);
  return NULL;
}

NbdServer *nbd_server_start(VolumeGroup *group, const char *socket_path,
                            const NbdServerOptions *options, GError **error)
{
  guint mode = options && options->socket_mode ? options->socket_mode : 0600;
  int fd = control_socket_listen(socket_path, mode, options ? options->socket_group : NULL, error);
  if (fd < 0)
    return NULL;
  NbdServer *server = nbd_server_start_fd(group, fd, options, error);
  if (server)
    server->socket_path = g_strdup(socket_path);
  else
    unlink(socket_path);
  return server;
}

/* --- stopping --- */

/* Wait until every connection is gone, or @deadline_us. */
static void wait_for_all(NbdServer *server, gint64 deadline_us)
{
  while (server->connections->len > 0 && wait_for_one(server, deadline_us))
    ;
}

void nbd_server_stop(NbdServer *server, guint timeout_ms)
{
  if (!server)
    return;
  if (server->listen_fd >= 0) {
    guint64 one = 1;
    while (write(server->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
      ;
    pthread_join(server->acceptor, NULL);
    close(server->listen_fd);
  }
  if (server->socket_path)
    unlink(server->socket_path);

  gint64 deadline = g_get_monotonic_time() + timeout_ms * (gint64)1000;
  pthread_mutex_lock(&server->lock);
  server->stopping = TRUE;
  for (guint i = 0; i < server->connections->len; i++)
    nbd_connection_end(server->connections->pdata[i]);
  wait_for_all(server, deadline);
  for (guint i = 0; i < server->connections->len; i++)
    nbd_connection_kill(server->connections->pdata[i]);
  /* What is left now waits for the pool alone, never for a client. */
  wait_for_all(server, -1);
  pthread_mutex_unlock(&server->lock);

  if (server->wake_fd >= 0)
    close(server->wake_fd);
  pthread_mutex_destroy(&server->lock);
  pthread_mutex_destroy(&server->memory_lock);
  pthread_cond_destroy(&server->connection_gone);
  g_ptr_array_unref(server->connections);
  g_free(server->socket_path);
  g_strfreev(server->exports);
  g_free(server);
}

/* --- who is connected --- */

void nbd_client_free(NbdClient *client)
{
  if (!client)
    return;
  g_free(client->command);
  g_free(client->export_name);
  g_free(client);
}

GPtrArray *nbd_server_list_clients(NbdServer *server)
{
  GPtrArray *clients = g_ptr_array_new_with_free_func((GDestroyNotify)nbd_client_free);
  pthread_mutex_lock(&server->lock);
  for (guint i = 0; i < server->connections->len; i++) {
    NbdConnection *connection = server->connections->pdata[i];
    NbdClient *client = g_new0(NbdClient, 1);
    client->pid = connection->pid;
    client->uid = connection->uid;
    client->command = g_strdup(connection->command);
    client->export_name = g_strdup(connection->export_name);
    client->read_only = connection->read_only;
    client->view = connection->view;
    pthread_mutex_lock(&connection->lock);
    client->threads = connection->n_threads;
    pthread_mutex_unlock(&connection->lock);
    client->requests = __atomic_load_n(&connection->requests, __ATOMIC_RELAXED);
    client->errors = __atomic_load_n(&connection->errors, __ATOMIC_RELAXED);
    g_ptr_array_add(clients, client);
  }
  pthread_mutex_unlock(&server->lock);
  return clients;
}
