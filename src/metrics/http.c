/* virt-thin - metrics over HTTP, on a Unix socket or whatever socket systemd hands over
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "metrics/http.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <string.h>
#include <unistd.h>

#include "control/control-socket.h"
#include "metrics/text.h"

#define LISTEN_FD 3 /* systemd's first */
#define SOCKET_MODE 0660
#define REQUEST_MAX 8192
#define PATIENCE_S 5 /* with each piece of a client's request, and with all of it */

typedef struct {
  MetricsHttpFunc func;
  gpointer data;
} Answer;

/* Up to the empty line that ends it. NULL: hung up, or too slow or long. The caller's. */
static char *receive_request(GInputStream *in)
{
  g_autoptr(GString) request = g_string_new(NULL);
  gint64 end = g_get_monotonic_time() + PATIENCE_S * G_USEC_PER_SEC;

  while (!strstr(request->str, "\r\n\r\n") && !strstr(request->str, "\n\n")) {
    char piece[1024];
    gssize n = g_input_stream_read(in, piece, sizeof piece, NULL, NULL);

    if (n <= 0 || request->len > REQUEST_MAX || g_get_monotonic_time() > end)
      return NULL;
    g_string_append_len(request, piece, n);
  }
  return g_string_free(g_steal_pointer(&request), FALSE);
}

static void send_answer(GOutputStream *out, const char *status, const char *type, const char *body,
                        gboolean head)
{
  g_autofree char *text =
      g_strdup_printf("HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %" G_GSIZE_FORMAT
                      "\r\nConnection: close\r\n\r\n%s",
                      status, type, strlen(body), head ? "" : body);

  g_output_stream_write_all(out, text, strlen(text), NULL, NULL, NULL);
}

/* /metrics, with whatever is asked of it behind a question mark. */
static gboolean is_ours(const char *target)
{
  return g_str_has_prefix(target, "/metrics") && (!target[8] || target[8] == '?');
}

static gboolean on_client(GSocketService *service, GSocketConnection *client, GObject *source,
                          gpointer user_data)
{
  Answer *answer = user_data;
  GOutputStream *out = g_io_stream_get_output_stream(G_IO_STREAM(client));
  g_autofree char *request = NULL, *body = NULL;
  g_auto(GStrv) words = NULL;
  gboolean head;

  g_socket_set_timeout(g_socket_connection_get_socket(client), PATIENCE_S);
  if (!(request = receive_request(g_io_stream_get_input_stream(G_IO_STREAM(client)))))
    return TRUE;
  words = g_strsplit(request, " ", 3);
  head = strcmp(words[0], "HEAD") == 0;
  if (g_strv_length(words) < 3) {
    send_answer(out, "400 Bad Request", "text/plain", "This is no request of HTTP.\n", FALSE);
  } else if (!head && strcmp(words[0], "GET") != 0) {
    send_answer(out, "405 Method Not Allowed", "text/plain", "GET /metrics.\n", FALSE);
  } else if (!is_ours(words[1])) {
    send_answer(out, "404 Not Found", "text/plain", "There is /metrics.\n", head);
  } else {
    body = answer->func(answer->data);
    send_answer(out, "200 OK",
                strstr(words[2], "application/openmetrics-text") ? METRICS_OPENMETRICS
                                                                 : METRICS_PROMETHEUS,
                body, head);
  }
  return TRUE;
}

/* -1: error. */
static int take_from_systemd(GError **error)
{
  const char *pid = g_getenv("LISTEN_PID"), *n = g_getenv("LISTEN_FDS");

  if (!pid || !n || g_ascii_strtoll(pid, NULL, 10) != getpid() || strcmp(n, "1") != 0) {
    vt_set_error(
        error, ENOENT,
        "systemd has handed over no socket: name one to be made, --listen SOCKET, or start "
        "virt-thin-metrics.socket");
    return -1;
  }
  fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC);
  return LISTEN_FD;
}

static gboolean on_signal(gpointer loop)
{
  g_main_loop_quit(loop);
  return G_SOURCE_REMOVE;
}

static gboolean serve(GSocket *socket, Answer *answer, GError **error)
{
  g_autoptr(GSocketService) service = g_socket_service_new();
  g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
  g_autoptr(GError) local = NULL;

  if (!g_socket_listener_add_socket(G_SOCKET_LISTENER(service), socket, NULL, &local))
    return vt_set_error(error, EIO, "listening for who reads metrics: %s", local->message);
  g_signal_connect(service, "incoming", G_CALLBACK(on_client), answer);
  g_unix_signal_add(SIGTERM, on_signal, loop);
  g_unix_signal_add(SIGINT, on_signal, loop);
  g_main_loop_run(loop);
  return TRUE;
}

gboolean metrics_http_serve(const char *path, MetricsHttpFunc func, gpointer data, GError **error)
{
  int fd = path ? control_socket_listen(path, SOCKET_MODE, NULL, error) : take_from_systemd(error);
  Answer answer = {func, data};
  g_autoptr(GError) local = NULL;
  g_autoptr(GSocket) socket = NULL;
  gboolean ok;

  if (fd < 0)
    return FALSE;
  socket = g_socket_new_from_fd(fd, &local);
  if (!socket) {
    close(fd);
    return vt_set_error(error, EIO, "listening for who reads metrics: %s", local->message);
  }
  ok = serve(socket, &answer, error);
  if (path)
    unlink(path);
  return ok;
}
