/* virt-thin - metadata made anew: both space maps
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Every count is known before the first bitmap is written: chunks are mapped by nodes alone, and of
 * metadata blocks only nodes of maps are referred to more than once. So what the maps themselves
 * take, each referred to once, changes nothing that they say of others.
 */
#include "config.h"
#include "thin/rebuild/build-private.h"

#define COUNT_IN_TREE 3u

/* --- nodes without a parent --------------------------------------------------------- */

static void give_up(ThinBuild *build, const guint8 *node)
{
  for (guint i = 0; i < thin_node_n(node); i++) {
    guint64 value = thin_node_child(node, i);

    if (thin_node_is_leaf(node))
      build_counts_dec(&build->counts, THIN_MAPPING_CHUNK(value));
    else
      --*build_references(&build->blocks, value);
  }
}

/* A node comes after its children: going down, each is met when all its parents have been. */
gboolean build_drop_unused(ThinBuild *build, GError **error)
{
  guint64 data[THIN_METADATA_BLOCK / 8];

  for (guint32 block = build->blocks.next - 1; block > 0; block--) {
    GError *fault = NULL;

    if (*build_references(&build->blocks, block))
      continue;
    if (build_read(&build->blocks, block, (guint8 *)data, &fault))
      give_up(build, (const guint8 *)data);
    if (fault) {
      g_propagate_error(error, fault);
      return FALSE;
    }
  }
  return TRUE;
}

/* --- bitmaps ------------------------------------------------------------------------ */

/* What one bitmap says. */
typedef struct {
  guint64 block[THIN_METADATA_BLOCK / 8];
  guint n_used, none_free_before;
} Bitmap;

static void bitmap_set(Bitmap *bitmap, guint slot, guint32 count)
{
  if (count == 0)
    return;
  bitmap->n_used++;
  if (bitmap->none_free_before == slot)
    bitmap->none_free_before++;
  thin_bitmap_set((guint8 *)bitmap->block, slot, MIN(count, COUNT_IN_TREE));
}

static ThinDiskIndexEntry bitmap_entry(const Bitmap *bitmap, guint32 block)
{
  return (ThinDiskIndexEntry){GUINT64_TO_LE(block),
                              GUINT32_TO_LE(THIN_BITMAP_SLOTS - bitmap->n_used),
                              GUINT32_TO_LE(bitmap->none_free_before)};
}

static gboolean count_in_tree(BuildTree *tree, guint64 key, guint32 count, GError **error)
{
  guint32 value = GUINT32_TO_LE(count);

  return count < COUNT_IN_TREE || build_tree_append(tree, key, &value, error);
}

static void fill_root(ThinDiskSpaceMapRoot *root, guint64 n, guint64 n_allocated,
                      guint64 bitmap_root, guint64 ref_count_root)
{
  *root = (ThinDiskSpaceMapRoot){GUINT64_TO_LE(n), GUINT64_TO_LE(n_allocated),
                                 GUINT64_TO_LE(bitmap_root), GUINT64_TO_LE(ref_count_root)};
}

/* --- chunks ------------------------------------------------------------------------- */

typedef struct {
  BuildTree index, counts;
  guint64 n_allocated;
} DataMap;

static gboolean write_region(ThinBuild *build, DataMap *map, guint64 number, GError **error)
{
  const BuildRegion *region = &build->counts.regions[number];
  Bitmap bitmap = {0};
  ThinDiskIndexEntry entry;
  guint32 block;

  for (guint i = 0; (region->small || region->large) && i < THIN_BITMAP_SLOTS; i++) {
    guint32 count = build_region_count(region, i);

    bitmap_set(&bitmap, i, count);
    if (!count_in_tree(&map->counts, number * THIN_BITMAP_SLOTS + i, count, error))
      return FALSE;
  }
  if (!build_put(&build->blocks, (guint8 *)bitmap.block, THIN_KIND_BITMAP, &block, error))
    return FALSE;
  *build_references(&build->blocks, block) = 1;
  map->n_allocated += bitmap.n_used;
  entry = bitmap_entry(&bitmap, block);
  return build_tree_append(&map->index, number, &entry, error);
}

