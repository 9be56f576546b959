/* virt-thin - volumes and mount points that are for one use
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A temporary volume has the tag POOL_TEMPORARY_TAG, and ends in _tmp.OWNER: the process that made
 * it, as "<boot id>.<pid>.<when it started>". It is over when that process has ended and nobody has
 * it open. So a process that was killed, or a machine that was, leaves nothing that is not found
 * again, and nothing has to be written down elsewhere.
 *
 * A mount point of a command's is below <runtime>/<vg>/mount/NAME/, which that process holds
 * locked.
 *
 * Errors: VT_ERROR. Thread-safety: main thread.
 */
#pragma once

#include "pool/pool.h"

/* "tmp.OWNER" for what this process makes. The caller's. */
char *temporary_suffix(void);
gboolean temporary_is(const PoolVolumeInfo *info);

/* Remove @name; one that is only just being closed (a mount that has gone) is waited for. ENOENT is
 * no error. */
gboolean temporary_remove(VolumeGroup *group, const char *name, GError **error);
/* Remove the temporary volumes of @group that are over, and the mounts of commands that are. What
 * does not go is told in the log. */
void temporary_clean(VolumeGroup *group, const char *vg);

/* Make <runtime>/<vg>/mount/@name/, and lock it: a descriptor, -1: error. EBUSY: another command
 * has it. *path: the caller's. */
int temporary_folder_take(const char *vg, const char *name, char **path, GError **error);
/* Unmount what is below it, and remove it; closes @fd. */
gboolean temporary_folder_drop(int fd, const char *path, GError **error);
