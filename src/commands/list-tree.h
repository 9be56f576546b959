/* virt-thin - list on a terminal: a tree of origins for each thin pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a program reads from a pipe is the plain table of list.c. Main thread only.
 */
#pragma once

#include "pool/pool.h"
#include "util/block-users.h"

typedef struct ListTree ListTree;
ListTree *list_tree_new(void);
/* The volumes of @group (of @thin_pool; NULL: of all), with what is asked for each while it is
 * open: what it has alone, and who uses it. @volumes stay the caller's, until the end of the tree.
 * What cannot be told shows as "-". */
void list_tree_add(ListTree *tree, VolumeGroup *group, const char *thin_pool, GPtrArray *volumes);
void list_tree_print(ListTree *tree);
void list_tree_free(ListTree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ListTree, list_tree_free)
