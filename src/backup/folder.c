/* virt-thin - a folder of backups: reading
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "backup/folder-private.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

VtIo *backup_folder_lock(BackupFolder *folder, const char *file, gboolean shared, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(VtIo) lock = NULL;
  int fd = openat(folder->fd, file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0 && shared && (errno == EROFS || errno == EACCES || errno == EPERM))
    return NULL;
  if (fd < 0) {
    vt_set_errno(error, errno, "opening %s/%s", folder->path, file);
    return NULL;
  }
  lock = vt_io_new_file(fd, folder->path, TRUE, error);
  if (!lock)
    return NULL;
  if (vt_io_lock(lock, shared, NULL, &local))
    return g_steal_pointer(&lock);
  vt_set_error(error, local->code, "%s%s", local->message,
               local->code == EBUSY ? ": wait until that is done" : "");
  return NULL;
}

static gboolean lock_folder(BackupFolder *folder, BackupFolderUse use, GError **error)
{
  gboolean reads = use == BACKUP_FOLDER_READ;
  g_autoptr(GError) local = NULL;

  folder->lock = backup_folder_lock(folder, reads ? ".readers" : ".lock", reads, &local);
  if (!local)
    return folder->lock || reads;
  g_propagate_error(error, g_steal_pointer(&local));
  return FALSE;
}

BackupFolder *backup_folder_open(const char *path, BackupFolderUse use, GError **error)
{
  g_autoptr(BackupFolder) folder = g_new0(BackupFolder, 1);

  folder->path = g_canonicalize_filename(path, NULL);
  folder->list = g_ptr_array_new_with_free_func((GDestroyNotify)backup_manifest_free);
  folder->fd = -1;
  if (use == BACKUP_FOLDER_MAKE && mkdir(folder->path, 0700) < 0 && errno != EEXIST) {
    vt_set_errno(error, errno, "making folder %s", path);
    return NULL;
  }
  folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder->fd < 0) {
    vt_set_errno(error, errno, "opening folder %s", path);
    return NULL;
  }
  if (!lock_folder(folder, use, error))
    return NULL;
  return g_steal_pointer(&folder);
}

void backup_folder_close(BackupFolder *folder)
{
  if (!folder)
    return;
  g_clear_pointer(&folder->lock, vt_io_unref);
  if (folder->fd >= 0)
    close(folder->fd);
  g_ptr_array_unref(folder->list);
  g_free(folder->path);
  g_free(folder);
}

const char *backup_folder_path(BackupFolder *folder)
{
  return folder->path;
}

char *backup_folder_file(BackupFolder *folder, const char *id, const char *file)
{
  return g_build_filename(folder->path, id, file, NULL);
}

/* --- reading --- */

GPtrArray *backup_folder_names(BackupFolder *folder, gboolean (*wanted)(const char *name),
                               GError **error)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  struct dirent *entry;

  if (!dir) {
    vt_set_errno(error, errno, "reading folder %s", folder->path);
    if (fd >= 0)
      close(fd);
    return NULL;
  }
  while (errno = 0, (entry = readdir(dir)) != NULL)
    if (wanted(entry->d_name))
      g_ptr_array_add(names, g_strdup(entry->d_name));
  if (errno)
    vt_set_errno(error, errno, "reading folder %s", folder->path);
  else
    closedir(dir), dir = NULL;
  if (dir) {
    closedir(dir);
    return NULL;
  }
  return g_steal_pointer(&names);
}

