/* virt-thin - from a backup to volumes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "backup/restore.h"

#include <string.h>
#include <unistd.h>

#include "backup/image.h"
#include "backup/tar.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "image/interrupt.h"
#include "pool/guest.h"
#include "util/memory.h"

#define SUFFIX ".restoring"

/* A volume that is being written. */
typedef struct {
  const RestoreTarget *target;
  char *name; /* for now */
  VtIo *io;
  gboolean made, in_place; /* @in_place: there is a volume, which gets the content */
  gboolean unmap;          /* what is unmapped reads zero, also when a part is written later */
  gboolean fresh;          /* nothing was written to it yet */
  CliProgress *progress;
  guint64 done;
} Restoring;

/* --- the volume --- */

/* Is the target's name free, or may it be replaced? What another restore left behind goes. */
static gboolean check_target(Restoring *restoring, GError **error)
{
  const RestoreTarget *target = restoring->target;
  const char *const names[] = {restoring->name, NULL};
  g_autoptr(GError) local = NULL;
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(target->group, target->lv, &local),
                            old = pool_get_volume(target->group, restoring->name, NULL);

  if (!info && !g_error_matches(local, VT_ERROR, ENOENT)) {
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
  }
  restoring->in_place = info != NULL;
  if (info && !target->replace)
    return vt_set_error(error, EEXIST,
                        "%s/%s is there: --force gives it the backup's content, another name makes "
                        "a new volume",
                        target->vg, target->lv);
  if (info && (info->kind != POOL_VOLUME_THIN || info->read_only))
    return vt_set_error(error, info->read_only ? EROFS : EOPNOTSUPP,
                        "%s/%s is %s: restore to a new volume", target->vg, target->lv,
                        info->read_only ? "read-only" : "no thin volume");
  return !old || pool_remove(target->group, names, FALSE, error);
}

static gboolean make_volume(Restoring *restoring, guint64 size, GError **error)
{
  const RestoreTarget *target = restoring->target;
  g_autofree char *opener = g_strdup_printf("virt-thin restore, pid %d", (int)getpid());
  g_autoptr(PoolVolumeInfo) info =
      restoring->in_place ? pool_get_volume(target->group, target->lv, error) : NULL;

  if (restoring->in_place && !info)
    return FALSE;
  restoring->made = pool_create(target->group, info ? info->pool : target->thin_pool,
                                restoring->name, size, error);
  if (!restoring->made ||
      !pool_guest_reads_zero(target->group, restoring->name, &restoring->unmap, error))
    return FALSE;
  restoring->io = pool_volume_open(target->group, restoring->name, FALSE, opener, error);
  restoring->fresh = TRUE;
  /* Else a chunk that is written to in part would show what it had before. */
  return restoring->io && (restoring->unmap ||
                           vt_io_write_zeros(restoring->io, 0, vt_io_size(restoring->io), error));
}

static gboolean take_place(Restoring *restoring, guint64 size, GError **error)
{
  const RestoreTarget *target = restoring->target;
  const char *const names[] = {restoring->name, NULL};
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(target->group, target->lv, error);
  g_autoptr(GError) local = NULL;

  if (!info)
    return FALSE;
  if (info->size < size && !pool_resize(target->group, target->lv, size, FALSE, error))
    return FALSE;
  if (!pool_clone_into(target->group, restoring->name, target->lv, error))
    return FALSE;
  if (info->size > size)
    cli_warn("%s/%s stays larger than what was backed up, and reads zero behind that", target->vg,
             target->lv);
  restoring->made = FALSE;
  if (!pool_remove(target->group, names, FALSE, &local))
    cli_warn("%s/%s is left behind: %s", target->vg, restoring->name, local->message);
  return TRUE;
}

/* It is whole, and of @size bytes. */
static gboolean give_name(Restoring *restoring, guint64 size, GError **error)
{
  const RestoreTarget *target = restoring->target;
  gboolean larger = vt_io_size(restoring->io) > size;

  if (!vt_io_flush(restoring->io, error))
    return FALSE;
  g_clear_pointer(&restoring->io, vt_io_unref);
  if (larger && !pool_resize(target->group, restoring->name, size, TRUE, error))
    return FALSE;
  if (restoring->in_place)
    return take_place(restoring, size, error);
  if (!pool_rename(target->group, restoring->name, target->lv, error))
    return FALSE;
  restoring->made = FALSE;
  return pool_guest_finish(target->group, target->lv, error);
}

static gboolean begin(Restoring *restoring, const RestoreTarget *target, GError **error)
{
  *restoring = (Restoring){.target = target, .name = g_strconcat(target->lv, SUFFIX, NULL)};
  image_catch_interrupts();
  return check_target(restoring, error);
}

