/* virt-thin - a folder of backups: writing
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A backup that is made is .ID.partial, one that is removed .ID.removed: what is named ID is whole.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/folder-private.h"
#include "image/interrupt.h"

#define COPIED_AT_ONCE (64u << 20)
#define INTENT "intent"

static char *partial_name(const char *id)
{
  return g_strdup_printf(".%s.partial", id);
}

static char *removed_name(const char *id)
{
  return g_strdup_printf(".%s.removed", id);
}

static gboolean has_form(const char *name, const char *suffix)
{
  g_autofree char *id = NULL;

  if (*name != '.' || !g_str_has_suffix(name, suffix))
    return FALSE;
  id = g_strndup(name + 1, strlen(name) - 1 - strlen(suffix));
  return backup_is_id(id);
}

static gboolean is_partial(const char *name)
{
  return has_form(name, ".partial");
}

static gboolean is_removed(const char *name)
{
  return has_form(name, ".removed");
}

static gboolean is_taken(BackupFolder *folder, const char *id)
{
  g_autofree char *partial = partial_name(id), *removed = removed_name(id);
  struct stat st;

  return fstatat(folder->fd, id, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
         fstatat(folder->fd, partial, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
         fstatat(folder->fd, removed, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

char *backup_folder_new_id(BackupFolder *folder, gint64 *time)
{
  const BackupManifest *last =
      folder && folder->list->len ? folder->list->pdata[folder->list->len - 1] : NULL;

  *time = MAX(*time, g_get_real_time() / G_USEC_PER_SEC);
  /* Behind those that there are, whatever the clock says. */
  if (last && *time <= last->time)
    *time = last->time + 1;
  for (;; ++*time) {
    g_autofree char *id = backup_make_id(*time);

    if (!folder || !is_taken(folder, id))
      return g_steal_pointer(&id);
  }
}

static int create_at(BackupFolder *folder, const char *name, const char *file, GError **error)
{
  int dir = openat(folder->fd, name, BACKUP_OPEN_FOLDER),
      fd = dir < 0 ? -1
                   : openat(dir, file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0)
    vt_set_errno(error, errno, "making %s/%s/%s", folder->path, name, file);
  if (dir >= 0)
    close(dir);
  return fd;
}

int backup_folder_create(BackupFolder *folder, const char *id, const char *file, GError **error)
{
  g_autofree char *name = partial_name(id);

  return create_at(folder, name, file, error);
}

static gboolean write_small(BackupFolder *folder, const char *name, const char *file,
                            const char *text, GError **error)
{
  int fd = create_at(folder, name, file, error);
  gsize length = strlen(text), done = 0;

  if (fd < 0)
    return FALSE;
  while (done < length) {
    gssize n = write(fd, text + done, length - done);

    if (n < 0 && errno != EINTR)
      break;
    done += n > 0 ? (gsize)n : 0;
  }
  if (done < length || fsync(fd) < 0) {
    vt_set_errno(error, errno, "writing %s/%s/%s", folder->path, name, file);
    close(fd);
    return FALSE;
  }
  close(fd);
  return TRUE;
}

