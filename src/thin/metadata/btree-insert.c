/* virt-thin - the B-tree: inserting
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One walk down shadows the path and makes room on the way: a full node gives entries to a
 * neighbour that is ours already and has places, or is split. So a parent never needs room after
 * its child was reached. The leaf then takes as many of the keys as belong to it and fit; the rest
 * takes another walk.
 *
 * Keys mostly rise (a disk is filled from its start). Where a full node takes a key past its end,
 * it first fills its left neighbour to the brim, and a split leaves only a third on the right:
 * nodes left behind are full.
 */
#include "config.h"
#include "thin/metadata/btree.h"

typedef struct {
  const guint64 *keys;
  const guint8 *values;
  guint n, n_done, n_new;
} Batch;

/* --- making room -------------------------------------------------------------------- */

/* Insert @child as entry @at of @parent. */
static void link_child(ThinBlock *parent, guint at, const ThinBlock *child)
{
  thin_node_open(parent->data, at, 1);
  thin_node_set_key(parent->data, at, thin_node_key(child->data, 0));
  thin_node_set_child(parent->data, at, child->number);
}

static guint keep_left(const guint8 *full, gboolean append)
{
  guint n = thin_node_n(full);
  return append ? n - thin_node_min(full) : n / 2;
}

/* Split the full @child, entry @i of @parent, in two. */
static gboolean split(ThinBtree *tree, ThinBlock *parent, guint i, ThinBlock *child,
                      gboolean append, GError **error)
{
  g_autoptr(ThinBlock) right = thin_tm_new_block(tree->tm, THIN_KIND_NODE, error);
  if (!right)
    return FALSE;
  thin_node_init(right->data, thin_node_is_leaf(child->data), thin_node_value_size(child->data));
  thin_node_move(child->data, right->data,
                 (gint)keep_left(child->data, append) - (gint)thin_node_n(child->data));
  link_child(parent, i + 1, right);
  return TRUE;
}

/* Put two halves beneath the full @root, which stays where it is. */
static gboolean split_root(ThinBtree *tree, ThinBlock *root, gboolean append, GError **error)
{
  g_autoptr(ThinBlock) left = thin_tm_new_block(tree->tm, THIN_KIND_NODE, error);
  g_autoptr(ThinBlock) right = left ? thin_tm_new_block(tree->tm, THIN_KIND_NODE, error) : NULL;
  if (!right)
    return FALSE;
  memcpy(left->data, root->data, THIN_METADATA_BLOCK);
  thin_node_init(right->data, thin_node_is_leaf(root->data), thin_node_value_size(root->data));
  thin_node_move(left->data, right->data,
                 (gint)keep_left(left->data, append) - (gint)thin_node_n(left->data));
  memset(root->data, 0, THIN_METADATA_BLOCK);
  thin_node_init(root->data, FALSE, sizeof(guint64));
  link_child(root, 0, left);
  link_child(root, 1, right);
  return TRUE;
}

/* Hold the neighbour of a full node, entry @i of @parent, if it can take @room entries: NULL when
 * these are too few to be worth it, or when it would first have to be copied. */
static ThinBlock *neighbour_with_room(ThinBtree *tree, ThinBlock *parent, guint i, guint *room)
{
  guint64 number = thin_node_child(parent->data, i);
  if (thin_tm_count(tree->tm, number) != 1 || !thin_metadata_map_is_new(tree->tm->map, number))
    return NULL;
  g_autoptr(ThinBlock) block = thin_cache_get(tree->tm->cache, number, THIN_KIND_NODE, NULL);
  if (!block)
    return NULL;
  *room = thin_node_max(block->data) - thin_node_n(block->data);
  if (*room < thin_node_max(block->data) / 16)
    return NULL;
  thin_cache_dirty(tree->tm->cache, block);
  return g_steal_pointer(&block);
}

/* Move entries of the full @child, entry @i of @parent, to its neighbour on the left or right.
 * @moved: whether there was one to take them. */
static gboolean spill(ThinBtree *tree, ThinBlock *parent, guint i, ThinBlock *child,
                      gboolean append, gboolean *moved, GError **error)
{
  guint room, most = thin_node_n(child->data) - thin_node_min(child->data);
  g_autoptr(ThinBlock) left = i > 0 ? neighbour_with_room(tree, parent, i - 1, &room) : NULL;
  g_autoptr(ThinBlock) right = !left && !append && i + 1 < thin_node_n(parent->data)
                                   ? neighbour_with_room(tree, parent, i + 1, &room)
                                   : NULL;
  ThinBlock *neighbour = left ? left : right;

  *moved = neighbour != NULL;
  if (!neighbour)
    return TRUE;
  if (!thin_node_alike(neighbour->data, child->data))
    return vt_set_error(error, EBADMSG, "%s: nodes of different kinds beside each other",
                        tree->name);
  if (left) {
    thin_node_move(left->data, child->data, (gint)MIN(append ? room : (room + 1) / 2, most));
    thin_node_set_key(parent->data, i, thin_node_key(child->data, 0));
  } else {
    thin_node_move(child->data, right->data, -(gint)((room + 1) / 2));
    thin_node_set_key(parent->data, i + 1, thin_node_key(right->data, 0));
  }
  return TRUE;
}

static gboolean is_full(const ThinBlock *block)
{
  return thin_node_n(block->data) >= thin_node_max(block->data);
}

