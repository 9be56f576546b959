/* virt-thin - dmeventd, which extends the kernel's thin pools before they are full
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <libdevmapper-event.h>
#include <unistd.h>

#include "dm/watch.h"
#include "lvm/devmapper.h"
#include "lvm/lvm-conf.h"

#define DMEVENTD_PID "/run/dmeventd.pid"
#define NO_PROGRAM "/nonexistent/dmeventd"
#define SMALLEST_THRESHOLD 50 /* lvm2 takes a smaller one for this */

void dmk_watch_settings(const char *profile, DmkWatchSettings *settings)
{
  g_autoptr(LvmConf) conf = lvm_conf_read(profile);

  settings->monitoring = lvm_conf_number(conf, "activation/monitoring", 1) != 0;
  settings->percent = lvm_conf_number(conf, "activation/thin_pool_autoextend_percent", 20);
  settings->threshold =
      CLAMP(lvm_conf_number(conf, "activation/thin_pool_autoextend_threshold", 100),
            SMALLEST_THRESHOLD, 100);
}

gboolean dmk_is_watched(const char *uuid, gboolean *pending)
{
  struct dm_event_handler *handler;
  gboolean watched;

  if (pending)
    *pending = FALSE;
  /* systemd listens for it, and would start it for the question; so would the library, if it found
   * the program. */
  if (access(DMEVENTD_PID, F_OK) < 0)
    return FALSE;
  dmk_begin();
  handler = dm_event_handler_create();
  watched = handler && dm_event_handler_set_dmeventd_path(handler, NO_PROGRAM) == 0 &&
            dm_event_handler_set_uuid(handler, uuid) == 0 &&
            dm_event_get_registered_device(handler, 0) == 0;
  if (watched && pending)
    *pending = (dm_event_handler_get_event_mask(handler) & DM_EVENT_REGISTRATION_PENDING) != 0;
  if (handler)
    dm_event_handler_destroy(handler);
  dmk_end();
  return watched;
}
