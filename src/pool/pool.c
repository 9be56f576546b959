/* virt-thin - the pool interface: hands each call to the implementation behind the handle
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/pool-private.h"

void pool_volume_info_free(PoolVolumeInfo *info)
{
  if (!info)
    return;
  g_free(info->vg);
  g_free(info->name);
  g_free(info->uuid);
  g_free(info->pool);
  g_free(info->origin);
  g_free(info->snapshot_of);
  g_free(info->snapshot_name);
  g_strfreev(info->tags);
  g_free(info->path);
  g_free(info->damage);
  g_free(info);
}

void pool_info_free(PoolInfo *info)
{
  if (!info)
    return;
  g_free(info->vg);
  g_free(info->name);
  g_free(info->uuid);
  g_free(info->unwatched);
  g_free(info->grown);
  g_free(info->health);
  g_free(info);
}

void pool_vg_info_free(PoolVgInfo *info)
{
  if (!info)
    return;
  g_free(info->name);
  g_free(info->uuid);
  g_strfreev(info->devices);
  g_free(info->served_by);
  g_free(info);
}

/* A handle of an implementation that cannot do @what. */
static gboolean unsupported(Pool *pool, const char *what, GError **error)
{
  return vt_set_error(error, EOPNOTSUPP, "a %s pool cannot %s", pool->ops->name, what);
}

gboolean pool_close(Pool *pool, GError **error)
{
  return pool->ops->close(pool, error);
}

void pool_unref(Pool *pool)
{
  g_autoptr(GError) error = NULL;

  if (pool && !pool_close(pool, &error))
    g_warning("closing the volume group: %s", error->message);
}

PoolVgInfo *pool_get_vg_info(Pool *pool, GError **error)
{
  if (!pool->ops->get_vg_info)
    return unsupported(pool, "describe its volume group", error), NULL;
  return pool->ops->get_vg_info(pool, error);
}

GPtrArray *pool_list_pools(Pool *pool, GError **error)
{
  if (!pool->ops->list_pools)
    return unsupported(pool, "list thin pools", error), NULL;
  return pool->ops->list_pools(pool, error);
}

PoolInfo *pool_get_info(Pool *pool, const char *thin_pool, GError **error)
{
  if (!pool->ops->get_info)
    return unsupported(pool, "describe a thin pool", error), NULL;
  return pool->ops->get_info(pool, thin_pool, error);
}

GPtrArray *pool_list_volumes(Pool *pool, const char *thin_pool, GError **error)
{
  if (!pool->ops->list_volumes)
    return unsupported(pool, "list volumes", error), NULL;
  return pool->ops->list_volumes(pool, thin_pool, error);
}

PoolVolumeInfo *pool_get_volume(Pool *pool, const char *name, GError **error)
{
  if (!pool->ops->get_volume)
    return unsupported(pool, "describe a volume", error), NULL;
  return pool->ops->get_volume(pool, name, error);
}

gboolean pool_count_volume(Pool *pool, const char *name, guint64 *exclusive, guint64 *shared,
                           GError **error)
{
  if (!pool->ops->count_volume)
    return unsupported(pool, "count a volume's chunks", error);
  return pool->ops->count_volume(pool, name, exclusive, shared, error);
}

gboolean pool_check(Pool *pool, const char *thin_pool, GPtrArray **errors, GPtrArray **leaks,
                    GError **error)
{
  if (!pool->ops->check)
    return unsupported(pool, "check a thin pool", error);
  return pool->ops->check(pool, thin_pool, errors, leaks, error);
}

gboolean pool_activate(Pool *pool, const char *thin_pool, GError **error)
{
  return pool->ops->activate ? pool->ops->activate(pool, thin_pool, error) : TRUE;
}

gboolean pool_activate_alone(Pool *pool, const char *thin_pool, GError **error)
{
  return pool->ops->activate_alone ? pool->ops->activate_alone(pool, thin_pool, error)
                                   : pool_activate(pool, thin_pool, error);
}

gboolean pool_deactivate(Pool *pool, const char *thin_pool, gboolean force, GError **error)
{
  return pool->ops->deactivate ? pool->ops->deactivate(pool, thin_pool, force, error) : TRUE;
}

void pool_set_event_func(Pool *pool, PoolEventFunc func, gpointer user_data)
{
  if (pool->ops->set_event_func)
    pool->ops->set_event_func(pool, func, user_data);
}

void pool_set_user_func(Pool *pool, PoolUserFunc func, gpointer user_data)
{
  if (pool->ops->set_user_func)
    pool->ops->set_user_func(pool, func, user_data);
}

gboolean pool_commit(Pool *pool, GError **error)
{
  return pool->ops->commit ? pool->ops->commit(pool, error) : TRUE;
}

/* --- volume I/O --- */

PoolVolume *pool_volume_open(Pool *pool, const char *name, gboolean read_only, const char *opener,
                             GError **error)
{
  if (!pool->ops->volume_open)
    return unsupported(pool, "open a volume", error), NULL;
  return pool->ops->volume_open(pool, name, read_only, opener, error);
}

PoolVolume *pool_volume_open_view(Pool *pool, const char *name, GError **error)
{
  if (!pool->ops->volume_open_view)
    return unsupported(pool, "open a view of a volume", error), NULL;
  return pool->ops->volume_open_view(pool, name, error);
}

void pool_volume_close(PoolVolume *volume)
{
  if (volume)
    volume->ops->close(volume);
}

const char *pool_volume_name(PoolVolume *volume)
{
  return volume->ops->name(volume);
}

guint64 pool_volume_size(PoolVolume *volume)
{
  return volume->ops->size(volume);
}

guint64 pool_volume_chunk_size(PoolVolume *volume)
{
  return volume->ops->chunk_size(volume);
}

gboolean pool_volume_is_read_only(PoolVolume *volume)
{
  return volume->ops->is_read_only(volume);
}

gboolean pool_volume_readv(PoolVolume *volume, const struct iovec *iov, int n_iov, guint64 offset,
                           GError **error)
{
  return volume->ops->readv(volume, iov, n_iov, offset, error);
}

gboolean pool_volume_writev(PoolVolume *volume, const struct iovec *iov, int n_iov, guint64 offset,
                            GError **error)
{
  return volume->ops->writev(volume, iov, n_iov, offset, error);
}

gboolean pool_volume_zero(PoolVolume *volume, guint64 offset, guint64 length, gboolean may_unmap,
                          GError **error)
{
  return volume->ops->zero(volume, offset, length, may_unmap, error);
}

gboolean pool_volume_discard(PoolVolume *volume, guint64 offset, guint64 length, GError **error)
{
  return volume->ops->discard(volume, offset, length, error);
}

gboolean pool_volume_flush(PoolVolume *volume, GError **error)
{
  return volume->ops->flush(volume, error);
}

gboolean pool_volume_extent(PoolVolume *volume, guint64 offset, guint64 limit, guint64 *length,
                            gboolean *mapped, GError **error)
{
  return volume->ops->extent(volume, offset, limit, length, mapped, error);
}

gboolean pool_volume_read(PoolVolume *volume, void *buf, gsize length, guint64 offset,
                          GError **error)
{
  struct iovec iov = {buf, length};

  return pool_volume_readv(volume, &iov, 1, offset, error);
}

gboolean pool_volume_write(PoolVolume *volume, const void *buf, gsize length, guint64 offset,
                           GError **error)
{
  struct iovec iov = {(void *)buf, length};

  return pool_volume_writev(volume, &iov, 1, offset, error);
}
