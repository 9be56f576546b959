/* virt-thin - finding the roots of a pool's metadata: which maps and details belong together
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Both kinds of roots are looked up by the devices they tell of, so the work grows with their
 * number, not with that of all combinations.
 */
#include "config.h"

#include "thin/rebuild/roots-private.h"

#define N_ROOTS_MAX (1u << 19) /* of a kind: no pool leaves as many behind, so memory has a bound */
#define N_GUESSES 16u          /* on each side, where nothing fits: then all combinations */

typedef struct {
  RootsScan *scan;
  const ThinRootHints *hints;
  guint64 hinted_ids;
  GArray *tops, *details;         /* of guint64: blocks */
  GHashTable *by_ids, *by_counts; /* hash -> the likeliest details root */
  GArray *pairs;
} Pairing;

/* --- what goes first --- */

static gint descending(guint64 a, guint64 b)
{
  return a > b ? -1 : a < b;
}

static guint32 pair_time(const RootsScan *scan, const RootsPair *pair)
{
  guint32 time = pair->details ? scan->nodes[pair->details].time : 0;

  return MAX(time, scan->tops[pair->top].time);
}

static guint64 pair_transaction(const RootsScan *scan, const RootsPair *pair)
{
  return pair->details ? scan->nodes[pair->details].transaction_id : 0;
}

/* How many mappings the pair had of the newest time, and in all, before anything of it was
 * damaged. */
static guint64 pair_lost(const RootsScan *scan, const RootsPair *pair)
{
  guint64 said = pair->details ? scan->nodes[pair->details].mapped : 0,
          found = scan->tops[pair->top].n_mappings;

  return said > found && pair->match == THIN_ROOTS_DAMAGED ? said - found : 0;
}

static guint64 pair_newest(const RootsScan *scan, const RootsPair *pair)
{
  const RootsTop *top = &scan->tops[pair->top];

  return pair_lost(scan, pair) + (top->time == pair_time(scan, pair) ? top->n_newest : 0);
}

static guint64 pair_mappings(const RootsScan *scan, const RootsPair *pair)
{
  return pair_lost(scan, pair) + scan->tops[pair->top].n_mappings;
}

/* Of one commit; or else there are no details of the commit that the maps are of. */
static gboolean is_best(const RootsScan *scan, const RootsPair *pair)
{
  return pair->match != THIN_ROOTS_APART || scan->tops[pair->top].has_lost_details;
}

static gboolean is_details(const RootsScan *scan, guint64 number)
{
  return number > 0 && number < scan->n_blocks && scan->nodes[number].kind == ROOTS_DETAILS;
}

gint roots_compare_pairs(gconstpointer a, gconstpointer b, gpointer user_data)
{
  const RootsScan *scan = user_data;
  const RootsPair *x = a, *y = b;
  const gint orders[] = {
      descending(x->is_current, y->is_current),
      descending(x->is_hinted, y->is_hinted),
      descending(is_best(scan, x), is_best(scan, y)),
      descending(pair_time(scan, x), pair_time(scan, y)),
      descending(x->details != 0, y->details != 0),
      descending(pair_transaction(scan, x), pair_transaction(scan, y)),
      descending(y->has_parent, x->has_parent),
      descending(pair_newest(scan, x), pair_newest(scan, y)),
      descending(pair_mappings(scan, x), pair_mappings(scan, y)),
      descending(y->match, x->match),
      descending(x->top, y->top),
  };

  for (guint i = 0; i < G_N_ELEMENTS(orders); i++)
    if (orders[i])
      return orders[i];
  return 0;
}

static gboolean is_likelier(const RootsScan *scan, guint64 a, guint64 b)
{
  const RootsNode *x = &scan->nodes[a], *y = &scan->nodes[b];

  if (x->transaction_id != y->transaction_id)
    return x->transaction_id > y->transaction_id;
  if (x->time != y->time)
    return x->time > y->time;
  if (x->has_parent != y->has_parent)
    return !x->has_parent;
  return x->lost < y->lost;
}

/* --- what is known of a later commit --- */

typedef enum { BEFORE, NOT_KNOWN, AFTER } Order;

/* By what makes a pair go first. Maps whose own details were written over are older than others'
 * that are there. */
