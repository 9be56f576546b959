/* virt-thin - thin metadata whose blocks are damaged behind checksums that are right
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: test-thin-mutations      $VIRT_THIN_TEST_SEED sets the seed, $VIRT_THIN_TEST_LONG makes it
 *                                 60,000 mutations
 *
 * A pool with all that the format has (trees of two levels, maps that are shared, counts of three
 * and more in trees of their own, a metadata snapshot) is changed in one field of one block. Then
 * it is checked, dumped, read, changed, and committed or given up. Nothing may crash, loop, or fail
 * without a word; where the check found no error before, it finds none after what was committed.
 * (But for the superblock of the metadata snapshot: what is shared with the pool is checked once,
 * by what the pool says.)
 */
#include "config.h"
#include "thin-helper.h"

#include "progress.h"
#include "thin/format/dump.h"

#define N_BLOCKS 600u
#define N_CHUNKS 40000u /* three bitmaps */
#define N_DEVICES 300u  /* two levels in the trees of devices and of their details */

typedef struct {
  VtIo *io;
  char *path;
  GRand *rand;
  guint8 *whole;   /* the metadata, undamaged */
  GArray *used;    /* guint64: blocks in use */
  GArray *special; /* the same: those that all else is found by */
  guint64 held;
  guint n_sound, n_committed, n_broken;
} Bench;

/* --- the pool ----------------------------------------------------------------------- */

static void make_pool(VtIo *io)
{
  assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, N_CHUNKS, &error));
  ThinMetadata *md = thin_metadata_open(io, FALSE, 0, NULL);
  assert_ok(thin_metadata_create(md, 1, &error));
  for (guint64 i = 0; i < 8; i++)
    thin_test_map(md, 1, i * 200, 150);
  for (guint32 i = 2; i <= 5; i++) {
    assert_ok(thin_metadata_snapshot(md, i, i - 1, &error));
    thin_test_map(md, i, 100 * i, 1);
  }
  for (guint32 i = 6; i < N_DEVICES; i++)
    assert_ok(thin_metadata_snapshot(md, i, 5, &error));
  thin_test_commit(md);
  assert_ok(thin_metadata_reserve_snapshot(md, &error));
  thin_test_commit(md);
  thin_test_map(md, 1, 50, 3);
  assert_ok(thin_metadata_delete(md, 7, &error));
  thin_test_commit(md);
  thin_metadata_close(md);
}

static void add_block(GArray *blocks, guint64 number)
{
  g_array_append_val(blocks, number);
}

/* Nodes from @number down that are not leaves, and a leaf below each. */
static void add_nodes(Bench *bench, guint64 number)
{
  const guint8 *data = bench->whole + number * THIN_METADATA_BLOCK;
  add_block(bench->special, number);
  if (thin_node_is_leaf(data))
    return;
  add_nodes(bench, thin_node_child(data, 0));
  add_nodes(bench, thin_node_child(data, thin_node_n(data) - 1));
}

static void find_blocks(Bench *bench)
{
  const ThinDiskSuperblock *sb = (const ThinDiskSuperblock *)(gconstpointer)bench->whole;
  ThinMetadata *md = thin_metadata_open(bench->io, TRUE, 0, NULL);
  for (guint64 i = 0; i < N_BLOCKS; i++)
    if (thin_metadata_map_count(md->tm.map, i) > 0)
      add_block(bench->used, i);
  for (guint i = 0; i < 4; i++)
    add_block(bench->special, 0);
  add_nodes(bench, md->mapping_root);
  add_nodes(bench, md->details_root);
  for (guint32 i = 1; i <= 3; i++)
    add_nodes(bench, thin_metadata_find_device(md, i, NULL)->root);
  add_nodes(bench, GUINT64_FROM_LE(sb->data_space_map.root.bitmap_root));
  add_nodes(bench, GUINT64_FROM_LE(sb->data_space_map.root.ref_count_root));
  add_nodes(bench, GUINT64_FROM_LE(sb->metadata_space_map.root.ref_count_root));
  bench->held = md->held_root;
  add_block(bench->special, bench->held);
  guint64 index = GUINT64_FROM_LE(sb->metadata_space_map.root.bitmap_root);
  add_block(bench->special, index);
  add_block(bench->special,
            GUINT64_FROM_LE(
                ((const ThinDiskIndex *)(gconstpointer)(bench->whole + index * THIN_METADATA_BLOCK))
                    ->entries[0]
                    .blocknr));
  thin_metadata_close(md);
}

