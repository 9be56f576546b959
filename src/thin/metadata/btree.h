/* virt-thin - the B-tree: 64-bit keys, values of one size per tree
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Format and invariants are dm-thin's (linux drivers/md/persistent-data/dm-btree.c): all leaves at
 * one depth, every node but the root at least a third full, an internal node's key is the lower
 * bound of its child. Whole nodes are shared between trees by reference counts; changing calls
 * shadow what they touch and hand back a new root.
 *
 * NOT thread-safe. Errors: EBADMSG (a node cannot be what its place demands), ENOSPC, else of the
 * I/O. After an error of a changing call the tree is undefined: the transaction must be dropped.
 */
#pragma once

#include "thin/format/btree-node.h"
#include "thin/metadata/transaction.h"

/* Called with @n values as they lie on disk. */
typedef gboolean (*ThinValueFunc)(gpointer context, const guint8 *values, guint n, GError **error);

typedef struct {
  ThinTm *tm;
  const char *name; /* for messages */
  guint value_size;
  /* a leaf was copied: what its values stand for is referred to once more. May be NULL */
  ThinValueFunc inc;
  ThinValueFunc dec;  /* values were overwritten or removed. May be NULL */
  ThinValueFunc fell; /* others had the values, too, at the last commit. May be NULL */
  gpointer context;
} ThinBtree;

gboolean thin_btree_empty(ThinBtree *tree, guint64 *root, GError **error);

/* --- reading (btree.c) --- */

typedef struct {
  ThinBlock *block;
  guint n;         /* entries in this leaf */
  guint first;     /* the first with a key >= the one sought; n: none in this leaf */
  gboolean shared; /* some node from the root down to this leaf is referred to more than once, or
                      was at the last commit */
  guint64 upper;   /* this leaf covers the keys below; G_MAXUINT64: it is the last. After EBADMSG:
                      where what is lost ends */
} ThinLeaf;

/* Hold the leaf that covers @key. Going on with leaf->upper visits all leaves, also past damaged
 * ones. */
gboolean thin_btree_seek(const ThinBtree *tree, guint64 root, guint64 key, ThinLeaf *leaf,
                         GError **error);

static inline void thin_leaf_clear(ThinLeaf *leaf)
{
  if (leaf->block)
    thin_block_put(leaf->block);
  leaf->block = NULL;
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ThinLeaf, thin_leaf_clear)

static inline guint64 thin_leaf_key(const ThinLeaf *leaf, guint i)
{
  return thin_node_key(leaf->block->data, i);
}

static inline guint64 thin_leaf_u64(const ThinLeaf *leaf, guint i)
{
  return thin_node_child(leaf->block->data, i);
}

static inline guint32 thin_leaf_u32(const ThinLeaf *leaf, guint i)
{
  guint32 value;
  memcpy(&value, thin_node_value(leaf->block->data, i), sizeof value);
  return GUINT32_FROM_LE(value);
}

/* Copy the value of @key to @value, as it lies on disk. @found: whether there is one. */
gboolean thin_btree_lookup(const ThinBtree *tree, guint64 root, guint64 key, gpointer value,
                           gboolean *found, GError **error);

/* The number of keys in [begin, end). */
gboolean thin_btree_count(const ThinBtree *tree, guint64 root, guint64 begin, guint64 end,
                          guint64 *count, GError **error);

/* --- changing (btree-insert.c, btree-remove.c) --- */

/* Set @n keys, strictly rising, to @values (as on disk). What they replace is given to dec. @n_new
 * (may be NULL): how many keys were not there before. Neighbouring keys share one walk down the
 * tree. */
gboolean thin_btree_insert(ThinBtree *tree, guint64 *root, const guint64 *keys,
                           gconstpointer values, guint n, guint *n_new, GError **error);

/* Make every node on the way to @key this tree's own, so that what the values there refer to is
 * counted for it. */
gboolean thin_btree_own_path(ThinBtree *tree, guint64 *root, guint64 key, GError **error);

/* Remove the keys in [begin, end). @n_removed may be NULL. */
gboolean thin_btree_remove(ThinBtree *tree, guint64 *root, guint64 begin, guint64 end,
                           guint64 *n_removed, GError **error);

/* Give up one reference to the tree at @root; the last one takes nodes and values along. */
gboolean thin_btree_delete(ThinBtree *tree, guint64 root, GError **error);

/* --- between the files of the B-tree --- */

gboolean thin_btree_check_node(const ThinBtree *tree, const ThinBlock *block, guint64 lower,
                               guint64 upper, gboolean is_root, GError **error);
gboolean thin_btree_too_deep(const ThinBtree *tree, guint64 root, GError **error);
/* Hold the shadow of *@number and store its number there. */
ThinBlock *thin_btree_shadow(ThinBtree *tree, guint64 *number, GError **error);
/* The same for child @i of @parent, which is a shadow; the parent then points to it. */
ThinBlock *thin_btree_shadow_child(ThinBtree *tree, ThinBlock *parent, guint i, GError **error);
