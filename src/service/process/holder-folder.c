/* virt-thin - the runtime folder of a served volume group: its lock, and what a killed holder left
 * in it SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/service.h"
#include "service/fuse/mount.h"
#include "service/nodes/nodes.h"
#include "service/process/holder.h"
#include "settings/settings.h"
#include "util/proc.h"

static char *describe_holder(const char *dir)
{
  g_autofree char *path = g_build_filename(dir, "pid", NULL);
  g_autofree char *pid = NULL, *name = NULL;

  if (!g_file_get_contents(path, &pid, NULL, NULL) || !*g_strstrip(pid))
    return g_strdup("a process that is just starting");
  name = vt_process_name(atoi(pid));
  return name ? g_strdup_printf("pid %s (%s)", pid, name) : g_strdup_printf("pid %s", pid);
}

/* Whoever can open the file can lock it, reading or writing: it is for its owner alone, also where
 * an earlier version has left it for all. The last owner may remove it between our open() and
 * flock(): then it is not the one others see. */
static int take_lock(const char *dir, const char *vg, GError **error)
{
  g_autofree char *path = g_build_filename(dir, "lock", NULL);

  for (;;) {
    struct stat mine, there;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd == -1 || fchmod(fd, 0600) == -1) {
      vt_set_errno(error, errno, "cannot open %s", path);
      if (fd != -1)
        close(fd);
      return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
      int err = errno;
      g_autofree char *holder = describe_holder(dir);
      close(fd);
      if (err == EWOULDBLOCK)
        vt_set_error(error, EBUSY, "volume group %s is served already, by %s", vg, holder);
      else
        vt_set_errno(error, err, "cannot lock %s", path);
      return -1;
    }
    if (fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino &&
        mine.st_dev == there.st_dev)
      return fd;
    close(fd);
  }
}

static void remove_file(HolderFolder *folder, const char *name)
{
  g_autofree char *path = g_build_filename(folder->dir, name, NULL);
  if (unlink(path) == -1 && errno != ENOENT)
    g_warning("cannot remove %s: %s", path, g_strerror(errno));
}

static void clean(HolderFolder *folder)
{
  g_autoptr(GError) error = NULL;

  node_process_clean(folder->vg, folder->folder);
  if (!unmount_fuse(folder->folder, &error))
    g_warning("%s", error->message);
  if (rmdir(folder->folder) == -1 && errno != ENOENT)
    g_warning("cannot remove folder %s: %s", folder->folder, g_strerror(errno));
  remove_file(folder, "pid");
  remove_file(folder, "nbd");
  remove_file(folder, "control");
  remove_file(folder, CONTROL_SERVICE_DEVICES);
  remove_file(folder, "hidden");
}

gboolean holder_folder_take(HolderFolder *folder, const char *vg, GError **error)
{
  *folder = (HolderFolder){.vg = g_strdup(vg),
                           .dir = settings_vg_dir(vg),
                           .folder = settings_vg_file(vg, "volumes"),
                           .lock_fd = -1};
  if (settings_make_folder(folder->dir, error))
    folder->lock_fd = take_lock(folder->dir, vg, error);
  if (folder->lock_fd == -1) {
    g_free(folder->vg);
    g_free(folder->dir);
    g_free(folder->folder);
    return FALSE;
  }
  clean(folder);
  return TRUE;
}

void holder_folder_leave(HolderFolder *folder)
{
  clean(folder);
  remove_file(folder, "lock");
  rmdir(folder->dir); /* stays while the log is in it */
  close(folder->lock_fd);
  g_free(folder->vg);
  g_free(folder->dir);
  g_free(folder->folder);
}
