/* virt-thin - simulation: guests, who read and write volumes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "client.h"
#include "file.h"
#include "util/error.h"
#include "world.h"

#define PER_CHUNK 128u /* sectors */

enum { WRITE, READ, ZERO, UNMAP, DISCARD, FLUSH, BACK, EXTENT, N_KINDS };
static const guint weights[N_KINDS] = {
    [WRITE] = 44,  [READ] = 20,  [ZERO] = 3, [UNMAP] = 4,
    [DISCARD] = 6, [FLUSH] = 10, [BACK] = 1, [EXTENT] = 4,
};

static const char *const verbs[N_KINDS] = {"write",   "read",  "zero",     "unmap",
                                           "discard", "flush", "allocate", "extent"};

static guint any_kind(SimRandom *random)
{
  guint total = 0, pick, kind = 0;

  for (guint i = 0; i < N_KINDS; i++)
    total += weights[i];
  pick = sim_next(random, total);
  while (pick >= weights[kind])
    pick -= weights[kind++];
  return kind;
}

static void any_range(const ModelVolume *v, SimRandom *random, guint32 *begin, guint32 *end)
{
  guint32 most = sim_chance(random, 2) ? 16 : sim_chance(random, 3) ? 3 * PER_CHUNK : PER_CHUNK;

  *begin = sim_next(random, v->size);
  *end = *begin + 1 + sim_next(random, most);
  if (sim_chance(random, 5)) {
    *begin = *begin / PER_CHUNK * PER_CHUNK;
    *end = (*end + PER_CHUNK - 1) / PER_CHUNK * PER_CHUNK;
  }
  *end = MIN(*end, v->size);
}

/* Whole chunks are unmapped; parts keep what they hold. */
static gboolean whole_chunks(const ModelVolume *v, guint32 *begin, guint32 *end)
{
  *begin = (*begin + PER_CHUNK - 1) / PER_CHUNK * PER_CHUNK;
  *end = *end == v->size ? *end : *end / PER_CHUNK * PER_CHUNK;
  return *begin < *end;
}

/* --- one operation each; they end with the model knowing of it --- */

static void read_range(World *w, ModelVolume *v, VtIo *io, guint32 begin, guint32 end)
{
  guint32 number = ++w->model->number;
  g_autofree guint8 *bytes = g_malloc((gsize)(end - begin) * MODEL_SECTOR);
  g_autoptr(GError) error = NULL;
  gint64 bad;

  if (!model_write_begin(v, begin, end, MODEL_READ, number))
    return;
  if (!vt_io_read(io, bytes, (gsize)(end - begin) * MODEL_SECTOR, (guint64)begin * MODEL_SECTOR,
                  &error)) {
    world_judge_error(w, "read", error);
  } else if (!sim_is_ghost() &&
             (bad = model_check(v, bytes, begin, end - begin, world_loss(w))) >= 0) {
    g_autofree char *why =
        model_explain(v, bytes + (gsize)(bad - begin) * MODEL_SECTOR, (guint32)bad);
    sim_fail("a guest reads what nobody wrote: %s", why);
  }
  if (!sim_is_ghost())
    model_write_cancel(v, number);
  sim_totals.sectors += end - begin;
}

static gboolean write_bytes(VtIo *io, guint32 begin, guint32 end, guint32 stamp, guint kind,
                            GError **error)
{
  guint64 offset = (guint64)begin * MODEL_SECTOR, length = (guint64)(end - begin) * MODEL_SECTOR;
  g_autofree guint8 *bytes = NULL;

  switch (kind) {
  case ZERO: return vt_io_zero(io, offset, length, 0, error);
  case UNMAP: return vt_io_zero(io, offset, length, VT_IO_ZERO_MAY_UNMAP, error);
  case DISCARD: return vt_io_discard(io, offset, length, error);
  default:
    bytes = g_malloc(length);
    model_fill(bytes, begin, end - begin, stamp);
    return vt_io_write(io, bytes, length, offset, error);
  }
}

static void change_range(World *w, ModelVolume *v, VtIo *io, guint32 begin, guint32 end, guint kind,
                         SimRandom *random)
{
  guint32 number = ++w->model->number, stamp = kind != WRITE || sim_chance(random, 8) ? 0 : number;
  g_autoptr(GError) error = NULL;
  gboolean ok;

  if ((kind == DISCARD && !whole_chunks(v, &begin, &end)) ||
      !model_write_begin(v, begin, end, stamp, number))
    return;
  if (w->files)
    file_announce(io, v, number);
  ok = write_bytes(io, begin, end, stamp, kind, &error);
  if (w->files)
    file_announce(io, NULL, 0);
  if (sim_is_ghost())
    return;
  sim_trace("%s %u of %s, sectors %u to %u, stamp %u: %s", verbs[kind], number, v->name, begin, end,
            stamp, ok ? "done" : error->message);
  if (ok || vt_error_to_errno(error) != ECANCELED) /* else it may still be done */
    model_write_end(v, number, ok, ++w->model->number);
  if (!ok)
    world_judge_error(w, "write", error);
}

