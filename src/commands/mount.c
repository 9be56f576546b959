/* virt-thin - commands mount and umount: what is in a volume
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "commands/commands.h"
#include "mount/source.h"
#include "pool/temporary.h"
#include "util/proc.h"

static char *partition;
static gboolean writable, direct;

static char *find_folder(const char *argument, GError **error)
{
  char *folder = realpath(argument, NULL);

  if (!folder || !g_file_test(folder, G_FILE_TEST_IS_DIR))
    vt_set_error(error, folder ? ENOTDIR : errno, "%s is no folder to mount on: make it", argument);
  else if (vt_is_mounted(folder))
    vt_set_error(error, EBUSY, "%s has something mounted already", folder);
  else
    return folder;
  free(folder);
  return NULL;
}

static gboolean mount_volume(const MountVolume *volume, const char *folder, GError **error)
{
  g_autoptr(GPtrArray) parts = mount_look(volume->path, volume->what, volume->sector_size, error);
  const MountPart *part = parts ? mount_choose(parts, volume->what, partition, error) : NULL;

  return part && mount_attach(volume->path, volume->what, part, volume->mode, folder, error);
}

static int run_mount(char **args, GError **error)
{
  MountMode mode = writable ? MOUNT_WRITABLE : direct ? MOUNT_UNTOUCHED : MOUNT_CLONE;
  g_autofree char *vg = NULL, *lv = NULL, *folder = NULL;
  const char *names[] = {NULL, NULL};
  g_autoptr(GError) local = NULL;
  MountSource *source;

  if (writable && direct)
    return cli_usage(error, "--rw and --direct are two ways to mount it"), CLI_WRONG_USAGE;
  if (!cli_split_name(args[0], &vg, &lv, error))
    return CLI_WRONG_USAGE;
  folder = find_folder(args[1], error);
  names[0] = lv;
  source = folder ? mount_source_take(vg, names, NULL, mode, error) : NULL;
  if (!source)
    return CLI_FAILED;
  if (mount_volume(source->volumes->pdata[0], folder, error)) {
    mount_source_leave(source);
    return CLI_OK;
  }
  if (!mount_source_drop(source, &local))
    cli_warn("%s", local->message);
  return CLI_FAILED;
}

static const GOptionEntry mount_options[] = {
    {"partition", 0, 0, G_OPTION_ARG_FILENAME, &partition,
     "Which: a number, or VG/LV of LVM in the guest (default: the only one)", "PARTITION"},
    {"direct", 0, 0, G_OPTION_ARG_NONE, &direct,
     "The volume itself, not a clone: nothing is written, its journal is not replayed", NULL},
    {"rw", 0, 0, G_OPTION_ARG_NONE, &writable, "The volume itself, for writing", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_mount = {
    .name = "mount",
    .arguments = "VG/LV[@SNAPSHOT] FOLDER",
    .summary = "Mount a file system that is in a volume",
    .description =
        "Read-only, from a clone of the volume or snapshot that umount removes again: its guest "
        "may run, and what it has synced is there. A disk with several file systems is refused "
        "with a list of them.\n\n"
        "Example: virt-thin mount pve/vm-101-disk-0@before /mnt --partition 1",
    .options = mount_options,
    .min_args = 2,
    .max_args = 2,
    .run = run_mount,
};

/* --- umount --- */

static gboolean unmount(const Mounted *mounted, GError **error)
{
  return mount_detach(mounted->where, error) && mount_source_end(mounted->vg, mounted->lv, error);
}

static const Mounted *mounted_on(GPtrArray *list, const char *argument)
{
  g_autofree char *real = realpath(argument, NULL),
                  *folder = real ? g_strdup(real) : g_canonicalize_filename(argument, NULL);

  for (guint i = 0; i < list->len; i++) {
    const Mounted *mounted = list->pdata[i];

    if (strcmp(mounted->where, folder) == 0)
      return mounted;
  }
  return NULL;
}

/* Is volume @name a clone that was made to mount @lv? What is mounted from @lv itself may be
 * somebody else's doing. */
static gboolean is_of(VolumeGroup *group, const char *name, const char *lv)
{
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, name, NULL);

  return info && pool_temporary_is(info) && g_strcmp0(info->origin, lv) == 0;
}

/* Those of @list that are from clones of @name of @vg: their indexes. */
static GArray *find_mounts(GPtrArray *list, const char *vg, const char *name, GError **error)
{
  VolumeGroup *group = cli_open(vg, POOL_READ_ONLY, error);
  g_autofree char *lv = group ? mount_source_find(group, vg, name, error) : NULL;
  GArray *found = lv ? g_array_new(FALSE, FALSE, sizeof(guint)) : NULL;

  for (guint i = 0; found && i < list->len; i++) {
    const Mounted *mounted = list->pdata[i];

    if (strcmp(mounted->vg, vg) == 0 && is_of(group, mounted->lv, lv))
      g_array_append_val(found, i);
  }
  cli_close(group, NULL);
  return found;
}

static int unmount_volume(GPtrArray *list, const char *argument, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL;
  g_autoptr(GArray) found = NULL;

  if (g_file_test(argument, G_FILE_TEST_IS_DIR))
    return cli_status(
        vt_set_error(error, EINVAL, "nothing of a volume is mounted on %s", argument));
  if (!cli_split_name(argument, &vg, &lv, error))
    return CLI_WRONG_USAGE;
  found = find_mounts(list, vg, lv, error);
  if (!found)
    return CLI_FAILED;
  for (guint i = 0; i < found->len; i++)
    if (!unmount(list->pdata[g_array_index(found, guint, i)], error))
      return CLI_FAILED;
  if (found->len)
    return CLI_OK;
  return cli_status(mount_source_end(vg, NULL, error) &&
                    vt_set_error(error, EINVAL,
                                 "no clone of %s is mounted; what is mounted from the volume "
                                 "itself has to be named by its folder",
                                 argument));
}

static int run_umount(char **args, GError **error)
{
  g_autoptr(GPtrArray) list = mount_list();
  const Mounted *mounted = mounted_on(list, args[0]);

  return mounted ? cli_status(unmount(mounted, error)) : unmount_volume(list, args[0], error);
}

const CliCommand cli_umount = {
    .name = "umount",
    .arguments = "FOLDER|VG/LV[@SNAPSHOT]",
    .summary = "Unmount it, and take away what was made for that",
    .description = "Also what a mount, umount or snapshot --exec has left that was killed: the "
                   "clone, and the service of a volume group that nobody served.",
    .min_args = 1,
    .max_args = 1,
    .run = run_umount,
};
