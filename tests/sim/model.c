/* virt-thin - simulation: what a volume may hold
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "model.h"

#include <string.h>

#include "disk.h"

/* --- volumes --- */

static guint32 *longer(const guint32 *from, guint32 n, guint32 size)
{
  guint32 *to = g_new0(guint32, size);

  memcpy(to, from, MIN(n, size) * sizeof *to);
  return to;
}

ModelVolume *model_volume_new(const char *name, guint32 size)
{
  ModelVolume *v = g_new0(ModelVolume, 1);

  v->name = g_strdup(name);
  v->size = size;
  v->now = g_new0(guint32, size);
  v->now_number = g_new0(guint32, size);
  v->durable = g_new0(guint32, size);
  v->durable_number = g_new0(guint32, size);
  v->writes = g_array_new(FALSE, FALSE, sizeof(ModelWrite));
  return v;
}

static void take_writes(ModelVolume *v, const ModelVolume *from, guint32 after)
{
  for (guint i = 0; i < from->writes->len; i++) {
    ModelWrite w = g_array_index(from->writes, ModelWrite, i);

    if (w.number <= after || w.begin >= v->size)
      continue;
    w.end = MIN(w.end, v->size);
    w.done = w.done && !w.unsure;
    w.unsure = w.unsure || w.open || after > 0;
    w.open = FALSE;
    g_array_append_val(v->writes, w);
  }
}

ModelVolume *model_volume_copy(const ModelVolume *from, const char *name, guint32 size)
{
  ModelVolume *v = g_new0(ModelVolume, 1);

  v->name = g_strdup(name);
  v->size = size;
  v->now = longer(from->now, from->size, size);
  v->now_number = longer(from->now_number, from->size, size);
  v->durable = longer(from->durable, from->size, size);
  v->durable_number = longer(from->durable_number, from->size, size);
  v->writes = g_array_new(FALSE, FALSE, sizeof(ModelWrite));
  take_writes(v, from, 0);
  return v;
}

void model_volume_free(ModelVolume *v)
{
  g_free(v->name);
  g_free(v->snapshot_of);
  g_free(v->now);
  g_free(v->now_number);
  g_free(v->durable);
  g_free(v->durable_number);
  g_array_unref(v->writes);
  g_free(v);
}

void model_add_window(ModelVolume *copy, const ModelVolume *origin)
{
  guint n = copy->writes->len;
  guint32 last = n ? g_array_index(copy->writes, ModelWrite, n - 1).number : 0;

  /* Those that had begun have become unsure in the copy; here come the later ones. */
  take_writes(copy, origin, MAX(last, 1));
}

/* --- writes --- */

gboolean model_write_begin(ModelVolume *v, guint32 begin, guint32 end, guint32 stamp,
                           guint32 number)
{
  ModelWrite w = {.begin = begin, .end = end, .stamp = stamp, .number = number, .open = TRUE};

  for (guint i = 0; i < v->writes->len; i++) {
    const ModelWrite *other = &g_array_index(v->writes, ModelWrite, i);

    if (other->open && other->begin < end && begin < other->end)
      return FALSE;
  }
  g_array_append_val(v->writes, w);
  return TRUE;
}

void model_write_end(ModelVolume *v, guint32 number, gboolean done, guint32 now)
{
  for (guint i = v->writes->len; i > 0; i--) {
    ModelWrite *w = &g_array_index(v->writes, ModelWrite, i - 1);

    if (w->number != number)
      continue;
    w->open = FALSE;
    w->unsure = !done;
    w->done = done;
    w->ended = now;
    for (guint32 s = w->begin; done && s < w->end; s++)
      v->now[s] = w->stamp, v->now_number[s] = number;
    return;
  }
}

void model_write_cancel(ModelVolume *v, guint32 number)
{
  for (guint i = v->writes->len; i > 0; i--)
    if (g_array_index(v->writes, ModelWrite, i - 1).number == number) {
      g_array_remove_index(v->writes, i - 1);
      return;
    }
}

/* Of one that was unsure only what was seen of it counts. */
static void settle_one(ModelVolume *v, const ModelWrite *w)
{
  for (guint32 s = w->begin; s < w->end; s++)
    if (v->durable_number[s] < w->number && !w->tainted &&
        (!w->resolved || v->now_number[s] == w->number))
      v->durable[s] = w->stamp, v->durable_number[s] = w->number;
}

void model_settle(ModelVolume *v, guint32 mark)
{
  guint kept = 0;

  for (guint i = 0; i < v->writes->len; i++) {
    ModelWrite w = g_array_index(v->writes, ModelWrite, i);
    gboolean settled = !w.open && !w.unsure && w.ended < mark;

    if (settled)
      settle_one(v, &w);
    if (!settled || w.resolved || w.tainted || v->observers)
      g_array_index(v->writes, ModelWrite, kept++) = w;
  }
  g_array_set_size(v->writes, kept);
}

static gboolean is_tainted(const ModelVolume *v, guint32 s)
{
  for (guint i = 0; i < v->writes->len; i++) {
    const ModelWrite *w = &g_array_index(v->writes, ModelWrite, i);

    if (w->tainted && w->number == v->now_number[s])
      return TRUE;
  }
  return FALSE;
}

