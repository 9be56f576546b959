/* virt-thin - the kernel's pool: opening and closing
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/look.h"
#include "pool/kernel/kernel-private.h"

static PoolInfo *get_info(VolumeGroup *group, const char *thin_pool, GError **error)
{
  return kernel_get_info((KernelPool *)group, thin_pool, TRUE, error);
}

static gboolean kernel_close(VolumeGroup *group, GError **error)
{
  KernelPool *k = (KernelPool *)group;

  kernel_forget(k);
  g_strfreev(k->paths);
  g_strfreev(k->devices);
  g_free(k->vg_name);
  g_mutex_clear(&k->lock);
  g_free(k);
  return TRUE;
}

static const PoolOps kernel_ops = {
    .name = "kernel",
    .holder = POOL_HOLDER_KERNEL,
    .close = kernel_close,
    .get_vg_info = kernel_get_vg_info,
    .list_pools = kernel_list_pools,
    .get_info = get_info,
    .list_volumes = kernel_list_volumes,
    .get_volume = kernel_get_volume,
    .count_volume = kernel_count_volume,
    .usage = kernel_usage,
    .delta = kernel_delta,
    .change = kernel_change,
    .check = kernel_check,
    .read_metadata = kernel_show_metadata,
    .activate = kernel_activate,
    .deactivate = kernel_deactivate,
    .volume_open = kernel_volume_open,
};

VolumeGroup *pool_open_kernel(const char *vg, const PoolWhere *where, GError **error)
{
  g_autoptr(PoolLook) own = NULL;
  const PoolWhere begun = pool_look_begin(where, &own);
  KernelPool *k = g_new0(KernelPool, 1);
  gboolean ok;

  k->base.ops = &kernel_ops;
  k->vg_name = g_strdup(vg);
  k->devices = g_strdupv((GStrv)begun.devices);
  k->read_only = (begun.flags & POOL_READ_ONLY) != 0;
  g_mutex_init(&k->lock);
  g_mutex_lock(&k->lock);
  ok = kernel_find_vg(k, &begun, error) != NULL;
  g_mutex_unlock(&k->lock);
  if (ok)
    return &k->base;
  kernel_close(&k->base, NULL);
  return NULL;
}
