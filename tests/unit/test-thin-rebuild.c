/* virt-thin - tests of metadata written anew: healthy, as it was; damaged, what can be reached
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "thin-helper.h"
#include "thin-harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "thin/format/dump.h"
#include "thin/rebuild/rebuild.h"
#include "thin/rebuild/xml.h"

#define N_CHUNKS 12000u
#define METADATA (8 * MIB)
#define N_DEVICES 6u
#define VOLUME (1500 * CHUNK)

static char *dump_of(VtIo *metadata)
{
  ThinDumpOptions options = {.device = -1};
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);

  MUST(thin_dump(metadata, &options, out, &error));
  fclose(out);
  return text;
}

static guint64 used_of(VtIo *metadata)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  const ThinDiskSuperblock *sb = (const ThinDiskSuperblock *)(gpointer)block;

  MUST(thin_superblock_read(metadata, 0, (guint8 *)block, &error));
  return GUINT64_FROM_LE(sb->metadata_space_map.root.nr_allocated);
}

/* --- a pool with a history ---------------------------------------------------------- */

typedef struct {
  Harness h;
  GRand *rand;
  GArray *devices; /* guint32 */
  guint32 next;
} History;

static guint32 some_device(History *history)
{
  return g_array_index(history->devices, guint32,
                       g_rand_int_range(history->rand, 0, (gint)history->devices->len));
}

static void add_device(History *history, gboolean snapshot)
{
  guint32 id = history->next;

  history->next += (guint32)g_rand_int_range(history->rand, 1, 4);
  if (snapshot)
    harness_snapshot(&history->h, id, some_device(history));
  else
    harness_create(&history->h, id);
  g_array_append_val(history->devices, id);
}

/* Writes, mostly side by side, and discards. */
static void work(History *history, guint n)
{
  ThinVolume *volume = harness_volume(&history->h, some_device(history), VOLUME);
  g_autofree guint8 *buf = g_malloc0(4 * KIB);

  while (n > 0) {
    guint run = (guint)g_rand_int_range(history->rand, 1, 1 + (gint)MIN(n, 60));
    guint64 at = (guint64)g_rand_int_range(history->rand, 0, (gint)(VOLUME / CHUNK - run)) * CHUNK;
    gboolean ok = TRUE;

    if (g_rand_int_range(history->rand, 0, 6) == 0)
      MUST(thin_volume_discard(volume, at, run * CHUNK, &error));
    else
      for (guint i = 0; ok && i < run; i++)
        ok = thin_volume_write(volume, buf, 4 * KIB, at + i * CHUNK, NULL); /* full: enough */
    n -= run;
  }
  thin_volume_close(volume);
}

static void delete_one(History *history)
{
  guint at = (guint)g_rand_int_range(history->rand, 0, (gint)history->devices->len);

  harness_delete(&history->h, g_array_index(history->devices, guint32, at));
  g_array_remove_index(history->devices, at);
}

static void go_on(History *history, guint rounds)
{
  for (guint i = 0; i < rounds; i++) {
    guint what = (guint)g_rand_int_range(history->rand, 0, 10);

    if (what < 4)
      add_device(history, what > 0);
    else if (what == 4 && history->devices->len > 2)
      delete_one(history);
    else
      work(history, 150);
  }
  MUST(thin_pool_commit(history->h.pool, &error));
}

static void history_open(History *history, guint32 seed)
{
  const ThinOptions options = {.skip_zeroing = TRUE};

  *history = (History){.rand = g_rand_new_with_seed(seed),
                       .devices = g_array_new(FALSE, FALSE, sizeof(guint32)),
                       .next = 1};
  harness_open(&history->h, N_CHUNKS, METADATA, &options);
  for (guint i = 0; i < N_DEVICES; i++)
    add_device(history, FALSE);
}

static void history_close(History *history)
{
  harness_close(&history->h);
  g_array_unref(history->devices);
  g_rand_free(history->rand);
}

/* --- what comes back ---------------------------------------------------------------- */

static void check_all(VtIo *metadata, int fd)
{
  harness_check(metadata, 0, FALSE);
  harness_tool("thin_check", fd);
}

