/* virt-thin - tests of the D-Bus layer: remote/pool.c against control-server.c in one process
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Behind the server is a fake pool. The server runs in a thread of its own.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/control-socket.h"
#include "control/control.h"
#include "control/service.h"
#include "pool/open.h"
#include "pool/remote/service.h"
#include "pool/remote/wire.h"
#include "settings/settings.h"
#include "service/process/control-server.h"
#include "fake-pool.h"

/* --- the server's thread --- */

static char *top;
static FakePool fake = {.base = {&fake_pool_ops}, .n_volumes = 12};
static int listen_fd = -1;

typedef struct {
  GThread *thread;
  GMainLoop *loop;
  GAsyncQueue *ready;
  ControlServer *server;
  gboolean refuse_stop;
  int stopped; /* 1 + force */
} Host;
static Host host;

#define PEERS_MOST 128 /* of 1024 descriptors */

static gboolean host_stop(gboolean force, gpointer user_data, GError **error)
{
  if (host.refuse_stop && !force)
    return vt_set_error(error, EBUSY, "volume vg0/x is open: qemu, pid 99");
  host.stopped = 1 + force;
  return TRUE;
}

static gpointer host_thread(gpointer data)
{
  GError *error = NULL;

  host.server = control_server_new(&fake.base, listen_fd, host_stop, NULL, &error);
  if (!host.server)
    g_error("%s", error->message);
  g_async_queue_push(host.ready, &host);
  g_main_loop_run(host.loop);
  if (!control_server_stop(host.server, 2000))
    g_error("calls are still running");
  control_server_free(host.server);
  while (g_main_context_iteration(NULL, FALSE))
    ;
  return NULL;
}

static void start_host(void)
{
  host.loop = g_main_loop_new(NULL, FALSE);
  host.ready = g_async_queue_new();
  host.thread = g_thread_new("host", host_thread, NULL);
  g_async_queue_pop(host.ready);
}

static gboolean quit_loop(gpointer loop)
{
  g_main_loop_quit(loop);
  return G_SOURCE_REMOVE;
}

static void stop_host(void)
{
  g_idle_add(quit_loop, host.loop);
  g_thread_join(host.thread);
  g_main_loop_unref(host.loop);
  g_async_queue_unref(host.ready);
  memset(&host, 0, sizeof host);
}

static char *vg_path(const char *name)
{
  return settings_vg_file(FAKE_POOL_VG, name);
}

static int group_setup(void **state)
{
  g_autofree char *folder = NULL, *path = NULL, *program = NULL, *config = NULL;
  GError *error = NULL;

  struct rlimit limit;

  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = 8 * PEERS_MOST;
  setrlimit(RLIMIT_NOFILE, &limit);
  top = g_dir_make_tmp("virt-thin-control-XXXXXX", NULL);
  g_chmod(top, 0755);
  g_setenv("VIRT_THIN_RUNTIME_DIR", top, TRUE);
  config = g_build_filename(top, "virt-thin.conf", NULL);
  g_file_set_contents(config, "[service]\nsocket-mode=0600\n", -1, NULL);
  g_setenv("VIRT_THIN_CONFIG", config, TRUE);
  program = g_build_filename(top, "program", NULL);
  g_setenv("VIRT_THIN_PROGRAM", program, TRUE);
  folder = settings_vg_dir(FAKE_POOL_VG);
  g_mkdir(folder, 0755);
  path = vg_path("control");
  listen_fd = control_socket_listen(path, 0600, NULL, &error);
  if (listen_fd < 0)
    g_error("%s", error->message);
  start_host();
  return 0;
}

static void remove_tree(const char *path)
{
  GDir *dir = g_dir_open(path, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *child = g_build_filename(path, name, NULL);

    remove_tree(child);
  }
  if (dir)
    g_dir_close(dir);
  g_remove(path);
}

static int group_teardown(void **state)
{
  stop_host();
  close(listen_fd);
  remove_tree(top);
  g_free(top);
  g_clear_pointer(&fake.asked, g_free);
  return 0;
}

static int setup(void **state)
{
  fake.fail = 0;
  fake.n_volumes = 12;
  return 0;
}

static VolumeGroup *connected(guint timeout_ms)
{
  GError *error = NULL;
  VolumeGroup *group = pool_connect(FAKE_POOL_VG, timeout_ms, &error);

  if (!group)
    fail_msg("%s", error->message);
  return group;
}

static void assert_error(GError **error, int code, const char *part)
{
  assert_non_null(*error);
  assert_true((*error)->domain == VT_ERROR);
  if (!strstr((*error)->message, part))
    fail_msg("\"%s\" is not in \"%s\"", part, (*error)->message);
  assert_int_equal((*error)->code, code);
  g_clear_error(error);
}

/* --- tests --- */

static void assert_same_text(const char *a, const char *b)
{
  if (g_strcmp0(a, b) != 0)
    fail_msg("%s is not %s", a, b);
}

static void assert_same_volume(PoolVolumeInfo *a, PoolVolumeInfo *b)
{
  assert_same_text(a->vg, b->vg);
  assert_same_text(a->name, b->name);
  assert_same_text(a->uuid, b->uuid);
  assert_int_equal(a->kind, b->kind);
  assert_same_text(a->pool, b->pool);
  assert_same_text(a->origin, b->origin);
  assert_same_text(a->snapshot_of, b->snapshot_of);
  assert_same_text(a->snapshot_name, b->snapshot_name);
  assert_true(a->size == b->size);
  assert_true(a->mapped == b->mapped);
  assert_true(a->vmid == b->vmid);
  assert_int_equal(a->device_id, b->device_id);
  assert_int_equal(a->read_only, b->read_only);
  assert_int_equal(a->active, b->active);
  assert_int_equal(a->path_is_block, b->path_is_block);
  assert_true(a->creation_time == b->creation_time);
  assert_same_text(a->path, b->path);
  assert_same_text(a->damage, b->damage);
  assert_non_null(b->tags);
  assert_int_equal(g_strv_length(b->tags), a->tags ? g_strv_length(a->tags) : 0);
  for (guint i = 0; a->tags && a->tags[i]; i++)
    assert_string_equal(a->tags[i], b->tags[i]);
}

