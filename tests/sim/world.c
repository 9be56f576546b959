/* virt-thin - simulation: a world from its seed to its end
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "world.h"

#include <string.h>

#include "lvm/store.h"
#include "pool/bundled/bundled-private.h"
#include "pool/open.h"
#include "thin/journal.h"
#include "util/error.h"

#define MIB (1u << 20)
#define EXTENT (64u << 10)
#define VG "pve"

SimTotals sim_totals;

/* --- the volume group, as it begins --- */

static void must(gboolean ok, const char *what, GError *error)
{
  if (!ok)
    sim_fail("%s: %s", what, error ? error->message : "failed");
}

static void add_disk(World *w, const char *path, guint64 size)
{
  g_ptr_array_set_size(w->paths, w->paths->len ? w->paths->len - 1 : 0);
  g_ptr_array_add(w->paths, g_strdup(path));
  g_ptr_array_add(w->paths, NULL);
  sim_disk_new(path, size);
}

static void make_vg(World *w)
{
  SimRandom random = sim_stream(w->plan->seed, 2, 0);
  gboolean small = (w->plan->events & SIM_SMALL) && sim_chance(&random, 4);
  const PoolNew params = {.size = (small ? 2 : 6) * MIB,
                          .metadata_size = 2 * MIB,
                          .max_size = sim_chance(&random, 2) ? 8 * MIB : 0};
  LvmCreate create = {.extent_size = EXTENT,
                      .metadata_area = sim_chance(&random, 2) ? 256u << 10 : MIB,
                      .no_autoactivate = TRUE};
  g_autoptr(GError) error = NULL;
  LvmStore *store;
  VolumeGroup *group;

  add_disk(w, "/sim/pv0.img", (sim_chance(&random, 2) ? 16 : 24) * MIB);
  if (sim_chance(&random, 2))
    add_disk(w, "/sim/pv1.img", 8 * MIB);
  store = lvm_store_create(VG, (const char *const *)w->paths->pdata, &create, &error);
  must(store != NULL, "cannot make the volume group", error);
  group = bundled_open_store(store, NULL, &error);
  must(group && pool_create_pool(group, "data", &params, &error), "cannot make the pool", error);
  must(pool_close(group, &error), "cannot close the new volume group", error);
}

/* --- what ends an engine --- */

gboolean world_over(World *w)
{
  return w->crashed || w->stopping;
}

ModelLoss world_loss(World *w)
{
  return sim_n_eio > w->eio_before || sim_n_full > w->full_before ? MODEL_FAILED : MODEL_RUNNING;
}

static void lose(World *w, ModelLoss loss)
{
  w->model->loss = MAX(w->model->loss, loss);
}

/* Whatever else it meets, the ghost meets no more faults. */
static void crash(World *w, gboolean cut)
{
  if (w->crashed)
    return;
  sim_trace(cut ? "POWER CUT" : "SIGKILL");
  w->crashed = TRUE;
  memset(sim_faults, 0, sizeof sim_faults);
  if (cut) {
    sim_disks_cut(&w->random);
    memset(w->journal, 0, THIN_JOURNAL_MIN);
    sim_totals.cuts++;
  } else {
    sim_disks_die(w->process, &w->random);
    sim_totals.kills++;
  }
  lose(w, cut ? MODEL_CUT : MODEL_KILLED);
  sim_process_kill(w->process);
  void *kept = w->journal; /* the ghost goes on scribbling in its own */
  w->journal = g_memdup2(kept, THIN_JOURNAL_MIN);
}

static World *the_world;

guint world_epoch(void)
{
  return the_world ? the_world->epoch : 0;
}

static void cut_now(gpointer process)
{
  crash(the_world, TRUE);
}

static void kill_now(gpointer process)
{
  crash(the_world, FALSE);
}

void world_judge_error(World *w, const char *what, const GError *error)
{
  int code = vt_error_to_errno(error);

  if (sim_is_ghost())
    return;
  sim_totals.refused++;
  if (world_loss(w))
    return;
  if (code == ENOSPC || (code == ESTALE && w->stale))
    return;
  sim_fail("%s: an error that nothing explains: %s", what, error->message);
}

/* --- what befalls it --- */

static guint usual_ios(World *w)
{
  return 40 + w->plan->ops * w->plan->workers * 2;
}

static void arm(World *w, guint i, SimFaultKind kind, VtIoKinds kinds, guint times, SimFunc call)
{
  guint within = sim_chance(&w->random, 4) ? 60 : usual_ios(w);

  sim_faults[i] = (SimFault){kind, kinds, sim_next(&w->random, within), times, call};
}

static void arm_faults(World *w)
{
  guint events = w->plan->events;
  SimRandom *r = &w->random;
  gboolean cut = (events & SIM_CUT) && (!(events & SIM_KILL) || sim_next(r, 5) < 3),
           kill = !cut && (events & SIM_KILL), fail = sim_chance(r, 6), delay = sim_chance(r, 6);

  memset(sim_faults, 0, sizeof sim_faults);
  if ((cut || kill) && !sim_chance(r, 12))
    arm(w, 0, SIM_CALL, sim_chance(r, 3) ? VT_IO_FLUSH : VT_IO_WRITE | VT_IO_FLUSH | VT_IO_ZERO, 1,
        cut ? cut_now : kill_now);
  if (fail && (events & SIM_FAIL))
    arm(w, 1, SIM_EIO, 1u << sim_next(r, 5), sim_chance(r, 2) ? 1 : G_MAXUINT, NULL);
  if (delay && (events & SIM_DELAY))
    arm(w, 2, SIM_SLOW, VT_IO_WRITE | VT_IO_FLUSH, 3, NULL);
}

/* --- an engine's life --- */

