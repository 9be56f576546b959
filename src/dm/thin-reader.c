/* virt-thin - reading the metadata of a thin pool that the kernel may have in use
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "dm/thin-reader.h"
#include "thin/format/disk-format.h"
#include "util/crc.h"

/* A tree of 2^64 keys with at least two children to a node. */
#define DEPTH_MAX 64
/* 256 TiB in the smallest chunks; dm-thin's largest metadata maps far less. */
#define CHUNKS_MAX (G_GUINT64_CONSTANT(1) << 32)

struct DmkReader {
  VtIo *io;
  guint64 n_blocks, chunk_size;
  guint64 mapping_root, details_root;
  DmkSuperblock superblock;
  gboolean empty;
  guint8 *block; /* the superblock's, as it was read */
};

/* --- blocks --- */

static gboolean read_block(DmkReader *reader, guint64 number, guint32 salt, guint8 *block, GError **error)
{
  const ThinDiskHeader *header = (const ThinDiskHeader *)block;

  if (number >= reader->n_blocks)
    return vt_set_error(error, EBADMSG, "%s: block %" G_GUINT64_FORMAT " is beyond its end", vt_io_name(reader->io),
                        number);
  if (!vt_io_read(reader->io, block, THIN_METADATA_BLOCK, number * THIN_METADATA_BLOCK, error))
    return FALSE;
  if (GUINT32_FROM_LE(header->csum) != (vt_crc32c(block + 4, THIN_METADATA_BLOCK - 4) ^ salt) ||
      GUINT64_FROM_LE(header->blocknr) != number)
    return vt_set_error(error, EBADMSG, "%s: block %" G_GUINT64_FORMAT " is damaged", vt_io_name(reader->io), number);
  return TRUE;
}

static gboolean is_zero(const guint8 *block)
{
  return block[0] == 0 && memcmp(block, block + 1, THIN_METADATA_BLOCK - 1) == 0;
}

static void take_superblock(DmkReader *reader, const ThinDiskSuperblock *sb)
{
  reader->mapping_root = GUINT64_FROM_LE(sb->data_mapping_root);
  reader->details_root = GUINT64_FROM_LE(sb->device_details_root);
  reader->chunk_size = (guint64)GUINT32_FROM_LE(sb->data_block_size) * THIN_SECTOR;
  reader->superblock = (DmkSuperblock){
      .transaction_id = GUINT64_FROM_LE(sb->trans_id),
      .chunk_size = reader->chunk_size,
      .data_used = GUINT64_FROM_LE(sb->data_space_map.root.nr_allocated) * reader->chunk_size,
      .metadata_used = GUINT64_FROM_LE(sb->metadata_space_map.root.nr_allocated) * THIN_METADATA_BLOCK,
      .needs_check = (GUINT32_FROM_LE(sb->header.flags) & THIN_SUPERBLOCK_NEEDS_CHECK) != 0,
  };
}

static gboolean read_superblock(DmkReader *reader, guint64 root, GError **error)
{
  const ThinDiskSuperblock *sb = (const ThinDiskSuperblock *)reader->block;

  if (root == 0) {
    if (!vt_io_read(reader->io, reader->block, THIN_METADATA_BLOCK, 0, error))
      return FALSE;
    reader->empty = is_zero(reader->block);
  }
  if (reader->empty)
    return TRUE;
  if (!read_block(reader, root, THIN_SALT_SUPERBLOCK, reader->block, error))
    return FALSE;
  if (GUINT64_FROM_LE(sb->magic) != THIN_SUPERBLOCK_MAGIC || GUINT32_FROM_LE(sb->version) != THIN_SUPERBLOCK_VERSION)
    return vt_set_error(error, EBADMSG, "%s: holds no metadata of a thin pool, version 2", vt_io_name(reader->io));
  take_superblock(reader, sb);
  return TRUE;
}

DmkReader *dmk_reader_open(VtIo *metadata, guint64 root, GError **error)
{
  g_autoptr(DmkReader) reader = g_new0(DmkReader, 1);

  reader->io = vt_io_ref(metadata);
  reader->n_blocks = vt_io_size(metadata) / THIN_METADATA_BLOCK;
  reader->block = g_malloc(THIN_METADATA_BLOCK);
  return read_superblock(reader, root, error) ? g_steal_pointer(&reader) : NULL;
}

void dmk_reader_close(DmkReader *reader)
{
  if (!reader)
    return;
  vt_io_unref(reader->io);
  g_free(reader->block);
  g_free(reader);
}

void dmk_reader_superblock(DmkReader *reader, DmkSuperblock *superblock)
{
  *superblock = reader->superblock;
}

gboolean dmk_reader_is_current(DmkReader *reader)
{
  g_autofree guint8 *block = g_malloc(THIN_METADATA_BLOCK);

  return vt_io_read(reader->io, block, THIN_METADATA_BLOCK, 0, NULL) &&
         memcmp(block, reader->block, THIN_METADATA_BLOCK) == 0;
}

