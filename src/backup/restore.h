/* virt-thin - from a backup to volumes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each file of a backup is read once, and its checksum made on the way. The volume is written under
 * the name <volume>.restoring, and gets its own when all of it was as the manifest says; or its
 * content becomes that of the volume that is to be replaced.
 *
 * Errors: VT_ERROR. A failure leaves nothing, and what was there as it was. Thread-safety: main
 * thread only.
 */
#pragma once

#include "backup/folder.h"
#include "pool/pool.h"

typedef struct {
  VolumeGroup *group; /* open, not read-only */
  const char *vg, *lv;
  const char *thin_pool; /* of a new volume; NULL: the only one */
  gboolean replace;      /* a volume of that name may be there: it has another content then */
} RestoreTarget;

/* @volume of @manifest, in @folder. */
gboolean backup_restore(BackupFolder *folder, BackupManifest *manifest, BackupVolume *volume,
                        const RestoreTarget *target, GError **error);
/* From an archive. @vg, @lv: which volume of it; NULL: the only one. */
gboolean backup_restore_stream(int fd, const char *vg, const char *lv, const RestoreTarget *target,
                               GError **error);
