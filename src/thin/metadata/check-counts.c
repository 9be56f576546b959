/* virt-thin - checking thin metadata: the space maps
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a map counts is compared with what was found. Counted more often than used is a leak: space
 * that nobody uses and nobody gets. The kernel leaves such chunks behind a crash. Counted less
 * often is an error: the next change may give out what is in use.
 *
 * As thin_check, it looks neither behind the last chunk or block, nor at the sums of an index entry
 * and of the metadata's root: thin_restore and thin_repair leave bits there, and count amiss. The
 * kernel searches by the bits.
 */
#include "config.h"
#include "thin/metadata/check-private.h"

guint32 check_mapped(Check *check, guint64 chunk)
{
  guint32 n = check->mapped[chunk];
  if (n == G_MAXUINT8)
    n += GPOINTER_TO_UINT(g_hash_table_lookup(check->mapped_more, GSIZE_TO_POINTER(chunk)));
  return n;
}

/* --- finding ------------------------------------------------------------------------ */

static void find_bitmap(Check *check, const char *map, CheckMap *found, guint64 region,
                        const ThinDiskIndexEntry *entry)
{
  g_autoptr(GError) fault = NULL;
  found->entries[region] = *entry;
  if (check_refer(check, GUINT64_FROM_LE(entry->blocknr), ROLE_BITMAP, &fault))
    return;
  check_error(check, "%s: the bitmap for %" G_GUINT64_FORMAT " and following: %s", map,
              region * THIN_BITMAP_SLOTS,
              fault ? fault->message : "its metadata block is another bitmap's, too");
  found->entries[region].blocknr = 0;
}

static void index_leaf(CheckTree *tree, const guint8 *data, guint n)
{
  CheckMap *found = tree->user_data;
  for (guint i = 0; i < n; i++) {
    ThinDiskIndexEntry entry;
    guint64 region = thin_node_key(data, i);
    memcpy(&entry, thin_node_value(data, i), sizeof entry);
    if (region >= found->n_regions)
      check_error(tree->check,
                  "%s: an entry for bitmap %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT, tree->name,
                  region, found->n_regions);
    else
      find_bitmap(tree->check, "data space map", found, region, &entry);
  }
}

static void find_data_map(Check *check, CheckMap *found)
{
  const ThinDiskSpaceMapRoot *root = &check->superblock.data_space_map.root;
  CheckTree index = {check,
                     ROLE_DATA_INDEX,
                     sizeof(ThinDiskIndexEntry),
                     "index of the data space map",
                     -1,
                     FALSE,
                     index_leaf,
                     found};
  CheckTree counts = {
      check, ROLE_DATA_COUNTS, sizeof(guint32), "data reference counts", -1, FALSE, NULL, NULL};
  guint64 n_found;

  found->n_regions =
      check->n_chunks / THIN_BITMAP_SLOTS + (check->n_chunks % THIN_BITMAP_SLOTS > 0);
  found->entries = g_new0(ThinDiskIndexEntry, found->n_regions);
  if (check_walk(&index, GUINT64_FROM_LE(root->bitmap_root), &n_found) &&
      n_found < found->n_regions)
    check_error(check,
                "index of the data space map: has %" G_GUINT64_FORMAT
                " bitmaps, not %" G_GUINT64_FORMAT,
                n_found, found->n_regions);
  found->counts_lost = !check_walk(&counts, GUINT64_FROM_LE(root->ref_count_root), NULL);
}

