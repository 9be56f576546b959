/* virt-thin - command restore: a volume out of a backup
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/restore.h"
#include "commands/commands.h"
#include "commands/restore-metadata.h"

static char *id_text, *volume_text, *thin_pool, *metadata_path;
static gboolean force;

/* Which backup, of which volume. */
typedef struct {
  char *folder;  /* NULL: standard input */
  char *id;      /* NULL: the newest */
  char *vg, *lv; /* NULL: the only one */
} Wanted;

static void wanted_clear(Wanted *wanted)
{
  g_free(wanted->folder);
  g_free(wanted->id);
  g_free(wanted->vg);
  g_free(wanted->lv);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Wanted, wanted_clear)

/* DIR, DIR/ID or DIR/ID/FILE. */
static gboolean parse_path(const char *path, Wanted *wanted, GError **error)
{
  g_autofree char *full = g_canonicalize_filename(path, NULL), *name = g_path_get_basename(full),
                  *parent = g_path_get_dirname(full), *parent_name = g_path_get_basename(parent),
                  *format = NULL;
  struct stat st;

  if (stat(full, &st) < 0)
    return vt_set_errno(error, errno, "opening %s", path);
  if (S_ISDIR(st.st_mode) && !backup_is_id(name)) {
    wanted->folder = g_steal_pointer(&full);
    return TRUE;
  }
  if (S_ISDIR(st.st_mode)) {
    wanted->folder = g_steal_pointer(&parent);
    wanted->id = g_steal_pointer(&name);
    return TRUE;
  }
  if (!backup_is_id(parent_name) ||
      !backup_parse_file_name(name, &wanted->vg, &wanted->lv, &format))
    return vt_set_error(error, EINVAL,
                        "%s is no image of a backup, which is DIR/ID/VG@LV.qcow2 or .raw: import "
                        "reads images; an archive is read from standard input, '-'",
                        path);
  wanted->folder = g_path_get_dirname(parent);
  wanted->id = g_steal_pointer(&parent_name);
  return TRUE;
}

/* With the options, which must not say something else. */
static gboolean parse_wanted(const char *source, Wanted *wanted, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL;

  if (volume_text && !cli_split_name(volume_text, &vg, &lv, error))
    return FALSE;
  if (id_text && !backup_is_id(id_text))
    return cli_usage(error, "--id %s: no backup's ID, such as 20261130T153000Z", id_text);
  if (strcmp(source, "-") == 0 && id_text)
    return cli_usage(error, "--id is for a folder: an archive has one backup");
  if (strcmp(source, "-") != 0 && !parse_path(source, wanted, error))
    return FALSE;
  if ((id_text && wanted->id && strcmp(id_text, wanted->id) != 0) ||
      (vg && wanted->vg && (strcmp(vg, wanted->vg) != 0 || strcmp(lv, wanted->lv) != 0)))
    return cli_usage(error, "%s is not what --id and --volume say", source);
  if (id_text && !wanted->id)
    wanted->id = g_strdup(id_text);
  if (vg && !wanted->vg) {
    wanted->vg = g_steal_pointer(&vg);
    wanted->lv = g_steal_pointer(&lv);
  }
  return TRUE;
}

/* Of all backups, or of @id's, if they are of one volume alone: that. */
static gboolean find_only_volume(BackupFolder *folder, Wanted *wanted, GError **error)
{
  GPtrArray *list = backup_folder_list(folder);

  for (guint i = 0; i < list->len; i++) {
    const BackupManifest *manifest = list->pdata[i];

    for (guint j = 0; j < manifest->volumes->len; j++) {
      const BackupVolume *volume = manifest->volumes->pdata[j];

      if (wanted->id && strcmp(wanted->id, manifest->id) != 0)
        continue;
      if (wanted->vg &&
          (strcmp(wanted->vg, volume->vg) != 0 || strcmp(wanted->lv, volume->lv) != 0))
        return vt_set_error(error, EINVAL,
                            "%s has backups of several volumes: say which, --volume %s/%s or "
                            "another",
                            wanted->folder, volume->vg, volume->lv);
      if (!wanted->vg) {
        wanted->vg = g_strdup(volume->vg);
        wanted->lv = g_strdup(volume->lv);
      }
    }
  }
  return TRUE;
}

/* *manifest NULL: there is none. */
static BackupVolume *find_backup(BackupFolder *folder, Wanted *wanted, BackupManifest **manifest,
                                 GError **error)
{
  GPtrArray *list = backup_folder_list(folder);

  if (!wanted->vg && !find_only_volume(folder, wanted, error))
    return NULL;
  for (guint i = list->len; wanted->vg && i-- > 0;) {
    BackupVolume *volume;

    *manifest = list->pdata[i];
    if (wanted->id && strcmp(wanted->id, (*manifest)->id) != 0)
      continue;
    if ((volume = backup_manifest_find(*manifest, wanted->vg, wanted->lv)) != NULL)
      return volume;
  }
  vt_set_error(error, ENOENT, "%s has no backup%s%s%s%s%s%s: virt-thin backup list %s",
               wanted->folder, wanted->id ? " " : "", wanted->id ? wanted->id : "",
               wanted->vg ? " of " : "", wanted->vg ? wanted->vg : "", wanted->vg ? "/" : "",
               wanted->vg ? wanted->lv : "", wanted->folder);
  return NULL;
}

