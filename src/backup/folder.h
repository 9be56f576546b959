/* virt-thin - a folder of backups
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   DIR/20261130T153000Z/                 a backup: whole, or not there
 *     manifest.json                       manifest.h
 *     pve@vm-100-disk-0.qcow2             an image; that of an increment has the backing file
 *                                         ../<parent>/pve@vm-100-disk-0.qcow2
 *   DIR/.20261130T153000Z.partial/        one that is being made, or whose making was ended
 *   DIR/.20261130T153000Z.removed/        one that is being removed
 *   DIR/.lock                             flock(): one writer
 *   DIR/.readers                          flock(): readers, or who removes a whole backup
 *
 * Errors: VT_ERROR. Thread-safety: one thread at a time.
 */
#pragma once

#include "backup/manifest.h"

typedef enum {
  BACKUP_FOLDER_MAKE,  /* to write to; made when it is not there */
  BACKUP_FOLDER_WRITE, /* to write to */
  BACKUP_FOLDER_READ,
} BackupFolderUse;

typedef struct BackupFolder BackupFolder;
/* EBUSY: another virt-thin writes to it, too; that is named. Readers do not mind a writer. */
BackupFolder *backup_folder_open(const char *path, BackupFolderUse use, GError **error);
void backup_folder_close(BackupFolder *folder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BackupFolder, backup_folder_close)
const char *backup_folder_path(BackupFolder *folder);

/* Read all manifests. Those that cannot be read are described in @bad (of char *), "ID: why". */
gboolean backup_folder_load(BackupFolder *folder, GPtrArray *bad, GError **error);
/* Of BackupManifest, the oldest first, as they were loaded; the folder's. */
GPtrArray *backup_folder_list(BackupFolder *folder);
BackupManifest *backup_folder_find(BackupFolder *folder, const char *id); /* NULL: none */
/* The image of @volume of backup @id, for reading: it has the size that it should have. *fd: the
 * caller's. */
gboolean backup_folder_open_image(BackupFolder *folder, const char *id, const BackupVolume *volume,
                                  int *fd, GError **error);
char *backup_folder_file(BackupFolder *folder, const char *id, const char *file); /* a path */
/* The images that one of @volume is made of, as indices of them: the full one first. Of BackupLink,
 * the caller's; NULL: one is missing. */
typedef struct {
  BackupManifest *manifest;
  BackupVolume *volume;
} BackupLink;
GArray *backup_folder_chain(BackupFolder *folder, BackupManifest *manifest, BackupVolume *volume,
                            GError **error);

/* --- writing --- */

/* An id that no backup has: of now, or a moment later; not before *time, which becomes its own.
 * @folder NULL: none is looked at. The caller's. */
char *backup_folder_new_id(BackupFolder *folder, gint64 *time);
/* Make a backup's folder; @intent: what is to be known of it when this process dies. */
gboolean backup_folder_begin(BackupFolder *folder, const char *id, const char *intent,
                             GError **error);
/* A new file in it, to write to. -1: @error. */
int backup_folder_create(BackupFolder *folder, const char *id, const char *file, GError **error);
/* It is whole: it has all its files but the manifest. Durable on return. */
gboolean backup_folder_commit(BackupFolder *folder, const BackupManifest *manifest, GError **error);
/* Begun with the id of a whole backup: it has @file of that as it is; copied, where the file system
 * has no hard links. ECANCELED: interrupted. */
gboolean backup_folder_keep(BackupFolder *folder, const char *id, const char *file, GError **error);
/* It has all files but the manifest, and takes the place of the backup that there is; at once where
 * the file system can do that, else who reads it then, and the next command after a crash, finds
 * the one or the other. EBUSY: somebody reads one. */
gboolean backup_folder_replace(BackupFolder *folder, const BackupManifest *manifest,
                               GError **error);
/* Remove what backup_folder_begin() made. */
void backup_folder_abort(BackupFolder *folder, const char *id);
/* What was left behind, of (id, intent): those whose manifest was written are made whole before
 * (they lack their name alone), what was to be removed is. GHashTable of char *, the caller's. */
GHashTable *backup_folder_leftovers(BackupFolder *folder, GError **error);
/* Remove a whole backup, at once. EBUSY: somebody reads one. */
gboolean backup_folder_remove(BackupFolder *folder, const char *id, GError **error);
