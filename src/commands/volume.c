/* virt-thin - commands create, clone, template, snapshot, rollback, rename, resize, remove: changes
 * of volumes SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>

#include "cli/progress.h"
#include "commands/commands.h"
#include "control/service.h"
#include "mount/run.h"
#include "pool/guest.h"
#include "pool/rules.h"
#include "util/size.h"

static char *size_text, *thin_pool, *partition;
static gboolean shrink, metadata, with_snapshots, full, force, exec, raw;
static char **exec_words;

static const GOptionEntry no_more = {NULL, 0, 0, 0, NULL, NULL, NULL};

/* Two names of one volume group; the second may be given without it. */
static gboolean second_name(const char *argument, const char *vg, char **lv, GError **error)
{
  g_autofree char *other = NULL, *name = NULL;

  if (!strchr(argument, '/')) {
    if (!*argument)
      return cli_usage(error, "the new name is empty");
    *lv = g_strdup(argument);
    return TRUE;
  }
  if (!cli_split_name(argument, &other, &name, error))
    return FALSE;
  if (strcmp(other, vg) != 0)
    return cli_usage(error, "\"%s\" is in another volume group than %s", argument, vg);
  *lv = g_steal_pointer(&name);
  return TRUE;
}

/* The volumes of @lv's pool have become @more bytes more. A service tells its log that this makes
 * the pool overcommitted. */
static void tell_overcommit(VolumeGroup *group, const char *vg, const char *lv, guint64 more)
{
  g_autoptr(PoolVolumeInfo) volume =
      control_service_is_running(vg) ? pool_get_volume(group, lv, NULL) : NULL;
  g_autoptr(PoolInfo) info =
      volume && volume->pool ? pool_get_info(group, volume->pool, NULL) : NULL;
  g_autofree char *note = NULL;

  if (!info || info->virtual_size <= info->size || info->virtual_size - more > info->size)
    return;
  note = pool_rules_overcommit_note(vg, info->name, info->virtual_size, info->size);
  cli_warn("%s", note);
}

static guint64 size_of(VolumeGroup *group, const char *lv)
{
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, lv, NULL);

  return info ? info->size : 0;
}

static int run_create(char **args, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL;
  guint64 size;
  VolumeGroup *group;
  gboolean ok;

  if (!size_text)
    return cli_usage(error, "--size is missing"), CLI_WRONG_USAGE;
  if (!cli_split_name(args[0], &vg, &lv, error) ||
      !cli_parse_size("--size", size_text, &size, error))
    return CLI_WRONG_USAGE;
  group = cli_open(vg, 0, error);
  ok = group && pool_create(group, thin_pool, lv, size, error);
  if (ok)
    tell_overcommit(group, vg, lv, size_of(group, lv));
  return cli_status(cli_close(group, error) && ok);
}

static const GOptionEntry create_options[] = {
    {"size", 0, 0, G_OPTION_ARG_FILENAME, &size_text, "Size of the volume, rounded up to extents",
     "SIZE"},
    {"pool", 0, 0, G_OPTION_ARG_FILENAME, &thin_pool, "Thin pool (default: the only one)", "POOL"},
    no_more,
};

const CliCommand cli_create = {
    .name = "create",
    .arguments = "VG/LV",
    .summary = "Create an empty volume",
    .description = "It takes space only as it is written.\n\nExample: virt-thin create "
                   "pve/vm-100-disk-0 --size 32g",
    .options = create_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_create,
};

static void tell_copied(guint64 done, gpointer progress)
{
  cli_progress_update(progress, done);
}

static gboolean copy_volume(VolumeGroup *group, const char *vg, const char *lv, const char *name,
                            GError **error)
{
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, lv, error);
  CliProgress *progress;
  gboolean ok;

  if (!info)
    return FALSE;
  progress = cli_progress_new(info->size, "cloning %s/%s", vg, lv);
  ok = pool_guest_copy(group, lv, thin_pool, name, tell_copied, progress, error);
  cli_progress_free(progress);
  return ok;
}

