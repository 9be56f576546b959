/* virt-thin - a file or block device that is to become a physical volume
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Files that are not there are made, sparse; what fails afterwards is taken back. Errors: VT_ERROR.
 * Thread-safety: one thread's.
 */
#pragma once

#include <sys/types.h>
#include <glib.h>

typedef struct {
  const char *path;  /* absolute; the caller's */
  gboolean is_block; /* once it is prepared */
  gboolean made;     /* the file, by us */
  gboolean labelled; /* set by who writes a label */
  gboolean emptied;  /* set by who writes to a file that had nothing in it: it has nothing again */
  off_t size_before; /* -1: not grown */
} PoolPlace;

#define POOL_PLACE_INIT(at)                                                                        \
  {                                                                                                \
    .path = (at), .size_before = -1                                                                \
  }

/* The file or device at @place->path: it is there, or made with @size bytes; a file that is shorter
 * grows to it. @size 0: it must be there, as large as it may be. EINVAL. */
gboolean pool_place_prepare(PoolPlace *place, guint64 size, GError **error);
/* Bring it back to what it was before that, as far as that goes. */
void pool_place_undo(const PoolPlace *place);
