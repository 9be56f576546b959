/* virt-thin - a file system of a volume, mounted and unmounted
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * For root through a loop device that goes with the mount, by mount(8). For others by fuse2fs, or
 * by guestmount. What is mounted, and from which volume, the kernel's list of mounts tells: nothing
 * else is written down. Errors: VT_ERROR. Thread-safety: main thread.
 */
#pragma once

#include "mount/look.h"

typedef enum {
  MOUNT_CLONE,     /* read-only, from a volume that is nobody else's: a journal is replayed there */
  MOUNT_UNTOUCHED, /* read-only, and nothing is written to the volume, no journal either */
  MOUNT_WRITABLE,
} MountMode;

/* Mount @part of @path (a volume's file or block device) on @folder. @what: for messages. */
gboolean mount_attach(const char *path, const char *what, const MountPart *part, MountMode mode,
                      const char *folder, GError **error);
/* EBUSY: a file of it is open. */
gboolean mount_detach(const char *folder, GError **error);

typedef struct {
  char *where;
  char *vg, *lv; /* whose file or device it is mounted from */
} Mounted;
/* What is mounted from volumes, here, the newest first: GPtrArray of Mounted, the caller's. */
GPtrArray *mount_list(void);
