/* virt-thin - what could be read and what not, as ddrescue's mapfile has it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "rescue/mapfile.h"

#include "image/copy.h"

static void add(GString *text, guint64 from, guint64 to, char status)
{
  if (from < to)
    g_string_append_printf(text, "0x%08" G_GINT64_MODIFIER "X  0x%08" G_GINT64_MODIFIER "X  %c\n",
                           from, to - from, status);
}

gboolean rescue_mapfile_write(const char *path, guint64 size, GPtrArray *lost, GError **error)
{
  g_autoptr(GString) text = g_string_new("# Mapfile. Created by " PACKAGE_STRING "\n"
                                         "# current_pos  current_status  current_pass\n"
                                         "0x00000000     +               1\n"
                                         "#      pos        size  status\n");
  guint64 done = 0;

  for (guint i = 0; i < lost->len; i++) {
    const ImageLost *range = lost->pdata[i];

    add(text, done, range->offset, '+');
    add(text, range->offset, range->offset + range->length, '-');
    done = range->offset + range->length;
  }
  add(text, done, size, '+');
  return g_file_set_contents(path, text->str, (gssize)text->len, error);
}
