/* virt-thin - the bundled pool: carrying out a change
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What is to be done plan.c decides; here all its steps become one commit of the VG's text
 * (bundled/commit.c). Each kind of step has up to two parts: one before the commit, which adds
 * to the messages for the thin pool and does what must be durable first, and one after it, when it
 * is known whether it came to that.
 */
#include "pool/bundled/bundled-private.h"

#include <string.h>

#include "pool/plan.h"
#include "pool/rules.h"
#include "settings/settings.h"

/* --- what only the engine knows --- */

typedef struct {
  Bundled *b;
  GPtrArray *asked; /* names, of volumes that must not be in use */
  gboolean later;   /* who uses them is asked afterwards, of who can say more */
} Facts;

static char *find_user(LvmLv *lv, gpointer data)
{
  Facts *facts = data;

  g_ptr_array_add(facts->asked, g_strdup(lvm_lv_name(lv)));
  return facts->later ? NULL : bundled_volume_openers(facts->b, lvm_lv_name(lv));
}

static gboolean check_pool(LvmLv *pool, gpointer data, GError **error)
{
  return bundled_usable_pool(((Facts *)data)->b, lvm_lv_name(pool), error) != NULL;
}

static gboolean has_device(LvmLv *pool, guint32 id, gboolean *has, gpointer data, GError **error)
{
  BundledPool *p = g_hash_table_lookup(((Facts *)data)->b->pools, lvm_lv_name(pool));
  ThinDevice device;

  return bundled_find_device(p, id, &device, has, error);
}

static gboolean is_sparse(LvmStore *store)
{
  for (const char *const *path = lvm_store_paths(store); *path; path++)
    if (!g_file_test(*path, G_FILE_TEST_IS_REGULAR))
      return FALSE;
  return TRUE;
}

static PoolFacts make_facts(Facts *facts)
{
  return (PoolFacts){.sparse = is_sparse(facts->b->store),
                     .limits = settings_limits,
                     .find_user = find_user,
                     .check_pool = check_pool,
                     .has_device = has_device,
                     .data = facts};
}

static PoolPlan *make_plan(Bundled *b, const PoolChange *change, GPtrArray *asked, gboolean later,
                           GError **error)
{
  Facts data = {b, asked, later};
  const PoolFacts facts = make_facts(&data);

  return bundled_check_writable(b, error) ? pool_plan(lvm_store_vg(b->store), change, &facts, error)
                                          : NULL;
}

/* First without @claim; with it, nobody opens the nodes until the change is done. */
static gboolean ask(Bundled *b, const char *const *names, gboolean claim, GError **error)
{
  g_autofree char *user = NULL;
  const char *used = NULL;
  PoolUserFunc func;
  gpointer data;

  bundled_lock(b);
  func = b->user_func;
  data = b->user_data;
  bundled_unlock(b);
  user = func && names[0] ? func(names, claim, &used, data) : NULL;
  return !user || pool_rules_in_use(b->vg_name, used, user, error);
}

static gboolean require_closed(Bundled *b, const char *const *names, GError **error)
{
  gboolean ok = TRUE;

  bundled_lock(b);
  for (; *names && ok; names++) {
    g_autofree char *openers = bundled_volume_openers(b, *names);
    ok = !openers || pool_rules_in_use(b->vg_name, *names, openers, error);
  }
  bundled_unlock(b);
  return ok;
}

/* For what is open no nodes need go and come back. */
gboolean bundled_require_unused(Bundled *b, const char *const *names, GError **error)
{
  return ask(b, names, FALSE, error) && require_closed(b, names, error) &&
         ask(b, names, TRUE, error) && require_closed(b, names, error);
}

/* The service is asked without the lock, as an answer may take its time, and first, as it knows
 * what an opener is on behalf of; then all is looked at once more. */
static PoolPlan *plan_and_ask(Bundled *b, const PoolChange *change, GError **error)
{
  g_autoptr(GPtrArray) asked = g_ptr_array_new_with_free_func(g_free);
  gboolean served = b->user_func != NULL, ok;
  g_autoptr(PoolPlan) plan = make_plan(b, change, asked, served, error);

  if (!plan || !served || asked->len == 0)
    return g_steal_pointer(&plan);
  g_ptr_array_add(asked, NULL);
  bundled_unlock(b);
  ok = bundled_require_unused(b, (const char *const *)asked->pdata, error);
  bundled_lock(b);
  return ok ? make_plan(b, change, asked, FALSE, error) : NULL;
}

/* --- steps --- */

typedef struct {
  Bundled *b;
  LvmVg *vg; /* as it shall be */
  GPtrArray *steps;
  BundledPool *pool;      /* the thin pool of the step, or NULL */
  BundledPool *target;    /* of all of them: who gets the messages; NULL: there are none */
  GArray *text, *thin;    /* of LvmMessage, ThinMessage */
  GPtrArray *held;        /* of BundledVolume, until the end */
  guint64 transaction_id; /* of the thin pool, before */
} Work;