/* --- damage ------------------------------------------------------------------------- */

static guint pick(Bench *bench, guint n)
{
  return (guint)g_rand_int_range(bench->rand, 0, (gint)n);
}

static guint64 pick_block(Bench *bench, gboolean special)
{
  GArray *from = special ? bench->special : bench->used;
  return g_array_index(from, guint64, pick(bench, from->len));
}

/* What a field may be made to say. */
static guint64 pick_value(Bench *bench, guint64 was)
{
  const guint64 values[] = {0,       1,           2,         3,           4,
                            was + 1, was - 1,     was << 24, N_BLOCKS,    N_BLOCKS - 1,
                            252,     253,         N_CHUNKS,  G_MAXUINT32, (guint64)N_CHUNKS << 24,
                            1 << 24, G_MAXUINT64, G_MAXINT64};
  guint i = pick(bench, G_N_ELEMENTS(values) + 8);
  return i < G_N_ELEMENTS(values) ? values[i] : pick_block(bench, i % 2);
}

/* A field of a node: of its header, or one of its first, last or other keys or values. */
static guint pick_node_field(Bench *bench, const guint8 *data, guint *size)
{
  guint n = MAX(thin_node_n(data), 1), i[] = {0, n - 1, pick(bench, n), 1};
  guint entry = i[pick(bench, G_N_ELEMENTS(i))];
  *size = 4;
  if (pick(bench, 3) == 0)
    return (const guint[]){4, 16, 20, 24}[pick(bench, 4)];
  *size = 8;
  if (pick(bench, 2))
    return (guint)((const guint8 *)(thin_node_keys(data) + entry) - data);
  *size = MIN(8, thin_node_value_size(data));
  return (guint)(thin_node_value(data, entry) - data);
}

static guint pick_field(Bench *bench, const guint8 *data, ThinKind kind, guint *size)
{
  static const guint superblock[] = {4,   32,  40,  44,  48,  56,  64,  72,  80,  88,  192,
                                     200, 208, 216, 320, 328, 336, 340, 344, 352, 356, 360};
  guint at;
  *size = 8;
  switch (kind) {
  case THIN_KIND_NODE: return pick_node_field(bench, data, size);
  case THIN_KIND_SUPERBLOCK:
    at = superblock[pick(bench, G_N_ELEMENTS(superblock))];
    *size = at == 4 || at == 40 || at == 44 || at >= 336 ? 4 : 8;
    return at;
  case THIN_KIND_INDEX: return 16 + 8 * pick(bench, 4);
  default: *size = 1 + 7 * pick(bench, 2); return 16 + 8 * pick(bench, 150);
  }
}

static ThinKind kind_of(const guint8 *data, guint64 number)
{
  ThinKind kind = THIN_KIND_SUPERBLOCK;
  while (kind < THIN_KIND_INDEX && !thin_block_verify(data, number, kind, "", NULL))
    kind++;
  return kind;
}

/* Returns where. */
static guint64 damage(Bench *bench)
{
  guint64 number = pick_block(bench, pick(bench, 4) > 0), was = 0;
  const guint8 *data = bench->whole + number * THIN_METADATA_BLOCK;
  ThinKind kind = kind_of(data, number);
  guint size, at = pick_field(bench, data, kind, &size);
  memcpy(&was, data + at, size);
  was = GUINT64_FROM_LE(was);
  guint what = pick(bench, 30);
  if (what == 0) { /* the checksum tells */
    assert_ok(vt_io_write(bench->io, "?", 1, number * THIN_METADATA_BLOCK + 3000, &error));
    return number;
  }
  thin_test_poke(bench->path, number, what == 1 ? (ThinKind)pick(bench, 4) : kind, at,
                 pick_value(bench, was), size);
  if (what == 2) { /* another's content */
    guint8 block[THIN_METADATA_BLOCK];
    memcpy(block, bench->whole + pick_block(bench, TRUE) * THIN_METADATA_BLOCK, sizeof block);
    assert_ok(vt_io_write(bench->io, block, sizeof block, number * sizeof block, &error));
  }
  return number;
}

