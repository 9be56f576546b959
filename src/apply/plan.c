/* virt-thin - storage apply: the plan
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Pools of ours are known by their UUID, the UUIDv5 of the storage's id. First those go that are
 * wanted no more, so that what they held is free for others; then comes the file, storage by
 * storage.
 */
#include <string.h>

#include "apply/apply.h"

#define INITIATOR_FILE "/etc/iscsi/initiatorname.iscsi" /* open-iscsi's */
#define KEYRINGS "/etc/pve/priv/ceph"

typedef struct {
  const StorageCfg *cfg;
  ApplyHost *host;
  const char *node;
  gboolean adopt;
  StorageCfgHost facts;
  ApplyPlan *plan;
  GHashTable *wanted; /* name of a pool -> id of the storage that it is of */
} Planner;

const char *apply_action_name(ApplyAction action)
{
  static const char *const names[] = {"create", "update",    "start",
                                      "stop",   "unchanged", "not possible"};

  return names[action];
}

static void step_free(ApplyStep *step)
{
  g_free(step->storage);
  g_free(step->pool);
  g_free(step->uuid);
  g_free(step->reason);
  g_free(step->ceph_key);
  g_ptr_array_unref(step->notes);
  g_clear_error(&step->error);
  g_free(step);
}

static ApplyStep *add_step(Planner *planner, const char *storage, ApplyAction action, char *reason)
{
  ApplyStep *step = g_new0(ApplyStep, 1);

  step->storage = g_strdup(storage);
  step->action = action;
  step->reason = reason;
  step->notes = g_ptr_array_new_with_free_func(g_free);
  g_ptr_array_add(planner->plan->steps, step);
  return step;
}

static void name_pool(ApplyStep *step, const char *name, const char *uuid, const char *type)
{
  step->pool = g_strdup(name);
  step->uuid = g_strdup(uuid);
  step->type = type;
}

/* --- what is ours --- */

/* The id of the storage that a pool was made for; NULL: not by us. */
static char *storage_of(const ApplyPool *pool)
{
  g_autofree char *uuid = storagecfg_pool_uuid(pool->name), *base = NULL, *key = NULL, *iso = NULL;

  if (strcmp(uuid, pool->uuid) == 0)
    return g_strdup(pool->name);
  if (!g_str_has_suffix(pool->name, "-iso"))
    return NULL;
  base = g_strndup(pool->name, strlen(pool->name) - strlen("-iso"));
  key = g_strconcat(base, "/iso", NULL);
  iso = storagecfg_pool_uuid(key);
  return strcmp(iso, pool->uuid) == 0 ? g_steal_pointer(&base) : NULL;
}

static gboolean is_meant(const Planner *planner, const StorageCfgStorage *storage)
{
  return !storage->broken && storagecfg_is_enabled(storage) &&
         storagecfg_is_on_node(storage, planner->node);
}

/* Another storage that is wanted here and has volumes in the same volume group. */
static const char *shares_group(const Planner *planner, const char *id, const char *vg)
{
  const GPtrArray *storages = storagecfg_storages(planner->cfg);

  for (guint i = 0; i < storages->len; i++) {
    const StorageCfgStorage *other = storages->pdata[i];

    if (strcmp(other->id, id) != 0 && is_meant(planner, other) &&
        g_strcmp0(storagecfg_string(other, "vgname"), vg) == 0)
      return other->id;
  }
  return NULL;
}

/* Why a pool that is to be stopped is not; NULL: nothing against it. */
static char *why_not_stop(const Planner *planner, const ApplyPool *pool, const char *id)
{
  const char *user = apply_host_user(planner->host, pool),
             *type = g_hash_table_lookup(pool->defined, "type"),
             *vg = g_hash_table_lookup(pool->defined, "source name"), *other;

  if (user)
    return g_strdup_printf("domain %s uses it", user);
  if (!apply_host_sees_domains(planner->host))
    return g_strdup("who uses it cannot be seen over this connection: take one that has domains, "
                    "as qemu:///system");
  if (g_strcmp0(type, "logical") != 0 || !vg || strchr(vg, '/'))
    return NULL;
  other = shares_group(planner, id, vg);
  return other
             ? g_strdup_printf("stopping it would take volume group %s from storage %s", vg, other)
             : NULL;
}

