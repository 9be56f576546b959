/* virt-thin - simulation: how an engine shows its volumes, and who works on them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "serve.h"

#include <errno.h>

#include "service.h"
#include "world.h"

static void start_worker(World *w, const char *name, SimFunc func, guint number)
{
  Worker *worker = g_new0(Worker, 1);

  worker->world = w;
  worker->number = number;
  w->working++;
  sim_spawn(w->process, name, func, worker);
}

static void work(World *w)
{
  for (guint i = 0; i < w->plan->workers; i++)
    start_worker(w, "guest", guest_run, i + 1);
  if (w->plan->events & SIM_ADMIN) {
    start_worker(w, "admin", admin_run, 100);
    if (sim_chance(&w->random, 2))
      start_worker(w, "admin", admin_run, 101);
  }
  for (guint i = 0; w->control && i < 3; i++)
    start_worker(w, "asker", asker_run, 110 + i);
  w->n_tickers = w->control && sim_chance(&w->random, 3) ? 2 : 1;
  start_worker(w, "ticker", ticker_run, 200);
  if (w->n_tickers > 1)
    start_worker(w, "restart", restart_run, 210);
  while (w->working)
    sim_wait(&w->working, G_MAXINT64);
}

static void follow(PoolEvent event, const char *name, const char *old_name, gpointer folder)
{
  folder_update(folder, name, old_name);
}

static void serve_nbd(World *w)
{
  const NbdServerOptions options = {.threads = 4};
  g_autoptr(GError) error = NULL;

  w->server = nbd_server_start_fd(w->served ? w->served : w->group, -1, &options, &error);
  if (!w->server)
    sim_fail("no NBD server: %s", error->message);
}

/* The folder, as World.mount shows it. */
static gboolean serve_files(World *w, Mount *mount)
{
  g_autoptr(GError) error = NULL;

  w->mounted = !sim_is_ghost();
  w->folder = folder_new(w->group, mount_shared(mount), &error);
  w->view = w->folder ? mount_serve(mount, w->folder, &error) : NULL;
  if (!w->view) {
    world_judge_error(w, "serve files", error);
    g_clear_pointer(&w->folder, folder_free);
    return FALSE;
  }
  pool_set_event_func(w->group, follow, w->folder);
  return TRUE;
}

/* @mount is not mounted any more, if it is still there. */
static void stop_files(World *w, Mount *mount)
{
  if (!w->folder)
    return;
  mount_unserve(mount, w->view);
  pool_set_event_func(w->group, NULL, NULL);
  folder_free(w->folder);
  w->folder = NULL;
}

static void drop_mount(World *w, Mount *mount)
{
  if (w->mount == mount) {
    w->mount = NULL;
    w->mounted = FALSE;
  }
  mount_free(mount);
}

/* Guests by one of the ways in which a service shows volumes, or none of them, and administrators
 * by its control calls, or not. */
void serve_and_work(World *w)
{
  gboolean clients = (w->plan->events & SIM_CLIENTS) != 0;
  guint way = clients ? sim_next(&w->random, 4) : 0;
  gboolean calls = clients && sim_chance(&w->random, 2);
  Mount *mount = w->mount = way == 2 || calls ? mount_new() : NULL;

  if (mount && serve_files(w, mount)) {
    w->files = way == 2;
    if (calls)
      service_start(w);
  }
  if (way == 1)
    serve_nbd(w);
  work(w);
  nbd_server_stop(w->server, 1000);
  w->server = NULL;
  service_stop(w);
  if (mount) {
    stop_files(w, mount);
    drop_mount(w, mount);
  }
}

/* What the last engine had not answered has an outcome now: the write is there, whole. */
static void note_answer(const Asked *asked, gpointer data)
{
  World *w = data;

  if (!asked->deaths)
    return;
  sim_totals.replayed++;
  if (asked->err && asked->err != ENOSPC && asked->deaths < 3 && world_loss(w) == MODEL_RUNNING)
    sim_fail("a request that an engine died over is answered with error %d", asked->err);
  if (asked->volume && !asked->err)
    model_write_end(asked->volume, asked->number, TRUE, ++w->model->number);
}

/* Before anybody looks: what an engine that died has left unanswered. */
void finish_requests(World *w)
{
  Mount *mount = w->mount;

  if (!mount)
    return;
  if (serve_files(w, mount)) {
    mount_finish(mount, note_answer, w);
    stop_files(w, mount);
  }
  drop_mount(w, mount);
}
