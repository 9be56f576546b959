/* virt-thin - who serves a volume group: the kernel, or virt-thin's own engine
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * virt-thin.conf decides ([vg NAME] engine=, [vg] engine=); where it says auto, or nothing:
 *   - a VG whose PVs are block devices, and a kernel with thin pools that this process may talk to:
 *     the kernel;
 *   - a VG on files, or no device-mapper (a container): the bundled engine;
 *   - a VG that a bundled engine has taken (its system_id; lvm/store.h) and has not given back:
 *     that engine.
 * Who has a VG is LVM's to say, so the two keep apart: an engine cannot lock PVs that carry active
 * volumes, and lvm2 refuses a VG with a foreign system_id.
 *
 * Errors: VT_ERROR. Thread-safety: every function may be called from any thread.
 */
#pragma once

#include "pool/pool.h"
#include "settings/settings.h"

/* POOL_ENGINE_KERNEL or POOL_ENGINE_BUNDLED. @devices NULL: as settings_devices() finds them, and
 * then wherever lvm2 would look. */
PoolEngine pool_choose_engine(const char *vg, const char *const *devices);

/* The block devices, of all that lvm2 would look at, which are PVs of @vg. The caller's GStrv,
 * perhaps empty. */
GStrv pool_find_block_devices(const char *vg);
/* The volume groups on block devices that have a thin pool and are the kernel's by choice. The
 * caller's GStrv. */
GStrv pool_list_kernel_vgs(void);
