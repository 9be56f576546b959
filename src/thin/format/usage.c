/* virt-thin - who uses the chunks of a thin pool: alone, together with others, and in a set
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * First the maps are gone through without their leaves: of each node it is noted whose it is, or
 * that several have it. Then the leaves are read, each for all who have it, and of each chunk it is
 * noted whether it was met again, and by what classes of devices. What a device has alone is then
 * in leaves that it has alone; these are read once more.
 */
#include "config.h"
#include "thin/format/usage.h"

#include "thin/format/count-new.h"
#include "thin/format/walk.h"

#define OWNER_BITS 25
#define SHARED ((1u << OWNER_BITS) - 1)
G_STATIC_ASSERT(THIN_DEVICE_MAX + 1 < SHARED);

/* Besides the classes, of chunks. */
enum {
  HELD = 8, /* by the metadata snapshot */
  MET = 16,
  MET_AGAIN = 32,
  CHUNK_STATES = 64,
};

#define WINDOW 64 /* metadata blocks that are read at a time */

typedef struct {
  guint32 owner : OWNER_BITS; /* a device's place in the list, and 1; 0: nobody; SHARED */
  guint32 classes : 6;
  guint32 is_leaf : 1;
} Node;
G_STATIC_ASSERT(sizeof(Node) == 4);

typedef struct {
  VtIo *io;
  ThinUsage *usage;
  ThinCountMaps maps;
  guint64 n_blocks, n_chunks;
  GArray *roots; /* of guint64, as usage->devices */
  Node *nodes;
  guint8 *chunks;
} Reading;

static gboolean damaged(const Reading *r, guint64 number, const char *what, GError **error)
{
  return vt_set_error(error, EBADMSG, "%s: metadata block %" G_GUINT64_FORMAT " %s",
                      vt_io_name(r->io), number, what);
}

/* --- devices --- */

static gboolean take_device(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  const ThinDiskDetails *details = value;
  ThinUsage *usage = ((Reading *)walk->data)->usage;
  ThinUsageDevice device = {.id = (guint32)key,
                            .class = THIN_USAGE_KNOWN,
                            .mapped = GUINT64_FROM_LE(details->mapped_blocks) * usage->chunk_size};

  if (key > THIN_DEVICE_MAX)
    return vt_set_error(error, EBADMSG, "%s: device id %" G_GUINT64_FORMAT " is out of range",
                        vt_io_name(walk->io), key);
  if (usage->classify)
    device.class = usage->classify(device.id, usage->data);
  g_array_append_val(usage->devices, device);
  return TRUE;
}

static gboolean take_root(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  Reading *r = walk->data;
  guint64 root = thin_value_u64(value);
  guint n = r->roots->len;

  if (n >= r->usage->devices->len || g_array_index(r->usage->devices, ThinUsageDevice, n).id != key)
    return vt_set_error(error, EBADMSG,
                        "%s: near thin device %" G_GUINT64_FORMAT
                        " there is a device without a map, or a map without a device",
                        vt_io_name(walk->io), key);
  g_array_append_val(r->roots, root);
  return TRUE;
}

static ThinWalk new_walk(Reading *r, guint value_size, ThinEntryFunc entry)
{
  return (ThinWalk){.io = r->io,
                    .n_blocks = r->n_blocks,
                    .value_size = value_size,
                    .end = G_MAXUINT64,
                    .data = r,
                    .entry = entry};
}

static gboolean find_devices(Reading *r, const ThinDiskSuperblock *sb, GError **error)
{
  ThinWalk details = new_walk(r, sizeof(ThinDiskDetails), take_device),
           maps = new_walk(r, sizeof(guint64), take_root);

  return thin_walk(&details, GUINT64_FROM_LE(sb->device_details_root), NULL, error) &&
         thin_walk(&maps, GUINT64_FROM_LE(sb->data_mapping_root), NULL, error) &&
         (r->roots->len == r->usage->devices->len ||
          vt_set_error(error, EBADMSG, "%s: thin device %u has no map", vt_io_name(r->io),
                       g_array_index(r->usage->devices, ThinUsageDevice, r->roots->len).id));
}

