/* virt-thin - block nodes by the kernel's NBD client, on the service's own socket
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Faster than a loop device over the FUSE file, and a death of the engine is nothing to it but a
 * lost connection: the device keeps its requests until the next engine serves. A device's
 * identifier is "virt-thin <folder>", after which it is ours whatever the volume is called today.
 */
#include "config.h"

#include <string.h>
#include <sys/stat.h>

#include "service/nodes/block-node.h"
#include "service/nodes/nbd-kernel.h"
#include "settings/settings.h"

#define PREFIX "virt-thin "

static char *nbd_attach(const char *vg, const char *volume, const char *file,
                        const NodeShape *shape, GError **error)
{
  g_autofree char *socket_path = settings_vg_file(vg, "nbd"), *folder = g_path_get_dirname(file);
  g_autofree char *identifier = g_strconcat(PREFIX, folder, NULL);
  return nbd_kernel_attach(socket_path, volume, identifier, shape, error);
}

static gboolean nbd_reconnect(const char *device, const char *vg, const char *volume,
                              GError **error)
{
  g_autofree char *socket_path = settings_vg_file(vg, "nbd");
  return nbd_kernel_reconnect(device, socket_path, volume, error);
}

static gboolean nbd_resize(const char *device, const char *vg, const char *volume, const char *file,
                           GError **error)
{
  struct stat st;
  if (stat(file, &st) < 0)
    return vt_set_errno(error, errno, "cannot ask %s for its size", file);
  return nbd_kernel_resize(device, st.st_size, error);
}

static gboolean nbd_is_ours(const char *device, const char *folder)
{
  g_autofree char *identifier =
      nbd_kernel_is_attached(device) ? nbd_kernel_identifier(device) : NULL;
  return identifier && g_str_has_prefix(identifier, PREFIX) &&
         strcmp(identifier + strlen(PREFIX), folder) == 0;
}

/* Its identifier keeps the change from a device that has become another's. */
static gboolean nbd_keep(const char *device, const char *folder, GError **error)
{
  return !nbd_is_ours(device, folder) || nbd_kernel_keep(device, error);
}

static GPtrArray *nbd_list(const char *folder)
{
  GPtrArray *devices = nbd_kernel_list();
  for (guint i = devices->len; i-- > 0;)
    if (!nbd_is_ours(devices->pdata[i], folder))
      g_ptr_array_remove_index_fast(devices, i);
  return devices;
}

const BlockNodeKind block_node_nbd = {
    .name = "nbd",
    .usable = nbd_kernel_available,
    .attach = nbd_attach,
    .detach = nbd_kernel_detach,
    .keep = nbd_keep,
    .abandon = nbd_kernel_abandon,
    .resize = nbd_resize,
    .is_ours = nbd_is_ours,
    .in_use = nbd_kernel_is_attached,
    .list = nbd_list,
    .reconnect = nbd_reconnect,
    .watch = nbd_kernel_watch,
    .watched = nbd_kernel_watched,
};
