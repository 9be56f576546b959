/* virt-thin - the B-tree: reading, and shadowing of single nodes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reading knows one movement only: seek, from the root to the leaf that covers a key. It notes
 * where the leaf's range ends according to the parents, so that whoever walks goes on there,
 * whatever the leaf itself is worth. Every node must keep within the range its parents give it; so
 * no loop or tangle of nodes can make a walk endless.
 */
#include "config.h"
#include "thin/metadata/btree.h"

gboolean thin_btree_too_deep(const ThinBtree *tree, guint64 root, GError **error)
{
  return vt_set_error(error, EBADMSG,
                      "%s: the tree at metadata block %" G_GUINT64_FORMAT
                      " is deeper than any can be",
                      tree->name, root);
}

gboolean thin_btree_check_node(const ThinBtree *tree, const ThinBlock *block, guint64 lower,
                               guint64 upper, gboolean is_root, GError **error)
{
  const char *fault = thin_node_fault(block->data, tree->value_size, is_root);
  guint n = thin_node_n(block->data);

  if (!fault && n > 0 &&
      (thin_node_key(block->data, 0) < lower || thin_node_key(block->data, n - 1) >= upper))
    fault = "has keys outside of the range its parent gives it";
  if (G_LIKELY(!fault))
    return TRUE;
  return vt_set_error(error, EBADMSG, "%s: metadata block %u %s", tree->name, block->number, fault);
}

gboolean thin_btree_seek(const ThinBtree *tree, guint64 root, guint64 key, ThinLeaf *leaf,
                         GError **error)
{
  guint64 number = root, lower = 0;

  *leaf = (ThinLeaf){.upper = G_MAXUINT64};
  for (guint depth = 0; depth < THIN_BTREE_DEPTH_MAX; depth++) {
    g_autoptr(ThinBlock) block = thin_cache_get(tree->tm->cache, number, THIN_KIND_NODE, error);
    if (!block || !thin_btree_check_node(tree, block, lower, leaf->upper, depth == 0, error))
      return FALSE;
    leaf->shared |= thin_tm_is_shared(tree->tm, number);
    if (thin_node_is_leaf(block->data)) {
      leaf->n = thin_node_n(block->data);
      leaf->first = thin_node_lower_bound(block->data, key);
      leaf->block = g_steal_pointer(&block);
      return TRUE;
    }
    guint i = thin_node_child_for(block->data, key);
    lower = thin_node_key(block->data, i);
    if (i + 1 < thin_node_n(block->data))
      leaf->upper = thin_node_key(block->data, i + 1);
    number = thin_node_child(block->data, i);
  }
  return thin_btree_too_deep(tree, root, error);
}

gboolean thin_btree_lookup(const ThinBtree *tree, guint64 root, guint64 key, gpointer value,
                           gboolean *found, GError **error)
{
  g_auto(ThinLeaf) leaf = {0};
  if (!thin_btree_seek(tree, root, key, &leaf, error))
    return FALSE;
  *found = leaf.first < leaf.n && thin_leaf_key(&leaf, leaf.first) == key;
  if (*found)
    memcpy(value, thin_node_value(leaf.block->data, leaf.first), tree->value_size);
  return TRUE;
}

gboolean thin_btree_count(const ThinBtree *tree, guint64 root, guint64 begin, guint64 end,
                          guint64 *count, GError **error)
{
  *count = 0;
  while (begin < end) {
    g_auto(ThinLeaf) leaf = {0};
    if (!thin_btree_seek(tree, root, begin, &leaf, error))
      return FALSE;
    *count +=
        (leaf.upper <= end ? leaf.n : thin_node_lower_bound(leaf.block->data, end)) - leaf.first;
    begin = leaf.upper;
  }
  return TRUE;
}

/* --- shadows ------------------------------------------------------------------------ */

gboolean thin_btree_empty(ThinBtree *tree, guint64 *root, GError **error)
{
  g_autoptr(ThinBlock) block = thin_tm_new_block(tree->tm, THIN_KIND_NODE, error);
  if (!block)
    return FALSE;
  thin_node_init(block->data, TRUE, tree->value_size);
  *root = block->number;
  return TRUE;
}

/* @block was copied while others still refer to the original: its children now have one more
 * parent. */
static gboolean inc_children(ThinBtree *tree, const ThinBlock *block, GError **error)
{
  guint n = thin_node_n(block->data);
  if (thin_node_is_leaf(block->data))
    return !tree->inc || tree->inc(tree->context, thin_node_value(block->data, 0), n, error);
  for (guint i = 0; i < n; i++)
    if (!thin_tm_inc(tree->tm, thin_node_child(block->data, i), error))
      return FALSE;
  return TRUE;
}

/* @block was copied and the original is free, but at the last commit others referred to it: to them
 * the children belong, too, until this transaction is committed. So the mark moves from the
 * original to the children. */
static gboolean mark_children(ThinBtree *tree, const ThinBlock *block, GError **error)
{
  guint n = thin_node_n(block->data);
  if (thin_node_is_leaf(block->data))
    return !tree->fell || tree->fell(tree->context, thin_node_value(block->data, 0), n, error);
  for (guint i = 0; i < n; i++)
    thin_metadata_map_mark_fell(tree->tm->map, thin_node_child(block->data, i));
  return TRUE;
}

ThinBlock *thin_btree_shadow(ThinBtree *tree, guint64 *number, GError **error)
{
  ThinShadow shadow;
  g_autoptr(ThinBlock) block = thin_tm_shadow(tree->tm, *number, THIN_KIND_NODE, &shadow, error);
  if (!block || !thin_btree_check_node(tree, block, 0, G_MAXUINT64, TRUE, error) ||
      (shadow == THIN_SHADOW_SHARED && !inc_children(tree, block, error)) ||
      (shadow == THIN_SHADOW_FELL && !mark_children(tree, block, error)))
    return NULL;
  *number = block->number;
  return g_steal_pointer(&block);
}

ThinBlock *thin_btree_shadow_child(ThinBtree *tree, ThinBlock *parent, guint i, GError **error)
{
  guint64 number = thin_node_child(parent->data, i);
  ThinBlock *child = thin_btree_shadow(tree, &number, error);
  if (child)
    thin_node_set_child(parent->data, i, number);
  return child;
}
