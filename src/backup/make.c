/* virt-thin - making a backup
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "backup/make.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "backup/changes.h"
#include "backup/tar.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "image/interrupt.h"
#include "pool/temporary.h"

#define PREFIX "backup-" /* of the snapshot's name */

/* A volume on its way into the backup. */
typedef struct {
  const BackupSource *source;
  PoolVolumeInfo *info, *snapshot;
  char *vg_uuid;
  BackupBase base;
  GArray *runs; /* of BackupRun */
  GArray *lost; /* of BackupLost, as the pool's metadata is damaged; NULL: it is not */
} Item;

typedef struct {
  const BackupJob *job;
  Item *items;
  BackupManifest *manifest;
  gboolean begun; /* there is a partial backup in the folder */
  CliProgress *progress;
  guint64 done;
} Making;

/* --- what is to be backed up --- */

static gboolean look_at(Item *item, GError **error)
{
  g_autoptr(PoolVgInfo) vg = NULL;

  item->info = pool_get_volume(item->source->group, item->source->lv, error);
  if (!item->info)
    return FALSE;
  if (item->info->kind != POOL_VOLUME_THIN)
    return vt_set_error(error, EOPNOTSUPP,
                        "%s/%s is no thin volume, and has no snapshots: virt-thin export writes it "
                        "to a file",
                        item->source->vg, item->source->lv);
  vg = pool_get_vg_info(item->source->group, error);
  item->vg_uuid = vg ? g_strdup(vg->uuid) : NULL;
  return vg != NULL;
}

static gboolean same_pool(const Item *a, const Item *b)
{
  return a->source->group == b->source->group && strcmp(a->info->pool, b->info->pool) == 0;
}

/* What the snapshots are called. An archive's are temporary. */
static char *name_snapshots(const Making *making)
{
  g_autofree char *suffix = making->job->folder ? NULL : pool_temporary_suffix();

  return suffix ? g_strconcat("backup_", suffix, NULL)
                : g_strconcat(PREFIX, making->manifest->id, NULL);
}

/* --- snapshots --- */

static void remove_volume(VolumeGroup *group, const char *vg, const char *name)
{
  const char *const names[] = {name, NULL};
  g_autoptr(GError) local = NULL;

  if (!pool_remove(group, names, FALSE, &local))
    cli_warn("snapshot %s/%s is left behind: %s", vg, name, local->message);
}

