/* virt-thin - schedules: which volumes are meant
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/targets.h"

#include <string.h>

#include "cli/cli.h"

/* --- volume groups --- */

static void target_free(gpointer data)
{
  ScheduleTarget *target = data;

  g_free(target->vg);
  g_ptr_array_unref(target->names);
  g_free(target);
}

static void add_name(GPtrArray *targets, const char *vg, const char *name)
{
  ScheduleTarget *target = NULL;

  for (guint i = 0; i < targets->len && !target; i++)
    if (strcmp(((ScheduleTarget *)targets->pdata[i])->vg, vg) == 0)
      target = targets->pdata[i];
  if (!target) {
    target = g_new0(ScheduleTarget, 1);
    target->vg = g_strdup(vg);
    target->names = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(targets, target);
  }
  g_ptr_array_add(target->names, g_strdup(name));
}

static void drop_name(GPtrArray *targets, const char *vg, const char *name)
{
  for (guint i = 0; i < targets->len; i++) {
    ScheduleTarget *target = targets->pdata[i];
    guint at;

    if (strcmp(target->vg, vg) == 0 &&
        g_ptr_array_find_with_equal_func(target->names, name, g_str_equal, &at)) {
      g_ptr_array_remove_index(target->names, at);
      if (target->names->len == 0)
        g_ptr_array_remove_index(targets, i);
      return;
    }
  }
}

/* A guest's disks may be in several volume groups. But of two volumes of one name, one may be a
 * replica or a copy of the other, and there can be one replica: none is taken. @seen: of those
 * found so far, name and VG. */
static gboolean is_alone(GHashTable *seen, const char *vg, const PoolVolumeInfo *v,
                         GPtrArray *targets, const Schedule *s, ScheduleReport *report)
{
  const char *other = s->kind == SCHEDULE_REPLICATE ? g_hash_table_lookup(seen, v->name) : NULL;

  if (!other) {
    g_hash_table_insert(seen, g_strdup(v->name), g_strdup(vg));
    return TRUE;
  }
  schedule_report_failed(report, s,
                         "guest %" G_GINT64_FORMAT " has a volume %s in volume groups %s and %s, "
                         "and neither is taken: in place of its number say which, as %s/%s",
                         v->vmid, v->name, other, vg, other, v->name);
  drop_name(targets, other, v->name);
  return FALSE;
}

/* Volumes of guests @vmids (a set of char *; value: found) in @vg. */
static void find_guests(const PoolWhere *where, const char *vg, GHashTable *vmids, GHashTable *seen,
                        GPtrArray *targets, const Schedule *s, ScheduleReport *report)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(VolumeGroup) group = pool_open(vg, where, &local);
  g_autoptr(GPtrArray) volumes = group ? pool_list_volumes(group, NULL, &local) : NULL;

  if (!volumes)
    schedule_report_failed(report, s, "looking for guests' volumes: %s", local->message);
  for (guint i = 0; volumes && i < volumes->len; i++) {
    const PoolVolumeInfo *v = volumes->pdata[i];
    g_autofree char *vmid = g_strdup_printf("%" G_GINT64_FORMAT, v->vmid);

    if (schedule_is_fixed(v) || !g_hash_table_contains(vmids, vmid))
      continue;
    g_hash_table_replace(vmids, g_steal_pointer(&vmid), GINT_TO_POINTER(TRUE));
    if (is_alone(seen, vg, v, targets, s, report))
      add_name(targets, vg, v->name);
  }
}

static void add_guests(GHashTable *vmids, GPtrArray *targets, const Schedule *s,
                       ScheduleReport *report)
{
  g_autoptr(PoolLook) look = pool_look_new();
  g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  PoolWhere where = cli_where(POOL_READ_ONLY);
  g_autoptr(GPtrArray) vgs = NULL;
  GHashTableIter iter;
  gpointer vmid, found;
  gboolean all;

  where.look = look;
  vgs = cli_list_vgs(&where, &all);
  for (guint i = 0; i < vgs->len; i++) {
    const PoolVg *vg = vgs->pdata[i];

    if (!vg->twice)
      find_guests(&where, vg->name, vmids, seen, targets, s, report);
  }
  g_hash_table_iter_init(&iter, vmids);
  while (g_hash_table_iter_next(&iter, &vmid, &found))
    if (!found)
      schedule_report_failed(report, s, "guest %s has no volume here", (char *)vmid);
}

GPtrArray *schedule_targets(const Schedule *s, ScheduleReport *report)
{
  GPtrArray *targets = g_ptr_array_new_with_free_func(target_free);
  g_autoptr(GHashTable) vmids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

  for (char **item = s->what; *item; item++) {
    const char *slash = strchr(*item, '/');
    g_autofree char *vg = slash ? g_strndup(*item, slash - *item) : NULL;

    if (vg)
      add_name(targets, vg, slash + 1);
    else
      g_hash_table_insert(vmids, g_strdup(*item), GINT_TO_POINTER(FALSE));
  }
  if (g_hash_table_size(vmids) > 0)
    add_guests(vmids, targets, s, report);
  return targets;
}
