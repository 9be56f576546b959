/* virt-thin - the engine process: opens the volume group and serves it in every way
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * May be killed at any moment: what it has acknowledged is in the journals, what it has not is in
 * the slots, and both are in memory that the holder keeps. It ends in two ways: for good (SIGTERM:
 * commit and close), or for a planned restart (SIGUSR1: commit, and leave the rest to the next
 * engine as if it had died).
 */
#include "config.h"

#include <fcntl.h>
#include <glib-unix.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pool/open.h"
#include "service/fuse/fuse-view.h"
#include "service/nbd/nbd-server.h"
#include "service/process/control-server.h"
#include "service/process/holder.h"
#include "service/process/service-pool.h"
#include "settings/settings.h"
#include "util/condition.h"
#include "util/io.h"

#define NODES_WAIT_MS 2000

typedef struct {
  const char *vg;
  Shared *shared;
  int *kept; /* of locks */
  VtIoLocks locks;
  VolumeGroup *inner, *group;
  Folder *folder;
  FuseView *view;
  Nodes *nodes;
  NbdServer *nbd;
  ControlServer *control;
  GMainLoop *loop;
  gboolean for_good;
  GThread *committer;
  pthread_mutex_t lock;
  pthread_cond_t ending;
  gboolean ended;
} Engine;

static void say(const char *text)
{
  g_autofree char *line = g_strdelimit(g_strdup(text), "\n", ' ');
  g_autofree char *message = g_strconcat(line, "\n", NULL);
  if (write(SERVICE_FD_STATUS, message, strlen(message)) == -1)
    g_warning("cannot reach the holder: %s", g_strerror(errno));
}

/* The holder keeps the lock of each PV, so that nobody takes one between this engine's death and
 * the next. */
static void keep_lock(int fd, gpointer user_data)
{
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec iov = {"lock\n", strlen("lock\n")};
  struct msghdr message = {
      .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};

  control.header = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
  memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
  if (sendmsg(SERVICE_FD_STATUS, &message, MSG_NOSIGNAL) == -1)
    g_warning("cannot give the lock of a physical volume to the holder: %s", g_strerror(errno));
}

/* --- once a second --- */

static void commit_once(Engine *engine, char **last_failure)
{
  g_autoptr(GError) error = NULL;

  if (pool_commit(engine->inner, &error)) {
    g_clear_pointer(last_failure, g_free);
  } else if (g_strcmp0(*last_failure, error->message) != 0) {
    g_warning("volume group %s cannot be committed: %s", engine->vg, error->message);
    g_free(*last_failure);
    *last_failure = g_strdup(error->message);
  }
}

static gpointer committer(gpointer data)
{
  Engine *engine = data;
  g_autofree char *last_failure = NULL;

  pthread_mutex_lock(&engine->lock);
  while (!engine->ended) {
    if (vt_condition_wait_until(&engine->ending, &engine->lock,
                                g_get_monotonic_time() + G_TIME_SPAN_SECOND))
      continue;
    pthread_mutex_unlock(&engine->lock);
    commit_once(engine, &last_failure);
    folder_refresh(engine->folder);
    pthread_mutex_lock(&engine->lock);
  }
  pthread_mutex_unlock(&engine->lock);
  return NULL;
}

static void stop_committer(Engine *engine)
{
  pthread_mutex_lock(&engine->lock);
  engine->ended = TRUE;
  pthread_cond_broadcast(&engine->ending);
  pthread_mutex_unlock(&engine->lock);
}

/* --- what others ask --- */

static void on_event(PoolEvent event, const char *name, const char *old_name, gpointer data)
{
  control_server_emit(((Engine *)data)->control, event, name, old_name);
}

/* Over D-Bus: refuse while a volume is open, else have the holder end it all. */
static gboolean on_stop(gboolean force, gpointer data, GError **error)
{
  Engine *engine = data;

  if (!force && !pool_deactivate(engine->group, NULL, FALSE, error))
    return FALSE;
  kill(getppid(), SIGTERM);
  return TRUE;
}

static gboolean on_term(gpointer data)
{
  ((Engine *)data)->for_good = TRUE;
  g_main_loop_quit(((Engine *)data)->loop);
  return G_SOURCE_CONTINUE;
}

/* For the holder, which kills an engine whose main loop stands. So nothing in that loop may wait
 * for a physical volume. */
static gboolean beat(gpointer data)
{
  __atomic_add_fetch(&((Engine *)data)->shared->header->beats, 1, __ATOMIC_RELAXED);
  return G_SOURCE_CONTINUE;
}

static gboolean on_restart(gpointer data)
{
  g_main_loop_quit(((Engine *)data)->loop);
  return G_SOURCE_CONTINUE;
}

