/* virt-thin - a command that is given snapshots of volumes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "mount/run.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "image/interrupt.h"
#include "mount/source.h"
#include "mount/temporary.h"

#define LOOK_MS 200 /* how often it is looked whether a signal has come */
#define VARIABLE "VIRT_THIN_SNAPSHOT"

/* --- where the command finds them --- */

static gboolean show_volume(const MountRun *run, const MountVolume *volume, const char *place,
                            GError **error)
{
  g_autoptr(GPtrArray) parts = NULL;
  const MountPart *part;

  if (run->raw)
    return symlink(volume->path, place) == 0 || vt_set_errno(error, errno, "making %s", place);
  parts = mount_look(volume->path, volume->what, volume->sector_size, error);
  part = parts ? mount_choose(parts, volume->what, run->partition, error) : NULL;
  if (!part)
    return FALSE;
  if (mkdir(place, 0700) == -1 && errno != EEXIST)
    return vt_set_errno(error, errno, "making %s", place);
  return mount_attach(volume->path, volume->what, part, volume->mode, place, error);
}

/* In @folder, each by its name. */
static gboolean show_all(const MountRun *run, const MountSource *source, const char *folder,
                         GError **error)
{
  for (guint i = 0; i < source->volumes->len; i++) {
    const MountVolume *volume = source->volumes->pdata[i];
    g_autofree char *place = g_build_filename(folder, volume->lv, NULL);

    if (!show_volume(run, volume, place, error))
      return FALSE;
  }
  return TRUE;
}

/* --- the command --- */

static GStrv fill_in(const char *const *words, const char *where)
{
  GStrv filled = g_new0(char *, g_strv_length((GStrv)words) + 1);

  for (guint i = 0; words[i]; i++) {
    g_auto(GStrv) parts = g_strsplit(words[i], "{}", -1);

    filled[i] = g_strjoinv(where, parts);
  }
  return filled;
}

/* In the new process: it does not outlive us, and has of our signals what a program expects. */
static void set_up(gpointer parent)
{
  signal(SIGPIPE, SIG_DFL);
  signal(SIGXFSZ, SIG_DFL);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != GPOINTER_TO_INT(parent))
    raise(SIGTERM);
}

static int wait_for(pid_t pid)
{
  struct pollfd ended = {(int)syscall(SYS_pidfd_open, pid, 0), POLLIN, 0};
  gboolean told = FALSE;
  int status = 0;

  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (image_interrupted() && !told) {
      kill(pid, SIGTERM);
      told = TRUE;
    }
    poll(&ended, 1, LOOK_MS);
  }
  if (ended.fd != -1)
    close(ended.fd);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run_command(const MountRun *run, const char *where, GError **error)
{
  g_auto(GStrv) words = fill_in(run->words, where);
  g_auto(GStrv) environment = g_environ_setenv(g_get_environ(), VARIABLE, where, TRUE);
  g_autoptr(GError) local = NULL;
  GPid pid;

  if (g_spawn_async(NULL, words, environment,
                    G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CHILD_INHERITS_STDIN,
                    set_up, GINT_TO_POINTER(getpid()), &pid, &local))
    return wait_for(pid);
  vt_set_error(error, local->code == G_SPAWN_ERROR_NOENT ? ENOENT : EIO, "cannot run %s: %s",
               words[0], local->message);
  return CLI_FAILED;
}

/* --- all of it --- */

static int show_and_run(const MountRun *run, const MountSource *source, const char *folder,
                        GError **error)
{
  const MountVolume *first = source->volumes->pdata[0];
  g_autofree char *where = source->volumes->len > 1 ? g_strdup(folder)
                           : run->raw               ? g_strdup(first->path)
                                                    : g_build_filename(folder, first->lv, NULL);

  if (!show_all(run, source, folder, error) || !image_check_interrupt(error))
    return CLI_FAILED;
  return run_command(run, where, error);
}

int mount_run(const MountRun *run, GError **error)
{
  g_autofree char *name = g_strjoinv("+", (GStrv)run->names), *folder = NULL;
  g_autoptr(GError) local = NULL;
  MountSource *source;
  int status, fd;

  image_catch_interrupts();
  fd = temporary_folder_take(run->vg, name, &folder, error);
  if (fd == -1)
    return CLI_FAILED;
  source = mount_source_take(run->vg, run->names, run->snapshot, MOUNT_CLONE, error);
  status = source ? show_and_run(run, source, folder, error) : CLI_FAILED;
  if (!temporary_folder_drop(fd, folder, &local) || !mount_source_drop(source, &local)) {
    cli_warn("%s; the next virt-thin mount, umount or snapshot --exec tries again", local->message);
    status = status ? status : CLI_FAILED;
  }
  return status;
}