static void test_volumes(void **state)
{
  g_autoptr(VolumeGroup) group = connected(0);
  g_autoptr(GPtrArray) volumes = pool_list_volumes(group, NULL, NULL);
  g_autoptr(PoolVolumeInfo) one = NULL;

  assert_string_equal(fake.asked, "list_volumes NULL");
  assert_int_equal(volumes->len, 12);
  for (guint i = 0; i < volumes->len; i++) {
    g_autoptr(PoolVolumeInfo) expected = fake_pool_make_volume(i);

    assert_same_volume(expected, volumes->pdata[i]);
  }
  g_ptr_array_unref(volumes);
  volumes = pool_list_volumes(group, "data", NULL);
  assert_string_equal(fake.asked, "list_volumes data");
  one = pool_get_volume(group, "vm-102-disk-0", NULL);
  assert_string_equal(fake.asked, "get_volume vm-102-disk-0");
  assert_same_volume(volumes->pdata[2], one);
}

static void assert_info(PoolInfo *info)
{
  g_autoptr(PoolInfo) expected = fake_pool_make_info();

  assert_string_equal(info->vg, FAKE_POOL_VG);
  assert_string_equal(info->name, "data");
  assert_string_equal(info->uuid, "uuid");
  assert_int_equal(info->size, 1);
  assert_int_equal(info->used, 2);
  assert_int_equal(info->metadata_size, 3);
  assert_int_equal(info->metadata_used, 4);
  assert_int_equal(info->chunk_size, 65536);
  assert_int_equal(info->virtual_size, 6);
  assert_int_equal(info->transaction_id, 7);
  assert_int_equal(info->n_volumes, 8);
  assert_true(info->needs_check);
  assert_int_equal(info->metadata_spare, 10);
  assert_int_equal(info->max_size, 11);
  assert_int_equal(info->grows_at, 80);
  assert_int_equal(info->grows_by, 20);
  assert_string_equal(info->unwatched, "nobody does");
  assert_false(info->read_only);
  assert_true(info->active);
  assert_string_equal(info->health, expected->health);
}

static void test_pools(void **state)
{
  g_autoptr(VolumeGroup) group = connected(0);
  g_autoptr(GPtrArray) pools = pool_list_pools(group, NULL);
  g_autoptr(PoolInfo) info = pool_get_info(group, "data", NULL);

  assert_string_equal(fake.asked, "get_info data");
  assert_int_equal(pools->len, 2);
  assert_info(pools->pdata[1]);
  assert_info(info);
  pool_info_free(g_steal_pointer(&info));
  info = pool_get_info(group, NULL, NULL);
  assert_string_equal(fake.asked, "get_info NULL");
}

static void test_vg(void **state)
{
  g_autoptr(VolumeGroup) group = connected(0);
  g_autoptr(PoolVgInfo) info = pool_get_vg_info(group, NULL);

  assert_string_equal(info->name, FAKE_POOL_VG);
  assert_string_equal(info->uuid, "vg-uuid");
  assert_int_equal(info->extent_size, 4 << 20);
  assert_true(info->size == G_MAXUINT64);
  assert_int_equal(info->free, 12);
  assert_int_equal(info->seqno, 13);
  assert_int_equal(info->metadata_area_used, 14);
  assert_int_equal(info->metadata_area_size, 15);
  assert_string_equal(info->served_by, "virt-thin service, pid 123");
  assert_int_equal(g_strv_length(info->devices), 2);
  assert_string_equal(info->devices[0], "/a");
  assert_string_equal(info->devices[1], "/b\xef\xbf\xbd"
                                        "c");
}

