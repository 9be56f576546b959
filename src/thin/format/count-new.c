/* virt-thin - how many metadata blocks a map has that others do not have
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin/format/count-new.h"

typedef struct {
  const ThinCountMaps *maps;
  guint8 *seen;
  guint64 *n;
} Count;

static gboolean is_block(const ThinCountMaps *maps, guint64 number, GError **error)
{
  return number < maps->n_blocks ||
         vt_set_error(error, EBADMSG, "%s: there is no metadata block %" G_GUINT64_FORMAT,
                      maps->name, number);
}

gboolean thin_count_read_node(const ThinCountMaps *maps, guint64 number, guint8 *data,
                              GError **error)
{
  const char *fault;

  if (!is_block(maps, number, error) || !maps->read(maps->source, number, data, error))
    return FALSE;
  fault = thin_node_fault(data, sizeof(guint64), TRUE);
  return !fault || vt_set_error(error, EBADMSG, "%s: metadata block %" G_GUINT64_FORMAT " %s",
                                maps->name, number, fault);
}

gboolean thin_count_height(const ThinCountMaps *maps, guint64 root, guint *height, GError **error)
{
  guint64 block[THIN_METADATA_BLOCK / 8], number = root;
  const guint8 *data = (const guint8 *)block;

  for (*height = 0; *height < THIN_BTREE_DEPTH_MAX; (*height)++) {
    if (!thin_count_read_node(maps, number, (guint8 *)block, error))
      return FALSE;
    if (thin_node_is_leaf(data))
      return TRUE;
    number = thin_node_child(data, 0);
  }
  return vt_set_error(error, EBADMSG,
                      "%s: the tree at metadata block %" G_GUINT64_FORMAT
                      " is none, or deeper than any can be",
                      maps->name, root);
}

static gboolean count_nodes(Count *count, guint64 number, guint height, GError **error)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  guint8 *data = (guint8 *)block;

  if (!is_block(count->maps, number, error))
    return FALSE;
  if (count->seen[number / 8] & 1 << number % 8)
    return TRUE;
  count->seen[number / 8] |= (guint8)(1 << number % 8);
  (*count->n)++;
  if (height == 0)
    return TRUE;
  if (!thin_count_read_node(count->maps, number, data, error))
    return FALSE;
  for (guint i = 0; !thin_node_is_leaf(data) && i < thin_node_n(data); i++)
    if (!count_nodes(count, thin_node_child(data, i), height - 1, error))
      return FALSE;
  return TRUE;
}

gboolean thin_count_new(const ThinCountMaps *maps, guint64 root, GByteArray *seen, guint64 *n,
                        GError **error)
{
  guint needed = (guint)(maps->n_blocks / 8 + 1), had = seen->len, height;
  Count count = {maps, NULL, n};

  if (needed > had) {
    g_byte_array_set_size(seen, needed);
    memset(seen->data + had, 0, needed - had);
  }
  count.seen = seen->data;
  *n = 0;
  return thin_count_height(maps, root, &height, error) && count_nodes(&count, root, height, error);
}
