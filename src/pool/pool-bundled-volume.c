/* virt-thin - the bundled pool: volumes opened for I/O
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A BundledVolume is an LV that is open, once, however many handles there are. I/O takes its lock for reading and
 * nothing else; what takes the device behind it away (removal) takes that for writing. Rollback and resize need no such
 * thing: the engine quiesces its volume by itself.
 */
#include "pool/pool-bundled.h"

#include <string.h>

/* --- the shared volume --- */

static const char *volume_name(BundledVolume *volume)
{
  return g_atomic_pointer_get(&volume->name);
}

static void set_name(BundledVolume *volume, const char *name)
{
  g_ptr_array_add(volume->names, g_strdup(name));
  g_atomic_pointer_set(&volume->name, volume->names->pdata[volume->names->len - 1]);
}

static BundledVolume *volume_new(Bundled *b, LvmLv *lv)
{
  BundledVolume *volume = g_new0(BundledVolume, 1);
  pthread_rwlockattr_t attr;

  /* A removal must not wait for ever behind readers that come and go. */
  pthread_rwlockattr_init(&attr);
  pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_init(&volume->lock, &attr);
  pthread_rwlockattr_destroy(&attr);
  volume->owner = b;
  volume->refs = 1;
  volume->names = g_ptr_array_new_with_free_func(g_free);
  volume->handles = g_ptr_array_new();
  volume->read_only = b->read_only || !lvm_lv_is_writable(lv);
  set_name(volume, lvm_lv_name(lv));
  return volume;
}

static void close_devices(BundledVolume *volume)
{
  if (volume->thin)
    thin_volume_close(volume->thin);
  volume->thin = NULL;
  if (volume->private_thin)
    thin_pool_close(volume->private_thin, NULL);
  volume->private_thin = NULL;
  if (volume->io)
    vt_io_unref(volume->io);
  volume->io = NULL;
}

static void volume_free(BundledVolume *volume)
{
  close_devices(volume);
  pthread_rwlock_destroy(&volume->lock);
  g_ptr_array_unref(volume->names);
  g_ptr_array_unref(volume->handles);
  g_free(volume);
}

/* Read-only, and the volume's creation is still a message to the pool: what it will hold is its origin's content. That
 * device may be open already, and an engine opens a device once; so this one reads through an engine of its own, which
 * is cheap, and rare. */
static gboolean open_pending(Bundled *b, BundledVolume *volume, LvmLv *lv, GError **error)
{
  const ThinOptions options = {.read_only = TRUE, .block_cache = 1u << 20, .translations = 1024};
  const char *name = lvm_thin_origin(lv);
  LvmLv *origin = name ? lvm_vg_find_lv(lvm_store_vg(b->store), name) : NULL;

  if (!origin) {
    volume->zeros = lvm_lv_size(lv);
    return TRUE;
  }
  volume->private_thin = thin_pool_open(volume->pool->metadata, volume->pool->data, &options, error);
  if (volume->private_thin)
    volume->thin = thin_volume_open(volume->private_thin, lvm_thin_device(origin), lvm_lv_size(lv), TRUE, error);
  return volume->thin != NULL;
}

static gboolean is_pending(Bundled *b, LvmLv *lv)
{
  g_autoptr(GArray) messages = lvm_pool_messages(lvm_vg_find_lv(lvm_store_vg(b->store), lvm_thin_pool(lv)));

  for (guint i = 0; i < messages->len; i++)
    if (!g_strcmp0(g_array_index(messages, LvmMessage, i).create, lvm_lv_name(lv)))
      return TRUE;
  return FALSE;
}

static gboolean open_thin_volume(Bundled *b, BundledVolume *volume, LvmLv *lv, GError **error)
{
  ThinDevice device;

  volume->pool = bundled_usable_pool(b, lvm_thin_pool(lv), error);
  if (!volume->pool)
    return FALSE;
  volume->chunk_size = lvm_pool_chunk_size(lvm_vg_find_lv(lvm_store_vg(b->store), volume->pool->name));
  if (lvm_thin_external_origin(lv))
    return vt_set_error(error, EOPNOTSUPP, "it has the external origin %s, which virt-thin does not read",
                        lvm_thin_external_origin(lv));
  if (b->read_only && is_pending(b, lv) &&
      !thin_pool_get_device(volume->pool->thin, lvm_thin_device(lv), &device, NULL))
    return open_pending(b, volume, lv, error);
  volume->thin = thin_volume_open(volume->pool->thin, lvm_thin_device(lv), lvm_lv_size(lv), volume->read_only, error);
  return volume->thin != NULL;
}

