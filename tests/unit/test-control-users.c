/* Tests of a control socket that other users may connect to: what one of them takes, others keep.
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Needs root, to be another user where it connects.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "control/control-socket.h"
#include "control/control.h"
#include "service/process/control-server.h"
#include "settings/settings.h"
#include "fake-pool.h"

#define PEERS_MOST 64 /* of 512 descriptors */
#define PEERS_OF_USER (PEERS_MOST / 4)
#define HANDSHAKES_OF_USER 16
#define NOBODY 65534
#define LONG_NAME 1900000 /* bytes; of calls under way there may be 8 MiB */

static FakePool fake = {.base = {&fake_pool_ops}, .n_volumes = 3};
static char *top, *socket_path;
static GMainLoop *loop;
static GThread *thread;
static GAsyncQueue *ready;
static ControlServer *server;

static gboolean never_stop(gboolean force, gpointer user_data, GError **error)
{
  return vt_set_error(error, EBUSY, "it goes on");
}

static gpointer serve(gpointer fd)
{
  GError *error = NULL;

  server = control_server_new(&fake.base, GPOINTER_TO_INT(fd), never_stop, NULL, &error);
  if (!server)
    g_error("%s", error->message);
  g_async_queue_push(ready, server);
  g_main_loop_run(loop);
  assert_true(control_server_stop(server, 5000));
  control_server_free(server);
  close(GPOINTER_TO_INT(fd));
  return NULL;
}

static int group_setup(void **state)
{
  const struct rlimit limit = {8 * PEERS_MOST, 8 * PEERS_MOST};
  g_autofree char *config = NULL;
  int fd;

  setrlimit(RLIMIT_NOFILE, &limit);
  top = g_dir_make_tmp("virt-thin-control-XXXXXX", NULL);
  g_chmod(top, 0755);
  config = g_build_filename(top, "virt-thin.conf", NULL);
  g_file_set_contents(config, "[service]\nsocket-mode=0660\n", -1, NULL);
  g_setenv("VIRT_THIN_CONFIG", config, TRUE);
  socket_path = g_build_filename(top, "control", NULL);
  fd = control_socket_listen(socket_path, 0666, NULL, NULL);
  assert_true(fd >= 0);
  g_chmod(socket_path, 0666);
  loop = g_main_loop_new(NULL, FALSE);
  ready = g_async_queue_new();
  thread = g_thread_new("host", serve, GINT_TO_POINTER(fd));
  g_async_queue_pop(ready);
  g_unlink(config);
  return 0;
}

static gboolean quit_loop(gpointer unused)
{
  g_main_loop_quit(loop);
  return G_SOURCE_REMOVE;
}

static int group_teardown(void **state)
{
  g_idle_add(quit_loop, NULL);
  g_thread_join(thread);
  g_unlink(socket_path);
  g_rmdir(top);
  g_main_loop_unref(loop);
  g_async_queue_unref(ready);
  g_free(socket_path);
  g_free(top);
  g_free(fake.asked);
  return 0;
}

/* This thread is another user, where libc would make all of them so. */
static int connect_as(uid_t uid)
{
  int fd;

  assert_int_equal(syscall(SYS_setresuid, -1, uid, -1), 0);
  fd = control_socket_connect(socket_path, 5000, NULL);
  assert_int_equal(syscall(SYS_setresuid, -1, 0, -1), 0);
  assert_true(fd >= 0);
  return fd;
}

/* One that has introduced itself. */
static int peer_as(uid_t uid)
{
  static const char words[] = "\0AUTH EXTERNAL \r\n", begin[] = "BEGIN\r\n";
  int fd = connect_as(uid);
  char answer[256];

  assert_int_equal(send(fd, words, sizeof words - 1, MSG_NOSIGNAL), sizeof words - 1);
  assert_true(recv(fd, answer, sizeof answer, 0) > 3 && memcmp(answer, "OK ", 3) == 0);
  assert_int_equal(send(fd, begin, sizeof begin - 1, MSG_NOSIGNAL), sizeof begin - 1);
  return fd;
}

static gboolean is_hung_up(int fd, int wait_ms)
{
  struct pollfd pfd = {.fd = fd, .events = POLLRDHUP};

  return poll(&pfd, 1, wait_ms) > 0;
}

