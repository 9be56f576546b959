/* virt-thin - sizes as LVM's tools write and read them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/size.h"

#include <math.h>
#include <string.h>

#include "util/error.h"

/* The factor of the unit at @unit and whether what follows it is well formed. */
static gboolean unit_factor(const char *unit, long double *factor)
{
  static const char powers[] = "kmgtpe";
  if (*unit == '\0') {
    *factor = 1 << 20;
    return TRUE;
  }
  char c = g_ascii_tolower(*unit++);
  const char *power = strchr(powers, c);
  if (power)
    *factor = ldexpl(1, 10 * (int)(power - powers + 1));
  else if (c == 'b' || c == 's') {
    *factor = c == 'b' ? 1 : 512;
    return *unit == '\0';
  } else
    return FALSE;
  return *unit == '\0' || g_ascii_strcasecmp(unit, "b") == 0 || g_ascii_strcasecmp(unit, "ib") == 0;
}

gboolean vt_size_parse(const char *text, guint64 *bytes, char *sign, GError **error)
{
  const char *p = text;
  if (sign) {
    *sign = *p == '+' || *p == '-' ? *p : 0;
    if (*sign)
      p++;
  }
  const char *digits = p;
  guint64 whole = 0;
  long double fraction = 0, scale = 1, factor;
  gboolean overflow = FALSE;
  for (; g_ascii_isdigit(*p); p++)
    overflow |=
        !g_uint64_checked_mul(&whole, whole, 10) || !g_uint64_checked_add(&whole, whole, *p - '0');
  gsize n_digits = p - digits;
  if (*p == '.')
    for (p++; g_ascii_isdigit(*p); p++, n_digits++)
      fraction += (*p - '0') * (scale /= 10);
  if (n_digits == 0 || !unit_factor(p, &factor))
    return vt_set_error(
        error, EINVAL,
        "\"%s\" is not a size: give a number and a unit, for example 8G, 512m or 64k", text);
  guint64 result;
  if (overflow || !g_uint64_checked_mul(&result, whole, (guint64)factor) ||
      !g_uint64_checked_add(&result, result, (guint64)roundl(fraction * factor)))
    return vt_set_error(error, EINVAL, "size %s is beyond 16 EiB", text);
  *bytes = result;
  return TRUE;
}

char *vt_size_format(guint64 bytes)
{
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  guint unit = 0;
  double value = bytes;
  while (value >= 1024 && unit + 1 < G_N_ELEMENTS(units)) {
    value /= 1024;
    unit++;
  }
  return unit == 0 ? g_strdup_printf("%" G_GUINT64_FORMAT " B", bytes)
                   : g_strdup_printf("%.2f %s", value, units[unit]);
}

char *vt_size_exact(guint64 bytes)
{
  g_autofree char *text = vt_size_format(bytes);
  guint64 unit = 1;

  while (bytes / unit >= 1024)
    unit *= 1024;
  /* Of the hundredths of a unit only the quarters are whole bytes. */
  return unit == 1 || bytes % (unit / 4) == 0
             ? g_steal_pointer(&text)
             : g_strdup_printf("%s (%" G_GUINT64_FORMAT " bytes)", text, bytes);
}