/* All of item @first's pool. */
static gboolean snapshot_pool(Making *making, guint first, GError **error)
{
  g_autofree char *name = name_snapshots(making);
  g_autoptr(GPtrArray) names = g_ptr_array_new();

  for (guint i = first; i < making->job->n_sources; i++)
    if (same_pool(&making->items[first], &making->items[i]))
      g_ptr_array_add(names, (gpointer)making->items[i].source->lv);
  g_ptr_array_add(names, NULL);
  if (!pool_snapshot_group(making->items[first].source->group, (const char *const *)names->pdata,
                           name, error))
    return FALSE;
  for (guint i = first; i < making->job->n_sources; i++) {
    Item *item = &making->items[i];
    g_autofree char *snapshot = g_strdup_printf("snap_%s_%s", item->source->lv, name);

    if (same_pool(&making->items[first], item) &&
        !(item->snapshot = pool_get_volume(item->source->group, snapshot, error))) {
      remove_volume(item->source->group, item->source->vg, snapshot);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean take_snapshots(Making *making, GError **error)
{
  guint n_pools = 0;

  /* Of a pool that can only be read nobody writes to the volumes. */
  for (guint i = 0; i < making->job->n_sources; i++) {
    Item *item = &making->items[i];

    if (item->source->in_place && !item->snapshot &&
        !(item->snapshot = pool_get_volume(item->source->group, item->source->lv, error)))
      return FALSE;
  }
  for (guint i = 0; i < making->job->n_sources; i++)
    if (!making->items[i].snapshot) {
      if (!snapshot_pool(making, i, error))
        return FALSE;
      n_pools++;
    }
  if (n_pools > 1)
    cli_warn("the volumes are of %u thin pools: those of each pool are backed up as they were at "
             "one instant, not all together",
             n_pools);
  return TRUE;
}

static void drop_snapshots(Making *making)
{
  for (guint i = 0; i < making->job->n_sources; i++) {
    Item *item = &making->items[i];

    if (item->snapshot && !item->source->in_place)
      remove_volume(item->source->group, item->source->vg, item->snapshot->name);
    g_clear_pointer(&item->snapshot, pool_volume_info_free);
  }
}

/* Of the same volume, which may have another name since; its snapshots then have, too. */
static gboolean is_of(const Item *item, const BackupVolume *volume)
{
  return volume->baseline_uuid && strcmp(volume->vg_uuid, item->vg_uuid) == 0 &&
         (strcmp(volume->lv, item->source->lv) == 0 || strcmp(volume->uuid, item->info->uuid) == 0);
}

static void drop_baseline(const Item *item, GPtrArray *all, const BackupVolume *volume)
{
  for (guint i = 0; i < all->len; i++) {
    const PoolVolumeInfo *info = all->pdata[i];

    if (info->read_only && info->device_id == volume->baseline_device &&
        strcmp(info->uuid, volume->baseline_uuid) == 0)
      remove_volume(item->source->group, item->source->vg, info->name);
  }
}

/* The snapshots of earlier backups in the folder, whose place the new one has taken. */
static void drop_older(Making *making, const Item *item)
{
  GPtrArray *list = backup_folder_list(making->job->folder);
  g_autoptr(GPtrArray) all = pool_list_volumes(item->source->group, item->info->pool, NULL);

  for (guint i = 0; all && i < list->len; i++) {
    const BackupManifest *manifest = list->pdata[i];

    for (guint j = 0; j < manifest->volumes->len; j++)
      if (is_of(item, manifest->volumes->pdata[j]))
        drop_baseline(item, all, manifest->volumes->pdata[j]);
  }
}

/* A backup that lacks what could not be read is no base: the one before stays that. */
static void drop_needless(Making *making, guint index)
{
  const Item *item = &making->items[index];
  const BackupVolume *volume = making->manifest->volumes->pdata[index];

  if (item->source->in_place)
    return;
  if (volume->lost->len > 0)
    remove_volume(item->source->group, item->source->vg, item->snapshot->name);
  else
    drop_older(making, item);
}

/* --- images --- */

static void tell(guint64 bytes, gpointer user_data)
{
  Making *making = user_data;

  making->done += bytes;
  cli_progress_update(making->progress, making->done);
}

static gint by_offset(gconstpointer a, gconstpointer b)
{
  const BackupLost *one = a, *two = b;

  return one->offset < two->offset ? -1 : one->offset > two->offset;
}

/* What the drive has lost and what the metadata has are apart from each other. */
static void add_lost(const Item *item, BackupVolume *volume)
{
  if (!item->lost)
    return;
  g_array_append_vals(volume->lost, item->lost->data, item->lost->len);
  g_array_sort(volume->lost, by_offset);
}

/* Write one to @fd. */
static gboolean write_image(Making *making, Item *item, int fd, BackupVolume *volume,
                            GError **error)
{
  gboolean raw = strcmp(volume->format, "raw") == 0;
  g_autofree char *opener = g_strdup_printf("virt-thin backup, pid %d", (int)getpid());
  g_autofree char *backing =
      item->base.volume
          ? g_strdup_printf("../%s/%s", item->base.manifest->id, item->base.volume->file)
          : NULL;
  const BackupImage image = {raw, volume->size, backing,
                             backing ? item->base.volume->format : NULL};
  g_autoptr(VtIo) io =
      pool_volume_open(item->source->group, item->snapshot->name, TRUE, opener, error);
  BackupOut out;
  gboolean ok;

  if (!io)
    return FALSE;
  volume->file_size = backup_image_file_size(&image, item->runs);
  if (!making->job->folder) {
    g_autofree char *name = g_build_filename(making->manifest->id, volume->file, NULL);

    if (!backup_tar_write_header(fd, name, volume->file_size, making->manifest->time, error))
      return FALSE;
  }
  backup_out_begin(&out, fd, volume->file, making->job->folder != NULL, raw);
  ok = backup_image_write(&out, &image, item->runs, io, volume->lost, tell, making, error) &&
       backup_out_end(&out, &volume->checksum, error) &&
       (making->job->folder || backup_tar_pad(fd, volume->file_size, error));
  backup_out_clear(&out);
  add_lost(item, volume);
  return ok;
}

static BackupVolume *describe(Making *making, Item *item)
{
  BackupVolume *volume = backup_manifest_add(making->manifest);
  gboolean raw = making->job->raw && !item->base.volume;

  volume->vg = g_strdup(item->source->vg);
  volume->vg_uuid = g_strdup(item->vg_uuid);
  volume->lv = g_strdup(item->source->lv);
  volume->uuid = g_strdup(item->info->uuid);
  volume->size = item->snapshot->size;
  volume->format = g_strdup(raw ? "raw" : "qcow2");
  volume->file = backup_file_name(volume->vg, volume->lv, volume->format);
  volume->checksum_kind = g_strdup(raw ? "sha256-data" : "sha256");
  if (item->base.volume)
    volume->parent = g_strdup(item->base.manifest->id);
  volume->why_full = g_strdup(item->base.why_full);
  if (making->job->folder && !item->source->in_place) {
    volume->baseline = g_strdup(item->snapshot->name);
    volume->baseline_uuid = g_strdup(item->snapshot->uuid);
    volume->baseline_device = item->snapshot->device_id;
  }
  return volume;
}

static gboolean make_image(Making *making, Item *item, GError **error)
{
  BackupVolume *volume = describe(making, item);
  gboolean ok;
  int fd;

  if (strcmp(volume->format, "qcow2") == 0 && !backup_image_check_size(volume->size, error))
    return FALSE;
  if (!making->job->folder)
    return write_image(making, item, making->job->fd, volume, error);
  fd = backup_folder_create(making->job->folder, making->manifest->id, volume->file, error);
  if (fd < 0)
    return FALSE;
  ok = write_image(making, item, fd, volume, error);
  if (volume->lost->len > 0)
    g_clear_pointer(&volume->baseline, g_free);
  if (close(fd) < 0 && ok)
    ok = vt_set_errno(error, errno, "writing %s", volume->file);
  if (!ok && error && *error && vt_error_is_room(*error))
    g_prefix_error(error, "there is no room left in %s for the backup, which is not made: ",
                   backup_folder_path(making->job->folder));
  return ok;
}

static gboolean begin_archive(Making *making, GError **error)
{
  g_autofree char *name = g_strconcat(making->manifest->id, "/", NULL);

  return backup_tar_write_header(making->job->fd, name, G_MAXUINT64, making->manifest->time, error);
}

/* What is in the image: the difference, all that is mapped, or what of that is known. */
static gboolean find_runs(Item *item, GError **error)
{
  VolumeGroup *group = item->source->group;
  g_autofree char *opener = g_strdup_printf("virt-thin backup, pid %d", (int)getpid());
  g_autoptr(VtIo) io = NULL;

  if (!item->source->in_place) {
    item->runs = backup_changes(group, &item->base, item->snapshot, error);
    return item->runs != NULL;
  }
  item->lost = g_array_new(FALSE, FALSE, sizeof(BackupLost));
  io = pool_volume_open(group, item->snapshot->name, TRUE, opener, error);
  item->runs = io ? backup_readable(io, item->lost, error) : NULL;
  if (!item->runs)
    return FALSE;
  return item->runs->len > 0 || item->lost->len == 0 ||
         vt_set_error(error, EBADMSG, "nothing of volume %s/%s can be read: %s", item->source->vg,
                      item->source->lv, item->info->damage);
}

static gboolean make_images(Making *making, GError **error)
{
  guint64 total = 0;
  gboolean ok = making->job->folder || begin_archive(making, error);

  for (guint i = 0; ok && i < making->job->n_sources; i++) {
    Item *item = &making->items[i];

    ok = find_runs(item, error);
    for (guint j = 0; ok && j < item->runs->len; j++) {
      const BackupRun *run = &g_array_index(item->runs, BackupRun, j);

      total += run->zero ? 0 : run->length;
    }
  }
  making->progress = cli_progress_new(total, "backing up");
  for (guint i = 0; ok && i < making->job->n_sources; i++)
    ok = make_image(making, &making->items[i], error);
  cli_progress_free(making->progress);
  return ok;
}

/* --- the whole --- */

static gboolean begin(Making *making, GError **error)
{
  g_autoptr(GString) intent = g_string_new(NULL);
  const BackupJob *job = making->job;

  for (guint i = 0; i < job->n_sources; i++)
    g_string_append_printf(intent, "%s/%s\n", job->sources[i].vg, job->sources[i].lv);
  if (!job->folder)
    return TRUE;
  making->begun = backup_folder_begin(job->folder, making->manifest->id, intent->str, error);
  return making->begun;
}

static gboolean end(Making *making, GError **error)
{
  const BackupJob *job = making->job;
  g_autofree char *text = NULL, *name = NULL;
  gsize length;

  if (job->folder) {
    if (!backup_folder_commit(job->folder, making->manifest, error))
      return FALSE;
    making->begun = FALSE;
    return TRUE;
  }
  text = backup_manifest_print(making->manifest);
  name = g_build_filename(making->manifest->id, BACKUP_MANIFEST, NULL);
  length = strlen(text);
  return backup_tar_write_file(job->fd, name, text, length, making->manifest->time, error) &&
         backup_tar_end(job->fd, error);
}

/* Two backups to different places in one second would have one name: the later one is later. */
static gboolean begin_with_snapshots(Making *making, GError **error)
{
  for (gint64 time = 0;; time++) {
    g_autoptr(GError) local = NULL;
    g_autofree char *id = backup_folder_new_id(making->job->folder, &time);

    g_clear_pointer(&making->manifest, backup_manifest_free);
    making->manifest = backup_manifest_new(id, time);
    if (!begin(making, error))
      return FALSE;
    if (take_snapshots(making, &local))
      return TRUE;
    drop_snapshots(making);
    if (!g_error_matches(local, VT_ERROR, EEXIST)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    if (making->begun)
      backup_folder_abort(making->job->folder, id);
    making->begun = FALSE;
  }
}

static gboolean prepare(Making *making, GError **error)
{
  const BackupJob *job = making->job;

  for (guint i = 0; i < job->n_sources; i++) {
    Item *item = &making->items[i];

    item->source = &job->sources[i];
    if (!item->source->in_place)
      pool_temporary_clean(item->source->group); /* of an archive that was killed */
    if (!look_at(item, error))
      return FALSE;
    if (item->source->in_place)
      item->base.why_full = g_strdup("its thin pool can only be read");
    else if (job->folder)
      backup_find_base(job, item->source, item->info, item->vg_uuid, &item->base);
  }
  return TRUE;
}

static void clear(Making *making)
{
  for (guint i = 0; i < making->job->n_sources; i++) {
    Item *item = &making->items[i];

    g_clear_pointer(&item->info, pool_volume_info_free);
    g_clear_pointer(&item->snapshot, pool_volume_info_free);
    g_clear_pointer(&item->runs, g_array_unref);
    g_clear_pointer(&item->lost, g_array_unref);
    g_free(item->vg_uuid);
    g_free(item->base.why_full);
  }
  g_free(making->items);
}

gboolean backup_make(const BackupJob *job, BackupManifest **made, GError **error)
{
  Making making = {.job = job, .items = g_new0(Item, job->n_sources)};
  gboolean ok;

  image_catch_interrupts();
  ok = prepare(&making, error) && begin_with_snapshots(&making, error) &&
       make_images(&making, error) && end(&making, error);
  if (!ok || !job->folder)
    drop_snapshots(&making);
  if (!ok && making.begun)
    backup_folder_abort(job->folder, making.manifest->id);
  for (guint i = 0; ok && job->folder && i < job->n_sources; i++)
    drop_needless(&making, i);
  if (ok)
    *made = making.manifest;
  else
    backup_manifest_free(making.manifest);
  clear(&making);
  return ok;
}

/* --- what another run left behind --- */

/* Remove the snapshot of backup @id of each line "VG/LV" whose VG is open. FALSE: some is not. */
static gboolean remove_intended(const char *id, const char *intent, const BackupSource *sources,
                                guint n_sources)
{
  g_auto(GStrv) lines = g_strsplit(intent, "\n", -1);
  gboolean all = TRUE;

  for (char **line = lines; *line; line++) {
    const char *slash = strchr(*line, '/');
    gboolean found = !slash;

    for (guint i = 0; slash && !found && i < n_sources; i++) {
      g_autoptr(PoolVolumeInfo) info = NULL;
      g_autofree char *name = g_strdup_printf("snap_%s_" PREFIX "%s", slash + 1, id);

      if (sources[i].in_place || strlen(sources[i].vg) != (gsize)(slash - *line) ||
          strncmp(*line, sources[i].vg, (gsize)(slash - *line)) != 0)
        continue;
      found = TRUE;
      info = pool_get_volume(sources[i].group, name, NULL);
      if (info && info->read_only)
        remove_volume(sources[i].group, sources[i].vg, name);
    }
    all = all && found;
  }
  return all;
}

gboolean backup_clean_up(BackupFolder *folder, const BackupSource *sources, guint n_sources,
                         GError **error)
{
  g_autoptr(GHashTable) left = backup_folder_leftovers(folder, error);
  GHashTableIter iter;
  gpointer id, intent;

  if (!left)
    return FALSE;
  g_hash_table_iter_init(&iter, left);
  while (g_hash_table_iter_next(&iter, &id, &intent)) {
    if (remove_intended(id, intent, sources, n_sources)) {
      cli_warn("%s: what an interrupted backup, %s, has left behind is removed",
               backup_folder_path(folder), (char *)id);
      backup_folder_abort(folder, id);
    } else
      cli_warn("%s/.%s.partial is left by an interrupted backup of other volume groups, whose next "
               "backup removes it",
               backup_folder_path(folder), (char *)id);
  }
  return TRUE;
}
