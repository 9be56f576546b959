/* virt-thin - the bundled pool: for how many more snapshots its metadata has room
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/bundled/bundled-private.h"

static gboolean count_new(gpointer thin, guint32 id, GByteArray *seen, guint64 *n, GError **error)
{
  return thin_pool_count_new_blocks(thin, id, seen, n, error);
}

/* Damage is told elsewhere. */
void bundled_forecast(Bundled *b, BundledPool *pool)
{
  LvmVg *vg = lvm_store_vg(b->store);

  if (pool->forecast_known && pool->forecast_seqno == lvm_vg_seqno(vg))
    return;
  pool->forecast_known = TRUE;
  pool->forecast_seqno = lvm_vg_seqno(vg);
  pool_forecast(&pool->forecast, vg, pool->name, count_new, pool->thin, NULL);
}
