/* virt-thin - the kernel's pool: what its files share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   kernel/init.c       making a volume group
 *   kernel/pool.c            the table, opening and closing
 *   kernel/volume.c     volumes opened for I/O
 *   kernel/pools.c      thin pools: activating, checking
 *   kernel/info.c       what there is
 *   kernel/change.c     carrying out a change (plan.h)
 *   kernel/replace.c    a volume's content becomes another's: rollback, clone_into
 *   kernel/group.c      several volumes are made, or none
 *   kernel/devices.c    what thin devices a pool has that the volume group does not know;
 *                            making a volume
 *   kernel/watch.c      dmeventd, which extends thin pools before they are full
 *   kernel/step.c       a change: the VG's lock, lvm2's commands one by one, and back again
 *                            when one fails
 *   kernel/base.c       what is on disk: the VG's text, the metadata of its thin pools
 *
 * Each uses those below it, no other.
 *
 * The kernel has the data, lvm2 the volume group. What there is we read ourselves - the VG's text
 * from its PVs, without a lock, and again when a commit came between; status from device-mapper -
 * and no question starts a program. Changes are lvm2's commands.
 *
 * Thread-safety: every member of PoolOps may be called from any thread. KernelPool.lock covers what
 * was read; changes, of whatever process, take turns by a file lock of the VG's (KernelChange).
 */
#pragma once

#include "dm/dm.h"
#include "lvm/store.h"
#include "pool/plan.h"
#include "pool/open.h"
#include "pool/delta.h"
#include "pool/forecast.h"
#include "pool/pool-private.h"

typedef struct {
  VolumeGroup base;
  char *vg_name;      /* constant */
  GStrv devices;      /* constant; NULL: wherever lvm2 would look */
  gboolean read_only; /* constant */
  GMutex lock;        /* of the rest */
  GStrv paths;        /* where its PVs are; NULL: not looked for yet */
  LvmStore *store;    /* as last read */
} KernelPool;

/* --- kernel/base.c --- */

/* Under KernelPool.lock: the VG as it is on disk now; valid until the lock is released. */
LvmVg *kernel_read_vg(KernelPool *k, GError **error);
/* The same, its PVs looked for anew, or as @where found them. ENOENT. */
LvmVg *kernel_find_vg(KernelPool *k, const PoolWhere *where, GError **error);
void kernel_forget(KernelPool *k); /* what was read; closes the PVs */
/* uuids of devices; the caller's. */
char *kernel_uuid(LvmVg *vg, LvmLv *lv);
char *kernel_pool_uuid(LvmVg *vg, LvmLv *pool);
/* Under KernelPool.lock: read the metadata of @pool, through a metadata snapshot while the kernel
 * has it. EBUSY: another has such a snapshot. @func is called with a DmkReader. */
typedef gboolean (*KernelReadFunc)(gpointer reader, gpointer data, GError **error);
gboolean kernel_read_metadata(KernelPool *k, LvmLv *pool, KernelReadFunc func, gpointer data,
                              GError **error);

/* The device of the pool's metadata volume, while there is one; the caller's. NULL: there is
 * none. */
char *kernel_metadata_device(LvmVg *vg, LvmLv *pool);
/* Under KernelPool.lock: the thin devices of @pool with ids @first to @last, and its transaction
 * id, as the last commit left them. Unlike kernel_read_metadata() it changes nothing and is in
 * nobody's way. GArray of ThinDevice. */
GArray *kernel_read_devices(KernelPool *k, LvmLv *pool, guint32 first, guint32 last, guint64 *tid,
                            GError **error);

/* The same of all devices, for who can do without: NULL, and nothing is asked of the kernel, when a
 * commit comes in between again and again, when the last one was before transaction @tid, or they
 * cannot be read. */
GArray *kernel_peek_devices(KernelPool *k, LvmLv *pool, guint64 tid);

/* Under KernelPool.lock: what the snapshots of @pool say of the next (forecast.h); nothing, when
 * that cannot be read, or not within a second. */
void kernel_forecast(KernelPool *k, LvmLv *pool, PoolForecast *forecast);

/* --- kernel/step.c --- */

typedef struct {
  KernelPool *pool;
  LvmVg *vg; /* a copy, as it was when the change began */
  int lock_fd;
  GPtrArray *undo;       /* of GStrv: commands */
  GStringChunk *strings; /* that words are made of */
} KernelChange;

typedef enum {
  KERNEL_CHANGE_VG,  /* the VG's text changes: EROFS, EBUSY where an engine has it */
  KERNEL_CHANGE_USE, /* only what is active does */
} KernelChangeKind;

/* Wait for the VG's turn, and read it. */
KernelChange *kernel_change_begin(KernelPool *k, KernelChangeKind kind, GError **error);
/* Read it again. */
gboolean kernel_change_read(KernelChange *change, KernelChangeKind kind, GError **error);
/* The end. @ok FALSE: the commands of kernel_undo_with() are run, the last first; one that fails is
 * told in *error, too. Frees @change; returns @ok. */
gboolean kernel_change_end(KernelChange *change, gboolean ok, GError **error);
/* Run one of lvm2's commands: words up to NULL. */
gboolean kernel_run(KernelChange *change, GError **error, const char *command,
                    ...) G_GNUC_NULL_TERMINATED;
gboolean kernel_run_words(KernelChange *change, GPtrArray *words,
                          GError **error); /* @words gains a NULL */