static gboolean is_past_end(const ThinBlock *block, guint64 key)
{
  guint n = thin_node_n(block->data);
  return n > 0 && key > thin_node_key(block->data, n - 1);
}

/* --- the walk ----------------------------------------------------------------------- */

/* Shadow the child of @parent for @key; *@upper becomes the end of its range. With @make_room (then
 * @parent has room) it is not full. */
static ThinBlock *descend(ThinBtree *tree, ThinBlock *parent, guint64 key, gboolean make_room,
                          guint64 *upper, GError **error)
{
  for (;;) {
    guint i = thin_node_child_for(parent->data, key);
    if (key < thin_node_key(parent->data, i))
      thin_node_set_key(parent->data, i, key);
    g_autoptr(ThinBlock) child = thin_btree_shadow_child(tree, parent, i, error);
    if (!child)
      return NULL;
    guint64 end = i + 1 < thin_node_n(parent->data) ? thin_node_key(parent->data, i + 1) : *upper;
    if (!make_room || !is_full(child)) {
      *upper = end;
      return g_steal_pointer(&child);
    }
    gboolean moved, append = is_past_end(child, key);
    if (!spill(tree, parent, i, child, append, &moved, error) ||
        (!moved && !split(tree, parent, i, child, append, error)))
      return NULL;
  }
}

/* Put the keys of @batch that are below @upper into @leaf, as far as they fit. */
static gboolean fill_leaf(ThinBtree *tree, ThinBlock *leaf, guint64 upper, Batch *batch,
                          GError **error)
{
  guint8 *data = leaf->data;
  guint size = tree->value_size;

  while (batch->n_done < batch->n && batch->keys[batch->n_done] < upper) {
    guint64 key = batch->keys[batch->n_done];
    const guint8 *value = batch->values + (gsize)batch->n_done * size;
    guint n = thin_node_n(data), at = thin_node_lower_bound(data, key);
    if (at < n && thin_node_key(data, at) == key) {
      if (tree->dec && !tree->dec(tree->context, thin_node_value(data, at), 1, error))
        return FALSE;
      memcpy(thin_node_value(data, at), value, size);
      batch->n_done++;
      continue;
    }
    /* All keys that come before the next one that is there already. */
    guint64 next = at < n ? thin_node_key(data, at) : upper;
    guint most = MIN(batch->n - batch->n_done, thin_node_max(data) - n), m = 0;
    while (m < most && batch->keys[batch->n_done + m] < next)
      m++;
    if (m == 0)
      break; /* full */
    thin_node_open(data, at, m);
    for (guint i = 0; i < m; i++)
      thin_node_set_key(data, at + i, batch->keys[batch->n_done + i]);
    memcpy(thin_node_value(data, at), value, (gsize)m * size);
    batch->n_done += m;
    batch->n_new += m;
  }
  return TRUE;
}

/* A key that is there already needs no room; full nodes are common, and to split them for nothing
 * would undo that. */
static gboolean has_key(ThinBtree *tree, guint64 root, guint64 key, gboolean *exists,
                        GError **error)
{
  g_auto(ThinLeaf) leaf = {0};
  if (!thin_btree_seek(tree, root, key, &leaf, error))
    return FALSE;
  *exists = leaf.first < leaf.n && thin_leaf_key(&leaf, leaf.first) == key;
  return TRUE;
}

static gboolean insert_some(ThinBtree *tree, guint64 *root, Batch *batch, GError **error)
{
  guint64 key = batch->keys[batch->n_done], upper = G_MAXUINT64;
  gboolean exists;
  if (!has_key(tree, *root, key, &exists, error))
    return FALSE;
  g_autoptr(ThinBlock) node = thin_btree_shadow(tree, root, error);
  if (!node || (!exists && is_full(node) && !split_root(tree, node, is_past_end(node, key), error)))
    return FALSE;

  for (guint depth = 0; !thin_node_is_leaf(node->data); depth++) {
    if (depth == THIN_BTREE_DEPTH_MAX)
      return thin_btree_too_deep(tree, *root, error);
    ThinBlock *child = descend(tree, node, key, !exists, &upper, error);
    if (!child)
      return FALSE;
    thin_block_put(node);
    node = child;
  }
  return fill_leaf(tree, node, upper, batch, error);
}

gboolean thin_btree_insert(ThinBtree *tree, guint64 *root, const guint64 *keys,
                           gconstpointer values, guint n, guint *n_new, GError **error)
{
  Batch batch = {.keys = keys, .values = values, .n = n};
  while (batch.n_done < n)
    if (!insert_some(tree, root, &batch, error))
      return FALSE;
  if (n_new)
    *n_new = batch.n_new;
  return TRUE;
}

gboolean thin_btree_own_path(ThinBtree *tree, guint64 *root, guint64 key, GError **error)
{
  g_autoptr(ThinBlock) node = thin_btree_shadow(tree, root, error);
  for (guint depth = 0; node && !thin_node_is_leaf(node->data); depth++) {
    if (depth == THIN_BTREE_DEPTH_MAX)
      return thin_btree_too_deep(tree, *root, error);
    ThinBlock *child =
        thin_btree_shadow_child(tree, node, thin_node_child_for(node->data, key), error);
    thin_block_put(node);
    node = child;
  }
  return node != NULL;
}
