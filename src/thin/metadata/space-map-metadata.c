/* virt-thin - the metadata space map: how often each metadata block is referred to
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The map's own bitmaps, index block and reference count tree live in the blocks it counts, so that
 * writing the map changes the map. The kernel queues such changes while it recurses
 * (dm-space-map-metadata.c); here counts are in core and change freely, and the commit goes round
 * until it settles: give each bitmap whose counts changed a new block and free the old one, which
 * may change counts under further bitmaps, and so on. There are at most 255 bitmaps and each moves
 * once, so it ends. Only then are the bitmaps filled.
 */
#include "config.h"
#include "thin/metadata/space-map-metadata.h"

#include "thin/metadata/btree.h"
#include "thin/metadata/transaction.h"

#define COUNT_IN_TREE 3u

struct ThinMetadataMap {
  guint64 n_blocks;
  guint64 n_allocated; /* count > 0 */
  guint64 n_busy;
  guint64 n_backed; /* blocks below can be given out; every busy one is */
  guint64 cursor;   /* no usable block below */
  guint32 *counts;
  guint64 *committed; /* bit per block: used by the last commit */
  guint64 *busy;      /* bit per block: used by the last commit or now */
  guint64 *fell;      /* bit per block: lost a reference in this transaction, and has others */
  guint64 *in_tree;   /* bit per block: its entry in the reference count tree is to be brought up to
                         date */
  guint n_regions;    /* parts of THIN_BITMAP_SLOTS blocks */
  guint64 index_block, ref_count_root;
  guint64 bitmap[THIN_INDEX_MAX];
  gboolean dirty[THIN_INDEX_MAX];
  gboolean tree_dirty[THIN_INDEX_MAX];
};

#define WORDS(n_bits) (((n_bits) + 63) / 64)

static inline gboolean get_bit(const guint64 *bits, guint64 i)
{
  return bits[i / 64] >> (i % 64) & 1;
}

static inline void set_bit(guint64 *bits, guint64 i)
{
  bits[i / 64] |= G_GUINT64_CONSTANT(1) << (i % 64);
}

static inline void clear_bit(guint64 *bits, guint64 i)
{
  bits[i / 64] &= ~(G_GUINT64_CONSTANT(1) << (i % 64));
}

ThinMetadataMap *thin_metadata_map_new(guint64 n_blocks)
{
  ThinMetadataMap *map = g_new0(ThinMetadataMap, 1);
  thin_metadata_map_grow(map, n_blocks);
  return map;
}

void thin_metadata_map_free(ThinMetadataMap *map)
{
  if (!map)
    return;
  g_free(map->counts);
  g_free(map->committed);
  g_free(map->busy);
  g_free(map->fell);
  g_free(map->in_tree);
  g_free(map);
}

static gpointer grow_array(gpointer old, gsize old_bytes, gsize new_bytes)
{
  guint8 *array = g_realloc(old, new_bytes);
  memset(array + old_bytes, 0, new_bytes - old_bytes);
  return array;
}

void thin_metadata_map_grow(ThinMetadataMap *map, guint64 n_blocks)
{
  guint64 old = map->n_blocks;
  g_return_if_fail(n_blocks >= old && n_blocks <= THIN_METADATA_BLOCKS_MAX);

  map->counts = grow_array(map->counts, old * sizeof(guint32), n_blocks * sizeof(guint32));
  map->committed = grow_array(map->committed, WORDS(old) * 8, WORDS(n_blocks) * 8);
  map->busy = grow_array(map->busy, WORDS(old) * 8, WORDS(n_blocks) * 8);
  map->fell = grow_array(map->fell, WORDS(old) * 8, WORDS(n_blocks) * 8);
  map->in_tree = grow_array(map->in_tree, WORDS(old) * 8, WORDS(n_blocks) * 8);
  map->n_blocks = n_blocks;
  guint n_regions = (guint)((n_blocks + THIN_BITMAP_SLOTS - 1) / THIN_BITMAP_SLOTS);
  for (; map->n_regions < n_regions; map->n_regions++)
    map->dirty[map->n_regions] = TRUE; /* has no bitmap yet */
}

guint64 thin_metadata_map_n_blocks(ThinMetadataMap *map)
{
  return map->n_blocks;
}

guint64 thin_metadata_map_n_allocated(ThinMetadataMap *map)
{
  return map->n_allocated;
}

guint64 thin_metadata_map_n_usable(ThinMetadataMap *map)
{
  return map->n_backed - map->n_busy;
}

