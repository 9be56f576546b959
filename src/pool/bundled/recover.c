/* virt-thin - the bundled pool: a thin pool at open, and what a crash left half done
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A change goes through three commits (bundled/commit.c): VG text with transaction id T and
 * messages, thin pool from T-1 to T, VG text without messages. So with P the id that the pool's
 * superblock holds, a crash left
 *
 *   P = T, no messages   nothing under way.
 *   P = T, messages      the pool has done them: take them out of the text.
 *   P = T-1              it has not, or lvm2 sent some of them, each its own commit, and died
 *                        before set_transaction_id: what is still missing is done now. A device to
 *                        create that exists, made at P, was made by that very message: lvm2 2.03
 *                        itself stays stuck there ("Manual intervention may be required"). A device
 *                        to delete that is gone is gone.
 *   anything else        text and pool are not of one time: whoever goes on would hand out device
 *                        ids that are taken, or lose volumes. Refused.
 *   T = 0                a pool that something other than LVM counts for (lvm2: "foreign"): opened,
 *                        not changed.
 *
 * Everything is looked at first, by reading alone; a pool that is refused is not written to, nor
 * does it keep the others away.
 */
#include "pool/bundled/bundled-private.h"

#include <string.h>

#include "pool/devices.h"
#include "pool/health.h"
#include "pool/rules.h"
#include "util/memory.h"
#include "util/size.h"

#define SURVEY_CACHE (4u << 20) /* bytes: the survey reads each block about once */

/* --- what state a pool is in --- */

/* @conflict: by what it shows (health.h). */
static gboolean time_refusal(Bundled *b, const char *name, const char *conflict, GError **error)
{
  return vt_set_error(
      error, EPERM,
      "thin pool %s/%s: %s: volume group text and pool metadata are not of the same time. Open it "
      "read-only to copy volumes off, and have it mended: virt-thin repair %s/%s",
      b->vg_name, name, conflict, b->vg_name, name);
}

static gboolean is_created_by_message(GArray *messages, const char *name)
{
  for (guint i = 0; i < messages->len; i++) {
    const char *create = g_array_index(messages, LvmMessage, i).create;

    if (create && strcmp(create, name) == 0)
      return TRUE;
  }
  return FALSE;
}

/* A pool whose superblock is all zero is one that nobody formatted yet: then it has no volumes, but
 * for those under way. If it has, its metadata was wiped. */
static gboolean check_unformatted(Bundled *b, LvmLv *pool_lv, GArray *messages, GError **error)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(lvm_store_vg(b->store));
  const char *name = lvm_lv_name(pool_lv);
  g_autofree char *conflict = NULL;

  for (guint i = 0; i < lvs->len; i++) {
    LvmLv *lv = lvs->pdata[i];

    if (lvm_lv_kind(lv) == LVM_LV_THIN && strcmp(lvm_thin_pool(lv), name) == 0 &&
        !is_created_by_message(messages, lvm_lv_name(lv)))
      return vt_set_error(
          error, EBADMSG,
          "thin pool %s/%s: the superblock (block 0 of %s) is all zero, yet it has "
          "volumes such as %s: "
          "its metadata was overwritten. What is left of it is looked for by virt-thin repair "
          "%s/%s; a copy of it that was kept can be taken: add --from FILE",
          b->vg_name, name, lvm_pool_metadata(pool_lv), lvm_lv_name(lv), b->vg_name, name);
  }
  conflict = pool_health_tid_conflict(pool_lv, 0);
  return !conflict || time_refusal(b, name, conflict, error);
}

/* Messages that are still to be sent must not meet somebody else's device. */
static gboolean check_messages(Bundled *b, ThinPool *thin, LvmLv *pool_lv, guint64 tid,
                               GError **error)
{
  g_autoptr(GArray) devices = thin_pool_list_devices(thin, error);

  return devices &&
         pool_devices_check_messages(lvm_store_vg(b->store), pool_lv, tid, devices, error);
}

