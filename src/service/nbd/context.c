/* virt-thin - NBD server: the metadata contexts of an export, listed and chosen
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * There is base:allocation, and for each older snapshot of the same volume (for a volume: each of
 * its snapshots) one that tells what has changed since. That has the name and meaning of a dirty
 * bitmap of QEMU's (QEMU, docs/interop/nbd):
 *
 *     qemu:dirty-bitmap:since-SNAPSHOT     bit 0: changed since
 *
 * An LV's name has ASCII characters alone and 127 at most, so that these names fit wherever NBD
 * (4096 bytes, UTF-8) and QEMU (1023 for a bitmap's) carry them.
 *
 * "base:", "qemu:" and "qemu:dirty-bitmap:" stand for all that begin so when contexts are listed,
 * and for none when they are set. Other namespaces are not known here, and ignored.
 */
#include <string.h>

#include "pool/snapshots.h"
#include "service/nbd/nbd-private.h"

#define BASE_ALLOCATION "base:allocation"
#define QEMU "qemu:"
#define SINCE_QUERY QEMU "dirty-bitmap:"

void nbd_context_free(NbdContext *context)
{
  if (!context)
    return;
  nbd_dirty_free(context->dirty);
  g_free(context->name);
  g_free(context);
}

static void add(GPtrArray *contexts, char *name, NbdDirty *dirty)
{
  NbdContext *context = g_new0(NbdContext, 1);
  context->id = contexts->len + 1;
  context->name = name;
  context->dirty = dirty;
  g_ptr_array_add(contexts, context);
}

static gboolean matches(const char *name, const char *const *queries, gboolean listing)
{
  if (listing && !*queries)
    return TRUE;
  for (; *queries; queries++)
    if (g_str_equal(*queries, name) ||
        (listing &&
         (g_str_equal(*queries, "base:") || g_str_equal(*queries, QEMU) ||
          g_str_equal(*queries, SINCE_QUERY)) &&
         g_str_has_prefix(name, *queries)))
      return TRUE;
  return FALSE;
}

/* Is a snapshot asked for? The volumes need not be listed for who asks for none. */
static gboolean asks_for_snapshots(const char *const *queries, gboolean listing)
{
  if (listing && !*queries)
    return TRUE;
  for (; *queries; queries++)
    if (g_str_has_prefix(*queries, QEMU))
      return TRUE;
  return FALSE;
}

GPtrArray *nbd_context_find(VolumeGroup *group, const PoolVolumeInfo *volume,
                            const char *const *queries, gboolean listing, GError **error)
{
  g_autoptr(GPtrArray) contexts = g_ptr_array_new_with_free_func((GDestroyNotify)nbd_context_free);
  if (matches(BASE_ALLOCATION, queries, listing))
    add(contexts, g_strdup(BASE_ALLOCATION), NULL);
  if (volume->kind != POOL_VOLUME_THIN || !asks_for_snapshots(queries, listing))
    return g_steal_pointer(&contexts);
  g_autoptr(GPtrArray) volumes = pool_list_volumes(group, volume->pool, error);
  if (!volumes)
    return NULL;
  g_autoptr(GPtrArray) snapshots = pool_snapshots_before(volumes, volume);
  for (guint i = 0; i < snapshots->len; i++) {
    const PoolVolumeInfo *since = snapshots->pdata[i];
    g_autofree char *name = g_strconcat(NBD_SINCE_CONTEXT, since->snapshot_name, NULL);
    if (matches(name, queries, listing))
      add(contexts, g_steal_pointer(&name), listing ? NULL : nbd_dirty_new(volume, since));
  }
  return g_steal_pointer(&contexts);
}
