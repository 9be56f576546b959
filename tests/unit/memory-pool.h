/* virt-thin - a VolumeGroup in memory, for tests of what serves one
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Volumes of 64 KiB chunks that are mapped when they are written. Faults can be set: an errno value
 * that the next calls of a kind fail with, a delay, a gate that calls wait at. Thread-safety:
 * everything but memory_pool_add(), _snapshot(), _remove() and _make_writable() from any thread.
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
  MEMORY_DELTA,
  MEMORY_KINDS
} MemoryKind;

VolumeGroup *memory_pool_new(void);
void memory_pool_add(VolumeGroup *group, const char *name, guint64 size, gboolean read_only);
/* Snapshot snap_@volume_@snapshot, what is in it now. A volume's number is that of its making. */
void memory_pool_snapshot(VolumeGroup *group, const char *volume, const char *snapshot);
void memory_pool_remove(VolumeGroup *group, const char *name); /* which nobody has open */
void memory_pool_make_writable(VolumeGroup *group, const char *name);
/* Every call of @kind fails with @err (0: none) from now on. */
void memory_pool_fail(VolumeGroup *group, MemoryKind kind, int err);
/* Every call of @kind waits @delay_us first. */
void memory_pool_delay(VolumeGroup *group, MemoryKind kind, guint delay_us);
/* While closed, calls of @kind wait. Returns how many wait. */
guint memory_pool_gate(VolumeGroup *group, MemoryKind kind, gboolean closed);
guint memory_pool_waiting(VolumeGroup *group);
guint memory_pool_count(VolumeGroup *group, MemoryKind kind); /* calls so far */
/* How many opens there are of @name, and who the last opener was (the caller's; NULL). */
guint memory_pool_opens(VolumeGroup *group, const char *name, char **opener);
guint memory_pool_views(VolumeGroup *group, const char *name);
void memory_pool_resize(VolumeGroup *group, const char *name, guint64 size);
