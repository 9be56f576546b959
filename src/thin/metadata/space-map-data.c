/* virt-thin - the data space map: how often each chunk is mapped
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Unlike the metadata map this one may be changed as it is used: its bitmaps, index tree and
 * reference count tree are counted by the other map. A bitmap is shadowed when it first changes;
 * index entries gather in core until the commit. The chunks are cut into regions of one bitmap each
 * (THIN_BITMAP_SLOTS chunks, a multiple of 64: bitsets align with it).
 */
#include "config.h"
#include "thin/metadata/space-map-data.h"

#define COUNT_IN_TREE 3u
#define BATCH 64

enum {
  REGION_DIRTY = 1, /* its index entry changed */
  REGION_FREED_NOW = 2,
  REGION_FREED_BEFORE = 4,
  REGION_FELL = 8,
};

typedef struct {
  guint64 bitmap;
  guint32 n_free;
  guint32 none_free_before;
} Region;

struct ThinDataMap {
  ThinTm *tm;
  guint64 n_chunks, n_allocated, n_freed_now, n_freed_before;
  guint64 cursor;
  guint64 index_root, ref_count_root;
  guint64 n_regions;
  Region *regions;
  guint8 *flags;      /* of each region */
  guint64 *freed_now; /* bit per chunk; NULL when nothing may change */
  guint64 *freed_before;
  guint64 *fell; /* lost a reference in this transaction, and has others */
};

#define WORDS_PER_REGION (THIN_BITMAP_SLOTS / 64)
G_STATIC_ASSERT(THIN_BITMAP_SLOTS % 64 == 0);

static ThinBtree index_tree(ThinDataMap *map)
{
  return (ThinBtree){.tm = map->tm,
                     .name = "index of the data space map",
                     .value_size = sizeof(ThinDiskIndexEntry)};
}

static ThinBtree ref_count_tree(ThinDataMap *map)
{
  return (ThinBtree){.tm = map->tm, .name = "data reference counts", .value_size = sizeof(guint32)};
}

ThinDataMap *thin_data_map_new(ThinTm *tm)
{
  ThinDataMap *map = g_new0(ThinDataMap, 1);
  map->tm = tm;
  return map;
}

void thin_data_map_free(ThinDataMap *map)
{
  if (!map)
    return;
  g_free(map->regions);
  g_free(map->flags);
  g_free(map->freed_now);
  g_free(map->freed_before);
  g_free(map->fell);
  g_free(map);
}

static gboolean grow_array(gpointer array, guint64 old_n, guint64 n, gsize size, GError **error)
{
  gpointer *where = array;
  if (n == old_n)
    return TRUE;
  guint8 *grown = g_try_realloc_n(*where, n, size);
  if (!grown) /* no memory */
    return vt_set_errno(
        error, ENOMEM,
        "cannot reserve memory for the data space map (%" G_GUINT64_FORMAT " entries)", n);
  memset(grown + old_n * size, 0, (n - old_n) * size);
  *where = grown;
  return TRUE;
}

static gboolean reserve(ThinDataMap *map, guint64 n_regions, GError **error)
{
  guint64 old = map->n_regions, old_words = old * WORDS_PER_REGION,
          words = n_regions * WORDS_PER_REGION;
  gboolean ok = grow_array(&map->regions, old, n_regions, sizeof(Region), error) &&
                grow_array(&map->flags, old, n_regions, 1, error);
  if (map->tm->map)
    ok = ok && grow_array(&map->freed_now, old_words, words, 8, error) &&
         grow_array(&map->freed_before, old_words, words, 8, error) &&
         grow_array(&map->fell, old_words, words, 8, error);
  if (!ok) /* no memory */
    return FALSE;
  map->n_regions = n_regions;
  return TRUE;
}

static guint64 regions_for(guint64 n_chunks)
{
  return n_chunks / THIN_BITMAP_SLOTS + (n_chunks % THIN_BITMAP_SLOTS > 0);
}

/* --- open and grow ------------------------------------------------------------------ */

static gboolean load_leaf(ThinDataMap *map, const ThinLeaf *leaf, guint64 *next, GError **error)
{
  for (guint i = leaf->first; i < leaf->n && *next < map->n_regions; i++, (*next)++) {
    ThinDiskIndexEntry entry;
    if (thin_leaf_key(leaf, i) != *next)
      return vt_set_error(
          error, EBADMSG,
          "index of the data space map: no bitmap for chunks from %" G_GUINT64_FORMAT " on",
          *next * THIN_BITMAP_SLOTS);
    memcpy(&entry, thin_node_value(leaf->block->data, i), sizeof entry);
    map->regions[*next] = (Region){GUINT64_FROM_LE(entry.blocknr),
                                   MIN(GUINT32_FROM_LE(entry.nr_free), THIN_BITMAP_SLOTS),
                                   MIN(GUINT32_FROM_LE(entry.none_free_before), THIN_BITMAP_SLOTS)};
  }
  return TRUE;
}

