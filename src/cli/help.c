/* virt-thin - help, for a terminal of 80 columns
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define WIDTH 80
#define DEEPEST 40 /* column that what an option does may begin at, to go on below it */

/* Lines of prose that follow one another are one paragraph; what is indented is a table's, and
 * "Options:" a heading. */
static gboolean is_prose(const char *line)
{
  return *line && *line != ' ' && !g_str_has_suffix(line, ":");
}

static gboolean continues(const char *line, const char *next)
{
  return is_prose(line) && next && is_prose(next) && !g_str_has_prefix(next, "Example:");
}

/* Where a line goes on: below what follows the option or command at its beginning. */
static guint hanging_indent(const char *line)
{
  guint lead = (guint)strspn(line, " ");
  const char *gap = strstr(line + lead, "  ");
  guint column = gap ? (guint)(gap - line) + (guint)strspn(gap, " ") : 0;

  if (column && column <= DEEPEST)
    return column;
  return lead ? lead + 2 : 0;
}

static void print_wrapped(const char *line)
{
  guint indent = hanging_indent(line), used = 0;

  while (used + strlen(line) > WIDTH) {
    gsize n = WIDTH - used;

    while (n > 0 && line[n] != ' ')
      n--;
    if (n <= strspn(line, " ")) /* a word that is too long */
      n = strcspn(line + strspn(line, " "), " ") + strspn(line, " ");
    printf("%.*s\n%*s", (int)n, line, line[n] ? (int)indent : 0, "");
    line += n + strspn(line + n, " ");
    used = indent;
  }
  printf("%s\n", line);
}

void cli_print_help(const char *text)
{
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

  for (char **line = lines; *line && (line[1] || **line); line++) {
    g_autofree char *whole = g_strdup(*line);

    for (; continues(line[0], line[1]); line++) {
      char *joined = g_strconcat(whole, " ", line[1], NULL);

      g_free(whole);
      whole = joined;
    }
    print_wrapped(whole);
  }
}
