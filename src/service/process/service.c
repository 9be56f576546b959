/* virt-thin - the service of a volume group: how its processes begin
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service/nodes/nodes.h"
#include "service/process/holder.h"
#include "service/process/service.h"
#include "settings/settings.h"

gboolean service_child_main(int argc, char **argv, int *status)
{
  if (argc != 2)
    return FALSE;
  if (strcmp(argv[0], "virt-thin-engine") == 0)
    *status = engine_main(argv[1]);
  else if (strcmp(argv[0], "virt-thin-nodes") == 0)
    *status = node_process_main(argv[1]);
  else if (strcmp(argv[0], "virt-thin-sync") == 0)
    *status = node_sync_main(argv[1]);
  else
    return FALSE;
  return TRUE;
}

/* From here on there is no terminal: what the service has to say goes to its log. */
static void leave_terminal(const char *dir)
{
  g_autofree char *path = g_build_filename(dir, "log", NULL);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC),
      log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

  if (null != -1) {
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(log != -1 ? log : null, STDERR_FILENO);
    close(null);
  }
  if (log != -1)
    close(log);
}

/* The service in a session of its own; @fd is told how it went. */
static int run_detached(const char *vg, const char *const *devices, int fd)
{
  g_autoptr(GError) error = NULL;
  HolderFolder folder;

  setsid();
  if (!holder_folder_take(&folder, vg, &error)) {
    dprintf(fd, "failed\n%s\n", error->message);
    return 1;
  }
  leave_terminal(folder.dir);
  return holder_run(&folder, devices, fd);
}

/* What the service said when it was ready, or ended. */
static int wait_until_ready(pid_t pid, int fd, const char *vg)
{
  g_autoptr(GString) text = g_string_new(NULL);
  char buffer[1024];
  ssize_t n;

  while ((n = read(fd, buffer, sizeof buffer)) > 0 || (n == -1 && errno == EINTR))
    if (n > 0)
      g_string_append_len(text, buffer, n);
  close(fd);
  if (strcmp(text->str, "ready\n") == 0)
    return 0;
  if (g_str_has_prefix(text->str, "failed\n"))
    g_printerr("virt-thin: %s", text->str + strlen("failed\n"));
  else
    g_printerr(
        "virt-thin: the service of volume group %s ended without saying why: see %s/%s/log\n", vg,
        settings_runtime_dir(), vg);
  waitpid(pid, NULL, 0); /* until all is taken away again */
  return 1;
}

int service_main(const char *vg, const char *const *devices, gboolean foreground)
{
  g_autoptr(GError) error = NULL;
  HolderFolder folder;
  int pipe_fds[2];

  signal(SIGPIPE, SIG_IGN);
  settings_make_environment_absolute(); /* engines begin in another folder */
  if (foreground) {
    if (holder_folder_take(&folder, vg, &error))
      return holder_run(&folder, devices, -1);
    g_printerr("virt-thin: %s\n", error->message);
    service_notify_status("%s", error->message);
    return 1;
  }
  if (pipe2(pipe_fds, O_CLOEXEC) == -1) {
    g_printerr("virt-thin: cannot make a pipe: %s\n", g_strerror(errno));
    return 1;
  }
  fflush(NULL);
  pid_t pid = fork();
  if (pid == -1) {
    g_printerr("virt-thin: cannot start a process: %s\n", g_strerror(errno));
    return 1;
  }
  if (pid == 0) {
    close(pipe_fds[0]);
    _exit(run_detached(vg, devices, pipe_fds[1]));
  }
  close(pipe_fds[1]);
  return wait_until_ready(pid, pipe_fds[0], vg);
}

gboolean service_release(const char *vg, GError **error)
{
  HolderFolder folder;

  if (!holder_folder_take(&folder, vg, error))
    return FALSE;
  holder_folder_leave(&folder);
  return TRUE;
}
