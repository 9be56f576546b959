/* virt-thin - NBD clients that behave badly, and what the others notice: nothing
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib/gstdio.h>

#include "control/control-socket.h"
#include "nbd-client.h"

static int setup(void **state)
{
  alarm(100);
  *state = served_new();
  return 0;
}

static int teardown(void **state)
{
  served_free(*state);
  return 0;
}

/* Wait for the event, not for a time: but not for ever. */
#define WAIT_FOR(condition)                                                                        \
  do {                                                                                             \
    for (gint64 end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;                                \
         !(condition) && g_get_monotonic_time() < end;)                                            \
      g_usleep(500);                                                                               \
    g_assert_true(condition);                                                                      \
  } while (0)

static guint n_clients(Served *served)
{
  g_autoptr(GPtrArray) clients = nbd_server_list_clients(served->server);
  return clients->len;
}

static void assert_works(int fd, guint64 seed)
{
  g_autofree guint8 *data = pattern_new(seed, 4096), *back = g_malloc(4096);
  g_assert_cmpuint(client_write(fd, 0, seed % 64 * 4096, data, 4096), ==, 0);
  client_request(fd, 0, NBD_CMD_READ, 1, seed % 64 * 4096, 4096);
  g_assert_cmpuint(client_simple(fd, 1), ==, 0);
  client_receive(fd, back, 4096);
  g_assert_cmpmem(back, 4096, data, 4096);
}

/* Hang up with replies pending, in the middle of a payload, in the middle of a header. */
static void test_hang_up(void **state)
{
  Served *served = *state;
  int good = client_go(served, "vol", FALSE, FALSE);
  g_autofree guint8 *data = g_malloc0(4 << 20);
  memory_pool_delay(served->pool, MEMORY_READ, 100);
  for (guint i = 0; i < 200; i++) {
    int fd = client_go(served, "other", i % 2, FALSE);
    for (guint j = 0; j < 20; j++)
      client_request(fd, 0, NBD_CMD_READ, j, j * 4096, i % 3 ? 4096 : 65536);
    if (i % 5 == 1) {
      client_request(fd, 0, NBD_CMD_WRITE, 99, 0, 65536);
      client_send(fd, data, i * 100);
    } else if (i % 5 == 2) {
      client_request(fd, 0, NBD_CMD_WRITE, 99, 0, 4 << 20);
      client_send(fd, data, i);
    } else if (i % 5 == 3)
      client_send(fd, "\x25\x60\x95", 3);
    if (i % 2)
      shutdown(fd, SHUT_RD);
    close(fd);
    assert_works(good, i);
  }
  close(good);
  WAIT_FOR(n_clients(served) == 0);
  g_assert_cmpuint(memory_pool_opens(served->pool, "other", NULL), ==, 0);
}

static gsize resident(void)
{
  g_autofree char *text = NULL;
  g_assert_true(g_file_get_contents("/proc/self/statm", &text, NULL, NULL));
  gsize size, pages;
  g_assert_cmpint(sscanf(text, "%zu %zu", &size, &pages), ==, 2);
  return pages * 4096;
}

/* Ask for gigabytes and read nothing. Its threads stand, its memory stays bounded, others go on,
 * and the end comes in time. */