static gboolean sync_folder(BackupFolder *folder, const char *name, GError **error)
{
  int fd = openat(folder->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean ok = fd >= 0 && fsync(fd) == 0;

  if (!ok)
    vt_set_errno(error, errno, "writing folder %s/%s", folder->path, name);
  if (fd >= 0)
    close(fd);
  return ok;
}

gboolean backup_folder_begin(BackupFolder *folder, const char *id, const char *intent,
                             GError **error)
{
  g_autofree char *name = partial_name(id);

  if (mkdirat(folder->fd, name, 0700) < 0)
    return vt_set_errno(error, errno, "making folder %s/%s", folder->path, name);
  if (write_small(folder, name, INTENT, intent, error) && sync_folder(folder, name, error) &&
      sync_folder(folder, ".", error))
    return TRUE;
  backup_folder_abort(folder, id);
  return FALSE;
}

static gboolean give_name(BackupFolder *folder, const char *partial, const char *id, GError **error)
{
  g_autofree char *intent = g_build_filename(partial, INTENT, NULL);

  if (unlinkat(folder->fd, intent, 0) < 0 && errno != ENOENT)
    return vt_set_errno(error, errno, "removing %s/%s", folder->path, intent);
  if (!sync_folder(folder, partial, error))
    return FALSE;
  if (renameat(folder->fd, partial, folder->fd, id) < 0)
    return vt_set_errno(error, errno, "renaming %s/%s to %s", folder->path, partial, id);
  return sync_folder(folder, ".", error);
}

static gboolean write_manifest(BackupFolder *folder, const char *partial,
                               const BackupManifest *manifest, GError **error)
{
  g_autofree char *text = backup_manifest_print(manifest),
                  *from = g_build_filename(partial, BACKUP_MANIFEST ".new", NULL),
                  *to = g_build_filename(partial, BACKUP_MANIFEST, NULL);

  if (!write_small(folder, partial, BACKUP_MANIFEST ".new", text, error))
    return FALSE;
  if (renameat(folder->fd, from, folder->fd, to) < 0)
    return vt_set_errno(error, errno, "renaming %s/%s", folder->path, from);
  return sync_folder(folder, partial, error);
}

gboolean backup_folder_commit(BackupFolder *folder, const BackupManifest *manifest, GError **error)
{
  g_autofree char *partial = partial_name(manifest->id);

  return write_manifest(folder, partial, manifest, error) &&
         give_name(folder, partial, manifest->id, error);
}

/* The files of a backup, all in one folder, and the folder. */
static gboolean remove_tree(BackupFolder *folder, const char *name, GError **error)
{
  int fd = openat(folder->fd, name, BACKUP_OPEN_FOLDER);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  struct dirent *entry;
  gboolean ok = dir != NULL;

  while (ok && (entry = readdir(dir)) != NULL)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      ok = unlinkat(fd, entry->d_name, 0) == 0;
  ok = ok && unlinkat(folder->fd, name, AT_REMOVEDIR) == 0;
  if (!ok)
    vt_set_errno(error, errno, "removing %s/%s", folder->path, name);
  if (dir)
    closedir(dir);
  else if (fd >= 0)
    close(fd);
  return ok;
}

void backup_folder_abort(BackupFolder *folder, const char *id)
{
  g_autofree char *name = partial_name(id);
  g_autoptr(GError) local = NULL;

  if (!remove_tree(folder, name, &local))
    g_warning("%s", local->message);
}

gboolean backup_folder_remove(BackupFolder *folder, const char *id, GError **error)
{
  g_autofree char *removed = removed_name(id);
  g_autoptr(VtIo) lock = backup_folder_lock(folder, ".readers", FALSE, error);

  if (!lock)
    return FALSE;
  if (renameat(folder->fd, id, folder->fd, removed) < 0)
    return vt_set_errno(error, errno, "removing %s/%s", folder->path, id);
  return sync_folder(folder, ".", error) && remove_tree(folder, removed, error);
}

static gboolean copy_whole(int from, int to, const char *name, GError **error)
{
  gssize n = 1;

  while (n > 0) {
    if (!image_check_interrupt(error))
      return FALSE;
    n = copy_file_range(from, NULL, to, NULL, COPIED_AT_ONCE, 0);
  }
  return (n == 0 && fsync(to) == 0) || vt_set_errno(error, errno, "copying %s", name);
}

static gboolean copy_into(BackupFolder *folder, const char *path, const char *partial,
                          const char *file, GError **error)
{
  int from = openat(folder->fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), to = -1;
  gboolean ok;

  if (from < 0)
    return vt_set_errno(error, errno, "opening %s/%s", folder->path, path);
  to = create_at(folder, partial, file, error);
  ok = to >= 0 && copy_whole(from, to, path, error);
  close(from);
  if (to >= 0)
    close(to);
  return ok;
}

/* vfat, and what is shared by SMB, have no hard links. */
gboolean backup_folder_keep(BackupFolder *folder, const char *id, const char *file, GError **error)
{
  g_autofree char *partial = partial_name(id), *from = g_build_filename(id, file, NULL),
                  *to = g_build_filename(partial, file, NULL);

  if (linkat(folder->fd, from, folder->fd, to, 0) == 0)
    return TRUE;
  if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
    return vt_set_errno(error, errno, "linking %s/%s", folder->path, to);
  return copy_into(folder, from, partial, file, error);
}

/* NFS, say, cannot exchange: there, for a moment, the backup has its other name alone, which
 * backup_folder_leftovers() knows. */
static gboolean exchange(BackupFolder *folder, const char *partial, const char *id, GError **error)
{
  g_autofree char *removed = removed_name(id);

  if (renameat2(folder->fd, partial, folder->fd, id, RENAME_EXCHANGE) == 0)
    return sync_folder(folder, ".", error) && remove_tree(folder, partial, error);
  if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
    return vt_set_errno(error, errno, "exchanging %s/%s and %s", folder->path, partial, id);
  if (renameat(folder->fd, id, folder->fd, removed) < 0)
    return vt_set_errno(error, errno, "renaming %s/%s", folder->path, id);
  if (renameat(folder->fd, partial, folder->fd, id) < 0)
    return vt_set_errno(error, errno, "renaming %s/%s to %s", folder->path, partial, id);
  return sync_folder(folder, ".", error) && remove_tree(folder, removed, error);
}

gboolean backup_folder_replace(BackupFolder *folder, const BackupManifest *manifest, GError **error)
{
  g_autofree char *partial = partial_name(manifest->id),
                  *intent = g_build_filename(partial, INTENT, NULL);
  g_autoptr(VtIo) lock = backup_folder_lock(folder, ".readers", FALSE, error);

  if (lock && unlinkat(folder->fd, intent, 0) < 0)
    vt_set_errno(error, errno, "removing %s/%s", folder->path, intent);
  else if (lock && write_manifest(folder, partial, manifest, error))
    return exchange(folder, partial, manifest->id, error);
  backup_folder_abort(folder, manifest->id);
  return FALSE;
}

static gboolean exists(BackupFolder *folder, const char *id)
{
  struct stat st;

  return fstatat(folder->fd, id, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static gboolean finish_removals(BackupFolder *folder, GError **error)
{
  g_autoptr(GPtrArray) names = backup_folder_names(folder, is_removed, error);

  for (guint i = 0; names && i < names->len; i++)
    if (!remove_tree(folder, names->pdata[i], error))
      return FALSE;
  return names != NULL;
}

GHashTable *backup_folder_leftovers(BackupFolder *folder, GError **error)
{
  g_autoptr(GHashTable) left = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr(GPtrArray) names =
      finish_removals(folder, error) ? backup_folder_names(folder, is_partial, error) : NULL;

  for (guint i = 0; names && i < names->len; i++) {
    const char *name = names->pdata[i];
    g_autofree char *id = g_strndup(name + 1, strlen(name) - strlen(".") - strlen(".partial"));
    g_autoptr(BackupManifest) manifest = backup_folder_manifest(folder, name, id, NULL);
    gsize length;
    char *intent;

    if (exists(folder, id)) { /* a merging: before it was in the other's place, or after */
      if (!remove_tree(folder, name, error))
        return NULL;
      continue;
    }
    if (manifest) {
      if (!give_name(folder, name, id, error))
        return NULL;
      g_ptr_array_add(folder->list, g_steal_pointer(&manifest));
      g_ptr_array_sort(folder->list, backup_by_id);
      continue;
    }
    intent = backup_folder_text(folder, name, INTENT, &length, NULL);
    g_hash_table_insert(left, g_steal_pointer(&id), intent ? intent : g_strdup(""));
  }
  return names ? g_steal_pointer(&left) : NULL;
}
