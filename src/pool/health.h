/* virt-thin - how a thin pool is: PoolInfo.health
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Whoever asks - list, info, check, storage status, libvirt - is told the same, whichever engine
 * looked: an engine says what it found, and here is decided what that means.
 *
 * Thread-safety: none; the owner of the store serialises.
 */
#pragma once

#include "lvm/store.h"

/* What an engine found. */
typedef struct {
  LvmStore *store;
  LvmLv *pool;
  const GError *failure; /* why its metadata cannot be read; then the rest says nothing. NULL */
  guint64 tid;           /* of the superblock, as what follows */
  guint64 data_size;     /* bytes that it counts on; 0: not known */
  gboolean needs_check;
  const char *trouble; /* what the engine met: damage, a failed commit; NULL */
  GArray *devices;     /* of ThinDevice, all; NULL: not read */
  const char *remark;  /* what is no fault: one of those below; NULL */
} PoolState;

#define POOL_HEALTH_NEEDS_CHECK "metadata read-only: needs_check"
#define POOL_HEALTH_NO_DATA "out of data space"
#define POOL_HEALTH_NO_METADATA "out of metadata space"
#define POOL_HEALTH_NO_ROOM "out of room where its files lie"
#define POOL_HEALTH_UNKNOWN "not known: " /* and why */

/* NULL: well. The caller's. */
char *pool_health(const PoolState *state);
/* Add it to what a check found, if that is nothing and it is a fault: more than that there is no
 * room, or that this engine cannot tell. */
void pool_health_add(const char *health, GPtrArray *errors);
/* What is wrong with the VG as such: a physical volume is missing, a copy of label or text is
 * damaged. NULL: nothing. The caller's. */
char *pool_health_of_vg(LvmStore *store);
/* How the transaction ids of the VG's text and of thin pool @pool, which says @tid, disagree, or
 * NULL. The text is one ahead while it has messages that the pool has not carried out; without
 * them neither lvm2 nor we go on. The caller's. */
char *pool_health_tid_conflict(LvmLv *pool, guint64 tid);
/* The same of the size of its data: the superblock counts on @data_size bytes, more than there
 * are. */
char *pool_health_size_conflict(LvmLv *pool, guint64 data_size);
