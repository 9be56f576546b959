/* virt-thin - the volumes of the FUSE folder, and who has their files open
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What fuse-ops.c asks: names to volumes, volumes to numbers that stay the same in every engine,
 * open files to pool volumes. Nothing here, and nothing that answers a FUSE request, waits for the
 * volume group's lock longer than a pool_volume_open() does: whoever holds that may be waiting for
 * a process which waits for our answer.
 *
 * Thread-safety: all functions from any thread. Errors: VT_ERROR.
 */
#pragma once

#include <sys/stat.h>

#include "pool/pool.h"
#include "service/fuse/shared.h"

typedef struct Folder Folder;

/* What a volume's block node is to be like. */
typedef struct {
  gboolean read_only;
  guint sector_size; /* bytes */
} NodeShape;

typedef struct {
  gint refs;
  guint64 ino; /* from the LV's UUID: the same in every engine */
  char *uuid;
  guint64 creation_time, chunk_size;
  /* These change: folder.c reads them with its lock held. */
  char *name, *pool;
  guint64 size, mapped;
  guint sector_size;
  gboolean read_only, active;
  gint looked_at; /* somebody wants to know what is mapped */
} FolderVolume;

typedef struct {
  guint64 ino;
  NodeShape shape;
  char *name;
} FolderEntry;

/* The volumes of @group, and the open files that @shared remembers: reopened. */
Folder *folder_new(VolumeGroup *group, Shared *shared, GError **error);
void folder_free(Folder *folder);

/* Is @thin_pool (of a linear LV: NULL) shown? All are at first. Remembered by the caller. */
void folder_show(Folder *folder, const char *thin_pool, gboolean shown);
gboolean folder_shows(Folder *folder, const char *thin_pool);

/* Follow a change of the pool. */
void folder_update(Folder *folder, const char *name, const char *old_name);
/* Find out again what the volumes map that somebody looked at, and the pools. */
void folder_refresh(Folder *folder);
void folder_space(Folder *folder, guint64 *size, guint64 *used); /* bytes of all thin pools */

FolderVolume *folder_lookup(Folder *folder, const char *name); /* a reference; NULL: no such file */
FolderVolume *folder_get(Folder *folder, guint64 ino);         /* a reference; NULL */
void folder_volume_unref(FolderVolume *volume);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FolderVolume, folder_volume_unref)
void folder_stat(Folder *folder, FolderVolume *volume, struct stat *st);
void folder_stat_root(Folder *folder, struct stat *st);
/* Up to @max files with a number above @after, in order of number. GArray of FolderEntry, freed
 * with it. */
GArray *folder_list(Folder *folder, guint64 after, guint max);
/* The volumes that get a block node: active, and shown. GArray of FolderEntry. */
GArray *folder_list_active(Folder *folder);
gboolean folder_wants_node(Folder *folder, const char *name, NodeShape *shape);

/* chmod, chown: remembered as long as the holder lives. (uid_t)-1, (gid_t)-1, (mode_t)-1:
 * unchanged. ENOSPC: too many.
 */
int folder_set_mode(Folder *folder, FolderVolume *volume, mode_t mode, uid_t uid, gid_t gid);

/* Open for process @pid by request @unique: the handle is @fh. */
gboolean folder_open(Folder *folder, FolderVolume *volume, gboolean write, pid_t pid,
                     guint64 unique, guint64 *fh, GError **error);
/* Before an OPEN is carried out again. */
void folder_forget_open(Folder *folder, guint64 unique);
void folder_close(Folder *folder, guint64 fh);
/* The pool's handle behind an open file; NULL: the volume could not be reopened, or is gone. */
VtIo *folder_handle(Folder *folder, guint64 fh);
gboolean folder_handle_writes(Folder *folder, guint64 fh);
