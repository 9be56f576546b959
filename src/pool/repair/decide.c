/* virt-thin - mending a thin pool: what the text shall say, and the metadata
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Transaction ids that are apart: where text and pool know the same devices, the higher id is
 * right, for ids only ever grow, and what has the lower one is an older copy. Where they do not, it
 * is the text that is made to agree, by what becomes of the devices.
 */
#include <string.h>

#include "pool/devices.h"
#include "pool/health.h"
#include "pool/repair/repair-private.h"
#include "pool/rules.h"

/* --- volumes --- */

static char *free_name(LvmVg *vg, guint32 id)
{
  for (guint i = 0;; i++) {
    g_autofree char *name =
        i ? g_strdup_printf("device-%u-%u", id, i) : g_strdup_printf("device-%u", id);

    if (!lvm_vg_find_lv(vg, name))
      return g_steal_pointer(&name);
  }
}

static LvmVg *text_of(Repair *repair)
{
  if (!repair->text)
    repair->text = lvm_vg_copy(repair->vg);
  return repair->text;
}

/* As it is given, else as an earlier text had it. *extents: what that says of its size, else 0. */
static char *name_of(Repair *repair, const ThinDevice *stray, guint64 *extents)
{
  GHashTable *names = repair->choice->names;
  const char *given = names ? g_hash_table_lookup(names, GUINT_TO_POINTER(stray->id)) : NULL;
  g_autofree char *before = NULL;

  *extents = 0;
  repair_find_volume(repair, repair->probe, stray, &before, extents);
  if (given)
    return g_strdup(given);
  return before && !lvm_vg_find_lv(text_of(repair), before) ? g_steal_pointer(&before)
                                                            : free_name(repair->text, stray->id);
}

/* As large as what it maps, if nothing says more of it. */
static gboolean adopt(Repair *repair, const ThinDevice *stray, GError **error)
{
  LvmVg *vg = text_of(repair);
  guint64 end, extents, extent = lvm_vg_extent_size(vg);
  char *name = name_of(repair, stray, &extents);
  LvmLv *lv;

  g_ptr_array_add(repair->adopted, name);
  if (!repair_device_end(repair->made ? repair->made : repair->source, stray->id, &end, error))
    return FALSE;
  extents = MAX(extents, MAX(1, (end + extent - 1) / extent));
  lv = lvm_vg_add_thin(vg, lvm_vg_find_lv(vg, repair->name), name, extents, stray->id, NULL, error);
  if (lv)
    lvm_thin_set_device(lv, stray->id, stray->transaction_id);
  return lv != NULL;
}

static gboolean decide_strays(Repair *repair, GError **error)
{
  repair->strays = pool_devices_strays(repair->vg, repair->pool, repair->tid, repair->devices);
  repair->drop_strays = repair->strays->len && repair->choice->remove_unknown;
  if (!repair->strays->len || !repair->choice->adopt)
    return TRUE;
  repair->adopted = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; i < repair->strays->len; i++)
    if (!adopt(repair, &g_array_index(repair->strays, ThinDevice, i), error))
      return FALSE;
  return TRUE;
}

static gboolean is_among(GArray *ids, guint32 id)
{
  for (guint i = 0; i < ids->len; i++)
    if (g_array_index(ids, guint32, i) == id)
      return TRUE;
  return FALSE;
}

/* Volume @name gets a device again, made in the transaction that the pool is in. */
static void make_empty(Repair *repair, const char *name)
{
  LvmLv *lv = lvm_vg_find_lv(text_of(repair), name);
  guint32 id = lvm_thin_device(lv);

  lvm_thin_set_device(lv, id, repair->tid);
  if (!is_among(repair->empty, id))
    g_array_append_val(repair->empty, id);
}

static gboolean decide_missing(Repair *repair, GError **error)
{
  g_autoptr(GPtrArray) lost =
      pool_devices_lost(repair->vg, repair->pool, repair->tid, repair->devices);

  repair->missing = g_ptr_array_new_with_free_func(g_free);
  repair->empty = g_array_new(FALSE, FALSE, sizeof(guint32));
  for (guint i = 0; i < lost->len; i++)
    g_ptr_array_add(repair->missing, g_strdup(lvm_lv_name(lost->pdata[i])));
  for (guint i = 0; i < repair->missing->len && repair->choice->remove_missing; i++) {
    LvmVg *vg = text_of(repair);

    if (!lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, repair->missing->pdata[i]), error))
      return FALSE;
  }
  for (guint i = 0; i < repair->missing->len && repair->choice->empty_missing; i++)
    make_empty(repair, repair->missing->pdata[i]);
  return TRUE;
}

/* --- transaction ids --- */

