/* virt-thin - what metrics tell of: volume groups, their pools, their volumes, at one time
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "metrics/collect.h"

#include <string.h>

#include "control/control.h"
#include "settings/settings.h"

static void pool_free(gpointer data)
{
  MetricsPool *pool = data;

  pool_info_free(pool->info);
  g_clear_pointer(&pool->usage, pool_usage_free);
  g_free(pool);
}

static void vg_free(gpointer data)
{
  MetricsVg *vg = data;

  g_free(vg->name);
  g_clear_pointer(&vg->info, pool_vg_info_free);
  g_ptr_array_unref(vg->pools);
  g_clear_pointer(&vg->volumes, g_ptr_array_unref);
  g_clear_pointer(&vg->requests, g_variant_unref);
  g_free(vg);
}

void metrics_free(Metrics *metrics)
{
  g_ptr_array_unref(metrics->vgs);
  g_ptr_array_unref(metrics->problems);
  g_free(metrics);
}

/* --- one volume group --- */

/* Of an older service, which has no such property, NULL without an error. */
static GVariant *ask_requests(const char *vg, GError **error)
{
  g_autofree char *path = settings_vg_file(vg, "control"),
                  *what = g_strdup_printf("asking the service of volume group %s", vg);
  g_autoptr(GDBusConnection) connection = control_connect(path, CONTROL_DEFAULT_TIMEOUT_MS, error);
  g_autoptr(GVariant) out = NULL;
  GVariant *value = NULL;
  GError *local = NULL;

  if (!connection)
    return NULL;
  out = g_dbus_connection_call_sync(
      connection, NULL, CONTROL_OBJECT_PATH, "org.freedesktop.DBus.Properties", "Get",
      g_variant_new("(ss)", CONTROL_INTERFACE, "Requests"), G_VARIANT_TYPE("(v)"),
      G_DBUS_CALL_FLAGS_NONE, CONTROL_DEFAULT_TIMEOUT_MS, NULL, &local);
  if (g_error_matches(local, G_DBUS_ERROR, G_DBUS_ERROR_INVALID_ARGS) ||
      g_error_matches(local, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_PROPERTY))
    g_clear_error(&local);
  else if (!out)
    control_propagate_error(error, local, what);
  else
    g_variant_get(out, "(v)", &value);
  if (value && !g_variant_is_of_type(value, G_VARIANT_TYPE("(ata(ssattt))")))
    g_clear_pointer(&value, g_variant_unref);
  return value;
}

/* The names of @pool's snapshots; the strings are the volumes'. */
static GPtrArray *list_snapshots(GPtrArray *volumes, const char *pool)
{
  GPtrArray *names = g_ptr_array_new();

  for (guint i = 0; i < volumes->len; i++) {
    const PoolVolumeInfo *volume = volumes->pdata[i];

    if (volume->snapshot_of && g_strcmp0(volume->pool, pool) == 0)
      g_ptr_array_add(names, volume->name);
  }
  g_ptr_array_add(names, NULL);
  return names;
}

static gboolean read_pool(VolumeGroup *group, MetricsVg *vg, PoolInfo *info, gboolean usage,
                          GError **error)
{
  MetricsPool *pool = g_new0(MetricsPool, 1);
  g_autoptr(GPtrArray) snapshots = list_snapshots(vg->volumes, info->name);

  pool->info = info;
  pool->snapshots = snapshots->len - 1;
  pool->in_use = pool_get_holder(group) != POOL_HOLDER_BUNDLED;
  g_ptr_array_add(vg->pools, pool);
  if (usage)
    pool->usage = pool_usage(group, info->name, (const char *const *)snapshots->pdata, error);
  return !usage || pool->usage;
}

static gboolean read_vg(VolumeGroup *group, MetricsVg *vg, gboolean usage, GError **error)
{
  g_autoptr(GPtrArray) pools = NULL;

  if (!(vg->volumes = pool_list_volumes(group, NULL, error)) ||
      !(pools = pool_list_pools(group, error)) || !(vg->info = pool_get_vg_info(group, error)))
    return FALSE;
  for (guint i = 0; i < pools->len; i++)
    if (!read_pool(group, vg, g_steal_pointer(&pools->pdata[i]), usage, error))
      return FALSE;
  if (pool_get_holder(group) != POOL_HOLDER_SERVICE)
    return TRUE;
  g_autoptr(GError) local = NULL;

  vg->requests = ask_requests(vg->name, &local);
  if (local)
    g_propagate_error(error, g_steal_pointer(&local));
  return !error || !*error;
}

/* What was read of it before something went wrong is told. */
static void add_vg(Metrics *metrics, const char *name, const PoolWhere *where, gboolean usage)
{
  MetricsVg *vg = g_new0(MetricsVg, 1);
  g_autoptr(GError) error = NULL;
  VolumeGroup *group = pool_open(name, where, &error);

  vg->name = g_strdup(name);
  vg->pools = g_ptr_array_new_with_free_func(pool_free);
  g_ptr_array_add(metrics->vgs, vg);
  if (group) {
    read_vg(group, vg, usage, &error);
    pool_close(group, error ? NULL : &error);
  }
  if (error)
    g_ptr_array_add(metrics->problems, g_strdup(error->message));
}

/* --- all --- */

static void add_all(Metrics *metrics, const PoolWhere *where, gboolean usage)
{
  gboolean all;
  guint told = metrics->problems->len;
  g_autoptr(GPtrArray) vgs = pool_list_vgs(where, metrics->problems, &all);

  if (!all && metrics->problems->len == told)
    g_ptr_array_add(metrics->problems, g_strdup("a device could not be read"));
  for (guint i = 0; i < vgs->len; i++)
    if (!((PoolVg *)vgs->pdata[i])->twice)
      add_vg(metrics, ((PoolVg *)vgs->pdata[i])->name, where, usage);
}

static void add_growth(Metrics *metrics, gboolean keep)
{
  g_autofree char *path = g_build_filename(settings_state_dir(), "growth", NULL);
  g_autoptr(PoolHistory) history = pool_history_load(path);
  gint64 now = g_get_real_time() / G_USEC_PER_SEC;
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < metrics->vgs->len; i++) {
    GPtrArray *pools = ((MetricsVg *)metrics->vgs->pdata[i])->pools;

    for (guint k = 0; k < pools->len; k++) {
      MetricsPool *pool = pools->pdata[k];

      pool->data = pool_history_growth(history, pool->info, FALSE, now);
      pool->metadata = pool_history_growth(history, pool->info, TRUE, now);
      if (keep)
        pool_history_add(history, pool->info, now);
    }
  }
  if (keep && !(settings_make_folder(settings_state_dir(), &error) &&
                pool_history_save(history, path, &error)))
    g_ptr_array_add(metrics->problems, g_strdup(error->message));
}

Metrics *metrics_collect(const char *const *names, PoolWhere where, gboolean usage, gboolean keep)
{
  Metrics *metrics = g_new0(Metrics, 1);
  g_autoptr(PoolLook) look = pool_look_new();

  metrics->vgs = g_ptr_array_new_with_free_func(vg_free);
  metrics->problems = g_ptr_array_new_with_free_func(g_free);
  where.look = look;
  if (names)
    for (; *names; names++)
      add_vg(metrics, *names, &where, usage);
  else
    add_all(metrics, &where, usage);
  add_growth(metrics, keep);
  return metrics;
}