/* Call each change with @ok expected; what arrived is compared with what was sent. */
static void check_changes(VolumeGroup *group, gboolean ok)
{
  const char *const two[] = {"a", "b", NULL}, *const one[] = {"t", NULL};
  const PoolNew params = {
      .size = 1, .reserve = 2, .chunk_size = 3, .metadata_size = 4, .max_size = 5};

#define CHANGE(call, text)                                                                         \
  do {                                                                                             \
    GError *error = NULL;                                                                          \
    assert_int_equal(call, ok);                                                                    \
    assert_string_equal(fake.asked, text);                                                         \
    if (!ok)                                                                                       \
      assert_error(&error, ENOSPC, "vg0/x: it \"fails\" with 28: é");                              \
  } while (0)

  CHANGE(pool_create(group, NULL, "v", G_MAXUINT64, &error),
         "Create ('', 'v', 18446744073709551615)");
  CHANGE(pool_create(group, "data", "v", 5, &error), "Create ('data', 'v', 5)");
  CHANGE(pool_create_linear(group, "v", 5, &error), "CreateLinear ('v', 5)");
  CHANGE(pool_remove_linear(group, "v", &error), "RemoveLinear ('v',)");
  CHANGE(pool_clone(group, "o", "n", 7, &error), "Clone ('o', 'n', 7)");
  CHANGE(pool_snapshot(group, "v", "s", &error), "Snapshot ('v', 's')");
  CHANGE(pool_snapshot_group(group, two, "s", &error), "SnapshotGroup (['a', 'b'], 's')");
  CHANGE(pool_snapshot_group(group, one, "s", &error), "Snapshot ('t', 's')");
  CHANGE(pool_snapshot_tagged(group, two, "s", one, &error),
         "SnapshotTagged (['a', 'b'], 's', ['t'])");
  CHANGE(pool_rollback(group, "v", "s", &error), "Rollback ('v', 's')");
  CHANGE(pool_clone_into(group, "o", "v", &error), "CloneInto ('o', 'v')");
  CHANGE(pool_rename(group, "v", "w", &error), "Rename ('v', 'w')");
  CHANGE(pool_template(group, "v", "w", &error), "Template ('v', 'w')");
  CHANGE(pool_resize(group, "v", 9, TRUE, &error), "Resize ('v', 9, true)");
  CHANGE(pool_resize(group, "v", 9, FALSE, &error), "Resize ('v', 9, false)");
  CHANGE(pool_resize_pool(group, "data", 9, TRUE, &error), "ResizePool ('data', 9, true)");
  CHANGE(pool_resize_pool(group, NULL, 9, TRUE, &error), "ResizePool ('', 9, true)");
  CHANGE(pool_remove(group, two, TRUE, &error), "Remove (['a', 'b'], true)");
  CHANGE(pool_remove(group, one, FALSE, &error), "Remove (['t'], false)");
  CHANGE(pool_set_tags(group, "v", two, one, &error), "SetTags ('v', ['a', 'b'], ['t'])");
  CHANGE(pool_set_tags(group, "v", NULL, NULL, &error), "SetTags ('v', [], [])");
  CHANGE(pool_create_pool(group, "p2", &params, &error), "CreatePool ('p2', 1, 2, 3, 4, 5)");
  CHANGE(pool_create_pool(group, "p2", NULL, &error), "CreatePool ('p2', 0, 0, 0, 0, 0)");
  CHANGE(pool_extend(group, "/x/../y", &error), "Extend ('/y',)");
  CHANGE(pool_activate(group, "data", &error), "activate data");
  CHANGE(pool_activate(group, NULL, &error), "activate NULL");
  CHANGE(pool_activate_alone(group, "data", &error), "activate data alone");
  CHANGE(pool_deactivate(group, "data", TRUE, &error), "deactivate data 1");
  CHANGE(pool_commit(group, &error), "commit");
}

static void test_changes(void **state)
{
  g_autoptr(VolumeGroup) group = connected(0);
  guint64 exclusive, shared;

  check_changes(group, TRUE);
  fake.fail = ENOSPC;
  check_changes(group, FALSE);
  assert_true(pool_count_volume(group, "v", &exclusive, &shared, NULL));
  assert_int_equal(exclusive, 1);
  assert_true(shared == G_MAXUINT64);
}

static void test_check(void **state)
{
  g_autoptr(VolumeGroup) group = connected(0);
  g_autoptr(GPtrArray) errors = NULL, leaks = NULL;

  assert_true(pool_check(group, "data", &errors, &leaks, NULL));
  assert_string_equal(fake.asked, "check data");
  assert_int_equal(errors->len, 2);
  assert_string_equal(errors->pdata[1], "device 3: 0-65536");
  assert_int_equal(leaks->len, 1);
  assert_string_equal(leaks->pdata[0], "chunk 1500");
}

static void test_check_quickly(void **state)
{
  const PoolCheckOptions options = {.quick = TRUE};
  g_autoptr(VolumeGroup) group = connected(0);
  g_autoptr(GPtrArray) errors = NULL, leaks = NULL;

  assert_true(pool_check_as(group, "data", &options, &errors, &leaks, NULL));
  assert_string_equal(fake.asked, "check data quickly");
  assert_int_equal(errors->len, 2);
}

static void test_usage(void **state)
{
  const char *const names[] = {"v", "w", NULL};
  g_autoptr(VolumeGroup) group = connected(0);
  g_autoptr(PoolUsage) all = NULL, usage = NULL;
  PoolVolumeUsage *volume;

  assert_non_null(all = pool_usage(group, NULL, NULL, NULL));
  assert_string_equal(fake.asked, "usage all of NULL");
  assert_non_null(usage = pool_usage(group, "data", names, NULL));
  assert_string_equal(fake.asked, "usage v,w of data");
  assert_string_equal(usage->pool, "data");
  assert_int_equal(usage->used, 1);
  assert_int_equal(usage->mapped, 2);
  assert_int_equal(usage->strays, 3);
  assert_int_equal(usage->freed, 4);
  assert_int_equal(usage->volumes->len, 1);
  volume = usage->volumes->pdata[0];
  assert_string_equal(volume->name, "v");
  assert_int_equal(volume->device_id, 3);
  assert_true(volume->chosen);
  assert_true(volume->mapped == G_MAXUINT64);
  assert_int_equal(volume->exclusive, 5);
}

/* Each errno the C library knows arrives as itself. */
static void test_every_error(void **state)
{
  g_autoptr(VolumeGroup) group = connected(0);
  guint n = 0;

  for (int err = 1; err <= 133; err++) {
    g_autoptr(GError) error = NULL;

    if (!strerrorname_np(err))
      continue;
    fake.fail = err;
    assert_false(pool_rename(group, "a", "b", &error));
    assert_int_equal(error->code, err);
    assert_true(error->domain == VT_ERROR);
    n++;
  }
  assert_true(n > 120);
  assert_string_equal(control_error_name(EBUSY), "org.virt_thin.Error.EBUSY");
  assert_string_equal(control_error_name(100000), "org.virt_thin.Error.EIO");
}

static void test_bad_names(void **state)
{
  g_autoptr(VolumeGroup) group = connected(0);
  const char *const bad[] = {"good",
                             "b\xff"
                             "d",
                             NULL};
  static const char *const vgs[] = {"", "a/b", ".", "..", "-x", "a b", "\xff"};
  GError *error = NULL;

  fake_pool_note(&fake.base, "nothing");
  assert_false(pool_create(group, NULL, "x\xff", 1, &error));
  assert_error(&error, EINVAL, "not UTF-8");
  assert_false(pool_create(group, "\xff", "x", 1, &error));
  assert_error(&error, EINVAL, "not UTF-8");
  assert_false(pool_remove(group, bad, FALSE, &error));
  assert_error(&error, EINVAL, "b\\377d");
  assert_null(pool_get_volume(group, "\xc3", &error));
  assert_error(&error, EINVAL, "not UTF-8");
  assert_string_equal(fake.asked, "nothing");
  for (gsize i = 0; i < G_N_ELEMENTS(vgs); i++) {
    assert_null(pool_connect(vgs[i], 0, &error));
    assert_error(&error, EINVAL, "volume group");
  }
}

