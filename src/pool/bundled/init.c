/* virt-thin - the bundled pool: making a volume group, and giving one back
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/bundled/bundled-private.h"

#include "lvm/content.h"
#include "pool/place.h"
#include "pool/rules.h"
#include "settings/settings.h"
#include "util/name.h"

static gboolean make_vg(const char *vg, const char *thin_pool, PoolPlace *place,
                        guint64 extent_size, const PoolNew *params, GError **error)
{
  const char *paths[] = {place->path, NULL};
  const LvmCreate create = {.extent_size = extent_size, .no_autoactivate = !place->is_block};
  LvmStore *store = lvm_store_create(vg, paths, &create, error);
  VolumeGroup *group;
  gboolean ok;

  if (!store)
    return FALSE;
  place->labelled = TRUE;
  group = bundled_open_store(store, NULL, error);
  if (!group)
    return FALSE;
  ok = pool_create_pool(group, thin_pool, params, error);
  return pool_close(group, ok ? error : NULL) && ok;
}

gboolean pool_init(const char *vg, const char *thin_pool, const char *path, guint64 size,
                   guint64 extent_size, const PoolNew *params, GError **error)
{
  g_autofree char *absolute = g_canonicalize_filename(path, NULL);
  PoolPlace place = POOL_PLACE_INIT(absolute);

  if (!vt_vg_name_check(vg, error) || !vt_lv_name_check(thin_pool, error))
    return FALSE;
  if (settings_check_links(vg, error) && pool_place_prepare(&place, size, error) &&
      make_vg(vg, thin_pool, &place, extent_size, params, error))
    return TRUE;
  pool_place_undo(&place);
  return pool_rules_init_failed(vg, path, error);
}

gboolean pool_extend_with_file(VolumeGroup *group, const char *path, guint64 size, GError **error)
{
  g_autofree char *absolute = g_canonicalize_filename(path, NULL);
  PoolPlace place = POOL_PLACE_INIT(absolute);

  if ((!size || pool_place_prepare(&place, size, error)) && pool_extend(group, absolute, error))
    return TRUE;
  /* A service whose answer was lost may have taken it. */
  if (lvm_content_check_free(absolute, NULL))
    pool_place_undo(&place);
  return FALSE;
}

gboolean pool_release(const char *vg, const PoolWhere *where, GError **error)
{
  g_autofree char *archive = settings_archive_dir();
  g_autoptr(LvmStore) store = bundled_open_vg(vg, where, NULL, NULL, error);

  return store && lvm_store_release(store, archive, error);
}

/* The metadata of a thin pool that is open nowhere, to be written; *@size: of its data. */
static VtIo *open_metadata(const char *vg, const char *thin_pool, LvmStore *store, guint64 *size,
                           GError **error)
{
  LvmLv *lv = lvm_vg_find_lv(lvm_store_vg(store), thin_pool);

  if (!lv || lvm_lv_kind(lv) != LVM_LV_THIN_POOL) {
    vt_set_error(error, ENOENT, "volume group %s has no thin pool %s", vg, thin_pool);
    return NULL;
  }
  *size = lvm_lv_size(lv);
  return lvm_store_open_lv(store, lvm_pool_metadata(lv), FALSE, error);
}

gboolean pool_clear_needs_check(const char *vg, const char *thin_pool, const PoolWhere *where,
                                GError **error)
{
  g_autoptr(LvmStore) store = bundled_open_vg(vg, where, NULL, NULL, error);
  guint64 size = 0;
  g_autoptr(VtIo) metadata = store ? open_metadata(vg, thin_pool, store, &size, error) : NULL;

  return metadata && thin_clear_needs_check(metadata, size, error);
}

gboolean pool_mend_leaks(const char *vg, const char *thin_pool, const PoolWhere *where,
                         guint *n_leaks, GError **error)
{
  g_autoptr(LvmStore) store = bundled_open_vg(vg, where, NULL, NULL, error);
  guint64 size = 0;
  g_autoptr(VtIo) metadata = store ? open_metadata(vg, thin_pool, store, &size, error) : NULL;
  g_autoptr(ThinReport) found = NULL;

  if (!metadata || !thin_mend_leaks(metadata, size, &found, error))
    return FALSE;
  *n_leaks = found->leaks->len;
  return TRUE;
}