/* Of @n connections, the first are hung up on, so that @n_left remain. */
static void check_left(const int *fds, guint n, guint n_left)
{
  for (guint i = 0; i < n - n_left; i++)
    assert_true(is_hung_up(fds[i], 10000));
  for (guint i = n - n_left; i < n; i++)
    assert_false(is_hung_up(fds[i], 0));
}

static void close_all(const int *fds, guint n)
{
  for (guint i = 0; i < n; i++)
    close(fds[i]);
}

static void check_served(GDBusConnection *peer)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer =
      g_dbus_connection_call_sync(peer, NULL, CONTROL_OBJECT_PATH, CONTROL_INTERFACE, "ListPools",
                                  NULL, NULL, G_DBUS_CALL_FLAGS_NONE, 10000, NULL, &error);

  if (!answer)
    fail_msg("%s", error->message);
}

/* One user's peers make way for each other, and not root's for them. */
static void test_peers_of_one_user(void **state)
{
  g_autoptr(GDBusConnection) root = NULL;
  int fds[PEERS_OF_USER + 8];

  if (geteuid() != 0)
    skip();
  root = control_connect(socket_path, 5000, NULL);
  assert_non_null(root);
  for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
    fds[i] = peer_as(NOBODY);
  check_left(fds, G_N_ELEMENTS(fds), PEERS_OF_USER);
  check_served(root);
  close_all(fds, G_N_ELEMENTS(fds));
}

/* Who says nothing makes way for the same user's next. */
static void test_handshakes_of_one_user(void **state)
{
  int fds[HANDSHAKES_OF_USER + 4], silent;
  g_autoptr(GDBusConnection) root = NULL;

  if (geteuid() != 0)
    skip();
  silent = connect_as(0);
  for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
    fds[i] = connect_as(NOBODY);
  check_left(fds, G_N_ELEMENTS(fds), HANDSHAKES_OF_USER);
  assert_false(is_hung_up(silent, 0));
  root = control_connect(socket_path, 5000, NULL);
  check_served(root);
  close_all(fds, G_N_ELEMENTS(fds));
  close(silent);
}

static void on_answer(GObject *peer, GAsyncResult *result, gpointer answers)
{
  GError *error = NULL;
  g_autoptr(GVariant) answer =
      g_dbus_connection_call_finish(G_DBUS_CONNECTION(peer), result, &error);

  g_ptr_array_add(answers, error);
}

static void begin_long_call(GDBusConnection *peer, GPtrArray *answers)
{
  g_autofree char *name = g_strnfill(LONG_NAME, 'v');

  g_dbus_connection_call(peer, NULL, CONTROL_OBJECT_PATH, CONTROL_INTERFACE, "Snapshot",
                         g_variant_new("(ss)", name, "s"), NULL, G_DBUS_CALL_FLAGS_NONE, 30000,
                         NULL, on_answer, answers);
}

static void release_hang(void)
{
  g_mutex_lock(&fake.lock);
  fake.hang = FALSE;
  g_cond_broadcast(&fake.changed);
  g_mutex_unlock(&fake.lock);
}

/* Four such calls are under way; the fifth is refused, and not the peer. */
static void test_calls_too_large(void **state)
{
  g_autoptr(GPtrArray) answers = g_ptr_array_new();
  g_autoptr(GMainContext) context = g_main_context_new(); /* the default one is the host's */
  g_autoptr(GDBusConnection) peer = NULL;
  g_autoptr(GError) refused = NULL;

  g_main_context_push_thread_default(context);
  peer = control_connect(socket_path, 5000, NULL);
  assert_non_null(peer);
  fake.hang = TRUE;
  for (guint i = 0; i < 5; i++)
    begin_long_call(peer, answers);
  while (answers->len < 1)
    g_main_context_iteration(context, TRUE);
  refused = answers->pdata[0];
  assert_non_null(refused);
  assert_int_equal(control_error_to_errno(refused), EAGAIN);
  assert_non_null(strstr(refused->message, "more calls under way than it keeps: try again"));
  release_hang();
  while (answers->len < 5)
    g_main_context_iteration(context, TRUE);
  for (guint i = 1; i < 5; i++)
    assert_null(answers->pdata[i]);
  check_served(peer);
  g_main_context_pop_thread_default(context);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_peers_of_one_user),
      cmocka_unit_test(test_handshakes_of_one_user),
      cmocka_unit_test(test_calls_too_large),
  };

  alarm(60);
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
