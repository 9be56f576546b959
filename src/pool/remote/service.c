/* virt-thin - starting and stopping the service of a volume group, from outside it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Runs in libvirtd's threads as well: no main loop, no SIGCHLD handler, no waiting without a
 * deadline.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/control.h"
#include "control/service.h"
#include "pool/open.h"
#include "pool/remote/service.h"
#include "settings/settings.h"
#include "util/name.h"

#define LAST_WORDS_MAX 4096
/* How long a service that is to end whatever it does gets to answer. */
#define FORCE_PATIENCE_US (5 * G_TIME_SPAN_SECOND)

static guint remaining_ms(gint64 deadline)
{
  gint64 now = g_get_monotonic_time();

  return now >= deadline ? 0 : (guint)MIN((deadline - now) / G_TIME_SPAN_MILLISECOND + 1, G_MAXINT);
}

/* --- starting --- */

/* systemd's escaping of an instance name (systemd.unit(5)): what is left alone is what VG names are
 * mostly made of. */
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

gboolean pool_service_uses_systemd(void)
{
  static const char *const overrides[] = {"VIRT_THIN_RUNTIME_DIR", "VIRT_THIN_STATE_DIR",
                                          "VIRT_THIN_CONFIG", "VIRT_THIN_PROGRAM",
                                          "VIRT_THIN_DEV_DIR"};
  static const char *const folders[] = {"/etc/systemd/system", "/run/systemd/system",
                                        "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
                                        "/lib/systemd/system"};

  if (geteuid() != 0 || access("/run/systemd/system", F_OK) < 0)
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

/* Collect what the child says on @fd until it has ended or @deadline is over. */
static gboolean wait_for_child(pid_t pid, int fd, gint64 deadline, GString *said, int *status)
{
  int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
  struct pollfd polls[2] = {{pid_fd, POLLIN, 0}, {fd, POLLIN, 0}};
  gboolean ended = FALSE;

  while (!ended) {
    guint wait_ms = remaining_ms(deadline);
    char buffer[1024];
    ssize_t n = 0;

    poll(polls, 2, (int)(pid_fd >= 0 ? wait_ms : MIN(wait_ms, 20)));
    ended = waitpid(pid, status, WNOHANG) == pid;
    while (polls[1].fd >= 0 && (n = read(fd, buffer, sizeof buffer)) > 0)
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

/* Run @argv, and collect in @said what it says on its standard error, or its standard @output. An
 * end with another status than 0 is EIO. */
static gboolean run_command(const char *const *argv, gboolean output, gint64 deadline,
                            GString *said, GError **error)
{
  g_autoptr(GError) local = NULL;
  GSpawnFlags flags = G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD |
                      (output ? G_SPAWN_STDERR_TO_DEV_NULL : G_SPAWN_STDOUT_TO_DEV_NULL);
  /* The service manager's socket is for libvirtd, when that is us, and not for a service that we
   * start. */
  g_auto(GStrv) environment = g_environ_unsetenv(g_get_environ(), "NOTIFY_SOCKET");
  int status = 0, fd = -1;
  gboolean ended;
  GPid pid;

  if (!g_spawn_async_with_pipes(NULL, (char **)argv, environment, flags, NULL, NULL, &pid, NULL,
                                output ? &fd : NULL, output ? NULL : &fd, &local))
    return vt_set_error(error, local->code == G_SPAWN_ERROR_NOENT ? ENOENT : EIO, "%s",
                        local->message);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  ended = wait_for_child(pid, fd, deadline, said, &status);
  close(fd);
  if (!ended) {
    kill(pid, SIGTERM);
    /* It may be stuck in the kernel: reap it, but not here. */
    g_thread_unref(g_thread_new("reaper", reap, GINT_TO_POINTER(pid)));
    return vt_set_error(error, ETIMEDOUT, "it was not ready in time: see its log");
  }
  g_strstrip(said->str);
  said->len = strlen(said->str);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
    return TRUE;
  return vt_set_error(error, EIO, "%s", *said->str ? said->str : "it gave no reason");
}

static gboolean start_process(const char *vg, const char *const *devices, gint64 deadline,
                              GError **error)
{
  g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GString) said = g_string_new(NULL);

  g_ptr_array_add(argv, g_strdup(settings_program()));
  for (; devices && *devices; devices++) {
    g_ptr_array_add(argv, g_strdup("--device"));
    g_ptr_array_add(argv, g_canonicalize_filename(*devices, NULL));
  }
  g_ptr_array_add(argv, g_strdup("serve"));
  g_ptr_array_add(argv, g_strdup(vg));
  g_ptr_array_add(argv, NULL);
  return run_command((const char *const *)argv->pdata, FALSE, deadline, said, error);
}

/* The unit has no command line of its own: the holder finds @devices in this file. */
static gboolean write_start_devices(const char *vg, const char *const *devices, GError **error)
{
  g_autofree char *dir = settings_vg_dir(vg),
                  *path = settings_vg_file(vg, POOL_SERVICE_START_DEVICES);
  g_autoptr(GString) text = g_string_new(NULL);
  g_autoptr(GError) local = NULL;

  if (!devices)
    return unlink(path) == 0 || errno == ENOENT || vt_set_errno(error, errno, "removing %s", path);
  for (; *devices; devices++) {
    g_autofree char *full = g_canonicalize_filename(*devices, NULL);
    g_string_append_printf(text, "%s\n", full);
  }
  if (!settings_make_folder(dir, error))
    return FALSE;
  return g_file_set_contents_full(path, text->str, text->len, G_FILE_SET_CONTENTS_CONSISTENT, 0600,
                                  &local) ||
         vt_set_error(error, EIO, "%s", local->message);
}

/* A property of @unit; the caller's, empty where systemd does not tell. */
static char *ask_systemd(const char *unit, const char *property, gint64 deadline)
{
  const char *const argv[] = {"systemctl", "show", "--value", "--property", property, unit, NULL};
  g_autoptr(GString) said = g_string_new(NULL);
  gboolean known = run_command(argv, TRUE, deadline, said, NULL);

  return g_strdup(known ? said->str : "");
}

/* systemd tries a unit again that could not start. That is right for one that is to run from boot
 * on, and for one that ran; who only asks for a service and is refused does not expect it to come
 * up later. */
static gboolean start_unit(const char *vg, const char *const *devices, gint64 deadline,
                           GError **error)
{
  g_autofree char *unit = unit_name(vg), *before = NULL, *reason = NULL;
  const char *const start[] = {"systemctl", "start", unit, NULL}, *const stop[] = {"systemctl",
                                                                                   "stop", unit,
                                                                                   NULL};
  g_autoptr(GString) said = g_string_new(NULL);
  g_autoptr(GError) local = NULL;

  if (!write_start_devices(vg, devices, error))
    return FALSE;
  before = ask_systemd(unit, "ActiveState", deadline);
  if (run_command(start, FALSE, deadline, said, &local))
    return TRUE;
  if (g_error_matches(local, VT_ERROR, EIO)) {
    /* systemctl itself only says where to look. */
    reason = ask_systemd(unit, "StatusText", deadline);
    if (strcmp(before, "inactive") == 0 || strcmp(before, "failed") == 0)
      run_command(stop, FALSE, deadline, said, NULL);
  }
  if (reason && *reason)
    return vt_set_error(error, EIO, "%s", reason);
  return vt_set_error(error, local->code, "%s (journalctl -u '%s' may tell more)", local->message,
                      unit);
}

/* Connect; somebody who is only just starting or restarting gets time until @deadline. */
static VolumeGroup *wait_for_answer(const char *vg, gint64 deadline, GError **error)
{
  for (;;) {
    g_autoptr(GError) local = NULL;
    VolumeGroup *group = pool_connect(vg, MAX(remaining_ms(deadline), 1), &local);

    if (group)
      return group;
    if (!g_error_matches(local, VT_ERROR, ENOENT) || !control_service_is_running(vg) ||
        remaining_ms(deadline) == 0) {
      g_propagate_error(error, g_steal_pointer(&local));
      return NULL;
    }
    g_usleep(20 * G_TIME_SPAN_MILLISECOND);
  }
}

/* A service that was begun for a pool which is not there would keep the volume group from
 * others. */
static gboolean activate(VolumeGroup *group, const char *vg, const char *thin_pool,
                         gboolean started, gint64 deadline, GError **error)
{
  if (started ? pool_activate_alone(group, thin_pool, error)
              : pool_activate(group, thin_pool, error))
    return TRUE;
  if (started)
    pool_service_stop(vg, FALSE, MAX(remaining_ms(deadline), 1), NULL);
  return FALSE;
}

static gboolean start(const char *vg, const char *thin_pool, const char *const *devices,
                      guint timeout_ms, gboolean *was_started, GError **error)
{
  gint64 deadline =
      g_get_monotonic_time() +
      (timeout_ms ? timeout_ms : CONTROL_DEFAULT_TIMEOUT_MS) * (gint64)G_TIME_SPAN_MILLISECOND;
  g_autoptr(GError) local = NULL;
  g_autoptr(VolumeGroup) group = NULL;
  gboolean started = FALSE;

  if (!control_service_is_running(vg)) {
    started = pool_service_uses_systemd() ? start_unit(vg, devices, deadline, &local)
                                          : start_process(vg, devices, deadline, &local);

    /* Another may have been faster: what counts is that one answers. */
    if (!started && !control_service_is_running(vg))
      return vt_set_error(error, local->code,
                          "the service of volume group %s could not be started: %s", vg,
                          local->message);
  }
  *was_started = started;
  group = wait_for_answer(vg, deadline, error);
  if (!group || !thin_pool)
    return group != NULL;
  return activate(group, vg, thin_pool, started, deadline, error);
}

gboolean pool_service_start(const char *vg, const char *thin_pool, const char *const *devices,
                            guint timeout_ms, GError **error)
{
  gboolean started;

  if (!vt_vg_name_check(vg, error))
    return FALSE;
  pool_service_keep(vg);
  return start(vg, thin_pool, devices, timeout_ms, &started, error);
}

/* --- borrowing --- */

/* In a VG's runtime folder: the pid of the holder that was started for a while only. */
#define BORROWED "borrowed"

gboolean pool_service_borrow(const char *vg, const char *const *devices, GError **error)
{
  g_autofree char *path = settings_vg_file(vg, BORROWED), *text = NULL;
  gboolean started = FALSE;

  if (!vt_vg_name_check(vg, error) || !start(vg, NULL, devices, 0, &started, error))
    return FALSE;
  text = g_strdup_printf("%d\n", (int)control_service_holder(vg));
  if (started && !g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL))
    g_warning("cannot write %s: the service of %s goes on when it is not needed any more", path,
              vg);
  return TRUE;
}

gboolean pool_service_give_back(const char *vg, GError **error)
{
  g_autofree char *path = settings_vg_file(vg, BORROWED), *text = NULL;
  g_autoptr(GError) local = NULL;
  pid_t holder = control_service_holder(vg);

  if (!holder || !g_file_get_contents(path, &text, NULL, NULL) ||
      g_ascii_strtoll(text, NULL, 10) != holder)
    return TRUE;
  if (pool_service_stop(vg, FALSE, 0, &local) || g_error_matches(local, VT_ERROR, ENOENT)) {
    unlink(path);
    return TRUE;
  }
  if (g_error_matches(local, VT_ERROR, EBUSY))
    return TRUE;
  g_propagate_error(error, g_steal_pointer(&local));
  return FALSE;
}

void pool_service_keep(const char *vg)
{
  g_autofree char *path = settings_vg_file(vg, BORROWED);

  if (unlink(path) == -1 && errno != ENOENT && errno != ENOTDIR)
    g_warning("cannot remove %s: %s", path, g_strerror(errno));
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
  out = g_dbus_connection_call_sync(
      connection, NULL, CONTROL_OBJECT_PATH, CONTROL_INTERFACE, "Stop", g_variant_new("(b)", force),
      NULL, G_DBUS_CALL_FLAGS_NONE, MAX(remaining_ms(deadline), 1), NULL, &local);
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
  pid_t holder = control_service_holder(vg);
  int pid_fd = holder ? (int)syscall(SYS_pidfd_open, holder, 0) : -1;
  struct pollfd ended = {pid_fd, POLLIN, 0};
  gboolean running;

  /* The lock goes with the holder; when its pid is not known, look again and again. */
  while ((running = control_service_is_running(vg)) && remaining_ms(deadline) > 0)
    if (pid_fd < 0 || ended.revents)
      g_usleep(10 * G_TIME_SPAN_MILLISECOND);
    else
      poll(&ended, 1, (int)remaining_ms(deadline));
  if (pid_fd >= 0)
    close(pid_fd);
  return !running;
}

/* The real user of process @pid; FALSE: it is gone. */
static gboolean user_of_process(pid_t pid, uid_t *uid)
{
  g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)pid), *text = NULL;
  const char *line;

  return g_file_get_contents(path, &text, NULL, NULL) && (line = strstr(text, "\nUid:")) &&
         sscanf(line, "\nUid: %u", uid) == 1;
}

