/* virt-thin - the bundled pool: handles of volumes that are open, through which I/O goes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A write that finds its pool full is tried again when the pool could grow (bundled/grow.c).
 */
#include "pool/bundled/bundled-private.h"

#include <string.h>

/* --- handles: I/O --- */

static BundledVolume *begin_io(PoolVolume *handle, GError **error)
{
  BundledVolume *volume = ((BundledHandle *)handle)->volume;

  pthread_rwlock_rdlock(&volume->lock);
  if (!volume->gone)
    return volume;
  pthread_rwlock_unlock(&volume->lock);
  vt_set_error(error, ENOENT, "volume %s was removed, or its volume group closed",
               bundled_volume_name(volume));
  return NULL;
}

static BundledVolume *begin_change(PoolVolume *handle, const char *what, GError **error)
{
  BundledHandle *h = (BundledHandle *)handle;
  BundledVolume *volume = begin_io(handle, error);

  if (!volume)
    return NULL;
  if (g_atomic_int_get(&h->read_only))
    vt_set_error(error, EROFS, "cannot %s volume %s: it is %s", what, bundled_volume_name(volume),
                 g_atomic_int_get(&volume->read_only) ? "read-only" : "open read-only");
  else if (!g_atomic_int_get(&volume->owner->lost))
    return volume;
  else
    vt_set_error(
        error, ESTALE,
        "cannot %s volume %s: somebody else moved the volume group's extents; stop the service",
        what, bundled_volume_name(volume));
  pthread_rwlock_unlock(&volume->lock);
  return NULL;
}

static gboolean end_io(BundledVolume *volume, gboolean ok)
{
  pthread_rwlock_unlock(&volume->lock);
  return ok;
}

static guint64 current_size(BundledVolume *volume)
{
  if (volume->thin)
    return thin_volume_size(volume->thin);
  return volume->io ? vt_io_size(volume->io) : volume->zeros;
}

static gboolean read_zeros(BundledVolume *volume, const struct iovec *iov, int n_iov,
                           guint64 offset, GError **error)
{
  guint64 length = 0;

  for (int i = 0; i < n_iov; i++)
    length += iov[i].iov_len;
  if (offset > volume->zeros || length > volume->zeros - offset)
    return vt_set_error(error, EINVAL,
                        "volume %s: cannot read beyond its end at %" G_GUINT64_FORMAT,
                        bundled_volume_name(volume), volume->zeros);
  for (int i = 0; i < n_iov; i++)
    memset(iov[i].iov_base, 0, iov[i].iov_len);
  return TRUE;
}

static gboolean handle_readv(PoolVolume *handle, const struct iovec *iov, int n_iov, guint64 offset,
                             GError **error)
{
  BundledVolume *volume = begin_io(handle, error);

  if (!volume)
    return FALSE;
  if (volume->thin)
    return end_io(volume, thin_volume_readv(volume->thin, iov, n_iov, offset, error));
  if (volume->io)
    return end_io(volume, vt_io_readv(volume->io, iov, n_iov, offset, error));
  return end_io(volume, read_zeros(volume, iov, n_iov, offset, error));
}

/* Of a change of a thin volume with its outcome: end it; or, TRUE, it is to be tried again, for its
 * pool has grown. */
static gboolean try_again(BundledVolume *volume, guint n_growths, gboolean *done, GError **failure,
                          GError **error)
{
  gboolean again = !*done && (*failure)->code == ENOSPC && bundled_make_room(volume, n_growths);

  pthread_rwlock_unlock(&volume->lock);
  if (again)
    g_clear_error(failure);
  else if (!*done)
    g_propagate_error(error, g_steal_pointer(failure));
  return again;
}

static gboolean handle_writev(PoolVolume *handle, const struct iovec *iov, int n_iov,
                              guint64 offset, GError **error)
{
  GError *failure = NULL;
  BundledVolume *volume;
  guint n_growths;
  gboolean done;

  do {
    volume = begin_change(handle, "write to", error);
    if (!volume)
      return FALSE;
    if (!volume->thin)
      return end_io(volume, vt_io_writev(volume->io, iov, n_iov, offset, error));
    n_growths = g_atomic_int_get(&volume->pool->n_growths);
    done = thin_volume_writev(volume->thin, iov, n_iov, offset, &failure);
  } while (try_again(volume, n_growths, &done, &failure, error));
  return done;
}

static gboolean handle_zero(PoolVolume *handle, guint64 offset, guint64 length, gboolean may_unmap,
                            GError **error)
{
  GError *failure = NULL;
  BundledVolume *volume;
  guint n_growths;
  gboolean done;

  do {
    volume = begin_change(handle, "zero part of", error);
    if (!volume)
      return FALSE;
    if (!volume->thin)
      return end_io(volume, vt_io_zero(volume->io, offset, length,
                                       may_unmap ? VT_IO_ZERO_MAY_UNMAP : 0, error));
    n_growths = g_atomic_int_get(&volume->pool->n_growths);
    done = thin_volume_zero(volume->thin, offset, length, may_unmap, &failure);
  } while (try_again(volume, n_growths, &done, &failure, error));
  return done;
}

static gboolean handle_discard(PoolVolume *handle, guint64 offset, guint64 length, GError **error)
{
  BundledVolume *volume = begin_change(handle, "discard part of", error);

  if (!volume)
    return FALSE;
  if (volume->thin)
    return end_io(volume, thin_volume_discard(volume->thin, offset, length, error));
  return end_io(volume, vt_io_discard(volume->io, offset, length, error));
}

