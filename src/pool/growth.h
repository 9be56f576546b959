/* virt-thin - how fast thin pools fill: what was in use when, kept in a file
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A sample every five minutes, for a day. Two who write the file at once lose a sample of one of
 * them, no more. Units: bytes, seconds since the epoch. Errors: VT_ERROR. Thread-safety: one
 * thread's at a time.
 */
#pragma once

#include "pool/pool.h"

typedef struct PoolHistory PoolHistory;

/* What is in @path; nothing where there is no such file, or lines that say nothing. */
PoolHistory *pool_history_load(const char *path);
/* What pool @info has in use at @now, if that is known and the newest sample of the pool is five
 * minutes old. What is older than a day, or later than @now, is forgotten. */
void pool_history_add(PoolHistory *history, const PoolInfo *info, gint64 now);
/* If something was added since it was loaded. */
gboolean pool_history_save(PoolHistory *history, const char *path, GError **error);
void pool_history_free(PoolHistory *history);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PoolHistory, pool_history_free)

typedef struct {
  /* bytes an hour, since a sample of an hour and of a day ago, or as near to that as there is one;
   * NAN: none is as old as ten minutes */
  double hour, day;
  double full_in; /* seconds, as the faster of the two goes on; INFINITY: it does not fill; NAN */
} PoolGrowth;
/* Of the data, or @metadata, of pool @info as it is at @now. Data is full where it cannot grow any
 * more (max_size). */
PoolGrowth pool_history_growth(const PoolHistory *history, const PoolInfo *info, gboolean metadata,
                               gint64 now);