/* SIGTERM to @holder, @pid_fd. The file that names it is the service's, which need not be root's:
 * it leads to processes of the lock's owner alone. */
static gboolean end_holder(const char *vg, pid_t holder, int pid_fd, GError **error)
{
  g_autofree char *lock = settings_vg_file(vg, "lock");
  struct stat st;
  uid_t uid;

  if (!user_of_process(holder, &uid))
    return TRUE;
  if (stat(lock, &st) == 0 && st.st_uid != uid)
    return vt_set_error(error, EPERM,
                        "the service of volume group %s is user %u's, but says that it is process "
                        "%d, user %u's, which is not ended: find out who has %s locked",
                        vg, (guint)st.st_uid, (int)holder, (guint)uid, lock);
  if (pid_fd >= 0)
    syscall(SYS_pidfd_send_signal, pid_fd, SIGTERM, NULL, 0);
  else
    kill(holder, SIGTERM);
  return TRUE;
}

gboolean pool_service_stop(const char *vg, gboolean force, guint timeout_ms, GError **error)
{
  gint64 deadline =
      g_get_monotonic_time() +
      (timeout_ms ? timeout_ms : CONTROL_DEFAULT_TIMEOUT_MS) * (gint64)G_TIME_SPAN_MILLISECOND;
  g_autoptr(GError) local = NULL;
  gboolean told = TRUE;
  pid_t holder;
  int pid_fd;

  if (!vt_vg_name_check(vg, error))
    return FALSE;
  if (!control_service_is_running(vg))
    return vt_set_error(error, ENOENT, "volume group %s is not served", vg);
  holder = control_service_holder(vg);
  /* Now, while it has the lock: another may have its number later. */
  pid_fd = holder ? (int)syscall(SYS_pidfd_open, holder, 0) : -1;
  if (!call_stop(vg, force,
                 force ? MIN(deadline, g_get_monotonic_time() + FORCE_PATIENCE_US) : deadline,
                 &local)) {
    /* It does not listen: its holder ends it whatever the engine does. */
    if (force && holder && control_service_is_running(vg))
      told = end_holder(vg, holder, pid_fd, error);
    else {
      g_propagate_error(error, g_steal_pointer(&local));
      told = FALSE;
    }
  }
  if (pid_fd >= 0)
    close(pid_fd);
  if (!told)
    return FALSE;
  if (!wait_for_end(vg, deadline))
    return vt_set_error(
        error, ETIMEDOUT, "the service of volume group %s has not ended in time (pid %d)%s", vg,
        (int)holder, force ? ": its log may say why" : "; virt-thin stop --force insists");
  return TRUE;
}
