/* virt-thin - D-Bus peers on a listening socket that somebody else may have made
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * GDBusServer makes its own socket and takes no descriptor; but ours is the holder's, so that
 * clients queue in its backlog while an engine is restarted. So: we accept, the kernel's word on
 * the peer (SO_PEERCRED) decides, and it introduces itself (control-handshake.h); then
 * GDBusConnection has it.
 *
 * Peers that connect and go no further keep nobody out: of those of one user, and of all, the one
 * that has waited longest makes way for the next. Where there is no descriptor left, those who come
 * wait in the backlog.
 *
 * Clients written for a bus (busctl, sd-bus) begin with org.freedesktop.DBus.Hello and may ask for
 * matches. They are answered as far as it makes sense between two.
 */
#include "config.h"

#include <fcntl.h>
#include <gio/gunixconnection.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#include "control/control-handshake.h"
#include "control/control-socket.h"
#include "control/control-stream.h"
#include "control/control.h"

#define HANDSHAKE_SECONDS 10
#define HANDSHAKES_MAX 64
#define HANDSHAKES_USER_MAX 16
#define MESSAGE_MAX (2u << 20) /* the names of some 10,000 volumes */
#define NO_DESCRIPTOR_PAUSE_MS 200
#define WARN_US (10 * G_USEC_PER_SEC)

struct ControlListener {
  GSocket *socket;
  guint source; /* accepts, or pauses */
  char *guid;
  gboolean any_user;
  ControlPeerFunc func;
  gpointer user_data;
  gint64 warned;     /* of missing descriptors: monotonic time */
  GQueue handshakes; /* of Handshake, the oldest first */
};

typedef struct {
  ControlListener *listener;
  GSocketConnection *stream;
  uid_t uid;
  ControlHandshake *talk;
  guint word; /* source of what it says */
  guint timeout;
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

static void handshake_end(Handshake *handshake)
{
  g_queue_remove(&handshake->listener->handshakes, handshake);
  g_source_remove(handshake->timeout);
  g_source_remove(handshake->word);
  control_handshake_free(handshake->talk);
  g_object_unref(handshake->stream);
  g_free(handshake);
}

static gboolean handshake_late(gpointer data)
{
  handshake_end(data);
  return G_SOURCE_CONTINUE; /* it is gone */
}

/* --- who has introduced himself --- */

GSocket *control_peer_socket(GDBusConnection *connection)
{
  return control_stream_socket(g_dbus_connection_get_stream(connection));
}

static void let_in(ControlListener *listener, GSocketConnection *socket)
{
  static const GDBusInterfaceVTable bus_vtable = {.method_call = bus_call};
  g_autoptr(GIOStream) stream = control_stream_new(socket, MESSAGE_MAX);
  g_autoptr(GError) error = NULL;
  g_autoptr(GDBusConnection) connection = g_dbus_connection_new_sync(
      stream, NULL, G_DBUS_CONNECTION_FLAGS_DELAY_MESSAGE_PROCESSING, NULL, NULL, &error);

  if (!connection) {
    g_warning("control socket: a peer could not be let in: %s", error->message);
    return;
  }
  g_dbus_connection_set_exit_on_close(connection, FALSE);
  g_dbus_connection_register_object(connection, "/org/freedesktop/DBus", bus_interface(),
                                    &bus_vtable, NULL, NULL, NULL);
  listener->func(connection, listener->user_data);
  g_dbus_connection_start_message_processing(connection);
}

static gboolean on_word(gint fd, GIOCondition condition, gpointer data)
{
  Handshake *handshake = data;
  ControlListener *listener = handshake->listener;
  ControlHandshakeState state = control_handshake_read(handshake->talk);

  if (state == CONTROL_HANDSHAKE_GOES_ON)
    return G_SOURCE_CONTINUE;
  g_autoptr(GSocketConnection) stream = g_object_ref(handshake->stream);
  handshake_end(handshake);
  if (state == CONTROL_HANDSHAKE_DONE)
    let_in(listener, stream);
  return G_SOURCE_CONTINUE; /* it is gone */
}

/* --- who comes --- */

/* May the process behind @socket talk to us? */
static gboolean peer_allowed(ControlListener *listener, GSocket *socket, uid_t *uid)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *peer = NULL;

  if (!control_socket_peer(g_socket_get_fd(socket), uid, NULL, NULL, &error)) {
    g_warning("control socket: a peer was refused: %s", error->message);
    return FALSE;
  }
  if (listener->any_user || *uid == 0 || *uid == geteuid())
    return TRUE;
  peer = control_socket_describe_peer(g_socket_get_fd(socket));
  g_warning("control socket: %s of user %u was refused", peer, (guint)*uid);
  return FALSE;
}

