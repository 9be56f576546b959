/* virt-thin - the B-tree when things go wrong
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each block that is wanted, each node that is read, each count that is asked for fails in turn. A
 * tree of three levels is made by hand and committed, so that its shape is known: leaves that are
 * full beside leaves that are a third full, an internal node that is full and one that has few
 * children. Operations then fail at each point, and what was committed must still be there.
 */
#include "config.h"
#include "thin-helper.h"

#define N_BLOCKS 4032
#define VALUE_SIZE 128u
#define LEAF_MAX 27u
#define LEAF_MIN 9u
#define STEP 10u /* between keys, for others to come between */

static const guint children[] = {84, 252, 110}; /* the least, the most, some */

typedef enum { ALONE, SHARED, WAS_SHARED } Sharing; /* with another tree; until just now */

typedef struct {
  VtIo *failer;
  ThinTm tm;
  ThinBtree tree;
  guint64 root, committed, first_key, end_key;
  guint n_calls, fail_call; /* of inc, dec and fell */
} Fixture;

static gboolean call(gpointer user_data, const guint8 *values, guint n, GError **error)
{
  Fixture *fixture = user_data;
  return fixture->n_calls++ != fixture->fail_call || vt_set_error(error, ECANCELED, "made to fail");
}

static guint64 new_node(Fixture *fixture, gboolean leaf, guint value_size, guint n,
                        const guint64 *keys, const guint64 *values)
{
  g_autoptr(ThinBlock) block = NULL;

  assert_ok(block = thin_tm_new_block(&fixture->tm, THIN_KIND_NODE, &error));
  thin_node_init(block->data, leaf, value_size);
  thin_node_open(block->data, 0, n);
  for (guint i = 0; i < n; i++) {
    thin_node_set_key(block->data, i, keys[i]);
    thin_node_set_child(block->data, i, values[i]);
  }
  return block->number;
}

/* A leaf with @n keys from *@key on, which are their own values. */
static guint64 new_leaf(Fixture *fixture, guint n, guint64 *key)
{
  guint64 keys[LEAF_MAX];

  for (guint i = 0; i < n; i++, *key += STEP)
    keys[i] = *key;
  return new_node(fixture, TRUE, VALUE_SIZE, n, keys, keys);
}

static void make_tree(Fixture *fixture)
{
  guint64 key = fixture->first_key, tops[G_N_ELEMENTS(children)], top_keys[G_N_ELEMENTS(children)];

  for (guint i = 0; i < G_N_ELEMENTS(children); i++) {
    guint64 keys[252], leaves[252];
    for (guint j = 0; j < children[i]; j++) {
      keys[j] = key;
      leaves[j] = new_leaf(fixture, j % 3 ? LEAF_MAX : LEAF_MIN, &key);
    }
    top_keys[i] = keys[0];
    tops[i] = new_node(fixture, FALSE, 8, children[i], keys, leaves);
  }
  fixture->root = new_node(fixture, FALSE, 8, G_N_ELEMENTS(children), top_keys, tops);
  fixture->end_key = key;
}

static void settle(Fixture *fixture)
{
  assert_ok(thin_cache_write_out(fixture->tm.cache, &error));
  thin_metadata_map_settle(fixture->tm.map);
  thin_cache_forget_all(fixture->tm.cache); /* so that each node is read again */
  fixture->committed = fixture->root;
}

static void setup(Fixture *fixture, VtIo *io, Sharing sharing)
{
  *fixture = (Fixture){.first_key = 1000, .fail_call = G_MAXUINT};
  fixture->failer = vt_io_failer_new(io, VT_IO_READ, G_MAXUINT, EIO);
  fixture->tm =
      (ThinTm){thin_cache_new(fixture->failer, 1, N_BLOCKS), thin_metadata_map_new(N_BLOCKS)};
  fixture->tree = (ThinBtree){.tm = &fixture->tm,
                              .name = "tree under test",
                              .value_size = VALUE_SIZE,
                              .inc = call,
                              .dec = call,
                              .fell = call,
                              .context = fixture};
  thin_metadata_map_set_backed(fixture->tm.map, N_BLOCKS);
  assert_ok(thin_metadata_map_inc(fixture->tm.map, 0, &error));
  make_tree(fixture);
  if (sharing != ALONE)
    assert_ok(thin_tm_inc(&fixture->tm, fixture->root, &error));
  settle(fixture);
  if (sharing == WAS_SHARED)
    assert_ok(thin_tm_dec(&fixture->tm, fixture->root, NULL, &error));
}

