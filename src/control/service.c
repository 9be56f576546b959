/* virt-thin - which volume groups a service has
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "control/service.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "settings/settings.h"
#include "util/name.h"
#include "util/proc.h"

pid_t control_service_holder(const char *vg)
{
  g_autofree char *path = settings_vg_file(vg, "pid"), *text = NULL;
  gint64 pid;

  if (!g_file_get_contents(path, &text, NULL, NULL))
    return 0;
  pid = g_ascii_strtoll(text, NULL, 10);
  return pid > 1 && pid <= G_MAXINT && (kill((pid_t)pid, 0) == 0 || errno == EPERM) ? (pid_t)pid
                                                                                    : 0;
}

gboolean control_service_is_running(const char *vg)
{
  g_autofree char *path = settings_vg_file(vg, "lock");
  struct stat st;
  gboolean held;
  int fd;

  if (stat(path, &st) < 0)
    return FALSE;
  if (vt_flock_holder(&st, NULL))
    return TRUE;
  /* Some file systems are listed under another device number. With a holder that is alive, trying
   * the lock disturbs nobody; who may use the service's sockets alone cannot try. */
  if (!control_service_holder(vg))
    return FALSE;
  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return errno == EACCES;
  held = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
  close(fd);
  return held;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GStrv control_service_list(void)
{
  GDir *dir = g_dir_open(settings_runtime_dir(), 0, NULL);
  GPtrArray *names = g_ptr_array_new();
  const char *name;

  while (dir && (name = g_dir_read_name(dir)))
    if (vt_vg_name_check(name, NULL) && control_service_is_running(name))
      g_ptr_array_add(names, g_strdup(name));
  if (dir)
    g_dir_close(dir);
  g_ptr_array_sort(names, compare_names);
  g_ptr_array_add(names, NULL);
  return (GStrv)g_ptr_array_free(names, FALSE);
}
