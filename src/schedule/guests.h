/* virt-thin - replicas: which volumes make a guest
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Volumes of one VMID belong together, and those that are disks of one domain of libvirt's; and who
 * belongs to one of them. Such a guest is called by its VMID, else by its domain's name, else by
 * its volume's. Thread-safety: main thread only.
 */
#pragma once

#include "schedule/peer.h"

typedef struct Guests Guests;
Guests *guests_new(void);
void guests_free(Guests *guests);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Guests, guests_free)

/* A volume that was to be replicated. @snapshot NULL: it has not come there. */
void guests_add(Guests *guests, const char *vg, const char *pool, const char *volume,
                const char *snapshot);
/* All were added. Asks libvirt for its domains; without one there are none, which is told, and so
 * it is when it does not answer for some seconds. */
void guests_group(Guests *guests);
/* Have all volumes of that one's guest come there? */
gboolean guests_is_whole(Guests *guests, const char *vg, const char *volume);
/* What the host that has the replicas is told (replicas.h) of guests that are whole. NULL: there
 * are none. The caller's. */
char *guests_describe(Guests *guests, const Schedule *schedule, const Peer *peer, const char *host,
                      gint64 time);
