/* virt-thin - which of many points in time are kept, by Proxmox's rules
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/retention.h"

#include <string.h>
#include <time.h>

#include "util/error.h"

#define MAX_COUNT 1000000

/* A rule, and the strftime() format by which two times of one period look the same. */
typedef struct {
  const char *key;
  gsize offset; /* in VtRetention */
  const char *period;
} Rule;

/* In the order in which they are applied. */
static const Rule rules[] = {
    {"keep-last", G_STRUCT_OFFSET(VtRetention, last), NULL},
    {"keep-hourly", G_STRUCT_OFFSET(VtRetention, hourly), "%Y-%m-%d %H"},
    {"keep-daily", G_STRUCT_OFFSET(VtRetention, daily), "%Y-%m-%d"},
    {"keep-weekly", G_STRUCT_OFFSET(VtRetention, weekly), "%G-W%V"},
    {"keep-monthly", G_STRUCT_OFFSET(VtRetention, monthly), "%Y-%m"},
    {"keep-yearly", G_STRUCT_OFFSET(VtRetention, yearly), "%Y"},
};

static guint rule_count(const VtRetention *retention, const Rule *rule)
{
  return G_STRUCT_MEMBER(guint, retention, rule->offset);
}

/* --- text --- */

gboolean vt_retention_set(VtRetention *retention, const char *key, const char *value,
                          GError **error)
{
  guint64 number;

  for (gsize i = 0; i < G_N_ELEMENTS(rules); i++) {
    if (strcmp(rules[i].key, key) != 0)
      continue;
    if (!g_ascii_string_to_unsigned(value, 10, 0, MAX_COUNT, &number, NULL))
      return vt_set_error(error, EINVAL, "%s: \"%s\" is not a number from 0 to %d", key, value,
                          MAX_COUNT);
    G_STRUCT_MEMBER(guint, retention, rules[i].offset) = number;
    return TRUE;
  }
  return vt_set_error(error, EINVAL,
                      "\"%s\" says nothing of what is kept: give keep-last, keep-hourly, "
                      "keep-daily, keep-weekly, keep-monthly or keep-yearly",
                      key);
}

/* "key=value" into @retention or @all. @seen: the keys before it. */
static gboolean parse_part(char *part, VtRetention *retention, gboolean *all, GHashTable *seen,
                           GError **error)
{
  char *value = strchr(part, '=');

  if (!value)
    return vt_set_error(error, EINVAL, "\"%s\" is not of the form keep-daily=7", part);
  *value++ = '\0';
  if (!g_hash_table_add(seen, part))
    return vt_set_error(error, EINVAL, "%s is given twice", part);
  if (strcmp(part, "keep-all") != 0)
    return vt_retention_set(retention, part, value, error);
  *all = strcmp(value, "1") == 0;
  return *all || strcmp(value, "0") == 0 ||
         vt_set_error(error, EINVAL, "keep-all: \"%s\" is neither 0 nor 1", value);
}

gboolean vt_retention_parse(const char *text, VtRetention *retention, GError **error)
{
  g_auto(GStrv) parts = g_strsplit(text, ",", -1);
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
  VtRetention read = {0};
  gboolean all = FALSE;

  for (char **part = parts; *part; part++) {
    g_strstrip(*part);
    if (**part && !parse_part(*part, &read, &all, seen, error))
      return FALSE;
  }
  if (all && !vt_retention_keeps_all(&read))
    return vt_set_error(error, EINVAL, "keep-all=1 and another rule contradict each other");
  *retention = read;
  return TRUE;
}

char *vt_retention_format(const VtRetention *retention)
{
  g_autoptr(GString) text = g_string_new(NULL);

  for (gsize i = 0; i < G_N_ELEMENTS(rules); i++)
    if (rule_count(retention, &rules[i]))
      g_string_append_printf(text, "%s%s=%u", text->len ? "," : "", rules[i].key,
                             rule_count(retention, &rules[i]));
  return g_strdup(text->len ? text->str : "keep-all=1");
}

gboolean vt_retention_keeps_all(const VtRetention *retention)
{
  for (gsize i = 0; i < G_N_ELEMENTS(rules); i++)
    if (rule_count(retention, &rules[i]))
      return FALSE;
  return TRUE;
}

/* --- selection --- */

typedef enum { UNDECIDED, KEPT, PASSED_OVER } Mark;

typedef struct {
  gint64 time;
  guint index; /* in the caller's array */
  Mark mark;
} Point;

static int compare_newest_first(const void *a, const void *b)
{
  const Point *p = a, *q = b;

  if (p->time != q->time)
    return p->time < q->time ? 1 : -1;
  return p->index < q->index ? -1 : 1;
}

/* What all times of @rule's period at @point have in common; without a period each is its own, also
 * two of one second. Free with g_free(). */
static char *name_period(const Rule *rule, const Point *point)
{
  time_t seconds = point->time;
  char name[64];
  struct tm tm;

  if (!rule->period)
    return g_strdup_printf("%u", point->index);
  if (!localtime_r(&seconds, &tm) || strftime(name, sizeof name, rule->period, &tm) == 0)
    return g_strdup_printf("%" G_GINT64_FORMAT, point->time);
  return g_strdup(name);
}

static void apply(const Rule *rule, guint count, Point *points, guint n)
{
  g_autoptr(GHashTable) before = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                        now = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; i < n; i++)
    if (points[i].mark == KEPT)
      g_hash_table_add(before, name_period(rule, &points[i]));
  for (guint i = 0; i < n; i++) {
    g_autofree char *period = name_period(rule, &points[i]);

    if (points[i].mark != UNDECIDED || g_hash_table_contains(before, period))
      continue;
    if (g_hash_table_contains(now, period)) {
      points[i].mark = PASSED_OVER;
      continue;
    }
    if (g_hash_table_size(now) >= count)
      return;
    g_hash_table_add(now, g_steal_pointer(&period));
    points[i].mark = KEPT;
  }
}

void vt_retention_select(const VtRetention *retention, const gint64 *times, guint n, gboolean *keep)
{
  g_autofree Point *points = g_new(Point, n);
  gboolean all = vt_retention_keeps_all(retention);

  tzset();
  for (guint i = 0; i < n; i++)
    points[i] = (Point){times[i], i, all ? KEPT : UNDECIDED};
  if (n > 0)
    qsort(points, n, sizeof *points, compare_newest_first);
  for (gsize i = 0; !all && i < G_N_ELEMENTS(rules); i++)
    if (rule_count(retention, &rules[i]))
      apply(&rules[i], rule_count(retention, &rules[i]), points, n);
  for (guint i = 0; i < n; i++)
    keep[points[i].index] = points[i].mark == KEPT;
}
