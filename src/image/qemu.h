/* virt-thin - image formats other than raw, through qemu-img, qemu-nbd and NBD sockets
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: VT_ERROR; ENOENT when qemu-img or qemu-nbd is not installed. What they say goes to
 * standard error.
 */
#pragma once

#include "pool/open.h"

/* An image in another format than raw. */
typedef struct {
  const char *path; /* for messages; and of one that is followed, where it is */
  const char *format;
  int fd; /* the file, which is read whatever @path is by now: the caller's, open until the end */
  /* read it by @path, with the files that it refers to, instead of by @fd, alone */
  gboolean follow;
} CliQemuFile;

/* Can it be read? As vt_image_check(); and EINVAL, with QEMU's words. *size: of its disk. */
gboolean cli_qemu_look(const CliQemuFile *file, guint64 *size, GError **error);
/* The size of its disk, and the image it is based on as that is written in it (NULL: none; the
 * caller's). */
gboolean cli_qemu_info(const CliQemuFile *file, guint64 *size, char **backing, GError **error);
/* Is it whole? EBADMSG: it is not, such as one that has been cut off. */
gboolean cli_qemu_check(const CliQemuFile *file, GError **error);
/* Make an empty image of @size bytes in file @path, which may be there. @preallocation NULL: as
 * qemu-img does it. */
gboolean cli_qemu_new(const char *path, const char *format, const char *preallocation, guint64 size,
                      GError **error);

/* Its content, of @size bytes, from a process until cli_image_close(); so long its path is the
 * caller's. Signals: as copy.h. */
typedef struct CliImage CliImage;
CliImage *cli_image_open(const CliQemuFile *file, guint64 *size, GError **error);
/* A CliRead of a CliImage. */
gssize cli_image_read(gpointer image, char *buffer, gsize length, guint64 offset, GError **error);
/* The next run [*from, *to) at or behind @offset that need not read zero; *from is its size when
 * there is none. */
gboolean cli_image_next_data(CliImage *image, guint64 offset, guint64 *from, guint64 *to,
                             GError **error);
void cli_image_close(CliImage *image);

/* An NBD export for volume @lv of @vg: the service's where @group is one, else a server of
 * our own over @group on a private socket until cli_qemu_unexport(). */
typedef struct CliExport CliExport;
CliExport *cli_qemu_export(VolumeGroup *group, const char *vg, const char *lv, gboolean read_only,
                           GError **error);
void cli_qemu_unexport(CliExport *export);

/* The image to the export, which reads zero all over. */
gboolean cli_qemu_import(const CliQemuFile *file, CliExport *export, GError **error);
/* The export to a new image @path. */
gboolean cli_qemu_create(CliExport *export, const char *path, const char *format, GError **error);

/* For whoever runs a program of QEMU's: the name of the file for it (the caller's), the format
 * being said apart; and what is to be called in the child for that, which is async-signal-safe. */
char *cli_qemu_name(const CliQemuFile *file);
void cli_qemu_keep(const CliQemuFile *file);
