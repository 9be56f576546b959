/* virt-thin - simulation: administrators, who change the volume group
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "world.h"

#define EXTENT (64u << 10)
#define SECTORS (EXTENT / MODEL_SECTOR)
#define MOST_VOLUMES 9u
#define MOST_EXTENTS 12u

typedef struct {
  World *w;
  SimRandom random;
  ModelChange *change;
  GPtrArray *reserved;
  guint32 mark;
} Act;

/* --- choosing --- */

static VolumeGroup *group_of(Act *a)
{
  return a->w->control ? a->w->control : a->w->group;
}

static ModelVolume *any(Act *a, gboolean snapshot, gboolean unused)
{
  GPtrArray *all = a->w->model->volumes;
  guint first = all->len ? sim_next(&a->random, all->len) : 0;

  for (guint i = 0; i < all->len; i++) {
    ModelVolume *v = all->pdata[(first + i) % all->len];

    if (!v->reserved && (v->snapshot_of != NULL) == snapshot && !(unused && v->users))
      return v;
  }
  return NULL;
}

static void reserve(Act *a, ModelVolume *v)
{
  v->reserved = TRUE;
  g_ptr_array_add(a->reserved, v);
}

static char *new_name(Act *a)
{
  return g_strdup_printf("vm-%u-disk-0", 100 + ++a->w->model->number);
}

static guint32 any_size(Act *a)
{
  return (1 + sim_next(&a->random, MOST_EXTENTS)) * SECTORS;
}

static void begin(Act *a, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void begin(Act *a, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start(args, format);
  what = g_strdup_vprintf(format, args);
  va_end(args);
  sim_trace("begins: %s", what);
  a->change = model_change_new(a->w->model, what);
  a->mark = ++a->w->model->number;
  a->w->changing++;
}

/* One that failed in a way that leaves it open is decided by the next engine. */
/* @failure: where the call that says @ok has put its error. */
static void end(Act *a, gboolean ok, GError **failure)
{
  World *w = a->w;
  const GError *error = *failure;
  gboolean open = FALSE;

  if (sim_is_ghost())
    return;
  sim_trace("%s: %s", a->change->what, ok ? "done" : error ? error->message : "no");
  w->changing--;
  sim_totals.changes++;
  if (!ok && error) {
    world_judge_error(w, a->change->what, error);
    open = w->stopping = world_loss(w) != MODEL_RUNNING;
  }
  if (!open) {
    for (guint i = 0; ok && !a->change->keeps && i < a->change->made->len; i++)
      model_all_durable(a->change->made->pdata[i]);
    for (guint i = 0; i < a->reserved->len; i++)
      ((ModelVolume *)a->reserved->pdata[i])->reserved = FALSE;
    model_change_end(w->model, g_steal_pointer(&a->change), ok);
  }
}

/* --- what they do --- */

static void create(Act *a)
{
  g_autofree char *name = new_name(a);
  guint32 size = any_size(a);
  g_autoptr(GError) error = NULL;

  if (a->w->model->volumes->len >= MOST_VOLUMES)
    return;
  begin(a, "create %s", name);
  model_change_make(a->change, model_volume_new(name, size), NULL);
  end(a, pool_create(group_of(a), NULL, name, (guint64)size * MODEL_SECTOR, &error), &error);
}

static void clone_volume(Act *a)
{
  ModelVolume *from = any(a, sim_chance(&a->random, 2), FALSE);
  g_autofree char *name = new_name(a);
  g_autoptr(GError) error = NULL;
  guint32 size;

  if (!from || a->w->model->volumes->len >= MOST_VOLUMES)
    return;
  reserve(a, from);
  size = from->size + sim_next(&a->random, 2) * SECTORS;
  begin(a, "clone %s of %s", name, from->name);
  model_change_make(a->change, model_volume_copy(from, name, size), from);
  end(a, pool_clone(group_of(a), from->name, name, (guint64)size * MODEL_SECTOR, &error), &error);
}

static ModelVolume *make_snapshot(Act *a, ModelVolume *from, const char *part)
{
  g_autofree char *name = g_strdup_printf("snap_%s_%s", from->name, part);
  ModelVolume *made = model_volume_copy(from, name, from->size);

  made->snapshot_of = g_strdup(from->name);
  made->read_only = TRUE;
  reserve(a, from);
  model_change_make(a->change, made, from);
  return made;
}

static void snapshot(Act *a)
{
  ModelVolume *from = any(a, FALSE, FALSE);
  g_autofree char *part = g_strdup_printf("s%u", ++a->w->model->number);
  g_autoptr(GError) error = NULL;

  if (!from || a->w->model->volumes->len >= MOST_VOLUMES)
    return;
  begin(a, "snapshot %s of %s", part, from->name);
  make_snapshot(a, from, part);
  end(a, pool_snapshot(group_of(a), from->name, part, &error), &error);
}

static void snapshot_group(Act *a)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new();
  g_autofree char *part = g_strdup_printf("g%u", ++a->w->model->number);
  g_autoptr(GError) error = NULL;

  if (a->w->model->volumes->len + 2 > MOST_VOLUMES)
    return;
  begin(a, "snapshot %s of several", part);
  for (ModelVolume *v; names->len < 3 && (v = any(a, FALSE, FALSE));) {
    make_snapshot(a, v, part)->instant = a->mark;
    g_ptr_array_add(names, v->name);
  }
  g_ptr_array_add(names, NULL);
  end(a,
      names->len > 1 &&
          pool_snapshot_group(group_of(a), (const char *const *)names->pdata, part, &error),
      &error);
}

