/* virt-thin - failover: replicas become volumes, and the guests that had them are defined
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/failover.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/cli.h"
#include "schedule/failover-domains.h"
#include "schedule/first-host.h"
#include "schedule/history.h"
#include "schedule/nvram.h"
#include "settings/settings.h"

typedef struct {
  char *name;
  PoolHolder holder;
  GPtrArray *volumes; /* of PoolVolumeInfo */
} Vg;

typedef struct {
  const Replica *replica;
  const Vg *vg;
  GPtrArray *domains; /* of FailoverDomain *; NULL: none are to be defined */
} Plan;

typedef struct {
  const Failover *options;
  GPtrArray *replicas;    /* of Replica *, the newest first */
  GPtrArray *vgs, *plans; /* of Vg *, of Plan * */
  ApplyDomains *domains;
} Work;

static void vg_free(gpointer data)
{
  Vg *vg = data;

  g_free(vg->name);
  g_ptr_array_unref(vg->volumes);
  g_free(vg);
}

static void plan_free(gpointer data)
{
  Plan *plan = data;

  if (plan->domains)
    g_ptr_array_unref(plan->domains);
  g_free(plan);
}

static void work_clear(Work *work)
{
  g_clear_pointer(&work->plans, g_ptr_array_unref);
  g_clear_pointer(&work->vgs, g_ptr_array_unref);
  g_clear_pointer(&work->replicas, g_ptr_array_unref);
  g_clear_pointer(&work->domains, apply_domains_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Work, work_clear)

static void work_init(Work *work)
{
  work->replicas = replicas_list();
  work->vgs = g_ptr_array_new_with_free_func(vg_free);
  work->plans = g_ptr_array_new_with_free_func(plan_free);
}

static char *format_time(gint64 seconds)
{
  g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(seconds);

  return time ? g_date_time_format(time, "%F %T") : g_strdup("-");
}

/* --- which replicas --- */

static const Vg *look_at(Work *work, const char *name, GError **error)
{
  VolumeGroup *group;
  Vg *vg;

  for (guint i = 0; i < work->vgs->len; i++)
    if (strcmp(((const Vg *)work->vgs->pdata[i])->name, name) == 0)
      return work->vgs->pdata[i];
  group = cli_open_patient(name, POOL_READ_ONLY, error);
  if (!group)
    return NULL;
  vg = g_new0(Vg, 1);
  vg->name = g_strdup(name);
  vg->holder = pool_get_holder(group);
  vg->volumes = pool_list_volumes(group, NULL, error);
  if (!vg->volumes) {
    vg->volumes = g_ptr_array_new();
    vg_free(vg);
    pool_unref(group);
    return NULL;
  }
  g_ptr_array_add(work->vgs, vg);
  return cli_close(group, error) ? vg : NULL;
}

static const PoolVolumeInfo *find_volume(const Vg *vg, const char *name)
{
  for (guint i = 0; i < vg->volumes->len; i++)
    if (strcmp(((const PoolVolumeInfo *)vg->volumes->pdata[i])->name, name) == 0)
      return vg->volumes->pdata[i];
  return NULL;
}

/* The snapshot of it that is not here as it was received; NULL: it is whole. */
static const char *missing(const Vg *vg, const Replica *r)
{
  g_autoptr(GPtrArray) there = schedule_snapshots_received(vg->volumes, r->schedule);

  return replica_missing(r, there);
}

/* The volume here that is no clone of its snapshot, and so in the way; NULL: none. *n: how many are
 * there. */
static const char *in_the_way(const Vg *vg, const Replica *r, guint *n)
{
  *n = 0;
  for (guint i = 0; r->volumes[i]; i++) {
    const PoolVolumeInfo *info = find_volume(vg, replica_lv(r->volumes[i]));

    if (info && (info->read_only || g_strcmp0(info->origin, r->snapshots[i]) != 0))
      return info->name;
    *n += info != NULL;
  }
  return NULL;
}

static gboolean is_guest(const Replica *r, const char *guest)
{
  if (strcmp(r->guest, guest) == 0)
    return TRUE;
  for (guint i = 0; i < r->domains->len; i++)
    if (strcmp(((const ReplicaDomain *)r->domains->pdata[i])->name, guest) == 0)
      return TRUE;
  return FALSE;
}

/* Why none of guest @guest's can be taken, of which @r is the newest. */
static gboolean none(const Replica *r, const char *lacks, const char *obstacle, GError **error)
{
  if (obstacle)
    return vt_set_error(error, EEXIST,
                        "guest %s: %s/%s is here already, and is no clone of a replica that is "
                        "here: rename or remove it",
                        r->guest, r->vg, obstacle);
  return vt_set_error(error, ENOENT,
                      "guest %s: its replicas are not complete, of the newest %s/%s is missing",
                      r->guest, r->vg, lacks);
}

/* The newest at which @guest is whole, and that is gone on with if some of it was made. */
static Plan *choose(Work *work, const char *guest, const char *from, GError **error)
{
  const char *lacks = NULL, *obstacle = NULL;
  const Replica *newest = NULL;

  for (guint i = 0; i < work->replicas->len; i++) {
    const Replica *r = work->replicas->pdata[i];
    const char *lack, *other = NULL;
    const Vg *vg;
    guint n;

    if (!is_guest(r, guest) || (from && strcmp(r->host, from) != 0))
      continue;
    if (newest && strcmp(newest->host, r->host) != 0) {
      vt_set_error(error, EINVAL,
                   "guest %s: there are replicas from %s and from %s: --from says "
                   "which are meant",
                   guest, newest->host, r->host);
      return NULL;
    }
    if (!(vg = look_at(work, r->vg, error)))
      return NULL;
    lack = missing(vg, r);
    other = lack ? NULL : in_the_way(vg, r, &n);
    if (!lack && !other) {
      Plan *plan = g_new0(Plan, 1);

      plan->replica = r;
      plan->vg = vg;
      return plan;
    }
    newest = newest ? newest : r;
    lacks = lacks ? lacks : lack;
    obstacle = obstacle ? obstacle : other;
  }
  if (newest)
    none(newest, lacks, obstacle, error);
  else
    vt_set_error(error, ENOENT, "there are no replicas of a guest %s%s%s here", guest,
                 from ? " from " : "", from ? from : "");
  return NULL;
}

/* --- the plan --- */

static gboolean add_plan(Work *work, const char *guest, GError **error)
{
  Plan *plan = choose(work, guest, work->options->from, error);

  if (!plan)
    return FALSE;
  for (guint i = 0; i < work->plans->len; i++)
    if (((const Plan *)work->plans->pdata[i])->replica == plan->replica) {
      plan_free(plan);
      return TRUE;
    }
  g_ptr_array_add(work->plans, plan);
  return TRUE;
}

static gboolean add_plans(Work *work, GError **error)
{
  const Failover *f = work->options;
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

  for (char **guest = f->guests; *guest; guest++)
    if (!add_plan(work, *guest, error))
      return FALSE;
  for (guint i = 0; !*f->guests && i < work->replicas->len; i++) {
    const Replica *r = work->replicas->pdata[i];

    if (strcmp(r->host, f->from) == 0 && g_hash_table_add(seen, r->guest) &&
        !add_plan(work, r->guest, error))
      return FALSE;
  }
  return work->plans->len > 0 ||
         vt_set_error(error, ENOENT, "there are no replicas from %s here", f->from);
}

static gboolean plan_domains(Work *work, GError **error)
{
  for (guint i = 0; i < work->plans->len; i++) {
    Plan *plan = work->plans->pdata[i];

    if (plan->replica->domains->len == 0)
      continue;
    if (!work->domains && !(work->domains = apply_domains_open(error))) {
      g_prefix_error(error,
                     "guest %s: its domain cannot be defined (--volumes-only leaves that "
                     "out): ",
                     plan->replica->guest);
      return FALSE;
    }
    plan->domains =
        failover_domains(plan->replica, plan->vg->holder, plan->vg->volumes, work->domains, error);
    if (!plan->domains) {
      g_prefix_error(error, "guest %s: ", plan->replica->guest);
      return FALSE;
    }
  }
  return TRUE;
}

/* Each once. */
static gboolean ask_hosts(Work *work, GError **error)
{
  g_autoptr(GHashTable) asked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; i < work->plans->len; i++) {
    const Replica *r = ((const Plan *)work->plans->pdata[i])->replica;
    char *key = g_strconcat(r->host, "/", r->address, NULL);

    if (g_hash_table_add(asked, key) &&
        !first_host_is_gone(r, work->options->ssh, work->options->host, error))
      return FALSE;
  }
  return TRUE;
}

