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

void vt_tail_release(VtTail *tail, guint64 offset, guint64 length)
{
  pthread_mutex_lock(&tail->lock);
  tail->releasing++;
  for (guint i = 0; i < VT_TAIL; i++)
    if (tail->last[i] + BLOCK > offset && tail->last[i] < offset + length)
      tail->last[i] = 0;
  pthread_mutex_unlock(&tail->lock);
}

void vt_tail_released(VtTail *tail)
{
  pthread_mutex_lock(&tail->lock);
  tail->releasing--;
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

/* Of zeros a tool may make a hole, and harm nothing. */
static gboolean holds_something(int fd, off_t at)
{
  char block[BLOCK];

  return at > 0 && pread(fd, block, BLOCK, at) == BLOCK && !vt_is_zero(block, BLOCK);
}

/* The last block of each of the last runs of data, from @data on. */
static void find_last(VtTail *tail, int fd, off_t data)
{
  off_t hole;

  for (guint i = 0; i < MAX_RUNS && data >= 0 && (hole = lseek(fd, data, SEEK_HOLE)) > 0; i++) {
    tail->last[i % VT_TAIL] = (guint64)(hole - 1) / BLOCK * BLOCK;
    data = lseek(fd, hole, SEEK_DATA);
  }
  for (guint i = 0; i < VT_TAIL; i++)
    if (!holds_something(fd, (off_t)tail->last[i]))
      tail->last[i] = 0;
}

static gboolean is_hole(int fd, guint64 at)
{
  off_t data = lseek(fd, (off_t)at, SEEK_DATA);

  return data > (off_t)at || (data < 0 && errno == ENXIO);
}

gboolean vt_tail_is_cut(VtTail *tail, int fd)
{
  guint64 first = 0;
  gboolean cut = FALSE;

  pthread_mutex_lock(&tail->lock);
  for (guint i = 0; i < VT_TAIL; i++) {
    cut = cut || (tail->last[i] && is_hole(fd, tail->last[i]));
    if (tail->last[i] && (first == 0 || tail->last[i] < first))
      first = tail->last[i];
  }
  if (!cut && !tail->releasing)
    find_last(tail, fd, first ? (off_t)first : find_data(fd));
  pthread_mutex_unlock(&tail->lock);
  return cut;
}
