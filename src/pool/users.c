/* virt-thin - who uses a volume
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/users.h"

#include <stdlib.h>

#include "settings/settings.h"

char *pool_volume_user(const PoolVolumeInfo *v, BlockScan **scan)
{
  g_autofree char *node = NULL, *folder = NULL, *file = NULL;
  char *user = NULL;

  if (!v->path)
    return g_strdup(v->open_by);
  if (!*scan)
    *scan = block_scan_new();
  node = realpath(v->path, NULL);
  folder = settings_vg_file(v->vg, "volumes");
  file = g_build_filename(folder, v->name, NULL);
  if (v->path_is_block)
    user = block_scan_user(*scan, v->path);
  if (!user)
    user = block_scan_file_opener(*scan, file);
  if (!user)
    user = block_scan_file_user(*scan, file, node ? node : "");
  return user ? user : g_strdup(v->open_by);
}
