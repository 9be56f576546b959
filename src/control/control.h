/* virt-thin - D-Bus between a VG service and its clients: addresses, errors, connections
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The interface itself is org.virt_thin.VolumeGroup1.xml; control-info.h is generated from it. Peer
 * to peer: no bus is involved. What the structures in it mean in C is src/pool/remote/wire.h.
 *
 * Errors: VT_ERROR. Over the wire the errno value EBUSY is org.virt_thin.Error.EBUSY, and so for
 * every errno name of the C library (names, because the numbers differ between architectures).
 */
#pragma once

#include <gio/gio.h>

#include "util/error.h"

#define CONTROL_OBJECT_PATH "/org/virt_thin/VolumeGroup"
#define CONTROL_INTERFACE "org.virt_thin.VolumeGroup1"
#define CONTROL_ERROR_PREFIX "org.virt_thin.Error."
#define CONTROL_DEFAULT_TIMEOUT_MS 30000

/* The D-Bus name for errno value @err (EIO's where it has none). Constant strings, never freed. */
const char *control_error_name(int err);
/* The errno value behind a D-Bus error: its own, or the nearest for those of D-Bus and GIO
 * (ETIMEDOUT, EOPNOTSUPP, ECONNRESET, …). */
int control_error_to_errno(const GError *error);
/* Is the connection gone, so that it is not known whether the call was carried out? */
gboolean control_error_is_disconnect(const GError *error);
/* Make @remote (freed) an error of VT_ERROR: the peer's own message, or for a lost or late one
 * "@what: …". Always FALSE. */
gboolean control_propagate_error(GError **error, GError *remote, const char *what);

/* Connect to the control socket at @path and authenticate, within @timeout_ms. Safe in any thread,
 * needs no main loop. Errors as control_socket_connect(), and ETIMEDOUT when the peer does not
 * answer. */
GDBusConnection *control_connect(const char *path, guint timeout_ms, GError **error);

/* --- the serving side --- */

typedef struct ControlListener ControlListener;

/* An authenticated peer; called in the main context. Take a reference to keep it; its messages are
 * processed once this returns. */
typedef void (*ControlPeerFunc)(GDBusConnection *connection, gpointer user_data);

/* Accept peers on listening socket @fd (duplicated) from the default main context. @any_user: let
 * in whomever the socket's mode lets in; else root and this process's user alone. A peer has 10
 * seconds to introduce itself, and is hung up on when it sends a message of more than 2 MiB. */
ControlListener *control_listener_new(int fd, gboolean any_user, ControlPeerFunc func,
                                      gpointer user_data, GError **error);
/* The socket of such a peer; the connection's. */
GSocket *control_peer_socket(GDBusConnection *connection);
/* Accept no more. */
void control_listener_free(ControlListener *listener);