/* @from is healthy: everything is as before. */
static VtIo *rebuild_healthy(VtIo *from, guint64 size, int *fd)
{
  VtIo *to = harness_memory("anew", size, fd);
  g_autoptr(GArray) lost = g_array_new(FALSE, FALSE, sizeof(ThinLost));
  g_autofree char *before = dump_of(from), *after = NULL;
  ThinRebuildStats stats;

  MUST(thin_rebuild(from, NULL, to, lost, &stats, &error));
  check_all(to, *fd);
  after = dump_of(to);
  assert_string_equal(before, after);
  assert_int_equal(lost->len, 0);
  assert_false(stats.devices_lost);
  assert_int_equal(stats.n_details_made, 0);
  assert_int_equal(stats.n_blocks_used, used_of(to));
  assert_true(used_of(to) <= used_of(from) + 2);
  return to;
}

/* The XML of @from comes back, in at most @percent of the blocks. */
static VtIo *restore_healthy(VtIo *from, guint64 size, guint percent, int *fd)
{
  VtIo *to = harness_memory("restored", size, fd);
  g_autofree char *before = dump_of(from), *after = NULL;
  FILE *in = fmemopen(before, strlen(before), "r");
  guint64 n_used, n_dry;

  MUST(thin_restore(in, "xml", NULL, &n_dry, &error));
  rewind(in);
  MUST(thin_restore(in, "xml", to, &n_used, &error));
  fclose(in);
  check_all(to, *fd);
  after = dump_of(to);
  assert_string_equal(before, after);
  assert_int_equal(n_used, used_of(to));
  assert_true(n_dry <= n_used + 1 && n_dry + 1 >= n_used);
  print_message("# restored: %u blocks, of %u\n", (guint)n_used, (guint)used_of(from));
  assert_true(n_used * 100 <= used_of(from) * percent);
  return to;
}

/* Open what was written, and work on it. */
static void work_on(VtIo *metadata, int fd, History *history)
{
  Harness *h = &history->h;

  MUST(thin_pool_close(h->pool, &error));
  vt_io_unref(h->metadata);
  close(h->metadata_fd);
  h->metadata = metadata;
  h->metadata_fd = fd;
  MUST(h->pool = thin_pool_open(h->metadata, h->data, &h->options, &error));
  go_on(history, 25);
  check_all(h->metadata, fd);
}

static void test_healthy(void **state)
{
  guint n_seeds = g_getenv("VIRT_THIN_TEST_LONG") ? 200 : 6;

  for (guint32 seed = 1; seed <= n_seeds; seed++) {
    History history;
    VtIo *anew;
    int fd;

    history_open(&history, seed);
    go_on(&history, 60);
    for (guint i = 0; i < 4; i++) {
      anew = i % 2 ? restore_healthy(history.h.metadata, METADATA, 130, &fd)
                   : rebuild_healthy(history.h.metadata, METADATA, &fd);
      work_on(anew, fd, &history);
    }
    history_close(&history);
  }
}

/* --- large maps, without data ------------------------------------------------------- */

#define LARGE_METADATA (24 * MIB)
#define LARGE_CHUNKS 400000u
#define LARGE_KEYS 60000

static ThinMetadata *open_large(VtIo *io)
{
  ThinMetadata *md = NULL;

  MUST(md = thin_metadata_open(io, FALSE, 4 * MIB, &error));
  return md;
}

static void map(ThinMetadata *md, guint32 device, guint64 begin, guint64 n)
{
  guint64 chunk, got;

  for (; n > 0; begin += got, n -= got) {
    MUST(thin_metadata_alloc(md, n, &chunk, &got, &error));
    MUST(thin_metadata_insert(md, device, begin, chunk, got, &error));
  }
}

/* Runs of 1 to @longest chunks of @device are mapped, or unmapped. */
static void change_map(ThinMetadata *md, GRand *rand, guint32 device, guint n_runs, gint longest)
{
  for (guint i = 0; i < n_runs; i++) {
    guint64 begin = (guint64)g_rand_int_range(rand, 0, LARGE_KEYS - longest),
            n = (guint64)g_rand_int_range(rand, 1, longest + 1);

    if (g_rand_int_range(rand, 0, 4) == 0)
      MUST(thin_metadata_remove(md, device, begin, begin + n, &error));
    else
      map(md, device, begin, n);
  }
}

