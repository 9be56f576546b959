/* virt-thin - what a guest's disk has in it: partitions, file systems, logical volumes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * By libblkid; logical volumes by src/lvm. Reads only. Units: bytes. Errors: VT_ERROR.
 * Thread-safety: any thread.
 */
#pragma once

#include "util/error.h"

typedef struct {
  char *name; /* how --partition calls it: "2", "debian/root" of a logical volume; "0": the whole */
  guint64 offset, size;
  char *type;  /* libblkid's: "ext4", "crypto_LUKS", "LVM2_member"; NULL: nothing that it knows */
  char *label; /* of the file system, else of the partition; NULL */
  char *why;   /* NULL: it can be mounted; else why not, and what to do */
} MountPart;

/* What is in @path, a file or block device, whose sectors its guest knows as @sector_size bytes (0:
 * not known): GPtrArray of MountPart, the caller's. @what: for messages, "pve/vm-101-disk-0". */
GPtrArray *mount_look(const char *path, const char *what, guint sector_size, GError **error);

/* The one called @wanted; NULL: the only one that can be mounted. It is of @parts. The error
 * (ENOENT, EINVAL: there are several) has the list. */
const MountPart *mount_choose(GPtrArray *parts, const char *what, const char *wanted,
                              GError **error);
