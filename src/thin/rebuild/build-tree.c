/* virt-thin - metadata made anew: a tree written from its first key to its last
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Entries gather in a level until there are enough for a node and a third of the next: so every
 * node but the root is at least a third full, as dm-btree and thin_check demand.
 *
 * Where trees are to share nodes, a node ends where its keys cross the coarsest of all bounds
 * within reach: multiples of half a node, of twice that, of four times ... A bound does not
 * depend on what lies before it, nor on values; so after a place where two trees differ, their
 * nodes are soon the same again. Where keys follow each other without gaps, nodes come out full.
 */
#include "config.h"
#include "thin/rebuild/build-private.h"

#define CELL (THIN_NODE_MAX(sizeof(guint64)) / 2)

static guint least(const BuildLevel *level)
{
  return level->max / 3;
}

static void level_init(BuildLevel *level, guint value_size)
{
  level->value_size = value_size;
  level->max = (guint)THIN_NODE_MAX(value_size);
  level->keys = g_new(guint64, level->max + least(level));
  level->values = g_malloc((gsize)(level->max + least(level)) * value_size);
}

void build_tree_init(BuildTree *tree, BuildBlocks *blocks, guint value_size)
{
  tree->blocks = blocks;
  tree->value_size = value_size;
  for (guint i = 0; i < THIN_BTREE_DEPTH_MAX; i++)
    level_init(&tree->levels[i], i ? sizeof(guint64) : value_size);
}

void build_tree_clear(BuildTree *tree)
{
  for (guint i = 0; i < THIN_BTREE_DEPTH_MAX; i++) {
    g_clear_pointer(&tree->levels[i].keys, g_free);
    g_clear_pointer(&tree->levels[i].values, g_free);
  }
}

/* --- nodes -------------------------------------------------------------------------- */

static void refer_to_children(BuildTree *tree, const guint8 *node)
{
  if (!thin_node_is_leaf(node))
    for (guint i = 0; i < thin_node_n(node); i++)
      ++*build_references(tree->blocks, thin_node_child(node, i));
  else if (tree->leaf)
    tree->leaf(tree->data, node);
}

gboolean build_tree_put(BuildTree *tree, guint8 *node, guint32 *block, GError **error)
{
  guint64 digest = 0;

  if (tree->shares) {
    if (!build_find(tree->blocks, node, &digest, block, error))
      return FALSE;
    if (*block)
      return TRUE;
  }
  if (!build_put(tree->blocks, node, THIN_KIND_NODE, block, error))
    return FALSE;
  if (tree->shares)
    build_remember(tree->blocks, digest, *block);
  refer_to_children(tree, node);
  return TRUE;
}

/* How coarse is the boundary between two keys that follow each other? */
static guint coarseness(guint64 before, guint64 after)
{
  guint64 differ = before / CELL ^ after / CELL;

  return differ ? 64 - (guint)__builtin_clzll(differ) : 0;
}

/* How many of the entries of @level the next node takes. */
static guint choose_cut(const BuildTree *tree, const BuildLevel *level)
{
  guint min = least(level), most = MIN(level->max, level->n - min), cut = most;

  if (!tree->shares)
    return level->n == level->max + min ? level->max : level->n / 2;
  for (guint i = most - 1, best = coarseness(level->keys[most - 1], level->keys[most]); i >= min;
       i--) {
    guint coarse = coarseness(level->keys[i - 1], level->keys[i]);

    if (coarse > best) {
      best = coarse;
      cut = i;
    }
  }
  return cut;
}

static gboolean append(BuildTree *tree, guint at, guint64 key, gconstpointer value, GError **error);

/* The first @n entries of level @at become a node. */
static gboolean write_node(BuildTree *tree, guint at, guint n, guint32 *block, GError **error)
{
  BuildLevel *level = &tree->levels[at];
  guint64 data[THIN_METADATA_BLOCK / 8] = {0};
  guint8 *node = (guint8 *)data;

  thin_node_init(node, at == 0, level->value_size);
  for (guint i = 0; i < n; i++)
    thin_node_set_key(node, i, level->keys[i]);
  memcpy(thin_node_value(node, 0), level->values, (gsize)n * level->value_size);
  thin_node_set_n(node, n);
  if (!build_tree_put(tree, node, block, error))
    return FALSE;
  level->n -= n;
  memmove(level->keys, level->keys + n, level->n * sizeof *level->keys);
  memmove(level->values, level->values + (gsize)n * level->value_size,
          (gsize)level->n * level->value_size);
  return TRUE;
}

static gboolean push_node(BuildTree *tree, guint at, guint n, GError **error)
{
  guint64 key = tree->levels[at].keys[0], child;
  guint32 block;

  if (at + 1 == THIN_BTREE_DEPTH_MAX)
    return vt_set_error(error, EINVAL, "more entries than a tree can have");
  if (!write_node(tree, at, n, &block, error))
    return FALSE;
  child = GUINT64_TO_LE(block);
  return append(tree, at + 1, key, &child, error);
}

