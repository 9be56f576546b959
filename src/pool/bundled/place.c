/* virt-thin - a file or block device that is to become a physical volume
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lvm/content.h"
#include "settings/settings.h"
#include "util/error.h"
#include "util/size.h"

static gboolean wipe_labels(int fd)
{
  static const guint8 zeros[2048]; /* the four sectors that may hold a label: lvm2 lib/label/label.h
                                      LABEL_SCAN_SECTORS */

  return pwrite(fd, zeros, sizeof zeros, 0) == sizeof zeros && fsync(fd) == 0;
}

/* Nothing was in the file. */
static gboolean empty(int fd)
{
  struct stat st;

  return fstat(fd, &st) == 0 && ftruncate(fd, 0) == 0 && ftruncate(fd, st.st_size) == 0;
}

void pool_place_undo(const PoolPlace *place)
{
  int fd;

  if (place->made) {
    unlink(place->path);
    return;
  }
  if (!place->labelled && !place->emptied && place->size_before < 0)
    return;
  fd = open(place->path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return;
  if ((place->labelled && !wipe_labels(fd)) || (place->emptied && !empty(fd)) ||
      (place->size_before >= 0 && ftruncate(fd, place->size_before) != 0))
    g_warning("%s could not be brought back to what it was: %s", place->path, g_strerror(errno));
  close(fd);
}

/* btrfs, which copies on write, then keeps what is allocated ahead (vt_io_back()), and does not cut
 * a disk's image into thousands of pieces: libvirt does the same to its pools there. Of an empty
 * file; others know no such flag. */
static void write_in_place(int fd)
{
  int flags;

  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
    flags |= FS_NOCOW_FL;
    ioctl(fd, FS_IOC_SETFLAGS, &flags);
  }
}

static gboolean cannot_resize(const PoolPlace *place, int code, guint64 size, GError **error)
{
  g_autofree char *asked = vt_size_exact(size);

  return vt_set_errno(error, code, "cannot give %s a size of %s", place->path, asked);
}

static gboolean make_file(PoolPlace *place, guint64 size, GError **error)
{
  g_autofree char *folder = g_path_get_dirname(place->path);
  int fd;
  gboolean ok;

  if (size == 0)
    return vt_set_error(error, EINVAL, "%s does not exist: give a size to make it", place->path);
  if (strcmp(folder, settings_state_dir()) == 0 && g_mkdir_with_parents(folder, 0711) != 0)
    return vt_set_errno(error, errno, "cannot make the folder %s", folder);
  fd = open(place->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0)
    return vt_set_errno(error, errno, "cannot make %s", place->path);
  place->made = TRUE;
  write_in_place(fd);
  ok = size <= G_MAXINT64 && ftruncate(fd, size) == 0;
  if (!ok)
    cannot_resize(place, size <= G_MAXINT64 ? errno : EFBIG, size, error);
  close(fd);
  return ok;
}

gboolean pool_place_prepare(PoolPlace *place, guint64 size, GError **error)
{
  struct stat st;

  if (stat(place->path, &st) != 0)
    return errno == ENOENT ? make_file(place, size, error)
                           : vt_set_errno(error, errno, "%s", place->path);
  place->is_block = S_ISBLK(st.st_mode);
  if (!place->is_block && !S_ISREG(st.st_mode))
    return vt_set_error(error, EINVAL, "%s is neither a file nor a block device", place->path);
  if (place->is_block || size == 0 || (guint64)st.st_size == size)
    return TRUE;
  if ((guint64)st.st_size > size) {
    g_autofree char *has = vt_size_format((guint64)st.st_size), *asked = vt_size_format(size);

    return vt_set_error(error, EINVAL,
                        "%s exists, and is larger (%s) than the %s asked for: give its size, or "
                        "none",
                        place->path, has, asked);
  }
  /* Now, for marks at its end are not found any more when it is longer. */
  if (!lvm_content_check_free(place->path, error))
    return FALSE;
  if (size > G_MAXINT64 || truncate(place->path, size) != 0)
    return cannot_resize(place, size > G_MAXINT64 ? EFBIG : errno, size, error);
  place->size_before = st.st_size;
  return TRUE;
}
