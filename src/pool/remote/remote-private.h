/* virt-thin - a volume of a VG service, through the file it is in the service's FUSE folder
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * For remote/pool.c. Errors: VT_ERROR. Thread-safety: as PoolVolume (pool.h).
 */
#pragma once

#include "pool/pool.h"

/* @name has been found by the service, so it holds no '/'. */
PoolVolume *pool_remote_volume_new(const char *vg, const char *name, gboolean read_only,
                                   guint64 chunk_size, GError **error);
