/* virt-thin - how the maps of two thin devices differ
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin/format/delta.h"

#define NODES_PER_CALL 4096 /* that are read: whoever holds a lock holds it for so long */

/* A node on the way down to a key. */
typedef struct {
  guint64 number;
  guint64 lower, upper; /* the keys that its parents give it */
  gboolean is_read;
  guint64 block[THIN_METADATA_BLOCK / 8];
} Level;

/* One of the two trees, and the way down to the present key as far as it is known. */
typedef struct {
  guint n;      /* levels known; 0: an empty map */
  guint height; /* levels of the whole tree */
  Level levels[THIN_BTREE_DEPTH_MAX];
} Side;

typedef struct {
  const ThinDeltaMaps *maps;
  ThinDelta *delta;
  guint first; /* of delta->runs that was added by this call */
  guint n_read;
  gboolean full;
  Side left, right;
} Walk;

static guint8 *level_data(Level *level)
{
  return (guint8 *)level->block;
}

static Level *lowest(Side *side)
{
  return &side->levels[side->n - 1];
}

/* How far the lowest known node is above the leaves. */
static guint height_of(const Side *side)
{
  return side->height - side->n;
}

static gboolean read_level(Walk *walk, Level *level, gboolean is_root, GError **error)
{
  guint8 *data = level_data(level);
  const char *fault;
  guint n;

  if (level->is_read)
    return TRUE;
  walk->n_read++;
  if (!walk->maps->read(walk->maps->source, level->number, data, error))
    return FALSE;
  fault = thin_node_fault(data, sizeof(guint64), is_root);
  n = thin_node_n(data);
  if (!fault && n > 0 &&
      (thin_node_key(data, 0) < level->lower || thin_node_key(data, n - 1) >= level->upper))
    fault = "has keys outside of the range its parent gives it";
  if (fault)
    return vt_set_error(error, EBADMSG, "%s: metadata block %" G_GUINT64_FORMAT " %s",
                        walk->maps->name, level->number, fault);
  level->is_read = TRUE;
  return TRUE;
}

/* Read the lowest known node. It must be a leaf where the tree's height says so, and only there. */
static gboolean read_lowest(Walk *walk, Side *side, GError **error)
{
  Level *level = lowest(side);

  if (!read_level(walk, level, side->n == 1, error))
    return FALSE;
  return thin_node_is_leaf(level_data(level)) == (height_of(side) == 0) ||
         vt_set_error(error, EBADMSG,
                      "%s: metadata block %" G_GUINT64_FORMAT
                      " is in a tree whose leaves are not at one depth",
                      walk->maps->name, level->number);
}

/* The child of an internal node that covers @key becomes the lowest known node. */
static void step_down(Side *side, guint64 key)
{
  Level *parent = lowest(side), *child = parent + 1;
  const guint8 *data = level_data(parent);
  guint i = thin_node_child_for(data, key);

  child->number = thin_node_child(data, i);
  child->lower = thin_node_key(data, i);
  child->upper = i + 1 < thin_node_n(data) ? thin_node_key(data, i + 1) : parent->upper;
  child->is_read = FALSE;
  side->n++;
}

/* Begin at @root. The first way down tells the height. */
static gboolean begin_side(Walk *walk, Side *side, guint64 root, guint64 key, GError **error)
{
  if (root == 0)
    return TRUE;
  side->levels[0] = (Level){.number = root, .upper = G_MAXUINT64};
  side->n = 1;
  while (read_level(walk, lowest(side), side->n == 1, error)) {
    if (thin_node_is_leaf(level_data(lowest(side)))) {
      side->height = side->n;
      side->n = 1;
      return TRUE;
    }
    if (side->n == THIN_BTREE_DEPTH_MAX)
      return vt_set_error(error, EBADMSG,
                          "%s: the tree at metadata block %" G_GUINT64_FORMAT
                          " is deeper than any can be",
                          walk->maps->name, root);
    step_down(side, key);
  }
  return FALSE;
}

/* Forget what does not cover @key. */
static void leave_behind(Side *side, guint64 key)
{
  while (side->n > 1 && lowest(side)->upper <= key)
    side->n--;
}

static gboolean go_down(Walk *walk, Side *side, guint64 key, GError **error)
{
  if (!read_lowest(walk, side, error))
    return FALSE;
  step_down(side, key);
  return TRUE;
}

