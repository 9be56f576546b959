/* virt-thin - the folder of storage backends that libvirt is pointed to, and the files of `enable`
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * @root: the folder under which the system is that it is done to; NULL: this one. The host's folder
 * and that of a user's session are made alike. Errors: the errno of what failed; ENOENT when the
 * backend is not installed, ENOEXEC where nothing can be loaded from @folder. Main thread only.
 */
#pragma once

#include "util/error.h"

/* Make @folder, or renew what is in it. */
gboolean backend_folder_fill(const char *folder, const char *root, GError **error);
/* Is it of this installation? One with another prefix may have made it. */
gboolean backend_folder_is_ours(const char *folder);
/* Remove what backend_folder_fill() makes, and @folder when nothing else is in it. */
gboolean backend_folder_remove(const char *folder, GError **error);

gboolean files_make_folder(const char *path, GError **error);
/* Link @folder/@name to @target, in one step where something is there already. */
gboolean files_link(const char *folder, const char *name, const char *target, GError **error);
/* All or nothing, also when the power fails. @length -1: a string. */
gboolean files_write(const char *path, const char *data, gssize length, int mode, GError **error);
/* Those in @folder whose names begin with @prefix, so also what a write that was cut short has
 * left; or @only_links. */
gboolean files_remove(const char *folder, const char *prefix, gboolean only_links, GError **error);
