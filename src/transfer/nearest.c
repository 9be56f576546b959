/* virt-thin - which of several volumes of a pool one differs from least
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "transfer/nearest.h"

#include "image/interrupt.h"

#define RUNS 4096

/* *cost: the bytes that @right has otherwise than @left; not counted beyond @most. */
static gboolean compare(VolumeGroup *group, const char *left, const char *right, guint64 most,
                        guint64 *cost, GError **error)
{
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(PoolDeltaRun));
  guint64 offset = 0;

  *cost = 0;
  while (offset != G_MAXUINT64 && *cost < most) {
    g_array_set_size(runs, 0);
    if (!image_check_interrupt(error) ||
        !pool_delta(group, left, right, 0, &offset, RUNS, runs, error))
      return FALSE;
    for (guint i = 0; i < runs->len; i++) {
      const PoolDeltaRun *run = &g_array_index(runs, PoolDeltaRun, i);

      if (run->kind != POOL_DELTA_LEFT_ONLY)
        *cost += run->length;
    }
  }
  return TRUE;
}

gboolean transfer_nearest(VolumeGroup *group, const GPtrArray *candidates, const char *volume,
                          guint *which, guint64 *cost, GError **error)
{
  *cost = G_MAXUINT64;
  for (guint i = 0; i<candidates->len && * cost> 0; i++) {
    guint64 its;

    if (!compare(group, candidates->pdata[i], volume, *cost, &its, error))
      return FALSE;
    if (its < *cost) {
      *cost = its;
      *which = i;
    }
  }
  return TRUE;
}
