/* virt-thin - the D-Bus object of a VG service over its pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * GDBus hands each call to the main loop, which only queues it; threads run it against the pool.
 * Stop has a thread of its own: others may all wait for a disk. The pool outlives its calls:
 * control_server_stop() waits for those under way.
 */
#include "config.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "control/control-info.h"
#include "control/control-socket.h"
#include "control/control.h"
#include "pool/remote/wire.h"
#include "service/process/control-server.h"
#include "settings/settings.h"
#include "util/latency.h"

#define CALLS_AT_ONCE 32
#define PEERS_MAX 256 /* or an eighth of the descriptors there may be */
#define USER_SHARE 4  /* of them, that peers of one user other than root have: one in so many */
#define PEER_CALLS_MAX 256        /* under way */
#define CALLS_SIZE_MAX (8u << 20) /* bytes of what calls under way say, together */
#define ANSWER_SIZE 512           /* beside what it says */
#define UNREAD_MAX (64u << 20)    /* bytes of answers that peers have not read, together */

struct ControlServer {
  VolumeGroup *group;
  char *vg;
  ControlStopFunc stop_func;
  gpointer user_data;
  ControlListener *listener;
  GThreadPool *threads;
  GMutex lock; /* of what follows */
  GCond idle;
  guint n_calls;
  gsize calls_size; /* of what they say */
  gboolean stopping;
  GPtrArray *peers; /* of GDBusConnection, the one that has been silent longest first */
  guint max_peers;
};

/* --- one function per method: the answer's tuple (floating), or NULL with an error --- */

/* "" is how an absent name travels. */
static const char *optional(const char *name)
{
  return *name ? name : NULL;
}

static GVariant *done(gboolean ok)
{
  return ok ? g_variant_new("()") : NULL;
}

static GVariant *call_get_volume_group(VolumeGroup *group, GVariant *in, GError **error)
{
  g_autoptr(PoolVgInfo) info = pool_get_vg_info(group, error);

  return info ? g_variant_new("(@" POOL_WIRE_VG ")", pool_wire_from_vg(info)) : NULL;
}

static GVariant *call_list_pools(VolumeGroup *group, GVariant *in, GError **error)
{
  g_autoptr(GPtrArray) pools = pool_list_pools(group, error);
  GVariantBuilder builder;

  if (!pools)
    return NULL;
  g_variant_builder_init(&builder, G_VARIANT_TYPE("a" POOL_WIRE_POOL));
  for (guint i = 0; i < pools->len; i++)
    g_variant_builder_add_value(&builder, pool_wire_from_pool(pools->pdata[i]));
  return g_variant_new("(@a" POOL_WIRE_POOL ")", g_variant_builder_end(&builder));
}

static GVariant *call_get_pool(VolumeGroup *group, GVariant *in, GError **error)
{
  g_autoptr(PoolInfo) info = NULL;
  const char *name;

  g_variant_get(in, "(&s)", &name);
  info = pool_get_info(group, optional(name), error);
  return info ? g_variant_new("(@" POOL_WIRE_POOL ")", pool_wire_from_pool(info)) : NULL;
}

static GVariant *call_list_volumes(VolumeGroup *group, GVariant *in, GError **error)
{
  g_autoptr(GPtrArray) volumes = NULL;
  GVariantBuilder builder;
  const char *name;

  g_variant_get(in, "(&s)", &name);
  volumes = pool_list_volumes(group, optional(name), error);
  if (!volumes)
    return NULL;
  g_variant_builder_init(&builder, G_VARIANT_TYPE("a" POOL_WIRE_VOLUME));
  for (guint i = 0; i < volumes->len; i++)
    g_variant_builder_add_value(&builder, pool_wire_from_volume(volumes->pdata[i]));
  return g_variant_new("(@a" POOL_WIRE_VOLUME ")", g_variant_builder_end(&builder));
}

static GVariant *call_get_volume(VolumeGroup *group, GVariant *in, GError **error)
{
  g_autoptr(PoolVolumeInfo) info = NULL;
  const char *name;

  g_variant_get(in, "(&s)", &name);
  info = pool_get_volume(group, name, error);
  return info ? g_variant_new("(@" POOL_WIRE_VOLUME ")", pool_wire_from_volume(info)) : NULL;
}

static GVariant *call_count_volume(VolumeGroup *group, GVariant *in, GError **error)
{
  guint64 exclusive, shared;
  const char *name;

  g_variant_get(in, "(&s)", &name);
  return pool_count_volume(group, name, &exclusive, &shared, error)
             ? g_variant_new("(tt)", exclusive, shared)
             : NULL;
}

