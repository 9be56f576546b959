/* virt-thin - storage: what is listed of a volume, and what makes one a container's
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pvesm/item.h"

#include <glob.h>
#include <unistd.h>

PvesmItem *pvesm_item_new(const char *storage, char *volume, const char *content, char *format,
                          guint64 size, char *vmid, char *base)
{
  PvesmItem *item = g_new0(PvesmItem, 1);

  item->volid = g_strconcat(storage, ":", volume, NULL);
  item->key = g_ascii_strdown(item->volid, -1);
  item->vmid = vmid;
  item->base = base;
  item->content = content;
  item->format = format;
  item->size = size;
  g_free(volume);
  return item;
}

void pvesm_item_free(PvesmItem *item)
{
  g_free(item->volid);
  g_free(item->key);
  g_free(item->vmid);
  g_free(item->base);
  g_free(item->format);
  g_free(item);
}

/* Where there is a cluster, it knows containers by their configuration. */
gboolean pvesm_is_container(const char *vmid)
{
  g_autofree char *pattern = g_strdup_printf("/etc/pve/nodes/*/lxc/%s.conf", vmid);
  glob_t found = {0};
  gboolean is = glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc > 0;

  globfree(&found);
  return is;
}

gboolean pvesm_make_ext4(const char *path, const char *label, guint64 size, GError **error)
{
  g_autofree char *short_label = g_strndup(label, 16);
  const char *const argv[] = {"mkfs.ext4",      "-q", "-F",        "-O", "mmp", "-E",
                              "root_owner=0:0", "-L", short_label, path, NULL};
  g_autofree char *said = NULL, *search = NULL;
  g_auto(GStrv) environment = g_get_environ();
  int status;

  if (truncate(path, (off_t)size) < 0)
    return vt_set_errno(error, errno, "%s", path);
  /* Of users other than root sbin is not in the path. */
  search = g_strconcat(g_environ_getenv(environment, "PATH") ? g_environ_getenv(environment, "PATH")
                                                             : "",
                       ":/usr/sbin:/sbin", NULL);
  environment = g_environ_setenv(environment, "PATH", search, TRUE);
  if (!g_spawn_sync(NULL, (char **)argv, environment,
                    G_SPAWN_SEARCH_PATH_FROM_ENVP | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL,
                    &said, &status, error))
    return FALSE;
  if (g_spawn_check_wait_status(status, NULL))
    return TRUE;
  return vt_set_error(error, EIO, "mkfs.ext4 failed: %s", g_strstrip(said));
}
