/* virt-thin - the sync process: before the end, has the file systems on block nodes write what they
 * hold back SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A machine that shuts down ends services before it unmounts what somebody has mounted by hand.
 * What was written to such a file system would be lost with its node. A process of its own, because
 * it waits for the engine.
 */
#include "config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/nodes/nodes.h"
#include "settings/settings.h"
#include "util/proc.h"

/* Device numbers of the block nodes, as gint64 *. */
static GHashTable *list_devices(const char *vg)
{
  GHashTable *devices = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  g_autofree char *links = g_build_filename(settings_dev_dir(), vg, NULL);
  GDir *dir = g_dir_open(links, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *path = g_build_filename(links, name, NULL);
    struct stat st;
    gint64 *key;

    if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
      continue;
    key = g_new(gint64, 1);
    *key = st.st_rdev;
    g_hash_table_add(devices, key);
  }
  if (dir)
    g_dir_close(dir);
  return devices;
}

/* btrfs gives a number that is no device's: its source tells. */
static gboolean is_on(GHashTable *devices, const VtMount *mount)
{
  struct stat st;
  gint64 key = mount->device;

  if (g_hash_table_contains(devices, &key))
    return TRUE;
  if (*mount->source != '/' || stat(mount->source, &st) < 0 || !S_ISBLK(st.st_mode))
    return FALSE;
  key = st.st_rdev;
  return g_hash_table_contains(devices, &key);
}

int node_sync_main(const char *vg)
{
  g_autoptr(GHashTable) devices = list_devices(vg);
  g_autoptr(GArray) mounts = vt_list_mounts("self");
  int status = mounts->len == 0;

  for (guint i = 0; i < mounts->len; i++) {
    const VtMount *mount = &g_array_index(mounts, VtMount, i);
    int fd;

    if (!is_on(devices, mount))
      continue;
    fd = open(mount->where, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd == -1 || syncfs(fd) < 0) {
      int err = errno;
      g_autofree char *where = vt_printable(mount->where);
      g_warning("%s: what was written to this file system on a volume of %s may be lost: %s", where,
                vg, g_strerror(err));
      status = 1;
    }
    if (fd != -1)
      close(fd);
  }
  return status;
}
