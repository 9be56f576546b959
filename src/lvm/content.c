/* virt-thin - what a file or block device holds: may it become a physical volume, is it one of its
 * own? SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <blkid.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lvm/content.h"
#include "lvm/model/vg.h"
#include "lvm/store-private.h"
#include "util/image-format.h"

#define MIB (G_GUINT64_CONSTANT(1) << 20)
/* Where libblkid's marks are: LUKS2's second header may lie at 4 MiB; Promise's RAID has its mark
 * up to 3087 sectors before the end, ZFS its labels in the last 512 KiB. */
#define MARKS_AT_START (8 * MIB)
#define MARKS_AT_END (2 * MIB)

typedef struct {
  const char *path;
  int fd;
  gboolean is_file;
  guint64 size;
  dev_t device;
  blkid_probe probe; /* NULL: too small for anything */
} Content;

static void content_close(Content *content)
{
  if (content->probe)
    blkid_free_probe(content->probe);
  if (content->fd >= 0)
    close(content->fd);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Content, content_close)

static gboolean content_open(Content *content, const char *path, GError **error)
{
  struct stat st;

  content->path = path;
  content->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (content->fd < 0 || fstat(content->fd, &st) < 0)
    return vt_set_errno(error, errno, "%s: cannot look for what is on it", path);
  content->is_file = S_ISREG(st.st_mode);
  content->device = st.st_rdev;
  if (content->is_file && st.st_size == 0)
    return TRUE;
  content->probe = blkid_new_probe();
  if (!content->probe || blkid_probe_set_device(content->probe, content->fd, 0, 0) != 0)
    return vt_set_errno(error, errno ? errno : EIO, "%s: cannot look for what is on it", path);
  content->size = (guint64)blkid_probe_get_size(content->probe);
  return TRUE;
}

static const char *found_value(const Content *content, const char *name)
{
  const char *value = NULL;

  return blkid_probe_lookup_value(content->probe, name, &value, NULL) == 0 ? value : NULL;
}

/* --- may it become a physical volume? --- */

