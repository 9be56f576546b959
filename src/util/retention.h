/* virt-thin - which of many points in time are kept, by Proxmox's rules
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The words and their meaning are those of Proxmox VE's prune-backups: keep-last, keep-hourly,
 * keep-daily, keep-weekly (ISO weeks, from Monday on), keep-monthly, keep-yearly, applied in this
 * order. Each keeps the newest of a period, for as many periods as it says, beginning with the
 * newest; a period of which an earlier rule keeps something counts for nothing, and what a rule has
 * passed over for a newer one of its period is kept by no later rule. Periods are of the local time
 * zone; those in which nothing was made are not counted.
 *
 * Thread-safety: pure functions, but for the time zone (tzset).
 */
#pragma once

#include <glib.h>

/* How many to keep, by each rule. All 0: everything. */
typedef struct {
  guint last, hourly, daily, weekly, monthly, yearly;
} VtRetention;

/* One rule: @key is "keep-last" or another of the six, @value a number. EINVAL: another key, or no
 * number from 0 to 1000000. */
gboolean vt_retention_set(VtRetention *retention, const char *key, const char *value,
                          GError **error);

/* Proxmox's property string, "keep-last=3,keep-daily=7": each key at most once; empty text and
 * "keep-all=1" (alone, or with rules of 0) keep everything. EINVAL: anything else; then @retention
 * is as it was. */
gboolean vt_retention_parse(const char *text, VtRetention *retention, GError **error);

/* As vt_retention_parse() reads it; "keep-all=1" for everything. Free with g_free(). */
char *vt_retention_format(const VtRetention *retention);

gboolean vt_retention_keeps_all(const VtRetention *retention);

/* Fill keep[0..n-1]: whether what was made at times[i] is kept. @times: seconds since the epoch, in
 * any order. Of equal times the first is the newest. Never refuses all: with n > 0, at least the
 * newest is kept. */
void vt_retention_select(const VtRetention *retention, const gint64 *times, guint n,
                         gboolean *keep);
