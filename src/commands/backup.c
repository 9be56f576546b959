/* virt-thin - command backup: full and incremental backups as files that QEMU reads
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backup/make.h"
#include "backup/merge.h"
#include "backup/prune.h"
#include "backup/verify.h"
#include "cli/json.h"
#include "commands/commands.h"

static char *format_text;
static int max_increments;
static gboolean full, json, dry_run;
static VtKeep retention;

/* --- what the commands share --- */

static gboolean set_keep(const char *option, const char *value, gpointer unused, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (vt_keep_set(&retention, option + strlen("--"), value, &local))
    return TRUE;
  g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "%s %s: %s", option, value,
              local->message);
  return FALSE;
}

#define KEEP_OPTION(period, what)                                                                  \
  {                                                                                                \
    "keep-" period, 0, 0, G_OPTION_ARG_CALLBACK, (gpointer)set_keep, what, "N"                     \
  }
#define KEEP_OPTIONS                                                                               \
  KEEP_OPTION("last", "Keep the last N"), KEEP_OPTION("hourly", "The last of N hours"),            \
      KEEP_OPTION("daily", "Of N days"), KEEP_OPTION("weekly", "Of N weeks"),                      \
      KEEP_OPTION("monthly", "Of N months"), KEEP_OPTION("yearly", "Of N years"),                  \
  {                                                                                                \
    "keep-within", 0, 0, G_OPTION_ARG_CALLBACK, (gpointer)set_keep,                                \
        "All of that time before the newest, such as 7d or 1y6m", "SPAN"                           \
  }
#define NO_MORE                                                                                    \
  {                                                                                                \
    NULL, 0, 0, 0, NULL, NULL, NULL                                                                \
  }

/* With a word for each backup that cannot be read. FALSE in *@whole: there are some. */
static BackupFolder *open_folder(const char *path, BackupFolderUse use, gboolean *whole,
                                 GError **error)
{
  g_autoptr(BackupFolder) folder = backup_folder_open(path, use, error);
  g_autoptr(GPtrArray) bad = g_ptr_array_new_with_free_func(g_free);

  if (!folder || !backup_folder_load(folder, bad, error))
    return NULL;
  for (guint i = 0; i < bad->len; i++)
    cli_warn("%s", (char *)bad->pdata[i]);
  *whole = bad->len == 0;
  return g_steal_pointer(&folder);
}

static gboolean check_id(const char *id, GError **error)
{
  return backup_is_id(id) ||
         cli_usage(error, "\"%s\" is no backup's ID, such as 20261130T153000Z", id);
}

/* Into those that stay, of those that do not what they need. */
static gboolean merge(BackupFolder *folder, GPtrArray *gone, GError **error)
{
  GPtrArray *list = backup_folder_list(folder);

  for (guint i = 0; i < list->len; i++) {
    BackupManifest *manifest = list->pdata[i];
    g_autoptr(GPtrArray) merged = NULL;
    g_autofree char *ids = NULL;

    if (g_ptr_array_find_with_equal_func(gone, manifest->id, g_str_equal, NULL) ||
        !backup_merge_is_needed(manifest, gone))
      continue;
    if (dry_run) {
      printf("would merge into %s\n", manifest->id);
      continue;
    }
    if (!backup_merge(folder, manifest, gone, &merged, error)) {
      g_prefix_error(error, "merging into backup %s what it needs of others: ", manifest->id);
      return FALSE;
    }
    g_ptr_array_add(merged, NULL);
    ids = g_strjoinv(" ", (char **)merged->pdata);
    printf("merged into %s: %s\n", manifest->id, ids);
  }
  return TRUE;
}

