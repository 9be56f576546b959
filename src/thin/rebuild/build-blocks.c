/* virt-thin - metadata made anew: its blocks, and nodes found again
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin/rebuild/build-private.h"

#define PLACES_MIN 1024u

void build_blocks_init(BuildBlocks *blocks, VtIo *to)
{
  guint32 superblock = 1;

  blocks->to = to ? vt_io_ref(to) : NULL;
  blocks->n_blocks = to ? MIN(vt_io_size(to) / THIN_METADATA_BLOCK, THIN_METADATA_BLOCKS_MAX) : 0;
  blocks->next = blocks->first = 1;
  blocks->buffer = g_malloc(BUILD_BUFFER * THIN_METADATA_BLOCK);
  blocks->references = g_array_new(FALSE, TRUE, sizeof(guint32));
  g_array_append_val(blocks->references, superblock);
  blocks->n_places = PLACES_MIN;
  blocks->nodes = g_new0(BuildNode, PLACES_MIN);
}

void build_blocks_clear(BuildBlocks *blocks)
{
  g_clear_pointer(&blocks->to, vt_io_unref);
  g_clear_pointer(&blocks->buffer, g_free);
  g_clear_pointer(&blocks->references, g_array_unref);
  g_clear_pointer(&blocks->nodes, g_free);
}

/* --- writing ------------------------------------------------------------------------ */

/* From here on what was there before is gone; so nobody may find it. */
static gboolean begin(BuildBlocks *blocks, GError **error)
{
  guint64 zero[THIN_METADATA_BLOCK / 8] = {0};

  if (blocks->begun)
    return TRUE;
  blocks->begun = TRUE;
  return vt_io_write(blocks->to, zero, sizeof zero, 0, error) && vt_io_flush(blocks->to, error);
}

gboolean build_write_out(BuildBlocks *blocks, GError **error)
{
  guint64 end = MIN(blocks->next, blocks->n_blocks);
  guint32 first = blocks->first;

  blocks->first = blocks->next;
  if (end <= first)
    return TRUE;
  return begin(blocks, error) &&
         vt_io_write(blocks->to, blocks->buffer, (end - first) * THIN_METADATA_BLOCK,
                     (guint64)first * THIN_METADATA_BLOCK, error);
}

gboolean build_set_no_room(GError **error)
{
  return vt_set_error(error, ENOSPC, "this takes more metadata than the format allows: 15.9 GiB");
}

gboolean build_put(BuildBlocks *blocks, guint8 *data, ThinKind kind, guint32 *block, GError **error)
{
  guint32 none = 0;

  if (blocks->next > BUILD_BLOCKS_MAX)
    return build_set_no_room(error);
  if (blocks->next - blocks->first == BUILD_BUFFER && !build_write_out(blocks, error))
    return FALSE;
  *block = blocks->next++;
  thin_block_seal(data, *block, kind);
  memcpy(blocks->buffer + (gsize)(*block - blocks->first) * THIN_METADATA_BLOCK, data,
         THIN_METADATA_BLOCK);
  g_array_append_val(blocks->references, none);
  return TRUE;
}

/* What was written a moment ago is read back from the buffer. */
gboolean build_read(BuildBlocks *blocks, guint32 block, guint8 *data, GError **error)
{
  if (block >= blocks->first) {
    memcpy(data, blocks->buffer + (gsize)(block - blocks->first) * THIN_METADATA_BLOCK,
           THIN_METADATA_BLOCK);
    return TRUE;
  }
  return block < blocks->n_blocks && vt_io_read(blocks->to, data, THIN_METADATA_BLOCK,
                                                (guint64)block * THIN_METADATA_BLOCK, error);
}

/* --- nodes found again -------------------------------------------------------------- */

/* Of all but number and checksum. Not against an adversary: what is found is compared. */
static guint64 digest_of(const guint8 *data)
{
  const guint64 *words = (const guint64 *)(gconstpointer)data;
  guint64 digest = ((const ThinDiskHeader *)(gconstpointer)data)->flags;

  for (guint i = 2; i < THIN_METADATA_BLOCK / 8; i++) {
    digest = (digest ^ words[i]) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
    digest ^= digest >> 29;
  }
  return digest;
}

/* Of two blocks; the second may be nowhere, then their digests say enough to count by. */
static gboolean is_same(BuildBlocks *blocks, const guint8 *data, guint32 block, gboolean *same,
                        GError **error)
{
  guint64 block_of[THIN_METADATA_BLOCK / 8];
  guint8 *other = (guint8 *)block_of;
  const gsize body = sizeof(ThinDiskHeader);
  GError *fault = NULL;

  *same = TRUE;
  if (build_read(blocks, block, other, &fault))
    *same = thin_node_is_leaf(other) == thin_node_is_leaf(data) &&
            memcmp(data + body, other + body, THIN_METADATA_BLOCK - body) == 0;
  if (fault)
    g_propagate_error(error, fault);
  return !fault;
}

gboolean build_find(BuildBlocks *blocks, const guint8 *data, guint64 *digest, guint32 *block,
                    GError **error)
{
  guint64 mask = blocks->n_places - 1;

  *digest = digest_of(data);
  *block = 0;
  for (guint64 i = *digest & mask; blocks->nodes[i].block && !*block; i = (i + 1) & mask) {
    gboolean same = FALSE;

    if (blocks->nodes[i].digest == *digest &&
        !is_same(blocks, data, blocks->nodes[i].block, &same, error))
      return FALSE;
    if (same)
      *block = blocks->nodes[i].block;
  }
  return TRUE;
}

static void place(BuildBlocks *blocks, const BuildNode *node)
{
  guint64 mask = blocks->n_places - 1, i = node->digest & mask;

  while (blocks->nodes[i].block)
    i = (i + 1) & mask;
  blocks->nodes[i] = *node;
}

void build_remember(BuildBlocks *blocks, guint64 digest, guint32 block)
{
  if (++blocks->n_nodes > blocks->n_places / 4 * 3) {
    g_autofree BuildNode *old = blocks->nodes;
    guint64 n = blocks->n_places;

    blocks->n_places *= 2;
    blocks->nodes = g_new0(BuildNode, blocks->n_places);
    for (guint64 i = 0; i < n; i++)
      if (old[i].block)
        place(blocks, &old[i]);
  }
  place(blocks, &(BuildNode){digest, block});
}
