/* virt-thin - a Pool in memory, for tests of what serves one
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Volumes of 64 KiB chunks that are mapped when they are written. Faults can be set: an errno value
 * that the next calls of a kind fail with, a delay, a gate that calls wait at. Thread-safety:
 * everything but memory_pool_add() from any thread.
 */
#pragma once

#include "pool/pool-private.h"

#define MEMORY_CHUNK 65536u

typedef enum {
  MEMORY_READ,
  MEMORY_WRITE,
  MEMORY_ZERO,
  MEMORY_DISCARD,
  MEMORY_FLUSH,
  MEMORY_EXTENT,
  MEMORY_KINDS
} MemoryKind;

Pool *memory_pool_new(void);
void memory_pool_add(Pool *pool, const char *name, guint64 size, gboolean read_only);
/* Every call of @kind fails with @err (0: none) from now on. */
void memory_pool_fail(Pool *pool, MemoryKind kind, int err);
/* Every call of @kind waits @delay_us first. */
void memory_pool_delay(Pool *pool, MemoryKind kind, guint delay_us);
/* While closed, calls of @kind wait. Returns how many wait. */
guint memory_pool_gate(Pool *pool, MemoryKind kind, gboolean closed);
guint memory_pool_waiting(Pool *pool);
guint memory_pool_count(Pool *pool, MemoryKind kind); /* calls so far */
/* How many opens there are of @name, and who the last opener was (the caller's; NULL). */
guint memory_pool_opens(Pool *pool, const char *name, char **opener);
guint memory_pool_views(Pool *pool, const char *name);
void memory_pool_resize(Pool *pool, const char *name, guint64 size);
