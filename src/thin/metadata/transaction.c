/* virt-thin - the transaction manager: new blocks, and shadows of old ones
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin/metadata/transaction.h"

static gboolean writable(ThinTm *tm, GError **error)
{
  return tm->map || vt_set_error(error, EROFS, "the thin metadata is open to be read only");
}

ThinBlock *thin_tm_new_block(ThinTm *tm, ThinKind kind, GError **error)
{
  guint64 number;
  if (!writable(tm, error) || !thin_metadata_map_alloc(tm->map, &number, error))
    return NULL;
  return thin_cache_get_zeroed(tm->cache, number, kind, error);
}

ThinBlock *thin_tm_shadow(ThinTm *tm, guint64 number, ThinKind kind, ThinShadow *shadow,
                          GError **error)
{
  *shadow = THIN_SHADOW_OWN;
  if (!writable(tm, error))
    return NULL;
  g_autoptr(ThinBlock) old = thin_cache_get(tm->cache, number, kind, error);
  if (!old)
    return NULL;
  guint32 count = thin_metadata_map_count(tm->map, number);
  if (count == 1 && thin_metadata_map_is_new(tm->map, number)) {
    thin_cache_dirty(tm->cache, old);
    return g_steal_pointer(&old);
  }

  ThinBlock *copy = thin_tm_new_block(tm, kind, error);
  if (!copy)
    return NULL;
  memcpy(copy->data, old->data, THIN_METADATA_BLOCK);
  if (!thin_metadata_map_dec(tm->map, number, &count, error)) {
    thin_block_put(copy);
    return NULL;
  }
  if (count > 0)
    *shadow = THIN_SHADOW_SHARED;
  else if (thin_metadata_map_fell(tm->map, number))
    *shadow = THIN_SHADOW_FELL;
  return copy;
}

gboolean thin_tm_inc(ThinTm *tm, guint64 number, GError **error)
{
  return writable(tm, error) && thin_metadata_map_inc(tm->map, number, error);
}

gboolean thin_tm_dec(ThinTm *tm, guint64 number, guint32 *left, GError **error)
{
  guint32 count;
  if (!writable(tm, error) || !thin_metadata_map_dec(tm->map, number, &count, error))
    return FALSE;
  if (count == 0)
    thin_cache_forget(tm->cache, number);
  if (left)
    *left = count;
  return TRUE;
}

guint32 thin_tm_count(ThinTm *tm, guint64 number)
{
  return tm->map ? thin_metadata_map_count(tm->map, number) : G_MAXUINT32;
}

gboolean thin_tm_is_shared(ThinTm *tm, guint64 number)
{
  return !tm->map || thin_metadata_map_count(tm->map, number) > 1 ||
         thin_metadata_map_fell(tm->map, number);
}
