/* virt-thin - a socket as GDBus reads it: no message is longer than it may be
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * GDBus takes messages of up to 128 MiB, and makes room for one as soon as its header says how long
 * it is. Thread-safety: as GIOStream.
 */
#pragma once

#include <gio/gio.h>

/* Of the socket @connection, to which it keeps a reference. A message of more than @max bytes is an
 * error of reading, after which GDBus hangs up. */
GIOStream *control_stream_new(GSocketConnection *connection, guint32 max);
/* The socket behind such a stream; the stream's. */
GSocket *control_stream_socket(GIOStream *stream);
