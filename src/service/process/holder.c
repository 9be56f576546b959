/* virt-thin - the holder: keeps what the kernel must not lose, and the engine running
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * It owns the FUSE connection, the mount, the listening sockets and the shared memory, and hands
 * them to each engine. While there is no engine, requests of the kernel and connects of clients
 * queue. It enters the mount nowhere, and waits for nothing but its children and its own clock.
 */
#include "config.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/control-socket.h"
#include "control/service.h"
#include "pool/remote/service.h"
#include "service/fuse/mount.h"
#include "service/fuse/shared.h"
#include "service/process/holder.h"
#include "settings/settings.h"

/* Of the 5 seconds that the end may take then. */
/* for file systems on block nodes that hold back what was written to them; */
#define STOP_SYNC_MS 1000
#define STOP_SYNC_SYSTEMD_MS 15000 /* a machine that shuts down waits for units longer */
#define STOP_NODES_MS 1300         /* these count from when that is done */
#define STOP_ENGINE_MS 3400
#define STOP_ALL_MS 3800
/* ... but when all that remains is to write to a slow disk: killing would lose it */
#define STOP_WRITING_MS 60000
/* for a planned restart; then the engine is killed, which loses nothing */
#define RESTART_MS 3000
#define FAILED_STARTS_MAX 40 /* in a row: about five minutes with the pauses between them */
#define PAUSE_MAX_MS 10000
#define TICK_MS 1000 /* as the engine's beats */

typedef struct {
  HolderFolder *folder;
  char *program;
  int starter_fd;
  int fuse_fd, shared_fd, nbd_fd, control_fd, engine_nodes_fd, process_nodes_fd, status_read_fd,
      status_write_fd;
  Shared *shared;
  GArray *locks; /* of int: PVs as the engines have locked them */
  GMainLoop *loop;
  GPid engine, nodes, sync; /* 0: not running */
  guint n_failed;           /* starts in a row that did not get ready */
  gboolean was_ready, ready, stopping, restarting;
  gboolean writing; /* at the end: nobody is connected any more, the last commit is under way */
  guint32 beats;    /* as last seen */
  guint n_missed;   /* ticks since they went on */
  guint n_ticks;
  GString *status; /* what the engine said and is not yet a line */
  char *failure;   /* why the engine could not start */
  int exit_status;
} Holder;

static void start_engine(Holder *holder);
static void start_nodes(Holder *holder);

void service_notify(const char *state)
{
  const char *path = g_getenv("NOTIFY_SOCKET");
  struct sockaddr_un address = {.sun_family = AF_UNIX};

  if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof address.sun_path)
    return;
  memcpy(address.sun_path, path, strlen(path));
  if (*path == '@')
    address.sun_path[0] = '\0';
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd == -1 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
                         G_STRUCT_OFFSET(struct sockaddr_un, sun_path) + strlen(path)) == -1)
    g_warning("cannot tell systemd \"%s\": %s", state, g_strerror(errno));
  if (fd != -1)
    close(fd);
}

void service_notify_status(const char *format, ...)
{
  va_list args;

  va_start(args, format);
  g_autofree char *text = g_strdup_vprintf(format, args);
  va_end(args);
  g_autofree char *state = g_strconcat("STATUS=", g_strdelimit(text, "\n", ' '), NULL);
  service_notify(state);
}

/* --- children --- */

/* Between fork() and exec(): only what is safe there. @moved: room for @n_fds. */
static void child_exec(Holder *holder, const char *name, const int *fds, int *moved, guint n_fds)
{
  sigset_t none;
  char *argv[] = {(char *)name, holder->folder->vg, NULL};

  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  for (guint i = 0; i < n_fds; i++)
    moved[i] = fds[i] == -1 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, SERVICE_FD_FUSE + (int)n_fds);
  for (guint i = 0; i < n_fds; i++)
    if (moved[i] != -1)
      dup2(moved[i], SERVICE_FD_FUSE + i);
  execv(holder->program, argv);
  _exit(127);
}

static GPid spawn(Holder *holder, const char *name, const int *fds, guint n_fds)
{
  g_autofree int *moved = g_new(int, n_fds);
  pid_t pid = fork();
  if (pid == 0)
    child_exec(holder, name, fds, moved, n_fds);
  if (pid == -1)
    g_warning("cannot start %s: %s", name, g_strerror(errno));
  return pid == -1 ? 0 : pid;
}

static char *describe_status(int status)
{
  if (WIFSIGNALED(status))
    return g_strdup_printf("was ended by signal %d (%s)", WTERMSIG(status),
                           g_strsignal(WTERMSIG(status)));
  return g_strdup_printf("ended with status %d", WEXITSTATUS(status));
}

