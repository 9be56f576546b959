/* virt-thin - simulation: what the linker calls in place of GDBus: calls without a socket
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A connection is one object for both ends, and carries nothing but who is there and whether it is
 * closed. A call goes straight to the server's function for it; the caller waits for the answer,
 * also when it has hung up meanwhile, and so learns what has become of it, which a real one would
 * not.
 */
#include <string.h>
#include <sys/resource.h>

#include "bus.h"
#include "control/control-socket.h"
#include "control/control.h"
#include "fiber.h"
#include "world.h"

#define DESCRIPTORS 64  /* that the engine may have */
#define USERS (1 << 20) /* from here on descriptors are none, but tell a user */

typedef struct {
  GDBusConnection *connection;
  GVariant *parameters;
  const char *method;
  gboolean answered;
  GVariant *answer;
  GError *error;
} Call;

struct ControlListener {
  ControlPeerFunc func;
  gpointer user_data;
};

static struct {
  ControlListener *listener; /* NULL: nobody */
  const GDBusInterfaceVTable *table;
  gpointer user_data;
} bus;
static const char CLOSED[] = "sim-closed", USER[] = "sim-user";

/* --- names that the linker looks for --- */

ControlListener *__wrap_control_listener_new(int fd, gboolean any_user, ControlPeerFunc func,
                                             gpointer user_data, GError **error);
void __wrap_control_listener_free(ControlListener *listener);
GDBusConnection *__wrap_control_connect(const char *path, guint timeout_ms, GError **error);
GSocket *__wrap_control_peer_socket(GDBusConnection *connection);
gboolean __wrap_control_socket_peer(int fd, uid_t *uid, gid_t *gid, pid_t *pid, GError **error);
gboolean __real_control_socket_peer(int fd, uid_t *uid, gid_t *gid, pid_t *pid, GError **error);
int __wrap_g_socket_get_fd(GSocket *socket);
gboolean __wrap_g_socket_shutdown(GSocket *socket, gboolean in, gboolean out, GError **error);
gboolean __wrap_g_dbus_connection_is_closed(GDBusConnection *connection);
void __wrap_g_dbus_connection_close(GDBusConnection *connection, GCancellable *cancellable,
                                    GAsyncReadyCallback func, gpointer user_data);
guint __wrap_g_dbus_connection_register_object(GDBusConnection *connection, const char *path,
                                               GDBusInterfaceInfo *info,
                                               const GDBusInterfaceVTable *table,
                                               gpointer user_data, GDestroyNotify notify,
                                               GError **error);
void __wrap_g_dbus_connection_flush(GDBusConnection *connection, GCancellable *cancellable,
                                    GAsyncReadyCallback func, gpointer user_data);
gboolean __wrap_g_dbus_connection_flush_finish(GDBusConnection *connection, GAsyncResult *result,
                                               GError **error);
gboolean __wrap_g_dbus_connection_flush_sync(GDBusConnection *connection, GCancellable *cancellable,
                                             GError **error);
gboolean __wrap_g_dbus_connection_emit_signal(GDBusConnection *connection, const char *to,
                                              const char *path, const char *interface,
                                              const char *name, GVariant *in, GError **error);
GVariant *__wrap_g_dbus_connection_call_sync(GDBusConnection *connection, const char *to,
                                             const char *path, const char *interface,
                                             const char *method, GVariant *in,
                                             const GVariantType *type, GDBusCallFlags flags,
                                             gint timeout_ms, GCancellable *cancellable,
                                             GError **error);
GDBusConnection *__wrap_g_dbus_method_invocation_get_connection(GDBusMethodInvocation *call);
GVariant *__wrap_g_dbus_method_invocation_get_parameters(GDBusMethodInvocation *call);
const char *__wrap_g_dbus_method_invocation_get_method_name(GDBusMethodInvocation *call);
void __wrap_g_dbus_method_invocation_return_value(GDBusMethodInvocation *call, GVariant *value);
void __wrap_g_dbus_method_invocation_return_dbus_error(GDBusMethodInvocation *call,
                                                       const char *name, const char *message);
int __wrap_getrlimit(int what, struct rlimit *limit);

/* --- connections --- */

