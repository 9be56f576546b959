/* virt-thin - pieces of memory gathered into one vectored read or write
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Memory is bounded: a gather that is full does the I/O it has and goes on. Thread-safety: none;
 * lives on one thread's stack.
 */
#pragma once

#include "util/io.h"
#include "util/memory.h"

#define THIN_GATHER 64

typedef struct {
  VtIo *io;
  gboolean reading;
  guint64 offset; /* where iov[0] goes */
  gsize length;   /* of all in iov */
  int n;
  struct iovec iov[THIN_GATHER];
} ThinGather;

static inline void thin_gather_begin(ThinGather *gather, VtIo *io, gboolean reading, guint64 offset)
{
  gather->io = io;
  gather->reading = reading;
  gather->offset = offset;
  gather->length = 0;
  gather->n = 0;
}

/* Do what has been gathered; go on behind it. */
static inline gboolean thin_gather_run(ThinGather *gather, GError **error)
{
  if (gather->n == 0)
    return TRUE;
  gboolean ok = gather->reading
                    ? vt_io_readv(gather->io, gather->iov, gather->n, gather->offset, error)
                    : vt_io_writev(gather->io, gather->iov, gather->n, gather->offset, error);
  gather->offset += gather->length;
  gather->length = 0;
  gather->n = 0;
  return ok;
}

static inline gboolean thin_gather_add(ThinGather *gather, struct iovec part, GError **error)
{
  struct iovec *last = gather->n ? &gather->iov[gather->n - 1] : NULL;
  if (last && (char *)last->iov_base + last->iov_len == part.iov_base) {
    last->iov_len += part.iov_len;
    gather->length += part.iov_len;
    return TRUE;
  }
  if (gather->n == THIN_GATHER && !thin_gather_run(gather, error))
    return FALSE;
  gather->iov[gather->n++] = part;
  gather->length += part.iov_len;
  return TRUE;
}

/* Do what has been gathered, and go on at @offset, unless that is where the gathered ends. */
static inline gboolean thin_gather_seek(ThinGather *gather, guint64 offset, GError **error)
{
  if (gather->offset + gather->length == offset)
    return TRUE;
  gboolean ok = thin_gather_run(gather, error);
  gather->offset = offset;
  return ok;
}

/* A caller's iovec, taken from front to back. */
typedef struct {
  const struct iovec *iov;
  gsize skip; /* bytes of iov[0] already taken */
} ThinCursor;

/* The next up to @most bytes that lie together. There must be some left. */
static inline struct iovec thin_cursor_next(ThinCursor *cursor, guint64 most)
{
  while (cursor->skip == cursor->iov->iov_len) {
    cursor->iov++;
    cursor->skip = 0;
  }
  struct iovec part = {(char *)cursor->iov->iov_base + cursor->skip,
                       MIN(most, cursor->iov->iov_len - cursor->skip)};
  cursor->skip += part.iov_len;
  return part;
}

/* Leave out @length bytes. There must be as many left. */
static inline void thin_cursor_skip(ThinCursor *cursor, guint64 length)
{
  while (length > 0)
    length -= thin_cursor_next(cursor, length).iov_len;
}

/* Are the next @length bytes all zero? Stops at the first that is not. There must be as many
 * left. */
static inline gboolean thin_cursor_is_zero(ThinCursor cursor, guint64 length)
{
  while (length > 0) {
    struct iovec part = thin_cursor_next(&cursor, length);
    if (!vt_is_zero(part.iov_base, part.iov_len))
      return FALSE;
    length -= part.iov_len;
  }
  return TRUE;
}
