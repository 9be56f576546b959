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
    for (guint i = 0; i < 3; i++) {
      anew = rebuild_healthy(history.h.metadata, METADATA, &fd);
      work_on(anew, fd, &history);
    }
    history_close(&history);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_healthy),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
