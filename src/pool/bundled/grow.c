/* virt-thin - the bundled pool: thin pools that grow before they are full
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Once a second the service has every pool looked at: what is fuller than the threshold of
 * virt-thin.conf grows by the percentage there, as lvm2's dmeventd does it for the kernel's pools.
 * A writer may be faster than that; so before one is told that the pool is full, the pool grows if
 * it can, and the write is tried again.
 *
 * Metadata grows as long as the volume group has room. Data grows up to the size that the pool's
 * tag names:
 *
 *     virt-thin.max_size=<bytes>
 *
 * as `init --max-size` sets it; without one it does not grow by itself. Free extents are taken
 * first, then a physical volume that is a file is made longer.
 */
#include "pool/bundled/bundled-private.h"

#include "pool/plan.h"
#include "pool/rules.h"
#include "settings/settings.h"
#include "util/size.h"

#define WARN_STEP 5       /* percent, as dmeventd */
#define WARN_SNAPSHOTS 20 /* that there is room for */

void bundled_fill_growth(LvmLv *pool_lv, PoolInfo *info)
{
  info->max_size = pool_plan_max_size(pool_lv);
  info->grows_at = settings_autoextend_threshold();
  info->grows_by = settings_autoextend_percent();
  if (info->grows_at == 100)
    info->unwatched = g_strdup("virt-thin.conf's [autoextend] threshold is 100, which means never");
}

/* --- growing --- */

/* The extents that @n_extents of data or metadata are to become, and no more than @limit. */
static guint64 next_size(guint64 n_extents, guint64 limit)
{
  return MIN(n_extents + MAX(n_extents * settings_autoextend_percent() / 100, 1),
             MAX(limit, n_extents));
}

/* Extents that the LV @name, a part of a thin pool, can have: @wanted if the volume group has them,
 * or a file can grow. */
static guint64 find_extents(Bundled *b, const char *name, guint64 wanted)
{
  g_autoptr(GError) error = NULL;
  guint64 n_free = lvm_vg_n_free_extents(lvm_store_vg(b->store));

  if (n_free < wanted && !lvm_store_grow_file(b->store, wanted - n_free, b->archive_dir, &error) &&
      !g_error_matches(error, VT_ERROR, ENOENT))
    g_warning("volume group %s: no room for a larger thin pool: %s", b->vg_name, error->message);
  return MIN(wanted, lvm_lv_n_growth(lvm_vg_find_lv(lvm_store_vg(b->store), name)));
}

static void tell_growth(Bundled *b, BundledPool *pool, const char *what, guint64 before,
                        guint64 after)
{
  g_autofree char *from = vt_size_format(before), *to = vt_size_format(after);
  g_autoptr(GDateTime) now = g_date_time_new_now_local();
  g_autofree char *when = g_date_time_format(now, "%F %T");

  g_message("thin pool %s/%s: its %s grew from %s to %s", b->vg_name, pool->name, what, from, to);
  g_free(pool->grown);
  pool->grown = g_strdup_printf("%s, from %s to %s, at %s", what, from, to, when);
  g_atomic_int_inc(&pool->n_growths);
}

/* @metadata: of metadata the spare takes as much again. */
static gboolean grow(Bundled *b, BundledPool *pool, gboolean metadata)
{
  LvmVg *vg = lvm_store_vg(b->store);
  LvmLv *pool_lv = lvm_vg_find_lv(vg, pool->name),
        *lv = metadata ? lvm_vg_find_lv(vg, lvm_pool_metadata(pool_lv)) : pool_lv;
  PoolChange change = {.kind = POOL_RESIZE_POOL, .thin_pool = pool->name, .flag = metadata};
  guint64 extent = lvm_vg_extent_size(vg), max = pool_plan_max_size(pool_lv),
          before = lvm_lv_n_extents(lv),
          wanted = next_size(before, (metadata ? LVM_POOL_METADATA_MAX : max) / extent) - before, n;
  g_autofree char *part = g_strdup(metadata ? lvm_pool_metadata(pool_lv) : lvm_pool_data(pool_lv));
  g_autoptr(GError) error = NULL;

  if (wanted == 0)
    return FALSE;
  n = metadata ? find_extents(b, part, 2 * wanted) / 2 : find_extents(b, part, wanted);
  if (n == 0)
    return FALSE;
  change.size = (before + n) * extent;
  if (!bundled_change(b, &change, NULL, &error)) {
    g_warning("thin pool %s/%s cannot grow: %s", b->vg_name, pool->name, error->message);
    return FALSE;
  }
  tell_growth(b, pool, metadata ? "metadata" : "data", before * extent, (before + n) * extent);
  return TRUE;
}

/* --- when --- */

static guint percent(guint64 used, guint64 size)
{
  return size ? (guint)(used / (gdouble)size * 100) : 0;
}