/* --- what is wanted no more --- */

/* A section that does not say what it means says not that its storage is gone either. */
static gboolean is_unclear(const StorageCfg *cfg, const char *id)
{
  const GPtrArray *warnings = storagecfg_warnings(cfg);
  const StorageCfgStorage *storage = storagecfg_find(cfg, id);

  if (storage)
    return storage->broken;
  for (guint i = 0; i < warnings->len; i++) {
    const StorageCfgWarning *warning = warnings->pdata[i];

    if (warning->verdict == STORAGECFG_SKIPPED && g_strcmp0(warning->section, id) == 0)
      return TRUE;
  }
  return FALSE;
}

static void stop_pool(Planner *planner, const ApplyPool *pool, const char *id, const char *why,
                      gboolean undefine)
{
  g_autofree char *against = pool->active ? why_not_stop(planner, pool, id) : NULL;
  ApplyStep *step;

  if (against) {
    step = add_step(planner, id, APPLY_UNCHANGED,
                    g_strdup_printf("%s, but not stopped: %s", why, against));
  } else if (!pool->active && !undefine && !pool->autostart) {
    step = add_step(planner, id, APPLY_UNCHANGED, g_strdup(why));
  } else {
    step = add_step(planner, id, APPLY_STOP,
                    g_strconcat(why, undefine ? ": stopped and undefined" : NULL, NULL));
    step->stop = pool->active;
    step->undefine = undefine && pool->persistent;
    step->no_autostart = !undefine && pool->autostart;
  }
  name_pool(step, pool->name, pool->uuid, g_hash_table_lookup(pool->defined, "type"));
}

static void plan_pool_of_ours(Planner *planner, const ApplyPool *pool, const char *id)
{
  const StorageCfgStorage *storage = storagecfg_find(planner->cfg, id);
  g_autofree char *why = NULL;

  if (is_unclear(planner->cfg, id) || g_hash_table_contains(planner->wanted, pool->name))
    return;
  if (!storage)
    why = g_strdup("its storage is not in the file any more");
  else if (!storagecfg_is_enabled(storage))
    why = g_strdup("the storage is disabled");
  else if (!storagecfg_is_on_node(storage, planner->node))
    why = g_strdup_printf("the storage is not for node %s", planner->node);
  else
    why = g_strdup("the storage has no such pool any more");
  stop_pool(planner, pool, id, why, !storage || is_meant(planner, storage));
}

/* A pool in a mount comes after it in @pools: they are sorted by name, and it is stopped first. */
static gint compare_backwards(gconstpointer a, gconstpointer b)
{
  return strcmp((*(ApplyPool *const *)b)->name, (*(ApplyPool *const *)a)->name);
}

static void plan_stops(Planner *planner)
{
  const GPtrArray *pools = apply_host_pools(planner->host);
  g_autoptr(GPtrArray) sorted = g_ptr_array_new();

  for (guint i = 0; i < pools->len; i++)
    g_ptr_array_add(sorted, pools->pdata[i]);
  g_ptr_array_sort(sorted, compare_backwards);
  for (guint i = 0; i < sorted->len; i++) {
    g_autofree char *id = storage_of(sorted->pdata[i]);

    if (id)
      plan_pool_of_ours(planner, sorted->pdata[i], id);
  }
}

/* --- what is wanted --- */

/* Of a folder that is to be a mount point and is none: where; NULL: all is well, or it cannot be
 * known. */
static const char *missing_mount(const Planner *planner, const StorageCfgStorage *storage)
{
  const char *text = storagecfg_string(storage, "is_mountpoint"),
             *path = storagecfg_string(storage, "path");
  g_autofree char *mounts = NULL, *real = NULL, *needle = NULL;
  gboolean flag;

  if (!text || !apply_host_is_local(planner->host))
    return NULL;
  if (!storagecfg_parse_boolean(text, &flag))
    path = text;
  else if (!flag)
    return NULL;
  real = realpath(path, NULL);
  needle = g_strdup_printf(" %s ", real ? real : path);
  return real && g_file_get_contents("/proc/self/mounts", &mounts, NULL, NULL) &&
                 strstr(mounts, needle)
             ? NULL
             : path;
}

