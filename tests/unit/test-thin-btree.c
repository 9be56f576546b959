/* virt-thin - the B-tree against GLib's tree, over random runs; and what each operation may cost
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Several trees live in one metadata device, copies of each other by reference count. Values stand
 * for chunks, whose counts the tree must keep: after each step the sum over all distinct leaves is
 * known from the model.
 */
#include "config.h"
#include "thin-helper.h"

#define N_BLOCKS 60000
#define N_VALUES 200000u
#define VALUE_SIZE_MAX 128

typedef struct {
  ThinTm tm;
  ThinBtree tree;
  GRand *rand;
  gint64 *refs; /* of each value: how often the tree says it is used */
  gint64 n_refs;
} Fixture;

static gboolean change_refs(gpointer user_data, const guint8 *values, guint n, gint64 delta)
{
  Fixture *fixture = user_data;
  for (guint i = 0; i < n; i++) {
    guint32 value;
    memcpy(&value, values + (gsize)i * fixture->tree.value_size, sizeof value);
    value = GUINT32_FROM_LE(value);
    assert_true(value < N_VALUES);
    fixture->refs[value] += delta;
    fixture->n_refs += delta;
    assert_true(fixture->refs[value] >= 0);
  }
  return TRUE;
}

static gboolean inc(gpointer user_data, const guint8 *values, guint n, GError **error)
{
  return change_refs(user_data, values, n, 1);
}

static gboolean dec(gpointer user_data, const guint8 *values, guint n, GError **error)
{
  return change_refs(user_data, values, n, -1);
}

static void setup(Fixture *fixture, ThinTest *test, guint value_size, guint32 seed)
{
  g_autoptr(VtIo) io = thin_test_file(test, "tree", (guint64)N_BLOCKS * THIN_METADATA_BLOCK);
  *fixture = (Fixture){.rand = g_rand_new_with_seed(seed), .refs = g_new0(gint64, N_VALUES)};
  fixture->tm = (ThinTm){thin_cache_new(io, 1, N_BLOCKS), thin_metadata_map_new(N_BLOCKS)};
  fixture->tree = (ThinBtree){.tm = &fixture->tm,
                              .name = "tree under test",
                              .value_size = value_size,
                              .inc = inc,
                              .dec = dec,
                              .context = fixture};
  thin_metadata_map_set_backed(fixture->tm.map, N_BLOCKS);
  assert_ok(thin_metadata_map_inc(fixture->tm.map, 0, &error));
}

static void teardown(Fixture *fixture)
{
  thin_cache_free(fixture->tm.cache);
  thin_metadata_map_free(fixture->tm.map);
  g_rand_free(fixture->rand);
  g_free(fixture->refs);
}

/* --- the tree's own rules ----------------------------------------------------------- */

typedef struct {
  guint n_nodes, n_leaves, depth;
  guint64 n_entries;
} Shape;

static void check_shape(Fixture *fixture, guint64 number, guint64 lower, guint64 upper, guint depth,
                        Shape *shape)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(ThinBlock) block = thin_cache_get(fixture->tm.cache, number, THIN_KIND_NODE, &error);
  assert_no_error(error);
  guint n = thin_node_n(block->data);
  assert_true(thin_metadata_map_count(fixture->tm.map, number) > 0);
  assert_true(depth == 0 || n >= thin_node_min(block->data));
  for (guint i = 0; i < n; i++) {
    guint64 key = thin_node_key(block->data, i);
    assert_true(key >= lower && key < upper && (i == 0 || key > thin_node_key(block->data, i - 1)));
  }
  for (guint i = n; i < thin_node_max(block->data); i++)
    assert_int_equal(thin_node_key(block->data, i),
                     0); /* unused places are zero: the same state, the same bytes */
  shape->n_nodes++;
  if (thin_node_is_leaf(block->data)) {
    assert_true(shape->depth == 0 || shape->depth == depth + 1);
    shape->depth = depth + 1;
    shape->n_leaves++;
    shape->n_entries += n;
    return;
  }
  assert_true(n > 1);
  for (guint i = 0; i < n; i++)
    check_shape(fixture, thin_node_child(block->data, i), thin_node_key(block->data, i),
                i + 1 < n ? thin_node_key(block->data, i + 1) : upper, depth + 1, shape);
}

/* --- against GTree ------------------------------------------------------------------ */

static gint by_key(gconstpointer a, gconstpointer b, gpointer user_data)
{
  return GPOINTER_TO_SIZE(a) < GPOINTER_TO_SIZE(b) ? -1 : GPOINTER_TO_SIZE(a) > GPOINTER_TO_SIZE(b);
}

typedef struct {
  Fixture *fixture;
  guint64 root, next;
  ThinLeaf leaf;
} Compare;

