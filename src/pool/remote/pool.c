/* virt-thin - the pool interface over D-Bus to a VG service
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Calls go over <runtime>/<vg>/control, volume I/O through the service's FUSE file. Every call has
 * a deadline.
 *
 * The service's engine may be restarted at any time, while its holder keeps the socket: a lost
 * connection is made again at the next call. A call that was under way then is repeated when it
 * only asks; one that changes something is an error (ECONNRESET), because nobody can tell whether
 * it was carried out.
 */
#include "config.h"

#include <fcntl.h>

#include "control/control.h"
#include "pool/open.h"
#include "pool/pool-private.h"
#include "pool/remote/service.h"
#include "pool/remote/wire.h"
#include "settings/settings.h"
#include "util/name.h"

typedef struct {
  VolumeGroup base;
  char *vg;
  char *socket;
  int timeout_ms;
  GMutex lock; /* of connection */
  GDBusConnection *connection;
} RemotePool;

static const PoolOps remote_ops;

/* --- the connection --- */

/* ENOENT for what means that no service runs, whatever connect() called it. */
static gboolean explain_connect(RemotePool *remote, GError *local, GError **error)
{
  if (g_error_matches(local, VT_ERROR, ENOENT) || g_error_matches(local, VT_ERROR, ECONNREFUSED)) {
    vt_set_error(
        error, ENOENT,
        "volume group %s is not served: no service answers on %s (virt-thin serve %s starts one)",
        remote->vg, remote->socket, remote->vg);
    g_error_free(local);
    return FALSE;
  }
  if (g_error_matches(local, VT_ERROR, ETIMEDOUT))
    g_prefix_error(&local, "the service of volume group %s does not answer: ", remote->vg);
  g_propagate_error(error, local);
  return FALSE;
}

/* A connection that was open a moment ago; the caller's reference. */
static GDBusConnection *get_connection(RemotePool *remote, GError **error)
{
  GDBusConnection *connection;
  GError *local = NULL;

  g_mutex_lock(&remote->lock);
  if (remote->connection && g_dbus_connection_is_closed(remote->connection))
    g_clear_object(&remote->connection);
  if (!remote->connection)
    remote->connection = control_connect(remote->socket, remote->timeout_ms, &local);
  connection = remote->connection ? g_object_ref(remote->connection) : NULL;
  g_mutex_unlock(&remote->lock);
  if (!connection)
    explain_connect(remote, local, error);
  return connection;
}

/* Drop @connection, unless somebody replaced it already. */
static void drop_connection(RemotePool *remote, GDBusConnection *connection)
{
  g_mutex_lock(&remote->lock);
  if (remote->connection == connection)
    g_clear_object(&remote->connection);
  g_mutex_unlock(&remote->lock);
}

static GVariant *call_interface(RemotePool *remote, const char *interface, const char *method,
                                GVariant *in, const char *out, gboolean asks_only, const char *what,
                                GError **error)
{
  g_autoptr(GVariant) parameters = in ? g_variant_ref_sink(in) : NULL;

  for (int attempt = 0;; attempt++) {
    g_autoptr(GDBusConnection) connection = get_connection(remote, error);
    GError *local = NULL;
    GVariant *answer;

    if (!connection)
      return NULL;
    answer = g_dbus_connection_call_sync(
        connection, NULL, CONTROL_OBJECT_PATH, interface, method, parameters, G_VARIANT_TYPE(out),
        G_DBUS_CALL_FLAGS_NO_AUTO_START, remote->timeout_ms, NULL, &local);
    if (answer)
      return answer;
    if (control_error_is_disconnect(local)) {
      drop_connection(remote, connection);
      if (asks_only && attempt < 2) {
        g_error_free(local);
        continue;
      }
    }
    control_propagate_error(error, local, what);
    return NULL;
  }
}

/* A call that changes nothing, and may be repeated. */
static GVariant *ask(VolumeGroup *group, const char *method, GVariant *in, const char *out,
                     const char *what, GError **error)
{
  return call_interface((RemotePool *)group, CONTROL_INTERFACE, method, in, out, TRUE, what, error);
}

static gboolean change(VolumeGroup *group, const char *method, GVariant *in, const char *what,
                       GError **error)
{
  g_autoptr(GVariant) out =
      call_interface((RemotePool *)group, CONTROL_INTERFACE, method, in, "()", FALSE, what, error);

  return out != NULL;
}

