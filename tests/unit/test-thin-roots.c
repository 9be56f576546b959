/* virt-thin - tests: the roots of thin metadata found without its superblock
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * $VIRT_THIN_TEST_SEED sets the seed of the histories, $VIRT_THIN_TEST_LONG makes them ten times
 * as many.
 */
#include "config.h"
#include "progress.h"
#include "thin-helper.h"

#include "thin/format/dump.h"
#include "thin/rebuild/roots.h"

#define N_BLOCKS 4096u
#define N_CHUNKS 20000u
#define N_IDS 200u

/* --- metadata with a past --- */

typedef struct {
  GRand *rand;
  VtIo *io;
  ThinMetadata *md;
  guint64 transaction_id;
} History;

static guint pick(History *history, guint n)
{
  return (guint)g_rand_int_range(history->rand, 0, (gint)n);
}

static void commit(History *history)
{
  assert_ok(thin_metadata_commit(history->md, NULL, NULL, &error));
  thin_metadata_freed_done(history->md);
}

/* As LVM's changes are: a transaction of their own, which is counted. */
static void change_devices(History *history)
{
  guint32 id = pick(history, N_IDS), other = pick(history, N_IDS);

  commit(history);
  thin_metadata_set_transaction_id(history->md, ++history->transaction_id);
  if (pick(history, 5) == 0)
    thin_metadata_delete(history->md, other, NULL);
  else if (pick(history, 3) == 0 || !thin_metadata_snapshot(history->md, id, other, NULL))
    thin_metadata_create(history->md, id, NULL);
  commit(history);
}

static GArray *devices_of(History *history)
{
  g_autoptr(GError) error = NULL;
  GArray *devices = thin_metadata_list_devices(history->md, &error);

  assert_no_error(error);
  return devices;
}

static void map_some(History *history, guint32 id)
{
  guint64 begin = pick(history, 3000), n = 1 + pick(history, 300), chunk, got;
  ThinRun run;

  if (!thin_metadata_lookup(history->md, id, begin, begin + n, &run, NULL) ||
      !thin_metadata_alloc(history->md, run.end - begin, &chunk, &got, NULL))
    return;
  assert_ok(thin_metadata_insert(history->md, id, begin, chunk, got, &error));
}

static void step(History *history)
{
  g_autoptr(GArray) devices = devices_of(history);
  guint what = pick(history, 100);
  guint32 id =
      devices->len ? g_array_index(devices, ThinDevice, pick(history, devices->len)).id : 0;
  guint64 begin = pick(history, 3000);

  if (devices->len == 0 || what < 10)
    change_devices(history);
  else if (what < 60)
    map_some(history, id);
  else if (what < 75)
    assert_ok(thin_metadata_remove(history->md, id, begin, begin + 1 + pick(history, 300), &error));
  else
    commit(history);
}

static guint32 some_device(History *history)
{
  g_autoptr(GArray) devices = devices_of(history);

  if (devices->len)
    return g_array_index(devices, ThinDevice, pick(history, devices->len)).id;
  assert_ok(thin_metadata_create(history->md, 1, &error));
  return 1;
}

static void begin(History *history, ThinTest *test, guint32 seed)
{
  g_autoptr(GError) error = NULL;

  history->rand = g_rand_new_with_seed(seed);
  history->io = thin_test_file(test, "meta", N_BLOCKS * THIN_METADATA_BLOCK);
  assert_ok(thin_metadata_format(history->io, THIN_CHUNK_MIN, N_CHUNKS, &error));
  history->md = thin_metadata_open(history->io, FALSE, 1, &error);
  assert_no_error(error);
  history->transaction_id = 0;
}

static void end(History *history)
{
  g_rand_free(history->rand);
  thin_metadata_close(history->md);
  vt_io_unref(history->io);
}

static void run(History *history, ThinTest *test, guint32 seed)
{
  guint n;

  begin(history, test, seed);
  n = 20 + pick(history, 400);
  for (guint i = 0; i < n; i++)
    step(history);
}

/* --- what is found --- */

