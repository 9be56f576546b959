/* virt-thin - storage alloc, free: volumes of storages that are folders
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/copy.h"
#include "image/interrupt.h"
#include "image/qemu.h"
#include "pvesm/folder.h"
#include "storagecfg/pools.h"

/* What stands in a guest's folder for image @file. */
static char *entry_of(const StorageCfgStorage *storage, const char *file, const char *format)
{
  return pvesm_folder_is_subvolume(storage, format)
             ? g_strndup(file, strlen(file) - strlen(format) - 1)
             : g_strdup(file);
}

/* --- alloc: names --- */

typedef struct {
  const StorageCfgStorage *storage;
  const char *images;        /* the storage's folder of all guests' */
  const char *folder, *vmid; /* its guest's */
  const char *file;          /* its name, or "" */
  const char *format;
  gboolean rootdir; /* with a file system */
  guint64 size;
  FolderFill fill; /* NULL: it is empty, or an empty file system */
  gpointer user_data;
} NewImage;

static gboolean check_file(const char *file, const char *format, GError **error)
{
  g_autofree char *own = pvesm_folder_format("images", file);

  if (!own)
    return vt_set_error(error, EINVAL, "unable to parse volume filename '%s'", file);
  return strcmp(own, format) == 0 ||
         vt_set_error(error, EINVAL, "illegal name '%s' - wrong extension for format ('%s != '%s')",
                      file, own, format);
}

/* As a name whose number pool_guest_next_name() finds; NULL: its number may be had. Where there are
 * containers' folders a number is used whatever the format, else for a format alone. */
static char *numbered(const StorageCfgStorage *storage, const char *name, const char *format)
{
  g_autofree char *suffix = g_strconcat(".", format, NULL);
  gboolean any_format = storage->type->formats && strstr(storage->type->formats, "subvol");

  if (!any_format && !g_str_has_suffix(name, suffix))
    return NULL;
  if (g_str_has_prefix(name, "subvol-") || g_str_has_prefix(name, "basevol-"))
    return g_strconcat("vm", strchr(name, '-'), NULL);
  return g_strdup(name);
}

/* @taken: names that were not there when we looked, and were when we tried. */
static char *next_file(const NewImage *image, const GPtrArray *taken, GError **error)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free),
                       here = pvesm_folder_read(image->folder, error);
  g_autofree char *name = NULL;

  if (!here)
    return NULL;
  for (guint i = 0; i < here->len; i++) {
    char *number = numbered(image->storage, here->pdata[i], image->format);

    if (number)
      g_ptr_array_add(names, number);
  }
  for (guint i = 0; i < taken->len; i++)
    g_ptr_array_add(names, g_strdup(taken->pdata[i]));
  g_ptr_array_add(names, NULL);
  name = pool_guest_next_name((const char *const *)names->pdata, image->vmid, image->storage->id,
                              error);
  return name ? g_strconcat(name, ".", image->format, NULL) : NULL;
}

/* Make a folder that may be there, and lock it. Not every file system can: O_EXCL is what counts
 * there. -1: an error.
 */
