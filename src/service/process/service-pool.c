/* virt-thin - the pool as the service shows it: the bundled pool, with files and block nodes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "control/service.h"
#include "pool/change.h"
#include "pool/pool-private.h"
#include "service/process/service-pool.h"
#include "settings/settings.h"

struct ServicePool {
  VolumeGroup base;
  char *vg, *vg_dir, *links;
  VolumeGroup *inner;
  Folder *folder;
  Nodes *nodes;
  pthread_mutex_t lock; /* activation, one at a time; and of: */
  GHashTable *asked;    /* thin pools activated on request since this engine began */
  PoolEventFunc event_func;
  gpointer event_data;
};

/* Nodes that the change which this thread makes has claimed, and still has to give back: names. */
static __thread GPtrArray *claimed;

#define SERVICE(pool) ((ServicePool *)(pool))
#define INNER(pool) (((ServicePool *)(pool))->inner)

/* Among the names of pools not shown: those that are made later. No LV has this name. */
#define LATER "*"

/* --- what there is --- */

static void add_place(ServicePool *service, PoolVolumeInfo *info)
{
  gboolean shown = folder_shows(service->folder, info->pool);

  info->active = info->active && shown;
  g_clear_pointer(&info->path, g_free);
  if (!shown)
    return;
  info->path_is_block = nodes_has(service->nodes, info->name);
  info->path = info->path_is_block ? g_build_filename(service->links, info->name, NULL)
                                   : g_build_filename(service->vg_dir, "volumes", info->name, NULL);
}

static PoolVgInfo *get_vg_info(VolumeGroup *group, GError **error)
{
  PoolVgInfo *info = pool_get_vg_info(INNER(group), error);

  if (info && !info->served_by)
    info->served_by = g_strdup_printf("virt-thin service, pid %d", getppid());
  return info;
}

static void add_pool_state(ServicePool *service, PoolInfo *info)
{
  info->active = info->active && folder_shows(service->folder, info->name);
}

static GPtrArray *list_pools(VolumeGroup *group, GError **error)
{
  GPtrArray *pools = pool_list_pools(INNER(group), error);

  for (guint i = 0; pools && i < pools->len; i++)
    add_pool_state(SERVICE(group), pools->pdata[i]);
  return pools;
}

static PoolInfo *get_info(VolumeGroup *group, const char *thin_pool, GError **error)
{
  PoolInfo *info = pool_get_info(INNER(group), thin_pool, error);

  if (info)
    add_pool_state(SERVICE(group), info);
  return info;
}

static GPtrArray *list_volumes(VolumeGroup *group, const char *thin_pool, GError **error)
{
  GPtrArray *volumes = pool_list_volumes(INNER(group), thin_pool, error);

  for (guint i = 0; volumes && i < volumes->len; i++)
    add_place(SERVICE(group), volumes->pdata[i]);
  return volumes;
}

static PoolVolumeInfo *get_volume(VolumeGroup *group, const char *name, GError **error)
{
  PoolVolumeInfo *info = pool_get_volume(INNER(group), name, error);

  if (info)
    add_place(SERVICE(group), info);
  return info;
}

static gboolean count_volume(VolumeGroup *group, const char *name, guint64 *exclusive,
                             guint64 *shared, GError **error)
{
  return pool_count_volume(INNER(group), name, exclusive, shared, error);
}

static PoolUsage *usage(VolumeGroup *group, const char *thin_pool, const char *const *chosen,
                        GError **error)
{
  return pool_usage(INNER(group), thin_pool, chosen, error);
}

static gboolean delta(VolumeGroup *group, const char *left, const char *right, PoolDeltaFlags flags,
                      guint64 *offset, guint max, GArray *runs, GError **error)
{
  return pool_delta(INNER(group), left, right, flags, offset, max, runs, error);
}

/* --- changes --- */

/* After a change for which nodes may have been claimed: show those of volumes that still want
 * one. */
static gboolean give_back(ServicePool *service, gboolean done)
{
  g_autoptr(GPtrArray) names = g_steal_pointer(&claimed);
  NodeShape shape;

  for (guint i = 0; names && i < names->len; i++) {
    const char *name = names->pdata[i];
    g_autoptr(GError) error = NULL;
    if (folder_wants_node(service->folder, name, &shape) && !nodes_has(service->nodes, name) &&
        !nodes_show(service->nodes, name, &shape, &error))
      g_warning("%s/%s has no block node: %s", service->vg, name, error->message);
  }
  return done;
}

