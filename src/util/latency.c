/* virt-thin - how long requests for volumes take: histograms of this process
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/latency.h"

const char *const latency_ways[LATENCY_WAYS] = {"nbd", "fuse"};
const char *const latency_kinds[LATENCY_KINDS] = {"read", "write", "flush", "discard"};
const guint64 latency_bounds[LATENCY_BOUNDS] = {
    50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 100000, 250000, 1000000, 5000000, 30000000};

static LatencyCounts table[LATENCY_WAYS][LATENCY_KINDS]; /* atomic */

static void add(guint64 *number, guint64 n)
{
  __atomic_fetch_add(number, n, __ATOMIC_RELAXED);
}

gint64 latency_add(LatencyWay way, LatencyKind kind, gint64 begin, guint64 bytes)
{
  LatencyCounts *counts = &table[way][kind];
  gint64 now = g_get_monotonic_time();
  guint64 took = (guint64)MAX(now - begin, 0);
  guint i = 0;

  while (i < LATENCY_BOUNDS && took > latency_bounds[i])
    i++;
  add(&counts->counts[i], 1);
  add(&counts->time, took);
  add(&counts->bytes, bytes);
  return now;
}

LatencyCounts latency_get(LatencyWay way, LatencyKind kind)
{
  const LatencyCounts *from = &table[way][kind];
  LatencyCounts counts;

  for (guint i = 0; i <= LATENCY_BOUNDS; i++)
    counts.counts[i] = __atomic_load_n(&from->counts[i], __ATOMIC_RELAXED);
  counts.time = __atomic_load_n(&from->time, __ATOMIC_RELAXED);
  counts.bytes = __atomic_load_n(&from->bytes, __ATOMIC_RELAXED);
  return counts;
}
