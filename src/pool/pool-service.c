/* virt-thin - starting and stopping the service of a volume group, from outside it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Runs in libvirtd's threads as well: no main loop, no SIGCHLD handler, no waiting without a deadline.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/control.h"
#include "pool/pool-service.h"
#include "pool/pool.h"
#include "pool/settings.h"

#define LAST_WORDS_MAX 4096
/* How long a service that is to end whatever it does gets to answer. */
#define FORCE_PATIENCE_US (5 * G_TIME_SPAN_SECOND)

gboolean pool_service_check_vg(const char *vg, GError **error)
{
  static const char legal[] = G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "+_.-";
  g_autofree char *readable = NULL;

  if (*vg && *vg != '-' && strlen(vg) <= 127 && strspn(vg, legal) == strlen(vg) && strcmp(vg, ".") != 0 &&
      strcmp(vg, "..") != 0)
    return TRUE;
  readable = g_strescape(vg, NULL);
  return vt_set_error(error, EINVAL, "\"%s\" cannot be the name of a volume group", readable);
}

static guint remaining_ms(gint64 deadline)
{
  gint64 now = g_get_monotonic_time();

  return now >= deadline ? 0 : (guint)MIN((deadline - now) / G_TIME_SPAN_MILLISECOND + 1, G_MAXINT);
}

/* --- who runs --- */

/* Does /proc/locks list a flock on @fd's file? ("1: FLOCK  ADVISORY  WRITE 123 00:2f:4711 0 EOF"). Asking this way
 * takes no lock, and so is in no holder's way that is just starting. */
static gboolean lock_listed(int fd)
{
  g_autofree char *locks = NULL, *inode = NULL;
  g_auto(GStrv) lines = NULL;
  struct stat st;

  if (fstat(fd, &st) < 0 || !g_file_get_contents("/proc/locks", &locks, NULL, NULL))
    return FALSE;
  inode = g_strdup_printf("%02x:%02x:%" G_GUINT64_FORMAT, major(st.st_dev), minor(st.st_dev), (guint64)st.st_ino);
  lines = g_strsplit(locks, "\n", -1);
  for (char **line = lines; *line; line++) {
    char kind[16], where[64];

    if (sscanf(*line, "%*s %15s %*s %*s %*d %63s", kind, where) == 2 && strcmp(kind, "FLOCK") == 0 &&
        strcmp(where, inode) == 0)
      return TRUE;
  }
  return FALSE;
}

/* The holder's pid; 0: not known. */
static pid_t read_holder(const char *vg)
{
  g_autofree char *path = settings_vg_file(vg, "pid"), *text = NULL;
  gint64 pid;

  if (!g_file_get_contents(path, &text, NULL, NULL))
    return 0;
  pid = g_ascii_strtoll(text, NULL, 10);
  return pid > 1 && pid <= G_MAXINT && (kill((pid_t)pid, 0) == 0 || errno == EPERM) ? (pid_t)pid : 0;
}

gboolean pool_service_is_running(const char *vg)
{
  g_autofree char *path = settings_vg_file(vg, "lock");
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  gboolean held;

  if (fd < 0)
    return FALSE;
  held = lock_listed(fd);
  /* Some file systems are listed under another device number. With a holder that is alive, trying the lock disturbs
   * nobody. */
  if (!held && read_holder(vg))
    held = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
  close(fd);
  return held;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GStrv pool_service_list(void)
{
  GDir *dir = g_dir_open(settings_runtime_dir(), 0, NULL);
  GPtrArray *names = g_ptr_array_new();
  const char *name;

  while (dir && (name = g_dir_read_name(dir)))
    if (pool_service_check_vg(name, NULL) && pool_service_is_running(name))
      g_ptr_array_add(names, g_strdup(name));
  if (dir)
    g_dir_close(dir);
  g_ptr_array_sort(names, compare_names);
  g_ptr_array_add(names, NULL);
  return (GStrv)g_ptr_array_free(names, FALSE);
}

/* --- starting --- */

/* systemd's escaping of an instance name (systemd.unit(5)): what is left alone is what VG names are mostly made of. */
static char *unit_name(const char *vg)
{
  GString *unit = g_string_new("virt-thin@");

  for (const char *c = vg; *c; c++)
    if (g_ascii_isalnum(*c) || *c == '_' || (*c == '.' && c != vg))
      g_string_append_c(unit, *c);
    else
      g_string_append_printf(unit, "\\x%02x", (guchar)*c);
  g_string_append(unit, ".service");
  return g_string_free(unit, FALSE);
}

gboolean pool_service_uses_systemd(const char *const *devices)
{
  static const char *const overrides[] = {"VIRT_THIN_RUNTIME_DIR", "VIRT_THIN_STATE_DIR", "VIRT_THIN_CONFIG",
                                          "VIRT_THIN_PROGRAM", "VIRT_THIN_DEV_DIR"};
  static const char *const folders[] = {"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
                                        "/usr/lib/systemd/system", "/lib/systemd/system"};

  if (devices || geteuid() != 0 || access("/run/systemd/system", F_OK) < 0)
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS(overrides); i++)
    if (g_getenv(overrides[i]))
      return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS(folders); i++) {
    g_autofree char *unit = g_build_filename(folders[i], "virt-thin@.service", NULL);

    if (access(unit, F_OK) == 0)
      return TRUE;
  }
  return FALSE;
}

