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
  g_free(info->open_by);
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
  g_free(info->health);
  g_free(info);
}

/* A handle of an implementation that cannot do @what. */
static gboolean unsupported(VolumeGroup *group, const char *what, GError **error)
{
  return vt_set_error(error, EOPNOTSUPP, "a %s pool cannot %s", group->ops->name, what);
}

PoolHolder pool_get_holder(VolumeGroup *group)
{
  return group->ops->holder;
}

gboolean pool_close(VolumeGroup *group, GError **error)
{
  return group->ops->close(group, error);
}

void pool_unref(VolumeGroup *group)
{
  g_autoptr(GError) error = NULL;

  if (group && !pool_close(group, &error))
    g_warning("closing the volume group: %s", error->message);
}

PoolVgInfo *pool_get_vg_info(VolumeGroup *group, GError **error)
{
  if (!group->ops->get_vg_info)
    return unsupported(group, "describe its volume group", error), NULL;
  return group->ops->get_vg_info(group, error);
}

GPtrArray *pool_list_pools(VolumeGroup *group, GError **error)
{
  if (!group->ops->list_pools)
    return unsupported(group, "list thin pools", error), NULL;
  return group->ops->list_pools(group, error);
}

PoolInfo *pool_get_info(VolumeGroup *group, const char *thin_pool, GError **error)
{
  if (!group->ops->get_info)
    return unsupported(group, "describe a thin pool", error), NULL;
  return group->ops->get_info(group, thin_pool, error);
}

GPtrArray *pool_list_volumes(VolumeGroup *group, const char *thin_pool, GError **error)
{
  if (!group->ops->list_volumes)
    return unsupported(group, "list volumes", error), NULL;
  return group->ops->list_volumes(group, thin_pool, error);
}

PoolVolumeInfo *pool_get_volume(VolumeGroup *group, const char *name, GError **error)
{
  if (!group->ops->get_volume)
    return unsupported(group, "describe a volume", error), NULL;
  return group->ops->get_volume(group, name, error);
}

gboolean pool_count_volume(VolumeGroup *group, const char *name, guint64 *exclusive,
                           guint64 *shared, GError **error)
{
  if (!group->ops->count_volume)
    return unsupported(group, "count a volume's chunks", error);
  return group->ops->count_volume(group, name, exclusive, shared, error);
}

PoolUsage *pool_usage(VolumeGroup *group, const char *thin_pool, const char *const *chosen,
                      GError **error)
{
  if (!group->ops->usage)
    return unsupported(group, "tell who uses a thin pool", error), NULL;
  return group->ops->usage(group, thin_pool, chosen, error);
}

gboolean pool_delta(VolumeGroup *group, const char *left, const char *right, PoolDeltaFlags flags,
                    guint64 *offset, guint max, GArray *runs, GError **error)
{
  if (!group->ops->delta)
    return unsupported(group, "compare volumes", error);
  if (*offset == G_MAXUINT64)
    return TRUE;
  return group->ops->delta(group, left, right, flags, offset, MIN(max, POOL_DELTA_MAX), runs,
                           error);
}

void pool_delta_add(GArray *runs, const PoolDeltaRun *run)
{
  PoolDeltaRun *last = runs->len ? &g_array_index(runs, PoolDeltaRun, runs->len - 1) : NULL;

  if (last && last->kind == run->kind && last->offset + last->length == run->offset)
    last->length += run->length;
  else
    g_array_append_vals(runs, run, 1);
}

gboolean pool_check_as(VolumeGroup *group, const char *thin_pool, const PoolCheckOptions *options,
                       GPtrArray **errors, GPtrArray **leaks, GError **error)
{
  static const PoolCheckOptions usual;

  if (!group->ops->check)
    return unsupported(group, "check a thin pool", error);
  return group->ops->check(group, thin_pool, options ? options : &usual, errors, leaks, error);
}

gboolean pool_check(VolumeGroup *group, const char *thin_pool, GPtrArray **errors,
                    GPtrArray **leaks, GError **error)
{
  return pool_check_as(group, thin_pool, NULL, errors, leaks, error);
}

gboolean pool_read_metadata(VolumeGroup *group, const char *thin_pool, PoolMetadataFunc func,
                            gpointer data, GError **error)
{
  if (!group->ops->read_metadata)
    return vt_set_error(error, EBUSY,
                        "the volume group is served, and its service has the metadata: stop it "
                        "first (virt-thin stop VG)");
  return group->ops->read_metadata(group, thin_pool, func, data, error);
}

gboolean pool_activate(VolumeGroup *group, const char *thin_pool, GError **error)
{
  return group->ops->activate ? group->ops->activate(group, thin_pool, error) : TRUE;
}

gboolean pool_activate_alone(VolumeGroup *group, const char *thin_pool, GError **error)
{
  return group->ops->activate_alone ? group->ops->activate_alone(group, thin_pool, error)
                                    : pool_activate(group, thin_pool, error);
}

gboolean pool_deactivate(VolumeGroup *group, const char *thin_pool, gboolean force, GError **error)
{
  return group->ops->deactivate ? group->ops->deactivate(group, thin_pool, force, error) : TRUE;
}

void pool_set_event_func(VolumeGroup *group, PoolEventFunc func, gpointer user_data)
{
  if (group->ops->set_event_func)
    group->ops->set_event_func(group, func, user_data);
}

void pool_set_user_func(VolumeGroup *group, PoolUserFunc func, gpointer user_data)
{
  if (group->ops->set_user_func)
    group->ops->set_user_func(group, func, user_data);
}

gboolean pool_commit(VolumeGroup *group, GError **error)
{
  return group->ops->commit ? group->ops->commit(group, error) : TRUE;
}

/* --- volume I/O --- */

VtIo *pool_volume_open(VolumeGroup *group, const char *name, gboolean read_only, const char *opener,
                       GError **error)
{
  if (!group->ops->volume_open)
    return unsupported(group, "open a volume", error), NULL;
  return group->ops->volume_open(group, name, read_only, opener, error);
}

VtIo *pool_volume_open_view(VolumeGroup *group, const char *name, GError **error)
{
  if (!group->ops->volume_open_view)
    return unsupported(group, "open a view of a volume", error), NULL;
  return group->ops->volume_open_view(group, name, error);
}