typedef union {
  ThinDiskSuperblock superblock;
  guint8 data[THIN_METADATA_BLOCK];
  guint64 align;
} Block;

static Block wipe(VtIo *io)
{
  static const Block zeros;
  Block old;

  assert_ok(vt_io_read(io, &old, sizeof old, 0, &error));
  assert_ok(vt_io_write(io, &zeros, sizeof zeros, 0, &error));
  return old;
}

static void write_block(VtIo *io, guint64 number, const Block *block)
{
  assert_ok(vt_io_write(io, block, sizeof *block, number * sizeof *block, &error));
}

static void flip(VtIo *io, guint64 number)
{
  guint8 byte;

  assert_ok(vt_io_read(io, &byte, 1, number * THIN_METADATA_BLOCK + 200, &error));
  byte ^= 1;
  assert_ok(vt_io_write(io, &byte, 1, number * THIN_METADATA_BLOCK + 200, &error));
}

static GPtrArray *find(VtIo *io, GArray *devices)
{
  g_autoptr(GError) error = NULL;
  g_autofree guint32 *ids = g_new0(guint32, devices ? devices->len + 1 : 1);
  ThinRootHints hints = {ids, devices ? devices->len : 0};
  GPtrArray *all;

  for (guint i = 0; devices && i < devices->len; i++)
    ids[i] = g_array_index(devices, ThinDevice, i).id;
  all = thin_roots_find(io, devices ? &hints : NULL, 64, &error);
  assert_no_error(error);
  return all;
}

static const ThinRootPair *first(GPtrArray *pairs)
{
  return pairs->pdata[0];
}

/* What thin_dump would say with the superblock @old and the roots of @pair. */
static char *dump(VtIo *io, const Block *old, const ThinRootPair *pair)
{
  ThinDumpOptions options = {.device = -1};
  Block with = *old;
  char *text = NULL;
  size_t length;
  FILE *out = open_memstream(&text, &length);

  if (pair) {
    with.superblock.data_mapping_root = GUINT64_TO_LE(pair->mapping_root);
    with.superblock.device_details_root = GUINT64_TO_LE(pair->details_root);
  }
  thin_block_seal(with.data, 0, THIN_KIND_SUPERBLOCK);
  write_block(io, 0, &with);
  assert_ok(thin_dump(io, &options, out, &error));
  fclose(out);
  wipe(io);
  return text;
}

static void assert_is_truth(VtIo *io, const Block *old, const ThinRootPair *pair)
{
  char *truth = dump(io, old, NULL), *found = dump(io, old, pair);

  assert_int_equal(pair->match, THIN_ROOTS_EXACT);
  assert_int_equal(pair->losses->len, 0);
  assert_string_equal(found, truth);
  free(truth);
  free(found);
}

static guint32 first_seed(void)
{
  const char *text = g_getenv("VIRT_THIN_TEST_SEED");
  guint32 seed = text ? (guint32)g_ascii_strtoull(text, NULL, 10) : 20261130;

  print_message("# seed %u\n", seed);
  return seed;
}

static guint times(guint n)
{
  return g_getenv("VIRT_THIN_TEST_LONG") ? 10 * n : n;
}

/* The last commit made a device: then nothing older looks as new. */
static void test_newest(void **state)
{
  guint32 seed = first_seed();

  for (guint i = 0; i < times(20); i++) {
    History history = {0};
    g_autoptr(GArray) devices = NULL;
    g_autoptr(GPtrArray) found = NULL, hinted = NULL;
    Block old;

    progress("history %u", i);
    run(&history, *state, seed + i);
    commit(&history);
    thin_metadata_set_transaction_id(history.md, ++history.transaction_id);
    assert_ok(thin_metadata_create(history.md, N_IDS, &error));
    commit(&history);
    devices = devices_of(&history);
    old = wipe(history.io);
    found = find(history.io, NULL);
    hinted = find(history.io, devices);
    assert_is_truth(history.io, &old, first(found));
    assert_is_truth(history.io, &old, first(hinted));
    assert_int_equal(first(found)->transaction_id, history.transaction_id);
    end(&history);
  }
}

