/* virt-thin - the thin devices of a pool and its volume group's volumes: do they agree?
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A stray is a thin device in a pool's metadata that no volume of the VG's text has: a command of
 * lvm2's was interrupted between its steps, an older text was restored, or something other than LVM
 * (Docker's devicemapper, dmsetup) makes devices in the pool. What is in it may be a guest's, so it
 * is neither given out nor removed here, and a pool that has one is not empty. Not a stray is a
 * device that a message in the text says to delete, while the pool has not carried that out: text
 * and pool count transactions, and the text is then one ahead. As
 * long a volume that a message says to make needs no device; any other that has none is lost.
 *
 * A pool that the text gives transaction id 0, while it has another, is managed by something else;
 * neither lvm2 (tools/lvcreate.c) nor we make volumes in it.
 *
 * @tid is the transaction id in the pool's superblock, @devices what its metadata has: GArray of
 * ThinDevice. Units, errors: as in thin/thin.h. Thread-safety: pure functions.
 */
#pragma once

#include "lvm/model/vg.h"
#include "thin/format/device.h"
#include "util/error.h"

/* NULL: there is none of that number. */
const ThinDevice *pool_devices_find(GArray *devices, guint32 id);
/* The strays among @devices, in order: GArray of ThinDevice, the caller's. */
GArray *pool_devices_strays(LvmVg *vg, LvmLv *pool, guint64 tid, GArray *devices);
/* The volumes of the text whose device is not among @devices (GPtrArray of LvmLv *), the
 * caller's. */
GPtrArray *pool_devices_lost(LvmVg *vg, LvmLv *pool, guint64 tid, GArray *devices);
/* A line for each stray, and for each volume of the text whose device is not among @devices, for
 * what `check` finds. */
void pool_devices_compare(LvmVg *vg, LvmLv *pool, guint64 tid, GArray *devices, GPtrArray *errors);
/* What PoolInfo.health says of them, and of a pool that something else manages; @devices NULL: not
 * read. NULL: all is well. The caller's. */
char *pool_devices_health(LvmVg *vg, LvmLv *pool, guint64 tid, GArray *devices);

/* May the pool be removed, which has no volumes? EBUSY names the strays. */
gboolean pool_devices_check_removal(LvmVg *vg, LvmLv *pool, guint64 tid, GArray *devices,
                                    GError **error);
/* For who cannot tell, because of @failure. Always FALSE. */
gboolean pool_devices_unknown(const char *vg, const char *pool, const GError *failure,
                              GError **error);
/* May the messages in the text that say to make a device be carried out, or taken for carried out?
 * EPERM: a device of that number is there that was not made by the message. EBADMSG: it is about no
 * thin volume. */
gboolean pool_devices_check_messages(LvmVg *vg, LvmLv *pool, guint64 tid, GArray *devices,
                                     GError **error);
