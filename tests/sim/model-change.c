/* virt-thin - simulation: which volumes there may be
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model.h"

#include <stdio.h>
#include <string.h>

Model *model_new(void)
{
  Model *model = g_new0(Model, 1);

  model->volumes = g_ptr_array_new();
  model->changes = g_ptr_array_new();
  model->number = 1;
  return model;
}

static void free_volumes(GPtrArray *volumes)
{
  for (guint i = 0; i < volumes->len; i++)
    model_volume_free(volumes->pdata[i]);
}

static void change_free(ModelChange *change)
{
  g_ptr_array_unref(change->gone);
  g_ptr_array_unref(change->made);
  g_ptr_array_unref(change->renamed);
  g_ptr_array_unref(change->names);
  g_ptr_array_unref(change->origins);
  g_free(change->what);
  g_free(change);
}

void model_free(Model *model)
{
  for (guint i = 0; i < model->changes->len; i++) {
    ModelChange *change = model->changes->pdata[i];

    free_volumes(change->made);
    change_free(change);
  }
  free_volumes(model->volumes);
  g_ptr_array_unref(model->volumes);
  g_ptr_array_unref(model->changes);
  g_free(model);
}

ModelVolume *model_find(Model *model, const char *name)
{
  for (guint i = 0; i < model->volumes->len; i++)
    if (strcmp(((ModelVolume *)model->volumes->pdata[i])->name, name) == 0)
      return model->volumes->pdata[i];
  return NULL;
}

/* --- one change --- */

ModelChange *model_change_new(Model *model, const char *what)
{
  ModelChange *change = g_new0(ModelChange, 1);

  change->what = g_strdup(what);
  change->gone = g_ptr_array_new();
  change->made = g_ptr_array_new();
  change->renamed = g_ptr_array_new();
  change->names = g_ptr_array_new_with_free_func(g_free);
  change->origins = g_ptr_array_new();
  g_ptr_array_add(model->changes, change);
  return change;
}

void model_change_make(ModelChange *change, ModelVolume *made, ModelVolume *origin)
{
  g_ptr_array_add(change->made, made);
  g_ptr_array_add(change->origins, origin);
  if (origin)
    origin->observers++;
}

void model_change_rename(ModelChange *change, ModelVolume *v, const char *name)
{
  g_ptr_array_add(change->renamed, v);
  g_ptr_array_add(change->names, g_strdup(name));
}

/* What was written to the origins meanwhile may be in the snapshots. */
static void close_windows(ModelChange *change)
{
  for (guint i = 0; i < change->made->len; i++) {
    ModelVolume *origin = change->origins->pdata[i];

    if (!origin)
      continue;
    model_add_window(change->made->pdata[i], origin);
    origin->observers--;
    change->origins->pdata[i] = NULL;
  }
}

/* Snapshots know their volume by its name. */
static void rename_volume(Model *model, ModelVolume *v, const char *name)
{
  for (guint i = 0; i < model->volumes->len; i++) {
    ModelVolume *other = model->volumes->pdata[i];

    if (g_strcmp0(other->snapshot_of, v->name) != 0)
      continue;
    g_free(other->snapshot_of);
    other->snapshot_of = g_strdup(name);
  }
  g_free(v->name);
  v->name = g_strdup(name);
}

static void apply(Model *model, ModelChange *change)
{
  for (guint i = 0; i < change->made->len; i++)
    g_ptr_array_add(model->volumes, change->made->pdata[i]);
  for (guint i = 0; i < change->renamed->len; i++)
    rename_volume(model, change->renamed->pdata[i], change->names->pdata[i]);
  for (guint i = 0; i < change->gone->len; i++) {
    g_ptr_array_remove(model->volumes, change->gone->pdata[i]);
    model_volume_free(change->gone->pdata[i]);
  }
}

void model_change_end(Model *model, ModelChange *change, gboolean done)
{
  close_windows(change);
  if (done)
    apply(model, change);
  else
    free_volumes(change->made);
  g_ptr_array_remove(model->changes, change);
  change_free(change);
}

void model_settle_all(Model *model, guint32 mark)
{
  for (guint i = 0; i < model->volumes->len; i++)
    model_settle(model->volumes->pdata[i], mark);
}

/* --- what was found --- */

static const ModelFound *found_as(GArray *found, const char *name)
{
  for (guint i = 0; i < found->len; i++)
    if (strcmp(g_array_index(found, ModelFound, i).name, name) == 0)
      return &g_array_index(found, ModelFound, i);
  return NULL;
}

/* Volume @v under the name that it has when the changes of @done are. NULL: it is gone. */
static const char *name_in(Model *model, ModelVolume *v, guint done)
{
  const char *name = v->name;

  for (guint c = 0; c < model->changes->len; c++) {
    ModelChange *change = model->changes->pdata[c];
    guint at;

    if (!(done >> c & 1))
      continue;
    if (g_ptr_array_find(change->gone, v, NULL))
      return NULL;
    if (g_ptr_array_find(change->renamed, v, &at))
      name = change->names->pdata[at];
  }
  return name;
}