static void end(Restoring *restoring)
{
  const char *const names[] = {restoring->name, NULL};
  g_autoptr(GError) local = NULL;

  cli_progress_free(restoring->progress);
  g_clear_pointer(&restoring->io, vt_io_unref);
  if (restoring->made && !pool_remove(restoring->target->group, names, FALSE, &local))
    cli_warn("%s/%s is left behind, half written: %s", restoring->target->vg, restoring->name,
             local->message);
  g_free(restoring->name);
}

/* --- its content --- */

static gboolean zero(Restoring *restoring, guint64 offset, guint64 length, GError **error)
{
  return vt_io_zero(restoring->io, offset, length, restoring->unmap ? VT_IO_ZERO_MAY_UNMAP : 0,
                    error);
}

/* A BackupData of a Restoring: zeros are not mapped. */
static gboolean put(guint64 offset, const char *data, guint64 length, gpointer user_data,
                    GError **error)
{
  Restoring *restoring = user_data;

  if (!data)
    return zero(restoring, offset, length, error);
  for (guint64 done = 0, n; done < length; done += n) {
    const char *at = data + done;
    gboolean is_zero;

    n = MIN(length - done, BACKUP_BLOCK);
    is_zero = vt_is_zero(at, n);
    if (is_zero && restoring->fresh)
      continue;
    if (!(is_zero ? zero(restoring, offset + done, n, error)
                  : vt_io_write(restoring->io, at, n, offset + done, error)))
      return FALSE;
  }
  restoring->done += length;
  cli_progress_update(restoring->progress, restoring->done);
  return image_check_interrupt(error);
}

static void tell_lost(const char *id, const BackupVolume *volume)
{
  g_autofree char *lost = backup_describe_lost(id, volume);

  if (lost)
    cli_warn("%s", lost);
}

/* Is what was read what the manifest says? */
static gboolean is_as_told(BackupIn *in, const BackupVolume *volume, const BackupImageHead *head,
                           GError **error)
{
  g_autofree char *checksum = backup_in_end(in);

  if (head->size != volume->size)
    return vt_set_error(error, EBADMSG, "%s is damaged: its size is not the manifest's", in->name);
  return strcmp(checksum, volume->checksum) == 0 ||
         vt_set_error(error, EBADMSG, "%s is damaged: its checksum is not the manifest's",
                      in->name);
}

static gboolean apply(Restoring *restoring, BackupFolder *folder, const BackupLink *link,
                      GError **error)
{
  g_autofree char *path = backup_folder_file(folder, link->manifest->id, link->volume->file);
  gboolean raw = strcmp(link->volume->format, "raw") == 0, ok;
  guint64 size = vt_io_size(restoring->io), has = MIN(link->volume->size, size);
  BackupImageHead head = {0};
  BackupIn in;
  int fd;

  if (!backup_folder_open_image(folder, link->manifest->id, link->volume, &fd, error))
    return FALSE;
  backup_in_begin(&in, fd, path, link->volume->file_size, TRUE, raw);
  ok = backup_image_read_head(&in, raw, &head, error) &&
       (head.size <= size ||
        vt_set_error(error, EBADMSG, "%s is damaged: its size is not the manifest's", path)) &&
       backup_image_read(&in, raw, &head, put, restoring, error) &&
       is_as_told(&in, link->volume, &head, error);
  backup_image_head_clear(&head);
  backup_in_clear(&in);
  close(fd);
  /* What a smaller one does not have is gone for those after it. */
  if (ok && !restoring->fresh && has < size)
    ok = zero(restoring, has, size - has, error);
  restoring->fresh = FALSE;
  if (ok)
    tell_lost(link->manifest->id, link->volume);
  return ok;
}

gboolean backup_restore(BackupFolder *folder, BackupManifest *manifest, BackupVolume *volume,
                        const RestoreTarget *target, GError **error)
{
  g_autoptr(GArray) chain = backup_folder_chain(folder, manifest, volume, error);
  Restoring restoring;
  guint64 largest = 0, total = 0;
  gboolean ok;

  if (!chain)
    return FALSE;
  for (guint i = 0; i < chain->len; i++) {
    const BackupLink *link = &g_array_index(chain, BackupLink, i);

    largest = MAX(largest, link->volume->size);
    total += link->volume->file_size;
  }
  ok = begin(&restoring, target, error) && make_volume(&restoring, largest, error);
  restoring.progress = cli_progress_new(total, "restoring %s/%s", target->vg, target->lv);
  for (guint i = 0; ok && i < chain->len; i++)
    ok = apply(&restoring, folder, &g_array_index(chain, BackupLink, i), error);
  ok = ok && give_name(&restoring, volume->size, error);
  end(&restoring);
  return ok;
}

/* --- from an archive --- */

typedef struct {
  int fd;
  const char *vg, *lv; /* wanted; NULL: the only one */
  Restoring *restoring;
  char *file, *checksum; /* what was restored, for the manifest at the end; NULL: nothing yet */
  guint64 file_size, size;
  BackupManifest *manifest;
} Archive;

