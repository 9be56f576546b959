/* virt-thin - formats of disk images other than raw: recognising one, and what an image refers to
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/image-format.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"
#include "util/memory.h"

const char *vt_image_format(int fd, guint64 size, const char *head, gsize head_length)
{
  static const struct {
    gsize offset;
    const char *magic;
    gsize length;
    const char *format;
  } table[] = {
      {0, "QFI\xfb\0\0\0\1", 8, "qcow"},
      {0, "QFI\xfb", 4, "qcow2"},
      {0, "QED\0", 4, "qed"},
      {0, "KDMV", 4, "vmdk"},
      {0, "COWD", 4, "vmdk"},
      {0, "# Disk DescriptorFile", 21, "vmdk"},
      {0x40, "\x7f\x10\xda\xbe", 4, "vdi"},
      {0, "vhdxfile", 8, "vhdx"},
      {0, "conectix", 8, "vpc"},
      {0, "WithoutFreeSpace", 16, "parallels"},
      {0, "WithouFreSpacExt", 16, "parallels"},
      {0, "Bochs Virtual HD Image", 22, "bochs"},
  };
  char tail[8];

  for (gsize i = 0; i < G_N_ELEMENTS(table); i++)
    if (head_length >= table[i].offset + table[i].length &&
        memcmp(head + table[i].offset, table[i].magic, table[i].length) == 0)
      return table[i].format;
  /* A VHD of fixed size has its mark in the last sector. */
  if (size >= 512 && pread(fd, tail, sizeof tail, (off_t)(size - 512)) == sizeof tail &&
      memcmp(tail, "conectix", 8) == 0)
    return "vpc";
  return "raw";
}

gboolean vt_image_is_named(const char *name, const char *format)
{
  static const struct {
    const char *suffix, *format;
  } table[] = {
      {".raw", "raw"},
      {".qcow2", "qcow2"},
      {".qcow", "qcow2"},
      {".qcow", "qcow"},
      {".qed", "qed"},
      {".vmdk", "vmdk"},
      {".vdi", "vdi"},
      {".vhdx", "vhdx"},
      {".vhd", "vpc"},
      {".vpc", "vpc"},
      {".hdd", "parallels"},
      {".hds", "parallels"},
      {".parallels", "parallels"},
      {".bochs", "bochs"},
  };
  g_autofree char *lower = g_ascii_strdown(name, -1);

  for (gsize i = 0; i < G_N_ELEMENTS(table); i++)
    if (g_str_has_suffix(lower, table[i].suffix) &&
        (format ? strcmp(table[i].format, format) == 0 : strcmp(table[i].format, "raw") != 0))
      return TRUE;
  return FALSE;
}

/* --- looking into one --- */

/* With zeros behind the file's end. */
typedef struct {
  guchar head[512];
  char text[20 * 512 +
            1]; /* behind that: where QEMU looks for a descriptor in an image of VMware's */
} Image;

static const char *const base = "an image that it is based on";

/* Each says what the image refers to; NULL: nothing. */

/* Also of version 1: backing_file_offset. Version 3: incompatible_features, external data file. */
static const char *refers_qcow2(const Image *image)
{
  if (!vt_is_zero(image->head + 8, 8))
    return base;
  return image->head[7] >= 3 && image->head[79] & 4 ? "an external data file" : NULL;
}

static const char *refers_qcow(const Image *image)
{
  return vt_is_zero(image->head + 8, 8) ? NULL : base;
}

/* QED_F_BACKING_FILE */
static const char *refers_qed(const Image *image)
{
  return image->head[16] & 1 ? base : NULL;
}

/* A descriptor alone, and what QEMU takes for that, as its capacity is 0. */
static const char *refers_vmdk(const Image *image)
{
  if (image->head[0] == '#' || (image->head[0] == 'K' && vt_is_zero(image->head + 12, 8)))
    return "a file of extents";
  return strstr(image->text, "parentFileNameHint") ? base : NULL;
}

/* Has it a parent that QEMU does not look for, and takes for zeros? Disk Type: differencing; a
 * parent's content id alone.
 */
static gboolean is_orphan(const Image *image, const char *format)
{
  const char *parent = strstr(image->text, "parentCID");
  guint id;

  if (strcmp(format, "vpc") == 0)
    return memcmp(image->head, "conectix", 8) == 0 && image->head[63] == 4;
  return strcmp(format, "vmdk") == 0 && parent && !strstr(image->text, "parentFileNameHint") &&
         sscanf(parent, "parentCID = %x", &id) == 1 && id != G_MAXUINT32;
}

/* The formats whose files QEMU reads alone, but for what is looked for here: of VDI and VHDX it
 * refuses what has a parent, and the others know no such thing. */
static const struct {
  const char *format;
  const char *(*refers)(const Image *image);
} formats[] = {
    {"qcow2", refers_qcow2}, {"qcow", refers_qcow}, {"qed", refers_qed},
    {"vmdk", refers_vmdk},   {"vpc", NULL},         {"vhdx", NULL},
    {"vdi", NULL},           {"parallels", NULL},   {"bochs", NULL},
};

static gboolean find_format(const char *name, const char *format, gsize *found, GError **error)
{
  for (*found = 0; *found < G_N_ELEMENTS(formats); ++*found)
    if (strcmp(formats[*found].format, format) == 0)
      return TRUE;
  return vt_set_error(
      error, EINVAL,
      "%s: format %s is none that virt-thin reads: raw, qcow2, qcow, qed, vmdk, vpc, vhdx, vdi, "
      "parallels or bochs",
      name, format);
}

gboolean vt_image_check(int fd, const char *name, const char *format, gboolean alone,
                        GError **error)
{
  Image image = {0};
  off_t at = lseek(fd, 0, SEEK_CUR), size = lseek(fd, 0, SEEK_END);
  ssize_t n = pread(fd, image.head, sizeof image.head, 0);
  ssize_t behind = pread(fd, image.text, sizeof image.text - 1, sizeof image.head);
  const char *what;
  gsize i;

  if (!find_format(name, format, &i, error))
    return FALSE;
  if (n < 0 || behind < 0 || size < 0 || lseek(fd, at, SEEK_SET) < 0)
    return vt_set_errno(error, errno, "%s", name);
  if (strcmp(vt_image_format(fd, (guint64)size, (const char *)image.head, (gsize)n), format) != 0)
    return vt_set_error(error, EINVAL, "%s is no image of format %s", name, format);
  if (is_orphan(&image, format))
    return vt_set_error(error, EINVAL, "%s is based on another image, which QEMU does not read",
                        name);
  what = alone && formats[i].refers ? formats[i].refers(&image) : NULL;
  return !what || vt_set_error(error, EOPNOTSUPP, "%s refers to another file, %s", name, what);
}

/* crypt_method */
gboolean vt_image_is_encrypted(int fd, const char *format)
{
  guchar head[40];
  gboolean first = strcmp(format, "qcow") == 0;

  return (first || strcmp(format, "qcow2") == 0) &&
         pread(fd, head, sizeof head, 0) == sizeof head && memcmp(head, "QFI\xfb", 4) == 0 &&
         !vt_is_zero(head + (first ? 36 : 32), 4);
}

char *vt_image_qemu_name(int fd)
{
  struct stat st;
  gboolean device = fstat(fd, &st) == 0 && S_ISBLK(st.st_mode);

  return g_strdup_printf(
      "json:{\"backing\":null,\"file\":{\"driver\":\"%s\",\"filename\":\"/proc/self/fd/%d\"}}",
      device ? "host_device" : "file", fd);
}