static void add_thin_message(Work *w, ThinMessageKind kind, guint32 device, guint32 other)
{
  ThinMessage message = {kind, device, other};

  g_array_append_val(w->thin, message);
}

static void add_delete(Work *w, guint32 device)
{
  LvmMessage text = {NULL, device};

  g_array_append_val(w->text, text);
}

static gboolean begin_add_thin(Work *w, PoolStep *step, GError **error)
{
  LvmLv *origin = step->other ? lvm_vg_find_lv(w->vg, step->other) : NULL;
  LvmMessage create = {step->name, 0};

  g_array_append_val(w->text, create);
  add_thin_message(w, origin ? THIN_SNAPSHOT : THIN_CREATE,
                   lvm_thin_device(lvm_vg_find_lv(w->vg, step->name)),
                   origin ? lvm_thin_device(origin) : 0);
  return TRUE;
}

static gboolean end_add(Work *w, PoolStep *step, gboolean done, GError **error)
{
  if (done)
    bundled_event(w->b, POOL_EVENT_ADDED, step->name, NULL);
  return TRUE;
}

static gboolean begin_add_linear(Work *w, PoolStep *step, GError **error)
{
  return bundled_check_seqno(w->b, error) &&
         lvm_store_zero_new(w->b->store, w->vg, step->name, error);
}

static gboolean begin_remove(Work *w, PoolStep *step, GError **error)
{
  LvmLv *lv = lvm_vg_find_lv(lvm_store_vg(w->b->store), step->name);
  guint32 id = w->pool ? lvm_thin_device(lv) : 0;
  gboolean found = FALSE;
  ThinDevice device;

  if (w->pool && !bundled_find_device(w->pool, id, &device, &found, error))
    return FALSE;
  if (w->pool)
    add_delete(w, id);
  if (found)
    add_thin_message(w, THIN_DELETE, id, 0);
  bundled_volume_detach(w->b, step->name);
  return TRUE;
}

static gboolean end_remove(Work *w, PoolStep *step, gboolean done, GError **error)
{
  g_autoptr(GError) failure = NULL;

  if (done) {
    bundled_volume_gone(w->b, step->name);
    bundled_event(w->b, POOL_EVENT_REMOVED, step->name, NULL);
  } else if (!bundled_volume_attach(w->b, step->name, &failure)) {
    g_warning("volume %s/%s: %s", w->b->vg_name, step->name, failure->message);
  }
  return TRUE;
}

static gboolean end_rename(Work *w, PoolStep *step, gboolean done, GError **error)
{
  if (!done)
    return TRUE;
  bundled_volume_renamed(w->b, step->name, step->other);
  bundled_event(w->b, POOL_EVENT_RENAMED, step->other, step->name);
  return TRUE;
}

/* What was written to it before is committed first: nobody will be there to flush it. */
static gboolean begin_seal(Work *w, PoolStep *step, GError **error)
{
  return thin_pool_commit(w->pool->thin, error);
}

static gboolean end_seal(Work *w, PoolStep *step, gboolean done, GError **error)
{
  if (!done)
    return TRUE;
  bundled_volume_sealed(w->b, step->name);
  if (lvm_vg_find_lv(lvm_store_vg(w->b->store),
                     step->name)) /* there is no other event for what is read-only now */
    bundled_event(w->b, POOL_EVENT_RENAMED, step->name, step->name);
  return TRUE;
}

/* A smaller one is opened now, at its old size: what is beyond the new one can be reached. */
static gboolean begin_resize(Work *w, PoolStep *step, GError **error)
{
  BundledVolume *held =
      step->extents < step->old_extents ? bundled_volume_get(w->b, step->name, error) : NULL;

  if (!held)
    return step->extents > step->old_extents;
  g_ptr_array_add(w->held, held);
  return bundled_begin_shrink(w->vg, step, error);
}

static gboolean end_resize(Work *w, PoolStep *step, gboolean done, GError **error)
{
  guint64 size = step->extents * lvm_vg_extent_size(lvm_store_vg(w->b->store));
  gboolean shrinks = step->extents < step->old_extents, ok;
  g_autoptr(GError) failure = NULL;

  if (!done)
    return TRUE;
  ok = bundled_volume_resized(w->b, step->name, size, &failure) &&
       (!shrinks || thin_pool_commit(w->pool->thin, &failure));
  if (shrinks)
    ok = bundled_end_shrink(w->b, step, ok, &failure);
  if (!ok) {
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
  }
  bundled_event(w->b, POOL_EVENT_RESIZED, step->name, NULL);
  return TRUE;
}

