/* virt-thin - checking thin metadata: walking trees
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each block is read once, however many trees share it; what was found beneath it is remembered, so
 * that the walk is linear in the metadata and not in the sum of all snapshots. A block is counted
 * before it is looked at, so that a loop ends at once.
 */
#include "config.h"
#include "thin/metadata/check-private.h"

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

gboolean check_refer(Check *check, guint64 number, Role role, GError **fault)
{
  if (number == 0 || number >= check->n_blocks)
    return vt_set_error(fault, EBADMSG,
                        "a %s is said to be in metadata block %" G_GUINT64_FORMAT
                        " of %" G_GUINT64_FORMAT,
                        role_name(role), number, check->n_blocks);
  check->references[number]++;
  if (check->roles[number] == ROLE_NONE) {
    check->roles[number] = (guint8)role;
    return TRUE;
  }
  if (check->roles[number] != role)
    vt_set_error(fault, EBADMSG,
                 "metadata block %" G_GUINT64_FORMAT " is used both as a %s and as a %s", number,
                 role_name(check->roles[number]), role_name(role));
  return FALSE;
}

static gboolean refer(ThinWalk *walk, guint64 number, GError **fault)
{
  CheckTree *tree = walk->data;

  return check_refer(tree->check, number, tree->role, fault) || !*fault;
}

static void look(ThinWalk *walk, guint64 number, const guint8 *data, gboolean is_root)
{
  CheckTree *tree = walk->data;
  guint n = thin_node_n(data), min = thin_node_min(data);

  check_progress(tree->check);
  if (!is_root && n < min)
    check_error(tree->check,
                "%s: metadata block %" G_GUINT64_FORMAT
                " has %u entries, fewer than the %u it must have",
                tree->name, number, n, min);
  if (tree->leaf && thin_node_is_leaf(data))
    tree->leaf(tree, data, n);
}

/* Say what @fault costs: the keys from @lower below @upper. */
static void report_lost(ThinWalk *walk, guint64 lower, guint64 upper, const GError *fault)
{
  CheckTree *tree = walk->data;
  const char *what = tree->role == ROLE_MAPPING                             ? "virtual chunks"
                     : tree->role == ROLE_TOP || tree->role == ROLE_DETAILS ? "devices"
                                                                            : "entries";
  g_autofree char *device = tree->device >= 0
                                ? g_strdup_printf("device %" G_GINT64_FORMAT ": ", tree->device)
                                : g_strdup("");
  g_autofree char *end =
      upper == G_MAXUINT64 ? g_strdup("the end") : g_strdup_printf("%" G_GUINT64_FORMAT, upper - 1);

  check_error(tree->check, "%s%s%s: %s from %" G_GUINT64_FORMAT " to %s are lost: %s",
              tree->held ? "metadata snapshot: " : "", device, tree->name, what, lower, end,
              fault->message);
  tree->check->mappings_lost = TRUE;
}

gboolean check_walk(CheckTree *tree, guint64 root, guint64 *n_entries)
{
  ThinWalk walk = {.io = tree->check->io,
                   .n_blocks = tree->check->n_blocks,
                   .value_size = tree->value_size,
                   .end = G_MAXUINT64,
                   .seen = tree->check->subtrees,
                   .data = tree,
                   .refer = refer,
                   .node = look,
                   .lost = report_lost};
  ThinSubtree found;

  thin_walk(&walk, root, &found, NULL);
  if (n_entries)
    *n_entries = found.n_entries;
  return found.state == THIN_SUBTREE_WHOLE;
}
