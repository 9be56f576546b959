/* virt-thin - mending a thin pool: what its files share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   repair/repair.c   looking and mending, from end to end
 *   repair/run.c      the steps of a plan, carried out
 *   repair/undo.c     taking them back
 *   repair/plan.c     what is found, and what is to be done, in words
 *   repair/decide.c   what the text shall say, and the metadata
 *   repair/facts.c    what there is: reads only
 *   repair/older.c    what older roots do not have
 *   repair/metadata.c metadata made anew, in a file
 *   repair/roots.c    where damaged metadata begins
 *   repair/texts.c    which text of the volume group to go by
 *   repair/bare.c     metadata without a volume group
 *
 * Each uses those below it, no other.
 */
#pragma once

#include "lvm/store.h"
#include "lvm/texts.h"
#include "pool/bundled/bundled-private.h"
#include "pool/look.h"
#include "pool/repair/repair.h"
#include "thin/thin.h"

/* Where the metadata's trees begin, and what else a superblock says. 0: as the superblock has it.
 */
typedef struct {
  guint64 mapping_root, details_root;
  guint64 transaction_id;
  guint32 time;
  guint64 chunk_size, n_chunks;
  gboolean details_older; /* than the maps */
} RepairRoots;

typedef enum {
  REPAIR_WHOLE,
  REPAIR_ZERO,    /* the superblock is all zero */
  REPAIR_DAMAGED, /* it cannot be read */
} RepairSuperblock;

/* What a metadata device holds. */
typedef struct {
  RepairSuperblock superblock;
  guint64 tid, chunk_size, n_chunks; /* REPAIR_WHOLE alone */
  gboolean needs_check, has_snapshot;
  GPtrArray *errors, *leaks; /* of char *: what thin_check() finds */
  RepairRoots roots;         /* what to go by; all 0: the superblock */
  char *chosen;              /* the pair of roots that was found, in words; NULL: none was wanted */
  GPtrArray *older;          /* of char *: further pairs, as for --roots, in words */
  gboolean is_older, may_be_older; /* ->chosen, as in thin/rebuild/roots.h */
  guint64 older_tid;               /* its transaction; it may be of a later one */
  guint64 later_details;           /* the root of the last commit's; 0: not known */
} RepairMetadata;

void repair_metadata_clear(RepairMetadata *metadata);

typedef struct {
  char *name; /* the pool's; NULL: the only one */
  PoolLook *look;
  LvmProbe *probe; /* the look's */
  LvmText *mend;   /* the text that is to be written to the PVs first; NULL: theirs */
  char *wrong;     /* what the PVs' text says against itself; NULL: nothing */
  LvmStore *store; /* read-only while it is looked, or while there is @mend */
  LvmVg *vg;       /* as the text has it; the store's */
  LvmLv *pool;
  VtIo *metadata, *data;
  VtIo *source; /* where the metadata is read from: a copy of it, or @metadata */
  RepairMetadata found;

  /* What is made of it. */
  VtIo *made;        /* in a file. NULL: the metadata stays */
  guint64 made_size; /* bytes */
  GArray *devices;   /* of ThinDevice, as it shall be but for those removed */
  GArray *lost;      /* of RepairLost */
  GArray *older;     /* of RepairOlder */
  gboolean devices_lost;
  guint64 tid; /* of @made, or of what stays */

  /* What is decided. */
  LvmVg *text;          /* as it shall be, but for the metadata's place. NULL: it stays */
  guint64 new_tid;      /* of the text */
  guint64 new_size;     /* bytes, of the pool by the text; 0: as it is */
  GArray *strays;       /* of ThinDevice: no volume has them */
  GPtrArray *missing;   /* of char *: volumes without a device */
  GPtrArray *adopted;   /* of char *: as @strays, their new names. NULL: not adopted */
  gboolean drop_strays; /* they are removed */
  GArray *empty;        /* of guint32: devices that are made, for those of @missing */
  gboolean set_tid;     /* the pool's, to the text's */
  gboolean refit;       /* @mend was taken because the pool is of its time */
  gboolean over;        /* the metadata is written over: there is no room for a spare */
  char *kept;           /* the volume or file that the old metadata is kept in */
  guint64 spare;        /* extents that the spare must have for that; 0: it has */
  const PoolRepairChoice *choice;
  const PoolWhere *where;
  LvmOpenFunc open; /* of PVs that are written; NULL: the usual */
  gpointer open_data;
} Repair;

typedef struct {
  guint32 device;
  guint64 offset, length; /* bytes; G_MAXUINT64: all from there on */
} RepairLost;

/* A device without what was written to it since an earlier commit. */
typedef struct {
  guint32 device;
  guint64 missing; /* bytes */
} RepairOlder;

/* --- repair/roots.c --- */

/* Look for the roots of what has no superblock, those with the devices @ids (GArray of guint32;
 * NULL: not known) first; fill in ->roots, ->chosen and ->older. ENOENT, EBADMSG. */
gboolean repair_find_roots(VtIo *metadata, GArray *ids, const PoolRepairChoice *choice,
                           RepairMetadata *found, GError **error);
/* Where the superblock's roots have lost something: fill in ->older, with the roots of earlier
 * commits that are left. */
gboolean repair_find_older(VtIo *metadata, GArray *ids, RepairMetadata *found, GError **error);

/* As if none had been looked for. */
void repair_forget_roots(RepairMetadata *found);

/* --- repair/metadata.c --- */

