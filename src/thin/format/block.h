/* virt-thin - metadata blocks: number, checksum, and what else a block must show to be what its
 * place demands SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * @data is THIN_METADATA_BLOCK bytes, aligned for 64-bit access. Errors: VT_ERROR; EBADMSG names
 * device, block and fault; else what the VtIo said. Thread-safety: pure functions.
 */
#pragma once

#include "thin/format/disk-format.h"
#include "util/error.h"
#include "util/io.h"

/* "B-tree node" and the like, for messages. */
const char *thin_kind_name(ThinKind kind);

/* The checks a block must pass; of a node also that its entries lie within it, in order. @device:
 * for messages. */
gboolean thin_block_verify(const guint8 *data, guint64 number, ThinKind kind, const char *device,
                           GError **error);
/* Read block @number of @io, and verify it. */
gboolean thin_block_read(VtIo *io, guint64 number, ThinKind kind, guint8 *data, GError **error);
/* Number and checksum into @data, ready to be written. */
void thin_block_seal(guint8 *data, guint64 number, ThinKind kind);

/* Read and check a superblock: @number is 0, or the block of a metadata snapshot. ENOENT: all zero,
 * not yet formatted.
 */
gboolean thin_superblock_read(VtIo *io, guint64 number, guint8 *data, GError **error);
