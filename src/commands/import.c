/* virt-thin - command import: an image into a volume
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Everything that can be wrong is looked at before the first byte is written; a volume made for an
 * import that fails is removed again.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/commands.h"
#include "image/copy.h"
#include "image/interrupt.h"
#include "image/qemu.h"
#include "pool/guest.h"
#include "util/image-format.h"
#include "util/size.h"

static char *size_text, *thin_pool, *format_text;
static gboolean follow_backing, whole;

typedef struct {
  char *path;       /* NULL: standard input */
  const char *name; /* for messages */
  const char *format;
  int fd;
  guint64 size;    /* of the disk in it; IMAGE_UNKNOWN_SIZE */
  char head[4096]; /* read from a pipe already */
  gsize head_length;
  gboolean pipe;
} Source;

static gboolean measure(Source *source, GError **error)
{
  struct stat st;

  if (fstat(source->fd, &st) < 0)
    return vt_set_errno(error, errno, "%s", source->name);
  if (S_ISDIR(st.st_mode))
    return vt_set_errno(error, EISDIR, "importing %s", source->name);
  source->size = (guint64)st.st_size;
  if (S_ISBLK(st.st_mode) && ioctl(source->fd, BLKGETSIZE64, &source->size) < 0)
    return vt_set_errno(error, errno, "%s: its size", source->name);
  source->pipe = !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode);
  if (source->pipe)
    source->size = IMAGE_UNKNOWN_SIZE;
  return TRUE;
}

/* The first bytes, to tell the format by. */
static gboolean read_head(Source *source, GError **error)
{
  while (source->head_length < sizeof source->head) {
    char *to = source->head + source->head_length;
    gsize room = sizeof source->head - source->head_length;
    ssize_t n = source->pipe ? read(source->fd, to, room)
                             : pread(source->fd, to, room, (off_t)source->head_length);

    if (n < 0 && errno != EINTR)
      return vt_set_errno(error, errno, "reading %s", source->name);
    if (n == 0)
      break;
    source->head_length += (gsize)MAX(n, 0);
  }
  return TRUE;
}

/* Parts of an image in another format than raw are read out of order. */
static gboolean refuse_stream(const Source *source, GError **error)
{
  if (format_text)
    return vt_set_error(
        error, EINVAL,
        "%s is a stream, and an image in format %s must be a file: save it in one first",
        source->name, source->format);
  return vt_set_error(error, EINVAL,
                      "%s begins as an image in format %s does: --format raw if it is the content "
                      "of a disk, such as a "
                      "raw export; an image, as its parts must be read out of order: save it in a "
                      "file and import that",
                      source->name, source->format);
}

/* An image that says what it is based on has it read from this host: only when that is asked
 * for. */
static gboolean look_into(Source *source, GError **error)
{
  ImageQemuFile file = {source->path, source->format, source->fd, follow_backing};
  g_autoptr(GError) local = NULL;

  if (vt_image_is_encrypted(source->fd, source->format))
    vt_set_error(&local, EACCES, "%s is encrypted: decrypt it with qemu-img convert first",
                 source->name);
  else if (image_qemu_look(&file, &source->size, &local))
    return TRUE;
  if (g_error_matches(local, VT_ERROR, EOPNOTSUPP))
    return vt_set_error(error, EOPNOTSUPP,
                        "%s: --format raw if it is the content of a disk, such as a raw export; "
                        "--follow-backing to "
                        "have that file read into the volume, too",
                        local->message);
  return vt_set_error(
      error, local->code, "%s%s", local->message,
      format_text ? "" : ": --format raw if it is the content of a disk, such as a raw export");
}

/* A guest can write into its disk what looks like an image, and it is in the disk's backup: that a
 * format is recognised says nothing. What the file is called is its owner's word; without that, it
 * has to be said what is meant. */
static gboolean take_recognised(Source *source, GError **error)
{
  if (vt_image_is_named(source->path, "raw") && !follow_backing) {
    cli_warn("%s looks like an image in format %s: as its name says, it is taken for the content "
             "of a disk, "
             "--format raw",
             source->name, source->format);
    source->format = "raw";
    return TRUE;
  }
  if (!look_into(source, error))
    return FALSE;
  if (!vt_image_is_named(source->path, source->format) && !follow_backing)
    return vt_set_error(error, EINVAL,
                        "%s looks like an image in format %s, and its name does not say so: "
                        "--format raw if it is the "
                        "content of a disk, such as a raw export; --format %s if it is an image",
                        source->name, source->format, source->format);
  cli_warn("%s is read as an image in format %s; --format raw takes it as it is", source->name,
           source->format);
  return TRUE;
}

