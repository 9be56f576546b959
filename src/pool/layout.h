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
/* For a new pool in @vg as @params (NULL: defaults) want it; a spare as large as the metadata has
 * its room, too. */
gboolean pool_layout_choose(LvmVg *vg, const PoolNew *params, PoolLayout *layout, GError **error);
