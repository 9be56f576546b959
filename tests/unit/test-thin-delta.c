/* virt-thin - tests: how the maps of two devices differ, against a comparison chunk by chunk
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A seeded history of inserts, removals and snapshots; then each pair of devices is compared in one
 * call, in small pieces, by the engine's cache and from the disk, and against what looking up every
 * chunk gives. What the skipping of shared nodes saves is counted in reads.
 */
#include "thin-helper.h"

#include <string.h>

#include "dm/thin-reader.h"

#define CHUNK 65536u
#define N_CHUNKS 6000u /* of a device: a tree of three levels */
#define N_DEVICES 6u

typedef struct {
  char *path;
  VtIo *io;
  ThinMetadata *md;
  GRand *rand;
} Fixture;

static void open_fixture(Fixture *f, ThinTest *test, guint32 seed)
{
  f->path = thin_test_path(test, "delta");
  f->io = thin_test_file(test, "delta", 16 << 20);
  assert_ok(thin_metadata_format(f->io, CHUNK, 100000, &error));
  assert_ok((f->md = thin_metadata_open(f->io, FALSE, 0, &error)) != NULL);
  f->rand = g_rand_new_with_seed(seed);
}

static void close_fixture(Fixture *f)
{
  thin_metadata_close(f->md);
  vt_io_unref(f->io);
  g_rand_free(f->rand);
  g_free(f->path);
}

/* Device 1 and its snapshots 2, 3, …; some of these change, too. */
static void make_history(Fixture *f)
{
  assert_ok(thin_metadata_create(f->md, 1, &error));
  thin_test_map(f->md, 1, 0, N_CHUNKS / 2);
  for (guint32 id = 2; id <= N_DEVICES; id++) {
    assert_ok(thin_metadata_snapshot(f->md, id, 1, &error));
    for (int i = 0; i < 10; i++)
      thin_test_change(f->md, f->rand, 1, N_CHUNKS);
    if (id % 2)
      thin_test_change(f->md, f->rand, id, N_CHUNKS);
    thin_test_commit(f->md);
  }
}

static guint64 chunk_of(ThinMetadata *md, gint64 id, guint64 key)
{
  ThinRun run = {0};

  if (id >= 0)
    assert_ok(thin_metadata_lookup(md, (guint32)id, key, key + 1, &run, &error));
  return run.mapped ? run.chunk : G_MAXUINT64;
}

static GArray *expected(ThinMetadata *md, gint64 left, gint64 right, gboolean with_same)
{
  GArray *runs = g_array_new(FALSE, FALSE, sizeof(ThinDeltaRun));

  for (guint64 key = 0; key < N_CHUNKS; key++) {
    guint64 l = chunk_of(md, left, key), r = chunk_of(md, right, key);
    ThinDeltaRun run = {key * CHUNK, CHUNK, THIN_DELTA_DIFFERENT},
                 *last = runs->len ? &g_array_index(runs, ThinDeltaRun, runs->len - 1) : NULL;

    run.kind = l == r             ? THIN_DELTA_SAME
               : r == G_MAXUINT64 ? THIN_DELTA_LEFT_ONLY
               : l == G_MAXUINT64 ? THIN_DELTA_RIGHT_ONLY
                                  : THIN_DELTA_DIFFERENT;
    if (l == r && (l == G_MAXUINT64 || !with_same))
      continue;
    if (last && last->kind == run.kind && last->offset + last->length == run.offset)
      last->length += CHUNK;
    else
      g_array_append_val(runs, run);
  }
  return runs;
}

static void assert_same_runs(GArray *a, GArray *b)
{
  assert_int_equal(a->len, b->len);
  for (guint i = 0; i < a->len; i++) {
    const ThinDeltaRun *x = &g_array_index(a, ThinDeltaRun, i),
                       *y = &g_array_index(b, ThinDeltaRun, i);
    assert_int_equal(x->offset, y->offset);
    assert_int_equal(x->length, y->length);
    assert_int_equal(x->kind, y->kind);
  }
}

/* By the engine, or (@reader) from the disk; at most @max runs at a time. */
static GArray *compare(Fixture *f, DmkReader *reader, gint64 left, gint64 right, guint max,
                       gboolean with_same)
{
  GArray *runs = g_array_new(FALSE, FALSE, sizeof(ThinDeltaRun));
  ThinDelta delta = {
      .end = (guint64)N_CHUNKS * CHUNK, .max = max, .with_same = with_same, .runs = runs};

  while (delta.offset < delta.end) {
    guint had = runs->len;
    if (reader)
      assert_ok(dmk_reader_delta(reader, left, right, &delta, &error));
    else
      assert_ok(thin_metadata_delta(f->md, left, right, CHUNK, &delta, &error));
    assert_true(runs->len - had <= max);
  }
  return runs;
}

