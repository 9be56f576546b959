/* virt-thin - the storage backend's callbacks that move data: build from another volume, upload,
 * download, wipe SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * All of them run with the pool unlocked. They first ask the service, which has a deadline, and
 * only then touch its files: a call into the file system of a service that hangs would not come
 * back.
 */
#include "config.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libvirt/vtbackend-private.h"
#include "pool/guest.h"
#include "settings/settings.h"
#include "util/block-users.h"
#include "util/image-format.h"

/* Since libvirt 8.10; not every header has it. */
#define CREATE_VALIDATE (1u << 2)

/* --- build from --- */

/* The volume of thin pool @source that @vol is; NULL: it is another pool's. */
static PoolVolumeInfo *find_in_pool(const VtSource *source, VtVolDef *vol)
{
  g_autofree char *name = vtbackend_volume_of_path(source->vg, vtbackend_vol_path(vol));
  g_autoptr(PoolVolumeInfo) info = name ? vtbackend_service_volume(source->vg, name, NULL) : NULL;
  if (!info || g_strcmp0(info->uuid, vtbackend_vol_key(vol)) != 0 ||
      g_strcmp0(info->pool, source->pool) != 0)
    return NULL;
  return g_steal_pointer(&info);
}

/* Where to read @vol: through the service's file, which shows holes, or the kernel's device, when
 * it is a volume of one. */
static gboolean open_source(VtVolDef *vol, VtVolumeFile *file, GError **error)
{
  const char *path = vtbackend_vol_path(vol);
  g_autofree char *folder = g_path_get_dirname(path);
  g_autofree char *vg = g_path_get_basename(folder);
  g_autoptr(PoolVolumeInfo) info = NULL;
  if (vtbackend_vol_type(vol) == VIR_STORAGE_VOL_BLOCK && g_str_has_prefix(path, "/dev/"))
    info = vtbackend_service_volume(vg, vtbackend_vol_name(vol), NULL);
  if (info && g_strcmp0(info->uuid, vtbackend_vol_key(vol)) == 0)
    return vtbackend_volume_file_open(vg, info->name, TRUE, file, error);
  file->path = g_strdup(path);
  return TRUE;
}

/* What is read is the file @in, and no other, whatever is written in it: libvirt takes the format
 * that it recognises, and what it recognises a guest may have written into its disk. */
static gboolean convert(const char *format, int in, const char *to, const char *name,
                        GError **error)
{
  g_autofree char *from = vt_image_qemu_name(in);
  const char *const argv[] = {"qemu-img",         "convert", "-f",  format, "-O", "raw", "-n",
                              "--target-is-zero", "-S",      "64k", from,   to,   NULL};
  g_auto(VtFd) out = {-1};
  if (!vtbackend_spawn_with(argv, &in, error) || !vtbackend_fd_open(&out, to, O_RDWR, error))
    return FALSE;
  return fsync(out.fd) == 0 || vt_set_errno(error, errno, "flushing volume %s", name);
}

static gboolean is_raw(const char *format)
{
  return !format || strcmp(format, "raw") == 0 || strcmp(format, "none") == 0 ||
         strcmp(format, "iso") == 0;
}

/* May what libvirt takes for an image in @format be read as that? */
static gboolean check_image(int in, const char *path, const char *format, GError **error)
{
  g_autoptr(GError) local = NULL;
  if (vt_image_is_named(path, "raw"))
    return vt_set_error(
        error, EINVAL,
        "%s is named as the content of a disk and looks like an image in format %s: give it "
        "another "
        "name if it is one, else copy it with virsh vol-upload, or virt-thin import --format raw",
        path, format);
  if (vt_image_check(in, path, format, TRUE, &local)) {
    fprintf(
        stderr,
        "virt-thin: %s is copied as an image in format %s, as which libvirt has recognised it\n",
        path, format);
    return TRUE;
  }
  return vt_set_error(error, local->code,
                      "%s: if it is the content of a disk, copy it with virsh vol-upload, or "
                      "virt-thin import --format "
                      "raw%s",
                      local->message,
                      g_error_matches(local, VT_ERROR, EOPNOTSUPP)
                          ? "; virt-thin import --follow-backing has that file read, too"
                          : "");
}

