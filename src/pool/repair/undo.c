/* virt-thin - mending a thin pool: taking it back
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * By the metadata that was kept, in a volume or a file, or by a text that was archived. What was
 * written to the pool in between is not looked at: whoever takes back something older loses that.
 */
#include <string.h>

#include "lvm/texts.h"
#include "pool/look.h"
#include "pool/repair/repair-private.h"
#include "pool/rules.h"
#include "settings/settings.h"

/* --- metadata that was kept --- */

static gboolean is_file(const char *kept)
{
  return strchr(kept, '/') != NULL;
}

typedef struct {
  LvmStore *store;
  LvmLv *pool;
} Opened;

static gboolean open_pool(Opened *opened, const char *vg, const char *thin_pool, const char *kept,
                          const PoolWhere *where, GError **error)
{
  LvmLv *lv;

  if (!repair_check_holder(vg, where, error) ||
      !(opened->store = bundled_open_vg(vg, where, NULL, NULL, error)))
    return FALSE;
  opened->pool = pool_rules_find_pool(lvm_store_vg(opened->store), thin_pool, error);
  if (!opened->pool || !bundled_check_inactive(lvm_store_vg(opened->store), error))
    return FALSE;
  lv = lvm_vg_find_lv(lvm_store_vg(opened->store), kept);
  return is_file(kept) || (lv && lvm_lv_is_visible(lv) && lvm_lv_kind(lv) == LVM_LV_STRIPED) ||
         vt_set_error(error, ENOENT, "volume group %s has no volume %s that metadata is kept in",
                      vg, kept);
}

static PoolRepairPlan *plan_undo(const Opened *opened, const char *kept, const PoolWhere *where)
{
  PoolRepairPlan *plan = repair_plan_new();
  const char *vg = lvm_vg_name(lvm_store_vg(opened->store)), *name = lvm_lv_name(opened->pool);
  g_autofree char *pool = g_strdup_printf("%s/%s", vg, name);

  if (is_file(kept))
    repair_plan_step(plan, POOL_REPAIR_OVER, "write %s over the metadata of %s", kept, pool);
  else
    repair_plan_step(plan, POOL_REPAIR_SWAP,
                     "let %s be the metadata of %s; what is it now stays, as volume %s/%s", kept,
                     pool, vg, kept)
        ->undo = repair_command(where, (const char *const[]){pool, "--undo", kept, NULL});
  return plan;
}

PoolRepairPlan *pool_repair_undo_look(const char *vg, const char *thin_pool, const char *kept,
                                      const PoolWhere *where, GError **error)
{
  PoolWhere reading = *where;
  Opened opened = {0};
  PoolRepairPlan *plan = NULL;

  reading.flags |= POOL_READ_ONLY;
  if (open_pool(&opened, vg, thin_pool, kept, &reading, error))
    plan = plan_undo(&opened, kept, where);
  lvm_store_close(opened.store);
  return plan;
}

static gboolean write_over(const Opened *opened, const char *kept, GError **error)
{
  g_autoptr(VtIo) from = vt_io_open_file(kept, TRUE, error), to = NULL;

  if (from)
    to = lvm_store_open_lv(opened->store, lvm_pool_metadata(opened->pool), FALSE, error);
  return to && repair_copy(from, to, error);
}

static gboolean swap(const Opened *opened, const char *kept, GError **error)
{
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(opened->store));
  g_autofree char *dir = settings_archive_dir();
  LvmLv *pool = lvm_vg_find_lv(vg, lvm_lv_name(opened->pool));

  if (lvm_vg_swap_pool_metadata(vg, pool, kept, kept, error) &&
      lvm_store_commit(opened->store, vg, dir, "repair --undo", error))
    return TRUE;
  lvm_vg_free(vg);
  return FALSE;
}

gboolean pool_repair_undo(const char *vg, const char *thin_pool, const char *kept,
                          const PoolWhere *where, PoolRepairPlan *plan, GError **error)
{
  Opened opened = {0};
  gboolean ok = open_pool(&opened, vg, thin_pool, kept, where, error) &&
                (is_file(kept) ? write_over(&opened, kept, error) : swap(&opened, kept, error));

  lvm_store_close(opened.store);
  return ok;
}

/* --- a text that was archived --- */

/* What the volume group is now, if that can be read at all; and what the file says. */
typedef struct {
  PoolLook *look;
  LvmVg *now; /* the look's */
  LvmText *text;
  LvmStore *store; /* open for mending, as it is now, else as @text says */
} Texts;

static void texts_clear(Texts *texts)
{
  lvm_store_close(texts->store);
  lvm_text_free(texts->text);
  pool_look_free(texts->look);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Texts, texts_clear)