/* Of a handle that cannot write there may be nothing to flush, but what others wrote through the
 * volume counts. */
static gboolean handle_flush(PoolVolume *handle, GError **error)
{
  BundledVolume *volume;

  if (g_atomic_int_get(&((BundledHandle *)handle)->volume->read_only))
    return TRUE;
  volume = begin_io(handle, error);
  if (!volume)
    return FALSE;
  if (g_atomic_int_get(&volume->owner->lost))
    return end_io(volume, vt_set_error(error, ESTALE,
                                       "cannot flush volume %s: somebody else moved the volume "
                                       "group's extents; stop the service",
                                       bundled_volume_name(volume)));
  if (volume->thin)
    return end_io(volume, thin_volume_flush(volume->thin, error));
  return end_io(volume, vt_io_flush(volume->io, error));
}

static gboolean flat_extent(BundledVolume *volume, guint64 offset, guint64 limit, guint64 *length,
                            gboolean *mapped, GError **error)
{
  guint64 size = current_size(volume);

  if (offset >= size)
    return vt_set_error(error, EINVAL,
                        "volume %s ends at %" G_GUINT64_FORMAT ", before %" G_GUINT64_FORMAT,
                        bundled_volume_name(volume), size, offset);
  *length = MIN(limit, size - offset);
  *mapped = volume->io != NULL;
  return TRUE;
}

static gboolean handle_extent(PoolVolume *handle, guint64 offset, guint64 limit, guint64 *length,
                              gboolean *mapped, GError **error)
{
  BundledVolume *volume = begin_io(handle, error);

  if (!volume)
    return FALSE;
  if (volume->thin)
    return end_io(volume, thin_volume_extent(volume->thin, offset, limit, length, mapped, error));
  return end_io(volume, flat_extent(volume, offset, limit, length, mapped, error));
}

/* --- handles: the rest --- */

static void handle_close(PoolVolume *handle)
{
  BundledHandle *h = (BundledHandle *)handle;
  BundledVolume *volume = h->volume;
  Bundled *b = volume->owner;

  if (b)
    bundled_lock(b);
  g_ptr_array_remove_fast(volume->handles, h);
  bundled_volume_put(volume);
  if (b)
    bundled_unlock(b);
  g_free(h->opener);
  g_free(h);
}

static const char *handle_name(PoolVolume *handle)
{
  return bundled_volume_name(((BundledHandle *)handle)->volume);
}

static guint64 handle_size(PoolVolume *handle)
{
  BundledVolume *volume = begin_io(handle, NULL);
  guint64 size;

  if (!volume)
    return 0;
  size = current_size(volume);
  end_io(volume, TRUE);
  return size;
}

static guint64 handle_chunk_size(PoolVolume *handle)
{
  return ((BundledHandle *)handle)->volume->chunk_size;
}

static gboolean handle_is_read_only(PoolVolume *handle)
{
  return g_atomic_int_get(&((BundledHandle *)handle)->read_only);
}

static const PoolVolumeOps handle_ops = {
    .close = handle_close,
    .name = handle_name,
    .size = handle_size,
    .chunk_size = handle_chunk_size,
    .is_read_only = handle_is_read_only,
    .readv = handle_readv,
    .writev = handle_writev,
    .zero = handle_zero,
    .discard = handle_discard,
    .flush = handle_flush,
    .extent = handle_extent,
};

static gboolean has_old_snapshot(Bundled *b, const char *name)
{
  LvmLv *lv = lvm_vg_find_lv(lvm_store_vg(b->store), name);

  return lv && lvm_lv_has_old_snapshot(lv);
}

static PoolVolume *open_handle(Bundled *b, const char *name, gboolean view, gboolean read_only,
                               const char *opener, GError **error)
{
  BundledHandle *handle = NULL;
  BundledVolume *volume;

  bundled_lock(b);
  volume = bundled_volume_get(b, name, error);
  if (volume && volume->read_only && !view && !read_only) {
    vt_set_error(
        error, EROFS, "cannot open volume %s/%s for writing: it is read-only%s", b->vg_name, name,
        b->read_only                ? ", as its volume group is open"
        : has_old_snapshot(b, name) ? ", because it has a snapshot that needs a copy of what is "
                                      "overwritten, which lvm2 and the kernel alone make"
                                    : "; make a clone of it, and write to that");
    bundled_volume_put(volume);
  } else if (volume) {
    handle = g_new0(BundledHandle, 1);
    handle->base.ops = &handle_ops;
    handle->volume = volume;
    handle->read_only = volume->read_only || read_only;
    handle->opener = view ? NULL : g_strdup(opener ? opener : "an unnamed user");
    g_ptr_array_add(volume->handles, handle);
  }
  bundled_unlock(b);
  return handle ? &handle->base : NULL;
}

PoolVolume *bundled_volume_open(VolumeGroup *group, const char *name, gboolean read_only,
                                const char *opener, GError **error)
{
  return open_handle((Bundled *)group, name, FALSE, read_only, opener, error);
}

PoolVolume *bundled_volume_open_view(VolumeGroup *group, const char *name, GError **error)
{
  return open_handle((Bundled *)group, name, TRUE, FALSE, NULL, error);
}
