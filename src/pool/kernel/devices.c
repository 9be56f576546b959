/* virt-thin - the kernel's pool: what thin devices it has that the volume group does not know
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * dm-thin answers "File exists" to create_thin of a device that is there. lvm2 takes that for its
 * own message of before a crash and gives the volume the device, with what is in it; of create_snap
 * it fails half-way. A removal would then delete the device. So one looks before.
 */
#include "config.h"

#include "pool/devices.h"
#include "pool/kernel/kernel-private.h"
#include "pool/rules.h"
#include "util/size.h"

static GArray *try_read(KernelPool *k, const char *name, guint32 first, guint32 last, guint64 *tid,
                        GError **error)
{
  GArray *devices = NULL;
  LvmVg *vg;
  LvmLv *pool;

  g_mutex_lock(&k->lock);
  vg = kernel_read_vg(k, error);
  pool = vg ? pool_rules_find_pool(vg, name, error) : NULL;
  if (pool)
    devices = kernel_read_devices(k, pool, first, last, tid, error);
  g_mutex_unlock(&k->lock);
  return devices;
}

/* Metadata of a kind that only the kernel puts together, raid, is activated for it. */
static GArray *read_devices(KernelChange *change, LvmLv *pool, guint32 first, guint32 last,
                            guint64 *tid, GError **error)
{
  const char *name = lvm_lv_name(pool), *metadata = kernel_lv(change, lvm_pool_metadata(pool));
  g_autoptr(GError) local = NULL;
  GArray *devices = try_read(change->pool, name, first, last, tid, &local);

  if (devices)
    return devices;
  if (!g_error_matches(local, VT_ERROR, EOPNOTSUPP) || kernel_pool_is_active(change, pool)) {
    g_propagate_error(error, g_steal_pointer(&local));
    return NULL;
  }
  if (!kernel_run(change, error, "lvchange", "--yes", "-ay", metadata, NULL))
    return NULL;
  devices = try_read(change->pool, name, first, last, tid, error);
  if (!kernel_run(change, devices ? error : NULL, "lvchange", "-an", metadata, NULL))
    g_clear_pointer(&devices, g_array_unref);
  return devices;
}

/* --- before a volume is made --- */

/* As device-mapper writes a name: dashes within a part are doubled. */
static char *double_dashes(const char *name)
{
  g_auto(GStrv) parts = g_strsplit(name, "-", -1);

  return g_strjoinv("--", parts);
}

/* What the pool's device is called, or will be once it is active. */
static char *pool_device(KernelChange *change, LvmLv *pool)
{
  g_autofree char *uuid = kernel_pool_uuid(change->vg, pool),
                  *vg = double_dashes(lvm_vg_name(change->vg)),
                  *lv = double_dashes(lvm_lv_name(pool));
  DmkInfo info;

  return dmk_is_active(uuid, &info) ? g_strdup(info.name) : g_strdup_printf("%s-%s-tpool", vg, lv);
}

static gboolean refuse(KernelChange *change, LvmLv *pool, const ThinDevice *stray, GError **error)
{
  g_autofree char *mapped = vt_size_format(stray->mapped), *device = pool_device(change, pool);
  const char *shown = kernel_lv(change, lvm_lv_name(pool));
  const char *activate = kernel_pool_is_active(change, pool)
                             ? ""
                             : kernel_word(change, " after virt-thin activate %s", shown);

  return vt_set_error(error, EPERM,
                      "lvm2 would make it of thin device %u, which thin pool %s has already (%s "
                      "mapped) and no volume "
                      "is known for: a guest's data may be in it, and would show in the new "
                      "volume. To look at it%s: "
                      "dmsetup create stray --readonly --table '0 %" G_GUINT64_FORMAT
                      " thin /dev/mapper/%s %u', then dmsetup remove stray. To delete it, if it is "
                      "not needed: dmsetup "
                      "message %s 0 'delete %u'",
                      stray->id, shown, mapped, activate, lvm_lv_size(pool) / 512, device,
                      stray->id, device, stray->id);
}

static gboolean require_free_device(KernelChange *change, LvmLv *pool, GError **error)
{
  g_autoptr(GArray) messages = lvm_pool_messages(pool), devices = NULL, strays = NULL;
  guint32 id = lvm_pool_next_device(change->vg, pool);
  const ThinDevice *stray;
  guint64 tid;

  devices = read_devices(change, pool, messages->len ? 0 : id, messages->len ? THIN_DEVICE_MAX : id,
                         &tid, error);
  if (!devices) {
    g_prefix_error(error, "whether thin device %u of thin pool %s is free cannot be told: ", id,
                   kernel_lv(change, lvm_lv_name(pool)));
    return FALSE;
  }
  if (!pool_devices_check_messages(change->vg, pool, tid, devices, error))
    return FALSE;
  strays = pool_devices_strays(change->vg, pool, tid, devices);
  stray = pool_devices_find(strays, id);
  return !stray || refuse(change, pool, stray, error);
}

/* The VG is read again: another volume may have been made since the change began. */
gboolean kernel_add_thin(KernelChange *change, const PoolStep *step, GError **error)
{
  gboolean ok = kernel_change_read(change, KERNEL_CHANGE_VG, error);
  LvmLv *pool = ok ? pool_rules_find_pool(change->vg, step->pool, error) : NULL,
        *origin = ok && step->other ? lvm_vg_find_lv(change->vg, step->other) : NULL;
  g_autoptr(GPtrArray) words = g_ptr_array_new();
  const char *size;

  if (!pool)
    return FALSE;
  size = kernel_bytes(change, step->extents * lvm_vg_extent_size(change->vg));
  kernel_add_words(words, "lvcreate", "--yes", "--name", step->name, "-p",
                   step->sealed ? "r" : "rw", "-k", step->sealed ? "y" : "n",
                   !step->sealed && kernel_pool_is_active(change, pool) ? "-ay" : "-an", NULL);
  for (guint i = 0; i < step->gained->len; i++)
    kernel_add_words(words, "--addtag", step->gained->pdata[i], NULL);
  if (origin)
    kernel_add_words(words, "--snapshot", kernel_lv(change, step->other), NULL);
  else
    kernel_add_words(words, "-Wn", "--type", "thin", "--virtualsize", size, "--thinpool",
                     step->pool, change->pool->vg_name, NULL);
  if (!require_free_device(change, pool, error) || !kernel_run_words(change, words, error))
    return FALSE;
  kernel_undo_with(change, "lvremove", "--yes", kernel_lv(change, step->name), NULL);
  return !origin || step->extents == lvm_lv_n_extents(origin) ||
         kernel_run(change, error, "lvextend", "--size", size, kernel_lv(change, step->name), NULL);
}

/* --- before a pool is removed --- */

gboolean kernel_require_empty(KernelChange *change, LvmLv *pool, GError **error)
{
  g_autoptr(GError) local = NULL;
  guint64 tid;
  g_autoptr(GArray) devices = read_devices(change, pool, 0, THIN_DEVICE_MAX, &tid, &local);

  if (devices)
    return pool_devices_check_removal(change->vg, pool, tid, devices, error);
  return pool_devices_unknown(change->pool->vg_name, lvm_lv_name(pool), local, error);
}

/* --- for the check --- */

gboolean kernel_compare_devices(KernelChange *change, LvmLv *pool, GPtrArray *errors,
                                GError **error)
{
  guint64 tid;
  g_autoptr(GArray) devices = read_devices(change, pool, 0, THIN_DEVICE_MAX, &tid, error);

  if (devices)
    pool_devices_compare(change->vg, pool, tid, devices, errors);
  return devices != NULL;
}
