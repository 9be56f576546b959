/* virt-thin - tests: two volume groups, and streams between them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "pool-helper.h"
#include "transfer/receive.h"
#include "transfer/send.h"

/* VG @name with thin pool data on a new file of @size bytes, open; @chunk_size 0: 64 KiB. */
VolumeGroup *transfer_test_make(const char *name, guint64 size, guint64 chunk_size);

/* Volumes of @volumes (spaces between; NULL: all), since @since (the same), into a file without a
 * name: the caller's, at its beginning. */
int transfer_test_send(VolumeGroup *group, const char *volumes, gboolean recursive,
                       const char *since);
gboolean transfer_test_try_send(VolumeGroup *group, const char *volumes, gboolean recursive,
                                const char *since, int fd, GError **error);
/* Reads @fd from its beginning on. */
gboolean transfer_test_try_receive(VolumeGroup *group, int fd, gboolean force, GError **error);
void transfer_test_receive(VolumeGroup *group, int fd); /* it closes that, too */

/* As those: goes on at @token; keeps what has come, and gives the token (NULL: nothing is kept). */
int transfer_test_resume(VolumeGroup *group, const char *volumes, const char *token);
char *transfer_test_receive_part(VolumeGroup *group, int fd);

/* Both have the same volumes, of the same kind, size, tags and content. */
void transfer_test_compare(VolumeGroup *a, VolumeGroup *b);
/* Of those whose names have @part in them, and of the others the names. */
void transfer_test_compare_some(VolumeGroup *a, VolumeGroup *b, const char *part);
/* "used", bytes. */
guint64 transfer_test_used(VolumeGroup *group);
