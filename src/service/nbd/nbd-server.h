/* virt-thin - a small NBD server over a VolumeGroup: every logical volume is an export by its name
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Fixed newstyle on a Unix socket, without TLS. Structured replies (holes in reads), flush, FUA,
 * trim, write zeroes (fast zero), cache, block status with base:allocation and what has changed
 * since a snapshot (NBD_SINCE_CONTEXT), several connections to one export. A connection opens its
 * volume with pool_volume_open(); the opener reads "nbd client, pid 99 (qemu-img)". The size is the
 * volume's of the moment: a client that knows of a resize may use it at once.
 *
 * What one client does harms no other: each connection has a thread and small buffers of its own,
 * and nothing of it is held that another one waits for. More threads and larger buffers come from
 * what all share (memory.c): who gets none is served more slowly.
 *
 * Units: bytes. Errors: VT_ERROR. Thread-safety: every function may be called from any thread; stop
 * only once.
 */
#pragma once

#include <sys/types.h>

#include "pool/pool.h"

/* The metadata context of an export, "qemu:dirty-bitmap:since-before": what has changed since
 * snapshot "before". There is one for each volume of pool_snapshots_before(). */
#define NBD_SINCE_CONTEXT "qemu:dirty-bitmap:since-"

typedef struct NbdServer NbdServer;

typedef struct {
  guint socket_mode; /* permissions of the socket; 0: 0600. With bits for group or others these
                        decide who may connect; else only root and this user */
  const char *socket_group;   /* NULL: unchanged */
  gboolean read_only;         /* all exports */
  const char *const *exports; /* only these volumes; NULL: all */
  guint threads;              /* most per connection; 0: 16 */
  guint max_clients; /* 0: 1000, or half of RLIMIT_NOFILE; when there are as many, the one that
                               has been choosing an export longest makes way for the next */
  gsize memory;      /* that clients share, beyond 512 KiB for each; 0: 256 MiB */
  guint stall_ms;    /* who reads no reply for longer may be disconnected when others miss
                               memory that it holds; 0: 30000 */
  /* Is a client with this pid the service's own standing view (a kernel NBD device)? See
   * nbd_server_add(). NULL: none is. Any thread. */
  gboolean (*is_view)(pid_t pid, gpointer user_data);
  gpointer user_data;
} NbdServerOptions;

/* Serve @group, which must outlive the server, on a new socket at @socket_path. @options NULL: the
 * defaults. */
NbdServer *nbd_server_start(VolumeGroup *group, const char *socket_path,
                            const NbdServerOptions *options, GError **error);

/* The same on @listen_fd, a listening Unix socket (taken over: the server closes it). -1: no socket
 * at all, only nbd_server_connect() and nbd_server_add(). */
NbdServer *nbd_server_start_fd(VolumeGroup *group, int listen_fd, const NbdServerOptions *options,
                               GError **error);

/* Take no more requests, finish those in flight and send their replies (for up to @timeout_ms, then
 * without), close every connection, whatever its client does, remove the socket made by
 * nbd_server_start(), and free. What a client had sent and was not begun gets no reply, so that one
 * that reconnects sends it again. */
void nbd_server_stop(NbdServer *server, guint timeout_ms);

/* Serve a client on the connected stream socket @fd (taken over), before its handshake. @view: a
 * standing view of the service's own (a kernel NBD device): its volume is opened with
 * pool_volume_open_view(), so it counts as nobody's use. Of one export there is one view at a time:
 * a second is refused while the first lives, and waits for its last request once it has hung up, so
 * that what the kernel sends again cannot be overtaken by what it sent before. FALSE: stopping, or
 * too many clients. */
gboolean nbd_server_add(NbdServer *server, int fd, gboolean view, GError **error);

/* A socketpair() whose other end nbd_server_add() serves as a view. -1: error. */
int nbd_server_connect(NbdServer *server, GError **error);

typedef struct {
  pid_t pid; /* 0: not known */
  uid_t uid;
  char *command;     /* NULL: not known */
  char *export_name; /* NULL: still in the handshake */
  gboolean read_only, view;
  guint threads;
  guint64 requests, errors; /* so far */
} NbdClient;
void nbd_client_free(NbdClient *client);

/* Who is connected: GPtrArray of NbdClient, the caller's. */
GPtrArray *nbd_server_list_clients(NbdServer *server);