static const char *or_empty(const char *text)
{
  return text ? text : "";
}

/* --- what there is --- */

static PoolVgInfo *remote_get_vg_info(VolumeGroup *group, GError **error)
{
  g_autofree char *what =
      g_strdup_printf("asking about volume group %s", ((RemotePool *)group)->vg);
  g_autoptr(GVariant) out = ask(group, "GetVolumeGroup", NULL, "(" POOL_WIRE_VG ")", what, error);
  g_autoptr(GVariant) value = out ? g_variant_get_child_value(out, 0) : NULL;

  return value ? pool_wire_to_vg(value) : NULL;
}

static GPtrArray *remote_list_pools(VolumeGroup *group, GError **error)
{
  g_autofree char *what =
      g_strdup_printf("listing the thin pools of %s", ((RemotePool *)group)->vg);
  g_autoptr(GVariant) out = ask(group, "ListPools", NULL, "(a" POOL_WIRE_POOL ")", what, error);
  GPtrArray *pools;
  GVariantIter *iter;
  GVariant *child;

  if (!out)
    return NULL;
  pools = g_ptr_array_new_with_free_func((GDestroyNotify)pool_info_free);
  g_variant_get(out, "(a" POOL_WIRE_POOL ")", &iter);
  while ((child = g_variant_iter_next_value(iter))) {
    g_ptr_array_add(pools, pool_wire_to_pool(child));
    g_variant_unref(child);
  }
  g_variant_iter_free(iter);
  return pools;
}

static PoolInfo *remote_get_info(VolumeGroup *group, const char *thin_pool, GError **error)
{
  g_autofree char *what = g_strdup_printf("asking about thin pool %s/%s", ((RemotePool *)group)->vg,
                                          or_empty(thin_pool));
  g_autoptr(GVariant) out = NULL;
  g_autoptr(GVariant) value = NULL;

  if (!pool_wire_check_text(thin_pool, error))
    return NULL;
  out = ask(group, "GetPool", g_variant_new("(s)", or_empty(thin_pool)), "(" POOL_WIRE_POOL ")",
            what, error);
  value = out ? g_variant_get_child_value(out, 0) : NULL;
  return value ? pool_wire_to_pool(value) : NULL;
}

static GPtrArray *remote_list_volumes(VolumeGroup *group, const char *thin_pool, GError **error)
{
  g_autofree char *what = g_strdup_printf("listing the volumes of %s", ((RemotePool *)group)->vg);
  g_autoptr(GVariant) out = NULL;
  GPtrArray *volumes;
  GVariantIter *iter;
  GVariant *child;

  if (!pool_wire_check_text(thin_pool, error))
    return NULL;
  out = ask(group, "ListVolumes", g_variant_new("(s)", or_empty(thin_pool)),
            "(a" POOL_WIRE_VOLUME ")", what, error);
  if (!out)
    return NULL;
  volumes = g_ptr_array_new_with_free_func((GDestroyNotify)pool_volume_info_free);
  g_variant_get(out, "(a" POOL_WIRE_VOLUME ")", &iter);
  while ((child = g_variant_iter_next_value(iter))) {
    g_ptr_array_add(volumes, pool_wire_to_volume(child));
    g_variant_unref(child);
  }
  g_variant_iter_free(iter);
  return volumes;
}

static PoolVolumeInfo *remote_get_volume(VolumeGroup *group, const char *name, GError **error)
{
  g_autofree char *what =
      g_strdup_printf("asking about volume %s/%s", ((RemotePool *)group)->vg, name);
  g_autoptr(GVariant) out = NULL;
  g_autoptr(GVariant) value = NULL;

  if (!pool_wire_check_text(name, error))
    return NULL;
  out = ask(group, "GetVolume", g_variant_new("(s)", name), "(" POOL_WIRE_VOLUME ")", what, error);
  value = out ? g_variant_get_child_value(out, 0) : NULL;
  return value ? pool_wire_to_volume(value) : NULL;
}

static gboolean remote_count_volume(VolumeGroup *group, const char *name, guint64 *exclusive,
                                    guint64 *shared, GError **error)
{
  g_autofree char *what =
      g_strdup_printf("counting the chunks of volume %s/%s", ((RemotePool *)group)->vg, name);
  g_autoptr(GVariant) out = NULL;

  if (!pool_wire_check_text(name, error))
    return FALSE;
  out = ask(group, "CountVolume", g_variant_new("(s)", name), "(tt)", what, error);
  if (!out)
    return FALSE;
  g_variant_get(out, "(tt)", exclusive, shared);
  return TRUE;
}

