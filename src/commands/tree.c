/* virt-thin - command tree: from disks to snapshots, what is on what
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "commands/commands.h"
#include "commands/tree-svg.h"
#include "commands/tree-text.h"
#include "util/files.h"

#define USUAL_WIDTH 80

static char *svg;

static gboolean add(TreeNodes *nodes, const PoolWhere *where, const char *vg, GError **error)
{
  VolumeGroup *group = pool_open(vg, where, error);
  gboolean ok = group && tree_nodes_add(nodes, group, error);

  return cli_close(group, ok ? error : NULL) && ok;
}

/* Every volume group there is; those that cannot be read are told, and the rest shown. */
static gboolean add_all(TreeNodes *nodes, const PoolWhere *where)
{
  gboolean all;
  g_autoptr(GPtrArray) vgs = cli_list_vgs(where, &all);

  for (guint i = 0; i < vgs->len; i++) {
    const PoolVg *vg = vgs->pdata[i];
    g_autoptr(GError) local = NULL;

    all = all && !vg->twice;
    if (vg->twice || add(nodes, where, vg->name, &local))
      continue;
    cli_warn("%s", local->message);
    all = FALSE;
  }
  return all;
}

/* 0: whatever it takes, for a program. */
static guint width_of_output(void)
{
  struct winsize size;

  if (!isatty(STDOUT_FILENO))
    return 0;
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : USUAL_WIDTH;
}

static gboolean write_svg(const TreeNodes *nodes, GError **error)
{
  g_autofree char *text = tree_svg_draw(nodes);

  if (strcmp(svg, "-") == 0)
    return fputs(text, stdout) != EOF ||
           vt_set_errno(error, errno, "writing the picture to standard output");
  return files_write(svg, text, -1, 0644, error);
}

static int run_tree(char **args, GError **error)
{
  g_autoptr(TreeNodes) nodes = tree_nodes_new();
  g_autoptr(PoolLook) look = pool_look_new();
  PoolWhere where = cli_where(POOL_READ_ONLY);
  gboolean ok;

  if (args && strchr(args[0], '/'))
    return cli_usage(error, "\"%s\" is not a volume group", args[0]), CLI_WRONG_USAGE;
  where.look = look;
  ok = args ? add(nodes, &where, args[0], error) : add_all(nodes, &where);
  if (args && !ok)
    return CLI_FAILED;
  if (args)
    cli_tell_namesakes(&where, args[0]);
  if (!tree_nodes_all(nodes)->len)
    cli_warn("there is no volume group; virt-thin init makes one");
  else if (svg)
    ok = write_svg(nodes, error) && ok;
  else
    tree_text_print(nodes, width_of_output());
  return cli_status(ok);
}

static const GOptionEntry tree_options[] = {
    {"svg", 0, 0, G_OPTION_ARG_FILENAME, &svg, "Draw a picture into a file, or - for a pipe",
     "FILE"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_tree = {
    .name = "tree",
    .arguments = "[VG]",
    .summary = "Show what is on what, from disks to snapshots",
    .description =
        "Disks, partitions, RAID and files, the volume groups on them, their thin pools, volumes "
        "and snapshots: how large, how much of it is in use, and who has it open. What is on "
        "several disks hangs on the last of them. Changes nothing.",
    .options = tree_options,
    .min_args = 0,
    .max_args = 1,
    .run = run_tree,
};
