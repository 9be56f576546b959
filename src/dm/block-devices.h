/* virt-thin - the block devices that lvm2 would look at
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Left out, as lvm2 leaves them out: LVs (a guest's disk may hold a volume group of the guest's, devices/scan_lvs),
 * parts of RAID and multipath devices, devices without a size; and the block nodes of virt-thin's own services, which
 * hold guests' disks as well. Thread-safety: pure functions.
 */
#pragma once

#include <glib.h>

/* Paths; @own_folder: loop devices over files below it are virt-thin's. The caller's GStrv. */
GStrv dmk_block_devices(const char *own_folder);
/* Of lvm2's devices file (lvmdevices(8)): the ids, without dashes, of the PVs that lvm2 may use; NULL: all. */
GHashTable *dmk_devices_file(void);
