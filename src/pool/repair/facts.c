/* virt-thin - mending a thin pool: what there is
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "pool/devices.h"
#include "pool/health.h"
#include "pool/repair/repair-private.h"
#include "pool/rules.h"
#include "settings/settings.h"
#include "util/size.h"

void repair_clear(Repair *repair)
{
  repair_metadata_clear(&repair->found);
  g_clear_pointer(&repair->devices, g_array_unref);
  g_clear_pointer(&repair->lost, g_array_unref);
  g_clear_pointer(&repair->older, g_array_unref);
  g_clear_pointer(&repair->strays, g_array_unref);
  g_clear_pointer(&repair->missing, g_ptr_array_unref);
  g_clear_pointer(&repair->empty, g_array_unref);
  g_clear_pointer(&repair->adopted, g_ptr_array_unref);
  lvm_vg_free(repair->text);
  vt_io_unref(repair->made);
  vt_io_unref(repair->source);
  vt_io_unref(repair->metadata);
  vt_io_unref(repair->data);
  lvm_store_close(repair->store);
  lvm_text_free(repair->mend);
  pool_look_free(repair->look);
  g_free(repair->kept);
  g_free(repair->wrong);
  g_free(repair->name);
}

gboolean repair_check_holder(const char *vg, const PoolWhere *where, GError **error)
{
  return pool_holder(vg, where) != POOL_HOLDER_SERVICE ||
         vt_set_error(error, EBUSY, "volume group %s is served: stop it first (virt-thin stop %s)",
                      vg, vg);
}

/* What only lvm2 can mend, or nobody. */
static gboolean check_vg(Repair *repair, GError **error)
{
  g_autofree char *foreign = lvm_store_foreign(repair->store);
  const char *why = lvm_vg_unwritable(repair->vg);

  return (!why && !foreign) || vt_set_error(error, EPERM, "volume group %s cannot be changed: %s",
                                            lvm_vg_name(repair->vg), why ? why : foreign);
}

/* A look, which opens for reading, must not promise what then cannot be written. */
static gboolean check_writable(LvmLv *lv, GError **error)
{
  return !lv || lvm_lv_is_writable(lv) ||
         vt_set_error(error, EPERM,
                      "its volume %s is read-only by the volume group's text: an older text is put "
                      "back with --text FILE",
                      lvm_lv_name(lv));
}

static VtIo *open_part(Repair *repair, const char *name, gboolean read_only, GError **error)
{
  LvmLv *lv = name ? lvm_vg_find_lv(repair->vg, name) : NULL;
  g_autofree char *damage = lv && read_only ? lvm_store_lv_damage(repair->store, lv) : NULL;

  if (!lv)
    return vt_set_error(error, EBADMSG, "its volume %s is not there", name ? name : ""), NULL;
  if (damage)
    return vt_set_error(error, EIO, "its volume %s is not whole: %s", name, damage), NULL;
  if (!check_writable(lv, error))
    return NULL;
  return lvm_store_open_lv(repair->store, name, read_only, error);
}

static gboolean open_parts(Repair *repair, gboolean read_only, GError **error)
{
  const char *from = repair->choice->from;

  if (!check_writable(pool_rules_find_spare(repair->vg), error))
    return FALSE;
  repair->metadata = open_part(repair, lvm_pool_metadata(repair->pool), read_only, error);
  repair->data =
      repair->metadata ? open_part(repair, lvm_pool_data(repair->pool), read_only, error) : NULL;
  if (!repair->data)
    return FALSE;
  repair->source = from ? vt_io_open_file(from, TRUE, error) : vt_io_ref(repair->metadata);
  return repair->source != NULL;
}

/* --- metadata --- */

static GArray *text_devices(const Repair *repair)
{
  GArray *ids = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(repair->vg);

  for (guint i = 0; i < lvs->len; i++) {
    guint32 id;

    if (!pool_rules_is_in_pool(lvs->pdata[i], repair->name))
      continue;
    id = lvm_thin_device(lvs->pdata[i]);
    g_array_append_val(ids, id);
  }
  return ids;
}

/* Has the pool done what the messages in the text say? By devices that must be there then. */
static gboolean messages_are_done(const Repair *repair)
{
  g_autoptr(GArray) messages = lvm_pool_messages(repair->pool);

  for (guint i = 0; i < messages->len; i++) {
    const LvmMessage *message = &g_array_index(messages, LvmMessage, i);
    LvmLv *lv = message->create ? lvm_vg_find_lv(repair->vg, message->create) : NULL;
    guint32 id = lv ? lvm_thin_device(lv) : message->delete_device;

    if ((pool_devices_find(repair->devices, id) != NULL) != (lv != NULL))
      return FALSE;
  }
  return TRUE;
}

