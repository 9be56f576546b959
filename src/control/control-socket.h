/* virt-thin - Unix sockets of a VG service: made with the right mode, reached within a deadline
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Paths may be longer than sun_path holds (a VG name alone may have 127 characters). Errors:
 * VT_ERROR. Thread-safety: any thread.
 */
#pragma once

#include <sys/types.h>

#include "util/error.h"

/* A listening stream socket (close-on-exec) at @path with permissions @mode from its first moment
 * on, and group @group (NULL: unchanged). A socket that lies there and that nobody listens on is
 * replaced; one that is listened on is EADDRINUSE. -1: error. */
int control_socket_listen(const char *path, guint mode, const char *group, GError **error);

/* Connect to @path. ENOENT, ECONNREFUSED: nobody there; ETIMEDOUT: its backlog stayed full for
 * @timeout_ms. -1: error.
 */
int control_socket_connect(const char *path, guint timeout_ms, GError **error);

/* Who is at the other end; @pid may be 0. */
gboolean control_socket_peer(int fd, uid_t *uid, gid_t *gid, pid_t *pid, GError **error);
/* "libvirtd, pid 99": for messages. Free with g_free(). */
char *control_socket_describe_peer(int fd);
