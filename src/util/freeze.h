/* virt-thin - file systems of this machine held still while a snapshot of their devices is taken
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What was written to a file and not synced is in memory yet: freezing the file system (FIFREEZE)
 * writes it to the device, and lets writers wait until it is thawed.
 *
 * A process of its own freezes and thaws, and thaws by itself when ours ends, whatever ended it,
 * and after a time (FREEZE_HOLD). It is locked in memory, and no signal ends it but SIGKILL; after
 * that ours thaws.
 *
 * Thread-safety: every function may be called from any thread, which should hold no lock that
 * whoever serves the device may want: freezing waits for the device.
 */
#pragma once

#include "util/error.h"

#define FREEZE_WAIT 10 /* seconds, for all of them to be frozen */
#define FREEZE_HOLD 60 /* seconds, until they are thawed without being asked */

typedef struct Freeze Freeze;

/* Devices, and files that loop devices may be on, of which a snapshot is to be taken. */
typedef struct {
  char *device;
  char *file; /* NULL: none */
} FreezeDisk;

/* Freeze the file systems that are mounted, in whichever mount namespace, from @disks and from what
 * is built on them: partitions, loop, device-mapper, md devices. @min_depth: 1 leaves out those
 * mounted from a disk itself. One that somebody else has frozen stays so; one that cannot be frozen
 * is synced, and told in the log; that of / too, which whoever takes the snapshot may have to write
 * to.
 *
 * NULL without an error: there is none. ETIMEDOUT: one could not be frozen in time; all are thawed,
 * that one as soon as it can be. */
Freeze *freeze_begin(const FreezeDisk *disks, guint n_disks, guint min_depth, GError **error);
/* Thaw them; NULL is allowed. */
void freeze_end(Freeze *freeze);