static gboolean check(VolumeGroup *group, const char *thin_pool, const PoolCheckOptions *options,
                      GPtrArray **errors, GPtrArray **leaks, GError **error)
{
  return pool_check_as(INNER(group), thin_pool, options, errors, leaks, error);
}

static VtIo *volume_open(VolumeGroup *group, const char *name, gboolean read_only,
                         const char *opener, GError **error)
{
  return pool_volume_open(INNER(group), name, read_only, opener, error);
}

static VtIo *volume_open_view(VolumeGroup *group, const char *name, GError **error)
{
  return pool_volume_open_view(INNER(group), name, error);
}

static gboolean commit(VolumeGroup *group, GError **error)
{
  return pool_commit(INNER(group), error);
}

/* --- activation --- */

static char *hidden_file(ServicePool *service)
{
  return g_build_filename(service->vg_dir, "hidden", NULL);
}

/* Which pools are not shown outlives the engine. */
static void remember_hidden(ServicePool *service)
{
  g_autoptr(GPtrArray) pools = pool_list_pools(service->inner, NULL);
  g_autoptr(GString) text = g_string_new(NULL);
  g_autofree char *path = hidden_file(service);
  g_autoptr(GError) error = NULL;

  for (guint i = 0; pools && i < pools->len; i++) {
    const PoolInfo *info = pools->pdata[i];
    if (!folder_shows(service->folder, info->name))
      g_string_append_printf(text, "%s\n", info->name);
  }
  if (!folder_shows(service->folder, LATER))
    g_string_append(text, LATER "\n");
  if (!folder_shows(service->folder, NULL))
    g_string_append(text, "\n");
  if (!g_file_set_contents_full(path, text->str, text->len, G_FILE_SET_CONTENTS_CONSISTENT, 0600,
                                &error))
    g_warning("a restarted engine will show all pools: %s", error->message);
}

static void recall_hidden(ServicePool *service)
{
  g_autofree char *path = hidden_file(service);
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;

  if (!g_file_get_contents(path, &text, NULL, NULL) || !*text)
    return;
  lines = g_strsplit(text, "\n", -1);
  for (char **line = lines; *line && line[1];
       line++) /* the last is what follows the last newline */
    folder_show(service->folder, **line ? *line : NULL, FALSE);
}

static void show_pools(ServicePool *service, const char *thin_pool, gboolean shown)
{
  g_autoptr(GPtrArray) pools = thin_pool ? NULL : pool_list_pools(service->inner, NULL);

  if (thin_pool)
    folder_show(service->folder, thin_pool, shown);
  else
    folder_show(service->folder, NULL, shown); /* linear volumes */
  if (!thin_pool && shown)
    folder_show(service->folder, LATER, TRUE);
  for (guint i = 0; pools && i < pools->len; i++)
    folder_show(service->folder, ((PoolInfo *)pools->pdata[i])->name, shown);
  remember_hidden(service);
}

static void hide_later(ServicePool *service, const char *thin_pool)
{
  pthread_mutex_lock(&service->lock);
  if (!folder_shows(service->folder, LATER))
    show_pools(service, thin_pool, FALSE);
  pthread_mutex_unlock(&service->lock);
}

/* Passed on; the inner pool's events tell what came of it. */
static gboolean change(VolumeGroup *group, const PoolChange *change, GError **error)
{
  ServicePool *service = SERVICE(group);
  g_autofree char *files = g_build_filename(service->vg_dir, "volumes", NULL);
  Freeze *freeze;
  gboolean done;

  if (!pool_change_freeze(change, service->links, files, 0, &freeze, error))
    return pool_change_failed(change, service->vg, error);
  done = pool_change(service->inner, change, error);
  freeze_end(freeze);
  if (change->kind == POOL_EXTEND)
    service_pool_remember_devices(service->vg, service->inner);
  if (change->kind == POOL_CREATE_POOL && done)
    hide_later(service, change->name);
  return give_back(service, done);
}

