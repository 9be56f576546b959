/* virt-thin - a backup as a tar archive, for a pipe
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "backup/tar.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "image/interrupt.h"

#define BLOCK 512
#define MAX_NAME 4096 /* of a long one */

typedef struct {
  char name[100], mode[8], uid[8], gid[8], size[12], time[12], sum[8], type, link[100], magic[6],
      version[2], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
} Header;
G_STATIC_ASSERT(sizeof(Header) == BLOCK);

static const char zeros[BLOCK];

static gboolean write_all(int fd, const void *data, gsize length, GError **error)
{
  const char *at = data;

  while (length > 0) {
    gssize n = write(fd, at, length);

    if (n < 0 && errno != EINTR)
      return vt_set_errno(error, errno, "writing the archive");
    if (!image_check_interrupt(error))
      return FALSE;
    if (n > 0) {
      at += n;
      length -= (gsize)n;
    }
  }
  return TRUE;
}

static gboolean read_all(int fd, void *data, gsize length, GError **error)
{
  char *at = data;

  while (length > 0) {
    gssize n = read(fd, at, length);

    if (n < 0 && errno != EINTR)
      return vt_set_errno(error, errno, "reading the archive");
    if (!image_check_interrupt(error))
      return FALSE;
    if (n == 0)
      return vt_set_error(error, EBADMSG, "the archive is cut off");
    if (n > 0) {
      at += n;
      length -= (gsize)n;
    }
  }
  return TRUE;
}

static guint sum_of(const Header *header)
{
  const guchar *bytes = (const guchar *)header;
  guint sum = 0;

  for (gsize i = 0; i < BLOCK; i++)
    sum += i >= offsetof(Header, sum) && i < offsetof(Header, type) ? ' ' : bytes[i];
  return sum;
}

/* Octal with a NUL behind it; beyond that GNU's: a set bit, and a big-endian number. */
static void put_number(char *field, gsize length, guint64 value)
{
  g_autofree char *octal = g_strdup_printf("%0*" G_GINT64_MODIFIER "o", (int)length - 1, value);

  if (strlen(octal) < length) {
    memcpy(field, octal, length - 1);
    return;
  }
  for (gsize i = 0; i < length; i++, value >>= 8)
    field[length - 1 - i] = (char)value;
  field[0] |= (char)0x80;
}

static gboolean write_one(int fd, const char *name, char type, guint64 size, gint64 time,
                          GError **error)
{
  Header header = {.mode = "0000600",
                   .uid = "0000000",
                   .gid = "0000000",
                   .magic = "ustar ",
                   .version = " ",
                   .type = type};
  g_autofree char *sum = NULL;

  memcpy(header.name, name, MIN(strlen(name), sizeof header.name));
  if (type == '5')
    memcpy(header.mode, "0000700", 8);
  put_number(header.size, sizeof header.size, size);
  put_number(header.time, sizeof header.time, (guint64)time);
  sum = g_strdup_printf("%06o", sum_of(&header));
  memcpy(header.sum, sum, 7);
  header.sum[7] = ' ';
  return write_all(fd, &header, sizeof header, error);
}

gboolean backup_tar_write_header(int fd, const char *name, guint64 size, gint64 time,
                                 GError **error)
{
  gsize length = strlen(name);
  gboolean folder = size == G_MAXUINT64;

  if (length > sizeof((Header *)NULL)->name &&
      !(write_one(fd, "././@LongLink", 'L', length + 1, 0, error) &&
        write_all(fd, name, length + 1, error) && backup_tar_pad(fd, length + 1, error)))
    return FALSE;
  return write_one(fd, name, folder ? '5' : '0', folder ? 0 : size, time, error);
}

gboolean backup_tar_pad(int fd, guint64 size, GError **error)
{
  return size % BLOCK == 0 || write_all(fd, zeros, BLOCK - size % BLOCK, error);
}

gboolean backup_tar_write_file(int fd, const char *name, const char *data, gsize length,
                               gint64 time, GError **error)
{
  return backup_tar_write_header(fd, name, length, time, error) &&
         write_all(fd, data, length, error) && backup_tar_pad(fd, length, error);
}

gboolean backup_tar_end(int fd, GError **error)
{
  return write_all(fd, zeros, BLOCK, error) && write_all(fd, zeros, BLOCK, error);
}

/* --- reading --- */

static gboolean get_number(const char *field, gsize length, guint64 *value)
{
  *value = 0;
  if (field[0] & 0x80) {
    for (gsize i = 0; i < length; i++) {
      guint digit = (guchar)field[i] & (i == 0 ? 0x7f : 0xff);

      if (*value >> 56)
        return FALSE;
      *value = *value << 8 | digit;
    }
    return TRUE;
  }
  for (gsize i = 0; i < length && field[i] && field[i] != ' '; i++) {
    if (field[i] < '0' || field[i] > '7')
      return FALSE;
    *value = *value << 3 | (guint64)(field[i] - '0');
  }
  return TRUE;
}

static gboolean read_block(int fd, Header *header, guint64 *size, gboolean *end, GError **error)
{
  guint64 sum;

  if (!read_all(fd, header, sizeof *header, error))
    return FALSE;
  *end = memcmp(header, zeros, BLOCK) == 0;
  if (*end)
    return TRUE;
  if (!get_number(header->sum, sizeof header->sum - 1, &sum) || sum != sum_of(header) ||
      !get_number(header->size, sizeof header->size, size) || *size > G_MAXINT64)
    return vt_set_error(error, EBADMSG, "the archive is damaged, or no tar archive");
  return TRUE;
}

static gboolean read_long_name(int fd, guint64 size, char **name, GError **error)
{
  if (size == 0 || size > MAX_NAME)
    return vt_set_error(error, EBADMSG,
                        "the archive is damaged: a name of %" G_GUINT64_FORMAT " bytes", size);
  g_free(*name);
  *name = g_malloc0(size + 1);
  return read_all(fd, *name, size, error) && backup_tar_skip_pad(fd, size, error);
}

gboolean backup_tar_read_header(int fd, char **name, guint64 *size, GError **error)
{
  g_autofree char *full = NULL;
  gboolean end = FALSE;
  Header header;

  *name = NULL;
  while (read_block(fd, &header, size, &end, error)) {
    if (end)
      return TRUE;
    if (header.type == 'L') {
      if (!read_long_name(fd, *size, &full, error))
        return FALSE;
      continue;
    }
    if (header.type == '5' && *size == 0) {
      g_clear_pointer(&full, g_free);
      continue;
    }
    if (header.type != '0' && header.type != 0)
      return vt_set_error(error, EBADMSG,
                          "the archive has what is no file: it was not made by virt-thin backup, "
                          "nor by tar --format=gnu");
    if (!full)
      full = g_strndup(header.name, sizeof header.name);
    *name = g_path_get_basename(full);
    return TRUE;
  }
  return FALSE;
}

gboolean backup_tar_skip_pad(int fd, guint64 size, GError **error)
{
  char rest[BLOCK];

  return size % BLOCK == 0 || read_all(fd, rest, BLOCK - size % BLOCK, error);
}
