/* virt-thin - mending a thin pool: what older roots do not have
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The details of the last commit say how much each device had mapped, even where nobody can say any
 * more what. A device that had as much may have had other chunks.
 */
#include "pool/devices.h"
#include "pool/repair/repair-private.h"
#include "thin/format/walk.h"

typedef struct {
  GArray *devices; /* of ThinDevice */
  guint64 chunk_size;
} Details;

static gboolean take(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  const Details *details = walk->data;
  const ThinDiskDetails *disk = value;
  ThinDevice device = {.id = (guint32)key};

  device.mapped = GUINT64_FROM_LE(disk->mapped_blocks) * details->chunk_size;
  device.transaction_id = GUINT64_FROM_LE(disk->transaction_id);
  if (key <= THIN_DEVICE_MAX)
    g_array_append_val(details->devices, device);
  return TRUE;
}

static void ignore_loss(ThinWalk *walk, guint64 lower, guint64 upper, const GError *fault)
{
}

/* All that can be read of the details at @root. */
static GArray *read_details(VtIo *metadata, guint64 root, guint64 chunk_size)
{
  Details details = {g_array_new(FALSE, FALSE, sizeof(ThinDevice)), chunk_size};
  ThinWalk walk = {.io = metadata,
                   .n_blocks = vt_io_size(metadata) / THIN_METADATA_BLOCK,
                   .value_size = sizeof(ThinDiskDetails),
                   .end = G_MAXUINT64,
                   .data = &details,
                   .entry = take,
                   .lost = ignore_loss};

  if (root)
    thin_walk(&walk, root, NULL, NULL);
  return details.devices;
}

static gboolean is_known(GArray *known, guint32 id)
{
  for (guint i = 0; known && i < known->len; i++)
    if (g_array_index(known, guint32, i) == id)
      return TRUE;
  return FALSE;
}

void repair_find_missing(VtIo *metadata, const RepairMetadata *found, guint64 chunk_size,
                         GArray *devices, GArray *known, GArray *older, GArray *lost)
{
  g_autoptr(GArray) last = NULL;

  if (!found->is_older && !found->may_be_older)
    return;
  last = read_details(metadata, found->later_details, chunk_size);
  for (guint i = 0; i < devices->len; i++) {
    const ThinDevice *is = &g_array_index(devices, ThinDevice, i),
                     *was = pool_devices_find(last, is->id);
    guint64 before = was ? was->mapped : 0;
    const RepairOlder one = {is->id, before > is->mapped ? before - is->mapped : 0};

    g_array_append_val(older, one);
  }
  for (guint i = 0; i < last->len; i++) {
    const ThinDevice *was = &g_array_index(last, ThinDevice, i);
    const RepairLost all = {was->id, 0, G_MAXUINT64};

    if (was->mapped && !pool_devices_find(devices, was->id) && !is_known(known, was->id))
      g_array_append_val(lost, all);
  }
}
