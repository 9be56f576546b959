/* virt-thin - the libvirt daemons that run here, and where they have their storage backends from
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "commands/libvirt-daemons.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VARIABLE "LIBVIRT_STORAGE_BACKEND_DIR="

static void daemon_free(gpointer data)
{
  LibvirtDaemon *daemon = data;

  g_free(daemon->name);
  g_free(daemon->backends);
  g_free(daemon);
}

/* /proc/@pid/@file; @length may be NULL. NULL: it cannot be read. */
static char *read_proc(const char *pid, const char *file, gsize *length)
{
  g_autofree char *path = g_build_filename("/proc", pid, file, NULL);
  char *text = NULL;

  return g_file_get_contents(path, &text, length, NULL) ? text : NULL;
}

/* Of this user, and in no container. */
static gboolean is_here(const char *pid)
{
  g_autofree char *folder = g_build_filename("/proc", pid, NULL),
                  *namespace = g_build_filename(folder, "ns/pid", NULL),
                  *its = g_file_read_link(namespace, NULL),
                  *ours = g_file_read_link("/proc/self/ns/pid", NULL);
  struct stat st;

  return stat(folder, &st) == 0 && st.st_uid == geteuid() && g_strcmp0(its, ours) == 0;
}

/* The value in its environment. */
static char *read_backends(const char *pid)
{
  gsize length = 0;
  g_autofree char *environment = read_proc(pid, "environ", &length);

  for (gsize i = 0; environment && i < length; i += strlen(environment + i) + 1)
    if (g_str_has_prefix(environment + i, VARIABLE))
      return g_strdup(environment + i + strlen(VARIABLE));
  return NULL;
}

/* The kernel marks a file that is mapped and has no name any more. */
static gboolean has_old_module(const char *pid)
{
  g_autofree char *maps = read_proc(pid, "maps", NULL);

  return maps && (strstr(maps, "/virt-thin-backend.so (deleted)") ||
                  strstr(maps, "/libvirt_storage_backend_logical.so (deleted)"));
}

/* NULL: it is none. */
static LibvirtDaemon *read_daemon(const char *pid)
{
  static const char *const names[] = {"libvirtd", "virtstoraged", NULL};
  g_autofree char *name = read_proc(pid, "comm", NULL), *unit = NULL, *cgroup = NULL;
  LibvirtDaemon *daemon;

  if (!name || !g_strv_contains(names, g_strchomp(name)) || !is_here(pid))
    return NULL;
  daemon = g_new0(LibvirtDaemon, 1);
  daemon->pid = (int)g_ascii_strtoll(pid, NULL, 10);
  unit = g_strdup_printf("/%s.service\n", name);
  cgroup = read_proc(pid, "cgroup", NULL);
  daemon->by_systemd = cgroup && strstr(cgroup, unit);
  daemon->backends = read_backends(pid);
  daemon->is_old = has_old_module(pid);
  daemon->name = g_steal_pointer(&name);
  return daemon;
}

GPtrArray *libvirt_daemons_list(void)
{
  GPtrArray *daemons = g_ptr_array_new_with_free_func(daemon_free);
  g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
  const char *name;

  while (proc && (name = g_dir_read_name(proc))) {
    LibvirtDaemon *daemon = g_ascii_isdigit(*name) ? read_daemon(name) : NULL;

    if (daemon)
      g_ptr_array_add(daemons, daemon);
  }
  return daemons;
}
