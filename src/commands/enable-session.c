/* virt-thin - enable --session: a user's own libvirt, without root
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "commands/enable-session.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands/backend-folder.h"
#include "cli/cli.h"
#include "util/files.h"
#include "util/systemd.h"

#define UNIT_PREFIX "virt-thin-"
#define MARK "# Written by virt-thin enable --session; virt-thin disable --session removes it.\n"
#define END_DEADLINE_US (20 * G_TIME_SPAN_SECOND)

/* virtqemud asks virtstoraged, as a client: by its script that starts ours, so that it needs no
 * socket. */
typedef struct {
  const char *name, *variable, *socket; /* socket NULL: none of ours */
} Daemon;
static const Daemon daemons[] = {
    {"libvirtd", "LIBVIRTD_PATH", "libvirt-sock"},
    {"virtqemud", "VIRTQEMUD_PATH", NULL},
    {"virtstoraged", "VIRTSTORAGED_PATH", "virtstoraged-sock"},
};

char *session_folder(void)
{
  return g_build_filename(g_get_user_data_dir(), "virt-thin-libvirt", NULL);
}

static char *units_folder(void)
{
  return g_build_filename(g_get_user_config_dir(), "systemd", "user", NULL);
}

static char *wants_folder(void)
{
  g_autofree char *units = units_folder();

  return g_build_filename(units, "sockets.target.wants", NULL);
}

/* Where it is installed; NULL: nowhere. The path of users may lack the sbin folders. */
static char *find_daemon(const Daemon *daemon)
{
  g_autofree char *path = g_build_filename("/usr/sbin", daemon->name, NULL);

  return access(path, X_OK) == 0 ? g_steal_pointer(&path) : g_find_program_in_path(daemon->name);
}

/* --- files --- */

static gboolean write_script(const char *folder, const Daemon *daemon, GError **error)
{
  g_autofree char *program = find_daemon(daemon), *path = NULL, *text = NULL;
  g_autofree char *value = g_shell_quote(folder);

  if (!program)
    return TRUE;
  path = g_build_filename(folder, daemon->name, NULL);
  text = g_strdup_printf("#!/bin/sh\n" MARK "export LIBVIRT_STORAGE_BACKEND_DIR=%s\n"
                         "export VIRTSTORAGED_PATH=%s\nexec %s \"$@\"\n",
                         value, value, program);
  return files_write(path, text, -1, 0755, error);
}

/* @path as one word of ExecStart=. */
static char *systemd_quote(const char *path)
{
  g_autoptr(GString) word = g_string_new(path);

  g_string_replace(word, "\\", "\\\\", 0);
  g_string_replace(word, "\"", "\\\"", 0);
  g_string_replace(word, "%", "%%", 0);
  g_string_replace(word, "$", "$$", 0);
  return g_strdup_printf("\"%s\"", word->str);
}

static gboolean write_unit(const char *name, const char *type, const char *text, GError **error)
{
  g_autofree char *folder = units_folder(),
                  *path = g_strdup_printf("%s/" UNIT_PREFIX "%s.%s", folder, name, type);

  return files_make_folder(folder, error) && files_write(path, text, -1, 0644, error);
}

/* As libvirt's units of the host have it: it ends when it has nothing to do, and leaves guests and
 * services alone. */
static gboolean write_units(const char *folder, const Daemon *daemon, GError **error)
{
  g_autofree char *path = g_build_filename(folder, daemon->name, NULL), *word = systemd_quote(path),
                  *wants = wants_folder(), *socket = NULL, *service = NULL, *link = NULL,
                  *target = NULL;

  if (!daemon->socket || access(path, X_OK) < 0)
    return TRUE;
  socket = g_strdup_printf(MARK "[Unit]\nDescription=%s of the session, with virt-thin\n\n"
                                "[Socket]\nListenStream=%%t/libvirt/%s\nSocketMode=0700\n"
                                "DirectoryMode=0700\nFileDescriptorName=%s.socket\n"
                                "RemoveOnStop=yes\n\n[Install]\nWantedBy=sockets.target\n",
                           daemon->name, daemon->socket, daemon->name);
  service = g_strdup_printf(MARK "[Unit]\nDescription=%s of the session, with virt-thin\n\n"
                                 "[Service]\nType=notify\nExecStart=%s --timeout 120\n"
                                 "KillMode=process\nRestart=on-failure\n",
                            daemon->name, word);
  link = g_strdup_printf(UNIT_PREFIX "%s.socket", daemon->name);
  target = g_strconcat("../", link, NULL);
  return write_unit(daemon->name, "socket", socket, error) &&
         write_unit(daemon->name, "service", service, error) && files_make_folder(wants, error) &&
         files_link(wants, link, target, error);
}

