/* virt-thin - mount points that are for one use
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "mount/temporary.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "mount/attach.h"
#include "pool/temporary.h"
#include "settings/settings.h"
#include "util/proc.h"

/* --- folders --- */

static char *folder_of(const char *vg)
{
  return settings_vg_file(vg, "mount");
}

/* What is mounted at or below @folder, unmounted: the last first. */
static gboolean unmount_below(const char *folder, GError **error)
{
  g_autoptr(GArray) mounts = vt_list_mounts("self");
  gsize length = strlen(folder);

  for (guint i = mounts->len; i-- > 0;) {
    const char *where = g_array_index(mounts, VtMount, i).where;

    if (strncmp(where, folder, length) == 0 && where[length] == '/' && !mount_detach(where, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean remove_folder(const char *path, GError **error)
{
  GDir *dir = g_dir_open(path, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *entry = g_build_filename(path, name, NULL);

    if (remove(entry) == -1)
      g_debug("%s: %s", entry, g_strerror(errno));
  }
  if (dir)
    g_dir_close(dir);
  return rmdir(path) == 0 || errno == ENOENT || vt_set_errno(error, errno, "removing %s", path);
}

/* EBUSY: another process has it. */
static int lock_folder(const char *path, GError **error)
{
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd == -1) {
    vt_set_errno(error, errno, "opening %s", path);
  } else if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
    vt_set_errno(error, errno == EWOULDBLOCK ? EBUSY : errno, "%s", path);
    close(fd);
    fd = -1;
  }
  return fd;
}

int temporary_folder_take(const char *vg, const char *name, char **path, GError **error)
{
  g_autofree char *folder = folder_of(vg), *full = g_build_filename(folder, name, NULL);
  g_autoptr(GError) local = NULL;
  int fd;

  if (!settings_make_folder(folder, error))
    return -1;
  if (mkdir(full, 0700) == -1 && errno != EEXIST) {
    vt_set_errno(error, errno, "making %s", full);
    return -1;
  }
  fd = lock_folder(full, &local);
  if (fd == -1) {
    if (g_error_matches(local, VT_ERROR, EBUSY))
      vt_set_error(error, EBUSY, "another command has %s/%s mounted in %s: wait until it is done",
                   vg, name, full);
    else
      g_propagate_error(error, g_steal_pointer(&local));
    return -1;
  }
  if (!unmount_below(full, error)) {
    close(fd);
    return -1;
  }
  *path = g_steal_pointer(&full);
  return fd;
}

gboolean temporary_folder_drop(int fd, const char *path, GError **error)
{
  gboolean ok = unmount_below(path, error) && remove_folder(path, error);

  close(fd);
  return ok;
}

static void clean_folders(const char *vg)
{
  g_autofree char *folder = folder_of(vg);
  GDir *dir = g_dir_open(folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autoptr(GError) error = NULL;
    int fd = lock_folder(path, NULL);

    if (fd != -1 && !temporary_folder_drop(fd, path, &error))
      g_warning("what was mounted for a command that has ended: %s", error->message);
  }
  if (dir)
    g_dir_close(dir);
}

void temporary_clean(VolumeGroup *group, const char *vg)
{
  clean_folders(vg);
  pool_temporary_clean(group);
}
