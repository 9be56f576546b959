/* virt-thin - finding the roots of a pool's metadata: the devices of a pair, and what it has lost
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "thin/rebuild/roots-private.h"

#define N64 "%" G_GUINT64_FORMAT

typedef struct {
  guint64 id, block;
} Root;

typedef struct {
  const RootsScan *scan;
  const RootsPair *pair;
  RootsBudget *budget;
  ThinRootPair *roots;
  GArray *details, *maps; /* of ThinDevice; of Root */
  GArray *lost;           /* of ThinRootLoss: devices whose maps are lost */
  gboolean details_lost, apart;
  guint32 device; /* whose map is walked */
} Describe;

static void clear_loss(gpointer loss)
{
  g_free(((ThinRootLoss *)loss)->reason);
}

static GArray *new_losses(void)
{
  GArray *losses = g_array_new(FALSE, FALSE, sizeof(ThinRootLoss));

  g_array_set_clear_func(losses, clear_loss);
  return losses;
}

static void add_loss(Describe *describe, ThinRootLoss loss, const char *reason)
{
  ThinRootPair *roots = describe->roots;

  if (roots->losses->len == THIN_ROOTS_LOSSES_MAX) {
    roots->more_losses = TRUE;
    return;
  }
  loss.reason = g_strdup(reason);
  g_array_append_val(roots->losses, loss);
}

/* --- reading the trees --- */

static gboolean refer(ThinWalk *walk, guint64 number, GError **error)
{
  Describe *describe = walk->data;

  if (describe->budget->n_nodes == 0)
    return vt_set_error(error, EBADMSG, "there are too many nodes to look at all");
  describe->budget->n_nodes--;
  return TRUE;
}

static gboolean use_device(Describe *describe, GError **error)
{
  if (describe->budget->n_devices == 0)
    return vt_set_error(error, EBADMSG, "too many devices");
  describe->budget->n_devices--;
  return TRUE;
}

static gboolean take_details(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  Describe *describe = walk->data;
  ThinDiskDetails details;
  ThinDevice device = {.id = (guint32)key};

  if (key > THIN_DEVICE_MAX)
    return TRUE;
  memcpy(&details, value, sizeof details);
  device.mapped = GUINT64_FROM_LE(details.mapped_blocks);
  device.transaction_id = GUINT64_FROM_LE(details.transaction_id);
  device.creation_time = GUINT32_FROM_LE(details.creation_time);
  device.snapshotted_time = GUINT32_FROM_LE(details.snapshotted_time);
  g_array_append_val(describe->details, device);
  return use_device(describe, error);
}

static gboolean take_root(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  Describe *describe = walk->data;
  Root root = {key, thin_value_u64(value)};

  if (key > THIN_DEVICE_MAX)
    return TRUE;
  g_array_append_val(describe->maps, root);
  return use_device(describe, error);
}

static void lose_details(ThinWalk *walk, guint64 lower, guint64 upper, const GError *fault)
{
  ((Describe *)walk->data)->details_lost = TRUE;
}

static void lose_maps(ThinWalk *walk, guint64 lower, guint64 upper, const GError *fault)
{
  Describe *describe = walk->data;
  ThinRootLoss loss = {.first = (guint32)MIN(lower, THIN_DEVICE_MAX),
                       .last = (guint32)MIN(upper - 1, THIN_DEVICE_MAX),
                       .end = G_MAXUINT64};

  if (describe->lost->len == THIN_ROOTS_LOSSES_MAX)
    return;
  loss.reason = g_strdup(fault->message);
  g_array_append_val(describe->lost, loss);
}

static void lose_chunks(ThinWalk *walk, guint64 lower, guint64 upper, const GError *fault)
{
  Describe *describe = walk->data;

  add_loss(describe, (ThinRootLoss){describe->device, describe->device, lower, upper, NULL},
           fault->message);
}

static ThinWalk new_walk(Describe *describe, guint value_size)
{
  return (ThinWalk){.io = describe->scan->io,
                    .n_blocks = describe->scan->n_blocks,
                    .value_size = value_size,
                    .end = G_MAXUINT64,
                    .data = describe,
                    .refer = refer};
}

static gboolean read_trees(Describe *describe)
{
  ThinWalk details = new_walk(describe, sizeof(ThinDiskDetails)),
           maps = new_walk(describe, sizeof(guint64));

  details.entry = take_details;
  details.lost = lose_details;
  maps.entry = take_root;
  maps.lost = lose_maps;
  return thin_walk(&maps, describe->pair->top, NULL, NULL) &&
         (!describe->pair->details || thin_walk(&details, describe->pair->details, NULL, NULL));
}

