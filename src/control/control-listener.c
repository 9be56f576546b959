/* virt-thin - D-Bus peers on a listening socket that somebody else may have made
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * GDBusServer makes its own socket and takes no descriptor; but ours is the holder's, so that
 * clients queue in its backlog while an engine is restarted. So: we accept, the kernel's word on
 * the peer (SO_PEERCRED) decides, and GDBusConnection does the rest, in a thread of GLib's few. It
 * gets to see a peer when that has said something.
 *
 * Peers that connect and go no further keep nobody out: the one that has waited longest makes way
 * for the next. Where there is no descriptor left, those who come wait in the backlog.
 *
 * Clients written for a bus (busctl, sd-bus) begin with org.freedesktop.DBus.Hello and may ask for
 * matches. They are answered as far as it makes sense between two.
 */
#include "config.h"

#include <fcntl.h>
#include <gio/gunixconnection.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/control-socket.h"
#include "control/control.h"

#define HANDSHAKE_SECONDS 10
#define HANDSHAKES_MAX 64
#define THREADS_MAX 8   /* of handshakes: GLib has ten for such work, and others need them, too */
#define PATIENCE_MS 250 /* with one that has begun, while another waits for its thread */
#define NO_DESCRIPTOR_PAUSE_MS 200
#define WARN_US (10 * G_USEC_PER_SEC)

struct ControlListener {
  GSocket *socket;
  guint source; /* accepts, or pauses */
  char *guid;
  gboolean any_user;
  ControlPeerFunc func;
  gpointer user_data;
  gint64 warned;                 /* of missing descriptors: monotonic time */
  GQueue silent, waiting, begun; /* of Handshake, the oldest first */
  guint impatient;               /* source that looks at them again; 0: none */
  gint refs;                     /* the owner's, and one of each handshake */
};