/* Why @v cannot be what was found; NULL: it can. */
static char *differs(Model *model, ModelVolume *v, const char *name, GArray *found)
{
  const ModelFound *f = found_as(found, name);
  gint64 bad;

  if (!f)
    return g_strdup_printf("%s is not there", name);
  if (f->size != v->size)
    return g_strdup_printf("%s has %u sectors, not %u", name, f->size, v->size);
  bad = model_check(v, f->bytes, 0, v->size, model->loss);
  return bad < 0 ? NULL : model_explain(v, f->bytes + (gsize)bad * MODEL_SECTOR, (guint32)bad);
}

/* The same of all volumes, when of the changes those of @done are. */
static char *all_differ(Model *model, guint done, GArray *found)
{
  char *why = NULL;
  guint n = 0;

  for (guint i = 0; !why && i < model->volumes->len; i++) {
    const char *name = name_in(model, model->volumes->pdata[i], done);

    if (!name)
      continue;
    n++;
    why = differs(model, model->volumes->pdata[i], name, found);
  }
  for (guint c = 0; c < model->changes->len; c++) {
    ModelChange *change = model->changes->pdata[c];

    for (guint i = 0; (done >> c & 1) && !why && i < change->made->len; i++, n++)
      why = differs(model, change->made->pdata[i], ((ModelVolume *)change->made->pdata[i])->name,
                    found);
  }
  return why || n == found->len ? why : g_strdup_printf("%u volumes, not %u", found->len, n);
}

static void tell_found(Model *model, GArray *found)
{
  for (guint i = 0; i < found->len; i++)
    printf("# found %s, %u sectors\n", g_array_index(found, ModelFound, i).name,
           g_array_index(found, ModelFound, i).size);
  for (guint i = 0; i < model->volumes->len; i++)
    printf("# known %s, %u sectors\n", ((ModelVolume *)model->volumes->pdata[i])->name,
           ((ModelVolume *)model->volumes->pdata[i])->size);
}

static guint which_done(Model *model, GArray *found)
{
  g_autoptr(GString) all = g_string_new(NULL);
  guint n = model->changes->len;

  for (guint done = 0; done < 1u << n; done++) {
    g_autofree char *why = all_differ(model, done, found);

    if (!why)
      return done;
    g_string_append_printf(all, "\n#   with %u of the changes under way: %s", done, why);
  }
  for (guint c = 0; c < n; c++)
    g_string_append_printf(all, "\n#   change %u: %s", c,
                           ((ModelChange *)model->changes->pdata[c])->what);
  tell_found(model, found);
  sim_fail("%s the volumes are not what they may be:%s",
           model->loss == MODEL_CUT      ? "after a power cut"
           : model->loss == MODEL_FAILED ? "after a failure of the pool"
           : model->loss == MODEL_KILLED ? "after the death of an engine"
                                         : "while all is well",
           all->str);
}

/* --- snapshots of several volumes at one instant --- */

static guint32 stamp_in(const ModelFound *f, guint32 sector)
{
  guint32 stamp;

  memcpy(&stamp, f->bytes + (gsize)sector * MODEL_SECTOR, sizeof stamp);
  return stamp;
}

/* The number of the last write that any of them has, which is its stamp. */
static guint32 last_write(Model *model, guint32 instant, GArray *found)
{
  guint32 last = 0;

  for (guint i = 0; i < model->volumes->len; i++) {
    const ModelVolume *v = model->volumes->pdata[i];
    const ModelFound *f = v->instant == instant ? found_as(found, v->name) : NULL;

    for (guint32 s = 0; f && s < v->size; s++)
      last = MAX(last, stamp_in(f, s));
  }
  return last;
}

/* What had ended before the last write that they have began they have, too. Zeros tell no write. */
static void check_instant(const ModelVolume *v, const ModelFound *f, guint32 last)
{
  for (guint i = 0; i < v->writes->len; i++) {
    const ModelWrite *w = &g_array_index(v->writes, ModelWrite, i);

    for (guint32 s = w->begin; w->done && w->ended < last && s < w->end; s++)
      if (stamp_in(f, s) && stamp_in(f, s) < w->number)
        sim_fail("snapshots of several volumes are not of one instant: %s, sector %u, has write %u "
                 "and not %u, which ended before %u began, which another has",
                 v->name, s, stamp_in(f, s), w->number, last);
  }
}

static void check_instants(Model *model, GArray *found)
{
  for (guint i = 0; i < model->volumes->len; i++) {
    ModelVolume *v = model->volumes->pdata[i];

    if (v->instant && model->loss < MODEL_FAILED)
      check_instant(v, found_as(found, v->name), last_write(model, v->instant, found));
  }
  for (guint i = 0; i < model->volumes->len; i++)
    ((ModelVolume *)model->volumes->pdata[i])->instant = 0;
}

void model_verify(Model *model, GArray *found)
{
  guint done;

  for (guint c = 0; c < model->changes->len; c++)
    close_windows(model->changes->pdata[c]);
  done = which_done(model, found);
  for (guint c = 0; model->changes->len; c++)
    model_change_end(model, model->changes->pdata[0], done >> c & 1);
  check_instants(model, found);
  for (guint i = 0; i < model->volumes->len; i++) {
    ModelVolume *v = model->volumes->pdata[i];

    model_adopt(v, found_as(found, v->name)->bytes, model->loss);
    v->users = 0;
    v->reserved = FALSE;
  }
  model->loss = MODEL_RUNNING;
}