static gboolean write_data_map(ThinBuild *build, DataMap *map, ThinDiskSpaceMapRoot *root,
                               GError **error)
{
  guint32 index, counts;

  for (guint64 i = 0; i < build->counts.n_regions; i++)
    if (!write_region(build, map, i, error))
      return FALSE;
  if (!build_tree_finish(&map->index, &index, error) ||
      !build_tree_finish(&map->counts, &counts, error))
    return FALSE;
  *build_references(&build->blocks, index) = *build_references(&build->blocks, counts) = 1;
  fill_root(root, build->counts.n_chunks, map->n_allocated, index, counts);
  return TRUE;
}

gboolean build_data_map(ThinBuild *build, ThinDiskSpaceMapRoot *root, GError **error)
{
  DataMap map = {0};
  gboolean ok;

  build_tree_init(&map.index, &build->blocks, sizeof(ThinDiskIndexEntry));
  build_tree_init(&map.counts, &build->blocks, sizeof(guint32));
  ok = write_data_map(build, &map, root, error);
  build_tree_clear(&map.index);
  build_tree_clear(&map.counts);
  return ok;
}

/* --- metadata blocks ---------------------------------------------------------------- */

static gboolean write_counts(BuildBlocks *blocks, guint32 *root, GError **error)
{
  guint32 end = blocks->next;
  BuildTree tree = {0};
  gboolean ok = TRUE;

  build_tree_init(&tree, blocks, sizeof(guint32));
  for (guint32 i = 1; ok && i < end; i++)
    ok = count_in_tree(&tree, i, *build_references(blocks, i), error);
  ok = ok && build_tree_finish(&tree, root, error);
  build_tree_clear(&tree);
  if (ok)
    *build_references(blocks, *root) = 1;
  return ok;
}

/* The bitmap of region @number; @end is where the last of the metadata's own blocks will end. */
static guint fill_bitmap(BuildBlocks *blocks, guint64 number, guint64 end, Bitmap *bitmap)
{
  guint64 first = number * THIN_BITMAP_SLOTS;

  for (guint i = 0; i < THIN_BITMAP_SLOTS && first + i < MIN(end, blocks->n_blocks); i++)
    bitmap_set(bitmap, i,
               first + i < blocks->references->len ? *build_references(blocks, first + i) : 1);
  return bitmap->n_used;
}

/* Bitmaps and the index block come last, one after the other. */
gboolean build_metadata_map(ThinBuild *build, ThinDiskSpaceMapRoot *root, GError **error)
{
  BuildBlocks *blocks = &build->blocks;
  guint64 n_regions = (blocks->n_blocks + THIN_BITMAP_SLOTS - 1) / THIN_BITMAP_SLOTS, end,
          n_allocated = 0;
  g_autofree ThinDiskIndex *index = g_new0(ThinDiskIndex, 1);
  guint32 counts, block;

  if (!write_counts(blocks, &counts, error))
    return FALSE;
  end = blocks->next + n_regions + 1;
  for (guint64 i = 0; i < n_regions; i++) {
    Bitmap bitmap = {0};

    n_allocated += fill_bitmap(blocks, i, end, &bitmap);
    if (!build_put(blocks, (guint8 *)bitmap.block, THIN_KIND_BITMAP, &block, error))
      return FALSE;
    *build_references(blocks, block) = 1;
    index->entries[i] = bitmap_entry(&bitmap, block);
  }
  if (!build_put(blocks, (guint8 *)index, THIN_KIND_INDEX, &block, error))
    return FALSE;
  *build_references(blocks, block) = 1;
  fill_root(root, blocks->n_blocks, n_allocated, block, counts);
  return TRUE;
}