/* --- doing it --- */

static gboolean is_made(const Plan *plan, guint i)
{
  return find_volume(plan->vg, replica_lv(plan->replica->volumes[i])) != NULL;
}

/* What was made before one failed goes again. */
static gboolean make_volumes(const Plan *plan, GError **error)
{
  const Replica *r = plan->replica;
  g_autoptr(GPtrArray) made = g_ptr_array_new();
  VolumeGroup *group;
  gboolean ok = TRUE;
  guint n;

  in_the_way(plan->vg, r, &n);
  if (n == g_strv_length(r->volumes))
    return TRUE;
  group = cli_open_patient(r->vg, 0, error);
  if (!group)
    return FALSE;
  for (guint i = 0; ok && r->volumes[i]; i++) {
    const char *lv = replica_lv(r->volumes[i]);

    if (is_made(plan, i))
      continue;
    ok = pool_clone(group, r->snapshots[i], lv, 0, error);
    if (ok)
      g_ptr_array_add(made, (gpointer)lv);
  }
  g_ptr_array_add(made, NULL);
  if (!ok && made->len > 1)
    pool_remove(group, (const char *const *)made->pdata, FALSE, NULL);
  return cli_close(group, error) && ok;
}

static void tell_volumes(const Plan *plan)
{
  const Replica *r = plan->replica;
  g_autofree char *time = format_time(r->time);

  printf("guest %s, from %s, as of %s\n", r->guest, r->host, time);
  for (guint i = 0; r->volumes[i]; i++)
    printf("  volume %s/%s from %s%s\n", r->vg, replica_lv(r->volumes[i]), r->snapshots[i],
           is_made(plan, i) ? " (there already)" : "");
}

