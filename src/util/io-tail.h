/* virt-thin - the last things that a file holds: was it cut, and has grown back since?
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Whoever cuts a file takes what it holds last. So the places of that are remembered, and when a
 * hole is in one that nobody here made, the file was cut, whatever its size is by now. Several, for
 * one of them may be written again before anybody looks; and one of what has been written behind
 * them since. A file system that knows no holes shows none.
 *
 * Thread-safety: every function may be called from any thread.
 */
#pragma once

#include <pthread.h>
#include <sys/uio.h>
#include <glib.h>

#define VT_TAIL 8

typedef struct {
  pthread_mutex_t lock;
  guint64 last[VT_TAIL + 1]; /* offsets of bytes that are in no hole; 0: none. The last one: of what
                              * was written behind the others */
  guint64 end;               /* atomic: behind all of them */
  guint releasing;           /* how many ranges are being made holes at this moment */
  guint n_releases;          /* atomic: how many ever were */
} VtTail;

/* Around making a hole in a range. */
void vt_tail_release(VtTail *tail, guint64 offset, guint64 length);
void vt_tail_released(VtTail *tail);

/* A number to hand to vt_tail_written() after the write that begins now. */
static inline guint vt_tail_begin_write(const VtTail *tail)
{
  return __atomic_load_n(&tail->n_releases, __ATOMIC_ACQUIRE);
}
void vt_tail_note_write(VtTail *tail, const struct iovec *last, guint64 end, guint begun);
/* @iov has been written to @offset, @length bytes. */
static inline void vt_tail_written(VtTail *tail, const struct iovec *iov, int n_iov, guint64 offset,
                                   guint64 length, guint begun)
{
  if (G_UNLIKELY(offset + length > __atomic_load_n(&tail->end, __ATOMIC_RELAXED)))
    vt_tail_note_write(tail, &iov[n_iov - 1], offset + length, begun);
}

/* Has somebody else cut @fd since vt_tail_look()? For each flush: two calls of lseek(). */
gboolean vt_tail_is_cut(VtTail *tail, int fd);
/* The same, of all places; if not, what is last by now is remembered. */
gboolean vt_tail_look(VtTail *tail, int fd);
