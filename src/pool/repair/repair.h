/* virt-thin - mending a thin pool that will not open, or is not what its volume group's text says
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Looking and mending are apart. A look reads all there is, and makes the metadata as it shall be
 * in a temporary file; what it finds, what would be done, and what is lost, it tells as a plan.
 * Nothing is written to the volume group. Mending looks once more, with the volume group locked,
 * does what was shown (ESTALE: it is not the same any more), and writes so that whoever is
 * interrupted finds either what was there or what was to be:
 *
 *   1. a damaged copy of label or text is written from one that is whole
 *   2. the spare is made as large as the metadata
 *   3. the new metadata is written into the spare, which nobody reads
 *   4. one commit of the text: the spare becomes the metadata, and what that was becomes the volume
 *      POOL_meta0 (as lvconvert --repair has it); transaction id, volumes
 *   5. a new spare, where there is room
 *
 * Where there is no room for a spare, the metadata is written over, after a copy of it was put into
 * a file; what interrupts that leaves a superblock that is all zero, which opens nothing, and the
 * file.
 *
 * Units: bytes of volumes. Errors: VT_ERROR: EBUSY: it is served, active, or open; EPERM,
 * EOPNOTSUPP: nothing that is mended here; EBADMSG: nothing can be made of it. Ownership: a plan is
 * the caller's. Thread-safety: calls are independent of each other.
 */
#pragma once

#include "pool/open.h"

/* What the user has decided. All zero: nothing. */
typedef struct {
  gboolean adopt, remove_unknown; /* devices that no volume is known for */
  GHashTable *names;              /* of adopted ones: id (GUINT_TO_POINTER) -> char *. NULL: none */
  gboolean remove_missing, empty_missing; /* volumes whose device is not there: remove them, or
                                           * give each an empty one */
  const char *from; /* a file: the metadata to go by, instead of the pool's. NULL */
  const char *keep; /* put what the metadata is into this file, and write over it. NULL */
  guint64 mapping_root, details_root; /* blocks: go by these roots. 0: by what is found */
  /* Of metadata alone, what a lost superblock would say; 0: not known. */
  guint64 transaction_id, chunk_size, n_chunks;
} PoolRepairChoice;

typedef enum {
  POOL_REPAIR_LABELS,
  POOL_REPAIR_SPARE,
  POOL_REPAIR_WRITE,
  POOL_REPAIR_OVER,
  POOL_REPAIR_SWAP,
  POOL_REPAIR_TEXT, /* of the one commit that SWAP is, too */
  POOL_REPAIR_NEW_SPARE,
} PoolRepairStepKind;

typedef struct {
  PoolRepairStepKind kind;
  char *text;
  char *undo; /* a command that takes it back; NULL: not known before it is done, or not needed */
} PoolRepairStep;

typedef struct {
  char *volume;           /* or "thin device 5" */
  guint64 offset, length; /* bytes; G_MAXUINT64: all from there on */
} PoolRepairLoss;

/* A volume that is there as it was at an earlier commit, without what was written to it since. */
typedef struct {
  char *volume;           /* as above */
  guint64 transaction_id; /* that the commit was of, or a later one */
  guint64 missing;        /* bytes that it had mapped more by the last commit, if that is known */
} PoolRepairOlder;

typedef struct {
  GPtrArray *findings; /* of char *: a sentence each; none: it is well */
  GPtrArray *steps;    /* of PoolRepairStep */
  GPtrArray *lost;     /* of PoolRepairLoss */
  GPtrArray *older;    /* of PoolRepairOlder */
  GPtrArray *unknown;  /* of char *: devices about which nothing is decided */
  GPtrArray *missing;  /* of char *: volumes, as well */
} PoolRepairPlan;

void pool_repair_plan_free(PoolRepairPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PoolRepairPlan, pool_repair_plan_free)

/* What is the matter with @thin_pool, and what would be done? @choice NULL: nothing is decided. */
PoolRepairPlan *pool_repair_look(const char *vg, const char *thin_pool, const PoolWhere *where,
                                 const PoolRepairChoice *choice, GError **error);
/* Carry out @plan, which was shown, with the same @choice. EINVAL: something is undecided. Fills in
 * the steps' undo. */
gboolean pool_repair_run(const char *vg, const char *thin_pool, const PoolWhere *where,
                         const PoolRepairChoice *choice, PoolRepairPlan *plan, GError **error);

/* Let the metadata that is kept in volume @kept and the pool's trade places. */
PoolRepairPlan *pool_repair_undo_look(const char *vg, const char *thin_pool, const char *kept,
                                      const PoolWhere *where, GError **error);
gboolean pool_repair_undo(const char *vg, const char *thin_pool, const char *kept,
                          const PoolWhere *where, PoolRepairPlan *plan, GError **error);
/* Put @file, a text of @vg as an archive has it, back. */
PoolRepairPlan *pool_repair_text_look(const char *vg, const char *file, const PoolWhere *where,
                                      GError **error);
gboolean pool_repair_text(const char *vg, const char *file, const PoolWhere *where,
                          PoolRepairPlan *plan, GError **error);

/* Of metadata alone: what can be reached of @from, a file or device, into @to, which is made if it
 * is not there (the size of @from). @choice: roots alone. */
PoolRepairPlan *pool_repair_metadata(const char *from, const char *to,
                                     const PoolRepairChoice *choice, GError **error);