gboolean thin_data_map_load(ThinDataMap *map, const ThinDiskSpaceMapRoot *root, GError **error)
{
  ThinBtree tree = index_tree(map);
  guint64 n_chunks = GUINT64_FROM_LE(root->nr_blocks), next = 0;

  map->n_allocated = GUINT64_FROM_LE(root->nr_allocated);
  map->index_root = GUINT64_FROM_LE(root->bitmap_root);
  map->ref_count_root = GUINT64_FROM_LE(root->ref_count_root);
  if (n_chunks > THIN_CHUNKS_MAX || regions_for(n_chunks) > thin_cache_n_blocks(map->tm->cache) ||
      map->n_allocated > n_chunks)
    return vt_set_error(error, EBADMSG,
                        "the data space map cannot have %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                        " chunks allocated",
                        map->n_allocated, n_chunks);
  if (!reserve(map, regions_for(n_chunks), error)) /* no memory */
    return FALSE;
  map->n_chunks = n_chunks;
  while (next < map->n_regions) {
    g_auto(ThinLeaf) leaf = {0};
    if (!thin_btree_seek(&tree, map->index_root, next, &leaf, error) ||
        !load_leaf(map, &leaf, &next, error))
      return FALSE;
    if (leaf.upper == G_MAXUINT64 && next < map->n_regions)
      return vt_set_error(error, EBADMSG,
                          "index of the data space map: ends after %" G_GUINT64_FORMAT
                          " of %" G_GUINT64_FORMAT " bitmaps",
                          next, map->n_regions);
  }
  return TRUE;
}

gboolean thin_data_map_create(ThinDataMap *map, GError **error)
{
  ThinBtree index = index_tree(map), counts = ref_count_tree(map);
  return thin_btree_empty(&index, &map->index_root, error) &&
         thin_btree_empty(&counts, &map->ref_count_root, error);
}

/* thin_restore and thin_repair count as free only the slots of chunks that are there, others all
 * slots. By the former count the last bitmap would have no room for the chunks that come to it. */
static gboolean recount_last(ThinDataMap *map, GError **error)
{
  g_autoptr(ThinBlock) block = NULL;
  guint n_free = 0;
  Region *last;

  if (map->n_chunks % THIN_BITMAP_SLOTS == 0)
    return TRUE;
  last = &map->regions[map->n_regions - 1];
  if (!(block = thin_cache_get(map->tm->cache, last->bitmap, THIN_KIND_BITMAP, error)))
    return FALSE;
  for (guint i = 0; i < THIN_BITMAP_SLOTS; i++)
    n_free += thin_bitmap_get(block->data, i) == 0;
  if (last->n_free != n_free)
    map->flags[map->n_regions - 1] |= REGION_DIRTY;
  last->n_free = n_free;
  return TRUE;
}

gboolean thin_data_map_grow(ThinDataMap *map, guint64 n_chunks, GError **error)
{
  guint64 old = map->n_regions;
  if (n_chunks < map->n_chunks || n_chunks > THIN_CHUNKS_MAX)
    return vt_set_error(error, EINVAL,
                        "a data device cannot go from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                        " chunks",
                        map->n_chunks, n_chunks);
  if (!recount_last(map, error))
    return FALSE;
  if (!reserve(map, regions_for(n_chunks), error)) /* no memory */
    return FALSE;
  for (guint64 i = old; i < map->n_regions; i++) {
    g_autoptr(ThinBlock) block = thin_tm_new_block(map->tm, THIN_KIND_BITMAP, error);
    if (!block) {
      map->n_regions = old;
      return FALSE;
    }
    map->regions[i] = (Region){block->number, THIN_BITMAP_SLOTS, 0};
    map->flags[i] = REGION_DIRTY;
  }
  map->n_chunks = n_chunks;
  return TRUE;
}

guint64 thin_data_map_n_chunks(ThinDataMap *map)
{
  return map->n_chunks;
}

guint64 thin_data_map_n_allocated(ThinDataMap *map)
{
  return map->n_allocated;
}

