/* virt-thin - thin metadata: from virtual chunks to chunks
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * When must a chunk be copied before it is written? The kernel says: when it was mapped before the
 * device's last snapshot was taken or made (mapping.time < device.snapshotted_time). That stays
 * true after the other side is gone. So a second test follows: a chunk is shared only if a node on
 * the way to its mapping is referred to more than once, or the chunk itself is, or was at the last
 * commit: if this transaction is lost they are shared again, and what was written in place would
 * show through. While a metadata snapshot is held everything counts as shared. The kernel, reading
 * what we wrote, merely copies more.
 */
#include "config.h"
#include "thin/format/count-new.h"
#include "thin/metadata/metadata-private.h"

#define BATCH 504 /* two full leaves */

static gboolean range_is_sane(guint64 begin, guint64 end, GError **error)
{
  if (begin <= end && end <= G_MAXINT64)
    return TRUE;
  return vt_set_error(
      error, EINVAL, "virtual chunks from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, begin, end);
}

/* --- looking up --------------------------------------------------------------------- */

typedef struct {
  ThinMetadata *md;
  const ThinMetadataDevice *device;
  guint64 end;
  ThinRun *run;
} Lookup;

/* How many of the mappings to chunks [chunk, chunk + n), all of one @time, are alike shared. */
static gboolean alike_shared(Lookup *lookup, const ThinLeaf *leaf, guint32 time, guint64 chunk,
                             guint64 *n, gboolean *shared, GError **error)
{
  ThinMetadata *md = lookup->md;
  gboolean once;

  *shared = FALSE;
  if (time >= lookup->device->snapshotted_time)
    return TRUE;
  *shared = TRUE;
  if (leaf->shared || md->held_root || !md->data)
    return TRUE;
  if (thin_data_map_run_once(md->data, chunk, *n, n, &once, md->read_only ? NULL : error)) {
    *shared = !once;
    return TRUE;
  }
  *n = MAX(*n, 1);
  return md->read_only; /* nothing will be written: whether it is shared decides nothing */
}

/* Add mappings of @leaf to the run, which ends where they begin. @more: the whole leaf was
 * alike. */
static gboolean extend_run(Lookup *lookup, const ThinLeaf *leaf, gboolean *more, GError **error)
{
  ThinRun *run = lookup->run;
  guint i = leaf->first;

  *more = FALSE;
  while (i < leaf->n && run->end < lookup->end) {
    guint64 value = thin_leaf_u64(leaf, i), chunk = THIN_MAPPING_CHUNK(value), n;
    guint32 time = THIN_MAPPING_TIME(value);
    guint64 most = MIN(leaf->n - i, lookup->end - run->end);
    gboolean shared;
    if (thin_leaf_key(leaf, i) != run->end ||
        (run->mapped && chunk != run->chunk + (run->end - run->begin)))
      return TRUE;
    for (n = 1; n < most && thin_leaf_key(leaf, i + n) == run->end + n; n++) {
      value = thin_leaf_u64(leaf, i + n);
      if (THIN_MAPPING_CHUNK(value) != chunk + n || THIN_MAPPING_TIME(value) != time)
        break;
    }
    guint64 whole = n;
    if (!alike_shared(lookup, leaf, time, chunk, &n, &shared, error))
      return FALSE;
    if (run->mapped && run->shared != shared)
      return TRUE;
    if (!run->mapped) {
      run->mapped = TRUE;
      run->chunk = chunk;
      run->shared = shared;
    }
    run->end += n;
    i += (guint)n;
    if (n < whole)
      return TRUE;
  }
  *more = leaf->upper == run->end && run->end < lookup->end;
  return TRUE;
}

/* Set the run to all that is unmapped from its begin on. */
static void extend_hole(Lookup *lookup, const ThinBtree *tree, const ThinLeaf *first)
{
  ThinRun *run = lookup->run;
  run->end = first->first < first->n ? thin_leaf_key(first, first->first) : first->upper;
  gboolean found = first->first < first->n;
  while (!found && run->end < lookup->end) {
    g_auto(ThinLeaf) leaf = {0};
    if (!thin_btree_seek(tree, lookup->device->root, run->end, &leaf, NULL))
      break; /* the next lookup begins there, and says what is wrong */
    found = leaf.first < leaf.n;
    run->end = found ? thin_leaf_key(&leaf, leaf.first) : leaf.upper;
  }
  run->end = MIN(run->end, lookup->end);
}

static gboolean extend_mapped(Lookup *lookup, const ThinBtree *tree, const ThinLeaf *first,
                              GError **error)
{
  gboolean more;
  if (!extend_run(lookup, first, &more, error))
    return FALSE;
  while (more) {
    g_auto(ThinLeaf) leaf = {0};
    if (!thin_btree_seek(tree, lookup->device->root, lookup->run->end, &leaf, NULL))
      return TRUE; /* the next lookup begins there, and says what is wrong */
    if (!extend_run(lookup, &leaf, &more, error))
      return FALSE;
  }
  return TRUE;
}

gboolean thin_metadata_lookup(ThinMetadata *md, guint32 id, guint64 begin, guint64 end,
                              ThinRun *run, GError **error)
{
  ThinBtree tree = thin_metadata_device_tree(md);
  g_auto(ThinLeaf) leaf = {0};

  *run = (ThinRun){.begin = begin, .end = end};
  if (!range_is_sane(begin, end, error))
    return FALSE;
  const ThinMetadataDevice *device = thin_metadata_find_device(md, id, error);
  if (!device)
    return FALSE;
  Lookup lookup = {md, device, end, run};
  if (!thin_btree_seek(&tree, device->root, begin, &leaf, error)) {
    run->end = MIN(end, leaf.upper);
    g_prefix_error(
        error,
        "device %u: virtual chunks %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT " are lost: ", id,
        begin, run->end - 1);
    return FALSE;
  }
  if (leaf.first == leaf.n || thin_leaf_key(&leaf, leaf.first) != begin || begin == end) {
    extend_hole(&lookup, &tree, &leaf);
    return TRUE;
  }
  run->end = begin;
  if (extend_mapped(&lookup, &tree, &leaf, error))
    return TRUE;
  run->end = MIN(end, MAX(run->end, begin + 1));
  return FALSE;
}

/* --- chunks ------------------------------------------------------------------------- */

gboolean thin_metadata_alloc(ThinMetadata *md, guint64 wanted, guint64 *chunk, guint64 *n,
                             GError **error)
{
  g_autoptr(GError) fault = NULL;
  if (!thin_metadata_writable(md, error) || !thin_metadata_has_room(md, 0, error))
    return FALSE;
  if (thin_data_map_alloc(md->data, wanted, chunk, n, &fault))
    return thin_metadata_changed_by(md, TRUE);
  if (*n > 0 || !g_error_matches(fault, VT_ERROR, ENOSPC))
    thin_metadata_changed_by(md, FALSE);
  g_propagate_error(error, g_steal_pointer(&fault));
  return FALSE;
}

gboolean thin_metadata_alloc_at(ThinMetadata *md, guint64 chunk, guint64 n, GError **error)
{
  if (!thin_metadata_writable(md, error))
    return FALSE;
  return thin_metadata_changed_by(md, thin_data_map_alloc_at(md->data, chunk, n, error));
}

gboolean thin_metadata_unalloc(ThinMetadata *md, guint64 chunk, guint64 n, GError **error)
{
  return thin_metadata_writable(md, error) &&
         thin_metadata_changed_by(md, thin_data_map_dec(md->data, chunk, n, error));
}

void thin_metadata_freed_foreach(ThinMetadata *md, ThinFreedFunc func, gpointer user_data)
{
  if (md->data)
    thin_data_map_freed_foreach(md->data, func, user_data);
}

void thin_metadata_freed_done(ThinMetadata *md)
{
  if (md->data)
    thin_data_map_freed_done(md->data);
}

/* --- mapping ------------------------------------------------------------------------ */

/* Do as @func says to the tree of @device, and let the top tree follow when the root moved. */
static gboolean store_if_moved(ThinMetadata *md, ThinMetadataDevice *device, guint64 old_root,
                               GError **error)
{
  return device->root == old_root || thin_metadata_store_root(md, device, error);
}

static gboolean insert_run(ThinMetadata *md, ThinMetadataDevice *device, guint64 begin,
                           guint64 chunk, guint64 n, GError **error)
{
  ThinBtree tree = thin_metadata_device_tree(md);
  guint64 keys[BATCH], values[BATCH];

  for (guint64 done = 0; done < n;) {
    guint m = (guint)MIN(BATCH, n - done), n_new;
    for (guint i = 0; i < m; i++) {
      keys[i] = begin + done + i;
      values[i] = GUINT64_TO_LE(THIN_MAPPING(chunk + done + i, md->time));
    }
    if (!thin_btree_insert(&tree, &device->root, keys, values, m, &n_new, error))
      return FALSE;
    device->mapped += n_new;
    device->changed = TRUE;
    done += m;
  }
  return TRUE;
}

gboolean thin_metadata_insert(ThinMetadata *md, guint32 id, guint64 begin, guint64 chunk, guint64 n,
                              GError **error)
{
  if (!thin_metadata_writable(md, error) ||
      !range_is_sane(begin, n > G_MAXINT64 ? G_MAXUINT64 : begin + n, error) ||
      !thin_metadata_has_room(md, n / (THIN_NODE_MAX(8) / 3), error))
    return FALSE;
  ThinMetadataDevice *device = thin_metadata_own_device(md, id, error);
  if (!device)
    return FALSE;
  guint64 root = device->root;
  return thin_metadata_changed_by(md, insert_run(md, device, begin, chunk, n, error) &&
                                          store_if_moved(md, device, root, error));
}

/* Is any key in [begin, end) mapped? */
static gboolean any_mapped(ThinMetadata *md, const ThinMetadataDevice *device, guint64 begin,
                           guint64 end, gboolean *any, GError **error)
{
  ThinBtree tree = thin_metadata_device_tree(md);
  *any = FALSE;
  while (begin < end && !*any) {
    g_auto(ThinLeaf) leaf = {0};
    if (!thin_btree_seek(&tree, device->root, begin, &leaf, error))
      return FALSE;
    if (leaf.first < leaf.n && thin_leaf_key(&leaf, leaf.first) >= end)
      return TRUE;
    *any = leaf.first < leaf.n;
    begin = leaf.upper;
  }
  return TRUE;
}

gboolean thin_metadata_remove(ThinMetadata *md, guint32 id, guint64 begin, guint64 end,
                              GError **error)
{
  gboolean any;
  guint64 n_removed;

  if (!thin_metadata_writable(md, error) || !range_is_sane(begin, end, error))
    return FALSE;
  ThinMetadataDevice *device = thin_metadata_find_device(md, id, error);
  if (!device || !any_mapped(md, device, begin, end, &any, error))
    return FALSE;
  if (!any)
    return TRUE;
  if (!thin_metadata_has_reserve(md, error))
    return FALSE;
  if (!thin_metadata_own_device(md, id, error))
    return FALSE;
  ThinBtree tree = thin_metadata_device_tree(md);
  guint64 root = device->root;
  if (!thin_btree_remove(&tree, &device->root, begin, end, &n_removed, error) ||
      !store_if_moved(md, device, root, error))
    return thin_metadata_changed_by(md, FALSE);
  device->mapped -= MIN(device->mapped, n_removed);
  device->changed = TRUE;
  return thin_metadata_changed_by(md, TRUE);
}

/* --- counting ----------------------------------------------------------------------- */

static gboolean count_leaf(ThinMetadata *md, const ThinLeaf *leaf, guint64 *exclusive,
                           guint64 *shared, GError **error)
{
  if (leaf->shared || !md->data) {
    *shared += leaf->n - leaf->first;
    return TRUE;
  }
  for (guint i = leaf->first; i < leaf->n;) {
    guint64 chunk = THIN_MAPPING_CHUNK(thin_leaf_u64(leaf, i)), n = 1;
    gboolean once;
    while (i + n < leaf->n && THIN_MAPPING_CHUNK(thin_leaf_u64(leaf, i + n)) == chunk + n)
      n++;
    if (!thin_data_map_run_once(md->data, chunk, n, &n, &once, error))
      return FALSE;
    *(once ? exclusive : shared) += n;
    i += (guint)n;
  }
  return TRUE;
}

gboolean thin_metadata_count_device(ThinMetadata *md, guint32 id, guint64 *exclusive,
                                    guint64 *shared, GError **error)
{
  ThinBtree tree = thin_metadata_device_tree(md);
  const ThinMetadataDevice *device = thin_metadata_find_device(md, id, error);
  guint64 key = 0;

  *exclusive = *shared = 0;
  if (!device)
    return FALSE;
  do {
    g_auto(ThinLeaf) leaf = {0};
    if (!thin_btree_seek(&tree, device->root, key, &leaf, error) ||
        !count_leaf(md, &leaf, exclusive, shared, error)) {
      g_prefix_error(error, "device %u: ", id);
      return FALSE;
    }
    key = leaf.upper;
  } while (key != G_MAXUINT64);
  return TRUE;
}

/* --- blocks that others do not have, and comparing ------------------------------------- */

static gboolean read_cached(gpointer md, guint64 number, guint8 *data, GError **error)
{
  g_autoptr(ThinBlock) block =
      thin_cache_get(((ThinMetadata *)md)->tm.cache, number, THIN_KIND_NODE, error);

  if (block)
    memcpy(data, block->data, THIN_METADATA_BLOCK);
  return block != NULL;
}

gboolean thin_metadata_count_new_blocks(ThinMetadata *md, guint32 id, GByteArray *seen, guint64 *n,
                                        GError **error)
{
  const ThinMetadataDevice *device = thin_metadata_find_device(md, id, error);
  const ThinCountMaps maps = {.read = read_cached,
                              .source = md,
                              .name = vt_io_name(md->io),
                              .n_blocks = thin_cache_n_blocks(md->tm.cache)};

  return device && thin_count_new(&maps, device->root, seen, n, error);
}

static gboolean find_map(ThinMetadata *md, gint64 id, guint64 *root, GError **error)
{
  const ThinMetadataDevice *device =
      id < 0 ? NULL : thin_metadata_find_device(md, (guint32)id, error);

  *root = device ? device->root : 0;
  return id < 0 || device;
}

gboolean thin_metadata_delta(ThinMetadata *md, gint64 left, gint64 right, guint64 chunk_size,
                             ThinDelta *delta, GError **error)
{
  ThinDeltaMaps maps = {
      .read = read_cached, .source = md, .name = vt_io_name(md->io), .chunk_size = chunk_size};

  return find_map(md, left, &maps.left, error) && find_map(md, right, &maps.right, error) &&
         thin_delta(delta, &maps, error);
}