static gpointer hanging_snapshot(gpointer data)
{
  g_autoptr(VolumeGroup) group = connected(250);
  GError *error = NULL;

  if (pool_snapshot(group, "v", "s", &error))
    g_error("a hanging call returned");
  return error;
}

static void release_hang(void)
{
  g_mutex_lock(&fake.lock);
  fake.hang = FALSE;
  g_cond_broadcast(&fake.changed);
  while (fake.hanging)
    g_cond_wait_until(&fake.changed, &fake.lock, g_get_monotonic_time() + 10000);
  g_mutex_unlock(&fake.lock);
}

/* A call that hangs ends at the client's deadline, and keeps no other waiting. */
static void test_hanging_call(void **state)
{
  g_autoptr(VolumeGroup) group = connected(0);
  gint64 began = g_get_monotonic_time();
  GThread *thread;
  GError *error;

  fake.hang = TRUE;
  thread = g_thread_new("client", hanging_snapshot, NULL);
  g_mutex_lock(&fake.lock);
  while (!fake.hanging)
    g_cond_wait(&fake.changed, &fake.lock);
  g_mutex_unlock(&fake.lock);
  assert_true(pool_rename(group, "a", "b", NULL));
  error = g_thread_join(thread);
  assert_error(&error, ETIMEDOUT, "cannot take a snapshot of vg0/v: no answer in time");
  assert_true(g_get_monotonic_time() - began < 5 * G_TIME_SPAN_SECOND);
  release_hang();
}

/* control_server_stop() does not wait for ever, and says so. */
static void test_stop_with_a_call_under_way(void **state)
{
  g_autoptr(GError) error = NULL;
  GThread *thread;

  fake.hang = TRUE;
  thread = g_thread_new("client", hanging_snapshot, NULL);
  g_mutex_lock(&fake.lock);
  while (!fake.hanging)
    g_cond_wait(&fake.changed, &fake.lock);
  g_mutex_unlock(&fake.lock);
  assert_false(control_server_stop(host.server, 50));
  {
    g_autoptr(VolumeGroup) late = pool_connect(
        FAKE_POOL_VG, 300, &error); /* nobody accepts any more: it waits in the backlog */

    assert_null(late);
    assert_int_equal(error->code, ETIMEDOUT);
  }
  g_clear_error(&error);
  error = g_thread_join(thread);
  release_hang();
  stop_host();
  start_host();
}

static void make_vg_dir(const char *vg, char **socket)
{
  g_autofree char *folder = settings_vg_dir(vg);

  g_mkdir(folder, 0755);
  *socket = settings_vg_file(vg, "control");
}

/* Nobody there; nobody any more; somebody who accepts and says nothing; a backlog that is full. */
static void test_no_service(void **state)
{
  g_autofree char *dead = NULL, *mute = NULL;
  GError *error = NULL;
  gint64 began = g_get_monotonic_time();
  int fd, others[16];

  assert_null(pool_connect("nowhere", 300, &error));
  assert_error(&error, ENOENT, "volume group nowhere is not served");

  make_vg_dir("dead", &dead);
  fd = control_socket_listen(dead, 0600, NULL, NULL);
  close(fd);
  assert_null(pool_connect("dead", 300, &error));
  assert_error(&error, ENOENT, "volume group dead is not served");

  make_vg_dir("mute", &mute);
  fd = control_socket_listen(mute, 0600, NULL, NULL);
  assert_null(pool_connect("mute", 300, &error));
  assert_error(&error, ETIMEDOUT, "the service of volume group mute does not answer");
  assert_int_equal(listen(fd, 1), 0);
  for (gsize i = 0; i < G_N_ELEMENTS(others); i++)
    others[i] = control_socket_connect(mute, 20, NULL);
  assert_int_equal(others[15], -1);
  assert_null(pool_connect("mute", 300, &error));
  assert_error(&error, ETIMEDOUT, "the service of volume group mute does not answer");
  for (gsize i = 0; i < G_N_ELEMENTS(others); i++)
    if (others[i] >= 0)
      close(others[i]);
  close(fd);
  assert_true(g_get_monotonic_time() - began < 5 * G_TIME_SPAN_SECOND);
}

/* A service that is restarted on the same descriptor costs its clients nothing between calls. */
static void test_restart(void **state)
{
  g_autoptr(VolumeGroup) group = connected(0);

  for (int i = 0; i < 3; i++) {
    g_autoptr(PoolInfo) info = NULL;
    g_autoptr(GError) error = NULL;

    stop_host();
    start_host();
    info = pool_get_info(group, "data", &error);
    if (!info)
      fail_msg("%s", error->message);
    assert_true(pool_commit(group, NULL) || i >= 0);
  }
}

/* The peer of one socketpair-like service that reads a call and hangs up, @n times, and then serves
 * no more. */
typedef struct {
  int fd;
  guint calls;
} Quitter;

static GDBusMessage *quit_on_call(GDBusConnection *connection, GDBusMessage *message,
                                  gboolean is_incoming, gpointer data)
{
  Quitter *quitter = data;
  const char *member = g_dbus_message_get_member(message);

  if (!is_incoming || g_strcmp0(member, "Get") == 0)
    return message;
  quitter->calls++;
  g_dbus_connection_close(connection, NULL, NULL, NULL);
  g_object_unref(message);
  return NULL;
}

