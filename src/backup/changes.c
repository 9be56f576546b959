/* virt-thin - what an increment is made against, and what has changed since
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "backup/changes.h"

#include <string.h>
#include <unistd.h>

#define RUNS_AT_ONCE 4096

gboolean backup_base_is_there(VolumeGroup *group, const char *vg_uuid, const BackupVolume *volume,
                              char **why)
{
  g_autoptr(PoolVolumeInfo) info = NULL;
  const char *reason = NULL;

  if (!volume->baseline || !volume->baseline_uuid)
    reason = "of which no snapshot was kept";
  else if (strcmp(volume->vg_uuid, vg_uuid) != 0)
    reason = "which is of another volume group of that name";
  else if (!(info = pool_get_volume(group, volume->baseline, NULL)))
    reason = "whose snapshot is not there any more";
  else if (strcmp(info->uuid, volume->baseline_uuid) != 0 || !info->read_only ||
           info->kind != POOL_VOLUME_THIN || info->device_id != volume->baseline_device)
    reason = "whose snapshot is not the same any more";
  if (reason && why)
    *why = g_strdup(reason);
  return !reason;
}

/* Are the images there that an increment to it would need? *length: how many backups made them. */
static gboolean chain_is_whole(const BackupJob *job, BackupManifest *manifest, BackupVolume *volume,
                               guint *length, GError **error)
{
  g_autoptr(GArray) chain = backup_folder_chain(job->folder, manifest, volume, error);

  *length = 0;
  if (!chain)
    return FALSE;
  for (guint i = 0; i < chain->len; i++) {
    const BackupLink *link = &g_array_index(chain, BackupLink, i);
    int fd;

    if (!backup_folder_open_image(job->folder, link->manifest->id, link->volume, &fd, error))
      return FALSE;
    close(fd);
    *length += 1 + (guint)link->volume->merged;
  }
  return TRUE;
}

/* NULL: an increment to it can be made; else why not, the caller's. */
static char *why_not(const BackupJob *job, const BackupSource *source, const PoolVolumeInfo *info,
                     const char *vg_uuid, BackupManifest *manifest, BackupVolume *volume)
{
  g_autoptr(PoolVolumeInfo) snapshot = NULL;
  g_autoptr(GError) local = NULL;
  g_autofree char *why = NULL;
  guint length = 0;

  if (!backup_base_is_there(source->group, vg_uuid, volume, &why))
    return g_strdup_printf("the last backup is %s, %s", manifest->id, why);
  snapshot = pool_get_volume(source->group, volume->baseline, NULL);
  if (!snapshot || strcmp(snapshot->pool, info->pool) != 0)
    return g_strdup_printf("the snapshot of backup %s is in another thin pool", manifest->id);
  if (!chain_is_whole(job, manifest, volume, &length, &local))
    return g_strdup(local->message);
  if (job->max_increments && length > job->max_increments)
    return g_strdup_printf("there are %u increments since the last full one", length - 1);
  return NULL;
}

void backup_find_base(const BackupJob *job, const BackupSource *source, const PoolVolumeInfo *info,
                      const char *vg_uuid, BackupBase *base)
{
  GPtrArray *list = backup_folder_list(job->folder);

  *base = (BackupBase){0};
  if (job->full)
    base->why_full = g_strdup("a full one is asked for");
  for (guint i = list->len; !job->full && i-- > 0;) {
    BackupManifest *manifest = list->pdata[i];
    BackupVolume *volume = backup_manifest_find(manifest, source->vg, source->lv);
    char *why = volume ? why_not(job, source, info, vg_uuid, manifest, volume) : NULL;

    if (volume && !why) {
      g_clear_pointer(&base->why_full, g_free);
      base->manifest = manifest;
      base->volume = volume;
      return;
    }
    /* What the newest one lacks is told. */
    if (base->why_full)
      g_free(why);
    else
      base->why_full = why;
  }
  if (!base->why_full)
    base->why_full = g_strdup("there is no backup of it yet");
}