static gboolean is_skipped(const SimPlan *plan, guint epoch)
{
  for (guint i = 0; i < G_N_ELEMENTS(plan->skip_epochs) && plan->skip_epochs[i]; i++)
    if (plan->skip_epochs[i] == epoch + 1)
      return TRUE;
  return FALSE;
}

static VolumeGroup *open_vg(World *w, gboolean read_only, GError **error)
{
  const PoolWhere where = {.devices = (const char *const *)w->paths->pdata,
                           .flags = read_only ? POOL_READ_ONLY : 0,
                           .journal = w->journal,
                           .journal_size = THIN_JOURNAL_MIN};

  return pool_open_bundled(VG, &where, error);
}

/* A pool that failed says so until somebody has looked at it. */
static gboolean clear_needs_check(World *w)
{
  const PoolWhere where = {.devices = (const char *const *)w->paths->pdata};
  g_autoptr(GError) error = NULL;

  if (pool_clear_needs_check(VG, "data", &where, &error))
    return TRUE;
  world_judge_error(w, "clear needs_check", error);
  return FALSE;
}

/* Again without faults, if faults kept it from opening. NULL: it died on the way. */
static VolumeGroup *open_at_last(World *w)
{
  for (guint i = 0; i < 4; i++) {
    g_autoptr(GError) error = NULL;
    VolumeGroup *group = open_vg(w, FALSE, &error);

    if (group || sim_is_ghost())
      return group;
    sim_trace("cannot open: %s", error->message);
    if (strstr(error->message, "needs_check")) {
      if (!clear_needs_check(w) && sim_is_ghost())
        return NULL;
      continue;
    }
    world_judge_error(w, "open the volume group", error);
    memset(&sim_faults[1], 0, sizeof sim_faults - sizeof sim_faults[0]);
    sim_set_room(G_MAXUINT64);
    lose(w, MODEL_FAILED);
  }
  sim_fail("the volume group does not open");
}

static void found_clear(gpointer data)
{
  ModelFound *found = data;

  g_free((char *)found->name);
  g_free(found->bytes);
}

static gboolean read_one(World *w, VolumeGroup *group, const PoolVolumeInfo *info, GArray *found)
{
  ModelFound f = {g_strdup(info->name), (guint32)(info->size / MODEL_SECTOR), NULL};
  g_autoptr(GError) error = NULL;
  g_autoptr(VtIo) io = pool_volume_open(group, info->name, TRUE, "the look", &error);

  f.bytes = g_malloc(info->size);
  g_array_append_val(found, f);
  sim_totals.sectors += f.size;
  if (io && vt_io_read(io, f.bytes, info->size, 0, &error))
    return TRUE;
  world_judge_error(w, "read what is there", error);
  return FALSE;
}

/* Compare with the model. FALSE: it could not be read whole. */
static gboolean look(World *w, VolumeGroup *group)
{
  g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(ModelFound));
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) infos = pool_list_volumes(group, NULL, &error);

  g_array_set_clear_func(found, found_clear);
  if (!infos) {
    world_judge_error(w, "list volumes", error);
    return FALSE;
  }
  for (guint i = 0; i < infos->len; i++)
    if (!read_one(w, group, infos->pdata[i], found))
      return FALSE;
  if (sim_is_ghost())
    return FALSE;
  model_verify(w->model, found);
  return TRUE;
}

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
  start_worker(w, "ticker", ticker_run, 200);
  while (w->working)
    sim_wait(&w->working, G_MAXINT64);
}

static void close_engine(World *w, VolumeGroup *group)
{
  guint32 mark = ++w->model->number;
  g_autoptr(GError) error = NULL;
  gboolean ok = pool_close(group, &error);

  if (sim_is_ghost())
    return;
  if (world_loss(w) || !ok)
    lose(w, MODEL_FAILED);
  if (!ok)
    world_judge_error(w, "close", error);
  else if (w->model->loss == MODEL_RUNNING) /* else it was not looked at */
    model_settle_all(w->model, mark);
  sim_totals.peaceful++;
}

static void engine_run(gpointer data)
{
  World *w = data;
  VolumeGroup *group = w->group = open_at_last(w);

  if (!group)
    return;
  if (look(w, group)) {
    laws_check(w);
    work(w);
  }
  close_engine(w, group);
}

static void live_epoch(World *w)
{
  void *journal = w->journal;

  w->random = sim_stream(w->plan->seed, 3, w->epoch);
  w->crashed = w->stopping = w->stale = FALSE;
  w->working = w->changing = 0;
  w->eio_before = sim_n_eio;
  w->full_before = sim_n_full;
  w->process = sim_process_new("engine");
  if (sim_break == SIM_BREAK_JOURNAL)
    memset(journal, 0, THIN_JOURNAL_MIN);
  arm_faults(w);
  sim_trace("epoch %u", w->epoch);
  sim_spawn(w->process, "engine", engine_run, w);
  sim_process_reap(w->process);
  memset(sim_faults, 0, sizeof sim_faults);
  sim_set_room(G_MAXUINT64);
  if (w->journal != journal)
    g_free(journal);
  w->process = NULL;
  w->group = NULL;
}

guint64 world_run(const SimPlan *plan)
{
  World w = {.plan = plan, .model = model_new()};

  sim_reset(plan->seed);
  sim_disks_clear();
  the_world = &w;
  w.paths = g_ptr_array_new_with_free_func(g_free);
  w.journal = g_malloc0(THIN_JOURNAL_MIN);
  make_vg(&w);
  for (; w.epoch < plan->epochs; w.epoch++)
    if (!is_skipped(plan, w.epoch))
      live_epoch(&w);
  sim_totals.points += sim_n_points();
  sim_totals.worlds++;
  g_free(w.journal);
  g_ptr_array_unref(w.paths);
  model_free(w.model);
  return sim_digest();
}
