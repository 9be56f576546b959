/* virt-thin - D-Bus between a VG service and its clients: errors, and a client's connection
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * GLib keeps the table of error names: each errno name of the C library is registered once, for
 * both directions. A connection is made in a thread that a watchdog can interrupt, because GDBus
 * authenticates without a deadline of its own and a service that hangs must not take libvirtd with
 * it.
 */
#include "config.h"

#include <gio/gunixconnection.h>
#include <string.h>

#include "control/control-socket.h"
#include "control/control.h"

#define ERRNO_MAX 133

static const char *error_names[ERRNO_MAX + 1];

static void register_errors(void)
{
  static gsize done;

  if (!g_once_init_enter(&done))
    return;
  for (int err = 1; err <= ERRNO_MAX; err++) {
    const char *name = strerrorname_np(err);
    g_autofree char *full = name ? g_strconcat(CONTROL_ERROR_PREFIX, name, NULL) : NULL;

    if (!full)
      continue;
    error_names[err] = g_intern_string(full);
    g_dbus_error_register_error(VT_ERROR, err, error_names[err]);
  }
  g_once_init_leave(&done, 1);
}

const char *control_error_name(int err)
{
  register_errors();
  return err > 0 && err <= ERRNO_MAX && error_names[err] ? error_names[err] : error_names[EIO];
}

gboolean control_error_is_disconnect(const GError *error)
{
  return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CLOSED) ||
         g_error_matches(error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE) ||
         g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_DISCONNECTED) ||
         g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_NO_REPLY);
}

int control_error_to_errno(const GError *error)
{
  static const struct {
    int dbus, err;
  } table[] = {
      {G_DBUS_ERROR_UNKNOWN_METHOD, EOPNOTSUPP}, {G_DBUS_ERROR_UNKNOWN_INTERFACE, EOPNOTSUPP},
      {G_DBUS_ERROR_UNKNOWN_OBJECT, EOPNOTSUPP}, {G_DBUS_ERROR_UNKNOWN_PROPERTY, EOPNOTSUPP},
      {G_DBUS_ERROR_NOT_SUPPORTED, EOPNOTSUPP},  {G_DBUS_ERROR_INVALID_ARGS, EINVAL},
      {G_DBUS_ERROR_INVALID_SIGNATURE, EINVAL},  {G_DBUS_ERROR_TIMEOUT, ETIMEDOUT},
      {G_DBUS_ERROR_TIMED_OUT, ETIMEDOUT},       {G_DBUS_ERROR_ACCESS_DENIED, EACCES},
      {G_DBUS_ERROR_AUTH_FAILED, EACCES},        {G_DBUS_ERROR_NO_MEMORY, ENOMEM},
      {G_DBUS_ERROR_LIMITS_EXCEEDED, EMSGSIZE},
  };

  if (control_error_is_disconnect(error))
    return ECONNRESET;
  if (error->domain == G_IO_ERROR &&
      (error->code == G_IO_ERROR_TIMED_OUT || error->code == G_IO_ERROR_CANCELLED))
    return ETIMEDOUT;
  if (error->domain == G_DBUS_ERROR)
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++)
      if (table[i].dbus == error->code)
        return table[i].err;
  return vt_error_to_errno(error);
}

gboolean control_propagate_error(GError **error, GError *remote, const char *what)
{
  int err = control_error_to_errno(remote);

  if (remote->domain == VT_ERROR) {
    g_dbus_error_strip_remote_error(remote);
    g_propagate_error(error, remote);
    return FALSE;
  }
  g_dbus_error_strip_remote_error(remote);
  if (err == ETIMEDOUT)
    vt_set_error(error, err, "%s: no answer in time", what);
  else if (control_error_is_disconnect(remote))
    vt_set_error(
        error, err,
        "%s: the service ended before it answered, so it is not known whether this was done", what);
  else
    vt_set_error(error, err, "%s: %s", what, remote->message);
  g_error_free(remote);
  return FALSE;
}

/* --- a deadline for what has none: cancels when time is up --- */

typedef struct {
  GMutex lock;
  GCond changed;
  gboolean done;
  gint64 deadline;
  GCancellable *cancellable;
  GThread *thread;
} Watchdog;

static gpointer watch(gpointer data)
{
  Watchdog *dog = data;
  gboolean late = FALSE;

  g_mutex_lock(&dog->lock);
  while (!dog->done && !late)
    late = !g_cond_wait_until(&dog->changed, &dog->lock, dog->deadline);
  late = late && !dog->done;
  g_mutex_unlock(&dog->lock);
  if (late)
    g_cancellable_cancel(dog->cancellable);
  return NULL;
}

static void watchdog_start(Watchdog *dog, gint64 deadline)
{
  g_mutex_init(&dog->lock);
  g_cond_init(&dog->changed);
  dog->done = FALSE;
  dog->deadline = deadline;
  dog->cancellable = g_cancellable_new();
  dog->thread = g_thread_new("deadline", watch, dog);
}

static void watchdog_stop(Watchdog *dog)
{
  g_mutex_lock(&dog->lock);
  dog->done = TRUE;
  g_cond_signal(&dog->changed);
  g_mutex_unlock(&dog->lock);
  g_thread_join(dog->thread);
  g_object_unref(dog->cancellable);
  g_cond_clear(&dog->changed);
  g_mutex_clear(&dog->lock);
}

GDBusConnection *control_connect(const char *path, guint timeout_ms, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(GSocket) socket = NULL;
  g_autoptr(GSocketConnection) stream = NULL;
  GDBusConnection *connection;
  gint64 deadline = g_get_monotonic_time() + timeout_ms * G_TIME_SPAN_MILLISECOND;
  Watchdog dog;
  int fd;

  register_errors();
  fd = control_socket_connect(path, timeout_ms, error);
  if (fd < 0)
    return NULL;
  socket = g_socket_new_from_fd(fd, &local);
  if (!socket) {
    close(fd);
    vt_set_error(error, vt_error_to_errno(local), "socket %s: %s", path, local->message);
    return NULL;
  }
  stream = g_socket_connection_factory_create_connection(socket);
  watchdog_start(&dog, deadline);
  connection = g_dbus_connection_new_sync(G_IO_STREAM(stream), NULL,
                                          G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL,
                                          dog.cancellable, &local);
  watchdog_stop(&dog);
  if (!connection) {
    if (g_error_matches(local, G_IO_ERROR, G_IO_ERROR_CANCELLED))
      vt_set_error(error, ETIMEDOUT, "nobody answered on %s within %u ms", path, timeout_ms);
    else
      vt_set_error(error, EACCES, "%s does not let us in: %s", path, local->message);
    return NULL;
  }
  g_dbus_connection_set_exit_on_close(connection, FALSE);
  return connection;
}