static GStrv start_command(const char *vg, const char *const *devices, gboolean systemd)
{
  GPtrArray *argv = g_ptr_array_new();

  if (systemd) {
    g_ptr_array_add(argv, g_strdup("systemctl"));
    g_ptr_array_add(argv, g_strdup("start"));
    g_ptr_array_add(argv, unit_name(vg));
  } else {
    g_ptr_array_add(argv, g_strdup(settings_program()));
    for (; devices && *devices; devices++) {
      g_ptr_array_add(argv, g_strdup("--device"));
      g_ptr_array_add(argv, g_canonicalize_filename(*devices, NULL));
    }
    g_ptr_array_add(argv, g_strdup("serve"));
    g_ptr_array_add(argv, g_strdup(vg));
  }
  g_ptr_array_add(argv, NULL);
  return (GStrv)g_ptr_array_free(argv, FALSE);
}

/* Collect what the child says on @err_fd until it has ended or @deadline is over. */
static gboolean wait_for_child(pid_t pid, int err_fd, gint64 deadline, GString *said, int *status)
{
  int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
  struct pollfd polls[2] = {{pid_fd, POLLIN, 0}, {err_fd, POLLIN, 0}};
  gboolean ended = FALSE;

  while (!ended) {
    guint wait_ms = remaining_ms(deadline);
    char buffer[1024];
    ssize_t n = 0;

    poll(polls, 2, (int)(pid_fd >= 0 ? wait_ms : MIN(wait_ms, 20)));
    ended = waitpid(pid, status, WNOHANG) == pid;
    while (polls[1].fd >= 0 && (n = read(err_fd, buffer, sizeof buffer)) > 0)
      if (said->len < LAST_WORDS_MAX)
        g_string_append_len(said, buffer, n);
    if (n == 0)
      polls[1].fd = -1; /* closed: asked no more, or poll() would return at once */
    if (!ended && wait_ms == 0)
      break;
  }
  if (pid_fd >= 0)
    close(pid_fd);
  return ended;
}

static gpointer reap(gpointer pid)
{
  waitpid(GPOINTER_TO_INT(pid), NULL, 0);
  return NULL;
}

static gboolean run_command(const char *vg, char **argv, gint64 deadline, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(GString) said = g_string_new(NULL);
  int status = 0, err_fd = -1;
  gboolean ended;
  GPid pid;

  if (!g_spawn_async_with_pipes(NULL, argv, NULL,
                                G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, NULL,
                                NULL, &pid, NULL, NULL, &err_fd, &local))
    return vt_set_error(error, local->code == G_SPAWN_ERROR_NOENT ? ENOENT : EIO,
                        "starting the service of volume group %s: %s", vg, local->message);
  fcntl(err_fd, F_SETFL, O_NONBLOCK);
  ended = wait_for_child(pid, err_fd, deadline, said, &status);
  close(err_fd);
  if (!ended) {
    kill(pid, SIGTERM);
    /* It may be stuck in the kernel: reap it, but not here. */
    g_thread_unref(g_thread_new("reaper", reap, GINT_TO_POINTER(pid)));
    return vt_set_error(error, ETIMEDOUT, "the service of volume group %s was not ready in time: see its log", vg);
  }
  g_strstrip(said->str);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
    return TRUE;
  if (!*said->str)
    g_string_assign(said, "it gave no reason");
  return vt_set_error(error, EIO, "the service of volume group %s could not be started: %s", vg, said->str);
}

