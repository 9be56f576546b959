/* virt-thin - how a D-Bus peer introduces itself, seen from the serving side
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * D-Bus specification, "Authentication Protocol": a NUL, then lines; of the mechanisms EXTERNAL
 * alone, with the kernel's word on who the peer is. GDBus would do this in a thread for each peer,
 * without a limit of time or size, and passes descriptors on, which this refuses. Never waits.
 * Thread-safety: one handshake is one thread's.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef enum {
  CONTROL_HANDSHAKE_GOES_ON,
  CONTROL_HANDSHAKE_DONE,   /* what comes next is messages, of which nothing was read */
  CONTROL_HANDSHAKE_FAILED, /* it is gone, or talks nonsense */
} ControlHandshakeState;

typedef struct ControlHandshake ControlHandshake;

/* With @uid on socket @fd, which stays the caller's, as @guid. */
ControlHandshake *control_handshake_new(int fd, uid_t uid, const char *guid);
void control_handshake_free(ControlHandshake *handshake);
/* Read what it has said, and answer. */
ControlHandshakeState control_handshake_read(ControlHandshake *handshake);
