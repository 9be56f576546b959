/* virt-thin - dmeventd, which extends the kernel's thin pools before they are full
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * lvm2 has its daemon dmeventd watch what it activates, unless lvm.conf says otherwise; what that
 * finds fuller than lvm.conf's threshold it extends with `lvextend --use-policies`. Nothing here
 * starts a program.
 *
 * Thread-safety: every function may be called from any thread.
 */
#pragma once

#include <glib.h>

/* Section activation of lvm.conf(5) (lvm-conf.h). */
typedef struct {
  gboolean monitoring;      /* monitoring: is what is activated to be watched? */
  guint threshold, percent; /* thin_pool_autoextend_threshold and _percent; threshold 100: never, as
                               by default */
} DmkWatchSettings;

/* @profile: the metadata profile; NULL: the one that lvm.conf names, if any. */
void dmk_watch_settings(const char *profile, DmkWatchSettings *settings);

/* Does dmeventd watch the device? FALSE, too, where it does not run, and for who may not ask it (it
 * answers root). TRUE, and *pending (NULL: not of interest), while it begins or ends to. */
gboolean dmk_is_watched(const char *uuid, gboolean *pending);
