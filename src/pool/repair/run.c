/* virt-thin - mending a thin pool: the steps of a plan, carried out
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "pool/repair/repair-private.h"
#include "pool/rules.h"
#include "settings/settings.h"
#include "thin/format/disk-format.h"

void repair_note_undo(PoolRepairPlan *plan, PoolRepairStepKind kind, LvmStore *store,
                      const PoolWhere *where)
{
  const char *path = lvm_store_archive_path(store), *vg = lvm_vg_name(lvm_store_vg(store));

  for (guint i = 0; path && i < plan->steps->len; i++) {
    PoolRepairStep *step = plan->steps->pdata[i];

    if (step->kind == kind && !step->undo)
      step->undo = repair_command(where, (const char *const[]){vg, "--text", path, NULL});
  }
}

/* @vg is taken. */
static gboolean commit(Repair *repair, LvmVg *vg, const char *what, GError **error)
{
  g_autofree char *dir = settings_archive_dir();
  g_autofree char *description = g_strdup_printf("repair of %s: %s", repair->name, what);

  if (lvm_store_commit(repair->store, vg, dir, description, error)) {
    repair->vg = vg;
    repair->pool = lvm_vg_find_lv(vg, repair->name);
    return TRUE;
  }
  lvm_vg_free(vg);
  return FALSE;
}

static gboolean grow_spare(Repair *repair, guint64 n_extents, const char *what, GError **error)
{
  LvmVg *vg = lvm_vg_copy(repair->vg);

  if (lvm_vg_grow_spare(vg, n_extents, error) &&
      lvm_store_zero_new(repair->store, vg, lvm_lv_name(pool_rules_find_spare(vg)), error))
    return commit(repair, vg, what, error);
  lvm_vg_free(vg);
  return FALSE;
}

gboolean repair_make_spare(Repair *repair, PoolRepairPlan *plan, GError **error)
{
  if (!grow_spare(repair, repair->spare, "a spare", error))
    return FALSE;
  repair_note_undo(plan, POOL_REPAIR_SPARE, repair->store, repair->where);
  return TRUE;
}

/* --- the metadata --- */

static gboolean keep(Repair *repair, GError **error)
{
  int fd = g_open(repair->kept, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  g_autoptr(VtIo) file = NULL;

  if (fd < 0 || ftruncate(fd, (off_t)vt_io_size(repair->metadata)) < 0) {
    vt_set_errno(error, errno, "cannot make %s", repair->kept);
    if (fd >= 0)
      close(fd);
    return FALSE;
  }
  file = vt_io_new_file(fd, repair->kept, FALSE, error);
  return file && repair_copy(repair->metadata, file, error);
}

static gboolean write_metadata(Repair *repair, GError **error)
{
  LvmLv *spare = repair->over ? NULL : pool_rules_find_spare(repair->vg);
  g_autoptr(VtIo) io = NULL;

  if (repair->over)
    return keep(repair, error) && repair_copy(repair->made, repair->metadata, error);
  io = lvm_store_open_lv(repair->store, lvm_lv_name(spare), FALSE, error);
  return io && repair_copy(repair->made, io, error);
}

/* --- the text --- */

static LvmVg *make_text(Repair *repair, GError **error)
{
  LvmVg *vg = lvm_vg_copy(repair->text ? repair->text : repair->vg);
  LvmLv *spare = pool_rules_find_spare(vg);

  if (!repair->made || repair->over ||
      lvm_vg_swap_pool_metadata(vg, lvm_vg_find_lv(vg, repair->name), lvm_lv_name(spare),
                                repair->kept, error))
    return vg;
  lvm_vg_free(vg);
  return NULL;
}

static gboolean write_text(Repair *repair, PoolRepairPlan *plan, GError **error)
{
  LvmVg *vg;

  if (!repair->text && (!repair->made || repair->over))
    return TRUE;
  if (!(vg = make_text(repair, error)) || !commit(repair, vg, "text and metadata", error))
    return FALSE;
  repair_note_undo(plan, POOL_REPAIR_TEXT, repair->store, repair->where);
  repair_note_undo(plan, POOL_REPAIR_SWAP, repair->store, repair->where);
  return TRUE;
}

/* The next repair may need one; this one is done without. */
static void renew_spare(Repair *repair, PoolRepairPlan *plan)
{
  LvmLv *metadata = lvm_vg_find_lv(repair->vg, lvm_pool_metadata(repair->pool));
  g_autoptr(GError) failure = NULL;

  if (grow_spare(repair, lvm_lv_n_extents(metadata), "a new spare", &failure))
    repair_note_undo(plan, POOL_REPAIR_NEW_SPARE, repair->store, repair->where);
  else
    g_warning("volume group %s has no spare for metadata any more: %s", lvm_vg_name(repair->vg),
              failure->message);
}

gboolean repair_run(Repair *repair, PoolRepairPlan *plan, GError **error)
{
  if ((repair->made && !write_metadata(repair, error)) || !write_text(repair, plan, error))
    return FALSE;
  if (repair->made && !repair->over)
    renew_spare(repair, plan);
  return TRUE;
}
