/* virt-thin - schedules: the snapshots that one takes, and removes again
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/snapshots.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* --- taking --- */

static gboolean is_taken(GPtrArray *all, const char *const *volumes, const char *name)
{
  for (guint i = 0; i < all->len; i++) {
    const PoolVolumeInfo *v = all->pdata[i];

    if (v->snapshot_of && g_strv_contains(volumes, v->snapshot_of) &&
        g_strcmp0(v->snapshot_name, name) == 0)
      return TRUE;
  }
  return FALSE;
}

/* One that none of @volumes has yet. The caller's. */
static char *new_name(VolumeGroup *group, const char *const *volumes, gint64 now, GError **error)
{
  g_autoptr(GPtrArray) all = pool_list_volumes(group, NULL, error);
  time_t seconds = now;
  char base[64];
  struct tm tm;

  if (!all)
    return NULL;
  if (!localtime_r(&seconds, &tm) ||
      !strftime(base, sizeof base, SCHEDULE_NAME_PREFIX "%F-%H%M", &tm))
    snprintf(base, sizeof base, SCHEDULE_NAME_PREFIX "%" G_GINT64_FORMAT, now);
  if (!is_taken(all, volumes, base))
    return g_strdup(base);
  for (guint n = 2;; n++) {
    g_autofree char *name = g_strdup_printf("%s-%u", base, n);

    if (!is_taken(all, volumes, name))
      return g_steal_pointer(&name);
  }
}

static gboolean check_room(VolumeGroup *group, const char *pool, GError **error)
{
  g_autoptr(PoolInfo) info = pool_get_info(group, pool, error);

  if (!info)
    return FALSE;
  return info->used == G_MAXUINT64 || info->used < info->size ||
         vt_set_error(error, ENOSPC,
                      "thin pool %s/%s is full: what is written after a snapshot would have no "
                      "room, so none is taken; make room, or the pool larger",
                      info->vg, info->name);
}

gboolean schedule_snapshots_take(VolumeGroup *group, const Schedule *s, const char *pool,
                                 const char *const *volumes, gint64 now, GError **error)
{
  g_autofree char *tag = g_strdup_printf(SCHEDULE_TAG "%s/%" G_GINT64_FORMAT, s->name, now);
  g_autofree char *name = NULL;

  return check_room(group, pool, error) && (name = new_name(group, volumes, now, error)) &&
         pool_snapshot_tagged(group, volumes, name, (const char *const[]){tag, NULL}, error);
}

/* --- removing --- */

/* At once; if that does not do, one by one, so that one in use keeps no other. */
void schedule_snapshots_remove_named(VolumeGroup *group, const char *vg, const Schedule *s,
                                     GPtrArray *names, ScheduleReport *report)
{
  guint n = names->len;

  if (n == 0)
    return;
  g_ptr_array_add(names, NULL);
  if (n > 1 && pool_remove(group, (const char *const *)names->pdata, FALSE, NULL)) {
    report->removed += n;
    return;
  }
  for (guint i = 0; i < n; i++) {
    g_autoptr(GError) local = NULL;

    if (pool_remove(group, (const char *const[]){names->pdata[i], NULL}, FALSE, &local))
      report->removed++;
    else
      schedule_report_failed(report, s, "%s/%s: %s", vg, (char *)names->pdata[i], local->message);
  }
}

/* Of the VG, whose name goes to *vg; NULL: told. */
static GPtrArray *list(VolumeGroup *group, const Schedule *s, char **vg, ScheduleReport *report)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(GPtrArray) volumes = pool_list_volumes(group, NULL, &local);

  if (!volumes) {
    schedule_report_failed(report, s, "%s", local->message);
    return NULL;
  }
  *vg = volumes->len ? g_strdup(((const PoolVolumeInfo *)volumes->pdata[0])->vg) : NULL;
  return schedule_snapshots_list(volumes, s->name);
}

void schedule_snapshots_prune(VolumeGroup *group, const Schedule *s, gint64 now,
                              ScheduleReport *report)
{
  g_autofree char *vg = NULL;
  g_autoptr(GPtrArray) snapshots = list(group, s, &vg, report), names = NULL;

  for (guint i = snapshots ? snapshots->len : 0; i-- > 0;) {
    const ScheduleSnapshot *snapshot = snapshots->pdata[i];

    if (snapshot->time <= now)
      continue;
    g_warning("schedule %s: %s/%s is of a time to come: it is neither counted nor removed", s->name,
              vg, snapshot->lv);
    g_ptr_array_remove_index(snapshots, i);
  }
  names = snapshots ? schedule_snapshots_unkept(snapshots, &s->keep) : NULL;
  if (names)
    schedule_snapshots_remove_named(group, vg, s, names, report);
}

void schedule_snapshots_remove(VolumeGroup *group, const Schedule *s, ScheduleReport *report)
{
  g_autofree char *vg = NULL;
  g_autoptr(GPtrArray) snapshots = list(group, s, &vg, report),
                       names = g_ptr_array_new_with_free_func(g_free);

  for (guint i = 0; snapshots && i < snapshots->len; i++)
    g_ptr_array_add(names, g_strdup(((const ScheduleSnapshot *)snapshots->pdata[i])->lv));
  schedule_snapshots_remove_named(group, vg, s, names, report);
}

/* --- both --- */

void schedule_snapshots_run(VolumeGroup *group, const Schedule *s, const ScheduleTarget *target,
                            gint64 now, ScheduleReport *report)
{
  g_autoptr(GPtrArray) sets = schedule_sets(group, s, target, report);

  for (guint i = 0; i < sets->len; i++) {
    const ScheduleSet *set = sets->pdata[i];
    const char *const *volumes = (const char *const *)set->volumes->pdata;
    g_autoptr(GError) local = NULL;

    if (schedule_snapshots_take(group, s, set->pool, volumes, now, &local))
      report->taken += g_strv_length((char **)volumes);
    else
      schedule_report_failed(report, s, "%s", local->message);
  }
  schedule_snapshots_prune(group, s, now, report);
}
