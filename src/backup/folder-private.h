/* virt-thin - a folder of backups: what its parts share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <fcntl.h>

#include "backup/folder.h"
#include "util/io.h"

#define BACKUP_OPEN_FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct BackupFolder {
  char *path;
  int fd;
  VtIo *lock;      /* a reader's, or a writer's; NULL: a reader's of what cannot be written to */
  GPtrArray *list; /* of BackupManifest, by backup_by_id() */
};
gint backup_by_id(gconstpointer a, gconstpointer b);

/* Lock @file in it. NULL with no @error: for who cannot write there, and reads. */
VtIo *backup_folder_lock(BackupFolder *folder, const char *file, gboolean shared, GError **error);
/* Names in it that @wanted likes, of char *; the caller's. */
GPtrArray *backup_folder_names(BackupFolder *folder, gboolean (*wanted)(const char *name),
                               GError **error);
/* The bytes of a small file of backup @id, and a NUL; the caller's. */
char *backup_folder_text(BackupFolder *folder, const char *id, const char *file, gsize *length,
                         GError **error);
/* Of backup @id, which is in folder @name; the caller's. */
BackupManifest *backup_folder_manifest(BackupFolder *folder, const char *name, const char *id,
                                       GError **error);
