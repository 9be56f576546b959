/* virt-thin - from disks to snapshots: what is on what
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Units: bytes. Thread-safety: main thread only.
 */
#pragma once

#include "pool/pool.h"

typedef struct TreeNode TreeNode;
struct TreeNode {
  char *name;
  char *kind;       /* "disk", "volume group", "thin pool", "snapshot"...; of a thin volume NULL */
  char *note;       /* what else is to be said of it; NULL */
  guint64 size;     /* 0: not known */
  guint64 used;     /* G_MAXUINT64: not known, or nothing to say */
  char *user;       /* who has it open, or serves it; NULL: nobody that is known */
  char *fault;      /* what is wrong; NULL: nothing that is known */
  GPtrArray *above; /* of TreeNode: what is on it */
  guint n_below;    /* so many have it among theirs */
  guint visits;     /* of who prints */
  guint level;      /* of who draws: the longest way from what is on nothing */
};

/* All nodes; those with n_below 0 are on nothing. */
typedef struct TreeNodes TreeNodes;
TreeNodes *tree_nodes_new(void);
void tree_nodes_free(TreeNodes *nodes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TreeNodes, tree_nodes_free)
/* What @group is made of, and what is in it. */
gboolean tree_nodes_add(TreeNodes *nodes, VolumeGroup *group, GError **error);
/* Of TreeNode, the nodes' own, in the order in which they were found. */
GPtrArray *tree_nodes_all(const TreeNodes *nodes);