static void commit(ThinMetadata *md)
{
  MUST(thin_metadata_commit(md, NULL, NULL, &error));
  thin_metadata_freed_done(md);
}

/* Two volumes, a dense and a sparse one, and @n_snapshots, each of them changed a little. */
static void make_large(VtIo *io, guint32 seed, guint n_snapshots, gint longest)
{
  GRand *rand = g_rand_new_with_seed(seed);
  ThinMetadata *md;

  MUST(thin_metadata_format(io, CHUNK, LARGE_CHUNKS, &error));
  md = open_large(io);
  MUST(thin_metadata_create(md, 0, &error));
  MUST(thin_metadata_create(md, 1, &error));
  map(md, 0, 0, LARGE_KEYS / 2);
  change_map(md, rand, 1, 4000, 5);
  commit(md);
  for (guint32 i = 0; i < n_snapshots; i++) {
    guint32 of = i % 2;

    MUST(thin_metadata_snapshot(md, 10 + i, of, &error));
    change_map(md, rand, of, 3, longest);
    commit(md);
  }
  thin_metadata_close(md);
  g_rand_free(rand);
}

/* Random changes to all that is in @io; then nothing may be amiss. */
static void work_on_large(VtIo *io, int fd, GRand *rand)
{
  ThinMetadata *md = open_large(io);
  g_autoptr(GArray) devices = NULL;

  MUST(devices = thin_metadata_list_devices(md, &error));
  for (guint i = 0; i < devices->len; i++)
    change_map(md, rand, g_array_index(devices, ThinDevice, i).id, 3, 600);
  commit(md);
  for (guint i = 0; i < devices->len; i += 2)
    MUST(thin_metadata_delete(md, g_array_index(devices, ThinDevice, i).id, &error));
  commit(md);
  thin_metadata_close(md);
  check_all(io, fd);
}

static void test_large(void **state)
{
  GRand *rand = g_rand_new_with_seed(1);

  for (gint longest = 1; longest < 1000; longest = longest * 5 + 1) {
    int fd, anew_fd;
    VtIo *io = harness_memory("large", LARGE_METADATA, &fd), *anew;

    make_large(io, 7, 40, longest);
    for (guint i = 0; i < 2; i++) {
      anew = i ? restore_healthy(io, LARGE_METADATA, 130, &anew_fd)
               : rebuild_healthy(io, LARGE_METADATA, &anew_fd);
      work_on_large(anew, anew_fd, rand);
      vt_io_unref(anew);
      close(anew_fd);
    }
    vt_io_unref(io);
    close(fd);
  }
  g_rand_free(rand);
}

/* --- damage ------------------------------------------------------------------------- */

static void read_block(VtIo *io, guint64 number, guint64 *block)
{
  MUST(vt_io_read(io, block, THIN_METADATA_BLOCK, number * THIN_METADATA_BLOCK, &error));
}

static void write_block(VtIo *io, guint64 number, const guint64 *block)
{
  MUST(vt_io_write(io, block, THIN_METADATA_BLOCK, number * THIN_METADATA_BLOCK, &error));
}

static VtIo *copy_of(VtIo *io, int *fd)
{
  guint64 size = vt_io_size(io);
  VtIo *copy = harness_memory("damaged", size, fd);
  g_autofree guint8 *all = g_malloc(size);

  MUST(vt_io_read(io, all, size, 0, &error));
  MUST(vt_io_write(copy, all, size, 0, &error));
  return copy;
}

/* Change some block that is a node, @seal: with a right checksum. */
static void damage(VtIo *io, GRand *rand, gboolean seal)
{
  guint64 block[THIN_METADATA_BLOCK / 8], number;

  do {
    number = (guint64)g_rand_int_range(rand, 1, (gint)used_of(io) + 20);
    read_block(io, number, block);
  } while (!thin_block_verify((guint8 *)block, number, THIN_KIND_NODE, "", NULL));
  for (gint i = g_rand_int_range(rand, 1, 4); i > 0; i--)
    ((guint8 *)block)[g_rand_int_range(rand, 16, seal ? 200 : THIN_METADATA_BLOCK)] ^=
        (guint8)g_rand_int_range(rand, 1, 256);
  if (g_rand_int_range(rand, 0, 4) == 0) /* or the number of a block, or a mapping */
    ((guint64 *)block)[256 + g_rand_int_range(rand, 0, 200)] =
        (guint64)g_rand_int_range(rand, 0, 3000);
  if (seal)
    thin_block_seal((guint8 *)block, number, THIN_KIND_NODE);
  write_block(io, number, block);
}

