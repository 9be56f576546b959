/* virt-thin - metrics over HTTP, on a Unix socket or whatever socket systemd hands over
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * GET /metrics is the one thing there is; a client that dawdles is hung up on after some seconds.
 * One client at a time. Errors: VT_ERROR. Thread-safety: main thread only, which it keeps.
 */
#pragma once

#include "util/error.h"

/* The text for a client; the caller's. */
typedef char *(*MetricsHttpFunc)(gpointer data);

/* Answers at @path until SIGTERM or SIGINT. @path NULL: at the one socket that systemd hands over
 * (sd_listen_fds(3)); ENOENT: it does not. */
gboolean metrics_http_serve(const char *path, MetricsHttpFunc func, gpointer data, GError **error);
