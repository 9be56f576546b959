/* virt-thin - simulation: programs that have FUSE files open
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "mount.h"

/* Once: what a worker of FUSE's has to itself is each fiber's own. */
void file_begin(void);
/* Volume @name's file, as a VtIo. */
VtIo *file_open(Mount *mount, const char *name, guint64 size, gboolean read_only, GError **error);
/* What is asked of it from now on is write @number of @v's, whole; NULL: it is none. */
void file_announce(VtIo *io, ModelVolume *v, guint32 number);