/* The key in a Ceph keyring: "key = …". */
static char *read_key(const char *text)
{
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

  for (char **line = lines; *line; line++) {
    const char *equals = strchr(*line, '=');

    if (equals && g_str_has_prefix(g_strchug(*line), "key"))
      return g_strstrip(g_strdup(strchr(*line, '=') + 1));
  }
  return NULL;
}

static char *find_key(const StorageCfgStorage *storage)
{
  const char *given = storagecfg_string(storage, "keyring");
  g_autofree char *path = given && g_path_is_absolute(given)
                              ? g_strdup(given)
                              : g_strdup_printf(KEYRINGS "/%s.keyring", storage->id),
                  *text = NULL;

  return g_file_get_contents(path, &text, NULL, NULL) ? read_key(text) : NULL;
}

static char *describe_source(const StorageCfgPool *pool)
{
  g_autoptr(GHashTable) fields = apply_fields(pool->document);
  const char *host = g_hash_table_lookup(fields, "host"),
             *name = g_hash_table_lookup(fields, "source name"),
             *dir = g_hash_table_lookup(fields, "folder on the host"),
             *device = g_hash_table_lookup(fields, "device");
  GString *text = g_string_new(pool->type);

  g_string_append(text, " pool");
  if (name)
    g_string_append_printf(text, " %s", name);
  if (device)
    g_string_append_printf(text, " %s", device);
  if (host)
    g_string_append_printf(text, " on %s", host);
  if (dir)
    g_string_append_printf(text, ", %s", dir);
  if (pool->target && !name && !device)
    g_string_append_printf(text, "%s %s", host ? ", at" : "", pool->target);
  return g_string_free(text, FALSE);
}

static ApplyStep *refuse(Planner *planner, const char *id, const StorageCfgPool *pool, char *reason)
{
  ApplyStep *step = add_step(planner, id, APPLY_NOT_POSSIBLE, reason);

  name_pool(step, pool->name, pool->uuid, pool->type);
  return step;
}

static void plan_change(Planner *planner, const StorageCfgStorage *storage,
                        const StorageCfgPool *want, const ApplyPool *have, ApplyStep *step)
{
  g_autoptr(GHashTable) fields = apply_fields(want->document);
  g_autofree char *defined = apply_difference(fields, have->defined),
                  *live = have->live ? apply_difference(fields, have->live) : NULL;
  const char *user = live ? apply_host_user(planner->host, have) : NULL;
  g_autofree char *against = live && !user ? why_not_stop(planner, have, storage->id) : NULL;

  step->define = defined || !have->persistent;
  step->autostart = !have->autostart;
  step->stop = live && !user && !against;
  step->start = !have->active || step->stop;
  step->build = step->start && want->makes_folders;
  if (step->define || step->stop || (step->autostart && have->active))
    step->action = APPLY_UPDATE;
  else
    step->action = have->active ? APPLY_UNCHANGED : APPLY_START;
  if (live && (user || against))
    step->reason =
        g_strdup_printf("%s%srunning with %s until it is started anew: %s%s",
                        defined ? defined : "", defined ? "; " : "", "the old definition",
                        user ? "in use by domain " : "", user ? user : against);
  else if (defined || live)
    step->reason = g_strdup(defined ? defined : live);
  else if (step->action == APPLY_UPDATE)
    step->reason = g_strdup(have->persistent ? "autostart" : "it is not defined to last");
  else
    step->reason = describe_source(want);
}

/* --- what somebody else has defined --- */

/* A pool that is not of our making and over the source of @want, though it may have another name;
 * NULL: none. */
static const ApplyPool *find_theirs(const Planner *planner, const StorageCfgPool *want)
{
  const GPtrArray *pools = apply_host_pools(planner->host);
  g_autoptr(GHashTable) fields = apply_fields(want->document);
  const ApplyPool *found = NULL;

  for (guint i = 0; i < pools->len; i++) {
    const ApplyPool *pool = pools->pdata[i];
    gboolean named = strcmp(pool->name, want->name) == 0;
    g_autofree char *ours = storage_of(pool);

    if (!ours && (named || !g_hash_table_contains(planner->wanted, pool->name)) &&
        apply_is_same_source(fields, pool->defined) && (!found || named))
      found = pool;
  }
  return found;
}

