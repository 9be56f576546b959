/* virt-thin - the images of a backup: qcow2, of what is mapped or has changed, and raw
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A qcow2 image is written in one go, without a look back, so that it can go to a pipe and have its
 * checksum made on the way: which clusters it will have is known before, from the pool's metadata.
 * So it is as QEMU reads it, and in an order of its own: header, refcount table and blocks, L1
 * table, L2 tables, data by its place in the volume. Only such images are read here, strictly.
 * Version 3, clusters of 64 KiB, 16 bit refcounts. An increment has a backing file; what the volume
 * does not map any more are zero clusters.
 *
 * Units: bytes. Errors: VT_ERROR; EBADMSG: damaged, or no such image. Thread-safety: one thread at
 * a time.
 */
#pragma once

#include "backup/file.h"
#include "backup/manifest.h"
#include "util/io.h"

#define BACKUP_CLUSTER BACKUP_BLOCK

/* Whole clusters, but for the end of the volume; in order, apart from each other. */
typedef struct {
  guint64 offset, length;
  gboolean zero;
} BackupRun;

typedef struct {
  gboolean raw;
  guint64 size;                         /* of the disk */
  const char *backing, *backing_format; /* NULL: none */
} BackupImage;

/* EOPNOTSUPP: QEMU reads no such large one. */
gboolean backup_image_check_size(guint64 size, GError **error);
guint64 backup_image_file_size(const BackupImage *image, const GArray *runs);

typedef void (*BackupTold)(guint64 bytes, gpointer user_data);
/* Data from @volume; what cannot be read of that becomes zeros, and is added to @lost (of
 * BackupLost; NULL: it fails). @told: so much more of the runs' data. */
gboolean backup_image_write(BackupOut *out, const BackupImage *image, const GArray *runs,
                            VtIo *volume, GArray *lost, BackupTold told, gpointer user_data,
                            GError **error);

/* Of an image that is read, called in the order of the volume. @data NULL: zeros. */
typedef gboolean (*BackupData)(guint64 offset, const char *data, guint64 length, gpointer user_data,
                               GError **error);
/* What comes before the data: @image's size and backing file, the caller's to free, @runs; of a raw
 * image nothing of these but the size. */
typedef struct {
  guint64 size;
  char *backing, *backing_format;
  GArray *runs; /* of BackupRun */
} BackupImageHead;
void backup_image_head_clear(BackupImageHead *head);
gboolean backup_image_read_head(BackupIn *in, gboolean raw, BackupImageHead *head, GError **error);
/* The rest, to the end of the file. */
gboolean backup_image_read(BackupIn *in, gboolean raw, const BackupImageHead *head, BackupData data,
                           gpointer user_data, GError **error);
