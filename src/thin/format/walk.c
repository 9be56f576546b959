/* virt-thin - walking through a B-tree, in the order of its keys
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin/format/walk.h"

static gboolean set_fault(ThinWalk *walk, guint64 number, const char *what, GError **fault)
{
  return vt_set_error(fault, EBADMSG, "%s: metadata block %" G_GUINT64_FORMAT " %s",
                      vt_io_name(walk->io), number, what);
}

static gboolean refer(ThinWalk *walk, guint64 number, GError **fault)
{
  if (walk->refer && !walk->refer(walk, number, fault))
    return FALSE;
  return (number > 0 && number < walk->n_blocks) ||
         set_fault(walk, number, "cannot hold a node: it is the superblock, or beyond the end",
                   fault);
}

/* Look into a node; not yet beneath it. */
static gboolean look(ThinWalk *walk, guint64 number, guint depth, guint8 *data, ThinSubtree *found,
                     GError **fault)
{
  const char *wrong;
  guint n;

  if (depth == THIN_BTREE_DEPTH_MAX)
    return set_fault(walk, number, "lies deeper than any tree is", fault);
  if (!thin_block_read(walk->io, number, THIN_KIND_NODE, data, fault))
    return FALSE;
  if ((wrong = thin_node_fault(data, walk->value_size, depth == 0)))
    return set_fault(walk, number, wrong, fault);
  if (walk->node)
    walk->node(walk, number, data, depth == 0);
  n = thin_node_n(data);
  *found = (ThinSubtree){n ? thin_node_key(data, 0) : 1, n ? thin_node_key(data, n - 1) : 0, 0,
                         THIN_SUBTREE_WHOLE};
  return TRUE;
}

/* What is known of a node that was seen before. */
static gboolean recall(ThinWalk *walk, guint64 number, const ThinSubtree *seen, ThinSubtree *found,
                       GError **fault)
{
  *found = *seen;
  if (seen->state == THIN_SUBTREE_UNDER_WAY)
    return set_fault(walk, number, "leads back to itself", fault);
  return seen->state == THIN_SUBTREE_WHOLE ||
         set_fault(walk, number, "is damaged, as said above", fault);
}

static void check_range(ThinWalk *walk, guint64 number, const ThinSubtree *found, guint64 lower,
                        guint64 upper, GError **fault)
{
  if (found->first <= found->last && (found->first < lower || found->last >= upper))
    vt_set_error(fault, EBADMSG,
                 "%s: metadata block %" G_GUINT64_FORMAT " has keys from %" G_GUINT64_FORMAT
                 " to %" G_GUINT64_FORMAT ", outside of the range its parent gives it",
                 vt_io_name(walk->io), number, found->first, found->last);
}

static gboolean walk_node(ThinWalk *walk, guint64 number, guint64 lower, guint64 upper, guint depth,
                          ThinSubtree *found, GError **error);

static gboolean walk_leaf(ThinWalk *walk, const guint8 *data, ThinSubtree *found, GError **error)
{
  guint begin = thin_node_lower_bound(data, walk->begin),
        end = thin_node_lower_bound(data, walk->end);

  found->n_entries = end - begin;
  for (guint i = begin; walk->entry && i < end; i++)
    if (!walk->entry(walk, thin_node_key(data, i), thin_node_value(data, i), error))
      return FALSE;
  return TRUE;
}

static gboolean walk_children(ThinWalk *walk, const guint8 *data, guint64 upper, guint depth,
                              ThinSubtree *found, GError **error)
{
  guint n = thin_node_n(data), end = thin_node_lower_bound(data, walk->end);

  for (guint i = thin_node_child_for(data, walk->begin); i < end; i++) {
    ThinSubtree child;

    if (!walk_node(walk, thin_node_child(data, i), thin_node_key(data, i),
                   i + 1 < n ? thin_node_key(data, i + 1) : upper, depth + 1, &child, error))
      return FALSE;
    found->n_entries += child.n_entries;
    found->last = MAX(found->last, child.last);
    if (child.state != THIN_SUBTREE_WHOLE)
      found->state = THIN_SUBTREE_LOST;
  }
  return TRUE;
}

static gboolean descend(ThinWalk *walk, const guint8 *data, guint64 upper, guint depth,
                        ThinSubtree *found, GError **error)
{
  return thin_node_is_leaf(data) ? walk_leaf(walk, data, found, error)
                                 : walk_children(walk, data, upper, depth, found, error);
}

/* The keys [lower, upper) are lost by @fault, which is taken. Does the walk go on? */
static gboolean lose(ThinWalk *walk, guint64 lower, guint64 upper, GError *fault, GError **error)
{
  if (!walk->lost) {
    g_propagate_error(error, fault);
    return FALSE;
  }
  walk->lost(walk, lower, upper, fault);
  g_error_free(fault);
  return TRUE;
}

/* A node that does not keep within its range is lost to this parent; to another one who shares it,
 * it may be right. So it is walked where that is remembered; else it could be met any number of
 * times, each time to be lost. */
static gboolean walk_node(ThinWalk *walk, guint64 number, guint64 lower, guint64 upper, guint depth,
                          ThinSubtree *found, GError **error)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  guint8 *data = (guint8 *)block;
  ThinSubtree forgotten = {0}, *seen = &forgotten;
  gboolean is_new, usable;
  GError *fault = NULL;

  *found = (ThinSubtree){1, 0, 0, THIN_SUBTREE_LOST};
  if (!refer(walk, number, &fault))
    return lose(walk, lower, upper, fault, error);
  if (walk->seen)
    seen = &walk->seen[number];
  is_new = seen->state == THIN_SUBTREE_UNSEEN;
  if (is_new)
    seen->state = THIN_SUBTREE_UNDER_WAY;
  usable = is_new ? look(walk, number, depth, data, found, &fault)
                  : recall(walk, number, seen, found, &fault);
  if (usable)
    check_range(walk, number, found, lower, upper, &fault);
  if (fault && !lose(walk, lower, upper, fault, error))
    return FALSE;
  if (is_new && usable && (!fault || walk->seen) &&
      !descend(walk, data, upper, depth, found, error))
    return FALSE;
  if (is_new)
    *seen = *found;
  if (fault)
    found->state = THIN_SUBTREE_LOST;
  return TRUE;
}

gboolean thin_walk(ThinWalk *walk, guint64 root, ThinSubtree *found, GError **error)
{
  ThinSubtree none;

  return walk_node(walk, root, 0, G_MAXUINT64, 0, found ? found : &none, error);
}