/* Copy a volume of another pool, of whatever format. */
static gboolean copy_in(const VtSource *source, VtVolDef *vol, VtVolDef *from, GError **error)
{
  g_auto(VtVolDocument) document = {0};
  g_auto(VtVolumeFile) source_file = {0}, file = {0};
  g_auto(VtFd) in = {-1}, out = {-1};
  const char *name = vtbackend_vol_name(vol);
  int type = vtbackend_vol_type(from);
  if (!vtbackend_vol_document_read(vt.dir_pool, from, &document, error))
    return FALSE;
  if (document.encrypted)
    return vt_set_error(error, EOPNOTSUPP,
                        "volume %s is encrypted; copying it into a thin pool is not supported",
                        vtbackend_vol_name(from));
  if (type != VIR_STORAGE_VOL_FILE && type != VIR_STORAGE_VOL_BLOCK)
    return vt_set_error(error, EOPNOTSUPP,
                        "volume %s is neither a file nor a block device and cannot be copied",
                        vtbackend_vol_name(from));
  g_autoptr(PoolVolumeInfo) info = vtbackend_service_volume(source->vg, name, error);
  if (!info)
    return FALSE;
  gboolean raw = type == VIR_STORAGE_VOL_BLOCK || is_raw(document.format);
  if (!open_source(from, &source_file, error) ||
      !vtbackend_fd_open(&in, source_file.path, O_RDONLY, error) ||
      (!raw && !check_image(in.fd, source_file.path, document.format, error)))
    return FALSE;
  /* With a backing store in its document, the volume is not empty. */
  if (!vtbackend_volume_file_open(source->vg, name, FALSE, &file, error) ||
      !vtbackend_discard(&file, 0, info->size, name, error))
    return FALSE;
  if (!raw)
    return convert(document.format, in.fd, file.path, name, error);
  return vtbackend_fd_open(&out, file.path, O_RDWR, error) &&
         vtbackend_copy_sparse(in.fd, out.fd, info->size, name, error);
}

/* createVol has made @vol empty: libvirt tells only here what it is built from. libvirt deletes it
 * when this fails. */
int vtbackend_build_vol_from(VtPoolObj *obj, VtVolDef *vol, VtVolDef *from, unsigned int flags)
{
  g_auto(VtSource) source = {0};
  g_autoptr(GError) error = NULL;
  const unsigned int known = VIR_STORAGE_VOL_CREATE_REFLINK | CREATE_VALIDATE;
  gboolean done;
  if (flags & VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA)
    return vtbackend_report(VIR_ERR_INVALID_ARG,
                            "volume %s: metadata preallocation is not supported in a thin pool",
                            vtbackend_vol_name(vol));
  if (flags & ~known)
    return vtbackend_report(VIR_ERR_INVALID_ARG, "unsupported flags (0x%x) for building volume %s",
                            flags & ~known, vtbackend_vol_name(vol));
  if (!vtbackend_source_of(obj, &source))
    return -1;
  VolumeGroup *group = vtbackend_service_for_changes(source.vg, &error);
  if (!group)
    return vtbackend_report_gerror(g_steal_pointer(&error));
  g_autoptr(PoolVolumeInfo) origin = find_in_pool(&source, from);
  if (origin)
    done = pool_clone_into(group, origin->name, vtbackend_vol_name(vol), &error);
  else if (flags & VIR_STORAGE_VOL_CREATE_REFLINK)
    return vtbackend_report(
        VIR_ERR_OPERATION_UNSUPPORTED,
        "volume %s is not in thin pool %s/%s: only a volume of one thin pool can be "
        "cloned without a copy",
        vtbackend_vol_name(from), source.vg, source.pool);
  else
    done = copy_in(&source, vol, from, &error);
  done = done && pool_guest_finish(group, vtbackend_vol_name(vol), &error);
  return done ? 0 : vtbackend_report_gerror(g_steal_pointer(&error));
}

/* --- upload and download --- */