static gboolean check_damage(Bundled *b, BundledPool *pool, GError **error)
{
  g_autoptr(GError) failure = NULL;
  g_autoptr(ThinReport) report = thin_check(pool->metadata, vt_io_size(pool->data), &failure);

  if (report && report->errors->len == 0)
    return TRUE;
  return vt_set_error(
      error, EBADMSG,
      "thin pool %s/%s: its metadata is damaged: %s%s. Open it read-only to copy off what can be "
      "reached, then have it mended: virt-thin repair %s/%s",
      b->vg_name, pool->name, report ? (char *)report->errors->pdata[0] : failure->message,
      report && report->errors->len > 1 ? " (and more: see `virt-thin check`)" : "", b->vg_name,
      pool->name);
}

static ThinPool *open_metadata(Bundled *b, BundledPool *pool, const ThinOptions *options,
                               GError **error)
{
  g_autoptr(GError) failure = NULL;
  ThinPool *thin = thin_pool_open(pool->metadata, pool->data, options, &failure);

  if (thin)
    return thin;
  if (g_error_matches(failure, VT_ERROR, EBADMSG))
    vt_set_error(error, EBADMSG,
                 "%s (have it mended: virt-thin repair %s/%s; a copy of it that was kept can be "
                 "taken: add --from FILE)",
                 failure->message, b->vg_name, pool->name);
  else
    g_propagate_error(error, g_steal_pointer(&failure));
  return NULL;
}

/* Read-write: may this pool be written to? Reads only. */
static gboolean survey(Bundled *b, BundledPool *pool, LvmLv *pool_lv, GError **error)
{
  const ThinOptions options = {.read_only = TRUE,
                               .block_cache = SURVEY_CACHE,
                               .translations = 1024,
                               .chunk_size = lvm_pool_chunk_size(pool_lv)};
  g_autoptr(GArray) messages = lvm_pool_messages(pool_lv);
  g_autofree guint8 *block = g_malloc(THIN_METADATA_BLOCK);
  g_autofree char *conflict = NULL;
  ThinPool *thin;
  gboolean ok;

  if (!vt_io_read(pool->metadata, block, THIN_METADATA_BLOCK, 0, error))
    return FALSE;
  if (vt_is_zero(block, THIN_METADATA_BLOCK))
    return check_unformatted(b, pool_lv, messages, error);
  thin = open_metadata(b, pool, &options, error);
  if (!thin)
    return FALSE;
  thin_pool_get_status(thin, &pool->status);
  if ((conflict = pool_health_tid_conflict(pool_lv, pool->status.transaction_id)) ||
      (conflict = pool_health_size_conflict(pool_lv, pool->status.data_size)))
    ok = time_refusal(b, pool->name, conflict, error);
  else if (pool->status.needs_check)
    ok = vt_set_error(
        error, EPERM,
        "thin pool %s/%s: its metadata is marked needs_check: a commit failed, or a repair was not "
        "finished. Check it and clear the mark with `virt-thin check --clear-needs-check %s/%s`. "
        "If it "
        "is damaged, open it read-only to copy volumes off, then have it mended: virt-thin repair "
        "%s/%s",
        b->vg_name, pool->name, b->vg_name, pool->name, b->vg_name, pool->name);
  else
    ok = pool->status.transaction_id == lvm_pool_transaction_id(pool_lv) ||
         check_messages(b, thin, pool_lv, pool->status.transaction_id, error);
  if (!thin_pool_close(thin, ok ? error : NULL))
    ok = FALSE;
  return ok && check_damage(b, pool, error);
}

/* --- opening it --- */

static ThinDiscards discards_of(LvmLv *pool_lv)
{
  const char *discards = lvm_pool_discards(pool_lv);

  if (strcmp(discards, "passdown") == 0)
    return THIN_DISCARD_PASSDOWN;
  return strcmp(discards, "nopassdown") == 0 ? THIN_DISCARD_NO_PASSDOWN : THIN_DISCARD_IGNORE;
}

/* A survey has told a pool that is opened read-write. */
static gboolean check_overwritten(Bundled *b, BundledPool *pool, LvmLv *pool_lv, GError **error)
{
  g_autoptr(GArray) messages = lvm_pool_messages(pool_lv);
  g_autofree guint8 *block = g_malloc(THIN_METADATA_BLOCK);

  return !b->read_only || !vt_io_read(pool->metadata, block, THIN_METADATA_BLOCK, 0, NULL) ||
         !vt_is_zero(block, THIN_METADATA_BLOCK) || check_unformatted(b, pool_lv, messages, error);
}

