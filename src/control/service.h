/* virt-thin - which volume groups a service has
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: every function may be called from any thread, and none waits for anybody.
 */
#pragma once

#include <sys/types.h>

#include "util/error.h"

/* Is VG @vg served by anybody, as far as its lock tells (<runtime>/<vg>/lock)? Also TRUE for one
 * that is starting, hangs or is being restarted. */
gboolean control_service_is_running(const char *vg);

/* The volume groups served under this runtime folder. The caller's GStrv. */
GStrv control_service_list(void);

/* In a VG's runtime folder: where its PVs are, a path a line; written once they are known. */
#define CONTROL_SERVICE_DEVICES "devices"

/* The pid of the holder of VG @vg, if it lives; 0: not known. */
pid_t control_service_holder(const char *vg);
