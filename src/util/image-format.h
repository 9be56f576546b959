/* virt-thin - formats of disk images other than raw: recognising one, and what an image refers to
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A guest writes what it likes into its disk, so also what looks like an image that is based on a
 * file of the host; and QEMU opens what an image names. So that a format is recognised says no more
 * than that it may be meant; and what is handed to QEMU is looked into here first, without it.
 *
 * Formats are called as qemu-img(1) calls them. Facts: QEMU's docs/interop/qcow2.txt and
 * qed_spec.txt, its block/qcow.c; VMware's Virtual Disk Format 5.0; Microsoft's Virtual Hard Disk
 * Image Format Specification. Thread-safety: all functions.
 */
#pragma once

#include <glib.h>

/* The format of the image of @size bytes (0: not known) on @fd, whose first @head_length bytes are
 * @head. "raw" if none is recognised: file systems, partition tables and LUKS are what raw images
 * hold. Never freed. */
const char *vt_image_format(int fd, guint64 size, const char *head, gsize head_length);

/* Is file @name called as one of @format, which may be "raw"; NULL: as one of any other? A name is
 * its owner's word, and never a guest's. */
gboolean vt_image_is_named(const char *name, const char *format);

/* Can the file on @fd be read as an image of @format (not "raw")? EINVAL: it is of another one, or
 * that is none that virt-thin reads. With @alone also EOPNOTSUPP: it refers to other files. @name:
 * for messages. */
gboolean vt_image_check(int fd, const char *name, const char *format, gboolean alone,
                        GError **error);
/* Does an image of @format need a key to be read? */
gboolean vt_image_is_encrypted(int fd, const char *format);

/* What QEMU is to open, with the format said apart, to read the file on @fd and no other: its name
 * is that descriptor's, which its process must have, so that it is the file that was looked into;
 * and there is no backing file, whatever the image says. The caller's. */
char *vt_image_qemu_name(int fd);