static void check_pair(Fixture *f, DmkReader *reader, gint64 left, gint64 right)
{
  for (gboolean with_same = FALSE; with_same <= TRUE; with_same++) {
    g_autoptr(GArray) wanted = expected(f->md, left, right, with_same),
                      whole = compare(f, NULL, left, right, G_MAXUINT, with_same),
                      pieces = compare(f, NULL, left, right, 3, with_same),
                      read = compare(f, reader, left, right, 1, with_same);
    assert_same_runs(whole, wanted);
    assert_same_runs(pieces, wanted);
    assert_same_runs(read, wanted);
  }
}

static void test_every_pair(void **state)
{
  for (guint32 seed = 1; seed <= 3; seed++) {
    Fixture f;
    g_autoptr(DmkReader) reader = NULL;

    open_fixture(&f, *state, seed);
    make_history(&f);
    assert_ok((reader = dmk_reader_open(f.io, 0, &error)) != NULL);
    for (gint64 left = 0; left <= N_DEVICES; left++)
      for (gint64 right = 1; right <= N_DEVICES; right++)
        check_pair(&f, reader, left ? left : -1, right);
    check_pair(&f, reader, 1, -1);
    close_fixture(&f);
  }
}

static void test_a_part(void **state)
{
  ThinDelta delta = {.offset = 10 * CHUNK, .end = 20 * CHUNK + 1, .max = 10};
  const ThinDeltaRun *run;
  Fixture f;

  open_fixture(&f, *state, 1);
  assert_ok(thin_metadata_create(f.md, 1, &error));
  thin_test_map(f.md, 1, 0, 100);
  delta.runs = g_array_new(FALSE, FALSE, sizeof(ThinDeltaRun));
  assert_ok(thin_metadata_delta(f.md, -1, 1, CHUNK, &delta, &error));
  run = &g_array_index(delta.runs, ThinDeltaRun, 0);
  assert_int_equal(delta.runs->len, 1);
  assert_int_equal(run->offset, 10 * CHUNK);
  assert_int_equal(run->length, 11 * CHUNK);
  assert_int_equal(delta.offset, delta.end);
  assert_fails(thin_metadata_delta(f.md, 2, 1, CHUNK, &delta, &error), ENOENT);
  g_array_unref(delta.runs);
  close_fixture(&f);
}

/* --- what is read --- */

typedef struct {
  VtIo *io;
  guint n;
} Counted;

static gboolean count_read(gpointer data, guint64 number, guint8 *block, GError **error)
{
  Counted *counted = data;

  counted->n++;
  return thin_block_read(counted->io, number, THIN_KIND_NODE, block, error);
}

static guint64 root_of(Fixture *f, guint32 id)
{
  const ThinMetadataDevice *device = NULL;

  assert_ok((device = thin_metadata_find_device(f->md, id, &error)) != NULL);
  return device->root;
}

/* One chunk of 6,000 was changed: the way down on both sides is read, and nothing else. */
static void test_shared_nodes_are_not_read(void **state)
{
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(ThinDeltaRun));
  ThinDelta delta = {.end = (guint64)N_CHUNKS * CHUNK, .max = 10, .runs = runs};
  Counted counted = {NULL, 0};
  ThinDeltaMaps maps = {
      .read = count_read, .source = &counted, .name = "delta", .chunk_size = CHUNK};
  Fixture f;

  open_fixture(&f, *state, 1);
  counted.io = f.io;
  assert_ok(thin_metadata_create(f.md, 1, &error));
  thin_test_map(f.md, 1, 0, N_CHUNKS);
  assert_ok(thin_metadata_snapshot(f.md, 2, 1, &error));
  thin_test_commit(f.md);
  thin_test_map(f.md, 1, 4711, 1);
  thin_test_commit(f.md);
  maps.left = root_of(&f, 2);
  maps.right = root_of(&f, 1);
  assert_ok(thin_delta(&delta, &maps, &error));
  assert_int_equal(runs->len, 1);
  assert_int_equal(g_array_index(runs, ThinDeltaRun, 0).offset, 4711 * CHUNK);
  assert_true(counted.n <= 8);
  close_fixture(&f);
}

