/* virt-thin - a change of a volume group, as a value
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a caller wants of a volume group is a PoolChange: of which kind, and its particulars. The
 * functions of pool.h make one and hand it to pool_change(). It is passed on as it is - over D-Bus
 * by the table here (remote/wire.h) - to whoever decides about it (plan.h).
 *
 * A new kind of change is: its constructor in pool.h, a name and a row here (change.c), a function
 * in plan.c, and, to travel, a method in src/control/org.virt_thin.VolumeGroup1.xml.
 *
 * Units: bytes. Ownership: a PoolChange owns nothing. Thread-safety: pure functions.
 */
#pragma once

#include "pool/pool.h"
#include "util/freeze.h"

typedef enum {
  POOL_CREATE,
  POOL_CREATE_LINEAR,
  POOL_REMOVE_LINEAR,
  POOL_CLONE,
  POOL_SNAPSHOT,
  POOL_SNAPSHOT_GROUP,
  POOL_SNAPSHOT_TAGGED,
  POOL_ROLLBACK,
  POOL_CLONE_INTO,
  POOL_RENAME,
  POOL_TEMPLATE,
  POOL_RESIZE,
  POOL_RESIZE_POOL,
  POOL_REMOVE,
  POOL_SET_TAGS,
  POOL_PUBLISH,
  POOL_CREATE_POOL,
  POOL_EXTEND,
  POOL_N_CHANGES,
} PoolChangeKind;

/* Each kind uses the members that its row names; the others are nothing. */
typedef struct {
  PoolChangeKind kind;
  const char *name;         /* what changes or is made: a volume, a thin pool, a path */
  const char *other;        /* what it is made from, its snapshot, or its new name */
  const char *thin_pool;    /* NULL: the only one */
  const char *const *names; /* several volumes */
  const char *const *add, *const *remove; /* tags; NULL: none */
  guint64 size;
  gboolean flag; /* resize: may shrink; of a pool: its metadata; remove: snapshots, too */
  PoolNew new_pool;
  const PoolPublication *publications;
  guint n_publications;
} PoolChange;

typedef struct {
  const char *method;  /* on D-Bus */
  const char *members; /* its arguments in order, a letter each (remote/wire.c) */
  const char *verb;    /* for messages: "cannot <verb> VG/NAME" */
} PoolChangeRow;
extern const PoolChangeRow pool_changes[POOL_N_CHANGES];

/* Have @group carry it out: it is done, and durable, or has changed nothing. */
gboolean pool_change(VolumeGroup *group, const PoolChange *change, GError **error);

/* Before it is carried out, without a lock: freeze the file systems that are mounted from volumes
 * of which it makes a snapshot or clone. Their devices are in folder @nodes, and files that show
 * them, if there are any, in @files; @min_depth: as of freeze_begin(). *freeze is for
 * freeze_end(). */
gboolean pool_change_freeze(const PoolChange *change, const char *nodes, const char *files,
                            guint min_depth, Freeze **freeze, GError **error);

/* @name for a message: control characters escaped, cut when very long. The caller's. */
char *pool_show_name(const char *name);
/* "cannot rename volume pve/vm-1-disk-0". The caller's. */
char *pool_change_failure(const PoolChange *change, const char *vg);
/* That before *error. Always FALSE. */
gboolean pool_change_failed(const PoolChange *change, const char *vg, GError **error);
/* "rename volume vm-1-disk-0", for the text that the change replaces in lvm2's archive. The
 * caller's. */
char *pool_change_description(const PoolChange *change);
