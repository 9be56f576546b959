/* virt-thin - starting and stopping the service of a volume group, from outside it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * For the storage backend and the CLI; links no engine code (libpool.la). Errors: VT_ERROR.
 * Thread-safety: every function may be called from any thread, and none needs a main loop. None
 * takes longer than its deadline.
 */
#pragma once

#include "util/error.h"

/* Start the service of VG @vg and wait until it answers; TRUE at once when it runs already. Then
 * activate @thin_pool (NULL: leave that be); in a service that was started for it, no other.
 * Through systemd (systemctl start virt-thin@VG.service) where pool_service_uses_systemd(), else as
 * a process in a session of its own: settings_program() --device … serve VG.
 * @devices NULL: as settings_devices() finds them. @timeout_ms 0: 30 s, after which it is
 * ETIMEDOUT. Else the error is the service's own last words. After an error systemd tries again
 * only if it was about to before. */
gboolean pool_service_start(const char *vg, const char *thin_pool, const char *const *devices,
                            guint timeout_ms, GError **error);

/* The same, of all thin pools, for who needs a service for a while, and then calls
 * pool_service_give_back(): that ends one that was started so, unless a volume is in use, or
 * somebody has called pool_service_start() or pool_service_keep() since. Who died in between leaves
 * it to the next who gives back. */
gboolean pool_service_borrow(const char *vg, const char *const *devices, GError **error);
gboolean pool_service_give_back(const char *vg, GError **error);
void pool_service_keep(const char *vg);

/* Would pool_service_start() go through systemd? That is where systemd is PID 1 and has virt-thin's
 * unit, this is root, and none of $VIRT_THIN_RUNTIME_DIR, $VIRT_THIN_STATE_DIR, $VIRT_THIN_CONFIG,
 * $VIRT_THIN_PROGRAM and $VIRT_THIN_DEV_DIR is set. */
gboolean pool_service_uses_systemd(void);

/* In a VG's runtime folder: the devices, one per line, that pool_service_start() was given for
 * systemd's unit. */
#define POOL_SERVICE_START_DEVICES "start-devices"

/* Ask the service to commit, close and end, and wait until it has. ENOENT: none is running. EBUSY
 * names volume and opener, unless @force. */
gboolean pool_service_stop(const char *vg, gboolean force, guint timeout_ms, GError **error);
