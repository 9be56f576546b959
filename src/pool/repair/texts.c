/* virt-thin - mending a thin pool: which text of the volume group to go by
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The one that a metadata area vouches for. Where none does, or where that one is of another time
 * than the pool, it is the newest of all that lie about, with which the pool agrees.
 */
#include <string.h>

#include "lvm/texts.h"
#include "pool/devices.h"
#include "pool/health.h"
#include "pool/repair/repair-private.h"
#include "settings/settings.h"
#include "thin/format/block.h"
#include "thin/format/disk-format.h"

static GPtrArray *list_texts(LvmProbe *probe, const char *vg)
{
  g_autofree char *dir = settings_archive_dir();
  g_auto(GStrv) folders = lvm_texts_folders(dir);

  return lvm_texts_find(probe, vg, (const char *const *)folders, NULL);
}

/* --- a text that is lost --- */

typedef enum {
  OTHER_PVS,  /* nothing tells that its physical volumes are these */
  OTHER_TIME, /* a pool is not of its time */
  UNKNOWN,    /* a pool does not say, for its superblock is damaged */
  SAME_TIME,
} Agreement;

static Agreement compare_pool(LvmStore *store, LvmLv *pool, gboolean *compared)
{
  g_autofree guint8 *block = g_malloc0(THIN_METADATA_BLOCK);
  const ThinDiskSuperblock *superblock = (gconstpointer)block;
  g_autoptr(VtIo) io = lvm_store_open_lv(store, lvm_pool_metadata(pool), TRUE, NULL);
  g_autofree char *conflict = NULL;

  *compared = TRUE;
  if (!io || !thin_superblock_read(io, 0, block, NULL))
    return UNKNOWN;
  conflict = pool_health_tid_conflict(pool, GUINT64_FROM_LE(superblock->trans_id));
  return conflict ? OTHER_TIME : SAME_TIME;
}

/* Of the pools that @text has, where it says that they are. A device without a label, taken for a
 * physical volume because it is as large, has to have a pool that agrees. */
static Agreement compare_pools(LvmProbe *probe, const LvmText *text)
{
  g_autoptr(LvmStore) store = lvm_store_open_as(probe, text->vg);
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(text->vg);
  Agreement worst = SAME_TIME;
  gboolean compared = FALSE;

  for (guint i = 0; i < lvs->len; i++)
    if (lvm_lv_kind(lvs->pdata[i]) == LVM_LV_THIN_POOL && lvm_pool_metadata(lvs->pdata[i]))
      worst = MIN(worst, compare_pool(store, lvs->pdata[i], &compared));
  return text->n_present == text->n_pvs || (compared && worst == SAME_TIME) ? worst : OTHER_PVS;
}

/* lvm2 marks a PV in the text that it could not find, and such a text may lie about. */
static gboolean is_writable(const LvmText *text)
{
  g_autofree char *wrong = lvm_vg_contradiction(text->vg);

  return text->n_pvs > 0 && !lvm_vg_unwritable(text->vg) && !wrong;
}

static gboolean is_usable(const LvmText *text)
{
  return is_writable(text) && text->n_present == text->n_pvs;
}

LvmText *repair_find_text(LvmProbe *probe, const char *vg, GError **error)
{
  g_autoptr(GPtrArray) texts = list_texts(probe, vg);
  gint best = -1;
  Agreement how = OTHER_PVS;

  for (guint i = 0; i < texts->len && how != SAME_TIME; i++) {
    const LvmText *text = texts->pdata[i];
    Agreement this;

    if (!is_writable(text))
      continue;
    this = compare_pools(probe, text);
    if (this > how) {
      best = (gint)i;
      how = this;
    }
  }
  if (best >= 0)
    return g_ptr_array_steal_index(texts, best);
  vt_set_error(error, ENOENT, "no text of volume group %s is found", vg);
  return NULL;
}

LvmText *repair_find_seqno(LvmProbe *probe, const char *vg, guint64 seqno, GError **error)
{
  g_autoptr(GPtrArray) texts = list_texts(probe, vg);
  gint at = -1;

  for (guint i = 0; i < texts->len; i++) {
    if (((LvmText *)texts->pdata[i])->seqno != seqno)
      continue;
    if (at >= 0)
      return vt_set_error(error, EINVAL,
                          "volume group %s has several texts of seqno %" G_GUINT64_FORMAT
                          ", which differ: name the file of one, --text FILE",
                          vg, seqno),
             NULL;
    at = (gint)i;
  }
  if (at >= 0)
    return g_ptr_array_steal_index(texts, (guint)at);
  vt_set_error(error, ENOENT,
               "no text of volume group %s of seqno %" G_GUINT64_FORMAT
               " is found: virt-thin rescue %s --list-texts lists those that are",
               vg, seqno, vg);
  return NULL;
}

/* --- a text that is of another time than the pool --- */