guint64 thin_data_map_n_usable(ThinDataMap *map)
{
  guint64 taken = map->n_allocated + map->n_freed_now + map->n_freed_before;
  return taken < map->n_chunks ? map->n_chunks - taken : 0;
}

/* --- counts ------------------------------------------------------------------------- */

static gboolean in_range(ThinDataMap *map, guint64 chunk, guint64 n, GError **error)
{
  if (chunk <= map->n_chunks && n <= map->n_chunks - chunk)
    return TRUE;
  return vt_set_error(error, EBADMSG,
                      "a mapping leads to chunk %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT,
                      chunk + (n ? n - 1 : 0), map->n_chunks);
}

static gboolean tree_count(ThinDataMap *map, guint64 chunk, guint32 *count, GError **error)
{
  ThinBtree tree = ref_count_tree(map);
  gboolean found;
  if (!thin_btree_lookup(&tree, map->ref_count_root, chunk, count, &found, error))
    return FALSE;
  *count = GUINT32_FROM_LE(*count);
  if (!found || *count < COUNT_IN_TREE)
    return vt_set_error(error, EBADMSG,
                        "data reference counts: no count of 3 or more for chunk %" G_GUINT64_FORMAT,
                        chunk);
  return TRUE;
}

gboolean thin_data_map_count(ThinDataMap *map, guint64 chunk, guint32 *count, GError **error)
{
  if (!in_range(map, chunk, 1, error))
    return FALSE;
  g_autoptr(ThinBlock) block = thin_cache_get(
      map->tm->cache, map->regions[chunk / THIN_BITMAP_SLOTS].bitmap, THIN_KIND_BITMAP, error);
  if (!block)
    return FALSE;
  *count = thin_bitmap_get(block->data, chunk % THIN_BITMAP_SLOTS);
  return *count < COUNT_IN_TREE || tree_count(map, chunk, count, error);
}

static inline void set_bit(guint64 *bits, guint64 i)
{
  bits[i / 64] |= G_GUINT64_CONSTANT(1) << (i % 64);
}

static inline gboolean is_once(ThinDataMap *map, const guint8 *bitmap, guint64 chunk)
{
  return thin_bitmap_get(bitmap, chunk % THIN_BITMAP_SLOTS) == 1 &&
         !(map->fell && map->fell[chunk / 64] >> (chunk % 64) & 1);
}

gboolean thin_data_map_run_once(ThinDataMap *map, guint64 chunk, guint64 n, guint64 *run,
                                gboolean *once, GError **error)
{
  if (!in_range(map, chunk, n, error))
    return FALSE;
  *run = 0;
  while (*run < n) {
    guint64 at = chunk + *run;
    guint slot = at % THIN_BITMAP_SLOTS, end = (guint)MIN(THIN_BITMAP_SLOTS, slot + (n - *run));
    g_autoptr(ThinBlock) block = thin_cache_get(
        map->tm->cache, map->regions[at / THIN_BITMAP_SLOTS].bitmap, THIN_KIND_BITMAP, error);
    if (!block)
      return FALSE;
    if (*run == 0)
      *once = is_once(map, block->data, at);
    for (; slot < end; slot++, (*run)++)
      if (is_once(map, block->data, chunk + *run) != *once)
        return TRUE;
  }
  return TRUE;
}

/* --- changing counts ---------------------------------------------------------------- */

/* Changes to the reference count tree, gathered while a bitmap is gone through. */
typedef struct {
  guint n_set;
  guint64 keys[BATCH];
  guint32 values[BATCH];
  guint64 drop_begin, drop_end; /* these keys go */
} TreeWork;

static gboolean flush_sets(ThinDataMap *map, TreeWork *work, GError **error)
{
  ThinBtree tree = ref_count_tree(map);
  guint n = work->n_set;
  work->n_set = 0;
  return n == 0 ||
         thin_btree_insert(&tree, &map->ref_count_root, work->keys, work->values, n, NULL, error);
}

static gboolean flush_drops(ThinDataMap *map, TreeWork *work, GError **error)
{
  ThinBtree tree = ref_count_tree(map);
  guint64 begin = work->drop_begin, end = work->drop_end;
  work->drop_begin = work->drop_end = 0;
  return begin == end || thin_btree_remove(&tree, &map->ref_count_root, begin, end, NULL, error);
}

