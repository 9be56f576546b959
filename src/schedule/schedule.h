/* virt-thin - schedules: what is done again and again, and when
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A schedule is a section of virt-thin.conf:
 *
 *     [schedule nightly]
 *     kind=snapshot                  or backup, replicate
 *     what=pve/data;pve/vm-7;101     VG/POOL: all its volumes; VG/LV: one; a VMID: all of a guest
 *     when=*-*-* 01:00               systemd's OnCalendar=; none: it runs when it is called
 *     delay=10min                    up to that much later
 *     keep-daily=7                   keep.h; or keep-all=1
 *     to=/srv/backup                 of a backup: its folder
 *                                    of replicas HOST:VG/POOL
 *     ssh=ssh -p 2222                of replicas: the command, default ssh
 *     enabled=no                     no timer
 *
 * An error in one section is that section's alone: what it says is not half done.
 * Errors: VT_ERROR. Thread-safety: one thread.
 */
#pragma once

#include "util/keep.h"
#include "util/error.h"

typedef enum {
  SCHEDULE_SNAPSHOT,
  SCHEDULE_BACKUP,
  SCHEDULE_REPLICATE,
  SCHEDULE_N_KINDS
} ScheduleKind;
extern const char *const schedule_kinds[SCHEDULE_N_KINDS];

typedef struct {
  char *name;
  ScheduleKind kind;
  GStrv what;  /* at least one */
  char *when;  /* NULL: none */
  char *delay; /* NULL: none */
  VtKeep keep; /* of a snapshot given, be it "all" */
  char *to;    /* NULL of snapshots */
  char *ssh;   /* NULL: the usual */
  gboolean enabled;
} Schedule;
void schedule_free(Schedule *schedule);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Schedule, schedule_free)

/* Letters, digits, . _ and -, a letter or digit first, 64 at most: a part of units' and tags'
 * names. EINVAL. */
gboolean schedule_check_name(const char *name, GError **error);
gboolean schedule_parse_kind(const char *word, ScheduleKind *kind, GError **error);
/* Is it as it must be, but for @when and @delay, which are systemd's to judge (timers.h)?
 * EINVAL. */
gboolean schedule_check(const Schedule *schedule, GError **error);
/* "HOST:VG/POOL" in three; the host's part may have a user, and colons. EINVAL. */
gboolean schedule_split_peer(const char *to, char **host, char **vg, char **pool, GError **error);
/* "pve/data, 101": the caller's. */
char *schedule_describe_what(const Schedule *schedule);

/* --- the file --- */

/* virt-thin.conf, for as long as it is open this process's alone to change. */
typedef struct ScheduleFile ScheduleFile;
/* No file is an empty one. EINVAL: it is no such file. */
ScheduleFile *schedule_file_open(gboolean for_change, GError **error);
void schedule_file_close(ScheduleFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ScheduleFile, schedule_file_close)

/* Names, in the file's order. The caller's. */
GStrv schedule_file_names(ScheduleFile *file);
/* ENOENT; EINVAL names section, key and value. */
Schedule *schedule_file_get(ScheduleFile *file, const char *name, GError **error);
/* A new section at the end. EEXIST. */
gboolean schedule_file_add(ScheduleFile *file, const Schedule *schedule, GError **error);
/* ENOENT. */
gboolean schedule_file_remove(ScheduleFile *file, const char *name, GError **error);
gboolean schedule_file_enable(ScheduleFile *file, const char *name, gboolean enabled,
                              GError **error);
/* Comments stay. */
gboolean schedule_file_save(ScheduleFile *file, GError **error);
