/* virt-thin - finding sources: the thin pools there are, behind the volume groups that libvirt
 * finds SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <stdlib.h>

#include "libvirt/vtbackend-private.h"

/* As its service tells, else as its text on disk does. */
static void add_pools(const PoolVg *vg, GHashTable *names)
{
  VolumeGroup *group = vg->served ? vtbackend_service(vg->name, NULL) : NULL;
  g_autoptr(GPtrArray) infos = group ? pool_list_pools(group, NULL) : NULL;
  for (guint i = 0; infos && i < infos->len; i++)
    g_hash_table_add(names,
                     g_strdup_printf("%s/%s", vg->name, ((PoolInfo *)infos->pdata[i])->name));
  for (guint i = 0; i < vg->thin_pools->len; i++)
    g_hash_table_add(names, g_strdup_printf("%s/%s", vg->name, (char *)vg->thin_pools->pdata[i]));
}

VtPlace vtbackend_find_place(const VtSource *source, char **devices)
{
  const PoolWhere where = {.devices = *devices ? (const char *const *)devices : NULL};
  g_autoptr(PoolVg) vg = pool_find_vg(source->vg, &where);
  if (!vg && *devices)
    vg = pool_find_vg(source->vg, NULL);
  if (!vg)
    return VT_NO_GROUP;
  return g_ptr_array_find_with_equal_func(vg->thin_pools, source->pool, g_str_equal, NULL)
             ? VT_GROUP_WITH_POOL
             : VT_GROUP;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
  return g_strcmp0(*(const char *const *)a, *(const char *const *)b);
}

/* libvirt's own list, with every thin pool as VG/POOL behind it: virt-manager offers the names for
 * choice. */
char *vtbackend_find_sources(const char *spec, unsigned int flags)
{
  g_autoptr(GHashTable) set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  char *stock = vt.stock.find_sources(spec, flags);
  if (!stock && flags)
    return NULL;
  g_autoptr(GPtrArray) vgs = pool_list_vgs(NULL, NULL, NULL);
  for (guint i = 0; i < vgs->len; i++)
    add_pools(vgs->pdata[i], set);
  if (!stock && g_hash_table_size(set) == 0)
    return NULL;
  if (!stock)
    vt.libvirt.reset_last_error();
  g_autoptr(GPtrArray) names = g_ptr_array_new();
  GHashTableIter iter;
  gpointer name;
  for (g_hash_table_iter_init(&iter, set); g_hash_table_iter_next(&iter, &name, NULL);)
    g_ptr_array_add(names, name);
  g_ptr_array_sort(names, compare_names);
  char *document = vtbackend_sources_document(stock, names);
  free(stock);
  return document;
}
