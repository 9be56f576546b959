/* virt-thin - seeded random work on a thin pool, and its model
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "scenario.h"
#include "util/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PER_CHUNK (CHUNK / SECTOR)

const guint scenario_weights[OP_REOPEN + 1] = {
    [OP_CREATE] = 2, [OP_SNAPSHOT] = 4, [OP_DELETE] = 4,  [OP_EXCHANGE] = 2,
    [OP_WRITE] = 40, [OP_ZERO] = 5,     [OP_DISCARD] = 8, [OP_RESIZE] = 2,
    [OP_READ] = 20,  [OP_FLUSH] = 8,    [OP_COMMIT] = 3,  [OP_REOPEN] = 1,
};

/* --- the model --- */

static void device_free(gpointer data)
{
  ModelDevice *d = data;
  g_free(d->now);
  g_free(d->durable);
  g_array_unref(d->since);
  g_free(d);
}

Model *model_new(void)
{
  Model *model = g_new0(Model, 1);
  model->devices = g_hash_table_new_full(NULL, NULL, NULL, device_free);
  model->next_id = model->next_stamp = 1;
  return model;
}

void model_free(Model *model)
{
  g_hash_table_unref(model->devices);
  g_free(model);
}

static ModelDevice *find(Model *model, guint32 id)
{
  return g_hash_table_lookup(model->devices, GUINT_TO_POINTER(id));
}

static ModelDevice *add(Model *model, guint32 id, const ModelDevice *origin)
{
  ModelDevice *d = g_new0(ModelDevice, 1);
  d->id = id;
  d->size = origin ? origin->size : SCENARIO_SECTORS;
  d->now = origin ? vt_memdup(origin->now, SCENARIO_SECTORS * sizeof *d->now)
                  : g_new0(guint32, SCENARIO_SECTORS);
  d->durable = vt_memdup(d->now, SCENARIO_SECTORS * sizeof *d->now);
  d->since = g_array_new(FALSE, FALSE, sizeof(Op));
  g_hash_table_insert(model->devices, GUINT_TO_POINTER(id), d);
  return d;
}

static void make_durable(gpointer id, gpointer value, gpointer user_data)
{
  ModelDevice *d = value;
  memcpy(d->durable, d->now, SCENARIO_SECTORS * sizeof *d->now);
  g_array_set_size(d->since, 0);
}

static void exchange(Model *model, guint32 a, guint32 b)
{
  ModelDevice *x = find(model, a), *y = find(model, b);
  ModelDevice swap = *x;
  if (x == y)
    return;
  x->size = y->size, x->now = y->now, x->durable = y->durable;
  y->size = swap.size, y->now = swap.now, y->durable = swap.durable;
}

/* What @op makes of a sector that it changes. */
static guint32 stamp_at(const Op *op, guint64 number)
{
  return op->kind != OP_WRITE || (op->gaps && number / PER_CHUNK % 2) ? 0 : op->stamp;
}

/* Which sectors @op changes. */
static gboolean changes(Model *model, const Op *op, guint64 *begin, guint64 *end)
{
  ModelDevice *d = find(model, op->device);
  *begin = op->begin;
  *end = op->begin + op->n;
  switch (op->kind) {
  case OP_WRITE:
  case OP_ZERO: return TRUE;
  case OP_DISCARD:
    *begin = (*begin + PER_CHUNK - 1) / PER_CHUNK * PER_CHUNK;
    *end = *end == d->size ? *end : *end / PER_CHUNK * PER_CHUNK;
    return TRUE;
  case OP_RESIZE: *end = SCENARIO_SECTORS; return TRUE;
  default: return FALSE;
  }
}

void model_begin(Model *model, const Op *op)
{
  guint64 begin, end;
  if (changes(model, op, &begin, &end))
    g_array_append_val(find(model, op->device)->since, *op);
}

/* --- sectors --- */

typedef struct {
  guint64 words[SECTOR / 8];
} Sector;

static void fill_sector(Sector *sector, guint32 stamp, guint64 number)
{
  for (guint i = 0; i < G_N_ELEMENTS(sector->words); i++)
    sector->words[i] = stamp ? (i % 2 ? number : stamp) : 0;
}

/* The stamp of a sector; FALSE: it is none of ours. */
static gboolean stamp_of(const Sector *sector, guint64 number, guint32 *stamp)
{
  Sector expected;
  *stamp = sector->words[0];
  fill_sector(&expected, *stamp, number);
  return memcmp(sector, &expected, SECTOR) == 0;
}

