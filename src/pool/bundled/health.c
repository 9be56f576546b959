/* virt-thin - how a thin pool of the bundled engine's is
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/bundled/bundled-private.h"
#include "pool/health.h"

ThinStatus bundled_pool_status(BundledPool *pool)
{
  ThinStatus status = pool->status;

  if (pool->thin)
    thin_pool_get_status(pool->thin, &status);
  return status;
}

static const char *describe_room(const ThinStatus *status)
{
  switch (status->mode) {
  case THIN_MODE_OUT_OF_DATA: return POOL_HEALTH_NO_DATA;
  case THIN_MODE_OUT_OF_METADATA: return POOL_HEALTH_NO_METADATA;
  case THIN_MODE_OUT_OF_ROOM: return POOL_HEALTH_NO_ROOM;
  default: /* opened read-only, a full pool is no less full */
    return status->data_size && status->data_used >= status->data_size ? POOL_HEALTH_NO_DATA : NULL;
  }
}

/* Why nothing that it says of itself counts. */
static GError *find_failure(Bundled *b, BundledPool *pool)
{
  GError *lost = NULL;

  if (pool->refused)
    return g_error_copy(pool->refused);
  if (!vt_io_check(pool->data, &lost) || !vt_io_check(pool->metadata, &lost))
    return lost;
  return g_atomic_int_get(&b->lost) && b->stuck ? g_error_copy(b->stuck) : NULL;
}

static char *describe_trouble(Bundled *b, BundledPool *pool, gboolean look,
                              const ThinStatus *status)
{
  const char *damage = look ? bundled_pool_first_damage(b, pool) : NULL;

  if (damage)
    return g_strdup_printf("the metadata is damaged: %s", damage);
  return status->mode == THIN_MODE_FAILED
             ? g_strdup("a commit failed: nothing is written any more, "
                        "open the volume group again")
             : NULL;
}

static char *find_health(Bundled *b, BundledPool *pool, gboolean look)
{
  ThinStatus status = bundled_pool_status(pool);
  g_autofree char *trouble = describe_trouble(b, pool, look, &status);
  g_autoptr(GError) failure = find_failure(b, pool);
  g_autoptr(GArray) devices = pool->thin ? thin_pool_list_devices(pool->thin, NULL) : NULL;
  const PoolState state = {
      .store = b->store,
      .pool = lvm_vg_find_lv(lvm_store_vg(b->store), pool->name),
      .failure = failure,
      .tid = status.transaction_id,
      .data_size = status.data_size,
      .needs_check = status.needs_check,
      .trouble = trouble,
      .devices = devices,
      .remark = describe_room(&status),
  };

  return pool_health(&state);
}

char *bundled_pool_health(Bundled *b, BundledPool *pool)
{
  return find_health(b, pool, TRUE);
}

char *bundled_pool_health_quickly(Bundled *b, BundledPool *pool)
{
  return find_health(b, pool, FALSE);
}
