/* virt-thin - access to what is in a B-tree node
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * @data is the content of a block that passed thin_block_verify(): entries and places are within
 * it.
 */
#pragma once

#include "thin/format/disk-format.h"

#define THIN_BTREE_DEPTH_MAX 12 /* 84 ^ 10 > 2 ^ 63 */

static inline ThinDiskNode *thin_node(const guint8 *data)
{
  return (ThinDiskNode *)(gpointer)data;
}

static inline gboolean thin_node_is_leaf(const guint8 *data)
{
  return thin_node(data)->header.flags == GUINT32_TO_LE(THIN_NODE_LEAF);
}

static inline guint thin_node_n(const guint8 *data)
{
  return GUINT32_FROM_LE(thin_node(data)->nr_entries);
}

static inline void thin_node_set_n(guint8 *data, guint n)
{
  thin_node(data)->nr_entries = GUINT32_TO_LE(n);
}

static inline guint thin_node_max(const guint8 *data)
{
  return GUINT32_FROM_LE(thin_node(data)->max_entries);
}

static inline guint thin_node_min(const guint8 *data)
{
  return thin_node_max(data) / 3;
}

static inline guint thin_node_value_size(const guint8 *data)
{
  return GUINT32_FROM_LE(thin_node(data)->value_size);
}

/* A value of 64 bits as it lies on disk. */
static inline guint64 thin_value_u64(gconstpointer value)
{
  return GUINT64_FROM_LE(*(const guint64 *)value);
}

/* What keeps a node from being one of a tree with such values, for messages. NULL: nothing. */
static inline const char *thin_node_fault(const guint8 *data, guint value_size, gboolean is_root)
{
  if (thin_node_is_leaf(data) && thin_node_value_size(data) != value_size)
    return "has values of another kind of tree";
  return thin_node_n(data) == 0 && !is_root ? "is empty" : NULL;
}

/* Can entries move between the two? */
static inline gboolean thin_node_alike(const guint8 *a, const guint8 *b)
{
  return thin_node_is_leaf(a) == thin_node_is_leaf(b) &&
         thin_node_value_size(a) == thin_node_value_size(b);
}

static inline guint64 *thin_node_keys(const guint8 *data)
{
  return (guint64 *)(gpointer)(data + sizeof(ThinDiskNode));
}

static inline guint64 thin_node_key(const guint8 *data, guint i)
{
  return GUINT64_FROM_LE(thin_node_keys(data)[i]);
}

static inline void thin_node_set_key(guint8 *data, guint i, guint64 key)
{
  thin_node_keys(data)[i] = GUINT64_TO_LE(key);
}

static inline guint8 *thin_node_value(const guint8 *data, guint i)
{
  return (guint8 *)data + sizeof(ThinDiskNode) + 8 * thin_node_max(data) +
         (gsize)thin_node_value_size(data) * i;
}

/* Block of child @i of an internal node. */
static inline guint64 thin_node_child(const guint8 *data, guint i)
{
  guint64 child;
  memcpy(&child, thin_node_value(data, i), sizeof child);
  return GUINT64_FROM_LE(child);
}

static inline void thin_node_set_child(guint8 *data, guint i, guint64 child)
{
  child = GUINT64_TO_LE(child);
  memcpy(thin_node_value(data, i), &child, sizeof child);
}

static inline void thin_node_init(guint8 *data, gboolean leaf, guint value_size)
{
  ThinDiskNode *node = thin_node(data);
  node->header.flags = GUINT32_TO_LE(leaf ? THIN_NODE_LEAF : THIN_NODE_INTERNAL);
  node->value_size = GUINT32_TO_LE(value_size);
  node->max_entries = GUINT32_TO_LE((guint32)THIN_NODE_MAX(value_size));
  node->nr_entries = 0;
}

/* The first entry with a key >= @key; the number of entries if there is none. */
static inline guint thin_node_lower_bound(const guint8 *data, guint64 key)
{
  const guint64 *keys = thin_node_keys(data);
  guint base = 0, n = thin_node_n(data);
  if (n == 0)
    return 0;
  while (n > 1) {
    guint half = n / 2;
    base += GUINT64_FROM_LE(keys[base + half - 1]) < key ? half : 0;
    n -= half;
  }
  return base + (GUINT64_FROM_LE(keys[base]) < key);
}

/* The child that covers @key: the last with a lower bound <= @key, or the first. */
static inline guint thin_node_child_for(const guint8 *data, guint64 key)
{
  guint i = thin_node_lower_bound(data, key);
  if (i < thin_node_n(data) && thin_node_key(data, i) == key)
    return i;
  return i ? i - 1 : 0;
}

/* Open a gap of @n entries at @at. There must be room. */
static inline void thin_node_open(guint8 *data, guint at, guint n)
{
  guint have = thin_node_n(data), size = thin_node_value_size(data);
  guint64 *keys = thin_node_keys(data);
  memmove(keys + at + n, keys + at, (have - at) * sizeof *keys);
  memmove(thin_node_value(data, at + n), thin_node_value(data, at), (gsize)(have - at) * size);
  thin_node_set_n(data, have + n);
}

/* Take the entries [at, at + n) out, and leave zeros in the places that become free. */
static inline void thin_node_close(guint8 *data, guint at, guint n)
{
  guint have = thin_node_n(data), size = thin_node_value_size(data);
  guint64 *keys = thin_node_keys(data);
  memmove(keys + at, keys + at + n, (have - at - n) * sizeof *keys);
  memmove(thin_node_value(data, at), thin_node_value(data, at + n), (gsize)(have - at - n) * size);
  memset(keys + have - n, 0, n * sizeof *keys);
  memset(thin_node_value(data, have - n), 0, (gsize)n * size);
  thin_node_set_n(data, have - n);
}

/* Move the first @n entries of @right to the end of @left, or (@n < 0) the last -@n of @left to the
 * front of @right. */
static inline void thin_node_move(guint8 *left, guint8 *right, gint n)
{
  guint size = thin_node_value_size(left), have = thin_node_n(left);
  if (n > 0) {
    memcpy(thin_node_keys(left) + have, thin_node_keys(right), (gsize)n * 8);
    memcpy(thin_node_value(left, have), thin_node_value(right, 0), (gsize)n * size);
    thin_node_set_n(left, have + (guint)n);
    thin_node_close(right, 0, (guint)n);
  } else if (n < 0) {
    guint m = (guint)-n;
    thin_node_open(right, 0, m);
    memcpy(thin_node_keys(right), thin_node_keys(left) + have - m, (gsize)m * 8);
    memcpy(thin_node_value(right, 0), thin_node_value(left, have - m), (gsize)m * size);
    thin_node_close(left, have - m, m);
  }
}