/* Of the first host; what is here already may be newer, and stays. */
static gboolean put_nvram(const FailoverDomain *d, gboolean dry_run, GError **error)
{
  g_autofree char *path = NULL;
  NvramPut put;

  if (!nvram_put(d->document, d->domain->nvram, dry_run, &put, &path, error)) {
    g_prefix_error(error, "domain %s: ", d->domain->name);
    return FALSE;
  }
  if (put == NVRAM_WRITTEN || put == NVRAM_SAME)
    printf("  UEFI variables of domain %s in %s%s\n", d->domain->name, path,
           put == NVRAM_SAME ? " (there already)" : "");
  if (put == NVRAM_OTHER)
    cli_warn("note: %s is here already, with other UEFI variables of domain %s than the first "
             "host's, and stays",
             path, d->domain->name);
  return TRUE;
}

static gboolean finish_domain(Work *work, const FailoverDomain *d, GError **error)
{
  const Failover *f = work->options;
  gboolean start = f->start && !d->is_active;

  if (!d->is_defined && !put_nvram(d, f->dry_run, error))
    return FALSE;
  if (!f->dry_run && !d->is_defined &&
      !apply_domains_define(work->domains, d->domain->name, d->document, error))
    return FALSE;
  printf("  domain %s %s\n", d->domain->name,
         d->is_active    ? "(runs already)"
         : d->is_defined ? "(there already)"
                         : "defined");
  if (start && !f->dry_run && !apply_domains_start(work->domains, d->domain->name, error))
    return FALSE;
  if (start)
    printf("  domain %s started\n", d->domain->name);
  return TRUE;
}

