/* virt-thin - storage: new volumes on a storage
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: main thread only. Errors: VT_ERROR.
 */
#pragma once

#include "pvesm/pvesm.h"

/* Make a volume for guest @vmid of @size bytes on a storage of type lvmthin or lvm: @name, or ""
 * for the next free one, which is then given to no other process. The volume's name; the caller's.
 */
char *pvesm_allocate(VolumeGroup *group, const StorageCfgStorage *storage, const char *vmid,
                     const char *name, guint64 size, GError **error);
/* Remove a volume of such a storage, and its snapshots. */
gboolean pvesm_free_volume(VolumeGroup *group, const StorageCfgStorage *storage, const char *name,
                           GError **error);
/* Put an empty ext4 file system on a new volume. */
gboolean pvesm_format(VolumeGroup *group, const char *volume, GError **error);
