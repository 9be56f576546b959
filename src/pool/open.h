/* virt-thin - who has a volume group, where it is, and opening it there
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A volume group is a service's while one runs for it. Else the kernel has it, or virt-thin's own
 * engine, in the process that opens it: as PoolWhere.engine says, else virt-thin.conf ([vg NAME]
 * engine=, [vg] engine=); where these say auto, or nothing:
 *   - a VG whose PVs are block devices, and a kernel with thin pools that this process may talk to:
 *     the kernel;
 *   - a VG on files, or no device-mapper (a container): the bundled engine;
 *   - a VG that a bundled engine has taken (its system_id; lvm/store.h) and has not given back:
 *     that engine.
 * Who has a VG is LVM's to say, so the two keep apart: an engine cannot lock PVs that carry active
 * volumes, and lvm2 refuses a VG with a foreign system_id.
 *
 * It is looked for on the devices given; else in the usual places, settings_devices(); and, if it
 * is not there and there is a device-mapper, wherever lvm2 would look. Each device is read once.
 *
 * Errors: VT_ERROR. Thread-safety: every function may be called from any thread; a PoolLook is one
 * thread's at a time.
 */
#pragma once

#include "pool/pool.h"
#include "settings/settings.h"
#include "util/io.h"

/* What was found on devices: kept for further questions about the same ones. */
typedef struct PoolLook PoolLook;
PoolLook *pool_look_new(void);
void pool_look_free(PoolLook *look);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PoolLook, pool_look_free)

/* How a volume group is found and opened; all zero is the usual. What it points to is the
 * caller's, and valid during the call; @locks and @journal until the pool is closed. */
typedef struct PoolWhere PoolWhere;
struct PoolWhere {
  const char *const *devices; /* these are all there is; NULL: see above */
  PoolEngine engine;
  PoolOpenFlags flags;
  guint timeout_ms; /* for each answer of a service; 0: the default, 30 s */
  /* pool_open_bundled(), of who links the engine. NULL: what is for it is ENOENT. */
  VolumeGroup *(*bundled)(const char *vg, const PoolWhere *where, GError **error);
  PoolLook *look; /* NULL: looked anew */
  /* Of the engine of a service: memory that outlives this process, for what is acknowledged and not
   * committed when it dies (thin/journal.h; for every pool opened read-write). Zeroed when new. */
  void *journal;
  gsize journal_size;
  const VtIoLocks *locks;
};

/* @where NULL, here and below: the usual. */
PoolHolder pool_holder(const char *vg, const PoolWhere *where);
/* Open VG @vg where it is. Somebody else who has it open is waited for a little, as lvm2's commands
 * wait for their locks. ENOENT; EBUSY names the holder. */
VolumeGroup *pool_open(const char *vg, const PoolWhere *where, GError **error);

/* What that comes to, for who knows whose the VG is.
 *
 * By the engine in this process; @vg NULL: the only one there. EBUSY names the holder: pid and
 * command, or "served: use its service". */
VolumeGroup *pool_open_bundled(const char *vg, const PoolWhere *where, GError **error);
/* As the kernel and lvm2 have it; ENOENT. Nothing is locked, and what others do to the VG shows at
 * once. A volume's path is that of its device, while it is active. pool_rollback() and
 * pool_clone_into() give the volume another UUID. An engine that has the VG is EBUSY to every
 * change. */
VolumeGroup *pool_open_kernel(const char *vg, const PoolWhere *where, GError **error);
/* Talk to its service. ENOENT: none is running. ETIMEDOUT: it does not answer within @timeout_ms,
 * which then holds for every call; connecting takes no longer than the default. */
VolumeGroup *pool_connect(const char *vg, guint timeout_ms, GError **error);

typedef struct {
  char *name;
  gboolean served;
  gboolean twice;        /* there are several, and the name alone opens none */
  GStrv devices;         /* its PVs among those looked at: perhaps none of a service's */
  GPtrArray *thin_pools; /* of char *: as the text on them says */
} PoolVg;
void pool_vg_free(PoolVg *vg);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PoolVg, pool_vg_free)
/* Where is @vg? As pool_open() would find it; NULL: nowhere. The caller's. */
PoolVg *pool_find_vg(const char *vg, const PoolWhere *where);
/* The volume groups there are, by name: on the devices given, or in the usual places; those served
 * (by a service that has one of the devices given); where no devices are given, those on block
 * devices that are the kernel's and have a thin pool. What is damaged, or there twice, is told in
 * @problems (GPtrArray of char *, may be NULL). FALSE in *@all: a device could not be read at all.
 * GPtrArray of PoolVg, the caller's. */
GPtrArray *pool_list_vgs(const PoolWhere *where, GPtrArray *problems, gboolean *all);

/* What pool_list_vgs() tells in @problems of VG @vg alone: there is another one of that name, which
 * pool_open() does not mean. None where @where names devices. GPtrArray of char *, the caller's. */
GPtrArray *pool_find_namesakes(const char *vg, const PoolWhere *where);

/* --- of a volume group of the bundled engine's that is open in no process --- */

/* Give a VG on block devices back to lvm2 that a virt-thin which died had taken (lvm_store_take());
 * recovers nothing else. EBUSY: it lives. */
gboolean pool_release(const char *vg, const PoolWhere *where, GError **error);
/* Take back the mark needs_check of @thin_pool, if a check of its metadata finds nothing else.
 * EBADMSG: it does. EBUSY: it is open. */
gboolean pool_clear_needs_check(const char *vg, const char *thin_pool, const PoolWhere *where,
                                GError **error);
/* Give back what leaks in @thin_pool's metadata, and take back needs_check, if a check finds
 * nothing else. *@n_leaks: how many were told of. EBADMSG: it does; nothing is changed. EBUSY: it
 * is open. */
gboolean pool_mend_leaks(const char *vg, const char *thin_pool, const PoolWhere *where,
                         guint *n_leaks, GError **error);

/* --- before a volume group is made --- */

/* Which volume group has @path? NULL: none. The caller's. */
char *pool_vg_of(const char *path, const PoolWhere *where);
/* Whose a new VG @vg on @path is to be. */
PoolHolder pool_holder_of_new(const char *vg, const char *path, const PoolWhere *where);
/* Erase what is on a file or device that is to become a PV. EBUSY: somebody uses it. EEXIST: it is
 * a PV of a VG. */
gboolean pool_erase(const char *path, GError **error);