/* What takes back the step before. */
void kernel_undo_with(KernelChange *change, const char *command, ...) G_GNUC_NULL_TERMINATED;
void kernel_undo_with_words(KernelChange *change, GPtrArray *words); /* @words gains a NULL */
/* Words; they live as long as the change. */
const char *kernel_word(KernelChange *change, const char *format, ...) G_GNUC_PRINTF(2, 3);
const char *kernel_lv(KernelChange *change, const char *name); /* "vg/name" */
const char *kernel_bytes(KernelChange *change, guint64 size);  /* "4096b" */
/* Who has @lv open, for a message? The caller's; NULL: nobody. */
char *kernel_find_user(LvmVg *vg, LvmLv *lv);
gboolean kernel_pool_is_active(KernelChange *change, LvmLv *pool);
/* Activate volume @name, also one that is skipped otherwise. */
gboolean kernel_activate_volume(KernelChange *change, const char *name, GError **error);
/* Words up to NULL, added to a command. */
void kernel_add_words(GPtrArray *words, const char *word, ...) G_GNUC_NULL_TERMINATED;

/* --- kernel/devices.c --- */

/* Carry out a step ADD_THIN. lvm2 goes by its text alone: a volume that it makes gets the number
 * after the highest there, and is what the pool has under that number, if it has. EPERM names that
 * device. */
gboolean kernel_add_thin(KernelChange *change, const PoolStep *step, GError **error);
/* Before a thin pool without volumes is removed. EBUSY: it has devices all the same. */
gboolean kernel_require_empty(KernelChange *change, LvmLv *pool, GError **error);
/* Do text and pool speak of the same devices? */
gboolean kernel_compare_devices(KernelChange *change, LvmLv *pool, GPtrArray *errors,
                                GError **error);

/* --- kernel/watch.c --- */

/* What dmeventd is going to do for thin pool @pool, whose size and activation @info tells. */
void kernel_fill_watch(LvmVg *vg, LvmLv *pool, PoolInfo *info);
/* Have it watch @thin_pool if lvm.conf lets it and the pool is active; warn when the pool does not
 * grow by itself. Takes KernelPool.lock. */
void kernel_watch(KernelChange *change, const char *thin_pool);
/* The VG has more room: what is fuller than lvm.conf's threshold and watched grows at once. Takes
 * KernelPool.lock. */
void kernel_use_room(KernelChange *change);

/* --- kernel/replace.c --- */

/* Carry out a step REPLACE. */
gboolean kernel_replace(KernelChange *change, const PoolStep *step, GError **error);
/* End, or take back, replacements that a crash interrupted. *changed: the VG is to be read again.
 */
gboolean kernel_finish_replacements(KernelChange *change, gboolean *changed, GError **error);

/* --- kernel/info.c: members of PoolOps --- */

PoolVgInfo *kernel_get_vg_info(VolumeGroup *group, GError **error);
GPtrArray *kernel_list_pools(VolumeGroup *group, GError **error);
/* @with_devices FALSE: for who looks at its thin devices himself, and wants no forecast. */
PoolInfo *kernel_get_info(KernelPool *k, const char *thin_pool, gboolean with_devices,
                          GError **error);
GPtrArray *kernel_list_volumes(VolumeGroup *group, const char *thin_pool, GError **error);
PoolVolumeInfo *kernel_get_volume(VolumeGroup *group, const char *name, GError **error);
gboolean kernel_count_volume(VolumeGroup *group, const char *name, guint64 *exclusive,
                             guint64 *shared, GError **error);
gboolean kernel_delta(VolumeGroup *group, const char *left, const char *right, PoolDeltaFlags flags,
                      guint64 *offset, guint max, GArray *runs, GError **error);

/* --- kernel/group.c --- */

/* Do @steps make several volumes? Then they are marked until all are there. */
gboolean kernel_tag_group(GPtrArray *steps);
/* They are there: those of volumes that are active get the contents of one instant. Reads the VG
 * again. */
gboolean kernel_make_one_instant(KernelChange *change, GPtrArray *steps, GError **error);
/* It is done. */
gboolean kernel_untag_group(KernelChange *change, GPtrArray *steps, GError **error);
/* End, or take back, what a crash interrupted. *changed: the VG is to be read again. */
gboolean kernel_finish_groups(KernelChange *change, gboolean *changed, GError **error);

/* --- kernel/change.c, -pools.c, -volume.c: members of PoolOps --- */

gboolean kernel_change(VolumeGroup *group, const PoolChange *change, GError **error);
gboolean kernel_show_metadata(VolumeGroup *group, const char *thin_pool, PoolMetadataFunc func,
                              gpointer data, GError **error);
PoolUsage *kernel_usage(VolumeGroup *group, const char *thin_pool, const char *const *chosen,
                        GError **error);
gboolean kernel_check(VolumeGroup *group, const char *thin_pool, const PoolCheckOptions *options,
                      GPtrArray **errors, GPtrArray **leaks, GError **error);
gboolean kernel_activate(VolumeGroup *group, const char *thin_pool, GError **error);
gboolean kernel_deactivate(VolumeGroup *group, const char *thin_pool, gboolean force,
                           GError **error);
VtIo *kernel_volume_open(VolumeGroup *group, const char *name, gboolean read_only,
                         const char *opener, GError **error);
