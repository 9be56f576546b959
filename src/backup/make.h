/* virt-thin - making a backup: of volumes as they are at one instant, to a folder or as an archive
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The volumes of each thin pool are snapshotted as a group: snap_<volume>_backup-<id>. In a folder
 * these snapshots stay, as what the next increment is made against, and older ones go. Those of an
 * archive are temporary (pool/temporary.h).
 *
 * Errors: VT_ERROR. A failure leaves neither backup nor snapshot. Thread-safety: main thread only.
 */
#pragma once

#include "backup/folder.h"
#include "pool/pool.h"

typedef struct {
  VolumeGroup *group; /* open, not read-only but for a source in place */
  const char *vg, *lv;
  gboolean in_place; /* its thin pool can only be read: no snapshot, and nothing is based on it */
} BackupSource;

typedef struct {
  const BackupSource *sources;
  guint n_sources;
  gboolean raw;         /* full images are */
  gboolean full;        /* no increments */
  guint max_increments; /* a full image after so many */
  BackupFolder *folder; /* to write to, loaded; NULL: to @fd */
  int fd;
} BackupJob;

/* Of what another run that died has left behind in the folder, remove what is of the sources'
 * volume groups; those that are needed for the rest stay. Before the folder is loaded. */
gboolean backup_clean_up(BackupFolder *folder, const BackupSource *sources, guint n_sources,
                         GError **error);
/* *made: the caller's. Its volumes tell what of them could not be read; such a backup is no base of
 * an increment. */
gboolean backup_make(const BackupJob *job, BackupManifest **made, GError **error);
