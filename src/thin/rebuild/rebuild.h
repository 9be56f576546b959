/* virt-thin - the metadata of a thin pool written anew from what can be reached of damaged metadata
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What is whole is copied node by node, each once however many devices share it, so the new
 * metadata is no larger than the old one was. Where a node cannot be used, what lies beneath it is
 * lost and its neighbours are joined anew. All counts are made from what is found: no space map is
 * read.
 *
 * A device without details gets them from its map: the pool's transaction id, and the pool's time,
 * at which what may be shared counts as shared. A device whose map is gone stays, with nothing
 * mapped. A mapping beyond the data device is lost. Times that are beyond the pool's raise that.
 * needs_check and a metadata snapshot are left behind.
 *
 * Units: bytes of volumes; metadata blocks. Errors: VT_ERROR; EBADMSG: the superblock cannot be
 * used, and @roots does not say what it would; ENOSPC: @to is too small, and how large it would
 * have to be; else of @to. Whatever cannot be read of @from is damage, not an error.
 * Thread-safety: none for one call; calls are independent of each other.
 */
#pragma once

#include "thin/rebuild/build.h"

/* Where to start. What is 0 is the superblock's, if that can be read; but with another mapping_root
 * a details_root of 0 is none: all details are lost. */
typedef struct {
  guint64 mapping_root, details_root;
  guint64 transaction_id;
  guint32 time;
  guint64 chunk_size; /* bytes */
  guint64 n_chunks;
  gboolean details_older; /* than the maps: whatever may have been shared since counts as shared */
} ThinRoots;

/* What a device lost. */
typedef struct {
  guint32 device;
  guint64 offset, length; /* length G_MAXUINT64: all from there on */
} ThinLost;

typedef struct {
  guint n_devices;
  guint n_details_made;    /* of these, devices whose details were lost */
  guint n_maps_lost;       /* ... that lost all of their map */
  guint64 n_chunks_mapped; /* the sum of all devices' */
  guint64 n_blocks_used;
  gboolean devices_lost; /* part of the tree of devices is lost: there may have been more of them */
} ThinRebuildStats;

/* @roots NULL: the superblock's. @to must not be @from; NULL: a dry run. @lost: of ThinLost,
 * added in the order of devices and offsets. @stats may be NULL. */
gboolean thin_rebuild(VtIo *from, const ThinRoots *roots, VtIo *to, GArray *lost,
                      ThinRebuildStats *stats, GError **error);