/* Connect; somebody who is only just starting or restarting gets time until @deadline. */
static Pool *wait_for_answer(const char *vg, gint64 deadline, GError **error)
{
  for (;;) {
    g_autoptr(GError) local = NULL;
    Pool *pool = pool_connect(vg, MAX(remaining_ms(deadline), 1), &local);

    if (pool)
      return pool;
    if (local->code != ENOENT || !pool_service_is_running(vg) || remaining_ms(deadline) == 0) {
      g_propagate_error(error, g_steal_pointer(&local));
      return NULL;
    }
    g_usleep(20 * G_TIME_SPAN_MILLISECOND);
  }
}

gboolean pool_service_start(const char *vg, const char *thin_pool, const char *const *devices, guint timeout_ms,
                            GError **error)
{
  gint64 deadline =
      g_get_monotonic_time() + (timeout_ms ? timeout_ms : CONTROL_DEFAULT_TIMEOUT_MS) * (gint64)G_TIME_SPAN_MILLISECOND;
  g_autoptr(GError) local = NULL;
  g_autoptr(Pool) pool = NULL;
  gboolean started = FALSE;

  if (!pool_service_check_vg(vg, error))
    return FALSE;
  if (!pool_service_is_running(vg)) {
    g_auto(GStrv) argv = start_command(vg, devices, pool_service_uses_systemd(devices));

    /* Another may have been faster: what counts is that one answers. */
    started = run_command(vg, argv, deadline, &local);
    if (!started && !pool_service_is_running(vg)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
  }
  pool = wait_for_answer(vg, deadline, error);
  if (!pool || !thin_pool)
    return pool != NULL;
  return started ? pool_activate_alone(pool, thin_pool, error) : pool_activate(pool, thin_pool, error);
}

/* --- stopping --- */

static gboolean call_stop(const char *vg, gboolean force, gint64 deadline, GError **error)
{
  g_autofree char *path = settings_vg_file(vg, "control");
  g_autofree char *what = g_strdup_printf("stopping the service of volume group %s", vg);
  g_autoptr(GDBusConnection) connection = control_connect(path, remaining_ms(deadline), error);
  g_autoptr(GVariant) out = NULL;
  GError *local = NULL;

  if (!connection)
    return FALSE;
  out = g_dbus_connection_call_sync(connection, NULL, CONTROL_OBJECT_PATH, CONTROL_INTERFACE, "Stop",
                                    g_variant_new("(b)", force), NULL, G_DBUS_CALL_FLAGS_NONE,
                                    MAX(remaining_ms(deadline), 1), NULL, &local);
  /* It may be gone before its answer has left; whether it is, its lock tells. */
  if (!out && control_error_is_disconnect(local)) {
    g_error_free(local);
    return TRUE;
  }
  return out != NULL || control_propagate_error(error, local, what);
}

/* Wait until nobody holds the lock. */
static gboolean wait_for_end(const char *vg, gint64 deadline)
{
  pid_t holder = read_holder(vg);
  int pid_fd = holder ? (int)syscall(SYS_pidfd_open, holder, 0) : -1;
  struct pollfd ended = {pid_fd, POLLIN, 0};
  gboolean running;

  /* The lock goes with the holder; when its pid is not known, look again and again. */
  while ((running = pool_service_is_running(vg)) && remaining_ms(deadline) > 0)
    if (pid_fd < 0 || ended.revents)
      g_usleep(10 * G_TIME_SPAN_MILLISECOND);
    else
      poll(&ended, 1, (int)remaining_ms(deadline));
  if (pid_fd >= 0)
    close(pid_fd);
  return !running;
}

gboolean pool_service_stop(const char *vg, gboolean force, guint timeout_ms, GError **error)
{
  gint64 deadline =
      g_get_monotonic_time() + (timeout_ms ? timeout_ms : CONTROL_DEFAULT_TIMEOUT_MS) * (gint64)G_TIME_SPAN_MILLISECOND;
  g_autoptr(GError) local = NULL;
  pid_t holder;

  if (!pool_service_check_vg(vg, error))
    return FALSE;
  if (!pool_service_is_running(vg))
    return vt_set_error(error, ENOENT, "volume group %s is not served", vg);
  holder = read_holder(vg);
  if (!call_stop(vg, force, force ? MIN(deadline, g_get_monotonic_time() + FORCE_PATIENCE_US) : deadline, &local)) {
    if (!force || !holder || !pool_service_is_running(vg)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    /* It does not listen: its holder ends it whatever the engine does. */
    kill(holder, SIGTERM);
  }
  if (!wait_for_end(vg, deadline))
    return vt_set_error(error, ETIMEDOUT, "the service of volume group %s has not ended in time (pid %d)%s", vg,
                        (int)holder, force ? ": its log may say why" : "; virt-thin stop --force insists");
  return TRUE;
}
