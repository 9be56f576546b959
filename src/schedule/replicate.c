/* virt-thin - schedules: replicas of volumes in another host's thin pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/replicate.h"

#include <string.h>

#include "cli/cli.h"
#include "schedule/guests.h"
#include "schedule/peer.h"
#include "schedule/spawn.h"

typedef struct {
  const Schedule *schedule;
  const ScheduleTarget *target;
  ScheduleReport *report;
  Peer peer;
  gint64 now;
  GPtrArray *here, *there; /* of ScheduleSnapshot *; NULL: not known */
  GPtrArray *sets;         /* of ScheduleSet *: what was to be taken; NULL: not known */
} Work;

static void work_free(gpointer data)
{
  Work *work = data;

  peer_clear(&work->peer);
  if (work->here)
    g_ptr_array_unref(work->here);
  if (work->there)
    g_ptr_array_unref(work->there);
  if (work->sets)
    g_ptr_array_unref(work->sets);
  g_free(work);
}

static gboolean failed(Work *work, const char *what, const char *why)
{
  schedule_report_failed(work->report, work->schedule, "%s%s", what, why);
  return FALSE;
}

static const ScheduleSnapshot *find(GPtrArray *snapshots, const ScheduleSnapshot *wanted)
{
  for (guint i = 0; i < snapshots->len; i++) {
    const ScheduleSnapshot *s = snapshots->pdata[i];

    if (strcmp(s->lv, wanted->lv) == 0 && s->time == wanted->time)
      return s;
  }
  return NULL;
}

/* --- here --- */

/* Take the snapshots, and learn which there are. The volume group is closed again: what sends opens
 * it itself. */
static gboolean take(Work *work)
{
  const Schedule *s = work->schedule;
  g_autoptr(GError) local = NULL;
  VolumeGroup *group = cli_open_patient(work->target->vg, 0, &local);
  GPtrArray *sets = group ? schedule_sets(group, s, work->target, work->report) : NULL;
  g_autoptr(GPtrArray) volumes = NULL;

  work->sets = sets;
  for (guint i = 0; sets && i < sets->len; i++) {
    const ScheduleSet *set = sets->pdata[i];
    g_autoptr(GError) why = NULL;

    if (!schedule_snapshots_take(group, s, set->pool, (const char *const *)set->volumes->pdata,
                                 work->now, &why))
      failed(work, "", why->message);
  }
  volumes = sets ? pool_list_volumes(group, NULL, &local) : NULL;
  if (volumes)
    work->here = schedule_snapshots_list(volumes, s->name);
  if ((!cli_close(group, &local) || !work->here) && local)
    return failed(work, "", local->message);
  return work->here != NULL;
}

static gboolean look_there(Work *work)
{
  g_autofree char *why = NULL;

  g_clear_pointer(&work->there, g_ptr_array_unref);
  work->there = peer_list(&work->peer, work->schedule->name, &why);
  return work->there || failed(work, "", why);
}

/* --- on the way --- */

/* The newest of @snapshot's volume that both have, before it; NULL: none. */
static const ScheduleSnapshot *find_base(Work *work, const ScheduleSnapshot *snapshot)
{
  const ScheduleSnapshot *base = NULL;

  for (guint i = 0; i < work->here->len; i++) {
    const ScheduleSnapshot *s = work->here->pdata[i];

    if (strcmp(s->volume, snapshot->volume) == 0 && s->time < snapshot->time &&
        (!base || s->time > base->time) && find(work->there, s))
      base = s;
  }
  return base;
}

