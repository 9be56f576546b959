/* virt-thin - finding the roots of a pool's metadata: what each block is
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * From the leaves upwards, one height at a time, so that whatever the blocks hold, it ends after
 * THIN_BTREE_DEPTH_MAX rounds.
 */
#include "config.h"

#include "thin/rebuild/roots-private.h"

#define BATCH 256u /* blocks that are read at once */

guint64 roots_hash(guint64 id, guint64 count)
{
  guint64 x = (id + 1) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15) +
              (count ^ count >> 29) * G_GUINT64_CONSTANT(0xd6e8feb86659fd93);

  x = (x ^ x >> 30) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
  return x ^ x >> 31;
}

/* Nodes may be shared so often that sums of them have no end. */
static guint64 add(guint64 a, guint64 b)
{
  return a > G_MAXUINT64 - b ? G_MAXUINT64 : a + b;
}

/* --- leaves --- */

static void see_time(RootsNode *node, guint32 time, guint64 n)
{
  if (time > node->time) {
    node->time = time;
    node->n_newest = 0;
  }
  if (time == node->time)
    node->n_newest = add(node->n_newest, n);
}

static void look_at_maps(RootsScan *scan, guint64 number, const guint8 *data, RootsNode *node)
{
  gboolean may_be_top = node->n == 0 || node->last <= THIN_DEVICE_MAX;

  node->kind = ROOTS_MAPS;
  for (guint i = 0; i < thin_node_n(data); i++) {
    guint64 value = thin_value_u64(thin_node_value(data, i));

    see_time(node, THIN_MAPPING_TIME(value), 1);
    may_be_top = may_be_top && value > 0 && value < scan->n_blocks;
  }
  if (may_be_top)
    g_array_append_val(scan->leaves, number);
}

static void look_at_details(const guint8 *data, RootsNode *node)
{
  if (node->n && node->last > THIN_DEVICE_MAX)
    return;
  node->kind = ROOTS_DETAILS;
  for (guint i = 0; i < thin_node_n(data); i++) {
    guint64 id = thin_node_key(data, i);
    ThinDiskDetails details;

    memcpy(&details, thin_node_value(data, i), sizeof details);
    node->ids += roots_hash(id, 0);
    node->counts += roots_hash(id, GUINT64_FROM_LE(details.mapped_blocks));
    node->mapped = add(node->mapped, GUINT64_FROM_LE(details.mapped_blocks));
    node->transaction_id = MAX(node->transaction_id, GUINT64_FROM_LE(details.transaction_id));
    see_time(node, GUINT32_FROM_LE(details.creation_time), 1);
    see_time(node, GUINT32_FROM_LE(details.snapshotted_time), 1);
  }
}

static void look_at_leaf(RootsScan *scan, guint64 number, const guint8 *data, RootsNode *node)
{
  node->kind = ROOTS_OTHER;
  if (thin_node_value_size(data) == sizeof(guint64))
    look_at_maps(scan, number, data, node);
  else if (thin_node_value_size(data) == sizeof(ThinDiskDetails))
    look_at_details(data, node);
}

static void look_at_block(RootsScan *scan, guint64 number, const guint8 *data)
{
  RootsNode *node = &scan->nodes[number];
  guint n;

  if (!thin_block_verify(data, number, THIN_KIND_NODE, "", NULL)) {
    if (thin_block_verify(data, number, THIN_KIND_INDEX, "", NULL))
      g_array_append_val(scan->indexes, number);
    return;
  }
  n = thin_node_n(data);
  node->n = n;
  node->first = n ? thin_node_key(data, 0) : 1;
  node->last = n ? thin_node_key(data, n - 1) : 0;
  if (thin_node_is_leaf(data)) {
    look_at_leaf(scan, number, data, node);
    return;
  }
  node->kind = ROOTS_PENDING;
  g_array_append_val(scan->inner, number);
}