/* --- devices --- */

/* Why the map of device @id cannot be had. */
static const char *why_lost(Describe *describe, guint32 id)
{
  for (guint i = 0; i < describe->lost->len; i++) {
    const ThinRootLoss *loss = &g_array_index(describe->lost, ThinRootLoss, i);

    if (id >= loss->first && id <= loss->last)
      return loss->reason;
  }
  describe->apart = TRUE;
  return "there is no map of it";
}

static void find_lost_chunks(Describe *describe, const ThinRootDevice *device)
{
  ThinWalk walk = new_walk(describe, sizeof(guint64));

  walk.lost = lose_chunks;
  describe->device = device->details.id;
  thin_walk(&walk, device->map, NULL, NULL);
}

static void take_map(Describe *describe, ThinRootDevice *device, guint64 root)
{
  const RootsNode *map = roots_map(describe->scan, describe->pair->top, root);

  device->map = root;
  device->n_found = map ? map->n : 0;
  device->whole = map && !map->lost;
  if (!device->whole)
    find_lost_chunks(describe, device);
}

static void add_device(Describe *describe, const ThinDevice *details, const Root *root)
{
  ThinRootPair *roots = describe->roots;
  ThinRootDevice device = {.has_details = details != NULL};

  if (details)
    device.details = *details;
  else
    device.details.id = (guint32)root->id;
  if (root)
    take_map(describe, &device, root->block);
  else
    add_loss(describe, (ThinRootLoss){details->id, details->id, 0, G_MAXUINT64, NULL},
             why_lost(describe, details->id));
  describe->apart |= !details && describe->pair->details && !describe->details_lost;
  describe->apart |= details && (device.whole ? device.n_found != details->mapped
                                              : device.n_found > details->mapped);
  roots->transaction_id = MAX(roots->transaction_id, device.details.transaction_id);
  roots->n_mappings += device.n_found;
  g_array_append_val(roots->devices, device);
}

static void join_devices(Describe *describe)
{
  guint i = 0, j = 0;

  while (i < describe->details->len || j < describe->maps->len) {
    const ThinDevice *details =
        i < describe->details->len ? &g_array_index(describe->details, ThinDevice, i) : NULL;
    const Root *root = j < describe->maps->len ? &g_array_index(describe->maps, Root, j) : NULL;
    gboolean use_details = details && (!root || details->id <= root->id),
             use_root = root && (!details || root->id <= details->id);

    add_device(describe, use_details ? details : NULL, use_root ? root : NULL);
    i += use_details;
    j += use_root;
  }
}

/* Where nobody tells of the devices, the range is all that can be said. */
static void add_lost_ranges(Describe *describe)
{
  for (guint i = 0; i < describe->lost->len; i++) {
    const ThinRootLoss *loss = &g_array_index(describe->lost, ThinRootLoss, i);

    if (!describe->pair->details || describe->details_lost)
      add_loss(describe, *loss, loss->reason);
  }
}

static void judge(Describe *describe)
{
  ThinRootPair *roots = describe->roots;
  gboolean damaged = roots->losses->len || describe->details_lost || !describe->pair->details;

  roots->match = describe->apart ? THIN_ROOTS_APART
                 : damaged       ? THIN_ROOTS_DAMAGED
                                 : THIN_ROOTS_EXACT;
}

ThinRootPair *roots_describe(const RootsScan *scan, RootsPair *pair, RootsBudget *budget)
{
  g_autoptr(GArray) details = g_array_new(FALSE, FALSE, sizeof(ThinDevice)),
                    maps = g_array_new(FALSE, FALSE, sizeof(Root)), lost = new_losses();
  ThinRootPair *roots = g_new0(ThinRootPair, 1);
  Describe describe = {.scan = scan,
                       .pair = pair,
                       .budget = budget,
                       .roots = roots,
                       .details = details,
                       .maps = maps,
                       .lost = lost};

  roots->mapping_root = pair->top;
  roots->details_root = pair->details;
  roots->is_current = pair->is_current;
  roots->time =
      MAX(scan->tops[pair->top].time, pair->details ? scan->nodes[pair->details].time : 0);
  roots->devices = g_array_new(FALSE, FALSE, sizeof(ThinRootDevice));
  roots->losses = new_losses();
  if (!read_trees(&describe)) {
    thin_root_pair_free(roots);
    return NULL;
  }
  join_devices(&describe);
  add_lost_ranges(&describe);
  judge(&describe);
  pair->match = roots->match;
  roots_find_later(scan, pair, roots);
  return roots;
}
