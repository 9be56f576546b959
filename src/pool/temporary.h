/* virt-thin - volumes that are for one use: clones, and snapshots
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A temporary volume has the tag POOL_TEMPORARY_TAG, and ends in _tmp.OWNER: the process that made
 * it, as "<boot id>.<pid>.<when it started>". It is over when that process has ended and nobody has
 * it open. So a process that was killed, or a machine that was, leaves nothing that is not found
 * again, and nothing has to be written down elsewhere.
 *
 * Errors: VT_ERROR. Thread-safety: main thread.
 */
#pragma once

#include "pool/pool.h"

/* "tmp.OWNER" for what this process makes. The caller's. */
char *pool_temporary_suffix(void);
gboolean pool_temporary_is(const PoolVolumeInfo *info);

/* Remove @name; one that is only just being closed (a mount that has gone) is waited for. ENOENT is
 * no error. */
gboolean pool_temporary_remove(VolumeGroup *group, const char *name, GError **error);
/* Remove those of @group that are over. What does not go is told in the log. */
void pool_temporary_clean(VolumeGroup *group);
