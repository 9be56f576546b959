/* virt-thin - who has a block device open
 * SPDX-License-Identifier: LGPL-2.1-or-later
 * Thread-safety: a scan belongs to one thread.
 */
#pragma once

#include <glib.h>

/* One look at all processes and mounts. Of a device: "qemu-system-x86, pid 99", "a mount on /mnt", "block device md0";
 * NULL: nobody. Strings are the caller's. */
typedef struct BlockScan BlockScan;
BlockScan *block_scan_new(void);
char *block_scan_user(BlockScan *scan, const char *device);
void block_scan_free(BlockScan *scan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockScan, block_scan_free)