static void find_metadata_map(Check *check, CheckMap *found)
{
  const ThinDiskSpaceMapRoot *root = &check->superblock.metadata_space_map.root;
  CheckTree counts = {
      check, ROLE_METADATA_COUNTS, sizeof(guint32), "metadata reference counts", -1, FALSE, NULL,
      NULL};
  g_autoptr(GError) fault = NULL;
  g_autofree ThinDiskIndex *index = g_new0(ThinDiskIndex, 1);
  guint64 number = GUINT64_FROM_LE(root->bitmap_root);

  found->n_regions = (check->n_blocks + THIN_BITMAP_SLOTS - 1) / THIN_BITMAP_SLOTS;
  found->entries = g_new0(ThinDiskIndexEntry, found->n_regions);
  if (!check_refer(check, number, ROLE_INDEX, &fault) ||
      !thin_block_read(check->io, number, THIN_KIND_INDEX, (guint8 *)index, &fault))
    check_error(check, "metadata space map: %s", fault->message);
  else
    for (guint64 i = 0; i < found->n_regions; i++)
      find_bitmap(check, "metadata space map", found, i, &index->entries[i]);
  found->counts_lost = !check_walk(&counts, GUINT64_FROM_LE(root->ref_count_root), NULL);
}

void check_find_maps(Check *check, CheckMap *metadata, CheckMap *data)
{
  find_metadata_map(check, metadata);
  find_data_map(check, data);
}

/* --- comparing ---------------------------------------------------------------------- */

/* A comparison under way; what differs alike side by side is told together. */
typedef struct {
  Check *check;
  gboolean metadata;
  const char *what; /* "chunk", "metadata block" */
  ThinBtree tree;   /* of counts of 3 and more */
  guint64 tree_root;
  gboolean tree_lost;
  ThinLeaf leaf; /* of that tree, around where we are */
  guint64 n_allocated;
  guint64 begin, end; /* of the run that differs */
  guint32 counted, used;
} Compare;

static void note_leak(Compare *compare)
{
  CheckLeak leak = {compare->metadata, compare->begin, compare->end, compare->counted,
                    compare->used};

  if (compare->check->leaks)
    g_array_append_val(compare->check->leaks, leak);
}

static void end_run(Compare *compare)
{
  g_autofree char *range = NULL;
  if (compare->begin == compare->end)
    return;
  if (compare->end - compare->begin == 1)
    range = g_strdup_printf("%s %" G_GUINT64_FORMAT " is", compare->what, compare->begin);
  else
    range = g_strdup_printf("%ss %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT " are", compare->what,
                            compare->begin, compare->end - 1);
  if (compare->counted < compare->used)
    check_error(compare->check, "%s used %u times, but counted %u times", range, compare->used,
                compare->counted);
  else
    check_leak(compare->check, "%s counted %u times, but used %u times", range, compare->counted,
               compare->used);
  if (compare->counted > compare->used)
    note_leak(compare);
  compare->begin = compare->end = 0;
}

static void differs(Compare *compare, guint64 where, guint32 counted, guint32 used)
{
  if (counted > used && compare->check->mappings_lost)
    return; /* what is lost may have used it */
  if (compare->begin != compare->end &&
      (compare->end != where || compare->counted != counted || compare->used != used))
    end_run(compare);
  if (compare->begin == compare->end)
    compare->begin = where;
  compare->end = where + 1;
  compare->counted = counted;
  compare->used = used;
}

/* The count in the tree; 0: cannot be had, which was reported. */
static guint32 tree_count(Compare *compare, guint64 where)
{
  g_autoptr(GError) error = NULL;
  if (compare->tree_lost)
    return 0;
  if (!compare->leaf.block || where >= compare->leaf.upper) {
    thin_leaf_clear(&compare->leaf);
    if (!thin_btree_seek(&compare->tree, compare->tree_root, where, &compare->leaf, &error)) {
      check_error(compare->check, "%s", error->message);
      compare->tree_lost = TRUE;
      return 0;
    }
  }
  guint at = thin_node_lower_bound(compare->leaf.block->data, where);
  if (at < compare->leaf.n && thin_leaf_key(&compare->leaf, at) == where &&
      thin_leaf_u32(&compare->leaf, at) >= 3)
    return thin_leaf_u32(&compare->leaf, at);
  check_error(compare->check, "%s: no count of 3 or more for %s %" G_GUINT64_FORMAT,
              compare->tree.name, compare->what, where);
  return 0;
}

