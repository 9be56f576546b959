/* virt-thin - thin metadata: superblock, transactions, sizes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A transaction lives in the block cache and in the counts. Nothing the committed superblock
 * reaches is overwritten, so the one write of the superblock decides: before it the old state
 * stands, after it the new one. Hence the order of a commit (as linux dm-thin-metadata.c
 * __commit_transaction): counts settled, data flushed, blocks written, flush, superblock, flush.
 */
#include "config.h"
#include "thin/metadata/metadata-private.h"
#include "util/memory.h"

#define CACHE_DEFAULT (64u << 20)
#define BACK_STEP 1024 /* blocks that are backed at a time */
#define BACK_LEAST 16  /* ... when there is little room */

/* --- trees -------------------------------------------------------------------------- */

/* Call @func for the chunks of @n mappings, neighbours together. */
static gboolean for_runs(ThinMetadata *md, const guint8 *values, guint n,
                         gboolean (*func)(ThinDataMap *, guint64, guint64, GError **),
                         GError **error)
{
  for (guint i = 0, run; i < n; i += run) {
    guint64 value, first;
    memcpy(&value, values + 8 * i, 8);
    first = THIN_MAPPING_CHUNK(GUINT64_FROM_LE(value));
    for (run = 1; i + run < n; run++) {
      memcpy(&value, values + 8 * (i + run), 8);
      if (THIN_MAPPING_CHUNK(GUINT64_FROM_LE(value)) != first + run)
        break;
    }
    if (!func(md->data, first, run, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean inc_mappings(gpointer md, const guint8 *values, guint n, GError **error)
{
  return for_runs(md, values, n, thin_data_map_inc, error);
}

static gboolean dec_mappings(gpointer md, const guint8 *values, guint n, GError **error)
{
  return for_runs(md, values, n, thin_data_map_dec, error);
}

static gboolean mark_mappings(gpointer md, const guint8 *values, guint n, GError **error)
{
  return for_runs(md, values, n, thin_data_map_mark_fell, error);
}

static gboolean inc_roots(gpointer user_data, const guint8 *values, guint n, GError **error)
{
  ThinMetadata *md = user_data;
  for (guint i = 0; i < n; i++) {
    guint64 root;
    memcpy(&root, values + 8 * i, 8);
    if (!thin_tm_inc(&md->tm, GUINT64_FROM_LE(root), error))
      return FALSE;
  }
  return TRUE;
}

static gboolean dec_roots(gpointer md, const guint8 *values, guint n, GError **error)
{
  ThinBtree tree = thin_metadata_device_tree(md);
  for (guint i = 0; i < n; i++) {
    guint64 root;
    memcpy(&root, values + 8 * i, 8);
    if (!thin_btree_delete(&tree, GUINT64_FROM_LE(root), error))
      return FALSE;
  }
  return TRUE;
}

ThinBtree thin_metadata_top_tree(ThinMetadata *md)
{
  return (ThinBtree){
      &md->tm, "mapping tree of the devices", sizeof(guint64), inc_roots, dec_roots, NULL, md};
}

ThinBtree thin_metadata_details_tree(ThinMetadata *md)
{
  return (ThinBtree){&md->tm, "device details", sizeof(ThinDiskDetails), NULL, NULL, NULL, md};
}

ThinBtree thin_metadata_device_tree(ThinMetadata *md)
{
  return (ThinBtree){
      &md->tm, "mapping tree", sizeof(guint64), inc_mappings, dec_mappings, mark_mappings, md};
}

/* --- superblock --------------------------------------------------------------------- */

static gboolean may_be_written(ThinMetadata *md, GError **error)
{
  const ThinDiskSuperblock *sb = &md->superblock;
  if (GUINT32_FROM_LE(sb->header.flags) & THIN_SUPERBLOCK_NEEDS_CHECK)
    return vt_set_error(error, EPERM,
                        "%s: the metadata is marked needs_check after an earlier failure: run "
                        "'virt-thin check --clear-needs-check', or 'virt-thin repair', first",
                        vt_io_name(md->io));
  if (sb->compat_ro_flags)
    return vt_set_error(error, EPERM,
                        "%s: the metadata uses features (flags %#x) that this version cannot write",
                        vt_io_name(md->io), GUINT32_FROM_LE(sb->compat_ro_flags));
  return TRUE;
}

/* As linux dm-thin-metadata.c __check_incompat_features(): who does not know these cannot even
 * read. */
static gboolean may_be_read(ThinMetadata *md, GError **error)
{
  const ThinDiskSuperblock *sb = &md->superblock;
  if (!sb->incompat_flags)
    return TRUE;
  return vt_set_error(error, EOPNOTSUPP,
                      "%s: the metadata uses features (flags %#x) that this version does not know: "
                      "a newer kernel or "
                      "virt-thin has written it",
                      vt_io_name(md->io), GUINT32_FROM_LE(sb->incompat_flags));
}

static void take_superblock(ThinMetadata *md)
{
  const ThinDiskSuperblock *sb = &md->superblock;
  md->mapping_root = GUINT64_FROM_LE(sb->data_mapping_root);
  md->details_root = GUINT64_FROM_LE(sb->device_details_root);
  md->held_root = GUINT64_FROM_LE(sb->held_root);
  md->transaction_id = GUINT64_FROM_LE(sb->trans_id);
  md->time = GUINT32_FROM_LE(sb->time);
  md->n_devices = G_MAXUINT;
}

static gboolean write_superblock(ThinMetadata *md, GError **error)
{
  thin_block_seal(md->superblock_block, 0, THIN_KIND_SUPERBLOCK);
  return vt_io_write(md->io, md->superblock_block, THIN_METADATA_BLOCK, 0, error);
}

/* --- room beneath ------------------------------------------------------------------- */

/* FALSE: there is no room. Whatever else may keep blocks from being allocated, who writes them is
 * told. */
static gboolean back(ThinMetadata *md, guint64 from, guint64 n)
{
  g_clear_error(&md->unbacked);
  if (!vt_io_back(md->io, from * THIN_METADATA_BLOCK, n * THIN_METADATA_BLOCK, &md->unbacked) &&
      vt_error_is_room(md->unbacked))
    return FALSE;
  g_clear_error(&md->unbacked);
  return TRUE;
}

/* Back a step more, or, where there is little room, what can be had of it. */
static gboolean back_more(ThinMetadata *md)
{
  ThinMetadataMap *map = md->tm.map;
  guint64 from = thin_metadata_map_n_backed(map),
          n = MIN(BACK_STEP, thin_metadata_map_n_blocks(map) - from);
  for (; n > 0; n = n > BACK_LEAST ? n / 2 : 0)
    if (back(md, from, n)) {
      thin_metadata_map_set_backed(map, from + n);
      return TRUE;
    }
  return FALSE;
}

/* Stay ahead of a change of @blocks. */
static void keep_backed(ThinMetadata *md, guint64 blocks)
{
  ThinMetadataMap *map = md->tm.map;
  guint64 wanted = thin_metadata_map_reserve(map) + blocks + BACK_STEP / 2;
  while (G_UNLIKELY(thin_metadata_map_n_usable(map) <= wanted) &&
         thin_metadata_map_n_backed(map) < thin_metadata_map_n_blocks(map) && back_more(md))
    ;
}

/* Also what is in use: a pool of another engine's, or of a file that was copied, may have holes
 * between its blocks. */
static void back_at_open(ThinMetadata *md)
{
  if (back(md, 0, thin_metadata_map_n_backed(md->tm.map)))
    keep_backed(md, 0);
  if (md->unbacked)
    g_warning("%s: what the thin pool's metadata needs cannot be allocated ahead, so that changes "
              "may be refused until "
              "there is room: %s",
              vt_io_name(md->io), md->unbacked->message);
}

/* --- open and close ----------------------------------------------------------------- */

static void drop_state(ThinMetadata *md)
{
  g_hash_table_remove_all(md->devices);
  g_clear_pointer(&md->data, thin_data_map_free);
  g_clear_pointer(&md->tm.map, thin_metadata_map_free);
  if (md->tm.cache)
    thin_cache_forget_all(md->tm.cache);
  md->changed = md->broken = FALSE;
  g_clear_error(&md->unbacked);
  g_clear_error(&md->starved);
}

/* Load both space maps. A damaged one is an error when writing; else it is done without. */
static gboolean load_maps(ThinMetadata *md, guint64 n_blocks, GError **error)
{
  g_autoptr(GError) fault = NULL;
  ThinMetadataMap *map = thin_metadata_map_new(n_blocks);

  if (!thin_metadata_map_load(map, &md->tm, &md->superblock.metadata_space_map.root, &fault)) {
    thin_metadata_map_free(map);
    if (!md->read_only) {
      g_propagate_error(error, g_steal_pointer(&fault));
      return FALSE;
    }
    g_clear_error(&fault);
  } else {
    md->tm.map = map;
  }
  md->data = thin_data_map_new(&md->tm);
  if (!thin_data_map_load(md->data, &md->superblock.data_space_map.root, &fault)) {
    g_clear_pointer(&md->data, thin_data_map_free);
    if (!md->read_only) {
      g_propagate_error(error, g_steal_pointer(&fault));
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean load(ThinMetadata *md, GError **error)
{
  guint64 on_device = vt_io_size(md->io) / THIN_METADATA_BLOCK, n_blocks;

  if (!thin_superblock_read(md->io, 0, md->superblock_block, error))
    return FALSE;
  if (!may_be_read(md, error) || (!md->read_only && !may_be_written(md, error)))
    return FALSE;
  n_blocks = GUINT64_FROM_LE(md->superblock.metadata_space_map.root.nr_blocks);
  if (n_blocks == 0 || n_blocks > THIN_METADATA_BLOCKS_MAX ||
      (n_blocks > on_device && !md->read_only))
    return vt_set_error(error, EBADMSG,
                        "%s: the metadata is said to have %" G_GUINT64_FORMAT
                        " blocks, the device has %" G_GUINT64_FORMAT,
                        vt_io_name(md->io), n_blocks, on_device);
  if (!md->tm.cache)
    md->tm.cache = thin_cache_new(md->io, md->cache_bytes, MIN(n_blocks, on_device));
  take_superblock(md);
  return load_maps(md, n_blocks, error);
}

static ThinMetadata *new_metadata(VtIo *io, gboolean read_only, gsize cache_bytes)
{
  ThinMetadata *md = g_new0(ThinMetadata, 1);
  md->io = vt_io_ref(io);
  md->read_only = read_only;
  md->cache_bytes = cache_bytes ? cache_bytes : CACHE_DEFAULT;
  md->devices = g_hash_table_new_full(NULL, NULL, NULL, g_free);
  md->n_devices = G_MAXUINT;
  return md;
}

ThinMetadata *thin_metadata_open(VtIo *io, gboolean read_only, gsize cache_bytes, GError **error)
{
  ThinMetadata *md = new_metadata(io, read_only, cache_bytes);
  if (!load(md, error)) {
    thin_metadata_close(md);
    return NULL;
  }
  if (!read_only)
    back_at_open(md);
  return md;
}

void thin_metadata_close(ThinMetadata *md)
{
  if (!md)
    return;
  drop_state(md);
  g_hash_table_unref(md->devices);
  thin_cache_free(md->tm.cache);
  vt_io_unref(md->io);
  g_free(md);
}

/* --- format ------------------------------------------------------------------------- */

static gboolean format_checks(VtIo *io, guint64 chunk_size, guint64 n_chunks, GError **error)
{
  guint64 block[THIN_METADATA_BLOCK / 8];

  if (chunk_size < THIN_CHUNK_MIN || chunk_size > THIN_CHUNK_MAX || chunk_size % THIN_CHUNK_MIN)
    return vt_set_error(error, EINVAL,
                        "chunks of %" G_GUINT64_FORMAT
                        " bytes: must be a multiple of 64 KiB from 64 KiB to 1 GiB",
                        chunk_size);
  if (n_chunks > THIN_CHUNKS_MAX)
    return vt_set_error(error, EINVAL,
                        "a pool of %" G_GUINT64_FORMAT " chunks: the format allows 2^40", n_chunks);
  if (vt_io_size(io) < THIN_METADATA_BLOCK)
    return vt_set_error(error, EINVAL, "%s: too small for thin metadata", vt_io_name(io));
  if (!vt_io_read(io, block, sizeof block, 0, error))
    return FALSE;
  if (!vt_is_zero(block, THIN_METADATA_BLOCK))
    return vt_set_error(error, EEXIST,
                        "%s: the first block is not zero: it may hold thin metadata already",
                        vt_io_name(io));
  return TRUE;
}

gboolean thin_metadata_format(VtIo *io, guint64 chunk_size, guint64 n_chunks, GError **error)
{
  if (!format_checks(io, chunk_size, n_chunks, error))
    return FALSE;
  guint64 n_blocks = MIN(vt_io_size(io) / THIN_METADATA_BLOCK, THIN_METADATA_BLOCKS_MAX);
  ThinMetadata *md = new_metadata(io, FALSE, 0);
  ThinDiskSuperblock *sb = &md->superblock;
  sb->magic = GUINT64_TO_LE(THIN_SUPERBLOCK_MAGIC);
  sb->version = GUINT32_TO_LE(THIN_SUPERBLOCK_VERSION);
  sb->data_block_size = GUINT32_TO_LE((guint32)(chunk_size / THIN_SECTOR));
  sb->metadata_block_size = GUINT32_TO_LE(THIN_METADATA_BLOCK / THIN_SECTOR);
  sb->metadata_nr_blocks = GUINT64_TO_LE(n_blocks);

  md->tm.cache = thin_cache_new(io, md->cache_bytes, n_blocks);
  md->tm.map = thin_metadata_map_new(n_blocks);
  md->data = thin_data_map_new(&md->tm);
  md->changed = TRUE;
  ThinBtree top = thin_metadata_top_tree(md), details = thin_metadata_details_tree(md);
  gboolean ok =
      thin_metadata_has_room(md, 0, error) && thin_metadata_map_inc(md->tm.map, 0, error) &&
      thin_data_map_create(md->data, error) && thin_btree_empty(&top, &md->mapping_root, error) &&
      thin_btree_empty(&details, &md->details_root, error) &&
      thin_data_map_grow(md->data, n_chunks, error) && thin_metadata_commit(md, NULL, NULL, error);
  thin_metadata_close(md);
  if (!ok)
    g_prefix_error(error, "%s: cannot write an empty thin pool: ", vt_io_name(io));
  return ok;
}

/* --- transactions ------------------------------------------------------------------- */

gboolean thin_metadata_writable(ThinMetadata *md, GError **error)
{
  if (md->read_only)
    return vt_set_error(error, EROFS, "%s: the thin metadata is read-only", vt_io_name(md->io));
  if (md->broken)
    return vt_set_error(
        error, EROFS, "%s: an earlier change failed half way: the transaction can only be given up",
        vt_io_name(md->io));
  return TRUE;
}

/* Not enough is left: of the metadata, or of the room for it. */
static gboolean set_no_room(ThinMetadata *md, GError **error)
{
  const GError *cause = md->starved ? md->starved : md->unbacked;
  ThinMetadataMap *map = md->tm.map;

  if (thin_metadata_lacks_room(md) && cause)
    return vt_set_error(error, ENOSPC,
                        "%s: no room for more metadata; make some where the pool's files lie: %s",
                        vt_io_name(md->io), cause->message);
  return vt_set_error(
      error, ENOSPC,
      "%s: out of metadata: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
      " blocks are in use, the rest is kept for deletes and commits; extend the pool's metadata",
      vt_io_name(md->io), thin_metadata_map_n_allocated(map), thin_metadata_map_n_blocks(map));
}

gboolean thin_metadata_has_room(ThinMetadata *md, guint64 blocks, GError **error)
{
  keep_backed(md, blocks);
  return (!md->starved && thin_metadata_map_n_usable(md->tm.map) >
                              thin_metadata_map_reserve(md->tm.map) + blocks) ||
         set_no_room(md, error);
}

gboolean thin_metadata_has_reserve(ThinMetadata *md, GError **error)
{
  keep_backed(md, 0);
  return thin_metadata_map_n_usable(md->tm.map) >= thin_metadata_map_reserve(md->tm.map) / 4 ||
         set_no_room(md, error);
}

gboolean thin_metadata_changed_by(ThinMetadata *md, gboolean ok)
{
  md->changed = TRUE;
  md->broken |= !ok;
  return ok;
}

static gboolean settle_counts(ThinMetadata *md, GError **error)
{
  ThinDiskSuperblock *sb = &md->superblock;
  if (!thin_metadata_write_details(md, error) ||
      !thin_data_map_commit(md->data, &sb->data_space_map.root, error) ||
      !thin_metadata_map_commit(md->tm.map, &md->tm, &sb->metadata_space_map.root, error))
    return FALSE;
  sb->data_mapping_root = GUINT64_TO_LE(md->mapping_root);
  sb->device_details_root = GUINT64_TO_LE(md->details_root);
  sb->held_root = GUINT64_TO_LE(md->held_root);
  sb->trans_id = GUINT64_TO_LE(md->transaction_id);
  sb->time = GUINT32_TO_LE(md->time);
  return TRUE;
}

static void settle_device(gpointer id, gpointer value, gpointer user_data)
{
  ThinMetadataDevice *device = value;
  device->changed = device->owned = FALSE;
}

/* @lost: what was written may be there or not. A write that found no room has changed nothing that
 * counts: of a block that the old superblock does not reach, or all of the superblock's one. */
static gboolean write_all(ThinMetadata *md, gboolean *lost, GError **error)
{
  *lost = FALSE;
  if (!thin_cache_write_out(md->tm.cache, error))
    return FALSE;
  *lost = TRUE;
  if (!vt_io_flush(md->io, error))
    return FALSE;
  *lost = FALSE;
  if (!write_superblock(md, error))
    return FALSE;
  *lost = TRUE;
  return vt_io_flush(md->io, error);
}

gboolean thin_metadata_commit(ThinMetadata *md, ThinFlush flush_data, gpointer user_data,
                              GError **error)
{
  g_autoptr(GError) cause = NULL;
  gboolean lost = TRUE;

  if (!md->changed)
    return TRUE;
  if (!thin_metadata_writable(md, error))
    return FALSE;
  if (!settle_counts(md, &cause) || (flush_data && !flush_data(user_data, &cause)) ||
      !write_all(md, &lost, &cause)) {
    g_clear_error(&md->starved);
    if (lost || !vt_error_is_room(cause))
      md->broken = TRUE;
    else
      md->starved = g_error_copy(cause);
    g_propagate_error(error, g_steal_pointer(&cause));
    return FALSE;
  }
  thin_metadata_map_settle(md->tm.map);
  thin_data_map_settle(md->data);
  g_hash_table_foreach(md->devices, settle_device, NULL);
  md->changed = FALSE;
  g_clear_error(&md->starved);
  return TRUE;
}

void thin_metadata_abort(ThinMetadata *md, gboolean needs_check)
{
  g_autoptr(GError) error = NULL;
  gboolean writes = !vt_io_is_read_only(md->io);

  drop_state(md);
  md->read_only = TRUE;
  if (!load(md, &error)) {
    g_warning("cannot go back to the last commit: %s", error->message);
    return;
  }
  if (!needs_check)
    return;
  md->superblock.header.flags |= GUINT32_TO_LE(THIN_SUPERBLOCK_NEEDS_CHECK);
  if (writes && !(write_superblock(md, &error) && vt_io_flush(md->io, &error)))
    g_warning("cannot set needs_check: %s", error->message);
}

/* --- the metadata snapshot ---------------------------------------------------------- */

gboolean thin_metadata_reserve_snapshot(ThinMetadata *md, GError **error)
{
  if (!thin_metadata_writable(md, error) || !thin_metadata_has_room(md, 0, error))
    return FALSE;
  if (md->held_root)
    return vt_set_error(error, EEXIST,
                        "%s: there is a metadata snapshot already, in block %" G_GUINT64_FORMAT,
                        vt_io_name(md->io), md->held_root);
  if (md->changed)
    return vt_set_error(error, EINVAL, "%s: commit before taking a metadata snapshot",
                        vt_io_name(md->io));
  g_autoptr(ThinBlock) copy = thin_tm_new_block(&md->tm, THIN_KIND_SUPERBLOCK, error);
  if (!copy)
    return thin_metadata_changed_by(md, FALSE);
  memcpy(copy->data, md->superblock_block, THIN_METADATA_BLOCK);
  /* A reader must not follow the space maps: they change under the snapshot (dm-thin-metadata.c
   * __reserve_metadata_snap). */
  ThinDiskSuperblock *sb = (ThinDiskSuperblock *)copy->data;
  memset(&sb->data_space_map, 0, sizeof sb->data_space_map);
  memset(&sb->metadata_space_map, 0, sizeof sb->metadata_space_map);
  md->held_root = copy->number;
  return thin_metadata_changed_by(md, thin_tm_inc(&md->tm, md->mapping_root, error) &&
                                          thin_tm_inc(&md->tm, md->details_root, error));
}

gboolean thin_metadata_release_snapshot(ThinMetadata *md, GError **error)
{
  if (!thin_metadata_writable(md, error) || !thin_metadata_has_reserve(md, error))
    return FALSE;
  if (!md->held_root)
    return vt_set_error(error, ENOENT, "%s: there is no metadata snapshot", vt_io_name(md->io));
  ThinBtree top = thin_metadata_top_tree(md), details = thin_metadata_details_tree(md);
  g_autoptr(ThinBlock) block =
      thin_cache_get(md->tm.cache, md->held_root, THIN_KIND_SUPERBLOCK, error);
  if (!block)
    return FALSE;
  const ThinDiskSuperblock *sb = (const ThinDiskSuperblock *)block->data;
  guint64 mapping_root = GUINT64_FROM_LE(sb->data_mapping_root),
          details_root = GUINT64_FROM_LE(sb->device_details_root);
  guint64 held = md->held_root;
  thin_block_put(g_steal_pointer(&block));
  md->held_root = 0;
  return thin_metadata_changed_by(md, thin_btree_delete(&top, mapping_root, error) &&
                                          thin_btree_delete(&details, details_root, error) &&
                                          thin_tm_dec(&md->tm, held, NULL, error));
}

/* --- sizes and status --------------------------------------------------------------- */

gboolean thin_metadata_grow_data(ThinMetadata *md, guint64 n_chunks, GError **error)
{
  if (!thin_metadata_writable(md, error))
    return FALSE;
  if (n_chunks < thin_metadata_n_chunks(md) || n_chunks > THIN_CHUNKS_MAX)
    return vt_set_error(error, EINVAL,
                        "%s: a pool of %" G_GUINT64_FORMAT " chunks cannot have %" G_GUINT64_FORMAT,
                        vt_io_name(md->io), thin_metadata_n_chunks(md), n_chunks);
  if (n_chunks == thin_metadata_n_chunks(md))
    return TRUE;
  if (!thin_metadata_has_room(md, (n_chunks - thin_metadata_n_chunks(md)) / THIN_BITMAP_SLOTS,
                              error))
    return FALSE;
  return thin_metadata_changed_by(md, thin_data_map_grow(md->data, n_chunks, error));
}

gboolean thin_metadata_grow_metadata(ThinMetadata *md, guint64 n_blocks, GError **error)
{
  if (!thin_metadata_writable(md, error))
    return FALSE;
  n_blocks = MIN(n_blocks, THIN_METADATA_BLOCKS_MAX);
  if (n_blocks < thin_metadata_map_n_blocks(md->tm.map) ||
      n_blocks > vt_io_size(md->io) / THIN_METADATA_BLOCK)
    return vt_set_error(error, EINVAL,
                        "%s: metadata of %" G_GUINT64_FORMAT
                        " blocks cannot have %" G_GUINT64_FORMAT,
                        vt_io_name(md->io), thin_metadata_map_n_blocks(md->tm.map), n_blocks);
  if (n_blocks == thin_metadata_map_n_blocks(md->tm.map))
    return TRUE;
  thin_cache_grow(md->tm.cache, n_blocks);
  thin_metadata_map_grow(md->tm.map, n_blocks);
  keep_backed(md, 0);
  return thin_metadata_changed_by(md, TRUE);
}

guint64 thin_metadata_chunk_size(ThinMetadata *md)
{
  return (guint64)GUINT32_FROM_LE(md->superblock.data_block_size) * THIN_SECTOR;
}

guint64 thin_metadata_n_chunks(ThinMetadata *md)
{
  return md->data ? thin_data_map_n_chunks(md->data)
                  : GUINT64_FROM_LE(md->superblock.data_space_map.root.nr_blocks);
}

static guint64 n_allocated_chunks(ThinMetadata *md)
{
  return md->data ? thin_data_map_n_allocated(md->data)
                  : GUINT64_FROM_LE(md->superblock.data_space_map.root.nr_allocated);
}

guint64 thin_metadata_n_free_chunks(ThinMetadata *md)
{
  return md->data ? thin_data_map_n_usable(md->data) : 0;
}

void thin_metadata_status(ThinMetadata *md, ThinStatus *status)
{
  const ThinDiskSpaceMapRoot *root = &md->superblock.metadata_space_map.root;
  guint64 n_blocks =
      md->tm.map ? thin_metadata_map_n_blocks(md->tm.map) : GUINT64_FROM_LE(root->nr_blocks);
  guint64 used =
      md->tm.map ? thin_metadata_map_n_allocated(md->tm.map) : GUINT64_FROM_LE(root->nr_allocated);

  status->needs_check =
      (GUINT32_FROM_LE(md->superblock.header.flags) & THIN_SUPERBLOCK_NEEDS_CHECK) != 0;
  status->transaction_id = md->transaction_id;
  status->time = md->time;
  status->chunk_size = thin_metadata_chunk_size(md);
  status->data_size = thin_metadata_n_chunks(md) * status->chunk_size;
  status->data_used = n_allocated_chunks(md) * status->chunk_size;
  status->metadata_size = n_blocks * THIN_METADATA_BLOCK;
  status->metadata_used = thin_metadata_shown_used(n_blocks, used) * THIN_METADATA_BLOCK;
  status->held_root = md->held_root;
  if (!thin_metadata_count_devices(md, &status->n_devices, NULL))
    status->n_devices = 0;
}

gboolean thin_metadata_is_low(ThinMetadata *md)
{
  return md->tm.map && (md->starved || thin_metadata_map_n_usable(md->tm.map) <=
                                           thin_metadata_map_reserve(md->tm.map));
}

gboolean thin_metadata_lacks_room(ThinMetadata *md)
{
  return md->starved || (thin_metadata_is_low(md) && thin_metadata_map_n_backed(md->tm.map) <
                                                         thin_metadata_map_n_blocks(md->tm.map));
}

gboolean thin_metadata_is_broken(ThinMetadata *md)
{
  return md->broken;
}

gboolean thin_metadata_wants_commit(ThinMetadata *md)
{
  ThinMetadataMap *map = md->tm.map;
  return md->changed && thin_metadata_map_n_usable(map) <= thin_metadata_map_reserve(map) / 2 &&
         thin_metadata_map_n_freed(map) > 0;
}

gboolean thin_metadata_changed(ThinMetadata *md)
{
  return md->changed;
}

guint64 thin_metadata_transaction_id(ThinMetadata *md)
{
  return md->transaction_id;
}

void thin_metadata_set_transaction_id(ThinMetadata *md, guint64 tid)
{
  g_return_if_fail(!md->read_only);
  md->changed |= md->transaction_id != tid;
  md->transaction_id = tid;
}
