/* virt-thin - D-Bus peers on a listening socket that somebody else may have made
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * GDBusServer makes its own socket and takes no descriptor; but ours is the holder's, so that
 * clients queue in its backlog while an engine is restarted. So: GSocketService accepts, the
 * kernel's word on the peer (SO_PEERCRED) decides, and GDBusConnection does the rest.
 *
 * Clients written for a bus (busctl, sd-bus) begin with org.freedesktop.DBus.Hello and may ask for
 * matches. They are answered as far as it makes sense between two.
 */
#include "config.h"

#include <fcntl.h>
#include <gio/gunixconnection.h>
#include <string.h>
#include <unistd.h>

#include "control/control-socket.h"
#include "control/control.h"

#define HANDSHAKE_SECONDS 10
#define HANDSHAKES_MAX 64

struct ControlListener {
  GSocketService *service;
  char *guid;
  gboolean any_user;
  ControlPeerFunc func;
  gpointer user_data;
  guint handshakes;
  GCancellable *cancellable; /* of all handshakes */
  gint refs;                 /* the owner's, and one of each handshake */
};

typedef struct {
  ControlListener *listener;
  GCancellable *cancellable;
  guint timeout;
  gulong chained;
} Handshake;

static const char bus_xml[] = "<node><interface name='org.freedesktop.DBus'>"
                              "<method name='Hello'><arg type='s' direction='out'/></method>"
                              "<method name='AddMatch'><arg type='s' direction='in'/></method>"
                              "<method name='RemoveMatch'><arg type='s' direction='in'/></method>"
                              "</interface></node>";

static void bus_call(GDBusConnection *connection, const char *sender, const char *path,
                     const char *interface, const char *method, GVariant *parameters,
                     GDBusMethodInvocation *invocation, gpointer user_data)
{
  gboolean hello = strcmp(method, "Hello") == 0;

  g_dbus_method_invocation_return_value(invocation, hello ? g_variant_new("(s)", ":1.1") : NULL);
}

static GDBusInterfaceInfo *bus_interface(void)
{
  static gsize node;

  if (g_once_init_enter(&node))
    g_once_init_leave(&node, GPOINTER_TO_SIZE(g_dbus_node_info_new_for_xml(bus_xml, NULL)));
  return ((GDBusNodeInfo *)GSIZE_TO_POINTER(node))->interfaces[0];
}

static void listener_unref(ControlListener *listener)
{
  if (!g_atomic_int_dec_and_test(&listener->refs))
    return;
  g_object_unref(listener->cancellable);
  g_free(listener->guid);
  g_free(listener);
}

static void handshake_free(Handshake *handshake)
{
  if (handshake->timeout)
    g_source_remove(handshake->timeout);
  g_cancellable_disconnect(handshake->listener->cancellable, handshake->chained);
  g_object_unref(handshake->cancellable);
  handshake->listener->handshakes--;
  listener_unref(handshake->listener);
  g_free(handshake);
}

static gboolean handshake_late(gpointer data)
{
  Handshake *handshake = data;

  handshake->timeout = 0;
  g_cancellable_cancel(handshake->cancellable);
  return G_SOURCE_REMOVE;
}

static void handshake_cancel(GCancellable *all, gpointer one)
{
  g_cancellable_cancel(one);
}

static void handshake_done(GObject *source, GAsyncResult *result, gpointer data)
{
  static const GDBusInterfaceVTable bus_vtable = {.method_call = bus_call};
  Handshake *handshake = data;
  ControlListener *listener = handshake->listener;
  g_autoptr(GError) error = NULL;
  g_autoptr(GDBusConnection) connection = g_dbus_connection_new_finish(result, &error);

  if (connection && g_cancellable_is_cancelled(listener->cancellable)) {
    g_dbus_connection_close(connection, NULL, NULL, NULL);
  } else if (connection) {
    g_dbus_connection_set_exit_on_close(connection, FALSE);
    g_dbus_connection_register_object(connection, "/org/freedesktop/DBus", bus_interface(),
                                      &bus_vtable, NULL, NULL, NULL);
    listener->func(connection, listener->user_data);
    g_dbus_connection_start_message_processing(connection);
  } else if (!g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
    g_debug("control socket: a peer did not complete its handshake: %s", error->message);
  }
  handshake_free(handshake);
}