static gboolean can_activate(ServicePool *service, const char *thin_pool, GError **error)
{
  g_autoptr(PoolInfo) info = pool_get_info(service->inner, thin_pool, error);

  if (info && !info->active && info->health)
    return vt_set_error(error, EIO, "thin pool %s/%s cannot be activated: %s", service->vg,
                        thin_pool, info->health);
  return info != NULL;
}

static gboolean activate(VolumeGroup *group, const char *thin_pool, GError **error)
{
  ServicePool *service = SERVICE(group);

  if (thin_pool && !can_activate(service, thin_pool, error))
    return FALSE;
  pthread_mutex_lock(&service->lock);
  if (thin_pool)
    g_hash_table_add(service->asked, g_strdup(thin_pool));
  if (!folder_shows(service->folder, thin_pool) || !thin_pool) {
    show_pools(service, thin_pool, TRUE);
    nodes_sync(service->nodes, service->folder, 2000);
  }
  pthread_mutex_unlock(&service->lock);
  return TRUE;
}

static gboolean activate_alone(VolumeGroup *group, const char *thin_pool, GError **error)
{
  ServicePool *service = SERVICE(group);
  g_autoptr(GPtrArray) pools = pool_list_pools(service->inner, error);

  if (!pools || !can_activate(service, thin_pool, error))
    return FALSE;
  pthread_mutex_lock(&service->lock);
  g_hash_table_add(service->asked, g_strdup(thin_pool));
  for (guint i = 0; i < pools->len; i++) {
    const char *name = ((PoolInfo *)pools->pdata[i])->name;
    folder_show(service->folder, name, g_hash_table_contains(service->asked, name));
  }
  folder_show(service->folder, LATER, FALSE);
  remember_hidden(service);
  nodes_sync(service->nodes, service->folder, 2000);
  pthread_mutex_unlock(&service->lock);
  return TRUE;
}

static gboolean deactivate(VolumeGroup *group, const char *thin_pool, gboolean force,
                           GError **error)
{
  ServicePool *service = SERVICE(group);
  gboolean done;

  pthread_mutex_lock(&service->lock);
  done = pool_deactivate(service->inner, thin_pool, force, error);
  if (done) {
    show_pools(service, thin_pool, FALSE);
    nodes_sync(service->nodes, service->folder, 2000);
  }
  give_back(service, done);
  pthread_mutex_unlock(&service->lock);
  return done;
}

/* --- following the inner pool --- */

static char *find_user(const char *const *names, gboolean claim, const char **used,
                       gpointer user_data)
{
  ServicePool *service = user_data;

  if (!claim)
    return nodes_user(service->nodes, names, used);
  if (!claimed)
    claimed = g_ptr_array_new_with_free_func(g_free);
  for (const char *const *name = names; *name; name++)
    if (nodes_has(service->nodes, *name))
      g_ptr_array_add(claimed, g_strdup(*name));
  return nodes_claim(service->nodes, names, used);
}

static void follow_node(ServicePool *service, PoolEvent event, const char *name,
                        const char *old_name)
{
  g_autoptr(GError) error = NULL;
  NodeShape shape;
  gboolean wanted = folder_wants_node(service->folder, name, &shape);

  switch (event) {
  case POOL_EVENT_ADDED:
    if (wanted)
      nodes_show(service->nodes, name, &shape, &error);
    break;
  case POOL_EVENT_REMOVED: nodes_hide(service->nodes, name, &error); break;
  case POOL_EVENT_RENAMED:
    if (wanted)
      nodes_rename(service->nodes, old_name, name, &error);
    else if (nodes_has(service->nodes, old_name)) /* a template */
      nodes_hide(service->nodes, old_name, &error);
    if (!error && wanted &&
        !nodes_has(service->nodes, name)) /* its turn had not come under the old name */
      nodes_show(service->nodes, name, &shape, &error);
    break;
  case POOL_EVENT_RESIZED: nodes_resized(service->nodes, name, &error); break;
  case POOL_EVENT_REPLACED:
    if (nodes_flush(service->nodes, name, &error))
      nodes_resized(service->nodes, name, &error); /* the snapshot's size may be another */
    break;
  }
  if (error)
    g_warning("the block node of %s/%s: %s", service->vg, name, error->message);
}