static int run_clone(char **args, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL, *name = NULL;
  VolumeGroup *group;
  gboolean ok;

  if (thin_pool && !full)
    return cli_usage(error,
                     "--pool needs --full: a clone that shares blocks is in its origin's pool"),
           CLI_WRONG_USAGE;
  if (!cli_split_name(args[0], &vg, &lv, error) || !second_name(args[1], vg, &name, error))
    return CLI_WRONG_USAGE;
  group = cli_open(vg, 0, error);
  ok = group &&
       (full ? copy_volume(group, vg, lv, name, error) : pool_clone(group, lv, name, 0, error));
  if (ok)
    tell_overcommit(group, vg, name, size_of(group, name));
  return cli_status(cli_close(group, error) && ok);
}

static const GOptionEntry clone_options[] = {
    {"full", 0, 0, G_OPTION_ARG_NONE, &full, "Copy it: share nothing", NULL},
    {"pool", 0, 0, G_OPTION_ARG_FILENAME, &thin_pool,
     "With --full: thin pool (default: the volume's)", "POOL"},
    no_more,
};

const CliCommand cli_clone = {
    .name = "clone",
    .arguments = "VG/LV VG/NEW",
    .summary = "Clone a volume, at once and sharing every block",
    .description = "A clone named snap_LV_something becomes a read-only snapshot, one named "
                   "base-VMID-something a "
                   "template. With --full\nwhat the volume maps is copied instead.",
    .options = clone_options,
    .min_args = 2,
    .max_args = 2,
    .run = run_clone,
};

static int run_template(char **args, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL, *base = NULL;
  VolumeGroup *group;
  gboolean ok;

  if (!cli_split_name(args[0], &vg, &lv, error))
    return CLI_WRONG_USAGE;
  group = cli_open(vg, 0, error);
  ok = group && pool_guest_make_template(group, lv, &base, error);
  ok = cli_close(group, error) && ok;
  if (ok)
    printf("%s/%s\n", vg, base);
  return cli_status(ok);
}

const CliCommand cli_template = {
    .name = "template",
    .arguments = "VG/LV",
    .summary = "Make a guest's volume a template, to clone from",
    .description =
        "The volume vm-VMID-NAME becomes base-VMID-NAME, read-only and skipped at activation, as "
        "in Proxmox "
        "VE; it keeps its UUID\nand tags. Refused while it is open or has snapshots. Prints the "
        "new name.\n\n"
        "Example: virt-thin template pve/vm-9000-disk-0 && virt-thin clone pve/base-9000-disk-0 "
        "pve/vm-101-disk-0",
    .min_args = 1,
    .max_args = 1,
    .run = run_template,
};

/* The @n volumes of one volume group that begin @args; the caller's GStrv. */
static GStrv group_names(char **args, guint n, char **vg, GError **error)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

  for (guint i = 0; i < n; i++) {
    g_autofree char *one = NULL, *lv = NULL;

    if (!cli_split_name(args[i], &one, &lv, error))
      return NULL;
    if (*vg && strcmp(*vg, one) != 0) {
      cli_usage(
          error,
          "%s and %s: it is done to all volumes, or none, so they must be of one volume group",
          args[0], args[i]);
      return NULL;
    }
    if (!*vg)
      *vg = g_steal_pointer(&one);
    g_ptr_array_add(names, g_steal_pointer(&lv));
  }
  g_ptr_array_add(names, NULL);
  return (GStrv)g_ptr_array_free(g_steal_pointer(&names), FALSE);
}

static int take_snapshots(VolumeGroup *group, const char *vg, const char *const *names,
                          const char *snapshot, GError **error)
{
  gboolean ok = group && pool_snapshot_group(group, names, snapshot, error);
  guint64 more = 0;

  for (guint i = 0; ok && names[i]; i++)
    more += size_of(group, names[i]);
  if (ok)
    tell_overcommit(group, vg, names[0], more);
  return cli_status(cli_close(group, error) && ok);
}