static guint32 used(Compare *compare, gboolean metadata, guint64 where)
{
  return metadata ? compare->check->references[where] : check_mapped(compare->check, where);
}

/* Are the 32 counts from slot @i on all 0, and rightly so? Most of a map is like that. */
static gboolean all_free(Compare *compare, gboolean metadata, const guint8 *bitmap, guint i,
                         guint64 first, guint n)
{
  static const guint32 zero[32];
  guint64 bits;
  memcpy(&bits, bitmap + sizeof(ThinDiskHeader) + i / 4, sizeof bits);
  if (bits || i + 32 > n)
    return FALSE;
  return metadata ? memcmp(compare->check->references + first + i, zero, sizeof zero) == 0
                  : memcmp(compare->check->mapped + first + i, zero, 32) == 0;
}

static void compare_slot(Compare *compare, gboolean metadata, guint64 where, guint32 counted)
{
  if (counted > 0 && compare->n_allocated != G_MAXUINT64)
    compare->n_allocated++;
  if (counted == 3 && !(counted = tree_count(compare, where)))
    return;
  if (counted != used(compare, metadata, where))
    differs(compare, where, counted, used(compare, metadata, where));
}

static void compare_region(Compare *compare, gboolean metadata, const ThinDiskIndexEntry *entry,
                           guint64 first, guint n)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  const guint8 *data = (const guint8 *)block;
  g_autoptr(GError) fault = NULL;

  if (!entry->blocknr)
    return; /* told already */
  check_progress(compare->check);
  if (!thin_block_read(compare->check->io, GUINT64_FROM_LE(entry->blocknr), THIN_KIND_BITMAP,
                       (guint8 *)block, &fault)) {
    check_error(compare->check,
                "space map: the counts of %ss %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                " are lost: %s",
                compare->what, first, first + n - 1, fault->message);
    compare->n_allocated = G_MAXUINT64;
    return;
  }
  for (guint i = 0; i < n; i++) {
    if (i % 32 == 0 && all_free(compare, metadata, data, i, first, n))
      i += 31;
    else
      compare_slot(compare, metadata, first + i, thin_bitmap_get(data, i));
  }
}

static void compare_map(Check *check, CheckMap *map, gboolean metadata, guint64 n,
                        const ThinDiskSpaceMapRoot *root, ThinTm *tm)
{
  Compare compare = {
      .check = check,
      .metadata = metadata,
      .what = metadata ? "metadata block" : "chunk",
      .tree_lost = map->counts_lost,
      .tree = {.tm = tm,
               .name = metadata ? "metadata reference counts" : "data reference counts",
               .value_size = sizeof(guint32)},
      .tree_root = GUINT64_FROM_LE(root->ref_count_root),
  };
  for (guint64 i = 0; i < map->n_regions; i++)
    compare_region(&compare, metadata, &map->entries[i], i * THIN_BITMAP_SLOTS,
                   (guint)MIN(THIN_BITMAP_SLOTS, n - i * THIN_BITMAP_SLOTS));
  end_run(&compare);
  thin_leaf_clear(&compare.leaf);
  if (!metadata)
    check->n_allocated = compare.n_allocated;
  if (!metadata && compare.n_allocated != G_MAXUINT64 && check->n_errors == 0 &&
      compare.n_allocated != GUINT64_FROM_LE(root->nr_allocated))
    check_leak(check,
               "superblock: says that %" G_GUINT64_FORMAT
               " %ss are in use, the space map has %" G_GUINT64_FORMAT,
               GUINT64_FROM_LE(root->nr_allocated), compare.what, compare.n_allocated);
}

void check_compare_maps(Check *check, CheckMap *metadata, CheckMap *data)
{
  ThinTm tm = {.cache = thin_cache_new(check->io, 0, check->n_blocks)};
  compare_map(check, metadata, TRUE, check->n_blocks, &check->superblock.metadata_space_map.root,
              &tm);
  compare_map(check, data, FALSE, check->n_chunks, &check->superblock.data_space_map.root, &tm);
  thin_cache_free(tm.cache);
}