/* Whatever came last: the truth is among what is found, and mostly it is the first. */
static void test_any(void **state)
{
  guint32 seed = first_seed();
  guint n_first = 0, n = times(40);

  for (guint i = 0; i < n; i++) {
    History history = {0};
    g_autoptr(GArray) devices = NULL;
    g_autoptr(GPtrArray) found = NULL;
    guint at = 0;
    Block old;

    progress("history %u", i);
    run(&history, *state, seed + 1000 + i);
    commit(&history);
    devices = devices_of(&history);
    old = wipe(history.io);
    found = find(history.io, devices);
    while (at < found->len && ((ThinRootPair *)found->pdata[at])->mapping_root !=
                                  GUINT64_FROM_LE(old.superblock.data_mapping_root))
      at++;
    assert_true(at < found->len);
    assert_is_truth(history.io, &old, found->pdata[at]);
    n_first += at == 0;
    end(&history);
  }
  print_message("# the first of %u was the truth %u times\n", n, n_first);
  assert_true(n_first * 10 >= n * 8);
}

/* The newest maps go before an older pair where all they lack is their details: what was written
 * since then is not lost. */
static void test_lost_details(void **state)
{
  guint32 seed = first_seed();
  guint n_first = 0, n = times(40);

  for (guint i = 0; i < n; i++) {
    static const Block zeros;
    History history = {0};
    g_autoptr(GArray) devices = NULL;
    g_autoptr(GPtrArray) found = NULL;
    Block old;

    progress("history %u", i);
    run(&history, *state, seed + 3000 + i);
    commit(&history);
    map_some(&history, some_device(&history));
    commit(&history);
    devices = devices_of(&history);
    old = wipe(history.io);
    if (i % 2)
      flip(history.io, GUINT64_FROM_LE(old.superblock.device_details_root));
    else
      write_block(history.io, GUINT64_FROM_LE(old.superblock.device_details_root), &zeros);
    found = find(history.io, devices);
    n_first += first(found)->mapping_root == GUINT64_FROM_LE(old.superblock.data_mapping_root);
    end(&history);
  }
  print_message("# the first of %u had the newest maps %u times\n", n, n_first);
  assert_true(n_first * 10 >= n * 8);
}

/* Where it is the newest maps that are damaged, what is found is known to be older: with the
 * superblock always. Without it mostly, but it is said that it may be. Where nothing but the
 * superblock is damaged, it is not said. */
static void test_lost_maps(void **state)
{
  guint32 seed = first_seed();
  guint n_known = 0, n_told = 0, n = times(40);

  for (guint i = 0; i < n; i++) {
    History history = {0};
    g_autoptr(GArray) devices = NULL;
    g_autoptr(GPtrArray) with = NULL, without = NULL, whole = NULL;
    Block old;

    progress("history %u", i);
    run(&history, *state, seed + 5000 + i);
    commit(&history);
    map_some(&history, some_device(&history));
    commit(&history);
    devices = devices_of(&history);
    old = wipe(history.io);
    whole = find(history.io, devices);
    assert_false(first(whole)->is_older || first(whole)->may_be_older);
    flip(history.io, GUINT64_FROM_LE(old.superblock.data_mapping_root));
    without = find(history.io, devices);
    write_block(history.io, 0, &old);
    with = find(history.io, devices);
    for (guint j = 0; j < with->len; j++) {
      assert_true(((ThinRootPair *)with->pdata[j])->is_older);
      assert_int_equal(((ThinRootPair *)with->pdata[j])->later_details,
                       GUINT64_FROM_LE(old.superblock.device_details_root));
    }
    n_known += first(without)->is_older &&
               first(without)->later_details == GUINT64_FROM_LE(old.superblock.device_details_root);
    n_told += first(without)->is_older || first(without)->may_be_older;
    end(&history);
  }
  print_message("# of %u the first was known to be older %u times, said that it may be %u times\n",
                n, n_known, n_told - n_known);
  assert_true(n_known * 10 >= n * 6);
  assert_true(n_told * 10 >= n * 9);
}

