/* virt-thin - the last things that a file holds
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/io-tail.h"
#include "util/memory.h"

#define BLOCK 4096u
#define MAX_RUNS 4096 /* to look at in one go: the rest is found later */

static void set_end(VtTail *tail)
{
  guint64 end = 0;

  for (guint i = 0; i < G_N_ELEMENTS(tail->last); i++)
    if (tail->last[i])
      end = MAX(end, tail->last[i] + 1);
  __atomic_store_n(&tail->end, end, __ATOMIC_RELAXED);
}

void vt_tail_release(VtTail *tail, guint64 offset, guint64 length)
{
  pthread_mutex_lock(&tail->lock);
  tail->releasing++;
  __atomic_fetch_add(&tail->n_releases, 1, __ATOMIC_RELEASE);
  for (guint i = 0; i < G_N_ELEMENTS(tail->last); i++)
    if (tail->last[i] >= offset / BLOCK * BLOCK && tail->last[i] < offset + length + BLOCK)
      tail->last[i] = 0;
  set_end(tail);
  pthread_mutex_unlock(&tail->lock);
}

void vt_tail_released(VtTail *tail)
{
  pthread_mutex_lock(&tail->lock);
  tail->releasing--;
  pthread_mutex_unlock(&tail->lock);
}

/* Of zeros a tool may make a hole, and harm nothing; and a file system that compresses does. Where
 * a range is released meanwhile, it may be this one. */
void vt_tail_note_write(VtTail *tail, const struct iovec *last, guint64 end, guint begun)
{
  gsize length = MIN(last->iov_len, 512u);

  if (vt_is_zero((const char *)last->iov_base + last->iov_len - length, length) ||
      pthread_mutex_trylock(&tail->lock) != 0)
    return;
  if (!tail->releasing && begun == tail->n_releases && end > tail->end) {
    tail->last[VT_TAIL] = end - 1;
    set_end(tail);
  }
  pthread_mutex_unlock(&tail->lock);
}

/* Some data near the end; -1: there is none. */
static off_t find_data(int fd)
{
  struct stat st;

  if (fstat(fd, &st) < 0)
    return -1;
  for (off_t window = 1 << 20;; window *= 4) {
    off_t start = MAX(st.st_size - window, 0), data = lseek(fd, start, SEEK_DATA);

    if (data >= 0 || start == 0 || errno != ENXIO)
      return data;
  }
}

/* Of the file system's block around @at, which may be smaller than ours. */
static gboolean holds_something(int fd, off_t at)
{
  char block[BLOCK];
  struct stat st;
  gsize size = fstat(fd, &st) == 0 ? MIN((gsize)st.st_blksize, BLOCK) : BLOCK;
  ssize_t n = at > 0 ? pread(fd, block, size, at / (off_t)size * (off_t)size) : 0;

  return n > 0 && !vt_is_zero(block, (gsize)n);
}

/* The last byte of each of the last runs of data, from @data on. */
static void find_last(VtTail *tail, int fd, off_t data)
{
  off_t hole;

  tail->last[VT_TAIL] = 0;
  for (guint i = 0; i < MAX_RUNS && data >= 0 && (hole = lseek(fd, data, SEEK_HOLE)) > 0; i++) {
    tail->last[i % VT_TAIL] = (guint64)hole - 1;
    data = lseek(fd, hole, SEEK_DATA);
  }
  for (guint i = 0; i < VT_TAIL; i++)
    if (!holds_something(fd, (off_t)tail->last[i]))
      tail->last[i] = 0;
  set_end(tail);
}

static gboolean is_hole(int fd, guint64 at)
{
  off_t data = lseek(fd, (off_t)at, SEEK_DATA);

  return data > (off_t)at || (data < 0 && errno == ENXIO);
}

gboolean vt_tail_is_cut(VtTail *tail, int fd)
{
  guint64 last = 0, written;
  gboolean cut;

  pthread_mutex_lock(&tail->lock);
  written = tail->last[VT_TAIL];
  for (guint i = 0; i < VT_TAIL; i++)
    last = MAX(last, tail->last[i]);
  cut = (last && is_hole(fd, last)) || (written && is_hole(fd, written));
  pthread_mutex_unlock(&tail->lock);
  return cut;
}

gboolean vt_tail_look(VtTail *tail, int fd)
{
  guint64 first = 0;
  gboolean cut = FALSE;

  pthread_mutex_lock(&tail->lock);
  for (guint i = 0; i < G_N_ELEMENTS(tail->last); i++) {
    cut = cut || (tail->last[i] && is_hole(fd, tail->last[i]));
    if (i < VT_TAIL && tail->last[i] && (first == 0 || tail->last[i] < first))
      first = tail->last[i];
  }
  if (!cut && !tail->releasing)
    find_last(tail, fd, first ? (off_t)first : find_data(fd));
  pthread_mutex_unlock(&tail->lock);
  return cut;
}