/* One stream has what is of one pool, and has the same base. */
static void send(Work *work, const char *pool, const char *base, GPtrArray *lvs)
{
  g_autofree char *where = g_strconcat(work->peer.vg, "/", work->peer.pool, NULL), *why = NULL;
  g_autoptr(GPtrArray) from = spawn_virt_thin("send"), to = NULL;

  if (base)
    g_ptr_array_add(from, g_strconcat("--since=", base, NULL));
  for (guint i = 0; i < lvs->len; i++)
    g_ptr_array_add(
        from, g_strdup_printf("%s/%s/%s", work->target->vg, pool, (const char *)lvs->pdata[i]));
  g_ptr_array_add(from, NULL);
  to = peer_command(&work->peer, (const char *const[]){"receive", where, NULL});
  why = spawn_pipe(from, to);
  if (why) {
    g_autofree char *what = g_strdup_printf("sending %s/%s to %s: ", work->target->vg,
                                            (char *)lvs->pdata[0], work->schedule->to);

    failed(work, what, why);
  } else {
    work->report->taken += lvs->len;
  }
}

typedef struct {
  const char *pool, *base; /* base NULL: none */
  GPtrArray *lvs;
} Stream;

static void stream_free(gpointer data)
{
  Stream *stream = data;

  g_ptr_array_unref(stream->lvs);
  g_free(stream);
}

static void add_to_stream(GPtrArray *streams, const ScheduleSnapshot *snapshot,
                          const ScheduleSnapshot *base)
{
  const char *since = base ? base->name : NULL;
  Stream *stream = NULL;

  for (guint i = 0; i < streams->len && !stream; i++) {
    Stream *other = streams->pdata[i];

    if (strcmp(other->pool, snapshot->pool) == 0 && g_strcmp0(other->base, since) == 0)
      stream = other;
  }
  if (!stream) {
    stream = g_new0(Stream, 1);
    stream->pool = snapshot->pool;
    stream->base = since;
    stream->lvs = g_ptr_array_new();
    g_ptr_array_add(streams, stream);
  }
  g_ptr_array_add(stream->lvs, snapshot->lv);
}

static void send_all(Work *work)
{
  g_autoptr(GPtrArray) streams = g_ptr_array_new_with_free_func(stream_free);

  for (guint i = 0; i < work->here->len; i++) {
    const ScheduleSnapshot *s = work->here->pdata[i];

    if (s->time == work->now)
      add_to_stream(streams, s, find_base(work, s));
  }
  for (guint i = 0; i < streams->len; i++) {
    const Stream *stream = streams->pdata[i];

    send(work, stream->pool, stream->base, stream->lvs);
  }
}

/* --- whose they are --- */

/* The snapshot that this run has taken of @volume, if it has come there; else NULL. */
static const char *arrived(Work *work, const char *volume)
{
  for (guint i = 0; work->here && work->there && i < work->here->len; i++) {
    const ScheduleSnapshot *s = work->here->pdata[i];

    if (s->time == work->now && strcmp(s->volume, volume) == 0 && find(work->there, s))
      return s->lv;
  }
  return NULL;
}

static void add_volumes(Work *work, Guests *guests)
{
  const char *vg = work->target->vg;

  for (guint i = 0; work->sets && i < work->sets->len; i++) {
    const ScheduleSet *set = work->sets->pdata[i];

    for (char **volume = (char **)set->volumes->pdata; *volume; volume++)
      guests_add(guests, vg, set->pool, *volume, arrived(work, *volume));
  }
  /* What volumes there are is not known, but what they were to be. */
  for (guint i = 0; !work->sets && i < work->target->names->len; i++)
    guests_add(guests, vg, "", work->target->names->pdata[i], NULL);
}

/* FALSE: told. */
static gboolean tell(Work *work, Guests *guests)
{
  g_autofree char *why = NULL, *text = guests_describe(guests, work->schedule, &work->peer,
                                                       g_get_host_name(), work->now);
  g_autoptr(GPtrArray) args =
      peer_command(&work->peer, (const char *const[]){"failover", "--learn", NULL});

  why = text ? spawn_feed(args, text) : NULL;
  if (why) {
    g_autofree char *what = g_strdup_printf("telling %s whose the volumes are: ", work->peer.host);

    return failed(work, what, why);
  }
  return TRUE;
}

