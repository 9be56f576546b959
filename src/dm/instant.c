/* virt-thin - the contents of several thin volumes as they are at one instant
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * By the kernel's own calls (linux/dm-ioctl.h), not libdevmapper's: the process that does it may
 * take no memory and no lock.
 */
#include "config.h"

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dm/instant.h"
#include "lvm/lvm-conf.h"

#define CONTROL "/dev/mapper/control"
#define PATIENCE 10 /* seconds; a guest waits for its disk for 30 */

/* A request to the kernel, with room for a message to the target at sector 0. */
typedef struct {
  struct dm_ioctl head;
  struct dm_target_msg target;
  char text[48];
} Request;

typedef struct {
  Request *origins; /* suspend or resume */
  guint n_origins;
  Request *messages; /* to the pool */
  guint n_messages;
  int control; /* CONTROL */
} Work;

static void fill(Request *request, const char *uuid)
{
  *request = (Request){.head = {.version = {DM_VERSION_MAJOR, 0, 0},
                                .data_size = sizeof *request,
                                .data_start = offsetof(Request, target)}};
  g_strlcpy(request->head.uuid, uuid, sizeof request->head.uuid);
}

static void add_message(Work *w, const char *pool, const char *text)
{
  Request *request = &w->messages[w->n_messages++];

  fill(request, pool);
  g_strlcpy(request->text, text, sizeof request->text);
}

static void fill_work(Work *w, const char *pool, const DmkRenewal *renewals, guint n)
{
  w->origins = g_new0(Request, n);
  w->messages = g_new0(Request, 2 * n);
  for (guint i = 0; i < n; i++) {
    g_autofree char *away = g_strdup_printf("delete %u", renewals[i].device),
                    *anew = g_strdup_printf("create_snap %u %u", renewals[i].device,
                                            renewals[i].origin);

    if (renewals[i].uuid)
      fill(&w->origins[w->n_origins++], renewals[i].uuid);
    add_message(w, pool, away);
    add_message(w, pool, anew);
  }
}

/* --- in the process that does it --- */

/* 0, or an errno. The request is kept as it was. */
static int ask(const Work *w, unsigned long what, const Request *request, guint32 flags)
{
  Request copy = *request;

  copy.head.flags = flags;
  return ioctl(w->control, what, &copy) == 0 ? 0 : errno;
}

static void resume(const Work *w, guint n)
{
  for (guint i = 0; i < n; i++)
    ask(w, DM_DEV_SUSPEND, &w->origins[i], 0);
}

static int renew(const Work *w)
{
  struct timespec began, now;
  int err = 0;
  guint n;

  clock_gettime(CLOCK_MONOTONIC, &began);
  for (n = 0; n < w->n_origins && !err; n++) {
    err = ask(w, DM_DEV_SUSPEND, &w->origins[n], DM_SUSPEND_FLAG);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!err && now.tv_sec - began.tv_sec > PATIENCE)
      err = ETIMEDOUT;
  }
  for (guint i = 0; i < w->n_messages && !err; i++)
    err = ask(w, DM_TARGET_MSG, &w->messages[i], 0);
  resume(w, n);
  return err;
}

/* What is called later is called once before, so that it is in memory: with nothing to do. */
static void run(const Work *w) G_GNUC_NORETURN;

static void run(const Work *w)
{
  const Work nothing = {.control = w->control};

  setsid();
  mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  renew(&nothing);
  ask(w, DM_DEV_STATUS, &w->origins[0], 0);
  _exit(renew(w));
}

/* --- in ours --- */

static gboolean wait_for(const Work *w, pid_t child, GError **error)
{
  int status;
  pid_t pid;

  do
    pid = waitpid(child, &status, 0);
  while (pid < 0 && errno == EINTR);
  if (pid > 0 && WIFEXITED(status))
    return WEXITSTATUS(status) == 0 ||
           vt_set_error(error, WEXITSTATUS(status),
                        "device-mapper: holding the volumes still for their snapshots: %s",
                        g_strerror(WEXITSTATUS(status)));
  resume(w, w->n_origins);
  return vt_set_error(error, EIO,
                      "the process that held the volumes still for their snapshots was killed");
}

static gboolean start(const Work *w, GError **error)
{
  sigset_t all, before;
  pid_t child;

  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  child = fork();
  if (child == 0)
    run(w);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return child > 0 ? wait_for(w, child, error) : vt_set_errno(error, errno, "starting a process");
}

gboolean dmk_renew_snapshots(const char *pool, const DmkRenewal *renewals, guint n, GError **error)
{
  Work w = {.control = open(CONTROL, O_RDWR | O_CLOEXEC)};
  gboolean ok;

  if (w.control < 0)
    return vt_set_errno(error, errno, CONTROL);
  fill_work(&w, pool, renewals, n);
  ok = start(&w, error);
  close(w.control);
  g_free(w.origins);
  g_free(w.messages);
  return ok;
}

/* --- lvm2's lock --- */

/* lvm2 lib/misc/lvm-flock.c: flock on <global/locking_dir>/V_<vg>, whose last user may have removed
 * the file. */
static gboolean is_still(int fd, const char *path)
{
  struct stat ours, theirs;

  return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
         ours.st_dev == theirs.st_dev;
}

static int lock_once(const char *path, GError **error)
{
  int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0777);
  int err = 0;

  while (fd >= 0 && !err && flock(fd, LOCK_EX) < 0)
    err = errno == EINTR ? 0 : errno;
  if (fd >= 0 && !err)
    return fd;
  vt_set_errno(error, err ? err : errno, "locking %s as lvm2 does", path);
  if (fd >= 0)
    close(fd);
  return -1;
}

int dmk_lock_vg(const char *vg, GError **error)
{
  g_autoptr(LvmConf) conf = lvm_conf_read(NULL);
  const char *folder = lvm_conf_string(conf, "global/locking_dir");
  g_autofree char *name = g_strconcat("V_", vg, NULL),
                  *path = g_build_filename(folder ? folder : "/run/lock/lvm", name, NULL);
  int fd;

  while ((fd = lock_once(path, error)) >= 0 && !is_still(fd, path))
    close(fd);
  return fd;
}
