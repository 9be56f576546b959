/* virt-thin - the D-Bus object of a VG service over its pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Serves org.virt_thin.VolumeGroup1 (src/control/org.virt_thin.VolumeGroup1.xml) to every peer of a
 * Unix socket. Calls run in threads of their own, never in the main loop: a check of an hour keeps
 * nobody waiting. Peers: root and the service's own user; whoever else the socket's mode lets in,
 * when it lets in others. Thread-safety: new, stop and free from the thread that runs the default
 * main context; control_server_emit() from any thread. Errors: VT_ERROR.
 */
#pragma once

#include "pool/pool.h"

typedef struct ControlServer ControlServer;

/* A peer asked the service to end; called in a thread. Return FALSE with @error (EBUSY naming
 * volume and opener) to refuse. The peer is answered before this function's effect can show, so
 * begin the end, do not finish it here. */
typedef gboolean (*ControlStopFunc)(gboolean force, gpointer user_data, GError **error);

/* Serve @group on the listening Unix socket @listen_fd (from control_socket_listen(), perhaps in
 * another process; duplicated, so the caller still owns its own). */
ControlServer *control_server_new(VolumeGroup *group, int listen_fd, ControlStopFunc stop,
                                  gpointer user_data, GError **error);

/* Take no more connections and calls (ESHUTDOWN), and wait up to @timeout_ms for those under way.
 * FALSE: some still run, and still use the pool. */
gboolean control_server_stop(ControlServer *server, guint timeout_ms);
/* After control_server_stop(). */
void control_server_free(ControlServer *server);

/* Tell the peers what happened to a volume (signal VolumeChanged). */
void control_server_emit(ControlServer *server, PoolEvent event, const char *name,
                         const char *old_name);

/* How many are connected. */
guint control_server_n_peers(ControlServer *server);