static gboolean carry_out(Work *work, GError **error)
{
  for (guint i = 0; i < work->plans->len; i++) {
    const Plan *plan = work->plans->pdata[i];

    if (!work->options->dry_run && !make_volumes(plan, error))
      return FALSE;
    tell_volumes(plan);
    for (guint j = 0; plan->domains && j < plan->domains->len; j++)
      if (!finish_domain(work, plan->domains->pdata[j], error))
        return FALSE;
  }
  return TRUE;
}

/* -1: @error. Held until it is closed. */
static int lock(GError **error)
{
  g_autofree char *folder = g_build_filename(settings_state_dir(), "replicas", NULL),
                  *path = g_build_filename(folder, "lock", NULL);
  int fd = settings_make_folder(folder, error)
               ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)
               : -1;

  if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
    return fd;
  if (fd >= 0 && errno == EWOULDBLOCK)
    vt_set_error(error, EBUSY, "another failover is under way");
  else if (!error || !*error)
    vt_set_errno(error, errno, "cannot lock %s", path);
  if (fd >= 0)
    close(fd);
  return -1;
}

gboolean failover_run(const Failover *f, GError **error)
{
  g_auto(Work) work = {.options = f};
  int fd = lock(error);
  gboolean ok;

  if (fd < 0)
    return FALSE;
  work_init(&work);
  ok = add_plans(&work, error) && (f->volumes_only || plan_domains(&work, error)) &&
       (f->force || ask_hosts(&work, error)) && carry_out(&work, error);
  close(fd);
  return ok;
}

/* --- what there is --- */

static char *describe_domains(const Replica *r)
{
  GString *text = g_string_new(r->domains->len ? NULL : "-");

  for (guint i = 0; i < r->domains->len; i++)
    g_string_append_printf(text, "%s%s", i ? "," : "",
                           ((const ReplicaDomain *)r->domains->pdata[i])->name);
  return g_string_free(text, FALSE);
}

static void list_guest(Work *work, const Replica *newest)
{
  g_autoptr(GError) local = NULL;
  Plan *plan = choose(work, newest->guest, newest->host, &local);
  const Replica *r = plan ? plan->replica : newest;
  g_autofree char *time = format_time(r->time), *domains = describe_domains(r);
  const char *state = local ? local->message : "ready";
  guint n;

  if (plan && !in_the_way(plan->vg, r, &n) && n == g_strv_length(r->volumes))
    state = "here";
  printf("%-12s %-16s %-19s %s/%s %s %s\n", r->guest, r->host, time, r->vg, r->pool, domains,
         state);
  if (plan)
    plan_free(plan);
}

gboolean failover_list(const char *from, GError **error)
{
  g_auto(Work) work = {0};
  g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

  work_init(&work);
  if (work.replicas->len)
    printf("%-12s %-16s %-19s %s\n", "GUEST", "FROM", "AS OF", "POOL DOMAIN STATE");
  for (guint i = 0; i < work.replicas->len; i++) {
    const Replica *r = work.replicas->pdata[i];

    if ((!from || strcmp(r->host, from) == 0) &&
        g_hash_table_add(seen, g_strconcat(r->host, "/", r->guest, NULL)))
      list_guest(&work, r);
  }
  return TRUE;
}

/* --- what is told --- */

/* What the first host has removed is forgotten; if that cannot be seen, by the next. */
static void prune(const Replica *head)
{
  g_autoptr(GError) local = NULL;
  VolumeGroup *group = cli_open_patient(head->vg, POOL_READ_ONLY, &local);
  g_autoptr(GPtrArray) volumes = group ? pool_list_volumes(group, NULL, &local) : NULL;
  g_autoptr(GPtrArray) there =
      volumes ? schedule_snapshots_received(volumes, head->schedule) : NULL;

  if (there)
    replicas_prune(head, there);
  if (group)
    pool_unref(group);
}

gboolean failover_learn(const char *text, const char *address, GError **error)
{
  g_autoptr(Replica) head = replicas_head(text, error);

  if (!head || !replicas_keep(text, address, error))
    return FALSE;
  prune(head);
  return TRUE;
}