static gboolean grows_by_itself(Bundled *b)
{
  return !b->read_only && !b->stuck && settings_autoextend_threshold() < 100;
}

/* Told once, and again for every WARN_STEP percent more. */
static void warn_if_fuller(Bundled *b, BundledPool *pool, const char *what, guint now,
                           guint *warned)
{
  guint threshold = MIN(settings_autoextend_threshold(), 80), step = now - now % WARN_STEP;

  if (now < threshold)
    *warned = 0;
  if (now < threshold || step <= *warned)
    return;
  *warned = step;
  g_warning(
      "thin pool %s/%s: %u %% of its %s is in use; add room with `virt-thin extend %s PATH` and "
      "`virt-thin resize %s/%s +SIZE%s`",
      b->vg_name, pool->name, now, what, b->vg_name, b->vg_name, pool->name,
      strcmp(what, "metadata") == 0 ? " --metadata" : "");
}

static gboolean has_file(LvmStore *store)
{
  for (const char *const *path = lvm_store_paths(store); *path; path++)
    if (g_file_test(*path, G_FILE_TEST_IS_REGULAR))
      return TRUE;
  return FALSE;
}

/* Told once where the metadata cannot grow, and again for half as many. */
static void warn_of_snapshots(Bundled *b, BundledPool *pool, const ThinStatus *status)
{
  gboolean grows = grows_by_itself(b) &&
                   (has_file(b->store) || lvm_vg_n_free_extents(lvm_store_vg(b->store)) > 1);
  guint64 left;

  bundled_forecast(b, pool);
  left = pool_forecast_left(&pool->forecast, status->metadata_size, status->metadata_used);
  if (left > WARN_SNAPSHOTS || grows)
    pool->snapshots_warned = G_MAXUINT64;
  else if (left <= pool->snapshots_warned / 2) {
    pool->snapshots_warned = left;
    g_warning("thin pool %s/%s: its metadata has room for about %" G_GUINT64_FORMAT
              " more snapshots like the last %u, and cannot grow by itself; remove snapshots, or "
              "add room with `virt-thin extend %s PATH` and `virt-thin resize %s/%s +SIZE "
              "--metadata`",
              b->vg_name, pool->name, left, pool->forecast.n_snapshots, b->vg_name, b->vg_name,
              pool->name);
  }
}

static void watch_one(Bundled *b, BundledPool *pool)
{
  guint threshold = settings_autoextend_threshold();
  ThinStatus status;

  for (;;) {
    thin_pool_get_status(pool->thin, &status);
    if (!grows_by_itself(b) ||
        !((percent(status.metadata_used, status.metadata_size) >= threshold &&
           grow(b, pool, TRUE)) ||
          (percent(status.data_used, status.data_size) >= threshold && grow(b, pool, FALSE))))
      break;
  }
  warn_of_snapshots(b, pool, &status);
  warn_if_fuller(b, pool, "metadata", percent(status.metadata_used, status.metadata_size),
                 &pool->metadata_warned);
  warn_if_fuller(b, pool, "data", percent(status.data_used, status.data_size), &pool->data_warned);
}

void bundled_watch(Bundled *b)
{
  GHashTableIter iter;
  gpointer pool;

  bundled_lock(b);
  g_hash_table_iter_init(&iter, b->pools);
  while (g_hash_table_iter_next(&iter, NULL, &pool))
    if (((BundledPool *)pool)->thin)
      watch_one(b, pool);
  bundled_unlock(b);
}

/* Under BundledVolume.lock, so Bundled.lock is not waited for: who has it may wait for the
 * other. */
gboolean bundled_make_room(BundledVolume *volume, guint n_growths, gboolean *busy)
{
  BundledPool *pool = volume->pool;
  Bundled *b = volume->owner;
  ThinStatus status;
  gboolean grown;

  *busy = pthread_mutex_trylock(&b->lock) != 0;
  if (*busy)
    return TRUE; /* it may be growing */
  thin_pool_get_status(pool->thin, &status);
  grown =
      (guint)g_atomic_int_get(&pool->n_growths) != n_growths ||
      (grows_by_itself(b) && ((status.mode == THIN_MODE_OUT_OF_METADATA && grow(b, pool, TRUE)) ||
                              (status.mode == THIN_MODE_OUT_OF_DATA && grow(b, pool, FALSE))));
  bundled_unlock(b);
  return grown;
}

gboolean bundled_make_metadata_room(Bundled *b, BundledPool *pool, guint64 blocks)
{
  gboolean grown = FALSE;

  while (!thin_pool_has_room(pool->thin, blocks)) {
    if (!grows_by_itself(b) || !grow(b, pool, TRUE))
      break;
    grown = TRUE;
  }
  return grown;
}