static gboolean set_tree_count(ThinDataMap *map, TreeWork *work, guint64 chunk, guint32 count,
                               GError **error)
{
  if (count >= COUNT_IN_TREE) {
    work->keys[work->n_set] = chunk;
    work->values[work->n_set++] = GUINT32_TO_LE(count);
    return work->n_set < BATCH || flush_sets(map, work, error);
  }
  if (work->drop_end != chunk && !flush_drops(map, work, error))
    return FALSE;
  if (work->drop_begin == work->drop_end)
    work->drop_begin = chunk;
  work->drop_end = chunk + 1;
  return TRUE;
}

static void took(ThinDataMap *map, Region *region, guint slot)
{
  map->n_allocated++;
  region->n_free -= region->n_free > 0;
  if (slot == region->none_free_before)
    region->none_free_before++;
}

static void gave_back(ThinDataMap *map, Region *region, guint64 chunk)
{
  guint slot = chunk % THIN_BITMAP_SLOTS;
  map->n_allocated--;
  map->n_freed_now++;
  region->n_free++;
  region->none_free_before = MIN(region->none_free_before, slot);
  set_bit(map->freed_now, chunk);
  map->flags[chunk / THIN_BITMAP_SLOTS] |= REGION_FREED_NOW;
}

static void mark_fell(ThinDataMap *map, guint64 chunk)
{
  set_bit(map->fell, chunk);
  map->flags[chunk / THIN_BITMAP_SLOTS] |= REGION_FELL;
}

gboolean thin_data_map_mark_fell(ThinDataMap *map, guint64 chunk, guint64 n, GError **error)
{
  if (!in_range(map, chunk, n, error))
    return FALSE;
  for (guint64 i = chunk; i < chunk + n; i++)
    mark_fell(map, i);
  return TRUE;
}

static gboolean change_slot(ThinDataMap *map, guint8 *bitmap, Region *region, guint64 chunk,
                            gint delta, TreeWork *work, GError **error)
{
  guint slot = chunk % THIN_BITMAP_SLOTS;
  guint32 old = thin_bitmap_get(bitmap, slot), count;

  if (old == COUNT_IN_TREE && !tree_count(map, chunk, &old, error))
    return FALSE;
  if ((delta < 0 && old < (guint32)-delta) || (delta > 0 && old == G_MAXUINT32))
    return vt_set_error(error, EBADMSG,
                        "chunk %" G_GUINT64_FORMAT " is counted %u times, which cannot be", chunk,
                        old);
  count = (guint32)((gint64)old + delta);
  thin_bitmap_set(bitmap, slot, MIN(count, COUNT_IN_TREE));
  if (old == 0)
    took(map, region, slot);
  else if (count == 0)
    gave_back(map, region, chunk);
  else if (delta < 0)
    mark_fell(map, chunk);
  return MAX(old, count) < COUNT_IN_TREE || set_tree_count(map, work, chunk, count, error);
}

static gboolean change(ThinDataMap *map, guint64 chunk, guint64 n, gint delta, GError **error)
{
  if (!in_range(map, chunk, n, error))
    return FALSE;
  for (guint64 end = chunk + n; chunk < end;) {
    guint64 index = chunk / THIN_BITMAP_SLOTS, stop = MIN(end, (index + 1) * THIN_BITMAP_SLOTS);
    Region *region = &map->regions[index];
    TreeWork work = {.n_set = 0};
    ThinShadow shadow; /* bitmaps are never shared */
    g_autoptr(ThinBlock) block =
        thin_tm_shadow(map->tm, region->bitmap, THIN_KIND_BITMAP, &shadow, error);
    if (!block)
      return FALSE;
    region->bitmap = block->number;
    map->flags[index] |= REGION_DIRTY;
    for (; chunk < stop; chunk++)
      if (!change_slot(map, block->data, region, chunk, delta, &work, error))
        return FALSE;
    if (!flush_sets(map, &work, error) || !flush_drops(map, &work, error))
      return FALSE;
  }
  return TRUE;
}

gboolean thin_data_map_inc(ThinDataMap *map, guint64 chunk, guint64 n, GError **error)
{
  return change(map, chunk, n, 1, error);
}

gboolean thin_data_map_dec(ThinDataMap *map, guint64 chunk, guint64 n, GError **error)
{
  return change(map, chunk, n, -1, error);
}

gboolean thin_data_map_lower(ThinDataMap *map, guint64 chunk, guint64 n, guint32 by, GError **error)
{
  for (guint32 step; by > 0; by -= step) {
    step = MIN(by, G_MAXINT32);
    if (!change(map, chunk, n, -(gint)step, error))
      return FALSE;
  }
  return TRUE;
}