static guint64 count_chunks(const Repair *repair)
{
  return vt_io_size(repair->data) / lvm_pool_chunk_size(repair->pool);
}

/* A pool never changes it, nor does a text; but a superblock may be damaged, or another pool's. */
static gboolean has_other_chunks(const Repair *repair)
{
  return repair->found.superblock == REPAIR_WHOLE && repair->found.chunk_size &&
         repair->found.chunk_size != lvm_pool_chunk_size(repair->pool);
}

static gboolean has_damage(const Repair *repair)
{
  const RepairMetadata *found = &repair->found;

  return found->superblock != REPAIR_WHOLE || found->errors->len || found->leaks->len ||
         found->needs_check || found->n_chunks > count_chunks(repair) || repair->choice->from ||
         repair->choice->mapping_root || has_other_chunks(repair);
}

/* A pool without volumes, that nobody has formatted yet. */
static gboolean is_new(const Repair *repair, GArray *ids)
{
  g_autoptr(GArray) messages = lvm_pool_messages(repair->pool);

  return repair->found.superblock == REPAIR_ZERO && ids->len <= messages->len &&
         lvm_pool_transaction_id(repair->pool) <= 1;
}

static gboolean find_roots(Repair *repair, GArray *ids, GError **error)
{
  RepairMetadata *found = &repair->found;
  g_autoptr(GError) failure = NULL;

  if (found->superblock == REPAIR_WHOLE && !repair->choice->mapping_root)
    return TRUE;
  found->roots.transaction_id = lvm_pool_transaction_id(repair->pool);
  found->roots.chunk_size = lvm_pool_chunk_size(repair->pool);
  found->roots.n_chunks = count_chunks(repair);
  if (repair_find_roots(repair->source, ids, repair->choice, found, &failure))
    return TRUE;
  return vt_set_error(
      error, EBADMSG,
      "nothing can be made of its metadata: %s. A copy of it that was kept is taken "
      "with --from FILE",
      failure->message);
}

/* What is lost may be left in what came before. */
static gboolean find_older(Repair *repair, GArray *ids, GError **error)
{
  return (!repair->lost->len && !repair->devices_lost) ||
         repair->found.superblock != REPAIR_WHOLE || repair->choice->mapping_root ||
         repair_find_older(repair->source, ids, &repair->found, error);
}

gboolean repair_make(Repair *repair, GError **error)
{
  repair->made_size = vt_io_size(repair->metadata);
  repair->made = repair_file_new(repair->made_size, error);
  repair->lost = g_array_new(FALSE, FALSE, sizeof(RepairLost));
  repair->older = g_array_new(FALSE, FALSE, sizeof(RepairOlder));
  if (!repair->made || !repair_rebuild(repair->source, &repair->found.roots, repair->made,
                                       repair->lost, &repair->devices_lost, error))
    return FALSE;
  repair->devices = repair_list_devices(repair->made, &repair->tid, error);
  return repair->devices != NULL;
}

static void forget_made(Repair *repair)
{
  g_clear_pointer(&repair->devices, g_array_unref);
  g_clear_pointer(&repair->lost, g_array_unref);
  g_clear_pointer(&repair->older, g_array_unref);
  g_clear_pointer(&repair->made, vt_io_unref);
  repair->devices_lost = FALSE;
}

static gboolean has_mapped(const Repair *repair)
{
  for (guint i = 0; i < repair->devices->len; i++)
    if (g_array_index(repair->devices, ThinDevice, i).mapped)
      return TRUE;
  return FALSE;
}

/* Nothing that a volume maps can be reached from the superblock's roots, and something was. */
static gboolean is_all_lost(const Repair *repair)
{
  return (repair->lost->len || repair->devices_lost) && !has_mapped(repair);
}

/* Then an earlier commit, without what was written since, is more: as where there is no superblock
 * at all. But not one that has nothing, either. */
static gboolean make_of_older(Repair *repair, GArray *ids, GError **error)
{
  RepairMetadata *found = &repair->found;
  const RepairRoots before = found->roots;
  guint n_devices = repair->devices->len;

  found->roots.transaction_id = lvm_pool_transaction_id(repair->pool);
  if (repair_find_roots(repair->source, ids, repair->choice, found, NULL)) {
    forget_made(repair);
    if (!repair_make(repair, error))
      return FALSE;
    if (has_mapped(repair) || repair->devices->len > n_devices)
      return TRUE;
    repair_forget_roots(found);
    forget_made(repair);
  }
  found->roots = before;
  return repair->made || repair_make(repair, error);
}

