/* virt-thin - what a backup is of: its manifest.json, schemas/backup-manifest.schema.json
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What is read is checked: names are LVM's, files are plain names in the backup's own folder, ids
 * are ids. Errors: VT_ERROR, EBADMSG. Thread-safety: pure functions.
 */
#pragma once

#include <json-glib/json-glib.h>

#include "util/error.h"

#define BACKUP_MANIFEST "manifest.json"
#define BACKUP_MANIFEST_VERSION 1
#define BACKUP_MANIFEST_MAX (16 * 1024 * 1024)

/* Bytes of a volume that could not be read: its image has zeros there. */
typedef struct {
  guint64 offset, length;
} BackupLost;

typedef struct {
  char *vg, *vg_uuid, *lv, *uuid;
  guint64 size; /* of the volume, bytes */
  char *file, *format;
  guint64 file_size; /* bytes, holes with it */
  char *checksum_kind, *checksum;
  char *parent;   /* the backup whose image of the same volume is the backing file; NULL: full */
  guint64 merged; /* so many increments before it went into its image */
  char *why_full; /* NULL: not told */
  GArray *lost;   /* of BackupLost, in order; empty: all was read */
  /* The snapshot that the next increment is made against; NULL: none was kept. */
  char *baseline, *baseline_uuid;
  guint64 baseline_device; /* thin device: with the UUID it says whether that is the same yet */
} BackupVolume;

typedef struct {
  char *id;           /* its time in UTC, 20261130T153000Z; after those of backups it needs */
  gint64 time;        /* seconds since the epoch */
  GPtrArray *volumes; /* of BackupVolume */
} BackupManifest;

BackupManifest *backup_manifest_new(const char *id, gint64 time);
void backup_manifest_free(BackupManifest *manifest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BackupManifest, backup_manifest_free)
/* A new one, in @manifest. */
BackupVolume *backup_manifest_add(BackupManifest *manifest);
/* NULL: it has none. */
BackupVolume *backup_manifest_find(const BackupManifest *manifest, const char *vg, const char *lv);

/* @name: for messages. */
BackupManifest *backup_manifest_parse(const char *text, gsize length, const char *name,
                                      GError **error);
/* The same document as a value of what @json builds. */
void backup_manifest_build(const BackupManifest *manifest, JsonBuilder *json);
char *backup_manifest_print(const BackupManifest *manifest);

/* In order, joined to the one before; @lost of BackupLost. */
void backup_lost_add(GArray *lost, guint64 offset, guint64 length);
/* What is lost of it, of @volume's name and of backup @id; NULL: nothing. The caller's. */
char *backup_describe_lost(const char *id, const BackupVolume *volume);

gboolean backup_is_id(const char *text);
char *backup_make_id(gint64 time); /* NULL: beyond the year 9999 */
/* "pve@vm-100-disk-0.qcow2": no name of LVM's has an '@'. */
char *backup_file_name(const char *vg, const char *lv, const char *format);
/* FALSE: it is no such name. */
gboolean backup_parse_file_name(const char *file, char **vg, char **lv, char **format);
