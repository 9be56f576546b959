/* virt-thin - the contents of several thin volumes as they are at one instant
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * lvm2 takes one snapshot at a time: it suspends the origin, has the pool make the device, and
 * resumes the origin. What is written to one volume after its snapshot, and then to another before
 * that one's, would be in the second snapshot and not in the first. So once the snapshots are
 * there, each an inactive volume, all origins are suspended together - what was under way is
 * written, file systems on them are frozen - and the devices behind the snapshots are made once
 * more, under the ids that they have; then all go on. No program runs meanwhile, and nothing is
 * read from a file: a process of its own does it, locked in memory, which no signal ends but
 * SIGKILL. It takes milliseconds; so that an origin which cannot be suspended does not keep the
 * others waiting, it gives up after a time.
 *
 * Messages: Linux Documentation/admin-guide/device-mapper/thin-provisioning.rst.
 *
 * Errors: VT_ERROR. Thread-safety: every function may be called from any thread.
 */
#pragma once

#include "util/error.h"

typedef struct {
  guint32 device; /* of the snapshot; its volume is not active */
  guint32 origin; /* device whose content it gets */
  char *uuid;     /* of the origin's device (dmk_uuid()); NULL: it is not active */
} DmkRenewal;

/* In thin pool @pool (uuid), which is active. The caller sees to it that nobody else changes the
 * volume group (dmk_lock_vg()). ETIMEDOUT: they could not all be suspended in time. After an error
 * some of the devices may be of another time, or missing. */
gboolean dmk_renew_snapshots(const char *pool, const DmkRenewal *renewals, guint n, GError **error);

/* lvm2's own lock of volume group @vg, waited for: no command of lvm2's runs on it until the
 * descriptor is closed. */
int dmk_lock_vg(const char *vg, GError **error);
