/* virt-thin - an increment that takes the place of those before it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Of increments that are not to be kept, what a later one needs goes into its own image, which is
 * then based on what they were based on. The images are verified before; the new ones are whole,
 * and durable, before they take the place of the old: whoever is interrupted leaves the backup as
 * it was, or merged. Other images of the same backup stay the files that they are.
 *
 * Errors: VT_ERROR; ECANCELED after a signal. Thread-safety: main thread only.
 */
#pragma once

#include "backup/folder.h"

/* Is an image of @manifest an increment to a backup in @gone (of char *, ids)? */
gboolean backup_merge_is_needed(const BackupManifest *manifest, GPtrArray *gone);
/* Have @manifest, of @folder (to write to), need nothing of @gone, of which no image that it needs
 * is a full one. *merged: the ids of those that went into it (of char *, the caller's). EBUSY:
 * somebody reads backups. After an error @folder is to be loaded again. */
gboolean backup_merge(BackupFolder *folder, BackupManifest *manifest, GPtrArray *gone,
                      GPtrArray **merged, GError **error);