static gboolean make(Repair *repair, GArray *ids, GError **error)
{
  RepairMetadata *found = &repair->found;

  if (!find_roots(repair, ids, error))
    return FALSE;
  if (found->superblock == REPAIR_WHOLE)
    found->roots.n_chunks = MIN(found->n_chunks, count_chunks(repair));
  found->roots.chunk_size = lvm_pool_chunk_size(repair->pool);
  if (!repair_make(repair, error))
    return FALSE;
  if (found->superblock == REPAIR_WHOLE && !repair->choice->mapping_root && is_all_lost(repair)) {
    if (!make_of_older(repair, ids, error))
      return FALSE;
  } else if (!find_older(repair, ids, error)) {
    return FALSE;
  }
  repair_find_missing(repair->source, found, lvm_pool_chunk_size(repair->pool), repair->devices,
                      ids, repair->older, repair->lost);
  if (found->superblock == REPAIR_WHOLE || messages_are_done(repair))
    return TRUE;
  repair->tid--;
  return repair_adjust(repair->made, repair->data, lvm_pool_chunk_size(repair->pool), NULL, NULL,
                       repair->tid, error);
}

static gboolean read_metadata(Repair *repair, GError **error)
{
  g_autoptr(GArray) ids = text_devices(repair);

  if (!repair_read_metadata(repair->source, vt_io_size(repair->data), &repair->found, error))
    return FALSE;
  if (is_new(repair, ids)) {
    repair->devices = g_array_new(FALSE, FALSE, sizeof(ThinDevice));
    repair->tid = 0;
    repair->found.superblock = REPAIR_WHOLE;
    return TRUE;
  }
  if (has_damage(repair))
    return make(repair, ids, error);
  repair->devices = repair_list_devices(repair->source, &repair->tid, error);
  return repair->devices != NULL;
}

/* --- the volume group --- */

/* Nothing is written by that: can it be? */
static gboolean check_mending(Repair *repair, LvmVg *vg, GError **error)
{
  g_autoptr(LvmStore) store = NULL;

  if (!bundled_check_inactive(vg, error))
    return FALSE;
  store = lvm_store_open_mending(repair->probe, vg, NULL, NULL, error);
  return store != NULL;
}

/* As @text (taken) says that it is. */
static gboolean open_as(Repair *repair, LvmText *text, GError **error)
{
  lvm_text_free(repair->mend);
  repair->mend = text;
  lvm_store_close(repair->store);
  repair->store = lvm_store_open_as(repair->probe, text->vg);
  return check_mending(repair, text->vg, error);
}

/* The text of @store, without names that lead nowhere. NULL: it contradicts itself all the same. */
static LvmText *whole_text(LvmStore *store)
{
  g_autoptr(LvmText) text = g_new0(LvmText, 1);
  g_autofree char *wrong = NULL;

  text->vg = lvm_vg_copy(lvm_store_vg(store));
  lvm_vg_drop_dangling(text->vg);
  wrong = lvm_vg_contradiction(text->vg);
  text->seqno = lvm_vg_seqno(text->vg);
  text->kind = LVM_TEXT_COMMITTED;
  text->sources = g_ptr_array_new_with_free_func(g_free);
  return wrong ? NULL : g_steal_pointer(&text);
}

/* @failure is taken. */
static gboolean no_text(const Repair *repair, const char *vg, GError *failure, GError **error)
{
  if (failure)
    return g_propagate_error(error, failure), FALSE;
  return vt_set_error(error, EBADMSG,
                      "volume group %s: %s, and no other text of it is found. One that was kept "
                      "elsewhere is put back with --text FILE",
                      vg, repair->wrong);
}

/* What is damaged, and was found all the same (@found; else @failure says why not). */
static gboolean open_damaged(Repair *repair, const char *vg, LvmStore *found, GError *failure,
                             GError **error)
{
  g_autoptr(LvmText) own = found ? whole_text(found) : NULL;
  LvmText *text = NULL;

  if (!found && failure->code != ENOENT && failure->code != EBADMSG)
    return g_propagate_error(error, failure), FALSE;
  repair->wrong = found ? lvm_vg_contradiction(lvm_store_vg(found)) : NULL;
  if (!own || !lvm_probe_has_text(repair->probe, vg))
    text = repair_find_text(repair->probe, vg, NULL);
  if (!text)
    text = g_steal_pointer(&own);
  if (!text)
    return no_text(repair, vg, failure, error);
  g_clear_error(&failure);
  return open_as(repair, text, error);
}

