/* virt-thin - what a file or block device holds: may it become a physical volume?
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The answer is lvm2's (pvcreate and its wiping of signatures), and stricter where that does not know what it overwrites.
 * Errors: VT_ERROR. Thread-safety: pure functions.
 */
#pragma once

#include "util/error.h"

/* May @path become a PV? EEXIST names what is on it: all that libblkid recognises, a disk image of QEMU's formats, and
 * in a regular file any data at all. (What a block device held once often stays there, so that data of no known kind is
 * none.) A PV that no VG uses may. Locks nothing. */
gboolean lvm_content_check_free(const char *path, GError **error);
/* Make it so by erasing what is there: a regular file's whole content, of a block device the places where marks are.
 * EBUSY: somebody uses it. EEXIST: it is a PV of a VG, which this is no way to leave. */
gboolean lvm_content_clear(const char *path, GError **error);
