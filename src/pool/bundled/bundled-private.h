/* virt-thin - the bundled pool: what its files share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   bundled/init.c      making a volume group, giving one back
 *   bundled/place.c     a file or device that becomes a physical volume (pool/place.h)
 *   bundled/pool.c           the table, opening and closing the volume group, information
 *   bundled/check.c     checking a thin pool
 *   bundled/health.c    how one is
 *   bundled/handle.c    handles of open volumes: I/O
 *   bundled/grow.c      thin pools that grow before they are full
 *   bundled/forecast.c  for how many more snapshots metadata has room
 *   bundled/change.c    carrying out a change (plan.h)
 *   bundled/recover.c   a thin pool at open: what state it is in, what a crash left half done
 *   bundled/replace.c   a volume's content becomes another's: rollback, clone_into
 *   bundled/shrink.c    volumes that become smaller
 *   bundled/volume.c    volumes that are open, and what administration does to them
 *   bundled/commit.c    LVM's commit protocol: VG text, thin commit, VG text
 *   bundled/gate.c      what keeps the engine from writing where another may be by now
 *   bundled/base.c      lock, events, the thin pools there are
 *
 * Each uses those below it, no other.
 *
 * Locks, in this order: Bundled.lock (administration: every field below that is not marked
 * otherwise), BundledVolume.lock (readers: I/O; writer: what takes the device behind a volume
 * away). I/O takes only the latter. Event and user functions are called without a lock.
 */
#pragma once

#include <pthread.h>

#include "lvm/store.h"
#include "pool/forecast.h"
#include "pool/open.h"
#include "pool/plan.h"
#include "pool/delta.h"
#include "pool/pool-private.h"
#include "thin/thin.h"

typedef struct {
  char *name;
  VtIo *metadata, *data;
  ThinPool *thin;     /* NULL: refused */
  GError *refused;    /* why; NULL while thin is there */
  ThinStatus status;  /* of a refused pool, as far as it could be read */
  guint users;        /* who uses thin or metadata without Bundled.lock */
  GHashTable *damage; /* read-only: device id -> char *, NULL until looked for */
  gint n_growths;     /* atomic: how often it has grown by itself */
  char *grown;        /* what that was the last time; NULL: never */
  PoolForecast forecast;
  gboolean forecast_known; /* it is of the VG with this seqno */
  guint64 forecast_seqno;
  guint64 snapshots_warned;           /* room for that many more was told last */
  guint data_warned, metadata_warned; /* percent in use when that was told; 0: not told */
} BundledPool;

typedef struct {
  VolumeGroup base;
  pthread_mutex_t lock; /* pthread's, not GLib's: ThreadSanitizer sees those */
  pthread_cond_t idle;  /* a BundledPool.users fell to 0 */
  gboolean read_only;   /* constant */
  char *vg_name;        /* constant */
  char *archive_dir;    /* constant */
  void *journal;        /* constant: see PoolWhere */
  gsize journal_size;
  LvmStore *store;
  GHashTable *pools;   /* name -> BundledPool */
  GHashTable *volumes; /* name -> BundledVolume, those that are open */
  GError *stuck;       /* why the VG cannot be changed any more */
  gint lost;           /* atomic: the VG's extents moved under us, nothing may be written */
  PoolEventFunc event_func;
  gpointer event_data;
  PoolUserFunc user_func;
  gpointer user_data;
  GArray *events; /* of BundledEvent, sent when the lock is released */
} Bundled;

typedef struct {
  PoolEvent event;
  char *name, *old_name;
} BundledEvent;

/* A logical volume that is open, shared by all its handles. */
typedef struct {
  pthread_rwlock_t lock;
  Bundled *owner;
  char *name;        /* the LV's; under Bundled.lock */
  BundledPool *pool; /* NULL: a linear LV */
  guint refs;
  gint read_only;     /* atomic; once set it stays */
  guint64 chunk_size; /* constant; 0: a linear LV */
  guint64 size;       /* atomic; of one that is gone, what it had */
  GPtrArray *handles; /* of BundledHandle */
  /* under BundledVolume.lock: */
  ThinVolume *thin;
  ThinPool *private_thin; /* a second, read-only pool that @thin belongs to: see open_pending() */
  VtIo *io;               /* a linear LV; with neither, it reads zero */
  gboolean gone;          /* removed, or the pool is closed */
} BundledVolume;

typedef struct {
  VtIo io; /* named vg/lv */
  BundledVolume *volume;
  char *opener; /* NULL: a view */
} BundledHandle;

/* --- bundled/pool.c --- */

/* pool_open_bundled() with a hook between store and PVs, for tests. */
VolumeGroup *bundled_open(const char *vg, const PoolWhere *where, LvmOpenFunc open,
                          gpointer user_data, GError **error);
