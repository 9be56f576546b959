/* virt-thin - how two volumes differ: what is the same whoever reads the maps
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "pool/delta.h"
#include "pool/pool-private.h"
#include "pool/rules.h"

#define RUNS_PER_STEP 4096

LvmLv *pool_delta_find(PoolDeltaRequest *request, LvmVg *vg, GError **error)
{
  LvmLv *left = request->left ? pool_rules_find_thin(vg, request->left, error) : NULL;
  LvmLv *right = left || !request->left ? pool_rules_find_thin(vg, request->right, error) : NULL;

  if (!right)
    return NULL;
  if (left && strcmp(lvm_thin_pool(left), lvm_thin_pool(right)) != 0) {
    vt_set_error(error, EINVAL,
                 "one is in thin pool %s, the other in %s: what they have in common "
                 "is known within a pool only",
                 lvm_thin_pool(left), lvm_thin_pool(right));
    return NULL;
  }
  request->left_id = left ? (gint64)lvm_thin_device(left) : -1;
  request->left_size = left ? lvm_lv_size(left) : 0;
  request->right_id = lvm_thin_device(right);
  request->right_size = lvm_lv_size(right);
  return pool_rules_find_pool(vg, lvm_thin_pool(right), error);
}

/* A part of the two volumes, within which both have an end, or one has. */
typedef struct {
  gint64 left, right; /* thin devices; -1: an empty map */
  guint64 begin, end;
} Part;

static void take(GArray *runs, const ThinDeltaRun *found, const Part *part)
{
  guint64 begin = MAX(found->offset, part->begin),
          end = MIN(found->offset + found->length, part->end);
  PoolDeltaRun run = {begin, end - begin, (PoolDeltaKind)found->kind};

  if (begin < end)
    pool_delta_add(runs, &run);
}

/* From *offset to the end of @part, or until the answer has @full runs, or as far as @func goes: a
 * long run must not take whoever wants its beginning through all of it. */
static gboolean compare_part(PoolDeltaRequest *request, const Part *part, guint full,
                             PoolDeltaFunc func, gpointer data, GError **error)
{
  g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(ThinDeltaRun));

  while (*request->offset < part->end && request->runs->len < full) {
    ThinDelta delta = {.offset = *request->offset,
                       .end = part->end,
                       .with_same = (request->flags & POOL_DELTA_WITH_SAME) != 0,
                       .max = MIN(full - request->runs->len, RUNS_PER_STEP),
                       .runs = found};

    g_array_set_size(found, 0);
    if (!func(part->left, part->right, &delta, data, error))
      return FALSE;
    for (guint i = 0; i < found->len; i++)
      take(request->runs, &g_array_index(found, ThinDeltaRun, i), part);
    *request->offset = MAX(delta.offset, part->begin);
    if (found->len < delta.max)
      break;
  }
  return TRUE;
}

/* Behind its end a volume counts as empty: the kernel leaves mapped what lay there before one was
 * made smaller, and a snapshot that was taken before still shows it. */
gboolean pool_delta_compare(PoolDeltaRequest *request, PoolDeltaFunc func, gpointer data,
                            GError **error)
{
  guint64 common = MIN(request->left_size, request->right_size),
          end = MAX(request->left_size, request->right_size);
  Part both = {request->left_id, request->right_id, 0, common},
       one = {request->left_size == end ? request->left_id : -1,
              request->right_size == end ? request->right_id : -1, common, end};
  guint full = request->runs->len + request->max;

  if (!compare_part(request, &both, full, func, data, error))
    return FALSE;
  if (*request->offset >= common && !compare_part(request, &one, full, func, data, error))
    return FALSE;
  if (*request->offset >= end)
    *request->offset = G_MAXUINT64;
  return TRUE;
}

gboolean pool_delta_failed(const PoolDeltaRequest *request, const char *vg, GError **error)
{
  if (request->left)
    g_prefix_error(error, "cannot compare volumes %s/%s and %s/%s: ", vg, request->left, vg,
                   request->right);
  else
    g_prefix_error(error, "cannot read the map of volume %s/%s: ", vg, request->right);
  return FALSE;
}
