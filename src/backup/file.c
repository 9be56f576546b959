/* virt-thin - a file of a backup, written or read once from its beginning to its end
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "backup/file.h"

#include <string.h>
#include <unistd.h>

#include "image/interrupt.h"
#include "util/memory.h"

static const char zeros[BACKUP_BLOCK];

/* --- writing --- */

void backup_out_begin(BackupOut *out, int fd, const char *name, gboolean holes, gboolean data_only)
{
  *out = (BackupOut){fd, name, holes, data_only, backup_sum_new(data_only), NULL, 0};
}

static gboolean write_all(BackupOut *out, const char *data, gsize length, guint64 offset,
                          GError **error)
{
  while (length > 0) {
    gssize n =
        out->holes ? pwrite(out->fd, data, length, (off_t)offset) : write(out->fd, data, length);

    if (n < 0 && errno != EINTR)
      return vt_set_errno(error, errno, "writing %s", out->name);
    if (!image_check_interrupt(error))
      return FALSE;
    if (n > 0) {
      data += n;
      length -= (gsize)n;
      offset += (guint64)n;
    }
  }
  return TRUE;
}

/* Whole blocks of zeros are left out, those that follow one another at once. */
static gboolean write_sparse(BackupOut *out, const char *data, gsize length, guint64 offset,
                             GError **error)
{
  for (gsize done = 0, end; done < length; done = end) {
    gboolean zero = vt_is_zero(data + done, MIN(length - done, BACKUP_BLOCK));

    for (end = done; end < length; end += MIN(length - end, BACKUP_BLOCK))
      if (vt_is_zero(data + end, MIN(length - end, BACKUP_BLOCK)) != zero)
        break;
    if (!zero && !write_all(out, data + done, end - done, offset + done, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean write_part(BackupOut *out, const char *data, gsize length, guint64 offset,
                           GError **error)
{
  return out->holes ? write_sparse(out, data, length, offset, error)
                    : write_all(out, data, length, offset, error);
}

gboolean backup_out_write(BackupOut *out, const void *data, gsize length, GError **error)
{
  if (length == 0)
    return TRUE;
  if ((out->writer && !vt_worker_finish(out->writer, error)) ||
      !write_part(out, data, length, out->offset, error))
    return FALSE;
  backup_sum_add(out->sum, out->offset, data, length);
  out->offset += length;
  return image_check_interrupt(error);
}

typedef struct {
  const char *data;
  gsize length;
  guint64 offset;
} Piece;

/* A VtWork of a BackupOut. */
static gboolean write_piece(gconstpointer item, gpointer user_data, GError **error)
{
  const Piece *piece = item;

  return write_part(user_data, piece->data, piece->length, piece->offset, error);
}

/* Who writes to a pipe is to be interrupted by a signal: that is not done beside. */
char *backup_out_buffer(BackupOut *out)
{
  return backup_sum_buffer(out->sum);
}

gboolean backup_out_write_buffer(BackupOut *out, gsize length, GError **error)
{
  const Piece piece = {backup_sum_buffer(out->sum), length, out->offset};

  if (out->holes && !out->writer)
    out->writer = vt_worker_new(write_piece, out, sizeof piece, BACKUP_PIECES - 1);
  backup_sum_add_buffer(out->sum, out->offset, length);
  out->offset += length;
  return (out->writer ? vt_worker_push(out->writer, &piece, error)
                      : write_piece(&piece, out, error)) &&
         image_check_interrupt(error);
}

gboolean backup_out_zeros(BackupOut *out, guint64 length, GError **error)
{
  if (out->holes && out->data_only) {
    out->offset += length;
    return TRUE;
  }
  for (gsize n; length > 0; length -= n) {
    n = (gsize)MIN(length, sizeof zeros);
    if (!backup_out_write(out, zeros, n, error))
      return FALSE;
  }
  return TRUE;
}

gboolean backup_out_end(BackupOut *out, char **checksum, GError **error)
{
  if (out->writer && !vt_worker_finish(out->writer, error))
    return FALSE;
  if (out->holes && ftruncate(out->fd, (off_t)out->offset) < 0)
    return vt_set_errno(error, errno, "writing %s", out->name);
  if (out->holes && fsync(out->fd) < 0)
    return vt_set_errno(error, errno, "writing %s", out->name);
  *checksum = backup_sum_end(g_steal_pointer(&out->sum));
  return TRUE;
}

void backup_out_clear(BackupOut *out)
{
  g_clear_pointer(&out->writer, vt_worker_free);
  g_clear_pointer(&out->sum, backup_sum_free);
}

/* --- reading --- */

void backup_in_begin(BackupIn *in, int fd, const char *name, guint64 size, gboolean in_file,
                     gboolean data_only)
{
  *in = (BackupIn){fd, name, size, in_file, data_only, backup_sum_new(data_only), 0};
}

static gboolean read_part(BackupIn *in, char *at, gsize length, GError **error)
{
  if (length > in->size - in->offset)
    return vt_set_error(error, EBADMSG, "%s is damaged: it refers to what is behind its end",
                        in->name);
  for (gsize left = length; left > 0;) {
    gssize n = in->in_file ? pread(in->fd, at, left, (off_t)(in->offset + (length - left)))
                           : read(in->fd, at, left);

    if (n < 0 && errno != EINTR)
      return vt_set_errno(error, errno, "reading %s", in->name);
    if (!image_check_interrupt(error))
      return FALSE;
    if (n == 0)
      return vt_set_error(error, EBADMSG, "%s is cut off", in->name);
    if (n > 0) {
      at += n;
      left -= (gsize)n;
    }
  }
  in->offset += length;
  return TRUE;
}

gboolean backup_in_read(BackupIn *in, void *data, gsize length, GError **error)
{
  guint64 offset = in->offset;

  if (!read_part(in, data, length, error))
    return FALSE;
  backup_sum_add(in->sum, offset, data, length);
  return TRUE;
}

gboolean backup_in_read_buffer(BackupIn *in, const char **data, gsize length, GError **error)
{
  guint64 offset = in->offset;
  char *buffer = backup_sum_buffer(in->sum);

  if (!read_part(in, buffer, length, error))
    return FALSE;
  backup_sum_add_buffer(in->sum, offset, length);
  *data = buffer;
  return TRUE;
}

gboolean backup_in_skip(BackupIn *in, guint64 length, GError **error)
{
  g_autofree char *buffer = g_malloc(BACKUP_BLOCK);

  for (gsize n; length > 0; length -= n) {
    n = (gsize)MIN(length, BACKUP_BLOCK);
    if (!backup_in_read(in, buffer, n, error))
      return FALSE;
  }
  return TRUE;
}

gboolean backup_in_next_data(BackupIn *in, GError **error)
{
  off_t at;

  if (!in->in_file || !in->data_only)
    return TRUE;
  at = lseek(in->fd, (off_t)in->offset, SEEK_DATA);
  if (at < 0 && errno == ENXIO)
    at = (off_t)in->size;
  if (at > (off_t)in->offset)
    in->offset = MIN((guint64)at & ~(guint64)(BACKUP_BLOCK - 1), in->size);
  if (at >= (off_t)in->size)
    in->offset = in->size;
  return TRUE;
}

char *backup_in_end(BackupIn *in)
{
  return backup_sum_end(g_steal_pointer(&in->sum));
}

void backup_in_clear(BackupIn *in)
{
  g_clear_pointer(&in->sum, backup_sum_free);
}