/* --- what is done to it ------------------------------------------------------------- */

/* Who fails says why. */
static void told(gboolean ok, GError **error)
{
  if (!ok && (!*error || (*error)->domain != VT_ERROR || !*(*error)->message))
    fail_msg("failed without a word");
  g_clear_error(error);
}
#define TELLS(call)                                                                                \
  do {                                                                                             \
    GError *error = NULL;                                                                          \
    gboolean ok_ = !!(call);                                                                       \
    told(ok_, &error);                                                                             \
  } while (0)

static guint n_errors(Bench *bench, guint64 data_size)
{
  g_autoptr(ThinReport) report = thin_check(bench->io, data_size, NULL);
  return report->errors->len;
}

static void dump(Bench *bench, gboolean repair)
{
  g_autoptr(GPtrArray) lost = g_ptr_array_new_with_free_func(g_free);
  FILE *out = fopen("/dev/null", "w");
  const ThinDumpOptions one = {.device = (gint64)pick(bench, 9), .lost = repair ? lost : NULL},
                        all = {.device = -1, .skip_mappings = TRUE, .lost = one.lost};
  TELLS(thin_dump(bench->io, &all, out, &error));
  TELLS(thin_dump(bench->io, &one, out, &error));
  fclose(out);
}

static void look_up(ThinMetadata *md, guint32 device)
{
  ThinRun run;
  for (guint64 at = 0; at < 2000; at = run.end) {
    TELLS(thin_metadata_lookup(md, device, at, 2000, &run, &error));
    if (run.end <= at)
      fail_msg("device %u: no end after %" G_GUINT64_FORMAT, device, at);
  }
}

static void read_all(ThinMetadata *md)
{
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(ThinDeltaRun));
  g_autoptr(GByteArray) seen = g_byte_array_new();
  g_autoptr(GArray) devices = NULL;
  ThinStatus status;
  ThinDevice device;
  guint64 a, b;
  thin_metadata_status(md, &status);
  TELLS(devices = thin_metadata_list_devices(md, &error));
  for (guint32 i = 0; i <= 5; i++) {
    ThinDelta delta = {.end = 2000 * THIN_CHUNK_MIN, .max = 1000, .runs = runs};
    look_up(md, i);
    TELLS(thin_metadata_get_device(md, i, &device, &error));
    TELLS(thin_metadata_count_device(md, i, &a, &b, &error));
    TELLS(thin_metadata_count_new_blocks(md, i, seen, &a, &error));
    TELLS(thin_metadata_delta(md, (gint64)i - 1, i, THIN_CHUNK_MIN, &delta, &error));
    delta = (ThinDelta){.end = 2000 * THIN_CHUNK_MIN, .max = 1000, .runs = runs, .with_same = TRUE};
    TELLS(thin_metadata_delta(md, i, 1, THIN_CHUNK_MIN, &delta, &error));
  }
}

static void change(Bench *bench, ThinMetadata *md)
{
  guint32 a = pick(bench, 8), b = pick(bench, 8);
  guint64 begin = pick(bench, 1700), n = 1 + pick(bench, pick(bench, 2) ? 400 : 4);
  switch (pick(bench, 12)) {
  case 0: TELLS(thin_metadata_create(md, 400 + a, &error)); break;
  case 1: TELLS(thin_metadata_snapshot(md, 500 + a, b, &error)); break;
  case 2: TELLS(thin_metadata_delete(md, pick(bench, N_DEVICES), &error)); break;
  case 3: TELLS(thin_metadata_exchange(md, a, b, &error)); break;
  case 4: TELLS(thin_metadata_grow_data(md, N_CHUNKS + 100 * n, &error)); break;
  case 5: TELLS(thin_metadata_reserve_snapshot(md, &error)); break;
  case 6: TELLS(thin_metadata_release_snapshot(md, &error)); break;
  case 7:
    TELLS(thin_metadata_alloc_at(md, begin + 20000, 3, &error) &&
          thin_metadata_unalloc(md, begin + 20000, 3, &error));
    break;
  case 8:
  case 9: TELLS(thin_metadata_remove(md, a, begin, begin + n, &error)); break;
  default: TELLS(thin_test_try_map(md, a, begin, n, &error));
  }
}

