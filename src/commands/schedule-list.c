/* virt-thin - command schedule list: a table, or JSON
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "commands/schedule-list.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/json.h"
#include "schedule/run.h"
#include "schedule/history.h"
#include "schedule/timers.h"

/* Of one schedule, all that is shown. */
typedef struct {
  const Schedule *schedule;
  ScheduleState *state;
  gint64 next;       /* 0: not known, or never */
  guint64 snapshots; /* G_MAXUINT64: not known */
} Row;

static void row_free(gpointer data)
{
  Row *row = data;

  schedule_state_free(row->state);
  g_free(row);
}

/* The volumes of @vg, which @cache has from the first question on; NULL: not known. */
static GPtrArray *volumes_of(const char *vg, GHashTable *cache)
{
  gpointer volumes;

  if (!g_hash_table_lookup_extended(cache, vg, NULL, &volumes)) {
    VolumeGroup *group = cli_open(vg, POOL_READ_ONLY, NULL);

    volumes = group ? pool_list_volumes(group, NULL, NULL) : NULL;
    cli_close(group, NULL);
    g_hash_table_insert(cache, g_strdup(vg), volumes);
  }
  return volumes;
}

/* Where its snapshots are: the volume groups that are named; with a guest, all there are. */
static GHashTable *find_vgs(const Schedule *s)
{
  GHashTable *vgs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  const PoolWhere where = cli_where(POOL_READ_ONLY);
  gboolean guests = FALSE;

  for (char **item = s->what; *item; item++) {
    const char *slash = strchr(*item, '/');

    guests = guests || !slash;
    if (slash)
      g_hash_table_add(vgs, g_strndup(*item, slash - *item));
  }
  g_autoptr(GPtrArray) all = guests ? pool_list_vgs(&where, NULL, NULL) : NULL;
  for (guint i = 0; all && i < all->len; i++)
    g_hash_table_add(vgs, g_strdup(((const PoolVg *)all->pdata[i])->name));
  return vgs;
}

static guint64 count_snapshots(const Schedule *s, GHashTable *cache)
{
  g_autoptr(GHashTable) vgs = find_vgs(s);
  GHashTableIter iter;
  gpointer vg;
  guint64 n = 0;

  g_hash_table_iter_init(&iter, vgs);
  while (g_hash_table_iter_next(&iter, &vg, NULL)) {
    GPtrArray *volumes = volumes_of(vg, cache);
    g_autoptr(GPtrArray) its = volumes ? schedule_snapshots_list(volumes, s->name) : NULL;

    if (!its)
      return G_MAXUINT64;
    n += its->len;
  }
  return n;
}

static void unref_volumes(gpointer volumes)
{
  if (volumes)
    g_ptr_array_unref(volumes);
}

static GPtrArray *collect(GPtrArray *schedules)
{
  GPtrArray *rows = g_ptr_array_new_with_free_func(row_free);
  g_autoptr(GHashTable) cache =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, unref_volumes);

  for (guint i = 0; i < schedules->len; i++) {
    Row *row = g_new0(Row, 1);

    row->schedule = schedules->pdata[i];
    row->state = schedule_state_load(row->schedule->name);
    row->next = timers_next(row->schedule);
    row->snapshots = row->schedule->kind != SCHEDULE_BACKUP ? count_snapshots(row->schedule, cache)
                                                            : G_MAXUINT64;
    g_ptr_array_add(rows, row);
  }
  return rows;
}

static const char *result(const ScheduleState *state)
{
  return state->running  ? "running"
         : !state->start ? NULL
         : !state->end   ? "interrupted"
         : state->failed ? "failed"
                         : "done";
}

/* --- JSON --- */

static void json_time(JsonBuilder *builder, const char *member, gint64 time)
{
  cli_json_number(builder, member, time ? (guint64)time : G_MAXUINT64);
}

