/* virt-thin - who uses a volume
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: that of the BlockScan.
 */
#pragma once

#include "pool/pool.h"
#include "util/block-users.h"

/* Whoever has its block node open, or its file: that of a service, which is there beside a node. Of
 * NBD's clients only that service knows. *scan: made when it is first needed; the caller's. NULL:
 * nobody that can be found; else the caller's. */
char *pool_volume_user(const PoolVolumeInfo *volume, BlockScan **scan);