/* The last word is the snapshots' name if it is no volume's: with --exec there may be none. */
static int run_snapshot(char **args, GError **error)
{
  guint n = g_strv_length(args);
  const char *snapshot = exec_words && strchr(args[n - 1], '/') ? NULL : args[--n];
  g_autofree char *vg = NULL;
  g_auto(GStrv) names = n > 0 ? group_names(args, n, &vg, error) : NULL;
  MountRun run = {.snapshot = snapshot, .partition = partition, .raw = raw};

  if (n == 0)
    return cli_usage(error, "missing arguments: VG/LV... NAME is wanted"), CLI_WRONG_USAGE;
  if (!names)
    return CLI_WRONG_USAGE;
  if (!exec_words && (raw || partition))
    return cli_usage(error, "--%s is for --exec", raw ? "raw" : "partition"), CLI_WRONG_USAGE;
  if (!exec_words)
    return take_snapshots(cli_open(vg, 0, error), vg, (const char *const *)names, snapshot, error);
  if (!*exec_words)
    return cli_usage(error, "--exec is followed by a command"), CLI_WRONG_USAGE;
  if (raw && partition)
    return cli_usage(error, "--raw is of the whole volume, and of no partition"), CLI_WRONG_USAGE;
  run.vg = vg;
  run.names = (const char *const *)names;
  run.words = (const char *const *)exec_words;
  return mount_run(&run, error);
}

static const GOptionEntry snapshot_options[] = {
    {"exec", 0, 0, G_OPTION_ARG_NONE, &exec, "Run COMMAND, all that follows, on them", NULL},
    {"partition", 0, 0, G_OPTION_ARG_FILENAME, &partition,
     "With --exec: which partition to mount, as for mount", "PARTITION"},
    {"raw", 0, 0, G_OPTION_ARG_NONE, &raw, "With --exec: mount nothing, give the volumes", NULL},
    no_more,
};

const CliCommand cli_snapshot = {
    .name = "snapshot",
    .arguments = "VG/LV... [NAME] [--exec COMMAND [ARGUMENT...]]",
    .summary = "Take a snapshot of a volume, or of several at one instant",
    .description =
        "Makes the read-only volume snap_LV_NAME of each: all of them, or none. What has several "
        "disks is\n"
        "written to all the while; its snapshots are of one moment. They are of one thin pool.\n\n"
        "With --exec what is in them is mounted, read-only, and COMMAND run; {} in its words is "
        "where (of several volumes the folder that has one of each), and so is "
        "$VIRT_THIN_SNAPSHOT. Then all goes again, but for snapshots that have been given a NAME. "
        "The exit status is COMMAND's.\n\n"
        "Examples:\n  virt-thin snapshot pve/vm-101-disk-0 pve/vm-101-disk-1 before\n"
        "  virt-thin snapshot pve/vm-101-disk-0 --exec rsync -a {}/ /backup/vm-101/",
    .options = snapshot_options,
    .min_args = 1,
    .max_args = -1,
    .words_option = "--exec",
    .words = &exec_words,
    .run = run_snapshot,
};

static int run_rollback(char **args, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL;
  VolumeGroup *group;
  gboolean ok;

  if (!cli_split_name(args[0], &vg, &lv, error))
    return CLI_WRONG_USAGE;
  group = cli_open_patient(vg, 0, error);
  ok = group && pool_rollback(group, lv, args[1], error);
  return cli_status(cli_close(group, error) && ok);
}

const CliCommand cli_rollback = {
    .name = "rollback",
    .arguments = "VG/LV NAME",
    .summary = "Give a volume the content of its snapshot",
    .description =
        "The volume keeps its name, UUID, tags and all its snapshots. Refused while it is open.",
    .min_args = 2,
    .max_args = 2,
    .run = run_rollback,
};

