/* virt-thin - the bundled pool: checking a thin pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/bundled/bundled-private.h"

#include <string.h>

#include "pool/devices.h"
#include "pool/health.h"
#include "pool/rules.h"
#include "pool/usage.h"

/* Its metadata, to be read, though the pool may be refused; give it back with end_reading(). */
static ThinPool *begin_reading(Bundled *b, BundledPool *pool, GError **error)
{
  const ThinOptions options = {
      .read_only = TRUE,
      .block_cache = 4u << 20,
      .translations = 1024,
      .chunk_size = lvm_pool_chunk_size(lvm_vg_find_lv(lvm_store_vg(b->store), pool->name))};

  if (pool->thin)
    return pool->thin;
  if (pool->data)
    return thin_pool_open(pool->metadata, pool->data, &options, error);
  g_propagate_error(error, g_error_copy(pool->refused));
  return NULL;
}

static void end_reading(BundledPool *pool, ThinPool *thin)
{
  if (thin && thin != pool->thin)
    thin_pool_close(thin, NULL);
}

gboolean bundled_require_empty(Bundled *b, BundledPool *pool, GError **error)
{
  LvmVg *vg = lvm_store_vg(b->store);
  g_autoptr(GError) failure = NULL;
  ThinPool *thin = begin_reading(b, pool, &failure);
  g_autoptr(GArray) devices = thin ? thin_pool_list_devices(thin, &failure) : NULL;
  ThinStatus status;

  if (thin)
    thin_pool_get_status(thin, &status);
  end_reading(pool, thin);
  if (devices)
    return pool_devices_check_removal(vg, lvm_vg_find_lv(vg, pool->name), status.transaction_id,
                                      devices, error);
  return pool_devices_unknown(b->vg_name, pool->name, failure, error);
}

static guint64 data_size(Bundled *b, BundledPool *pool)
{
  guint64 size;

  bundled_lock(b);
  size = pool->data ? vt_io_size(pool->data)
                    : lvm_lv_size(lvm_vg_find_lv(lvm_store_vg(b->store), pool->name));
  bundled_unlock(b);
  return size;
}

/* A pool in use is read while it goes on. A commit or two in the middle of that may free what is
 * being read; then the errors mean nothing. When it grows its data does so before its superblock
 * says so: the size is asked for after that has been read. */
static gboolean check_metadata(Bundled *b, BundledPool *pool, const PoolCheckOptions *how,
                               ThinReport **report, GError **error)
{
  const ThinCheckOptions options = {how->quick, how->progress, how->data};
  VtIo *metadata = pool->metadata;
  g_autofree guint8 *before = g_malloc(THIN_METADATA_BLOCK), *after = g_malloc(THIN_METADATA_BLOCK);

  *report = NULL;
  for (guint i = 0; i < 10; i++) {
    g_clear_pointer(report, thin_report_free);
    if (!vt_io_read(metadata, before, THIN_METADATA_BLOCK, 0, error))
      return FALSE;
    *report = thin_check_as(metadata, data_size(b, pool), &options, error);
    if (!*report || ((*report)->errors->len == 0 && (*report)->leaks->len == 0))
      return *report != NULL;
    if (!vt_io_read(metadata, after, THIN_METADATA_BLOCK, 0, error))
      return FALSE;
    if (memcmp(before, after, THIN_METADATA_BLOCK) == 0)
      return TRUE;
  }
  return vt_set_error(error, EBUSY,
                      "the pool was changed ten times while it was being checked: check it when "
                      "there is less to do");
}

static gboolean is_unformatted(VtIo *metadata)
{
  static const guint8 zeros[THIN_METADATA_BLOCK];
  g_autofree guint8 *block = g_malloc(THIN_METADATA_BLOCK);

  return vt_io_read(metadata, block, THIN_METADATA_BLOCK, 0, NULL) &&
         memcmp(block, zeros, THIN_METADATA_BLOCK) == 0;
}

/* Do VG text and pool speak of the same devices, at the same time? */
static void compare_with_text(Bundled *b, LvmLv *pool_lv, ThinPool *thin, GPtrArray *errors)
{
  g_autoptr(GArray) devices = thin_pool_list_devices(thin, NULL);
  ThinStatus status;
  char *conflict;

  thin_pool_get_status(thin, &status);
  if ((conflict = pool_health_tid_conflict(pool_lv, status.transaction_id)))
    g_ptr_array_add(errors, conflict);
  if (devices)
    pool_devices_compare(lvm_store_vg(b->store), pool_lv, status.transaction_id, devices, errors);
}

static void move_strings(GPtrArray *from, GPtrArray *to)
{
  for (guint i = 0; i < from->len; i++)
    g_ptr_array_add(to, g_strdup(from->pdata[i]));
}

static void check_text(Bundled *b, BundledPool *pool, GPtrArray *errors)
{
  LvmLv *pool_lv = lvm_vg_find_lv(lvm_store_vg(b->store), pool->name);
  ThinPool *thin = begin_reading(b, pool, NULL);

  if (thin)
    compare_with_text(b, pool_lv, thin, errors);
  end_reading(pool, thin);
}

