/* virt-thin - mending a thin pool: what is found, and what is to be done, in words
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "pool/health.h"
#include "pool/repair/repair-private.h"
#include "pool/rules.h"
#include "util/size.h"

#define SHOWN 5 /* errors of a check that are told of */

static void step_free(gpointer data)
{
  PoolRepairStep *step = data;

  g_free(step->text);
  g_free(step->undo);
  g_free(step);
}

static void loss_free(gpointer data)
{
  g_free(((PoolRepairLoss *)data)->volume);
  g_free(data);
}

static void older_free(gpointer data)
{
  g_free(((PoolRepairOlder *)data)->volume);
  g_free(data);
}

PoolRepairPlan *repair_plan_new(void)
{
  PoolRepairPlan *plan = g_new0(PoolRepairPlan, 1);

  plan->findings = g_ptr_array_new_with_free_func(g_free);
  plan->steps = g_ptr_array_new_with_free_func(step_free);
  plan->lost = g_ptr_array_new_with_free_func(loss_free);
  plan->older = g_ptr_array_new_with_free_func(older_free);
  plan->unknown = g_ptr_array_new_with_free_func(g_free);
  plan->missing = g_ptr_array_new_with_free_func(g_free);
  return plan;
}

void pool_repair_plan_free(PoolRepairPlan *plan)
{
  if (!plan)
    return;
  g_ptr_array_unref(plan->findings);
  g_ptr_array_unref(plan->steps);
  g_ptr_array_unref(plan->lost);
  g_ptr_array_unref(plan->older);
  g_ptr_array_unref(plan->unknown);
  g_ptr_array_unref(plan->missing);
  g_free(plan);
}

void repair_plan_find(PoolRepairPlan *plan, const char *format, ...)
{
  va_list args;

  va_start(args, format);
  g_ptr_array_add(plan->findings, g_strdup_vprintf(format, args));
  va_end(args);
}

PoolRepairStep *repair_plan_step(PoolRepairPlan *plan, PoolRepairStepKind kind, const char *format,
                                 ...)
{
  PoolRepairStep *step = g_new0(PoolRepairStep, 1);
  va_list args;

  va_start(args, format);
  step->text = g_strdup_vprintf(format, args);
  va_end(args);
  step->kind = kind;
  g_ptr_array_add(plan->steps, step);
  return step;
}

char *repair_command(const PoolWhere *where, const char *const *arguments)
{
  GString *text = g_string_new("virt-thin");

  g_string_append(text, " repair");
  for (const char *const *path = where->devices; path && *path; path++) {
    g_autofree char *quoted = g_shell_quote(*path);

    g_string_append_printf(text, " --device %s", quoted);
  }
  for (; *arguments; arguments++) {
    g_autofree char *quoted = g_shell_quote(*arguments);
    gboolean plain =
        strspn(*arguments, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "/._+-") == strlen(*arguments);

    g_string_append_printf(text, " %s", plain ? *arguments : quoted);
  }
  return g_string_free(text, FALSE);
}

/* --- what is found --- */

static void find_lines(PoolRepairPlan *plan, const char *what, GPtrArray *lines)
{
  for (guint i = 0; i < lines->len && i < SHOWN; i++)
    repair_plan_find(plan, "%s: %s", what, (char *)lines->pdata[i]);
  if (lines->len > SHOWN)
    repair_plan_find(plan, "%s: and %u more", what, lines->len - SHOWN);
}

void repair_plan_find_damage(PoolRepairPlan *plan, const RepairMetadata *found)
{
  if (found->superblock == REPAIR_ZERO)
    repair_plan_find(plan, "the superblock of the metadata is all zero: it was overwritten");
  find_lines(plan,
             found->superblock == REPAIR_DAMAGED ? "the superblock is damaged"
                                                 : "the metadata is damaged",
             found->errors);
  find_lines(plan, "counted, but not used", found->leaks);
  if (found->chosen)
    repair_plan_find(plan, "the metadata is found by %s; %s, what was written since is not in it",
                     found->chosen,
                     found->is_older ? "that is older than the last commit"
                                     : "should that be older than the last commit");
  for (guint i = 0; i < found->older->len; i++)
    repair_plan_find(plan, "%s: %s",
                     found->chosen
                         ? "older, or not so likely, and taken with --roots"
                         : "older, without what was written since, and taken with --roots",
                     (char *)found->older->pdata[i]);
  if (found->needs_check)
    repair_plan_find(
        plan, "the metadata is marked needs_check: a commit failed, or a repair was not finished");
}

