/* virt-thin - command rescue: a volume out of a pool that does not open
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "cli/progress.h"
#include "commands/commands.h"
#include "image/output.h"
#include "rescue/lists.h"
#include "rescue/mapfile.h"
#include "rescue/open.h"
#include "rescue/volume.h"

#define N_TOLD 100u /* lost ranges, one by one */

static char *text_word, *root_word, *metadata_path, *dump_path, *map_path, *size_text;
static gint64 device = -1;
static gboolean list_texts, list_roots;

/* --- what was lost --- */

static guint64 tell_lost(GPtrArray *lost)
{
  guint64 sum = 0;

  for (guint i = 0; i < lost->len; i++) {
    const ImageLost *range = lost->pdata[i];

    sum += range->length;
    if (i < N_TOLD)
      cli_warn("%s", range->text);
  }
  if (lost->len > N_TOLD)
    cli_warn("%u more ranges are lost; --map FILE lists them all", lost->len - N_TOLD);
  return sum;
}

static gboolean judge(const char *name, GPtrArray *lost, gboolean has_roots, GError **error)
{
  guint64 sum = tell_lost(lost);
  g_autofree char *size = cli_size(sum);

  return sum == 0 ||
         vt_set_error(error, EBADMSG,
                      "%s was rescued without what is lost, %" G_GUINT64_FORMAT
                      " bytes (%s): there the image reads zero%s",
                      name, sum, size,
                      has_roots ? "; older roots may have more of it (--list-roots)" : "");
}

static gboolean is_thin(RescueGroup *group, const RescueRequest *request)
{
  LvmLv *lv = lvm_vg_find_lv(lvm_store_vg(group->store), request->lv);

  return lvm_lv_kind(lv) == LVM_LV_THIN || lvm_lv_kind(lv) == LVM_LV_THIN_POOL;
}

/* --- rescuing --- */

static gboolean check_outputs(RescueGroup *group, const char *argument, GError **error)
{
  const char *const paths[] = {argument, map_path};

  for (guint i = 0; i < G_N_ELEMENTS(paths); i++)
    if (paths[i] && strcmp(paths[i], "-") != 0 && rescue_group_has(group, paths[i]))
      return vt_set_error(error, EINVAL,
                          "%s is a physical volume of the volume group: nothing is written there",
                          paths[i]);
  return TRUE;
}

static gboolean write_image(VtIo *volume, const char *argument, GPtrArray *lost, GError **error)
{
  ImageOutput output;
  CliProgress *progress;
  gboolean ok;

  if (!image_output_open(&output, argument, error))
    return FALSE;
  progress = cli_progress_new(vt_io_size(volume), "rescuing %s", vt_io_name(volume));
  ok = image_copy_out(volume, output.fd, output.name, output.target, lost, progress, error);
  cli_progress_free(progress);
  return image_output_close(&output, ok, error) && ok;
}

static gboolean rescue(RescueGroup *group, const RescueRequest *request, const char *argument,
                       GError **error)
{
  g_autoptr(GPtrArray) lost = image_lost_new();
  g_autoptr(VtIo) volume = NULL;

  if (!check_outputs(group, argument, error))
    return FALSE;
  volume = rescue_open(group, request, error);
  for (guint i = 0; i < group->notes->len; i++)
    cli_warn("%s", (char *)group->notes->pdata[i]);
  return volume && write_image(volume, argument, lost, error) &&
         (!map_path || rescue_mapfile_write(map_path, vt_io_size(volume), lost, error)) &&
         judge(vt_io_name(volume), lost, !request->root && is_thin(group, request), error);
}

static gboolean print_roots(RescueGroup *group, const RescueRequest *request, GError **error)
{
  g_autoptr(GPtrArray) pairs = NULL;
  LvmLv *pool;

  pairs = rescue_roots(group, request, &pool, error);
  if (pairs)
    rescue_print_roots(group, pairs, pool, request->lv);
  return pairs != NULL;
}

