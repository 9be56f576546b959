/* virt-thin - the FUSE folder: requests from the kernel, through slots of shared memory, to the
 * pool's volumes SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: new, start, stop and free from one thread. Errors: VT_ERROR.
 */
#pragma once

#include "service/fuse/folder.h"

typedef struct FuseView FuseView;

/* Serve @folder on the mount behind @fuse_fd: takes over the connection where an earlier engine had
 * negotiated it. Returns before the first request. */
FuseView *fuse_view_new(Folder *folder, Shared *shared, int fuse_fd, GError **error);
/* Start one worker per slot; each first finishes what an earlier engine left in its slot. */
gboolean fuse_view_start(FuseView *view, GError **error);
/* Begin no further request, and wait up to @timeout_ms for those under way. What has been read and
 * not begun stays in its slot for the next engine. The workers stay where they are, blocked in the
 * kernel: the process ends with _exit(). FALSE: some still run, and still use the folder. */
gboolean fuse_view_stop(FuseView *view, guint timeout_ms);
