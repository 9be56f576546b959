/* virt-thin - a volume group as a stream: as a difference to what a volume is sent
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Volumes go by age: an origin before its snapshots. Each is compared with those that went before
 * it and may share something with it, and the one from which least differs is its base. Of many
 * only some are asked.
 */
#include <string.h>

#include "archive/archive-private.h"
#include "transfer/nearest.h"

#define MAX_ASKED 24

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

/* Numbers of those before number @index in its pool, the latest first. */
static GArray *find_earlier(ArchiveSource *source, guint index, gboolean related)
{
  const ArchiveVolume *volume = source->volumes->pdata[index];
  GArray *earlier = g_array_new(FALSE, FALSE, sizeof(guint));

  for (guint i = index; i-- > 0 && earlier->len < MAX_ASKED;) {
    const ArchiveVolume *other = source->volumes->pdata[i];

    if (g_strcmp0(other->pool, volume->pool) != 0)
      break;
    if (!related || is_related(source, other, volume))
      g_array_append_val(earlier, i);
  }
  return earlier;
}

static gboolean choose_base(ArchiveSource *source, guint index, GError **error)
{
  ArchiveVolume *volume = source->volumes->pdata[index];
  g_autoptr(GArray) earlier = find_earlier(source, index, TRUE);
  g_autoptr(GPtrArray) candidates = g_ptr_array_new();
  guint which = 0;

  if (earlier->len == 0 && shares(source, volume)) {
    g_array_unref(earlier);
    earlier = find_earlier(source, index, FALSE);
  }
  g_ptr_array_add(candidates, NULL);
  for (guint i = 0; i < earlier->len; i++)
    g_ptr_array_add(
        candidates,
        ((ArchiveVolume *)source->volumes->pdata[g_array_index(earlier, guint, i)])->read);
  if (!transfer_nearest(source->group, candidates, volume->read, &which, &volume->data, error))
    return FALSE;
  if (which > 0)
    volume->base = (gint)g_array_index(earlier, guint, which - 1);
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
