/* virt-thin - the metadata of a thin pool written anew from what can be reached of damaged metadata
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin/rebuild/rebuild-private.h"

#include "thin/format/walk.h"

/* A device as the two trees of devices know it. */
typedef struct {
  ThinDevice details; /* mapped in chunks */
  gboolean has_details;
  guint64 root; /* 0: not known */
} Found;

/* --- the superblock ----------------------------------------------------------------- */

static gboolean knows_all(const ThinRoots *roots)
{
  return roots->mapping_root && roots->chunk_size && roots->n_chunks;
}

static gboolean check_features(VtIo *from, const ThinDiskSuperblock *sb, GError **error)
{
  return (!sb->incompat_flags && !sb->compat_ro_flags) ||
         vt_set_error(error, EOPNOTSUPP,
                      "%s: the metadata uses features (flags %#x, %#x) that this version does not "
                      "know, and would lose",
                      vt_io_name(from), GUINT32_FROM_LE(sb->incompat_flags),
                      GUINT32_FROM_LE(sb->compat_ro_flags));
}

/* What @roots leaves open. */
static void fill_roots(ThinRoots *roots, const ThinDiskSuperblock *sb)
{
  if (!roots->mapping_root) {
    roots->mapping_root = GUINT64_FROM_LE(sb->data_mapping_root);
    if (!roots->details_root)
      roots->details_root = GUINT64_FROM_LE(sb->device_details_root);
  }
  if (!roots->transaction_id)
    roots->transaction_id = GUINT64_FROM_LE(sb->trans_id);
  if (!roots->time)
    roots->time = GUINT32_FROM_LE(sb->time);
  if (!roots->chunk_size)
    roots->chunk_size = (guint64)GUINT32_FROM_LE(sb->data_block_size) * THIN_SECTOR;
  if (!roots->n_chunks)
    roots->n_chunks = GUINT64_FROM_LE(sb->data_space_map.root.nr_blocks);
}

static gboolean find_roots(VtIo *from, const ThinRoots *given, ThinRoots *roots, GError **error)
{
  union {
    ThinDiskSuperblock superblock;
    guint64 block[THIN_METADATA_BLOCK / 8];
  } sb;
  g_autoptr(GError) fault = NULL;

  *roots = given ? *given : (ThinRoots){0};
  if (thin_superblock_read(from, 0, (guint8 *)sb.block, &fault)) {
    fill_roots(roots, &sb.superblock);
    return check_features(from, &sb.superblock, error);
  }
  if (knows_all(roots))
    return TRUE;
  g_propagate_error(error, g_steal_pointer(&fault));
  return FALSE;
}

/* --- the devices -------------------------------------------------------------------- */

typedef struct {
  GArray *devices; /* of Found, in order */
  guint at;        /* where the last one was found */
  gboolean lost;
} Finding;

static Found *find(Finding *finding, guint32 id)
{
  GArray *devices = finding->devices;
  const Found new = {.details.id = id};

  while (finding->at < devices->len && g_array_index(devices, Found, finding->at).details.id < id)
    finding->at++;
  if (finding->at == devices->len || g_array_index(devices, Found, finding->at).details.id != id)
    g_array_insert_val(devices, finding->at, new);
  return &g_array_index(devices, Found, finding->at);
}

static gboolean take_root(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  Finding *finding = walk->data;

  if (key > THIN_DEVICE_MAX)
    finding->lost = TRUE;
  else
    find(finding, (guint32)key)->root = thin_value_u64(value);
  return TRUE;
}

static gboolean take_details(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  const ThinDiskDetails *details = value;
  Found *found;

  if (key > THIN_DEVICE_MAX)
    return TRUE;
  found = find(walk->data, (guint32)key);
  found->has_details = TRUE;
  found->details.mapped = GUINT64_FROM_LE(details->mapped_blocks);
  found->details.transaction_id = GUINT64_FROM_LE(details->transaction_id);
  found->details.creation_time = GUINT32_FROM_LE(details->creation_time);
  found->details.snapshotted_time = GUINT32_FROM_LE(details->snapshotted_time);
  return TRUE;
}

static void lose_devices(ThinWalk *walk, guint64 lower, guint64 upper, const GError *fault)
{
  ((Finding *)walk->data)->lost = TRUE;
}

static void lose_details(ThinWalk *walk, guint64 lower, guint64 upper, const GError *fault)
{
}

/* All that either tree knows. Details without a map are no device that was deleted: both are
 * removed in one transaction. */
