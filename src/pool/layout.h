/* virt-thin - how large a new thin pool's parts are
 * SPDX-License-Identifier: LGPL-2.1-or-later
 * Errors: VT_ERROR: ENOSPC, EINVAL. Thread-safety: pure functions.
 */
#pragma once

#include "lvm/model/vg.h"
#include "pool/pool.h"

typedef struct {
  guint64 data, metadata; /* extents */
  guint64 chunk_size;     /* bytes */
} PoolLayout;
/* For a new pool in @vg as @params want it; a spare as large as the metadata has its room, too.
 * What fills metadata is snapshots, so it has room for those unless @params say how large it is:
 * where its physical volumes are sparse files (@sparse) at once, for it costs nothing there before
 * it is used; elsewhere it begins as lvm2 would choose it, and what it may grow into is left free,
 * unless @params say what is. */
gboolean pool_layout_choose(LvmVg *vg, const PoolNew *params, gboolean sparse, PoolLayout *layout,
                            GError **error);