/* 1 GiB in scattered chunks of a volume that is all mapped: 1 TiB in the long form, else an eighth.
 * The limit is wide, for machines that are busy; a build that is slow on purpose has none. */
static void test_time(void **state)
{
  guint64 n = (g_getenv("VIRT_THIN_TEST_LONG") ? 16 : 2) * (guint64)(1 << 20);
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(ThinDeltaRun));
  ThinDelta delta = {.end = n * CHUNK, .max = G_MAXUINT, .runs = runs};
  Fixture f = {.rand = g_rand_new_with_seed(1)};
  gint64 started;

  f.path = thin_test_path(*state, "large");
  f.io = thin_test_file(*state, "large", n * 64);
  assert_ok(thin_metadata_format(f.io, CHUNK, 2 * n, &error));
  assert_ok((f.md = thin_metadata_open(f.io, FALSE, 0, &error)) != NULL);
  assert_ok(thin_metadata_create(f.md, 1, &error));
  for (guint64 i = 0; i < n; i += 1 << 16) {
    thin_test_map(f.md, 1, i, 1 << 16);
    thin_test_commit(f.md);
  }
  assert_ok(thin_metadata_snapshot(f.md, 2, 1, &error));
  for (int i = 0; i < 1 << 14; i++)
    thin_test_map(f.md, 1, (guint64)g_rand_double_range(f.rand, 0, (double)n), 1);
  thin_test_commit(f.md);
  started = g_get_monotonic_time();
  while (delta.offset < delta.end)
    assert_ok(thin_metadata_delta(f.md, 2, 1, CHUNK, &delta, &error));
  started = g_get_monotonic_time() - started;
  print_message("# %u runs in %.1f ms\n", runs->len, (double)started / 1000);
  assert_in_range(runs->len, 16000, 1 << 14);
  if (!g_getenv("VIRT_THIN_TEST_SLOW"))
    assert_in_range(started, 0, 1000000);
  close_fixture(&f);
}

/* A node that is not what its place demands ends the comparison, with its number in the message. */
static void test_damage(void **state)
{
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(ThinDeltaRun));
  g_autoptr(DmkReader) reader = NULL;
  ThinDelta delta = {.end = (guint64)N_CHUNKS * CHUNK, .max = 10, .runs = runs};
  g_autoptr(GError) failure = NULL;
  g_autofree char *number = NULL;
  guint8 noise[THIN_METADATA_BLOCK] = {1, 2, 3};
  guint64 root;
  Fixture f;

  open_fixture(&f, *state, 1);
  make_history(&f);
  root = root_of(&f, 1);
  assert_ok(vt_io_write(f.io, noise, sizeof noise, root * THIN_METADATA_BLOCK, &error));
  assert_ok((reader = dmk_reader_open(f.io, 0, &error)) != NULL);
  assert_false(dmk_reader_delta(reader, 2, 1, &delta, &failure));
  assert_int_equal(failure->code, EBADMSG);
  number = g_strdup_printf("metadata block %" G_GUINT64_FORMAT, root);
  assert_non_null(strstr(failure->message, number));
  close_fixture(&f);
}

/* Each node of the trees in turn: no walk goes on over one that cannot be read. */
static void test_each_read_fails(void **state)
{
  g_autoptr(VtIo) failer = NULL;
  guint at = 0;
  Fixture f;

  open_fixture(&f, *state, 3);
  make_history(&f);
  failer = vt_io_failer_new(f.io, VT_IO_READ, G_MAXUINT, EIO);
  for (gboolean failed = TRUE; failed; at++) {
    g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(ThinDeltaRun));
    g_autoptr(DmkReader) reader = NULL;
    g_autoptr(GError) error = NULL;
    ThinDelta delta = {.end = (guint64)N_CHUNKS * CHUNK, .max = 10000, .runs = runs};

    vt_io_failer_arm(failer, VT_IO_READ | VT_IO_ONCE, at, EIO);
    reader = dmk_reader_open(failer, 0, &error);
    failed = !reader || !dmk_reader_delta(reader, 2, 1, &delta, &error);
    assert_true(failed == g_error_matches(error, VT_ERROR, EIO));
  }
  assert_true(at > 20);
  close_fixture(&f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_every_pair, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_a_part, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_shared_nodes_are_not_read, thin_test_setup,
                                      thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_time, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_damage, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_each_read_fails, thin_test_setup, thin_test_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