static void teardown(Fixture *fixture)
{
  thin_cache_free(fixture->tm.cache);
  thin_metadata_map_free(fixture->tm.map);
  vt_io_unref(fixture->failer);
}

/* --- what is done ------------------------------------------------------------------- */

static gboolean insert(Fixture *fixture, guint64 begin, guint64 step, guint n, GError **error)
{
  g_autofree guint64 *keys = g_new(guint64, n);
  g_autofree guint8 *values = g_malloc0((gsize)n * VALUE_SIZE);

  for (guint i = 0; i < n; i++)
    keys[i] = begin + i * step;
  return thin_btree_insert(&fixture->tree, &fixture->root, keys, values, n, NULL, error);
}

static gboolean op_insert_first(Fixture *fixture, GError **error)
{
  return insert(fixture, 0, 1, 60, error);
}

static gboolean op_insert_last(Fixture *fixture, GError **error)
{
  return insert(fixture, fixture->end_key, 1, 60, error);
}

/* Between all keys of some leaves: their neighbours take entries, then they are split. */
static gboolean op_insert_between(Fixture *fixture, GError **error)
{
  return insert(fixture, fixture->first_key + 200 * STEP + 5, STEP, 200, error) &&
         insert(fixture, fixture->first_key + 200 * STEP + 2, STEP, 200, error);
}

/* In the node that has room for no other child. */
static gboolean op_insert_full(Fixture *fixture, GError **error)
{
  return insert(fixture, fixture->first_key + 2500 * STEP + 5, STEP, 200, error);
}

static gboolean op_overwrite(Fixture *fixture, GError **error)
{
  return insert(fixture, fixture->first_key + 500 * STEP, STEP, 50, error);
}

static gboolean op_own_path(Fixture *fixture, GError **error)
{
  return thin_btree_own_path(&fixture->tree, &fixture->root, fixture->first_key + 777, error);
}

static gboolean op_remove_some(Fixture *fixture, GError **error)
{
  return thin_btree_remove(&fixture->tree, &fixture->root, fixture->first_key + 300 * STEP,
                           fixture->first_key + 420 * STEP, NULL, error);
}

/* Between two internal nodes, so that both are to be mended. */
static gboolean op_remove_many(Fixture *fixture, GError **error)
{
  return thin_btree_remove(&fixture->tree, &fixture->root, fixture->first_key + 30 * STEP,
                           fixture->first_key + 6400 * STEP, NULL, error);
}

static gboolean op_remove_but_few(Fixture *fixture, GError **error)
{
  return thin_btree_remove(&fixture->tree, &fixture->root, fixture->first_key + 3 * STEP,
                           G_MAXUINT64, NULL, error);
}

static gboolean op_remove_all(Fixture *fixture, GError **error)
{
  return thin_btree_remove(&fixture->tree, &fixture->root, 0, G_MAXUINT64, NULL, error);
}

static gboolean op_delete(Fixture *fixture, GError **error)
{
  return thin_btree_delete(&fixture->tree, fixture->root, error);
}

static gboolean (*const ops[])(Fixture *fixture, GError **error) = {
    op_insert_first, op_insert_last, op_insert_between, op_insert_full, op_overwrite, op_own_path,
    op_remove_some,  op_remove_many, op_remove_but_few, op_remove_all,  op_delete};

/* --- what fails --------------------------------------------------------------------- */