static Order compare_commit(const RootsScan *scan, guint64 details, const RootsPair *pair)
{
  const RootsNode *node = &scan->nodes[details];

  if (!details)
    return NOT_KNOWN;
  if (details == pair->details)
    return is_best(scan, pair) ? NOT_KNOWN : AFTER;
  if (node->time != pair_time(scan, pair))
    return node->time > pair_time(scan, pair) ? AFTER : BEFORE;
  if (node->transaction_id != pair_transaction(scan, pair))
    return node->transaction_id > pair_transaction(scan, pair) ? AFTER : BEFORE;
  return node->mapped > pair_mappings(scan, pair) ? AFTER : NOT_KNOWN;
}

static void find_lost(const RootsScan *scan, const RootsPair *pair, ThinRootPair *roots)
{
  for (guint i = 0; i < scan->lost->len; i++) {
    guint64 details = g_array_index(scan->lost, guint64, i);
    Order order = compare_commit(scan, details, pair);

    roots->may_be_older |= order == NOT_KNOWN;
    roots->is_older |= order == AFTER;
    if (order == AFTER &&
        (!roots->later_details || is_likelier(scan, details, roots->later_details)))
      roots->later_details = details;
  }
}

void roots_find_later(const RootsScan *scan, const RootsPair *pair, ThinRootPair *roots)
{
  if (!scan->current_top) {
    find_lost(scan, pair, roots);
    return;
  }
  roots->is_older = pair->top != scan->current_top;
  if (roots->is_older && is_details(scan, scan->current_details))
    roots->later_details = scan->current_details;
}

/* --- candidates --- */

static void remember(const RootsScan *scan, GHashTable *table, guint64 hash, guint64 number)
{
  guint64 *key = g_new(guint64, 2), *other = g_hash_table_lookup(table, &hash);

  key[0] = hash;
  key[1] = number;
  if (!other || !is_likelier(scan, *other, number)) /* the kernel gives out blocks upwards */
    g_hash_table_replace(table, key, key + 1);
  else
    g_free(key);
}

static guint64 recall(GHashTable *table, guint64 hash)
{
  const guint64 *number = g_hash_table_lookup(table, &hash);

  return number ? *number : 0;
}

static void find_candidates(Pairing *pairing)
{
  const RootsScan *scan = pairing->scan;

  for (guint64 i = 1; i < scan->n_blocks; i++) {
    if (scan->nodes[i].kind == ROOTS_DETAILS && pairing->details->len < N_ROOTS_MAX) {
      g_array_append_val(pairing->details, i);
      remember(scan, pairing->by_ids, scan->nodes[i].ids, i);
      remember(scan, pairing->by_counts, scan->nodes[i].counts, i);
    } else if (scan->nodes[i].kind == ROOTS_MAPS && scan->tops[i].is_one &&
               pairing->tops->len < N_ROOTS_MAX) {
      g_array_append_val(pairing->tops, i);
    }
  }
}

ThinRootMatch roots_match(const RootsScan *scan, guint64 top, guint64 details)
{
  const RootsTop *maps = &scan->tops[top];
  gboolean is_partial = scan->nodes[top].lost || !details || scan->nodes[details].lost;

  if (is_partial)
    return THIN_ROOTS_DAMAGED;
  if (maps->ids != scan->nodes[details].ids)
    return THIN_ROOTS_APART;
  if (maps->lost)
    return THIN_ROOTS_DAMAGED;
  return maps->counts == scan->nodes[details].counts ? THIN_ROOTS_EXACT : THIN_ROOTS_APART;
}

static void add_pair(Pairing *pairing, guint64 top, guint64 details, gboolean is_current)
{
  RootsScan *scan = pairing->scan;
  RootsPair pair = {.top = top,
                    .details = details,
                    .match = roots_match(scan, top, details),
                    .is_current = is_current};

  pair.has_parent = scan->nodes[top].has_parent || scan->nodes[top].is_map ||
                    (details && scan->nodes[details].has_parent);
  pair.is_hinted = pairing->hints && (scan->tops[top].ids == pairing->hinted_ids ||
                                      (details && scan->nodes[details].ids == pairing->hinted_ids));
  scan->tops[top].is_paired |= pair.match == THIN_ROOTS_EXACT;
  g_array_append_val(pairing->pairs, pair);
}

/* Maps with the details that tell the same of them; else, which tell of the same devices. */
static void pair_tops(Pairing *pairing)
{
  const RootsScan *scan = pairing->scan;

  for (guint i = 0; i < pairing->tops->len; i++) {
    guint64 number = g_array_index(pairing->tops, guint64, i);
    const RootsTop *top = &scan->tops[number];
    guint64 details = recall(pairing->by_counts, top->counts);

    if (!details || top->lost)
      details = recall(pairing->by_ids, top->ids);
    if (details)
      add_pair(pairing, number, details, FALSE);
  }
}