/* Add chunk @key to the answer, unless that is full. */
static void add(Walk *walk, guint64 key, ThinDeltaKind kind)
{
  guint64 size = walk->maps->chunk_size;
  ThinDelta *delta = walk->delta;
  ThinDeltaRun *last =
      delta->runs->len ? &g_array_index(delta->runs, ThinDeltaRun, delta->runs->len - 1) : NULL;

  if (last && last->kind == kind && last->offset + last->length == key * size) {
    last->length += size;
  } else if (delta->runs->len - walk->first < delta->max) {
    ThinDeltaRun run = {key * size, size, kind};
    g_array_append_val(delta->runs, run);
  } else {
    walk->full = TRUE;
  }
}

/* The keys of a leaf; an empty map has none. */
typedef struct {
  const guint8 *data;
  guint i, end;
} Keys;

static Keys keys_of(Side *side, guint64 from, guint64 to)
{
  const guint8 *data = side->n ? level_data(lowest(side)) : NULL;

  return (Keys){data, data ? thin_node_lower_bound(data, from) : 0,
                data ? thin_node_lower_bound(data, to) : 0};
}

static guint64 next_key(const Keys *keys)
{
  return keys->i < keys->end ? thin_node_key(keys->data, keys->i) : G_MAXUINT64;
}

static guint64 chunk_at(const Keys *keys)
{
  return THIN_MAPPING_CHUNK(thin_value_u64(thin_node_value(keys->data, keys->i)));
}

/* Compare two leaves within [key, upper). Where to go on. */
static guint64 compare_leaves(Walk *walk, guint64 key, guint64 upper)
{
  Keys left = keys_of(&walk->left, key, upper), right = keys_of(&walk->right, key, upper);

  for (;;) {
    guint64 l = next_key(&left), r = next_key(&right), next = MIN(l, r);
    if (next == G_MAXUINT64)
      return upper;
    if (l < r)
      add(walk, next, THIN_DELTA_LEFT_ONLY);
    else if (r < l)
      add(walk, next, THIN_DELTA_RIGHT_ONLY);
    else if (chunk_at(&left) != chunk_at(&right))
      add(walk, next, THIN_DELTA_DIFFERENT);
    else if (walk->delta->with_same)
      add(walk, next, THIN_DELTA_SAME);
    if (walk->full)
      return next;
    left.i += l == next;
    right.i += r == next;
  }
}

/* Bring both sides to nodes over @key that can be told apart or skipped: both leaves, or one
 * node. */
static gboolean line_up(Walk *walk, guint64 key, gboolean *is_one, GError **error)
{
  Side *left = &walk->left, *right = &walk->right;

  leave_behind(left, key);
  leave_behind(right, key);
  for (;;) {
    guint l = left->n ? height_of(left) : 0, r = right->n ? height_of(right) : 0;
    *is_one = l == r && left->n && right->n && lowest(left)->number == lowest(right)->number &&
              !walk->delta->with_same;
    if (*is_one)
      return TRUE;
    if (l == 0 && r == 0)
      return (!left->n || read_lowest(walk, left, error)) &&
             (!right->n || read_lowest(walk, right, error));
    if (l >= r && !go_down(walk, left, key, error))
      return FALSE;
    if (r >= l && !go_down(walk, right, key, error))
      return FALSE;
  }
}

static gboolean run(Walk *walk, guint64 key, guint64 end, GError **error)
{
  const ThinDeltaMaps *maps = walk->maps;

  if (!begin_side(walk, &walk->left, maps->left, key, error) ||
      !begin_side(walk, &walk->right, maps->right, key, error))
    return FALSE;
  while (key < end && !walk->full && walk->n_read < NODES_PER_CALL) {
    guint64 upper = end;
    gboolean is_one;

    if (!line_up(walk, key, &is_one, error))
      return FALSE;
    if (walk->left.n)
      upper = MIN(upper, lowest(&walk->left)->upper);
    if (walk->right.n)
      upper = MIN(upper, lowest(&walk->right)->upper);
    key = is_one ? upper : compare_leaves(walk, key, upper);
  }
  walk->delta->offset = key < end ? key * maps->chunk_size : walk->delta->end;
  return TRUE;
}

gboolean thin_delta(ThinDelta *delta, const ThinDeltaMaps *maps, GError **error)
{
  g_autofree Walk *walk = g_new0(Walk, 1);

  walk->maps = maps;
  walk->delta = delta;
  walk->first = delta->runs->len;
  return run(walk, delta->offset / maps->chunk_size,
             delta->end / maps->chunk_size + (delta->end % maps->chunk_size != 0), error);
}
