/* virt-thin - what a block device is made of
 * SPDX-License-Identifier: LGPL-2.1-or-later
 * Thread-safety: any thread.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* From the bottom up, of what @sysfs ("/sys") tells: "disk sda, disk sdb -> raid1 md0". The
 * caller's. */
char *block_stack_describe(dev_t device, const char *sysfs);