/* What is in a backup that cannot be read might be based on any other. */
static gboolean prune(BackupFolder *folder, const BackupManifest *like, gboolean whole,
                      GError **error)
{
  g_autoptr(GPtrArray) gone = NULL;
  guint needed;

  if (!whole)
    return vt_set_error(error, EBADMSG,
                        "%s: nothing is pruned while there are backups that cannot be read, as "
                        "they may need others: repair or remove them",
                        backup_folder_path(folder));
  gone = backup_prune_select(folder, &retention, like, &needed);
  if (!merge(folder, gone, error))
    return FALSE;
  for (guint i = 0; i < gone->len; i++) {
    printf("%s %s\n", dry_run ? "would remove" : "removed", (char *)gone->pdata[i]);
    if (!dry_run && !backup_folder_remove(folder, gone->pdata[i], error))
      return FALSE;
  }
  if (needed)
    cli_warn("%s: %u that the rules do not keep stay, for increments are based on them; a full "
             "backup (--full, --max-increments N) ends that",
             backup_folder_path(folder), needed);
  return TRUE;
}

/* --- making one --- */

static void source_clear(gpointer data)
{
  BackupSource *source = data;

  g_free((char *)source->vg);
  g_free((char *)source->lv);
}

/* Of "VG/LV" each. GArray of BackupSource; NULL: wrong usage. */
static GArray *parse_sources(char **args, guint n, GError **error)
{
  g_autoptr(GArray) sources = g_array_new(FALSE, FALSE, sizeof(BackupSource));

  g_array_set_clear_func(sources, source_clear);
  for (guint i = 0; i < n; i++) {
    BackupSource source = {0};
    char *vg, *lv;

    if (!cli_split_name(args[i], &vg, &lv, error))
      return NULL;
    source.vg = vg;
    source.lv = lv;
    for (guint j = 0; j < i; j++) {
      const BackupSource *other = &g_array_index(sources, BackupSource, j);

      if (strcmp(other->vg, vg) == 0 && strcmp(other->lv, lv) == 0) {
        cli_usage(error, "%s/%s is named twice", vg, lv);
        source_clear(&source);
        return NULL;
      }
    }
    g_array_append_val(sources, source);
  }
  return g_steal_pointer(&sources);
}

static gboolean close_groups(GArray *sources, GError **error)
{
  gboolean ok = TRUE;

  for (guint i = 0; i < sources->len; i++) {
    VolumeGroup *group = g_array_index(sources, BackupSource, i).group;

    for (guint j = i; j < sources->len; j++)
      if (g_array_index(sources, BackupSource, j).group == group)
        g_array_index(sources, BackupSource, j).group = NULL;
    ok = cli_close(group, error) && ok;
  }
  return ok;
}

/* A volume group of which metadata is damaged can only be read: no snapshot is taken there, and
 * nobody writes to the volumes. */
static VolumeGroup *open_group(BackupSource *source, GError **error)
{
  g_autoptr(GError) local = NULL;
  VolumeGroup *group = cli_open_patient(source->vg, 0, &local);

  if (group)
    return group;
  if (g_error_matches(local, VT_ERROR, EBADMSG) &&
      (group = cli_open_patient(source->vg, POOL_READ_ONLY, NULL))) {
    source->in_place = TRUE;
    cli_warn("%s is backed up as far as it can be read, without snapshots: %s", source->vg,
             local->message);
    return group;
  }
  g_propagate_error(error, g_steal_pointer(&local));
  return NULL;
}

/* Each volume group once; and a name that is none is told before a folder is made. */
static gboolean open_groups(GArray *sources, GError **error)
{
  for (guint i = 0; i < sources->len; i++) {
    BackupSource *source = &g_array_index(sources, BackupSource, i);
    g_autoptr(PoolVolumeInfo) info = NULL;

    for (guint j = 0; j < i && !source->group; j++) {
      const BackupSource *other = &g_array_index(sources, BackupSource, j);

      if (strcmp(other->vg, source->vg) == 0) {
        source->group = other->group;
        source->in_place = other->in_place;
      }
    }
    if (!source->group && !(source->group = open_group(source, error)))
      return FALSE;
    info = pool_get_volume(source->group, source->lv, error);
    if (!info)
      return FALSE;
  }
  return TRUE;
}