/* --- beginning --- */

static gboolean open_pool(Engine *engine, GError **error)
{
  g_auto(GStrv) devices = service_pool_devices(engine->vg);
  const PoolWhere where = {.devices = *devices ? (const char *const *)devices : NULL,
                           .journal = engine->shared->journal,
                           .journal_size = SHARED_JOURNAL,
                           .locks = &engine->locks};

  engine->locks = (VtIoLocks){.n_kept = engine->shared->header->n_locks, .keep = keep_lock};
  engine->kept = g_new(int, engine->locks.n_kept + 1);
  engine->locks.kept = engine->kept;
  for (guint i = 0; i < engine->locks.n_kept; i++) {
    engine->kept[i] = SERVICE_FD_LOCKS + (int)i;
    fcntl(engine->kept[i], F_SETFD, FD_CLOEXEC);
  }
  engine->inner = pool_open_bundled(engine->vg, &where, error);
  if (!engine->inner)
    return FALSE;
  service_pool_remember_devices(engine->vg, engine->inner);
  return TRUE;
}

static gboolean is_nodes_process(pid_t pid, gpointer data)
{
  return pid == __atomic_load_n(&((Engine *)data)->shared->header->nodes_pid, __ATOMIC_RELAXED);
}

/* The order matters: no request is read before open files are restored; no client is served before
 * the files are; nodes need the files. */
static gboolean start(Engine *engine, GError **error)
{
  /* The holder's socket has decided who may connect. */
  NbdServerOptions options = {.socket_mode = settings_socket_mode(),
                              .socket_group = settings_socket_group(),
                              .is_view = is_nodes_process,
                              .user_data = engine};

  engine->shared = shared_map(SERVICE_FD_SHARED, error);
  if (!engine->shared || !open_pool(engine, error) ||
      !(engine->folder = folder_new(engine->inner, engine->shared, error)))
    return FALSE;
  engine->nodes = nodes_new(engine->vg, SERVICE_FD_NODES);
  engine->group = service_pool_new(engine->vg, engine->inner, engine->folder, engine->nodes);
  engine->view = fuse_view_new(engine->folder, engine->shared, SERVICE_FD_FUSE, error);
  if (!engine->view || !fuse_view_start(engine->view, error))
    return FALSE;
  engine->nbd = nbd_server_start_fd(engine->group, SERVICE_FD_NBD, &options, error);
  if (!engine->nbd)
    return FALSE;
  engine->control = control_server_new(engine->group, SERVICE_FD_CONTROL, on_stop, engine, error);
  if (!engine->control)
    return FALSE;
  service_pool_follow(engine->group, on_event, engine);
  nodes_sync(engine->nodes, engine->folder, NODES_WAIT_MS);
  engine->committer = g_thread_new("commit", committer, engine);
  return TRUE;
}

/* --- end --- */

/* Nothing of what follows may take long: the holder's patience is that of a machine that shuts
 * down. Threads that wait in the kernel for requests cannot be called back; the process ends under
 * them. */
static int finish(Engine *engine)
{
  g_autoptr(GError) error = NULL;
  gboolean quiet, ok;

  stop_committer(engine);
  quiet = control_server_stop(engine->control, 500);
  nbd_server_stop(engine->nbd, 500);
  quiet = fuse_view_stop(engine->view, 500) && quiet;
  if (engine->for_good)
    say("writing");
  if (!engine->for_good || !quiet) {
    ok = pool_commit(engine->inner, &error);
  } else {
    g_thread_join(engine->committer);
    pool_unref(engine->group);
    folder_free(engine->folder);
    ok = pool_close(engine->inner, &error);
  }
  if (!ok)
    g_warning("the last commit of volume group %s failed: %s", engine->vg, error->message);
  return ok ? 0 : 1;
}

static void raise_limits(void)
{
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

int engine_main(const char *vg)
{
  Engine engine = {.vg = vg, .lock = PTHREAD_MUTEX_INITIALIZER};
  g_autoptr(GError) error = NULL;

  signal(SIGPIPE, SIG_IGN);
  raise_limits();
  vt_condition_init(&engine.ending);
  engine.loop = g_main_loop_new(NULL, FALSE);
  g_unix_signal_add(SIGTERM, on_term, &engine);
  g_unix_signal_add(SIGUSR1, on_restart, &engine);
  if (!start(&engine, &error)) {
    say(error->message);
    _exit(1);
  }
  beat(&engine);
  g_timeout_add_seconds(1, beat, &engine);
  say("ready");
  g_main_loop_run(engine.loop);
  int status = finish(&engine);
  fflush(NULL);
  _exit(status);
}