/* --- the end --- */

static void tell_starter(Holder *holder, const char *text)
{
  if (holder->starter_fd == -1)
    return;
  if (write(holder->starter_fd, text, strlen(text)) == -1)
    g_message("the process that started the service is gone: %s", g_strerror(errno));
  close(holder->starter_fd);
  holder->starter_fd = -1;
}

static void finish(Holder *holder, int exit_status)
{
  holder->exit_status = exit_status;
  g_main_loop_quit(holder->loop);
}

/* With the last descriptor the kernel fails every request, and whoever waits for one goes on. */
static void close_connection(Holder *holder)
{
  if (holder->fuse_fd != -1)
    close(holder->fuse_fd);
  holder->fuse_fd = -1;
}

/* Whoever waits for the end of the service may open its PVs at once. */
static void release_locks(Holder *holder)
{
  for (guint i = 0; i < holder->locks->len; i++)
    close(g_array_index(holder->locks, int, i));
  g_array_set_size(holder->locks, 0);
}

static gboolean on_all_late(gpointer data)
{
  g_warning("the end does not wait for the engine any longer");
  finish(data, 1);
  return G_SOURCE_REMOVE;
}

static gboolean on_engine_late(gpointer data)
{
  Holder *holder = data;

  if (holder->writing) {
    g_message("the engine of volume group %s is still writing to its physical volumes",
              holder->folder->vg);
    holder->writing = FALSE;
    g_timeout_add(STOP_WRITING_MS, on_engine_late, holder);
    return G_SOURCE_REMOVE;
  }
  g_timeout_add(STOP_ALL_MS - STOP_ENGINE_MS, on_all_late, holder);
  g_warning("the engine did not end in time, and is killed");
  if (holder->engine)
    kill(holder->engine, SIGKILL);
  close_connection(holder);
  return G_SOURCE_REMOVE;
}

/* The nodes are gone, or late: now the engine. */
static void stop_engine(Holder *holder)
{
  if (holder->engine) {
    kill(holder->engine, SIGTERM);
    return;
  }
  close_connection(holder);
  if (!holder->nodes)
    finish(holder, holder->exit_status);
}

static gboolean on_nodes_late(gpointer data)
{
  Holder *holder = data;
  if (holder->nodes) {
    g_message("not all block nodes could be taken away in time: they go with their last users");
    kill(holder->nodes, SIGKILL);
    stop_engine(holder);
  }
  return G_SOURCE_REMOVE;
}

static void stop_nodes(Holder *holder)
{
  g_timeout_add(STOP_NODES_MS, on_nodes_late, holder);
  g_timeout_add(STOP_ENGINE_MS, on_engine_late, holder);
  if (!holder->engine)
    close_connection(holder); /* nobody will answer */
  if (holder->nodes)
    kill(holder->nodes, SIGTERM);
  else
    stop_engine(holder);
}

static void on_sync_exit(GPid pid, gint status, gpointer data)
{
  Holder *holder = data;
  if (!holder->sync)
    return; /* it was late */
  holder->sync = 0;
  stop_nodes(holder);
}

static gboolean on_sync_late(gpointer data)
{
  Holder *holder = data;
  if (holder->sync) {
    g_warning("not all that was written to file systems on volumes of %s could be written in time: "
              "it may be lost",
              holder->folder->vg);
    kill(holder->sync, SIGKILL);
    holder->sync = 0;
    stop_nodes(holder);
  }
  return G_SOURCE_REMOVE;
}

static void begin_stop(Holder *holder)
{
  if (holder->stopping)
    return;
  holder->stopping = TRUE;
  service_notify("STOPPING=1");
  if (holder->engine && holder->nodes)
    holder->sync = spawn(holder, "virt-thin-sync", NULL, 0);
  if (!holder->sync) {
    stop_nodes(holder);
    return;
  }
  g_child_watch_add(holder->sync, on_sync_exit, holder);
  g_timeout_add(g_getenv("NOTIFY_SOCKET") ? STOP_SYNC_SYSTEMD_MS : STOP_SYNC_MS, on_sync_late,
                holder);
}

/* --- the engine --- */

static void on_ready(Holder *holder)
{
  holder->ready = TRUE;
  holder->restarting = FALSE;
  holder->n_failed = 0;
  g_autofree char *state = g_strdup_printf(
      "%sSTATUS=Serving; engine number %u, pid %d", holder->was_ready ? "" : "READY=1\n",
      holder->shared->header->engine_generation, (int)holder->engine);
  service_notify(state);
  if (!holder->was_ready)
    tell_starter(holder, "ready\n");
  holder->was_ready = TRUE;
}

