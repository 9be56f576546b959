/* virt-thin - what could be read and what not, as ddrescue's mapfile has it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * GNU ddrescue manual, "Mapfile structure": ddrescue and ddrescuelog read it. '+': read, or never
 * written, '-': lost. Errors: as g_file_set_contents().
 */
#pragma once

#include "util/error.h"

/* Write file @path: of a volume of @size bytes, @lost (of ImageLost *, in order) are lost. */
gboolean rescue_mapfile_write(const char *path, guint64 size, GPtrArray *lost, GError **error);
