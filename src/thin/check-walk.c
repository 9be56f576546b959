/* virt-thin - checking thin metadata: walking trees
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each block is read once, however many trees share it; what was found beneath it is remembered, so that the walk is
 * linear in the metadata and not in the sum of all snapshots. A block is counted before it is looked at, so that a loop
 * ends at once.
 */
#include "config.h"
#include "thin/check-private.h"

static const char *role_name(Role role)
{
  static const char *const names[] = {
      "nothing",
      "node of the devices' tree",
      "node of a mapping tree",
      "node of the device details",
      "node of the data space map's index",
      "node of the data reference counts",
      "node of the metadata reference counts",
      "metadata index",
      "bitmap",
      "superblock of the metadata snapshot",
  };
  return names[role];
}

gboolean check_refer(Check *check, guint64 number, Role role, char **fault)
{
  if (number == 0 || number >= check->n_blocks) {
    *fault = g_strdup_printf("a %s is said to be in metadata block %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT,
                             role_name(role), number, check->n_blocks);
    return FALSE;
  }
  check->references[number]++;
  if (check->roles[number] == ROLE_NONE) {
    check->roles[number] = (guint8)role;
    return TRUE;
  }
  if (check->roles[number] != role)
    *fault = g_strdup_printf("metadata block %" G_GUINT64_FORMAT " is used both as a %s and as a %s", number,
                             role_name(check->roles[number]), role_name(role));
  return FALSE;
}

gboolean check_read(Check *check, guint64 number, ThinKind kind, guint8 *data, char **fault)
{
  g_autoptr(GError) error = NULL;
  if (vt_io_read(check->io, data, THIN_METADATA_BLOCK, number * THIN_METADATA_BLOCK, &error) &&
      thin_block_verify(data, number, kind, check->name, &error))
    return TRUE;
  *fault = g_strdup(error->message);
  return FALSE;
}

/* Say what @fault costs: the keys from @lower below @upper. */
static void report_lost(CheckTree *tree, guint64 lower, guint64 upper, const char *fault)
{
  const char *what = tree->role == ROLE_MAPPING                             ? "virtual chunks"
                     : tree->role == ROLE_TOP || tree->role == ROLE_DETAILS ? "devices"
                                                                            : "entries";
  g_autofree char *device =
      tree->device >= 0 ? g_strdup_printf("device %" G_GINT64_FORMAT ": ", tree->device) : g_strdup("");
  g_autofree char *end = upper == G_MAXUINT64 ? g_strdup("the end") : g_strdup_printf("%" G_GUINT64_FORMAT, upper - 1);

  check_error(tree->check, "%s%s%s: %s from %" G_GUINT64_FORMAT " to %s are lost: %s",
              tree->held ? "metadata snapshot: " : "", device, tree->name, what, lower, end, fault);
}

static const char *node_fault(CheckTree *tree, const guint8 *data, gboolean is_root)
{
  if (thin_node_is_leaf(data) && thin_node_value_size(data) != tree->value_size)
    return "has values of another kind of tree";
  if (thin_node_n(data) == 0 && !is_root)
    return "is empty";
  return NULL;
}

static gboolean walk(CheckTree *tree, guint64 number, guint64 lower, guint64 upper, guint depth, Subtree *found);

static gboolean walk_children(CheckTree *tree, const guint8 *data, guint64 upper, guint depth, Subtree *found)
{
  gboolean whole = TRUE;
  guint n = thin_node_n(data);
  for (guint i = 0; i < n; i++) {
    Subtree child;
    whole &= walk(tree, thin_node_child(data, i), thin_node_key(data, i),
                  i + 1 < n ? thin_node_key(data, i + 1) : upper, depth + 1, &child);
    found->n_entries += child.n_entries;
    found->last = MAX(found->last, child.last);
  }
  return whole;
}

/* Look into a block seen for the first time. */
static gboolean walk_new(CheckTree *tree, guint64 number, guint64 upper, guint depth, Subtree *found, char **fault)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  const guint8 *data = (const guint8 *)block;
  const char *wrong;
  guint n;

  if (!check_read(tree->check, number, THIN_KIND_NODE, (guint8 *)block, fault))
    return FALSE;
  if ((wrong = node_fault(tree, data, depth == 0)) ||
      (depth == THIN_BTREE_DEPTH_MAX && (wrong = "lies deeper than any tree is"))) {
    *fault = g_strdup_printf("metadata block %" G_GUINT64_FORMAT " %s", number, wrong);
    return FALSE;
  }
  n = thin_node_n(data);
  if (depth > 0 && n < thin_node_min(data))
    check_error(tree->check, "%s: metadata block %" G_GUINT64_FORMAT " has %u entries, fewer than the %u it must have",
                tree->name, number, n, thin_node_min(data));
  *found = (Subtree){n ? thin_node_key(data, 0) : 1, n ? thin_node_key(data, n - 1) : 0, 0};
  if (!thin_node_is_leaf(data))
    return walk_children(tree, data, upper, depth, found);
  found->n_entries = n;
  if (tree->leaf)
    tree->leaf(tree, data, n);
  return TRUE;
}

static gboolean walk(CheckTree *tree, guint64 number, guint64 lower, guint64 upper, guint depth, Subtree *found)
{
  Check *check = tree->check;
  g_autofree char *fault = NULL;
  gboolean whole = TRUE;

  *found = (Subtree){1, 0, 0};
  if (check_refer(check, number, tree->role, &fault)) {
    check->lost[number] = TRUE; /* until it is done: whoever comes by meanwhile is in a loop */
    whole = walk_new(tree, number, upper, depth, found, &fault);
    check->lost[number] = !whole;
    check->subtrees[number] = *found;
  } else if (!fault) {
    *found = check->subtrees[number];
    if (check->lost[number]) {
      whole = FALSE;
      fault = g_strdup_printf("metadata block %" G_GUINT64_FORMAT " is damaged, as said above", number);
    }
  }
  if (!fault && found->first <= found->last && (found->first < lower || found->last >= upper))
    fault = g_strdup_printf("metadata block %" G_GUINT64_FORMAT " has keys from %" G_GUINT64_FORMAT
                            " to %" G_GUINT64_FORMAT ", outside of the range its parent gives it",
                            number, found->first, found->last);
  if (fault) {
    report_lost(tree, lower, upper, fault);
    check->mappings_lost = TRUE;
    whole = FALSE;
  }
  return whole;
}

gboolean check_walk(CheckTree *tree, guint64 root, guint64 *n_entries)
{
  Subtree found;
  gboolean whole = walk(tree, root, 0, G_MAXUINT64, 0, &found);
  if (n_entries)
    *n_entries = found.n_entries;
  return whole;
}
