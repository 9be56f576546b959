/* virt-thin - how large a new thin pool's parts are
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/layout.h"

#include "pool/rules.h"

/* Extents that are left for data when a pool of all that is free but @reserve has @metadata of its
 * own and as much spare. 0: none. */
static guint64 rest_for_data(LvmVg *vg, guint64 reserve, guint64 metadata)
{
  LvmLv *spare = pool_rules_find_spare(vg);
  guint64 have = spare ? lvm_lv_n_extents(spare) : 0, extent_size = lvm_vg_extent_size(vg),
          available = lvm_vg_n_free_extents(vg);
  guint64 used = metadata + (metadata > have ? metadata - have : 0) + reserve / extent_size +
                 (reserve % extent_size != 0);

  return used < available ? available - used : 0;
}

static gboolean choose(LvmVg *vg, const PoolNew *params, PoolLayout *layout, GError **error)
{
  guint64 extent_size = lvm_vg_extent_size(vg), metadata = params->metadata_size;

  layout->chunk_size = params->chunk_size;
  if (!lvm_pool_choose(layout->data * extent_size, extent_size, &layout->chunk_size, &metadata,
                       error))
    return FALSE;
  layout->metadata = metadata / extent_size + (metadata % extent_size != 0);
  return TRUE;
}

/* Metadata for all that is free is more than enough for what it leaves: asked again with that, the
 * default shrinks or stays. */
static gboolean lay_out_all_free(LvmVg *vg, const PoolNew *params, PoolLayout *layout,
                                 GError **error)
{
  g_autofree char *free_text = NULL;

  layout->data = rest_for_data(vg, params->reserve, 0);
  for (guint i = 0; layout->data && i < 4; i++) {
    if (!choose(vg, params, layout, error))
      return FALSE;
    layout->data = rest_for_data(vg, params->reserve, layout->metadata);
  }
  if (layout->data)
    return TRUE;
  free_text = lvm_vg_format_extents(vg, lvm_vg_n_free_extents(vg));
  return vt_set_error(error, ENOSPC,
                      "volume group %s has %s free, not enough for a thin pool, its metadata and "
                      "the reserve: add a physical volume, or reserve less",
                      lvm_vg_name(vg), free_text);
}

gboolean pool_layout_choose(LvmVg *vg, const PoolNew *params, PoolLayout *layout, GError **error)
{
  const PoolNew defaults = {0};
  guint64 extent_size = lvm_vg_extent_size(vg);
  gboolean ok;

  *layout = (PoolLayout){0};
  params = params ? params : &defaults;
  if (params->size)
    ok = pool_rules_extents("a thin pool", params->size, extent_size, &layout->data, error) &&
         choose(vg, params, layout, error);
  else
    ok = lay_out_all_free(vg, params, layout, error);
  if (ok && layout->data * extent_size < layout->chunk_size)
    return vt_set_error(error, EINVAL,
                        "%" G_GUINT64_FORMAT
                        " bytes of data do not hold one chunk of %" G_GUINT64_FORMAT,
                        layout->data * extent_size, layout->chunk_size);
  return ok;
}