/* --- where nothing fits --- */

static gint compare_tops(gconstpointer a, gconstpointer b, gpointer user_data)
{
  const RootsScan *scan = user_data;
  guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;
  const gint orders[] = {
      (gint)scan->nodes[x].has_parent - (gint)scan->nodes[y].has_parent,
      (gint)scan->nodes[x].is_map - (gint)scan->nodes[y].is_map,
      descending(scan->tops[x].time, scan->tops[y].time),
      descending(scan->nodes[x].n, scan->nodes[y].n),
      descending(scan->tops[x].n_mappings, scan->tops[y].n_mappings),
      descending(x, y),
  };

  for (guint i = 0; i < G_N_ELEMENTS(orders); i++)
    if (orders[i])
      return orders[i];
  return 0;
}

static gint compare_details(gconstpointer a, gconstpointer b, gpointer scan)
{
  guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;

  return is_likelier(scan, x, y) ? -1 : is_likelier(scan, y, x) ? 1 : descending(x, y);
}

/* The likeliest of both sides with each other, and maps alone: what is damaged of one may be what
 * the other has more. */
static void guess(Pairing *pairing)
{
  const RootsNode *nodes = pairing->scan->nodes;
  gboolean nothing = pairing->pairs->len == 0;

  g_array_sort_with_data(pairing->tops, compare_tops, pairing->scan);
  g_array_sort_with_data(pairing->details, compare_details, pairing->scan);
  for (guint i = 0; i < MIN(pairing->tops->len, N_GUESSES); i++) {
    guint64 top = g_array_index(pairing->tops, guint64, i);

    if (pairing->scan->tops[top].is_paired)
      continue;
    for (guint j = 0; j < MIN(pairing->details->len, N_GUESSES); j++) {
      guint64 details = g_array_index(pairing->details, guint64, j);

      if (nothing || nodes[top].lost || nodes[details].lost)
        add_pair(pairing, top, details, FALSE);
    }
    if (nodes[top].n && !nodes[top].has_parent && !nodes[top].is_map)
      add_pair(pairing, top, 0, FALSE);
  }
}

/* --- the superblock's --- */

static void pair_current_details(Pairing *pairing, guint64 details)
{
  const RootsScan *scan = pairing->scan;

  for (guint i = 0; i < pairing->tops->len; i++) {
    guint64 top = g_array_index(pairing->tops, guint64, i);

    if (scan->tops[top].ids == scan->nodes[details].ids)
      add_pair(pairing, top, details, TRUE);
  }
}

/* A whole superblock tells the roots; that one of the two which is damaged is looked for. */
static void pair_current(Pairing *pairing)
{
  const RootsScan *scan = pairing->scan;
  guint64 top = scan->current_top, details = scan->current_details;
  gboolean has_top = top < scan->n_blocks && scan->nodes[top].kind == ROOTS_MAPS,
           has_details = is_details(scan, details);

  if (has_top)
    add_pair(pairing, top, has_details ? details : recall(pairing->by_ids, scan->tops[top].ids),
             TRUE);
  else if (has_details)
    pair_current_details(pairing, details);
}

GArray *roots_pairs(RootsScan *scan, const ThinRootHints *hints)
{
  Pairing pairing = {.scan = scan, .hints = hints};

  for (gsize i = 0; hints && i < hints->n_devices; i++)
    pairing.hinted_ids += roots_hash(hints->devices[i], 0);
  pairing.tops = g_array_new(FALSE, FALSE, sizeof(guint64));
  pairing.details = g_array_new(FALSE, FALSE, sizeof(guint64));
  pairing.pairs = g_array_new(FALSE, FALSE, sizeof(RootsPair));
  pairing.by_ids = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  pairing.by_counts = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  find_candidates(&pairing);
  pair_current(&pairing);
  pair_tops(&pairing);
  guess(&pairing);
  g_array_sort_with_data(pairing.pairs, roots_compare_pairs, scan);
  g_hash_table_unref(pairing.by_ids);
  g_hash_table_unref(pairing.by_counts);
  g_array_unref(pairing.tops);
  g_array_unref(pairing.details);
  return pairing.pairs;
}
