/* virt-thin - storage export, import: volumes of storages that are folders as streams
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A stream of raw+size has the content of a disk. One of qcow2+size or vmdk+size, which is what
 * Proxmox calls one with snapshots, has the file as it is, and stands alone: a host would look on
 * its own disks for what it refers to.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/qemu.h"
#include "pvesm/folder.h"

static gboolean is_raw(const char *format)
{
  return strcmp(format, "raw") == 0;
}

/* "qcow2" of "qcow2+size"; NULL: it is none that an image has. */
static const char *data_format(const char *stream)
{
  static const char *const formats[] = {"raw", "qcow2", "vmdk"};

  for (gsize i = 0; i < G_N_ELEMENTS(formats); i++)
    if (g_str_has_prefix(stream, formats[i]) && strcmp(stream + strlen(formats[i]), "+size") == 0)
      return formats[i];
  return NULL;
}

static gboolean check_image(const FolderVolume *volume, const char *name, GError **error)
{
  return strcmp(volume->format, "subvol") != 0 ||
         vt_set_error(error, EOPNOTSUPP,
                      "volume '%s' is a container's folder: virt-thin streams images", name);
}

/* --- export --- */

struct FolderSource {
  char *name, *path;
  int fd;
  ImageFile *image; /* what is converted; NULL: the file is streamed as it is */
  guint64 size;     /* of the disk */
  guint64 length;   /* of the stream */
};

/* The file's format; of an iso, a backup, ... it is raw. NULL: virt-thin cannot read it. */
static const char *file_format(const FolderVolume *volume)
{
  if (strcmp(volume->content, "images") != 0 && strcmp(volume->content, "import") != 0)
    return "raw";
  return is_raw(volume->format) || strcmp(volume->format, "qcow2") == 0 ||
                 strcmp(volume->format, "vmdk") == 0
             ? volume->format
             : NULL;
}