/* What was committed is what it was, for who opens it now. */
static void assert_committed(Fixture *fixture)
{
  guint64 key = fixture->first_key;

  vt_io_failer_arm(fixture->failer, VT_IO_READ, G_MAXUINT, EIO);
  thin_cache_forget_all(fixture->tm.cache);
  for (guint64 next = 0; next != G_MAXUINT64;) {
    g_auto(ThinLeaf) leaf = {0};
    assert_ok(thin_btree_seek(&fixture->tree, fixture->committed, next, &leaf, &error));
    for (guint i = 0; i < leaf.n; i++, key += STEP)
      assert_true(thin_leaf_key(&leaf, i) == key && thin_leaf_u64(&leaf, i) == key);
    next = leaf.upper;
  }
  assert_int_equal(key, fixture->end_key);
}

static void take_all_blocks_but(Fixture *fixture, guint left)
{
  guint64 block;

  while (thin_metadata_map_n_usable(fixture->tm.map) > left)
    assert_ok(thin_metadata_map_alloc(fixture->tm.map, &block, &error));
}

typedef enum { NO_BLOCK, BAD_READ, BAD_COUNT, N_FAULTS } Fault;
static const int codes[] = {ENOSPC, EIO, ECANCELED};

/* Returns whether @which failed at its point @at. */
static gboolean fail_at(VtIo *io, Sharing sharing, guint which, Fault fault, guint at)
{
  g_autoptr(GError) error = NULL;
  Fixture fixture;
  gboolean ok, met;

  setup(&fixture, io, sharing);
  if (fault == NO_BLOCK)
    take_all_blocks_but(&fixture, at);
  else if (fault == BAD_READ)
    vt_io_failer_arm(fixture.failer, VT_IO_READ | VT_IO_ONCE, at, EIO);
  else
    fixture.fail_call = at;
  ok = ops[which](&fixture, &error);
  met = !ok || vt_io_failer_failed(fixture.failer) > 0;
  if (!ok && !g_error_matches(error, VT_ERROR, codes[fault]))
    fail_msg("operation %u, fault %u at %u: %s", which, fault, at, error ? error->message : "?");
  assert_committed(&fixture);
  teardown(&fixture);
  return met;
}

static void test_each_point_fails(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "tree", (guint64)N_BLOCKS * THIN_METADATA_BLOCK);
  guint n[N_FAULTS] = {0};

  for (Sharing sharing = ALONE; sharing <= WAS_SHARED; sharing++)
    for (guint which = 0; which < G_N_ELEMENTS(ops); which++)
      for (Fault fault = NO_BLOCK; fault < N_FAULTS; fault++)
        for (guint at = 0; fail_at(io, sharing, which, fault, at); at += at < 40 ? 1 : 37)
          n[fault]++;
  print_message("# %u times no block, %u a node that cannot be read, %u a count\n", n[NO_BLOCK],
                n[BAD_READ], n[BAD_COUNT]);
  assert_true(n[NO_BLOCK] > 200 && n[BAD_READ] > 300 && n[BAD_COUNT] > 100);
}

/* --- what cannot be ----------------------------------------------------------------- */

/* Two nodes of one kind and one of another beneath a root, made in this transaction: so they are
 * looked at, and entries would move between them. */
static void make_uneven(Fixture *fixture, gboolean left, gboolean internal)
{
  guint64 key = fixture->first_key, at = key, odd_keys[LEAF_MAX], keys[2], nodes[2];
  guint i = left ? 0 : 1;

  if (!left)
    nodes[0] = new_leaf(fixture, LEAF_MAX, &key);
  for (guint j = 0; j < LEAF_MAX; j++)
    odd_keys[j] = key + j * STEP;
  keys[i] = key;
  at = key;
  nodes[i] = internal ? new_leaf(fixture, LEAF_MAX, &at) : 0;
  nodes[i] = internal ? new_node(fixture, FALSE, 8, 1, odd_keys, &nodes[i])
                      : new_node(fixture, TRUE, 8, LEAF_MAX, odd_keys, odd_keys);
  key += LEAF_MAX * STEP;
  if (left) {
    keys[1] = key;
    nodes[1] = new_leaf(fixture, LEAF_MAX, &key);
  } else {
    keys[0] = fixture->first_key;
  }
  fixture->root = new_node(fixture, FALSE, 8, 2, keys, nodes);
}