void thin_data_map_set_allocated(ThinDataMap *map, guint64 n_allocated)
{
  map->n_allocated = n_allocated;
}

/* --- allocating --------------------------------------------------------------------- */

/* Every second bit of @x, the even ones, side by side. */
static inline guint32 even_bits(guint64 x)
{
  x = (x | x >> 1) & G_GUINT64_CONSTANT(0x3333333333333333);
  x = (x | x >> 2) & G_GUINT64_CONSTANT(0x0f0f0f0f0f0f0f0f);
  x = (x | x >> 4) & G_GUINT64_CONSTANT(0x00ff00ff00ff00ff);
  x = (x | x >> 8) & G_GUINT64_CONSTANT(0x0000ffff0000ffff);
  return (guint32)(x | x >> 16);
}

/* Which of the 32 chunks from slot 32 * @word on can be given out. */
static guint32 usable_mask(ThinDataMap *map, guint64 region, const guint8 *bitmap, guint word)
{
  guint64 at = region * WORDS_PER_REGION + word / 2;
  guint shift = word % 2 * 32;
  return even_bits(thin_bitmap_free_mask(bitmap, word)) &
         ~(guint32)((map->freed_now[at] | map->freed_before[at]) >> shift);
}

/* The first run of usable slots in [slot, end), @wanted long at most. FALSE: none. */
static gboolean find_run(ThinDataMap *map, guint64 region, const guint8 *bitmap, guint slot,
                         guint end, guint64 wanted, guint *first, guint *n)
{
  *n = 0;
  while (slot < end && *n < wanted) {
    guint32 mask = usable_mask(map, region, bitmap, slot / 32) >> slot % 32;
    if (*n == 0 && mask == 0) {
      slot = (slot / 32 + 1) * 32;
      continue;
    }
    if (*n == 0) {
      slot += (guint)__builtin_ctz(mask);
      mask >>= __builtin_ctz(mask);
      *first = slot;
    }
    guint run = ~mask ? (guint)__builtin_ctz(~mask) : 32;
    guint most = (guint)MIN(MIN(wanted - *n, (guint64)32 - slot % 32), end - MIN(slot, end));
    gboolean ends = run < 32 - slot % 32;
    run = MIN(run, most);
    *n += run;
    slot += run;
    if (ends || run == 0)
      break;
  }
  return *n > 0;
}

static gboolean search(ThinDataMap *map, guint64 begin, guint64 end, guint64 wanted, guint64 *chunk,
                       guint64 *n, GError **error)
{
  *n = 0;
  while (begin < end) {
    guint64 index = begin / THIN_BITMAP_SLOTS, base = index * THIN_BITMAP_SLOTS;
    const Region *region = &map->regions[index];
    guint slot = MAX((guint)(begin - base), region->none_free_before), first, found;
    guint stop = (guint)MIN(THIN_BITMAP_SLOTS, end - base);
    begin = base + THIN_BITMAP_SLOTS;
    if (region->n_free == 0)
      continue;
    g_autoptr(ThinBlock) block =
        thin_cache_get(map->tm->cache, region->bitmap, THIN_KIND_BITMAP, error);
    if (!block)
      return FALSE;
    if (!find_run(map, index, block->data, slot, stop, wanted, &first, &found))
      continue;
    *chunk = base + first;
    *n = found;
    return TRUE;
  }
  return TRUE;
}

gboolean thin_data_map_alloc(ThinDataMap *map, guint64 wanted, guint64 *chunk, guint64 *n,
                             GError **error)
{
  *n = 0;
  if (map->cursor >= map->n_chunks)
    map->cursor = 0;
  if (wanted > 0 && thin_data_map_n_usable(map) > 0 &&
      (!search(map, map->cursor, map->n_chunks, wanted, chunk, n, error) ||
       (*n == 0 && !search(map, 0, map->cursor, wanted, chunk, n, error))))
    return FALSE;
  if (*n == 0)
    return vt_set_error(error, ENOSPC,
                        "no free chunk: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
                        " are in use; free some or extend the pool",
                        map->n_allocated, map->n_chunks);
  map->cursor = *chunk + *n;
  return thin_data_map_inc(map, *chunk, *n, error);
}