static gboolean open_vg(Repair *repair, const char *vg, const PoolWhere *where, GError **error)
{
  PoolWhere begun = pool_look_begin(where, &repair->look);
  PoolOpenFlags flags = begun.flags;
  g_autoptr(LvmStore) found = NULL;
  GError *failure = NULL;

  repair->probe = pool_look_find(vg, &begun, NULL);
  begun.flags |= POOL_READ_ONLY;
  found = bundled_open_vg(vg, &begun, NULL, NULL, &failure);
  if (!found || *lvm_store_warnings(found))
    return open_damaged(repair, vg, found, failure, error);
  begun.flags = flags;
  repair->store = flags & POOL_READ_ONLY
                      ? g_steal_pointer(&found)
                      : bundled_open_vg(vg, &begun, repair->open, repair->open_data, error);
  return repair->store != NULL;
}

/* With the text that is there; it may turn out that the pool belongs to another. */
static gboolean look_once(Repair *repair, gboolean read_only, GError **error)
{
  const char *vg;

  repair->vg = lvm_store_vg(repair->store);
  vg = lvm_vg_name(repair->vg);
  repair->pool = pool_rules_find_pool(repair->vg, repair->name, error);
  if (!repair->pool || !bundled_check_inactive(repair->vg, error) || !check_vg(repair, error))
    return FALSE;
  g_free(repair->name);
  repair->name = g_strdup(lvm_lv_name(repair->pool));
  if (open_parts(repair, read_only, error) && read_metadata(repair, error))
    return TRUE;
  g_prefix_error(error, "thin pool %s/%s: ", vg, repair->name);
  return FALSE;
}

/* Is the text of the pool's time? A pool that is merely behind is brought up to it. */
static gboolean agrees(const Repair *repair)
{
  g_autoptr(GArray) strays =
      pool_devices_strays(repair->vg, repair->pool, repair->tid, repair->devices);
  g_autoptr(GPtrArray) lost =
      pool_devices_lost(repair->vg, repair->pool, repair->tid, repair->devices);
  g_autofree char *conflict = pool_health_tid_conflict(repair->pool, repair->tid),
                  *too_small = pool_health_size_conflict(
                      repair->pool, repair->found.n_chunks * lvm_pool_chunk_size(repair->pool));

  return !strays->len && !lost->len && !too_small &&
         (!conflict || repair->tid < lvm_pool_transaction_id(repair->pool));
}

static void forget(Repair *repair)
{
  repair_metadata_clear(&repair->found);
  repair->found = (RepairMetadata){0};
  forget_made(repair);
  g_clear_pointer(&repair->source, vt_io_unref);
  g_clear_pointer(&repair->metadata, vt_io_unref);
  g_clear_pointer(&repair->data, vt_io_unref);
}

gboolean repair_look(Repair *repair, const char *vg, const PoolWhere *where, GError **error)
{
  LvmText *text;

  if (!open_vg(repair, vg, where, error))
    return FALSE;
  if (!look_once(repair, (where->flags & POOL_READ_ONLY) != 0 || repair->mend, error))
    return FALSE;
  if (agrees(repair) || !(text = repair_find_fitting(repair, repair->probe)))
    return TRUE;
  forget(repair);
  repair->refit = TRUE;
  return open_as(repair, text, error) && look_once(repair, TRUE, error);
}

gboolean repair_write_text(Repair *repair, PoolRepairPlan *plan, GError **error)
{
  g_autofree char *dir = settings_archive_dir();
  LvmVg *now = lvm_probe_vg(repair->probe, lvm_vg_name(repair->mend->vg), NULL),
        *vg = lvm_vg_copy(repair->mend->vg);
  gboolean differs = repair->mend->sources->len || repair->wrong; /* else nothing is taken back */
  g_autoptr(LvmStore) store = NULL;

  lvm_store_close(repair->store);
  repair->store = NULL;
  store =
      lvm_store_open_mending(repair->probe, now ? now : vg, repair->open, repair->open_data, error);
  if (store && lvm_store_mend(store, vg, dir, "repair of the text", error)) {
    if (now && differs)
      repair_note_undo(plan, POOL_REPAIR_LABELS, store, repair->where);
    return TRUE;
  }
  lvm_vg_free(vg);
  return FALSE;
}