/* TRUE: all that was done is committed. */
static gboolean write_to_it(Bench *bench)
{
  g_autoptr(GError) refused = NULL;
  ThinMetadata *md = thin_metadata_open(bench->io, FALSE, 1 + pick(bench, 2), &refused);
  gboolean ok = TRUE;
  if (!md)
    return FALSE;
  for (guint i = 0; i < 12 && !thin_metadata_is_broken(md); i++) {
    change(bench, md);
    if (pick(bench, 4) == 0 && !thin_metadata_is_broken(md)) {
      TELLS(ok = thin_metadata_commit(md, NULL, NULL, &error));
      if (ok)
        thin_metadata_freed_done(md);
    }
  }
  if (!thin_metadata_is_broken(md))
    TELLS(ok = thin_metadata_commit(md, NULL, NULL, &error));
  ok = ok && !thin_metadata_is_broken(md);
  if (!ok)
    thin_metadata_abort(md, pick(bench, 2));
  read_all(md);
  thin_metadata_close(md);
  return ok;
}

static void read_only(Bench *bench)
{
  g_autoptr(GError) refused = NULL;
  ThinMetadata *md = thin_metadata_open(bench->io, TRUE, 0, &refused);
  if (!md) {
    told(FALSE, &refused);
    return;
  }
  read_all(md);
  thin_metadata_close(md);
}

static void mutate(Bench *bench)
{
  assert_ok(vt_io_write(bench->io, bench->whole, N_BLOCKS * THIN_METADATA_BLOCK, 0, &error));
  gboolean sound = TRUE;
  for (guint i = 1 + pick(bench, 5) / 4; i > 0; i--)
    sound &= damage(bench) != bench->held;
  sound &= n_errors(bench, 0) == 0;
  dump(bench, FALSE);
  dump(bench, TRUE);
  read_only(bench);
  bench->n_sound += sound;
  if (!write_to_it(bench)) {
    bench->n_broken++;
    TELLS(thin_clear_needs_check(bench->io, 0, &error));
    return;
  }
  bench->n_committed++;
  if (sound && n_errors(bench, 0) != 0)
    thin_test_assert_clean(bench->path, FALSE);
}

static void quiet(const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
}

static void test_mutations(void **state)
{
  const char *seed = g_getenv("VIRT_THIN_TEST_SEED");
  guint32 number = seed ? (guint32)g_ascii_strtoull(seed, NULL, 0) : g_random_int();
  guint n = g_getenv("VIRT_THIN_TEST_LONG") ? 60000 : 500;
  guint handler = g_log_set_handler("virt-thin", G_LOG_LEVEL_WARNING, quiet, NULL);
  Bench bench = {.io = thin_test_file(*state, "meta", N_BLOCKS * THIN_METADATA_BLOCK),
                 .path = thin_test_path(*state, "meta"),
                 .rand = g_rand_new_with_seed(number),
                 .whole = g_malloc(N_BLOCKS * THIN_METADATA_BLOCK),
                 .used = g_array_new(FALSE, FALSE, sizeof(guint64)),
                 .special = g_array_new(FALSE, FALSE, sizeof(guint64))};
  make_pool(bench.io);
  thin_test_assert_thin_check(bench.path);
  assert_ok(vt_io_read(bench.io, bench.whole, N_BLOCKS * THIN_METADATA_BLOCK, 0, &error));
  find_blocks(&bench);
  print_message("# seed %u\n", number);
  for (guint i = 0; i < n; i++) {
    progress("%u of %u mutations", i, n);
    mutate(&bench);
  }
  print_message("# %u mutations: %u in which the check finds no error, %u were written to and "
                "committed, %u refused or given up\n",
                n, bench.n_sound, bench.n_committed, bench.n_broken);
  g_log_remove_handler("virt-thin", handler);
  g_array_unref(bench.used);
  g_array_unref(bench.special);
  g_free(bench.whole);
  g_free(bench.path);
  g_rand_free(bench.rand);
  vt_io_unref(bench.io);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, thin_test_setup, thin_test_teardown)
  const struct CMUnitTest tests[] = {TEST(test_mutations)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
