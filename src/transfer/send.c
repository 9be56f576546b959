/* virt-thin - volumes of a thin pool to a stream
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Of a chunk that both a volume and its base have, only what differs travels: a guest writes less
 * at once than a chunk is large.
 *
 * Somebody may remove, and make anew, what is read here: names and UUIDs are compared when all of
 * a volume was read, before its last record makes it whole.
 */
#include "transfer/send.h"

#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "image/interrupt.h"
#include "pool/temporary.h"
#include "transfer/send-private.h"
#include "transfer/stream-private.h"
#include "util/memory.h"

#define RUNS 1024
#define PIECE (256u << 10)  /* read at once: it stays in a processor's cache until it is written */
#define GRANULE (64u << 10) /* zeros of that length are left out */
#define COMPARED (4u << 10) /* and what of a chunk its base has, too */

/* --- the plan --- */

/* Of all that can be written to, at one instant. */
static gboolean take_snapshots(SendPlan *plan, GError **error)
{
  g_autofree char *suffix = pool_temporary_suffix(), *name = g_strconcat("send_", suffix, NULL);
  g_autoptr(GPtrArray) volumes = g_ptr_array_new();

  for (guint i = 0; i < plan->items->len; i++) {
    SendItem *item = plan->items->pdata[i];

    item->source = item->info->read_only ? g_strdup(item->info->name)
                                         : g_strdup_printf("snap_%s_%s", item->info->name, name);
    if (!item->info->read_only)
      g_ptr_array_add(volumes, item->info->name);
  }
  if (volumes->len == 0)
    return TRUE;
  g_ptr_array_add(volumes, NULL);
  if (!pool_snapshot_group(plan->group, (const char *const *)volumes->pdata, name, error))
    return FALSE;
  for (guint i = 0; i < plan->items->len; i++) {
    SendItem *item = plan->items->pdata[i];

    if (!item->info->read_only)
      g_ptr_array_add(plan->snapshots, g_strdup(item->source));
  }
  return TRUE;
}

/* A volume may have another size by the time of its snapshot. */
static gboolean look_at_sources(SendPlan *plan, GError **error)
{
  for (guint i = 0; i < plan->items->len; i++) {
    SendItem *item = plan->items->pdata[i];
    g_autoptr(PoolVolumeInfo) info = pool_get_volume(plan->group, item->source, error);

    if (!info)
      return FALSE;
    item->source_uuid = g_strdup(info->uuid);
    item->volume->size = info->size;
    g_free(item->volume->uuid);
    item->volume->uuid = g_strdup(info->uuid);
  }
  return TRUE;
}

static gboolean look_at_pool(SendPlan *plan, GError **error)
{
  g_autoptr(PoolVgInfo) vg = pool_get_vg_info(plan->group, error);

  if (!vg)
    return FALSE;
  plan->vg = g_strdup(vg->name);
  plan->vg_uuid = g_strdup(vg->uuid);
  plan->infos = pool_list_volumes(plan->group, plan->pool, error);
  return plan->infos != NULL;
}

SendPlan *send_plan_new(const SendWhat *what, GError **error)
{
  g_autoptr(SendPlan) plan = g_new0(SendPlan, 1);

  plan->group = what->group;
  plan->pool = g_strdup(what->pool);
  plan->since = g_strdupv((GStrv)what->since);
  plan->items = g_ptr_array_new_with_free_func((GDestroyNotify)send_item_free);
  plan->snapshots = g_ptr_array_new_with_free_func(g_free);
  if (!look_at_pool(plan, error) || !send_select(plan, what, error) ||
      !take_snapshots(plan, error) || !look_at_sources(plan, error) ||
      !send_choose_bases(plan, error))
    return NULL;
  return g_steal_pointer(&plan);
}

void send_plan_free(SendPlan *plan)
{
  g_autoptr(GError) error = NULL;

  if (!plan)
    return;
  if (plan->snapshots->len > 0) {
    g_ptr_array_add(plan->snapshots, NULL);
    if (!pool_remove(plan->group, (const char *const *)plan->snapshots->pdata, FALSE, &error))
      cli_warn("the snapshots taken to send volumes stay for now: %s", error->message);
  }
  g_ptr_array_unref(plan->snapshots);
  g_ptr_array_unref(plan->items);
  g_clear_pointer(&plan->infos, g_ptr_array_unref);
  g_strfreev(plan->since);
  g_free(plan->there_digest);
  g_free(plan->vg);
  g_free(plan->vg_uuid);
  g_free(plan->pool);
  g_free(plan);
}