/* --- what is not kept --- */

/* What is of guests that have not come whole stays there: it may be all that there is of them. */
static void remove_there(Work *work, Guests *guests)
{
  g_autoptr(GPtrArray) lvs = schedule_snapshots_unkept(work->there, &work->schedule->keep);
  g_autofree char *why = NULL;

  for (guint i = 0; i < work->there->len; i++) {
    const ScheduleSnapshot *s = work->there->pdata[i];
    guint at;

    if (!guests_is_whole(guests, work->target->vg, s->volume) &&
        g_ptr_array_find_with_equal_func(lvs, s->lv, g_str_equal, &at))
      g_ptr_array_remove_index(lvs, at);
  }
  if (lvs->len == 0)
    return;
  g_ptr_array_add(lvs, NULL);
  why = peer_remove(&work->peer, lvs);
  if (why)
    failed(work, work->peer.host, why);
}

/* Has @volume any that both have? Where it has none, the other host may be the wrong one: the rules
 * alone count. */
static gboolean has_common(Work *work, const char *volume)
{
  for (guint i = 0; i < work->here->len; i++) {
    const ScheduleSnapshot *s = work->here->pdata[i];

    if (strcmp(s->volume, volume) == 0 && find(work->there, s))
      return TRUE;
  }
  return FALSE;
}

/* What the other host has not goes, too: nothing goes on from that. */
static void remove_here(Work *work)
{
  g_autoptr(GPtrArray) counted = g_ptr_array_new(), lvs = NULL;
  g_autoptr(GError) local = NULL;
  VolumeGroup *group;

  for (guint i = 0; i < work->here->len; i++) {
    const ScheduleSnapshot *s = work->here->pdata[i];

    if (find(work->there, s) || !has_common(work, s->volume))
      g_ptr_array_add(counted, work->here->pdata[i]);
  }
  lvs = schedule_snapshots_unkept(counted, &work->schedule->keep);
  for (guint i = 0; i < work->here->len; i++) {
    const ScheduleSnapshot *s = work->here->pdata[i];

    if (!find(counted, s))
      g_ptr_array_add(lvs, g_strdup(s->lv));
  }
  if (lvs->len == 0)
    return;
  group = cli_open_patient(work->target->vg, 0, &local);
  if (group)
    schedule_snapshots_remove_named(group, work->target->vg, work->schedule, lvs, work->report);
  if (!group || !cli_close(group, &local))
    failed(work, "", local->message);
}

/* --- a run --- */

/* All of one volume group, until it has come there. FALSE: there is no other host to speak of. */
static gboolean bring(Work *work)
{
  g_autoptr(GError) local = NULL;

  if (!peer_parse(work->schedule, &work->peer, &local))
    return failed(work, "", local->message);
  /* A host that does not answer costs no snapshot. */
  if (!look_there(work) || !take(work))
    return FALSE;
  send_all(work);
  return look_there(work);
}

void schedule_replicate(const Schedule *s, GPtrArray *targets, gint64 now, ScheduleReport *report)
{
  g_autoptr(GPtrArray) works = g_ptr_array_new_with_free_func(work_free),
                       brought = g_ptr_array_new();
  g_autoptr(Guests) guests = guests_new();
  gboolean told;

  for (guint i = 0; i < targets->len; i++) {
    Work *work = g_new0(Work, 1);

    *work = (Work){.schedule = s, .target = targets->pdata[i], .report = report, .now = now};
    g_ptr_array_add(works, work);
    if (bring(work))
      g_ptr_array_add(brought, work);
    add_volumes(work, guests);
  }
  if (brought->len == 0)
    return;
  guests_group(guests);
  told = tell(brought->pdata[0], guests);
  for (guint i = 0; i < brought->len; i++) {
    if (told)
      remove_there(brought->pdata[i], guests);
    remove_here(brought->pdata[i]);
  }
}