static gboolean is_closed(GDBusConnection *connection)
{
  return g_object_get_data(G_OBJECT(connection), CLOSED) != NULL;
}

static void hang_up(GDBusConnection *connection)
{
  if (is_closed(connection))
    return;
  g_object_set_data(G_OBJECT(connection), CLOSED, connection);
  g_signal_emit_by_name(connection, "closed", FALSE, NULL);
}

void bus_begin(void)
{
  bus.listener = NULL;
}

ControlListener *__wrap_control_listener_new(int fd, gboolean any_user, ControlPeerFunc func,
                                             gpointer user_data, GError **error)
{
  ControlListener *listener = g_new(ControlListener, 1);

  *listener = (ControlListener){func, user_data};
  return bus.listener = listener;
}

void __wrap_control_listener_free(ControlListener *listener)
{
  if (listener && bus.listener == listener)
    bus.listener = NULL;
  g_free(listener);
}

/* Every other one is root's. */
GDBusConnection *__wrap_control_connect(const char *path, guint timeout_ms, GError **error)
{
  GDBusConnection *connection;

  sim_point("connect", 0);
  if (!bus.listener || sim_is_ghost()) {
    vt_set_error(error, ECONNREFUSED, "nobody listens on %s", path);
    return NULL;
  }
  connection = g_object_new(G_TYPE_DBUS_CONNECTION, NULL);
  g_object_set_data(G_OBJECT(connection), USER, GINT_TO_POINTER(sim_random(2) ? 0 : 1000));
  bus.listener->func(connection, bus.listener->user_data);
  return connection;
}

GSocket *__wrap_control_peer_socket(GDBusConnection *connection)
{
  return (GSocket *)(gpointer)connection;
}

/* What is no descriptor of the system's tells the user. */
int __wrap_g_socket_get_fd(GSocket *socket)
{
  return USERS + GPOINTER_TO_INT(g_object_get_data((GObject *)(gpointer)socket, USER));
}

gboolean __wrap_control_socket_peer(int fd, uid_t *uid, gid_t *gid, pid_t *pid, GError **error)
{
  if (fd < USERS)
    return __real_control_socket_peer(fd, uid, gid, pid, error);
  *uid = (uid_t)(fd - USERS);
  return TRUE;
}

gboolean __wrap_g_socket_shutdown(GSocket *socket, gboolean in, gboolean out, GError **error)
{
  hang_up((GDBusConnection *)(gpointer)socket);
  return TRUE;
}

gboolean __wrap_g_dbus_connection_is_closed(GDBusConnection *connection)
{
  return is_closed(connection);
}

void __wrap_g_dbus_connection_close(GDBusConnection *connection, GCancellable *cancellable,
                                    GAsyncReadyCallback func, gpointer user_data)
{
  hang_up(connection);
}

guint __wrap_g_dbus_connection_register_object(GDBusConnection *connection, const char *path,
                                               GDBusInterfaceInfo *info,
                                               const GDBusInterfaceVTable *table,
                                               gpointer user_data, GDestroyNotify notify,
                                               GError **error)
{
  bus.table = table;
  bus.user_data = user_data;
  return 1;
}

gboolean __wrap_g_dbus_connection_emit_signal(GDBusConnection *connection, const char *to,
                                              const char *path, const char *interface,
                                              const char *name, GVariant *in, GError **error)
{
  g_variant_unref(g_variant_ref_sink(in));
  return TRUE;
}

/* --- answers on their way: a peer reads them when it comes to it --- */

typedef struct {
  GDBusConnection *connection;
  GAsyncReadyCallback func;
  gpointer user_data;
} Flush;

static void read_at_last(gpointer data)
{
  Flush *flush = data;

  sim_sleep(sim_random(5000));
  flush->func(G_OBJECT(flush->connection), NULL, flush->user_data);
  g_object_unref(flush->connection);
  g_free(flush);
}

void __wrap_g_dbus_connection_flush(GDBusConnection *connection, GCancellable *cancellable,
                                    GAsyncReadyCallback func, gpointer user_data)
{
  Flush *flush = g_new(Flush, 1);

  *flush = (Flush){g_object_ref(connection), func, user_data};
  sim_spawn(sim_self(), "reader", read_at_last, flush);
}

