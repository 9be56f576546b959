/* virt-thin - reading the metadata of a thin pool: what its files share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "dm/thin-reader.h"
#include "thin/format/walk.h"

struct DmkReader {
  VtIo *io;
  guint64 n_blocks, chunk_size;
  guint64 root; /* block of the superblock */
  gboolean empty;
  union {
    ThinDiskSuperblock superblock;
    guint8 block[THIN_METADATA_BLOCK]; /* as it was read */
    guint64 align;
  };
};

/* A walk through all keys of a tree of 64-bit values. */
ThinWalk dmk_reader_walk(DmkReader *reader, ThinEntryFunc entry, gpointer data);
/* The root of the map of device @id. ENOENT: there is no such device. */
gboolean dmk_reader_find_root(DmkReader *reader, guint32 id, guint64 *root, GError **error);