guint64 thin_metadata_map_n_freed(ThinMetadataMap *map)
{
  return map->n_busy - map->n_allocated;
}

guint64 thin_metadata_map_n_backed(ThinMetadataMap *map)
{
  return map->n_backed;
}

void thin_metadata_map_set_backed(ThinMetadataMap *map, guint64 n_backed)
{
  g_return_if_fail(n_backed >= map->n_backed && n_backed <= map->n_blocks);
  map->n_backed = n_backed;
}

guint64 thin_metadata_map_reserve(ThinMetadataMap *map)
{
  return thin_metadata_reserve(map->n_blocks);
}

/* --- counting ----------------------------------------------------------------------- */

guint32 thin_metadata_map_count(ThinMetadataMap *map, guint64 block)
{
  return block < map->n_blocks ? map->counts[block] : 0;
}

gboolean thin_metadata_map_is_new(ThinMetadataMap *map, guint64 block)
{
  return block < map->n_blocks && !get_bit(map->committed, block);
}

gboolean thin_metadata_map_fell(ThinMetadataMap *map, guint64 block)
{
  return block < map->n_blocks && get_bit(map->fell, block);
}

void thin_metadata_map_mark_fell(ThinMetadataMap *map, guint64 block)
{
  if (block >= map->n_blocks)
    return;
  set_bit(map->fell, block);
  map->dirty[block / THIN_BITMAP_SLOTS] = TRUE; /* so that settle() comes by */
}

static void set_count(ThinMetadataMap *map, guint64 block, guint32 count)
{
  guint32 old = map->counts[block];
  guint region = (guint)(block / THIN_BITMAP_SLOTS);

  map->counts[block] = count;
  map->dirty[region] = TRUE;
  if (MAX(old, count) >= COUNT_IN_TREE) {
    set_bit(map->in_tree, block);
    map->tree_dirty[region] = TRUE;
  }
  if (old == 0) {
    map->n_allocated++;
    if (!get_bit(map->busy, block))
      map->n_busy++;
    set_bit(map->busy, block);
  } else if (count == 0) {
    map->n_allocated--;
    if (!get_bit(map->committed, block)) { /* never seen by anyone: usable again at once */
      clear_bit(map->busy, block);
      map->n_busy--;
      map->cursor = MIN(map->cursor, block);
    }
  }
}

gboolean thin_metadata_map_inc(ThinMetadataMap *map, guint64 block, GError **error)
{
  if (block >= map->n_blocks)
    return vt_set_error(error, EBADMSG,
                        "a reference leads to metadata block %" G_GUINT64_FORMAT
                        " of %" G_GUINT64_FORMAT,
                        block, map->n_blocks);
  if (map->counts[block] == G_MAXUINT32)
    return vt_set_error(error, EBADMSG, "metadata block %" G_GUINT64_FORMAT " is counted too often",
                        block);
  set_count(map, block, map->counts[block] + 1);
  return TRUE;
}

gboolean thin_metadata_map_dec(ThinMetadataMap *map, guint64 block, guint32 *left, GError **error)
{
  if (block == 0 || thin_metadata_map_count(map, block) == 0)
    return vt_set_error(error, EBADMSG,
                        "metadata block %" G_GUINT64_FORMAT
                        " is in use, but the space map counts it as free",
                        block);
  set_count(map, block, map->counts[block] - 1);
  if (map->counts[block])
    set_bit(map->fell, block);
  if (left)
    *left = map->counts[block];
  return TRUE;
}

void thin_metadata_map_correct(ThinMetadataMap *map, guint64 block, guint32 count)
{
  g_return_if_fail(block < map->n_blocks && count < map->counts[block]);
  set_count(map, block, count);
}

gboolean thin_metadata_map_alloc(ThinMetadataMap *map, guint64 *block, GError **error)
{
  for (guint64 word = map->cursor / 64; word < WORDS(map->n_backed); word++) {
    if (map->busy[word] == G_MAXUINT64)
      continue;
    guint64 found = word * 64 + (guint64)__builtin_ctzll(~map->busy[word]);
    if (found >= map->n_backed)
      break;
    map->cursor = found + 1;
    set_count(map, found, 1);
    *block = found;
    return TRUE;
  }
  return vt_set_error(error, ENOSPC,
                      "no free metadata block: of %" G_GUINT64_FORMAT
                      " there is room on disk for %" G_GUINT64_FORMAT
                      ", and all of those are in use; make room, or extend the pool's metadata",
                      map->n_blocks, map->n_backed);
}

