/* virt-thin - what a file or block device holds: may it become a physical volume, is it one of its
 * own? SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Both answers are lvm2's (pvcreate and its wiping of signatures; lib/filters/filter-md.c,
 * filter-fwraid.c, filter-partitioned.c, filter-mpath.c), and stricter where lvm2 would overwrite
 * or split what it does not know. Errors: VT_ERROR. Thread-safety: pure functions.
 */
#pragma once

#include "lvm/label.h"

/* May @path become a PV? EEXIST names what is on it: all that libblkid recognises, a disk image of
 * QEMU's formats, and in a regular file any data at all. (What a block device held once often stays
 * there, so that data of no known kind is none.) A PV that no VG uses may. Locks nothing. */
gboolean lvm_content_check_free(const char *path, GError **error);
/* Make it so by erasing what is there: a regular file's whole content, of a block device the places
 * where marks are. EBUSY: somebody uses it. EEXIST: it is a PV of a VG, which this is no way to
 * leave. */
gboolean lvm_content_clear(const char *path, GError **error);
/* Is there no mark of anything on @path: what libblkid recognises, an image? EEXIST: its message is
 * the names alone. */
gboolean lvm_content_check_unmarked(const char *path, GError **error);

/* @path has the label of a PV of @pv_size bytes, whose extents are the range @extents. Why it is no
 * PV of its own, but a part of something else; NULL: it is one. The caller's. A mark within the
 * extents proves nothing: guests write there.
 */
char *lvm_content_belongs_to(const char *path, guint64 pv_size, const LvmRange *extents);

/* What in @path, which is no PV, is one all the same, or may have one in it: partitions, a disk's
 * image; and how it is got at. NULL: nothing. The caller's. */
char *lvm_content_find_inside(const char *path);
