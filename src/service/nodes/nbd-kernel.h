/* virt-thin - the kernel's NBD client: exports of our server as /dev/nbdN
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Configured by generic netlink (linux/nbd-netlink.h), on a Unix socket that was negotiated here. A
 * device outlives its connection: when the server goes away, requests wait, those in flight
 * included, until nbd_kernel_reconnect() brings a new one. Each device carries an identifier of the
 * caller's (Linux 5.14), by which it is found again after a restart.
 *
 * How long it takes. The kernel sends a request that was in flight again once it is
 * NBD_KERNEL_TIMEOUT_S old; that is also how long one request may take before the kernel takes the
 * connection for dead. After NBD_KERNEL_PATIENCE_S without a connection requests fail.
 *
 * Errors: VT_ERROR. Thread-safety: none. For root.
 */
#pragma once

#include "service/fuse/folder.h"
#include "util/error.h"

#define NBD_KERNEL_TIMEOUT_S 10
#define NBD_KERNEL_PATIENCE_S 86400

/* Can this process attach devices here? Loads the kernel module where it can. */
gboolean nbd_kernel_available(GError **error);

/* Attach @export of the server on Unix socket @socket_path: the path of the device, the caller's.
 * @identifier: any text. */
char *nbd_kernel_attach(const char *socket_path, const char *export_name, const char *identifier,
                        const NodeShape *shape, GError **error);
/* Give @device, which has lost its server, a new connection. TRUE also when the old one lives. */
gboolean nbd_kernel_reconnect(const char *device, const char *socket_path, const char *export_name,
                              GError **error);
gboolean nbd_kernel_resize(const char *device, guint64 size, GError **error);
/* Take the device away; in use, it goes with its last user, whose requests fail as soon as the
 * server is gone. */
gboolean nbd_kernel_detach(const char *device, GError **error);
/* Takes that back, while the device is in use and still there. TRUE also when it has gone. */
gboolean nbd_kernel_keep(const char *device, GError **error);
/* As a detach, once the server is gone: requests that wait for another one fail now. */
gboolean nbd_kernel_abandon(const char *device, GError **error);

/* The identifier that @device was attached with, the caller's. NULL: nothing is attached, or
 * without an identifier. */
char *nbd_kernel_identifier(const char *device);
gboolean nbd_kernel_is_attached(const char *device);
/* All attached devices: GPtrArray of char *, the caller's. */
GPtrArray *nbd_kernel_list(void);

/* A descriptor that becomes readable when a device may have lost its connection; -1: error. The
 * caller closes it. */
int nbd_kernel_watch(GError **error);
/* What it has to say: the device, the caller's; NULL: nothing (now). */
char *nbd_kernel_watched(int watch_fd);
