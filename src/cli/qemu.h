/* virt-thin - image formats other than raw, through qemu-img, qemu-nbd and NBD sockets
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: VT_ERROR; ENOENT when qemu-img or qemu-nbd is not installed. What they say goes to standard error.
 */
#pragma once

#include "pool/pool.h"

/* The format of the image of @size bytes (0: not known) on @fd, whose first @head_length bytes are @head; as qemu-img
 * calls it. "raw" if none is recognised: file systems, partition tables and LUKS are what raw images hold. Never freed.
 */
const char *cli_image_format(int fd, guint64 size, const char *head, gsize head_length);

/* The size of the disk in image @path, and the image it is based on as that is written in it (NULL: none; the caller's;
 * @backing NULL: it is not asked for). */
gboolean cli_qemu_info(const char *path, const char *format, guint64 *size, char **backing, GError **error);
/* Make an empty image of @size bytes in file @path, which may be there. @preallocation NULL: as qemu-img does it. */
gboolean cli_qemu_new(const char *path, const char *format, const char *preallocation, guint64 size, GError **error);

/* Is all of image @path, which somebody else may have made, in that file? EOPNOTSUPP: it refers to other files (what it
 * is based on, an external data file, extents), which are not opened. EINVAL: it is of another format. *size: of its
 * disk. */
gboolean cli_qemu_check_alone(const char *path, const char *format, guint64 *size, GError **error);
/* Is it whole? EBADMSG: it is not, such as one that has been cut off. Of an image that is alone. */
gboolean cli_qemu_check(const char *path, const char *format, GError **error);

/* The content of image @path, of @size bytes, with that of what it is based on, from a process until cli_image_close().
 * @path: the caller's until then. Signals: as copy.h. */
typedef struct CliImage CliImage;
CliImage *cli_image_open(const char *path, const char *format, guint64 *size, GError **error);
/* A CliRead of a CliImage. */
gssize cli_image_read(gpointer image, char *buffer, gsize length, guint64 offset, GError **error);
void cli_image_close(CliImage *image);

/* An NBD export for volume @lv of @vg: the service's where @pool is one (@served), else a server of our own over @pool
 * on a private socket until cli_qemu_unexport(). */
typedef struct CliExport CliExport;
CliExport *cli_qemu_export(Pool *pool, gboolean served, const char *vg, const char *lv, gboolean read_only,
                           GError **error);
void cli_qemu_unexport(CliExport *export);

/* Image @path to the export, which reads zero all over. */
gboolean cli_qemu_import(const char *path, const char *format, CliExport *export, GError **error);
/* The export to a new image @path. */
gboolean cli_qemu_create(CliExport *export, const char *path, const char *format, GError **error);