static char *dump_left(VtIo *io, guint *n_lost)
{
  g_autoptr(GPtrArray) lost = g_ptr_array_new_with_free_func(g_free);
  ThinDumpOptions options = {.device = -1, .lost = lost};
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);

  MUST(thin_dump(io, &options, out, &error));
  fclose(out);
  *n_lost = 0;
  for (guint i = 0; i < lost->len; i++)
    *n_lost += strstr(lost->pdata[i], "it has no") || strstr(lost->pdata[i], "thin devices");
  return text;
}

static guint n_compared;

/* What thin_dump() finds left of damaged maps is what comes back. */
static void rebuild_damaged(VtIo *from, GRand *rand, gboolean sealed, gboolean work)
{
  int fd;
  VtIo *to = harness_memory("anew", LARGE_METADATA, &fd);
  g_autoptr(GArray) lost = g_array_new(FALSE, FALSE, sizeof(ThinLost));
  g_autofree char *left = NULL, *after = NULL;
  guint n_lost;

  MUST(thin_rebuild(from, NULL, to, lost, NULL, &error));
  harness_check(to, 0, FALSE);
  left = dump_left(from, &n_lost);
  after = dump_of(to);
  if (!sealed && n_lost == 0) {
    assert_string_equal(left, after);
    n_compared += lost->len > 0;
  }
  if (work) {
    harness_tool("thin_check", fd);
    work_on_large(to, fd, rand);
  }
  vt_io_unref(to);
  close(fd);
}

static void test_damaged(void **state)
{
  GRand *rand = g_rand_new_with_seed(3);
  guint n_rounds = g_getenv("VIRT_THIN_TEST_LONG") ? 2000 : 60;
  int fd;
  VtIo *io = harness_memory("large", LARGE_METADATA, &fd);

  make_large(io, 5, 12, 40);
  n_compared = 0;
  for (guint i = 0; i < n_rounds; i++) {
    int damaged_fd;
    VtIo *damaged = copy_of(io, &damaged_fd);
    gboolean sealed = i % 2 == 1;

    for (gint n = g_rand_int_range(rand, 1, 9); n > 0; n--)
      damage(damaged, rand, sealed);
    rebuild_damaged(damaged, rand, sealed, i % 6 < 2);
    vt_io_unref(damaged);
    close(damaged_fd);
  }
  assert_true(n_compared > n_rounds / 10);
  vt_io_unref(io);
  close(fd);
  g_rand_free(rand);
}

/* --- what other tools get wrong ----------------------------------------------------- */

#define SMALL_METADATA (2 * MIB)

static VtIo *small_pool(int *fd)
{
  VtIo *io = harness_memory("small", SMALL_METADATA, fd);

  MUST(thin_metadata_format(io, CHUNK, 100, &error));
  return io;
}

static void both_ways(VtIo *io, int fd, guint64 size)
{
  int anew_fd;
  VtIo *anew = rebuild_healthy(io, size, &anew_fd);

  vt_io_unref(anew);
  close(anew_fd);
  anew = restore_healthy(io, size, 130, &anew_fd);
  vt_io_unref(anew);
  close(anew_fd);
  vt_io_unref(io);
  close(fd);
}

/* thin_repair 1.1.0 takes an older root of such a pool. */
static void test_chunk_0_at_time_0(void **state)
{
  int fd;
  VtIo *io = small_pool(&fd);
  ThinMetadata *md = open_large(io);
  guint64 chunk, n;

  MUST(thin_metadata_create(md, 1, &error));
  MUST(thin_metadata_alloc(md, 1, &chunk, &n, &error));
  assert_int_equal(chunk, 0);
  MUST(thin_metadata_insert(md, 1, 0, chunk, n, &error));
  commit(md);
  thin_metadata_close(md);
  both_ways(io, fd, SMALL_METADATA);
}