static gboolean begin_replace(Work *w, PoolStep *step, GError **error)
{
  LvmLv *before = lvm_vg_find_lv(lvm_store_vg(w->b->store), step->name);
  g_autoptr(GPtrArray) nobody = g_ptr_array_new();
  Facts data = {.b = w->b, .asked = nobody};
  const PoolFacts facts = make_facts(&data);
  LvmLv *pool_lv = lvm_vg_find_lv(w->vg, step->pool);
  guint32 id = pool_plan_free_device(w->vg, pool_lv, &facts, error);
  ThinDevice device;

  if (!id || !thin_pool_get_device(w->pool->thin, lvm_thin_device(before), &device, error) ||
      !bundled_begin_replacement(w->vg, before, step, &device, error))
    return FALSE;
  w->transaction_id = lvm_pool_transaction_id(pool_lv);
  add_delete(w, id);
  add_thin_message(w, THIN_SNAPSHOT, id, lvm_thin_device(lvm_vg_find_lv(w->vg, step->other)));
  add_thin_message(w, THIN_EXCHANGE, device.id, id);
  add_thin_message(w, THIN_DELETE, id, 0);
  return TRUE;
}

/* In the commit that takes the messages out. */
static void finish_replacements(LvmVg *vg, gpointer user_data)
{
  Work *w = user_data;

  for (guint i = 0; i < w->steps->len; i++) {
    const PoolStep *step = w->steps->pdata[i];

    if (step->kind == POOL_STEP_REPLACE)
      bundled_end_replacement(vg, step->name, w->transaction_id);
  }
}

static gboolean end_replace(Work *w, PoolStep *step, gboolean done, GError **error)
{
  LvmLv *lv = lvm_vg_find_lv(lvm_store_vg(w->b->store), step->name);

  if (!done)
    return TRUE;
  bundled_event(w->b, POOL_EVENT_REPLACED, step->name, NULL);
  if (lvm_lv_n_extents(lv) != step->old_extents)
    bundled_event(w->b, POOL_EVENT_RESIZED, step->name, NULL);
  return bundled_volume_resized(w->b, step->name, lvm_lv_size(lv), error);
}

/* Old data in new metadata extents could be taken for metadata, by a repair that scans for it. */
static gboolean zero_metadata(Work *w, const char *pool, GError **error)
{
  LvmLv *spare = pool_rules_find_spare(w->vg);

  return bundled_check_seqno(w->b, error) &&
         lvm_store_zero_new(w->b->store, w->vg, lvm_pool_metadata(lvm_vg_find_lv(w->vg, pool)),
                            error) &&
         (!spare || lvm_store_zero_new(w->b->store, w->vg, lvm_lv_name(spare), error));
}

static gboolean begin_grow_pool(Work *w, PoolStep *step, GError **error)
{
  return !step->metadata || zero_metadata(w, step->name, error);
}

static gboolean end_grow_pool(Work *w, PoolStep *step, gboolean done, GError **error)
{
  return !done || thin_pool_grow(bundled_find_pool(w->b, step->name, NULL)->thin, error);
}

static gboolean begin_add_pool(Work *w, PoolStep *step, GError **error)
{
  return zero_metadata(w, step->name, error);
}

static gboolean end_add_pool(Work *w, PoolStep *step, gboolean done, GError **error)
{
  return !done || bundled_open_pool(w->b, step->name, error);
}

static gboolean begin_remove_pool(Work *w, PoolStep *step, GError **error)
{
  BundledPool *pool = g_hash_table_lookup(w->b->pools, step->name);

  if (!bundled_require_empty(w->b, pool, error))
    return FALSE;
  while (pool->users > 0)
    pthread_cond_wait(&w->b->idle, &w->b->lock);
  g_hash_table_remove(w->b->pools, step->name);
  return bundled_pool_close(pool, error);
}

/* As it was, or refused with its reason. */
static gboolean end_remove_pool(Work *w, PoolStep *step, gboolean done, GError **error)
{
  if (!done && !g_hash_table_contains(w->b->pools, step->name))
    bundled_open_pool(w->b, step->name, NULL);
  return TRUE;
}

static gboolean require_new_pv(Bundled *b, const char *path, GError **error)
{
  if (!g_strv_contains(lvm_store_paths(b->store), path))
    return TRUE;
  return vt_set_error(error, EEXIST, "it is one of its physical volumes already");
}

/* By the store's own commits. */
static gboolean add_pv(Bundled *b, const char *name, GError **error)
{
  g_autofree char *path = g_canonicalize_filename(name, NULL);

  return require_new_pv(b, path, error) &&
         lvm_store_add_pv(b->store, path, b->archive_dir, error) &&
         lvm_store_take(b->store, b->archive_dir, error);
}

