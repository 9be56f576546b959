/* virt-thin - the bundled pool: making a volume group, and giving one back
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/bundled/bundled-private.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lvm/content.h"
#include "pool/rules.h"
#include "settings/settings.h"
#include "util/name.h"
#include "util/size.h"

/* What is to be taken back when the rest fails. */
typedef struct {
  const char *path;
  gboolean made; /* the file */
  gboolean labelled;
  off_t size_before; /* -1: not grown */
} Undo;

static void undo_init(const Undo *undo)
{
  static const guint8 zeros[2048]; /* the four sectors that may hold a label: lvm2 lib/label/label.h
                                      LABEL_SCAN_SECTORS */
  int fd;

  if (undo->made) {
    unlink(undo->path);
    return;
  }
  if (!undo->labelled && undo->size_before < 0)
    return;
  fd = open(undo->path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return;
  if ((undo->labelled && (pwrite(fd, zeros, sizeof zeros, 0) != sizeof zeros || fsync(fd) != 0)) ||
      (undo->size_before >= 0 && ftruncate(fd, undo->size_before) != 0))
    g_warning("%s could not be brought back to what it was: %s", undo->path, g_strerror(errno));
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

static gboolean make_file(Undo *undo, guint64 size, GError **error)
{
  g_autofree char *folder = g_path_get_dirname(undo->path);
  int fd;
  gboolean ok;

  if (size == 0)
    return vt_set_error(error, EINVAL, "%s does not exist: give a size to make it", undo->path);
  if (strcmp(folder, settings_state_dir()) == 0 && g_mkdir_with_parents(folder, 0711) != 0)
    return vt_set_errno(error, errno, "cannot make the folder %s", folder);
  fd = open(undo->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0)
    return vt_set_errno(error, errno, "cannot make %s", undo->path);
  undo->made = TRUE;
  write_in_place(fd);
  ok = size <= G_MAXINT64 && ftruncate(fd, size) == 0;
  if (!ok)
    vt_set_errno(error, size <= G_MAXINT64 ? errno : EFBIG,
                 "cannot give %s a size of %" G_GUINT64_FORMAT " bytes", undo->path, size);
  close(fd);
  return ok;
}

/* The file or device at undo->path, with @size bytes. */
static gboolean prepare_pv(Undo *undo, guint64 size, gboolean *is_block, GError **error)
{
  struct stat st;

  if (stat(undo->path, &st) != 0)
    return errno == ENOENT ? make_file(undo, size, error)
                           : vt_set_errno(error, errno, "%s", undo->path);
  *is_block = S_ISBLK(st.st_mode);
  if (!*is_block && !S_ISREG(st.st_mode))
    return vt_set_error(error, EINVAL, "%s is neither a file nor a block device", undo->path);
  if (*is_block || size == 0 || (guint64)st.st_size == size)
    return TRUE;
  if ((guint64)st.st_size > size) {
    g_autofree char *has = vt_size_format((guint64)st.st_size), *asked = vt_size_format(size);

    return vt_set_error(error, EINVAL,
                        "%s exists, and is larger (%s) than the %s asked for: give its size, or "
                        "none",
                        undo->path, has, asked);
  }
  /* Now, for marks at its end are not found any more when it is longer. */
  if (!lvm_content_check_free(undo->path, error))
    return FALSE;
  if (size > G_MAXINT64 || truncate(undo->path, size) != 0)
    return vt_set_errno(error, size > G_MAXINT64 ? EFBIG : errno,
                        "cannot give %s a size of %" G_GUINT64_FORMAT " bytes", undo->path, size);
  undo->size_before = st.st_size;
  return TRUE;
}

static gboolean make_vg(const char *vg, const char *thin_pool, Undo *undo, guint64 extent_size,
                        gboolean is_block, const PoolNew *params, GError **error)
{
  const char *paths[] = {undo->path, NULL};
  const LvmCreate create = {.extent_size = extent_size, .no_autoactivate = !is_block};
  LvmStore *store = lvm_store_create(vg, paths, &create, error);
  VolumeGroup *group;
  gboolean ok;

  if (!store)
    return FALSE;
  undo->labelled = TRUE;
  group = bundled_open_store(store, NULL, error);
  if (!group)
    return FALSE;
  ok = pool_create_pool(group, thin_pool, params, error);
  return pool_close(group, ok ? error : NULL) && ok;
}

gboolean pool_init(const char *vg, const char *thin_pool, const char *path, guint64 size,
                   guint64 extent_size, const PoolNew *params, GError **error)
{
  g_autofree char *absolute = g_canonicalize_filename(path, NULL);
  Undo undo = {.path = absolute, .size_before = -1};
  gboolean is_block = FALSE;

  if (!vt_vg_name_check(vg, error) || !vt_lv_name_check(thin_pool, error))
    return FALSE;
  if (settings_check_links(vg, error) && prepare_pv(&undo, size, &is_block, error) &&
      make_vg(vg, thin_pool, &undo, extent_size, is_block, params, error))
    return TRUE;
  undo_init(&undo);
  return pool_rules_init_failed(vg, path, error);
}

gboolean pool_extend_with_file(VolumeGroup *group, const char *path, guint64 size, GError **error)
{
  g_autofree char *absolute = g_canonicalize_filename(path, NULL);
  Undo undo = {.path = absolute, .size_before = -1};
  gboolean is_block = FALSE;

  if ((!size || prepare_pv(&undo, size, &is_block, error)) && pool_extend(group, absolute, error))
    return TRUE;
  /* A service whose answer was lost may have taken it. */
  if (lvm_content_check_free(absolute, NULL))
    undo_init(&undo);
  return FALSE;
}

gboolean pool_release(const char *vg, const PoolWhere *where, GError **error)
{
  g_autofree char *archive = settings_archive_dir();
  g_autoptr(LvmStore) store = bundled_open_vg(vg, where, NULL, NULL, error);

  return store && lvm_store_release(store, archive, error);
}

gboolean pool_clear_needs_check(const char *vg, const char *thin_pool, const PoolWhere *where,
                                GError **error)
{
  g_autoptr(LvmStore) store = bundled_open_vg(vg, where, NULL, NULL, error);
  LvmLv *lv = store ? lvm_vg_find_lv(lvm_store_vg(store), thin_pool) : NULL;
  g_autoptr(VtIo) metadata = NULL;

  if (!store)
    return FALSE;
  if (!lv || lvm_lv_kind(lv) != LVM_LV_THIN_POOL)
    return vt_set_error(error, ENOENT, "volume group %s has no thin pool %s", vg, thin_pool);
  metadata = lvm_store_open_lv(store, lvm_pool_metadata(lv), FALSE, error);
  return metadata && thin_clear_needs_check(metadata, lvm_lv_size(lv), error);
}