/* --- pools of the kernel's --- */

static const char *const kernel_pools[] = {
    "01-clean",        "02-crash",       "03a-tid-pool-ahead",    "04a-needs-check",
    "05a-out-of-data", "06-msg-pending", "06-delete-msg-pending", "06-snap-made-tid-old",
};

static VtIo *unpack(ThinTest *test, const char *name)
{
  g_autofree char *path = thin_test_path(test, name);

  thin_test_unpack(name, path);
  return thin_test_open(path, FALSE);
}

static GArray *truth_devices(VtIo *io)
{
  g_autoptr(GError) error = NULL;
  ThinMetadata *md = thin_metadata_open(io, TRUE, 0, &error);
  GArray *devices;

  assert_no_error(error);
  devices = thin_metadata_list_devices(md, &error);
  assert_no_error(error);
  thin_metadata_close(md);
  return devices;
}

static void test_kernel(void **state)
{
  for (guint i = 0; i < G_N_ELEMENTS(kernel_pools); i++) {
    g_autoptr(VtIo) io = unpack(*state, kernel_pools[i]);
    g_autoptr(GArray) devices = truth_devices(io);
    g_autoptr(GPtrArray) whole = find(io, NULL), found = NULL;
    Block old = wipe(io);

    assert_true(first(whole)->is_current);
    assert_is_truth(io, &old, first(whole));
    found = find(io, devices);
    assert_false(first(found)->is_current);
    assert_is_truth(io, &old, first(found));
  }
}

/* A root that is damaged is replaced by the one that fits the other. */
static void test_one_root(void **state)
{
  for (guint maps = 0; maps < 2; maps++) {
    g_autoptr(VtIo) io = unpack(*state, "01-clean");
    g_autoptr(GArray) devices = truth_devices(io);
    g_autoptr(GPtrArray) found = NULL;
    Block old;

    assert_ok(vt_io_read(io, &old, sizeof old, 0, &error));
    flip(io, GUINT64_FROM_LE(maps ? old.superblock.data_mapping_root
                                  : old.superblock.device_details_root));
    found = find(io, devices);
    assert_true(first(found)->is_current);
    assert_int_equal(maps ? first(found)->details_root : first(found)->mapping_root,
                     GUINT64_FROM_LE(maps ? old.superblock.device_details_root
                                          : old.superblock.data_mapping_root));
    assert_int_equal(first(found)->match, THIN_ROOTS_EXACT);
    assert_int_equal(first(found)->devices->len, devices->len);
    assert_int_equal(first(found)->n_mappings, 324);
  }
}

static void test_damaged_leaf(void **state)
{
  g_autoptr(VtIo) io = unpack(*state, "04b-damaged-leaf");
  static const guint32 ids[] = {1, 2, 3, 4, 5};
  const ThinRootHints hints = {ids, G_N_ELEMENTS(ids)};

  for (guint wiped = 0; wiped < 2; wiped++) {
    g_autoptr(GPtrArray) found = thin_roots_find(io, &hints, 1, NULL);
    const ThinRootLoss *loss = &g_array_index(first(found)->losses, ThinRootLoss, 0);
    g_autofree char *text = thin_root_loss_text(loss);

    assert_int_equal(found->len, 1);
    assert_int_equal(first(found)->match, THIN_ROOTS_DAMAGED);
    assert_int_equal(first(found)->losses->len, 1);
    assert_int_equal(first(found)->n_mappings, 250);
    assert_true(strstr(text, "thin device 1: ") && strstr(text, "metadata block 148"));
    for (guint32 id = 1; id <= 5; id++)
      assert_int_equal(thin_root_pair_device(first(found), id)->whole, id != 1);
    assert_null(thin_root_pair_device(first(found), 6));
    wipe(io);
  }
}

/* --- any leaf --- */

typedef struct {
  guint64 wanted; /* which leaf of the walk; then its block */
  guint64 n_leaves, block, n_entries;
} Leaf;