/* ... and finds no roots in this one. */
static void test_empty(void **state)
{
  int fd;
  VtIo *io = small_pool(&fd);

  both_ways(io, fd, SMALL_METADATA);
}

/* Bytes of the metadata at @io, written with the tools' own program, or 0: it did not fit. */
static gboolean tool_fits(const char *text, guint64 size)
{
  g_autofree char *folder = g_dir_make_tmp("virt-thin-rebuild-XXXXXX", NULL),
                  *xml = g_build_filename(folder, "xml", NULL),
                  *metadata = g_build_filename(folder, "metadata", NULL);
  const char *argv[] = {"thin_restore", "-q", "-i", xml, "-o", metadata, NULL};
  int status;
  FILE *out = fopen(metadata, "w");

  assert_int_equal(ftruncate(fileno(out), (off_t)size), 0);
  fclose(out);
  MUST(g_file_set_contents(xml, text, -1, &error));
  MUST(g_spawn_sync(NULL, (char **)argv, NULL,
                    G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                    NULL, NULL, NULL, NULL, &status, &error));
  unlink(xml);
  unlink(metadata);
  rmdir(folder);
  return status == 0;
}

/* 200 snapshots that share leaves: thin_restore 0.9 gives each its own, for which the volume that
 * the metadata came from is too small. */
static void test_many_snapshots(void **state)
{
  const guint64 size = 8 * MIB;
  int fd;
  VtIo *io = harness_memory("many", size, &fd);
  g_autofree char *text = NULL;

  make_large(io, 11, 200, 3);
  text = dump_of(io);
  assert_false(tool_fits(text, size));
  both_ways(io, fd, size);
}

/* --- too small ---------------------------------------------------------------------- */

static void test_too_small(void **state)
{
  int fd, small_fd;
  VtIo *io = harness_memory("large", LARGE_METADATA, &fd),
       *small = harness_memory("small", 100 * THIN_METADATA_BLOCK, &small_fd);
  g_autoptr(GArray) lost = g_array_new(FALSE, FALSE, sizeof(ThinLost));
  g_autofree char *text = NULL, *wanted = NULL;
  g_autoptr(GError) fault = NULL;
  ThinRebuildStats stats;
  FILE *in;

  make_large(io, 7, 10, 5);
  text = dump_of(io);
  MUST(thin_rebuild(io, NULL, NULL, lost, &stats, &error));
  wanted = g_strdup_printf("it takes %u blocks", (guint)stats.n_blocks_used);
  assert_false(thin_rebuild(io, NULL, small, lost, NULL, &fault));
  assert_true(g_error_matches(fault, VT_ERROR, ENOSPC));
  assert_non_null(strstr(fault->message, wanted));
  assert_fails(thin_superblock_read(small, 0, g_alloca(THIN_METADATA_BLOCK), &error), ENOENT);
  in = fmemopen(text, strlen(text), "r");
  assert_fails(thin_restore(in, "xml", small, NULL, &error), ENOSPC);
  fclose(in);
  vt_io_unref(io);
  vt_io_unref(small);
  close(fd);
  close(small_fd);
}

/* --- what is lost is told ----------------------------------------------------------- */

/* The superblock's pointer at @offset leads nowhere. */
static VtIo *without_root(gsize offset, int *fd)
{
  VtIo *io = harness_memory("large", LARGE_METADATA, fd);
  guint64 block[THIN_METADATA_BLOCK / 8], beyond = GUINT64_TO_LE(1u << 30);

  make_large(io, 9, 6, 5);
  read_block(io, 0, block);
  memcpy((guint8 *)block + offset, &beyond, sizeof beyond);
  thin_block_seal((guint8 *)block, 0, THIN_KIND_SUPERBLOCK);
  write_block(io, 0, block);
  return io;
}

static void rebuild_into(VtIo *from, VtIo **to, int *fd, GArray *lost, ThinRebuildStats *stats)
{
  *to = harness_memory("anew", LARGE_METADATA, fd);
  MUST(thin_rebuild(from, NULL, *to, lost, stats, &error));
  check_all(*to, *fd);
}

