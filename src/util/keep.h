/* virt-thin - which of many points in time are kept, by Proxmox's rules and restic's keep-within
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * For what is virt-thin's own: prune-backups of storage.cfg and its commands know the six of
 * retention.h alone. keep-within and its values are restic's: a number each of years, months, days
 * and hours, of the calendar in the local time zone. What is newer than that before the newest of
 * all is kept, whatever the other rules say, and these decide as if it were not given.
 *
 * Errors: VT_ERROR. Thread-safety: pure functions, but for the time zone (tzset).
 */
#pragma once

#include "util/retention.h"

/* All 0: everything. */
typedef struct {
  VtRetention rules;
  struct {
    int years, months, days, hours;
  } within;
} VtKeep;

/* One rule: "keep-within" and "1y6m7d12h" (some of these, in any order, each once), or one of
 * vt_retention_set(). EINVAL: it is none; then @keep is as it was. */
gboolean vt_keep_set(VtKeep *keep, const char *key, const char *value, GError **error);

/* "keep-within=7d,keep-last=3", each part for vt_keep_set(); "keep-all=1" for everything. Free with
 * g_free(). */
char *vt_keep_format(const VtKeep *keep);

gboolean vt_keep_is_all(const VtKeep *keep);

/* As vt_retention_select(). */
void vt_keep_select(const VtKeep *keep, const gint64 *times, guint n, gboolean *kept);
