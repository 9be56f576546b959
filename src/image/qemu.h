/* virt-thin - image formats other than raw, through qemu-img, qemu-nbd and NBD sockets
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: VT_ERROR; ENOENT when qemu-img or qemu-nbd is not installed. What they say goes to
 * standard error.
 */
#pragma once

#include "image/nbd-export.h"

/* An image in another format than raw. */
typedef struct {
  const char *path; /* for messages; and of one that is followed, where it is */
  const char *format;
  int fd; /* the file, which is read whatever @path is by now: the caller's, open until the end */
  /* read it by @path, with the files that it refers to, instead of by @fd, alone */
  gboolean follow;
} ImageQemuFile;

/* Can it be read? As vt_image_check(); and EINVAL, with QEMU's words. *size: of its disk. */
gboolean image_qemu_look(const ImageQemuFile *file, guint64 *size, GError **error);
/* The size of its disk, and the image it is based on as that is written in it (NULL: none; the
 * caller's). */
gboolean image_qemu_info(const ImageQemuFile *file, guint64 *size, char **backing, GError **error);
/* Is it whole? EBADMSG: it is not, such as one that has been cut off. */
gboolean image_qemu_check(const ImageQemuFile *file, GError **error);
/* Make an empty image of @size bytes in file @path, which may be there. @preallocation NULL: as
 * qemu-img does it. */
gboolean image_qemu_new(const char *path, const char *format, const char *preallocation,
                        guint64 size, GError **error);

/* Its content, of @size bytes, from a process until image_close(); so long its path is the
 * caller's. Signals: as copy.h. */
typedef struct ImageFile ImageFile;
ImageFile *image_open(const ImageQemuFile *file, guint64 *size, GError **error);
/* An ImageRead of an ImageFile. */
gssize image_read(gpointer image, char *buffer, gsize length, guint64 offset, GError **error);
/* The next run [*from, *to) at or behind @offset that need not read zero; *from is its size when
 * there is none. */
gboolean image_next_data(ImageFile *image, guint64 offset, guint64 *from, guint64 *to,
                         GError **error);
void image_close(ImageFile *image);

/* The image to the export's first volume, which reads zero all over. */
gboolean image_qemu_import(const ImageQemuFile *file, ImageExport *export, GError **error);
/* That volume to a new image @path. */
gboolean image_qemu_create(ImageExport *export, const char *path, const char *format,
                           GError **error);

/* For whoever runs a program of QEMU's: the name of the file for it (the caller's), the format
 * being said apart; and what is to be called in the child for that, which is async-signal-safe. */
char *image_qemu_name(const ImageQemuFile *file);
void image_qemu_keep(const ImageQemuFile *file);
