/* virt-thin - schedules: which snapshots are a schedule's, and which of them are kept
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/history.h"

#include <string.h>

#include "pool/rules.h"

static void snapshot_free(gpointer data)
{
  ScheduleSnapshot *snapshot = data;

  g_free(snapshot->lv);
  g_free(snapshot->volume);
  g_free(snapshot->name);
  g_free(snapshot->pool);
  g_free(snapshot);
}

/* What follows @prefix in the first tag that begins so; NULL: none does. */
static const char *tag_of(const PoolVolumeInfo *volume, const char *prefix)
{
  for (char **tag = volume->tags; tag && *tag; tag++)
    if (g_str_has_prefix(*tag, prefix))
      return *tag + strlen(prefix);
  return NULL;
}

/* What is called snap_<volume>_auto-…: "auto-…"; else NULL. */
static const char *name_of(const PoolVolumeInfo *v, const char *volume)
{
  g_autofree char *prefix = g_strdup_printf("snap_%s_", volume);
  const char *name = g_str_has_prefix(v->name, prefix) ? v->name + strlen(prefix) : NULL;

  return name && g_str_has_prefix(name, SCHEDULE_NAME_PREFIX) ? name : NULL;
}

static GPtrArray *list(GPtrArray *volumes, const char *schedule, gboolean received)
{
  GPtrArray *snapshots = g_ptr_array_new_with_free_func(snapshot_free);
  g_autofree char *prefix = g_strdup_printf(SCHEDULE_TAG "%s/", schedule);

  for (guint i = 0; i < volumes->len; i++) {
    const PoolVolumeInfo *v = volumes->pdata[i];
    const char *volume = v->snapshot_of ? v->snapshot_of : tag_of(v, POOL_SNAPSHOT_TAG),
               *name = volume ? name_of(v, volume) : NULL, *text = tag_of(v, prefix);
    ScheduleSnapshot *snapshot;
    guint64 time;

    if (!name || !text || (tag_of(v, POOL_SOURCE_TAG) != NULL) != received ||
        !g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, &time, NULL))
      continue;
    snapshot = g_new0(ScheduleSnapshot, 1);
    snapshot->lv = g_strdup(v->name);
    snapshot->volume = g_strdup(volume);
    snapshot->name = g_strdup(name);
    snapshot->pool = g_strdup(v->pool);
    snapshot->time = (gint64)time;
    g_ptr_array_add(snapshots, snapshot);
  }
  return snapshots;
}

GPtrArray *schedule_snapshots_list(GPtrArray *volumes, const char *schedule)
{
  return list(volumes, schedule, FALSE);
}

GPtrArray *schedule_snapshots_received(GPtrArray *volumes, const char *schedule)
{
  return list(volumes, schedule, TRUE);
}

/* Add those of @volume to @lvs. Of one second what was made later is behind in the list. */
static void add_unkept(GPtrArray *lvs, GPtrArray *snapshots, const char *volume, const VtKeep *keep)
{
  g_autoptr(GArray) times = g_array_new(FALSE, FALSE, sizeof(gint64));
  g_autoptr(GPtrArray) its = g_ptr_array_new();
  g_autofree gboolean *kept = NULL;

  for (guint i = snapshots->len; i-- > 0;) {
    const ScheduleSnapshot *s = snapshots->pdata[i];

    if (strcmp(s->volume, volume) != 0)
      continue;
    g_array_append_val(times, s->time);
    g_ptr_array_add(its, s->lv);
  }
  kept = g_new(gboolean, times->len);
  vt_keep_select(keep, (const gint64 *)times->data, times->len, kept);
  for (guint i = 0; i < its->len; i++)
    if (!kept[i])
      g_ptr_array_add(lvs, g_strdup(its->pdata[i]));
}

GPtrArray *schedule_snapshots_unkept(GPtrArray *snapshots, const VtKeep *keep)
{
  GPtrArray *lvs = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

  for (guint i = 0; i < snapshots->len; i++) {
    const ScheduleSnapshot *s = snapshots->pdata[i];

    if (g_hash_table_add(seen, s->volume))
      add_unkept(lvs, snapshots, s->volume, keep);
  }
  return lvs;
}