static gboolean write_all(const char *folder, GError **error)
{
  if (!backend_folder_fill(folder, NULL, error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS(daemons); i++)
    if (!write_script(folder, &daemons[i], error) || !write_units(folder, &daemons[i], error))
      return FALSE;
  return TRUE;
}

static gboolean remove_units(GError **error)
{
  g_autofree char *units = units_folder(), *wants = wants_folder();

  for (gsize i = 0; i < G_N_ELEMENTS(daemons); i++) {
    g_autofree char *prefix = g_strdup_printf(UNIT_PREFIX "%s.", daemons[i].name);

    if (!files_remove(wants, prefix, FALSE, error) || !files_remove(units, prefix, FALSE, error))
      return FALSE;
  }
  rmdir(wants); /* stays when something else is in it */
  return TRUE;
}

static gboolean remove_folder(const char *folder, GError **error)
{
  for (gsize i = 0; i < G_N_ELEMENTS(daemons); i++)
    if (!files_remove(folder, daemons[i].name, FALSE, error))
      return FALSE;
  return backend_folder_remove(folder, error);
}

/* --- processes --- */

/* `systemctl --user @word` for our units of @type that there are; NULL: for none. */
static gboolean systemctl(const char *word, const char *type, GError **error)
{
  g_autoptr(GPtrArray) args = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *folder = units_folder();

  g_ptr_array_add(args, g_strdup(word));
  for (gsize i = 0; i < G_N_ELEMENTS(daemons) && type; i++) {
    g_autofree char *unit = g_strdup_printf(UNIT_PREFIX "%s.%s", daemons[i].name, type),
                    *path = g_build_filename(folder, unit, NULL);

    if (access(path, F_OK) == 0)
      g_ptr_array_add(args, g_steal_pointer(&unit));
  }
  if (!systemd_runs() || (type && args->len == 1))
    return TRUE;
  g_ptr_array_add(args, NULL);
  return systemd_tell((const char *const *)args->pdata, error);
}

/* Of the one that runs: it has its file locked. 0: none does. */
static pid_t daemon_pid(const Daemon *daemon)
{
  g_autofree char *path =
      g_strdup_printf("%s/libvirt/%s.pid", g_get_user_runtime_dir(), daemon->name);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
  int fd = open(path, O_RDWR | O_CLOEXEC);
  gboolean asked = fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0;

  if (fd >= 0)
    close(fd);
  return asked && lock.l_type != F_UNLCK ? lock.l_pid : 0;
}

static gboolean end_daemon(const Daemon *daemon, GError **error)
{
  gint64 deadline = g_get_monotonic_time() + END_DEADLINE_US;
  pid_t pid = daemon_pid(daemon);

  if (pid <= 0)
    return TRUE;
  if (kill(pid, SIGTERM) < 0 && errno != ESRCH)
    return vt_set_errno(error, errno, "ending %s (process %d)", daemon->name, (int)pid);
  while (daemon_pid(daemon) == pid) {
    if (g_get_monotonic_time() > deadline)
      return vt_set_error(error, ETIMEDOUT,
                          "%s (process %d) does not end: it keeps the storage backends it has "
                          "until it does",
                          daemon->name, (int)pid);
    g_usleep(20000);
  }
  printf("Ended %s (process %d): the next connection starts it anew, guests go on.\n", daemon->name,
         (int)pid);
  return TRUE;
}

/* systemd's first, which it would start again; then what a client has started. */
static gboolean end_daemons(GError **error)
{
  if (!systemctl("stop", "socket", error) || !systemctl("stop", "service", error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS(daemons); i++)
    if (!end_daemon(&daemons[i], error))
      return FALSE;
  return TRUE;
}

/* --- telling --- */

static void tell_variables(const char *folder)
{
  g_autofree char *value = g_shell_quote(folder);

  printf("No systemd runs for you here. Set for your programs, in ~/.profile say:\n");
  for (gsize i = 0; i < G_N_ELEMENTS(daemons); i++) {
    g_autofree char *path = g_build_filename(folder, daemons[i].name, NULL);

    if (access(path, X_OK) == 0)
      printf("    export %s=%s\n", daemons[i].variable, value);
  }
}

/* A client that is sent to a folder that is gone starts no daemon at all. */
static void tell_variables_left(const char *folder)
{
  for (gsize i = 0; i < G_N_ELEMENTS(daemons); i++)
    if (g_strcmp0(g_getenv(daemons[i].variable), folder) == 0)
      printf("Unset %s, and take it out of your profile: %s is gone.\n", daemons[i].variable,
             folder);
}

/* --- the commands --- */

gboolean session_enable(const char *folder, GError **error)
{
  g_autofree char *libvirtd = find_daemon(&daemons[0]), *virtqemud = find_daemon(&daemons[1]);

  if (!libvirtd && !virtqemud)
    return vt_set_error(error, ENOENT,
                        "libvirt is not installed: there is no libvirtd, nor "
                        "virtqemud");
  if (!write_all(folder, error) || !systemctl("daemon-reload", NULL, error))
    return FALSE;
  /* In this order: the end of a daemon takes the socket away that it listens on. */
  if (!end_daemons(error) || !systemctl("start", "socket", error))
    return FALSE;
  printf("Your libvirt (qemu:///session) has virt-thin's storage backend, by %s.\n", folder);
  if (!systemd_runs())
    tell_variables(folder);
  return TRUE;
}

gboolean session_disable(const char *folder, GError **error)
{
  if (!end_daemons(error) || !remove_units(error) || !systemctl("daemon-reload", NULL, error) ||
      !remove_folder(folder, error))
    return FALSE;
  printf("Your libvirt (qemu:///session) has its own storage backends again.\n");
  tell_variables_left(folder);
  return TRUE;
}
