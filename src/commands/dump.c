/* virt-thin - command dump: a thin pool's metadata in words
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "commands/commands.h"
#include "thin/format/dump.h"

static char *format_text, *metadata_path;
static gint64 device = -1;
static gboolean skip_mappings, repair;

static gboolean dump(VtIo *metadata, guint64 superblock, gpointer data, GError **error)
{
  ThinDumpOptions *options = data;

  options->superblock = superblock;
  return thin_dump(metadata, options, stdout, error);
}

static gboolean dump_file(ThinDumpOptions *options, GError **error)
{
  g_autoptr(VtIo) metadata = vt_io_open_file(metadata_path, TRUE, error);

  return metadata && dump(metadata, 0, options, error);
}

static gboolean dump_pool(const char *argument, ThinDumpOptions *options, GError **error)
{
  g_autofree char *vg = NULL, *pool = NULL;
  VolumeGroup *group;
  gboolean ok;

  if (!cli_split_name(argument, &vg, &pool, error) ||
      !(group = cli_open(vg, POOL_READ_ONLY, error)))
    return FALSE;
  ok = pool_read_metadata(group, pool, dump, options, error);
  if (!ok)
    g_prefix_error(error, "cannot dump the metadata of %s: ", argument);
  return cli_close(group, ok ? error : NULL) && ok;
}

static int run_dump(char **args, GError **error)
{
  g_autoptr(GPtrArray) lost = g_ptr_array_new_with_free_func(g_free);
  ThinDumpOptions options = {
      .device = device, .skip_mappings = skip_mappings, .lost = repair ? lost : NULL};
  const char *pool = args ? args[0] : NULL;
  gboolean ok;

  if (format_text && strcmp(format_text, "human") == 0)
    options.format = THIN_DUMP_HUMAN;
  else if (format_text && strcmp(format_text, "xml") != 0)
    return cli_usage(error, "--format %s: xml or human", format_text), CLI_WRONG_USAGE;
  if (!metadata_path == !pool)
    return cli_usage(error, "VG/POOL or --metadata FILE is wanted"), CLI_WRONG_USAGE;
  ok = pool ? dump_pool(pool, &options, error) : dump_file(&options, error);
  for (guint i = 0; i < lost->len; i++)
    cli_warn("lost: %s", (char *)lost->pdata[i]);
  return cli_status(ok);
}

static const GOptionEntry dump_options[] = {
    {"format", 0, 0, G_OPTION_ARG_STRING, &format_text, "xml (default) or human", "FORMAT"},
    {"dev-id", 0, 0, G_OPTION_ARG_INT64, &device, "Of this thin device alone", "N"},
    {"skip-mappings", 0, 0, G_OPTION_ARG_NONE, &skip_mappings, "Devices without their maps", NULL},
    {"repair", 0, 0, G_OPTION_ARG_NONE, &repair,
     "Leave out what is damaged, and name it on standard error", NULL},
    {"metadata", 0, 0, G_OPTION_ARG_FILENAME, &metadata_path,
     "Read this file or device, which holds a pool's metadata", "PATH"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_dump = {
    .name = "dump",
    .arguments = "[VG/POOL]",
    .summary = "Print the metadata of a thin pool",
    .description = "As thin_dump prints it: thin_restore reads the XML. Changes nothing; of an "
                   "active pool of the kernel's a metadata snapshot is read.\n\n"
                   "Example: virt-thin dump pve/data > data.xml",
    .options = dump_options,
    .min_args = 0,
    .max_args = 1,
    .run = run_dump,
};
