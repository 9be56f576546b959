/* virt-thin - metadata of a thin pool made anew, from devices and their maps in order
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin/rebuild/build-private.h"

/* --- what a leaf refers to ---------------------------------------------------------- */

static void count_chunks(gpointer data, const guint8 *node)
{
  ThinBuild *build = data;

  for (guint i = 0; i < thin_node_n(node); i++)
    build_counts_inc(&build->counts, THIN_MAPPING_CHUNK(thin_node_child(node, i)));
}

static void count_roots(gpointer data, const guint8 *node)
{
  ThinBuild *build = data;

  for (guint i = 0; i < thin_node_n(node); i++)
    ++*build_references(&build->blocks, thin_node_child(node, i));
}

/* --- making and freeing ------------------------------------------------------------- */

static gboolean check_facts(const ThinPoolFacts *facts, GError **error)
{
  if (facts->chunk_size < THIN_CHUNK_MIN || facts->chunk_size > THIN_CHUNK_MAX ||
      facts->chunk_size % THIN_CHUNK_MIN)
    return vt_set_error(error, EINVAL,
                        "chunks of %" G_GUINT64_FORMAT
                        " bytes cannot be: a multiple of 64 KiB, up to 1 GiB",
                        facts->chunk_size);
  return facts->n_chunks / THIN_BITMAP_SLOTS < BUILD_BLOCKS_MAX ||
         vt_set_error(error, EINVAL,
                      "a pool of %" G_GUINT64_FORMAT
                      " chunks cannot be: no metadata could count them",
                      facts->n_chunks);
}

ThinBuild *thin_build_new(VtIo *to, const ThinPoolFacts *facts, GError **error)
{
  ThinBuild *build;

  if (!check_facts(facts, error))
    return NULL;
  build = g_new0(ThinBuild, 1);
  build->facts = *facts;
  build_blocks_init(&build->blocks, to);
  build_tree_init(&build->map, &build->blocks, sizeof(guint64));
  build_tree_init(&build->top, &build->blocks, sizeof(guint64));
  build_tree_init(&build->details, &build->blocks, sizeof(ThinDiskDetails));
  build->map.shares = TRUE;
  build->map.leaf = count_chunks;
  build->top.leaf = count_roots;
  build->map.data = build->top.data = build;
  if (!build_counts_init(&build->counts, facts->n_chunks, error))
    g_clear_pointer(&build, thin_build_free);
  return build;
}

void thin_build_free(ThinBuild *build)
{
  if (!build)
    return;
  build_tree_clear(&build->map);
  build_tree_clear(&build->top);
  build_tree_clear(&build->details);
  build_counts_clear(&build->counts);
  build_blocks_clear(&build->blocks);
  g_free(build);
}

/* --- devices ------------------------------------------------------------------------ */

static gboolean end_device(ThinBuild *build, GError **error)
{
  const ThinDevice *device = &build->device;
  ThinDiskDetails details = {GUINT64_TO_LE(device->mapped), GUINT64_TO_LE(device->transaction_id),
                             GUINT32_TO_LE(device->creation_time),
                             GUINT32_TO_LE(device->snapshotted_time)};
  guint64 root;

  if (!build->has_device)
    return TRUE;
  build->has_device = FALSE;
  if (!build->root && !build_tree_finish(&build->map, &build->root, error))
    return FALSE;
  root = GUINT64_TO_LE(build->root);
  return build_tree_append(&build->top, device->id, &root, error) &&
         build_tree_append(&build->details, device->id, &details, error);
}

gboolean thin_build_device(ThinBuild *build, const ThinDevice *device, GError **error)
{
  if (device->id > THIN_DEVICE_MAX)
    return vt_set_error(error, EINVAL, "thin device %u: the highest id is %u", device->id,
                        THIN_DEVICE_MAX);
  if (build->n_devices > 0 && device->id <= build->device.id)
    return vt_set_error(error, EINVAL, "thin device %u comes after %u: not in order", device->id,
                        build->device.id);
  if (MAX(device->creation_time, device->snapshotted_time) > build->facts.time)
    return vt_set_error(error, EINVAL, "thin device %u is of time %u, the pool of %u", device->id,
                        MAX(device->creation_time, device->snapshotted_time), build->facts.time);
  if (!end_device(build, error))
    return FALSE;
  build->device = *device;
  build->device.mapped = 0;
  build->has_device = TRUE;
  build->n_devices++;
  build->next_key = build->root = 0;
  return TRUE;
}