static GVariant *call_usage(VolumeGroup *group, GVariant *in, GError **error)
{
  g_autofree const char **chosen = NULL;
  g_autoptr(PoolUsage) usage = NULL;
  const char *name;
  gboolean all;

  g_variant_get(in, "(&s^a&sb)", &name, &chosen, &all);
  usage = pool_usage(group, optional(name), all ? NULL : chosen, error);
  return usage ? g_variant_new("(@" POOL_WIRE_USAGE ")", pool_wire_from_usage(usage)) : NULL;
}

static GVariant *call_delta(VolumeGroup *group, GVariant *in, GError **error)
{
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(PoolDeltaRun));
  const char *left, *right;
  guint32 flags, max;
  guint64 offset;

  g_variant_get(in, "(&s&sutu)", &left, &right, &flags, &offset, &max);
  return pool_delta(group, optional(left), right, flags, &offset, max, runs, error)
             ? g_variant_new("(@" POOL_WIRE_DELTA "t)", pool_wire_from_delta(runs), offset)
             : NULL;
}

static GVariant *check_as(VolumeGroup *group, GVariant *in, gboolean quick, GError **error)
{
  const PoolCheckOptions options = {.quick = quick};
  g_autoptr(GPtrArray) errors = NULL, leaks = NULL;
  const char *name;

  g_variant_get(in, "(&s)", &name);
  if (!pool_check_as(group, optional(name), &options, &errors, &leaks, error))
    return NULL;
  return g_variant_new("(@as@as)", pool_wire_from_strings(errors), pool_wire_from_strings(leaks));
}

static GVariant *call_check(VolumeGroup *group, GVariant *in, GError **error)
{
  return check_as(group, in, FALSE, error);
}

static GVariant *call_check_quickly(VolumeGroup *group, GVariant *in, GError **error)
{
  return check_as(group, in, TRUE, error);
}

static GVariant *call_activate(VolumeGroup *group, GVariant *in, GError **error)
{
  const char *name;

  g_variant_get(in, "(&s)", &name);
  return done(pool_activate(group, optional(name), error));
}

static GVariant *call_activate_alone(VolumeGroup *group, GVariant *in, GError **error)
{
  const char *name;

  g_variant_get(in, "(&s)", &name);
  return done(pool_activate_alone(group, name, error));
}

static GVariant *call_deactivate(VolumeGroup *group, GVariant *in, GError **error)
{
  const char *name;
  gboolean force;

  g_variant_get(in, "(&sb)", &name, &force);
  return done(pool_deactivate(group, optional(name), force, error));
}

static GVariant *call_commit(VolumeGroup *group, GVariant *in, GError **error)
{
  return done(pool_commit(group, error));
}

static const struct {
  const char *method;
  GVariant *(*call)(VolumeGroup *group, GVariant *in, GError **error);
} methods[] = {
    {"GetVolumeGroup", call_get_volume_group},
    {"ListPools", call_list_pools},
    {"GetPool", call_get_pool},
    {"ListVolumes", call_list_volumes},
    {"GetVolume", call_get_volume},
    {"CountVolume", call_count_volume},
    {"Usage", call_usage},
    {"Delta", call_delta},
    {"Check", call_check},
    {"CheckQuickly", call_check_quickly},
    {"Activate", call_activate},
    {"ActivateAlone", call_activate_alone},
    {"Deactivate", call_deactivate},
    {"Commit", call_commit},
};

/* --- calls --- */

static void return_error(GDBusMethodInvocation *invocation, GError *error)
{
  g_autofree char *message = g_utf8_make_valid(error->message, -1);

  g_dbus_method_invocation_return_dbus_error(invocation,
                                             control_error_name(vt_error_to_errno(error)), message);
  g_error_free(error);
}

/* What a peer carries: calls that are under way; bytes of answers that it has not read; whether we
 * have hung up on it. */
static const char CALLS[] = "virt-thin-calls", UNREAD[] = "virt-thin-unread",
                  GONE[] = "virt-thin-gone";

static gsize count(GDBusConnection *peer, const char *what, gssize by)
{
  gsize n = GPOINTER_TO_SIZE(g_object_get_data(G_OBJECT(peer), what)) + by;

  g_object_set_data(G_OBJECT(peer), what, GSIZE_TO_POINTER(n));
  return n;
}

/* --- answers that are not read --- */

