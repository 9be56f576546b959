/* virt-thin - reading the metadata of a thin pool that the kernel may have in use
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "dm/thin-reader-private.h"

DmkReader *dmk_reader_open(VtIo *metadata, guint64 root, GError **error)
{
  g_autoptr(DmkReader) reader = g_new0(DmkReader, 1);
  g_autoptr(GError) fault = NULL;

  reader->io = vt_io_ref(metadata);
  reader->root = root;
  reader->n_blocks = vt_io_size(metadata) / THIN_METADATA_BLOCK;
  if (!thin_superblock_read(metadata, root, reader->block, &fault) &&
      !(reader->empty = g_error_matches(fault, VT_ERROR, ENOENT))) {
    g_propagate_error(error, g_steal_pointer(&fault));
    return NULL;
  }
  reader->chunk_size = (guint64)GUINT32_FROM_LE(reader->superblock.data_block_size) * THIN_SECTOR;
  return g_steal_pointer(&reader);
}

void dmk_reader_close(DmkReader *reader)
{
  if (!reader)
    return;
  vt_io_unref(reader->io);
  g_free(reader);
}

VtIo *dmk_reader_metadata(DmkReader *reader, guint64 *root)
{
  *root = reader->root;
  return reader->io;
}

void dmk_reader_superblock(DmkReader *reader, DmkSuperblock *superblock)
{
  const ThinDiskSuperblock *sb = &reader->superblock;

  *superblock = (DmkSuperblock){
      .transaction_id = GUINT64_FROM_LE(sb->trans_id),
      .chunk_size = reader->chunk_size,
      .data_size = GUINT64_FROM_LE(sb->data_space_map.root.nr_blocks) * reader->chunk_size,
      .data_used = GUINT64_FROM_LE(sb->data_space_map.root.nr_allocated) * reader->chunk_size,
      .metadata_used =
          thin_metadata_shown_used(GUINT64_FROM_LE(sb->metadata_space_map.root.nr_blocks),
                                   GUINT64_FROM_LE(sb->metadata_space_map.root.nr_allocated)) *
          THIN_METADATA_BLOCK,
      .needs_check = (GUINT32_FROM_LE(sb->header.flags) & THIN_SUPERBLOCK_NEEDS_CHECK) != 0,
  };
}

gboolean dmk_reader_is_current(DmkReader *reader)
{
  guint8 block[THIN_METADATA_BLOCK];

  return vt_io_read(reader->io, block, sizeof block, 0, NULL) &&
         memcmp(block, reader->block, sizeof block) == 0;
}

ThinWalk dmk_reader_walk(DmkReader *reader, ThinEntryFunc entry, gpointer data)
{
  return (ThinWalk){.io = reader->io,
                    .n_blocks = reader->n_blocks,
                    .value_size = sizeof(guint64),
                    .end = G_MAXUINT64,
                    .data = data,
                    .entry = entry};
}

/* --- devices --- */

typedef struct {
  GArray *devices;
  guint64 chunk_size;
} Devices;

static gboolean add_device(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  const ThinDiskDetails *details = value;
  Devices *list = walk->data;
  ThinDevice device = {
      .id = (guint32)key,
      .mapped = GUINT64_FROM_LE(details->mapped_blocks) * list->chunk_size,
      .transaction_id = GUINT64_FROM_LE(details->transaction_id),
      .creation_time = GUINT32_FROM_LE(details->creation_time),
      .snapshotted_time = GUINT32_FROM_LE(details->snapshotted_time),
  };

  g_array_append_val(list->devices, device);
  return TRUE;
}

GArray *dmk_reader_devices(DmkReader *reader, guint32 first, guint32 last, GError **error)
{
  g_autoptr(GArray) devices = g_array_new(FALSE, TRUE, sizeof(ThinDevice));
  Devices list = {devices, reader->chunk_size};
  ThinWalk walk = dmk_reader_walk(reader, add_device, &list);

  walk.value_size = sizeof(ThinDiskDetails);
  walk.begin = first;
  walk.end = (guint64)last + 1;
  return reader->empty || thin_walk(&walk, GUINT64_FROM_LE(reader->superblock.device_details_root),
                                    NULL, error)
             ? g_steal_pointer(&devices)
             : NULL;
}