/* Where many cannot be read at once, one may be to blame. FALSE: not even one could be. */
static gboolean read_batch(RootsScan *scan, guint64 first, guint n, guint8 *buffer, GError **error)
{
  gboolean any = FALSE;

  if (vt_io_read(scan->io, buffer, (gsize)n * THIN_METADATA_BLOCK, first * THIN_METADATA_BLOCK,
                 NULL)) {
    for (guint i = 0; i < n; i++)
      look_at_block(scan, first + i, buffer + (gsize)i * THIN_METADATA_BLOCK);
    return TRUE;
  }
  for (guint i = 0; i < n; i++) {
    g_clear_error(error);
    if (!vt_io_read(scan->io, buffer, THIN_METADATA_BLOCK, (first + i) * THIN_METADATA_BLOCK,
                    error))
      continue;
    look_at_block(scan, first + i, buffer);
    any = TRUE;
  }
  g_clear_error(any ? error : NULL);
  return any;
}

static gboolean read_blocks(RootsScan *scan, GError **error)
{
  g_autofree guint64 *buffer = g_new(guint64, BATCH * THIN_METADATA_BLOCK / sizeof(guint64));
  g_autoptr(GError) failure = NULL;
  gboolean any = FALSE;

  for (guint64 first = 1; first < scan->n_blocks; first += BATCH) {
    g_clear_error(&failure);
    any |= read_batch(scan, first, (guint)MIN(BATCH, scan->n_blocks - first), (guint8 *)buffer,
                      &failure);
  }
  if (!any && failure)
    g_propagate_error(error, g_steal_pointer(&failure));
  return any || scan->n_blocks <= 1 || !error || !*error;
}

/* --- inner nodes --- */

gboolean roots_read_node(const RootsScan *scan, guint64 number, guint8 *data)
{
  return number > 0 && number < scan->n_blocks &&
         thin_block_read(scan->io, number, THIN_KIND_NODE, data, NULL);
}

/* What is known of child @i of @data, if it keeps within its range. */
static const RootsNode *child_of(const RootsScan *scan, const guint8 *data, guint i)
{
  guint64 number = thin_node_child(data, i);
  const RootsNode *child;

  if (number == 0 || number >= scan->n_blocks)
    return NULL;
  child = &scan->nodes[number];
  if (child->kind == ROOTS_NONE || child->first > child->last ||
      child->first < thin_node_key(data, i) ||
      (i + 1 < thin_node_n(data) && child->last >= thin_node_key(data, i + 1)))
    return NULL;
  return child;
}

gboolean roots_child_fits(const RootsScan *scan, const guint8 *data, guint i, RootsKind kind)
{
  const RootsNode *child = child_of(scan, data, i);

  return child && child->kind == kind;
}

/* The kind of most children. */
static RootsKind vote(const RootsScan *scan, const guint8 *data)
{
  guint votes[ROOTS_N_KINDS] = {0};
  RootsKind best = ROOTS_NONE;

  for (guint i = 0; i < thin_node_n(data); i++) {
    const RootsNode *child = child_of(scan, data, i);

    if (child && child->kind != ROOTS_PENDING)
      votes[child->kind]++;
  }
  for (RootsKind kind = ROOTS_MAPS; kind <= ROOTS_OTHER; kind++)
    if (votes[kind] > (best == ROOTS_NONE ? 0 : votes[best]))
      best = kind;
  return best;
}

static void add_child(RootsNode *node, RootsNode *child)
{
  child->has_parent = TRUE;
  node->lost |= child->lost;
  node->n = add(node->n, child->n);
  node->last = MAX(node->last, child->last);
  node->height = MAX(node->height, child->height + 1);
  node->ids += child->ids;
  node->counts += child->counts;
  node->mapped = add(node->mapped, child->mapped);
  node->transaction_id = MAX(node->transaction_id, child->transaction_id);
  see_time(node, child->time, child->n_newest);
}

