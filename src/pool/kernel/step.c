/* virt-thin - the kernel's pool: a change, step by step
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * lvm2 commits once per command (or per volume in it), so a change of several commands is taken
 * back by further commands when one of them fails.
 */
#include "config.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "control/service.h"
#include "dm/lvm2.h"
#include "pool/kernel/kernel-private.h"
#include "pool/rules.h"
#include "settings/settings.h"
#include "util/block-users.h"

/* --- the VG's turn --- */

/* No VG has a name with a leading dot in this folder (settings_vg_dir()). */
static int open_lock(const char *vg, GError **error)
{
  g_autofree char *folder = g_build_filename(settings_runtime_dir(), ".changes", NULL);
  g_autofree char *path = g_build_filename(folder, vg, NULL);
  int fd;

  if (!settings_make_folder(settings_runtime_dir(), error))
    return -1;
  if (g_mkdir_with_parents(folder, 0700) < 0) {
    vt_set_errno(error, errno, "making folder %s", folder);
    return -1;
  }
  fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    vt_set_errno(error, errno, "opening %s", path);
  return fd;
}

/* Without an end, as lvm2 waits for its own locks: the kernel wakes those who wait in their order,
 * and an asker that came back now and then would find it taken each time. */
static gboolean wait_for_turn(const char *vg, int fd, GError **error)
{
  while (flock(fd, LOCK_EX) < 0)
    if (errno != EINTR)
      return vt_set_errno(error, errno, "locking volume group %s", vg);
  return TRUE;
}

static gboolean check_owner(KernelPool *k, KernelChangeKind kind, GError **error)
{
  g_autofree char *foreign = lvm_store_foreign(k->store);

  if (control_service_is_running(k->vg_name))
    return vt_set_error(error, EBUSY,
                        "volume group %s is served by virt-thin's own engine: virt-thin stop %s "
                        "gives it back to the "
                        "kernel",
                        k->vg_name, k->vg_name);
  if (lvm_store_is_taken(k->store))
    return vt_set_error(
        error, EBUSY,
        "volume group %s is taken by virt-thin's own engine (system_id %s): if that runs no more, "
        "virt-thin release %s gives it back to the kernel",
        k->vg_name, lvm_vg_system_id(lvm_store_vg(k->store)), k->vg_name);
  if (kind == KERNEL_CHANGE_VG && foreign)
    return vt_set_error(error, EPERM, "volume group %s cannot be changed: %s", k->vg_name, foreign);
  if (kind == KERNEL_CHANGE_VG && k->read_only)
    return pool_rules_read_only(k->vg_name, error);
  return TRUE;
}

gboolean kernel_change_read(KernelChange *change, KernelChangeKind kind, GError **error)
{
  KernelPool *k = change->pool;
  LvmVg *vg;

  g_clear_pointer(&change->vg, lvm_vg_free);
  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, error);
  if (vg && check_owner(k, kind, error))
    change->vg = lvm_vg_copy(vg);
  g_mutex_unlock(&k->lock);
  return change->vg != NULL;
}

static void change_free(KernelChange *change)
{
  g_mutex_lock(&change->pool->lock);
  kernel_forget(change->pool);
  g_mutex_unlock(&change->pool->lock);
  if (change->lock_fd >= 0)
    close(change->lock_fd);
  lvm_vg_free(change->vg);
  g_ptr_array_unref(change->undo);
  g_string_chunk_free(change->strings);
  g_free(change);
}

KernelChange *kernel_change_begin(KernelPool *k, KernelChangeKind kind, GError **error)
{
  KernelChange *change = g_new0(KernelChange, 1);

  change->pool = k;
  change->undo = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
  change->strings = g_string_chunk_new(512);
  change->lock_fd = open_lock(k->vg_name, error);
  if (change->lock_fd >= 0 && wait_for_turn(k->vg_name, change->lock_fd, error) &&
      kernel_change_read(change, kind, error))
    return change;
  change_free(change);
  return NULL;
}

