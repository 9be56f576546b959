/* virt-thin - how long requests for volumes take: histograms of this process
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: any thread. Counts of one histogram are read one after the other, so that a
 * request may be in one of them and not yet in the next.
 */
#pragma once

#include <glib.h>

typedef enum { LATENCY_NBD, LATENCY_FUSE, LATENCY_WAYS } LatencyWay;
typedef enum { /* discards: zeroing, too */
               LATENCY_READ,
               LATENCY_WRITE,
               LATENCY_FLUSH,
               LATENCY_DISCARD,
               LATENCY_KINDS
} LatencyKind;
#define LATENCY_BOUNDS 14

extern const char *const latency_ways[LATENCY_WAYS], *const latency_kinds[LATENCY_KINDS];
extern const guint64 latency_bounds[LATENCY_BOUNDS]; /* microseconds */

typedef struct {
  guint64 counts[LATENCY_BOUNDS + 1]; /* that took as long as each bound at most, and longer than
                                         the one before; last: longer than all */
  guint64 time;                       /* all together, microseconds */
  guint64 bytes;                      /* asked for by reads, writes and discards */
} LatencyCounts;

/* A request that was begun at @begin of g_get_monotonic_time() is done: now, which is returned. */
gint64 latency_add(LatencyWay way, LatencyKind kind, gint64 begin, guint64 bytes);
LatencyCounts latency_get(LatencyWay way, LatencyKind kind);
