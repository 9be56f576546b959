/* virt-thin - commands serve, stop and release: the service of a volume group
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "commands/commands.h"
#include "control/service.h"
#include "pool/remote/service.h"
#include "service/process/service.h"
#include "settings/settings.h"
#include "util/name.h"

static gboolean foreground, force;

/* A volume group alone. */
static gboolean vg_argument(const char *argument, char **vg, GError **error)
{
  g_autofree char *lv = NULL;

  if (!cli_split_optional(argument, vg, &lv, error))
    return FALSE;
  if (lv)
    return cli_usage(error, "\"%s\" is no volume group", argument);
  return vt_vg_name_check(*vg, error);
}

static int run_serve(char **args, GError **error)
{
  g_autofree char *vg = NULL;

  if (!vg_argument(args[0], &vg, error))
    return CLI_WRONG_USAGE;
  pool_service_keep(vg);
  /* Where systemd can, it keeps the service: so that it is no part of this login. */
  if (!foreground && pool_service_uses_systemd()) {
    if (control_service_is_running(vg))
      return cli_status(vt_set_error(error, EBUSY, "volume group %s is served already", vg));
    return cli_status(pool_service_start(vg, NULL, cli_devices(), 0, error));
  }
  return service_main(vg, cli_devices(), foreground);
}

static const GOptionEntry serve_options[] = {
    {"foreground", 0, 0, G_OPTION_ARG_NONE, &foreground,
     "Stay in the foreground, and tell systemd when ready", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_serve = {
    .name = "serve",
    .arguments = "VG",
    .summary = "Serve a volume group: block nodes, files, NBD and D-Bus",
    .description = "Returns once the service is ready. Its volumes are then /dev/VG/LV and files "
                   "in /run/virt-thin/VG/volumes, "
                   "its NBD exports on\n"
                   "/run/virt-thin/VG/nbd, its D-Bus interface on /run/virt-thin/VG/control. The "
                   "other commands go through it.",
    .options = serve_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_serve,
};

static int run_stop(char **args, GError **error)
{
  g_autofree char *vg = NULL;

  if (!vg_argument(args[0], &vg, error))
    return CLI_WRONG_USAGE;
  return cli_status(pool_service_stop(vg, force, 0, error));
}

static const GOptionEntry stop_options[] = {
    {"force", 0, 0, G_OPTION_ARG_NONE, &force,
     "Also while volumes are open: their users get I/O errors", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_stop = {
    .name = "stop",
    .arguments = "VG",
    .summary = "End the service of a volume group",
    .description = "Everything is committed first. Refused while a volume is open, unless --force.",
    .options = stop_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_stop,
};

static int run_release(char **args, GError **error)
{
  const PoolWhere where = cli_where(0);
  g_autofree char *vg = NULL;
  VolumeGroup *group;

  if (!vg_argument(args[0], &vg, error))
    return CLI_WRONG_USAGE;
  if (!service_release(vg, error))
    return CLI_FAILED;
  /* Opening ends what was under way, and takes the VG over from an engine that died with it;
   * closing gives it back. */
  group = pool_open_bundled(vg, &where, error);
  return cli_status(group && cli_close(group, error));
}

const CliCommand cli_release = {
    .name = "release",
    .arguments = "VG",
    .summary = "Take a volume group back after a crash",
    .description = "Clears what a killed service has left behind - mounts, links, sockets, loop "
                   "devices - finishes or "
                   "rolls back what was under way, and\n"
                   "gives the volume group back the system id it had, so that lvm2 accepts it "
                   "again. Refused while a "
                   "service lives.",
    .min_args = 1,
    .max_args = 1,
    .run = run_release,
};