typedef struct {
  ControlListener *listener;
  GSocketConnection *stream;
  GQueue *queue; /* which it is in; NULL: cancelled */
  GCancellable *cancellable;
  gint64 since; /* it began: monotonic time */
  guint word;   /* source of its first word; 0: it came */
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

static void listener_unref(ControlListener *listener)
{
  if (!g_atomic_int_dec_and_test(&listener->refs))
    return;
  g_object_unref(listener->socket);
  g_free(listener->guid);
  g_free(listener);
}

static void leave_queue(Handshake *handshake)
{
  if (handshake->queue)
    g_queue_remove(handshake->queue, handshake);
  handshake->queue = NULL;
}

static void enter_queue(Handshake *handshake, GQueue *queue)
{
  leave_queue(handshake);
  handshake->queue = queue;
  handshake->since = g_get_monotonic_time();
  g_queue_push_tail(queue, handshake);
}

static void advance(ControlListener *listener);

static void handshake_free(Handshake *handshake)
{
  leave_queue(handshake);
  advance(handshake->listener);
  if (handshake->timeout)
    g_source_remove(handshake->timeout);
  if (handshake->word)
    g_source_remove(handshake->word);
  g_object_unref(handshake->cancellable);
  g_object_unref(handshake->stream);
  listener_unref(handshake->listener);
  g_free(handshake);
}

/* One that GDBus has is freed when GDBus has noticed. */
static void handshake_end(Handshake *handshake)
{
  gboolean begun = handshake->queue == &handshake->listener->begun;

  leave_queue(handshake);
  if (begun)
    g_cancellable_cancel(handshake->cancellable);
  else
    handshake_free(handshake);
}

static gboolean handshake_late(gpointer data)
{
  Handshake *handshake = data;

  handshake->timeout = 0;
  if (handshake->queue)
    handshake_end(handshake);
  return G_SOURCE_REMOVE;
}

static void handshake_done(GObject *source, GAsyncResult *result, gpointer data)
{
  static const GDBusInterfaceVTable bus_vtable = {.method_call = bus_call};
  Handshake *handshake = data;
  ControlListener *listener = handshake->listener;
  g_autoptr(GError) error = NULL;
  g_autoptr(GDBusConnection) connection = g_dbus_connection_new_finish(result, &error);

  if (connection && !handshake->queue) {
    g_dbus_connection_close(connection, NULL, NULL, NULL);
  } else if (connection) {
    g_socket_set_option(g_socket_connection_get_socket(handshake->stream), SOL_SOCKET, SO_PASSCRED,
                        FALSE, NULL);
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

static void handshake_begin(Handshake *handshake)
{
  enter_queue(handshake, &handshake->listener->begun);
  g_dbus_connection_new(G_IO_STREAM(handshake->stream), handshake->listener->guid,
                        G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_SERVER |
                            G_DBUS_CONNECTION_FLAGS_DELAY_MESSAGE_PROCESSING,
                        NULL, handshake->cancellable, handshake_done, handshake);
}

static gboolean advance_later(gpointer data)
{
  ControlListener *listener = data;

  listener->impatient = 0;
  advance(listener);
  return G_SOURCE_REMOVE;
}

/* The last to come is the first to begin: whoever has waited may well be waiting for nothing. */
static void advance(ControlListener *listener)
{
  while (listener->waiting.length) {
    Handshake *oldest = g_queue_peek_head(&listener->begun);

    if (listener->begun.length < THREADS_MAX) {
      handshake_begin(g_queue_peek_tail(&listener->waiting));
    } else if (g_get_monotonic_time() - oldest->since >= PATIENCE_MS * G_TIME_SPAN_MILLISECOND) {
      handshake_end(oldest);
    } else {
      if (!listener->impatient)
        listener->impatient = g_timeout_add(PATIENCE_MS, advance_later, listener);
      return;
    }
  }
}

static gboolean first_word(gint fd, GIOCondition condition, gpointer data)
{
  Handshake *handshake = data;

  handshake->word = 0;
  enter_queue(handshake, &handshake->listener->waiting);
  advance(handshake->listener);
  return G_SOURCE_REMOVE;
}

/* The one that has waited longest of all. */
static Handshake *oldest_handshake(ControlListener *listener)
{
  GQueue *queues[] = {&listener->silent, &listener->waiting, &listener->begun};

  for (guint i = 0; i < G_N_ELEMENTS(queues); i++)
    if (queues[i]->length)
      return g_queue_peek_head(queues[i]);
  return NULL;
}

static void begin(ControlListener *listener, GSocket *socket)
{
  Handshake *handshake;

  /* GDBus wants the kernel's word on who sent the first byte, which comes before GDBus does. */
  g_socket_set_option(socket, SOL_SOCKET, SO_PASSCRED, TRUE, NULL);
  if (listener->silent.length + listener->waiting.length + listener->begun.length >= HANDSHAKES_MAX)
    handshake_end(oldest_handshake(listener));
  handshake = g_new0(Handshake, 1);
  handshake->listener = listener;
  g_atomic_int_inc(&listener->refs);
  handshake->stream = g_socket_connection_factory_create_connection(socket);
  handshake->cancellable = g_cancellable_new();
  handshake->timeout = g_timeout_add_seconds(HANDSHAKE_SECONDS, handshake_late, handshake);
  handshake->word = g_unix_fd_add(g_socket_get_fd(socket), G_IO_IN, first_word, handshake);
  enter_queue(handshake, &listener->silent);
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

  if (socket && peer_allowed(listener, socket))
    begin(listener, socket);
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
  listener->refs = 1;
  listener->guid = g_dbus_generate_guid();
  listener->any_user = any_user;
  listener->func = func;
  listener->user_data = user_data;
  g_socket_set_blocking(socket, FALSE);
  g_socket_set_option(socket, SOL_SOCKET, SO_PASSCRED, TRUE, NULL); /* for those it accepts */
  listener->socket = g_steal_pointer(&socket);
  watch(listener);
  return listener;
}

void control_listener_free(ControlListener *listener)
{
  if (!listener)
    return;
  g_source_remove(listener->source);
  for (Handshake *handshake; (handshake = oldest_handshake(listener));)
    handshake_end(handshake);
  if (listener->impatient)
    g_source_remove(listener->impatient);
  listener->impatient = 0;
  listener_unref(listener);
}
