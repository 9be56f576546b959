/* virt-thin - is a backup what its manifest says?
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: VT_ERROR. Thread-safety: main thread only.
 */
#pragma once

#include "backup/folder.h"

/* Read @volume's image: checksum, structure, what it is based on; and by qemu-img check, if that is
 * installed. EBADMSG, and others: it is not what it should be. */
gboolean backup_verify_volume(BackupFolder *folder, BackupManifest *manifest, BackupVolume *volume,
                              GError **error);
/* All images of @manifest. What is wrong is told in @problems (of char *). FALSE: it could not go
 * on. */
gboolean backup_verify(BackupFolder *folder, BackupManifest *manifest, GPtrArray *problems,
                       GError **error);