gboolean __wrap_g_dbus_connection_flush_finish(GDBusConnection *connection, GAsyncResult *result,
                                               GError **error)
{
  return TRUE;
}

gboolean __wrap_g_dbus_connection_flush_sync(GDBusConnection *connection, GCancellable *cancellable,
                                             GError **error)
{
  sim_sleep(sim_random(2000));
  return TRUE;
}

/* --- calls --- */

GDBusConnection *__wrap_g_dbus_method_invocation_get_connection(GDBusMethodInvocation *call)
{
  return ((Call *)(gpointer)call)->connection;
}

GVariant *__wrap_g_dbus_method_invocation_get_parameters(GDBusMethodInvocation *call)
{
  return ((Call *)(gpointer)call)->parameters;
}

const char *__wrap_g_dbus_method_invocation_get_method_name(GDBusMethodInvocation *call)
{
  return ((Call *)(gpointer)call)->method;
}

static void end_call(Call *call)
{
  if (call->answered)
    sim_fail("a control call is answered twice: %s", call->method);
  call->answered = TRUE;
  sim_wake(call, TRUE);
}

void __wrap_g_dbus_method_invocation_return_value(GDBusMethodInvocation *invocation,
                                                  GVariant *value)
{
  Call *call = (Call *)(gpointer)invocation;

  call->answer = g_variant_ref_sink(value ? value : g_variant_new("()"));
  end_call(call);
}

void __wrap_g_dbus_method_invocation_return_dbus_error(GDBusMethodInvocation *invocation,
                                                       const char *name, const char *message)
{
  Call *call = (Call *)(gpointer)invocation;

  call->error = g_dbus_error_new_for_dbus_error(name, message);
  end_call(call);
}

/* Its answer is nobody's, and the server may have given it up. */
static void wait_for_answer(Call *call)
{
  if (sim_random(16) == 0) {
    sim_sleep(sim_random(4000));
    sim_totals.calls_hung_up++;
    hang_up(call->connection);
  }
  while (!call->answered)
    sim_wait(call, G_MAXINT64);
}

static GVariant *call_method(GDBusConnection *connection, const char *path, const char *interface,
                             const char *method, GVariant *in, GError **error)
{
  Call call = {.connection = connection, .parameters = g_variant_ref_sink(in), .method = method};

  bus.table->method_call(connection, NULL, path, interface, method, call.parameters,
                         (GDBusMethodInvocation *)(gpointer)&call, bus.user_data);
  wait_for_answer(&call);
  g_variant_unref(call.parameters);
  if (call.error)
    g_propagate_error(error, call.error);
  return call.answer;
}

static GVariant *get_property(GDBusConnection *connection, const char *path, GVariant *in,
                              GError **error)
{
  const char *interface, *name;
  GVariant *value;

  g_variant_get(in, "(&s&s)", &interface, &name);
  value = bus.table->get_property(connection, NULL, path, interface, name, error, bus.user_data);
  return value ? g_variant_ref_sink(g_variant_new("(v)", value)) : NULL;
}

GVariant *__wrap_g_dbus_connection_call_sync(GDBusConnection *connection, const char *to,
                                             const char *path, const char *interface,
                                             const char *method, GVariant *in,
                                             const GVariantType *type, GDBusCallFlags flags,
                                             gint timeout_ms, GCancellable *cancellable,
                                             GError **error)
{
  g_autoptr(GVariant) parameters = g_variant_ref_sink(in ? in : g_variant_new("()"));
  GVariant *answer;

  sim_point("call", 0);
  if (is_closed(connection) || !bus.listener) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_CLOSED, "the connection is closed");
    return NULL;
  }
  answer = strcmp(interface, CONTROL_INTERFACE) == 0
               ? call_method(connection, path, interface, method, parameters, error)
               : get_property(connection, path, parameters, error);
  if (answer && !g_variant_is_of_type(answer, type))
    sim_fail("the answer to %s is of type %s", method, g_variant_get_type_string(answer));
  return answer;
}

int __wrap_getrlimit(int what, struct rlimit *limit)
{
  rlim_t most = what == RLIMIT_NOFILE ? DESCRIPTORS : RLIM_INFINITY;

  *limit = (struct rlimit){most, most};
  return 0;
}