static void settle(RootsScan *scan, const guint8 *data, RootsNode *node)
{
  RootsKind kind = vote(scan, data);

  node->n = 0;
  for (guint i = 0; kind != ROOTS_NONE && i < thin_node_n(data); i++) {
    if (roots_child_fits(scan, data, i, kind))
      add_child(node, &scan->nodes[thin_node_child(data, i)]);
    else
      node->lost = TRUE;
  }
  node->kind = (guint8)kind;
}

static gboolean waits(const RootsScan *scan, const guint8 *data)
{
  for (guint i = 0; i < thin_node_n(data); i++) {
    const RootsNode *child = child_of(scan, data, i);

    if (child && child->kind == ROOTS_PENDING)
      return TRUE;
  }
  return FALSE;
}

/* Settle the inner nodes whose children are; with @force also the first that waits for itself: what
 * leads back is lost. Returns how many were settled. */
static guint settle_round(RootsScan *scan, GArray *pending, GArray *settled, gboolean force)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  guint8 *data = (guint8 *)block;
  guint n_left = 0, before = pending->len;

  for (guint i = 0; i < before; i++) {
    guint64 number = g_array_index(pending, guint64, i);
    RootsNode *node = &scan->nodes[number];

    if (!roots_read_node(scan, number, data) || thin_node_is_leaf(data)) {
      node->kind = ROOTS_NONE;
    } else if (waits(scan, data) && !force) {
      g_array_index(pending, guint64, n_left++) = number;
    } else {
      settle(scan, data, node);
      g_array_append_val(settled, number);
    }
  }
  g_array_set_size(pending, n_left);
  return before - n_left;
}

static gint by_height(gconstpointer a, gconstpointer b, gpointer scan)
{
  const RootsNode *nodes = ((const RootsScan *)scan)->nodes;

  return (gint)nodes[*(const guint64 *)a].height - (gint)nodes[*(const guint64 *)b].height;
}

static void settle_inner(RootsScan *scan)
{
  GArray *settled = g_array_new(FALSE, FALSE, sizeof(guint64));
  guint round = 1;

  while (round < THIN_BTREE_DEPTH_MAX && scan->inner->len &&
         settle_round(scan, scan->inner, settled, FALSE))
    round++;
  /* What is left goes round in circles, or is deeper than any tree. */
  settle_round(scan, scan->inner, settled, TRUE);
  g_array_sort_with_data(settled, by_height, scan);
  g_array_unref(scan->inner);
  scan->inner = settled;
}

/* --- the tree whose values are roots of maps --- */

static void see_top_time(RootsTop *top, guint32 time, guint64 n)
{
  if (time > top->time) {
    top->time = time;
    top->n_newest = 0;
  }
  if (time == top->time)
    top->n_newest = add(top->n_newest, n);
}

RootsNode *roots_map(const RootsScan *scan, guint64 top, guint64 root)
{
  RootsNode *map = root > 0 && root < scan->n_blocks && root != top ? &scan->nodes[root] : NULL;

  return map && map->kind == ROOTS_MAPS ? map : NULL;
}

static void look_at_top_leaf(RootsScan *scan, guint64 number, const guint8 *data)
{
  RootsTop *top = &scan->tops[number];

  top->is_one = thin_node_n(data) == 0;
  for (guint i = 0; i < thin_node_n(data); i++) {
    guint64 id = thin_node_key(data, i);
    RootsNode *map = roots_map(scan, number, thin_value_u64(thin_node_value(data, i)));

    top->ids += roots_hash(id, 0);
    top->counts += roots_hash(id, map ? map->n : G_MAXUINT64);
    top->lost |= !map || map->lost;
    if (!map)
      continue;
    map->is_map = TRUE;
    top->is_one = TRUE;
    top->n_mappings = add(top->n_mappings, map->n);
    see_top_time(top, map->time, map->n_newest);
  }
}