static gboolean check_same(const Texts *texts, const char *vg, const char *file, GError **error)
{
  return !texts->now || strcmp(lvm_vg_uuid(texts->now), texts->text->uuid) == 0 ||
         vt_set_error(error, EINVAL, "%s is of another volume group that was called %s", file, vg);
}

/* Extents lie where they lay, on the same PVs. */
static gboolean check_pvs(const Texts *texts, const char *file, GError **error)
{
  g_autoptr(GPtrArray) pvs = lvm_vg_pvs(texts->text->vg),
                       now = lvm_vg_pvs(lvm_store_vg(texts->store));
  guint n_same = 0;

  for (guint i = 0; i < pvs->len; i++)
    for (guint j = 0; j < now->len; j++)
      n_same += strcmp(lvm_pv_uuid(pvs->pdata[i]), lvm_pv_uuid(now->pdata[j])) == 0 &&
                lvm_pv_start(pvs->pdata[i]) == lvm_pv_start(now->pdata[j]) &&
                lvm_pv_n_extents(pvs->pdata[i]) <= lvm_pv_n_extents(now->pdata[j]);
  return (n_same == pvs->len && n_same == now->len) ||
         vt_set_error(error, EINVAL, "%s has other physical volumes than the volume group has now",
                      file);
}

/* @word: the number of a text that lies about, or a file. */
static LvmText *find_text(LvmProbe *probe, const char *vg, const char *word, GError **error)
{
  guint64 seqno;

  if (!g_ascii_string_to_unsigned(word, 10, 0, G_MAXUINT64, &seqno, NULL))
    return lvm_text_read(probe, word, vg, error);
  return repair_find_seqno(probe, vg, seqno, error);
}

static gboolean open_text(Texts *texts, const char *vg, const char *file, const PoolWhere *where,
                          GError **error)
{
  const PoolWhere begun = pool_look_begin(where, &texts->look);
  LvmProbe *probe = pool_look_find(vg, &begun, NULL);

  if (!repair_check_holder(vg, where, error) || !(texts->text = find_text(probe, vg, file, error)))
    return FALSE;
  texts->now = lvm_probe_vg(probe, vg, NULL);
  if (!check_same(texts, vg, file, error) || !bundled_check_inactive(texts->text->vg, error))
    return FALSE;
  texts->store =
      lvm_store_open_mending(probe, texts->now ? texts->now : texts->text->vg, NULL, NULL, error);
  return texts->store && check_pvs(texts, file, error);
}

static void plan_volumes(PoolRepairPlan *plan, LvmVg *from, LvmVg *to, const char *what)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(from);

  for (guint i = 0; i < lvs->len; i++)
    if (lvm_lv_is_visible(lvs->pdata[i]) && !lvm_vg_find_lv(to, lvm_lv_name(lvs->pdata[i])))
      repair_plan_step(plan, POOL_REPAIR_TEXT, "volume %s/%s %s", lvm_vg_name(from),
                       lvm_lv_name(lvs->pdata[i]), what);
}

static PoolRepairPlan *plan_text(const Texts *texts, const char *file)
{
  PoolRepairPlan *plan = repair_plan_new();

  repair_plan_step(plan, POOL_REPAIR_TEXT,
                   "put back the text of seqno %" G_GUINT64_FORMAT " from %s", texts->text->seqno,
                   (char *)texts->text->sources->pdata[0]);
  if (texts->now) {
    plan_volumes(plan, texts->now, texts->text->vg, "is not in it");
    plan_volumes(plan, texts->text->vg, texts->now, "is there again");
  }
  return plan;
}

PoolRepairPlan *pool_repair_text_look(const char *vg, const char *file, const PoolWhere *where,
                                      GError **error)
{
  g_auto(Texts) texts = {0};

  return open_text(&texts, vg, file, where, error) ? plan_text(&texts, file) : NULL;
}

gboolean pool_repair_text(const char *vg, const char *file, const PoolWhere *where,
                          PoolRepairPlan *plan, GError **error)
{
  g_auto(Texts) texts = {0};
  g_autofree char *dir = settings_archive_dir();
  LvmVg *text;

  if (!open_text(&texts, vg, file, where, error))
    return FALSE;
  text = lvm_vg_copy(texts.text->vg);
  if (!lvm_store_mend(texts.store, text, texts.now ? dir : NULL, "repair --text", error)) {
    lvm_vg_free(text);
    return FALSE;
  }
  repair_note_undo(plan, POOL_REPAIR_TEXT, texts.store, where);
  return TRUE;
}