static G_GNUC_NORETURN void wrong(const char *where, guint32 id, guint64 number,
                                  const Sector *found, const ModelDevice *d)
{
  printf("Bail out! %s: thin device %u, sector %" G_GUINT64_FORMAT ": holds %" G_GUINT64_FORMAT
         "/%" G_GUINT64_FORMAT ", now is %u, durable %u\n",
         where, id, number, found->words[0], found->words[1], d->now[number], d->durable[number]);
  fflush(stdout);
  abort();
}

static gboolean may_hold(Model *model, ModelDevice *d, guint64 number, guint32 stamp)
{
  if (stamp == d->now[number] || stamp == d->durable[number])
    return TRUE;
  for (guint i = 0; i < d->since->len; i++) {
    const Op *op = &g_array_index(d->since, Op, i);
    guint64 begin, end;
    if (changes(model, op, &begin, &end) && number >= begin && number < end &&
        stamp_at(op, number) == stamp)
      return TRUE;
  }
  return FALSE;
}

static gboolean compare(Model *model, ModelDevice *d, ThinVolume *volume, guint64 begin, guint64 n,
                        gboolean after_cut, const char *where, GError **error)
{
  g_autofree Sector *found = g_new(Sector, n + 1);
  memset(found, 0xee, n * SECTOR);
  if (!thin_volume_read(volume, found, n * SECTOR, begin * SECTOR, error))
    return FALSE;
  for (guint64 i = 0; i < n; i++) {
    guint32 stamp;
    if (!stamp_of(&found[i], begin + i, &stamp) ||
        (after_cut ? !may_hold(model, d, begin + i, stamp) : stamp != d->now[begin + i]))
      wrong(where, d->id, begin + i, &found[i], d);
  }
  return TRUE;
}

guint64 model_verify(Model *model, ThinPool *pool, gboolean after_cut, const char *where)
{
  guint64 n = 0;
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init(&iter, model->devices);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    ModelDevice *d = value;
    ThinVolume *volume = NULL;
    MUST(volume = thin_volume_open(pool, d->id, (guint64)SCENARIO_SECTORS * SECTOR, TRUE, &error));
    MUST(compare(model, d, volume, 0, SCENARIO_SECTORS, after_cut, where, &error));
    thin_volume_close(volume);
    n += SCENARIO_SECTORS;
  }
  g_autoptr(GArray) devices = NULL;
  MUST(devices = thin_pool_list_devices(pool, &error));
  g_assert_cmpuint(devices->len, ==, g_hash_table_size(model->devices));
  return n;
}

/* --- what to do --- */

static ModelDevice *any_device(Model *model, GRand *rand)
{
  g_autoptr(GList) all = g_hash_table_get_values(model->devices);
  return all ? g_list_nth_data(all, g_rand_int_range(rand, 0, g_list_length(all))) : NULL;
}

/* Lengths of all kinds: single sectors, whole chunks, many chunks. */
static void any_range(const ModelDevice *d, GRand *rand, Op *op)
{
  guint64 most = g_rand_boolean(rand) ? 16 : g_rand_boolean(rand) ? PER_CHUNK * 2 : PER_CHUNK * 12;
  op->begin = g_rand_int_range(rand, 0, d->size);
  op->n = 1 + g_rand_int_range(rand, 0, most);
  if (g_rand_int_range(rand, 0, 3) == 0) {
    op->begin = op->begin / PER_CHUNK * PER_CHUNK;
    op->n = (op->n + PER_CHUNK - 1) / PER_CHUNK * PER_CHUNK;
  }
  op->n = MIN(op->n, d->size - op->begin);
}

static OpKind any_kind(GRand *rand, const guint weights[])
{
  guint total = 0;
  for (guint i = 0; i <= OP_REOPEN; i++)
    total += weights[i];
  gint32 pick = g_rand_int_range(rand, 0, total);
  OpKind kind = 0;
  while (pick >= (gint32)weights[kind])
    pick -= weights[kind++];
  return kind;
}

