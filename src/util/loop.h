/* virt-thin - loop devices: a file, or a part of one, as a block device
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * For root. Errors: VT_ERROR. Thread-safety: any thread.
 */
#pragma once

#include "util/error.h"

typedef struct {
  guint64 offset, size; /* bytes; size 0: to the end */
  guint sector_size;    /* bytes; 0: 512 */
  gboolean read_only;
  gboolean direct;    /* by direct I/O: nothing of it stays in the page cache twice */
  gboolean autoclear; /* it goes when the last who has it open closes it, us included */
} VtLoop;

/* A loop device over file or block device @path, as @how says: a descriptor of it, the caller's
 * (close-on-exec); -1: error. *device: its path, the caller's. No partitions are looked for. */
int vt_loop_attach(const char *path, const VtLoop *how, char **device, GError **error);

/* The file or device behind @device ("/dev/loop3"), as the kernel names it; NULL: none, or @device
 * is no loop device. Asks the kernel, never whoever serves the file. The caller's. */
char *vt_loop_file(const char *device);
