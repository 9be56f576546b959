/* virt-thin - simulation: the service around an engine
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The real pool of a service, the real server of its control calls, and the real client, over
 * wrap-bus.c. Changes are admin.c's; here are those who ask meanwhile.
 */
#include "service.h"

#include <string.h>

#include "pool/open.h"
#include "service/process/control-server.h"
#include "service/process/service-pool.h"
#include "util/error.h"
#include "world.h"

#define VG "pve"

/* --- its life --- */

static gboolean refuse_to_stop(gboolean force, gpointer user_data, GError **error)
{
  return vt_set_error(error, EBUSY, "the simulation ends it");
}

static void tell_peers(PoolEvent event, const char *name, const char *old_name, gpointer calls)
{
  control_server_emit(calls, event, name, old_name);
}

/* What the next engine is told to open. */
static void remember_devices(World *w)
{
  g_auto(GStrv) known = NULL;

  service_pool_remember_devices(VG, w->group);
  known = service_pool_devices(VG);
  for (guint i = 0; w->paths->pdata[i] && !sim_is_ghost(); i++)
    if (!g_strv_contains((const char *const *)known, w->paths->pdata[i]))
      sim_fail("the service forgets its physical volume %s", (char *)w->paths->pdata[i]);
}

void service_start(World *w)
{
  g_autoptr(GError) error = NULL;

  remember_devices(w);
  w->served = service_pool_new(VG, w->group, w->folder, NULL);
  w->calls = control_server_new(w->served, -1, refuse_to_stop, w, &error);
  if (!w->calls) {
    world_judge_error(w, "serve control calls", error);
    return;
  }
  service_pool_follow(w->served, tell_peers, w->calls);
  w->control = pool_connect(VG, 0, &error);
  if (!w->control)
    world_judge_error(w, "connect to the service", error);
}

void service_stop(World *w)
{
  if (!w->served)
    return;
  if (w->control)
    pool_unref(w->control);
  if (w->calls) {
    control_server_stop(w->calls, 500);
    control_server_free(w->calls);
  }
  pool_unref(w->served);
  w->control = w->served = NULL;
  w->calls = NULL;
}

/* --- who asks --- */

static void judge(World *w, gboolean ok, const char *what, const GError *error)
{
  if (!ok)
    world_judge_error(w, what, error);
}

static void ask_list(World *w, ModelVolume *v)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) all = pool_list_volumes(w->control, NULL, &error);
  gboolean found = FALSE;

  judge(w, all != NULL, "list volumes by a call", error);
  for (guint i = 0; all && i < all->len; i++)
    found |= strcmp(((PoolVolumeInfo *)all->pdata[i])->name, v->name) == 0;
  if (all && !found && !sim_is_ghost())
    sim_fail("a list of volumes lacks one: %s", v->name);
}

static void ask_volume(World *w, ModelVolume *v)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(w->control, v->name, &error);

  judge(w, info != NULL, "ask for a volume by a call", error);
  if (info && !sim_is_ghost() && info->size != (guint64)v->size * MODEL_SECTOR)
    sim_fail("a volume's size is told wrongly: %s", v->name);
}

static void ask_count(World *w, ModelVolume *v)
{
  g_autoptr(GError) error = NULL;
  guint64 exclusive, shared;
  gboolean ok = pool_count_volume(w->control, v->name, &exclusive, &shared, &error);

  judge(w, ok, "count a volume by a call", error);
  if (ok && !sim_is_ghost() && exclusive + shared > (guint64)v->size * MODEL_SECTOR + (64u << 10))
    sim_fail("a volume is told to have more than its size: %s", v->name);
}

static void ask_pool(World *w, ModelVolume *v)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PoolInfo) info = pool_get_info(w->control, NULL, &error);

  judge(w, info != NULL, "ask for the pool by a call", error);
}

static void ask_usage(World *w, ModelVolume *v)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PoolUsage) usage = pool_usage(w->control, NULL, NULL, &error);

  judge(w, usage != NULL, "ask for the usage by a call", error);
}