static int run_rename(char **args, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL, *name = NULL;
  VolumeGroup *group;
  gboolean ok;

  if (!cli_split_name(args[0], &vg, &lv, error) || !second_name(args[1], vg, &name, error))
    return CLI_WRONG_USAGE;
  group = cli_open(vg, 0, error);
  ok = group && pool_rename(group, lv, name, error);
  return cli_status(cli_close(group, error) && ok);
}

const CliCommand cli_rename = {
    .name = "rename",
    .arguments = "VG/LV NEW",
    .summary = "Rename a volume, and its snapshots with it",
    .min_args = 2,
    .max_args = 2,
    .run = run_rename,
};

/* --- resize --- */

static gboolean apply_sign(char sign, guint64 current, guint64 by, guint64 *size, GError **error)
{
  if (sign == '+' && by > G_MAXUINT64 - current)
    return vt_set_error(error, EINVAL, "a size beyond 16 EiB");
  if (sign == '-' && by >= current)
    return vt_set_error(error, EINVAL, "nothing would be left");
  *size = sign == '+' ? current + by : sign == '-' ? current - by : by;
  return TRUE;
}

/* A size, or as lvm2's --extents has it, a part of something. */
typedef struct {
  char sign;     /* '+', '-', 0 */
  guint64 bytes; /* @of NULL */
  double part;   /* of @of: 1 is 100% */
  const char *of;
} Amount;

/* "+100%FREE", "50%VG", "+20%LV". FALSE: it is none of those. */
static gboolean parse_part(const char *text, Amount *amount)
{
  static const char *const bases[] = {"FREE", "VG", "LV"};
  const char *digits = text + strspn(text, "+-");
  char *end;

  amount->sign = digits > text ? *text : 0;
  amount->part = g_ascii_strtod(digits, &end) / 100;
  if (digits - text > 1 || !g_ascii_isdigit(*digits) || *end != '%')
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS(bases) && !amount->of; i++)
    if (g_ascii_strcasecmp(end + 1, bases[i]) == 0)
      amount->of = bases[i];
  return amount->of != NULL;
}

static gboolean parse_amount(const char *text, Amount *amount, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (parse_part(text, amount) ||
      (!strchr(text, '%') && vt_size_parse(text, &amount->bytes, &amount->sign, &local)))
    return TRUE;
  return cli_usage(error, "%s: %s", text,
                   local ? local->message
                         : "a part is N%FREE or N%VG (of a thin pool), or N%LV: +100%FREE");
}

/* Make of a part of something what it is in bytes, down to whole extents. */
static gboolean resolve_amount(VolumeGroup *group, Amount *amount, gboolean of_pool,
                               guint64 lv_size, GError **error)
{
  g_autoptr(PoolVgInfo) vg = amount->of ? pool_get_vg_info(group, error) : NULL;
  gboolean of_lv = g_strcmp0(amount->of, "LV") == 0, of_free = g_strcmp0(amount->of, "FREE") == 0;
  guint64 base;

  if (!amount->of || !vg)
    return !amount->of;
  if (!of_lv && (!of_pool || metadata))
    return vt_set_error(error, EINVAL,
                        "%%%s is for the data of a thin pool, which alone takes its space from the "
                        "volume group: give a size, or N%%LV",
                        amount->of);
  if (of_free && amount->sign != '+')
    return vt_set_error(error, EINVAL, "%%FREE is what is added: +%g%%FREE", amount->part * 100);
  base = of_lv ? lv_size : of_free ? vg->free : vg->size;
  amount->bytes = (guint64)((double)(base / vg->extent_size) * amount->part) * vg->extent_size;
  if (amount->bytes == 0 && of_free)
    return vt_set_error(error, ENOSPC,
                        "volume group %s has no extent free for that: add a physical volume with "
                        "virt-thin extend %s PATH",
                        vg->name, vg->name);
  return TRUE;
}

static gboolean resize_pool(VolumeGroup *group, PoolInfo *info, Amount *amount, GError **error)
{
  guint64 size, now = metadata ? info->metadata_size : info->size;

  if (resolve_amount(group, amount, TRUE, now, error) &&
      apply_sign(amount->sign, now, amount->bytes, &size, error))
    return pool_resize_pool(group, info->name, size, metadata, error);
  g_prefix_error(error, "resizing thin pool %s/%s: ", info->vg, info->name);
  return FALSE;
}