static void see_leaf(ThinWalk *walk, guint64 number, const guint8 *data, gboolean is_root)
{
  Leaf *leaf = walk->data;

  if (!thin_node_is_leaf(data))
    return;
  if (leaf->n_leaves++ == leaf->wanted) {
    leaf->block = number;
    leaf->n_entries = thin_node_n(data);
  }
}

static void see_block(ThinWalk *walk, guint64 number, const guint8 *data, gboolean is_root)
{
  Leaf *leaf = walk->data;

  leaf->n_leaves += number == leaf->block;
}

static void walk_map(VtIo *io, guint64 root, Leaf *leaf,
                     void (*node)(ThinWalk *, guint64, const guint8 *, gboolean))
{
  ThinWalk walk = {.io = io,
                   .n_blocks = N_BLOCKS,
                   .value_size = 8,
                   .end = G_MAXUINT64,
                   .data = leaf,
                   .node = node};

  assert_ok(thin_walk(&walk, root, NULL, &error));
}

/* The device that has @leaf has lost its mappings; those that do not are whole. */
static void compare_losses(VtIo *io, const ThinRootPair *before, const ThinRootPair *after,
                           const Leaf *leaf, const Block *saved)
{
  Block damaged;

  assert_ok(vt_io_read(io, &damaged, sizeof damaged, leaf->block * sizeof damaged, &error));
  write_block(io, leaf->block, saved);
  assert_int_equal(after->mapping_root, before->mapping_root);
  assert_int_equal(after->devices->len, before->devices->len);
  for (guint i = 0; i < after->devices->len; i++) {
    const ThinRootDevice *was = &g_array_index(before->devices, ThinRootDevice, i),
                         *is = &g_array_index(after->devices, ThinRootDevice, i);
    Leaf here = {.block = leaf->block};

    walk_map(io, was->map, &here, see_block);
    assert_int_equal(is->whole, here.n_leaves == 0);
    assert_int_equal(is->n_found, was->n_found - (here.n_leaves ? leaf->n_entries : 0));
  }
  write_block(io, leaf->block, &damaged);
}

static void test_any_leaf(void **state)
{
  guint32 seed = first_seed();

  for (guint i = 0; i < times(10); i++) {
    History history = {0};
    g_autoptr(GArray) devices = NULL;
    g_autoptr(GPtrArray) whole = NULL, found = NULL;
    const ThinRootDevice *device;
    Leaf leaf = {0};
    Block saved;

    progress("history %u", i);
    run(&history, *state, seed + 5000 + i);
    change_devices(&history);
    devices = devices_of(&history);
    whole = find(history.io, devices);
    device = &g_array_index(first(whole)->devices, ThinRootDevice, pick(&history, devices->len));
    leaf.wanted = G_MAXUINT64;
    walk_map(history.io, device->map, &leaf, see_leaf);
    leaf.wanted = pick(&history, (guint)leaf.n_leaves);
    leaf.n_leaves = 0;
    walk_map(history.io, device->map, &leaf, see_leaf);
    assert_ok(vt_io_read(history.io, &saved, sizeof saved, leaf.block * sizeof saved, &error));
    flip(history.io, leaf.block);
    found = find(history.io, devices);
    assert_true(first(found)->is_current);
    compare_losses(history.io, first(whole), first(found), &leaf, &saved);
    end(&history);
  }
}

/* --- what others err in --- */

static void make_small(History *history, ThinTest *test, guint n_chunks)
{
  guint64 chunk, got;

  begin(history, test, 1);
  if (n_chunks) {
    assert_ok(thin_metadata_create(history->md, 1, &error));
    assert_ok(thin_metadata_alloc(history->md, n_chunks, &chunk, &got, &error));
    assert_int_equal(chunk, 0);
    assert_ok(thin_metadata_insert(history->md, 1, 0, chunk, got, &error));
  }
  commit(history);
}

static void test_chunk_0_at_time_0(void **state)
{
  History history = {0};
  g_autoptr(GPtrArray) whole = NULL, found = NULL;
  Block old;

  make_small(&history, *state, 1);
  whole = find(history.io, NULL);
  assert_true(first(whole)->is_current);
  old = wipe(history.io);
  found = find(history.io, NULL);
  assert_is_truth(history.io, &old, first(found));
  assert_int_equal(first(found)->n_mappings, 1);
  end(&history);
}