static gboolean restore_from_folder(Wanted *wanted, RestoreTarget *target, GError **error)
{
  g_autoptr(BackupFolder) folder = backup_folder_open(wanted->folder, BACKUP_FOLDER_READ, error);
  g_autoptr(GPtrArray) bad = g_ptr_array_new_with_free_func(g_free);
  BackupManifest *manifest;
  BackupVolume *volume;
  gboolean ok;

  if (!folder || !backup_folder_load(folder, bad, error))
    return FALSE;
  for (guint i = 0; i < bad->len; i++)
    cli_warn("%s", (char *)bad->pdata[i]);
  volume = find_backup(folder, wanted, &manifest, error);
  if (!volume || !(target->group = cli_open_patient(target->vg, 0, error)))
    return FALSE;
  ok = backup_restore(folder, manifest, volume, target, error);
  return cli_close(target->group, error) && ok;
}

static gboolean restore_from_stdin(Wanted *wanted, RestoreTarget *target, GError **error)
{
  gboolean ok;

  target->group = cli_open_patient(target->vg, 0, error);
  if (!target->group)
    return FALSE;
  ok = backup_restore_stream(STDIN_FILENO, wanted->vg, wanted->lv, target, error);
  return cli_close(target->group, error) && ok;
}

/* --metadata PATH [XML]. */
static int run_restore_metadata(char **args, GError **error)
{
  if (id_text || volume_text || thin_pool || (args && args[0] && args[1])) {
    cli_usage(error, "--metadata PATH takes the XML of one pool, and of the options --force");
    return CLI_WRONG_USAGE;
  }
  return cli_status(restore_metadata(metadata_path, args && args[0] ? args[0] : "-", force, error));
}

static int run_restore(char **args, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL;
  g_auto(Wanted) wanted = {0};
  RestoreTarget target = {.thin_pool = thin_pool, .replace = force};

  if (metadata_path)
    return run_restore_metadata(args, error);
  if (!args || !args[0] || !args[1])
    return cli_usage(error, "a backup and VG/LV are wanted, or --metadata PATH"), CLI_WRONG_USAGE;
  if (!cli_split_name(args[1], &vg, &lv, error) || !parse_wanted(args[0], &wanted, error))
    return CLI_WRONG_USAGE;
  target.vg = vg;
  target.lv = lv;
  return cli_status(wanted.folder ? restore_from_folder(&wanted, &target, error)
                                  : restore_from_stdin(&wanted, &target, error));
}

static const GOptionEntry restore_options[] = {
    {"id", 0, 0, G_OPTION_ARG_FILENAME, &id_text, "Which backup (default: the newest)", "ID"},
    {"volume", 0, 0, G_OPTION_ARG_FILENAME, &volume_text,
     "Of which volume, where there are several", "VG/LV"},
    {"pool", 0, 0, G_OPTION_ARG_FILENAME, &thin_pool,
     "Thin pool for a new volume (default: the only one)", "POOL"},
    {"force", 0, 0, G_OPTION_ARG_NONE, &force,
     "Give a volume that is there the backup's content; write over whatever PATH holds", NULL},
    {"metadata", 0, 0, G_OPTION_ARG_FILENAME, &metadata_path,
     "Write a pool's metadata here, from XML of dump's", "PATH"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_restore = {
    .name = "restore",
    .arguments = "DIR[/ID[/FILE]]|- VG/LV, or --metadata PATH [XML|-]",
    .summary = "Make a volume from a backup",
    .description =
        "Reads each image once, and compares its checksum. The volume has its name when all was "
        "right;\n"
        "with --force one that is there, and not open, gets the content then, and keeps name, "
        "tags and\n"
        "snapshots. '-' is an archive of virt-thin backup on standard input.\n\n"
        "With --metadata, as thin_restore: what virt-thin dump or thin_dump wrote becomes the "
        "metadata of a\n"
        "thin pool, in a file or on a device that nobody uses, whose size it gets.\n\n"
        "Example: virt-thin restore /backup pve/vm-102-disk-0 --volume pve/vm-101-disk-0\n"
        "Example: zstd -d <vm-101.tar.zst | virt-thin restore - pve/vm-102-disk-0\n"
        "Example: virt-thin restore --metadata /dev/pve/spare data.xml",
    .options = restore_options,
    .min_args = 0,
    .max_args = 2,
    .run = run_restore,
};
