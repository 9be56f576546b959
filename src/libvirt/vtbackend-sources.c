/* virt-thin - finding sources: the thin pools there are, behind the volume groups that libvirt finds
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <stdlib.h>

#include "libvirt/vtbackend.h"
#include "pool/pool-service.h"

/* The thin pools of every VG that is served. */
static void
add_served(GHashTable *names)
{
  g_auto(GStrv) vgs = pool_service_list();
  for (char **vg = vgs; *vg; vg++) {
    Pool *pool = vt_service(*vg, NULL);
    g_autoptr(GPtrArray) pools = pool ? pool_list_pools(pool, NULL) : NULL;
    for (guint i = 0; pools && i < pools->len; i++)
      g_hash_table_add(names, g_strdup_printf("%s/%s", *vg, ((PoolInfo *) g_ptr_array_index(pools, i))->name));
  }
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
  return g_strcmp0(*(const char *const *) a, *(const char *const *) b);
}

/* libvirt's own list, with every thin pool as VG/POOL behind it: virt-manager offers the names for choice. */
char *
vt_find_sources(const char *spec, unsigned int flags)
{
  g_autoptr(GHashTable) set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  char *stock = vt.stock.find_sources(spec, flags);
  if (!stock && flags)
    return NULL;
  add_served(set);
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
  char *document = vt_sources_document(stock, names);
  free(stock);
  return document;
}
