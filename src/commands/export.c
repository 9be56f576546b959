/* virt-thin - command export: a volume into an image
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>
#include <unistd.h>

#include "commands/commands.h"
#include "image/copy.h"
#include "image/output.h"
#include "image/qemu.h"
#include "util/image-format.h"

static char *format_text;

static gboolean export_raw(VolumeGroup *group, const char *vg, const char *lv, const char *argument,
                           GError **error)
{
  g_autofree char *opener = g_strdup_printf("virt-thin export, pid %d", (int)getpid());
  g_autoptr(VtIo) volume = pool_volume_open(group, lv, TRUE, opener, error);
  g_autoptr(GPtrArray) lost = image_lost_new();
  ImageOutput output = {.fd = -1};
  CliProgress *progress;
  gboolean ok;

  if (!volume || !image_output_open(&output, argument, error))
    return FALSE;
  progress = cli_progress_new(vt_io_size(volume), "exporting %s/%s", vg, lv);
  ok = image_copy_out(volume, output.fd, output.name, output.target, lost, progress, error);
  cli_progress_free(progress);
  ok = image_output_close(&output, ok, error) && ok;
  for (guint i = 0; i < lost->len; i++)
    cli_warn("%s", ((ImageLost *)lost->pdata[i])->text);
  if (ok && lost->len)
    return vt_set_error(
        error, EBADMSG,
        "volume %s/%s was exported without what is lost: there the image reads zero", vg, lv);
  return ok;
}

static gboolean export_converted(VolumeGroup *group, const char *vg, const char *lv,
                                 const char *path, GError **error)
{
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, lv, error);
  ImageExport *export;
  gboolean created, ok;
  int fd;

  if (!info)
    return FALSE;
  /* Before qemu-img, which makes a file for everybody to read, and wherever a link leads. */
  fd = image_open_output(path, FALSE, &created, error);
  if (fd < 0)
    return FALSE;
  close(fd);
  export = image_export_near(group, vg, lv, TRUE, error);
  ok = export && image_qemu_create(export, path, format_text, error);
  image_export_free(export);
  if (!ok && created)
    unlink(path);
  return ok;
}

static int run_export(char **args, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL;
  gboolean raw = !format_text || strcmp(format_text, "raw") == 0, ok;
  VolumeGroup *group;

  if (!cli_split_name(args[0], &vg, &lv, error))
    return CLI_WRONG_USAGE;
  if (!raw && strcmp(args[1], "-") == 0)
    return cli_usage(error,
                     "--format %s needs a file: parts of such an image are written out of order",
                     format_text),
           CLI_WRONG_USAGE;
  group = cli_open(vg, POOL_READ_ONLY, error);
  if (!group)
    return CLI_FAILED;
  if (!format_text && vt_image_is_named(args[1], NULL))
    cli_warn("%s becomes a raw image, which its name does not say: --format qcow2 or another makes "
             "such an image",
             args[1]);
  ok = raw ? export_raw(group, vg, lv, args[1], error)
           : export_converted(group, vg, lv, args[1], error);
  return cli_status(cli_close(group, error) && ok);
}

static const GOptionEntry export_options[] = {
    {"format", 0, 0, G_OPTION_ARG_FILENAME, &format_text,
     "Format of the image: raw (default), qcow2, or another that qemu-img writes", "FORMAT"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_export = {
    .name = "export",
    .arguments = "VG/LV FILE|-",
    .summary = "Write a volume into a disk image",
    .description = "What the volume does not map is a hole in FILE. '-' is standard output (raw "
                   "only). Of a damaged "
                   "volume what can be reached is\n"
                   "written, the lost ranges are named, and the exit status is 1. Changes nothing "
                   "in the volume group.",
    .options = export_options,
    .min_args = 2,
    .max_args = 2,
    .run = run_export,
};
