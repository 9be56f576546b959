/* virt-thin - how two volumes differ: what is the same whoever reads the maps
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Units: bytes. Errors: VT_ERROR. Thread-safety: pure functions, but for what the reader does.
 */
#pragma once

#include "lvm/store.h"
#include "pool/pool.h"
#include "thin/format/delta.h"

/* A call of pool_delta(), and what pool_delta_find() adds. */
typedef struct {
  const char *left, *right;
  PoolDeltaFlags flags;
  guint64 *offset;
  guint max;
  GArray *runs;

  gint64 left_id, right_id; /* thin devices; -1: the empty volume */
  guint64 left_size, right_size;
} PoolDeltaRequest;

/* Look the volumes up in @vg. The thin pool that has them; ENOENT, EINVAL, EOPNOTSUPP. */
LvmLv *pool_delta_find(PoolDeltaRequest *request, LvmVg *vg, GError **error);

/* As thin_pool_delta(), of ids as above. */
typedef gboolean (*PoolDeltaFunc)(gint64 left, gint64 right, ThinDelta *delta, gpointer data,
                                  GError **error);
/* Answer @request by way of @func. */
gboolean pool_delta_compare(PoolDeltaRequest *request, PoolDeltaFunc func, gpointer data,
                            GError **error);

/* "cannot compare volumes pve/a and pve/b: " before *error. Always FALSE. */
gboolean pool_delta_failed(const PoolDeltaRequest *request, const char *vg, GError **error);