/* --- the difference --- */

/* In order, cut at @size, joined to the one before. */
static void add_run(GArray *runs, guint64 offset, guint64 end, gboolean zero, guint64 size)
{
  BackupRun *last = runs->len ? &g_array_index(runs, BackupRun, runs->len - 1) : NULL;
  BackupRun run = {offset, MIN(end, size) - MIN(offset, size), zero};

  if (last && last->offset + last->length > offset) { /* only what add_tail() puts in */
    if (end <= last->offset + last->length)
      return;
    run.length -= last->offset + last->length - run.offset;
    run.offset = last->offset + last->length;
  }
  if (run.offset >= size || run.length == 0)
    return;
  if (last && last->zero == zero && last->offset + last->length == run.offset)
    last->length += run.length;
  else
    g_array_append_val(runs, run);
}

/* A volume that was cut off within a chunk, and has grown again, has in that chunk what it had
 * before: the chunk is the same, and the image of the smaller one has no such place. */
typedef struct {
  guint64 offset, end; /* equal: none */
} Tail;

static Tail find_tail(guint64 old_size, guint64 size, guint64 chunk)
{
  Tail tail = {0, 0};

  if (size > old_size && chunk && old_size % chunk) {
    tail.offset = old_size / chunk * chunk;
    tail.end = MIN(tail.offset + chunk, size);
  }
  return tail;
}

static void add_all(GArray *runs, const GArray *found, Tail *tail, guint64 size)
{
  for (guint i = 0; i < found->len; i++) {
    const PoolDeltaRun *run = &g_array_index(found, PoolDeltaRun, i);

    if (tail->end > tail->offset && run->offset >= tail->offset) {
      add_run(runs, tail->offset, tail->end, FALSE, size);
      tail->end = tail->offset;
    }
    add_run(runs, run->offset, run->offset + run->length, run->kind == POOL_DELTA_LEFT_ONLY, size);
  }
}

GArray *backup_changes(VolumeGroup *group, const BackupBase *base, const PoolVolumeInfo *snapshot,
                       GError **error)
{
  const char *left = base->volume ? base->volume->baseline : NULL;
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(BackupRun)),
                    found = g_array_new(FALSE, FALSE, sizeof(PoolDeltaRun));
  g_autoptr(PoolInfo) pool = pool_get_info(group, snapshot->pool, error);
  Tail tail;

  if (!pool)
    return NULL;
  tail = find_tail(base->volume ? base->volume->size : snapshot->size, snapshot->size,
                   pool->chunk_size);
  for (guint64 offset = 0; offset != G_MAXUINT64;) {
    g_array_set_size(found, 0);
    if (!pool_delta(group, left, snapshot->name, 0, &offset, RUNS_AT_ONCE, found, error))
      return NULL;
    add_all(runs, found, &tail, snapshot->size);
  }
  if (tail.end > tail.offset)
    add_run(runs, tail.offset, tail.end, FALSE, snapshot->size);
  return g_steal_pointer(&runs);
}

/* --- of a damaged pool --- */

GArray *backup_readable(VtIo *volume, GArray *lost, GError **error)
{
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(BackupRun));
  guint64 size = vt_io_size(volume);

  for (guint64 offset = 0, length = 0; offset < size; offset += length) {
    g_autoptr(GError) local = NULL;
    gboolean mapped = FALSE;

    length = 0;
    if (vt_io_extent(volume, offset, size - offset, &length, &mapped, &local)) {
      if (mapped)
        add_run(runs, offset, offset + length, FALSE, size);
      continue;
    }
    if (!g_error_matches(local, VT_ERROR, EBADMSG) || length == 0) {
      g_propagate_error(error, g_steal_pointer(&local));
      return NULL;
    }
    backup_lost_add(lost, offset, length);
  }
  return g_steal_pointer(&runs);
}
