/* virt-thin - the B-tree: removing ranges, deleting trees
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Removing goes in two steps. First the keys go: subtrees wholly inside the range are given up as
 * they are, without a copy; only the nodes on the two edges of the range are shadowed and cut; what
 * became empty is unlinked. Then each edge is walked down once more and what is less than a third
 * full is joined with a neighbour, or takes entries from it. That second walk sees to it that a
 * node keeps SPARE children more than a third before it works on these, so that joining them cannot
 * leave the node itself too small: at one level at most three joins happen (two cut nodes side by
 * side, then whole ones).
 */
#include "config.h"
#include "thin/metadata/btree.h"

#define SPARE 4

/* --- deleting ----------------------------------------------------------------------- */

static gboolean delete_node(ThinBtree *tree, guint64 number, guint depth, GError **error)
{
  guint32 left;
  g_autoptr(ThinBlock) block = thin_cache_get(tree->tm->cache, number, THIN_KIND_NODE, error);
  if (!block || !thin_btree_check_node(tree, block, 0, G_MAXUINT64, TRUE, error))
    return FALSE;
  if (depth == THIN_BTREE_DEPTH_MAX)
    return thin_btree_too_deep(tree, number, error);
  if (thin_tm_count(tree->tm, number) == 1) {
    guint n = thin_node_n(block->data);
    if (thin_node_is_leaf(block->data)) {
      if (tree->dec && n && !tree->dec(tree->context, thin_node_value(block->data, 0), n, error))
        return FALSE;
    } else {
      for (guint i = 0; i < n; i++)
        if (!delete_node(tree, thin_node_child(block->data, i), depth + 1, error))
          return FALSE;
    }
  }
  thin_block_put(g_steal_pointer(&block));
  return thin_tm_dec(tree->tm, number, &left, error);
}

gboolean thin_btree_delete(ThinBtree *tree, guint64 root, GError **error)
{
  return delete_node(tree, root, 0, error);
}

/* --- cutting ------------------------------------------------------------------------ */

typedef struct {
  ThinBtree *tree;
  guint64 begin, end;
} Cut;

static gboolean cut_leaf(Cut *cut, ThinBlock *leaf, GError **error)
{
  guint first = thin_node_lower_bound(leaf->data, cut->begin),
        last = thin_node_lower_bound(leaf->data, cut->end);
  if (first == last)
    return TRUE;
  if (cut->tree->dec &&
      !cut->tree->dec(cut->tree->context, thin_node_value(leaf->data, first), last - first, error))
    return FALSE;
  thin_node_close(leaf->data, first, last - first);
  return TRUE;
}

static gboolean cut_node(Cut *cut, ThinBlock *node, guint64 upper, guint depth, GError **error);

/* Cut child @i of @node, which covers keys below @upper. @gone: it was given up, or is empty and
 * was freed. */
static gboolean cut_child(Cut *cut, ThinBlock *node, guint i, guint64 upper, guint depth,
                          gboolean *gone, GError **error)
{
  guint64 number = thin_node_child(node->data, i);

  *gone = FALSE;
  if (cut->begin <= thin_node_key(node->data, i) && upper <= cut->end) {
    *gone = TRUE;
    return delete_node(cut->tree, number, depth, error);
  }
  g_autoptr(ThinBlock) child = thin_btree_shadow_child(cut->tree, node, i, error);
  if (!child || !cut_node(cut, child, upper, depth, error))
    return FALSE;
  if (thin_node_n(child->data) > 0)
    return TRUE;
  number = child->number;
  thin_block_put(g_steal_pointer(&child));
  *gone = TRUE;
  return thin_tm_dec(cut->tree->tm, number, NULL, error);
}

static gboolean cut_node(Cut *cut, ThinBlock *node, guint64 upper, guint depth, GError **error)
{
  if (thin_node_is_leaf(node->data))
    return cut_leaf(cut, node, error);
  if (depth == THIN_BTREE_DEPTH_MAX)
    return thin_btree_too_deep(cut->tree, node->number, error);

  guint first = thin_node_child_for(node->data, cut->begin), gone_from = 0, n_gone = 0;
  for (guint i = first; i < thin_node_n(node->data); i++) {
    gboolean gone;
    if (i > first && thin_node_key(node->data, i) >= cut->end)
      break;
    guint64 child_upper =
        i + 1 < thin_node_n(node->data) ? thin_node_key(node->data, i + 1) : upper;
    if (!cut_child(cut, node, i, child_upper, depth + 1, &gone, error))
      return FALSE;
    if (gone && n_gone++ == 0)
      gone_from = i;
  }
  if (n_gone)
    thin_node_close(node->data, gone_from, n_gone);
  return TRUE;
}

/* --- joining ------------------------------------------------------------------------ */

