/* virt-thin - who uses a thin pool's chunks: what is the same whoever reads the metadata
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: VT_ERROR. Thread-safety: pure functions, but for what the reader does.
 */
#pragma once

#include "lvm/model/vg.h"
#include "pool/pool.h"

/* The answer to pool_usage(), as far as @vg's text gives it. ENOENT, EINVAL: one of @chosen is no
 * volume of @pool. */
PoolUsage *pool_usage_begin(LvmVg *vg, LvmLv *pool, const char *const *chosen, GError **error);
/* A PoolMetadataFunc that fills in the PoolUsage @data. It may be called again. */
gboolean pool_usage_read(VtIo *metadata, guint64 superblock, gpointer data, GError **error);
/* "telling who uses thin pool pve/data: " before *error. Always NULL. */
PoolUsage *pool_usage_failed(const char *vg, const char *pool, GError **error);
