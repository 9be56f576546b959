/* virt-thin - who has a block device open
 * SPDX-License-Identifier: LGPL-2.1-or-later
 * Thread-safety: a scan belongs to one thread.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* One look at all processes, mounts and what the kernel has been told to build on block devices. */
typedef struct BlockScan BlockScan;
BlockScan *block_scan_new(void);
/* The user of @device: "qemu-system-x86, pid 99", "a mount on /mnt", "swap space", "block device
 * loop3, in use by block device dm-0 (secret), in use by a mount on /mnt". NULL: nobody that can be
 * found; the kernel tells of no descriptor that a loop device or target in another mount namespace,
 * or io_uring, keeps. The caller's. */
char *block_scan_user(BlockScan *scan, const char *device);
/* The loop device on regular file @file (absolute, without links), told likewise; @except
 * ("/dev/loop3") is none. */
char *block_scan_file_user(BlockScan *scan, const char *file, const char *except);
/* The process that has @file, a regular one, open: "qemu-system-x86, pid 99". NULL: none that can
 * be found. The caller's. */
char *block_scan_file_opener(BlockScan *scan, const char *file);
void block_scan_free(BlockScan *scan);

/* A mount of a file system on a device. */
typedef struct {
  char *path;        /* from here, also in other mount namespaces: "/proc/99/root/mnt" */
  guint64 id;        /* the kernel's, of the mount */
  dev_t file_system; /* its number: the same for all its mounts */
  dev_t device;
  guint depth; /* devices between it and the one that was asked for */
} BlockMount;
/* A look at mounts and at devices on devices alone. */
BlockScan *block_scan_new_mounts(void);
/* Adds to @found the mounts of file systems on @device, on the loop devices of regular file @file
 * (NULL: none), on what is built on them, and in files of those file systems; the uppermost come
 * first. A btrfs counts for each of its devices. They are the scan's. */
void block_scan_mounts(BlockScan *scan, const char *device, const char *file, GPtrArray *found);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockScan, block_scan_free)
