/* virt-thin - how large a new thin pool's parts are
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/layout.h"

#include "pool/rules.h"
#include "util/size.h"

/* Bytes of metadata for each chunk, eight times lvm2's estimate. A mapping takes 16 to 32 in the
 * leaf it is in, so that is the map of the whole pool some twenty times over. */
#define ROOMY 512

static guint64 round_up(guint64 bytes, guint64 extent_size)
{
  return bytes / extent_size + (bytes % extent_size != 0);
}

/* Extents that are left for data when a pool of all that is free but @reserve bytes has @metadata
 * of its own and as much spare. 0: none. */
static guint64 rest_for_data(LvmVg *vg, guint64 reserve, guint64 metadata)
{
  LvmLv *spare = pool_rules_find_spare(vg);
  guint64 have = spare ? lvm_lv_n_extents(spare) : 0, available = lvm_vg_n_free_extents(vg);
  guint64 used = metadata + (metadata > have ? metadata - have : 0) +
                 round_up(reserve, lvm_vg_extent_size(vg));

  return used < available ? available - used : 0;
}

/* What lvm2 would choose for data of that size, and with the chunks of that also for the size that
 * it may grow to, unless that is an eighth of the volume group; and what snapshots need, *@roomy
 * extents. */
static gboolean choose(LvmVg *vg, const PoolNew *params, PoolLayout *layout, guint64 *roomy,
                       GError **error)
{
  guint64 extent_size = lvm_vg_extent_size(vg), metadata = params->metadata_size, later = 0;

  layout->chunk_size = params->chunk_size;
  if (!lvm_pool_choose(layout->data * extent_size, extent_size, &layout->chunk_size, &metadata,
                       error) ||
      (params->max_size && !params->metadata_size &&
       !lvm_pool_choose(params->max_size, extent_size, &layout->chunk_size, &later, error)))
    return FALSE;
  layout->metadata = round_up(metadata, extent_size);
  later = MIN(later / extent_size, lvm_vg_n_free_extents(vg) / 8);
  layout->metadata = MAX(layout->metadata, later);
  *roomy =
      round_up(MIN(layout->data * extent_size / layout->chunk_size * ROOMY, LVM_POOL_METADATA_MAX),
               extent_size);
  *roomy = params->metadata_size ? layout->metadata : MAX(*roomy, layout->metadata);
  return TRUE;
}

/* Metadata for all that is free is more than enough for what it leaves: asked again with that, the
 * default shrinks or stays. Where it is not @sparse the room for it is left free. */
static gboolean lay_out_all_free(LvmVg *vg, const PoolNew *params, gboolean sparse,
                                 PoolLayout *layout, GError **error)
{
  guint64 reserve = params->reserve == POOL_NO_RESERVE ? 0 : params->reserve, roomy;
  g_autofree char *free_text = NULL;

  layout->data = rest_for_data(vg, reserve, 0);
  for (guint i = 0; layout->data && i < 4; i++) {
    if (!choose(vg, params, layout, &roomy, error))
      return FALSE;
    if (sparse)
      layout->metadata = roomy;
    layout->data = rest_for_data(vg, reserve, params->reserve ? layout->metadata : roomy);
  }
  if (layout->data)
    return TRUE;
  free_text = lvm_vg_format_extents(vg, lvm_vg_n_free_extents(vg));
  return vt_set_error(error, ENOSPC,
                      "volume group %s has %s free, not enough for a thin pool, its metadata and "
                      "the reserve: add a physical volume, or reserve less",
                      lvm_vg_name(vg), free_text);
}

static gboolean lay_out(LvmVg *vg, const PoolNew *params, gboolean sparse, PoolLayout *layout,
                        GError **error)
{
  guint64 roomy;

  if (!pool_rules_extents("a thin pool", params->size, lvm_vg_extent_size(vg), &layout->data,
                          error) ||
      !choose(vg, params, layout, &roomy, error))
    return FALSE;
  if (sparse && rest_for_data(vg, 0, roomy) >= layout->data)
    layout->metadata = roomy;
  return TRUE;
}

gboolean pool_layout_choose(LvmVg *vg, const PoolNew *params, gboolean sparse, PoolLayout *layout,
                            GError **error)
{
  guint64 extent_size = lvm_vg_extent_size(vg);

  *layout = (PoolLayout){0};
  if (!(params->size ? lay_out : lay_out_all_free)(vg, params, sparse, layout, error))
    return FALSE;
  if (layout->data * extent_size < layout->chunk_size) {
    g_autofree char *data = vt_size_exact(layout->data * extent_size),
                    *chunk = vt_size_exact(layout->chunk_size);

    return vt_set_error(error, EINVAL, "%s of data do not hold one chunk of %s", data, chunk);
  }
  return TRUE;
}