/* A nameless file of @size bytes that goes with its last reference. */
VtIo *repair_file_new(guint64 size, GError **error);
/* Read the superblock and check all. EPERM: it has features that are not known. */
gboolean repair_read_metadata(VtIo *metadata, guint64 data_size, RepairMetadata *found,
                              GError **error);
/* Write what can be reached of @from to @to. @lost: of RepairLost, added. */
gboolean repair_rebuild(VtIo *from, const RepairRoots *roots, VtIo *to, GArray *lost,
                        gboolean *devices_lost, GError **error);
/* Its devices (GArray of ThinDevice) and transaction id. */
GArray *repair_list_devices(VtIo *metadata, guint64 *tid, GError **error);
/* Where the last byte that device @id maps ends. */
gboolean repair_device_end(VtIo *metadata, guint32 id, guint64 *end, GError **error);
/* In metadata that nobody has: remove @strays, make devices @empty (of guint32), each of which may
 * be NULL, and set the transaction id. */
gboolean repair_adjust(VtIo *metadata, VtIo *data, guint64 chunk_size, GArray *strays,
                       GArray *empty, guint64 tid, GError **error);
/* All of @from to the beginning of @to, which then ends; the superblock last. Until then @to opens
 * as nothing. Flushed. */
gboolean repair_copy(VtIo *from, VtIo *to, GError **error);

/* --- repair/older.c --- */

/* Where older roots were taken: what @devices (of ThinDevice, as made) do not have of what they
 * had. @older: of RepairOlder, added. Devices that were made since are added to @lost, but for
 * those of @known (of guint32; NULL: none). */
void repair_find_missing(VtIo *metadata, const RepairMetadata *found, guint64 chunk_size,
                         GArray *devices, GArray *known, GArray *older, GArray *lost);

/* --- repair/texts.c --- */

/* The one text of that number. ENOENT: there is none; EINVAL: there are several, which differ. */
LvmText *repair_find_seqno(LvmProbe *probe, const char *vg, guint64 seqno, GError **error);
/* The newest text of @vg whose PVs are all there, if possible one that its pools agree with.
 * ENOENT. */
LvmText *repair_find_text(LvmProbe *probe, const char *vg, GError **error);
/* A text of the VG with which the pool agrees: in transaction id, size, devices; and that has all
 * else where it is now. NULL: none. */
LvmText *repair_find_fitting(const Repair *repair, LvmProbe *probe);
/* What an earlier text called the volume of @device; *name is the caller's. */
gboolean repair_find_volume(const Repair *repair, LvmProbe *probe, const ThinDevice *device,
                            char **name, guint64 *extents);

/* --- repair/facts.c --- */

/* Open VG and pool, read all, and make the new metadata if there must be some. */
gboolean repair_look(Repair *repair, const char *vg, const PoolWhere *where, GError **error);
/* Write Repair.mend to the PVs. */
gboolean repair_write_text(Repair *repair, PoolRepairPlan *plan, GError **error);
/* Make new metadata of what is there. */
gboolean repair_make(Repair *repair, GError **error);
void repair_clear(Repair *repair);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Repair, repair_clear)
/* EBUSY: a service has it. */
gboolean repair_check_holder(const char *vg, const PoolWhere *where, GError **error);

/* --- repair/decide.c --- */

gboolean repair_decide(Repair *repair, GError **error);
gboolean repair_needs_metadata(const Repair *repair);

/* --- repair/plan.c --- */

#define REPAIR_DEVICES_LOST                                                                        \
  "part of the list of thin devices is lost: there may have been more of them"
PoolRepairPlan *repair_plan_new(void);
void repair_plan_find(PoolRepairPlan *plan, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* The plan's. */
PoolRepairStep *repair_plan_step(PoolRepairPlan *plan, PoolRepairStepKind kind, const char *format,
                                 ...) G_GNUC_PRINTF(3, 4);
/* "virt-thin repair [--device PATH...] ARGUMENTS", quoted for a shell. The caller's. */
char *repair_command(const PoolWhere *where, const char *const *arguments);
/* @name: taken. */
void repair_plan_lose(PoolRepairPlan *plan, char *name, guint64 offset, guint64 length);
void repair_plan_older(PoolRepairPlan *plan, char *name, guint64 tid, guint64 missing);
void repair_plan_find_damage(PoolRepairPlan *plan, const RepairMetadata *found);
PoolRepairPlan *repair_plan(const Repair *repair);
/* EINVAL: something is left undecided. */
gboolean repair_plan_check(const PoolRepairPlan *plan, const char *vg, const char *pool,
                           GError **error);
/* Do they say the same? ESTALE. */
gboolean repair_plan_compare(const PoolRepairPlan *shown, const PoolRepairPlan *now,
                             GError **error);

/* --- repair/run.c --- */

/* @repair has its VG open for writing. Undo commands go into @plan's steps. */
gboolean repair_make_spare(Repair *repair, PoolRepairPlan *plan, GError **error);
gboolean repair_run(Repair *repair, PoolRepairPlan *plan, GError **error);
/* The command that takes back the last commit of @store goes into @plan's steps of @kind. */
void repair_note_undo(PoolRepairPlan *plan, PoolRepairStepKind kind, LvmStore *store,
                      const PoolWhere *where);

/* --- repair/repair.c --- */

/* pool_repair_run() with a hook between store and PVs, for tests. */
gboolean repair_run_hooked(const char *vg, const char *thin_pool, const PoolWhere *where,
                           const PoolRepairChoice *choice, PoolRepairPlan *plan, LvmOpenFunc open,
                           gpointer user_data, GError **error);
