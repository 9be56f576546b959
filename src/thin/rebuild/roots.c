/* virt-thin - the roots of a pool's metadata, found without its superblock
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "thin/rebuild/roots-private.h"

#define N64 "%" G_GUINT64_FORMAT
#define N_SPARE 8u /* pairs looked at beyond those asked for: a look may change what they are */

void thin_root_pair_free(ThinRootPair *roots)
{
  if (!roots)
    return;
  g_array_unref(roots->devices);
  g_array_unref(roots->losses);
  g_free(roots);
}

static RootsBudget new_budget(const RootsScan *scan)
{
  return (RootsBudget){2 * THIN_ROOTS_DEVICES_MAX, 4 * scan->n_blocks + 65536};
}

/* --- finding --- */

typedef struct {
  RootsPair pair;
  ThinRootPair *roots;
} Found;

static gint compare_found(gconstpointer a, gconstpointer b, gpointer scan)
{
  return roots_compare_pairs(&((const Found *)a)->pair, &((const Found *)b)->pair, scan);
}

static gboolean is_known(const GArray *found, const RootsPair *pair)
{
  for (guint i = 0; i < found->len; i++) {
    const RootsPair *other = &g_array_index(found, Found, i).pair;

    if (other->top == pair->top && other->details == pair->details)
      return TRUE;
  }
  return FALSE;
}

static GArray *describe_pairs(const RootsScan *scan, GArray *pairs, guint max)
{
  GArray *found = g_array_new(FALSE, FALSE, sizeof(Found));
  RootsBudget budget = new_budget(scan);

  for (guint i = 0; i < pairs->len && found->len < max + N_SPARE; i++) {
    Found next = {g_array_index(pairs, RootsPair, i), NULL};

    if (!is_known(found, &next.pair) && (next.roots = roots_describe(scan, &next.pair, &budget)))
      g_array_append_val(found, next);
  }
  g_array_sort_with_data(found, compare_found, (gpointer)scan);
  return found;
}

GPtrArray *thin_roots_find(VtIo *metadata, const ThinRootHints *hints, guint max, GError **error)
{
  g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)thin_root_pair_free);
  g_auto(RootsScan) scan = {0};
  g_autoptr(GArray) pairs = NULL, found = NULL;

  if (!roots_scan(&scan, metadata, error))
    return NULL;
  pairs = roots_pairs(&scan, hints);
  found = describe_pairs(&scan, pairs, MAX(max, 1));
  for (guint i = 0; i < found->len; i++)
    g_ptr_array_add(all, g_array_index(found, Found, i).roots);
  if (all->len == 0) {
    vt_set_error(error, ENOENT,
                 "%s: no roots of thin metadata are left in any of its " N64 " blocks",
                 vt_io_name(metadata), scan.n_blocks);
    return NULL;
  }
  g_ptr_array_set_size(all, (gint)MIN(all->len, MAX(max, 1)));
  return g_steal_pointer(&all);
}

ThinRootPair *thin_roots_at(VtIo *metadata, guint64 mapping_root, guint64 details_root,
                            GError **error)
{
  RootsPair pair = {.top = mapping_root, .details = details_root};
  g_auto(RootsScan) scan = {0};
  RootsBudget budget;
  ThinRootPair *roots;

  if (!roots_scan(&scan, metadata, error))
    return NULL;
  if (mapping_root == 0 || mapping_root >= scan.n_blocks ||
      scan.nodes[mapping_root].kind != ROOTS_MAPS || !scan.tops[mapping_root].is_one) {
    vt_set_error(error, EBADMSG, "%s: metadata block " N64 " is no root of the devices' maps",
                 vt_io_name(metadata), mapping_root);
    return NULL;
  }
  if (details_root >= scan.n_blocks ||
      (details_root && scan.nodes[details_root].kind != ROOTS_DETAILS)) {
    vt_set_error(error, EBADMSG, "%s: metadata block " N64 " is no root of the devices' details",
                 vt_io_name(metadata), details_root);
    return NULL;
  }
  budget = new_budget(&scan);
  if (!(roots = roots_describe(&scan, &pair, &budget)))
    vt_set_error(error, EBADMSG, "%s: there are too many devices in it", vt_io_name(metadata));
  return roots;
}

/* --- answers --- */

const ThinRootDevice *thin_root_pair_device(const ThinRootPair *roots, guint32 id)
{
  guint low = 0, high = roots->devices->len;

  while (low < high) {
    guint middle = low + (high - low) / 2;
    const ThinRootDevice *device = &g_array_index(roots->devices, ThinRootDevice, middle);

    if (device->details.id == id)
      return device;
    if (device->details.id < id)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

char *thin_root_loss_text(const ThinRootLoss *loss)
{
  if (loss->first != loss->last)
    return g_strdup_printf("thin devices %u to %u: %s", loss->first, loss->last, loss->reason);
  if (loss->begin == 0 && loss->end == G_MAXUINT64)
    return g_strdup_printf("thin device %u: %s", loss->first, loss->reason);
  if (loss->end == G_MAXUINT64)
    return g_strdup_printf("thin device %u: virtual chunks " N64 " to the end: %s", loss->first,
                           loss->begin, loss->reason);
  return g_strdup_printf("thin device %u: virtual chunks " N64 " to " N64 ": %s", loss->first,
                         loss->begin, loss->end - 1, loss->reason);
}
