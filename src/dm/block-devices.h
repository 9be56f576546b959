/* virt-thin - the block devices that lvm2 would look at
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Left out, as lvm2 leaves them out: LVs (a guest's disk may hold a volume group of the guest's,
 * devices/scan_lvs), parts of RAID and multipath devices, devices without a size; and the block
 * nodes of virt-thin's own services, which hold guests' disks as well; what is not in lvm2's
 * devices file, where there is one, else what lvm.conf's filters reject (device-filter.h).
 * Thread-safety: pure functions.
 */
#pragma once

#include "lvm/store.h"

/* What there is on them; the caller's. @own_folder: loop devices over files below it are
 * virt-thin's. */
LvmProbe *dmk_probe_block_devices(const char *own_folder);
