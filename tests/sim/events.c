/* virt-thin - simulation: what befalls a world
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "service.h"
#include "thin/journal.h"
#include "util/error.h"
#include "world.h"

/* --- what ends an engine --- */

gboolean world_over(World *w)
{
  return w->crashed || w->stopping;
}

ModelLoss world_loss(World *w)
{
  return sim_n_eio > w->eio_before || sim_n_full > w->full_before ? MODEL_FAILED : MODEL_RUNNING;
}

void world_lose(World *w, ModelLoss loss)
{
  w->model->loss = MAX(w->model->loss, loss);
}

/* The ghost goes on in the old one, and frees it. */
static void lose_mount(World *w, gboolean cut)
{
  Mount *mount = w->mount;

  if (!mount || (!w->mounted && !cut))
    return;
  w->mount = cut ? NULL : mount_survive(mount);
  if (w->mounted && cut)
    mount_vanish(mount);
  else if (cut)
    mount_free(mount);
  w->mounted = FALSE;
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
    sim_lock_owner = NULL;
    service_forget_files();
    sim_totals.cuts++;
  } else {
    sim_disks_die(w->process, &w->random);
    sim_totals.kills++;
  }
  lose_mount(w, cut);
  world_lose(w, cut ? MODEL_CUT : MAX(MODEL_KILLED, world_loss(w)));
  sim_process_kill(w->process);
  sim_sockets_moved();
  void *kept = w->journal; /* the ghost goes on scribbling in its own */
  w->journal = g_memdup2(kept, THIN_JOURNAL_MIN);
}

static World *the_world;

void events_begin(World *w)
{
  the_world = w;
}

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

void world_make_way(World *w)
{
  crash(w, FALSE);
}

/* What a call meets that the server has not taken, or not begun. */
static gboolean is_turned_away(World *w, int code)
{
  return w->control && (code == ECONNRESET || code == ESHUTDOWN || code == EAGAIN ||
                        (code == ENOENT && w->restarting));
}

void world_judge_error(World *w, const char *what, const GError *error)
{
  int code = vt_error_to_errno(error);

  if (sim_is_ghost())
    return;
  sim_totals.refused++;
  if (world_loss(w))
    return;
  if (code == ENOSPC || (code == ESTALE && w->stale) || is_turned_away(w, code))
    return;
  if (w->server && (code == ECANCELED || (w->hung_up && code == EBUSY)))
    return;
  sim_fail("%s: an error that nothing explains: %s", what, error->message);
}

/* --- what befalls it --- */

static guint usual_ios(World *w);

static void make_room_now(gpointer process)
{
  sim_set_room(G_MAXUINT64);
}

/* Others take nearly all of the file system, and some time later it has room again. */
static void fill_now(gpointer process)
{
  World *w = the_world;

  sim_set_room(sim_next(&w->random, 24));
  sim_faults[3] = (SimFault){SIM_CALL, VT_IO_WRITE | VT_IO_BACK | VT_IO_FLUSH,
                             sim_next(&w->random, usual_ios(w)), 1, make_room_now};
}

static guint usual_ios(World *w)
{
  return 40 + w->plan->ops * w->plan->workers * 2;
}

static void arm(World *w, guint i, SimFaultKind kind, VtIoKinds kinds, guint times, SimFunc call)
{
  guint within = sim_chance(&w->random, 4) ? 60 : usual_ios(w);

  sim_faults[i] = (SimFault){kind, kinds, sim_next(&w->random, within), times, call};
}

void events_arm(World *w)
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
  if ((events & SIM_FULL) && sim_chance(r, 6))
    arm(w, 3, SIM_CALL, VT_IO_WRITE | VT_IO_BACK | VT_IO_FLUSH, 1, fill_now);
  if (delay && (events & SIM_DELAY))
    arm(w, 2, SIM_SLOW, VT_IO_WRITE | VT_IO_FLUSH, 3, NULL);
}