char *backup_folder_text(BackupFolder *folder, const char *id, const char *file, gsize *length,
                         GError **error)
{
  int dir = openat(folder->fd, id, BACKUP_OPEN_FOLDER),
      fd = dir < 0 ? -1 : openat(dir, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  g_autofree char *text = NULL;
  struct stat st;
  gssize n = 0;

  if (fd < 0 || fstat(fd, &st) < 0)
    vt_set_errno(error, errno, "opening %s/%s", id, file);
  else if (!S_ISREG(st.st_mode) || st.st_size > BACKUP_MANIFEST_MAX)
    vt_set_error(error, EBADMSG, "%s/%s is no manifest: it is no file, or too large", id, file);
  else {
    text = g_malloc0((gsize)st.st_size + 1);
    for (*length = 0; (n = read(fd, text + *length, (gsize)st.st_size - *length)) > 0;)
      *length += (gsize)n;
    if (n < 0) {
      vt_set_errno(error, errno, "reading %s/%s", id, file);
      g_clear_pointer(&text, g_free);
    }
  }
  if (fd >= 0)
    close(fd);
  if (dir >= 0)
    close(dir);
  return g_steal_pointer(&text);
}

BackupManifest *backup_folder_manifest(BackupFolder *folder, const char *name, const char *id,
                                       GError **error)
{
  g_autofree char *where = backup_folder_file(folder, name, BACKUP_MANIFEST);
  g_autoptr(BackupManifest) manifest = NULL;
  gsize length = 0;
  g_autofree char *text = backup_folder_text(folder, name, BACKUP_MANIFEST, &length, error);

  if (!text || !(manifest = backup_manifest_parse(text, length, where, error)))
    return NULL;
  if (strcmp(manifest->id, id) == 0)
    return g_steal_pointer(&manifest);
  vt_set_error(error, EBADMSG, "%s is of another backup, %s", where, manifest->id);
  return NULL;
}

gint backup_by_id(gconstpointer a, gconstpointer b)
{
  return strcmp((*(BackupManifest *const *)a)->id, (*(BackupManifest *const *)b)->id);
}

gboolean backup_folder_load(BackupFolder *folder, GPtrArray *bad, GError **error)
{
  g_autoptr(GPtrArray) names = backup_folder_names(folder, backup_is_id, error);

  if (!names)
    return FALSE;
  g_ptr_array_set_size(folder->list, 0);
  for (guint i = 0; i < names->len; i++) {
    const char *id = names->pdata[i];
    g_autoptr(GError) local = NULL;
    BackupManifest *manifest = backup_folder_manifest(folder, id, id, &local);

    if (manifest)
      g_ptr_array_add(folder->list, manifest);
    else
      g_ptr_array_add(bad, g_strdup_printf("backup %s: %s", id, local->message));
  }
  g_ptr_array_sort(folder->list, backup_by_id);
  return TRUE;
}

GPtrArray *backup_folder_list(BackupFolder *folder)
{
  return folder->list;
}

BackupManifest *backup_folder_find(BackupFolder *folder, const char *id)
{
  for (guint i = 0; i < folder->list->len; i++) {
    BackupManifest *manifest = folder->list->pdata[i];

    if (strcmp(manifest->id, id) == 0)
      return manifest;
  }
  return NULL;
}

gboolean backup_folder_open_image(BackupFolder *folder, const char *id, const BackupVolume *volume,
                                  int *fd, GError **error)
{
  g_autofree char *path = backup_folder_file(folder, id, volume->file);
  int dir = openat(folder->fd, id, BACKUP_OPEN_FOLDER);
  struct stat st;

  *fd = dir < 0 ? -1 : openat(dir, volume->file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (*fd < 0 || fstat(*fd, &st) < 0)
    vt_set_errno(error, errno, "opening %s", path);
  else if (!S_ISREG(st.st_mode) || (guint64)st.st_size != volume->file_size)
    vt_set_error(error, EBADMSG,
                 "%s is damaged: it has %" G_GUINT64_FORMAT " bytes, and should have "
                 "%" G_GUINT64_FORMAT,
                 path, (guint64)st.st_size, volume->file_size);
  else {
    close(dir);
    return TRUE;
  }
  if (*fd >= 0)
    close(*fd);
  if (dir >= 0)
    close(dir);
  *fd = -1;
  return FALSE;
}

GArray *backup_folder_chain(BackupFolder *folder, BackupManifest *manifest, BackupVolume *volume,
                            GError **error)
{
  g_autoptr(GArray) chain = g_array_new(FALSE, FALSE, sizeof(BackupLink));

  for (;;) {
    BackupLink link = {manifest, volume};

    g_array_prepend_val(chain, link);
    if (!volume->parent)
      return g_steal_pointer(&chain);
    /* Older than this one, says its manifest: so this ends. */
    manifest = backup_folder_find(folder, volume->parent);
    volume = manifest ? backup_manifest_find(manifest, volume->vg, volume->lv) : NULL;
    if (!volume) {
      vt_set_error(
          error, EBADMSG, "backup %s of %s/%s is an increment to backup %s, which is missing in %s",
          link.manifest->id, link.volume->vg, link.volume->lv, link.volume->parent, folder->path);
      return NULL;
    }
  }
}
