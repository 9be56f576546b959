/* virt-thin - the few buffers through which parts of chunks are copied
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Reserved when the pool is opened. Who finds none waits: a holder returns its buffer after a
 * bounded number of data I/Os and waits for nothing else.
 */
#include <stdlib.h>

#include "thin/pool-private.h"

#define BOUNCE_TOTAL (4u << 20)
#define BOUNCE_HALF_MAX (256u << 10)

void thin_bounce_init(ThinBounce *bounce, guint64 chunk_size)
{
  bounce->half = MIN(chunk_size, BOUNCE_HALF_MAX);
  bounce->memory = aligned_alloc(4096, BOUNCE_TOTAL);
  if (!bounce->memory) /* no memory */
    g_error("cannot reserve %u bytes", BOUNCE_TOTAL);
  bounce->idle = g_ptr_array_new();
  for (gsize at = 0; at + 2 * bounce->half <= BOUNCE_TOTAL; at += 2 * bounce->half)
    g_ptr_array_add(bounce->idle, bounce->memory + at);
  pthread_mutex_init(&bounce->lock, NULL);
  pthread_cond_init(&bounce->returned, NULL);
}

void thin_bounce_clear(ThinBounce *bounce)
{
  g_ptr_array_unref(bounce->idle);
  free(bounce->memory);
  pthread_mutex_destroy(&bounce->lock);
  pthread_cond_destroy(&bounce->returned);
}

char *thin_bounce_take(ThinBounce *bounce)
{
  pthread_mutex_lock(&bounce->lock);
  while (bounce->idle->len == 0)
    pthread_cond_wait(&bounce->returned, &bounce->lock);
  char *buffer = g_ptr_array_remove_index_fast(bounce->idle, bounce->idle->len - 1);
  pthread_mutex_unlock(&bounce->lock);
  return buffer;
}

void thin_bounce_return(ThinBounce *bounce, char *buffer)
{
  if (!buffer)
    return;
  pthread_mutex_lock(&bounce->lock);
  g_ptr_array_add(bounce->idle, buffer);
  pthread_cond_signal(&bounce->returned);
  pthread_mutex_unlock(&bounce->lock);
}
