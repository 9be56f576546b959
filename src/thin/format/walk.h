/* virt-thin - walking through a B-tree, in the order of its keys
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * For those who read trees from end to end, straight from a VtIo: the checker, and the reader of a
 * pool that the kernel may have in use. (The engine looks up single keys in cached blocks:
 * thin/metadata/btree.h.)
 *
 * Nothing is trusted. Every node must keep within the range of keys that its parent gives it, and
 * no tree is deeper than THIN_BTREE_DEPTH_MAX; so a walk meets a node once at each depth at most,
 * whatever the blocks hold.
 *
 * Units: metadata blocks. Errors: VT_ERROR; EBADMSG names device and block; else what the VtIo or a
 * callback said. Thread-safety: none for one walk; walks are independent of each other.
 */
#pragma once

#include "thin/format/block.h"
#include "thin/format/btree-node.h"

typedef enum {
  THIN_SUBTREE_UNSEEN,
  THIN_SUBTREE_UNDER_WAY,
  THIN_SUBTREE_LOST, /* the node cannot be used, or something beneath it cannot */
  THIN_SUBTREE_WHOLE,
} ThinSubtreeState;

/* What was found in a node and beneath it. */
typedef struct {
  guint64 first, last;    /* keys; first > last: none */
  guint64 n_entries : 62; /* that were wanted, in the leaves */
  guint64 state : 2;      /* ThinSubtreeState */
} ThinSubtree;

typedef struct ThinWalk ThinWalk;
/* @value as it lies on disk, aligned as its members demand. */
typedef gboolean (*ThinEntryFunc)(ThinWalk *walk, guint64 key, gconstpointer value, GError **error);
struct ThinWalk {
  VtIo *io;
  guint64 n_blocks; /* of @io, that a node may be in */
  guint value_size;
  guint64 begin, end; /* the keys wanted; G_MAXUINT64: to the last */
  /* One for each block, all zero at first: a node that several trees share is then walked for the
   * first of them only. NULL: for each. Not with different ranges of keys. */
  ThinSubtree *seen;
  gpointer data; /* the callbacks' */

  /* The callbacks; each may be NULL. */
  /* Something refers to block @number as a node of this tree; called before it is looked at, each
   * time. May it? */
  gboolean (*refer)(ThinWalk *walk, guint64 number, GError **error);
  /* A node that is walked, before what is beneath it. */
  void (*node)(ThinWalk *walk, guint64 number, const guint8 *data, gboolean is_root);
  ThinEntryFunc entry; /* of a leaf, that is wanted */
  /* The keys [lower, upper) are lost. The walk goes on. NULL: the walk ends
   * with @fault. */
  void (*lost)(ThinWalk *walk, guint64 lower, guint64 upper, const GError *fault);
};

/* Walk the tree at block @root. @found may be NULL. FALSE: the walk has ended before its end. */
gboolean thin_walk(ThinWalk *walk, guint64 root, ThinSubtree *found, GError **error);
