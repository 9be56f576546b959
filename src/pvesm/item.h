/* virt-thin - storage: what is listed of a volume, and what makes one a container's
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: main thread only. Errors: VT_ERROR.
 */
#pragma once

#include "util/error.h"

#define PVESM_UNKNOWN_SIZE G_MAXUINT64
/* What `storage list` shows of a volume. */
typedef struct {
  char *volid; /* "<storage>:<volume>" */
  char *key;   /* by which they are sorted */
  char *vmid;  /* its guest's; NULL: nobody's */
  char *base;  /* of a linked clone in a folder: "<vmid>/<file>" of what it is one of; NULL */
  const char *content; /* "images" */
  char *format;
  guint64 size; /* bytes; PVESM_UNKNOWN_SIZE: it cannot be read */
} PvesmItem;
/* Takes over all but @storage and @content, which is constant. */
PvesmItem *pvesm_item_new(const char *storage, char *volume, const char *content, char *format,
                          guint64 size, char *vmid, char *base);
void pvesm_item_free(PvesmItem *item);
/* Does the cluster, where there is one, know guest @vmid as a container? */
gboolean pvesm_is_container(const char *vmid);
/* The tag of a volume that is a container's. */
#define PVESM_ROOTDIR_TAG "virt-thin-rootdir"
/* Make file @path one of @size bytes with an empty ext4 file system. */
gboolean pvesm_make_ext4(const char *path, const char *label, guint64 size, GError **error);