static PoolVolumeInfo *check_range(const VtSource *source, const char *name, guint64 offset,
                                   guint64 length, GError **error)
{
  PoolVolumeInfo *info = vtbackend_service_volume(source->vg, name, error);
  if (info && (offset > info->size || length > info->size - offset)) {
    vt_set_error(error, EINVAL,
                 "volume %s/%s has %" G_GUINT64_FORMAT " bytes: byte %" G_GUINT64_FORMAT
                 " and %" G_GUINT64_FORMAT " behind it are not all in it",
                 source->vg, name, info->size, offset, length);
    g_clear_pointer(&info, pool_volume_info_free);
  }
  return info;
}

/* A volume of the kernel's as a file that has holes (service/fuse/stream-file.h), which goes when
 * libvirt has opened and closed it. NULL: error. The path is the caller's. */
static char *show_as_file(const char *vg, const char *name, gboolean read_only, GError **error)
{
  g_autofree char *volume = g_strdup_printf("%s/%s", vg, name);
  g_autofree char *folder = g_build_filename(settings_runtime_dir(), ".stream-XXXXXX", NULL);
  const char *const argv[] = {settings_program(),
                              "--engine",
                              "kernel",
                              "stream",
                              volume,
                              folder,
                              read_only ? "--read-only" : NULL,
                              NULL};
  if (!settings_make_folder(settings_runtime_dir(), error))
    return NULL;
  if (!g_mkdtemp_full(folder, 0700)) {
    vt_set_errno(error, errno, "making folder %s", folder);
    return NULL;
  }
  if (vtbackend_spawn(argv, error))
    return g_build_filename(folder, name, NULL);
  g_rmdir(folder);
  return NULL;
}

/* What libvirt is to open for a stream that may have holes: it sees none in a block device. Without
 * FUSE, the device. The caller's. */
static char *stream_path(const char *vg, const char *name, const VtVolumeFile *file,
                         gboolean read_only)
{
  g_autoptr(GError) error = NULL;
  /* libvirt cuts a regular file at each hole that it is sent; under this name the service lets it,
   * and keeps the size (service/process/service.h). */
  char *path = file->device ? show_as_file(vg, name, read_only, &error)
                            : g_strconcat(file->path, read_only ? "" : "@upload", NULL);
  if (path)
    return path;
  fprintf(stderr, "virt-thin: volume %s/%s is sent with its holes as zeros: %s\n", vg, name,
          error->message);
  return g_strdup(file->path);
}

int vtbackend_upload_vol(VtPoolObj *obj, VtVolDef *vol, VtStream *stream, unsigned long long offset,
                         unsigned long long length, unsigned int flags)
{
  g_auto(VtSource) source = {0};
  g_autoptr(GError) error = NULL;
  gboolean sparse = (flags & VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM) != 0;
  const char *name = vtbackend_vol_name(vol);
  if (!vtbackend_source_of(obj, &source))
    return -1;
  g_autoptr(PoolVolumeInfo) info = check_range(&source, name, offset, length, &error);
  if (info && info->read_only)
    vt_set_error(&error, EROFS, "volume %s/%s is read-only: a snapshot, or a template", source.vg,
                 name);
  if (error)
    return vtbackend_report_volume(obj, &source, name, g_steal_pointer(&error));
  g_auto(VtVolumeFile) file = {0};
  if (!vtbackend_volume_file_open(source.vg, name, FALSE, &file, &error) ||
      (sparse &&
       !vtbackend_discard(&file, offset, length ? length : info->size - offset, name, &error)))
    return vtbackend_report_gerror(g_steal_pointer(&error));
  /* Zeros that come to the kernel's device would take space. */
  g_autofree char *path =
      sparse || file.device ? stream_path(source.vg, name, &file, FALSE) : g_strdup(file.path);
  return vt.libvirt.stream_open_block_device(stream, path, offset, length, sparse, O_WRONLY);
}

