/* virt-thin - volumes as NBD exports, for a program that is run, or for whoever connects
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <glib/gstdio.h>

#include "image/nbd-export.h"
#include "pool/snapshots.h"
#include "service/nbd/nbd-server.h"
#include "settings/settings.h"

#define STOP_MS 5000

struct ImageExport {
  char *folder; /* a private one, with the socket alone; NULL */
  char *socket;
  GPtrArray *uris;
  NbdServer *server; /* NULL: the service's */
};

static ImageExport *export_new(char *socket, const char *const *lvs)
{
  ImageExport *export = g_new0(ImageExport, 1);
  g_autofree char *escaped = g_uri_escape_string(socket, "/", FALSE);

  export->socket = socket;
  export->uris = g_ptr_array_new_with_free_func(g_free);
  for (; *lvs; lvs++) {
    g_autofree char *name = g_uri_escape_string(*lvs, NULL, FALSE);

    g_ptr_array_add(export->uris, g_strdup_printf("nbd+unix:///%s?socket=%s", name, escaped));
  }
  return export;
}

ImageExport *image_export_new(VolumeGroup *group, const char *const *lvs, gboolean read_only,
                              const char *socket, GError **error)
{
  const NbdServerOptions options = {.read_only = read_only, .exports = lvs};
  g_autofree char *folder = NULL;
  g_autoptr(GError) local = NULL;
  ImageExport *export;

  if (!socket && !(folder = g_dir_make_tmp("virt-thin-XXXXXX", &local))) {
    vt_set_error(error, EIO, "making a folder for an NBD socket: %s", local->message);
    return NULL;
  }
  export = export_new(
      folder ? g_build_filename(folder, "nbd", NULL) : g_canonicalize_filename(socket, NULL), lvs);
  export->folder = g_steal_pointer(&folder);
  export->server = nbd_server_start(group, export->socket, &options, error);
  if (export->server)
    return export;
  image_export_free(export);
  return NULL;
}

ImageExport *image_export_near(VolumeGroup *group, const char *vg, const char *lv,
                               gboolean read_only, GError **error)
{
  const char *const lvs[] = {lv, NULL};

  return pool_get_holder(group) == POOL_HOLDER_SERVICE
             ? export_new(settings_vg_file(vg, "nbd"), lvs)
             : image_export_new(group, lvs, read_only, NULL, error);
}

void image_export_free(ImageExport *export)
{
  if (!export)
    return;
  if (export->server)
    nbd_server_stop(export->server, STOP_MS);
  if (export->folder)
    g_rmdir(export->folder);
  g_ptr_array_unref(export->uris);
  g_free(export->folder);
  g_free(export->socket);
  g_free(export);
}

const char *image_export_socket(const ImageExport *export)
{
  return export->socket;
}

const char *image_export_uri(const ImageExport *export, guint i)
{
  return export->uris->pdata[i];
}

char *image_export_since(VolumeGroup *group, const char *lv, const char *since, GError **error)
{
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, lv, error);
  g_autoptr(GPtrArray) volumes = info ? pool_list_volumes(group, info->pool, error) : NULL;
  g_autoptr(GPtrArray) snapshots = volumes ? pool_snapshots_before(volumes, info) : NULL;
  g_autoptr(GString) names = g_string_new(NULL);

  if (!snapshots)
    return NULL;
  for (guint i = 0; i < snapshots->len; i++) {
    const char *name = ((PoolVolumeInfo *)snapshots->pdata[i])->snapshot_name;

    if (g_strcmp0(name, since) == 0)
      return g_strconcat(NBD_SINCE_CONTEXT, name, NULL);
    g_string_append_printf(names, "%s%s", i ? ", " : "", name);
  }
  vt_set_error(error, ENOENT, "volume %s/%s has no older snapshot %s%s%s", info->vg, lv, since,
               snapshots->len ? ": there are " : ", nor any other", names->str);
  return NULL;
}