/* What is read of a live volume is another content each time. */
static void add_description(GChecksum *sum, const SendItem *item)
{
  g_autoptr(GBytes) bytes = stream_dict_to_bytes(stream_volume_to_dict(item->volume));
  gsize length;
  const guchar *data = g_bytes_get_data(bytes, &length);

  g_checksum_update(sum, data, (gssize)length);
}

gboolean send_plan_resume(SendPlan *plan, const TransferToken *token, GError **error)
{
  g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
  guint begun = token->volumes + (token->offset > 0);

  for (guint i = 0; i < MIN(begun, plan->items->len); i++)
    add_description(sum, plan->items->pdata[i]);
  g_free(plan->there_digest);
  plan->there_digest = transfer_digest(sum);
  if (begun > plan->items->len || strcmp(plan->there_digest, token->digest) != 0)
    return vt_set_error(error, ESTALE,
                        "what the receiver has of it is not what would be sent now: other volumes "
                        "or options are named, or a volume has changed. Send from the beginning, "
                        "and snapshots, so that it can go on");
  plan->there = token->volumes;
  plan->there_to = token->offset;
  for (guint i = 0; i < token->volumes; i++)
    plan->estimate -= ((SendItem *)plan->items->pdata[i])->cost;
  if (token->offset > 0)
    plan->estimate -= MIN(token->offset, ((SendItem *)plan->items->pdata[token->volumes])->cost);
  return TRUE;
}

guint64 send_plan_estimate(const SendPlan *plan)
{
  return plan->estimate;
}

guint send_plan_n_volumes(const SendPlan *plan)
{
  return plan->items->len;
}

/* --- writing --- */

typedef struct {
  SendPlan *plan;
  StreamWriter *writer;
  VtIo *source, *base;        /* NULL: it has none */
  guint64 zero_from, zero_to; /* gathered, not yet written */
  char *buffer, *there;       /* PIECE */
  guint64 done, data;
  CliProgress *progress;
} Sending;

static gboolean end_zeros(Sending *s, GError **error)
{
  guint64 from = s->zero_from, to = s->zero_to;

  s->zero_from = s->zero_to = 0;
  return from == to || stream_write_zero(s->writer, from, to - from, error);
}

static gboolean add_zeros(Sending *s, guint64 from, guint64 to, GError **error)
{
  if (s->zero_to != from || s->zero_from == s->zero_to) {
    if (!end_zeros(s, error))
      return FALSE;
    s->zero_from = from;
  }
  s->zero_to = to;
  return TRUE;
}

typedef enum { PIECE_SAME, PIECE_ZERO, PIECE_DATA } Piece;

/* Of data in @buffer, and what the base has there (NULL: nothing). */
static Piece look_at(const char *buffer, const char *there, gsize length)
{
  if (there && memcmp(buffer, there, length) == 0)
    return PIECE_SAME;
  if (vt_is_zero(buffer, length))
    return there ? PIECE_ZERO : PIECE_SAME;
  return PIECE_DATA;
}

/* The buffer's bytes at @offset, in runs of pieces of a kind. */
static gboolean write_buffer(Sending *s, guint64 offset, gsize length, const char *there,
                             GError **error)
{
  gsize granule = there ? COMPARED : GRANULE;

  for (gsize at = 0, end; at < length; at = end) {
    Piece kind = look_at(s->buffer + at, there ? there + at : NULL, MIN(granule, length - at));

    for (end = at + MIN(granule, length - at); end < length; end += MIN(granule, length - end))
      if (look_at(s->buffer + end, there ? there + end : NULL, MIN(granule, length - end)) != kind)
        break;
    if (kind == PIECE_ZERO && !add_zeros(s, offset + at, offset + end, error))
      return FALSE;
    if (kind == PIECE_DATA &&
        (!end_zeros(s, error) ||
         !stream_write_data(s->writer, offset + at, s->buffer + at, end - at, error)))
      return FALSE;
    s->data += kind == PIECE_DATA ? end - at : 0;
  }
  return TRUE;
}