/* --- reading ------------------------------------------------------------------------ */

static ThinBtree ref_count_tree(struct ThinTm *tm)
{
  return (ThinBtree){.tm = tm, .name = "metadata reference counts", .value_size = sizeof(guint32)};
}

static gboolean load_region(ThinMetadataMap *map, ThinTm *tm, guint region, GError **error)
{
  g_autoptr(ThinBlock) block =
      thin_cache_get(tm->cache, map->bitmap[region], THIN_KIND_BITMAP, error);
  if (!block)
    return FALSE;
  guint64 first = (guint64)region * THIN_BITMAP_SLOTS;
  guint n = (guint)MIN(THIN_BITMAP_SLOTS, map->n_blocks - first);
  for (guint i = 0; i < n; i++) {
    map->counts[first + i] = thin_bitmap_get(block->data, i);
    if (map->counts[first + i] == 0)
      continue;
    map->n_allocated++;
    map->n_backed = MAX(map->n_backed, first + i + 1);
    set_bit(map->committed, first + i);
  }
  map->dirty[region] = FALSE;
  return TRUE;
}

static gboolean load_ref_counts(ThinMetadataMap *map, ThinTm *tm, GError **error)
{
  ThinBtree tree = ref_count_tree(tm);
  guint64 key = 0;
  do {
    g_auto(ThinLeaf) leaf = {0};
    if (!thin_btree_seek(&tree, map->ref_count_root, key, &leaf, error))
      return FALSE;
    for (guint i = leaf.first; i < leaf.n; i++) {
      guint64 block = thin_leaf_key(&leaf, i);
      if (block >= map->n_blocks || map->counts[block] != COUNT_IN_TREE)
        continue; /* thin_check() reports it; the bitmap decides */
      map->counts[block] = MAX(COUNT_IN_TREE, thin_leaf_u32(&leaf, i));
    }
    key = leaf.upper;
  } while (key != G_MAXUINT64);
  return TRUE;
}

gboolean thin_metadata_map_load(ThinMetadataMap *map, ThinTm *tm, const ThinDiskSpaceMapRoot *root,
                                GError **error)
{
  map->index_block = GUINT64_FROM_LE(root->bitmap_root);
  map->ref_count_root = GUINT64_FROM_LE(root->ref_count_root);
  g_autoptr(ThinBlock) block = thin_cache_get(tm->cache, map->index_block, THIN_KIND_INDEX, error);
  if (!block)
    return FALSE;
  const ThinDiskIndex *index = (const ThinDiskIndex *)block->data;
  for (guint i = 0; i < map->n_regions; i++) {
    map->bitmap[i] = GUINT64_FROM_LE(index->entries[i].blocknr);
    if (!load_region(map, tm, i, error))
      return FALSE;
  }
  if (!load_ref_counts(map, tm, error))
    return FALSE;
  if (map->counts[0] == 0)
    return vt_set_error(error, EBADMSG, "the metadata space map says that the superblock is free");
  memcpy(map->busy, map->committed, WORDS(map->n_blocks) * 8);
  map->n_busy = map->n_allocated;
  map->cursor = 0;
  return TRUE;
}

/* --- writing ------------------------------------------------------------------------ */

/* Bring the reference count tree up to date for the blocks of @region. Its nodes are never shared,
 * so what it does to counts never leads back into the tree. */
static gboolean settle_tree(ThinMetadataMap *map, ThinBtree *tree, guint region, GError **error)
{
  guint64 end = MIN(map->n_blocks, ((guint64)region + 1) * THIN_BITMAP_SLOTS);

  map->tree_dirty[region] = FALSE;
  for (guint64 block = (guint64)region * THIN_BITMAP_SLOTS; block < end; block++) {
    if (map->in_tree[block / 64] == 0) {
      block |= 63;
      continue;
    }
    if (!get_bit(map->in_tree, block))
      continue;
    clear_bit(map->in_tree, block);
    guint32 count = GUINT32_TO_LE(map->counts[block]);
    if (map->counts[block] >= COUNT_IN_TREE) {
      if (!thin_btree_insert(tree, &map->ref_count_root, &block, &count, 1, NULL, error))
        return FALSE;
    } else if (!thin_btree_remove(tree, &map->ref_count_root, block, block + 1, NULL, error)) {
      return FALSE;
    }
  }
  return TRUE;
}

