/* virt-thin - a volume group as a stream: as a difference to what a volume is sent
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Volumes go by age: an origin before its snapshots. Each is compared with those that went before
 * it and may share something with it, and the one from which least differs is its base. That is
 * known from the metadata, at the cost of the differences. Of many only some are asked.
 */
#include <string.h>

#include "archive/archive-private.h"
#include "image/interrupt.h"

#define MAX_ASKED 24
#define RUNS 4096

static gint by_age(gconstpointer a, gconstpointer b)
{
  const ArchiveVolume *x = *(ArchiveVolume *const *)a, *y = *(ArchiveVolume *const *)b;
  gint pool = g_strcmp0(x->pool, y->pool);

  if (pool)
    return pool;
  if (x->transaction_id != y->transaction_id)
    return x->transaction_id < y->transaction_id ? -1 : 1;
  return x->device < y->device ? -1 : x->device > y->device;
}

/* Bytes of @volume that differ from @base; no more is counted than @limit. */
static gboolean count_difference(VolumeGroup *group, const ArchiveVolume *base,
                                 const ArchiveVolume *volume, guint64 limit, guint64 *bytes,
                                 GError **error)
{
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(PoolDeltaRun));
  guint64 offset = 0;

  *bytes = 0;
  while (offset != G_MAXUINT64 && *bytes < limit) {
    g_array_set_size(runs, 0);
    if (!image_check_interrupt(error) ||
        !pool_delta(group, base ? base->read : NULL, volume->read, 0, &offset, RUNS, runs, error))
      return FALSE;
    for (guint i = 0; i < runs->len; i++) {
      const PoolDeltaRun *run = &g_array_index(runs, PoolDeltaRun, i);

      if (run->kind != POOL_DELTA_LEFT_ONLY)
        *bytes += run->length;
    }
  }
  return TRUE;
}

/* The first of the line that @name comes from, as far as the text knows it. */
static const char *ancestor(LvmVg *vg, const char *name)
{
  for (guint i = 0; i < 1000; i++) {
    LvmLv *lv = lvm_vg_find_lv(vg, name);
    const char *origin = lv ? lvm_thin_origin(lv) : NULL;

    if (!origin || !lvm_vg_find_lv(vg, origin))
      break;
    name = origin;
  }
  return name;
}

static gboolean is_related(ArchiveSource *source, const ArchiveVolume *a, const ArchiveVolume *b)
{
  return strcmp(ancestor(source->vg, a->name), ancestor(source->vg, b->name)) == 0;
}

/* One whose origin is gone may share all the same. */
static gboolean shares(ArchiveSource *source, const ArchiveVolume *volume)
{
  guint64 exclusive, shared = 0;

  return pool_count_volume(source->group, volume->read, &exclusive, &shared, NULL) && shared > 0;
}

static gboolean choose_base(ArchiveSource *source, guint index, GError **error)
{
  ArchiveVolume *volume = source->volumes->pdata[index];
  gboolean any = FALSE;
  guint asked = 0;

  if (!count_difference(source->group, NULL, volume, G_MAXUINT64, &volume->data, error))
    return FALSE;
  for (guint pass = 0; pass < 2 && !any && volume->data; pass++) {
    if (pass && !shares(source, volume))
      break;
    for (guint i = index; i-- > 0 && asked < MAX_ASKED;) {
      const ArchiveVolume *base = source->volumes->pdata[i];
      guint64 bytes;

      if (g_strcmp0(base->pool, volume->pool) != 0)
        break;
      if (pass == 0 && !is_related(source, base, volume))
        continue;
      any = TRUE;
      asked++;
      if (!count_difference(source->group, base, volume, volume->data, &bytes, error))
        return FALSE;
      if (bytes < volume->data) {
        volume->data = bytes;
        volume->base = (gint)i;
      }
    }
  }
  return TRUE;
}

gboolean archive_choose_bases(ArchiveSource *source, GError **error)
{
  g_ptr_array_sort(source->volumes, by_age);
  for (guint i = 0; i < source->volumes->len; i++)
    if (((ArchiveVolume *)source->volumes->pdata[i])->pool && !choose_base(source, i, error))
      return FALSE;
  return TRUE;
}