/* --- nodes --- */

/* Who a map is looked at for; @owner 0: nobody, as far as sharing goes. */
typedef struct {
  guint owner, classes;
} Visitor;

/* FALSE: it was met for the like before, and so was what is beneath it; or, with @error set, in the
 * same map. */
static gboolean note(Reading *r, guint64 number, const Visitor *visitor, GError **error)
{
  Node *node = &r->nodes[number], before = *node;

  if (visitor->owner && before.owner == visitor->owner)
    return damaged(r, number, "is in one map twice", error);
  if (visitor->owner)
    node->owner = before.owner == 0 ? visitor->owner : SHARED;
  node->classes |= visitor->classes;
  return node->owner != before.owner || node->classes != before.classes;
}

static gboolean visit(Reading *r, const Visitor *visitor, guint64 number, guint height,
                      GError **error)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  guint8 *data = (guint8 *)block;
  GError *local = NULL;

  if (number == 0 || number >= r->n_blocks)
    return damaged(r, number, "cannot hold a node: it is the superblock, or beyond the end", error);
  if (!note(r, number, visitor, &local))
    return !local || (g_propagate_error(error, local), FALSE);
  if (height == 0) {
    r->nodes[number].is_leaf = TRUE;
    return TRUE;
  }
  if (!thin_count_read_node(&r->maps, number, data, error))
    return FALSE;
  if (thin_node_is_leaf(data))
    return damaged(r, number, "is a leaf where none can be", error);
  for (guint i = 0; i < thin_node_n(data); i++)
    if (!visit(r, visitor, thin_node_child(data, i), height - 1, error))
      return FALSE;
  return TRUE;
}

static gboolean visit_map(Reading *r, const Visitor *visitor, guint64 root, GError **error)
{
  guint height;

  return thin_count_height(&r->maps, root, &height, error) &&
         visit(r, visitor, root, height, error);
}

static gboolean visit_held_map(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  const Visitor visitor = {0, HELD};

  return visit_map(walk->data, &visitor, thin_value_u64(value), error);
}

/* The metadata snapshot that somebody else has taken. */
static gboolean visit_held(Reading *r, guint64 number, GError **error)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  const ThinDiskSuperblock *sb = (const ThinDiskSuperblock *)(gpointer)block;
  ThinWalk walk = new_walk(r, sizeof(guint64), visit_held_map);

  return thin_superblock_read(r->io, number, (guint8 *)block, error) &&
         thin_walk(&walk, GUINT64_FROM_LE(sb->data_mapping_root), NULL, error);
}

static gboolean visit_all(Reading *r, guint64 held, GError **error)
{
  for (guint i = 0; i < r->roots->len; i++) {
    const Visitor visitor = {i + 1, g_array_index(r->usage->devices, ThinUsageDevice, i).class};

    if (!visit_map(r, &visitor, g_array_index(r->roots, guint64, i), error))
      return FALSE;
  }
  return !held || visit_held(r, held, error);
}

/* --- leaves --- */

typedef gboolean (*NodeTest)(const Node *node);
typedef void (*ChunkFunc)(Reading *r, const Node *node, guint64 chunk);

static gboolean is_leaf(const Node *node)
{
  return node->is_leaf;
}

static gboolean is_own_leaf(const Node *node)
{
  return node->is_leaf && node->owner && node->owner != SHARED;
}

static void note_chunk(Reading *r, const Node *node, guint64 chunk)
{
  guint8 *state = &r->chunks[chunk];

  if (node->owner == SHARED || (node->owner && (*state & MET)))
    *state |= MET_AGAIN;
  *state |= (guint8)(node->classes | (node->owner ? MET : 0));
}