/* Its volume group alone. */
LvmStore *bundled_open_vg(const char *vg, const PoolWhere *where, LvmOpenFunc open,
                          gpointer user_data, GError **error);
/* EBUSY: the kernel has volumes of @vg active. */
gboolean bundled_check_inactive(LvmVg *vg, GError **error);
/* A pool over a store already open, which it takes (also on failure). */
VolumeGroup *bundled_open_store(LvmStore *store, const PoolWhere *where, GError **error);

/* --- bundled/base.c --- */

GArray *bundled_events_new(void);
void bundled_lock(Bundled *b);
void bundled_unlock(Bundled *b); /* sends the events */
void bundled_event(Bundled *b, PoolEvent event, const char *name, const char *old_name);

/* The thin pool @name (NULL: the only one), refused or not; its LV in @vg. ENOENT. */
BundledPool *bundled_find_pool(Bundled *b, const char *name, GError **error);
/* The same, EPERM or the like with its reason if it is refused. */
BundledPool *bundled_usable_pool(Bundled *b, const char *name, GError **error);
/* Has @pool (which is usable) thin device @id? FALSE: that cannot be read. */
gboolean bundled_find_device(BundledPool *pool, guint32 id, ThinDevice *device, gboolean *found,
                             GError **error);
/* Let @pool be used without Bundled.lock; it is not closed meanwhile. */
void bundled_pool_hold(Bundled *b, BundledPool *pool);
void bundled_pool_release(Bundled *b, BundledPool *pool);
/* Both with the finding of thin pool @name (NULL: the only one), by who has not the lock. */
BundledPool *bundled_pool_borrow(Bundled *b, const char *name, GError **error);
void bundled_pool_give_back(Bundled *b, BundledPool *pool);

/* --- bundled/gate.c --- */

/* @base (taken), but changes are ESTALE once Bundled.lost is set. */
VtIo *bundled_gate_new(Bundled *b, VtIo *base);

/* --- bundled/health.c --- */

char *bundled_pool_health(Bundled *b, BundledPool *pool); /* PoolInfo.health */
/* The same, without looking for damage that nobody has met yet. */
char *bundled_pool_health_quickly(Bundled *b, BundledPool *pool);
/* As last known, if it is not open. */
ThinStatus bundled_pool_status(BundledPool *pool);

/* --- bundled/recover.c --- */

/* Fill Bundled.pools; read-write also finish or undo what a crash left. FALSE: the VG cannot be
 * changed, or no thin pool of it can be used. */
gboolean bundled_open_pools(Bundled *b, GError **error);
/* Open one thin pool that is in the VG (a new one). */
gboolean bundled_open_pool(Bundled *b, const char *name, GError **error);
gboolean bundled_pool_close(BundledPool *pool, GError **error); /* commits; frees */
/* Take a check's word for whether it is damaged, so that it is not looked for. Under the lock. */
void bundled_pool_note_damage(BundledPool *pool, const ThinReport *report);
/* Why (part of) volume @lv cannot be read: NULL, or the caller's. @found: its device is known to be
 * there. Only read-only pools can be damaged and open. */
const char *bundled_pool_first_damage(Bundled *b,
                                      BundledPool *pool); /* of its metadata; NULL: none */
char *bundled_pool_damage(Bundled *b, BundledPool *pool, LvmLv *lv, gboolean found);

/* --- bundled/commit.c --- */

/* May the VG be changed? Else EROFS, ESTALE, ... */
gboolean bundled_check_writable(Bundled *b, GError **error);

/* Carry out a change. @vg (taken) is the VG as it shall be but for transaction ids and messages,
 * which go in here,
 * @text_messages saying which (an LvmMessage each); @messages (of ThinMessage) is what the thin
 * pool does. @finish, if any, changes the VG text once more, in the commit that takes the messages
 * out. On FALSE nothing has changed, or the error says that the next open decides. */
typedef void (*BundledFinish)(LvmVg *vg, gpointer user_data);
gboolean bundled_commit_thin(Bundled *b, LvmVg *vg, BundledPool *pool, GArray *text_messages,
                             GArray *messages, BundledFinish finish, gpointer user_data,
                             const char *description, GError **error);
/* Has somebody else committed to the VG? ESTALE, told once. */
gboolean bundled_check_seqno(Bundled *b, GError **error);
/* A change of the VG text alone. */
gboolean bundled_commit_text(Bundled *b, LvmVg *vg, const char *description, GError **error);

/* --- bundled/replace.c --- */

/* Of the VG as it is to be after @step (REPLACE), which volume @before has not been through yet:
 * what it is while that is under way. @device: the volume's. */
gboolean bundled_begin_replacement(LvmVg *vg, LvmLv *before, const PoolStep *step,
                                   const ThinDevice *device, GError **error);