static PoolUsage *remote_usage(VolumeGroup *group, const char *thin_pool, const char *const *chosen,
                               GError **error)
{
  static const char *const none[] = {NULL};
  g_autofree char *what = g_strdup_printf("telling who uses thin pool %s/%s",
                                          ((RemotePool *)group)->vg, or_empty(thin_pool));
  g_autoptr(GVariant) out = NULL;
  g_autoptr(GVariant) value = NULL;

  if (!pool_wire_check_text(thin_pool, error))
    return NULL;
  for (const char *const *name = chosen; name && *name; name++)
    if (!pool_wire_check_text(*name, error))
      return NULL;
  out = ask(group, "Usage",
            g_variant_new("(s^asb)", or_empty(thin_pool), chosen ? chosen : none, chosen == NULL),
            "(" POOL_WIRE_USAGE ")", what, error);
  value = out ? g_variant_get_child_value(out, 0) : NULL;
  return value ? pool_wire_to_usage(value) : NULL;
}

static gboolean remote_delta(VolumeGroup *group, const char *left, const char *right,
                             PoolDeltaFlags flags, guint64 *offset, guint max, GArray *runs,
                             GError **error)
{
  const char *vg = ((RemotePool *)group)->vg;
  g_autofree char *what =
      left ? g_strdup_printf("comparing volumes %s/%s and %s/%s", vg, left, vg, right)
           : g_strdup_printf("reading the map of volume %s/%s", vg, right);
  g_autoptr(GVariant) out = NULL;
  g_autoptr(GVariant) found = NULL;

  if (!pool_wire_check_text(left, error) || !pool_wire_check_text(right, error))
    return FALSE;
  out = ask(group, "Delta",
            g_variant_new("(ssutu)", or_empty(left), right, (guint32)flags, *offset, max),
            "(" POOL_WIRE_DELTA "t)", what, error);
  if (!out)
    return FALSE;
  g_variant_get(out, "(@" POOL_WIRE_DELTA "t)", &found, offset);
  pool_wire_to_delta(found, runs);
  return TRUE;
}

static gboolean remote_check(VolumeGroup *group, const char *thin_pool,
                             const PoolCheckOptions *options, GPtrArray **errors, GPtrArray **leaks,
                             GError **error)
{
  g_autofree char *what =
      g_strdup_printf("checking thin pool %s/%s", ((RemotePool *)group)->vg, or_empty(thin_pool));
  g_autoptr(GVariant) out = NULL;
  g_autoptr(GVariant) found = NULL;
  g_autoptr(GVariant) leaked = NULL;

  if (!pool_wire_check_text(thin_pool, error))
    return FALSE;
  out = ask(group, options->quick ? "CheckQuickly" : "Check",
            g_variant_new("(s)", or_empty(thin_pool)), "(asas)", what, error);
  if (!out)
    return FALSE;
  found = g_variant_get_child_value(out, 0);
  leaked = g_variant_get_child_value(out, 1);
  *errors = pool_wire_to_strings(found);
  *leaks = pool_wire_to_strings(leaked);
  return TRUE;
}

/* --- changing --- */

static gboolean remote_change(VolumeGroup *group, const PoolChange *c, GError **error)
{
  g_autofree char *what = pool_change_failure(c, ((RemotePool *)group)->vg);
  GVariant *in = pool_wire_from_change(c, error);

  return in && change(group, pool_changes[c->kind].method, in, what, error);
}

static gboolean remote_activate(VolumeGroup *group, const char *thin_pool, GError **error)
{
  g_autofree char *what =
      g_strdup_printf("activating thin pool %s/%s", ((RemotePool *)group)->vg, or_empty(thin_pool));

  return pool_wire_check_text(thin_pool, error) &&
         change(group, "Activate", g_variant_new("(s)", or_empty(thin_pool)), what, error);
}

static gboolean remote_activate_alone(VolumeGroup *group, const char *thin_pool, GError **error)
{
  g_autofree char *what =
      g_strdup_printf("activating thin pool %s/%s", ((RemotePool *)group)->vg, thin_pool);

  return pool_wire_check_text(thin_pool, error) &&
         change(group, "ActivateAlone", g_variant_new("(s)", thin_pool), what, error);
}