static void count_chunk(Reading *r, const Node *node, guint64 chunk)
{
  ThinUsageDevice *device = &g_array_index(r->usage->devices, ThinUsageDevice, node->owner - 1);

  if (!(r->chunks[chunk] & MET_AGAIN))
    device->exclusive += r->usage->chunk_size;
}

static gboolean read_leaf(Reading *r, const guint8 *data, guint64 number, ChunkFunc func,
                          GError **error)
{
  const char *fault;

  if (!thin_block_verify(data, number, THIN_KIND_NODE, vt_io_name(r->io), error))
    return FALSE;
  fault = thin_node_is_leaf(data) ? thin_node_fault(data, sizeof(guint64), TRUE)
                                  : "is no leaf where one must be";
  if (fault)
    return damaged(r, number, fault, error);
  for (guint i = 0; i < thin_node_n(data); i++) {
    guint64 chunk = THIN_MAPPING_CHUNK(thin_value_u64(thin_node_value(data, i)));
    if (chunk >= r->n_chunks)
      return damaged(r, number, "maps a chunk behind the pool's last one", error);
    func(r, &r->nodes[number], chunk);
  }
  return TRUE;
}

/* The leaves among blocks [begin, end), of which the first and the last are some. */
static gboolean read_window(Reading *r, guint64 begin, guint64 end, guint8 *buffer, NodeTest wanted,
                            ChunkFunc func, GError **error)
{
  if (!vt_io_read(r->io, buffer, (end - begin) * THIN_METADATA_BLOCK, begin * THIN_METADATA_BLOCK,
                  error))
    return FALSE;
  for (guint64 i = begin; i < end; i++)
    if (wanted(&r->nodes[i]) &&
        !read_leaf(r, buffer + (i - begin) * THIN_METADATA_BLOCK, i, func, error))
      return FALSE;
  return TRUE;
}

static gboolean read_leaves(Reading *r, NodeTest wanted, ChunkFunc func, GError **error)
{
  g_autofree guint8 *buffer = g_malloc(WINDOW * THIN_METADATA_BLOCK);

  for (guint64 begin = 0, end; begin < r->n_blocks; begin = MAX(end, begin + 1)) {
    guint64 stop = MIN(begin + WINDOW, r->n_blocks);

    end = begin;
    if (!wanted(&r->nodes[begin]))
      continue;
    for (guint64 i = begin; i < stop; i++)
      if (wanted(&r->nodes[i]))
        end = i + 1;
    if (!read_window(r, begin, end, buffer, wanted, func, error))
      return FALSE;
  }
  return TRUE;
}

/* --- all --- */

static void sum_up(Reading *r)
{
  ThinUsage *usage = r->usage;
  guint64 n[CHUNK_STATES] = {0};

  for (guint64 i = 0; i < r->n_chunks; i++)
    n[r->chunks[i]]++;
  for (guint state = 0; state < CHUNK_STATES; state++) {
    guint classes = state & (THIN_USAGE_CHOSEN | THIN_USAGE_KNOWN | THIN_USAGE_STRAY | HELD);
    guint64 bytes = n[state] * usage->chunk_size;

    if (classes & (THIN_USAGE_CHOSEN | THIN_USAGE_KNOWN))
      usage->known += bytes;
    else if (classes & THIN_USAGE_STRAY)
      usage->strays += bytes;
    if (classes == THIN_USAGE_CHOSEN)
      usage->freed += bytes;
  }
}

/* What each has alone is no more than its details say that it has. */
static gboolean check_details(const Reading *r, GError **error)
{
  for (guint i = 0; i < r->usage->devices->len; i++) {
    const ThinUsageDevice *device = &g_array_index(r->usage->devices, ThinUsageDevice, i);

    if (device->exclusive > device->mapped)
      return vt_set_error(error, EBADMSG, "%s: thin device %u maps more than its details say",
                          vt_io_name(r->io), device->id);
  }
  return TRUE;
}