static void flush(World *w, ModelVolume *v, VtIo *io)
{
  guint32 mark = ++w->model->number;
  g_autoptr(GError) error = NULL;
  gboolean ok = vt_io_flush(io, &error);

  if (sim_is_ghost())
    return;
  sim_trace("flush of %s before %u: %s", v->name, mark, ok ? "done" : error->message);
  if (ok)
    model_settle(v, mark);
  else
    world_judge_error(w, "flush", error);
}

/* Nobody may be writing there meanwhile, and what it holds stays. */
static void back_range(World *w, ModelVolume *v, VtIo *io, guint32 begin, guint32 end)
{
  guint32 number = ++w->model->number;
  g_autoptr(GError) error = NULL;

  if (!model_write_begin(v, begin, end, MODEL_READ, number))
    return;
  if (!vt_io_back(io, (guint64)begin * MODEL_SECTOR, (guint64)(end - begin) * MODEL_SECTOR, &error))
    world_judge_error(w, "allocate", error);
  if (!sim_is_ghost())
    model_write_cancel(v, number);
}

static void ask_extent(World *w, VtIo *io, guint32 begin, guint32 end)
{
  g_autoptr(GError) error = NULL;
  guint64 length;
  gboolean mapped;

  if (!vt_io_extent(io, (guint64)begin * MODEL_SECTOR, (guint64)(end - begin) * MODEL_SECTOR,
                    &length, &mapped, &error))
    world_judge_error(w, "ask for an extent", error);
}

static void operate(World *w, ModelVolume *v, VtIo *io, guint kind, SimRandom *random)
{
  guint32 begin, end;

  any_range(v, random, &begin, &end);
  if (v->read_only && kind != EXTENT && kind != FLUSH)
    kind = READ;
  sim_totals.ops++;
  switch (kind) {
  case READ: read_range(w, v, io, begin, end); break;
  case FLUSH: flush(w, v, io); break;
  case BACK: back_range(w, v, io, begin, end); break;
  case EXTENT: ask_extent(w, io, begin, end); break;
  default: change_range(w, v, io, begin, end, kind, random);
  }
}

/* --- a guest's life --- */

static ModelVolume *any_volume(World *w, SimRandom *random)
{
  GPtrArray *all = w->model->volumes;
  guint first = all->len ? sim_next(random, all->len) : 0;

  for (guint i = 0; i < all->len; i++) {
    ModelVolume *v = all->pdata[(first + i) % all->len];

    if (!v->reserved && (!v->read_only || sim_chance(random, 4)))
      return v;
  }
  return NULL;
}

static VtIo *open_one(World *w, const ModelVolume *v, SimRandom *random, GError **error)
{
  guint64 size = (guint64)v->size * MODEL_SECTOR;

  if (w->server)
    return client_open(w->server, v->name, size, *random, sim_chance(random, 3), error);
  if (w->files)
    return file_open(w->mount, v->name, size, v->read_only, error);
  return pool_volume_open(w->group, v->name, v->read_only, "a guest", error);
}

/* FALSE: there is none to be had. */
static gboolean open_any(World *w, SimRandom *random, ModelVolume **v, VtIo **io)
{
  g_autoptr(GError) error = NULL;

  *v = any_volume(w, random);
  if (!*v)
    return FALSE;
  (*v)->users++;
  *io = open_one(w, *v, random, &error);
  if (*io)
    return TRUE;
  world_judge_error(w, "open", error);
  if (!sim_is_ghost())
    (*v)->users--;
  return FALSE;
}

static void use_one(Worker *self, guint *done, guint n)
{
  World *w = self->world;
  SimRandom random = sim_stream(w->plan->seed ^ self->number, w->epoch, *done);
  guint until = *done + 1 + sim_next(&random, 30);
  ModelVolume *v;
  VtIo *io;

  if (!open_any(w, &random, &v, &io)) {
    sim_sleep(1000);
    (*done)++;
    return;
  }
  for (; *done < MIN(until, n) && !world_over(w); (*done)++) {
    SimRandom own = sim_stream(w->plan->seed ^ self->number, w->epoch, *done + (1u << 20));
    guint kind = any_kind(&own);

    if (w->plan->kinds >> kind & 1)
      operate(w, v, io, kind, &own);
    if (w->server && client_has_hung_up(io)) {
      (*done)++;
      break;
    }
    if (sim_chance(&own, 8))
      sim_sleep(sim_next(&own, 3000));
  }
  if (w->server)
    w->hung_up = TRUE; /* the server closes it when it notices */
  vt_io_unref(io);
  if (!sim_is_ghost())
    v->users--;
}

void guest_run(gpointer data)
{
  Worker *self = data;
  World *w = self->world;
  guint n = w->plan->ops;

  if (w->epoch + 1 == w->plan->epochs && w->plan->last_ops)
    n = MIN(n, w->plan->last_ops);
  for (guint done = 0; done < n && !world_over(w);)
    use_one(self, &done, n);
  w->working--;
  sim_wake(&w->working, TRUE);
  g_free(self);
}