static void test_stalled_reader(void **state)
{
  Served *served = *state;
  int good = client_go(served, "vol", FALSE, FALSE), bad = client_go(served, "big", TRUE, FALSE);
  g_autofree guint8 *data = pattern_new(1, 32 << 20);
  g_assert_cmpuint(client_write(bad, 0, 0, data, 32 << 20), ==, 0);
  gsize before = resident();
  guint sent = 0;
  NbdRequest request = {GUINT32_TO_BE(NBD_REQUEST_MAGIC), 0, GUINT16_TO_BE(NBD_CMD_READ), 0, 0,
                        GUINT32_TO_BE(32 << 20)};
  while (send(bad, &request, sizeof request, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof request)
    sent++;
  g_assert_cmpuint(sent, >, 30); /* more than a gigabyte */
  for (guint i = 0; i < 500; i++)
    assert_works(good, i);
#ifndef __SANITIZE_THREAD__ /* whose shadow memory counts, too */
  g_assert_cmpuint(resident(), <, before + (128 << 20));
#else
  (void)before;
#endif
  g_autoptr(GPtrArray) clients = nbd_server_list_clients(served->server);
  g_assert_cmpuint(clients->len, ==, 2);
  for (guint i = 0; i < 2; i++)
    g_assert_cmpuint(((NbdClient *)clients->pdata[i])->threads, <=, 16);

  gint64 start = g_get_monotonic_time();
  nbd_server_stop(served->server, 300);
  gint64 took = g_get_monotonic_time() - start;
  g_assert_cmpint(took, <, 3 * G_USEC_PER_SEC);
  served->server = NULL;
  close(good);
  close(bad);
}

/* Send requests until no more are taken, or a write and half its payload; read nothing. */
static int stalled_client(Served *served, gboolean structured, guint16 type, guint32 length)
{
  int fd = client_go(served, "big", structured, FALSE);
  NbdRequest request = {
      GUINT32_TO_BE(NBD_REQUEST_MAGIC), 0, GUINT16_TO_BE(type), 0, 0, GUINT32_TO_BE(length)};
  if (type == NBD_CMD_WRITE) {
    static const char zeros[1 << 20];
    request.offset = GUINT64_TO_BE(32 << 20);
    client_send(fd, &request, sizeof request);
    client_send(fd, zeros, MIN(length / 2, sizeof zeros));
    return fd;
  }
  for (guint i = 0; i < 200; i++)
    if (send(fd, &request, sizeof request, MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof request)
      break;
  return fd;
}

/* However many ask for however much and do not read: there is a bound over all of them, and who
 * reads gets what it asks for. */
static void test_many_stalled(void **state)
{
  static const guint32 lengths[] = {32 << 20, 5 << 20, 2 << 20, 300 << 10, 64 << 10, 4 << 10};
  enum { N = 240 };
  Served *served = *state;
  int good = client_go(served, "big", FALSE, FALSE), fds[N];
  g_autofree guint8 *data = pattern_new(1, 32 << 20), *back = g_malloc(32 << 20);
  g_assert_cmpuint(client_write(good, 0, 0, data, 32 << 20), ==, 0);
  gsize before = resident();
  for (guint i = 0; i < N; i++)
    fds[i] = stalled_client(served, i % 2, i % 5 == 4 ? NBD_CMD_WRITE : NBD_CMD_READ,
                            lengths[i % G_N_ELEMENTS(lengths)]);
  for (guint i = 0; i < 10; i++) {
    client_request(good, 0, NBD_CMD_READ, i, 0, 32 << 20);
    g_assert_cmpuint(client_simple(good, i), ==, 0);
    client_receive(good, back, 32 << 20);
    g_assert_true(memcmp(back, data, 32 << 20) == 0);
  }
#if !defined __SANITIZE_THREAD__ &&                                                                \
    !defined __SANITIZE_ADDRESS__ /* they keep memory of their own */
  g_assert_cmpuint(resident(), <, before + (256 << 20) + N * (512 << 10) + (16 << 20));
#else
  (void)before;
#endif
  for (guint i = 0; i < N; i++)
    close(fds[i]);
  close(good);
}

/* Read it all, then ask for more and stop reading. */
static int client_that_stops(Served *served)
{
  g_autofree guint8 *back = g_malloc(32 << 20);
  int fd = client_go(served, "big", FALSE, FALSE);
  client_request(fd, 0, NBD_CMD_READ, 1, 0, 32 << 20);
  g_assert_cmpuint(client_simple(fd, 1), ==, 0);
  client_receive(fd, back, 32 << 20);
  for (guint i = 0; i < 100; i++)
    client_request(fd, 0, NBD_CMD_READ, i, 0, 2 << 20);
  return fd;
}

/* Who has earned memory and stops reading loses its connection when others miss the memory; those
 * who miss it are served meanwhile. */
static void test_missed_memory(void **state)
{
  NbdServerOptions options = {.memory = 12 << 20, .stall_ms = 300};
  Served *served = served_new_with(&options);
  int fds[4], good = client_go(served, "vol", FALSE, FALSE);
  g_autofree guint8 *back = g_malloc(4 << 20);
  for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
    fds[i] = client_that_stops(served);
  WAIT_FOR(({
    client_request(good, 0, NBD_CMD_READ, 1, 0, 4 << 20);
    g_assert_cmpuint(client_simple(good, 1), ==, 0);
    client_receive(good, back, 4 << 20);
    n_clients(served) < 5;
  }));
  for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
    close(fds[i]);
  close(good);
  served_free(served);
}

/* Stopping waits for no client that has nothing in flight, wherever it stands. */
static void test_stop_idle(void **state)
{
  Served *served = *state;
  int fds[40];
  for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
    switch (i % 5) {
    case 0: fds[i] = client_new(served); break;
    case 1: fds[i] = client_hello(served); break;
    case 2: fds[i] = client_go(served, "vol", TRUE, FALSE); break;
    case 3:
      fds[i] = client_go(served, "vol", TRUE, FALSE);
      client_request(fds[i], 0, NBD_CMD_WRITE, 1, 0, 4096); /* and no payload */
      break;
    default:
      fds[i] = client_go(served, "big", TRUE, FALSE);
      client_request(fds[i], 0, NBD_CMD_WRITE, 1, 0, 4 << 20);
      client_send(fds[i], "abc", 3);
    }
  gint64 start = g_get_monotonic_time();
  nbd_server_stop(served->server, 10000);
  gint64 took = g_get_monotonic_time() - start;
  g_assert_cmpint(took, <, 2 * G_USEC_PER_SEC);
  served->server = NULL;
  for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
    close(fds[i]);
}

typedef struct {
  Served *served;
  gboolean stopped;
} Stopper;

static gpointer stop_thread(gpointer data)
{
  Stopper *stopper = data;
  nbd_server_stop(stopper->served->server, 10000);
  stopper->served->server = NULL;
  __atomic_store_n(&stopper->stopped, TRUE, __ATOMIC_SEQ_CST);
  return NULL;
}

/* What is in flight when the server stops is finished and answered; what was sent after that is
 * neither. */
static void test_stop_in_flight(void **state)
{
  Served *served = *state;
  int fd = client_go(served, "vol", FALSE, FALSE);
  memory_pool_gate(served->pool, MEMORY_FLUSH, TRUE);
  for (guint i = 0; i < 8; i++)
    client_request(fd, 0, NBD_CMD_FLUSH, i, 0, 0);
  WAIT_FOR(memory_pool_waiting(served->pool) > 0);
  guint before = memory_pool_waiting(served->pool);
  Stopper stopper = {served, FALSE};
  GThread *thread = g_thread_new("stop", stop_thread, &stopper);
  char byte;
  WAIT_FOR(send(fd, "\x25", 1, MSG_NOSIGNAL) < 0); /* it takes no more */
  g_assert_false(__atomic_load_n(&stopper.stopped, __ATOMIC_SEQ_CST));
  memory_pool_gate(served->pool, MEMORY_FLUSH, FALSE);
  g_thread_join(thread);
  guint replies = 0;
  for (NbdSimpleReply reply; recv(fd, &reply, sizeof reply, MSG_WAITALL) == sizeof reply; replies++)
    g_assert_cmpuint(reply.error, ==, 0);
  g_assert_cmpuint(replies, >=, before);
  g_assert_cmpint(recv(fd, &byte, 1, 0), ==, 0);
  close(fd);
}

/* Requests that take long do not wait for one another. */
static void test_parallel(void **state)
{
  Served *served = *state;
  int fd = client_go(served, "vol", FALSE, FALSE);
  memory_pool_gate(served->pool, MEMORY_FLUSH, TRUE);
  for (guint i = 0; i < 12; i++)
    client_request(fd, 0, NBD_CMD_FLUSH, i, 0, 0);
  WAIT_FOR(memory_pool_waiting(served->pool) >= 1);
  int other = client_go(served, "vol", FALSE, FALSE);
  assert_works(other, 3); /* nor do other connections */
  memory_pool_gate(served->pool, MEMORY_FLUSH, FALSE);
  for (guint i = 0; i < 12; i++) {
    NbdSimpleReply reply;
    client_receive(fd, &reply, sizeof reply);
    g_assert_cmpuint(reply.error, ==, 0);
  }

  memory_pool_delay(served->pool, MEMORY_WRITE, 3000);
  char data[512] = {0};
  for (guint i = 0; i < 20; i++)
    g_assert_cmpuint(client_write(fd, 0, i * 512, data, 512), ==,
                     0); /* it learns that these are slow */
  memory_pool_gate(served->pool, MEMORY_WRITE, TRUE);
  for (guint i = 0; i < 12; i++) {
    client_request(fd, 0, NBD_CMD_WRITE, i, i * 512, 512);
    client_send(fd, data, 512);
  }
  WAIT_FOR(memory_pool_waiting(served->pool) == 12);
  memory_pool_gate(served->pool, MEMORY_WRITE, FALSE);
  for (guint i = 0; i < 12; i++) {
    NbdSimpleReply reply;
    client_receive(fd, &reply, sizeof reply);
    g_assert_cmpuint(reply.error, ==, 0);
  }
  close(fd);
  close(other);
}

/* A client that ends its side in good order gets the answers to what it asked. */
static void test_disconnect(void **state)
{
  Served *served = *state;
  for (guint how = 0; how < 2; how++) {
    int fd = client_go(served, "vol", FALSE, FALSE);
    memory_pool_delay(served->pool, MEMORY_READ, 1000);
    for (guint i = 0; i < 20; i++)
      client_request(fd, 0, NBD_CMD_READ, i, 0, 512);
    if (how == 0)
      client_request(fd, 0, NBD_CMD_DISC, 99, 0, 0);
    else
      shutdown(fd, SHUT_WR);
    for (guint i = 0; i < 20; i++) {
      char reply[16 + 512];
      client_receive(fd, reply, sizeof reply);
    }
    assert_closed(fd);
  }
}

/* A view that has asked for "vol", with the answer still to come. */
static int view_asking(Served *served)
{
  g_autoptr(GError) error = NULL;
  int fd = nbd_server_connect(served->server, &error);
  g_assert_no_error(error);
  NbdGreeting greeting;
  client_receive(fd, &greeting, sizeof greeting);
  guint32 flags = GUINT32_TO_BE(NBD_FLAG_FIXED_NEWSTYLE);
  client_send(fd, &flags, sizeof flags);
  g_autoptr(GByteArray) data = client_info_data("vol", NULL);
  client_option(fd, NBD_OPT_GO, data->data, data->len);
  return fd;
}

/* What the kernel sends again on a new connection is not carried out before what it had sent on the
 * old one. */
static void test_view_again(void **state)
{
  Served *served = *state;
  int first = view_asking(served);
  g_assert_cmpuint(client_option_reply(first, NBD_OPT_GO, NULL), ==, NBD_REP_INFO);
  g_assert_cmpuint(client_option_reply(first, NBD_OPT_GO, NULL), ==, NBD_REP_ACK);
  int second = view_asking(served);
  g_assert_cmphex(client_option_reply(second, NBD_OPT_GO, NULL), ==, NBD_REP_ERR_POLICY);
  close(second);

  memory_pool_gate(served->pool, MEMORY_WRITE, TRUE);
  char data[512] = {0};
  client_request(first, 0, NBD_CMD_WRITE, 1, 0, 512);
  client_send(first, data, 512);
  WAIT_FOR(memory_pool_waiting(served->pool) == 1);
  close(first);
  second = view_asking(served);
  char byte;
  g_usleep(100000);
  g_assert_cmpint(recv(second, &byte, 1, MSG_DONTWAIT), <, 0); /* not yet */
  memory_pool_gate(served->pool, MEMORY_WRITE, FALSE);
  g_assert_cmpuint(client_option_reply(second, NBD_OPT_GO, NULL), ==, NBD_REP_INFO);
  g_assert_cmpuint(client_option_reply(second, NBD_OPT_GO, NULL), ==, NBD_REP_ACK);
  assert_works(second, 1);
  close(second);
}

static void test_views(void **state)
{
  Served *served = *state;
  int fd = view_asking(served);
  g_assert_cmpuint(client_option_reply(fd, NBD_OPT_GO, NULL), ==, NBD_REP_INFO);
  g_assert_cmpuint(client_option_reply(fd, NBD_OPT_GO, NULL), ==, NBD_REP_ACK);
  g_assert_cmpuint(memory_pool_opens(served->pool, "vol", NULL), ==, 0);
  g_assert_cmpuint(memory_pool_views(served->pool, "vol"), ==, 1);
  assert_works(fd, 5);

  int other = client_go(served, "ro", FALSE, FALSE);
  assert_works(fd, 6);
  g_autoptr(GPtrArray) clients = nbd_server_list_clients(served->server);
  g_assert_cmpuint(clients->len, ==, 2);
  NbdClient *first = clients->pdata[0], *second = clients->pdata[1];
  g_assert_true(first->view && !first->read_only);
  g_assert_cmpstr(first->export_name, ==, "vol");
  g_assert_cmpint(first->pid, ==, getpid());
  g_assert_cmpuint(first->uid, ==, geteuid());
  g_assert_cmpuint(first->requests, >=, 2);
  g_assert_true(!second->view && second->read_only);
  close(fd);
  close(other);
}

/* --- on a socket in the file system --- */

static int connect_to(const char *path)
{
  g_autoptr(GError) error = NULL;
  int fd = control_socket_connect(path, 5000, &error);
  g_assert_no_error(error);
  struct timeval timeout = {20, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  return fd;
}

static void test_socket(void **state)
{
  Served *served = *state;
  g_autofree char *dir = g_dir_make_tmp("nbd-XXXXXX", NULL),
                  *path = g_build_filename(dir, "nbd", NULL);
  g_autoptr(GError) error = NULL;
  NbdServer *server =
      nbd_server_start(served->pool, path, &(NbdServerOptions){.max_clients = 3}, &error);
  g_assert_no_error(error);
  struct stat st;
  g_assert_cmpint(stat(path, &st), ==, 0);
  g_assert_cmpint(st.st_mode & 07777, ==, 0600);
  NbdServer *second = nbd_server_start(served->pool, path, NULL, &error);
  g_assert_null(second);
  g_assert_error(error, VT_ERROR, EADDRINUSE);

  Served probe = {served->pool, server};
  int fds[3];
  NbdGreeting greeting;
  for (guint i = 0; i < 3; i++) {
    fds[i] = connect_to(path);
    client_receive(fds[i], &greeting, sizeof greeting);
    WAIT_FOR(n_clients(&probe) == i + 1); /* the second server's knock at the door is over */
  }
  int next = connect_to(path); /* full: the first makes way, that says nothing */
  client_receive(next, &greeting, sizeof greeting);
  assert_closed(fds[0]);
  fds[0] = next;
  nbd_server_stop(server, 1000);
  for (guint i = 0; i < 3; i++)
    assert_closed(fds[i]);
  g_assert_cmpint(access(path, F_OK), !=, 0);
  g_rmdir(dir);
}

/* Those who are at work make way for nobody. */
static void test_full(void **state)
{
  Served *served = served_new_with(&(NbdServerOptions){.max_clients = 3});
  int fds[3], pair[2];
  g_autoptr(GError) error = NULL;
  for (guint i = 0; i < 3; i++)
    fds[i] = client_go(served, "vol", FALSE, FALSE);
  g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
  g_assert_false(nbd_server_add(served->server, pair[0], FALSE, &error));
  g_assert_error(error, VT_ERROR, EUSERS);
  close(pair[1]);
  close(fds[0]);
  WAIT_FOR(n_clients(served) == 2);
  fds[0] = client_go(served, "vol", FALSE, FALSE);
  for (guint i = 0; i < 3; i++) {
    assert_works(fds[i], i);
    close(fds[i]);
  }
  served_free(served);
}

/* A stranger who got hold of a socket meant for one user: turned away, unless the mode says that
 * others may. */
static void test_strangers(void **state)
{
  if (geteuid() != 0)
    skip();
  Served *served = *state;
  g_autofree char *dir = g_dir_make_tmp("nbd-XXXXXX", NULL),
                  *path = g_build_filename(dir, "nbd", NULL);
  chmod(dir, 0755);
  for (guint i = 0; i < 2; i++) {
    guint mode = i == 0 ? 0600 : 0666;
    g_autoptr(GError) error = NULL;
    int fd = control_socket_listen(path, 0666, NULL, &error);
    g_assert_no_error(error);
    NbdServer *server =
        nbd_server_start_fd(served->pool, fd, &(NbdServerOptions){.socket_mode = mode}, &error);
    g_assert_no_error(error);
    pid_t child = fork();
    if (child == 0) {
      if (setgid(65534) != 0 || setuid(65534) != 0)
        _exit(9);
      int stranger = control_socket_connect(path, 5000, NULL);
      char byte;
      _exit(stranger < 0 ? 8 : recv(stranger, &byte, 1, 0) == 1);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(WEXITSTATUS(status), ==, i);
    nbd_server_stop(server, 1000);
    g_unlink(path);
  }
  g_rmdir(dir);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_hang_up),        TEST(test_stalled_reader), TEST(test_stop_idle),
      TEST(test_stop_in_flight), TEST(test_parallel),       TEST(test_disconnect),
      TEST(test_views),          TEST(test_view_again),     TEST(test_socket),
      TEST(test_strangers),      TEST(test_many_stalled),   TEST(test_missed_memory),
      TEST(test_full),
  };
  return cmocka_run_group_tests_name("nbd-clients", tests, NULL, NULL);
}