static void find_sizes(const Repair *repair, PoolRepairPlan *plan)
{
  guint64 counted = repair->found.n_chunks * lvm_pool_chunk_size(repair->pool);
  guint64 chunk = repair->found.chunk_size;
  g_autofree char *conflict = pool_health_size_conflict(repair->pool, counted);
  LvmLv *spare = pool_rules_find_spare(repair->vg);

  if (conflict)
    repair_plan_find(plan, "%s", conflict);
  if (chunk && chunk != lvm_pool_chunk_size(repair->pool))
    repair_plan_find(plan,
                     "the superblock says chunks of %" G_GUINT64_FORMAT
                     " bytes, the text %" G_GUINT64_FORMAT ", which is gone by",
                     chunk, lvm_pool_chunk_size(repair->pool));
  if (!spare)
    repair_plan_find(plan, "the volume group has no spare for the metadata");
  else if (lvm_lv_n_extents(spare) <
           lvm_lv_n_extents(lvm_vg_find_lv(repair->vg, lvm_pool_metadata(repair->pool))))
    repair_plan_find(plan, "the spare %s is smaller than the metadata", lvm_lv_name(spare));
}

static void find_devices(const Repair *repair, PoolRepairPlan *plan)
{
  g_autofree char *conflict = pool_health_tid_conflict(repair->pool, repair->tid);

  if (conflict)
    repair_plan_find(plan, "the pool's %s by the volume group's text", conflict);
  for (guint i = 0; i < repair->strays->len; i++) {
    const ThinDevice *stray = &g_array_index(repair->strays, ThinDevice, i);
    g_autofree char *mapped = vt_size_format(stray->mapped);

    repair_plan_find(plan, "thin device %u (%s mapped) is known to no volume", stray->id, mapped);
  }
  for (guint i = 0; i < repair->missing->len; i++)
    repair_plan_find(plan, "volume %s has no thin device in the pool",
                     (char *)repair->missing->pdata[i]);
}

static void find_text(const Repair *repair, PoolRepairPlan *plan)
{
  const LvmText *text = repair->mend;

  if (repair->wrong)
    repair_plan_find(plan, "%s", repair->wrong);
  if (repair->refit)
    repair_plan_find(plan, "the volume group's text is of another time than the pool");
  else if (text && text->kind != LVM_TEXT_COMMITTED && !repair->wrong)
    repair_plan_find(plan,
                     "no text of the volume group is whole that a physical volume vouches for");
}

static void find_all(const Repair *repair, PoolRepairPlan *plan)
{
  for (const char *const *warning = lvm_store_warnings(repair->store); *warning; warning++)
    repair_plan_find(plan, "%s", *warning);
  find_text(repair, plan);
  repair_plan_find_damage(plan, &repair->found);
  if (repair->choice->from)
    repair_plan_find(plan, "the metadata is to be made from %s", repair->choice->from);
  find_devices(repair, plan);
  find_sizes(repair, plan);
}

/* --- what is to be done --- */

static void plan_metadata(const Repair *repair, PoolRepairPlan *plan)
{
  const char *vg = lvm_vg_name(repair->vg), *metadata = lvm_pool_metadata(repair->pool);
  g_autofree char *spare = NULL, *pool = g_strdup_printf("%s/%s", vg, repair->name);
  PoolRepairStep *step;

  if (repair->spare) {
    spare = lvm_vg_format_extents(repair->vg, repair->spare);
    repair_plan_step(plan, POOL_REPAIR_SPARE, "give volume group %s a spare of %s", vg, spare);
  }
  if (!repair_needs_metadata(repair))
    return;
  if (repair->over) {
    step =
        repair_plan_step(plan, POOL_REPAIR_OVER,
                         "copy the metadata to %s, and write new metadata over it", repair->kept);
  } else {
    repair_plan_step(plan, POOL_REPAIR_WRITE,
                     "write new metadata, of all that can be reached, into the spare");
    step = repair_plan_step(plan, POOL_REPAIR_SWAP,
                            "let the spare be %s; what is it now stays, as volume %s/%s", metadata,
                            vg, repair->kept);
  }
  step->undo =
      repair_command(repair->where, (const char *const[]){pool, "--undo", repair->kept, NULL});
}

