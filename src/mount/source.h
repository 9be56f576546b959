/* virt-thin - volumes made ready to be mounted: clones of them, for as long as they are needed
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A clone is the volume as a power cut would leave it. A guest may go on writing to the volume; and
 * a file system that was in use replays its journal in the clone, so that all that was synced is
 * there. A volume group that nobody serves gets a service for that while.
 *
 * Errors: VT_ERROR. Thread-safety: main thread.
 */
#pragma once

#include "mount/attach.h"
#include "pool/pool.h"

typedef struct {
  char *lv;       /* as asked for: a volume, or a snapshot */
  char *what;     /* "pve/vm-101-disk-0": for messages */
  char *name;     /* of the volume that is used: the clone's, or @lv */
  char *path;     /* where that is */
  MountMode mode; /* to mount it in: nothing has made a clone of a linear volume */
  guint sector_size;
  int fd; /* keeps it in use */
} MountVolume;

typedef struct {
  char *vg;
  GPtrArray *volumes;   /* of MountVolume */
  GPtrArray *temporary; /* of char *: what goes in the end */
} MountSource;

/* What there is to do with a volume, if it is there: "LV@SNAPSHOT" or "LV" in the LV's name. ENOENT
 * lists the snapshots. The caller's. */
char *mount_source_find(VolumeGroup *group, const char *vg, const char *name, GError **error);

/* Make @names ("LV", "LV@SNAPSHOT") of @vg ready for @mode: clones with MOUNT_CLONE, of one
 * instant, else the volumes themselves, which nobody may have open for MOUNT_WRITABLE, nor
 * otherwise unless they are read-only. A linear volume has no clone, and is taken itself.
 * @snapshot: also make these snapshots, which stay; NULL: none. What ended processes left behind is
 * removed first. */
MountSource *mount_source_take(const char *vg, const char *const *names, const char *snapshot,
                               MountMode mode, GError **error);
/* It goes on in a mount, or else mount_source_drop() removes what was made. Free with either; NULL
 * is fine. */
void mount_source_leave(MountSource *source);
gboolean mount_source_drop(MountSource *source, GError **error);

/* What was used of @vg is not any more: remove @name if it was made for that (NULL: none), and what
 * ended processes left, and end the service if it was. */
gboolean mount_source_end(const char *vg, const char *name, GError **error);
