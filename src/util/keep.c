/* virt-thin - which of many points in time are kept, by Proxmox's rules and restic's keep-within
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/keep.h"

#include <string.h>

#include "util/error.h"

#define WITHIN "keep-within"

/* Of a calendar that has four digits for a year; a sum of them is still one. */
static const struct {
  char letter;
  gsize offset; /* in VtKeep */
  guint max;
} units[] = {
    {'y', G_STRUCT_OFFSET(VtKeep, within.years), 1000},
    {'m', G_STRUCT_OFFSET(VtKeep, within.months), 12000},
    {'d', G_STRUCT_OFFSET(VtKeep, within.days), 365000},
    {'h', G_STRUCT_OFFSET(VtKeep, within.hours), 8760000},
};

/* --- text --- */

/* "7d" at *@text, which is moved behind it. */
static gboolean read_part(VtKeep *keep, const char **text)
{
  char *end;
  guint64 number;

  if (!g_ascii_isdigit(**text))
    return FALSE;
  number = g_ascii_strtoull(*text, &end, 10);
  for (gsize i = 0; i < G_N_ELEMENTS(units); i++) {
    int *value = G_STRUCT_MEMBER_P(keep, units[i].offset);

    if (*end != units[i].letter || *value || number == 0 || number > units[i].max)
      continue;
    *value = (int)number;
    *text = end + 1;
    return TRUE;
  }
  return FALSE;
}

gboolean vt_keep_set(VtKeep *keep, const char *key, const char *value, GError **error)
{
  VtKeep read = {.rules = keep->rules};
  const char *rest = value;

  if (strcmp(key, WITHIN) != 0)
    return vt_retention_set(&keep->rules, key, value, error);
  do
    if (!read_part(&read, &rest))
      return vt_set_error(error, EINVAL,
                          "%s: \"%s\" is no span such as 7d, 36h or 1y6m (years, months, days, "
                          "hours)",
                          key, value);
  while (*rest);
  *keep = read;
  return TRUE;
}

static gboolean has_within(const VtKeep *keep)
{
  return keep->within.years || keep->within.months || keep->within.days || keep->within.hours;
}

gboolean vt_keep_is_all(const VtKeep *keep)
{
  return !has_within(keep) && vt_retention_keeps_all(&keep->rules);
}

char *vt_keep_format(const VtKeep *keep)
{
  g_autofree char *rules = vt_retention_format(&keep->rules);
  g_autoptr(GString) text = g_string_new(WITHIN "=");

  if (!has_within(keep))
    return g_steal_pointer(&rules);
  for (gsize i = 0; i < G_N_ELEMENTS(units); i++) {
    int value = G_STRUCT_MEMBER(int, keep, units[i].offset);

    if (value)
      g_string_append_printf(text, "%d%c", value, units[i].letter);
  }
  if (!vt_retention_keeps_all(&keep->rules))
    g_string_append_printf(text, ",%s", rules);
  return g_strdup(text->str);
}

/* --- selection --- */

/* What is of this time or older is not within. */
static gint64 find_limit(const VtKeep *keep, gint64 newest)
{
  g_autoptr(GDateTime) from = g_date_time_new_from_unix_local(newest), to = NULL;

  if (from)
    to = g_date_time_add_full(from, -keep->within.years, -keep->within.months, -keep->within.days,
                              -keep->within.hours, 0, 0);
  return to ? g_date_time_to_unix(to) : G_MININT64;
}

void vt_keep_select(const VtKeep *keep, const gint64 *times, guint n, gboolean *kept)
{
  gboolean rules = !vt_retention_keeps_all(&keep->rules);
  gint64 newest = G_MININT64, limit;

  vt_retention_select(&keep->rules, times, n, kept);
  if (!has_within(keep) || n == 0)
    return;
  for (guint i = 0; i < n; i++)
    newest = MAX(newest, times[i]);
  limit = find_limit(keep, newest);
  for (guint i = 0; i < n; i++)
    kept[i] = (rules && kept[i]) || times[i] > limit;
}
