/* virt-thin - metadata written anew from damaged metadata: the maps
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * First each map is looked at, from the leaves up: a node is whole when it can be a node of a map
 * and all its children are whole; then it is copied. Each block is looked at once, however many
 * maps it is part of. Then each device takes the copy of its root; or where that is not whole, the
 * largest whole parts as they are, and the mappings around damage one by one.
 */
#include "config.h"
#include "thin/rebuild/rebuild-private.h"

/* --- what was lost ------------------------------------------------------------------ */

static guint64 to_bytes(const Rebuild *rebuild, guint64 chunks)
{
  guint64 size = rebuild->build->facts.chunk_size;

  return chunks > G_MAXUINT64 / size ? G_MAXUINT64 : chunks * size;
}

void rebuild_lose(Rebuild *rebuild, guint64 lower, guint64 upper)
{
  GArray *lost = rebuild->lost;
  ThinLost *last = lost->len ? &g_array_index(lost, ThinLost, lost->len - 1) : NULL;
  ThinLost range = {rebuild->build->device.id, to_bytes(rebuild, lower), G_MAXUINT64};

  if (upper != G_MAXUINT64)
    range.length = to_bytes(rebuild, upper - lower);
  if (!last || last->device != range.device || last->length == G_MAXUINT64 ||
      last->offset + last->length != range.offset)
    g_array_append_val(lost, range);
  else
    last->length =
        range.length > G_MAXUINT64 - last->length ? G_MAXUINT64 : last->length + range.length;
}

/* --- looking ------------------------------------------------------------------------ */

/* Whatever keeps a block from being read or from being a node, what it held is lost. */
static gboolean read_node(Rebuild *rebuild, guint64 number, guint8 *data)
{
  return number > 0 && number < rebuild->n_blocks &&
         thin_block_read(rebuild->from, number, THIN_KIND_NODE, data, NULL) &&
         thin_node_value_size(data) == sizeof(guint64);
}

static gboolean is_mapping(const Rebuild *rebuild, guint64 mapping)
{
  return THIN_MAPPING_CHUNK(mapping) < rebuild->build->facts.n_chunks;
}

static gboolean look_at_leaf(Rebuild *rebuild, const guint8 *data, Part *part)
{
  gboolean whole = TRUE;

  for (guint i = 0; i < part->n; i++) {
    guint64 mapping = thin_node_child(data, i);

    if (is_mapping(rebuild, mapping))
      rebuild->time = MAX(rebuild->time, THIN_MAPPING_TIME(mapping));
    else
      whole = FALSE;
  }
  part->n_mapped = part->n;
  return whole;
}

static gboolean is_full_enough(const Part *part)
{
  return part->n >= THIN_NODE_MAX(sizeof(guint64)) / 3;
}

static gboolean is_within(const Part *part, guint64 lower, guint64 upper)
{
  return part->first <= part->last && part->first >= lower && part->last < upper;
}

static gboolean look(Rebuild *rebuild, guint64 number, guint depth, Part *part, GError **error);

/* The pointers in @data become those of the copies. */
static gboolean look_at_children(Rebuild *rebuild, guint8 *data, guint depth, Part *part,
                                 gboolean *whole, GError **error)
{
  for (guint i = 0; i < part->n; i++) {
    guint64 upper = i + 1u < part->n ? thin_node_key(data, i + 1) : G_MAXUINT64;
    Part child;

    if (!look(rebuild, thin_node_child(data, i), depth + 1, &child, error))
      return FALSE;
    *whole = *whole && child.state == PART_WHOLE && is_full_enough(&child) &&
             is_within(&child, thin_node_key(data, i), upper) &&
             (i == 0 || child.level + 1 == part->level);
    part->level = child.level + 1;
    part->n_mapped += child.n_mapped;
    part->last = MAX(part->last, child.last);
    thin_node_set_child(data, i, child.block);
  }
  return TRUE;
}

/* Places that are not used hold junk, which would make equal nodes differ. */
static gboolean copy_node(Rebuild *rebuild, const guint8 *data, guint32 *block, GError **error)
{
  guint64 copy_of[THIN_METADATA_BLOCK / 8] = {0};
  guint8 *copy = (guint8 *)copy_of;
  guint n = thin_node_n(data);

  thin_node_init(copy, thin_node_is_leaf(data), sizeof(guint64));
  memcpy(thin_node_keys(copy), thin_node_keys(data), n * sizeof(guint64));
  memcpy(thin_node_value(copy, 0), thin_node_value(data, 0), n * sizeof(guint64));
  thin_node_set_n(copy, n);
  return build_tree_put(&rebuild->build->map, copy, block, error);
}