static gboolean open_thin(Bundled *b, BundledPool *pool, LvmLv *pool_lv, GError **error)
{
  ThinOptions options = {
      .read_only = b->read_only,
      .chunk_size = lvm_pool_chunk_size(pool_lv),
      .skip_zeroing = !lvm_pool_zeroes(pool_lv),
      .discards = discards_of(pool_lv),
  };

  if (!b->read_only && b->journal) {
    options.journal = b->journal;
    options.journal_size = b->journal_size;
    options.journal_key = lvm_lv_uuid(pool_lv);
  }
  if (!check_overwritten(b, pool, pool_lv, error))
    return FALSE;
  pool->thin = open_metadata(b, pool, &options, error);
  return pool->thin != NULL;
}

/* What the pool has not done yet of @messages. NULL: that cannot be told. */
static GArray *missing_messages(Bundled *b, BundledPool *pool, GArray *messages, GError **error)
{
  LvmVg *vg = lvm_store_vg(b->store);
  g_autoptr(GArray) missing = g_array_new(FALSE, TRUE, sizeof(ThinMessage));

  for (guint i = 0; i < messages->len; i++) {
    LvmMessage *message = &g_array_index(messages, LvmMessage, i);
    LvmLv *lv = message->create ? lvm_vg_find_lv(vg, message->create) : NULL;
    LvmLv *origin = lv && lvm_thin_origin(lv) ? lvm_vg_find_lv(vg, lvm_thin_origin(lv)) : NULL;
    ThinMessage todo = {THIN_DELETE, lv ? lvm_thin_device(lv) : message->delete_device, 0};
    ThinDevice device;
    gboolean exists;

    if (!bundled_find_device(pool, todo.device, &device, &exists, error))
      return NULL;
    if (lv) {
      todo.kind = origin ? THIN_SNAPSHOT : THIN_CREATE;
      todo.other = origin ? lvm_thin_device(origin) : 0;
    }
    if (exists == (todo.kind == THIN_DELETE))
      g_array_append_val(missing, todo);
  }
  return g_steal_pointer(&missing);
}

static gboolean send_messages(Bundled *b, BundledPool *pool, LvmLv *pool_lv, GError **error)
{
  g_autoptr(GArray) messages = lvm_pool_messages(pool_lv);
  g_autoptr(GArray) missing = NULL;
  guint64 tid = lvm_pool_transaction_id(pool_lv);
  ThinStatus status;

  thin_pool_get_status(pool->thin, &status);
  if (tid == 0 || status.transaction_id == tid)
    return TRUE;
  missing = missing_messages(b, pool, messages, error);
  if (missing && thin_pool_send(pool->thin, (ThinMessage *)missing->data, missing->len,
                                status.transaction_id, tid, error))
    return TRUE;
  g_prefix_error(error, "thin pool %s/%s: cannot finish what a crash left half done: ", b->vg_name,
                 pool->name);
  return FALSE;
}

static void refuse(BundledPool *pool, GError *error)
{
  if (pool->thin)
    thin_pool_close(pool->thin, NULL);
  pool->thin = NULL;
  g_clear_error(&pool->refused);
  pool->refused = error;
}

static VtIo *open_gated(Bundled *b, const char *name, GError **error)
{
  VtIo *io = lvm_store_open_lv(b->store, name, b->read_only, error);

  return io ? bundled_gate_new(b, io) : NULL;
}

/* The I/O of a pool's two hidden LVs, and read-write the survey. Whatever goes wrong goes to
 * pool->refused. */
static BundledPool *prepare(Bundled *b, LvmLv *pool_lv)
{
  BundledPool *pool = g_new0(BundledPool, 1);
  GError *error = NULL;
  gboolean ok;

  pool->name = g_strdup(lvm_lv_name(pool_lv));
  pool->snapshots_warned = G_MAXUINT64;
  pool->metadata = open_gated(b, lvm_pool_metadata(pool_lv), &error);
  pool->data = pool->metadata ? open_gated(b, lvm_pool_data(pool_lv), &error) : NULL;
  ok = pool->data != NULL;
  if (ok && b->read_only)
    ok = open_thin(b, pool, pool_lv, &error);
  else if (ok)
    ok = survey(b, pool, pool_lv, &error);
  if (!ok) {
    g_autofree char *prefix = g_strdup_printf("thin pool %s/%s", b->vg_name, pool->name);

    if (!g_str_has_prefix(error->message, prefix))
      g_prefix_error(&error, "%s: ", prefix);
    refuse(pool, error);
  }
  return pool;
}