/* An image of another time than the last commit is not what was asked for. */
static gboolean judge_time(const RescueGroup *group, const RescueRequest *request, GError **error)
{
  return !group->is_older ||
         vt_set_error(error, EBADMSG,
                      "%s/%s was rescued as it was at an earlier commit of its pool (--list-roots "
                      "lists what is left): what was written to it since is not in the image",
                      request->vg, request->lv);
}

static gboolean run(const RescueRequest *request, const char *argument, GError **error)
{
  g_autoptr(RescueGroup) group = rescue_group_open(request, error);

  if (!group)
    return FALSE;
  if (list_texts)
    rescue_print_texts(group, request->lv);
  if (list_texts || list_roots)
    return !list_roots || print_roots(group, request, error);
  return rescue(group, request, argument, error) && judge_time(group, request, error);
}

static gboolean check_usage(const RescueRequest *request, const char *argument, GError **error)
{
  gboolean list = list_texts || list_roots;

  if (list ? argument != NULL : argument == NULL)
    return cli_usage(error, list ? "the lists want no FILE" : "FILE is wanted, or '-'");
  if (!request->lv && (!list || list_roots))
    return cli_usage(error, "VG/LV is wanted");
  if (list && map_path)
    return cli_usage(error, "--map goes with FILE");
  if (metadata_path && dump_path)
    return cli_usage(error, "--metadata or --dump, not both");
  if (device > (gint64)THIN_DEVICE_MAX)
    return cli_usage(error, "--dev-id: thin devices have numbers up to %u", THIN_DEVICE_MAX);
  return TRUE;
}

static int run_rescue(char **args, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL;
  RescueRequest request = {.text = text_word,
                           .root = root_word,
                           .metadata = metadata_path,
                           .dump = dump_path,
                           .device = device};

  if (!cli_split_optional(args[0], &vg, &lv, error) ||
      !cli_parse_size("--size", size_text, &request.size, error))
    return CLI_WRONG_USAGE;
  request.vg = vg;
  request.lv = lv;
  if (!check_usage(&request, args[1], error))
    return CLI_WRONG_USAGE;
  return cli_status(run(&request, args[1], error));
}

static const GOptionEntry rescue_options[] = {
    {"map", 0, 0, G_OPTION_ARG_FILENAME, &map_path,
     "Write what is lost to this file, as ddrescue has it", "FILE"},
    {"list-texts", 0, 0, G_OPTION_ARG_NONE, &list_texts,
     "List the volume group's texts that are left", NULL},
    {"text", 0, 0, G_OPTION_ARG_FILENAME, &text_word,
     "Take the volume group as this text says, by its seqno or in a file", "SEQNO|FILE"},
    {"list-roots", 0, 0, G_OPTION_ARG_NONE, &list_roots,
     "List the roots of the pool's metadata that are left, and what each has lost", NULL},
    {"root", 0, 0, G_OPTION_ARG_STRING, &root_word,
     "Take these roots: a number in that list, or @ and a metadata block", "N|@BLOCK"},
    {"metadata", 0, 0, G_OPTION_ARG_FILENAME, &metadata_path,
     "Read the pool's metadata from this file or device", "PATH"},
    {"dump", 0, 0, G_OPTION_ARG_FILENAME, &dump_path,
     "Take the pool's metadata as this XML says, of dump or thin_dump", "FILE"},
    {"dev-id", 0, 0, G_OPTION_ARG_INT64, &device, "Thin device N of VG/POOL", "N"},
    {"size", 0, 0, G_OPTION_ARG_STRING, &size_text,
     "Its size (default: up to the last that it maps)", "SIZE"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_rescue = {
    .name = "rescue",
    .arguments = "VG/LV [FILE|-]",
    .summary = "Write a volume of a pool that does not open into a disk image",
    .description =
        "Of whatever is left: an older text of the volume group, older roots of the pool's\n"
        "metadata. What is lost is named and reads zero, and the exit status is 1; so it is where "
        "the\n"
        "metadata left only an earlier commit. Nothing is written to the volume group; the kernel "
        "must not have the pool active.",
    .options = rescue_options,
    .min_args = 1,
    .max_args = 2,
    .run = run_rescue,
};