static void leave_theirs(Planner *planner, const StorageCfgStorage *storage,
                         const StorageCfgPool *want, const ApplyPool *theirs, const char *why)
{
  g_autofree char *source = describe_source(want);
  gboolean named = strcmp(theirs->name, want->name) == 0;
  ApplyStep *step =
      add_step(planner, storage->id, APPLY_UNCHANGED,
               g_strdup_printf("yours%s%s: %s; %s", named ? "" : ", under another name than ",
                               named ? "" : want->name, source,
                               why ? why : "--adopt makes it one that storage apply keeps"));

  name_pool(step, theirs->name, theirs->uuid, want->type);
  step->at_rest = !theirs->active;
  if (step->at_rest)
    g_ptr_array_add(step->notes, g_strdup_printf("it does not run: virsh pool-start %s starts it",
                                                 theirs->name));
}

static void plan_adoption(Planner *planner, const StorageCfgStorage *storage,
                          const StorageCfgPool *want, const ApplyPool *theirs)
{
  g_autoptr(GHashTable) fields = apply_fields(want->document);
  g_autofree char *against = theirs->active || strcmp(theirs->name, want->name) != 0
                                 ? why_not_stop(planner, theirs, storage->id)
                                 : NULL,
                  *why = against ? g_strdup_printf("not adopted: %s", against) : NULL,
                  *difference = apply_difference(fields, theirs->defined);
  ApplyStep *step;

  if (why) {
    leave_theirs(planner, storage, want, theirs, why);
    return;
  }
  step = add_step(planner, storage->id, APPLY_UPDATE,
                  g_strdup_printf("adopted: pool %s with UUID %s was defined by somebody else%s%s",
                                  theirs->name, theirs->uuid, difference ? "; " : "",
                                  difference ? difference : ""));
  name_pool(step, want->name, want->uuid, want->type);
  step->want = want;
  step->adopt = theirs;
  step->define = difference != NULL;
  step->start = step->autostart = TRUE;
  step->build = want->makes_folders;
}

/* --- pools --- */

/* What stands in the way of the pool; NULL: nothing. */
static char *find_conflict(const Planner *planner, const StorageCfgStorage *storage,
                           const StorageCfgPool *want)
{
  const ApplyPool *have = apply_host_find(planner->host, want->name),
                  *same = apply_host_find_uuid(planner->host, want->uuid);
  const char *other = g_hash_table_lookup(planner->wanted, want->name);

  if (other && strcmp(other, storage->id) != 0)
    return g_strdup_printf("storage %s has a pool of that name", other);
  if (same && same != have)
    return g_strdup_printf("conflict: pool %s has its UUID %s", same->name, same->uuid);
  if (have && have != same && have != find_theirs(planner, want)) {
    g_autoptr(GHashTable) fields = apply_fields(want->document);
    g_autofree char *difference = apply_difference(fields, have->defined);

    return g_strdup_printf("conflict: pool %s is there, with UUID %s, and not of virt-thin's "
                           "making (%s): rename or undefine it",
                           have->name, have->uuid, difference ? difference : "of another storage");
  }
  return NULL;
}

/* Why this libvirt cannot have the pool @have, or NULL; NULL: it can. */
static char *why_not_here(const Planner *planner, const StorageCfgStorage *storage,
                          const StorageCfgPool *want, const ApplyPool *have)
{
  const char *mount = missing_mount(planner, storage);

  if (!apply_host_supports(planner->host, want->type))
    return g_strdup_printf("this libvirt has no backend for %s pools: install it (Debian: "
                           "libvirt-daemon-driver-storage-%s)",
                           want->type, want->type);
  return mount && !(have && have->active)
             ? g_strdup_printf("%s is to be a mount point, and nothing is mounted there", mount)
             : NULL;
}