static struct {
  GMutex lock; /* of all peers' UNREAD and GONE, too; after ControlServer.lock */
  gsize bytes; /* of those that are not GONE */
} unread;

/* Also while it reads nothing, for which g_dbus_connection_close() would wait. */
static void hang_up(GDBusConnection *peer)
{
  g_mutex_lock(&unread.lock);
  if (count(peer, GONE, 0) == 0) {
    count(peer, GONE, 1);
    unread.bytes -= count(peer, UNREAD, 0);
  }
  g_mutex_unlock(&unread.lock);
  g_socket_shutdown(control_peer_socket(peer), TRUE, TRUE, NULL);
  g_dbus_connection_close(peer, NULL, NULL, NULL);
}

static gboolean is_gone(GDBusConnection *peer)
{
  g_mutex_lock(&unread.lock);
  gboolean gone = count(peer, GONE, 0) > 0;
  g_mutex_unlock(&unread.lock);
  return gone;
}

/* @size may be negative. */
static void count_unread(GDBusConnection *peer, gssize size)
{
  g_mutex_lock(&unread.lock);
  count(peer, UNREAD, size);
  if (count(peer, GONE, 0) == 0)
    unread.bytes += size;
  g_mutex_unlock(&unread.lock);
}

static void answer_read(GObject *peer, GAsyncResult *result, gpointer size)
{
  g_dbus_connection_flush_finish(G_DBUS_CONNECTION(peer), result, NULL);
  count_unread(G_DBUS_CONNECTION(peer), -(gssize)GPOINTER_TO_SIZE(size));
}

/* The peer with most to read, the caller's; NULL: all together is not too much. */
static GDBusConnection *worst_reader(ControlServer *server)
{
  GDBusConnection *worst = NULL;

  g_mutex_lock(&server->lock);
  g_mutex_lock(&unread.lock);
  for (guint i = 0; unread.bytes > UNREAD_MAX && i < server->peers->len; i++) {
    GDBusConnection *peer = server->peers->pdata[i];
    if (!count(peer, GONE, 0) && (!worst || count(peer, UNREAD, 0) > count(worst, UNREAD, 0)))
      worst = peer;
  }
  if (worst)
    g_object_ref(worst);
  g_mutex_unlock(&unread.lock);
  g_mutex_unlock(&server->lock);
  return worst;
}

/* An answer of @size bytes is on its way to @peer. Those who read none have to go when all of them
 * are too much. */
static void note_answer(ControlServer *server, GDBusConnection *peer, gsize size)
{
  count_unread(peer, (gssize)size);
  g_dbus_connection_flush(peer, NULL, answer_read, GSIZE_TO_POINTER(size));
  g_autoptr(GDBusConnection) worst = worst_reader(server);
  if (!worst)
    return;
  g_warning("control socket of %s: peers have not read %u MiB of answers, the one with most of "
            "them is disconnected",
            server->vg, UNREAD_MAX >> 20);
  hang_up(worst);
}

/* --- calls under way --- */

/* What it says, in memory, is a multiple of this. */
static gsize size_of_call(GDBusMethodInvocation *invocation)
{
  return g_variant_get_size(g_dbus_method_invocation_get_parameters(invocation));
}

/* 0, or why the call cannot be taken: ESHUTDOWN, EAGAIN. */
static int begin_call(ControlServer *server, GDBusMethodInvocation *invocation)
{
  GDBusConnection *peer = g_dbus_method_invocation_get_connection(invocation);
  gsize size = size_of_call(invocation), n = 0;
  int err = 0;
  guint i;

  g_mutex_lock(&server->lock);
  if (server->stopping)
    err = ESHUTDOWN;
  else if (server->n_calls && server->calls_size + size > CALLS_SIZE_MAX)
    err = EAGAIN;
  if (!err) {
    server->n_calls++;
    server->calls_size += size;
    n = count(peer, CALLS, 1);
  }
  if (g_ptr_array_find(server->peers, peer, &i))
    g_ptr_array_add(server->peers, g_ptr_array_steal_index(server->peers, i));
  g_mutex_unlock(&server->lock);
  if (n > PEER_CALLS_MAX)
    hang_up(peer);
  return err;
}

static void end_call(ControlServer *server, GDBusConnection *peer, gsize size)
{
  g_mutex_lock(&server->lock);
  count(peer, CALLS, -1);
  server->calls_size -= size;
  if (--server->n_calls == 0)
    g_cond_broadcast(&server->idle);
  g_mutex_unlock(&server->lock);
}

