/* virt-thin - the partition table of a disk that has become larger
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A GPT has a second copy of itself at the end of the disk, and says in the first where that is and
 * up to where partitions may lie (UEFI specification, 5.3). When a disk grows, the copy is to
 * follow. libfdisk does that to what has a descriptor; what is grown here has none yet.
 *
 * Units: bytes. Errors: VT_ERROR, of reading and writing. Thread-safety: pure functions.
 */
#pragma once

#include "util/io.h"

/* If @disk, which had @old_size bytes, has a GPT that was whole then, move its backup to the end
 * that it has now. Else nothing is written. *moved: it was. */
gboolean gpt_follow_end(VtIo *disk, guint64 old_size, gboolean *moved, GError **error);