static void plan_devices(const Repair *repair, PoolRepairPlan *plan)
{
  for (guint i = 0; i < repair->strays->len; i++) {
    guint32 id = g_array_index(repair->strays, ThinDevice, i).id;

    if (repair->adopted)
      repair_plan_step(plan, POOL_REPAIR_TEXT, "thin device %u becomes volume %s/%s", id,
                       lvm_vg_name(repair->vg), (char *)repair->adopted->pdata[i]);
    else if (repair->drop_strays)
      repair_plan_step(plan, POOL_REPAIR_WRITE, "the new metadata is without thin device %u", id);
  }
  for (guint i = 0; i < repair->missing->len && repair->choice->remove_missing; i++)
    repair_plan_step(plan, POOL_REPAIR_TEXT, "remove volume %s/%s, of which nothing is there",
                     lvm_vg_name(repair->vg), (char *)repair->missing->pdata[i]);
  for (guint i = 0; i < repair->missing->len && repair->choice->empty_missing; i++)
    repair_plan_step(plan, POOL_REPAIR_WRITE,
                     "the new metadata has a thin device for volume %s/%s, which is empty",
                     lvm_vg_name(repair->vg), (char *)repair->missing->pdata[i]);
}

static void plan_tid(const Repair *repair, PoolRepairPlan *plan)
{
  if (repair->set_tid)
    repair_plan_step(plan, POOL_REPAIR_WRITE,
                     "the new metadata has the text's transaction id, %" G_GUINT64_FORMAT,
                     repair->new_tid);
  else if (repair->new_tid != lvm_pool_transaction_id(repair->pool))
    repair_plan_step(plan, POOL_REPAIR_TEXT,
                     "the text gets the pool's transaction id, %" G_GUINT64_FORMAT,
                     repair->new_tid);
}

static void plan_size(const Repair *repair, PoolRepairPlan *plan)
{
  g_autofree char *size = vt_size_format(repair->new_size);

  if (repair->new_size)
    repair_plan_step(plan, POOL_REPAIR_TEXT, "the text gives the pool what its data has, %s", size);
}

static void plan_text(const Repair *repair, PoolRepairPlan *plan)
{
  const LvmText *text = repair->mend;
  const char *source = text && text->sources->len ? text->sources->pdata[0] : NULL;

  if (text && !source)
    repair_plan_step(plan, POOL_REPAIR_LABELS,
                     "write what is damaged of labels and texts anew, by the text of seqno "
                     "%" G_GUINT64_FORMAT " that is whole%s",
                     text->seqno, repair->wrong ? ", without what it names and is not there" : "");
  else if (text)
    repair_plan_step(plan, POOL_REPAIR_LABELS,
                     "write the text of seqno %" G_GUINT64_FORMAT
                     " from %s to the physical volumes",
                     text->seqno, source);
}

static void plan_all(const Repair *repair, PoolRepairPlan *plan)
{
  plan_text(repair, plan);
  plan_metadata(repair, plan);
  plan_size(repair, plan);
  plan_tid(repair, plan);
  plan_devices(repair, plan);
  if (repair_needs_metadata(repair) && !repair->over)
    repair_plan_step(plan, POOL_REPAIR_NEW_SPARE,
                     "give volume group %s a new spare, if there is room", lvm_vg_name(repair->vg));
}

/* --- what is lost --- */

/* @device's volume, or NULL. */
static LvmLv *find_volume(const Repair *repair, guint32 device)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(repair->vg);

  for (guint i = 0; i < lvs->len; i++)
    if (pool_rules_is_in_pool(lvs->pdata[i], repair->name) &&
        lvm_thin_device(lvs->pdata[i]) == device)
      return lvs->pdata[i];
  return NULL;
}

static char *name_device(const Repair *repair, guint32 device)
{
  LvmLv *lv = find_volume(repair, device);

  return lv ? g_strdup_printf("%s/%s", lvm_vg_name(repair->vg), lvm_lv_name(lv))
            : g_strdup_printf("thin device %u", device);
}