/* --- trees --- */

typedef gboolean (*LeafFunc)(guint64 key, const guint8 *value, gpointer data, GError **error);

typedef struct {
  DmkReader *reader;
  guint value_size;
  GHashTable *visited; /* block numbers not to be entered again; NULL: none */
  LeafFunc leaf;
  gpointer data;
  guint64 first, last; /* keys that are wanted */
} Walk;

static gboolean check_node(Walk *walk, guint64 number, const ThinDiskNode *node, GError **error)
{
  guint32 flags = GUINT32_FROM_LE(node->header.flags), n = GUINT32_FROM_LE(node->nr_entries),
          max = GUINT32_FROM_LE(node->max_entries), size = GUINT32_FROM_LE(node->value_size);
  guint wanted = flags == THIN_NODE_LEAF ? walk->value_size : sizeof(guint64);

  if ((flags == THIN_NODE_LEAF || flags == THIN_NODE_INTERNAL) && size == wanted && n <= max &&
      max <= (THIN_METADATA_BLOCK - sizeof *node) / (8 + size))
    return TRUE;
  return vt_set_error(error, EBADMSG, "%s: block %" G_GUINT64_FORMAT " is no node of the tree it is in",
                      vt_io_name(walk->reader->io), number);
}

static guint64 get_le64(const guint8 *bytes)
{
  guint64 value;

  memcpy(&value, bytes, sizeof value);
  return GUINT64_FROM_LE(value);
}

/* Entry @i of @n: may it be, or lead to, what is wanted? A child's keys end before the next one's. */
static gboolean is_wanted(const Walk *walk, const guint8 *keys, guint i, guint n, gboolean leaf)
{
  guint64 key = get_le64(keys + 8 * i);

  if (leaf)
    return key >= walk->first && key <= walk->last;
  return key <= walk->last && (i + 1 == n || get_le64(keys + 8 * (i + 1)) > walk->first);
}

static gboolean walk_tree(Walk *walk, guint64 number, guint depth, GError **error)
{
  g_autofree guint8 *block = g_malloc(THIN_METADATA_BLOCK);
  const ThinDiskNode *node = (const ThinDiskNode *)block;
  const guint8 *keys = block + sizeof *node, *values;
  gboolean leaf, ok = TRUE;
  guint n;

  if (walk->visited && !g_hash_table_add(walk->visited, GSIZE_TO_POINTER((gsize)number + 1)))
    return TRUE;
  if (depth > DEPTH_MAX)
    return vt_set_error(error, EBADMSG, "%s: a tree runs in circles", vt_io_name(walk->reader->io));
  if (!read_block(walk->reader, number, THIN_SALT_NODE, block, error) || !check_node(walk, number, node, error))
    return FALSE;
  leaf = GUINT32_FROM_LE(node->header.flags) == THIN_NODE_LEAF;
  values = keys + (gsize)8 * GUINT32_FROM_LE(node->max_entries);
  n = GUINT32_FROM_LE(node->nr_entries);
  for (guint i = 0; ok && i < n; i++) {
    if (!is_wanted(walk, keys, i, n, leaf))
      continue;
    ok = leaf ? walk->leaf(get_le64(keys + 8 * i), values + (gsize)walk->value_size * i, walk->data, error)
              : walk_tree(walk, get_le64(values + 8 * i), depth + 1, error);
  }
  return ok;
}

/* --- details --- */

typedef struct {
  GArray *devices;
  guint64 chunk_size;
} Details;

static gboolean details_leaf(guint64 key, const guint8 *value, gpointer data, GError **error)
{
  Details *list = data;
  ThinDiskDetails details;
  ThinDevice device;

  memcpy(&details, value, sizeof details);
  device = (ThinDevice){
      .id = (guint32)key,
      .mapped = GUINT64_FROM_LE(details.mapped_blocks) * list->chunk_size,
      .transaction_id = GUINT64_FROM_LE(details.transaction_id),
      .creation_time = GUINT32_FROM_LE(details.creation_time),
      .snapshotted_time = GUINT32_FROM_LE(details.snapshotted_time),
  };
  g_array_append_val(list->devices, device);
  return TRUE;
}

GArray *dmk_reader_devices(DmkReader *reader, guint32 first, guint32 last, GError **error)
{
  g_autoptr(GArray) devices = g_array_new(FALSE, TRUE, sizeof(ThinDevice));
  Details list = {devices, reader->chunk_size};
  Walk walk = {reader, sizeof(ThinDiskDetails), NULL, details_leaf, &list, first, last};

  return reader->empty || walk_tree(&walk, reader->details_root, 0, error) ? g_steal_pointer(&devices) : NULL;
}

/* --- maps --- */

