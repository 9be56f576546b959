/* virt-thin - simulation: programs that have FUSE files open
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "fiber.h"
#include "service/fuse/folder.h"

/* Once: what a worker of FUSE's has to itself is each fiber's own. */
void file_begin(void);
/* The memory beside @folder: as the holder makes it. */
Shared *file_shared_new(void);
void file_shared_free(Shared *shared);
/* Volume @name's file, as a VtIo. */
VtIo *file_open(Folder *folder, const char *name, guint64 size, gboolean read_only, GError **error);