/* --- appending ---------------------------------------------------------------------- */

static gboolean make_room(BuildTree *tree, guint at, GError **error)
{
  BuildLevel *level = &tree->levels[at];

  return level->n < level->max + least(level) ||
         push_node(tree, at, choose_cut(tree, level), error);
}

static gboolean append(BuildTree *tree, guint at, guint64 key, gconstpointer value, GError **error)
{
  BuildLevel *level = &tree->levels[at];

  if (!make_room(tree, at, error))
    return FALSE;
  level->keys[level->n] = key;
  memcpy(level->values + (gsize)level->n++ * level->value_size, value, level->value_size);
  return TRUE;
}

gboolean build_tree_append(BuildTree *tree, guint64 key, gconstpointer value, GError **error)
{
  return append(tree, 0, key, value, error);
}

/* --- whole subtrees ----------------------------------------------------------------- */

/* What gathers below must do for nodes of its own, by whichever cuts. */
gboolean build_tree_can_graft(const BuildTree *tree, guint level)
{
  guint carry = 0;

  if (level + 1 >= THIN_BTREE_DEPTH_MAX)
    return FALSE;
  for (guint i = 0; i <= level; i++) {
    const BuildLevel *pending = &tree->levels[i];
    guint n = pending->n + carry;

    if (n > 0 && n < least(pending))
      return FALSE;
    carry = n == 0 ? 0 : n <= pending->max ? 1 : 2;
  }
  return TRUE;
}

static gboolean empty_level(BuildTree *tree, guint at, GError **error)
{
  BuildLevel *level = &tree->levels[at];

  while (level->n > 0)
    if (!push_node(tree, at, level->n <= level->max ? level->n : choose_cut(tree, level), error))
      return FALSE;
  return TRUE;
}

gboolean build_tree_graft(BuildTree *tree, guint level, guint64 key, guint32 block, GError **error)
{
  guint64 child = GUINT64_TO_LE(block);

  for (guint i = 0; i <= level; i++)
    if (!empty_level(tree, i, error))
      return FALSE;
  return append(tree, level + 1, key, &child, error);
}

/* --- the end ------------------------------------------------------------------------ */

static gboolean has_above(const BuildTree *tree, guint at)
{
  for (guint i = at + 1; i < THIN_BTREE_DEPTH_MAX; i++)
    if (tree->levels[i].n > 0)
      return TRUE;
  return FALSE;
}

/* Entries of @node to the front of level @at. */
static void put_back(BuildLevel *level, const guint8 *node)
{
  guint n = thin_node_n(node);

  memmove(level->keys + n, level->keys, level->n * sizeof *level->keys);
  memmove(level->values + (gsize)n * level->value_size, level->values,
          (gsize)level->n * level->value_size);
  for (guint i = 0; i < n; i++)
    level->keys[i] = thin_node_key(node, i);
  memcpy(level->values, thin_node_value(node, 0), (gsize)n * level->value_size);
  level->n += n;
}

/* What is left of level @at is too little for a node: take the one before it back, which may be
 * beneath one that was written, too. */
static gboolean take_back(BuildTree *tree, guint at, GError **error)
{
  BuildLevel *above = &tree->levels[at + 1];
  guint64 data[THIN_METADATA_BLOCK / 8], block;
  GError *fault = NULL;

  if (above->n == 0 && !take_back(tree, at + 1, error))
    return FALSE;
  if (above->n == 0)
    return TRUE;
  memcpy(&block, above->values + (gsize)(above->n - 1) * sizeof block, sizeof block);
  if (build_read(tree->blocks, (guint32)GUINT64_FROM_LE(block), (guint8 *)data, &fault)) {
    above->n--;
    put_back(&tree->levels[at], (guint8 *)data);
  } else if (fault) {
    g_propagate_error(error, fault);
    return FALSE;
  }
  return TRUE;
}

static gboolean write_root(BuildTree *tree, guint at, guint32 *root, GError **error)
{
  BuildLevel *level = &tree->levels[at];
  guint64 child;

  if (at == 0 || level->n > 1)
    return write_node(tree, at, level->n, root, error);
  memcpy(&child, level->values, sizeof child);
  *root = (guint32)GUINT64_FROM_LE(child);
  level->n = 0;
  return TRUE;
}

gboolean build_tree_finish(BuildTree *tree, guint32 *root, GError **error)
{
  for (guint at = 0; at < THIN_BTREE_DEPTH_MAX; at++) {
    BuildLevel *level = &tree->levels[at];

    if (level->n > 0 && level->n < least(level) && has_above(tree, at) &&
        !take_back(tree, at, error))
      return FALSE;
    if (!has_above(tree, at) && level->n <= level->max)
      return write_root(tree, at, root, error);
    if (!empty_level(tree, at, error))
      return FALSE;
  }
  return vt_set_error(error, EINVAL, "more entries than a tree can have");
}
