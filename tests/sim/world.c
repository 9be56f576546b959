/* virt-thin - simulation: a world from its seed to its end
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bus.h"
#include "file.h"
#include "serve.h"
#include "service.h"
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

/* Where others commit nothing grows by itself: its commits would have no order to theirs. */
static gboolean has_strangers(const SimPlan *plan)
{
  SimRandom random = sim_stream(plan->seed, 4, 0);

  return (plan->events & SIM_STRANGER) && sim_chance(&random, 4);
}

static gboolean may_grow(const SimPlan *plan)
{
  SimRandom random = sim_stream(plan->seed, 5, 0);

  return !has_strangers(plan) && sim_chance(&random, 2);
}

static void make_vg(World *w)
{
  SimRandom random = sim_stream(w->plan->seed, 2, 0);
  gboolean small = (w->plan->events & SIM_SMALL) && sim_chance(&random, 4);
  const PoolNew params = {.size = (small ? 2 : 6) * MIB,
                          .metadata_size = 2 * MIB,
                          .max_size = may_grow(w->plan) ? 8 * MIB : 0};
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
    world_lose(w, MODEL_FAILED);
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

static void close_engine(World *w, VolumeGroup *group)
{
  guint32 mark = ++w->model->number;
  g_autoptr(GError) error = NULL;
  gboolean ok = pool_close(group, &error);

  if (sim_is_ghost())
    return;
  if (world_loss(w) || !ok)
    world_lose(w, MODEL_FAILED);
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
  finish_requests(w);
  if (!sim_is_ghost() && look(w, group)) {
    stranger_check(w);
    laws_check(w);
    serve_and_work(w);
  }
  close_engine(w, group);
}

static SimProcess *send_stranger(World *w)
{
  SimProcess *process;
  Worker *worker;

  if (!has_strangers(w->plan) || sim_chance(&w->random, 2))
    return NULL;
  process = sim_process_new("stranger");
  worker = g_new0(Worker, 1);
  worker->world = w;
  sim_spawn(process, "stranger", stranger_run, worker);
  return process;
}

static void live_epoch(World *w)
{
  void *journal = w->journal;
  SimProcess *stranger;

  w->random = sim_stream(w->plan->seed, 3, w->epoch);
  w->crashed = w->stopping = w->stale = w->hung_up = w->restarting = w->files = w->mounted = FALSE;
  w->working = w->changing = 0;
  w->eio_before = sim_n_eio;
  w->full_before = sim_n_full;
  w->process = sim_process_new("engine");
  if (sim_break == SIM_BREAK_JOURNAL)
    memset(journal, 0, THIN_JOURNAL_MIN);
  sim_lock_owner = w->process;
  events_arm(w);
  sim_trace("epoch %u", w->epoch);
  sim_spawn(w->process, "engine", engine_run, w);
  stranger = send_stranger(w);
  sim_process_reap(w->process);
  w->process = sim_lock_owner = NULL;
  if (stranger)
    sim_process_reap(stranger);
  memset(sim_faults, 0, sizeof sim_faults);
  sim_set_room(G_MAXUINT64);
  if (w->journal != journal)
    g_free(journal);
  w->group = NULL;
}

/* Of a volume group that has been opened and closed once more, so that nothing is under way. */
static void judge(World *w)
{
  g_autoptr(GError) error = NULL;
  VolumeGroup *group = open_at_last(w);

  must(pool_close(group, &error), "cannot close the volume group", error);
  laws_ask_judges(w);
}

guint64 world_run(const SimPlan *plan)
{
  World w = {.plan = plan, .model = model_new()};

  sim_reset(plan->seed);
  sim_disks_clear();
  events_begin(&w);
  file_begin();
  bus_begin();
  service_forget_files();
  w.paths = g_ptr_array_new_with_free_func(g_free);
  w.journal = g_malloc0(THIN_JOURNAL_MIN);
  make_vg(&w);
  for (; w.epoch < plan->epochs; w.epoch++)
    if (!is_skipped(plan, w.epoch))
      live_epoch(&w);
  if (plan->judges)
    judge(&w);
  sim_totals.points += sim_n_points();
  sim_totals.worlds++;
  g_free(w.journal);
  g_ptr_array_unref(w.paths);
  if (w.mount)
    mount_free(w.mount);
  model_free(w.model);
  return sim_digest();
}