/* There are too many: who has waited longest, of @uid's if it is those. NULL: there are not. */
static Handshake *handshake_too_many(ControlListener *listener, uid_t uid)
{
  Handshake *oldest = NULL;
  guint n = 0;

  for (GList *l = listener->handshakes.tail; l; l = l->prev)
    if (((Handshake *)l->data)->uid == uid) {
      oldest = l->data;
      n++;
    }
  if (n >= HANDSHAKES_USER_MAX)
    return oldest;
  return listener->handshakes.length >= HANDSHAKES_MAX ? g_queue_peek_head(&listener->handshakes)
                                                       : NULL;
}

static void begin(ControlListener *listener, GSocket *socket, uid_t uid)
{
  Handshake *handshake = handshake_too_many(listener, uid);
  int fd = g_socket_get_fd(socket);

  if (handshake)
    handshake_end(handshake);
  handshake = g_new0(Handshake, 1);
  handshake->listener = listener;
  handshake->uid = uid;
  handshake->stream = g_socket_connection_factory_create_connection(socket);
  handshake->talk = control_handshake_new(fd, uid, listener->guid);
  handshake->timeout = g_timeout_add_seconds(HANDSHAKE_SECONDS, handshake_late, handshake);
  handshake->word = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP, on_word, handshake);
  g_queue_push_tail(&listener->handshakes, handshake);
}

static void watch(ControlListener *listener);

static gboolean pause_over(gpointer data)
{
  watch(data);
  return G_SOURCE_REMOVE;
}

static gboolean incoming(gint fd, GIOCondition condition, gpointer data)
{
  ControlListener *listener = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GSocket) socket = g_socket_accept(listener->socket, NULL, &error);
  gint64 now = g_get_monotonic_time();
  uid_t uid;

  if (socket && peer_allowed(listener, socket, &uid))
    begin(listener, socket, uid);
  if (socket || g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    return G_SOURCE_CONTINUE; /* one that is not allowed is dropped, and so closed */
  if (!listener->warned || now - listener->warned > WARN_US) {
    g_warning("control socket: cannot take a new peer: %s", error->message);
    listener->warned = now;
  }
  listener->source = g_timeout_add(NO_DESCRIPTOR_PAUSE_MS, pause_over, listener);
  return G_SOURCE_REMOVE;
}

static void watch(ControlListener *listener)
{
  listener->source = g_unix_fd_add(g_socket_get_fd(listener->socket), G_IO_IN, incoming, listener);
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
  listener->guid = g_dbus_generate_guid();
  listener->any_user = any_user;
  listener->func = func;
  listener->user_data = user_data;
  g_socket_set_blocking(socket, FALSE);
  listener->socket = g_steal_pointer(&socket);
  watch(listener);
  return listener;
}

void control_listener_free(ControlListener *listener)
{
  if (!listener)
    return;
  g_source_remove(listener->source);
  while (listener->handshakes.length)
    handshake_end(g_queue_peek_head(&listener->handshakes));
  g_object_unref(listener->socket);
  g_free(listener->guid);
  g_free(listener);
}
