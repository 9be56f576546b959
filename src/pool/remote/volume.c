/* virt-thin - a volume of a VG service, through the file it is in the service's FUSE folder
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Not a VtIo: that keeps the size a file had, while a volume's may change under us at any time.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/pool-private.h"
#include "pool/remote/remote-private.h"
#include "settings/settings.h"
#include "util/memory.h"

typedef struct {
  PoolVolume base;
  char *name; /* vg/lv, for messages */
  const char *lv;
  guint64 chunk_size;
  gboolean read_only;
  int fd;
} RemoteVolume;

static void remote_volume_close(PoolVolume *base)
{
  RemoteVolume *volume = (RemoteVolume *)base;

  close(volume->fd);
  g_free(volume->name);
  g_free(volume);
}

static const char *remote_volume_name(PoolVolume *base)
{
  return ((RemoteVolume *)base)->lv;
}

static guint64 remote_volume_size(PoolVolume *base)
{
  struct stat st;

  return fstat(((RemoteVolume *)base)->fd, &st) == 0 ? (guint64)st.st_size : 0;
}

static guint64 remote_volume_chunk_size(PoolVolume *base)
{
  return ((RemoteVolume *)base)->chunk_size;
}

static gboolean remote_volume_is_read_only(PoolVolume *base)
{
  return ((RemoteVolume *)base)->read_only;
}

static gboolean check_writable(RemoteVolume *volume, GError **error)
{
  return !volume->read_only ||
         vt_set_error(error, EROFS, "volume %s is open read-only", volume->name);
}

/* A file grows when written beyond its end; a volume does not. */
static gboolean check_range(RemoteVolume *volume, guint64 offset, guint64 length, GError **error)
{
  guint64 size = remote_volume_size(&volume->base);

  if (offset <= size && length <= size - offset)
    return TRUE;
  return vt_set_error(error, EINVAL,
                      "volume %s: %" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT
                      " reach beyond its end at %" G_GUINT64_FORMAT,
                      volume->name, length, offset, size);
}

typedef ssize_t (*VectorCall)(int fd, const struct iovec *iov, int n_iov, off_t offset);

/* Drop @done bytes from the front. */
static void advance(struct iovec **iov, int *n_iov, gsize done)
{
  while (*n_iov && done >= (*iov)->iov_len) {
    done -= (*iov)->iov_len;
    (*iov)++;
    (*n_iov)--;
  }
  if (*n_iov) {
    (*iov)->iov_base = (char *)(*iov)->iov_base + done;
    (*iov)->iov_len -= done;
  }
}

static gboolean transfer(RemoteVolume *volume, VectorCall call, const char *verb,
                         const struct iovec *iov, int n_iov, guint64 offset, GError **error)
{
  g_autofree struct iovec *copy = vt_memdup(iov, n_iov * sizeof *iov);
  struct iovec *left = copy;
  guint64 length = 0;

  for (int i = 0; i < n_iov; i++)
    length += iov[i].iov_len;
  if (!check_range(volume, offset, length, error))
    return FALSE;
  advance(&left, &n_iov, 0);
  while (n_iov) {
    ssize_t n = call(volume->fd, left, MIN(n_iov, IOV_MAX), (off_t)offset);

    if (n < 0 && errno != EINTR)
      return vt_set_errno(error, errno, "volume %s: cannot %s at offset %" G_GUINT64_FORMAT,
                          volume->name, verb, offset);
    if (n == 0)
      return vt_set_error(error, EIO,
                          "volume %s: cannot %s at offset %" G_GUINT64_FORMAT ": it ends there now",
                          volume->name, verb, offset);
    offset += MAX(n, 0);
    advance(&left, &n_iov, MAX(n, 0));
  }
  return TRUE;
}

static gboolean remote_volume_readv(PoolVolume *base, const struct iovec *iov, int n_iov,
                                    guint64 offset, GError **error)
{
  return transfer((RemoteVolume *)base, preadv, "read", iov, n_iov, offset, error);
}