/* May the process behind @socket talk to us? */
static gboolean peer_allowed(ControlListener *listener, GSocket *socket)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *peer = NULL;
  uid_t uid;

  if (!control_socket_peer(g_socket_get_fd(socket), &uid, NULL, NULL, &error)) {
    g_warning("control socket: a peer was refused: %s", error->message);
    return FALSE;
  }
  if (listener->any_user || uid == 0 || uid == geteuid())
    return TRUE;
  peer = control_socket_describe_peer(g_socket_get_fd(socket));
  g_warning("control socket: %s of user %u was refused", peer, (guint)uid);
  return FALSE;
}

static gboolean incoming(GSocketService *service, GSocketConnection *stream, GObject *source,
                         gpointer data)
{
  ControlListener *listener = data;
  Handshake *handshake;

  if (!peer_allowed(listener, g_socket_connection_get_socket(stream)))
    return TRUE; /* dropped, and so closed */
  if (listener->handshakes >= HANDSHAKES_MAX) {
    g_warning("control socket: %u peers have not completed their handshake: another is refused",
              listener->handshakes);
    return TRUE;
  }
  handshake = g_new0(Handshake, 1);
  handshake->listener = listener;
  g_atomic_int_inc(&listener->refs);
  listener->handshakes++;
  handshake->cancellable = g_cancellable_new();
  handshake->chained = g_cancellable_connect(listener->cancellable, G_CALLBACK(handshake_cancel),
                                             handshake->cancellable, NULL);
  handshake->timeout = g_timeout_add_seconds(HANDSHAKE_SECONDS, handshake_late, handshake);
  g_dbus_connection_new(G_IO_STREAM(stream), listener->guid,
                        G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_SERVER |
                            G_DBUS_CONNECTION_FLAGS_DELAY_MESSAGE_PROCESSING,
                        NULL, handshake->cancellable, handshake_done, handshake);
  return TRUE;
}

ControlListener *control_listener_new(int fd, gboolean any_user, ControlPeerFunc func,
                                      gpointer user_data, GError **error)
{
  g_autoptr(GSocket) socket = NULL;
  g_autoptr(GError) local = NULL;
  ControlListener *listener;
  int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);

  if (own < 0) {
    vt_set_errno(error, errno, "duplicating the control socket");
    return NULL;
  }
  control_error_name(EIO); /* registers the names */
  socket = g_socket_new_from_fd(own, &local);
  if (!socket) {
    close(own);
    vt_set_error(error, vt_error_to_errno(local), "control socket: %s", local->message);
    return NULL;
  }
  listener = g_new0(ControlListener, 1);
  listener->refs = 1;
  listener->cancellable = g_cancellable_new();
  listener->guid = g_dbus_generate_guid();
  listener->any_user = any_user;
  listener->func = func;
  listener->user_data = user_data;
  listener->service = g_socket_service_new();
  if (!g_socket_listener_add_socket(G_SOCKET_LISTENER(listener->service), socket, NULL, &local)) {
    vt_set_error(error, vt_error_to_errno(local), "control socket: %s", local->message);
    control_listener_free(listener);
    return NULL;
  }
  g_signal_connect(listener->service, "incoming", G_CALLBACK(incoming), listener);
  g_socket_service_start(listener->service);
  return listener;
}

void control_listener_free(ControlListener *listener)
{
  if (!listener)
    return;
  g_socket_service_stop(listener->service);
  g_signal_handlers_disconnect_by_data(listener->service, listener);
  g_socket_listener_close(G_SOCKET_LISTENER(listener->service));
  g_object_unref(listener->service);
  g_cancellable_cancel(listener->cancellable);
  listener_unref(listener);
}