void repair_plan_lose(PoolRepairPlan *plan, char *name, guint64 offset, guint64 length)
{
  PoolRepairLoss *loss = g_new0(PoolRepairLoss, 1);

  *loss = (PoolRepairLoss){name, offset, length};
  g_ptr_array_add(plan->lost, loss);
}

void repair_plan_older(PoolRepairPlan *plan, char *name, guint64 tid, guint64 missing)
{
  PoolRepairOlder *older = g_new0(PoolRepairOlder, 1);

  *older = (PoolRepairOlder){name, tid, missing};
  g_ptr_array_add(plan->older, older);
}

static void add_loss(const Repair *repair, PoolRepairPlan *plan, const RepairLost *lost)
{
  LvmLv *lv = find_volume(repair, lost->device);
  guint64 size = lv ? lvm_lv_size(lv) : G_MAXUINT64;

  if (lost->offset < size) /* beyond its end there is nothing to lose */
    repair_plan_lose(plan, name_device(repair, lost->device), lost->offset,
                     lv ? MIN(lost->length, size - lost->offset) : lost->length);
}

/* Volumes without a device are lost as a whole, whatever is decided about them. */
static void tell_lost(const Repair *repair, PoolRepairPlan *plan)
{
  for (guint i = 0; repair->lost && i < repair->lost->len; i++)
    add_loss(repair, plan, &g_array_index(repair->lost, RepairLost, i));
  for (guint i = 0; i < repair->missing->len; i++) {
    LvmLv *lv = lvm_vg_find_lv(repair->vg, repair->missing->pdata[i]);

    repair_plan_lose(plan, name_device(repair, lvm_thin_device(lv)), 0, lvm_lv_size(lv));
  }
  for (guint i = 0; repair->older && i < repair->older->len; i++) {
    const RepairOlder *older = &g_array_index(repair->older, RepairOlder, i);

    if (repair->drop_strays && !find_volume(repair, older->device))
      continue;
    repair_plan_older(plan, name_device(repair, older->device), repair->found.older_tid,
                      older->missing);
  }
}

static void tell_questions(const Repair *repair, PoolRepairPlan *plan)
{
  for (guint i = 0; i < repair->strays->len && !repair->adopted && !repair->drop_strays; i++)
    g_ptr_array_add(plan->unknown,
                    g_strdup_printf("%u", g_array_index(repair->strays, ThinDevice, i).id));
  for (guint i = 0; i < repair->missing->len && !repair->choice->remove_missing &&
                    !repair->choice->empty_missing;
       i++)
    g_ptr_array_add(plan->missing, g_strdup(repair->missing->pdata[i]));
}

PoolRepairPlan *repair_plan(const Repair *repair)
{
  PoolRepairPlan *plan = repair_plan_new();

  find_all(repair, plan);
  if (repair->devices_lost)
    repair_plan_find(plan, "%s", REPAIR_DEVICES_LOST);
  plan_all(repair, plan);
  tell_lost(repair, plan);
  tell_questions(repair, plan);
  return plan;
}

/* --- plans that were shown --- */

gboolean repair_plan_check(const PoolRepairPlan *plan, const char *vg, const char *pool,
                           GError **error)
{
  if (plan->unknown->len)
    return vt_set_error(
        error, EINVAL,
        "thin pool %s/%s: thin device %s is known to no volume: keep it as one with "
        "--adopt (--name ID=NAME names it), or remove it with --remove-unknown",
        vg, pool, (char *)plan->unknown->pdata[0]);
  return !plan->missing->len ||
         vt_set_error(error, EINVAL,
                      "thin pool %s/%s: volume %s has no thin device in the pool: remove it from "
                      "the volume group's text with --remove-missing, or let it be there and empty "
                      "with --empty-missing",
                      vg, pool, (char *)plan->missing->pdata[0]);
}

gboolean repair_plan_compare(const PoolRepairPlan *shown, const PoolRepairPlan *now, GError **error)
{
  gboolean same = shown->steps->len == now->steps->len && shown->lost->len == now->lost->len;

  for (guint i = 0; same && i < now->steps->len; i++)
    same = strcmp(((PoolRepairStep *)shown->steps->pdata[i])->text,
                  ((PoolRepairStep *)now->steps->pdata[i])->text) == 0;
  return same || vt_set_error(error, ESTALE,
                              "what there is to mend has changed since it was shown: nothing is "
                              "done; look again");
}