static gboolean choose_format(Source *source, GError **error)
{
  /* A redirected file has a name, too. */
  if (!source->path && !source->pipe && !(source->path = g_file_read_link("/proc/self/fd/0", NULL)))
    source->path = g_strdup("/dev/stdin");
  source->format = format_text ? format_text
                               : vt_image_format(source->fd, source->pipe ? 0 : source->size,
                                                 source->head, source->head_length);
  if (strcmp(source->format, "raw") == 0)
    return TRUE;
  if (source->pipe)
    return refuse_stream(source, error);
  return format_text ? look_into(source, error) : take_recognised(source, error);
}

static gboolean open_source(Source *source, const char *argument, GError **error)
{
  source->path = strcmp(argument, "-") == 0 ? NULL : g_strdup(argument);
  source->name = source->path ? source->path : "standard input";
  source->fd = source->path ? open(source->path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
  if (source->fd < 0)
    return vt_set_errno(error, errno, "opening %s", source->name);
  return measure(source, error) && read_head(source, error) && choose_format(source, error);
}

static void close_source(Source *source)
{
  if (source->fd >= 0)
    close(source->fd);
  g_free(source->path);
}

/* --- the volume --- */

static gboolean too_small(const char *vg, const char *lv, guint64 has, guint64 wanted,
                          GError **error)
{
  g_autofree char *a = vt_size_exact(has), *b = vt_size_exact(wanted);

  return vt_set_error(error, EINVAL,
                      "volume %s/%s has %s and the import needs %s: "
                      "virt-thin resize %s/%s %" G_GUINT64_FORMAT "b first",
                      vg, lv, a, b, vg, lv, wanted);
}

/* The volume to write to, made when it is not there. */
static gboolean prepare_volume(VolumeGroup *group, const char *vg, const char *lv,
                               const Source *source, guint64 size, gboolean *created,
                               GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, lv, &local);
  guint64 wanted = MAX(size, source->size == IMAGE_UNKNOWN_SIZE ? 0 : source->size);

  *created = FALSE;
  if (info) {
    if (info->read_only)
      return vt_set_error(error, EROFS,
                          "volume %s/%s is read-only (a snapshot, a template, or it has a snapshot "
                          "that only lvm2 keeps "
                          "copies for): import into a clone of it, or under another name",
                          vg, lv);
    return info->size >= wanted || too_small(vg, lv, info->size, wanted, error);
  }
  if (!g_error_matches(local, VT_ERROR, ENOENT)) {
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
  }
  if (wanted == 0 && source->head_length == 0)
    return vt_set_error(error, EINVAL, "%s is empty", source->name);
  wanted = MAX(wanted, 1); /* of a pipe's size nothing is known: the volume grows with it */
  *created = pool_create(group, thin_pool, lv, wanted, error);
  return *created;
}

typedef struct {
  VolumeGroup *group;
  const char *lv;
} Growing;

/* To twice as much, so that it does not happen often; a limit on overcommit may not allow that. */
static gboolean grow(guint64 size, gpointer user_data, GError **error)
{
  Growing *growing = user_data;

  return pool_resize(growing->group, growing->lv, 2 * size, FALSE, NULL) ||
         pool_resize(growing->group, growing->lv, size, FALSE, error);
}

/* @image: NULL, or what to read @source through. @growing: the volume becomes as large as the
 * source turns out to be. */
static gboolean import_read(VolumeGroup *group, const char *lv, Source *source, ImageFile *image,
                            ImageOver over, gboolean growing, GError **error)
{
  g_autofree char *opener = g_strdup_printf("virt-thin import, pid %d", (int)getpid());
  g_autoptr(VtIo) volume = pool_volume_open(group, lv, FALSE, opener, error);
  ImageSource from = {.fd = source->fd,
                      .image = image,
                      .name = source->name,
                      .size = source->size,
                      .head = source->head,
                      .head_length = source->head_length,
                      .grow = growing ? grow : NULL,
                      .user_data = &(Growing){group, lv}};
  CliProgress *progress;
  gboolean ok;

  if (!volume)
    return FALSE;
  progress = cli_progress_new(source->size == IMAGE_UNKNOWN_SIZE ? 0 : source->size, "importing %s",
                              source->name);
  ok = image_copy_in(&from, volume, over, progress, error);
  cli_progress_free(progress);
  g_clear_pointer(&volume, vt_io_unref);
  return ok && (!growing || pool_resize(group, lv, from.size, TRUE, error));
}

static gboolean zero_volume(VolumeGroup *group, const char *lv, GError **error)
{
  g_autoptr(VtIo) volume = pool_volume_open(group, lv, FALSE, "virt-thin import", error);

  return volume && vt_io_zero(volume, 0, vt_io_size(volume), VT_IO_ZERO_MAY_UNMAP, error);
}

/* By qemu-img, which looks at nothing that is in the volume. */
static gboolean import_converted(VolumeGroup *group, const char *vg, const char *lv,
                                 const ImageQemuFile *file, gboolean fresh, GError **error)
{
  ImageExport *export;
  gboolean ok;

  if (!fresh && !zero_volume(group, lv, error))
    return FALSE;
  export = image_export_near(group, vg, lv, FALSE, error);
  ok = export && image_qemu_import(file, export, error);
  image_export_free(export);
  return ok;
}

