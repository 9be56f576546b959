/* virt-thin - simulation: the reference counts of a thin pool, counted by hand
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Of the format's structures alone: every pointer in every node that can be reached is one
 * reference, to a block of metadata or to a chunk. Nothing of the engine's or the checker's is
 * used, nor is anything clever: it is to be right by being plain.
 *
 * A chunk may be counted that nothing refers to: it was allocated when a commit came, and its
 * writer died before it was mapped. The kernel's dm-thin loses chunks so, too; a check finds them.
 */
#include "laws.h"

#include <string.h>

#include "thin/format/disk-format.h"

#define DEPTH 16

typedef struct {
  const guint8 *bytes;
  guint64 n_blocks, n_chunks;
  guint32 *blocks, *chunks; /* references met */
} Count;

typedef void (*Leaf)(Count *c, guint64 key, const guint8 *value, gpointer data);

static guint64 u64(const guint8 *at)
{
  guint64 value;

  memcpy(&value, at, sizeof value);
  return GUINT64_FROM_LE(value);
}

static guint32 u32(const guint8 *at)
{
  guint32 value;

  memcpy(&value, at, sizeof value);
  return GUINT32_FROM_LE(value);
}

static const guint8 *block_at(Count *c, guint64 number)
{
  const guint8 *block = c->bytes + number * THIN_METADATA_BLOCK;

  if (number == 0 || number >= c->n_blocks)
    sim_fail("metadata points to block %" G_GUINT64_FORMAT, number);
  if (u64(block + 8) != number)
    sim_fail("metadata block %" G_GUINT64_FORMAT " says that it is another", number);
  return block;
}

/* Every entry of the tree at @number; what was met before is not entered again, unless @again. */
static void walk(Count *c, guint64 number, guint value_size, gboolean again, guint depth, Leaf leaf,
                 gpointer data)
{
  const guint8 *node = block_at(c, number), *keys = node + sizeof(ThinDiskNode), *values;
  guint n = u32(node + 16), most = u32(node + 20);
  gboolean is_leaf = u32(node + 4) == THIN_NODE_LEAF;

  if (!again && c->blocks[number]++ > 0)
    return;
  if (depth > DEPTH || n > most || most > THIN_METADATA_BLOCK / 12 ||
      u32(node + 24) != (is_leaf ? value_size : 8))
    sim_fail("metadata block %" G_GUINT64_FORMAT " is no node of that tree", number);
  values = keys + 8 * most;
  for (guint i = 0; i < n; i++) {
    if (i && u64(keys + 8 * i) <= u64(keys + 8 * (i - 1)))
      sim_fail("metadata block %" G_GUINT64_FORMAT ": keys out of order", number);
    if (is_leaf)
      leaf(c, u64(keys + 8 * i), values + (gsize)value_size * i, data);
    else
      walk(c, u64(values + 8 * i), value_size, again, depth + 1, leaf, data);
  }
}

/* --- what the leaves hold --- */

static void chunk_leaf(Count *c, guint64 key, const guint8 *value, gpointer data)
{
  guint64 chunk = THIN_MAPPING_CHUNK(u64(value));

  if (chunk >= c->n_chunks)
    sim_fail("virtual chunk %" G_GUINT64_FORMAT " is mapped beyond the data's end", key);
  c->chunks[chunk]++;
}

static void device_leaf(Count *c, guint64 key, const guint8 *value, gpointer data)
{
  walk(c, u64(value), 8, FALSE, 0, chunk_leaf, NULL);
}

static void nothing(Count *c, guint64 key, const guint8 *value, gpointer data)
{
}

static void one_more(Count *c, guint64 key, const guint8 *value, gpointer data)
{
  (*(guint64 *)data)++;
}

static void root_leaf(Count *c, guint64 key, const guint8 *value, gpointer data)
{
  guint64 n = 0;

  walk(c, u64(value), 8, TRUE, 0, one_more, &n);
  g_hash_table_insert(data, GUINT_TO_POINTER((guint)key), GUINT_TO_POINTER((guint)n));
}

static void details_leaf(Count *c, guint64 key, const guint8 *value, gpointer data)
{
  gpointer n;

  if (!g_hash_table_lookup_extended(data, GUINT_TO_POINTER((guint)key), NULL, &n))
    sim_fail("thin device %" G_GUINT64_FORMAT " has details and no map", key);
  if (u64(value) != GPOINTER_TO_UINT(n))
    sim_fail("thin device %" G_GUINT64_FORMAT
             " has %u mapped chunks, its details say %" G_GUINT64_FORMAT,
             key, GPOINTER_TO_UINT(n), u64(value));
}