/* One that only asks, or a change. NULL without an error: there is no such method. */
static GVariant *answer_call(VolumeGroup *group, const char *method, GVariant *in, GError **error)
{
  g_auto(PoolChange) change = {0};
  g_autoptr(GError) failure = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS(methods); i++)
    if (strcmp(method, methods[i].method) == 0)
      return methods[i].call(group, in, error);
  if (pool_wire_to_change(method, in, &change, &failure))
    return done(pool_change(group, &change, error));
  if (failure)
    g_propagate_error(error, g_steal_pointer(&failure));
  return NULL;
}

static void run_call(gpointer data, gpointer user_data)
{
  ControlServer *server = user_data;
  GDBusMethodInvocation *invocation = data;
  g_autoptr(GDBusConnection) peer =
      g_object_ref(g_dbus_method_invocation_get_connection(invocation));
  const char *name = g_dbus_method_invocation_get_method_name(invocation);
  GError *error = NULL;
  gsize size = ANSWER_SIZE, asked = size_of_call(invocation);
  GVariant *answer = NULL;

  if (is_gone(peer))
    vt_set_error(&error, ESHUTDOWN, "the peer has been disconnected");
  else
    answer = answer_call(server->group, name, g_dbus_method_invocation_get_parameters(invocation),
                         &error);
  if (answer) {
    size += g_variant_get_size(answer);
    g_dbus_method_invocation_return_value(invocation, answer);
  } else if (error)
    return_error(invocation, error);
  else
    g_dbus_method_invocation_return_dbus_error(invocation,
                                               "org.freedesktop.DBus.Error.UnknownMethod", name);
  note_answer(server, peer, size);
  end_call(server, peer, asked);
}

typedef struct {
  ControlServer *server;
  GDBusMethodInvocation *invocation;
} StopCall;

static gpointer run_stop(gpointer data)
{
  g_autofree StopCall *call = data;
  ControlServer *server = call->server;
  GDBusMethodInvocation *invocation = call->invocation;
  g_autoptr(GDBusConnection) peer =
      g_object_ref(g_dbus_method_invocation_get_connection(invocation));
  gsize asked = size_of_call(invocation);
  GError *error = NULL;
  gboolean force;

  g_variant_get(g_dbus_method_invocation_get_parameters(invocation), "(b)", &force);
  if (server->stop_func(force, server->user_data, &error))
    g_dbus_method_invocation_return_value(invocation, NULL);
  else
    return_error(invocation, error);
  end_call(server, peer, asked);
  return NULL;
}

static void call_stop(ControlServer *server, GDBusMethodInvocation *invocation)
{
  StopCall *call = g_new(StopCall, 1);

  *call = (StopCall){server, invocation};
  g_thread_unref(g_thread_new("stop", run_stop, call));
}

/* It is not taken. */
static void refuse_call(ControlServer *server, GDBusMethodInvocation *invocation, int err)
{
  GError *error = NULL;

  if (err == ESHUTDOWN)
    vt_set_error(&error, err,
                 "the service of volume group %s is ending: start it again with virt-thin serve %s",
                 server->vg, server->vg);
  else
    vt_set_error(&error, err,
                 "the service of volume group %s has more calls under way than it keeps: try again",
                 server->vg);
  return_error(invocation, error);
}

static void method_call(GDBusConnection *connection, const char *sender, const char *path,
                        const char *interface, const char *method, GVariant *parameters,
                        GDBusMethodInvocation *invocation, gpointer user_data)
{
  ControlServer *server = user_data;
  int err = begin_call(server, invocation);

  if (err)
    refuse_call(server, invocation, err);
  else if (strcmp(method, "Stop") == 0)
    call_stop(server, invocation);
  else
    g_thread_pool_push(server->threads, invocation, NULL);
}

/* All histograms, as the property Requests. */
static GVariant *describe_requests(void)
{
  GVariantBuilder rows;

  g_variant_builder_init(&rows, G_VARIANT_TYPE("a(ssattt)"));
  for (LatencyWay way = 0; way < LATENCY_WAYS; way++)
    for (LatencyKind kind = 0; kind < LATENCY_KINDS; kind++) {
      LatencyCounts counts = latency_get(way, kind);

      g_variant_builder_add(&rows, "(ss@attt)", latency_ways[way], latency_kinds[kind],
                            g_variant_new_fixed_array(G_VARIANT_TYPE_UINT64, counts.counts,
                                                      G_N_ELEMENTS(counts.counts),
                                                      sizeof *counts.counts),
                            counts.time, counts.bytes);
    }
  return g_variant_new("(@ata(ssattt))",
                       g_variant_new_fixed_array(G_VARIANT_TYPE_UINT64, latency_bounds,
                                                 LATENCY_BOUNDS, sizeof *latency_bounds),
                       &rows);
}

