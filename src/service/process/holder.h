/* virt-thin - the holder: keeps what the kernel must not lose, and the engine running
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "util/error.h"

/* The runtime files of a volume group, locked. */
typedef struct {
  char *vg, *dir, *folder;
  int lock_fd;
} HolderFolder;

/* Make <runtime>/<vg> if need be, lock it, and take away what a killed holder left. EBUSY names the
 * holder that lives.
 */
gboolean holder_folder_take(HolderFolder *folder, const char *vg, GError **error);
/* Take mount, nodes and files away, and release the lock. */
void holder_folder_leave(HolderFolder *folder);

/* Be the holder: returns the exit status. @devices: as for service_main(). Reports being ready, or
 * why not, on @starter_fd (-1: nobody waits). */
int holder_run(HolderFolder *folder, const char *const *devices, int starter_fd);

/* Tell systemd, if it wants to know: assignments as in sd_notify(3); or what it shows as the
 * service's status. */
void service_notify(const char *state);
void service_notify_status(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* The processes beside the holder: engine.c. */
int engine_main(const char *vg);