/* Move @old (0: none yet) to a new block, number only. */
static gboolean move_block(ThinMetadataMap *map, ThinCache *cache, guint64 *number, GError **error)
{
  guint64 old = *number;
  if (!thin_metadata_map_alloc(map, number, error))
    return FALSE;
  if (!old)
    return TRUE;
  thin_cache_forget(cache, old);
  return thin_metadata_map_dec(map, old, NULL, error);
}

static gboolean move_all(ThinMetadataMap *map, ThinTm *tm, gboolean *moved, GError **error)
{
  ThinBtree tree = ref_count_tree(tm);
  gboolean again;

  do {
    again = FALSE;
    for (guint i = 0; i < map->n_regions; i++) {
      if (map->tree_dirty[i]) {
        again = TRUE;
        if (!settle_tree(map, &tree, i, error))
          return FALSE;
      }
      if (map->dirty[i] && !moved[i]) {
        again = moved[i] = TRUE;
        if (!move_block(map, tm->cache, &map->bitmap[i], error))
          return FALSE;
      }
    }
  } while (again);
  return TRUE;
}

/* Fill the new bitmap of @region and its index entry. */
static gboolean write_region(ThinMetadataMap *map, ThinTm *tm, guint region,
                             ThinDiskIndexEntry *entry, GError **error)
{
  g_autoptr(ThinBlock) block =
      thin_cache_get_zeroed(tm->cache, map->bitmap[region], THIN_KIND_BITMAP, error);
  if (!block)
    return FALSE;
  guint64 first = (guint64)region * THIN_BITMAP_SLOTS;
  guint n = (guint)MIN(THIN_BITMAP_SLOTS, map->n_blocks - first), used = 0, none_free_before = 0;
  for (guint i = 0; i < n; i++) {
    guint32 count = map->counts[first + i];
    if (count == 0)
      continue;
    used++;
    if (none_free_before == i)
      none_free_before++;
    thin_bitmap_set(block->data, i, MIN(count, COUNT_IN_TREE));
  }
  entry->blocknr = GUINT64_TO_LE(map->bitmap[region]);
  entry->nr_free = GUINT32_TO_LE(THIN_BITMAP_SLOTS - used);
  entry->none_free_before = GUINT32_TO_LE(none_free_before);
  return TRUE;
}

gboolean thin_metadata_map_commit(ThinMetadataMap *map, ThinTm *tm, ThinDiskSpaceMapRoot *root,
                                  GError **error)
{
  gboolean moved[THIN_INDEX_MAX] = {FALSE};
  ThinBtree tree = ref_count_tree(tm);
  ThinDiskIndex old = {0};

  if (map->index_block) {
    g_autoptr(ThinBlock) block =
        thin_cache_get(tm->cache, map->index_block, THIN_KIND_INDEX, error);
    if (!block)
      return FALSE;
    memcpy(&old, block->data, sizeof old);
  }
  if (!map->ref_count_root && !thin_btree_empty(&tree, &map->ref_count_root, error))
    return FALSE;
  if (!move_block(map, tm->cache, &map->index_block, error) || !move_all(map, tm, moved, error))
    return FALSE;

  g_autoptr(ThinBlock) block =
      thin_cache_get_zeroed(tm->cache, map->index_block, THIN_KIND_INDEX, error);
  if (!block)
    return FALSE;
  ThinDiskIndex *index = (ThinDiskIndex *)block->data;
  memcpy(index->entries, old.entries, sizeof index->entries);
  for (guint i = 0; i < map->n_regions; i++)
    if (moved[i] && !write_region(map, tm, i, &index->entries[i], error))
      return FALSE;
  root->nr_blocks = GUINT64_TO_LE(map->n_blocks);
  root->nr_allocated = GUINT64_TO_LE(map->n_allocated);
  root->bitmap_root = GUINT64_TO_LE(map->index_block);
  root->ref_count_root = GUINT64_TO_LE(map->ref_count_root);
  return TRUE;
}

void thin_metadata_map_settle(ThinMetadataMap *map)
{
  for (guint i = 0; i < map->n_regions; i++) {
    if (!map->dirty[i])
      continue;
    map->dirty[i] = FALSE;
    guint64 end = MIN(map->n_blocks, ((guint64)i + 1) * THIN_BITMAP_SLOTS);
    for (guint64 block = (guint64)i * THIN_BITMAP_SLOTS; block < end; block++) {
      clear_bit(map->fell, block);
      if (map->counts[block]) {
        set_bit(map->committed, block);
      } else {
        if (get_bit(map->busy, block))
          map->n_busy--;
        clear_bit(map->busy, block);
        clear_bit(map->committed, block);
      }
    }
  }
  map->cursor = 0;
}