static gboolean check_mapping(ThinBuild *build, guint64 begin, guint64 chunk, guint64 n,
                              guint32 time, GError **error)
{
  if (!build->has_device)
    return vt_set_error(error, EINVAL, "a mapping outside of a thin device");
  if (n == 0 || n > G_MAXUINT64 - begin)
    return vt_set_error(error, EINVAL,
                        "thin device %u: a mapping of %" G_GUINT64_FORMAT
                        " chunks from %" G_GUINT64_FORMAT " on cannot be",
                        build->device.id, n, begin);
  if (begin < build->next_key)
    return vt_set_error(error, EINVAL,
                        "thin device %u: virtual chunk %" G_GUINT64_FORMAT
                        " is mapped twice, or comes after %" G_GUINT64_FORMAT,
                        build->device.id, begin, build->next_key - 1);
  if (n > build->facts.n_chunks || chunk > build->facts.n_chunks - n)
    return vt_set_error(error, EINVAL,
                        "thin device %u: virtual chunk %" G_GUINT64_FORMAT
                        " is mapped to chunk %" G_GUINT64_FORMAT " (%" G_GUINT64_FORMAT
                        " of them), and the pool has %" G_GUINT64_FORMAT,
                        build->device.id, begin, chunk, n, build->facts.n_chunks);
  if (build->device.mapped + n > (guint64)BUILD_BLOCKS_MAX * THIN_NODE_MAX(sizeof(guint64)))
    return build_set_no_room(error);
  return time <= MIN(build->facts.time, THIN_MAPPING_TIME_MAX) ||
         vt_set_error(error, EINVAL,
                      "thin device %u: virtual chunk %" G_GUINT64_FORMAT
                      " was mapped at time %u, the pool is at %u",
                      build->device.id, begin, time, build->facts.time);
}

gboolean thin_build_map(ThinBuild *build, guint64 begin, guint64 chunk, guint64 n, guint32 time,
                        GError **error)
{
  if (!check_mapping(build, begin, chunk, n, time, error))
    return FALSE;
  build->next_key = begin + n;
  build->device.mapped += n;
  for (; n > 0; n--) {
    guint64 value = GUINT64_TO_LE(THIN_MAPPING(chunk++, time));

    if (!build_tree_append(&build->map, begin++, &value, error))
      return FALSE;
  }
  return TRUE;
}

/* --- the end ------------------------------------------------------------------------ */

static gboolean write_superblock(ThinBuild *build, ThinDiskSuperblock *sb, GError **error)
{
  guint64 block[THIN_METADATA_BLOCK / 8] = {0};

  memcpy(block, sb, sizeof *sb);
  thin_block_seal((guint8 *)block, 0, THIN_KIND_SUPERBLOCK);
  return vt_io_flush(build->blocks.to, error) &&
         vt_io_write(build->blocks.to, block, sizeof block, 0, error) &&
         vt_io_flush(build->blocks.to, error);
}

/* With the bitmaps of a device just large enough. */
static guint64 count_dry(const BuildBlocks *blocks)
{
  return blocks->next + blocks->next / THIN_BITMAP_SLOTS + 1;
}

static gboolean check_room(const BuildBlocks *blocks, GError **error)
{
  g_autofree char *wanted = NULL, *there = NULL;

  if (!build_is_short(blocks))
    return TRUE;
  wanted = g_format_size_full((guint64)blocks->next * THIN_METADATA_BLOCK, G_FORMAT_SIZE_IEC_UNITS);
  there = g_format_size_full(blocks->n_blocks * THIN_METADATA_BLOCK, G_FORMAT_SIZE_IEC_UNITS);
  return vt_set_error(error, ENOSPC,
                      "%s: too small for this metadata: it takes %u blocks (%s), there are "
                      "%" G_GUINT64_FORMAT " (%s)",
                      vt_io_name(blocks->to), blocks->next, wanted, blocks->n_blocks, there);
}

static ThinDiskSuperblock new_superblock(const ThinBuild *build)
{
  const ThinPoolFacts *facts = &build->facts;

  return (ThinDiskSuperblock){
      .header.flags = GUINT32_TO_LE(facts->flags),
      .magic = GUINT64_TO_LE(THIN_SUPERBLOCK_MAGIC),
      .version = GUINT32_TO_LE(THIN_SUPERBLOCK_VERSION),
      .time = GUINT32_TO_LE(facts->time),
      .trans_id = GUINT64_TO_LE(facts->transaction_id),
      .data_block_size = GUINT32_TO_LE((guint32)(facts->chunk_size / THIN_SECTOR)),
      .metadata_block_size = GUINT32_TO_LE(THIN_METADATA_BLOCK / THIN_SECTOR),
      .metadata_nr_blocks = GUINT64_TO_LE(build->blocks.n_blocks),
  };
}

/* The trees of devices, and who has no device any more. */
static gboolean end_trees(ThinBuild *build, ThinDiskSuperblock *sb, GError **error)
{
  guint32 top, details;

  if (!end_device(build, error) || !build_tree_finish(&build->top, &top, error) ||
      !build_tree_finish(&build->details, &details, error))
    return FALSE;
  ++*build_references(&build->blocks, top);
  ++*build_references(&build->blocks, details);
  sb->data_mapping_root = GUINT64_TO_LE(top);
  sb->device_details_root = GUINT64_TO_LE(details);
  return build_drop_unused(build, error);
}

gboolean thin_build_finish(ThinBuild *build, guint64 *n_used, GError **error)
{
  ThinDiskSuperblock sb = new_superblock(build);

  if (!end_trees(build, &sb, error) || !build_data_map(build, &sb.data_space_map.root, error) ||
      !build_metadata_map(build, &sb.metadata_space_map.root, error))
    return FALSE;
  if (n_used)
    *n_used = build->blocks.to ? GUINT64_FROM_LE(sb.metadata_space_map.root.nr_allocated)
                               : count_dry(&build->blocks);
  return !build->blocks.to ||
         (check_room(&build->blocks, error) && build_write_out(&build->blocks, error) &&
          write_superblock(build, &sb, error));
}
