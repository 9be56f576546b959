/* virt-thin - tests of metadata written anew: what is healthy comes back as it was
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "rebuild-helper.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "thin/rebuild/rebuild.h"
#include "thin/rebuild/xml.h"

#define N_CHUNKS 12000u
#define METADATA (8 * MIB)
#define N_DEVICES 6u
#define VOLUME (1500 * CHUNK)

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
  anew_check(h->metadata, fd);
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
      anew = i % 2 ? anew_restore(history.h.metadata, METADATA, 130, &fd)
                   : anew_rebuild(history.h.metadata, METADATA, &fd);
      work_on(anew, fd, &history);
    }
    history_close(&history);
  }
}

static void test_large(void **state)
{
  GRand *rand = g_rand_new_with_seed(1);

  for (gint longest = 1; longest < 1000; longest = longest * 5 + 1) {
    int fd, anew_fd;
    VtIo *io = harness_memory("large", LARGE_METADATA, &fd), *anew;

    anew_make_large(io, 7, 40, longest);
    for (guint i = 0; i < 2; i++) {
      anew = i ? anew_restore(io, LARGE_METADATA, 130, &anew_fd)
               : anew_rebuild(io, LARGE_METADATA, &anew_fd);
      anew_work_on(anew, anew_fd, rand);
      vt_io_unref(anew);
      close(anew_fd);
    }
    vt_io_unref(io);
    close(fd);
  }
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
  VtIo *anew = anew_rebuild(io, size, &anew_fd);

  vt_io_unref(anew);
  close(anew_fd);
  anew = anew_restore(io, size, 130, &anew_fd);
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
  ThinMetadata *md = anew_open(io);
  guint64 chunk, n;

  MUST(thin_metadata_create(md, 1, &error));
  MUST(thin_metadata_alloc(md, 1, &chunk, &n, &error));
  assert_int_equal(chunk, 0);
  MUST(thin_metadata_insert(md, 1, 0, chunk, n, &error));
  anew_commit(md);
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

  anew_make_large(io, 11, 200, 3);
  text = anew_dump(io);
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

  anew_make_large(io, 7, 10, 5);
  text = anew_dump(io);
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

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_healthy),
      cmocka_unit_test(test_large),
      cmocka_unit_test(test_chunk_0_at_time_0),
      cmocka_unit_test(test_empty),
      cmocka_unit_test(test_many_snapshots),
      cmocka_unit_test(test_too_small),
      cmocka_unit_test_setup_teardown(test_fixtures, thin_test_setup, thin_test_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