/* What the engine says, and the descriptors that come along. */
static ssize_t receive_status(Holder *holder, char *buffer, gsize size)
{
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec iov = {buffer, size};
  struct msghdr message = {
      .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t n = recvmsg(holder->status_read_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

  if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
    g_array_append_vals(holder->locks, CMSG_DATA(header), 1);
  return n;
}

static void read_status(Holder *holder)
{
  char buffer[4096], *end;
  ssize_t n;

  while ((n = receive_status(holder, buffer, sizeof buffer)) > 0)
    g_string_append_len(holder->status, buffer, n);
  while ((end = strchr(holder->status->str, '\n'))) {
    g_autofree char *line = g_strndup(holder->status->str, end - holder->status->str);
    g_string_erase(holder->status, 0, end + 1 - holder->status->str);
    if (strcmp(line, "ready") == 0) {
      on_ready(holder);
    } else if (strcmp(line, "writing") == 0) {
      holder->writing = TRUE;
    } else if (strcmp(line, "lock") != 0) {
      g_free(holder->failure);
      holder->failure = g_steal_pointer(&line);
    }
  }
}

static gboolean on_status(gint fd, GIOCondition condition, gpointer data)
{
  read_status(data);
  return G_SOURCE_CONTINUE;
}

static gboolean on_pause_over(gpointer data)
{
  Holder *holder = data;
  if (!holder->stopping && !holder->engine)
    start_engine(holder);
  return G_SOURCE_REMOVE;
}

/* It did not get as far as being ready. */
static void on_failed_start(Holder *holder, const char *what)
{
  const char *reason = holder->failure ? holder->failure : what;

  if (!holder->was_ready) {
    g_autofree char *text = g_strdup_printf("failed\n%s\n", reason);
    tell_starter(holder, text);
    g_printerr("virt-thin: %s\n", reason);
    service_notify_status("%s", reason);
    holder->exit_status = 1;
    begin_stop(holder);
    return;
  }
  if (++holder->n_failed > FAILED_STARTS_MAX) {
    g_warning("the engine of volume group %s could not be started %u times in a row; giving up, "
              "its volumes fail from "
              "now on. Last reason: %s",
              holder->folder->vg, FAILED_STARTS_MAX, reason);
    holder->exit_status = 1;
    begin_stop(holder);
    return;
  }
  guint pause = MIN(50u << MIN(holder->n_failed, 10), PAUSE_MAX_MS);
  g_warning("the engine of volume group %s could not be started (%s): next attempt in %u ms",
            holder->folder->vg, reason, pause);
  service_notify_status("Requests wait, the engine could not be started: %s", reason);
  g_timeout_add(pause, on_pause_over, holder);
}

static void on_engine_exit(GPid pid, gint status, gpointer data)
{
  Holder *holder = data;
  g_autofree char *what = describe_status(status);
  gboolean was_ready, killed;

  read_status(holder);
  was_ready = holder->ready;
  holder->ready = FALSE;
  holder->engine = 0;
  if (holder->stopping) {
    stop_engine(holder);
    return;
  }
  /* Killed from outside, it has not failed. */
  killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && holder->was_ready;
  if (!holder->restarting && (was_ready || killed))
    g_warning("the engine of volume group %s %s; it is started again, and requests wait meanwhile",
              holder->folder->vg, what);
  if (holder->restarting || was_ready || killed)
    start_engine(holder);
  else
    on_failed_start(holder, what);
  g_clear_pointer(&holder->failure, g_free);
}

static void start_engine(Holder *holder)
{
  const int fds[] = {holder->fuse_fd,    holder->shared_fd,       holder->nbd_fd,
                     holder->control_fd, holder->engine_nodes_fd, holder->status_write_fd};
  g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(int));

  g_array_append_vals(all, fds, G_N_ELEMENTS(fds));
  if (holder->locks->len)
    g_array_append_vals(all, holder->locks->data, holder->locks->len);
  holder->shared->header->n_locks = holder->locks->len;
  holder->shared->header->engine_generation++;
  holder->shared->header->beats = 0;
  holder->engine = spawn(holder, "virt-thin-engine", (const int *)(void *)all->data, all->len);
  if (holder->engine)
    g_child_watch_add(holder->engine, on_engine_exit, holder);
  else
    on_failed_start(holder, "no process");
}

/* --- the nodes process --- */

static gboolean on_nodes_pause_over(gpointer data)
{
  Holder *holder = data;
  if (!holder->stopping && !holder->nodes)
    start_nodes(holder);
  return G_SOURCE_REMOVE;
}

static void on_nodes_exit(GPid pid, gint status, gpointer data)
{
  Holder *holder = data;
  g_autofree char *what = describe_status(status);

  holder->nodes = 0;
  holder->shared->header->nodes_pid = 0;
  if (holder->stopping) {
    stop_engine(holder);
  } else {
    if (!holder->restarting)
      g_warning("the process that makes the block nodes of volume group %s %s; it is started again",
                holder->folder->vg, what);
    g_timeout_add(holder->restarting ? 0 : 500, on_nodes_pause_over, holder);
  }
}

static void start_nodes(Holder *holder)
{
  const int fds[] = {-1, holder->shared_fd, -1, -1, holder->process_nodes_fd, -1};

  holder->nodes = spawn(holder, "virt-thin-nodes", fds, G_N_ELEMENTS(fds));
  holder->shared->header->nodes_pid = holder->nodes;
  if (holder->nodes)
    g_child_watch_add(holder->nodes, on_nodes_exit, holder);
}

/* --- the watchdogs --- */

/* Tell systemd's that this process goes on. */
static void reassure_systemd(guint n_ticks)
{
  const char *usec = g_getenv("WATCHDOG_USEC"), *pid = g_getenv("WATCHDOG_PID");
  guint64 period = usec ? g_ascii_strtoull(usec, NULL, 10) / 4 / (TICK_MS * 1000) : 0;

  if (usec && (!pid || g_ascii_strtoll(pid, NULL, 10) == getpid()) && n_ticks % MAX(period, 1) == 0)
    service_notify("WATCHDOG=1");
}

/* An engine whose main loop stands is replaced as if it had died. That loop does no I/O to physical
 * volumes: a slow disk is no reason. Ticks are counted, not time: when the whole machine stood,
 * this process stood, too. */
static void watch_engine(Holder *holder)
{
  guint32 beats = __atomic_load_n(&holder->shared->header->beats, __ATOMIC_RELAXED);
  guint limit = settings_watchdog();
  gboolean watched = holder->ready && holder->engine && !holder->stopping && !holder->restarting;

  if (!watched || limit == 0 || beats == 0 || beats != holder->beats) {
    holder->beats = beats;
    holder->n_missed = 0;
  } else if (++holder->n_missed * TICK_MS >= limit * 1000) {
    g_warning(
        "the engine of volume group %s, pid %d, has been silent for %u seconds, and is killed",
        holder->folder->vg, (int)holder->engine, limit);
    kill(holder->engine, SIGKILL);
    holder->n_missed = 0;
  }
}

static gboolean on_tick(gpointer data)
{
  Holder *holder = data;

  reassure_systemd(holder->n_ticks++);
  watch_engine(holder);
  return G_SOURCE_CONTINUE;
}

/* --- signals --- */

static gboolean on_term(gpointer data)
{
  begin_stop(data);
  return G_SOURCE_CONTINUE;
}

static gboolean on_restart_late(gpointer data)
{
  Holder *holder = data;
  if (holder->restarting && !holder->stopping && holder->engine && holder->ready) {
    g_message("the engine did not end in time for its restart, and is killed");
    kill(holder->engine, SIGKILL);
  }
  return G_SOURCE_REMOVE;
}

static gboolean on_hup(gpointer data)
{
  Holder *holder = data;

  if (holder->stopping || holder->restarting || !holder->ready)
    return G_SOURCE_CONTINUE;
  g_message("planned restart of the engine of volume group %s", holder->folder->vg);
  holder->restarting = TRUE;
  kill(holder->engine, SIGUSR1);
  if (holder->nodes)
    kill(holder->nodes, SIGKILL); /* the next one finds all that this one made */
  g_timeout_add(RESTART_MS, on_restart_late, holder);
  return G_SOURCE_CONTINUE;
}

/* --- the beginning --- */

static gboolean write_file(Holder *holder, const char *name, int mode, const char *text,
                           GError **error)
{
  g_autofree char *path = g_build_filename(holder->folder->dir, name, NULL);
  g_autoptr(GError) local = NULL;

  return g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, mode, &local) ||
         vt_set_error(error, EIO, "%s", local->message);
}