static void test_uneven(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "tree", (guint64)N_BLOCKS * THIN_METADATA_BLOCK);

  for (guint i = 0; i < 4; i++) {
    gboolean left = i % 2, internal = i / 2;
    Fixture fixture;
    setup(&fixture, io, ALONE);
    make_uneven(&fixture, left, internal);
    guint64 full = fixture.first_key + (left ? LEAF_MAX * STEP : 0);
    assert_fails(insert(&fixture, full + 5, 1, 1, &error), EBADMSG);
    assert_committed(&fixture);
    teardown(&fixture);

    setup(&fixture, io, ALONE);
    make_uneven(&fixture, left, internal);
    assert_fails(thin_btree_remove(&fixture.tree, &fixture.root, full + STEP, full + 25 * STEP,
                                   NULL, &error),
                 EBADMSG);
    assert_committed(&fixture);
    teardown(&fixture);
  }
}

/* Trees of others have nodes of one entry: the neighbour does not give away more than it may. */
static void test_nearly_empty_neighbour(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "tree", (guint64)N_BLOCKS * THIN_METADATA_BLOCK);
  Fixture fixture;
  guint64 key, keys[2], nodes[2], count;

  setup(&fixture, io, ALONE);
  key = keys[0] = fixture.first_key;
  nodes[0] = new_leaf(&fixture, 1, &key);
  keys[1] = key;
  nodes[1] = new_leaf(&fixture, LEAF_MAX, &key);
  fixture.root = new_node(&fixture, FALSE, 8, 2, keys, nodes);
  assert_ok(insert(&fixture, key, STEP, 1, &error));
  assert_ok(thin_btree_count(&fixture.tree, fixture.root, 0, G_MAXUINT64, &count, &error));
  assert_int_equal(count, LEAF_MAX + 2);
  g_autoptr(ThinBlock) right = NULL;
  assert_ok(right = thin_cache_get(fixture.tm.cache, nodes[1], THIN_KIND_NODE, &error));
  assert_int_equal(thin_node_n(right->data), LEAF_MIN + 1);
  thin_block_put(g_steal_pointer(&right));
  teardown(&fixture);
}

/* Chains of nodes with one child, longer than any tree is deep. One of just that length is
 * done by some, refused by others. */
static void test_too_deep(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "tree", (guint64)N_BLOCKS * THIN_METADATA_BLOCK);

  for (guint depth = THIN_BTREE_DEPTH_MAX - 1; depth <= THIN_BTREE_DEPTH_MAX + 1; depth++)
    for (guint i = 0; i < G_N_ELEMENTS(ops); i++) {
      Fixture fixture;
      GError *error = NULL;
      setup(&fixture, io, ALONE);
      guint64 at = fixture.first_key, root = new_leaf(&fixture, LEAF_MAX, &at);
      for (guint j = 0; j < depth; j++)
        root = new_node(&fixture, FALSE, 8, 1, &fixture.first_key, &root);
      fixture.root = root;
      gboolean ok = ops[i](&fixture, &error);
      if (ok ? depth > THIN_BTREE_DEPTH_MAX : depth < THIN_BTREE_DEPTH_MAX)
        fail_msg("operation %u, depth %u: %s", i, depth, error ? error->message : "is done");
      g_clear_error(&error);
      assert_committed(&fixture);
      teardown(&fixture);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, thin_test_setup, thin_test_teardown)
  const struct CMUnitTest tests[] = {TEST(test_each_point_fails), TEST(test_uneven),
                                     TEST(test_nearly_empty_neighbour), TEST(test_too_deep)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