static gint compare_id(gconstpointer a, gconstpointer b)
{
  guint32 x = *(const guint32 *)a, y = *(const guint32 *)b;

  return x < y ? -1 : x > y;
}

static gboolean same_devices(const Repair *repair, LvmVg *vg, LvmLv *pool)
{
  g_autoptr(GArray) ids = lvm_pool_devices(vg, pool);
  gboolean same = ids->len == repair->devices->len;

  g_array_sort(ids, compare_id);
  for (guint i = 0; same && i < ids->len; i++)
    same = g_array_index(ids, guint32, i) == g_array_index(repair->devices, ThinDevice, i).id;
  return same;
}

/* Is @lv the pool's own, that another text may have otherwise? */
static gboolean is_own(const Repair *repair, LvmLv *lv)
{
  const char *name = lvm_lv_name(lv);

  return strcmp(name, repair->name) == 0 || strcmp(name, lvm_pool_data(repair->pool)) == 0 ||
         g_str_has_suffix(name, "_pmspare") ||
         (lvm_lv_kind(lv) == LVM_LV_THIN && strcmp(lvm_thin_pool(lv), repair->name) == 0);
}

static gboolean is_same(LvmLv *a, LvmLv *b)
{
  LvmLvKind kind = lvm_lv_kind(a);

  if (kind != lvm_lv_kind(b) || strcmp(lvm_lv_uuid(a), lvm_lv_uuid(b)) != 0 ||
      lvm_lv_n_extents(a) != lvm_lv_n_extents(b))
    return FALSE;
  if (kind == LVM_LV_THIN)
    return lvm_thin_device(a) == lvm_thin_device(b);
  if (kind == LVM_LV_THIN_POOL)
    return lvm_pool_transaction_id(a) == lvm_pool_transaction_id(b);
  return kind != LVM_LV_STRIPED || lvm_lv_same_extents(a, b);
}

/* All that is no part of the pool is in both texts, and the same. */
static gboolean others_stay(const Repair *repair, LvmVg *one, LvmVg *other)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(one);

  for (guint i = 0; i < lvs->len; i++) {
    LvmLv *same = lvm_vg_find_lv(other, lvm_lv_name(lvs->pdata[i]));

    if (!is_own(repair, lvs->pdata[i]) && (!same || !is_same(lvs->pdata[i], same)))
      return FALSE;
  }
  return TRUE;
}

static gboolean fits(const Repair *repair, const LvmText *text)
{
  LvmLv *pool = lvm_vg_find_lv(text->vg, repair->name);
  g_autofree char *conflict = NULL, *too_small = NULL;

  if (!is_usable(text) || strcmp(text->uuid, lvm_vg_uuid(repair->vg)) != 0 || !pool ||
      lvm_lv_kind(pool) != LVM_LV_THIN_POOL ||
      strcmp(lvm_lv_uuid(pool), lvm_lv_uuid(repair->pool)) != 0)
    return FALSE;
  conflict = pool_health_tid_conflict(pool, repair->tid);
  too_small =
      pool_health_size_conflict(pool, repair->found.n_chunks * lvm_pool_chunk_size(repair->pool));
  return !conflict && !too_small && same_devices(repair, text->vg, pool) &&
         others_stay(repair, repair->vg, text->vg) && others_stay(repair, text->vg, repair->vg);
}

LvmText *repair_find_fitting(const Repair *repair, LvmProbe *probe)
{
  g_autoptr(GPtrArray) texts = list_texts(probe, lvm_vg_name(repair->vg));

  for (guint i = 0; i < texts->len; i++)
    if (fits(repair, texts->pdata[i]))
      return g_ptr_array_steal_index(texts, i);
  return NULL;
}

/* --- a volume that the text does not know any more --- */

gboolean repair_find_volume(const Repair *repair, LvmProbe *probe, const ThinDevice *device,
                            char **name, guint64 *extents)
{
  g_autoptr(GPtrArray) texts = list_texts(probe, lvm_vg_name(repair->vg));

  for (guint i = 0; i < texts->len; i++) {
    const LvmText *text = texts->pdata[i];
    g_autoptr(GPtrArray) lvs = lvm_vg_lvs(text->vg);

    for (guint j = 0; j < lvs->len; j++) {
      LvmLv *lv = lvs->pdata[j];

      if (strcmp(text->uuid, lvm_vg_uuid(repair->vg)) != 0 || lvm_lv_kind(lv) != LVM_LV_THIN ||
          strcmp(lvm_thin_pool(lv), repair->name) != 0 || lvm_thin_device(lv) != device->id ||
          lvm_thin_transaction_id(lv) != device->transaction_id)
        continue;
      *name = g_strdup(lvm_lv_name(lv));
      *extents = lvm_lv_n_extents(lv);
      return TRUE;
    }
  }
  return FALSE;
}