gboolean thin_data_map_alloc_at(ThinDataMap *map, guint64 chunk, guint64 n, GError **error)
{
  if (!in_range(map, chunk, n, error))
    return FALSE;
  for (guint64 i = chunk; i < chunk + n; i++) {
    guint slot = i % THIN_BITMAP_SLOTS;
    g_autoptr(ThinBlock) block = thin_cache_get(
        map->tm->cache, map->regions[i / THIN_BITMAP_SLOTS].bitmap, THIN_KIND_BITMAP, error);
    if (!block)
      return FALSE;
    if (thin_bitmap_get(block->data, slot) == 1)
      continue; /* a commit came between its allocation and its use */
    if (!(usable_mask(map, i / THIN_BITMAP_SLOTS, block->data, slot / 32) >> slot % 32 & 1))
      return vt_set_error(error, EBADMSG, "chunk %" G_GUINT64_FORMAT " is not free", i);
    g_clear_pointer(&block, thin_block_put);
    if (!thin_data_map_inc(map, i, 1, error))
      return FALSE;
  }
  return TRUE;
}

/* --- commit ------------------------------------------------------------------------- */

gboolean thin_data_map_commit(ThinDataMap *map, ThinDiskSpaceMapRoot *root, GError **error)
{
  ThinBtree tree = index_tree(map);
  guint64 keys[BATCH];
  ThinDiskIndexEntry entries[BATCH];
  guint n = 0;

  for (guint64 i = 0; i < map->n_regions; i++) {
    if (!(map->flags[i] & REGION_DIRTY))
      continue;
    map->flags[i] &= (guint8)~REGION_DIRTY;
    keys[n] = i;
    entries[n++] = (ThinDiskIndexEntry){GUINT64_TO_LE(map->regions[i].bitmap),
                                        GUINT32_TO_LE(map->regions[i].n_free),
                                        GUINT32_TO_LE(map->regions[i].none_free_before)};
    if (n == BATCH) {
      if (!thin_btree_insert(&tree, &map->index_root, keys, entries, n, NULL, error))
        return FALSE;
      n = 0;
    }
  }
  if (n && !thin_btree_insert(&tree, &map->index_root, keys, entries, n, NULL, error))
    return FALSE;
  root->nr_blocks = GUINT64_TO_LE(map->n_chunks);
  root->nr_allocated = GUINT64_TO_LE(map->n_allocated);
  root->bitmap_root = GUINT64_TO_LE(map->index_root);
  root->ref_count_root = GUINT64_TO_LE(map->ref_count_root);
  return TRUE;
}

void thin_data_map_settle(ThinDataMap *map)
{
  for (guint64 i = 0; i < map->n_regions; i++) {
    if (map->flags[i] & REGION_FELL)
      memset(map->fell + i * WORDS_PER_REGION, 0, WORDS_PER_REGION * 8);
    map->flags[i] &= (guint8)~REGION_FELL;
    if (!(map->flags[i] & REGION_FREED_NOW))
      continue;
    for (guint64 w = i * WORDS_PER_REGION; w < (i + 1) * WORDS_PER_REGION; w++) {
      map->freed_before[w] |= map->freed_now[w];
      map->freed_now[w] = 0;
    }
    map->flags[i] = (guint8)((map->flags[i] & ~REGION_FREED_NOW) | REGION_FREED_BEFORE);
  }
  map->n_freed_before += map->n_freed_now;
  map->n_freed_now = 0;
}

/* --- what was freed ----------------------------------------------------------------- */

void thin_data_map_freed_foreach(ThinDataMap *map, ThinFreedFunc func, gpointer user_data)
{
  guint64 begin = 0, n = 0;
  for (guint64 i = 0; i < map->n_regions; i++) {
    if (!(map->flags[i] & REGION_FREED_BEFORE))
      continue;
    for (guint64 w = i * WORDS_PER_REGION; w < (i + 1) * WORDS_PER_REGION; w++) {
      for (guint64 bits = map->freed_before[w]; bits; bits &= bits - 1) {
        guint64 chunk = w * 64 + (guint64)__builtin_ctzll(bits);
        if (n > 0 && chunk != begin + n) {
          func(begin, n, user_data);
          n = 0;
        }
        if (n++ == 0)
          begin = chunk;
      }
    }
  }
  if (n > 0)
    func(begin, n, user_data);
}

void thin_data_map_freed_done(ThinDataMap *map)
{
  for (guint64 i = 0; i < map->n_regions; i++) {
    if (!(map->flags[i] & REGION_FREED_BEFORE))
      continue;
    memset(map->freed_before + i * WORDS_PER_REGION, 0, WORDS_PER_REGION * 8);
    map->flags[i] &= (guint8)~REGION_FREED_BEFORE;
  }
  map->n_freed_before = 0;
}