static void test_empty_pool(void **state)
{
  History history = {0};
  g_autoptr(GPtrArray) whole = NULL, found = NULL;
  Block old;

  make_small(&history, *state, 0);
  whole = find(history.io, NULL);
  assert_true(first(whole)->is_current);
  old = wipe(history.io);
  found = find(history.io, NULL);
  assert_is_truth(history.io, &old, first(found));
  assert_int_equal(first(found)->devices->len, 0);
  end(&history);
}

static void test_emptied_pool(void **state)
{
  History history = {0};
  g_autoptr(GArray) none = NULL;
  g_autoptr(GPtrArray) found = NULL;
  Block old;

  make_small(&history, *state, 5);
  assert_ok(thin_metadata_delete(history.md, 1, &error));
  commit(&history);
  none = devices_of(&history);
  old = wipe(history.io);
  found = find(history.io, none);
  assert_is_truth(history.io, &old, first(found));
  end(&history);
}

static void test_nothing(void **state)
{
  g_autoptr(VtIo) empty = thin_test_file(*state, "empty", 64 * THIN_METADATA_BLOCK),
                  none = thin_test_file(*state, "none", 0);

  assert_fails(thin_roots_find(empty, NULL, 1, &error) != NULL, ENOENT);
  assert_fails(thin_roots_find(none, NULL, 1, &error) != NULL, ENOENT);
  assert_fails(thin_roots_at(empty, 5, 0, &error) != NULL, EBADMSG);
  assert_fails(thin_roots_at(empty, 500, 0, &error) != NULL, EBADMSG);
}

static void test_at(void **state)
{
  g_autoptr(VtIo) io = unpack(*state, "01-clean");
  g_autoptr(GError) error = NULL;
  g_autoptr(ThinRootPair) older = thin_roots_at(io, 141, 143, &error),
                          alone = thin_roots_at(io, 141, 0, NULL),
                          apart = thin_roots_at(io, 141, 1040, NULL);

  assert_no_error(error);
  assert_int_equal(older->match, THIN_ROOTS_EXACT);
  assert_int_equal(older->n_mappings, 323);
  assert_int_equal(alone->match, THIN_ROOTS_DAMAGED);
  assert_int_equal(apart->match, THIN_ROOTS_APART);
  assert_fails(thin_roots_at(io, 1040, 143, &error) != NULL, EBADMSG);
  assert_fails(thin_roots_at(io, 141, 141, &error) != NULL, EBADMSG);
}

static void test_unreadable(void **state)
{
  g_autoptr(VtIo) io = unpack(*state, "01-clean"),
                  failer = vt_io_failer_new(io, VT_IO_READ, 0, EIO);

  assert_fails(thin_roots_find(failer, NULL, 1, &error) != NULL, EIO);
}

/* --- content that means harm --- */

static void make_leaf(Block *block, guint64 number, guint value_size, guint n)
{
  memset(block, 0, sizeof *block);
  thin_node_init(block->data, TRUE, value_size);
  thin_node_set_n(block->data, n);
  for (guint i = 0; i < n; i++)
    thin_node_set_key(block->data, i, i);
}

/* Every block is a root of as many devices as fit, or details that fit it, or leads to all others.
 */
static void test_many_roots(void **state)
{
  guint n_blocks = 20000;
  g_autoptr(VtIo) io = thin_test_file(*state, "many", n_blocks * THIN_METADATA_BLOCK);
  gint64 begun = g_get_monotonic_time();
  g_autoptr(GPtrArray) found = NULL;
  Block block;

  for (guint number = 1; number < n_blocks; number++) {
    guint kind = number % 3;

    make_leaf(&block, number, kind == 1 ? sizeof(ThinDiskDetails) : 8, kind == 1 ? 126 : 252);
    for (guint i = 0; kind != 1 && i < 252; i++) {
      guint64 value = GUINT64_TO_LE(1 + (number * 252 + i) % (n_blocks - 1));

      memcpy(thin_node_value(block.data, i), &value, sizeof value);
    }
    if (kind == 2)
      block.superblock.header.flags = GUINT32_TO_LE(THIN_NODE_INTERNAL);
    thin_block_seal(block.data, number, THIN_KIND_NODE);
    write_block(io, number, &block);
  }
  found = find(io, NULL);
  assert_true(g_get_monotonic_time() - begun < 20 * G_USEC_PER_SEC);
}

