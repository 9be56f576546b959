/* virt-thin - metadata of a thin pool made anew, from devices and their maps in order
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A builder takes a pool's devices in the order of their ids, and each one's mappings in the order
 * of its virtual chunks, and writes all of dm-thin's metadata (thin/format/disk-format.h) to a
 * device: mapping trees, details, both space maps, and last, when everything else is durable, the
 * superblock. Until then the first block is zero: the device opens as nothing.
 *
 * Devices that map alike share nodes again, as a snapshot does with its origin. Where a node ends
 * is decided by the keys around that place alone (build-tree.c), so stretches that are equal give
 * equal nodes; those are found by their digest, compared, and referred to once more instead of
 * written.
 *
 * Memory: 16 to 32 bytes a node, 4 a metadata block, 1 a chunk of those parts of the data device
 * that are in use (4 where one is mapped by 255 nodes or more). Nothing of it grows with the number
 * of mappings that are shared.
 *
 * Units: chunks (virtual and data), metadata blocks; bytes where it says so. Errors: VT_ERROR;
 * EINVAL: what it is given cannot be, or is out of order; ENOSPC: says how large the metadata
 * device would have to be; else what the VtIo said. After an error only thin_build_free() may
 * follow. Thread-safety: none for one builder; builders are independent of each other.
 */
#pragma once

#include "thin/format/device.h"
#include "util/error.h"
#include "util/io.h"

typedef struct ThinBuild ThinBuild;

/* What the superblock says of a pool. */
typedef struct {
  guint64 chunk_size; /* bytes */
  guint64 n_chunks;   /* of the data device */
  guint64 transaction_id;
  guint32 time;
  guint32 flags; /* THIN_SUPERBLOCK_NEEDS_CHECK or 0 */
} ThinPoolFacts;

/* Write to @to (a reference is kept), all of which is metadata then. NULL: a dry run, that only
 * counts blocks. */
ThinBuild *thin_build_new(VtIo *to, const ThinPoolFacts *facts, GError **error);
void thin_build_free(ThinBuild *build);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ThinBuild, thin_build_free)

/* The next device; what is mapped from here on is its. @device->mapped is not looked at: mappings
 * are counted. */
gboolean thin_build_device(ThinBuild *build, const ThinDevice *device, GError **error);
/* Its virtual chunks [begin, begin + n) are mapped to [chunk, chunk + n), since @time. */
gboolean thin_build_map(ThinBuild *build, guint64 begin, guint64 chunk, guint64 n, guint32 time,
                        GError **error);

/* All is said: write what is left of it, durably. @n_used (may be NULL): metadata blocks in use. */
gboolean thin_build_finish(ThinBuild *build, guint64 *n_used, GError **error);