static gboolean remote_volume_writev(PoolVolume *base, const struct iovec *iov, int n_iov,
                                     guint64 offset, GError **error)
{
  RemoteVolume *volume = (RemoteVolume *)base;

  return check_writable(volume, error) &&
         transfer(volume, pwritev, "write", iov, n_iov, offset, error);
}

static gboolean punch(RemoteVolume *volume, int mode, const char *verb, guint64 offset,
                      guint64 length, GError **error)
{
  if (!check_writable(volume, error) || !check_range(volume, offset, length, error))
    return FALSE;
  if (length == 0 ||
      fallocate(volume->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) == 0)
    return TRUE;
  return vt_set_errno(
      error, errno, "volume %s: cannot %s %" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT,
      volume->name, verb, length, offset);
}

static gboolean remote_volume_zero(PoolVolume *base, guint64 offset, guint64 length,
                                   gboolean may_unmap, GError **error)
{
  return punch((RemoteVolume *)base, may_unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE,
               "zero", offset, length, error);
}

static gboolean remote_volume_discard(PoolVolume *base, guint64 offset, guint64 length,
                                      GError **error)
{
  return punch((RemoteVolume *)base, FALLOC_FL_PUNCH_HOLE, "discard", offset, length, error);
}

static gboolean remote_volume_flush(PoolVolume *base, GError **error)
{
  RemoteVolume *volume = (RemoteVolume *)base;

  return fdatasync(volume->fd) == 0 ||
         vt_set_errno(error, errno, "volume %s: cannot flush", volume->name);
}

static gboolean remote_volume_extent(PoolVolume *base, guint64 offset, guint64 limit,
                                     guint64 *length, gboolean *mapped, GError **error)
{
  RemoteVolume *volume = (RemoteVolume *)base;
  guint64 size = remote_volume_size(base), end;
  off_t data;

  if (offset >= size)
    return vt_set_error(error, EINVAL,
                        "volume %s: offset %" G_GUINT64_FORMAT
                        " is beyond its end at %" G_GUINT64_FORMAT,
                        volume->name, offset, size);
  limit = MIN(limit, size - offset);
  data = lseek(volume->fd, (off_t)offset, SEEK_DATA);
  if (data < 0 && errno != ENXIO)
    return vt_set_errno(error, errno, "volume %s: looking for data at offset %" G_GUINT64_FORMAT,
                        volume->name, offset);
  *mapped = data >= 0 && (guint64)data <= offset;
  if (*mapped) {
    off_t hole = lseek(volume->fd, (off_t)offset, SEEK_HOLE);

    if (hole < 0)
      return vt_set_errno(error, errno,
                          "volume %s: looking for a hole at offset %" G_GUINT64_FORMAT,
                          volume->name, offset);
    end = (guint64)hole;
  } else {
    end = data >= 0 ? (guint64)data : size;
  }
  *length = MIN(end > offset ? end - offset : limit, limit);
  return TRUE;
}

static const PoolVolumeOps remote_volume_ops = {
    .close = remote_volume_close,
    .name = remote_volume_name,
    .size = remote_volume_size,
    .chunk_size = remote_volume_chunk_size,
    .is_read_only = remote_volume_is_read_only,
    .readv = remote_volume_readv,
    .writev = remote_volume_writev,
    .zero = remote_volume_zero,
    .discard = remote_volume_discard,
    .flush = remote_volume_flush,
    .extent = remote_volume_extent,
};

PoolVolume *pool_remote_volume_new(const char *vg, const char *name, gboolean read_only,
                                   guint64 chunk_size, GError **error)
{
  g_autofree char *folder = settings_vg_file(vg, "volumes");
  g_autofree char *path = g_build_filename(folder, name, NULL);
  RemoteVolume *volume;
  int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);

  if (fd < 0) {
    vt_set_errno(error, errno, "opening volume %s/%s as %s", vg, name, path);
    return NULL;
  }
  volume = g_new0(RemoteVolume, 1);
  volume->base.ops = &remote_volume_ops;
  volume->name = g_strdup_printf("%s/%s", vg, name);
  volume->lv = volume->name + strlen(vg) + 1;
  volume->chunk_size = chunk_size;
  volume->read_only = read_only;
  volume->fd = fd;
  return &volume->base;
}