static gboolean look_into(Rebuild *rebuild, guint8 *data, guint depth, Part *part, GError **error)
{
  guint n = thin_node_n(data);
  gboolean whole = TRUE;

  part->n = (guint16)n;
  part->first = n ? thin_node_key(data, 0) : 1;
  part->last = n ? thin_node_key(data, n - 1) : 0;
  if (thin_node_is_leaf(data))
    whole = look_at_leaf(rebuild, data, part);
  else if (!look_at_children(rebuild, data, depth, part, &whole, error))
    return FALSE;
  if (!whole)
    return TRUE;
  part->state = PART_WHOLE;
  return copy_node(rebuild, data, &part->block, error);
}

/* One that leads back to itself is met while it is under way, and torn to whom it leads to. */
static gboolean look(Rebuild *rebuild, guint64 number, guint depth, Part *part, GError **error)
{
  const Part nothing = {.first = 1, .state = PART_TORN};
  guint64 data[THIN_METADATA_BLOCK / 8];

  *part = nothing;
  if (depth == THIN_BTREE_DEPTH_MAX || number >= rebuild->n_blocks ||
      rebuild->parts[number].state == PART_UNDER_WAY)
    return TRUE;
  if (rebuild->parts[number].state == PART_UNSEEN) {
    rebuild->parts[number].state = PART_UNDER_WAY;
    if (read_node(rebuild, number, (guint8 *)data) &&
        !look_into(rebuild, (guint8 *)data, depth, part, error))
      return FALSE;
    rebuild->parts[number] = *part;
  }
  *part = rebuild->parts[number];
  return TRUE;
}

gboolean rebuild_look(Rebuild *rebuild, guint64 root, Part *part, GError **error)
{
  return look(rebuild, root, 0, part, error);
}

/* --- taking what is there ----------------------------------------------------------- */

static gboolean take(Rebuild *rebuild, guint64 number, guint64 lower, guint64 upper, guint depth,
                     GError **error);

static gboolean take_leaf(Rebuild *rebuild, const guint8 *data, GError **error)
{
  for (guint i = 0; i < thin_node_n(data); i++) {
    guint64 key = thin_node_key(data, i), mapping = thin_node_child(data, i);

    if (!is_mapping(rebuild, mapping))
      rebuild_lose(rebuild, key, key + 1);
    else if (!thin_build_map(rebuild->build, key, THIN_MAPPING_CHUNK(mapping), 1,
                             THIN_MAPPING_TIME(mapping), error))
      return FALSE;
  }
  return TRUE;
}

static gboolean take_children(Rebuild *rebuild, const guint8 *data, guint64 upper, guint depth,
                              GError **error)
{
  guint n = thin_node_n(data);

  for (guint i = 0; i < n; i++)
    if (!take(rebuild, thin_node_child(data, i), thin_node_key(data, i),
              i + 1 < n ? thin_node_key(data, i + 1) : upper, depth + 1, error))
      return FALSE;
  return TRUE;
}

static gboolean take_whole(Rebuild *rebuild, const Part *part, GError **error)
{
  rebuild->build->device.mapped += part->n_mapped;
  rebuild->build->next_key = part->last + 1;
  return build_tree_graft(&rebuild->build->map, part->level, part->first, part->block, error);
}

static gboolean take(Rebuild *rebuild, guint64 number, guint64 lower, guint64 upper, guint depth,
                     GError **error)
{
  guint64 data[THIN_METADATA_BLOCK / 8];
  Part part;

  if (!look(rebuild, number, depth, &part, error))
    return FALSE;
  if (part.state == PART_WHOLE && is_full_enough(&part) && is_within(&part, lower, upper) &&
      build_tree_can_graft(&rebuild->build->map, part.level))
    return take_whole(rebuild, &part, error);
  if (depth == THIN_BTREE_DEPTH_MAX || !is_within(&part, lower, upper) ||
      !read_node(rebuild, number, (guint8 *)data)) {
    rebuild_lose(rebuild, lower, upper);
    return TRUE;
  }
  return thin_node_is_leaf((guint8 *)data)
             ? take_leaf(rebuild, (guint8 *)data, error)
             : take_children(rebuild, (guint8 *)data, upper, depth, error);
}

gboolean rebuild_map(Rebuild *rebuild, guint64 root, GError **error)
{
  Part part;

  if (!look(rebuild, root, 0, &part, error))
    return FALSE;
  if (part.state != PART_WHOLE)
    return take(rebuild, root, 0, G_MAXUINT64, 0, error);
  rebuild->build->root = part.block;
  rebuild->build->device.mapped = part.n_mapped;
  return TRUE;
}
