/* virt-thin - commands activate and deactivate: a thin pool and its volumes in the kernel
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "commands/commands.h"

static gboolean force;

static int run(char **args, gboolean on, GError **error)
{
  g_autofree char *vg = NULL, *name = NULL;
  VolumeGroup *group;
  gboolean ok;

  if (!cli_split_name(args[0], &vg, &name, error))
    return CLI_WRONG_USAGE;
  group = cli_open_patient(vg, POOL_READ_ONLY, error);
  ok = group &&
       (on ? pool_activate(group, name, error) : pool_deactivate(group, name, force, error));
  return cli_status(cli_close(group, error) && ok);
}

static int run_activate(char **args, GError **error)
{
  return run(args, TRUE, error);
}

static int run_deactivate(char **args, GError **error)
{
  return run(args, FALSE, error);
}

const CliCommand cli_activate = {
    .name = "activate",
    .arguments = "VG/POOL",
    .summary = "Let the kernel, or the service, show a thin pool's volumes",
    .description = "Every volume of the pool that is not skipped at activation, as snapshots are, "
                   "whatever its "
                   "autoactivation flag says.\n"
                   "Changes nothing in the volume group.",
    .min_args = 1,
    .max_args = 1,
    .run = run_activate,
};

static const GOptionEntry deactivate_options[] = {
    {"force", 0, 0, G_OPTION_ARG_NONE, &force,
     "Also while volumes are open; those of the kernel stay active", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_deactivate = {
    .name = "deactivate",
    .arguments = "VG/POOL",
    .summary = "Take a thin pool's volumes away again",
    .description = "Refused while a volume is open, unless --force.",
    .options = deactivate_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_deactivate,
};
