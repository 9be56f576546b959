/* virt-thin - what an increment is made against, and what has changed since
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: VT_ERROR. Thread-safety: main thread only.
 */
#pragma once

#include "backup/folder.h"
#include "backup/image.h"
#include "backup/make.h"
#include "pool/pool.h"

typedef struct {
  BackupManifest *manifest; /* the folder's; NULL: a full backup is made */
  BackupVolume *volume;
  char *why_full; /* the caller's */
} BackupBase;

/* Is the snapshot that backup @volume was made of still there, and the same? *why: why not, the
 * caller's; NULL: not asked. */
gboolean backup_base_is_there(VolumeGroup *group, const char *vg_uuid, const BackupVolume *volume,
                              char **why);
/* The newest whole backup of @source in the job's folder of which that holds. */
void backup_find_base(const BackupJob *job, const BackupSource *source, const PoolVolumeInfo *info,
                      const char *vg_uuid, BackupBase *base);
/* As backup_changes(), of all that @volume maps as far as that can be read, for a damaged pool:
 * what cannot be known to be mapped is added to @lost (of BackupLost). */
GArray *backup_readable(VtIo *volume, GArray *lost, GError **error);
/* How @snapshot differs from it, or all that it maps. GArray of BackupRun, the caller's. */
GArray *backup_changes(VolumeGroup *group, const BackupBase *base, const PoolVolumeInfo *snapshot,
                       GError **error);