/* A child that is its own ancestor is lost, and nothing beside it. */
static void test_loop(void **state)
{
  History history = {0};
  g_autoptr(GPtrArray) whole = NULL, found = NULL;
  const ThinRootDevice *device;
  guint64 chunk, got;
  Block root;

  begin(&history, *state, 1);
  assert_ok(thin_metadata_create(history.md, 1, &error));
  assert_ok(thin_metadata_alloc(history.md, 2000, &chunk, &got, &error));
  assert_ok(thin_metadata_insert(history.md, 1, 0, chunk, got, &error));
  commit(&history);
  whole = find(history.io, NULL);
  device = thin_root_pair_device(first(whole), 1);
  assert_ok(thin_block_read(history.io, device->map, THIN_KIND_NODE, root.data, &error));
  assert_false(thin_node_is_leaf(root.data));
  thin_node_set_child(root.data, 1, device->map);
  thin_block_seal(root.data, device->map, THIN_KIND_NODE);
  write_block(history.io, device->map, &root);
  found = find(history.io, NULL);
  device = thin_root_pair_device(first(found), 1);
  assert_false(device->whole);
  assert_true(device->n_found > 1000 && device->n_found < 2000);
  assert_int_equal(first(found)->losses->len, 1);
  end(&history);
}

static void mutate(Block *block, GRand *rand)
{
  for (gint i = g_rand_int_range(rand, 1, 4); i > 0; i--) {
    guint32 value = g_rand_int(rand) % (g_rand_boolean(rand) ? G_MAXUINT32 : 64);

    memcpy(block->data + 16 + 4 * g_rand_int_range(rand, 0, 80), &value, sizeof value);
  }
}

/* Some of the damage stays, until there is so much that nothing is left to be found. */
static void test_mutations(void **state)
{
  GRand *rand = g_rand_new_with_seed(first_seed());

  for (guint i = 0; i < times(1000);) {
    g_autoptr(VtIo) io = unpack(*state, "02-crash");
    gboolean any = TRUE;

    for (guint n = 0; any && n < 500; n++, i++) {
      guint64 number = (guint64)g_rand_int_range(rand, 0, 200);
      g_autoptr(GPtrArray) found = NULL;
      g_autoptr(GError) error = NULL;
      Block saved, block;

      progress("mutation %u", i);
      assert_ok(vt_io_read(io, &saved, sizeof saved, number * sizeof saved, &error));
      block = saved;
      mutate(&block, rand);
      thin_block_seal(block.data, number, number ? THIN_KIND_NODE : THIN_KIND_SUPERBLOCK);
      write_block(io, number, &block);
      found = thin_roots_find(io, NULL, 4, &error);
      any = found != NULL;
      assert_true(any || g_error_matches(error, VT_ERROR, ENOENT));
      if (g_rand_int_range(rand, 0, 8))
        write_block(io, number, &saved);
    }
  }
  g_rand_free(rand);
}

#define TEST(func) cmocka_unit_test_setup_teardown(func, thin_test_setup, thin_test_teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_newest),       TEST(test_any),          TEST(test_lost_details),
      TEST(test_lost_maps),    TEST(test_kernel),       TEST(test_one_root),
      TEST(test_damaged_leaf), TEST(test_any_leaf),     TEST(test_chunk_0_at_time_0),
      TEST(test_empty_pool),   TEST(test_emptied_pool), TEST(test_nothing),
      TEST(test_at),           TEST(test_unreadable),   TEST(test_many_roots),
      TEST(test_loop),         TEST(test_mutations),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