/* Called without the lock, @pool held. */
static gboolean check_pool(Bundled *b, BundledPool *pool, const PoolCheckOptions *options,
                           GPtrArray *errors, GPtrArray *leaks, GError **error)
{
  g_autoptr(ThinReport) report = NULL;

  bundled_lock(b);
  /* Damaged copies of label and text that another made up for. */
  for (const char *const *warning = lvm_store_warnings(b->store); warning && *warning; warning++)
    g_ptr_array_add(errors, g_strdup(*warning));
  bundled_unlock(b);
  if (!pool->metadata && pool->refused->code == EOPNOTSUPP)
    return g_propagate_error(error, g_error_copy(pool->refused)), FALSE;
  if (!pool->metadata)
    return TRUE;
  if (!is_unformatted(pool->metadata)) {
    if (!check_metadata(b, pool, options, &report, error))
      return FALSE;
    move_strings(report->errors, errors);
    move_strings(report->leaks, leaks);
    bundled_lock(b);
    if (b->read_only && !options->quick)
      bundled_pool_note_damage(pool, report);
    bundled_unlock(b);
  } else if (pool->refused) { /* it was not always so */
    return TRUE;
  }
  bundled_lock(b);
  check_text(b, pool, errors);
  bundled_unlock(b);
  return TRUE;
}

gboolean bundled_check(VolumeGroup *group, const char *thin_pool, const PoolCheckOptions *options,
                       GPtrArray **errors, GPtrArray **leaks, GError **error)
{
  Bundled *b = (Bundled *)group;
  g_autoptr(GPtrArray) e = g_ptr_array_new_with_free_func(g_free),
                       l = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *health = NULL;
  BundledPool *p = bundled_pool_borrow(b, thin_pool, error);
  gboolean ok = FALSE;

  if (p) {
    ok = check_pool(b, p, options, e, l, error);
    bundled_lock(b);
    health = options->quick ? bundled_pool_health_quickly(b, p) : bundled_pool_health(b, p);
    bundled_unlock(b);
    pool_health_add(health, e);
    bundled_pool_give_back(b, p);
  }
  if (!ok)
    return pool_rules_failed(POOL_CHECKING, b->vg_name, thin_pool, error);
  *errors = g_steal_pointer(&e);
  *leaks = g_steal_pointer(&l);
  return TRUE;
}

gboolean bundled_read_metadata(VolumeGroup *group, const char *thin_pool, PoolMetadataFunc func,
                               gpointer data, GError **error)
{
  Bundled *b = (Bundled *)group;
  BundledPool *p = bundled_pool_borrow(b, thin_pool, error);
  gboolean ok = FALSE;

  if (!p)
    return FALSE;
  if (p->metadata)
    ok = func(p->metadata, 0, data, error);
  else
    g_propagate_error(error, g_error_copy(p->refused));
  bundled_pool_give_back(b, p);
  return ok;
}

/* --- who uses it --- */

#define USAGE_ATTEMPTS 3

/* As the last commit left it; @unchanged: no other came in between, so all is of one moment. */
static gboolean read_usage(VtIo *metadata, PoolUsage *usage, gboolean *unchanged, GError **error)
{
  g_autofree guint8 *before = g_malloc(THIN_METADATA_BLOCK), *after = g_malloc(THIN_METADATA_BLOCK);
  gboolean ok;

  if (!vt_io_read(metadata, before, THIN_METADATA_BLOCK, 0, error))
    return FALSE;
  ok = pool_usage_read(metadata, 0, usage, error);
  *unchanged = vt_io_read(metadata, after, THIN_METADATA_BLOCK, 0, NULL) &&
               memcmp(before, after, THIN_METADATA_BLOCK) == 0;
  return ok;
}

static gboolean read_still(VtIo *metadata, gpointer data, GError **error)
{
  return pool_usage_read(metadata, 0, data, error);
}

/* A pool in use is read while it goes on; one that commits all the time is held still for it. */
static gboolean count_usage(BundledPool *pool, PoolUsage *usage, GError **error)
{
  for (guint i = 0; i < USAGE_ATTEMPTS; i++) {
    g_autoptr(GError) local = NULL;
    gboolean unchanged = TRUE, ok = read_usage(pool->metadata, usage, &unchanged, &local);

    if (unchanged && !ok)
      g_propagate_error(error, g_steal_pointer(&local));
    if (unchanged)
      return ok;
  }
  return pool->thin ? thin_pool_read_still(pool->thin, read_still, usage, error)
                    : vt_set_error(error, EBUSY, "the pool is changed while it is read");
}

PoolUsage *bundled_usage(VolumeGroup *group, const char *thin_pool, const char *const *chosen,
                         GError **error)
{
  Bundled *b = (Bundled *)group;
  BundledPool *p = bundled_pool_borrow(b, thin_pool, error);
  g_autoptr(PoolUsage) usage = NULL;
  gboolean ok = FALSE;

  if (!p)
    return NULL;
  bundled_lock(b);
  usage = pool_usage_begin(lvm_store_vg(b->store), lvm_vg_find_lv(lvm_store_vg(b->store), p->name),
                           chosen, error);
  bundled_unlock(b);
  if (usage && p->metadata)
    ok = count_usage(p, usage, error);
  else if (usage)
    g_propagate_error(error, g_error_copy(p->refused));
  bundled_pool_give_back(b, p);
  return ok ? g_steal_pointer(&usage) : pool_usage_failed(b->vg_name, thin_pool, error);
}
