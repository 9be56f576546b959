/* virt-thin - a file of a backup, written or read once from its beginning to its end
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Its checksum (backup/sum.h) is made on the way.
 *
 * Errors: VT_ERROR; ECANCELED after a signal (image/interrupt.h). Thread-safety: one thread at a
 * time.
 */
#pragma once

#include "backup/sum.h"
#include "util/error.h"
#include "util/worker.h"

typedef struct {
  int fd;           /* the caller's */
  const char *name; /* for messages; the caller's */
  gboolean holes; /* a regular file from its beginning on: blocks that are all zero are left out */
  gboolean
      data_only; /* sha256-data: what is written, skipped or read at a time begins at a multiple
                         of BACKUP_BLOCK */
  BackupSum *sum;
  VtWorker *writer; /* of buffers, to a regular file; NULL: none was needed */
  guint64 offset;
} BackupOut;

void backup_out_begin(BackupOut *out, int fd, const char *name, gboolean holes, gboolean data_only);
gboolean backup_out_write(BackupOut *out, const void *data, gsize length, GError **error);
/* BACKUP_PIECE bytes, @out's, to be filled; and their checksum is made, and they are written,
 * beside. An error is that of a later call, backup_out_end() at the latest. */
char *backup_out_buffer(BackupOut *out);
gboolean backup_out_write_buffer(BackupOut *out, gsize length, GError **error);
gboolean backup_out_zeros(BackupOut *out, guint64 length, GError **error);
/* All is written: *checksum, the caller's. */
gboolean backup_out_end(BackupOut *out, char **checksum, GError **error);
void backup_out_clear(BackupOut *out);

typedef struct {
  int fd;
  const char *name;
  guint64 size;     /* of the file; to read more is EBADMSG */
  gboolean in_file; /* a regular file from its beginning on: holes need not be read */
  gboolean data_only;
  BackupSum *sum;
  guint64 offset;
} BackupIn;

void backup_in_begin(BackupIn *in, int fd, const char *name, guint64 size, gboolean in_file,
                     gboolean data_only);
gboolean backup_in_read(BackupIn *in, void *data, gsize length, GError **error);
/* BACKUP_PIECE bytes at most; the checksum is made beside. *data: @in's, until the next call. */
gboolean backup_in_read_buffer(BackupIn *in, const char **data, gsize length, GError **error);
gboolean backup_in_skip(BackupIn *in, guint64 length, GError **error);
/* Of a file with holes, go to the next block that is none, or the end; data_only alone. */
gboolean backup_in_next_data(BackupIn *in, GError **error);
/* The checksum of what has been read, the caller's. */
char *backup_in_end(BackupIn *in);
void backup_in_clear(BackupIn *in);