static void test_details_lost(void **state)
{
  int fd, to_fd;
  VtIo *from = without_root(G_STRUCT_OFFSET(ThinDiskSuperblock, device_details_root), &fd), *to;
  g_autoptr(GArray) lost = g_array_new(FALSE, FALSE, sizeof(ThinLost)), devices = NULL;
  ThinRebuildStats stats;
  ThinMetadata *md;

  rebuild_into(from, &to, &to_fd, lost, &stats);
  assert_int_equal(lost->len, 0);
  assert_int_equal(stats.n_devices, 8);
  assert_int_equal(stats.n_details_made, 8);
  assert_false(stats.devices_lost);
  md = open_large(to);
  MUST(devices = thin_metadata_list_devices(md, &error));
  for (guint i = 0; i < devices->len; i++)
    assert_int_equal(g_array_index(devices, ThinDevice, i).snapshotted_time, 6); /* the pool's */
  thin_metadata_close(md);
  vt_io_unref(from);
  vt_io_unref(to);
  close(fd);
  close(to_fd);
}

static void test_maps_lost(void **state)
{
  int fd, to_fd;
  VtIo *from = without_root(G_STRUCT_OFFSET(ThinDiskSuperblock, data_mapping_root), &fd), *to;
  g_autoptr(GArray) lost = g_array_new(FALSE, FALSE, sizeof(ThinLost));
  ThinRebuildStats stats;

  rebuild_into(from, &to, &to_fd, lost, &stats);
  assert_int_equal(stats.n_devices, 8);
  assert_int_equal(stats.n_maps_lost, 8);
  assert_int_equal(stats.n_chunks_mapped, 0);
  assert_true(stats.devices_lost);
  assert_int_equal(lost->len, 8);
  for (guint i = 0; i < lost->len; i++) {
    assert_int_equal(g_array_index(lost, ThinLost, i).offset, 0);
    assert_true(g_array_index(lost, ThinLost, i).length == G_MAXUINT64);
  }
  vt_io_unref(from);
  vt_io_unref(to);
  close(fd);
  close(to_fd);
}

/* Of fixtures that the kernel wrote: the healthy ones, and one with a leaf that cannot be read. */
static void test_fixtures(void **state)
{
  static const char *const names[] = {"01-clean",           "02-crash",
                                      "03a-tid-pool-ahead", "04c-leaked-block",
                                      "05a-out-of-data",    "06-delete-msg-pending",
                                      "06-msg-pending",     "06-snap-made-tid-old"};
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *path = thin_test_path(*state, names[i]);
    VtIo *io;

    thin_test_unpack(names[i], path);
    io = thin_test_open(path, TRUE);
    both_ways(io, dup(0), vt_io_size(io));
  }
}

static void test_damaged_fixture(void **state)
{
  g_autofree char *path = thin_test_path(*state, "04b-damaged-leaf");
  g_autoptr(VtIo) from = NULL;
  g_autoptr(GArray) lost = g_array_new(FALSE, FALSE, sizeof(ThinLost));
  ThinRebuildStats stats;
  const ThinLost *range = NULL;
  VtIo *to;
  int fd;

  thin_test_unpack("04b-damaged-leaf", path);
  from = thin_test_open(path, TRUE);
  rebuild_into(from, &to, &fd, lost, &stats);
  assert_int_equal(lost->len, 1);
  range = &g_array_index(lost, ThinLost, 0);
  assert_int_equal(range->device, 1);
  assert_int_equal(range->offset, 0);
  assert_true(range->length == G_MAXUINT64);
  assert_int_equal(stats.n_devices, 5);
  assert_int_equal(stats.n_maps_lost, 1);
  vt_io_unref(to);
  close(fd);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_healthy),
      cmocka_unit_test(test_large),
      cmocka_unit_test(test_damaged),
      cmocka_unit_test(test_chunk_0_at_time_0),
      cmocka_unit_test(test_empty),
      cmocka_unit_test(test_many_snapshots),
      cmocka_unit_test(test_too_small),
      cmocka_unit_test(test_details_lost),
      cmocka_unit_test(test_maps_lost),
      cmocka_unit_test_setup_teardown(test_fixtures, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_damaged_fixture, thin_test_setup, thin_test_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