void model_all_durable(ModelVolume *v)
{
  for (guint32 s = 0; s < v->size; s++)
    if (!is_tainted(v, s))
      v->durable[s] = v->now[s], v->durable_number[s] = v->now_number[s];
}

/* --- sectors --- */

typedef struct {
  guint64 words[MODEL_SECTOR / 8];
} Sector;

static void fill_sector(Sector *sector, guint32 number, guint32 stamp)
{
  sector->words[0] = (guint64)SIM_GUEST_MAGIC << 32 | stamp;
  for (guint i = 1; i < G_N_ELEMENTS(sector->words); i++)
    sector->words[i] = i % 2 ? number : stamp;
}

void model_fill(guint8 *bytes, guint32 first, guint32 n, guint32 stamp)
{
  if (!stamp)
    memset(bytes, 0, (gsize)n * MODEL_SECTOR);
  for (guint32 i = 0; stamp && i < n; i++)
    fill_sector((Sector *)(gpointer)bytes + i, first + i, stamp);
}

/* FALSE: it is no sector of ours. */
static gboolean stamp_of(const guint8 *bytes, guint32 number, guint32 *stamp)
{
  const Sector *sector = (gconstpointer)bytes;
  static const Sector zero;
  Sector expected;

  *stamp = (guint32)sector->words[0];
  if (*stamp == 0)
    return memcmp(sector, &zero, sizeof zero) == 0;
  fill_sector(&expected, number, *stamp);
  return memcmp(sector, &expected, sizeof expected) == 0;
}

static gboolean may_hold(const ModelVolume *v, guint32 s, guint32 stamp, ModelLoss loss)
{
  gboolean lost = loss >= MODEL_FAILED;
  guint32 base = lost ? v->durable_number[s] : v->now_number[s];

  if (stamp == (lost ? v->durable[s] : v->now[s]))
    return TRUE;
  for (guint i = 0; i < v->writes->len; i++) {
    const ModelWrite *w = &g_array_index(v->writes, ModelWrite, i);

    if (w->stamp == stamp && s >= w->begin && s < w->end && w->number > base &&
        (lost || w->open || w->unsure))
      return TRUE;
  }
  return FALSE;
}

gint64 model_check(const ModelVolume *v, const guint8 *bytes, guint32 first, guint32 n,
                   ModelLoss loss)
{
  for (guint32 i = 0; i < n; i++) {
    guint32 stamp;

    if (!stamp_of(bytes + (gsize)i * MODEL_SECTOR, first + i, &stamp) ||
        !may_hold(v, first + i, stamp, loss))
      return first + i;
  }
  return -1;
}

char *model_explain(const ModelVolume *v, const guint8 *bytes, guint32 s)
{
  const Sector *found = (gconstpointer)bytes;
  GString *text = g_string_new(NULL);

  g_string_append_printf(text,
                         "%s, sector %u, holds %" G_GINT64_MODIFIER "x %" G_GINT64_MODIFIER
                         "x (write %u); now %u (of %u), durable %u (of %u); since then",
                         v->name, s, found->words[0], found->words[1], (guint32)found->words[0],
                         v->now[s], v->now_number[s], v->durable[s], v->durable_number[s]);
  for (guint i = 0; i < v->writes->len; i++) {
    const ModelWrite *w = &g_array_index(v->writes, ModelWrite, i);

    if (s >= w->begin && s < w->end)
      g_string_append_printf(text, " %u:%u%s%s", w->number, w->stamp, w->open ? " open" : "",
                             w->unsure ? " unsure" : "");
  }
  return g_string_free(text, FALSE);
}

/* Which write was it that left @stamp in sector @s? */
static guint32 number_of(const ModelVolume *v, guint32 s, guint32 stamp)
{
  if (stamp == v->now[s])
    return v->now_number[s];
  for (guint i = v->writes->len; i > 0; i--) {
    const ModelWrite *w = &g_array_index(v->writes, ModelWrite, i - 1);

    if (w->stamp == stamp && s >= w->begin && s < w->end)
      return w->number;
  }
  return v->durable_number[s];
}

void model_adopt(ModelVolume *v, const guint8 *bytes, ModelLoss loss)
{
  for (guint32 s = 0; s < v->size; s++) {
    guint32 stamp = (guint32)((const Sector *)(gconstpointer)bytes)[s].words[0],
            number = number_of(v, s, stamp);

    v->now[s] = stamp;
    v->now_number[s] = number;
    if (loss == MODEL_CUT)
      v->durable[s] = stamp, v->durable_number[s] = number;
  }
  if (loss == MODEL_CUT)
    g_array_set_size(v->writes, 0);
  for (guint i = v->writes->len; i > 0; i--) {
    ModelWrite *w = &g_array_index(v->writes, ModelWrite, i - 1);

    if (w->stamp == MODEL_READ) {
      g_array_remove_index(v->writes, i - 1);
      continue;
    }
    w->tainted = w->tainted || loss == MODEL_FAILED;
    w->resolved = w->resolved || w->open || w->unsure;
    w->open = w->unsure = w->done = FALSE;
  }
}
