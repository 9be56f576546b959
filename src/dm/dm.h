/* virt-thin - the kernel's device-mapper: what is active, how full it is, who uses it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * By libdevmapper, and only asking: what changes a volume group is lvm2's (lvm2.h). Three
 * exceptions, which LVM knows nothing of: a thin pool's metadata snapshot, a device that shall go
 * with its last user, and what is in several snapshots that are to be of one instant (instant.h).
 *
 * Devices are found by uuid, as lvm2 gives it (lib/activate/dev_manager.c, build_dm_uuid): "LVM-",
 * the ids of VG and LV without dashes, and for layers "-tpool", "-tmeta", …. Status is asked for
 * with no_flush, so that asking commits nothing.
 *
 * Units: as named. Errors: VT_ERROR; ENOENT: no such device. Thread-safety: every function may be
 * called from any thread (libdevmapper is not thread-safe; calls are made one at a time).
 */
#pragma once

#include <sys/types.h>

#include "util/error.h"

/* Can this process use device-mapper, and has the kernel thin pools? Loads the modules if need be.
 * EOPNOTSUPP. */
gboolean dmk_available(GError **error);

/* The uuid of the device of an LV; @layer "tpool" and the like, or NULL. The caller's. */
char *dmk_uuid(const char *vg_uuid, const char *lv_uuid, const char *layer);

typedef struct {
  char name[128 * 2 + 128]; /* below /dev/mapper */
  dev_t device;
  gint open_count;
} DmkInfo;
gboolean dmk_get_info(const char *uuid, DmkInfo *info, GError **error);
/* TRUE: there is such a device. @info may be NULL. */
gboolean dmk_is_active(const char *uuid, DmkInfo *info);

/* The name of a device that belongs to the VG, any; NULL: it is not active (or there is no
 * device-mapper). The caller's. */
char *dmk_find_active(const char *vg_uuid);

typedef enum { DMK_READ_WRITE, DMK_READ_ONLY, DMK_OUT_OF_DATA, DMK_FAILED } DmkPoolMode;
typedef struct {
  guint64 transaction_id;
  guint64 data_used, data_total;         /* chunks */
  guint64 metadata_used, metadata_total; /* blocks of 4096 bytes */
  guint64 held_root;                     /* of the metadata snapshot; 0: there is none */
  DmkPoolMode mode;
  gboolean needs_check;
} DmkPoolStatus;
gboolean dmk_get_pool_status(const char *uuid, DmkPoolStatus *status, GError **error);
/* Bytes that a thin volume maps. EIO: the pool has failed. */
gboolean dmk_get_thin_mapped(const char *uuid, guint64 *mapped, GError **error);

/* The metadata snapshot of a thin pool. EEXIST: there is one. */
gboolean dmk_reserve_metadata_snapshot(const char *uuid, GError **error);
gboolean dmk_release_metadata_snapshot(const char *uuid, GError **error);

/* Let the kernel remove the device when nobody has it open any more: at once, or at its last
 * close. */
gboolean dmk_remove_when_closed(const char *uuid, GError **error);