/* Where the engine finds its PVs. Nothing if they are to be looked for in the usual places; it
 * writes down itself which it has found, and those that join. */
static gboolean write_devices(Holder *holder, const char *const *devices, GError **error)
{
  g_autofree char *path = g_build_filename(holder->folder->dir, CONTROL_SERVICE_DEVICES, NULL),
                  *start_path =
                      g_build_filename(holder->folder->dir, POOL_SERVICE_START_DEVICES, NULL),
                  *given = NULL;
  g_autoptr(GString) text = g_string_new(NULL);

  if (!devices && g_file_get_contents(start_path, &given, NULL, NULL))
    return write_file(holder, CONTROL_SERVICE_DEVICES, 0600, given, error);
  if (!devices)
    return unlink(path) == 0 || errno == ENOENT || vt_set_errno(error, errno, "removing %s", path);
  for (; *devices; devices++) {
    g_autofree char *full = g_canonicalize_filename(*devices, NULL);

    g_string_append_printf(text, "%s\n", full);
  }
  return write_file(holder, CONTROL_SERVICE_DEVICES, 0600, text->str, error);
}

static gboolean write_pid(Holder *holder, GError **error)
{
  g_autofree char *path = g_build_filename(holder->folder->dir, "pid", NULL),
                  *text = g_strdup_printf("%d\n", getpid());

  if (!write_file(holder, "pid", 0644, text, error))
    return FALSE;
  /* Whatever the umask: for the clients that the sockets are for. */
  return chmod(path, 0644) == 0 || vt_set_errno(error, errno, "setting the mode of %s", path);
}