static const struct {
  gboolean (*begin)(Work *w, PoolStep *step, GError **error);
  gboolean (*end)(Work *w, PoolStep *step, gboolean done, GError **error);
} parts[] = {
    [POOL_STEP_ADD_THIN] = {begin_add_thin, end_add},
    [POOL_STEP_ADD_LINEAR] = {begin_add_linear, end_add},
    [POOL_STEP_REMOVE] = {begin_remove, end_remove},
    [POOL_STEP_RENAME] = {NULL, end_rename},
    [POOL_STEP_TAGS] = {NULL, NULL},
    [POOL_STEP_SEAL] = {begin_seal, end_seal},
    [POOL_STEP_RESIZE] = {begin_resize, end_resize},
    [POOL_STEP_REPLACE] = {begin_replace, end_replace},
    [POOL_STEP_GROW_POOL] = {begin_grow_pool, end_grow_pool},
    [POOL_STEP_ADD_POOL] = {begin_add_pool, end_add_pool},
    [POOL_STEP_REMOVE_POOL] = {begin_remove_pool, end_remove_pool},
    [POOL_STEP_ADD_PV] = {NULL, NULL},
};

/* --- all of them --- */

static void set_step(Work *w, const PoolStep *step)
{
  w->pool = step->pool ? g_hash_table_lookup(w->b->pools, step->pool) : NULL;
}

/* *n: how many have begun, and are to be ended. */
static gboolean begin_steps(Work *w, guint *n, GError **error)
{
  for (*n = 0; *n < w->steps->len; (*n)++) {
    PoolStep *step = w->steps->pdata[*n];

    set_step(w, step);
    if (parts[step->kind].begin && !parts[step->kind].begin(w, step, error)) {
      *n += step->kind == POOL_STEP_REMOVE_POOL; /* it may be closed, whatever came of that */
      return FALSE;
    }
    if (w->text->len > 0 && w->pool)
      w->target = w->pool;
  }
  return TRUE;
}

static gboolean end_steps(Work *w, guint n, gboolean done, GError **error)
{
  gboolean ok = done;

  for (guint i = 0; i < n; i++) {
    PoolStep *step = w->steps->pdata[i];

    set_step(w, step);
    if (parts[step->kind].end && !parts[step->kind].end(w, step, done, ok ? error : NULL))
      ok = FALSE;
  }
  return ok;
}

/* @vg is taken. */
static gboolean commit(Work *w, LvmVg *vg, const char *description, GError **error)
{
  if (!w->target)
    return bundled_commit_text(w->b, vg, description, error);
  return bundled_commit_thin(w->b, vg, w->target, w->text, w->thin, finish_replacements, w,
                             description, error);
}

static gboolean carry_out(Bundled *b, PoolPlan *plan, const char *description, GError **error)
{
  g_autoptr(GArray) text = g_array_new(FALSE, TRUE, sizeof(LvmMessage)),
                    thin = g_array_new(FALSE, TRUE, sizeof(ThinMessage));
  g_autoptr(GPtrArray) held = g_ptr_array_new_with_free_func((GDestroyNotify)bundled_volume_put);
  Work w = {.b = b, .vg = plan->vg, .steps = plan->steps, .text = text, .thin = thin, .held = held};
  const PoolStep *first = plan->steps->len ? plan->steps->pdata[0] : NULL;
  gboolean ok;
  guint n;

  if (!first)
    return TRUE;
  if (first->kind == POOL_STEP_ADD_PV)
    return add_pv(b, first->name, error);
  ok = begin_steps(&w, &n, error) && commit(&w, g_steal_pointer(&plan->vg), description, error);
  return end_steps(&w, n, ok, error);
}

/* For the devices that @plan adds, metadata grows before, not in the middle of it. TRUE: it has. */
static gboolean make_room(Bundled *b, const PoolPlan *plan, BundledRoomFunc room)
{
  BundledPool *pool = NULL;
  guint n = 0;

  for (guint i = 0; i < plan->steps->len; i++) {
    const PoolStep *step = plan->steps->pdata[i];

    if (step->kind == POOL_STEP_ADD_THIN || step->kind == POOL_STEP_REPLACE) {
      pool = g_hash_table_lookup(b->pools, step->pool);
      n++;
    }
  }
  return pool && room(b, pool, n * THIN_MESSAGE_BLOCKS);
}

gboolean bundled_change(Bundled *b, const PoolChange *change, BundledRoomFunc room, GError **error)
{
  g_autofree char *description = pool_change_description(change);
  g_autoptr(PoolPlan) plan = plan_and_ask(b, change, error);

  if (plan && room && make_room(b, plan, room)) {
    pool_plan_free(plan);
    plan = plan_and_ask(b, change, error);
  }
  if (!plan || !carry_out(b, plan, description, error))
    return FALSE;
  if (plan->note)
    g_message("%s", plan->note);
  return TRUE;
}
