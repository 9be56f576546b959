/* virt-thin - the snapshots since which a volume's changes can be told
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: pure.
 */
#pragma once

#include "pool/pool.h"

/* Of @volumes (of PoolVolumeInfo; all of the thin pool at least) those that pool_delta() compares
 * with thin volume @volume for who has a copy of them: its snapshots, or, when it is a snapshot
 * itself, the older ones of the same volume. Read-only ones alone, for another may not hold any
 * more what the copy does; and none whose short name another one has, too. Oldest first. GPtrArray
 * of pointers into @volumes: unref it. */
GPtrArray *pool_snapshots_before(GPtrArray *volumes, const PoolVolumeInfo *volume);