static int listen_on(Holder *holder, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename(holder->folder->dir, name, NULL);
  return control_socket_listen(path, settings_socket_mode(), settings_socket_group(), error);
}

static gboolean prepare(Holder *holder, const char *const *devices, GError **error)
{
  int pair[2], status[2];

  holder->program = g_file_read_link("/proc/self/exe", NULL);
  if (!holder->program)
    return vt_set_error(error, ENOENT, "cannot tell which program this is: is /proc mounted?");
  if (g_str_has_suffix(holder->program, " (deleted)"))
    holder->program[strlen(holder->program) - strlen(" (deleted)")] = '\0';
  if (!write_pid(holder, error) || !write_devices(holder, devices, error))
    return FALSE;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == -1 ||
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, status) == -1)
    return vt_set_errno(error, errno, "cannot make sockets");
  holder->engine_nodes_fd = pair[0];
  holder->process_nodes_fd = pair[1];
  holder->status_read_fd = status[0];
  holder->status_write_fd = status[1];
  if ((holder->nbd_fd = listen_on(holder, "nbd", error)) == -1 ||
      (holder->control_fd = listen_on(holder, "control", error)) == -1)
    return FALSE;
  if ((holder->shared_fd = shared_create(settings_threads(), error)) == -1 ||
      !(holder->shared = shared_map(holder->shared_fd, error)))
    return FALSE;
  if (!settings_make_folder(holder->folder->folder, error))
    return FALSE;
  holder->fuse_fd = mount_fuse(holder->folder->folder, settings_socket_group() != NULL, error);
  return holder->fuse_fd != -1;
}

int holder_run(HolderFolder *folder, const char *const *devices, int starter_fd)
{
  Holder holder = {.folder = folder, .starter_fd = starter_fd, .fuse_fd = -1};
  g_autoptr(GError) error = NULL;

  holder.status = g_string_new(NULL);
  holder.locks = g_array_new(FALSE, FALSE, sizeof(int));
  if (!prepare(&holder, devices, &error)) {
    g_autofree char *text = g_strdup_printf("failed\n%s\n", error->message);
    tell_starter(&holder, text);
    g_printerr("virt-thin: %s\n", error->message);
    service_notify_status("%s", error->message);
    close_connection(&holder);
    holder_folder_leave(folder);
    return 1;
  }
  if (chdir("/") == -1)
    g_warning("cannot leave the current folder: %s", g_strerror(errno));
  holder.loop = g_main_loop_new(NULL, FALSE);
  g_unix_signal_add(SIGTERM, on_term, &holder);
  g_unix_signal_add(SIGINT, on_term, &holder);
  g_unix_signal_add(SIGHUP, on_hup, &holder);
  g_unix_fd_add(holder.status_read_fd, G_IO_IN, on_status, &holder);
  g_timeout_add(TICK_MS, on_tick, &holder);
  start_nodes(&holder);
  start_engine(&holder);
  g_main_loop_run(holder.loop);
  close_connection(&holder);
  release_locks(&holder);
  holder_folder_leave(folder);
  shared_unmap(holder.shared);
  g_main_loop_unref(holder.loop);
  g_string_free(holder.status, TRUE);
  g_array_unref(holder.locks);
  g_free(holder.failure);
  g_free(holder.program);
  return holder.exit_status;
}