/* @v becomes a volume with @from's content. */
static void replace(Act *a, ModelVolume *v, ModelVolume *from, guint32 size)
{
  ModelVolume *made = model_volume_copy(from, v->name, size);

  made->snapshot_of = g_strdup(v->snapshot_of);
  made->read_only = v->read_only;
  g_ptr_array_add(a->change->gone, v);
  model_change_make(a->change, made, NULL);
}

static void rollback(Act *a)
{
  ModelVolume *s = any(a, TRUE, FALSE), *v = s ? model_find(a->w->model, s->snapshot_of) : NULL;
  g_autoptr(GError) error = NULL;

  if (!v || v->reserved || v->users)
    return;
  reserve(a, v);
  reserve(a, s);
  begin(a, "roll %s back to %s", v->name, s->name);
  replace(a, v, s, s->size);
  end(a, pool_rollback(group_of(a), v->name, s->name, &error), &error);
}

static void clone_into(Act *a)
{
  ModelVolume *from = any(a, sim_chance(&a->random, 2), TRUE), *v;
  g_autoptr(GError) error = NULL;

  if (!from)
    return;
  reserve(a, from);
  v = any(a, FALSE, TRUE);
  if (!v || v->size < from->size) {
    from->reserved = FALSE;
    return;
  }
  reserve(a, v);
  begin(a, "clone %s into %s", from->name, v->name);
  replace(a, v, from, v->size);
  end(a, pool_clone_into(group_of(a), from->name, v->name, &error), &error);
}

static void resize(Act *a)
{
  ModelVolume *v = any(a, FALSE, TRUE);
  guint32 size = any_size(a);
  g_autoptr(GError) error = NULL;

  if (!v || v->size == size)
    return;
  reserve(a, v);
  begin(a, "resize %s from %u to %u sectors", v->name, v->size, size);
  replace(a, v, v, size);
  a->change->keeps = TRUE;
  end(a, pool_resize(group_of(a), v->name, (guint64)size * MODEL_SECTOR, TRUE, &error), &error);
}

/* Its snapshots follow; none of them may be of another change. */
static gboolean with_snapshots(Act *a, ModelVolume *v, GPtrArray *all)
{
  g_ptr_array_add(all, v);
  for (guint i = 0; i < a->w->model->volumes->len; i++) {
    ModelVolume *s = a->w->model->volumes->pdata[i];

    if (g_strcmp0(s->snapshot_of, v->name) != 0)
      continue;
    if (s->reserved || s->users)
      return FALSE;
    g_ptr_array_add(all, s);
  }
  return TRUE;
}

static void rename_one(Act *a)
{
  ModelVolume *v = any(a, FALSE, TRUE);
  g_autoptr(GPtrArray) all = g_ptr_array_new();
  g_autofree char *name = new_name(a), *old = v ? g_strdup(v->name) : NULL;
  g_autoptr(GError) error = NULL;

  if (!v || !with_snapshots(a, v, all))
    return;
  begin(a, "rename %s to %s", old, name);
  for (guint i = 0; i < all->len; i++) {
    ModelVolume *one = all->pdata[i];
    g_autofree char *new =
        i ? g_strconcat("snap_", name, one->name + strlen("snap_") + strlen(old), NULL)
          : g_strdup(name);

    reserve(a, one);
    model_change_rename(a->change, one, new);
  }
  end(a, pool_rename(group_of(a), old, name, &error), &error);
}

