/* virt-thin - raw images in and out of volumes: holes are neither read nor written
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: VT_ERROR; ECANCELED after a signal (interrupt.h).
 */
#pragma once

#include "cli/progress.h"
#include "image/qemu.h"
#include "pool/pool.h"

#define IMAGE_UNKNOWN_SIZE G_MAXUINT64

typedef struct {
  int fd;
  ImageFile *image; /* not NULL: read that instead */
  const char *name; /* for messages */
  guint64 size;     /* IMAGE_UNKNOWN_SIZE: to its end; on return, how much that was */
  const char *head; /* what has been read already of a @fd that cannot seek */
  gsize head_length;
  /* It is larger than the volume: make that hold @size bytes at least. NULL: that is EINVAL. */
  gboolean (*grow)(guint64 size, gpointer user_data, GError **error);
  gpointer user_data;
} ImageSource;

/* What is in a volume that is written to. */
typedef enum {
  IMAGE_OVER_ZEROS, /* nothing but zeros, which are not written again */
  IMAGE_OVER_EQUAL, /* maybe some of the same data: read, and left alone if so */
  IMAGE_OVER_ANY,   /* that is not looked at */
} ImageOver;

/* Write @source to the volume's beginning, which reads zero behind it, and where @source does.
 * Flushed on return. */
gboolean image_copy_in(ImageSource *source, VtIo *volume, ImageOver over, CliProgress *progress,
                       GError **error);

/* Open @path for an image to be written to: a new file, for its owner alone, or what is there, cut
 * to nothing if @truncate. A symbolic link to what is not there is refused: ENOENT. *created: it is
 * new. -1: @error. */
int image_open_output(const char *path, gboolean truncate, gboolean *created, GError **error);

typedef enum {
  IMAGE_SPARSE, /* a regular file, empty from where it stands on: zeros are left out */
  IMAGE_DENSE,  /* anything that takes bytes in order: zeros are written */
  IMAGE_DEVICE, /* a block device: zeros are written by the kernel where it can */
} ImageTarget;

/* A range that damage makes unreadable: bytes [offset, offset + length) of a volume. */
typedef struct {
  guint64 offset, length;
  char *text; /* "bytes 0 to 65535 of volume vg/lv are lost: why" */
} ImageLost;
GPtrArray *image_lost_new(void); /* of ImageLost *, none yet; the caller's */

/* Write the volume to @fd from its present position on. What is unreadable reads zero there, and
 * is added to @lost, in order. */
gboolean image_copy_out(VtIo *volume, int fd, const char *name, ImageTarget target, GPtrArray *lost,
                        CliProgress *progress, GError **error);

/* What @source has at @offset: how many bytes it has put into @buffer, less than @length at its end
 * alone; -1: @error.
 */
typedef gssize (*ImageRead)(gpointer source, char *buffer, gsize length, guint64 offset,
                            GError **error);
/* An ImageRead of an int, of what can seek; and of one that is read on from where it stands. */
gssize image_read_file(gpointer fd, char *buffer, gsize length, guint64 offset, GError **error);
gssize image_read_stream(gpointer fd, char *buffer, gsize length, guint64 offset, GError **error);

/* Write what @read gives, @limit bytes at most, to @fd from its present position on. *copied: how
 * much that was. */
gboolean image_copy_bytes(ImageRead read, gpointer source, guint64 limit, int fd, const char *name,
                          ImageTarget target, guint64 *copied, CliProgress *progress,
                          GError **error);