static gboolean roots_leaf(guint64 key, const guint8 *value, gpointer data, GError **error)
{
  guint64 *root = g_new(guint64, 1);

  *root = get_le64(value);
  g_hash_table_insert(data, GUINT_TO_POINTER((guint)key), root);
  return TRUE;
}

/* Device id -> guint64 *, the root of its map. */
static GHashTable *read_roots(DmkReader *reader, guint32 id, GError **error)
{
  g_autoptr(GHashTable) roots = g_hash_table_new_full(NULL, NULL, NULL, g_free);
  Walk walk = {reader, sizeof(guint64), NULL, roots_leaf, roots, 0, G_MAXUINT64};

  if (!reader->empty && !walk_tree(&walk, reader->mapping_root, 0, error))
    return NULL;
  if (g_hash_table_contains(roots, GUINT_TO_POINTER(id)))
    return g_steal_pointer(&roots);
  vt_set_error(error, ENOENT, "%s: there is no thin device %u", vt_io_name(reader->io), id);
  return NULL;
}

static guint64 root_of(GHashTable *roots, guint32 id)
{
  return *(guint64 *)g_hash_table_lookup(roots, GUINT_TO_POINTER(id));
}

typedef struct {
  GArray *ranges;
  guint64 chunk_size;
} Map;

static gboolean map_leaf(guint64 key, const guint8 *value, gpointer data, GError **error)
{
  Map *map = data;
  DmkRange range = {key * map->chunk_size, (key + 1) * map->chunk_size};
  DmkRange *last = map->ranges->len ? &g_array_index(map->ranges, DmkRange, map->ranges->len - 1) : NULL;

  if (last && last->end == range.begin)
    last->end = range.end;
  else
    g_array_append_val(map->ranges, range);
  return TRUE;
}

GArray *dmk_reader_map(DmkReader *reader, guint32 id, GError **error)
{
  g_autoptr(GHashTable) roots = read_roots(reader, id, error);
  g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(DmkRange));
  Map map = {ranges, reader->chunk_size};
  Walk walk = {reader, sizeof(guint64), NULL, map_leaf, &map, 0, G_MAXUINT64};

  return roots && walk_tree(&walk, root_of(roots, id), 0, error) ? g_steal_pointer(&ranges) : NULL;
}

/* --- counts --- */

/* A bit for each chunk, as many as are needed: a metadata snapshot does not say how many chunks there are. */
typedef struct {
  DmkReader *reader;
  GByteArray *mine, *others;
  GByteArray *set; /* one of the two */
} Count;

static gboolean count_leaf(guint64 key, const guint8 *value, gpointer data, GError **error)
{
  Count *count = data;
  guint64 chunk = THIN_MAPPING_CHUNK(get_le64(value));
  guint old = count->set->len;

  if (chunk >= CHUNKS_MAX)
    return vt_set_error(error, EBADMSG, "%s: there cannot be a chunk %" G_GUINT64_FORMAT, vt_io_name(count->reader->io),
                        chunk);
  if (chunk / 8 >= old) {
    g_byte_array_set_size(count->set, (guint)(chunk / 8 + 1));
    memset(count->set->data + old, 0, count->set->len - old);
  }
  count->set->data[chunk / 8] |= (guint8)(1u << chunk % 8);
  return TRUE;
}

static gboolean count_trees(Count *count, GHashTable *roots, guint32 id, GError **error)
{
  g_autoptr(GHashTable) visited = g_hash_table_new(NULL, NULL);
  Walk walk = {count->reader, sizeof(guint64), NULL, count_leaf, count, 0, G_MAXUINT64};
  GHashTableIter iter;
  gpointer other, root;

  count->set = count->mine;
  if (!walk_tree(&walk, root_of(roots, id), 0, error))
    return FALSE;
  count->set = count->others;
  walk.visited = visited;
  for (g_hash_table_iter_init(&iter, roots); g_hash_table_iter_next(&iter, &other, &root);)
    if (GPOINTER_TO_UINT(other) != id && !walk_tree(&walk, *(guint64 *)root, 0, error))
      return FALSE;
  return TRUE;
}

static guint count_bits(guint8 byte)
{
  return (guint)__builtin_popcount(byte);
}

gboolean dmk_reader_count(DmkReader *reader, guint32 id, guint64 *exclusive, guint64 *shared, GError **error)
{
  g_autoptr(GHashTable) roots = read_roots(reader, id, error);
  g_autoptr(GByteArray) mine = g_byte_array_new(), others = g_byte_array_new();
  Count count = {reader, mine, others, NULL};

  if (!roots || !count_trees(&count, roots, id, error))
    return FALSE;
  *exclusive = *shared = 0;
  for (guint i = 0; i < mine->len; i++) {
    guint8 other = i < others->len ? others->data[i] : 0;

    *exclusive += count_bits(mine->data[i] & (guint8)~other) * reader->chunk_size;
    *shared += count_bits(mine->data[i] & other) * reader->chunk_size;
  }
  return TRUE;
}