/* --- what is left in the VG text --- */

static gboolean has_own_tag(LvmLv *lv)
{
  g_auto(GStrv) tags = lvm_lv_tags(lv);

  for (guint i = 0; tags && tags[i]; i++)
    if (g_str_has_prefix(tags[i], POOL_OWN_TAGS) && !g_str_has_prefix(tags[i], POOL_SNAPSHOT_TAG))
      return TRUE;
  return FALSE;
}

/* *@changed: there was something to take out. */
static gboolean clean_text(Bundled *b, LvmVg *vg, BundledPool *pool, gboolean *changed,
                           GError **error)
{
  LvmLv *pool_lv = lvm_vg_find_lv(vg, pool->name);
  g_autoptr(GArray) messages = lvm_pool_messages(pool_lv);
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);

  *changed |= messages->len > 0;
  lvm_pool_clear_messages(pool_lv);
  for (guint i = 0; i < lvs->len; i++) {
    LvmLv *lv = lvs->pdata[i];
    ThinDevice device;
    gboolean found;

    if (lvm_lv_kind(lv) != LVM_LV_THIN || strcmp(lvm_thin_pool(lv), pool->name) != 0 ||
        !has_own_tag(lv))
      continue;
    if (!bundled_find_device(pool, lvm_thin_device(lv), &device, &found, error))
      return FALSE;
    if (!found)
      continue;
    if (bundled_finish_replacement(vg, lv, device.transaction_id))
      *changed = TRUE;
    if (!bundled_finish_shrink(vg, pool, lv, changed, error))
      return FALSE;
  }
  return TRUE;
}

/* Until then lvm2 complains, and whoever loses the disk with the newer text has the older one. @vg
 * is taken. */
static void tidy_up(Bundled *b, LvmVg *vg)
{
  g_autoptr(GError) error = NULL;

  if (!bundled_commit_text(b, vg, "recovery of an interrupted commit", &error))
    g_warning("volume group %s: what an interrupted commit left is there until the next change: %s",
              b->vg_name, error->message);
}

static gboolean clean_texts(Bundled *b, GError **error)
{
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(b->store));
  gboolean changed = FALSE;
  GHashTableIter iter;
  gpointer pool;

  g_hash_table_iter_init(&iter, b->pools);
  while (g_hash_table_iter_next(&iter, NULL, &pool))
    if (((BundledPool *)pool)->thin && !clean_text(b, vg, pool, &changed, error)) {
      lvm_vg_free(vg);
      return FALSE;
    }
  if (changed)
    return bundled_commit_text(b, vg, "recovery of an interrupted change", error);
  if (lvm_store_is_untidy(b->store))
    tidy_up(b, vg);
  else
    lvm_vg_free(vg);
  return TRUE;
}

/* lvconvert --merge of a snapshot whose origin was open waits for the next activation; then the
 * origin takes the snapshot's device (lvm2 lib/metadata/thin_manip.c). Its other snapshots lose
 * their origin key with it, as with lvm2.
 */