static void remove_some(Act *a)
{
  gboolean all_of_it = sim_chance(&a->random, 3);
  ModelVolume *v = any(a, !all_of_it && sim_chance(&a->random, 2), TRUE);
  g_autoptr(GPtrArray) all = g_ptr_array_new();
  const char *names[] = {v ? v->name : NULL, NULL};
  g_autoptr(GError) error = NULL;

  if (!v || a->w->model->volumes->len < MOST_VOLUMES / 2 ||
      (all_of_it && !with_snapshots(a, v, all)))
    return;
  if (!all_of_it)
    g_ptr_array_add(all, v);
  begin(a, "remove %s%s", v->name, all_of_it ? " and its snapshots" : "");
  for (guint i = 0; i < all->len; i++) {
    reserve(a, all->pdata[i]);
    g_ptr_array_add(a->change->gone, all->pdata[i]);
  }
  end(a, pool_remove(group_of(a), names, all_of_it, &error), &error);
}

static void tag(Act *a)
{
  ModelVolume *v = any(a, FALSE, FALSE);
  const char *tags[] = {"tag", NULL};
  gboolean add = sim_chance(&a->random, 2);
  g_autoptr(GError) error = NULL;

  if (!v)
    return;
  reserve(a, v);
  begin(a, "tag %s", v->name);
  end(a, pool_set_tags(group_of(a), v->name, add ? tags : NULL, add ? NULL : tags, &error), &error);
}

static guint64 pool_size(Act *a, gboolean metadata, GError **error)
{
  g_autoptr(PoolInfo) info = pool_get_info(group_of(a), NULL, error);

  return info ? (metadata ? info->metadata_size : info->size) : 0;
}

/* Somebody else, or the pool by itself, may have been faster. */
static void grow_pool(Act *a, gboolean metadata)
{
  g_autoptr(GError) error = NULL;
  guint64 size;
  gboolean ok;

  begin(a, "grow the pool's %s", metadata ? "metadata" : "data");
  size = pool_size(a, metadata, &error);
  ok = size && pool_resize_pool(group_of(a), NULL, size + EXTENT, metadata, &error);
  if (!ok && error && size && pool_size(a, metadata, NULL) > size)
    g_clear_error(&error);
  end(a, ok, &error);
}

static void grow_data(Act *a)
{
  grow_pool(a, FALSE);
}

static void grow_metadata(Act *a)
{
  grow_pool(a, TRUE);
}

static void (*const acts[])(Act *a) = {create,         clone_volume, snapshot,    snapshot,
                                       snapshot_group, rollback,     clone_into,  resize,
                                       rename_one,     remove_some,  remove_some, tag,
                                       grow_data,      grow_metadata};

void admin_run(gpointer data)
{
  Worker *self = data;
  World *w = self->world;

  for (guint i = 0; i < w->plan->ops / 8 && !world_over(w); i++) {
    Act a = {.w = w,
             .random = sim_stream(w->plan->seed ^ self->number, w->epoch, i),
             .reserved = g_ptr_array_new()};
    guint kind = sim_next(&a.random, G_N_ELEMENTS(acts));

    if ((w->plan->admin_kinds >> kind & 1) && !w->stale)
      acts[kind](&a);
    g_ptr_array_unref(a.reserved);
    if (!world_over(w))
      sim_sleep(sim_next(&a.random, 30000));
  }
  w->working--;
  sim_wake(&w->working, TRUE);
  g_free(self);
}

/* The service's clock: once a second. */
void ticker_run(gpointer data)
{
  Worker *self = data;
  World *w = self->world;

  while (!world_over(w) && w->working > w->n_tickers) {
    guint32 mark = ++w->model->number;
    g_autoptr(GError) error = NULL;
    gboolean ok;

    w->changing++; /* it may let the pool grow */
    ok = pool_commit(w->group, &error);
    if (w->folder)
      folder_refresh(w->folder);
    if (sim_is_ghost())
      break;
    w->changing--;
    if (ok)
      model_settle_all(w->model, mark);
    else
      world_judge_error(w, "commit", error);
    for (guint i = 0; i < 100 && !world_over(w) && w->working > w->n_tickers; i++)
      sim_sleep(1000);
  }
  w->working--;
  sim_wake(&w->working, TRUE);
  g_free(self);
}