static gboolean compare_entry(gpointer key, gpointer value, gpointer user_data)
{
  Compare *compare = user_data;
  while (!compare->leaf.block || compare->leaf.first == compare->leaf.n) {
    if (compare->leaf.block)
      compare->next = compare->leaf.upper;
    thin_leaf_clear(&compare->leaf);
    assert_ok(thin_btree_seek(&compare->fixture->tree, compare->root, compare->next, &compare->leaf,
                              &error));
  }
  assert_int_equal(thin_leaf_key(&compare->leaf, compare->leaf.first), GPOINTER_TO_SIZE(key));
  assert_int_equal(thin_leaf_u32(&compare->leaf, compare->leaf.first), GPOINTER_TO_UINT(value));
  compare->leaf.first++;
  return FALSE;
}

static Shape compare_trees(Fixture *fixture, guint64 root, GTree *model)
{
  Compare compare = {fixture, root, 0, {0}};
  Shape shape = {0};
  check_shape(fixture, root, 0, G_MAXUINT64, 0, &shape);
  assert_int_equal(shape.n_entries, g_tree_nnodes(model));
  g_tree_foreach(model, compare_entry, &compare);
  thin_leaf_clear(&compare.leaf);
  return shape;
}

static void insert_keys(Fixture *fixture, guint64 *root, GTree *model, guint64 begin,
                        guint64 stride, guint n)
{
  g_autofree guint64 *keys = g_new(guint64, n);
  g_autofree guint8 *values = g_malloc0((gsize)n * fixture->tree.value_size);
  guint n_new, expected = 0;
  for (guint i = 0; i < n; i++) {
    guint32 value = (guint32)g_rand_int_range(fixture->rand, 1, N_VALUES),
            disk = GUINT32_TO_LE(value);
    keys[i] = begin + i * stride;
    memcpy(values + (gsize)i * fixture->tree.value_size, &disk, sizeof disk);
    fixture->refs[value]++; /* as who allocates */
    fixture->n_refs++;
    expected += g_tree_lookup(model, GSIZE_TO_POINTER(keys[i])) == NULL;
    g_tree_insert(model, GSIZE_TO_POINTER(keys[i]), GUINT_TO_POINTER(value));
  }
  assert_ok(thin_btree_insert(&fixture->tree, root, keys, values, n, &n_new, &error));
  assert_int_equal(n_new, expected);
}

static guint remove_from_model(GTree *model, guint64 begin, guint64 end)
{
  guint n = 0;
  GTreeNode *node;
  while ((node = g_tree_lower_bound(model, GSIZE_TO_POINTER(begin))) &&
         GPOINTER_TO_SIZE(g_tree_node_key(node)) < end) {
    g_tree_remove(model, g_tree_node_key(node));
    n++;
  }
  return n;
}

static void random_step(Fixture *fixture, guint64 *root, GTree *model, guint64 space, guint most)
{
  guint64 begin = (guint64)g_rand_int_range(fixture->rand, 1, (gint32)space);
  guint n =
      (guint)g_rand_int_range(fixture->rand, 1, g_rand_boolean(fixture->rand) ? 4 : (gint32)most);
  if (g_rand_int_range(fixture->rand, 0, 100) < 55) {
    insert_keys(fixture, root, model, begin,
                g_rand_boolean(fixture->rand) ? 1 : (guint64)g_rand_int_range(fixture->rand, 1, 50),
                n);
  } else {
    guint64 removed, end = begin + (g_rand_int_range(fixture->rand, 0, 20) == 0 ? space / 3 : n);
    assert_ok(thin_btree_remove(&fixture->tree, root, begin, end, &removed, &error));
    assert_int_equal(removed, remove_from_model(model, begin, end));
  }
}

static void random_run(ThinTest *test, guint value_size, guint64 space, guint most, guint steps)
{
  Fixture fixture;
  GTree *model = g_tree_new_full(by_key, NULL, NULL, NULL);
  guint64 root;
  guint depth = 0;

  setup(&fixture, test, value_size, 7 + value_size);
  assert_ok(thin_btree_empty(&fixture.tree, &root, &error));
  for (guint i = 0; i < steps; i++) {
    random_step(&fixture, &root, model, space, most);
    if (i % 16 == 0)
      depth = MAX(depth, compare_trees(&fixture, root, model).depth);
    assert_int_equal(fixture.n_refs,
                     g_tree_nnodes(model)); /* nothing is shared: each entry counts once */
  }
  compare_trees(&fixture, root, model);
  assert_true(depth >= 3);
  assert_ok(thin_btree_delete(&fixture.tree, root, &error));
  assert_int_equal(fixture.n_refs, 0);
  assert_int_equal(thin_metadata_map_n_allocated(fixture.tm.map), 1); /* the superblock's */
  g_tree_unref(model);
  teardown(&fixture);
}

static void test_random_mapping_values(void **state)
{
  random_run(*state, 8, 150000, 6000, 1500);
}