static gboolean finish_merge(Bundled *b, const char *name, GError **error)
{
  g_autoptr(LvmVg) vg = lvm_vg_copy(lvm_store_vg(b->store));
  g_autoptr(GArray) text_messages = g_array_new(FALSE, TRUE, sizeof(LvmMessage));
  g_autoptr(GArray) messages = g_array_new(FALSE, TRUE, sizeof(ThinMessage));
  LvmLv *lv = lvm_vg_find_lv(vg, name), *origin = lvm_vg_find_lv(vg, lvm_thin_merge(lv));
  BundledPool *pool = g_hash_table_lookup(b->pools, lvm_thin_pool(lv));
  LvmMessage text_message = {NULL, 0};
  ThinMessage message = {THIN_DELETE, 0, 0};
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);
  guint32 device = lvm_thin_device(lv);
  guint64 tid = lvm_thin_transaction_id(lv), extents = lvm_lv_n_extents(lv);
  g_autofree char *description = NULL;

  if (!pool || !pool->thin || !origin || lvm_lv_kind(origin) != LVM_LV_THIN ||
      strcmp(lvm_thin_pool(origin), pool->name) != 0)
    return TRUE;
  message.device = text_message.delete_device = lvm_thin_device(origin);
  for (guint i = 0; i < lvs->len; i++)
    if (lvm_lv_kind(lvs->pdata[i]) == LVM_LV_THIN &&
        !g_strcmp0(lvm_thin_origin(lvs->pdata[i]), lvm_lv_name(origin)))
      lvm_thin_set_origin(lvs->pdata[i], NULL);
  if (!lvm_vg_remove_lv(vg, lv, error))
    return FALSE;
  lvm_thin_set_device(origin, device, tid);
  if (!lvm_thin_set_extents(origin, extents, error))
    return FALSE;
  description = g_strdup_printf("merge of %s into %s", name, lvm_lv_name(origin));
  g_array_append_val(text_messages, text_message);
  g_array_append_val(messages, message);
  return bundled_commit_thin(b, g_steal_pointer(&vg), pool, text_messages, messages, NULL, NULL,
                             description, error);
}

static gboolean finish_merges(Bundled *b, GError **error)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(lvm_store_vg(b->store)),
                       names = g_ptr_array_new_with_free_func(g_free);

  for (guint i = 0; i < lvs->len; i++)
    if (lvm_lv_kind(lvs->pdata[i]) == LVM_LV_THIN && lvm_thin_merge(lvs->pdata[i]))
      g_ptr_array_add(names, g_strdup(lvm_lv_name(lvs->pdata[i])));
  for (guint i = 0; i < names->len; i++)
    if (!finish_merge(b, names->pdata[i], error))
      return FALSE;
  return TRUE;
}

/* --- all of them --- */

static gboolean recover_pools(Bundled *b, GError **error)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init(&iter, b->pools);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    BundledPool *pool = value;
    LvmLv *pool_lv = lvm_vg_find_lv(lvm_store_vg(b->store), pool->name);
    GError *failure = NULL;

    if (pool->refused)
      continue;
    if (!open_thin(b, pool, pool_lv, &failure) || !send_messages(b, pool, pool_lv, &failure))
      refuse(pool, failure);
  }
  return clean_texts(b, error) && finish_merges(b, error);
}

/* The reason of the first pool, when none can be used. */
static const GError *all_refused(Bundled *b)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(lvm_store_vg(b->store));
  const GError *reason = NULL;

  for (guint i = 0; i < lvs->len; i++) {
    BundledPool *pool = g_hash_table_lookup(b->pools, lvm_lv_name(lvs->pdata[i]));

    if (pool && !pool->refused)
      return NULL;
    if (pool && !reason)
      reason = pool->refused;
  }
  return reason;
}

static gboolean none_usable(Bundled *b, GError **error)
{
  const GError *reason = all_refused(b);

  if (reason)
    g_propagate_error(error, g_error_copy(reason));
  return reason != NULL;
}

gboolean bundled_open_pools(Bundled *b, GError **error)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(lvm_store_vg(b->store));

  for (guint i = 0; i < lvs->len; i++) {
    BundledPool *pool;

    if (lvm_lv_kind(lvs->pdata[i]) != LVM_LV_THIN_POOL)
      continue;
    pool = prepare(b, lvs->pdata[i]);
    g_hash_table_insert(b->pools, pool->name, pool);
  }
  if (b->read_only)
    return TRUE;
  return !none_usable(b, error) && lvm_store_take(b->store, b->archive_dir, error) &&
         recover_pools(b, error) && !none_usable(b, error);
}

gboolean bundled_open_pool(Bundled *b, const char *name, GError **error)
{
  LvmLv *pool_lv = lvm_vg_find_lv(lvm_store_vg(b->store), name);
  BundledPool *pool = prepare(b, pool_lv);
  GError *failure = NULL;

  g_hash_table_insert(b->pools, pool->name, pool);
  if (!pool->refused && !open_thin(b, pool, pool_lv, &failure))
    refuse(pool, failure);
  if (pool->refused)
    g_propagate_error(error, g_error_copy(pool->refused));
  return pool->refused == NULL;
}