static void compare_details(Count *c, const ThinDiskSuperblock *sb)
{
  g_autoptr(GHashTable) mapped = g_hash_table_new(NULL, NULL);

  walk(c, GUINT64_FROM_LE(sb->data_mapping_root), 8, TRUE, 0, root_leaf, mapped);
  walk(c, GUINT64_FROM_LE(sb->device_details_root), sizeof(ThinDiskDetails), TRUE, 0, details_leaf,
       mapped);
}

/* --- what the space maps say --- */

static void count_leaf(Count *c, guint64 key, const guint8 *value, gpointer data)
{
  ((guint32 *)data)[key] = u32(value);
}

static void take_bitmap(Count *c, guint64 first, guint64 number, guint32 *counts, guint64 n)
{
  const guint8 *bitmap = block_at(c, number);

  c->blocks[number]++;
  for (guint i = 0; i < THIN_BITMAP_SLOTS && first + i < n; i++) {
    guint two = bitmap[16 + i / 4] >> (2 * (i % 4)) & 3, count = (two & 1) << 1 | two >> 1;

    if (count < 3)
      counts[first + i] = count;
    else if (counts[first + i] < 3)
      sim_fail("block or chunk %" G_GUINT64_FORMAT " has a count of 3 or more that is nowhere",
               first + i);
  }
}

typedef struct {
  guint32 *counts;
  guint64 n;
} Said;

static void index_leaf(Count *c, guint64 key, const guint8 *value, gpointer data)
{
  Said *said = data;

  take_bitmap(c, key * THIN_BITMAP_SLOTS, u64(value), said->counts, said->n);
}

static void read_metadata_map(Count *c, const ThinDiskSpaceMapRoot *root, guint32 *counts)
{
  guint64 number = GUINT64_FROM_LE(root->bitmap_root);
  const guint8 *index = block_at(c, number) + sizeof(ThinDiskHeader);

  c->blocks[number]++;
  walk(c, GUINT64_FROM_LE(root->ref_count_root), 4, FALSE, 0, count_leaf, counts);
  for (guint64 first = 0; first < c->n_blocks; first += THIN_BITMAP_SLOTS)
    take_bitmap(c, first, u64(index + first / THIN_BITMAP_SLOTS * 16), counts, c->n_blocks);
}

/* @leaks: of what may be counted and not used, here is how much; NULL: nothing may. */
static void compare(const char *what, const guint32 *met, const guint32 *said, guint64 n,
                    guint64 *leaks)
{
  for (guint64 i = 0; i < n; i++)
    if (leaks && met[i] < said[i])
      (*leaks)++;
    else if (met[i] != said[i])
      sim_fail("%s %" G_GUINT64_FORMAT " is referred to %u times, its count is %u", what, i, met[i],
               said[i]);
}

void laws_count(const guint8 *metadata, guint64 size, guint64 *transaction_id)
{
  const ThinDiskSuperblock *sb = (gconstpointer)metadata;
  Count c = {.bytes = metadata,
             .n_blocks = GUINT64_FROM_LE(sb->metadata_space_map.root.nr_blocks),
             .n_chunks = GUINT64_FROM_LE(sb->data_space_map.root.nr_blocks)};
  g_autofree guint32 *blocks = NULL, *chunks = NULL, *said_blocks = NULL, *said_chunks = NULL;
  Said said;

  if (GUINT64_FROM_LE(sb->magic) != THIN_SUPERBLOCK_MAGIC ||
      c.n_blocks > size / THIN_METADATA_BLOCK || c.n_chunks > 1u << 20)
    sim_fail("the superblock makes no sense");
  c.blocks = blocks = g_new0(guint32, c.n_blocks);
  c.chunks = chunks = g_new0(guint32, c.n_chunks + 1);
  said_blocks = g_new0(guint32, c.n_blocks);
  said_chunks = g_new0(guint32, c.n_chunks + 1);
  said = (Said){said_chunks, c.n_chunks};
  c.blocks[0] = 1;
  walk(&c, GUINT64_FROM_LE(sb->data_mapping_root), 8, FALSE, 0, device_leaf, NULL);
  walk(&c, GUINT64_FROM_LE(sb->device_details_root), sizeof(ThinDiskDetails), FALSE, 0, nothing,
       NULL);
  walk(&c, GUINT64_FROM_LE(sb->data_space_map.root.ref_count_root), 4, FALSE, 0, count_leaf,
       said_chunks);
  walk(&c, GUINT64_FROM_LE(sb->data_space_map.root.bitmap_root), 16, FALSE, 0, index_leaf, &said);
  read_metadata_map(&c, &sb->metadata_space_map.root, said_blocks);
  compare("metadata block", c.blocks, said_blocks, c.n_blocks, NULL);
  compare("chunk", c.chunks, said_chunks, c.n_chunks, &sim_totals.leaks);
  compare_details(&c, sb);
  *transaction_id = GUINT64_FROM_LE(sb->trans_id);
}
