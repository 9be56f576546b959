/* virt-thin - what a block device is made of
 * SPDX-License-Identifier: LGPL-2.1-or-later
 * Thread-safety: any thread.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef struct {
  char *kind;       /* "disk", "partition", "raid1", "encrypted", "multipath", "volume",
                 "device-mapper", "loop"; "file"; "device": nothing is known of it */
  char *name;       /* "sda", of device-mapper's "pve-root"; a file's path */
  guint64 size;     /* bytes; 0: not known */
  GPtrArray *below; /* of BlockDevice: what it is on, by name */
} BlockDevice;

/* Of what @sysfs ("/sys") tells. The caller's. */
BlockDevice *block_stack_read(dev_t device, const char *sysfs);
void block_device_free(BlockDevice *device);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockDevice, block_device_free)

/* The same from the bottom up, in a line: "disk sda, disk sdb -> raid1 md0". The caller's. */
char *block_stack_describe(dev_t device, const char *sysfs);