static GVariant *get_property(GDBusConnection *connection, const char *sender, const char *path,
                              const char *interface, const char *property, GError **error,
                              gpointer user_data)
{
  ControlServer *server = user_data;

  if (strcmp(property, "Name") == 0)
    return g_variant_new_string(server->vg);
  if (strcmp(property, "Version") == 0)
    return g_variant_new_string(PACKAGE_VERSION);
  if (strcmp(property, "Requests") == 0)
    return describe_requests();
  return g_variant_new_uint32((guint32)getpid());
}

/* --- peers --- */

static void peer_closed(GDBusConnection *connection, gboolean by_peer, GError *error,
                        gpointer user_data)
{
  ControlServer *server = user_data;

  g_signal_handlers_disconnect_by_data(connection, server);
  g_mutex_lock(&server->lock);
  g_ptr_array_remove(server->peers, connection);
  g_mutex_unlock(&server->lock);
}

static uid_t user_of(GDBusConnection *peer)
{
  uid_t uid = (uid_t)-1;

  control_socket_peer(g_socket_get_fd(control_peer_socket(peer)), &uid, NULL, NULL, NULL);
  return uid;
}

/* The first, of @uid's if that is not NULL, that waits for nothing: taken out, the caller's. */
static GDBusConnection *take_silent(ControlServer *server, const uid_t *uid)
{
  for (guint i = 0; i < server->peers->len; i++)
    if (!count(server->peers->pdata[i], CALLS, 0) &&
        (!uid || user_of(server->peers->pdata[i]) == *uid))
      return g_ptr_array_steal_index(server->peers, i);
  return NULL;
}

/* The one to make way for @peer, the caller's: it may be @peer itself. Called with the lock held;
 * NULL: none has to, or can. */
static GDBusConnection *who_makes_way(ControlServer *server, GDBusConnection *peer)
{
  uid_t uid = user_of(peer);
  GDBusConnection *silent = NULL;
  guint n = 0;

  for (guint i = 0; i < server->peers->len; i++)
    n += user_of(server->peers->pdata[i]) == uid;
  if (uid != 0 && uid != geteuid() && n >= server->max_peers / USER_SHARE) {
    silent = take_silent(server, &uid);
    return silent ? silent : g_object_ref(peer);
  }
  return server->peers->len >= server->max_peers ? take_silent(server, NULL) : NULL;
}

static void add_peer(ControlServer *server, GDBusConnection *peer)
{
  g_autoptr(GDBusConnection) silent = NULL;

  g_mutex_lock(&server->lock);
  silent = who_makes_way(server, peer);
  if (silent != peer)
    g_ptr_array_add(server->peers, g_object_ref(peer));
  g_mutex_unlock(&server->lock);
  if (silent) {
    g_info("control socket of %s: %u peers may be connected, and of a user other than root one in "
           "%u: the one that has been silent longest makes way for another",
           server->vg, server->max_peers, USER_SHARE);
    hang_up(silent);
  }
}

static void peer_came(GDBusConnection *connection, gpointer user_data)
{
  static const GDBusInterfaceVTable vtable = {.method_call = method_call,
                                              .get_property = get_property};
  ControlServer *server = user_data;
  g_autoptr(GError) error = NULL;

  if (!g_dbus_connection_register_object(
          connection, CONTROL_OBJECT_PATH,
          (GDBusInterfaceInfo *)&org_virt_thin_volume_group1_interface, &vtable, server, NULL,
          &error)) {
    g_warning("control socket of %s: %s", server->vg, error->message);
    g_dbus_connection_close(connection, NULL, NULL, NULL);
    return;
  }
  g_signal_connect(connection, "closed", G_CALLBACK(peer_closed), server);
  add_peer(server, connection);
}

guint control_server_n_peers(ControlServer *server)
{
  guint n;

  g_mutex_lock(&server->lock);
  n = server->peers->len;
  g_mutex_unlock(&server->lock);
  return n;
}