static gboolean read_image(Archive *archive, const char *file, guint64 size, gboolean raw,
                           GError **error)
{
  Restoring *restoring = archive->restoring;
  BackupImageHead head = {0};
  BackupIn in;
  gboolean ok;

  backup_in_begin(&in, archive->fd, file, size, FALSE, raw);
  ok = backup_image_read_head(&in, raw, &head, error) &&
       (!head.backing ||
        vt_set_error(error, EOPNOTSUPP,
                     "%s is an increment: unpack the archive where the backup is that it needs, "
                     "and restore from that folder",
                     file)) &&
       make_volume(restoring, head.size, error);
  restoring->progress =
      cli_progress_new(size, "restoring %s/%s", restoring->target->vg, restoring->target->lv);
  ok = ok && backup_image_read(&in, raw, &head, put, restoring, error);
  archive->file = g_strdup(file);
  archive->checksum = backup_in_end(&in);
  archive->file_size = size;
  archive->size = head.size;
  backup_image_head_clear(&head);
  backup_in_clear(&in);
  return ok;
}

static gboolean read_manifest(Archive *archive, guint64 size, GError **error)
{
  g_autofree char *text = NULL;
  gboolean ok;
  BackupIn in;

  if (size > BACKUP_MANIFEST_MAX || archive->manifest)
    return vt_set_error(error, EBADMSG, "the archive is damaged: its %s", BACKUP_MANIFEST);
  text = g_malloc0(size + 1);
  backup_in_begin(&in, archive->fd, "the archive", size, FALSE, FALSE);
  ok = backup_in_read(&in, text, size, error);
  backup_in_clear(&in);
  if (!ok)
    return FALSE;
  archive->manifest = backup_manifest_parse(text, size, "the archive's " BACKUP_MANIFEST, error);
  return archive->manifest != NULL;
}

static gboolean skip(Archive *archive, guint64 size, GError **error)
{
  BackupIn in;
  gboolean ok;

  backup_in_begin(&in, archive->fd, "the archive", size, FALSE, FALSE);
  ok = backup_in_skip(&in, size, error);
  backup_in_clear(&in);
  return ok;
}

static gboolean read_file(Archive *archive, const char *file, guint64 size, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL, *format = NULL, *shown = NULL;

  if (strcmp(file, BACKUP_MANIFEST) == 0)
    return read_manifest(archive, size, error);
  if (!backup_parse_file_name(file, &vg, &lv, &format))
    return vt_set_error(error, EBADMSG, "the archive is no backup: it has a file \"%s\"",
                        shown = g_strescape(file, NULL));
  if (archive->vg && (strcmp(vg, archive->vg) != 0 || strcmp(lv, archive->lv) != 0))
    return skip(archive, size, error);
  if (archive->file)
    return vt_set_error(error, EINVAL,
                        "the archive has several volumes: say which, --volume VG/LV");
  return read_image(archive, file, size, strcmp(format, "raw") == 0, error);
}

static gboolean check_archive(Archive *archive, GError **error)
{
  if (!archive->manifest)
    return vt_set_error(error, EBADMSG, "the archive is no backup: it has no %s", BACKUP_MANIFEST);
  for (guint i = 0; archive->file && i < archive->manifest->volumes->len; i++) {
    const BackupVolume *volume = archive->manifest->volumes->pdata[i];

    if (strcmp(volume->file, archive->file) != 0)
      continue;
    tell_lost(archive->manifest->id, volume);
    return (volume->file_size == archive->file_size && volume->size == archive->size &&
            strcmp(volume->checksum, archive->checksum) == 0) ||
           vt_set_error(error, EBADMSG,
                        "%s is damaged: its checksum, or size, is not the manifest's",
                        archive->file);
  }
  return vt_set_error(error, ENOENT, "the archive has no volume %s%s%s",
                      archive->vg ? archive->vg : "at all", archive->vg ? "/" : "",
                      archive->vg ? archive->lv : "");
}

gboolean backup_restore_stream(int fd, const char *vg, const char *lv, const RestoreTarget *target,
                               GError **error)
{
  Restoring restoring;
  Archive archive = {.fd = fd, .vg = vg, .lv = lv, .restoring = &restoring};
  gboolean ok = begin(&restoring, target, error), more = TRUE;
  guint64 size = 0;

  while (ok && more) {
    g_autofree char *file = NULL;

    ok = backup_tar_read_header(fd, &file, &size, error);
    more = file != NULL;
    if (ok && more)
      ok = read_file(&archive, file, size, error) && backup_tar_skip_pad(fd, size, error);
  }
  ok = ok && check_archive(&archive, error) && give_name(&restoring, archive.size, error);
  end(&restoring);
  g_free(archive.file);
  g_free(archive.checksum);
  backup_manifest_free(archive.manifest);
  return ok;
}
