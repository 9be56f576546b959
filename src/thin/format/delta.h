/* virt-thin - how the maps of two thin devices differ
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Both trees are walked side by side. A node that both have is what neither has changed since one
 * was made from the other: it is skipped with all beneath it, unread. So the cost is that of the
 * difference, however much the two have in common.
 *
 * Nothing is trusted: every node must keep within the range of keys that its parent gives it, and
 * all leaves lie at one depth.
 *
 * Units: bytes of volumes; metadata blocks. Errors: VT_ERROR; EBADMSG names the block; else what
 * the reader said. Thread-safety: none for one call; calls are independent of each other.
 */
#pragma once

#include "thin/format/block.h"
#include "thin/format/btree-node.h"

typedef enum {
  THIN_DELTA_DIFFERENT, /* both map it, to different chunks */
  THIN_DELTA_LEFT_ONLY,
  THIN_DELTA_RIGHT_ONLY,
  THIN_DELTA_SAME, /* both map it to the same chunk */
} ThinDeltaKind;

typedef struct {
  guint64 offset, length; /* whole chunks */
  ThinDeltaKind kind;
} ThinDeltaRun;

/* What is asked, and how far the answer has got. */
typedef struct {
  guint64 offset; /* a chunk's; afterwards where to go on, @end when that is all */
  guint64 end;
  gboolean with_same; /* THIN_DELTA_SAME, too: then nothing is skipped */
  guint max;          /* runs to add at most; fewer may come in one call */
  GArray *runs;       /* of ThinDeltaRun, in order; what is adjacent and of one kind is joined */
} ThinDelta;

/* Where the maps are. */
typedef struct {
  /* Node @number into @data (THIN_METADATA_BLOCK bytes), checked by thin_block_verify(). */
  gboolean (*read)(gpointer source, guint64 number, guint8 *data, GError **error);
  gpointer source;
  const char *name;    /* for messages */
  guint64 left, right; /* roots; 0: an empty map */
  guint64 chunk_size;
} ThinDeltaMaps;

gboolean thin_delta(ThinDelta *delta, const ThinDeltaMaps *maps, GError **error);