static gboolean decide_tid(Repair *repair, GError **error)
{
  g_autofree char *conflict = pool_health_tid_conflict(repair->pool, repair->tid);
  guint64 text = lvm_pool_transaction_id(repair->pool);
  LvmLv *pool;

  repair->new_tid = text;
  if (text == 0 && repair->tid != 0)
    return vt_set_error(error, EOPNOTSUPP,
                        "it is managed by something other than LVM, which says what is in it");
  if (!conflict)
    return TRUE;
  if (repair->tid < text && !repair->strays->len && !repair->missing->len) {
    repair->set_tid = TRUE;
    return TRUE;
  }
  repair->new_tid = repair->tid;
  pool = lvm_vg_find_lv(text_of(repair), repair->name);
  lvm_pool_set_transaction_id(pool, repair->tid);
  lvm_pool_clear_messages(pool);
  return TRUE;
}

/* --- the size --- */

/* A pool that is said to be smaller than its data, which has what is counted on. */
static void decide_size(Repair *repair)
{
  guint64 counted = repair->found.n_chunks * lvm_pool_chunk_size(repair->pool);
  g_autofree char *conflict = pool_health_size_conflict(repair->pool, counted);
  LvmLv *data = lvm_vg_find_lv(repair->vg, lvm_pool_data(repair->pool));

  if (!conflict || lvm_lv_size(data) < counted)
    return;
  repair->new_size = lvm_lv_size(data);
  lvm_pool_take_size(lvm_vg_find_lv(text_of(repair), repair->name));
}

/* --- where the metadata goes --- */

gboolean repair_needs_metadata(const Repair *repair)
{
  return repair->made || repair->set_tid || repair->drop_strays || repair->empty->len;
}

/* What is to be removed, or counted, is so in the new metadata alone. */
static gboolean finish_metadata(Repair *repair, GError **error)
{
  guint64 tid = repair->set_tid ? repair->new_tid : repair->tid;

  if (!repair_needs_metadata(repair))
    return TRUE;
  if (!repair->made && !repair_make(repair, error))
    return FALSE;
  return (!repair->set_tid && !repair->drop_strays && !repair->empty->len) ||
         repair_adjust(repair->made, repair->data, lvm_pool_chunk_size(repair->pool),
                       repair->drop_strays ? repair->strays : NULL, repair->empty, tid, error);
}

/* What finds nothing more to say must find nothing wrong. */
static gboolean check_made(const Repair *repair, GError **error)
{
  g_autoptr(ThinReport) report =
      repair->made ? thin_check(repair->made, vt_io_size(repair->data), error) : NULL;

  return !repair->made ||
         (report && (report->errors->len == 0 ||
                     vt_set_error(error, EBADMSG, "what was made of its metadata is damaged: %s",
                                  (char *)report->errors->pdata[0])));
}

static gboolean no_room(const Repair *repair, const GError *why, GError **error)
{
  return vt_set_error(
      error, ENOSPC,
      "there is neither a spare as large as the metadata nor room for one (%s). Add "
      "a physical volume (virt-thin extend %s PATH), or have the metadata written "
      "over, and what it is now kept in a file: --keep FILE",
      why->message, lvm_vg_name(repair->vg));
}

static gboolean decide_place(Repair *repair, GError **error)
{
  LvmLv *metadata = lvm_vg_find_lv(repair->vg, lvm_pool_metadata(repair->pool)),
        *spare = pool_rules_find_spare(repair->vg);
  guint64 wanted = lvm_lv_n_extents(metadata);
  g_autoptr(LvmVg) copy = lvm_vg_copy(repair->vg);
  g_autoptr(GError) failure = NULL;
  gboolean fits = spare && lvm_lv_n_extents(spare) >= wanted,
           room = fits || lvm_vg_grow_spare(copy, wanted, &failure);

  repair->over = repair_needs_metadata(repair) && repair->choice->keep;
  repair->spare = room && !fits ? wanted : 0;
  if (!repair_needs_metadata(repair))
    return TRUE;
  repair->kept = repair->over ? g_canonicalize_filename(repair->choice->keep, NULL)
                              : lvm_vg_kept_metadata_name(repair->vg, repair->pool);
  if (repair->over)
    repair->spare = 0;
  return room || repair->over || no_room(repair, failure, error);
}

gboolean repair_decide(Repair *repair, GError **error)
{
  g_autofree char *prefix =
      g_strdup_printf("thin pool %s/%s: ", lvm_vg_name(repair->vg), repair->name);

  decide_size(repair);
  if (decide_strays(repair, error) && decide_missing(repair, error) && decide_tid(repair, error) &&
      finish_metadata(repair, error) && check_made(repair, error) && decide_place(repair, error))
    return TRUE;
  g_prefix_error(error, "%s", prefix);
  return FALSE;
}