int vtbackend_download_vol(VtPoolObj *obj, VtVolDef *vol, VtStream *stream,
                           unsigned long long offset, unsigned long long length, unsigned int flags)
{
  g_auto(VtSource) source = {0};
  g_autoptr(GError) error = NULL;
  gboolean sparse = (flags & VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM) != 0;
  if (!vtbackend_source_of(obj, &source))
    return -1;
  g_autoptr(PoolVolumeInfo) info =
      check_range(&source, vtbackend_vol_name(vol), offset, length, &error);
  if (!info)
    return vtbackend_report_volume(obj, &source, vtbackend_vol_name(vol), g_steal_pointer(&error));
  g_auto(VtVolumeFile) file = {0};
  if (!vtbackend_volume_file_open(source.vg, info->name, TRUE, &file, &error))
    return vtbackend_report_gerror(g_steal_pointer(&error));
  g_autofree char *path =
      sparse ? stream_path(source.vg, info->name, &file, TRUE) : g_strdup(file.path);
  return vt.libvirt.stream_open_block_device(stream, path, offset, length, sparse, O_RDONLY);
}

/* --- wipe --- */

/* scrub's names, in the order of virStorageVolWipeAlgorithm. */
static const char *const scrub_patterns[] = {
    NULL, "nnsa", "dod", "bsi", "gutmann", "schneier", "pfitzner7", "pfitzner33", "random"};

/* What the volume maps is overwritten, for whoever reads the disk; then all of it is released, for
 * whoever reads the volume. */
static gboolean wipe_zero(const VtVolumeFile *file, const PoolVolumeInfo *info, GError **error)
{
  return vtbackend_overwrite(file, info->size, info->name, error) &&
         vtbackend_discard(file, 0, info->size, info->name, error);
}

/* What wipes a mounted file system ends more than a volume's content. */
static gboolean require_unused(const PoolVolumeInfo *info, GError **error)
{
  g_autoptr(BlockScan) scan = info->path_is_block ? block_scan_new() : NULL;
  g_autofree char *user = scan ? block_scan_user(scan, info->path) : NULL;
  return !user ||
         vt_set_error(error, EBUSY, "volume %s/%s is in use by %s", info->vg, info->name, user);
}

static gboolean wipe(const PoolVolumeInfo *info, unsigned int algorithm, GError **error)
{
  g_auto(VtVolumeFile) file = {0};
  if (info->read_only)
    return vt_set_error(error, EROFS, "volume %s/%s is read-only: a snapshot, or a template",
                        info->vg, info->name);
  if (algorithm != VIR_STORAGE_VOL_WIPE_ALG_TRIM && algorithm >= G_N_ELEMENTS(scrub_patterns))
    return vt_set_error(error, EOPNOTSUPP, "wiping algorithm %u is not known", algorithm);
  if (!require_unused(info, error) ||
      !vtbackend_volume_file_open(info->vg, info->name, FALSE, &file, error))
    return FALSE;
  if (algorithm == VIR_STORAGE_VOL_WIPE_ALG_ZERO)
    return wipe_zero(&file, info, error);
  if (algorithm == VIR_STORAGE_VOL_WIPE_ALG_TRIM)
    return vtbackend_discard(&file, 0, info->size, info->name, error);
  const char *const argv[] = {"scrub",
                              "-f",
                              "-p",
                              scrub_patterns[algorithm],
                              info->path && info->path_is_block ? info->path : file.path,
                              NULL};
  return vtbackend_spawn(argv, error);
}

int vtbackend_wipe_vol(VtPoolObj *obj, VtVolDef *vol, unsigned int algorithm, unsigned int flags)
{
  g_auto(VtSource) source = {0};
  g_autoptr(GError) error = NULL;
  if (flags)
    return vtbackend_report(VIR_ERR_INVALID_ARG, "unsupported flags (0x%x) for wiping volume %s",
                            flags, vtbackend_vol_name(vol));
  if (!vtbackend_source_of(obj, &source))
    return -1;
  g_autoptr(PoolVolumeInfo) info =
      vtbackend_service_volume(source.vg, vtbackend_vol_name(vol), &error);
  return info && wipe(info, algorithm, &error)
             ? 0
             : vtbackend_report_volume(obj, &source, vtbackend_vol_name(vol),
                                       g_steal_pointer(&error));
}
