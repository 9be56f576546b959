/* virt-thin - file systems of this machine held still while a snapshot of their devices is taken
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The other process is a fork of ours, which may have any number of threads: between fork() and its
 * end it calls nothing but the kernel. Its end of the talk is two pipes; to close ours is to ask it
 * to thaw.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/block-users.h"
#include "util/freeze.h"
#include "util/proc.h"

#define CONTROL_FD 0 /* of the process */
#define STATUS_FD 1

/* Of several mounts of one file system the first that can be reached will do; they are side by
 * side. */
typedef struct {
  const BlockMount *where;
  gboolean sync_only;
  gboolean frozen; /* through this one, by us */
  int fd;          /* the process's */
} Mount;

struct Freeze {
  BlockScan *scan;
  Mount *mounts;
  guint n;
  guint told;          /* what the process has said something of */
  int control, status; /* -1: closed */
};

/* What the process says of a mount: 0, it is frozen, or an errno; or that it is through. */
typedef struct {
  guint mount;
  int err;
} Report;
#define ALL_FROZEN G_MAXUINT
#define ALL_THAWED (G_MAXUINT - 1)

/* --- in the process that does it --- */

/* The root folder of the mount; -1: errno. ESTALE: something else is mounted over it. */
static int open_mount(const BlockMount *mount)
{
  int path = open(mount->path, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
  struct statx stx;

  if (path < 0)
    return -1;
  if (statx(path, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) == 0) {
    errno = ESTALE;
    if (stx.stx_mnt_id == mount->id)
      fd = openat(path, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  close(path);
  return fd;
}

/* 0, or an errno. EBUSY: somebody else has frozen it. */
static int freeze_one(Mount *mount)
{
  int err;

  mount->fd = open_mount(mount->where);
  if (mount->fd < 0)
    return errno;
  if (!mount->sync_only && ioctl(mount->fd, FIFREEZE, 0) == 0)
    return 0;
  err = mount->sync_only ? EDEADLK : errno;
  if (err != EBUSY)
    syncfs(mount->fd);
  close(mount->fd);
  mount->fd = -1;
  return err;
}

static void report(guint mount, int err)
{
  Report message = {mount, err};

  while (write(STATUS_FD, &message, sizeof message) < 0 && errno == EINTR)
    ;
}

/* Nobody writes to CONTROL_FD: it ends when the other process closes it, or ends. */
static gboolean is_asked_to_thaw(int timeout_ms)
{
  struct pollfd poll_fd = {.fd = CONTROL_FD, .events = POLLIN};

  return poll(&poll_fd, 1, timeout_ms) != 0;
}

static void run(Freeze *freeze) G_GNUC_NORETURN;

static void run(Freeze *freeze)
{
  gboolean done = FALSE;

  setsid();
  mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  for (guint i = 0; i < freeze->n && !is_asked_to_thaw(0); i++) {
    Mount *mount = &freeze->mounts[i];
    if (i > 0 && mount->where->file_system != mount[-1].where->file_system)
      done = FALSE;
    if (done)
      continue;
    int err = freeze_one(mount);
    done = err == 0 || err == EBUSY;
    report(i, err);
  }
  report(ALL_FROZEN, 0);
  is_asked_to_thaw(FREEZE_HOLD * 1000);
  for (guint i = freeze->n; i > 0; i--)
    if (freeze->mounts[i - 1].fd >= 0)
      ioctl(freeze->mounts[i - 1].fd, FITHAW, 0);
  report(ALL_THAWED, 0);
  _exit(0);
}

/* A child's child, whose end nobody has to wait for, with two descriptors and no more: it would
 * keep open what ours may close. */
static void detach(Freeze *freeze, int control, int status) G_GNUC_NORETURN;

static void detach(Freeze *freeze, int control, int status)
{
  pid_t pid = fork();

  if (pid != 0)
    _exit(pid > 0 ? 0 : 1);
  control = fcntl(control, F_DUPFD, STDERR_FILENO + 1);
  status = fcntl(status, F_DUPFD, STDERR_FILENO + 1);
  dup2(control, CONTROL_FD);
  dup2(status, STATUS_FD);
  close(freeze->control);
  close(freeze->status);
  close(control);
  close(status);
  syscall(SYS_close_range, STDERR_FILENO + 1, G_MAXUINT, 0);
  run(freeze);
}

/* --- in ours --- */

static gboolean start(Freeze *freeze, GError **error)
{
  int control[2], status[2], result = 0;
  sigset_t all, before;
  pid_t child;

  if (pipe2(control, O_CLOEXEC) < 0)
    return vt_set_errno(error, errno, "making a pipe");
  if (pipe2(status, O_CLOEXEC) < 0) {
    close(control[0]);
    close(control[1]);
    return vt_set_errno(error, errno, "making a pipe");
  }
  freeze->control = control[1];
  freeze->status = status[0];
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  child = fork();
  if (child == 0)
    detach(freeze, control[0], status[1]);
  close(control[0]);
  close(status[1]);
  while (child > 0 && waitpid(child, &result, 0) < 0 && errno == EINTR)
    ;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return (child > 0 && result == 0) || vt_set_error(error, EAGAIN, "cannot start a process");
}

static void take(Freeze *freeze, const Report *message)
{
  Mount *mount = &freeze->mounts[message->mount];

  freeze->told = message->mount + 1;
  if (message->err == 0)
    mount->frozen = TRUE;
  else if (message->err != EBUSY && (freeze->told == freeze->n ||
                                     mount[1].where->file_system != mount->where->file_system)) {
    g_autofree char *where = vt_printable(mount->where->path);
    g_warning("%s: this file system is not frozen for a snapshot, at most synced: %s", where,
              g_strerror(message->err));
  }
}

/* What the process says until it is through with @last, or @deadline. FALSE: ETIMEDOUT, or EPIPE:
 * it is gone. */
static gboolean listen_to(Freeze *freeze, guint last, gint64 deadline, int *err)
{
  Report message = {.mount = 0};

  while (message.mount != last) {
    gint64 left = MAX(0, deadline - g_get_monotonic_time());
    struct pollfd poll_fd = {.fd = freeze->status, .events = POLLIN};
    int ready = poll(&poll_fd, 1, (int)(left / 1000));

    if (ready < 0 && errno == EINTR)
      continue;
    *err = ready == 0 ? ETIMEDOUT : EPIPE;
    if (ready <= 0 || read(freeze->status, &message, sizeof message) != sizeof message)
      return FALSE;
    if (message.mount < freeze->n)
      take(freeze, &message);
  }
  return TRUE;
}

static gint64 in_time(void)
{
  return g_get_monotonic_time() + FREEZE_WAIT * G_TIME_SPAN_SECOND;
}

/* The process was killed. */
static void thaw_ourselves(Freeze *freeze)
{
  for (guint i = 0; i < freeze->n; i++) {
    int fd = freeze->mounts[i].frozen ? open_mount(freeze->mounts[i].where) : -1;

    if (fd >= 0) {
      ioctl(fd, FITHAW, 0);
      close(fd);
    }
  }
}

static void freeze_free(Freeze *freeze)
{
  if (freeze->control >= 0)
    close(freeze->control);
  if (freeze->status >= 0)
    close(freeze->status);
  block_scan_free(freeze->scan);
  g_free(freeze->mounts);
  g_free(freeze);
}

void freeze_end(Freeze *freeze)
{
  int err = 0;

  if (!freeze)
    return;
  close(freeze->control);
  freeze->control = -1;
  if (!listen_to(freeze, ALL_THAWED, in_time(), &err) && err == EPIPE)
    thaw_ourselves(freeze);
  freeze_free(freeze);
}

static int compare(gconstpointer a, gconstpointer b)
{
  const BlockMount *x = *(BlockMount *const *)a, *y = *(BlockMount *const *)b;

  if (x->depth != y->depth)
    return x->depth > y->depth ? -1 : 1;
  return x->file_system < y->file_system ? -1 : x->file_system > y->file_system;
}

static void add_mounts(Freeze *freeze, GPtrArray *found, guint min_depth)
{
  dev_t root = 0;

  for (guint i = 0; i < found->len; i++) {
    const BlockMount *where = found->pdata[i];
    if (g_str_equal(where->path, "/"))
      root = where->file_system;
  }
  freeze->mounts = g_new0(Mount, found->len);
  for (guint i = 0; i < found->len; i++) {
    const BlockMount *where = found->pdata[i];
    if (where->depth >= min_depth)
      freeze->mounts[freeze->n++] =
          (Mount){.where = where, .fd = -1, .sync_only = root && where->file_system == root};
  }
}

Freeze *freeze_begin(const FreezeDisk *disks, guint n_disks, guint min_depth, GError **error)
{
  Freeze *freeze = g_new0(Freeze, 1);
  g_autoptr(GPtrArray) found = g_ptr_array_new();
  g_autofree char *where = NULL;
  int err = 0;

  freeze->control = freeze->status = -1;
  freeze->scan = block_scan_new_mounts();
  for (guint i = 0; i < n_disks; i++)
    block_scan_mounts(freeze->scan, disks[i].device, disks[i].file, found);
  g_ptr_array_sort(found, compare);
  add_mounts(freeze, found, min_depth);
  if (freeze->n == 0 || !start(freeze, error)) {
    freeze_free(freeze);
    return NULL;
  }
  if (listen_to(freeze, ALL_FROZEN, in_time(), &err))
    return freeze;
  where = vt_printable(freeze->mounts[MIN(freeze->told, freeze->n - 1)].where->path);
  vt_set_error(error, err, "the file system on %s could not be frozen%s", where,
               err == ETIMEDOUT ? " in time: is its device well?" : ": the process was killed");
  freeze_end(freeze);
  return NULL;
}