static int hold_folder(const char *path, int flags, int lock, GError **error)
{
  for (;;) {
    int fd;

    if (g_mkdir_with_parents(path, 0755) < 0) {
      vt_set_errno(error, errno, "making folder %s", path);
      return -1;
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
    if (fd >= 0) {
      flock(fd, lock);
      return fd;
    }
    if (errno == ENOTDIR)
      vt_set_error(error, ENOTDIR, "%s is a symbolic link: nothing is made behind it", path);
    else if (errno != ENOENT)
      vt_set_errno(error, errno, "%s", path);
    else
      continue;
    return -1;
  }
}

/* 0, or why not: errno. */
static int claim(const NewImage *image, int folder, const char *name)
{
  g_autofree char *entry = entry_of(image->storage, name, image->format);
  int fd;

  if (pvesm_folder_is_subvolume(image->storage, image->format))
    return pvesm_subvolume_make(folder, entry) ? 0 : errno;
  fd = openat(folder, entry, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
  if (fd < 0)
    return errno;
  close(fd);
  return 0;
}

/* Make something empty where nothing is. ENOENT: the folder is gone, for the guest's last volume
 * was freed meanwhile.
 */
static char *claim_name(const NewImage *image, int folder, GError **error)
{
  g_autoptr(GPtrArray) taken = g_ptr_array_new_with_free_func(g_free);

  for (;;) {
    g_autofree char *name = *image->file ? g_strdup(image->file) : next_file(image, taken, error);
    int code = name ? claim(image, folder, name) : 0;

    if (!name || code == 0)
      return g_steal_pointer(&name);
    if (code == EEXIST && !*image->file) {
      g_ptr_array_add(taken, g_steal_pointer(&name));
      continue;
    }
    if (code == EEXIST)
      vt_set_error(error, EEXIST, "disk image '%s/%s' already exists", image->folder, name);
    else
      vt_set_errno(error, code, "making %s/%s", image->folder, name);
    return NULL;
  }
}

/* --- alloc: contents --- */

/* As Proxmox's preallocation_cmd_opt. NULL: the format has none. */
static const char *preallocation_of(const StorageCfgStorage *storage, const char *format)
{
  const char *mode = storagecfg_string(storage, "preallocation");

  if (strcmp(format, "qcow2") == 0)
    return mode ? mode : "metadata";
  if (strcmp(format, "raw") == 0)
    return mode && strcmp(mode, "metadata") != 0 ? mode : "off";
  return NULL;
}

/* mkfs.ext4 gives away what of the file it does not need: that is allocated behind it. */
static gboolean make_rootdir(const char *path, const char *label, const char *preallocation,
                             guint64 size, GError **error)
{
  int fd, result;

  if (!pvesm_make_ext4(path, label, size, error))
    return FALSE;
  if (strcmp(preallocation, "off") == 0)
    return TRUE;
  fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return vt_set_errno(error, errno, "%s", path);
  result = posix_fallocate(fd, 0, (off_t)size);
  close(fd);
  return result == 0 || vt_set_errno(error, result, "allocating %s", path);
}

static gboolean fill(const NewImage *image, int folder, const char *name, GError **error)
{
  const char *preallocation = preallocation_of(image->storage, image->format);
  FolderVolume volume = {.content = "images",
                         .vmid = (char *)image->vmid,
                         .file = (char *)name,
                         .format = (char *)image->format};
  g_autofree char *path = pvesm_folder_path(image->storage, &volume),
                  *label = g_strndup(name, strlen(name) - strlen(image->format) - 1);

  if (pvesm_folder_is_subvolume(image->storage, image->format)) {
    if (!pvesm_subvolume_fill(folder, label, storagecfg_boolean(image->storage, "nocow", FALSE),
                              image->size, error))
      return FALSE;
    if (!image->fill) /* which is never preallocated */
      return !image->rootdir || pvesm_make_ext4(path, label, image->size, error);
  }
  if (image->fill)
    return image->fill(path, image->user_data, error);
  return image->rootdir ? make_rootdir(path, label, preallocation, image->size, error)
                        : image_qemu_new(path, image->format, preallocation, image->size, error);
}

static gboolean remove_entry(const StorageCfgStorage *storage, int folder, const char *file,
                             const char *format)
{
  g_autofree char *entry = entry_of(storage, file, format);

  return pvesm_folder_is_subvolume(storage, format) ? pvesm_subvolume_remove(folder, entry)
                                                    : unlinkat(folder, entry, 0) == 0;
}

/* One process at a time chooses a number, whatever the format. In the guest's folder, which is
 * returned, nothing is freed before it is closed. *name NULL: an error, ENOENT of claim_name(). */
static int claim_in_folder(const NewImage *image, char **name, GError **error)
{
  int images = hold_folder(image->images, 0, LOCK_EX, error),
      folder = images < 0 ? -1 : hold_folder(image->folder, O_NOFOLLOW, LOCK_SH, error);

  *name = folder < 0 ? NULL : claim_name(image, folder, error);
  if (images >= 0)
    close(images);
  return folder;
}

/* The new image's name. */
static char *make_image(const NewImage *image, GError **error)
{
  image_catch_interrupts(); /* nothing half-made is left */
  for (;;) {
    g_autoptr(GError) local = NULL;
    g_autofree char *name = NULL;
    int folder = claim_in_folder(image, &name, &local);
    gboolean ok = name && fill(image, folder, name, error);

    if (name && !ok)
      remove_entry(image->storage, folder, name, image->format);
    if (folder >= 0)
      close(folder);
    if (ok)
      return g_steal_pointer(&name);
    if (g_error_matches(local, VT_ERROR, ENOENT))
      continue;
    if (local)
      g_propagate_error(error, g_steal_pointer(&local));
    rmdir(image->folder);
    return NULL;
  }
}

static gboolean check_format(const char *format, gboolean rootdir, GError **error)
{
  const char *why = strcmp(format, "subvol") == 0 ? "virt-thin makes no folders for containers"
                    : rootdir && strcmp(format, "raw") != 0
                        ? "a container's volume is made in format raw"
                        : NULL;

  return !why || vt_set_error(error, EOPNOTSUPP, "unsupported format '%s': %s", format, why);
}

/* Complete what is to be made, and make it. The volume's name. */
static char *make_volume(NewImage *image, GError **error)
{
  g_autofree char *images = storagecfg_content_folder(image->storage, "images"),
                  *folder = g_build_filename(images, image->vmid, NULL), *name = NULL;

  image->images = images;
  image->folder = folder;
  if (!check_format(image->format, image->rootdir, error) ||
      (*image->file && !check_file(image->file, image->format, error)) ||
      !pvesm_folder_activate(image->storage, TRUE, error))
    return NULL;
  name = make_image(image, error);
  return name ? g_strdup_printf("%s/%s", image->vmid, name) : NULL;
}

char *pvesm_folder_allocate(const StorageCfgStorage *storage, const char *vmid, const char *file,
                            const char *format, const char *content, guint64 size, GError **error)
{
  const char *own = storagecfg_string(storage, "format");
  NewImage image = {.storage = storage,
                    .vmid = vmid,
                    .file = file,
                    .format = format ? format
                              : own  ? own
                                     : "raw",
                    .rootdir = g_strcmp0(content, "rootdir") == 0,
                    .size = size};

  return make_volume(&image, error);
}

char *pvesm_folder_make(const StorageCfgStorage *storage, const char *vmid, const char *file,
                        const char *format, FolderFill fill, gpointer user_data, GError **error)
{
  NewImage image = {.storage = storage,
                    .vmid = vmid,
                    .file = file,
                    .format = format,
                    .fill = fill,
                    .user_data = user_data};

  return make_volume(&image, error);
}

/* --- free --- */

/* The folder that the volume is in; a guest's is ours alone from now on: new volumes in it are
 * whole. Behind a symbolic link in a guest's folder's place is nothing of the storage. -1 without
 * an error: it is not there. */
static int open_folder(const StorageCfgStorage *storage, const FolderVolume *volume, GError **error)
{
  g_autofree char *folder = storagecfg_content_folder(storage, volume->content);
  int content = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = content;

  if (content >= 0 && volume->vmid) {
    fd = openat(content, volume->vmid, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOTDIR)
      vt_set_error(error, ENOTDIR,
                   "%s/%s is no folder, or a symbolic link: nothing behind it is freed", folder,
                   volume->vmid);
    else if (fd < 0 && errno != ENOENT)
      vt_set_errno(error, errno, "%s/%s", folder, volume->vmid);
    if (fd >= 0)
      flock(fd, LOCK_EX);
    close(content);
  } else if (content < 0 && errno != ENOENT) {
    vt_set_errno(error, errno, "%s", folder);
  }
  return fd;
}

/* Proxmox makes a template's image immutable. */
static void make_mutable(int folder, const char *file)
{
  int fd = openat(folder, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), flags;

  if (fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && flags & FS_IMMUTABLE_FL) {
    flags &= ~FS_IMMUTABLE_FL;
    if (ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0)
      cli_warn("%s: it cannot be made mutable: %s", file, g_strerror(errno));
  }
  if (fd >= 0)
    close(fd);
}

/* snap-<snapshot>-<file>, where snapshots are files that the volume is based on. */
static void remove_snapshots(int folder, const char *file)
{
  g_autofree char *end = g_strconcat("-", file, NULL);
  int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  struct dirent *entry;

  while (dir && (entry = readdir(dir))) {
    const char *name = entry->d_name;
    gsize n = strlen(name), outer = strlen("snap-") + strlen(end);
    g_autofree char *snapshot = n > outer ? g_strndup(name + strlen("snap-"), n - outer) : NULL;

    if (snapshot && g_str_has_prefix(name, "snap-") && g_str_has_suffix(name, end) &&
        pool_guest_check_snapshot(snapshot, NULL) && unlinkat(folder, name, 0) < 0)
      cli_warn("removing snapshot %s: %s", name, g_strerror(errno));
  }
  if (dir)
    closedir(dir);
}

/* Of a backup its log and its notes. */
static void remove_notes(int folder, const FolderVolume *volume)
{
  g_autofree char *stem =
                      g_strndup(volume->file, strlen(volume->file) - strlen(volume->format) - 1),
                  *log = g_strconcat(stem, ".log", NULL),
                  *notes = g_strconcat(volume->file, ".notes", NULL);
  const char *const names[] = {log, notes};

  if (!g_regex_match_simple(
          "^vzdump-(lxc|openvz|qemu)-[1-9][0-9]{2,8}-\\d{4}_\\d\\d_\\d\\d-\\d\\d_\\d\\d_\\d\\d$",
          stem, G_REGEX_RAW | G_REGEX_DOLLAR_ENDONLY, 0))
    return;
  for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
    if (unlinkat(folder, names[i], 0) < 0 && errno != ENOENT)
      cli_warn("removing %s: %s", names[i], g_strerror(errno));
}

static gboolean may_be_freed(const StorageCfgStorage *storage, int folder,
                             const FolderVolume *volume, const char *name, gboolean force,
                             GError **error)
{
  g_autofree char *protection = g_strconcat(volume->file, ".protected", NULL), *clone = NULL;

  if (strcmp(volume->content, "backup") == 0 && faccessat(folder, protection, F_OK, 0) == 0)
    return vt_set_error(error, EPERM, "cannot remove protected volume '%s' on '%s'", name,
                        storage->id);
  /* Clones of a subvolume share its blocks, and do not need it. */
  if (!volume->is_base || force || pvesm_folder_is_subvolume(storage, volume->format))
    return TRUE;
  if (!pvesm_folder_find_clone(storage, volume->vmid, volume->file, &clone, error))
    return FALSE;
  return !clone ||
         vt_set_error(
             error, EBUSY,
             "base volume '%s' is still in use by linked clones, such as %s, which hold nothing "
             "without it; --force frees it nevertheless",
             name, clone);
}

/* What belongs to it alone. */
static void remove_companions(const StorageCfgStorage *storage, int folder,
                              const FolderVolume *volume, const char *entry)
{
  if (strcmp(volume->content, "backup") == 0)
    remove_notes(folder, volume);
  else if (volume->vmid && pvesm_folder_is_subvolume(storage, volume->format))
    pvesm_subvolume_remove_snapshots(folder, entry);
  else if (volume->vmid && storagecfg_boolean(storage, "snapshot-as-volume-chain", FALSE))
    remove_snapshots(folder, volume->file);
}

/* @folder: where it is. */
static gboolean free_volume(const StorageCfgStorage *storage, int folder,
                            const FolderVolume *volume, const char *name, gboolean force,
                            GError **error)
{
  gboolean subvolume = volume->vmid && pvesm_folder_is_subvolume(storage, volume->format);
  g_autofree char *entry =
      subvolume ? entry_of(storage, volume->file, volume->format) : g_strdup(volume->file);
  struct stat st;

  if (fstatat(folder, entry, &st, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno != ENOENT)
      return vt_set_errno(error, errno, "%s", name);
    cli_warn("volume '%s:%s' is not there: nothing to free", storage->id, name);
    return TRUE;
  }
  if (subvolume ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
    return vt_set_error(error, EINVAL, "'%s:%s' is no %s", storage->id, name,
                        subvolume ? "subvolume" : "file");
  if (!may_be_freed(storage, folder, volume, name, force, error))
    return FALSE;
  if (volume->is_base && !subvolume)
    make_mutable(folder, entry);
  if (!(subvolume ? pvesm_subvolume_remove(folder, entry) : unlinkat(folder, entry, 0) == 0))
    return vt_set_errno(error, errno, "removing volume '%s:%s'", storage->id, name);
  remove_companions(storage, folder, volume, entry);
  printf("Removed volume '%s:%s'\n", storage->id, name);
  return TRUE;
}

/* The last volume of a guest takes its folder along. */
static void remove_empty_folder(const StorageCfgStorage *storage, const FolderVolume *volume)
{
  g_autofree char *images = storagecfg_content_folder(storage, volume->content),
                  *folder = g_build_filename(images, volume->vmid, NULL);

  rmdir(folder);
}

gboolean pvesm_folder_free(const StorageCfgStorage *storage, const char *name, gboolean force,
                           GError **error)
{
  g_auto(FolderVolume) volume = {0};
  g_autoptr(GError) local = NULL;
  gboolean ok;
  int folder;

  if (!pvesm_folder_parse(name, &volume, error) || !pvesm_folder_activate(storage, FALSE, error))
    return FALSE;
  if (strcmp(volume.format, "subvol") == 0)
    return vt_set_error(error, EOPNOTSUPP,
                        "volume '%s:%s' is a container's folder: virt-thin frees images",
                        storage->id, name);
  if (strchr(volume.file, '/'))
    return vt_set_error(error, EINVAL,
                        "volume '%s:%s' is in an archive, which can be freed only as a whole",
                        storage->id, name);
  folder = open_folder(storage, &volume, &local);
  if (local)
    return g_propagate_error(error, g_steal_pointer(&local)), FALSE;
  if (folder < 0) {
    cli_warn("volume '%s:%s' is not there: nothing to free", storage->id, name);
    return TRUE;
  }
  ok = free_volume(storage, folder, &volume, name, force, error);
  if (ok && volume.vmid)
    remove_empty_folder(storage, &volume);
  close(folder);
  return ok;
}