static void plan_secret(Planner *planner, const StorageCfgStorage *storage, ApplyStep *step)
{
  const char *uuid = step->want ? step->want->secret_uuid : NULL;

  if (!uuid || apply_has_secret(planner->host, uuid))
    return;
  step->ceph_key = apply_host_is_local(planner->host) ? find_key(storage) : NULL;
  if (!step->ceph_key)
    g_ptr_array_add(
        step->notes,
        g_strdup_printf("the key is not there: set it by `virsh secret-set-value %s --file KEY`",
                        uuid));
}

/* Of our own making, there or not. */
static void plan_ours(Planner *planner, const StorageCfgStorage *storage,
                      const StorageCfgPool *want, const ApplyPool *have)
{
  ApplyStep *step = add_step(planner, storage->id, APPLY_CREATE, NULL);

  name_pool(step, want->name, want->uuid, want->type);
  step->want = want;
  if (have) {
    plan_change(planner, storage, want, have, step);
  } else {
    step->reason = describe_source(want);
    step->define = step->start = step->autostart = TRUE;
    step->build = want->makes_folders;
  }
}

static void plan_pool(Planner *planner, const StorageCfgStorage *storage,
                      const StorageCfgPool *want)
{
  const ApplyPool *ours = apply_host_find_uuid(planner->host, want->uuid),
                  *theirs = ours ? NULL : find_theirs(planner, want);
  char *conflict = find_conflict(planner, storage, want), *why = NULL;

  if (conflict)
    refuse(planner, storage->id, want, conflict)->conflict = TRUE;
  else if (theirs && !planner->adopt)
    leave_theirs(planner, storage, want, theirs, NULL);
  else if ((why = why_not_here(planner, storage, want, theirs ? theirs : ours)))
    refuse(planner, storage->id, want, why);
  else if (theirs)
    plan_adoption(planner, storage, want, theirs);
  else
    plan_ours(planner, storage, want, ours);
  plan_secret(planner, storage,
              g_ptr_array_index(planner->plan->steps, planner->plan->steps->len - 1));
}

static void plan_storage(Planner *planner, const StorageCfgStorage *storage)
{
  StorageCfgHost facts = planner->facts;
  StorageCfgPools *pools;
  guint first = planner->plan->steps->len;
  g_autofree char *key = NULL;

  if (strcmp(storage->type->name, "rbd") == 0 && apply_host_is_local(planner->host))
    key = find_key(storage);
  facts.ceph_keyring = key != NULL;
  pools = storagecfg_pools_new(storage, &facts);
  g_ptr_array_add(planner->plan->kept, pools);
  if (key)
    memset(key, 0, strlen(key));
  if (pools->why_not)
    add_step(planner, storage->id, APPLY_NOT_POSSIBLE, g_strdup(pools->why_not));
  for (guint i = 0; i < pools->pools->len; i++) {
    guint n = planner->plan->steps->len;

    plan_pool(planner, storage, pools->pools->pdata[i]);
    if (i > 0 && strcmp(((StorageCfgPool *)pools->pools->pdata[0])->type, "netfs") == 0)
      ((ApplyStep *)planner->plan->steps->pdata[n])->mount = planner->plan->steps->pdata[first];
  }
  for (guint i = 0; i < pools->notes->len; i++)
    g_ptr_array_add(((ApplyStep *)planner->plan->steps->pdata[first])->notes,
                    g_strdup(pools->notes->pdata[i]));
  if (storage->replaced)
    g_ptr_array_add(
        ((ApplyStep *)planner->plan->steps->pdata[first])->notes,
        g_strdup_printf(
            "\"local\" is always the folder /var/lib/vz: what line %u and those behind it say "
            "is not used",
            storage->line));
}

/* The names of all pools that will be, each by the first storage that wants it. */
static void collect_wanted(Planner *planner, const GPtrArray *storages)
{
  for (guint i = 0; i < storages->len; i++) {
    const StorageCfgStorage *storage = storages->pdata[i];
    g_autoptr(StorageCfgPools) pools =
        is_meant(planner, storage) ? storagecfg_pools_new(storage, &planner->facts) : NULL;

    for (guint j = 0; pools && j < pools->pools->len; j++) {
      const char *name = ((StorageCfgPool *)pools->pools->pdata[j])->name;

      if (!g_hash_table_contains(planner->wanted, name))
        g_hash_table_insert(planner->wanted, g_strdup(name), storage->id);
    }
  }
}

