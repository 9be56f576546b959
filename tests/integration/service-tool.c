/* virt-thin - the VG service as a program of its own, for tests
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Linked with the bundled pool (thin-service) or with file-pool.c (file-service).
 *
 * usage: init VG POOL PATH SIZE | serve VG [--foreground] | release VG
 *        create VG NAME SIZE | resize VG NAME SIZE [shrink] | remove VG NAME | path VG NAME
 *        rename|template VG NAME NEW | snapshot|rollback VG NAME SNAPSHOT
 *        activate|deactivate VG POOL | stop VG [force]
 * All but the first line talk to the service over D-Bus. PVs: as settings_devices() finds them.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "pool/open.h"
#include "pool/remote/service.h"
#include "service/process/service.h"
#include "util/size.h"

static gboolean run(const char *command, const char *vg, char **args, guint n_args, GError **error)
{
  g_autoptr(VolumeGroup) group = NULL;
  const char *names[] = {n_args > 0 ? args[0] : NULL, NULL};
  guint64 size = 0;

  if (strcmp(command, "release") == 0)
    return service_release(vg, error);
  if (strcmp(command, "init") == 0 && n_args == 3)
    return vt_size_parse(args[2], &size, NULL, error) &&
           pool_init(vg, args[0], args[1], size, 0, NULL, error);
  if (strcmp(command, "stop") == 0)
    return pool_service_stop(vg, n_args > 0, 0, error);
  if (n_args > 1 && (strcmp(command, "create") == 0 || strcmp(command, "resize") == 0) &&
      !vt_size_parse(args[1], &size, NULL, error))
    return FALSE;
  if (!(group = pool_connect(vg, 0, error)))
    return FALSE;
  if (n_args < 1)
    return vt_set_error(error, EINVAL, "an argument is missing");
  if (strcmp(command, "activate") == 0)
    return pool_activate(group, args[0], error);
  if (strcmp(command, "deactivate") == 0)
    return pool_deactivate(group, args[0], FALSE, error);
  if (strcmp(command, "remove") == 0)
    return pool_remove(group, names, FALSE, error);
  if (strcmp(command, "path") == 0) {
    g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, args[0], error);
    if (info)
      printf("%s\n", info->path ? info->path : "");
    return info != NULL;
  }
  if (n_args < 2)
    return vt_set_error(error, EINVAL, "an argument is missing");
  if (strcmp(command, "create") == 0)
    return pool_create(group, NULL, args[0], size, error);
  if (strcmp(command, "resize") == 0)
    return pool_resize(group, args[0], size, n_args > 2, error);
  if (strcmp(command, "rename") == 0)
    return pool_rename(group, args[0], args[1], error);
  if (strcmp(command, "template") == 0)
    return pool_template(group, args[0], args[1], error);
  if (strcmp(command, "snapshot") == 0)
    return pool_snapshot(group, args[0], args[1], error);
  if (strcmp(command, "rollback") == 0)
    return pool_rollback(group, args[0], args[1], error);
  return vt_set_error(error, EINVAL, "no such command: %s", command);
}

int main(int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  int status;

  if (service_child_main(argc, argv, &status))
    return status;
  if (argc < 3) {
    fprintf(stderr, "usage: see the source\n");
    return 2;
  }
  if (strcmp(argv[1], "serve") == 0)
    return service_main(argv[2], NULL, argc > 3 && strcmp(argv[3], "--foreground") == 0);
  if (run(argv[1], argv[2], argv + 3, argc - 3, &error))
    return 0;
  fprintf(stderr, "%s\n", error->message);
  return 1;
}