/* From @from on. */
static gboolean write_run(Sending *s, const PoolDeltaRun *run, guint64 from, guint64 size,
                          GError **error)
{
  guint64 offset = MAX(run->offset, from), end = MIN(run->offset + run->length, size);
  char *there = run->kind == POOL_DELTA_DIFFERENT ? s->there : NULL;

  if (run->kind == POOL_DELTA_LEFT_ONLY)
    return offset >= end || add_zeros(s, offset, end, error);
  while (offset < end) {
    gsize step = (gsize)MIN(end - offset, PIECE - offset % PIECE);

    if (!image_check_interrupt(error) || !vt_io_read(s->source, s->buffer, step, offset, error) ||
        (there && !vt_io_read(s->base, there, step, offset, error)) ||
        !write_buffer(s, offset, step, there, error))
      return FALSE;
    offset += step;
    s->done += step;
    cli_progress_update(s->progress, s->done);
  }
  return TRUE;
}

static gboolean write_ranges(Sending *s, const SendItem *item, guint64 from, GError **error)
{
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(PoolDeltaRun));
  guint64 offset = from;

  while (offset != G_MAXUINT64) {
    g_array_set_size(runs, 0);
    if (!pool_delta(s->plan->group, item->base, item->source, 0, &offset, RUNS, runs, error))
      return FALSE;
    for (guint i = 0; i < runs->len; i++)
      if (!write_run(s, &g_array_index(runs, PoolDeltaRun, i), from, item->volume->size, error))
        return FALSE;
  }
  return end_zeros(s, error);
}

static gboolean require_same(const SendPlan *plan, const char *name, const char *uuid,
                             GError **error)
{
  g_autoptr(PoolVolumeInfo) info = name ? pool_get_volume(plan->group, name, error) : NULL;

  if (!name)
    return TRUE;
  return info &&
         (strcmp(info->uuid, uuid) == 0 ||
          vt_set_error(error, ESTALE, "%s/%s is another volume now: send again", plan->vg, name));
}

/* From @from on. */
static gboolean write_volume(Sending *s, const SendItem *item, guint64 from, GError **error)
{
  g_autofree char *opener = g_strdup_printf("virt-thin send, pid %d", (int)getpid());
  gboolean ok;

  s->source = pool_volume_open(s->plan->group, item->source, TRUE, opener, error);
  s->base = s->source && item->base
                ? pool_volume_open(s->plan->group, item->base, TRUE, opener, error)
                : NULL;
  ok = s->source && (s->base || !item->base) &&
       stream_write_begin(s->writer, item->volume, NULL, error) &&
       write_ranges(s, item, from, error) &&
       require_same(s->plan, item->source, item->source_uuid, error) &&
       require_same(s->plan, item->base, item->base_uuid, error) &&
       stream_write_end_volume(s->writer, error);
  g_clear_pointer(&s->source, vt_io_unref);
  g_clear_pointer(&s->base, vt_io_unref);
  return ok;
}

/* Only that it is there. */
static gboolean name_volume(StreamWriter *writer, const SendItem *item, GError **error)
{
  return stream_write_begin(writer, item->volume, NULL, error) &&
         stream_write_end_volume(writer, error);
}

static gboolean write_resumption(const SendPlan *plan, StreamWriter *writer, GError **error)
{
  GVariantDict dict;

  if (!plan->there_digest)
    return TRUE;
  g_variant_dict_init(&dict, NULL);
  g_variant_dict_insert(&dict, "there-volumes", "t", (guint64)plan->there);
  g_variant_dict_insert(&dict, "there-offset", "t", plan->there_to);
  g_variant_dict_insert(&dict, "there-digest", "s", plan->there_digest);
  return stream_write_description(writer, g_variant_dict_end(&dict), error);
}

gboolean send_plan_write(SendPlan *plan, StreamWriter *writer, CliProgress *progress, guint64 *data,
                         GError **error)
{
  g_autofree char *buffer = g_malloc(PIECE), *there = g_malloc(PIECE);
  Sending s = {
      .plan = plan, .writer = writer, .buffer = buffer, .there = there, .progress = progress};

  if (!write_resumption(plan, writer, error))
    return FALSE;
  for (guint i = 0; i < plan->items->len; i++) {
    const SendItem *item = plan->items->pdata[i];

    if (i < plan->there ? !name_volume(writer, item, error)
                        : !write_volume(&s, item, i == plan->there ? plan->there_to : 0, error)) {
      g_prefix_error(error, "sending %s/%s: ", plan->vg, item->info->name);
      return FALSE;
    }
  }
  *data = s.data;
  return TRUE;
}