static void json_row(JsonBuilder *builder, const Row *row)
{
  const Schedule *s = row->schedule;
  g_autofree char *keep = vt_keep_format(&s->keep);

  json_builder_begin_object(builder);
  cli_json_string(builder, "name", s->name);
  cli_json_string(builder, "kind", schedule_kinds[s->kind]);
  cli_json_strings(builder, "what", s->what, g_strv_length(s->what));
  cli_json_string(builder, "when", s->when);
  cli_json_string(builder, "delay", s->delay);
  cli_json_string(builder, "keep", keep);
  cli_json_string(builder, "to", s->to);
  cli_json_boolean(builder, "enabled", s->enabled);
  json_time(builder, "next", row->next);
  json_time(builder, "last_start", row->state->start);
  json_time(builder, "last_end", row->state->end);
  cli_json_string(builder, "result", result(row->state));
  cli_json_string(builder, "message", row->state->message);
  cli_json_number(builder, "failures", row->state->failures);
  cli_json_number(builder, "snapshots", row->snapshots);
  json_builder_end_object(builder);
}

static void print_json(GPtrArray *rows)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();

  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, "schedules");
  json_builder_begin_array(builder);
  for (guint i = 0; i < rows->len; i++)
    json_row(builder, rows->pdata[i]);
  json_builder_end_array(builder);
  json_builder_end_object(builder);
  cli_json_print(builder);
}

/* --- a table --- */

enum { N_COLUMNS = 8 };
static const char *const titles[N_COLUMNS] = {"NAME", "WHAT",   "WHEN",      "NEXT",
                                              "LAST", "RESULT", "SNAPSHOTS", "FAILURES"};

static char *show_time(gint64 seconds)
{
  g_autoptr(GDateTime) time = seconds ? g_date_time_new_from_unix_local(seconds) : NULL;

  return time ? g_date_time_format(time, "%F %H:%M") : g_strdup("-");
}

/* N_COLUMNS cells; the caller's. */
static GStrv show_row(const Row *row)
{
  const Schedule *s = row->schedule;
  GStrv cells = g_new0(char *, N_COLUMNS + 1);
  g_autofree char *what = schedule_describe_what(s);
  const char *came = result(row->state);

  cells[0] = g_strdup(s->name);
  cells[1] = g_strdup_printf("%s of %s", schedule_kinds[s->kind], what);
  cells[2] = g_strdup(s->enabled ? s->when ? s->when : "-" : "disabled");
  cells[3] = show_time(row->next);
  cells[4] = show_time(row->state->start);
  cells[5] = g_strdup(came ? came : "-");
  cells[6] = row->snapshots == G_MAXUINT64 ? g_strdup("-")
                                           : g_strdup_printf("%" G_GUINT64_FORMAT, row->snapshots);
  cells[7] = g_strdup_printf("%u", row->state->failures);
  return cells;
}

static void print_cells(const char *const *cells, const int *widths)
{
  for (guint c = 0; c + 1 < N_COLUMNS; c++)
    printf("%-*s  ", widths[c], cells[c]);
  printf("%s\n", cells[N_COLUMNS - 1]);
}

static void print_text(GPtrArray *rows)
{
  g_autoptr(GPtrArray) table = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
  int widths[N_COLUMNS];

  for (guint c = 0; c < N_COLUMNS; c++)
    widths[c] = (int)strlen(titles[c]);
  for (guint i = 0; i < rows->len; i++) {
    GStrv cells = show_row(rows->pdata[i]);

    g_ptr_array_add(table, cells);
    for (guint c = 0; c < N_COLUMNS; c++)
      widths[c] = MAX(widths[c], (int)strlen(cells[c]));
  }
  print_cells(titles, widths);
  for (guint i = 0; i < table->len; i++)
    print_cells(table->pdata[i], widths);
  for (guint i = 0; i < rows->len; i++) {
    const Row *row = rows->pdata[i];

    if (row->state->message && !row->state->running)
      cli_warn("schedule %s: %s", row->schedule->name, row->state->message);
  }
}

void schedule_list_print(GPtrArray *schedules, gboolean json)
{
  g_autoptr(GPtrArray) rows = collect(schedules);

  if (json)
    print_json(rows);
  else
    print_text(rows);
}
