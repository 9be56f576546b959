/* virt-thin - failover: is the host that the replicas came from gone?
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Two hosts that run one guest are worse than none: whatever answers at its address, be it that
 * nobody is let in or that no ssh listens, may be a host whose guests run. Gone is one of which
 * nothing comes back at all. Errors: VT_ERROR. Thread-safety: main thread only.
 */
#pragma once

#include "schedule/replicas.h"

/* What ssh has said, and its status: */
typedef enum {
  FIRST_HOST_ANSWERS, /* or is not known not to */
  FIRST_HOST_SILENT,  /* no answer, or no way there */
  FIRST_HOST_NO_NAME, /* it has no address: nobody was asked */
} FirstHost;
FirstHost first_host_judge(int status, const char *said);

/* Ask it by @ssh (NULL: the usual), at @at (NULL: by its name, and at the address from which
 * @replica came). EBUSY: it answers; EHOSTUNREACH: it cannot be asked. */
gboolean first_host_is_gone(const Replica *replica, const char *ssh, const char *at,
                            GError **error);
