/* virt-thin - storage: raw images on btrfs, which are subvolumes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * As PVE::Storage::BTRFSPlugin has them: vm-100-disk-0.raw is disk.raw in subvolume vm-100-disk-0,
 * and its snapshots are the subvolumes vm-100-disk-0@<snapshot>. The calls are those of
 * linux/btrfs.h.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "pvesm/folder.h"

gboolean pvesm_is_on_btrfs(const char *path)
{
  struct statfs fs;

  return statfs(path, &fs) == 0 && fs.f_type == BTRFS_SUPER_MAGIC;
}

static gboolean call(int folder, unsigned long what, const char *name)
{
  struct btrfs_ioctl_vol_args args = {0};

  if (g_strlcpy(args.name, name, sizeof args.name) >= sizeof args.name) {
    errno = ENAMETOOLONG;
    return FALSE;
  }
  return ioctl(folder, what, &args) == 0;
}

gboolean pvesm_subvolume_make(int folder, const char *name)
{
  return call(folder, BTRFS_IOC_SUBVOL_CREATE, name);
}

gboolean pvesm_subvolume_fill(int folder, const char *name, gboolean nocow, guint64 size,
                              GError **error)
{
  g_autofree char *file = g_build_filename(name, PVESM_SUBVOLUME_FILE, NULL);
  int fd = openat(folder, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640), flags;
  gboolean ok = fd >= 0;

  /* While it is empty: later it has no effect. */
  if (ok && nocow)
    ok = ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 &&
         (flags |= FS_NOCOW_FL, ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0);
  ok = ok && ftruncate(fd, (off_t)size) == 0;
  if (!ok)
    vt_set_errno(error, errno, "making %s", file);
  if (fd >= 0)
    close(fd);
  return ok;
}

gboolean pvesm_subvolume_remove(int folder, const char *name)
{
  return call(folder, BTRFS_IOC_SNAP_DESTROY, name);
}

void pvesm_subvolume_remove_snapshots(int folder, const char *name)
{
  g_autofree char *prefix = g_strconcat(name, "@", NULL);
  int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  struct dirent *entry;

  while (dir && (entry = readdir(dir)))
    if (g_str_has_prefix(entry->d_name, prefix) && !pvesm_subvolume_remove(folder, entry->d_name))
      cli_warn("removing snapshot %s: %s", entry->d_name, g_strerror(errno));
  if (dir)
    closedir(dir);
}
