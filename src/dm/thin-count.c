/* virt-thin - what a thin device uses alone, and together with others
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "dm/thin-reader-private.h"

/* 256 TiB in the smallest chunks; dm-thin's largest metadata maps far less. */
#define CHUNKS_MAX (G_GUINT64_CONSTANT(1) << 32)

enum { MINE = 1, OTHERS = 2 };
#define ALL_MINE 0x55u /* of the four chunks of a byte */

typedef struct {
  DmkReader *reader;
  guint32 id;
  /* Two bits for each chunk, as many as are needed: a metadata snapshot does not say how many
   * chunks there are. */
  GByteArray *owners;
  guint owner;       /* whose map is walked */
  ThinSubtree *seen; /* of the others' maps */
} Count;

static gboolean count_chunk(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  Count *count = walk->data;
  guint64 chunk = THIN_MAPPING_CHUNK(thin_value_u64(value));
  guint old = count->owners->len;

  if (chunk >= CHUNKS_MAX)
    return vt_set_error(error, EBADMSG, "%s: there cannot be a chunk %" G_GUINT64_FORMAT,
                        vt_io_name(walk->io), chunk);
  if (chunk / 4 >= old) {
    g_byte_array_set_size(count->owners, (guint)(chunk / 4 + 1));
    memset(count->owners->data + old, 0, count->owners->len - old);
  }
  count->owners->data[chunk / 4] |= (guint8)(count->owner << chunk % 4 * 2);
  return TRUE;
}

static gboolean count_map(Count *count, guint64 root, GError **error)
{
  ThinWalk walk = dmk_reader_walk(count->reader, count_chunk, count);

  walk.seen = count->owner == OTHERS ? count->seen : NULL;
  return thin_walk(&walk, root, NULL, error);
}

static gboolean count_others(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  Count *count = walk->data;

  return key == count->id || count_map(count, thin_value_u64(value), error);
}

static gboolean count_all(Count *count, GError **error)
{
  DmkReader *reader = count->reader;
  ThinWalk top = dmk_reader_walk(reader, count_others, count);
  guint64 root;

  count->owner = MINE;
  if (!dmk_reader_find_root(reader, count->id, &root, error) || !count_map(count, root, error))
    return FALSE;
  count->owner = OTHERS;
  return thin_walk(&top, GUINT64_FROM_LE(reader->superblock.data_mapping_root), NULL, error);
}

static guint64 count_bits(guint owners)
{
  return (guint64)__builtin_popcount(owners & ALL_MINE);
}

gboolean dmk_reader_count(DmkReader *reader, guint32 id, guint64 *exclusive, guint64 *shared,
                          GError **error)
{
  g_autoptr(GByteArray) owners = g_byte_array_new();
  g_autofree ThinSubtree *seen = g_new0(ThinSubtree, reader->n_blocks);
  Count count = {reader, id, owners, MINE, seen};

  if (!count_all(&count, error))
    return FALSE;
  *exclusive = *shared = 0;
  for (guint i = 0; i < owners->len; i++) {
    guint mine = owners->data[i], others = mine >> 1;

    *exclusive += count_bits(mine & ~others) * reader->chunk_size;
    *shared += count_bits(mine & others) * reader->chunk_size;
  }
  return TRUE;
}
