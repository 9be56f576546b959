/* virt-thin - schedules: which volumes of a volume group are meant
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "schedule/targets.h"

gboolean schedule_is_fixed(const PoolVolumeInfo *v)
{
  return v->snapshot_of || (v->read_only && v->vmid >= 0);
}

static void set_free(gpointer data)
{
  ScheduleSet *set = data;

  g_free(set->pool);
  g_ptr_array_unref(set->volumes);
  g_free(set);
}

static void add_volume(GPtrArray *sets, const PoolVolumeInfo *v)
{
  ScheduleSet *set = NULL;

  for (guint i = 0; i < sets->len && !set; i++)
    if (strcmp(((ScheduleSet *)sets->pdata[i])->pool, v->pool) == 0)
      set = sets->pdata[i];
  if (!set) {
    set = g_new0(ScheduleSet, 1);
    set->pool = g_strdup(v->pool);
    set->volumes = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(sets, set);
  }
  if (!g_ptr_array_find_with_equal_func(set->volumes, v->name, g_str_equal, NULL))
    g_ptr_array_add(set->volumes, g_strdup(v->name));
}

/* What cannot be done to @v is told. */
static void add_named(GPtrArray *sets, const PoolVolumeInfo *v, const Schedule *s,
                      ScheduleReport *report)
{
  if (v->pool)
    add_volume(sets, v);
  else
    schedule_report_failed(report, s, "volume %s/%s is in no thin pool", v->vg, v->name);
}

static gboolean add_pool(GPtrArray *sets, GPtrArray *volumes, GPtrArray *pools, const char *name)
{
  gboolean found = FALSE;

  for (guint i = 0; i < pools->len && !found; i++)
    found = strcmp(((const PoolInfo *)pools->pdata[i])->name, name) == 0;
  for (guint i = 0; found && i < volumes->len; i++) {
    const PoolVolumeInfo *v = volumes->pdata[i];

    if (g_strcmp0(v->pool, name) == 0 && !schedule_is_fixed(v))
      add_volume(sets, v);
  }
  return found;
}

static void add_item(GPtrArray *sets, GPtrArray *volumes, GPtrArray *pools, const char *vg,
                     const char *name, const Schedule *s, ScheduleReport *report)
{
  for (guint i = 0; i < volumes->len; i++)
    if (strcmp(((const PoolVolumeInfo *)volumes->pdata[i])->name, name) == 0) {
      add_named(sets, volumes->pdata[i], s, report);
      return;
    }
  if (!add_pool(sets, volumes, pools, name))
    schedule_report_failed(report, s, "there is no volume or thin pool %s/%s", vg, name);
}

GPtrArray *schedule_sets(VolumeGroup *group, const Schedule *s, const ScheduleTarget *target,
                         ScheduleReport *report)
{
  GPtrArray *sets = g_ptr_array_new_with_free_func(set_free);
  g_autoptr(GError) local = NULL;
  g_autoptr(GPtrArray) volumes = pool_list_volumes(group, NULL, &local),
                       pools = volumes ? pool_list_pools(group, &local) : NULL;

  if (!pools) {
    schedule_report_failed(report, s, "%s", local->message);
    return sets;
  }
  for (guint i = 0; i < target->names->len; i++)
    add_item(sets, volumes, pools, target->vg, target->names->pdata[i], s, report);
  for (guint i = 0; i < sets->len; i++)
    g_ptr_array_add(((ScheduleSet *)sets->pdata[i])->volumes, NULL);
  return sets;
}
