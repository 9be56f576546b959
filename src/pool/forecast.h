/* virt-thin - for how many more snapshots a pool's metadata has room
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a snapshot costs is what its volume writes afterwards, and shows with the next one: the
 * blocks of that one's map that none before it had. The last ten snapshots say what the next will
 * cost. The first of a volume says nothing, for it is the volume as it was.
 *
 * Thread-safety: pure functions, but for what the reader does.
 */
#pragma once

#include "lvm/store.h"
#include "pool/pool.h"

typedef struct {
  guint n_snapshots; /* that were counted; 0: nothing can be said */
  guint64 bytes;     /* of metadata that those took */
} PoolForecast;

/* As thin_count_new(), of the map of thin device @id. */
typedef gboolean (*PoolCountNewFunc)(gpointer data, guint32 id, GByteArray *seen, guint64 *n,
                                     GError **error);

/* Of the snapshots in thin pool @pool of @vg. An error: *forecast says nothing. */
gboolean pool_forecast(PoolForecast *forecast, LvmVg *vg, const char *pool, PoolCountNewFunc func,
                       gpointer data, GError **error);
/* Room for that many more, where @used of @size bytes of metadata are taken; G_MAXUINT64: not
 * known. */
guint64 pool_forecast_left(const PoolForecast *forecast, guint64 size, guint64 used);
/* snapshots_counted, _metadata and _left, by what @info says of its metadata. */
void pool_forecast_fill(const PoolForecast *forecast, PoolInfo *info);