static gboolean resize_volume(VolumeGroup *group, const char *lv, Amount *amount, GError **error)
{
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, lv, error);
  guint64 size;

  if (!info)
    return FALSE;
  if (metadata)
    return vt_set_error(error, EINVAL, "%s/%s is no thin pool: only a pool has metadata to resize",
                        info->vg, lv);
  if (!resolve_amount(group, amount, FALSE, info->size, error) ||
      !apply_sign(amount->sign, info->size, amount->bytes, &size, error)) {
    g_prefix_error(error, "resizing volume %s/%s: ", info->vg, lv);
    return FALSE;
  }
  if (!pool_resize(group, lv, size, shrink, error))
    return FALSE;
  tell_overcommit(group, info->vg, lv, size > info->size ? size_of(group, lv) - info->size : 0);
  return TRUE;
}

static int run_resize(char **args, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL;
  g_autoptr(PoolInfo) info = NULL;
  Amount amount = {0};
  VolumeGroup *group;
  gboolean ok;

  if (!cli_split_name(args[0], &vg, &lv, error) || !parse_amount(args[1], &amount, error))
    return CLI_WRONG_USAGE;
  group = cli_open_patient(vg, 0, error);
  if (!group)
    return CLI_FAILED;
  info = pool_get_info(group, lv, NULL);
  ok = info ? resize_pool(group, info, &amount, error) : resize_volume(group, lv, &amount, error);
  return cli_status(cli_close(group, error) && ok);
}

static const GOptionEntry resize_options[] = {
    {"shrink", 0, 0, G_OPTION_ARG_NONE, &shrink, "Permit a smaller size: what lies beyond is lost",
     NULL},
    {"metadata", 0, 0, G_OPTION_ARG_NONE, &metadata, "Resize a thin pool's metadata, not its data",
     NULL},
    no_more,
};

const CliCommand cli_resize = {
    .name = "resize",
    .arguments = "VG/LV|VG/POOL [+|-]SIZE",
    .summary = "Resize a volume, or grow a thin pool",
    .description = "SIZE may also be a part, as lvm2 has it: +100%FREE or 50%VG for a thin pool,\n"
                   "+20%LV for either. The file system in a volume grows on its own: see\n"
                   "\"More room\" in docs/cli.md.\n\n"
                   "Example: virt-thin resize pve/data +100%FREE",
    .options = resize_options,
    .min_args = 2,
    .max_args = 2,
    .dash_size = TRUE,
    .run = run_resize,
};

/* --- remove --- */

static int run_remove(char **args, GError **error)
{
  g_autofree char *vg = NULL;
  g_auto(GStrv) names = group_names(args, g_strv_length(args), &vg, error);
  const char *const *all = (const char *const *)names;
  VolumeGroup *group;
  gboolean ok;

  if (!names)
    return CLI_WRONG_USAGE;
  group = cli_open_patient(vg, 0, error);
  ok = group &&
       (force || pool_guest_check_clones(group, all, "--force removes it nevertheless", error)) &&
       pool_remove(group, all, with_snapshots, error);
  return cli_status(cli_close(group, error) && ok);
}

static const GOptionEntry remove_options[] = {
    {"snapshots", 0, 0, G_OPTION_ARG_NONE, &with_snapshots,
     "Remove their snapshots, too; else those stay, whole", NULL},
    {"force", 0, 0, G_OPTION_ARG_NONE, &force,
     "Remove a template (base-...), too, that has linked clones, which stay whole", NULL},
    no_more,
};

const CliCommand cli_remove = {
    .name = "remove",
    .arguments = "VG/LV...",
    .summary = "Remove volumes, or empty thin pools: all of them, or none",
    .options = remove_options,
    .min_args = 1,
    .max_args = -1,
    .run = run_remove,
};