static gboolean open_devices(Bundled *b, BundledVolume *volume, LvmLv *lv, GError **error)
{
  gboolean ok;

  if (lvm_lv_kind(lv) == LVM_LV_THIN)
    ok = open_thin_volume(b, volume, lv, error);
  else
    ok = (volume->io = lvm_store_open_lv(b->store, lvm_lv_name(lv), volume->read_only, error)) != NULL;
  if (!ok) {
    close_devices(volume);
    g_prefix_error(error, "cannot open volume %s/%s: ", b->vg_name, lvm_lv_name(lv));
  }
  return ok;
}

BundledVolume *bundled_volume_get(Bundled *b, const char *name, GError **error)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);
  LvmLv *lv;

  if (volume) {
    volume->refs++;
    return volume;
  }
  lv = bundled_find_volume(b, lvm_store_vg(b->store), name, error);
  if (!lv)
    return NULL;
  volume = volume_new(b, lv);
  if (!open_devices(b, volume, lv, error)) {
    volume_free(volume);
    return NULL;
  }
  g_hash_table_insert(b->volumes, (gpointer)volume->name, volume);
  return volume;
}

void bundled_volume_put(BundledVolume *volume)
{
  if (--volume->refs > 0)
    return;
  if (volume->owner && g_hash_table_lookup(volume->owner->volumes, volume->name) == volume)
    g_hash_table_remove(volume->owner->volumes, volume->name);
  volume_free(volume);
}

/* --- what administration does to it; under Bundled.lock --- */

char *bundled_volume_openers(Bundled *b, const char *name)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);
  GString *openers = NULL;

  for (guint i = 0; volume && i < volume->handles->len; i++) {
    BundledHandle *handle = volume->handles->pdata[i];

    if (!handle->opener)
      continue;
    if (!openers)
      openers = g_string_new(handle->opener);
    else
      g_string_append_printf(openers, ", %s", handle->opener);
  }
  return openers ? g_string_free(openers, FALSE) : NULL;
}

/* Its lock stays taken until bundled_volume_attach() or bundled_volume_gone(): I/O waits for what becomes of it. */
void bundled_volume_detach(Bundled *b, const char *name)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);

  if (!volume)
    return;
  pthread_rwlock_wrlock(&volume->lock);
  close_devices(volume);
}

gboolean bundled_volume_attach(Bundled *b, const char *name, GError **error)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);
  gboolean ok;

  if (!volume)
    return TRUE;
  ok = open_devices(b, volume, lvm_vg_find_lv(lvm_store_vg(b->store), name), error);
  volume->gone = !ok;
  pthread_rwlock_unlock(&volume->lock);
  return ok;
}

void bundled_volume_gone(Bundled *b, const char *name)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);

  if (!volume)
    return;
  volume->gone = TRUE;
  g_hash_table_remove(b->volumes, name);
  pthread_rwlock_unlock(&volume->lock);
}

void bundled_volume_sealed(Bundled *b, const char *name)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);

  if (!volume)
    return;
  pthread_rwlock_wrlock(&volume->lock);
  g_atomic_int_set(&volume->read_only, TRUE);
  for (guint i = 0; i < volume->handles->len; i++)
    g_atomic_int_set(&((BundledHandle *)volume->handles->pdata[i])->read_only, TRUE);
  pthread_rwlock_unlock(&volume->lock);
}

void bundled_volume_renamed(Bundled *b, const char *name, const char *new_name)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);

  if (!volume)
    return;
  g_hash_table_remove(b->volumes, name);
  set_name(volume, new_name);
  g_hash_table_insert(b->volumes, (gpointer)volume->name, volume);
}

gboolean bundled_volume_resized(Bundled *b, const char *name, guint64 size, GError **error)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);

  return !volume || !volume->thin || thin_volume_resize(volume->thin, size, error);
}

void bundled_volumes_close(Bundled *b)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init(&iter, b->volumes);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    BundledVolume *volume = value;

    pthread_rwlock_wrlock(&volume->lock);
    close_devices(volume);
    volume->gone = TRUE;
    volume->owner = NULL;
    pthread_rwlock_unlock(&volume->lock);
  }
  g_hash_table_remove_all(b->volumes);
}

/* --- handles: I/O --- */

static BundledVolume *begin_io(PoolVolume *handle, GError **error)
{
  BundledVolume *volume = ((BundledHandle *)handle)->volume;

  pthread_rwlock_rdlock(&volume->lock);
  if (!volume->gone)
    return volume;
  pthread_rwlock_unlock(&volume->lock);
  vt_set_error(error, ENOENT, "volume %s was removed, or its volume group closed", volume_name(volume));
  return NULL;
}