static gboolean remote_deactivate(VolumeGroup *group, const char *thin_pool, gboolean force,
                                  GError **error)
{
  g_autofree char *what = g_strdup_printf("deactivating thin pool %s/%s", ((RemotePool *)group)->vg,
                                          or_empty(thin_pool));

  return pool_wire_check_text(thin_pool, error) &&
         change(group, "Deactivate", g_variant_new("(sb)", or_empty(thin_pool), force), what,
                error);
}

static gboolean remote_commit(VolumeGroup *group, GError **error)
{
  g_autofree char *what = g_strdup_printf("committing volume group %s", ((RemotePool *)group)->vg);

  return change(group, "Commit", NULL, what, error);
}

/* The file that it is in the service's FUSE folder. */
static VtIo *open_file(const char *vg, const char *name, gboolean read_only, GError **error)
{
  g_autofree char *folder = settings_vg_file(vg, "volumes");
  g_autofree char *path = g_build_filename(folder, name, NULL), *shown = NULL;
  int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);

  shown = g_strdup_printf("%s/%s", vg, name);
  if (fd >= 0)
    return vt_io_new_file(fd, shown, read_only, error);
  vt_set_errno(error, errno, "opening volume %s as %s", shown, path);
  return NULL;
}

static VtIo *remote_volume_open(VolumeGroup *group, const char *name, gboolean read_only,
                                const char *opener, GError **error)
{
  RemotePool *remote = (RemotePool *)group;
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, name, error);
  g_autoptr(PoolInfo) thin_pool = NULL;
  VtIo *io;

  if (!info)
    return NULL;
  if (info->read_only && !read_only) {
    vt_set_error(error, EROFS, "volume %s/%s is read-only", remote->vg, name);
    return NULL;
  }
  io = open_file(remote->vg, name, read_only, error);
  if (io && info->pool)
    thin_pool = pool_get_info(group, info->pool, NULL);
  if (thin_pool)
    io->chunk_size = thin_pool->chunk_size;
  return io;
}

/* --- opening --- */

static gboolean remote_close(VolumeGroup *group, GError **error)
{
  RemotePool *remote = (RemotePool *)group;

  if (remote->connection) {
    g_dbus_connection_close(remote->connection, NULL, NULL, NULL);
    g_object_unref(remote->connection);
  }
  g_mutex_clear(&remote->lock);
  g_free(remote->socket);
  g_free(remote->vg);
  g_free(remote);
  return TRUE;
}

static const PoolOps remote_ops = {
    .name = "served",
    .holder = POOL_HOLDER_SERVICE,
    .close = remote_close,
    .get_vg_info = remote_get_vg_info,
    .list_pools = remote_list_pools,
    .get_info = remote_get_info,
    .list_volumes = remote_list_volumes,
    .get_volume = remote_get_volume,
    .count_volume = remote_count_volume,
    .usage = remote_usage,
    .delta = remote_delta,
    .change = remote_change,
    .check = remote_check,
    .activate = remote_activate,
    .activate_alone = remote_activate_alone,
    .deactivate = remote_deactivate,
    .volume_open = remote_volume_open,
    .commit = remote_commit,
};

VolumeGroup *pool_connect(const char *vg, guint timeout_ms, GError **error)
{
  g_autoptr(GVariant) name = NULL;
  RemotePool *remote;
  int wanted;

  if (!vt_vg_name_check(vg, error))
    return NULL;
  remote = g_new0(RemotePool, 1);
  remote->base.ops = &remote_ops;
  g_mutex_init(&remote->lock);
  remote->vg = g_strdup(vg);
  remote->socket = settings_vg_file(vg, "control");
  wanted = timeout_ms ? (int)MIN(timeout_ms, G_MAXINT) : CONTROL_DEFAULT_TIMEOUT_MS;
  remote->timeout_ms = MIN(wanted, CONTROL_DEFAULT_TIMEOUT_MS);
  /* A socket that accepts is no service yet: its main loop has to answer. */
  name = call_interface(remote, "org.freedesktop.DBus.Properties", "Get",
                        g_variant_new("(ss)", CONTROL_INTERFACE, "Name"), "(v)", TRUE,
                        "connecting to the service", error);
  if (!name) {
    remote_close(&remote->base, NULL);
    return NULL;
  }
  remote->timeout_ms = wanted;
  return &remote->base;
}
