/* virt-thin - schedules: the snapshots that one takes, and removes again
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/snapshots.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define TAG "virt-thin-schedule="
#define RECEIVED_TAG "virt-thin.source=" /* of virt-thin receive: docs/stream.md */
#define NAME_PREFIX "auto-"

/* --- whose a snapshot is --- */

/* FALSE: it is none of @schedule's, as what was received from another host is that one's. *time:
 * when it was taken. */
static gboolean is_of(const PoolVolumeInfo *volume, const char *schedule, gint64 *time)
{
  g_autofree char *prefix = g_strdup_printf(TAG "%s/", schedule);
  gboolean found = FALSE;
  guint64 seconds;

  if (!volume->snapshot_of || !volume->snapshot_name ||
      !g_str_has_prefix(volume->snapshot_name, NAME_PREFIX))
    return FALSE;
  for (char **tag = volume->tags; tag && *tag; tag++) {
    if (g_str_has_prefix(*tag, RECEIVED_TAG))
      return FALSE;
    if (g_str_has_prefix(*tag, prefix) &&
        g_ascii_string_to_unsigned(*tag + strlen(prefix), 10, 0, G_MAXINT64, &seconds, NULL)) {
      *time = (gint64)seconds;
      found = TRUE;
    }
  }
  return found;
}

guint schedule_snapshots_count(GPtrArray *volumes, const char *schedule)
{
  guint n = 0;
  gint64 time;

  for (guint i = 0; i < volumes->len; i++)
    n += is_of(volumes->pdata[i], schedule, &time);
  return n;
}

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
  if (!localtime_r(&seconds, &tm) || !strftime(base, sizeof base, NAME_PREFIX "%F-%H%M", &tm))
    snprintf(base, sizeof base, NAME_PREFIX "%" G_GINT64_FORMAT, now);
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
  g_autofree char *tag = g_strdup_printf(TAG "%s/%" G_GINT64_FORMAT, s->name, now);
  g_autofree char *name = NULL;

  return check_room(group, pool, error) && (name = new_name(group, volumes, now, error)) &&
         pool_snapshot_tagged(group, volumes, name, (const char *const[]){tag, NULL}, error);
}

/* --- removing --- */

typedef struct {
  GArray *times;    /* of gint64 */
  GPtrArray *names; /* of char * */
} History;          /* of one volume */

static void history_free(gpointer data)
{
  History *history = data;

  g_array_unref(history->times);
  g_ptr_array_unref(history->names);
  g_free(history);
}

static void add_to_history(GHashTable *histories, const PoolVolumeInfo *v, gint64 time)
{
  History *history = g_hash_table_lookup(histories, v->snapshot_of);

  if (!history) {
    history = g_new0(History, 1);
    history->times = g_array_new(FALSE, FALSE, sizeof(gint64));
    history->names = g_ptr_array_new_with_free_func(g_free);
    g_hash_table_insert(histories, g_strdup(v->snapshot_of), history);
  }
  g_array_append_val(history->times, time);
  g_ptr_array_add(history->names, g_strdup(v->name));
}

static void add_unkept(GPtrArray *names, History *history, const VtRetention *keep)
{
  g_autofree gboolean *kept = g_new(gboolean, history->times->len);

  vt_retention_select(keep, (const gint64 *)history->times->data, history->times->len, kept);
  for (guint i = 0; i < history->names->len; i++)
    if (!kept[i])
      g_ptr_array_add(names, g_strdup(history->names->pdata[i]));
}

/* At once; if that does not do, one by one, so that one in use keeps no other. */
static void remove_all(VolumeGroup *group, const char *vg, const Schedule *s, GPtrArray *names,
                       ScheduleReport *report)
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

/* @keep NULL: none. */
static void prune(VolumeGroup *group, const Schedule *s, const VtRetention *keep, gint64 now,
                  ScheduleReport *report)
{
  g_autoptr(GHashTable) histories =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, history_free);
  g_autoptr(GError) local = NULL;
  g_autoptr(GPtrArray) volumes = pool_list_volumes(group, NULL, &local),
                       names = g_ptr_array_new_with_free_func(g_free);
  GHashTableIter iter;
  gpointer history;
  const char *vg = NULL;

  if (!volumes) {
    schedule_report_failed(report, s, "%s", local->message);
    return;
  }
  for (guint i = 0; i < volumes->len; i++) {
    const PoolVolumeInfo *v = volumes->pdata[i];
    gint64 time;

    vg = v->vg;
    if (!is_of(v, s->name, &time))
      continue;
    if (!keep)
      g_ptr_array_add(names, g_strdup(v->name));
    else if (time <= now)
      add_to_history(histories, v, time);
    else
      g_warning("schedule %s: %s/%s is of a time to come: it is neither counted nor removed",
                s->name, v->vg, v->name);
  }
  g_hash_table_iter_init(&iter, histories);
  while (g_hash_table_iter_next(&iter, NULL, &history))
    add_unkept(names, history, keep);
  remove_all(group, vg, s, names, report);
}

void schedule_snapshots_prune(VolumeGroup *group, const Schedule *s, gint64 now,
                              ScheduleReport *report)
{
  prune(group, s, &s->keep, now, report);
}

void schedule_snapshots_remove(VolumeGroup *group, const Schedule *s, ScheduleReport *report)
{
  prune(group, s, NULL, 0, report);
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
