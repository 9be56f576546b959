/* virt-thin - storage: new volumes on a storage
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: main thread only. Errors: VT_ERROR.
 */
#pragma once

#include "cli/storage.h"

/* Make a volume for guest @vmid of @size bytes on a storage of type lvmthin or lvm: @name, or ""
 * for the next free one, which is then given to no other process. The volume's name; the caller's.
 */
char *storage_allocate(Pool *pool, const StorageCfgStorage *storage, const char *vmid,
                       const char *name, guint64 size, GError **error);
/* Remove a volume of such a storage, and its snapshots. */
gboolean storage_free_volume(Pool *pool, const StorageCfgStorage *storage, const char *name,
                             GError **error);
/* Put an empty ext4 file system on a new volume. */
gboolean storage_format(Pool *pool, const char *volume, GError **error);
/* Make file @path one of @size bytes with an empty ext4 file system. */
gboolean storage_make_ext4(const char *path, const char *label, guint64 size, GError **error);
/* The tag of a volume that is a container's. */
#define STORAGE_ROOTDIR_TAG "virt-thin-rootdir"

/* --- lists --- */

#define STORAGE_UNKNOWN_SIZE G_MAXUINT64
/* What `storage list` shows of a volume. */
typedef struct {
  char *volid; /* "<storage>:<volume>" */
  char *key;   /* by which they are sorted */
  char *vmid;  /* its guest's; NULL: nobody's */
  char *base;  /* of a linked clone in a folder: "<vmid>/<file>" of what it is one of; NULL */
  const char *content; /* "images" */
  char *format;
  guint64 size; /* bytes; STORAGE_UNKNOWN_SIZE: it cannot be read */
} StorageItem;
/* Takes over all but @storage and @content, which is constant. */
StorageItem *storage_item_new(const char *storage, char *volume, const char *content, char *format,
                              guint64 size, char *vmid, char *base);
void storage_item_free(StorageItem *item);
/* Does the cluster, where there is one, know guest @vmid as a container? */
gboolean storage_is_container(const char *vmid);