static void plan_storages(Planner *planner, const GPtrArray *storages)
{
  for (guint i = 0; i < storages->len; i++) {
    const StorageCfgStorage *storage = storages->pdata[i];

    if (storage->broken)
      add_step(planner, storage->id, APPLY_NOT_POSSIBLE,
               g_strdup_printf("its section in line %u is broken, see virt-thin storage check",
                               storage->line));
    else if (is_meant(planner, storage))
      plan_storage(planner, storage);
  }
}

/* "InitiatorName=iqn.…" */
static char *read_initiator(void)
{
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;

  if (!g_file_get_contents(INITIATOR_FILE, &text, NULL, NULL))
    return NULL;
  lines = g_strsplit(text, "\n", -1);
  for (char **line = lines; *line; line++)
    if (g_str_has_prefix(*line, "InitiatorName=iqn."))
      return g_strstrip(g_strdup(*line + strlen("InitiatorName=")));
  return NULL;
}

ApplyPlan *apply_plan_new(const StorageCfg *cfg, ApplyHost *host, const char *node, gboolean adopt)
{
  g_autofree char *initiator = apply_host_is_local(host) ? read_initiator() : NULL;
  Planner planner = {
      .cfg = cfg, .host = host, .node = node, .adopt = adopt, .facts = {.initiator = initiator}};
  ApplyPlan *plan = g_new0(ApplyPlan, 1);

  plan->steps = g_ptr_array_new_with_free_func((GDestroyNotify)step_free);
  plan->kept = g_ptr_array_new_with_free_func((GDestroyNotify)storagecfg_pools_free);
  planner.plan = plan;
  planner.wanted = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  collect_wanted(&planner, storagecfg_storages(cfg));
  collect_wanted(&planner, storagecfg_retired(cfg));
  plan_stops(&planner);
  plan_storages(&planner, storagecfg_storages(cfg));
  plan_storages(&planner, storagecfg_retired(cfg));
  g_hash_table_unref(planner.wanted);
  return plan;
}

void apply_plan_free(ApplyPlan *plan)
{
  if (!plan)
    return;
  g_ptr_array_unref(plan->steps);
  g_ptr_array_unref(plan->kept);
  g_free(plan);
}

/* --- doing it --- */

static gboolean run_step(ApplyStep *step, ApplyHost *host)
{
  GError **error = &step->error;

  if (step->stop && !apply_stop(host, step->uuid, error))
    return FALSE;
  if (step->undefine && !apply_undefine(host, step->uuid, error))
    return FALSE;
  if (step->no_autostart && !apply_set_autostart(host, step->uuid, FALSE, error))
    return FALSE;
  if (step->want && step->want->secret_uuid &&
      !apply_secret(host, step->want->secret_uuid, step->storage, step->ceph_key, error))
    return FALSE;
  if (step->adopt && !apply_adopt(host, step->adopt, step->pool, step->uuid, error))
    return FALSE;
  if (step->define && !apply_define(host, step->want, error))
    return FALSE;
  if (step->autostart && !apply_set_autostart(host, step->uuid, TRUE, error))
    return FALSE;
  if (!step->start)
    return TRUE;
  /* A folder made where the share is not mounted would be in its way. */
  if (step->mount &&
      (step->mount->error || step->mount->at_rest || step->mount->action == APPLY_NOT_POSSIBLE))
    return vt_set_error(error, ENOTCONN,
                        "pool %s is not started: pool %s, which mounts its folder, is not",
                        step->pool, step->mount->pool);
  return apply_start(host, step->uuid, step->build, error);
}

gboolean apply_plan_run(ApplyPlan *plan, ApplyHost *host)
{
  gboolean ok = TRUE;

  for (guint i = 0; i < plan->steps->len; i++) {
    ApplyStep *step = plan->steps->pdata[i];

    if (step->action == APPLY_NOT_POSSIBLE || step->action == APPLY_UNCHANGED)
      continue;
    step->done = run_step(step, host);
    ok = ok && step->done;
  }
  return ok;
}
