/* virt-thin - the kernel's pool: making a volume group
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dm/lvm2.h"
#include "lvm/content.h"
#include "pool/open.h"
#include "pool/plan.h"
#include "pool/rules.h"
#include "util/name.h"

static void take_back_vg(const char *vg, const char *path)
{
  const char *const remove[] = {"vgremove", vg, NULL}, *const clear[] = {"pvremove", path, NULL};
  g_autoptr(GError) error = NULL;

  if (!dmk_lvm2(remove, &error) || !dmk_lvm2(clear, &error))
    g_warning("volume group %s, whose creation failed, could not be removed from %s: %s", vg, path,
              error->message);
}

gboolean pool_kernel_init(const char *vg, const char *thin_pool, const char *path,
                          guint64 extent_size, const PoolNew *params, GError **error)
{
  g_autofree char *extent =
      g_strdup_printf("%" G_GUINT64_FORMAT "b", extent_size ? extent_size : 4u << 20);
  /* A pool of thousands of volumes does not fit into the 1 MiB that lvm2 gives its text. */
  const char *const create[] = {
      "vgcreate", "--metadatasize", "16m", "--physicalextentsize", extent, vg, path, NULL};
  const char *const devices[] = {path, NULL};
  const PoolWhere where = {.devices = devices};
  g_autoptr(VolumeGroup) group = NULL;
  gboolean made = FALSE;

  if (vt_vg_name_check(vg, error) && vt_lv_name_check(thin_pool, error) &&
      pool_plan_require_no_max_size(params, error) && lvm_content_check_free(path, error) &&
      (made = dmk_lvm2(create, error)) && (group = pool_open_kernel(vg, &where, error)) &&
      pool_create_pool(group, thin_pool, params, error))
    return TRUE;
  if (made)
    take_back_vg(vg, path);
  return pool_rules_init_failed(vg, path, error);
}
