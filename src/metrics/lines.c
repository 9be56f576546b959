/* virt-thin - the lines of OpenMetrics 1.0 text
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "metrics/lines.h"

#include <math.h>
#include <stdarg.h>

/* What OpenMetrics wants escaped in a label's value. UTF-8 alone. The caller's. */
static char *escape(const char *value)
{
  g_autofree char *valid = g_utf8_make_valid(value ? value : "", -1);
  GString *text = g_string_new(NULL);

  for (const char *c = valid; *c; c++)
    if (*c == '\n')
      g_string_append(text, "\\n");
    else if (*c == '"' || *c == '\\')
      g_string_append_printf(text, "\\%c", *c);
    else
      g_string_append_c(text, *c);
  return g_string_free(text, FALSE);
}

char *lines_labels(const char *name, ...)
{
  GString *text = g_string_new(NULL);
  va_list args;

  va_start(args, name);
  for (; name; name = va_arg(args, const char *)) {
    g_autofree char *value = escape(va_arg(args, const char *));

    g_string_append_printf(text, "%s%s=\"%s\"", text->len ? "," : "", name, value);
  }
  va_end(args);
  return g_string_free(text, FALSE);
}

void lines_sample(GString *out, const char *name, const char *suffix, const char *labels,
                  double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  if (isnan(value))
    return;
  if (isinf(value))
    g_strlcpy(text, value > 0 ? "+Inf" : "-Inf", sizeof text);
  else
    g_ascii_formatd(text, sizeof text, value == floor(value) ? "%.0f" : "%.9g", value);
  g_string_append_printf(out, "%s%s%s%s%s %s\n", name, suffix, *labels ? "{" : "", labels,
                         *labels ? "}" : "", text);
}

void lines_end_family(GString *out, gsize begin, const LinesFamily *family)
{
  static const char *const units[] = {"bytes", "seconds", "ratio"};
  g_autoptr(GString) header = g_string_new(NULL);

  if (out->len == begin)
    return;
  g_string_append_printf(header, "# TYPE %s %s\n", family->name, family->type);
  for (guint i = 0; i < G_N_ELEMENTS(units); i++)
    if (g_str_has_suffix(family->name, units[i]))
      g_string_append_printf(header, "# UNIT %s %s\n", family->name, units[i]);
  g_string_append_printf(header, "# HELP %s %s\n", family->name, family->help);
  g_string_insert_len(out, (gssize)begin, header->str, (gssize)header->len);
}