Op scenario_next(Model *model, GRand *rand, const guint weights[OP_REOPEN + 1])
{
  Op op = {
      .kind = any_kind(rand, weights), .stamp = model->next_stamp++, .unmap = g_rand_boolean(rand)};
  guint n = g_hash_table_size(model->devices);
  gboolean adds = op.kind == OP_CREATE || op.kind == OP_SNAPSHOT;
  if (n == 0)
    op.kind = OP_CREATE;
  else if (adds && n >= SCENARIO_DEVICES)
    op.kind = OP_DELETE;
  else if (op.kind == OP_DELETE && n == 1)
    op.kind = OP_SNAPSHOT;
  ModelDevice *d = any_device(model, rand);
  if (op.kind == OP_CREATE || op.kind == OP_SNAPSHOT) {
    op.device = model->next_id++;
    op.other = d ? d->id : 0;
    return op;
  }
  op.device = d->id;
  op.other = any_device(model, rand)->id;
  if (op.kind == OP_RESIZE)
    op.begin = 1 + g_rand_int_range(rand, 0, SCENARIO_SECTORS);
  else
    any_range(d, rand, &op);
  if (op.kind == OP_WRITE && g_rand_int_range(rand, 0, 6) == 0)
    op.stamp = 0;
  op.gaps = g_rand_int_range(rand, 0, 6) == 0;
  return op;
}

/* --- doing it --- */

void scenario_init(Scenario *scenario, Harness *harness)
{
  scenario->harness = harness;
  scenario->volumes = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)thin_volume_close);
}

void scenario_close_volumes(Scenario *scenario)
{
  g_hash_table_remove_all(scenario->volumes);
}

void scenario_clear(Scenario *scenario)
{
  g_hash_table_unref(scenario->volumes);
}

static ThinVolume *volume_of(Scenario *scenario, Model *model, guint32 id, GError **error)
{
  ThinVolume *volume = g_hash_table_lookup(scenario->volumes, GUINT_TO_POINTER(id));
  if (volume)
    return volume;
  volume =
      thin_volume_open(scenario->harness->pool, id, find(model, id)->size * SECTOR, FALSE, error);
  if (volume)
    g_hash_table_insert(scenario->volumes, GUINT_TO_POINTER(id), volume);
  return volume;
}

/* Bytes of what is mapped where @op writes zeros. To ask reads the metadata, which may be made to
 * fail. */
static gboolean mapped_zeros(ThinVolume *volume, const Op *op, guint64 *sum, GError **error)
{
  guint64 length, end;
  *sum = 0;
  for (guint64 at = op->begin; at < op->begin + op->n; at = end) {
    gboolean mapped = FALSE;
    end = MIN((at / PER_CHUNK + 1) * PER_CHUNK, op->begin + op->n);
    if (stamp_at(op, at) == 0 &&
        !thin_volume_extent(volume, at * SECTOR, (end - at) * SECTOR, &length, &mapped, error))
      return FALSE;
    *sum += mapped ? (end - at) * SECTOR : 0;
  }
  return TRUE;
}

/* Zeros map nothing. */
static gboolean write_op(ThinVolume *volume, const Op *op, GError **error)
{
  g_autofree Sector *sectors = g_new(Sector, op->n);
  guint64 before, after;
  for (guint64 i = 0; i < op->n; i++)
    fill_sector(&sectors[i], stamp_at(op, op->begin + i), op->begin + i);
  if (!mapped_zeros(volume, op, &before, error) ||
      !thin_volume_write(volume, sectors, op->n * SECTOR, op->begin * SECTOR, error) ||
      !mapped_zeros(volume, op, &after, error))
    return FALSE;
  g_assert_cmpuint(before, ==, after);
  return TRUE;
}

static gboolean message_op(Scenario *scenario, Model *model, const Op *op, GError **error)
{
  static const ThinMessageKind kinds[] = {THIN_CREATE, THIN_SNAPSHOT, THIN_DELETE, THIN_EXCHANGE};
  /* Sizes trade places as well; where they are alike, open volumes may stay open. */
  if (op->kind == OP_DELETE ||
      (op->kind == OP_EXCHANGE && find(model, op->device)->size != find(model, op->other)->size)) {
    g_hash_table_remove(scenario->volumes, GUINT_TO_POINTER(op->device));
    g_hash_table_remove(scenario->volumes, GUINT_TO_POINTER(op->other));
  }
  return harness_message(scenario->harness, kinds[op->kind], op->device, op->other, error);
}