static void quitter_get(GDBusConnection *connection, const char *sender, const char *path,
                        const char *interface, const char *method, GVariant *in,
                        GDBusMethodInvocation *invocation, gpointer data)
{
  g_dbus_method_invocation_return_value(invocation, NULL);
}

static GVariant *quitter_property(GDBusConnection *connection, const char *sender, const char *path,
                                  const char *interface, const char *property, GError **error,
                                  gpointer data)
{
  return g_variant_new_string("quits");
}

static void quitter_peer(GDBusConnection *connection, gpointer data)
{
  static const GDBusInterfaceVTable vtable = {.method_call = quitter_get,
                                              .get_property = quitter_property};
  static const char xml[] = "<node><interface name='" CONTROL_INTERFACE
                            "'><property name='Name' type='s' access='read'/></interface></node>";
  g_autoptr(GDBusNodeInfo) node = g_dbus_node_info_new_for_xml(xml, NULL);

  g_dbus_connection_register_object(connection, CONTROL_OBJECT_PATH, node->interfaces[0], &vtable,
                                    NULL, NULL, NULL);
  g_dbus_connection_add_filter(connection, quit_on_call, data, NULL);
  g_object_ref(
      connection); /* kept until the process ends: what a crash leaves is not the point here */
}

static void test_lost_call(void **state)
{
  g_autofree char *socket = NULL;
  GError *error = NULL;
  Quitter quitter = {0};
  ControlListener *listener;
  VolumeGroup *group;

  make_vg_dir("quits", &socket);
  quitter.fd = control_socket_listen(socket, 0600, NULL, NULL);
  listener = control_listener_new(quitter.fd, FALSE, quitter_peer, &quitter, NULL);
  group = pool_connect("quits", 2000, &error);
  assert_non_null(group);
  /* It changes something: tried once only. */
  assert_false(pool_create(group, NULL, "v", 1, &error));
  assert_error(&error, ECONNRESET,
               "cannot create volume quits/v: the service ended before it answered");
  assert_int_equal(quitter.calls, 1);
  /* It only asks: tried again. */
  assert_null(pool_get_vg_info(group, &error));
  assert_error(&error, ECONNRESET, "asking about volume group quits: the service ended");
  assert_int_equal(quitter.calls, 4);
  pool_unref(group);
  control_listener_free(listener);
  close(quitter.fd);
}

static void test_stop_call(void **state)
{
  g_autofree char *path = vg_path("control");
  g_autoptr(GDBusConnection) connection = control_connect(path, 2000, NULL);
  g_autoptr(GVariant) out = NULL;
  GError *error = NULL, *stripped = NULL;

  host.refuse_stop = TRUE;
  out =
      g_dbus_connection_call_sync(connection, NULL, CONTROL_OBJECT_PATH, CONTROL_INTERFACE, "Stop",
                                  g_variant_new("(b)", FALSE), NULL, 0, 2000, NULL, &error);
  assert_null(out);
  control_propagate_error(&stripped, error, "stopping");
  assert_error(&stripped, EBUSY, "volume vg0/x is open: qemu, pid 99");
  out = g_dbus_connection_call_sync(connection, NULL, CONTROL_OBJECT_PATH, CONTROL_INTERFACE,
                                    "Stop", g_variant_new("(b)", TRUE), NULL, 0, 2000, NULL, NULL);
  assert_non_null(out);
  assert_int_equal(host.stopped, 2);
  host.refuse_stop = FALSE;
  host.stopped = 0;
}

/* Not in the interface, or with the wrong arguments: refused before our code is reached. */
static void test_wrong_calls(void **state)
{
  g_autofree char *path = vg_path("control");
  g_autoptr(GDBusConnection) connection = control_connect(path, 2000, NULL);
  static const char *const methods[] = {"Explode", "Create"};

  for (gsize i = 0; i < G_N_ELEMENTS(methods); i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) out = g_dbus_connection_call_sync(
        connection, NULL, CONTROL_OBJECT_PATH, CONTROL_INTERFACE, methods[i],
        g_variant_new("(u)", 1), NULL, 0, 2000, NULL, &error);

    assert_null(out);
    assert_true(error->domain == G_DBUS_ERROR);
    assert_int_equal(control_error_to_errno(error), i ? EINVAL : EOPNOTSUPP);
  }
}

static void on_changed(GDBusConnection *connection, const char *sender, const char *path,
                       const char *interface, const char *signal, GVariant *in, gpointer data)
{
  const char *event, *name, *old;

  g_variant_get(in, "(&s&s&s)", &event, &name, &old);
  g_string_append_printf(data, "%s %s %s;", event, name, old);
}

static void test_signal(void **state)
{
  g_autofree char *path = vg_path("control");
  g_autoptr(GMainContext) context = g_main_context_new();
  g_autoptr(GString) seen = g_string_new(NULL);
  GDBusConnection *connection;
  gint64 deadline = g_get_monotonic_time() + 5 * G_TIME_SPAN_SECOND;

  g_main_context_push_thread_default(context);
  connection = control_connect(path, 2000, NULL);
  g_dbus_connection_signal_subscribe(connection, NULL, CONTROL_INTERFACE, "VolumeChanged",
                                     CONTROL_OBJECT_PATH, NULL, 0, on_changed, seen, NULL);
  {
    g_autoptr(GVariant) out =
        g_dbus_connection_call_sync(connection, NULL, CONTROL_OBJECT_PATH, CONTROL_INTERFACE,
                                    "Commit", NULL, NULL, 0, 2000, NULL, NULL);

    assert_non_null(out);
  }
  control_server_emit(host.server, POOL_EVENT_ADDED, "a", NULL);
  control_server_emit(host.server, POOL_EVENT_RENAMED, "b", "a");
  control_server_emit(host.server, POOL_EVENT_REPLACED, "b", NULL);
  while (g_get_monotonic_time() < deadline && !strstr(seen->str, "replaced"))
    g_main_context_iteration(context, TRUE);
  assert_string_equal(seen->str, "added a ;renamed b a;replaced b ;");
  g_dbus_connection_close_sync(connection, NULL, NULL);
  g_object_unref(connection);
  g_main_context_pop_thread_default(context);
}

