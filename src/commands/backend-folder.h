/* virt-thin - the folder of storage backends that libvirt is pointed to
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
