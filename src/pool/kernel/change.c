/* virt-thin - the kernel's pool: carrying out a change
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What is to be done plan.c decides; here each step is a command of lvm2's, or a few, with what
 * takes it back when a later one fails. lvm2 is never told to force anything; --yes answers the
 * questions that it asks of whoever removes or reduces what he means to.
 */
#include "config.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lvm/content.h"
#include "pool/kernel/kernel-private.h"
#include "pool/rules.h"
#include "settings/settings.h"

/* --- volumes --- */

/* -W: what a program would take for content at its start is wiped, for which it is active. */
static gboolean add_linear(KernelChange *change, const PoolStep *step, GError **error)
{
  return kernel_run(change, error, "lvcreate", "--yes", "-Wy", "-Zy", "--type", "linear",
                    "--setautoactivation", "n", "--name", step->name, "--size",
                    kernel_bytes(change, step->extents * lvm_vg_extent_size(change->vg)),
                    change->pool->vg_name, NULL);
}

static gboolean rename_lv(KernelChange *change, const PoolStep *step, GError **error)
{
  const char *vg = change->pool->vg_name;

  if (!kernel_run(change, error, "lvrename", vg, step->name, step->other, NULL))
    return FALSE;
  kernel_undo_with(change, "lvrename", vg, step->other, step->name, NULL);
  return TRUE;
}

/* lvchange, with what its words add in @words and what takes that back in @back. */
static gboolean change_lv(KernelChange *change, const char *name, GPtrArray *words, GPtrArray *back,
                          GError **error)
{
  kernel_add_words(words, kernel_lv(change, name), NULL);
  kernel_add_words(back, kernel_lv(change, name), NULL);
  if (!kernel_run_words(change, words, error))
    return FALSE;
  kernel_undo_with_words(change, back);
  return TRUE;
}

static gboolean change_tags(KernelChange *change, const PoolStep *step, GError **error)
{
  g_autoptr(GPtrArray) words = g_ptr_array_new(), back = g_ptr_array_new();

  kernel_add_words(words, "lvchange", NULL);
  kernel_add_words(back, "lvchange", NULL);
  for (guint i = 0; i < step->lost->len; i++) {
    kernel_add_words(words, "--deltag", step->lost->pdata[i], NULL);
    kernel_add_words(back, "--addtag", step->lost->pdata[i], NULL);
  }
  for (guint i = 0; i < step->gained->len; i++) {
    kernel_add_words(words, "--addtag", step->gained->pdata[i], NULL);
    kernel_add_words(back, "--deltag", step->gained->pdata[i], NULL);
  }
  return change_lv(change, step->name, words, back, error);
}

/* Nobody opens it any more; lvm2 itself sees to it that nobody has it open then. */
static gboolean deactivate(KernelChange *change, LvmLv *lv, GError **error)
{
  g_autofree char *uuid = kernel_uuid(change->vg, lv);
  const char *path = kernel_lv(change, lvm_lv_name(lv));

  if (!dmk_is_active(uuid, NULL))
    return TRUE;
  if (!kernel_run(change, error, "lvchange", "-an", path, NULL))
    return FALSE;
  kernel_undo_with(change, "lvchange", "-ay", "-K", path, NULL);
  return TRUE;
}

/* lvm2 fails where there is nothing to do. */
static gboolean seal(KernelChange *change, const PoolStep *step, GError **error)
{
  LvmLv *lv = lvm_vg_find_lv(change->vg, step->name);
  g_autoptr(GPtrArray) words = g_ptr_array_new(), back = g_ptr_array_new();

  kernel_add_words(words, "lvchange", NULL);
  kernel_add_words(back, "lvchange", NULL);
  if (lvm_lv_is_writable(lv)) {
    kernel_add_words(words, "-p", "r", NULL);
    kernel_add_words(back, "-p", "rw", NULL);
  }
  if (!lvm_lv_has_flag(lv, POOL_SKIP_FLAG)) {
    kernel_add_words(words, "-k", "y", NULL);
    kernel_add_words(back, "-k", "n", NULL);
  }
  return deactivate(change, lv, error) &&
         (words->len == 1 || change_lv(change, step->name, words, back, error));
}

/* Give back what lies beyond @size, which the volume is about to lose: afterwards no one reaches it
 * any more. */
static gboolean discard_tail(KernelChange *change, LvmLv *lv, guint64 size, GError **error)
{
  g_autofree char *uuid = kernel_uuid(change->vg, lv), *path = NULL;
  guint64 range[2] = {size, lvm_lv_size(lv) - size};
  DmkInfo info;
  gboolean ok;
  int fd;

  if (!dmk_get_info(uuid, &info, error))
    return FALSE;
  path = g_build_filename("/dev/mapper", info.name, NULL);
  fd = open(path, O_WRONLY | O_EXCL | O_CLOEXEC);
  ok = fd >= 0 && (ioctl(fd, BLKDISCARD, range) == 0 || errno == EOPNOTSUPP);
  if (!ok)
    vt_set_errno(error, errno, "discarding the end of %s", path);
  if (fd >= 0)
    close(fd);
  return ok;
}