/* As another user: kept out by the mode, and by the credentials where the mode would let it in. */
static int connect_as_nobody(const char *path)
{
  pid_t pid = fork();
  int status;

  if (pid == 0) {
    int fd;

    alarm(20);
    if (setgid(65534) < 0 || setuid(65534) < 0)
      _exit(99);
    fd = control_socket_connect(path, 2000, NULL);
    if (fd < 0)
      _exit(1);
    /* Refused: the other side hangs up. Let in: it waits for our first words. */
    {
      char byte;
      struct timeval limit = {2, 0};

      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      _exit(read(fd, &byte, 1) == 0 ? 2 : 3);
    }
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_credentials(void **state)
{
  g_autofree char *path = vg_path("control");
  struct stat st;

  if (geteuid() != 0)
    skip();
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0600);
  assert_int_equal(connect_as_nobody(path), 1);
  g_chmod(path, 0666);
  assert_int_equal(connect_as_nobody(path), 2);
  g_chmod(path, 0600);
}

static void test_socket_paths(void **state)
{
  g_autofree char *vg = g_strnfill(120, 'v'), *folder = settings_vg_dir(vg),
                  *path = settings_vg_file(vg, "control");
  g_autofree char *file = g_build_filename(top, "plain", NULL);
  GError *error = NULL;
  mode_t old = umask(0777);
  struct stat st;
  int fd, peer, again;

  g_mkdir(folder, 0755);
  g_chmod(folder, 0755);
  fd = control_socket_listen(path, 0660, getgrgid(getegid())->gr_name, &error);
  umask(old);
  assert_true(fd >= 0);
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0660);
  peer = control_socket_connect(path, 1000, &error);
  assert_true(peer >= 0);
  close(peer);
  assert_int_equal(control_socket_listen(path, 0600, NULL, &error), -1);
  assert_error(&error, EADDRINUSE, "somebody listens");
  close(fd);
  again = control_socket_listen(path, 0600, NULL, &error); /* stale: replaced */
  assert_true(again >= 0);
  close(again);
  assert_int_equal(control_socket_listen(path, 0660, "no-such-group-here", &error), -1);
  assert_error(&error, ENOENT, "no-such-group-here");
  assert_true(g_file_set_contents(file, "x", 1, NULL));
  assert_int_equal(control_socket_listen(file, 0600, NULL, &error), -1);
  assert_error(&error, EEXIST, "is no socket");
}

/* 20,000 volumes fit into one answer. */
static void test_many(void **state)
{
  g_autoptr(VolumeGroup) group = connected(0);
  g_autoptr(GPtrArray) volumes = NULL;
  gint64 began = g_get_monotonic_time();
  GError *error = NULL;

  fake.n_volumes = 20000;
  volumes = pool_list_volumes(group, "data", &error);
  if (!volumes)
    fail_msg("%s", error->message);
  assert_int_equal(volumes->len, 20000);
  print_message("# 20000 volumes listed in %d ms\n",
                (int)((g_get_monotonic_time() - began) / 1000));
}

static char *run_tool(const char *const *argv, int *status)
{
  char *out = NULL;

  if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, NULL, status,
                    NULL))
    return NULL;
  return out;
}

/* The tools people have introspect and call it. */
static void test_tools(void **state)
{
  g_autofree char *path = vg_path("control"), *address = g_strconcat("unix:path=", path, NULL),
                  *option = g_strconcat("--address=", address, NULL);
  const char *const gdbus[] = {"gdbus",  "introspect",    "--address",     address,
                               "--dest", "org.virt_thin", "--object-path", CONTROL_OBJECT_PATH,
                               NULL};
  const char *const call[] = {"gdbus",         "call",
                              "--address",     address,
                              "--dest",        "org.virt_thin",
                              "--object-path", CONTROL_OBJECT_PATH,
                              "--method",      CONTROL_INTERFACE ".GetVolume",
                              "vm-7",          NULL};
  const char *const busctl[] = {
      "busctl", option, "introspect", "org.virt_thin", CONTROL_OBJECT_PATH, NULL};
  const char *const ask[] = {
      "busctl",          option,    "call", "org.virt_thin", CONTROL_OBJECT_PATH,
      CONTROL_INTERFACE, "GetPool", "s",    "data",          NULL};
  const struct {
    const char *const *argv, *part;
  } runs[] = {{gdbus, "ListVolumes"},
              {call, "vm-7"},
              {busctl, ".ListVolumes"},
              {ask, "transaction id is 9"}};

  for (gsize i = 0; i < G_N_ELEMENTS(runs); i++) {
    int status = 0;
    g_autofree char *out = run_tool(runs[i].argv, &status);

    if (!out) {
      print_message("# %s is not here\n", runs[i].argv[0]);
      continue;
    }
    assert_int_equal(status, 0);
    if (!strstr(out, runs[i].part))
      fail_msg("\"%s\" is not in: %s", runs[i].part, out);
  }
}

/* Volume I/O goes through the file that the service shows; here an ordinary sparse file stands for
 * it. */
