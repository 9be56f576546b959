/* virt-thin - schedules: the host that has the replicas
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: main thread only.
 */
#pragma once

#include "schedule/snapshots.h"

typedef struct {
  char *host, *vg, *pool;
  char **ssh; /* the command, NULL-terminated */
} Peer;
void peer_clear(Peer *peer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Peer, peer_clear)

/* Of @schedule's "to" and "ssh". EINVAL. */
gboolean peer_parse(const Schedule *schedule, Peer *peer, GError **error);
/* What of @schedule it has: GPtrArray of ScheduleSnapshot *, the caller's. NULL: *why. */
GPtrArray *peer_list(const Peer *peer, const char *schedule, char **why);
/* The command line of `virt-thin WORD...` there; the caller's, who adds nothing more. */
GPtrArray *peer_command(const Peer *peer, const char *const *words);
/* Remove snapshots @lvs (NULL-terminated) there. NULL: done; else why not. */
char *peer_remove(const Peer *peer, GPtrArray *lvs);
