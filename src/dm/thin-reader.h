/* virt-thin - reading the metadata of a thin pool that the kernel may have in use
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Devices, maps and counts, from the superblock's roots or from those of the metadata snapshot,
 * which stay as they are while the pool goes on. Format: thin/format/disk-format.h. This is no
 * engine: it reads, holds nothing, and may be linked into libvirtd.
 *
 * Units: bytes of volumes. Errors: VT_ERROR; EBADMSG: damaged, the message names the block; ENOENT:
 * no such device. Thread-safety: none, but readers are independent of each other.
 */
#pragma once

#include "thin/format/count-new.h"
#include "thin/format/delta.h"
#include "thin/format/device.h"
#include "util/error.h"
#include "util/io.h"

typedef struct DmkReader DmkReader;

/* @metadata: the metadata volume, not through the page cache (dmk_open_direct()) where the kernel
 * has it in use; a reference is kept. @root: the block of the superblock to go by, 0, or the
 * metadata snapshot's (DmkPoolStatus.held_root). An all-zero superblock is an empty pool. */
DmkReader *dmk_reader_open(VtIo *metadata, guint64 root, GError **error);
void dmk_reader_close(DmkReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DmkReader, dmk_reader_close)

/* What it was opened with; the reader's reference. */
VtIo *dmk_reader_metadata(DmkReader *reader, guint64 *root);

typedef struct {
  guint64 transaction_id;
  guint64 chunk_size;
  guint64 data_size;     /* bytes that it counts on */
  guint64 data_used;     /* bytes; these two mean nothing for a metadata snapshot */
  guint64 metadata_used; /* bytes, as the kernel shows it: with the reserve */
  gboolean needs_check;
} DmkSuperblock;
void dmk_reader_superblock(DmkReader *reader, DmkSuperblock *superblock);
/* Is the superblock, by which @reader was opened, still the last? Then no commit has given a block
 * that was read to something else: all is of one moment, though the kernel has the pool in use. */
gboolean dmk_reader_is_current(DmkReader *reader);

/* The devices with ids @first to @last, in order of id: GArray of ThinDevice, the caller's. One
 * device costs a block for each level of the tree. */
GArray *dmk_reader_devices(DmkReader *reader, guint32 first, guint32 last, GError **error);

typedef struct {
  guint64 begin, end; /* bytes */
} DmkRange;
/* What device @id maps, in order, adjacent ranges joined: GArray of DmkRange. */
GArray *dmk_reader_map(DmkReader *reader, guint32 id, GError **error);

/* Bytes mapped by device @id alone, and together with others. Walks the maps of all devices, each
 * node once. */
gboolean dmk_reader_count(DmkReader *reader, guint32 id, guint64 *exclusive, guint64 *shared,
                          GError **error);

/* As thin_count_new(), of the map of device @id. What others do at the same time is not seen to:
 * dmk_reader_is_current(). @deadline: ETIMEDOUT when it is not done by then, of
 * g_get_monotonic_time(). */
gboolean dmk_reader_count_new(DmkReader *reader, guint32 id, gint64 deadline, GByteArray *seen,
                              guint64 *n, GError **error);

/* How the maps of devices @left and @right differ; -1: an empty map. */
gboolean dmk_reader_delta(DmkReader *reader, gint64 left, gint64 right, ThinDelta *delta,
                          GError **error);

/* A LvmOpenFunc: @path for reading alone, without the page cache, which knows nothing of what the
 * kernel writes below it. */
VtIo *dmk_open_direct(const char *path, gboolean read_only, gpointer user_data, GError **error);