static void tell_made(const BackupManifest *made)
{
  for (guint i = 0; i < made->volumes->len; i++) {
    const BackupVolume *volume = made->volumes->pdata[i];
    g_autofree char *size = cli_size(volume->file_size);

    printf("%s %s/%s %s%s, %s%s%s\n", made->id, volume->vg, volume->lv,
           volume->parent ? "increment to " : "full", volume->parent ? volume->parent : "", size,
           volume->why_full ? ": " : "", volume->why_full ? volume->why_full : "");
  }
}

/* What could not be read is told, and the exit status. */
static gboolean check_whole(const BackupManifest *made, GError **error)
{
  gboolean whole = TRUE;

  for (guint i = 0; i < made->volumes->len; i++) {
    g_autofree char *lost = backup_describe_lost(made->id, made->volumes->pdata[i]);

    if (lost)
      cli_warn("%s", lost);
    whole = whole && !lost;
  }
  return whole || vt_set_error(error, EIO,
                               "backup %s is made without what could not be read: older ones stay, "
                               "and the next is no increment to it",
                               made->id);
}

static gboolean backup_to_folder(BackupJob *job, const char *path, GError **error)
{
  g_autoptr(BackupFolder) folder = backup_folder_open(path, BACKUP_FOLDER_MAKE, error);
  g_autoptr(GPtrArray) bad = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(BackupManifest) made = NULL;

  job->folder = folder;
  if (!folder || !backup_clean_up(folder, job->sources, job->n_sources, error) ||
      !backup_folder_load(folder, bad, error))
    return FALSE;
  for (guint i = 0; i < bad->len; i++)
    cli_warn("%s", (char *)bad->pdata[i]);
  if (!backup_make(job, &made, error))
    return FALSE;
  tell_made(made);
  if (!check_whole(made, error))
    return FALSE;
  if (vt_keep_is_all(&retention))
    return TRUE;
  g_ptr_array_set_size(bad, 0);
  return backup_folder_load(folder, bad, error) && prune(folder, made, bad->len == 0, error);
}

static gboolean backup_to_stdout(BackupJob *job, GError **error)
{
  g_autoptr(BackupManifest) made = NULL;

  job->fd = STDOUT_FILENO;
  return backup_make(job, &made, error) && check_whole(made, error);
}

static int run_backup(char **args, GError **error)
{
  guint n = g_strv_length(args) - 1;
  gboolean to_stdout = strcmp(args[n], "-") == 0, ok;
  g_autoptr(GArray) sources = parse_sources(args, n, error);
  BackupJob job = {.full = full, .max_increments = (guint)MAX(max_increments, 0)};

  if (!sources)
    return CLI_WRONG_USAGE;
  if (format_text && strcmp(format_text, "raw") != 0 && strcmp(format_text, "qcow2") != 0)
    return cli_usage(error, "--format is raw or qcow2, not %s", format_text), CLI_WRONG_USAGE;
  if (max_increments < 0)
    return cli_usage(error, "--max-increments %d: less than none", max_increments), CLI_WRONG_USAGE;
  if (to_stdout && isatty(STDOUT_FILENO))
    return cli_usage(error, "an archive is nothing for a terminal: redirect standard output"),
           CLI_WRONG_USAGE;
  if (to_stdout && !vt_keep_is_all(&retention))
    return cli_usage(error, "--keep-... is for a folder"), CLI_WRONG_USAGE;
  job.raw = g_strcmp0(format_text, "raw") == 0;
  ok = open_groups(sources, error);
  job.sources = (const BackupSource *)sources->data;
  job.n_sources = sources->len;
  ok = ok && (to_stdout ? backup_to_stdout(&job, error) : backup_to_folder(&job, args[n], error));
  return cli_status(close_groups(sources, error) && ok);
}

/* --- list --- */

