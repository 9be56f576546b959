/* virt-thin - mount points that are for one use
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A mount point of a command's is below <runtime>/<vg>/mount/NAME/, which that process holds
 * locked. Of volumes for one use pool/temporary.h tells.
 *
 * Errors: VT_ERROR. Thread-safety: main thread.
 */
#pragma once

#include "pool/pool.h"

/* Remove the temporary volumes of @group that are over, and the mounts of commands that are. What
 * does not go is told in the log. */
void temporary_clean(VolumeGroup *group, const char *vg);

/* Make <runtime>/<vg>/mount/@name/, and lock it: a descriptor, -1: error. EBUSY: another command
 * has it. *path: the caller's. */
int temporary_folder_take(const char *vg, const char *name, char **path, GError **error);
/* Unmount what is below it, and remove it; closes @fd. */
gboolean temporary_folder_drop(int fd, const char *path, GError **error);
