/* virt-thin - metadata made anew: what its files share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "thin/format/block.h"
#include "thin/format/btree-node.h"
#include "thin/rebuild/build.h"

/* --- blocks (build-blocks.c) --- */

/* Blocks that metadata can have at most; where whatever goes in is tried out, as many as are soon
 * written. */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
#define BUILD_BLOCKS_MAX 1000u
#else
#define BUILD_BLOCKS_MAX THIN_METADATA_BLOCKS_MAX
#endif

#define BUILD_BUFFER 256u /* blocks that are written at a time */

/* A node that was written, to be found again. */
typedef struct {
  guint64 digest;
  guint32 block; /* 0: none */
} BuildNode;

/* The new metadata's blocks, given out from the first on. Those beyond the end of the device are
 * counted, and go nowhere. */
typedef struct {
  VtIo *to;           /* NULL: a dry run */
  guint64 n_blocks;   /* of the device */
  guint32 next;       /* to be given out */
  guint32 first;      /* in the buffer */
  gboolean begun;     /* the old superblock is gone */
  guint8 *buffer;     /* blocks [first, next) */
  GArray *references; /* guint32 for each block that was given out */
  BuildNode *nodes;   /* a hash table, open addressing */
  guint64 n_nodes, n_places;
} BuildBlocks;

void build_blocks_init(BuildBlocks *blocks, VtIo *to);
void build_blocks_clear(BuildBlocks *blocks);
gboolean build_set_no_room(GError **error); /* the format has no more. FALSE */
/* Seal and write @data as a new block. */
gboolean build_put(BuildBlocks *blocks, guint8 *data, ThinKind kind, guint32 *block,
                   GError **error);
/* The block of a node with the content of @data (its header aside), 0 if there is none; @digest
 * for build_remember(). */
gboolean build_find(BuildBlocks *blocks, const guint8 *data, guint64 *digest, guint32 *block,
                    GError **error);
void build_remember(BuildBlocks *blocks, guint64 digest, guint32 block);
/* FALSE without an error: it was beyond the end, and is nowhere. */
gboolean build_read(BuildBlocks *blocks, guint32 block, guint8 *data, GError **error);
gboolean build_write_out(BuildBlocks *blocks, GError **error);

static inline guint32 *build_references(BuildBlocks *blocks, guint64 block)
{
  return &g_array_index(blocks->references, guint32, block);
}

/* Is there a block that is nowhere? */
static inline gboolean build_is_short(const BuildBlocks *blocks)
{
  return blocks->next > blocks->n_blocks;
}

/* --- counts of chunks (build-counts.c) --- */

typedef struct {
  guint8 *small;  /* one for each of THIN_BITMAP_SLOTS chunks; NULL: all 0 */
  guint32 *large; /* instead, where one is too large */
} BuildRegion;

typedef struct {
  guint64 n_chunks, n_regions;
  BuildRegion *regions;
} BuildCounts;

gboolean build_counts_init(BuildCounts *counts, guint64 n_chunks, GError **error);
void build_counts_clear(BuildCounts *counts);
void build_counts_inc(BuildCounts *counts, guint64 chunk);
void build_counts_dec(BuildCounts *counts, guint64 chunk);

static inline guint32 build_region_count(const BuildRegion *region, guint slot)
{
  if (region->large)
    return region->large[slot];
  return region->small ? region->small[slot] : 0;
}

/* --- a tree (build-tree.c) --- */

typedef struct {
  guint64 *keys;
  guint8 *values;
  guint n, max, value_size;
} BuildLevel;

/* A tree that is written from its first key to its last. levels[0] has the entries for which there
 * is no leaf yet, levels[i] the nodes of level i - 1 (leaves: 0) for which there is no node. */
typedef struct {
  BuildBlocks *blocks;
  guint value_size;
  gboolean shares; /* nodes that are equal to one of another such tree are that */
  void (*leaf)(gpointer data, const guint8 *node); /* was written. May be NULL */
  gpointer data;
  BuildLevel levels[THIN_BTREE_DEPTH_MAX];
} BuildTree;

void build_tree_init(BuildTree *tree, BuildBlocks *blocks, guint value_size);
void build_tree_clear(BuildTree *tree);
gboolean build_tree_append(BuildTree *tree, guint64 key, gconstpointer value, GError **error);
/* Write @node, filled but for its header's number and checksum, or find it written. */
gboolean build_tree_put(BuildTree *tree, guint8 *node, guint32 *block, GError **error);
/* Can a whole subtree of @level be appended as it is? */
gboolean build_tree_can_graft(const BuildTree *tree, guint level);
gboolean build_tree_graft(BuildTree *tree, guint level, guint64 key, guint32 block, GError **error);
/* Write the rest. The tree is empty again. */
gboolean build_tree_finish(BuildTree *tree, guint32 *root, GError **error);

/* --- all (build.c) --- */

struct ThinBuild {
  ThinPoolFacts facts;
  BuildBlocks blocks;
  BuildCounts counts;
  BuildTree map, top, details;
  guint n_devices;
  gboolean has_device; /* one is under way */
  ThinDevice device;   /* that; mapped in chunks */
  guint64 next_key;    /* virtual chunk that its next mapping may begin at */
  guint32 root;        /* of its map, where that is written already; else 0 */
};

/* --- space maps (build-space.c) --- */

/* Nodes that nobody refers to give up what they refer to. */
gboolean build_drop_unused(ThinBuild *build, GError **error);
gboolean build_data_map(ThinBuild *build, ThinDiskSpaceMapRoot *root, GError **error);
gboolean build_metadata_map(ThinBuild *build, ThinDiskSpaceMapRoot *root, GError **error);