static void look_at_top_inner(RootsScan *scan, guint64 number, const guint8 *data)
{
  RootsTop *top = &scan->tops[number];

  top->lost = scan->nodes[number].lost;
  for (guint i = 0; i < thin_node_n(data); i++) {
    const RootsTop *child;

    if (!roots_child_fits(scan, data, i, ROOTS_MAPS))
      continue;
    child = &scan->tops[thin_node_child(data, i)];
    if (!child->is_one) {
      *top = (RootsTop){0};
      return;
    }
    top->is_one = TRUE;
    top->lost |= child->lost;
    top->ids += child->ids;
    top->counts += child->counts;
    top->n_mappings = add(top->n_mappings, child->n_mappings);
    see_top_time(top, child->time, child->n_newest);
  }
}

static void find_tops(RootsScan *scan)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  guint8 *data = (guint8 *)block;

  for (guint i = 0; i < scan->leaves->len; i++) {
    guint64 number = g_array_index(scan->leaves, guint64, i);

    if (roots_read_node(scan, number, data) && thin_node_is_leaf(data))
      look_at_top_leaf(scan, number, data);
  }
  for (guint i = 0; i < scan->inner->len; i++) {
    guint64 number = g_array_index(scan->inner, guint64, i);

    if (scan->nodes[number].kind == ROOTS_MAPS && scan->nodes[number].last <= THIN_DEVICE_MAX &&
        roots_read_node(scan, number, data) && !thin_node_is_leaf(data))
      look_at_top_inner(scan, number, data);
  }
}

/* --- all of it --- */

static void read_superblock(RootsScan *scan)
{
  union {
    ThinDiskSuperblock superblock;
    guint8 data[THIN_METADATA_BLOCK];
    guint64 align;
  } block;

  if (!thin_superblock_read(scan->io, 0, block.data, NULL))
    return;
  scan->current_top = GUINT64_FROM_LE(block.superblock.data_mapping_root);
  scan->current_details = GUINT64_FROM_LE(block.superblock.device_details_root);
}

/* Of the system's, so that pages without a node in them take no memory. */
static gpointer new_table(guint64 n, gsize size, GError **error)
{
  gpointer table = calloc(n, size);

  if (!table)
    vt_set_error(error, ENOMEM, "no memory for a table of %" G_GUINT64_FORMAT " metadata blocks",
                 n);
  return table;
}

gboolean roots_scan(RootsScan *scan, VtIo *io, GError **error)
{
  guint64 n = MIN(vt_io_size(io) / THIN_METADATA_BLOCK, THIN_METADATA_BLOCKS_MAX);

  *scan = (RootsScan){.io = vt_io_ref(io), .n_blocks = MAX(n, 1)};
  scan->inner = g_array_new(FALSE, FALSE, sizeof(guint64));
  scan->leaves = g_array_new(FALSE, FALSE, sizeof(guint64));
  scan->indexes = g_array_new(FALSE, FALSE, sizeof(guint64));
  scan->lost = g_array_new(FALSE, FALSE, sizeof(guint64));
  if (!(scan->nodes = new_table(scan->n_blocks, sizeof *scan->nodes, error)) ||
      !(scan->tops = new_table(scan->n_blocks, sizeof *scan->tops, error)) ||
      !read_blocks(scan, error))
    return FALSE;
  settle_inner(scan);
  find_tops(scan);
  read_superblock(scan);
  roots_find_commits(scan);
  return TRUE;
}

void roots_scan_clear(RootsScan *scan)
{
  free(scan->nodes);
  free(scan->tops);
  g_clear_pointer(&scan->inner, g_array_unref);
  g_clear_pointer(&scan->leaves, g_array_unref);
  g_clear_pointer(&scan->indexes, g_array_unref);
  g_clear_pointer(&scan->lost, g_array_unref);
  vt_io_unref(scan->io);
}
