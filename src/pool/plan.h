/* virt-thin - what a change comes to: the one place where changes are decided
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The volume group as it is and a change (change.h) make a plan: the volume group as it shall be,
 * and the steps in which it becomes that. Every check, name, tag and limit, what goes along with
 * what, and every message about them stands here, once, whoever carries the plan out:
 *
 *   bundled engine   all steps are one commit of the VG's text, with messages to the thin pool
 *                    (bundled/change.c)
 *   kernel           each step is a command of lvm2's, with another that takes it back
 *                    (kernel/change.c)
 *
 * The steps are
 *
 *   ADD_THIN      make thin volume @name in @pool, of @extents, empty or backed by @other; @sealed
 *                 as below; @gained are its tags. Several in one plan are of one instant
 *   ADD_LINEAR    make linear volume @name of @extents; what is read from it first must not be
 *                 another's old content
 *   REMOVE        remove volume @name, which nobody needs
 *   RENAME        @name becomes @other
 *   TAGS          @name loses the tags @lost and gains @gained
 *   SEAL          @name becomes read-only and skipped at activation, as snapshots and templates are
 *   RESIZE        @name, which has @old_extents, gets @extents; what lies beyond is unmapped
 *   REPLACE       @name's content becomes that of @other, in @extents, and nothing else of it
 *                 changes; @rollback: @other is its snapshot, else it becomes a clone of it
 *   GROW_POOL     thin pool @name gets @extents of data, or metadata (@metadata)
 *   ADD_POOL      make thin pool @name, laid out as @layout says
 *   REMOVE_POOL   remove thin pool @name, which is empty
 *   ADD_PV        take @name, a path, for a physical volume
 *
 * Names are those that hold when a step's turn comes. Steps come in an order in which whoever looks
 * on in between sees nothing wrong, and a crash loses nothing: snapshots are tagged before their
 * origin goes, what becomes a template is read-only before it is called one. Thin volumes of one
 * plan are of one thin pool.
 *
 * Pure: takes no lock, reads no file, asks nothing of the kernel. What only an executor knows it
 * says in PoolFacts.
 *
 * Units: extents. Errors: VT_ERROR. Ownership: the plan's strings and VG are its own.
 * Thread-safety: pure functions.
 */
#pragma once

#include "lvm/model/vg.h"
#include "pool/change.h"
#include "pool/layout.h"
#include "settings/settings.h"

typedef enum {
  POOL_STEP_ADD_THIN,
  POOL_STEP_ADD_LINEAR,
  POOL_STEP_REMOVE,
  POOL_STEP_RENAME,
  POOL_STEP_TAGS,
  POOL_STEP_SEAL,
  POOL_STEP_RESIZE,
  POOL_STEP_REPLACE,
  POOL_STEP_GROW_POOL,
  POOL_STEP_ADD_POOL,
  POOL_STEP_REMOVE_POOL,
  POOL_STEP_ADD_PV,
} PoolStepKind;

typedef struct {
  PoolStepKind kind;
  char *name, *other;
  char *pool; /* of a thin volume; else NULL */
  guint64 extents, old_extents;
  GPtrArray *lost, *gained; /* of char * */
  PoolLayout layout;
  gboolean sealed, rollback, metadata;
} PoolStep;

typedef struct {
  /* lvm2 carries it out. It finds extents and device ids itself, so that the VG as it shall be has
   * none for what is new; and REPLACE leaves another LV of the same name, so that snapshots lose
   * their origin. */
  gboolean lvm2;
  gboolean sparse; /* its physical volumes are files: what is not written takes no room */
  /* Of thin pool @vg/@pool. NULL: none. */
  PoolLimits (*limits)(const char *vg, const char *pool);
  /* Who has volume @lv open, for a message? The caller's; NULL: nobody. */
  char *(*find_user)(LvmLv *lv, gpointer data);
  /* Can thin pool @pool be changed? Else *error says why. NULL: yes. */
  gboolean (*check_pool)(LvmLv *pool, gpointer data, GError **error);
  /* Has @pool a thin device @id, whatever the text says? FALSE: that cannot be read. NULL: nobody
   * knows. */
  gboolean (*has_device)(LvmLv *pool, guint32 id, gboolean *has, gpointer data, GError **error);
  gpointer data;
} PoolFacts;

typedef struct {
  LvmVg *vg;        /* as it shall be */
  GPtrArray *steps; /* of PoolStep; none: it is so already */
  char *note;       /* what is told once it is done: a pool is overcommitted from now on; NULL */
} PoolPlan;

PoolPlan *pool_plan(LvmVg *now, const PoolChange *change, const PoolFacts *facts, GError **error);
void pool_plan_free(PoolPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PoolPlan, pool_plan_free)

/* A device id that neither the VG's text nor the pool (PoolFacts.has_device) knows: what an
 * interrupted command of others left in the pool is not taken for ours. 0: ENOSPC, or that
 * cannot be read. */
guint32 pool_plan_free_device(LvmVg *vg, LvmLv *pool, const PoolFacts *facts, GError **error);

/* What a thin pool may grow to by itself, as its tag says, bytes; 0: it does not. */
guint64 pool_plan_max_size(LvmLv *pool);
/* lvm2 knows no such size: EOPNOTSUPP. For who has to know before there is a VG. */
gboolean pool_plan_require_no_max_size(const PoolNew *params, GError **error);