static void test_random_details_values(void **state)
{
  random_run(*state, 24, 60000, 3000, 1500);
}

static void test_random_count_values(void **state)
{
  random_run(*state, 4, 200000, 9000, 1500);
}

/* --- trees that share --------------------------------------------------------------- */

#define N_TREES 5

static void clone_tree(Fixture *fixture, guint64 roots[N_TREES], GTree *models[N_TREES], guint from,
                       guint to)
{
  GTreeNode *node;
  assert_ok(thin_btree_delete(&fixture->tree, roots[to], &error));
  roots[to] = roots[from];
  assert_ok(thin_tm_inc(&fixture->tm, roots[to], &error));
  g_tree_unref(models[to]);
  models[to] = g_tree_new_full(by_key, NULL, NULL, NULL);
  for (node = g_tree_node_first(models[from]); node; node = g_tree_node_next(node))
    g_tree_insert(models[to], g_tree_node_key(node), g_tree_node_value(node));
}

/* No tree sees what is done to another, nodes are freed with the last, and a block is only ever
 * reused when a "commit" lies between. */
static void test_shared_trees(void **state)
{
  Fixture fixture;
  GTree *models[N_TREES];
  guint64 roots[N_TREES];

  setup(&fixture, *state, 8, 99);
  for (guint i = 0; i < N_TREES; i++) {
    models[i] = g_tree_new_full(by_key, NULL, NULL, NULL);
    assert_ok(thin_btree_empty(&fixture.tree, &roots[i], &error));
  }
  for (guint step = 0; step < 1200; step++) {
    guint i = (guint)g_rand_int_range(fixture.rand, 0, N_TREES),
          j = (guint)g_rand_int_range(fixture.rand, 0, N_TREES);
    if (i != j && g_rand_int_range(fixture.rand, 0, 12) == 0)
      clone_tree(&fixture, roots, models, i, j);
    else
      random_step(&fixture, &roots[i], models[i], 30000, 1500);
    if (g_rand_int_range(fixture.rand, 0, 8) ==
        0) { /* commit: from now on all is copied before it changes */
      assert_ok(thin_cache_write_out(fixture.tm.cache, &error));
      thin_metadata_map_settle(fixture.tm.map);
    }
    if (step % 8 == 0)
      for (guint k = 0; k < N_TREES; k++)
        compare_trees(&fixture, roots[k], models[k]);
  }
  for (guint i = 0; i < N_TREES; i++) {
    assert_ok(thin_btree_delete(&fixture.tree, roots[i], &error));
    g_tree_unref(models[i]);
  }
  assert_int_equal(fixture.n_refs, 0);
  assert_int_equal(thin_metadata_map_n_allocated(fixture.tm.map), 1);
  teardown(&fixture);
}

/* --- what it costs ------------------------------------------------------------------ */

/* Keys that rise leave full nodes behind: the kernel reaches 96 %. */
static void test_rising_keys_fill_nodes(void **state)
{
  Fixture fixture;
  GTree *model = g_tree_new_full(by_key, NULL, NULL, NULL);
  guint64 root;
  setup(&fixture, *state, 8, 1);
  assert_ok(thin_btree_empty(&fixture.tree, &root, &error));
  for (guint i = 0; i < 1000; i++)
    insert_keys(&fixture, &root, model, i * 100, 1, 100);
  Shape shape = compare_trees(&fixture, root, model);
  assert_true(shape.n_entries * 100 >= (guint64)shape.n_leaves * 252 * 96);
  g_tree_unref(model);
  teardown(&fixture);
}

/* A copy of a large tree costs nothing; the first change to it costs one path. */
static void test_copy_on_write_costs_one_path(void **state)
{
  Fixture fixture;
  GTree *model = g_tree_new_full(by_key, NULL, NULL, NULL);
  guint64 root, copy, before;
  setup(&fixture, *state, 8, 1);
  assert_ok(thin_btree_empty(&fixture.tree, &root, &error));
  insert_keys(&fixture, &root, model, 0, 1, 100000);
  Shape shape = compare_trees(&fixture, root, model);
  assert_int_equal(shape.depth, 3);
  thin_metadata_map_settle(fixture.tm.map);

  copy = root;
  assert_ok(thin_tm_inc(&fixture.tm, copy, &error));
  before = thin_metadata_map_n_allocated(fixture.tm.map);
  insert_keys(&fixture, &copy, model, 5000, 1, 10);
  assert_int_equal(thin_metadata_map_n_allocated(fixture.tm.map) - before, 3);
  compare_trees(&fixture, copy, model);
  g_tree_unref(model);
  teardown(&fixture);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, thin_test_setup, thin_test_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_random_mapping_values),  TEST(test_random_details_values),
      TEST(test_random_count_values),    TEST(test_shared_trees),
      TEST(test_rising_keys_fill_nodes), TEST(test_copy_on_write_costs_one_path),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