/* --- maps --- */

static gboolean take_root(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  *(guint64 *)walk->data = thin_value_u64(value);
  return TRUE;
}

gboolean dmk_reader_find_root(DmkReader *reader, guint32 id, guint64 *root, GError **error)
{
  ThinWalk walk = dmk_reader_walk(reader, take_root, root);

  walk.begin = id;
  walk.end = (guint64)id + 1;
  *root = G_MAXUINT64;
  if (!reader->empty &&
      !thin_walk(&walk, GUINT64_FROM_LE(reader->superblock.data_mapping_root), NULL, error))
    return FALSE;
  return *root != G_MAXUINT64 ||
         vt_set_error(error, ENOENT, "%s: there is no thin device %u", vt_io_name(reader->io), id);
}

typedef struct {
  GArray *ranges;
  guint64 chunk_size;
} Map;

static gboolean add_chunk(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  Map *map = walk->data;
  DmkRange range = {key * map->chunk_size, (key + 1) * map->chunk_size};
  DmkRange *last =
      map->ranges->len ? &g_array_index(map->ranges, DmkRange, map->ranges->len - 1) : NULL;

  if (last && last->end == range.begin)
    last->end = range.end;
  else
    g_array_append_val(map->ranges, range);
  return TRUE;
}

GArray *dmk_reader_map(DmkReader *reader, guint32 id, GError **error)
{
  g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(DmkRange));
  Map map = {ranges, reader->chunk_size};
  ThinWalk walk = dmk_reader_walk(reader, add_chunk, &map);
  guint64 root;

  return dmk_reader_find_root(reader, id, &root, error) && thin_walk(&walk, root, NULL, error)
             ? g_steal_pointer(&ranges)
             : NULL;
}

/* --- comparing, and blocks that others do not have --- */

static gboolean read_node(gpointer data, guint64 number, guint8 *block, GError **error)
{
  DmkReader *reader = data;

  if (number == 0 || number >= reader->n_blocks)
    return vt_set_error(error, EBADMSG, "%s: there is no metadata block %" G_GUINT64_FORMAT,
                        vt_io_name(reader->io), number);
  return thin_block_read(reader->io, number, THIN_KIND_NODE, block, error);
}

gboolean dmk_reader_delta(DmkReader *reader, gint64 left, gint64 right, ThinDelta *delta,
                          GError **error)
{
  ThinDeltaMaps maps = {.read = read_node,
                        .source = reader,
                        .name = vt_io_name(reader->io),
                        .chunk_size = reader->chunk_size};

  return (left < 0 || dmk_reader_find_root(reader, (guint32)left, &maps.left, error)) &&
         (right < 0 || dmk_reader_find_root(reader, (guint32)right, &maps.right, error)) &&
         thin_delta(delta, &maps, error);
}

typedef struct {
  DmkReader *reader;
  gint64 deadline;
} TimedReader;

static gboolean read_node_in_time(gpointer data, guint64 number, guint8 *block, GError **error)
{
  TimedReader *timed = data;

  if (g_get_monotonic_time() >= timed->deadline)
    return vt_set_error(error, ETIMEDOUT, "%s: reading it takes too long",
                        vt_io_name(timed->reader->io));
  return read_node(timed->reader, number, block, error);
}

gboolean dmk_reader_count_new(DmkReader *reader, guint32 id, gint64 deadline, GByteArray *seen,
                              guint64 *n, GError **error)
{
  TimedReader timed = {reader, deadline};
  const ThinCountMaps maps = {.read = read_node_in_time,
                              .source = &timed,
                              .name = vt_io_name(reader->io),
                              .n_blocks = reader->n_blocks};
  guint64 root;

  return dmk_reader_find_root(reader, id, &root, error) &&
         thin_count_new(&maps, root, seen, n, error);
}