static gboolean import_image(VolumeGroup *group, const char *vg, const char *lv, Source *source,
                             ImageOver over, GError **error)
{
  ImageQemuFile file = {source->path, source->format, source->fd, follow_backing};
  g_autoptr(GError) local = NULL;
  ImageFile *image = over == IMAGE_OVER_EQUAL ? image_open(&file, &source->size, &local) : NULL;
  gboolean ok;

  if (local && local->code != ENOENT) {
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
  }
  if (local)
    cli_warn("what %s/%s has of it already is written, too: %s", vg, lv, local->message);
  if (!image)
    return import_converted(group, vg, lv, &file, over == IMAGE_OVER_ZEROS, error);
  ok = import_read(group, lv, source, image, over, FALSE, error);
  image_close(image);
  return ok;
}

static gboolean import(VolumeGroup *group, const char *vg, const char *lv, Source *source,
                       guint64 size, GError **error)
{
  const char *const names[] = {lv, NULL};
  g_autoptr(GError) local = NULL;
  gboolean created, reads_zero, ok;
  ImageOver over;

  if (size && source->size != IMAGE_UNKNOWN_SIZE && size < source->size) {
    g_autofree char *holds = vt_size_exact(source->size);

    return vt_set_error(error, EINVAL, "--size %s: %s holds a disk of %s, which is more", size_text,
                        source->name, holds);
  }
  image_catch_interrupts(); /* from here on a signal must not leave half a volume behind */
  if (!prepare_volume(group, vg, lv, source, size, &created, error))
    return FALSE;
  ok = pool_guest_reads_zero(group, lv, &reads_zero, error);
  over = created && reads_zero ? IMAGE_OVER_ZEROS
         : created || whole    ? IMAGE_OVER_ANY
                               : IMAGE_OVER_EQUAL;
  ok = ok &&
       (strcmp(source->format, "raw") == 0
            ? import_read(group, lv, source, NULL, over, created && source->pipe && !size, error)
            : import_image(group, vg, lv, source, over, error));
  ok = ok && (!created || pool_guest_finish(group, lv, error));
  if (!ok && created && !pool_remove(group, names, FALSE, &local))
    cli_warn("%s/%s is left behind, half written: %s", vg, lv, local->message);
  return ok;
}

static int run_import(char **args, GError **error)
{
  Source source = {.fd = -1};
  g_autofree char *vg = NULL, *lv = NULL;
  guint64 size;
  VolumeGroup *group = NULL;
  gboolean ok;

  if (!cli_split_name(args[1], &vg, &lv, error) ||
      !cli_parse_size("--size", size_text, &size, error))
    return CLI_WRONG_USAGE;
  if (size_text && size == 0)
    return cli_usage(error, "--size %s: a size of nothing", size_text), CLI_WRONG_USAGE;
  ok = open_source(&source, args[0], error) && (group = cli_open_patient(vg, 0, error)) &&
       import(group, vg, lv, &source, size, error);
  close_source(&source);
  return cli_status(cli_close(group, error) && ok);
}

static const GOptionEntry import_options[] = {
    {"size", 0, 0, G_OPTION_ARG_FILENAME, &size_text,
     "Size of the volume to create (default: the image's)", "SIZE"},
    {"pool", 0, 0, G_OPTION_ARG_FILENAME, &thin_pool,
     "Thin pool for a new volume (default: the only one)", "POOL"},
    {"format", 0, 0, G_OPTION_ARG_FILENAME, &format_text,
     "Format of the image, as qemu-img calls it (default: recognised, if its name says so)",
     "FORMAT"},
    {"whole", 0, 0, G_OPTION_ARG_NONE, &whole,
     "Write also what is in the volume already, so that it shares none of it", NULL},
    {"follow-backing", 0, 0, G_OPTION_ARG_NONE, &follow_backing,
     "Read the files of this host that the image refers to, too", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_import = {
    .name = "import",
    .arguments = "FILE|- VG/LV",
    .summary = "Write a disk image into a volume",
    .description = "Creates the volume, or overwrites one that is large enough, the rest of which "
                   "then reads zero. '-' is "
                   "standard input (raw only).\n"
                   "Chunks that hold it already are left alone, and stay shared.\n"
                   "Holes and zeros of the image take no space in the pool. Formats other than raw "
                   "are read by qemu-img. A new "
                   "volume named\nbase-VMID-something is a template in the end.\n"
                   "A guest can make its disk look like an image: restore a raw export with "
                   "--format raw. An image that refers "
                   "to other\nfiles (a backing file, an external data file, extents) is refused "
                   "without --follow-backing: give "
                   "that to none that a guest,\nor anybody else, may have written.",
    .options = import_options,
    .min_args = 2,
    .max_args = 2,
    .run = run_import,
};
