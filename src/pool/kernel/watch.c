/* virt-thin - the kernel's pool: is it extended before it is full?
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * That is lvm2's dmeventd's work, by lvm.conf's thresholds (dm/watch.h). What lvm2 activates it has
 * watched, unless lvm.conf's activation/monitoring is 0, which is the administrator's word and
 * holds; what was active without being watched, as after an initramfs, is put under its eyes here.
 */
#include "config.h"

#include "dm/watch.h"
#include "pool/kernel/kernel-private.h"
#include "pool/rules.h"

/* As long as lvm2 waits. */
#define PENDING_ATTEMPTS 80
#define PENDING_PAUSE_US (100 * G_TIME_SPAN_MILLISECOND)

static gboolean is_watched(LvmVg *vg, LvmLv *pool)
{
  g_autofree char *uuid = kernel_pool_uuid(vg, pool);

  return dmk_is_watched(uuid, NULL);
}

static char *explain_watch(LvmVg *vg, LvmLv *pool, const DmkWatchSettings *settings)
{
  if (!settings->monitoring)
    return g_strdup("lvm.conf's activation/monitoring is 0, so that dmeventd does not watch it");
  return g_strdup_printf("dmeventd does not watch it (virt-thin activate %s/%s has it do so)",
                         lvm_vg_name(vg), lvm_lv_name(pool));
}

static const char *explain_settings(const DmkWatchSettings *settings)
{
  if (settings->threshold == 100)
    return "lvm.conf's activation/thin_pool_autoextend_threshold is 100, lvm2's default, which "
           "means never (set it to "
           "80, say)";
  return settings->percent ? NULL : "lvm.conf's activation/thin_pool_autoextend_percent is 0";
}

/* Why it does not grow by itself, and what to do; NULL: it does. The caller's. */
static char *explain(LvmVg *vg, LvmLv *pool, const DmkWatchSettings *settings, gboolean unwatched)
{
  g_autofree char *watching = unwatched ? explain_watch(vg, pool, settings) : NULL;
  const char *never = explain_settings(settings);

  if (watching && never)
    return g_strdup_printf("%s, and %s", watching, never);
  return watching ? g_steal_pointer(&watching) : g_strdup(never);
}

void kernel_fill_watch(LvmVg *vg, LvmLv *pool, PoolInfo *info)
{
  DmkWatchSettings settings;

  dmk_watch_settings(lvm_lv_profile(vg, pool), &settings);
  info->grows_at = settings.threshold;
  info->grows_by = settings.percent;
  /* One that is not active cannot fill: there only counts what lvm2 will do when it activates
   * it. */
  info->unwatched =
      explain(vg, pool, &settings, info->active ? !is_watched(vg, pool) : !settings.monitoring);
  /* dmeventd knows no other end than the VG's. */
  if (!info->unwatched)
    info->max_size = info->size + lvm_vg_n_free_extents(vg) * lvm_vg_extent_size(vg);
}

/* dmeventd takes its time to leave a device, too; lvm2 would take one that it is leaving for
 * watched. */
static gboolean is_watched_for_good(const char *uuid)
{
  gboolean pending, watched = dmk_is_watched(uuid, &pending);

  for (guint i = 0; pending && i < PENDING_ATTEMPTS; i++) {
    g_usleep(PENDING_PAUSE_US);
    watched = dmk_is_watched(uuid, &pending);
  }
  return watched;
}

static void watch(KernelChange *change, LvmVg *vg, LvmLv *pool)
{
  g_autofree char *uuid = kernel_pool_uuid(vg, pool), *why = NULL;
  g_autoptr(GError) error = NULL;
  DmkWatchSettings settings;
  gboolean unwatched;

  if (!dmk_is_active(uuid, NULL))
    return;
  dmk_watch_settings(lvm_lv_profile(vg, pool), &settings);
  unwatched = !is_watched_for_good(uuid);
  if (unwatched && settings.monitoring) {
    kernel_run(change, &error, "lvchange", "--monitor", "y", kernel_lv(change, lvm_lv_name(pool)),
               NULL);
    unwatched = !is_watched_for_good(uuid);
  }
  why = explain(vg, pool, &settings, unwatched);
  if (why)
    g_warning("thin pool %s/%s does not grow by itself before it is full: %s%s%s", lvm_vg_name(vg),
              lvm_lv_name(pool), why, error ? ": " : "", error ? error->message : "");
}

void kernel_watch(KernelChange *change, const char *thin_pool)
{
  KernelPool *k = change->pool;
  g_autoptr(GError) error = NULL;
  g_autoptr(LvmVg) vg = NULL; /* with what the change has made */
  LvmVg *now;
  LvmLv *pool;

  g_mutex_lock(&k->lock);
  now = kernel_read_vg(k, &error);
  vg = now ? lvm_vg_copy(now) : NULL;
  g_mutex_unlock(&k->lock);
  pool = vg ? pool_rules_find_pool(vg, thin_pool, &error) : NULL;
  if (pool)
    watch(change, vg, pool);
  else
    g_warning("thin pool %s/%s: whether it is watched cannot be told: %s", k->vg_name, thin_pool,
              error->message);
}

/* --- more room --- */

/* Those that dmeventd would extend if it looked now. After failures it does so ever more rarely,
 * with 42 minutes in between in the end (dmeventd_thin.c, MAX_FAILS). */
static GPtrArray *list_watched(KernelPool *k)
{
  GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GPtrArray) infos = pool_list_pools(&k->base, NULL);

  for (guint i = 0; infos && i < infos->len; i++) {
    PoolInfo *info = infos->pdata[i];

    if (info->active && !info->unwatched)
      g_ptr_array_add(names, g_strdup(info->name));
  }
  return names;
}

void kernel_use_room(KernelChange *change)
{
  g_autoptr(GPtrArray) names = list_watched(change->pool);

  for (guint i = 0; i < names->len; i++) {
    g_autoptr(GError) error = NULL;

    if (!kernel_run(change, &error, "lvextend", "--use-policies",
                    kernel_lv(change, names->pdata[i]), NULL))
      g_warning("thin pool %s/%s could not be extended as lvm.conf has it (virt-thin resize %s/%s "
                "+SIZE gives it what "
                "there is): %s",
                change->pool->vg_name, (char *)names->pdata[i], change->pool->vg_name,
                (char *)names->pdata[i], error->message);
  }
}
