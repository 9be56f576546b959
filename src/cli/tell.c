/* virt-thin - how the program tells things
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "util/size.h"

void cli_warn(const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start(args, format);
  text = g_strdup_vprintf(format, args);
  va_end(args);
  fflush(stdout);
  fprintf(stderr, "virt-thin: %s\n", text);
}

char *cli_size(guint64 bytes)
{
  return bytes == G_MAXUINT64 ? g_strdup("-") : vt_size_format(bytes);
}

gboolean cli_locale_is_utf8(void)
{
  for (const char *const *name = (const char *const[]){"LC_ALL", "LC_CTYPE", "LANG", NULL}; *name;
       name++) {
    const char *value = g_getenv(*name);
    g_autofree char *lower = value && *value ? g_ascii_strdown(value, -1) : NULL;

    if (lower)
      return strstr(lower, "utf-8") || strstr(lower, "utf8");
  }
  return FALSE;
}

char *cli_percent(guint64 part, guint64 whole)
{
  if (part == G_MAXUINT64 || !whole)
    return g_strdup("-");
  return g_strdup_printf("%.0f %%", 100.0 * (double)part / (double)whole);
}

char *cli_cut(const char *text, guint width)
{
  glong length = g_utf8_strlen(text, -1), front = (glong)(width - 1) / 2;
  g_autofree char *begin = NULL;

  if (length <= (glong)width)
    return g_strdup(text);
  begin = g_utf8_substring(text, 0, front);
  return g_strconcat(begin, cli_locale_is_utf8() ? "…" : "~",
                     g_utf8_offset_to_pointer(text, length - ((glong)width - 1 - front)), NULL);
}

char *cli_growth(const PoolInfo *info)
{
  if (info->unwatched)
    return g_strdup_printf("not by itself: %s", info->unwatched);
  if (!info->grows_at)
    return NULL;
  return g_strdup_printf("by %u %% at %u %%%s", info->grows_by, info->grows_at,
                         info->max_size ? ""
                                        : ", its metadata only: it was made without --max-size");
}