/* *size: of the file, or device. */
static int open_file(const char *path, guint64 *size, GError **error)
{
  int fd = open(path,
                O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a fifo in an image's place holds nobody up */
  struct stat st;
  off_t end = -1;

  if (fd < 0 || fstat(fd, &st) < 0)
    vt_set_errno(error, errno, "%s", path);
  else if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
    vt_set_error(error, EINVAL, "%s is no file", path);
  else if ((end = lseek(fd, 0, SEEK_END)) < 0)
    vt_set_errno(error, errno, "%s", path);
  *size = (guint64)end;
  if (fd >= 0 && end < 0) {
    close(fd);
    fd = -1;
  }
  return fd;
}

/* What is streamed as it is, and is no raw image, must stand alone; so must what may have come from
 * anywhere. */
static gboolean look_into(FolderSource *source, const FolderVolume *volume, const char *format,
                          gboolean convert, GError **error)
{
  ImageQemuFile file = {source->path, format, source->fd, convert && volume->vmid};
  g_autoptr(GError) local = NULL;

  if (is_raw(format)) {
    source->size = source->length;
    return TRUE;
  }
  if (!file.follow && !image_qemu_look(&file, &source->size, &local)) {
    if (convert || !g_error_matches(local, VT_ERROR, EOPNOTSUPP))
      return g_propagate_error(error, g_steal_pointer(&local)), FALSE;
    return vt_set_error(error, EOPNOTSUPP, "%s: export it as raw+size, which has all of it",
                        local->message);
  }
  if (!convert)
    return TRUE;
  source->image = image_open(&file, &source->size, error);
  source->length = source->size;
  return source->image != NULL;
}

FolderSource *pvesm_folder_source_new(const StorageCfgStorage *storage, const char *name,
                                      const char *stream, gboolean with_snapshots, GError **error)
{
  const char *wanted = data_format(stream), *own;
  g_auto(FolderVolume) volume = {0};
  g_autoptr(FolderSource) source = NULL;

  if (!pvesm_folder_parse(name, &volume, error) || !check_image(&volume, name, error))
    return NULL;
  own = file_format(&volume);
  /* With snapshots is a file as it is, without them a disk. */
  if (!wanted || !own || is_raw(wanted) == with_snapshots ||
      (!is_raw(wanted) && strcmp(wanted, own) != 0)) {
    vt_set_error(error, EINVAL, "volume export format %s not available for %s", stream,
                 storage->type->name);
    return NULL;
  }
  if (!pvesm_folder_activate(storage, FALSE, error))
    return NULL;
  source = g_new0(FolderSource, 1);
  source->name = g_strdup_printf("%s:%s", storage->id, name);
  source->path = pvesm_folder_path(storage, &volume);
  source->fd = open_file(source->path, &source->length, error);
  if (source->fd < 0 || !look_into(source, &volume, own, strcmp(wanted, own) != 0, error))
    return NULL;
  return g_steal_pointer(&source);
}

guint64 pvesm_folder_source_size(const FolderSource *source)
{
  return source->size;
}

gboolean pvesm_folder_source_is(const FolderSource *source, const char *path)
{
  struct stat own, other;

  return fstat(source->fd, &own) == 0 && stat(path, &other) == 0 && own.st_dev == other.st_dev &&
         own.st_ino == other.st_ino;
}

gboolean pvesm_folder_source_copy(FolderSource *source, int fd, const char *target_name,
                                  ImageTarget target, GError **error)
{
  CliProgress *progress = cli_progress_new(source->length, "exporting %s", source->name);
  ImageRead read = source->image ? image_read : image_read_file;
  gpointer from = source->image ? (gpointer)source->image : &source->fd;
  guint64 copied;
  gboolean ok = image_copy_bytes(read, from, source->length, fd, target_name, target, &copied,
                                 progress, error) &&
                (copied == source->length ||
                 vt_set_error(error, EIO, "%s ends at %" G_GUINT64_FORMAT " bytes: it has shrunk",
                              source->path, copied));

  cli_progress_free(progress);
  return ok;
}

void pvesm_folder_source_free(FolderSource *source)
{
  if (!source)
    return;
  if (source->image)
    image_close(source->image);
  if (source->fd >= 0)
    close(source->fd);
  g_free(source->path);
  g_free(source->name);
  g_free(source);
}

/* --- import --- */

gboolean pvesm_folder_check_import(const StorageCfgStorage *storage, const char *name,
                                   const char *stream, gboolean with_snapshots, GError **error)
{
  const char *format = data_format(stream);
  gboolean raw = !format || is_raw(format); /* or tar */
  g_auto(FolderVolume) volume = {0};
  g_autofree char *plain = NULL;

  if (!format && strcmp(stream, "tar+size") != 0)
    return vt_set_error(error, EINVAL, "volume import format '%s' not available for %s", stream,
                        storage->type->name);
  if (raw == with_snapshots)
    return vt_set_error(error, EINVAL, "format %s cannot be imported %s snapshots", stream,
                        raw ? "with" : "without");
  if (!pvesm_folder_parse(name, &volume, error))
    return FALSE;
  if (!volume.vmid)
    return vt_set_error(error, EINVAL, "unable to parse volume filename '%s'", volume.file);
  if (!check_image(&volume, name, error))
    return FALSE;
  if (g_strcmp0(format, volume.format) != 0)
    return vt_set_error(error, EINVAL, "cannot import format %s into a file of format %s", stream,
                        volume.format);
  plain = g_strdup_printf("%s/%s", volume.vmid, volume.file);
  return strcmp(plain, name) == 0 ||
         vt_set_error(
             error, EINVAL,
             "volume '%s' is a linked clone's: what is imported stands alone, such as '%s'", name,
             plain);
}

typedef struct {
  const char *name, *format;
  int stream;
  guint64 size;
} Import;

/* All of the stream, and no less; of an image in another format only the file itself can tell
 * that. */
static gboolean receive(const Import *import, int fd, const char *path, GError **error)
{
  gboolean raw = is_raw(import->format);
  int stream = import->stream;
  CliProgress *progress = cli_progress_new(raw ? import->size : 0, "importing %s", import->name);
  guint64 copied;
  gboolean ok = image_copy_bytes(image_read_stream, &stream, raw ? import->size + 1 : G_MAXUINT64,
                                 fd, path, IMAGE_SPARSE, &copied, progress, error);

  cli_progress_free(progress);
  if (!ok)
    return FALSE;
  if (raw && copied > import->size)
    return vt_set_error(error, EINVAL,
                        "the stream says that it has %" G_GUINT64_FORMAT " bytes and has more",
                        import->size);
  if (raw && copied < import->size)
    return vt_set_error(error, EINVAL,
                        "the stream says that it has %" G_GUINT64_FORMAT
                        " bytes and has %" G_GUINT64_FORMAT,
                        import->size, copied);
  return fsync(fd) == 0 || vt_set_errno(error, errno, "writing %s", path);
}

/* Whoever made the stream: nothing in the image leads to other files of this host. */
static gboolean check_received(const Import *import, int fd, const char *path, GError **error)
{
  ImageQemuFile file = {path, import->format, fd, FALSE};
  guint64 size;

  if (is_raw(import->format))
    return TRUE;
  if (!image_qemu_look(&file, &size, error) || !image_qemu_check(&file, error))
    return FALSE;
  return size == import->size || vt_set_error(error, EINVAL,
                                              "the stream says that its disk has %" G_GUINT64_FORMAT
                                              " bytes, and the image in it has %" G_GUINT64_FORMAT,
                                              import->size, size);
}

static gboolean fill(const char *path, gpointer user_data, GError **error)
{
  const Import *import = user_data;
  int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  gboolean ok;

  if (fd < 0)
    return vt_set_errno(error, errno, "%s", path);
  ok = receive(import, fd, path, error) && check_received(import, fd, path, error);
  if (close(fd) < 0 && ok)
    ok = vt_set_errno(error, errno, "writing %s", path);
  return ok;
}

char *pvesm_folder_import(const StorageCfgStorage *storage, const char *name, gboolean allow_rename,
                          int fd, guint64 size, GError **error)
{
  g_auto(FolderVolume) volume = {0};
  g_autofree char *path = NULL, *made = NULL;
  g_autoptr(GError) local = NULL;
  Import import = {.name = name, .stream = fd, .size = size};

  if (!pvesm_folder_parse(name, &volume, error))
    return NULL;
  import.format = volume.format;
  path = pvesm_folder_path(storage, &volume);
  made = pvesm_folder_make(storage, volume.vmid, volume.file, volume.format, fill, &import, &local);
  if (made)
    return g_steal_pointer(&made);
  if (!g_error_matches(local, VT_ERROR, EEXIST)) {
    g_propagate_error(error, g_steal_pointer(&local));
    return NULL;
  }
  if (!allow_rename) {
    vt_set_error(error, EEXIST, "file '%s' already exists", path);
    return NULL;
  }
  cli_warn("file '%s' already exists - importing with a different name", path);
  return pvesm_folder_make(storage, volume.vmid, "", volume.format, fill, &import, error);
}
