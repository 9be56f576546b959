/* virt-thin - how many metadata blocks a map has that others do not have
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A block that was met before is passed over with all beneath it, and leaves, nearly all of a tree,
 * are counted unread. So of maps that share much little is read.
 *
 * Units: metadata blocks. Errors: VT_ERROR; EBADMSG names the block; else what the reader said.
 * Thread-safety: none for one call; calls are independent of each other.
 */
#pragma once

#include "thin/format/block.h"
#include "thin/format/btree-node.h"

/* Where the maps are. */
typedef struct {
  /* Node @number, less than @n_blocks, into @data (THIN_METADATA_BLOCK bytes), checked by
   * thin_block_verify(). */
  gboolean (*read)(gpointer source, guint64 number, guint8 *data, GError **error);
  gpointer source;
  const char *name; /* for messages */
  guint64 n_blocks;
} ThinCountMaps;

/* Node @number of a map, into @data. */
gboolean thin_count_read_node(const ThinCountMaps *maps, guint64 number, guint8 *data,
                              GError **error);
/* How many levels are below the root? Reads down to the first leaf. */
gboolean thin_count_height(const ThinCountMaps *maps, guint64 root, guint *height, GError **error);

/* Count in *@n the nodes of the map at block @root that are not in @seen, and note them there: a
 * bit for each block, none at first. It grows as needed. */
gboolean thin_count_new(const ThinCountMaps *maps, guint64 root, GByteArray *seen, guint64 *n,
                        GError **error);