/* It is done, in transaction @details_tid. */
void bundled_end_replacement(LvmVg *vg, const char *name, guint64 details_tid);
/* A crash may have interrupted one of @lv, whose device was made in transaction @details_tid. TRUE:
 * @vg was changed. */
gboolean bundled_finish_replacement(LvmVg *vg, LvmLv *lv, guint64 details_tid);

/* --- bundled/shrink.c --- */

/* Of the VG as it is to be after @step (RESIZE, to less): what lies beyond is still to go. */
gboolean bundled_begin_shrink(LvmVg *vg, const PoolStep *step, GError **error);
/* It is gone, durably; not @done: it could not be, as *error says. Then FALSE. */
gboolean bundled_end_shrink(Bundled *b, const PoolStep *step, gboolean done, GError **error);
/* A crash may have interrupted one of @lv. *@changed: @vg was. */
gboolean bundled_finish_shrink(LvmVg *vg, BundledPool *pool, LvmLv *lv, gboolean *changed,
                               GError **error);

/* --- bundled/change.c, check.c --- */

/* Make room in the metadata of @pool for @blocks. TRUE: the VG has another text. */
typedef gboolean (*BundledRoomFunc)(Bundled *b, BundledPool *pool, guint64 blocks);
/* Under the lock, which is let go of while the service's nodes are asked for users. @room NULL: as
 * far as there is. */
gboolean bundled_change(Bundled *b, const PoolChange *change, BundledRoomFunc room, GError **error);
/* EBUSY: one of @names is open, or in use through a node of the service; nobody opens the nodes
 * from then on. Called without the lock. */
gboolean bundled_require_unused(Bundled *b, const char *const *names, GError **error);
gboolean bundled_read_metadata(VolumeGroup *group, const char *thin_pool, PoolMetadataFunc func,
                               gpointer data, GError **error);
PoolUsage *bundled_usage(VolumeGroup *group, const char *thin_pool, const char *const *chosen,
                         GError **error);
gboolean bundled_check(VolumeGroup *group, const char *thin_pool, const PoolCheckOptions *options,
                       GPtrArray **errors, GPtrArray **leaks, GError **error);
/* Of a pool without volumes. EBUSY: it has thin devices all the same. */
gboolean bundled_require_empty(Bundled *b, BundledPool *pool, GError **error);

/* --- bundled/forecast.c --- */

/* BundledPool.forecast, of a pool that is open, for the VG as it is. */
void bundled_forecast(Bundled *b, BundledPool *pool);

/* --- bundled/grow.c --- */

void bundled_fill_growth(LvmLv *pool_lv,
                         PoolInfo *info); /* max_size, grows_at, grows_by, unwatched */
/* Let those pools grow that are fuller than virt-thin.conf wants; tell of those that cannot.
 * Without the lock. */
void bundled_watch(Bundled *b);
/* A write to @volume, whose lock is held, got ENOSPC; when it began its pool's n_growths was
 * @n_growths. TRUE: try again; *@busy: after a while, without the lock, for the VG is being
 * changed. */
gboolean bundled_make_room(BundledVolume *volume, guint n_growths, gboolean *busy);
/* A BundledRoomFunc; under the lock. */
gboolean bundled_make_metadata_room(Bundled *b, BundledPool *pool, guint64 blocks);

/* --- bundled/handle.c: members of PoolOps --- */

VtIo *bundled_volume_open(VolumeGroup *group, const char *name, gboolean read_only,
                          const char *opener, GError **error);
VtIo *bundled_volume_open_view(VolumeGroup *group, const char *name, GError **error);

/* --- bundled/volume.c --- */

/* Under Bundled.lock: the volume, opened if it is not; give it back with bundled_volume_put(). */
BundledVolume *bundled_volume_get(Bundled *b, const char *name, GError **error);
void bundled_volume_put(BundledVolume *volume);
/* The openers of @name, "nbd client, pid 9; fuse"; NULL: nobody but views. The caller's. */
char *bundled_volume_openers(Bundled *b, const char *name);
/* Take the thin device behind an open volume away from its handles, and give it back or not.
 * Volumes that are not open: nothing. */
void bundled_volume_detach(Bundled *b, const char *name);
gboolean bundled_volume_attach(Bundled *b, const char *name, GError **error);
void bundled_volume_gone(Bundled *b, const char *name); /* after detach: ENOENT from now on */
/* Writes are EROFS from now on, also those of views. */
void bundled_volume_sealed(Bundled *b, const char *name);
void bundled_volume_renamed(Bundled *b, const char *name, const char *new_name);
gboolean bundled_volume_resized(Bundled *b, const char *name, guint64 size, GError **error);
void bundled_volumes_close(Bundled *b);
