/* virt-thin - commands archive and unarchive: a whole volume group as a stream
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A file gets its name when all is in it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/archive.h"
#include "commands/commands.h"
#include "image/interrupt.h"

static gboolean zstd, open_linear, new_identity, force;
static char *size_text, *extent_text;
static char **grow;

/* --- archive --- */

typedef struct {
  const char *path; /* NULL: standard output */
  char *temporary;  /* what is written first; NULL: @path itself */
  int fd;
} Target;

/* What is there and is no file (a pipe, a device) is written to as it is. */
static gboolean open_target(Target *target, const char *argument, GError **error)
{
  struct stat st;

  if (strcmp(argument, "-") == 0) {
    if (isatty(STDOUT_FILENO))
      return cli_usage(error, "an archive is nothing for a terminal: redirect standard output");
    target->fd = STDOUT_FILENO;
    return TRUE;
  }
  target->path = argument;
  if (stat(argument, &st) == 0 && !S_ISREG(st.st_mode)) {
    target->fd = open(argument, O_WRONLY | O_CLOEXEC);
  } else {
    target->temporary = g_strdup_printf("%s.XXXXXX", argument);
    target->fd = g_mkstemp_full(target->temporary, O_WRONLY | O_CLOEXEC, 0600);
  }
  return target->fd >= 0 || vt_set_errno(error, errno, "cannot make %s", argument);
}

/* Durable, and then under its name. */
static gboolean keep_target(Target *target, GError **error)
{
  if (!target->temporary)
    return TRUE;
  if (fsync(target->fd) != 0)
    return vt_set_errno(error, errno, "writing %s", target->path);
  if (rename(target->temporary, target->path) != 0)
    return vt_set_errno(error, errno, "cannot name it %s", target->path);
  g_clear_pointer(&target->temporary, g_free);
  return TRUE;
}

static void close_target(Target *target)
{
  if (target->temporary)
    unlink(target->temporary);
  g_free(target->temporary);
  if (target->path && target->fd >= 0)
    close(target->fd);
}

static gboolean archive(VolumeGroup *group, const char *argument, GError **error)
{
  const ArchiveOptions options = {.zstd = zstd, .open_linear = open_linear};
  Target target = {.fd = -1};
  gboolean ok;

  ok = open_target(&target, argument, error) &&
       archive_write(group, target.fd, target.path ? target.path : "standard output", &options,
                     error) &&
       keep_target(&target, error);
  close_target(&target);
  return ok;
}

static int run_archive(char **args, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL;
  VolumeGroup *group;
  gboolean ok;

  if (!cli_split_optional(args[0], &vg, &lv, error))
    return CLI_WRONG_USAGE;
  if (lv)
    return cli_usage(error, "\"%s\" is no volume group: an archive is of a whole one", args[0]),
           CLI_WRONG_USAGE;
  image_catch_interrupts();
  group = cli_open_patient(vg, 0, error);
  ok = group && archive(group, args[1], error);
  if (group && !ok)
    g_prefix_error(error, "cannot archive volume group %s: ", vg);
  return cli_status(cli_close(group, error) && ok);
}

static const GOptionEntry archive_options[] = {
    {"zstd", 0, 0, G_OPTION_ARG_NONE, &zstd, "Compress it", NULL},
    {"open-linear", 0, 0, G_OPTION_ARG_NONE, &open_linear,
     "Take linear volumes that are in use as they are read", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_archive = {
    .name = "archive",
    .arguments = "VG FILE|-",
    .summary = "Write a whole volume group, volumes and what they share, into a file",
    .description = "With names, UUIDs, tags, origins, permissions and ids, from which unarchive "
                   "makes it again. Volumes in\n"
                   "use are taken as they were at one instant of each thin pool; what several "
                   "share is in it once.\n"
                   "Linear volumes come along, and must not be in use.\n\n"
                   "Example: virt-thin archive pve - --zstd | ssh HOST virt-thin unarchive - pve "
                   "--device /dev/md0",
    .options = archive_options,
    .min_args = 2,
    .max_args = 2,
    .run = run_archive,
};

/* --- unarchive --- */

static gboolean unarchive(const char *vg, const char *path, GError **error)
{
  UnarchiveOptions options = {
      .vg = vg, .grow = grow, .new_identity = new_identity, .force = force, .paths = cli_devices()};
  gboolean standard = strcmp(path, "-") == 0, ok;
  int fd;

  if (!cli_parse_size("--size", size_text, &options.file_size, error) ||
      !cli_parse_size("--extent-size", extent_text, &options.extent_size, error))
    return FALSE;
  if (standard && isatty(STDIN_FILENO))
    return cli_usage(error, "an archive is read from standard input, and that is a terminal");
  fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return vt_set_errno(error, errno, "%s", path);
  ok = archive_read(fd, standard ? "standard input" : path, &options, error);
  if (!standard)
    close(fd);
  return ok;
}

static int run_unarchive(char **args, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL;

  if (!cli_split_optional(args[1], &vg, &lv, error))
    return CLI_WRONG_USAGE;
  if (lv)
    return cli_usage(error, "\"%s\" is no volume group", args[1]), CLI_WRONG_USAGE;
  image_catch_interrupts();
  if (unarchive(vg, args[0], error))
    return CLI_OK;
  if (!g_error_matches(*error, CLI_USAGE, 0))
    g_prefix_error(error, "cannot make volume group %s: ", vg);
  return CLI_FAILED;
}

static const GOptionEntry unarchive_options[] = {
    {"grow", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &grow,
     "Give a volume (with its GPT), or a thin pool, another size; may be repeated", "VG/LV=SIZE"},
    {"size", 0, 0, G_OPTION_ARG_FILENAME, &size_text,
     "Size of each file that is made (default: what the volume group had)", "SIZE"},
    {"extent-size", 0, 0, G_OPTION_ARG_FILENAME, &extent_text,
     "Volume group's extent size (default: what it had)", "SIZE"},
    {"new-identity", 0, 0, G_OPTION_ARG_NONE, &new_identity,
     "Give the volume group a UUID of its own, as it gets where its own is in use", NULL},
    {"force", 0, 0, G_OPTION_ARG_NONE, &force, "Erase what is on the devices", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_unarchive = {
    .name = "unarchive",
    .arguments = "FILE|- VG",
    .summary = "Make a volume group again from what archive has written",
    .description = "On the files and block devices that --device names (default: VG.img in the "
                   "state folder, made for it).\n"
                   "They may be larger or smaller than what it was on, as long as what is in use "
                   "fits: thin pools then\n"
                   "get less. Until all is there and has been checked, there is no such volume "
                   "group.\n\n"
                   "Example: virt-thin unarchive pve.vtar pve --device /dev/sdb --device /dev/sdc "
                   "--grow pve/vm-100-disk-0=64g",
    .options = unarchive_options,
    .min_args = 2,
    .max_args = 2,
    .run = run_unarchive,
};