/* --- commands --- */

const char *kernel_word(KernelChange *change, const char *format, ...)
{
  g_autofree char *word = NULL;
  va_list args;

  va_start(args, format);
  word = g_strdup_vprintf(format, args);
  va_end(args);
  return g_string_chunk_insert(change->strings, word);
}

const char *kernel_lv(KernelChange *change, const char *name)
{
  return kernel_word(change, "%s/%s", change->pool->vg_name, name);
}

const char *kernel_bytes(KernelChange *change, guint64 size)
{
  return kernel_word(change, "%" G_GUINT64_FORMAT "b", size);
}

static GPtrArray *collect_words(const char *command, va_list args)
{
  GPtrArray *words = g_ptr_array_new();

  for (const char *word = command; word; word = va_arg(args, const char *))
    g_ptr_array_add(words, (gpointer)word);
  return words;
}

gboolean kernel_run_words(KernelChange *change, GPtrArray *words, GError **error)
{
  g_ptr_array_add(words, NULL);
  return dmk_lvm2((const char *const *)words->pdata, error);
}

gboolean kernel_run(KernelChange *change, GError **error, const char *command, ...)
{
  g_autoptr(GPtrArray) words = NULL;
  va_list args;

  va_start(args, command);
  words = collect_words(command, args);
  va_end(args);
  return kernel_run_words(change, words, error);
}

void kernel_undo_with_words(KernelChange *change, GPtrArray *words)
{
  g_ptr_array_add(words, NULL);
  g_ptr_array_add(change->undo, g_strdupv((GStrv)words->pdata));
}

void kernel_undo_with(KernelChange *change, const char *command, ...)
{
  g_autoptr(GPtrArray) words = NULL;
  va_list args;

  va_start(args, command);
  words = collect_words(command, args);
  va_end(args);
  kernel_undo_with_words(change, words);
}

static void undo(KernelChange *change, GError **error)
{
  for (guint i = change->undo->len; i-- > 0;) {
    char **words = change->undo->pdata[i];
    g_autoptr(GError) local = NULL;
    g_autofree char *command = NULL;

    if (dmk_lvm2((const char *const *)words, &local))
      continue;
    command = g_strjoinv(" ", words);
    g_prefix_error(error, "(and taking it back failed, too: %s - to do by hand: %s) ",
                   local->message, command);
  }
}

gboolean kernel_change_end(KernelChange *change, gboolean ok, GError **error)
{
  if (!ok)
    undo(change, error);
  change_free(change);
  return ok;
}

/* --- volumes --- */

char *kernel_find_user(LvmVg *vg, LvmLv *lv)
{
  g_autofree char *uuid = kernel_uuid(vg, lv), *path = NULL, *user = NULL;
  g_autoptr(BlockScan) scan = NULL;
  DmkInfo info;

  if (!dmk_is_active(uuid, &info) || info.open_count == 0)
    return NULL;
  scan = block_scan_new();
  path = g_build_filename("/dev/mapper", info.name, NULL);
  user = block_scan_user(scan, path);
  return user ? g_steal_pointer(&user)
              : g_strdup("the kernel, or a process that cannot be seen from here");
}

gboolean kernel_pool_is_active(KernelChange *change, LvmLv *pool)
{
  g_autofree char *uuid = kernel_pool_uuid(change->vg, pool);

  return dmk_is_active(uuid, NULL);
}

gboolean kernel_activate_volume(KernelChange *change, const char *name, GError **error)
{
  return kernel_run(change, error, "lvchange", "-ay", "-K", kernel_lv(change, name), NULL);
}

void kernel_add_words(GPtrArray *words, const char *word, ...)
{
  va_list args;

  va_start(args, word);
  for (; word; word = va_arg(args, const char *))
    g_ptr_array_add(words, (gpointer)word);
  va_end(args);
}
