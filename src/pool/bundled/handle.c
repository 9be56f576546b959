/* virt-thin - the bundled pool: handles of volumes that are open, through which I/O goes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A write that finds its pool full is tried again when the pool could grow (bundled/grow.c).
 */
#include "pool/bundled/bundled-private.h"

#include <string.h>

#define BUSY_US 10000 /* between two looks at whether somebody is done who may be making room */

/* --- handles: I/O --- */

static BundledVolume *begin_io(VtIo *handle, GError **error)
{
  BundledVolume *volume = ((BundledHandle *)handle)->volume;

  pthread_rwlock_rdlock(&volume->lock);
  if (!volume->gone)
    return volume;
  pthread_rwlock_unlock(&volume->lock);
  vt_set_error(error, ENOENT, "volume %s was removed, or its volume group closed",
               vt_io_name(handle));
  return NULL;
}

/* Asked with its lock held: it may have become read-only since vt_io_*() looked. */
static BundledVolume *begin_change(VtIo *handle, const char *what, GError **error)
{
  BundledVolume *volume = begin_io(handle, error);

  if (!volume)
    return NULL;
  if (vt_io_is_read_only(handle))
    vt_set_error(error, EROFS, "cannot %s volume %s: it is read-only", what, vt_io_name(handle));
  else if (!g_atomic_int_get(&volume->owner->lost))
    return volume;
  else
    vt_set_error(
        error, ESTALE,
        "cannot %s volume %s: somebody else moved the volume group's extents; stop the service",
        what, vt_io_name(handle));
  pthread_rwlock_unlock(&volume->lock);
  return NULL;
}

static gboolean end_io(BundledVolume *volume, gboolean ok)
{
  pthread_rwlock_unlock(&volume->lock);
  return ok;
}

static gboolean handle_readv(VtIo *handle, const struct iovec *iov, int n_iov, guint64 offset,
                             GError **error)
{
  BundledVolume *volume = begin_io(handle, error);

  if (!volume)
    return FALSE;
  if (volume->thin)
    return end_io(volume, thin_volume_readv(volume->thin, iov, n_iov, offset, error));
  if (volume->io)
    return end_io(volume, vt_io_readv(volume->io, iov, n_iov, offset, error));
  for (int i = 0; i < n_iov; i++)
    memset(iov[i].iov_base, 0, iov[i].iov_len);
  return end_io(volume, TRUE);
}

/* Of a change of a thin volume with its outcome: end it; or, TRUE, it is to be tried again, for its
 * pool has grown. */
static gboolean try_again(BundledVolume *volume, guint n_growths, gboolean *done, GError **failure,
                          GError **error)
{
  gboolean busy = FALSE, again = !*done && g_error_matches(*failure, VT_ERROR, ENOSPC) &&
                                 bundled_make_room(volume, n_growths, &busy);

  pthread_rwlock_unlock(&volume->lock);
  if (busy) /* behind a slow disk that may take long */
    g_usleep(BUSY_US);
  if (again)
    g_clear_error(failure);
  else if (!*done)
    g_propagate_error(error, g_steal_pointer(failure));
  return again;
}

static gboolean handle_writev(VtIo *handle, const struct iovec *iov, int n_iov, guint64 offset,
                              GError **error)
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

static gboolean handle_zero(VtIo *handle, guint64 offset, guint64 length, VtIoZeroFlags flags,
                            GError **error)
{
  gboolean unmap = (flags & VT_IO_ZERO_MAY_UNMAP) != 0, done;
  GError *failure = NULL;
  BundledVolume *volume;
  guint n_growths;

  do {
    volume = begin_change(handle, "zero part of", error);
    if (!volume)
      return FALSE;
    if (!volume->thin)
      return end_io(volume, vt_io_zero(volume->io, offset, length, flags, error));
    n_growths = g_atomic_int_get(&volume->pool->n_growths);
    done = thin_volume_zero(volume->thin, offset, length, unmap, &failure);
  } while (try_again(volume, n_growths, &done, &failure, error));
  return done;
}

/* What is shared stays so: only a hole is filled. */
static gboolean handle_back(VtIo *handle, guint64 offset, guint64 length, GError **error)
{
  GError *failure = NULL;
  BundledVolume *volume;
  gboolean done;
  guint n_growths;

  do {
    volume = begin_change(handle, "allocate part of", error);
    if (!volume)
      return FALSE;
    if (!volume->thin)
      return end_io(volume, vt_io_back(volume->io, offset, length, error));
    n_growths = g_atomic_int_get(&volume->pool->n_growths);
    done = thin_volume_back(volume->thin, offset, length, &failure);
  } while (try_again(volume, n_growths, &done, &failure, error));
  return done;
}

static gboolean handle_discard(VtIo *handle, guint64 offset, guint64 length, GError **error)
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
static gboolean handle_flush(VtIo *handle, GError **error)
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
                                       vt_io_name(handle)));
  if (volume->thin)
    return end_io(volume, thin_volume_flush(volume->thin, error));
  return end_io(volume, vt_io_flush(volume->io, error));
}

static gboolean handle_extent(VtIo *handle, guint64 offset, guint64 limit, guint64 *length,
                              gboolean *mapped, GError **error)
{
  BundledVolume *volume = begin_io(handle, error);

  if (!volume)
    return FALSE;
  if (volume->thin)
    return end_io(volume, thin_volume_extent(volume->thin, offset, limit, length, mapped, error));
  *length = limit;
  *mapped = volume->io != NULL;
  return end_io(volume, TRUE);
}

/* --- handles: the rest --- */

static void handle_free(VtIo *handle)
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

static guint64 handle_size(VtIo *handle)
{
  return __atomic_load_n(&((BundledHandle *)handle)->volume->size, __ATOMIC_RELAXED);
}

static const VtIoOps handle_ops = {
    .readv = handle_readv,
    .writev = handle_writev,
    .zero = handle_zero,
    .discard = handle_discard,
    .back = handle_back,
    .flush = handle_flush,
    .extent = handle_extent,
    .size = handle_size,
    .free = handle_free,
};

static VtIo *handle_new(BundledVolume *volume, gboolean read_only, const char *opener)
{
  BundledHandle *handle = g_new0(BundledHandle, 1);
  g_autofree char *name = g_strdup_printf("%s/%s", volume->owner->vg_name, volume->name);

  vt_io_init(&handle->io, &handle_ops, name, volume->read_only || read_only);
  handle->io.chunk_size = volume->chunk_size;
  handle->volume = volume;
  handle->opener = g_strdup(opener);
  g_ptr_array_add(volume->handles, handle);
  return &handle->io;
}

static gboolean has_old_snapshot(Bundled *b, const char *name)
{
  LvmLv *lv = lvm_vg_find_lv(lvm_store_vg(b->store), name);

  return lv && lvm_lv_has_old_snapshot(lv);
}

static VtIo *open_handle(Bundled *b, const char *name, gboolean view, gboolean read_only,
                         const char *opener, GError **error)
{
  BundledVolume *volume;
  VtIo *handle = NULL;

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
    handle = handle_new(volume, read_only, view ? NULL : opener ? opener : "an unnamed user");
  }
  bundled_unlock(b);
  return handle;
}

VtIo *bundled_volume_open(VolumeGroup *group, const char *name, gboolean read_only,
                          const char *opener, GError **error)
{
  return open_handle((Bundled *)group, name, FALSE, read_only, opener, error);
}

VtIo *bundled_volume_open_view(VolumeGroup *group, const char *name, GError **error)
{
  return open_handle((Bundled *)group, name, TRUE, FALSE, NULL, error);
}
