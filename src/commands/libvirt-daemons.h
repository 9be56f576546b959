/* virt-thin - the libvirt daemons that run here, and where they have their storage backends from
 * SPDX-License-Identifier: LGPL-2.1-or-later
 * Thread-safety: pure functions.
 */
#pragma once

#include <glib.h>

typedef struct {
  int pid;
  char *name; /* "libvirtd", "virtstoraged" */
  /* by its unit, which a drop-in is about */
  gboolean by_systemd;
  char *backends;  /* LIBVIRT_STORAGE_BACKEND_DIR, with which it was started; NULL */
  gboolean is_old; /* it has a backend of ours loaded that has been replaced, or removed */
} LibvirtDaemon;

/* Those with a storage driver, of this user, outside containers: a GPtrArray of LibvirtDaemon. */
GPtrArray *libvirt_daemons_list(void);