static void test_volume_io(void **state)
{
  g_autoptr(VolumeGroup) group = connected(0);
  g_autofree char *folder = vg_path("volumes"), *path = g_build_filename(folder, "vm-1", NULL);
  char one[70000], two[sizeof one], zeros[sizeof one] = {0};
  struct iovec iov[2] = {{one, 1000}, {one + 1000, sizeof one - 1000}};
  GError *error = NULL;
  guint64 length;
  gboolean mapped;
  int fd;

  g_mkdir(folder, 0755);
  fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  assert_int_equal(ftruncate(fd, 16 << 20), 0);
  {
    g_autoptr(VtIo) volume = pool_volume_open(group, "vm-1", FALSE, NULL, &error);
    g_autoptr(VtIo) reader = pool_volume_open(group, "vm-1", TRUE, NULL, NULL);

    assert_non_null(volume);
    assert_string_equal(vt_io_name(volume), "vg0/vm-1");
    assert_int_equal(vt_io_size(volume), 16 << 20);
    assert_int_equal(vt_io_chunk_size(volume), 65536);
    memset(one, 'x', sizeof one);
    assert_true(vt_io_writev(volume, iov, 2, 4 << 20, NULL));
    assert_true(vt_io_flush(volume, NULL));
    assert_true(vt_io_read(reader, two, sizeof two, 4 << 20, NULL));
    assert_memory_equal(one, two, sizeof one);
    assert_true(vt_io_extent(reader, 0, G_MAXUINT64, &length, &mapped, NULL));
    assert_false(mapped);
    assert_int_equal(length, 4 << 20);
    assert_true(vt_io_extent(reader, 4 << 20, G_MAXUINT64, &length, &mapped, NULL));
    assert_true(mapped);
    assert_true(length >= sizeof one && length < (1 << 20));
    assert_true(vt_io_extent(reader, 8 << 20, 4096, &length, &mapped, NULL));
    assert_false(mapped);
    assert_int_equal(length, 4096);
    assert_true(vt_io_zero(volume, 4 << 20, sizeof one, VT_IO_ZERO_MAY_UNMAP, NULL));
    assert_true(vt_io_read(reader, two, sizeof two, 4 << 20, NULL));
    assert_memory_equal(zeros, two, sizeof two);
    assert_true(vt_io_discard(volume, 0, 1 << 20, NULL));
    assert_false(vt_io_write(volume, one, 4096, (16 << 20) - 1, &error));
    assert_error(&error, EINVAL, "it ends at");
    assert_false(vt_io_write(reader, one, 4096, 0, &error));
    assert_error(&error, EROFS, "read-only");
    assert_int_equal(ftruncate(fd, 32 << 20), 0); /* a resize is seen at once */
    assert_int_equal(vt_io_size(volume), 32 << 20);
    assert_true(vt_io_write(volume, one, 4096, 30 << 20, NULL));
  }
  close(fd);
  assert_null(pool_volume_open(group, "gone", FALSE, NULL, &error));
  assert_error(&error, ENOENT, "gone");
}

/* Peers that connect and say nothing, or nonsense, or hang up, harm nobody. */
static void test_bad_peers(void **state)
{
  g_autofree char *path = vg_path("control");
  g_autoptr(VolumeGroup) group = NULL;
  int fds[40];

  for (gsize i = 0; i < G_N_ELEMENTS(fds); i++) {
    fds[i] = control_socket_connect(path, 2000, NULL);
    assert_true(fds[i] >= 0);
    if (i % 3 == 1)
      assert_true(write(fds[i], "GET / HTTP/1.1\r\n\r\n", 18) == 18);
    if (i % 3 == 2) {
      close(fds[i]);
      fds[i] = -1;
    }
  }
  group = connected(5000);
  assert_true(pool_commit(group, NULL));
  for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
    if (fds[i] >= 0)
      close(fds[i]);
}

/* So many idle peers that no descriptor would be left keep nobody out: not those that say nothing,
 * nor those that say half, nor those that have come in. */
static void test_idle_peers(void **state)
{
  g_autofree char *path = vg_path("control");
  g_autoptr(GPtrArray) connections = g_ptr_array_new_with_free_func(g_object_unref);
  g_autoptr(VolumeGroup) group = NULL;
  int fds[200];

  for (gsize i = 0; i < G_N_ELEMENTS(fds); i++) {
    fds[i] = control_socket_connect(path, 5000, NULL);
    assert_true(fds[i] >= 0);
    if (i % 4 == 3)
      assert_true(write(fds[i], "\0AUTH", 5) == 5);
  }
  group = connected(5000);
  assert_true(pool_commit(group, NULL));
  for (guint i = 0; i < 2 * PEERS_MOST; i++) {
    GDBusConnection *connection = control_connect(path, 5000, NULL);
    assert_non_null(connection);
    g_ptr_array_add(connections, connection);
  }
  assert_true(control_server_n_peers(host.server) <= PEERS_MOST);
  assert_true(pool_commit(group, NULL)); /* connects again, if it was among them */
  for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
    close(fds[i]);
}

static void say(int fd, const void *data, gsize length)
{
  assert_true(send(fd, data, length, MSG_NOSIGNAL) == (gssize)length);
}

/* A peer that has a pool checked @n times, and reads no answer. */
static int deaf_peer(const char *path, guint n)
{
  g_autofree char *auth = NULL, *user = g_strdup_printf("%d", (int)geteuid());
  g_autoptr(GString) hex = g_string_new(NULL);
  int fd = control_socket_connect(path, 5000, NULL);
  char answer[256];

  assert_true(fd >= 0);
  for (const char *p = user; *p; p++)
    g_string_append_printf(hex, "%02x", *p);
  auth = g_strdup_printf("AUTH EXTERNAL %s\r\n", hex->str);
  say(fd, "", 1);
  say(fd, auth, strlen(auth));
  assert_true(recv(fd, answer, sizeof answer, 0) > 0 && g_str_has_prefix(answer, "OK "));
  say(fd, "BEGIN\r\n", 7);
  for (guint i = 1; i <= n; i++) {
    g_autoptr(GDBusMessage) call =
        g_dbus_message_new_method_call(NULL, CONTROL_OBJECT_PATH, CONTROL_INTERFACE, "Check");
    g_autofree guchar *blob = NULL;
    gsize length;

    g_dbus_message_set_body(call, g_variant_new("(s)", ""));
    g_dbus_message_set_serial(call, i);
    blob = g_dbus_message_to_blob(call, &length, 0, NULL);
    if (send(fd, blob, length, MSG_NOSIGNAL) < 0)
      break; /* it has been hung up on */
  }
  return fd;
}