static void ask_map(World *w, ModelVolume *v)
{
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(PoolDeltaRun));
  g_autoptr(GError) error = NULL;
  guint64 offset = 0;
  gboolean ok = pool_delta(w->control, NULL, v->name, 0, &offset, 64, runs, &error);

  judge(w, ok, "ask for a map by a call", error);
}

static void ask_check(World *w, ModelVolume *v)
{
  const PoolCheckOptions options = {.quick = TRUE};
  g_autoptr(GPtrArray) errors = NULL, leaks = NULL;
  g_autoptr(GError) error = NULL;
  gboolean ok = pool_check_as(w->control, NULL, &options, &errors, &leaks, &error);

  judge(w, ok, "have the pool checked by a call", error);
  if (errors && errors->len && !sim_is_ghost() && world_loss(w) == MODEL_RUNNING)
    sim_fail("a check by a call finds: %s", (char *)errors->pdata[0]);
}

static void ask_activate(World *w, ModelVolume *v)
{
  g_autoptr(GError) error = NULL;
  gboolean ok = pool_activate(w->control, NULL, &error);

  judge(w, ok, "activate by a call", error);
}

static void ask_commit(World *w, ModelVolume *v)
{
  g_autoptr(GError) error = NULL;
  gboolean ok;

  w->changing++; /* it may let the pool grow */
  ok = pool_commit(w->control, &error);
  if (sim_is_ghost())
    return;
  w->changing--;
  judge(w, ok, "commit by a call", error);
}

static void (*const questions[])(World *w, ModelVolume *v) = {ask_list,  ask_volume,   ask_count,
                                                              ask_pool,  ask_usage,    ask_map,
                                                              ask_check, ask_activate, ask_commit};

static ModelVolume *any_volume(World *w, SimRandom *random)
{
  GPtrArray *all = w->model->volumes;
  guint first = all->len ? sim_next(random, all->len) : 0;

  for (guint i = 0; i < all->len; i++) {
    ModelVolume *v = all->pdata[(first + i) % all->len];

    if (!v->reserved)
      return v;
  }
  return NULL;
}

static void ask_one(World *w, SimRandom *random)
{
  ModelVolume *v = any_volume(w, random);
  guint kind = sim_next(random, G_N_ELEMENTS(questions));

  if (!v || w->stale)
    return;
  v->users++; /* so that it stays what it is */
  questions[kind](w, v);
  sim_totals.asked++;
  if (!sim_is_ghost())
    v->users--;
}

void asker_run(gpointer data)
{
  Worker *self = data;
  World *w = self->world;

  for (guint i = 0; i < w->plan->ops / 6 && !world_over(w) && !w->restarting; i++) {
    SimRandom random = sim_stream(w->plan->seed ^ self->number, w->epoch, i);

    ask_one(w, &random);
    if (!world_over(w))
      sim_sleep(sim_next(&random, 20000));
  }
  w->working--;
  sim_wake(&w->working, TRUE);
  g_free(self);
}

/* --- another engine, please --- */

/* As the engine ends for it: no more calls, those under way may end, a commit; and whatever is
 * still under way is left to the next. */
static void make_way(World *w)
{
  g_autoptr(GError) error = NULL;
  guint32 mark;
  gboolean ok;

  sim_trace("another engine is to come");
  w->restarting = TRUE;
  w->changing++;
  control_server_stop(w->calls, 500);
  mark = ++w->model->number;
  ok = pool_commit(w->group, &error);
  if (sim_is_ghost())
    return;
  if (ok)
    model_settle_all(w->model, mark);
  else
    world_judge_error(w, "commit before another engine", error);
  sim_totals.restarts++;
  world_make_way(w);
}

void restart_run(gpointer data)
{
  Worker *self = data;
  World *w = self->world;
  SimRandom random = sim_stream(w->plan->seed, w->epoch, 400);
  guint steps = sim_next(&random, 200);

  for (guint i = 0; i < steps && !world_over(w) && w->working > w->n_tickers; i++)
    sim_sleep(1000);
  if (!world_over(w) && w->working > w->n_tickers)
    make_way(w);
  w->working--;
  sim_wake(&w->working, TRUE);
  g_free(self);
}
