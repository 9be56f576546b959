/* virt-thin - thin metadata: what its files share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "thin/metadata/metadata.h"
#include "thin/metadata/space-map-data.h"

/* A device as far as it has been looked at. */
typedef struct {
  guint32 id;
  guint64 root;   /* of its mapping tree; always what the top tree says */
  guint64 mapped; /* chunks */
  guint64 transaction_id;
  guint32 creation_time, snapshotted_time;
  gboolean details_lost; /* damaged: the four above are not known */
  gboolean changed;      /* in this transaction: the details are to be written */
  gboolean owned;        /* the way to it in the top tree was shadowed in this transaction */
} ThinMetadataDevice;

struct ThinMetadata {
  VtIo *io;
  gsize cache_bytes;
  gboolean read_only;
  gboolean broken; /* a changing call failed half way: nothing may be committed */
  gboolean changed;
  GError *unbacked;  /* why the blocks behind map_n_backed() are not; NULL: not asked for yet */
  GError *starved;   /* the last commit found no room, and why; NULL: it did not */
  ThinTm tm;         /* tm.map NULL (read only): cannot be read */
  ThinDataMap *data; /* NULL (read only): cannot be read */
  guint64 mapping_root, details_root, held_root, transaction_id;
  guint32 time;
  GHashTable *devices; /* id -> ThinMetadataDevice */
  guint n_devices;     /* G_MAXUINT: not counted yet */
  union {
    ThinDiskSuperblock superblock; /* as last read or written */
    guint8 superblock_block[THIN_METADATA_BLOCK];
    guint64 align;
  };
};

/* The four kinds of trees. */
ThinBtree thin_metadata_top_tree(ThinMetadata *md); /* dec deletes the device's tree */
ThinBtree thin_metadata_details_tree(ThinMetadata *md);
ThinBtree thin_metadata_device_tree(ThinMetadata *md);

/* Load, or find, a device. ENOENT: there is none. The metadata's. */
ThinMetadataDevice *thin_metadata_find_device(ThinMetadata *md, guint32 id, GError **error);
/* The same, to change its map: the way to it becomes this transaction's own. */
ThinMetadataDevice *thin_metadata_own_device(ThinMetadata *md, guint32 id, GError **error);
/* Let the top tree say what device->root says. */
gboolean thin_metadata_store_root(ThinMetadata *md, ThinMetadataDevice *device, GError **error);
gboolean thin_metadata_write_details(ThinMetadata *md, GError **error);
gboolean thin_metadata_count_devices(ThinMetadata *md, guint *n, GError **error);

/* May this transaction be changed? EROFS. */
gboolean thin_metadata_writable(ThinMetadata *md, GError **error);
/* End a changing call that got past its checks: notes that the transaction changed, or broke.
 * Returns @ok. */
gboolean thin_metadata_changed_by(ThinMetadata *md, gboolean ok);