/* "ext4", "gpt partitions", "a qcow2 image". */
static void add_found(GPtrArray *names, char *name)
{
  if (g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
    g_free(name);
  else
    g_ptr_array_add(names, name);
}

/* One after the other, for there may be several, such as a RAID's mark behind the partition table
 * that it replaced. A damaged one is somebody's, too, and so is a GPT of which only the copy at the
 * end is left. */
static gboolean find_marks(const Content *content, GPtrArray *names, GError **error)
{
  int rc;

  blkid_probe_enable_superblocks(content->probe, TRUE);
  blkid_probe_set_superblocks_flags(content->probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_BADCSUM);
  blkid_probe_enable_partitions(content->probe, TRUE);
  blkid_probe_set_partitions_flags(content->probe, BLKID_PARTS_FORCE_GPT);
  while ((rc = blkid_do_probe(content->probe)) == 0) {
    const char *type = found_value(content, "TYPE"), *table = found_value(content, "PTTYPE");

    add_found(names,
              type ? g_strdup(type) : g_strconcat(table ? table : "unknown", " partitions", NULL));
  }
  return rc == 1 || vt_set_error(error, EIO, "%s: cannot look for what is on it", content->path);
}

static gboolean find_image(const Content *content, GPtrArray *names, GError **error)
{
  char head[4096];
  ssize_t n = pread(content->fd, head, sizeof head, 0);
  const char *format;

  if (n < 0)
    return vt_set_errno(error, errno, "%s: cannot look for what is on it", content->path);
  format = vt_image_format(content->fd, content->size, head, (gsize)n);
  if (strcmp(format, "raw") != 0)
    add_found(names, g_strdup_printf("a %s image", format));
  return TRUE;
}

/* Whether anything but zeros is in [offset, end) of the file. */
static gboolean has_data_in(const Content *content, off_t offset, off_t end, gboolean *has,
                            GError **error)
{
  g_autofree char *buffer = g_malloc(MIB);

  for (ssize_t n; offset < end && !*has; offset += n) {
    n = pread(content->fd, buffer, MIN((guint64)(end - offset), MIB), offset);
    if (n < 0)
      return vt_set_errno(error, errno, "%s: cannot read at offset %" G_GINT64_FORMAT,
                          content->path, (gint64)offset);
    if (n == 0)
      break;
    *has = buffer[0] != 0 || memcmp(buffer, buffer + 1, (gsize)n - 1) != 0;
  }
  return TRUE;
}

/* The same without reading holes. */
static gboolean has_data(const Content *content, guint64 offset, guint64 end, gboolean *has,
                         GError **error)
{
  for (off_t data = (off_t)offset; !*has && (guint64)data < end;) {
    off_t hole;

    data = lseek(content->fd, data, SEEK_DATA);
    if (data < 0 && errno == ENXIO) /* there is no more */
      return TRUE;
    hole = data < 0 ? -1 : lseek(content->fd, data, SEEK_HOLE);
    if (hole < 0)
      return vt_set_errno(error, errno, "%s: cannot look for what is on it", content->path);
    if (!has_data_in(content, data, (off_t)MIN((guint64)hole, end), has, error))
      return FALSE;
    data = hole;
  }
  return TRUE;
}

/* A metadata area whose label is not there, and only that, is what remains when the making of a VG
 * is cut short. */
static LvmRange find_remains(const Content *content)
{
  const char *paths[] = {content->path, NULL};
  g_autoptr(LvmProbe) probe = lvm_probe(paths, NULL, NULL, NULL);
  LvmDevice *device = probe->devices->len ? probe->devices->pdata[0] : NULL;
  LvmMetadataArea *area =
      device && !device->label && device->areas->len ? device->areas->pdata[0] : NULL;

  return area && area->usable ? (LvmRange){area->start, area->size} : (LvmRange){0};
}

static gboolean find_data(const Content *content, GPtrArray *names, GError **error)
{
  LvmRange remains = find_remains(content);
  gboolean has = FALSE;

  if (!has_data(content, 0, remains.offset, &has, error) ||
      !has_data(content, remains.offset + remains.size, content->size, &has, error))
    return FALSE;
  if (has)
    add_found(names, g_strdup("data of an unknown kind"));
  return TRUE;
}

static gboolean find_content(const Content *content, GPtrArray *names, GError **error)
{
  return !content->probe ||
         (find_marks(content, names, error) && find_image(content, names, error) &&
          (names->len > 0 || !content->is_file || find_data(content, names, error)));
}

/* Is @path a PV that no VG uses, and nothing but that? EEXIST: it is one of a VG, or may be. */
static gboolean check_not_used_pv(const char *path, GError **error)
{
  const char *paths[] = {path, NULL};
  g_autoptr(LvmProbe) probe = lvm_probe(paths, NULL, NULL, NULL);
  LvmDevice *device = probe->devices->len ? probe->devices->pdata[0] : NULL;

  if (device && device->identified && !device->label->used && probe->groups->len == 0 &&
      device->problems->len == 0)
    return TRUE;
  if (probe->groups->len)
    return vt_set_error(error, EEXIST, "%s is a physical volume of volume group %s already", path,
                        lvm_vg_name(((LvmGroup *)probe->groups->pdata[0])->vg));
  return vt_set_error(error, EEXIST,
                      "%s is a physical volume already; if it is not needed any more, wipe it with "
                      "wipefs -a %s, then --force takes it",
                      path, path);
}

static gboolean is_pv(GPtrArray *names)
{
  return names->len == 1 && strcmp(names->pdata[0], "LVM2_member") == 0;
}

gboolean lvm_content_check_free(const char *path, GError **error)
{
  g_auto(Content) content = {.fd = -1};
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *list = NULL;

  if (!content_open(&content, path, error) || !find_content(&content, names, error))
    return FALSE;
  if (names->len == 0)
    return TRUE;
  if (is_pv(names))
    return check_not_used_pv(path, error);
  g_ptr_array_add(names, NULL);
  list = g_strjoinv(" and ", (char **)names->pdata);
  return vt_set_error(
      error, EEXIST,
      "%s carries %s already; if that is not needed any more, --force (of virsh pool-build: "
      "--overwrite) takes it nevertheless",
      path, list);
}

gboolean lvm_content_check_unmarked(const char *path, GError **error)
{
  g_auto(Content) content = {.fd = -1};
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *list = NULL;

  if (!content_open(&content, path, error) ||
      (content.probe &&
       (!find_marks(&content, names, error) || !find_image(&content, names, error))))
    return FALSE;
  g_ptr_array_add(names, NULL);
  list = g_strjoinv(" and ", (char **)names->pdata);
  return names->len == 1 || vt_set_error(error, EEXIST, "%s", list);
}

static gboolean erase(VtIo *io, gboolean all, GError **error)
{
  guint64 size = vt_io_size(io), start = all ? size : MIN(size, MARKS_AT_START),
          end = MIN(size, MARKS_AT_END);

  return size == 0 ||
         (vt_io_zero(io, 0, start, VT_IO_ZERO_MAY_UNMAP, error) &&
          vt_io_zero(io, size - end, end, VT_IO_ZERO_MAY_UNMAP, error) && vt_io_flush(io, error));
}

gboolean lvm_content_clear(const char *path, GError **error)
{
  LvmDevice *device = lvm_device_open_locked(path, NULL, error);
  g_auto(Content) content = {.fd = -1};
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  gboolean ok;

  ok = device && content_open(&content, path, error) && find_content(&content, names, error) &&
       (!is_pv(names) || check_not_used_pv(path, error)) &&
       erase(device->io, content.is_file, error) && lvm_content_check_free(path, error);
  lvm_device_free(device);
  return ok;
}

/* --- is it a physical volume of its own? --- */

/* Parts of an array that the kernel's md assembles, also from a firmware's metadata. */
static gboolean is_md(const char *type)
{
  static const char *const types[] = {"linux_raid_member", "ddf_raid_member", "isw_raid_member",
                                      NULL};

  return g_strv_contains(types, type);
}

/* What an array's part carries beside the PV lies before the extents or behind them, and the PV,
 * made on the array, is smaller than the part. An old mark on a disk that is a PV as a whole is
 * nothing to lvm2, but for md's, which may have been put there to mirror the PV in place. */
static char *find_array(const Content *content, guint64 pv_size, const LvmRange *extents)
{
  gboolean smaller = pv_size / LVM_SECTOR < content->size / LVM_SECTOR;

  blkid_probe_enable_superblocks(content->probe, TRUE);
  blkid_probe_set_superblocks_flags(content->probe,
                                    BLKID_SUBLKS_TYPE | BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_BADCSUM);
  blkid_probe_filter_superblocks_usage(content->probe, BLKID_FLTR_ONLYIN, BLKID_USAGE_RAID);
  while (blkid_do_probe(content->probe) == 0) {
    const char *type = found_value(content, "TYPE"),
               *offset_text = found_value(content, "SBMAGIC_OFFSET");
    guint64 offset = offset_text ? g_ascii_strtoull(offset_text, NULL, 10) : 0;

    if (!type || strcmp(type, "LVM2_member") == 0 ||
        (offset >= extents->offset && offset - extents->offset < extents->size) ||
        !(smaller || is_md(type)))
      continue;
    return g_strdup_printf(
        "%s is a part of an array (%s), not a physical volume of its own: assemble the array (%s) "
        "and use that; if there is none any more, wipefs --all --types %s %s",
        content->path, type, is_md(type) ? "mdadm --assemble --scan" : "dmraid, drbdadm", type,
        content->path);
  }
  return NULL;
}

static gboolean has_attribute(const Content *content, const char *name)
{
  g_autofree char *path = g_strdup_printf("/sys/dev/block/%u:%u/%s", major(content->device),
                                          minor(content->device), name);

  return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* A DOS partition table with partitions, by the rules of lvm2's lib/device/dev-type.c. (A GPT has
 * its header where the label is.) */
static char *find_partitions(const Content *content)
{
  enum { TABLE = 446, ENTRY = 16, TYPE = 4, N_SECTORS = 12, PROTECTIVE = 0xee };
  guint8 sector[LVM_SECTOR];
  gboolean any = FALSE;

  if ((!content->is_file && has_attribute(content, "partition")) ||
      pread(content->fd, sector, sizeof sector, 0) != sizeof sector || sector[510] != 0x55 ||
      sector[511] != 0xaa)
    return NULL;
  for (const guint8 *entry = sector + TABLE; entry < sector + TABLE + 4 * ENTRY; entry += ENTRY) {
    if (entry[0] & 0x7f)
      return NULL;
    any |= memcmp(entry + N_SECTORS, "\0\0\0\0", 4) != 0 && entry[TYPE] != PROTECTIVE;
  }
  return any ? g_strdup_printf("%s is a disk with partitions, not a physical volume", content->path)
             : NULL;
}

/* What multipath's udev rules say of a path to a disk, whether or not the map is there by now. */
static char *find_multipath(const Content *content)
{
  g_autofree char *path = g_strdup_printf("/run/udev/data/b%u:%u", major(content->device),
                                          minor(content->device)),
                  *text = NULL;

  if (content->is_file || !g_file_get_contents(path, &text, NULL, NULL) ||
      !strstr(text, "E:DM_MULTIPATH_DEVICE_PATH=1\n"))
    return NULL;
  return g_strdup_printf("%s is a path of a multipath device: use that, below /dev/mapper",
                         content->path);
}

char *lvm_content_belongs_to(const char *path, guint64 pv_size, const LvmRange *extents)
{
  g_auto(Content) content = {.fd = -1};
  char *what;

  if (!content_open(&content, path, NULL) || !content.probe)
    return NULL;
  what = find_array(&content, pv_size, extents);
  if (!what)
    what = find_multipath(&content);
  return what ? what : find_partitions(&content);
}

/* --- where in it is one? --- */

/* lvm2 lib/label/label.h: in one of the first four sectors. */
static gboolean has_label(const Content *content, guint64 offset)
{
  for (guint i = 0; i < 4; i++) {
    char sector[LVM_SECTOR];

    if (pread(content->fd, sector, sizeof sector, (off_t)(offset + i * LVM_SECTOR)) ==
            sizeof sector &&
        memcmp(sector, "LABELONE", 8) == 0 && memcmp(sector + 24, "LVM2 001", 8) == 0)
      return TRUE;
  }
  return FALSE;
}

/* Of a block device the kernel has made its own of each partition. */
static void add_partition(GString *text, const Content *content, blkid_partition partition)
{
  guint64 offset = (guint64)blkid_partition_get_start(partition) * LVM_SECTOR,
          size = (guint64)blkid_partition_get_size(partition) * LVM_SECTOR;
  int number = blkid_partition_get_partno(partition);

  if (!has_label(content, offset))
    return;
  if (text->len)
    g_string_append(text, "; ");
  g_string_append_printf(text, "partition %d of %s is a physical volume: ", number, content->path);
  if (content->is_file)
    g_string_append_printf(text,
                           "losetup --find --show --offset %" G_GUINT64_FORMAT
                           " --sizelimit %" G_GUINT64_FORMAT
                           " %s makes it a block device, for --device",
                           offset, size, content->path);
  else
    g_string_append_printf(text,
                           "give that to --device; where it has no device of its own, partx "
                           "--add %s makes one",
                           content->path);
}

static char *find_in_image(const Content *content)
{
  char head[4096];
  ssize_t n = pread(content->fd, head, sizeof head, 0);
  const char *format = n > 0 ? vt_image_format(content->fd, content->size, head, (gsize)n) : "raw";

  return strcmp(format, "raw") == 0
             ? NULL
             : g_strdup_printf("%s is a %s image: what is in it shows after qemu-img convert -O "
                               "raw %s FILE",
                               content->path, format, content->path);
}

char *lvm_content_find_inside(const char *path)
{
  g_auto(Content) content = {.fd = -1};
  g_autoptr(GString) text = g_string_new(NULL);
  blkid_partlist partitions;

  if (!content_open(&content, path, NULL) || !content.probe)
    return NULL;
  blkid_probe_enable_partitions(content.probe, TRUE);
  blkid_probe_set_partitions_flags(content.probe, BLKID_PARTS_FORCE_GPT);
  partitions = blkid_probe_get_partitions(content.probe);
  for (int i = 0; partitions && i < blkid_partlist_numof_partitions(partitions); i++)
    add_partition(text, &content, blkid_partlist_get_partition(partitions, i));
  return text->len ? g_strdup(text->str) : content.is_file ? find_in_image(&content) : NULL;
}