gboolean bundled_pool_close(BundledPool *pool, GError **error)
{
  gboolean ok = !pool->thin || thin_pool_close(pool->thin, error);

  if (!ok)
    g_prefix_error(error, "cannot commit thin pool %s: ", pool->name);
  g_clear_pointer(&pool->damage, g_hash_table_unref);
  g_clear_error(&pool->refused);
  vt_io_unref(pool->metadata);
  vt_io_unref(pool->data);
  g_free(pool->grown);
  g_free(pool->name);
  g_free(pool);
  return ok;
}

/* --- damage, of pools opened read-only --- */

#define ANY_DEVICE GUINT_TO_POINTER(G_MAXUINT32) /* in the table: there is damage somewhere */
#define SHOWN_RANGES 4

static char *find_lost_ranges(BundledVolume *volume, guint64 size)
{
  GString *ranges = g_string_new(NULL);
  guint n = 0;

  for (guint64 offset = 0, length; offset < size; offset += length) {
    g_autoptr(GError) error = NULL;
    gboolean mapped;

    length = 0;
    if (!volume->thin ||
        thin_volume_extent(volume->thin, offset, size - offset, &length, &mapped, &error)) {
      if (!volume->thin || length == 0)
        break;
      continue;
    }
    if (n < SHOWN_RANGES || length == 0)
      g_string_append_printf(
          ranges, "%sbytes %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT " cannot be read: %s",
          n ? "; " : "", offset, (length ? offset + length : size) - 1, error->message);
    else if (n == SHOWN_RANGES)
      g_string_append(ranges, "; and more");
    n++;
    if (length == 0)
      break;
  }
  return g_string_free(ranges, FALSE);
}

static char *look_for_damage(Bundled *b, LvmLv *lv)
{
  g_autoptr(GError) error = NULL;
  BundledVolume *volume = bundled_volume_get(b, lvm_lv_name(lv), &error);
  char *found;

  if (!volume)
    return g_strdup(error->message);
  found = find_lost_ranges(volume, lvm_lv_size(lv));
  bundled_volume_put(volume);
  return found;
}

void bundled_pool_note_damage(BundledPool *pool, const ThinReport *report)
{
  if (pool->damage)
    return;
  pool->damage = g_hash_table_new_full(NULL, NULL, NULL, g_free);
  if (!report || report->errors->len > 0)
    g_hash_table_insert(pool->damage, ANY_DEVICE,
                        g_strdup(report ? report->errors->pdata[0] : "it cannot be read"));
}

/* The whole pool is checked once; only if that finds errors is each volume's map walked. */
static gboolean is_damaged(BundledPool *pool)
{
  g_autoptr(ThinReport) report = NULL;

  if (!pool->damage) {
    report = thin_check(pool->metadata, vt_io_size(pool->data), NULL);
    bundled_pool_note_damage(pool, report);
  }
  return g_hash_table_contains(pool->damage, ANY_DEVICE);
}

const char *bundled_pool_first_damage(Bundled *b, BundledPool *pool)
{
  if (!b->read_only || !pool->thin || !is_damaged(pool))
    return NULL;
  return g_hash_table_lookup(pool->damage, ANY_DEVICE);
}

static char *missing_device(Bundled *b, BundledPool *pool, LvmLv *lv)
{
  g_autoptr(GArray) messages =
      lvm_pool_messages(lvm_vg_find_lv(lvm_store_vg(b->store), pool->name));
  g_autoptr(GError) error = NULL;
  ThinDevice device;

  if (thin_pool_get_device(pool->thin, lvm_thin_device(lv), &device, &error) ||
      is_created_by_message(messages, lvm_lv_name(lv)))
    return NULL;
  return g_strdup_printf("its thin device %u cannot be found: %s", lvm_thin_device(lv),
                         error->message);
}

char *bundled_pool_damage(Bundled *b, BundledPool *pool, LvmLv *lv, gboolean found)
{
  gpointer key = GUINT_TO_POINTER(lvm_thin_device(lv));
  char *missing = found ? NULL : missing_device(b, pool, lv), *damage;

  if (missing || !b->read_only || !is_damaged(pool))
    return missing;
  damage = g_hash_table_lookup(pool->damage, key);
  if (!damage)
    g_hash_table_insert(pool->damage, key, damage = look_for_damage(b, lv));
  return *damage ? g_strdup(damage) : NULL;
}