static void on_event(PoolEvent event, const char *name, const char *old_name, gpointer user_data)
{
  ServicePool *service = user_data;

  folder_update(service->folder, name, old_name);
  follow_node(service, event, name, old_name);
  if (service->event_func)
    service->event_func(event, name, old_name, service->event_data);
}

void service_pool_follow(VolumeGroup *group, PoolEventFunc func, gpointer user_data)
{
  ServicePool *service = SERVICE(group);

  service->event_func = func;
  service->event_data = user_data;
  pool_set_event_func(service->inner, on_event, service);
  pool_set_user_func(service->inner, find_user, service);
}

/* --- devices --- */

static void add_device(GPtrArray *devices, const char *path)
{
  for (guint i = 0; i < devices->len; i++)
    if (strcmp(devices->pdata[i], path) == 0)
      return;
  g_ptr_array_add(devices, g_strdup(path));
}

static GPtrArray *read_devices(const char *vg)
{
  g_autofree char *path = settings_vg_file(vg, CONTROL_SERVICE_DEVICES);
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;
  GPtrArray *devices = g_ptr_array_new_with_free_func(g_free);

  if (!g_file_get_contents(path, &text, NULL, NULL))
    return devices;
  lines = g_strsplit(text, "\n", -1);
  for (char **line = lines; *line; line++)
    if (**line)
      add_device(devices, *line);
  return devices;
}

GStrv service_pool_devices(const char *vg)
{
  g_autoptr(GPtrArray) devices = read_devices(vg);

  g_ptr_array_add(devices, NULL);
  g_ptr_array_set_free_func(devices, NULL);
  return (GStrv)g_ptr_array_free(g_steal_pointer(&devices), FALSE);
}

void service_pool_remember_devices(const char *vg, VolumeGroup *inner)
{
  g_autoptr(GPtrArray) devices = read_devices(vg);
  g_autoptr(PoolVgInfo) info = pool_get_vg_info(inner, NULL);
  g_autoptr(GString) text = g_string_new(NULL);
  g_autofree char *path = settings_vg_file(vg, CONTROL_SERVICE_DEVICES);
  g_autoptr(GError) error = NULL;

  for (char **device = info ? info->devices : NULL; device && *device; device++)
    add_device(devices, *device);
  for (guint i = 0; i < devices->len; i++)
    g_string_append_printf(text, "%s\n", (char *)devices->pdata[i]);
  if (!g_file_set_contents_full(path, text->str, text->len, G_FILE_SET_CONTENTS_CONSISTENT, 0600,
                                &error))
    g_warning("a restarted engine may miss a physical volume: %s", error->message);
}

/* --- the table --- */

static gboolean close_pool(VolumeGroup *group, GError **error)
{
  ServicePool *service = SERVICE(group);

  pool_set_event_func(service->inner, NULL, NULL);
  pool_set_user_func(service->inner, NULL, NULL);
  pthread_mutex_destroy(&service->lock);
  g_hash_table_unref(service->asked);
  g_free(service->vg);
  g_free(service->vg_dir);
  g_free(service->links);
  g_free(service);
  return TRUE;
}

static const PoolOps ops = {
    .name = "served",
    .close = close_pool,
    .get_vg_info = get_vg_info,
    .list_pools = list_pools,
    .get_info = get_info,
    .list_volumes = list_volumes,
    .get_volume = get_volume,
    .count_volume = count_volume,
    .usage = usage,
    .delta = delta,
    .change = change,
    .check = check,
    .activate = activate,
    .activate_alone = activate_alone,
    .deactivate = deactivate,
    .volume_open = volume_open,
    .volume_open_view = volume_open_view,
    .commit = commit,
};

VolumeGroup *service_pool_new(const char *vg, VolumeGroup *inner, Folder *folder, Nodes *nodes)
{
  ServicePool *service = g_new0(ServicePool, 1);

  service->base.ops = &ops;
  service->vg = g_strdup(vg);
  service->vg_dir = settings_vg_dir(vg);
  service->links = g_build_filename(settings_dev_dir(), vg, NULL);
  service->inner = inner;
  service->folder = folder;
  service->nodes = nodes;
  pthread_mutex_init(&service->lock, NULL);
  service->asked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  recall_hidden(service);
  return &service->base;
}