static GArray *find_devices(Rebuild *rebuild, const ThinRoots *roots, gboolean *lost)
{
  Finding finding = {.devices = g_array_new(FALSE, TRUE, sizeof(Found))};
  ThinWalk walk = {.io = rebuild->from,
                   .n_blocks = rebuild->n_blocks,
                   .value_size = sizeof(guint64),
                   .end = G_MAXUINT64,
                   .data = &finding,
                   .entry = take_root,
                   .lost = lose_devices};

  thin_walk(&walk, roots->mapping_root, NULL, NULL);
  finding.at = 0;
  walk.value_size = sizeof(ThinDiskDetails);
  walk.entry = take_details;
  walk.lost = lose_details;
  thin_walk(&walk, roots->details_root, NULL, NULL);
  *lost = finding.lost;
  return finding.devices;
}

/* --- times -------------------------------------------------------------------------- */

/* Where a mapping is of later than the pool, the pool's time is an old one, and nobody knows which
 * chunks were shared since: so it becomes later than all of them. */
static void settle_times(Rebuild *rebuild, GArray *devices, gboolean details_older)
{
  guint32 *time = &rebuild->build->facts.time;

  if (rebuild->time > *time)
    *time = MIN(rebuild->time + 1, THIN_MAPPING_TIME_MAX);
  for (guint i = 0; i < devices->len; i++) {
    const ThinDevice *device = &g_array_index(devices, Found, i).details;
    guint32 latest = MAX(device->creation_time, device->snapshotted_time);

    if (latest > *time && latest <= THIN_MAPPING_TIME_MAX)
      *time = latest;
  }
  for (guint i = 0; i < devices->len; i++) {
    Found *found = &g_array_index(devices, Found, i);

    found->details.creation_time = MIN(found->details.creation_time, *time);
    found->details.snapshotted_time = MIN(found->details.snapshotted_time, *time);
    if (!found->has_details || details_older)
      found->details.snapshotted_time = *time;
    if (!found->has_details) {
      found->details.creation_time = *time;
      found->details.transaction_id = rebuild->build->facts.transaction_id;
    }
  }
}

/* --- all ---------------------------------------------------------------------------- */

static gboolean look_at_maps(Rebuild *rebuild, GArray *devices, GError **error)
{
  for (guint i = 0; i < devices->len; i++) {
    guint64 root = g_array_index(devices, Found, i).root;
    Part part;

    if (root && !rebuild_look(rebuild, root, &part, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean write_device(Rebuild *rebuild, const Found *found, ThinRebuildStats *stats,
                             GError **error)
{
  ThinBuild *build = rebuild->build;

  if (!thin_build_device(build, &found->details, error))
    return FALSE;
  if (found->root && !rebuild_map(rebuild, found->root, error))
    return FALSE;
  if (!found->root && found->details.mapped > 0)
    rebuild_lose(rebuild, 0, G_MAXUINT64);
  stats->n_devices++;
  stats->n_details_made += !found->has_details;
  stats->n_chunks_mapped += build->device.mapped;
  return TRUE;
}

static gboolean rebuild_all(Rebuild *rebuild, const ThinRoots *roots, ThinRebuildStats *stats,
                            GError **error)
{
  g_autoptr(GArray) devices = find_devices(rebuild, roots, &stats->devices_lost);
  guint n_lost;

  if (!look_at_maps(rebuild, devices, error))
    return FALSE;
  settle_times(rebuild, devices, roots->details_older);
  for (guint i = 0; i < devices->len; i++) {
    n_lost = rebuild->lost->len;
    if (!write_device(rebuild, &g_array_index(devices, Found, i), stats, error))
      return FALSE;
    stats->n_maps_lost += rebuild->lost->len > n_lost && rebuild->build->device.mapped == 0;
  }
  return thin_build_finish(rebuild->build, &stats->n_blocks_used, error);
}

gboolean thin_rebuild(VtIo *from, const ThinRoots *roots, VtIo *to, GArray *lost,
                      ThinRebuildStats *stats, GError **error)
{
  Rebuild rebuild = {.from = from, .lost = lost};
  ThinRebuildStats unasked, *counted = stats ? stats : &unasked;
  ThinRoots start;
  gboolean ok;

  *counted = (ThinRebuildStats){0};
  if (!find_roots(from, roots, &start, error))
    return FALSE;
  rebuild.n_blocks = MIN(vt_io_size(from) / THIN_METADATA_BLOCK, THIN_METADATA_BLOCKS_MAX);
  rebuild.parts = g_try_new0(Part, rebuild.n_blocks);
  if (!rebuild.parts)
    return vt_set_error(error, ENOMEM, "no memory to look at the metadata of %s", vt_io_name(from));
  rebuild.build = thin_build_new(to,
                                 &(ThinPoolFacts){.chunk_size = start.chunk_size,
                                                  .n_chunks = start.n_chunks,
                                                  .transaction_id = start.transaction_id,
                                                  .time = start.time},
                                 error);
  ok = rebuild.build && rebuild_all(&rebuild, &start, counted, error);
  thin_build_free(rebuild.build);
  g_free(rebuild.parts);
  return ok;
}