static gboolean reserve(Reading *r, GError **error)
{
  if (r->n_chunks / THIN_BITMAP_SLOTS > r->n_blocks)
    return vt_set_error(error, EBADMSG,
                        "%s: superblock: %" G_GUINT64_FORMAT
                        " chunks cannot be counted in %" G_GUINT64_FORMAT " metadata blocks",
                        vt_io_name(r->io), r->n_chunks, r->n_blocks);
  r->nodes = g_try_new0(Node, r->n_blocks);
  r->chunks = g_try_new0(guint8, MAX(r->n_chunks, 1));
  return (r->nodes && r->chunks) || /* else no memory */
         vt_set_error(error, ENOMEM, "%s: no memory to count %" G_GUINT64_FORMAT " chunks",
                      vt_io_name(r->io), r->n_chunks);
}

/* A metadata snapshot has no space maps: how many chunks there are says the pool's own. */
static gboolean read_sizes(Reading *r, guint64 *held, GError **error)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  const ThinDiskSuperblock *sb = (const ThinDiskSuperblock *)(gpointer)block;

  if (!thin_superblock_read(r->io, 0, (guint8 *)block, error))
    return FALSE;
  r->usage->chunk_size = (guint64)GUINT32_FROM_LE(sb->data_block_size) * THIN_SECTOR;
  r->usage->allocated =
      GUINT64_FROM_LE(sb->data_space_map.root.nr_allocated) * r->usage->chunk_size;
  r->n_chunks = GUINT64_FROM_LE(sb->data_space_map.root.nr_blocks);
  *held = r->usage->superblock ? 0 : GUINT64_FROM_LE(sb->held_root);
  return TRUE;
}

static gboolean read_all(Reading *r, GError **error)
{
  guint64 block[THIN_METADATA_BLOCK / 8], held;

  return read_sizes(r, &held, error) && reserve(r, error) &&
         thin_superblock_read(r->io, r->usage->superblock, (guint8 *)block, error) &&
         find_devices(r, (const ThinDiskSuperblock *)(gpointer)block, error) &&
         visit_all(r, held, error) && read_leaves(r, is_leaf, note_chunk, error) &&
         read_leaves(r, is_own_leaf, count_chunk, error) && check_details(r, error);
}

static gboolean read_node(gpointer io, guint64 number, guint8 *data, GError **error)
{
  return thin_block_read(io, number, THIN_KIND_NODE, data, error);
}

gboolean thin_usage(VtIo *metadata, ThinUsage *usage, GError **error)
{
  g_autoptr(GArray) roots = g_array_new(FALSE, FALSE, sizeof(guint64));
  Reading r = {.io = metadata,
               .usage = usage,
               .n_blocks = vt_io_size(metadata) / THIN_METADATA_BLOCK,
               .roots = roots};
  gboolean ok;

  r.maps = (ThinCountMaps){read_node, metadata, vt_io_name(metadata), r.n_blocks};
  usage->devices = g_array_new(FALSE, FALSE, sizeof(ThinUsageDevice));
  usage->known = usage->strays = usage->freed = 0;
  ok = read_all(&r, error);
  if (ok)
    sum_up(&r);
  g_free(r.nodes);
  g_free(r.chunks);
  return ok;
}

void thin_usage_clear(ThinUsage *usage)
{
  g_clear_pointer(&usage->devices, g_array_unref);
}

static gint by_id(gconstpointer a, gconstpointer b)
{
  guint32 x = ((const ThinUsageDevice *)a)->id, y = ((const ThinUsageDevice *)b)->id;

  return x < y ? -1 : x > y;
}

const ThinUsageDevice *thin_usage_find(const ThinUsage *usage, guint32 id)
{
  const ThinUsageDevice key = {.id = id};
  guint at;

  return g_array_binary_search(usage->devices, &key, by_id, &at)
             ? &g_array_index(usage->devices, ThinUsageDevice, at)
             : NULL;
}
