/* virt-thin - libvirt's lists of volumes are brought up to date with what a command has changed
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Which daemon has the pools, and which pools are active, stands in the folder of its state
 * (libvirt src/storage/storage_driver.c, storageStateInitialize()): it holds a lock on driver.pid
 * as long as it runs, and keeps the document of each active pool there. So nothing is connected to
 * that does not run, and nothing asked that has no pool of ours.
 *
 * libvirt's client library has no deadlines, and brings forty others along: the refresh itself is
 * another process, of the internal command refresh.
 */
#include "config.h"

#include "cli/refresh.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "util/proc.h"

#define DEADLINE_S 5

static GPtrArray *changed; /* names of volume groups */

void cli_refresh_later(const char *vg)
{
  if (!changed)
    changed = g_ptr_array_new_with_free_func(g_free);
  if (!g_ptr_array_find_with_equal_func(changed, vg, g_str_equal, NULL))
    g_ptr_array_add(changed, g_strdup(vg));
}

/* --- the daemon --- */

/* The folder that libvirt of this user has for @what. */
static char *run_folder(const char *what)
{
  return geteuid() == 0 ? g_build_filename(VIRT_THIN_RUNSTATEDIR, "libvirt", what, NULL)
                        : g_build_filename(g_get_user_runtime_dir(), "libvirt", what, NULL);
}

/* Who has the storage driver; 0: nobody, or in another process namespace. */
static pid_t find_daemon(const char *folder)
{
  g_autofree char *path = g_build_filename(folder, "driver.pid", NULL);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  gboolean held = fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;

  if (fd >= 0)
    close(fd);
  return held && lock.l_pid > 0 ? lock.l_pid : 0;
}

/* The daemon @pid itself, and not by another that would start it. The caller's. */
static char *address_of(pid_t pid)
{
  g_autofree char *name = vt_process_name(pid);
  gboolean modular = g_strcmp0(name, "virtstoraged") == 0;
  g_autofree char *socket = run_folder(modular ? "virtstoraged-sock" : "libvirt-sock");
  g_autofree char *escaped = g_uri_escape_string(socket, "/", TRUE);

  return g_strdup_printf("storage+unix:///%s?socket=%s", geteuid() == 0 ? "system" : "session",
                         escaped);
}

/* --- the pools --- */

static gboolean is_changed(const char *document)
{
  for (guint i = 0; i < changed->len; i++) {
    g_autofree char *source = g_strdup_printf("<name>%s/", (char *)changed->pdata[i]);

    if (strstr(document, source))
      return TRUE;
  }
  return FALSE;
}

/* The names of the active thin pools of what has changed. */
static GPtrArray *find_pools(const char *folder)
{
  GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *path = g_build_filename(folder, name, NULL), *document = NULL;

    if (g_str_has_suffix(name, ".xml") && g_file_get_contents(path, &document, NULL, NULL) &&
        is_changed(document))
      g_ptr_array_add(names, g_strndup(name, strlen(name) - strlen(".xml")));
  }
  return names;
}

/* --- the process --- */

static gboolean times_out(gpointer pid)
{
  kill((pid_t)GPOINTER_TO_INT(pid), SIGKILL);
  return G_SOURCE_REMOVE;
}

static void has_ended(GPid pid, int status, gpointer loop)
{
  if (WIFSIGNALED(status))
    cli_warn("note: libvirt does not answer, and its list of volumes is as it was: virsh "
             "pool-refresh brings it up to date");
  g_main_loop_quit(loop);
}

static void run_refresh(const char *address, GPtrArray *pools)
{
  g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
  g_autoptr(GPtrArray) argv = g_ptr_array_new();
  g_autoptr(GError) error = NULL;
  guint timer;
  GPid pid;

  g_ptr_array_add(argv, "/proc/self/exe");
  g_ptr_array_add(argv, "refresh");
  g_ptr_array_add(argv, (gpointer)address);
  for (guint i = 0; i < pools->len; i++)
    g_ptr_array_add(argv, pools->pdata[i]);
  g_ptr_array_add(argv, NULL);
  if (!g_spawn_async(NULL, (char **)argv->pdata, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid,
                     &error)) {
    cli_warn("note: libvirt's list of volumes is as it was: %s", error->message);
    return;
  }
  g_child_watch_add(pid, has_ended, loop);
  timer = g_timeout_add_seconds(DEADLINE_S, times_out, GINT_TO_POINTER(pid));
  g_main_loop_run(loop);
  if (g_main_context_find_source_by_id(NULL, timer))
    g_source_remove(timer);
}

void cli_refresh_now(void)
{
  g_autofree char *folder = changed ? run_folder(geteuid() == 0 ? "storage" : "storage/run") : NULL;
  g_autoptr(GPtrArray) pools = NULL;
  g_autofree char *address = NULL;
  pid_t pid = folder ? find_daemon(folder) : 0;

  /* libvirt itself has us do something, and waits with its pool locked. */
  if (!pid || pid == getppid())
    return;
  pools = find_pools(folder);
  if (pools->len == 0)
    return;
  address = address_of(pid);
  run_refresh(address, pools);
}
