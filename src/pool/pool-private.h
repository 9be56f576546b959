/* virt-thin - what an implementation of the pool interface provides
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pool.h is what callers see; pool.c checks arguments and hands each call to the VolumeGroup's
 * table below. An implementation embeds VolumeGroup as the first member of its own struct. Each
 * member has the contract of the function of the same name in pool.h. A NULL member means
 * EOPNOTSUPP, except where noted.
 */
#pragma once

#include "pool/change.h"
#include "pool/pool.h"

#define POOL_DELTA_MAX 65536 /* runs that one call of ->delta() is asked for */

typedef struct {
  const char *name; /* "bundled", "service": for messages */
  PoolHolder holder;

  gboolean (*close)(VolumeGroup *group,
                    GError **error); /* frees the VolumeGroup, also on failure. Never NULL */
  PoolVgInfo *(*get_vg_info)(VolumeGroup *group, GError **error);
  GPtrArray *(*list_pools)(VolumeGroup *group, GError **error);
  PoolInfo *(*get_info)(VolumeGroup *group, const char *thin_pool, GError **error);
  GPtrArray *(*list_volumes)(VolumeGroup *group, const char *thin_pool, GError **error);
  PoolVolumeInfo *(*get_volume)(VolumeGroup *group, const char *name, GError **error);
  gboolean (*count_volume)(VolumeGroup *group, const char *name, guint64 *exclusive,
                           guint64 *shared, GError **error);
  PoolUsage *(*usage)(VolumeGroup *group, const char *thin_pool, const char *const *chosen,
                      GError **error);

  gboolean (*delta)(VolumeGroup *group, const char *left, const char *right, PoolDeltaFlags flags,
                    guint64 *offset, guint max, GArray *runs, GError **error);

  gboolean (*change)(VolumeGroup *group, const PoolChange *change, GError **error);
  /* ->check: @options is never NULL. */
  gboolean (*check)(VolumeGroup *group, const char *thin_pool, const PoolCheckOptions *options,
                    GPtrArray **errors, GPtrArray **leaks, GError **error);

  gboolean (*read_metadata)(VolumeGroup *group, const char *thin_pool, PoolMetadataFunc func,
                            gpointer data, GError **error);

  gboolean (*activate)(VolumeGroup *group, const char *thin_pool,
                       GError **error); /* NULL: does nothing, well */
  gboolean (*activate_alone)(VolumeGroup *group, const char *thin_pool,
                             GError **error); /* NULL: as activate */
  gboolean (*deactivate)(VolumeGroup *group, const char *thin_pool, gboolean force,
                         GError **error); /* NULL: does nothing, well */

  VtIo *(*volume_open)(VolumeGroup *group, const char *name, gboolean read_only, const char *opener,
                       GError **error);
  VtIo *(*volume_open_view)(VolumeGroup *group, const char *name, GError **error);

  void (*set_event_func)(VolumeGroup *group, PoolEventFunc func,
                         gpointer user_data); /* NULL: there are no events */
  void (*set_user_func)(VolumeGroup *group, PoolUserFunc func,
                        gpointer user_data);              /* NULL: nobody is asked */
  gboolean (*commit)(VolumeGroup *group, GError **error); /* NULL: there is nothing to commit */
} PoolOps;

/* Append @run to @runs (of PoolDeltaRun), or make the last one longer. */
void pool_delta_add(GArray *runs, const PoolDeltaRun *run);

struct VolumeGroup {
  const PoolOps *ops;
};