static gboolean shrink(KernelChange *change, LvmLv *lv, guint64 size, GError **error)
{
  g_autofree char *uuid = kernel_uuid(change->vg, lv);
  const char *name = lvm_lv_name(lv), *path = kernel_lv(change, name),
             *bytes = kernel_bytes(change, size);
  gboolean active = dmk_is_active(uuid, NULL), ok;

  if (!kernel_run(change, error, "lvreduce", "--test", "--yes", "--size", bytes, path, NULL) ||
      (!active && !kernel_activate_volume(change, name, error)))
    return FALSE;
  ok = discard_tail(change, lv, size, error);
  if (!active)
    ok = kernel_run(change, ok ? error : NULL, "lvchange", "-an", path, NULL) && ok;
  return ok && kernel_run(change, error, "lvreduce", "--yes", "--size", bytes, path, NULL);
}

static gboolean resize(KernelChange *change, const PoolStep *step, GError **error)
{
  guint64 size = step->extents * lvm_vg_extent_size(change->vg);

  if (step->extents < step->old_extents)
    return shrink(change, lvm_vg_find_lv(change->vg, step->name), size, error);
  return kernel_run(change, error, "lvextend", "--size", kernel_bytes(change, size),
                    kernel_lv(change, step->name), NULL);
}

/* --- thin pools, the volume group --- */

/* lvm2 would change its text, and the kernel leave the pool as it is. */
static gboolean require_no_check(KernelChange *change, const char *name, GError **error)
{
  const char *vg = change->pool->vg_name;
  g_autoptr(PoolInfo) info = kernel_get_info(change->pool, name, FALSE, error);

  if (!info)
    return FALSE;
  return !info->needs_check ||
         vt_set_error(error, EPERM,
                      "its metadata is marked needs_check after an earlier failure. Deactivate it "
                      "(virt-thin deactivate "
                      "%s/%s), then have lvm2 check it and clear the mark: lvchange -ay --config "
                      "'global/thin_check_options=[\"-q\",\"--clear-needs-check-flag\"]' %s/%s; if "
                      "that fails: "
                      "lvconvert --repair %s/%s",
                      vg, name, vg, name, vg, name);
}

/* Of metadata: with a sign lvm2 takes a size for what is to be added, without one it wants a
 * --size, too. */
static gboolean grow_pool(KernelChange *change, const PoolStep *step, GError **error)
{
  guint64 extent_size = lvm_vg_extent_size(change->vg);
  const char *path = kernel_lv(change, step->name);

  if (!require_no_check(change, step->name, error))
    return FALSE;
  if (!step->metadata)
    return kernel_run(change, error, "lvextend", "--size",
                      kernel_bytes(change, step->extents * extent_size), path, NULL);
  return kernel_run(change, error, "lvextend", "--poolmetadatasize",
                    kernel_word(change, "+%" G_GUINT64_FORMAT "b",
                                (step->extents - step->old_extents) * extent_size),
                    path, NULL);
}

/* It answers ENOSPC when it is full, instead of letting writers wait a minute. lvm2 2.03.16 knows
 * that option for existing pools only. */
static gboolean add_pool(KernelChange *change, const PoolStep *step, GError **error)
{
  const PoolLayout *layout = &step->layout;

  if (!kernel_run(change, error, "lvcreate", "--yes", "--type", "thin-pool", "--name", step->name,
                  "--extents", kernel_word(change, "%" G_GUINT64_FORMAT, layout->data),
                  "--chunksize", kernel_bytes(change, layout->chunk_size), "--poolmetadatasize",
                  kernel_bytes(change, layout->metadata * lvm_vg_extent_size(change->vg)), "-kn",
                  change->pool->vg_name, NULL))
    return FALSE;
  kernel_undo_with(change, "lvremove", "--yes", kernel_lv(change, step->name), NULL);
  if (!kernel_run(change, error, "lvchange", "--errorwhenfull", "y", kernel_lv(change, step->name),
                  NULL))
    return FALSE;
  kernel_watch(change, step->name);
  return TRUE;
}

static gboolean remove_pool(KernelChange *change, const PoolStep *step, GError **error)
{
  return kernel_require_empty(change, lvm_vg_find_lv(change->vg, step->name), error) &&
         kernel_run(change, error, "lvremove", "--yes", kernel_lv(change, step->name), NULL);
}

/* lvm2 would take a device with an image on it. Without --yes: where it finds what we do not know,
 * it asks, gets no answer, and leaves it. */
static gboolean add_pv(KernelChange *change, const PoolStep *step, GError **error)
{
  KernelPool *k = change->pool;

  if (!lvm_content_check_free(step->name, error) ||
      !kernel_run(change, error, "vgextend", k->vg_name, step->name, NULL))
    return FALSE;
  g_mutex_lock(&k->lock);
  kernel_forget(k);
  g_clear_pointer(&k->paths, g_strfreev); /* it has one more */
  g_mutex_unlock(&k->lock);
  kernel_use_room(change);
  return TRUE;
}

/* --- all of them --- */

