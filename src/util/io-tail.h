/* virt-thin - the last things that a file holds: was it cut, and has grown back since?
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Whoever cuts a file takes what it holds last. So the places of that are remembered, and when a
 * hole is in one that nobody here made, the file was cut, whatever its size is by now. Several, for
 * one of them may be written again before anybody looks. A file system that knows no holes shows
 * none.
 *
 * Thread-safety: every function may be called from any thread.
 */
#pragma once

#include <pthread.h>
#include <glib.h>

#define VT_TAIL 8

typedef struct {
  pthread_mutex_t lock;
  guint64 last[VT_TAIL]; /* offsets of blocks that hold something; 0: none */
  guint releasing;       /* how many ranges are being made holes at this moment */
} VtTail;

/* Around making a hole in a range. */
void vt_tail_release(VtTail *tail, guint64 offset, guint64 length);
void vt_tail_released(VtTail *tail);
/* Has somebody else cut @fd since this was asked last? Else it looks for what is last by now. */
gboolean vt_tail_is_cut(VtTail *tail, int fd);
