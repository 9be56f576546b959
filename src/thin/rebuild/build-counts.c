/* virt-thin - metadata made anew: how often each chunk is mapped
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin/rebuild/build-private.h"

gboolean build_counts_init(BuildCounts *counts, guint64 n_chunks, GError **error)
{
  counts->n_chunks = n_chunks;
  counts->n_regions = n_chunks / THIN_BITMAP_SLOTS + (n_chunks % THIN_BITMAP_SLOTS > 0);
  counts->regions = g_try_new0(BuildRegion, MAX(counts->n_regions, 1));
  return counts->regions ||
         vt_set_error(error, ENOMEM, "no memory to count %" G_GUINT64_FORMAT " chunks", n_chunks);
}

void build_counts_clear(BuildCounts *counts)
{
  for (guint64 i = 0; counts->regions && i < counts->n_regions; i++) {
    g_free(counts->regions[i].small);
    g_free(counts->regions[i].large);
  }
  g_clear_pointer(&counts->regions, g_free);
}

static void enlarge(BuildRegion *region)
{
  region->large = g_new(guint32, THIN_BITMAP_SLOTS);
  for (guint i = 0; i < THIN_BITMAP_SLOTS; i++)
    region->large[i] = region->small[i];
  g_clear_pointer(&region->small, g_free);
}

void build_counts_inc(BuildCounts *counts, guint64 chunk)
{
  BuildRegion *region = &counts->regions[chunk / THIN_BITMAP_SLOTS];
  guint slot = (guint)(chunk % THIN_BITMAP_SLOTS);

  if (!region->small && !region->large)
    region->small = g_new0(guint8, THIN_BITMAP_SLOTS);
  if (region->small && region->small[slot] == G_MAXUINT8)
    enlarge(region);
  if (region->large)
    region->large[slot]++;
  else
    region->small[slot]++;
}

void build_counts_dec(BuildCounts *counts, guint64 chunk)
{
  BuildRegion *region = &counts->regions[chunk / THIN_BITMAP_SLOTS];
  guint slot = (guint)(chunk % THIN_BITMAP_SLOTS);

  if (region->large)
    region->large[slot]--;
  else
    region->small[slot]--;
}
