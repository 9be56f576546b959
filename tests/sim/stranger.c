/* virt-thin - simulation: another user of the volume group: lvm2, or a second virt-thin
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What lvm2 commits while an engine has the volume group open is between two commits of the
 * engine's: nothing orders the two otherwise.
 */
#include <string.h>

#include "lvm/store.h"
#include "pool/open.h"
#include "util/error.h"
#include "world.h"

#define VG "pve"

static char *tag_of(guint number)
{
  return g_strdup_printf("stranger-%u", number % 4);
}

/* A tag more or less; the extents stay where they are. */
static void commit(World *w)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *tag = tag_of(w->strangers), *old = tag_of(w->strangers + 1);
  g_autoptr(LvmStore) store =
      lvm_store_open((const char *const *)w->paths->pdata, VG, FALSE, NULL, NULL, &error);
  LvmVg *vg;

  if (!store)
    sim_fail("a stranger cannot open the volume group: %s", error->message);
  vg = lvm_vg_copy(lvm_store_vg(store));
  lvm_vg_set_tag(vg, old, FALSE);
  lvm_vg_set_tag(vg, tag, TRUE);
  w->stale = TRUE;
  if (!lvm_store_commit(store, vg, NULL, "a stranger", &error))
    sim_fail("a stranger cannot commit: %s", error->message);
  w->strangers++;
  sim_totals.strangers++;
}

void stranger_check(World *w)
{
  g_autofree char *tag = tag_of(w->strangers - 1);
  g_autoptr(GError) error = NULL;
  g_autoptr(LvmStore) store = NULL;
  g_auto(GStrv) tags = NULL;

  if (!w->strangers)
    return;
  store = lvm_store_open((const char *const *)w->paths->pdata, VG, TRUE, NULL, NULL, &error);
  if (!store) {
    world_judge_error(w, "read the volume group", error);
    return;
  }
  tags = lvm_vg_tags(lvm_store_vg(store));
  if (world_loss(w) == MODEL_RUNNING && !g_strv_contains((const char *const *)tags, tag))
    sim_fail("what another has committed is gone: %s", tag);
}

/* Somebody has it: to write it is not to be had, to look at it is. */
static void open_second(World *w, gboolean read_only)
{
  const PoolWhere where = {.devices = (const char *const *)w->paths->pdata,
                           .flags = read_only ? POOL_READ_ONLY : 0};
  g_autoptr(GError) error = NULL;
  VolumeGroup *group = pool_open_bundled(VG, &where, &error);

  sim_trace("a second opening, %s: %s", read_only ? "to look" : "to write",
            group ? "done" : error->message);
  if (group && !read_only && w->process && !w->process->dead)
    sim_fail("two have the volume group open for writing");
  if (group)
    pool_unref(group);
}

void stranger_run(gpointer data)
{
  Worker *self = data;
  World *w = self->world;
  SimRandom random = sim_stream(w->plan->seed, w->epoch, 300);

  sim_sleep(1 + sim_next(&random, 100000));
  if (!world_over(w) && w->group && w->working && sim_chance(&random, 2)) {
    open_second(w, sim_chance(&random, 2));
  } else if (!world_over(w) && w->working && w->changing == 0) {
    sim_alone(TRUE);
    sim_lawless = sim_self();
    commit(w);
    sim_lawless = NULL;
    sim_alone(FALSE);
  }
  g_free(self);
}
