/* virt-thin - simulation: a world: one host, one volume group, those who use it, what befalls it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A world is made by its seed and lives for a number of epochs. An epoch is the life of one engine:
 * it opens the volume group, what it finds is compared with the model, guests and administrators
 * work, and it ends: by a power cut, a SIGKILL, or in peace. What is done in epoch E as operation N
 * of worker W is drawn from a stream of (seed, E, W, N), so that leaving one out changes little of
 * the rest: that is how a failure is made smaller.
 */
#pragma once

#include "disk.h"
#include "model.h"
#include "mount.h"
#include "pool/pool.h"
#include "service/fuse/folder.h"
#include "service/nbd/nbd-server.h"

typedef enum {
  SIM_CUT = 1 << 0,
  SIM_KILL = 1 << 1,
  SIM_FAIL = 1 << 2,     /* EIO */
  SIM_FULL = 1 << 3,     /* ENOSPC of the file system */
  SIM_DELAY = 1 << 4,    /* slow disks */
  SIM_STRANGER = 1 << 5, /* another who commits to the volume group, or opens it */
  SIM_ADMIN = 1 << 6,    /* changes of the volume group */
  SIM_SMALL = 1 << 7,    /* a pool that gets full */
  SIM_CLIENTS = 1 << 8,  /* guests by NBD and FUSE */
  SIM_ALL_EVENTS = (1 << 9) - 1,
} SimEvents;

typedef struct {
  guint64 seed;
  guint events; /* SimEvents that there may be */
  guint epochs;
  guint ops; /* of each worker in an epoch, at most */
  guint workers;
  guint kinds; /* of guests' operations that there may be: bits of GuestKind */
  guint admin_kinds;
  guint skip_epochs[64]; /* nothing is done in them; 0: the end of the list */
  guint last_ops;        /* of each worker in the last epoch; 0: as many as in the others */
  gboolean judges;       /* ask lvm2 and thin_check after each epoch */
} SimPlan;

typedef struct {
  guint64 ops, changes, cuts, kills, peaceful, sectors, eio, full, refused, points, worlds,
      strangers, hung_up, laws, leaks, judged, asked, calls_hung_up, restarts, replayed;
} SimTotals;
extern SimTotals sim_totals;

typedef struct World World;
struct World {
  const SimPlan *plan;
  Model *model;
  GPtrArray *paths; /* of char *, with a NULL at the end */
  guint epoch;
  SimRandom random; /* of the epoch */
  void *journal;    /* in memory that outlives engines */
  /* of the engine that lives */
  SimProcess *process;
  VolumeGroup *group;
  NbdServer *server; /* NULL: guests are in the engine's process, or... */
  Folder *folder;    /* of the files, if there are any, ... */
  gboolean files;    /* ... and guests use them */
  Mount *mount;      /* of the folder: outlives engines that are killed */
  FuseView *view;
  gboolean mounted;              /* the engine serves @mount */
  VolumeGroup *served, *control; /* as the service shows it, and its clients; NULL: it does not */
  struct ControlServer *calls;   /* what answers @control */
  gboolean restarting;           /* the engine is to make way for another */
  gboolean hung_up;              /* a client has, and its volume may be in use a little longer */
  guint working;                 /* workers that have not ended, of whom ... */
  guint n_tickers;               /* ... so many end when the others have */
  gboolean crashed, stopping;
  guint eio_before, full_before; /* as the engine began */
  gboolean stale;                /* another has committed since */
  guint changing;                /* changes under way, or what may be one */
  guint strangers;               /* commits of others, ever */
};

/* Live it to its end. Returns the digest of its trace. */
guint64 world_run(const SimPlan *plan);
guint world_epoch(void); /* of the one that lives */

/* May the engine say @error, after what has befallen it? Else ends the program. */
void world_judge_error(World *w, const char *what, const GError *error);
gboolean world_over(World *w); /* the engine is dead, or to end */
/* Has its pool failed, or may it have? Then it shows what its last commit holds. */
ModelLoss world_loss(World *w);

/* --- events.c --- */
void events_begin(World *w);
/* What is to befall the epoch that begins. */
void events_arm(World *w);
void world_lose(World *w, ModelLoss loss);
/* The engine ends here, as if it were killed. */
void world_make_way(World *w);

/* --- guest.c, admin.c, stranger.c: fibers --- */
typedef struct {
  World *world;
  guint number;
} Worker;
void guest_run(gpointer worker);
void admin_run(gpointer worker);
void stranger_run(gpointer worker);
void ticker_run(gpointer worker);
/* service.c: who asks by control calls; and who has the holder start another engine. */
void asker_run(gpointer worker);
void restart_run(gpointer worker);

/* Is what others committed still there? */
void stranger_check(World *w);

/* --- laws.c: of a volume group that is open --- */
void laws_check(World *w);
/* Of one that is not: the real tools. */
void laws_ask_judges(World *w);
