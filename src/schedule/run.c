/* virt-thin - schedules: a run
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/run.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/cli.h"
#include "schedule/backup.h"
#include "schedule/replicate.h"
#include "schedule/snapshots.h"
#include "settings/settings.h"
#include "util/files.h"

/* --- volume groups --- */

typedef void (*GroupFunc)(VolumeGroup *group, const Schedule *s, const ScheduleTarget *target,
                          gint64 now, ScheduleReport *report);

/* @work with each volume group of the schedule, open. */
static void for_each_group(const Schedule *s, gint64 now, ScheduleReport *report, GroupFunc work)
{
  g_autoptr(GPtrArray) targets = schedule_targets(s, report);

  for (guint i = 0; i < targets->len; i++) {
    const ScheduleTarget *target = targets->pdata[i];
    g_autoptr(GError) local = NULL;
    VolumeGroup *group = cli_open_patient(target->vg, 0, &local);

    if (group)
      work(group, s, target, now, report);
    if (!group || !cli_close(group, &local))
      schedule_report_failed(report, s, "%s", local->message);
  }
}

void schedule_run(const Schedule *s, gint64 now, ScheduleReport *report)
{
  g_autoptr(GPtrArray) targets = NULL;

  if (s->kind == SCHEDULE_SNAPSHOT) {
    for_each_group(s, now, report, schedule_snapshots_run);
    return;
  }
  targets = schedule_targets(s, report);
  if (s->kind == SCHEDULE_REPLICATE)
    schedule_replicate(s, targets, now, report);
  for (guint i = 0; s->kind == SCHEDULE_BACKUP && i < targets->len; i++)
    schedule_back_up(s, targets->pdata[i], report);
}

static void remove_snapshots(VolumeGroup *group, const Schedule *s, const ScheduleTarget *target,
                             gint64 now, ScheduleReport *report)
{
  schedule_snapshots_remove(group, s, report);
}

void schedule_run_removal(const Schedule *s, ScheduleReport *report)
{
  for_each_group(s, 0, report, remove_snapshots);
}

/* --- what is remembered --- */

/* <state>/schedules/@name/@file; @file NULL: the folder. The caller's. */
static char *state_path(const char *name, const char *file)
{
  return g_build_filename(settings_state_dir(), "schedules", name, file, NULL);
}

void schedule_state_free(ScheduleState *state)
{
  if (state)
    g_free(state->message);
  g_free(state);
}

#define STATE "last run"

/* Is the lock held? */
static gboolean is_running(const char *name)
{
  g_autofree char *path = state_path(name, "lock");
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  gboolean running = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;

  if (fd >= 0)
    close(fd);
  return running;
}

ScheduleState *schedule_state_load(const char *name)
{
  ScheduleState *state = g_new0(ScheduleState, 1);
  g_autofree char *path = state_path(name, "last-run");
  g_autoptr(GKeyFile) file = g_key_file_new();

  state->running = is_running(name);
  if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL))
    return state;
  state->start = g_key_file_get_int64(file, STATE, "start", NULL);
  state->end = g_key_file_get_int64(file, STATE, "end", NULL);
  state->taken = (guint)g_key_file_get_int64(file, STATE, "taken", NULL);
  state->removed = (guint)g_key_file_get_int64(file, STATE, "removed", NULL);
  state->failed = (guint)g_key_file_get_int64(file, STATE, "failed", NULL);
  state->failures = (guint)g_key_file_get_int64(file, STATE, "failures", NULL);
  state->message = g_key_file_get_string(file, STATE, "message", NULL);
  return state;
}

static gboolean state_save(const ScheduleState *state, const char *name, GError **error)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autofree char *folder = state_path(name, NULL), *path = state_path(name, "last-run"),
                  *text = NULL;

  g_key_file_set_int64(file, STATE, "start", state->start);
  g_key_file_set_int64(file, STATE, "end", state->end);
  g_key_file_set_int64(file, STATE, "taken", state->taken);
  g_key_file_set_int64(file, STATE, "removed", state->removed);
  g_key_file_set_int64(file, STATE, "failed", state->failed);
  g_key_file_set_int64(file, STATE, "failures", state->failures);
  if (state->message)
    g_key_file_set_string(file, STATE, "message", state->message);
  text = g_key_file_to_data(file, NULL, NULL);
  files_remove(folder, "last-run.", FALSE, NULL); /* of a run that was killed */
  return files_write(path, text, -1, 0644, error);
}

void schedule_state_forget(const char *name)
{
  g_autofree char *folder = state_path(name, NULL), *above = g_path_get_dirname(folder);

  files_remove(folder, "", FALSE, NULL);
  rmdir(folder);
  rmdir(above); /* stays when another has something in it */
}

/* --- one run at a time --- */

/* -1: @error. The lock lives as long as this process, or until it is closed. */
static int take_lock(const char *name, GError **error)
{
  g_autofree char *path = state_path(name, "lock"), *folder = g_path_get_dirname(path);
  int fd = files_make_folder(folder, error)
               ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644)
               : -1;

  if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
    return fd;
  if (fd >= 0 && errno == EWOULDBLOCK)
    vt_set_error(error, EBUSY, "schedule %s is running already, so it is not run again", name);
  else if (!error || !*error)
    vt_set_errno(error, errno, "cannot lock %s", path);
  if (fd >= 0)
    close(fd);
  return -1;
}

/* A run that left no end was killed. */
static void begin(ScheduleState *state, gint64 now)
{
  if (state->start && !state->end)
    state->failures++;
  state->start = now;
  state->end = 0;
  state->taken = state->removed = state->failed = 0;
  g_clear_pointer(&state->message, g_free);
}

static void end(ScheduleState *state, const ScheduleReport *report)
{
  state->end = g_get_real_time() / G_USEC_PER_SEC;
  state->taken = report->taken;
  state->removed = report->removed;
  state->failed = report->failed;
  state->failures = report->failed ? state->failures + 1 : 0;
  state->message = g_strdup(report->message);
}

/* A disk that is full keeps nobody from a snapshot. */
static void save(const ScheduleState *state, const char *name)
{
  g_autoptr(GError) local = NULL;

  if (!state_save(state, name, &local))
    g_warning("schedule %s: what came of it is not remembered: %s", name, local->message);
}

gboolean schedule_run_alone(const Schedule *s, ScheduleReport *report, GError **error)
{
  gint64 now = g_get_real_time() / G_USEC_PER_SEC;
  int lock = take_lock(s->name, error);
  g_autoptr(ScheduleState) state = NULL;

  if (lock < 0)
    return FALSE;
  state = schedule_state_load(s->name);
  /* By the second are its snapshots known. */
  while (state->start == now) {
    g_usleep(G_USEC_PER_SEC / 20);
    now = g_get_real_time() / G_USEC_PER_SEC;
  }
  begin(state, now);
  save(state, s->name);
  schedule_run(s, now, report);
  end(state, report);
  save(state, s->name);
  close(lock);
  return report->failed == 0 || vt_set_error(error, EIO, "schedule %s: %u failed, the first: %s",
                                             s->name, report->failed, report->message);
}