static void print_json(BackupFolder *folder)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();
  GPtrArray *list = backup_folder_list(folder);

  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, "backups");
  json_builder_begin_array(builder);
  for (guint i = 0; i < list->len; i++)
    backup_manifest_build(list->pdata[i], builder);
  json_builder_end_array(builder);
  json_builder_end_object(builder);
  cli_json_print(builder);
}

static void print_text(BackupFolder *folder)
{
  GPtrArray *list = backup_folder_list(folder);

  printf("%-17s %12s %12s %-17s %s\n", "ID", "SIZE", "FILE", "INCREMENT TO", "VOLUME");
  for (guint i = 0; i < list->len; i++) {
    const BackupManifest *manifest = list->pdata[i];

    for (guint j = 0; j < manifest->volumes->len; j++) {
      const BackupVolume *volume = manifest->volumes->pdata[j];
      g_autofree char *size = cli_size(volume->size), *file = cli_size(volume->file_size);

      printf("%-17s %12s %12s %-17s %s/%s\n", manifest->id, size, file,
             volume->parent ? volume->parent : "-", volume->vg, volume->lv);
    }
  }
}

static int run_list(char **args, GError **error)
{
  gboolean whole = FALSE;
  g_autoptr(BackupFolder) folder = open_folder(args[0], BACKUP_FOLDER_READ, &whole, error);

  if (!folder)
    return CLI_FAILED;
  if (json)
    print_json(folder);
  else
    print_text(folder);
  return cli_status(whole);
}

static const GOptionEntry list_options[] = {
    {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON, sizes in bytes", NULL},
    NO_MORE,
};

static const CliCommand backup_list = {
    .name = "list",
    .arguments = "DIR",
    .summary = "List the backups in a folder",
    .options = list_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_list,
};

/* --- verify --- */

/* Backup @id with those that it is based on; NULL: all. GPtrArray of BackupManifest. */
static GPtrArray *choose(BackupFolder *folder, const char *id, GPtrArray *problems, GError **error)
{
  GPtrArray *list = backup_folder_list(folder);
  g_autoptr(GPtrArray) chosen = g_ptr_array_new();
  BackupManifest *manifest = id ? backup_folder_find(folder, id) : NULL;

  if (id && !manifest) {
    vt_set_error(error, ENOENT, "%s has no backup %s: virt-thin backup list %s",
                 backup_folder_path(folder), id, backup_folder_path(folder));
    return NULL;
  }
  for (guint i = 0; !id && i < list->len; i++)
    g_ptr_array_add(chosen, list->pdata[i]);
  for (guint i = 0; id && i < manifest->volumes->len; i++) {
    g_autoptr(GError) local = NULL;
    g_autoptr(GArray) chain =
        backup_folder_chain(folder, manifest, manifest->volumes->pdata[i], &local);

    if (!chain)
      g_ptr_array_add(problems, g_strdup(local->message));
    for (guint j = 0; chain && j < chain->len; j++) {
      BackupManifest *needed = g_array_index(chain, BackupLink, j).manifest;

      if (!g_ptr_array_find(chosen, needed, NULL))
        g_ptr_array_add(chosen, needed);
    }
  }
  return g_steal_pointer(&chosen);
}

static int run_verify(char **args, GError **error)
{
  gboolean whole = FALSE, ok = TRUE;
  g_autoptr(BackupFolder) folder = NULL;
  g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free), chosen = NULL;

  if (args[1] && !check_id(args[1], error))
    return CLI_WRONG_USAGE;
  folder = open_folder(args[0], BACKUP_FOLDER_READ, &whole, error);
  chosen = folder ? choose(folder, args[1], problems, error) : NULL;
  if (!chosen)
    return CLI_FAILED;
  for (guint i = 0; ok && i < chosen->len; i++) {
    BackupManifest *manifest = chosen->pdata[i];
    guint before = problems->len;

    ok = backup_verify(folder, manifest, problems, error);
    if (ok && problems->len == before)
      printf("%s is whole\n", manifest->id);
    for (guint j = 0; j < manifest->volumes->len; j++) {
      g_autofree char *lost = backup_describe_lost(manifest->id, manifest->volumes->pdata[j]);

      if (lost)
        cli_warn("%s", lost);
    }
  }
  for (guint i = 0; i < problems->len; i++)
    cli_warn("%s", (char *)problems->pdata[i]);
  return cli_status(ok && problems->len == 0 && (whole || args[1]));
}

