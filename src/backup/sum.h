/* virt-thin - the checksum of a backup's file, made while it is written or read
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * There are two kinds:
 *   sha256       of all its bytes, as sha256sum(1) has it
 *   sha256-data  SHA-256 of the blocks of 64 KiB that are not all zero (the last may be shorter),
 *                each behind its offset, 8 bytes, big-endian: for raw images, so that holes cost
 *                nothing
 *
 * Thread-safety: made on the main thread; then one thread at a time.
 */
#pragma once

#include <glib.h>

#define BACKUP_BLOCK 65536
#define BACKUP_PIECE (1024 * 1024)
#define BACKUP_PIECES 4

/* Is @kind one of them? */
gboolean backup_is_checksum(const char *kind);

typedef struct BackupSum BackupSum;
/* @data_only: sha256-data; what is added at a time begins at a multiple of BACKUP_BLOCK. */
BackupSum *backup_sum_new(gboolean data_only);
void backup_sum_add(BackupSum *sum, guint64 offset, const void *data, gsize length);
/* BACKUP_PIECE bytes, @sum's, to be filled; their checksum is made beside, by a thread. There are
 * BACKUP_PIECES of them in turn: of those added before, all but so many less one are done. */
char *backup_sum_buffer(BackupSum *sum);
void backup_sum_add_buffer(BackupSum *sum, guint64 offset, gsize length);
/* 64 lower case digits, the caller's; the end of @sum. */
char *backup_sum_end(BackupSum *sum);
void backup_sum_free(BackupSum *sum); /* one that is not wanted */
