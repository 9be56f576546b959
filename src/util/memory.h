/* virt-thin - what GLib 2.66 lacks for memory
 * SPDX-License-Identifier: LGPL-2.1-or-later
 * Thread-safety: pure functions.
 */
#pragma once

#include <string.h>

#include <glib.h>

/* A copy of @size bytes; NULL for none. g_memdup2() came with GLib 2.68 only, g_memdup() takes a
 * guint. Free with g_free(). */
static inline gpointer vt_memdup(gconstpointer data, gsize size)
{
  return data && size ? memcpy(g_malloc(size), data, size) : NULL;
}

static inline gboolean vt_is_zero(gconstpointer data, gsize length)
{
  const char *p = data;
  return length == 0 || (p[0] == 0 && memcmp(p, p + 1, length - 1) == 0);
}
