/* virt-thin - files that are written for others: whole, or not at all
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: VT_ERROR, the errno of what failed. Thread-safety: pure functions.
 */
#pragma once

#include "util/error.h"

gboolean files_make_folder(const char *path, GError **error);
/* Link @folder/@name to @target, in one step where something is there already. */
gboolean files_link(const char *folder, const char *name, const char *target, GError **error);
/* All or nothing, also when the power fails. @length -1: a string. */
gboolean files_write(const char *path, const char *data, gssize length, int mode, GError **error);
/* Those in @folder whose names begin with @prefix, so also what a write that was cut short has
 * left; or @only_links. */
gboolean files_remove(const char *folder, const char *prefix, gboolean only_links, GError **error);