static const CliCommand backup_verify_command = {
    .name = "verify",
    .arguments = "DIR [ID]",
    .summary = "Read backups whole: are they what their manifests say?",
    .description = "Of all, or of one with those that it is based on: checksums, that nothing is "
                   "missing,\n"
                   "and qemu-img check where that is installed.",
    .min_args = 1,
    .max_args = 2,
    .run = run_verify,
};

/* --- prune --- */

static int run_prune(char **args, GError **error)
{
  gboolean whole = FALSE;
  g_autoptr(BackupFolder) folder = NULL;
  g_autoptr(GHashTable) left = NULL;

  if (vt_keep_is_all(&retention))
    return cli_usage(error, "what is to be kept? --keep-last N, --keep-daily N..."),
           CLI_WRONG_USAGE;
  folder = open_folder(args[0], dry_run ? BACKUP_FOLDER_READ : BACKUP_FOLDER_WRITE, &whole, error);
  if (!folder || (!dry_run && !(left = backup_folder_leftovers(folder, error))))
    return CLI_FAILED;
  return cli_status(prune(folder, NULL, whole, error));
}

static const GOptionEntry prune_options[] = {
    KEEP_OPTIONS,
    {"dry-run", 0, 0, G_OPTION_ARG_NONE, &dry_run, "Say what would be removed, and do nothing",
     NULL},
    NO_MORE,
};

static const CliCommand backup_prune = {
    .name = "prune",
    .arguments = "DIR",
    .summary = "Remove backups, but for those that --keep-... names",
    .description = "The rules are Proxmox VE's, for the backups of the same volumes. Of increments "
                   "that go\n"
                   "what a kept one needs is merged into it; the full image below stays, until "
                   "there is a newer\n"
                   "one: virt-thin backup --max-increments.\n\n"
                   "Example: virt-thin backup prune /backup --keep-daily 7 --keep-weekly 4",
    .options = prune_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_prune,
};

/* --- the group --- */

static const GOptionEntry backup_options[] = {
    {"format", 0, 0, G_OPTION_ARG_FILENAME, &format_text,
     "Format of full images: qcow2 (default) or raw", "FORMAT"},
    {"full", 0, 0, G_OPTION_ARG_NONE, &full, "No increments", NULL},
    {"max-increments", 0, 0, G_OPTION_ARG_INT, &max_increments, "A full one after N increments",
     "N"},
    KEEP_OPTIONS,
    NO_MORE,
};

static const CliCommand *const commands[] = {&backup_list, &backup_verify_command, &backup_prune,
                                             &cli_end};

const CliCommand cli_backup = {
    .name = "backup",
    .arguments = "VG/LV... DIR|-",
    .summary = "Back up volumes as they are at one instant, or what has changed of them",
    .description =
        "Makes DIR/ID/VG@LV.qcow2, an image that QEMU reads: of all that is mapped, or of what "
        "has\n"
        "changed since the last backup in DIR, on which it is based. The snapshot\n"
        "snap_LV_backup-ID stays for the next one. '-' is a tar archive on standard output, of "
        "full\n"
        "images. --keep-... removes older backups of these volumes, as backup prune does.\n\n"
        "Example: virt-thin backup pve/vm-101-disk-0 /backup --keep-last 7\n"
        "Example: virt-thin backup pve/vm-101-disk-0 - | zstd | ssh host 'cat >vm-101.tar.zst'",
    .options = backup_options,
    .min_args = 2,
    .max_args = -1,
    .run = run_backup,
    .commands = commands,
};