static gboolean has_enough(const ThinBlock *block)
{
  guint n = thin_node_n(block->data), min = thin_node_min(block->data);
  return n >= (thin_node_is_leaf(block->data) ? min : min + SPARE);
}

/* Join children @i and @i + 1 of @parent, or share their entries evenly when they are too many for
 * one node. */
static gboolean join(ThinBtree *tree, ThinBlock *parent, guint i, GError **error)
{
  g_autoptr(ThinBlock) left = thin_btree_shadow_child(tree, parent, i, error);
  g_autoptr(ThinBlock) right = left ? thin_btree_shadow_child(tree, parent, i + 1, error) : NULL;
  if (!right)
    return FALSE;
  if (!thin_node_alike(left->data, right->data))
    return vt_set_error(error, EBADMSG,
                        "%s: metadata blocks %u and %u are of different kinds, but side by side",
                        tree->name, left->number, right->number);
  guint have = thin_node_n(left->data), n = have + thin_node_n(right->data),
        max = thin_node_max(left->data);
  if (n > max - max / 8) {
    thin_node_move(left->data, right->data, (gint)(n / 2) - (gint)have);
    thin_node_set_key(parent->data, i + 1, thin_node_key(right->data, 0));
    return TRUE;
  }
  guint64 number = right->number;
  thin_node_move(left->data, right->data, (gint)thin_node_n(right->data));
  thin_node_close(parent->data, i + 1, 1);
  thin_block_put(g_steal_pointer(&right));
  return thin_tm_dec(tree->tm, number, NULL, error);
}

/* Hold the shadow of the child of @parent for @key, with enough entries unless it is the only
 * child. */
static ThinBlock *mend_child(ThinBtree *tree, ThinBlock *parent, guint64 key, GError **error)
{
  for (;;) {
    guint i = thin_node_child_for(parent->data, key);
    g_autoptr(ThinBlock) child =
        thin_cache_get(tree->tm->cache, thin_node_child(parent->data, i), THIN_KIND_NODE, error);
    if (!child)
      return NULL;
    if (has_enough(child) || thin_node_n(parent->data) == 1) {
      thin_block_put(g_steal_pointer(&child));
      return thin_btree_shadow_child(tree, parent, i, error);
    }
    thin_block_put(g_steal_pointer(&child));
    if (!join(tree, parent, i > 0 ? i - 1 : i, error))
      return NULL;
  }
}

/* An internal root with one child gives way to it; without any, it becomes an empty leaf. */
static gboolean lower_root(ThinBtree *tree, guint64 *root, GError **error)
{
  for (;;) {
    g_autoptr(ThinBlock) block = thin_btree_shadow(tree, root, error);
    if (!block)
      return FALSE;
    guint n = thin_node_n(block->data);
    if (thin_node_is_leaf(block->data) || n > 1)
      return TRUE;
    if (n == 0) {
      memset(block->data, 0, THIN_METADATA_BLOCK);
      thin_node_init(block->data, TRUE, tree->value_size);
      return TRUE;
    }
    guint64 old = *root;
    *root = thin_node_child(block->data, 0);
    thin_block_put(g_steal_pointer(&block));
    if (!thin_tm_dec(tree->tm, old, NULL, error))
      return FALSE;
  }
}

static gboolean mend_path(ThinBtree *tree, guint64 *root, guint64 key, GError **error)
{
  if (!lower_root(tree, root, error))
    return FALSE;
  g_autoptr(ThinBlock) node = thin_btree_shadow(tree, root, error);
  for (guint depth = 0; node && !thin_node_is_leaf(node->data); depth++) {
    if (depth == THIN_BTREE_DEPTH_MAX)
      return thin_btree_too_deep(tree, *root, error);
    ThinBlock *child = mend_child(tree, node, key, error);
    gboolean only_child = thin_node_n(node->data) == 1;
    thin_block_put(node);
    node = child;
    if (child && only_child &&
        depth == 0) { /* the root's children became one: that is the root now */
      thin_block_put(g_steal_pointer(&node));
      return mend_path(tree, root, key, error);
    }
  }
  return node != NULL;
}

/* --- removing ----------------------------------------------------------------------- */

gboolean thin_btree_remove(ThinBtree *tree, guint64 *root, guint64 begin, guint64 end,
                           guint64 *n_removed, GError **error)
{
  Cut cut = {.tree = tree, .begin = begin, .end = end};
  guint64 count;

  if (!thin_btree_count(tree, *root, begin, end, &count, error))
    return FALSE;
  if (n_removed)
    *n_removed = count;
  if (count == 0)
    return TRUE;

  g_autoptr(ThinBlock) node = thin_btree_shadow(tree, root, error);
  if (!node || !cut_node(&cut, node, G_MAXUINT64, 0, error))
    return FALSE;
  thin_block_put(g_steal_pointer(&node));
  return mend_path(tree, root, begin, error) && mend_path(tree, root, end - 1, error);
}
