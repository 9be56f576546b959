/* virt-thin - mending a thin pool: where metadata without a superblock begins
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <errno.h>

#include "pool/repair/repair-private.h"
#include "thin/rebuild/roots.h"

#define PAIRS_MAX 4 /* that are told of */
#define SHOWN 8     /* devices, of one */

static void tell_devices(const ThinRootPair *roots, GString *text)
{
  g_string_append_printf(text, "%u thin device%s", roots->devices->len,
                         roots->devices->len == 1 ? "" : "s");
  for (guint i = 0; i < roots->devices->len && i < SHOWN; i++)
    g_string_append_printf(text, "%s %u", i ? "," : ":",
                           g_array_index(roots->devices, ThinRootDevice, i).details.id);
  if (roots->devices->len > SHOWN)
    g_string_append_printf(text, " and %u more", roots->devices->len - SHOWN);
}

/* "roots 12,13: 3 thin devices: 1, 2, 5, made up to transaction 7; nothing of them is lost" */
static char *describe(const ThinRootPair *roots)
{
  GString *text = g_string_new(NULL);

  g_string_printf(text, "roots %" G_GUINT64_FORMAT ",%" G_GUINT64_FORMAT ": ", roots->mapping_root,
                  roots->details_root);
  tell_devices(roots, text);
  g_string_append_printf(text, ", the last made in transaction %" G_GUINT64_FORMAT "; ",
                         roots->transaction_id);
  if (roots->match == THIN_ROOTS_APART)
    g_string_append(text, "maps and details of different times; ");
  if (roots->losses->len == 0)
    g_string_append(text, "nothing of them is lost");
  else
    g_string_append_printf(text, "%u%s part%s of them cannot be reached", roots->losses->len,
                           roots->more_losses ? " and more" : "",
                           roots->losses->len == 1 ? "" : "s");
  return g_string_free(text, FALSE);
}

/* Details that are lost may have been of a snapshot after which nothing was written: a time after
 * all that is found makes what it shares count as shared. */
static void take(const ThinRootPair *roots, RepairMetadata *found)
{
  gboolean is_exact = roots->match == THIN_ROOTS_EXACT;

  found->roots.mapping_root = roots->mapping_root;
  found->roots.details_root = roots->details_root;
  found->roots.time = MIN(roots->time + !is_exact, THIN_MAPPING_TIME_MAX);
  found->roots.details_older = roots->match == THIN_ROOTS_APART;
  if (!found->roots.transaction_id)
    found->roots.transaction_id = roots->transaction_id;
  found->chosen = describe(roots);
  found->is_older = roots->is_older;
  found->may_be_older = roots->may_be_older;
  found->older_tid = roots->transaction_id;
  found->later_details = roots->later_details;
}

void repair_forget_roots(RepairMetadata *found)
{
  g_clear_pointer(&found->chosen, g_free);
  g_ptr_array_set_size(found->older, 0);
  found->is_older = found->may_be_older = FALSE;
}

gboolean repair_find_roots(VtIo *metadata, GArray *ids, const PoolRepairChoice *choice,
                           RepairMetadata *found, GError **error)
{
  const ThinRootHints hints = {ids ? (const guint32 *)(gpointer)ids->data : NULL,
                               ids ? ids->len : 0};
  g_autoptr(GPtrArray) pairs = NULL;

  if (choice->mapping_root) {
    g_autoptr(ThinRootPair) roots =
        thin_roots_at(metadata, choice->mapping_root, choice->details_root, error);

    if (roots)
      take(roots, found);
    return roots != NULL;
  }
  if (!(pairs = thin_roots_find(metadata, ids ? &hints : NULL, PAIRS_MAX, error)))
    return FALSE;
  take(pairs->pdata[0], found);
  for (guint i = 1; i < pairs->len; i++)
    g_ptr_array_add(found->older, describe(pairs->pdata[i]));
  return TRUE;
}

gboolean repair_find_older(VtIo *metadata, GArray *ids, RepairMetadata *found, GError **error)
{
  const ThinRootHints hints = {ids ? (const guint32 *)(gpointer)ids->data : NULL,
                               ids ? ids->len : 0};
  g_autoptr(GError) failure = NULL;
  g_autoptr(GPtrArray) pairs = thin_roots_find(metadata, ids ? &hints : NULL, PAIRS_MAX, &failure);

  for (guint i = 0; pairs && i < pairs->len; i++)
    if (!((ThinRootPair *)pairs->pdata[i])->is_current)
      g_ptr_array_add(found->older, describe(pairs->pdata[i]));
  if (pairs || failure->code == ENOENT) /* all that is left is the superblock's own */
    return TRUE;
  g_propagate_error(error, g_steal_pointer(&failure));
  return FALSE;
}