static gboolean (*const carry_out[])(KernelChange *change, const PoolStep *step, GError **error) = {
    [POOL_STEP_ADD_THIN] = kernel_add_thin,
    [POOL_STEP_ADD_LINEAR] = add_linear,
    [POOL_STEP_RENAME] = rename_lv,
    [POOL_STEP_TAGS] = change_tags,
    [POOL_STEP_SEAL] = seal,
    [POOL_STEP_RESIZE] = resize,
    [POOL_STEP_REPLACE] = kernel_replace,
    [POOL_STEP_GROW_POOL] = grow_pool,
    [POOL_STEP_ADD_POOL] = add_pool,
    [POOL_STEP_REMOVE_POOL] = remove_pool,
    [POOL_STEP_ADD_PV] = add_pv,
};

/* Volumes that go together, from step *i on, go by one command: lvm2 looks at all of them before
 * the first goes. */
static gboolean remove_volumes(KernelChange *change, GPtrArray *steps, guint *i, GError **error)
{
  g_autoptr(GPtrArray) words = g_ptr_array_new();

  kernel_add_words(words, "lvremove", "--yes", NULL);
  for (; *i < steps->len && ((PoolStep *)steps->pdata[*i])->kind == POOL_STEP_REMOVE; (*i)++)
    kernel_add_words(words, kernel_lv(change, ((PoolStep *)steps->pdata[*i])->name), NULL);
  return kernel_run_words(change, words, error);
}

static gboolean run_steps(KernelChange *change, GPtrArray *steps, GError **error)
{
  for (guint i = 0; i < steps->len;) {
    const PoolStep *step = steps->pdata[i];

    if (step->kind == POOL_STEP_REMOVE ? !remove_volumes(change, steps, &i, error)
                                       : !carry_out[step->kind](change, steps->pdata[i++], error))
      return FALSE;
  }
  return TRUE;
}

/* Several new volumes: all of one instant, and all or none. */
static gboolean run_group(KernelChange *change, GPtrArray *steps, GError **error)
{
  return run_steps(change, steps, error) && kernel_make_one_instant(change, steps, error) &&
         kernel_untag_group(change, steps, error);
}

static char *find_user(LvmLv *lv, gpointer data)
{
  return kernel_find_user(((KernelChange *)data)->vg, lv);
}

/* A file system that is mounted from the volume itself the kernel freezes when lvm2 suspends the
 * volume; one on its partitions it does not. */
static gboolean run_plan(KernelChange *change, const PoolChange *what, const PoolPlan *plan,
                         GError **error)
{
  g_autofree char *nodes = g_build_filename("/dev", change->pool->vg_name, NULL);
  gboolean group = kernel_tag_group(plan->steps), done;
  Freeze *freeze;

  if (!pool_change_freeze(what, nodes, NULL, 1, &freeze, error))
    return FALSE;
  done = (group ? run_group : run_steps)(change, plan->steps, error);
  freeze_end(freeze);
  return done;
}

/* What a crash left half done is ended first. */
static gboolean carry_out_change(KernelChange *change, const PoolChange *what, GError **error)
{
  const PoolFacts facts = {
      .lvm2 = TRUE, .limits = settings_limits, .find_user = find_user, .data = change};
  g_autoptr(PoolPlan) plan = NULL;
  gboolean changed = FALSE;

  if (!kernel_finish_replacements(change, &changed, error) ||
      !kernel_finish_groups(change, &changed, error) ||
      (changed && !kernel_change_read(change, KERNEL_CHANGE_VG, error)))
    return FALSE;
  plan = pool_plan(change->vg, what, &facts, error);
  if (!plan || !run_plan(change, what, plan, error))
    return FALSE;
  if (plan->note)
    g_message("%s", plan->note);
  return TRUE;
}

/* lvm2 grows the spare only with the metadata, and leaves it behind where there is room for one of
 * them. */
static void catch_up_spare(VolumeGroup *group)
{
  g_autoptr(GPtrArray) infos = pool_list_pools(group, NULL);
  g_autoptr(GError) error = NULL;
  PoolInfo *largest = NULL;

  for (guint i = 0; infos && i < infos->len; i++) {
    PoolInfo *info = infos->pdata[i];

    if (!largest || info->metadata_size > largest->metadata_size)
      largest = info;
  }
  if (!largest || !largest->metadata_spare || largest->metadata_spare >= largest->metadata_size)
    return;
  if (!pool_resize_pool(group, largest->name, largest->metadata_size + 1, TRUE, &error))
    g_warning("the spare metadata stays smaller than that of thin pool %s/%s: %s", largest->vg,
              largest->name, error->message);
}

gboolean kernel_change(VolumeGroup *group, const PoolChange *what, GError **error)
{
  KernelPool *k = (KernelPool *)group;
  KernelChange *change = kernel_change_begin(k, KERNEL_CHANGE_VG, error);

  if (!change || !kernel_change_end(change, carry_out_change(change, what, error), error))
    return pool_change_failed(what, k->vg_name, error);
  if (what->kind == POOL_EXTEND)
    catch_up_spare(group);
  return TRUE;
}