static gboolean volume_op(Scenario *scenario, Model *model, const Op *op, GError **error)
{
  guint64 offset = op->begin * SECTOR, length = op->n * SECTOR;
  ThinVolume *volume = volume_of(scenario, model, op->device, error);
  if (!volume)
    return FALSE;
  switch (op->kind) {
  case OP_WRITE: return write_op(volume, op, error);
  case OP_ZERO: return thin_volume_zero(volume, offset, length, op->unmap, error);
  case OP_DISCARD: return thin_volume_discard(volume, offset, length, error);
  case OP_RESIZE: return thin_volume_resize(volume, offset, error);
  case OP_READ:
    return compare(model, find(model, op->device), volume, op->begin, op->n, FALSE, "read", error);
  default: return thin_volume_flush(volume, error);
  }
}

static gboolean do_op(Scenario *scenario, Model *model, const Op *op, GError **error)
{
  switch (op->kind) {
  case OP_CREATE:
  case OP_SNAPSHOT:
  case OP_DELETE:
  case OP_EXCHANGE: return message_op(scenario, model, op, error);
  case OP_COMMIT: return thin_pool_commit(scenario->harness->pool, error);
  case OP_REOPEN:
    scenario_close_volumes(scenario);
    if (!thin_pool_close(g_steal_pointer(&scenario->harness->pool), error))
      return FALSE;
    scenario->harness->pool = thin_pool_open(scenario->harness->metadata, scenario->harness->data,
                                             &scenario->harness->options, error);
    return scenario->harness->pool != NULL;
  default: return volume_op(scenario, model, op, error);
  }
}

gboolean scenario_do(Scenario *scenario, Model *model, Op *op, GError **error)
{
  g_autoptr(GError) cause = NULL;
  if (do_op(scenario, model, op, &cause))
    return TRUE;
  op->no_space = g_error_matches(cause, VT_ERROR, ENOSPC);
  if (op->no_space)
    return TRUE;
  g_propagate_error(error, g_steal_pointer(&cause));
  return FALSE;
}

/* How far did a write come that ran out of space? Each sector is the old or the new one. */
static void ask_pool(Model *model, Scenario *scenario, ModelDevice *d, guint64 begin, guint64 end,
                     const Op *op)
{
  g_autofree Sector *found = g_new(Sector, end - begin);
  ThinVolume *volume = NULL;
  MUST(volume = volume_of(scenario, model, d->id, &error));
  MUST(thin_volume_read(volume, found, (end - begin) * SECTOR, begin * SECTOR, &error));
  for (guint64 i = begin; i < end; i++) {
    guint32 is;
    if (!stamp_of(&found[i - begin], i, &is) || (is != stamp_at(op, i) && is != d->now[i]))
      wrong("after ENOSPC", d->id, i, &found[i - begin], d);
    d->now[i] = is;
  }
}

static void change(Model *model, Scenario *scenario, const Op *op)
{
  ModelDevice *d = find(model, op->device);
  guint64 begin, end;
  model_begin(model, op);
  changes(model, op, &begin, &end);
  if (op->no_space && scenario)
    ask_pool(model, scenario, d, begin, MIN(end, d->size), op);
  else if (!op->no_space)
    for (guint64 i = begin; i < end; i++)
      d->now[i] = stamp_at(op, i);
  if (op->kind == OP_RESIZE && !op->no_space)
    d->size = op->begin;
}

void model_do(Model *model, Scenario *scenario, const Op *op)
{
  gboolean done = !op->no_space;
  switch (op->kind) {
  case OP_CREATE:
  case OP_SNAPSHOT:
    if (done)
      g_hash_table_foreach(model->devices, make_durable, NULL);
    if (done)
      add(model, op->device, op->kind == OP_SNAPSHOT ? find(model, op->other) : NULL);
    return;
  case OP_DELETE:
    g_hash_table_foreach(model->devices, make_durable, NULL);
    g_hash_table_remove(model->devices, GUINT_TO_POINTER(op->device));
    return;
  case OP_EXCHANGE:
    g_hash_table_foreach(model->devices, make_durable, NULL);
    exchange(model, op->device, op->other);
    return;
  case OP_COMMIT:
  case OP_REOPEN: g_hash_table_foreach(model->devices, make_durable, NULL); return;
  case OP_FLUSH: make_durable(NULL, find(model, op->device), NULL); return;
  case OP_READ: return;
  default: change(model, scenario, op);
  }
}