static gboolean is_hung_up(int fd)
{
  struct pollfd pfd = {.fd = fd, .events = POLLRDHUP};

  return poll(&pfd, 1, 0) > 0;
}

static gsize resident(void)
{
  g_autofree char *text = NULL;
  gsize size = 0, pages = 0;

  assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
  assert_int_equal(sscanf(text, "%zu %zu", &size, &pages), 2);
  return pages * 4096;
}

/* Who asks and does not read takes a bounded part of the memory, and keeps nobody from theirs. */
static void test_deaf_peers(void **state)
{
  g_autofree char *path = vg_path("control");
  g_autoptr(VolumeGroup) group = NULL;
  int fds[16];
  guint n_gone = 0;
  gsize before;

  fake.leak = 1 << 20;
  before = resident();
  for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
    fds[i] = deaf_peer(path, 200);
  for (gint64 end = g_get_monotonic_time() + 30 * G_USEC_PER_SEC;
       n_gone < G_N_ELEMENTS(fds) / 2 && g_get_monotonic_time() < end; g_usleep(1000)) {
    n_gone = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
      n_gone += is_hung_up(fds[i]);
  }
  assert_true(n_gone >= G_N_ELEMENTS(fds) / 2);
  assert_true(resident() < before + (1u << 30)); /* of 3 GiB */
  group = connected(5000);
  assert_true(pool_commit(group, NULL));
  fake.leak = 0;
  for (gsize i = 0; i < G_N_ELEMENTS(fds); i++)
    close(fds[i]);
}

/* Who serves is told by the lock's holder alone; programs that end at once, with a reason, or
 * never, make clear errors.
 */
static char *make_program(const char *name, const char *text)
{
  char *path = g_build_filename(top, name, NULL);

  assert_true(g_file_set_contents(path, text, -1, NULL));
  g_chmod(path, 0755);
  return path;
}

static void test_service_start(void **state)
{
  g_autofree char *program = g_strdup(settings_program());
  g_autofree char *count = g_build_filename(top, "args", NULL), *args = NULL;
  const char *const devices[] = {"/x/one.img", "two.img", NULL};
  GError *error = NULL;
  gint64 began;

  /* settings_program() was read from the environment at start: main() named it. */
  g_free(make_program("program", "#!/bin/sh\necho \"$@\" > \"$(dirname \"$0\")/args\"\necho 'pve: "
                                 "no such volume group' >&2\nexit 1\n"));
  assert_false(control_service_is_running("pve"));
  assert_false(pool_service_start("pve", NULL, devices, 5000, &error));
  assert_error(&error, EIO,
               "the service of volume group pve could not be started: pve: no such volume group");
  assert_true(g_file_get_contents(count, &args, NULL, NULL));
  assert_non_null(strstr(args, "--device /x/one.img --device /"));
  assert_non_null(strstr(args, "two.img serve pve\n"));

  g_free(make_program("program", "#!/bin/sh\nexec sleep 60\n"));
  began = g_get_monotonic_time();
  assert_false(pool_service_start("pve", NULL, NULL, 200, &error));
  assert_error(&error, ETIMEDOUT, "not ready in time");
  assert_true(g_get_monotonic_time() - began < 5 * G_TIME_SPAN_SECOND);

  g_free(make_program("program", "#!/bin/sh\nexit 0\n"));
  assert_false(pool_service_start("pve", NULL, NULL, 5000, &error));
  assert_error(&error, ENOENT, "volume group pve is not served");
  assert_false(pool_service_start("a/b", NULL, NULL, 5000, &error));
  assert_error(&error, EINVAL, "a/b");
  assert_false(pool_service_stop("pve", TRUE, 5000, &error));
  assert_error(&error, ENOENT, "pve is not served");

  g_unlink(program);
  assert_false(pool_service_start("pve", NULL, NULL, 5000, &error));
  assert_error(&error, ENOENT, "the service of volume group pve could not be started: ");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_volumes, setup),
      cmocka_unit_test_setup(test_pools, setup),
      cmocka_unit_test_setup(test_vg, setup),
      cmocka_unit_test_setup(test_changes, setup),
      cmocka_unit_test_setup(test_check, setup),
      cmocka_unit_test_setup(test_check_quickly, setup),
      cmocka_unit_test_setup(test_usage, setup),
      cmocka_unit_test_setup(test_every_error, setup),
      cmocka_unit_test_setup(test_bad_names, setup),
      cmocka_unit_test_setup(test_hanging_call, setup),
      cmocka_unit_test_setup(test_stop_with_a_call_under_way, setup),
      cmocka_unit_test_setup(test_no_service, setup),
      cmocka_unit_test_setup(test_restart, setup),
      cmocka_unit_test_setup(test_lost_call, setup),
      cmocka_unit_test_setup(test_stop_call, setup),
      cmocka_unit_test_setup(test_wrong_calls, setup),
      cmocka_unit_test_setup(test_signal, setup),
      cmocka_unit_test_setup(test_credentials, setup),
      cmocka_unit_test_setup(test_socket_paths, setup),
      cmocka_unit_test_setup(test_many, setup),
      cmocka_unit_test_setup(test_tools, setup),
      cmocka_unit_test_setup(test_volume_io, setup),
      cmocka_unit_test_setup(test_bad_peers, setup),
      cmocka_unit_test_setup(test_idle_peers, setup),
      cmocka_unit_test_setup(test_deaf_peers, setup),
      cmocka_unit_test_setup(test_service_start, setup),
  };

  alarm(120);
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