static GPtrArray *copy_peers(ControlServer *server)
{
  GPtrArray *peers = g_ptr_array_new_with_free_func(g_object_unref);

  g_mutex_lock(&server->lock);
  for (guint i = 0; i < server->peers->len; i++)
    g_ptr_array_add(peers, g_object_ref(server->peers->pdata[i]));
  g_mutex_unlock(&server->lock);
  return peers;
}

void control_server_emit(ControlServer *server, PoolEvent event, const char *name,
                         const char *old_name)
{
  g_autoptr(GPtrArray) peers = copy_peers(server);

  for (guint i = 0; i < peers->len; i++)
    g_dbus_connection_emit_signal(
        peers->pdata[i], NULL, CONTROL_OBJECT_PATH, CONTROL_INTERFACE, "VolumeChanged",
        g_variant_new("(sss)", pool_wire_event(event), name ? name : "", old_name ? old_name : ""),
        NULL);
}

/* --- the server's life --- */

static guint count_max_peers(void)
{
  struct rlimit limit;

  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? CLAMP(limit.rlim_cur / 8, 8, PEERS_MAX)
                                               : PEERS_MAX;
}

ControlServer *control_server_new(VolumeGroup *group, int listen_fd, ControlStopFunc stop,
                                  gpointer user_data, GError **error)
{
  g_autoptr(PoolVgInfo) info = pool_get_vg_info(group, error);
  ControlServer *server;

  if (!info)
    return NULL;
  server = g_new0(ControlServer, 1);
  g_mutex_init(&server->lock);
  g_cond_init(&server->idle);
  server->group = group;
  server->vg = g_strdup(info->name);
  server->stop_func = stop;
  server->max_peers = count_max_peers();
  server->user_data = user_data;
  server->peers = g_ptr_array_new_with_free_func(g_object_unref);
  server->threads = g_thread_pool_new(run_call, server, CALLS_AT_ONCE, FALSE, NULL);
  server->listener = control_listener_new(listen_fd, (settings_socket_mode() & 0077) != 0,
                                          peer_came, server, error);
  if (!server->listener) {
    control_server_free(server);
    return NULL;
  }
  return server;
}

typedef struct {
  GPtrArray *peers;
  GAsyncQueue *done;
} Flush;

static gpointer flush_peers(gpointer data)
{
  Flush *flush = data;

  for (guint i = 0; i < flush->peers->len; i++)
    g_dbus_connection_flush_sync(flush->peers->pdata[i], NULL, NULL);
  g_async_queue_push(flush->done, flush);
  g_ptr_array_unref(flush->peers);
  g_async_queue_unref(flush->done);
  g_free(flush);
  return NULL;
}

/* Let answers that are still queued reach the peers. In a thread of its own: a peer that does not
 * read must not hold us up. */
static void flush_answers(ControlServer *server, guint timeout_ms)
{
  g_autoptr(GAsyncQueue) done = g_async_queue_new();
  Flush *flush = g_new0(Flush, 1);

  flush->peers = copy_peers(server);
  flush->done = g_async_queue_ref(done);
  g_thread_unref(g_thread_new("flush", flush_peers, flush));
  g_async_queue_timeout_pop(done, timeout_ms * (guint64)G_TIME_SPAN_MILLISECOND);
}

static gboolean wait_idle(ControlServer *server, gint64 deadline)
{
  gboolean idle = TRUE;

  g_mutex_lock(&server->lock);
  server->stopping = TRUE;
  while (server->n_calls && idle)
    idle = g_cond_wait_until(&server->idle, &server->lock, deadline);
  idle = server->n_calls == 0;
  g_mutex_unlock(&server->lock);
  return idle;
}

gboolean control_server_stop(ControlServer *server, guint timeout_ms)
{
  gint64 deadline = g_get_monotonic_time() + timeout_ms * G_TIME_SPAN_MILLISECOND;
  gboolean idle;

  g_clear_pointer(&server->listener, control_listener_free);
  idle = wait_idle(server, deadline);
  flush_answers(server, 500);
  return idle;
}

void control_server_free(ControlServer *server)
{
  if (!server)
    return;
  g_clear_pointer(&server->listener, control_listener_free);
  for (guint i = 0; i < server->peers->len; i++) {
    g_signal_handlers_disconnect_by_data(server->peers->pdata[i], server);
    g_dbus_connection_close(server->peers->pdata[i], NULL, NULL, NULL);
  }
  g_thread_pool_free(server->threads, FALSE, TRUE);
  g_ptr_array_unref(server->peers);
  g_cond_clear(&server->idle);
  g_mutex_clear(&server->lock);
  g_free(server->vg);
  g_free(server);
}
