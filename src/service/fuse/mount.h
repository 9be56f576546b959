/* virt-thin - the mount of the FUSE folder: made by the holder, taken away by it or its successor
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: any thread. Errors: VT_ERROR.
 */
#pragma once

#include "util/error.h"

/* Mount @folder: the descriptor of the connection (close-on-exec), -1 on error. As root by
 * mount(2), for all users (the files' modes decide); else through fusermount3, for this user alone,
 * or for @others as well where the host lets users do so. */
int mount_fuse(const char *folder, gboolean others, GError **error);
/* Take the mount away at once, also when it is in use or its server is dead; TRUE when there was
 * none. Enters the mount nowhere. */
gboolean unmount_fuse(const char *folder, GError **error);