static BundledVolume *begin_change(PoolVolume *handle, const char *what, GError **error)
{
  BundledHandle *h = (BundledHandle *)handle;
  BundledVolume *volume = begin_io(handle, error);

  if (!volume)
    return NULL;
  if (g_atomic_int_get(&h->read_only))
    vt_set_error(error, EROFS, "cannot %s volume %s: it is %s", what, volume_name(volume),
                 g_atomic_int_get(&volume->read_only) ? "read-only" : "open read-only");
  else if (!g_atomic_int_get(&volume->owner->lost))
    return volume;
  else
    vt_set_error(error, ESTALE, "cannot %s volume %s: somebody else moved the volume group's extents; stop the service",
                 what, volume_name(volume));
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

static gboolean read_zeros(BundledVolume *volume, const struct iovec *iov, int n_iov, guint64 offset, GError **error)
{
  guint64 length = 0;

  for (int i = 0; i < n_iov; i++)
    length += iov[i].iov_len;
  if (offset > volume->zeros || length > volume->zeros - offset)
    return vt_set_error(error, EINVAL, "volume %s: cannot read beyond its end at %" G_GUINT64_FORMAT,
                        volume_name(volume), volume->zeros);
  for (int i = 0; i < n_iov; i++)
    memset(iov[i].iov_base, 0, iov[i].iov_len);
  return TRUE;
}

static gboolean handle_readv(PoolVolume *handle, const struct iovec *iov, int n_iov, guint64 offset, GError **error)
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

/* Of a change of a thin volume with its outcome: end it; or, TRUE, it is to be tried again, for its pool has grown. */
static gboolean try_again(BundledVolume *volume, guint n_growths, gboolean *done, GError **failure, GError **error)
{
  gboolean again = !*done && (*failure)->code == ENOSPC && bundled_make_room(volume, n_growths);

  pthread_rwlock_unlock(&volume->lock);
  if (again)
    g_clear_error(failure);
  else if (!*done)
    g_propagate_error(error, g_steal_pointer(failure));
  return again;
}

static gboolean handle_writev(PoolVolume *handle, const struct iovec *iov, int n_iov, guint64 offset, GError **error)
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

static gboolean handle_zero(PoolVolume *handle, guint64 offset, guint64 length, gboolean may_unmap, GError **error)
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
      return end_io(volume, vt_io_zero(volume->io, offset, length, may_unmap ? VT_IO_ZERO_MAY_UNMAP : 0, error));
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

/* Of a handle that cannot write there may be nothing to flush, but what others wrote through the volume counts. */
static gboolean handle_flush(PoolVolume *handle, GError **error)
{
  BundledVolume *volume;

  if (g_atomic_int_get(&((BundledHandle *)handle)->volume->read_only))
    return TRUE;
  volume = begin_io(handle, error);
  if (!volume)
    return FALSE;
  if (g_atomic_int_get(&volume->owner->lost))
    return end_io(
        volume, vt_set_error(error, ESTALE,
                             "cannot flush volume %s: somebody else moved the volume group's extents; stop the service",
                             volume_name(volume)));
  if (volume->thin)
    return end_io(volume, thin_volume_flush(volume->thin, error));
  return end_io(volume, vt_io_flush(volume->io, error));
}

static gboolean flat_extent(BundledVolume *volume, guint64 offset, guint64 limit, guint64 *length, gboolean *mapped,
                            GError **error)
{
  guint64 size = current_size(volume);

  if (offset >= size)
    return vt_set_error(error, EINVAL, "volume %s ends at %" G_GUINT64_FORMAT ", before %" G_GUINT64_FORMAT,
                        volume_name(volume), size, offset);
  *length = MIN(limit, size - offset);
  *mapped = volume->io != NULL;
  return TRUE;
}

static gboolean handle_extent(PoolVolume *handle, guint64 offset, guint64 limit, guint64 *length, gboolean *mapped,
                              GError **error)
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
  return volume_name(((BundledHandle *)handle)->volume);
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

static PoolVolume *open_handle(Bundled *b, const char *name, gboolean view, gboolean read_only, const char *opener,
                               GError **error)
{
  BundledHandle *handle = NULL;
  BundledVolume *volume;

  bundled_lock(b);
  volume = bundled_volume_get(b, name, error);
  if (volume && volume->read_only && !view && !read_only) {
    vt_set_error(error, EROFS, "cannot open volume %s/%s for writing: it is read-only%s", b->vg_name, name,
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

PoolVolume *bundled_volume_open(Pool *pool, const char *name, gboolean read_only, const char *opener, GError **error)
{
  return open_handle((Bundled *)pool, name, FALSE, read_only, opener, error);
}

PoolVolume *bundled_volume_open_view(Pool *pool, const char *name, GError **error)
{
  return open_handle((Bundled *)pool, name, TRUE, FALSE, NULL, error);
}
