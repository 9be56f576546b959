/* virt-thin - many threads at once on the volumes of one pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: concurrency [SEED]      $VIRT_THIN_TEST_LONG: ten times as long
 *
 * Every chunk of a volume belongs to one worker, who writes, zeros, discards and reads it and knows
 * what each of its sectors holds; neighbours' chunks lie side by side, so that long reads cross
 * them. Sectors describe themselves: volume, number, count of writes. Meanwhile others take
 * snapshots, look twice whether those hold still, and delete them; exchange two maps forth and
 * back; grow and shrink the end of a volume; flush and commit. Meant to be run under a thread
 * sanitizer, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <unistd.h>

#include "../unit/progress.h"
#include "../unit/thin-harness.h"

#define SECTOR 512u
#define PER_CHUNK ((guint)(CHUNK / SECTOR))
#define VOLUMES 3u
#define WORKERS 3u /* of each volume */
#define CHUNKS 24u /* of each volume, shared out among its workers */
#define SIZE (CHUNKS * CHUNK)
#define TAIL (8 * CHUNK) /* behind them, for resizing */

typedef struct {
  guint64 volume, number, count, rest[SECTOR / 8 - 3];
} Sector;

typedef struct {
  Harness harness;
  guint rounds;
  guint32 seed;
  pthread_mutex_t messages; /* one transaction id after the other */
  guint n_working;          /* atomic */
  guint64 n_no_space;       /* atomic */
} Bench;

typedef struct {
  Bench *bench;
  ThinVolume *volume;
  guint index;
  guint64 *counts; /* of each sector of the volume; only one's own chunks are used */
  guint64 next;
  guint64 n_ops;
} Worker;

static G_GNUC_NORETURN void wrong(const char *what, guint64 volume, guint64 number,
                                  const Sector *found, guint64 expected)
{
  printf("Bail out! %s: volume %" G_GUINT64_FORMAT " sector %" G_GUINT64_FORMAT
         ": found %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT
         ", expected count %" G_GUINT64_FORMAT "\n",
         what, volume, number, found->volume, found->number, found->count, expected);
  fflush(stdout);
  abort();
}

static void fill(Sector *sector, guint64 volume, guint64 number, guint64 count)
{
  memset(sector, 0, sizeof *sector);
  if (count == 0)
    return;
  sector->volume = volume;
  sector->number = number;
  sector->count = count;
  for (guint i = 0; i < G_N_ELEMENTS(sector->rest); i++)
    sector->rest[i] = count * 31 + i;
}

static gboolean is_whole(const Sector *sector, guint64 volume, guint64 number)
{
  Sector expected;
  fill(&expected, volume, number, sector->count);
  return memcmp(sector, &expected, sizeof expected) == 0;
}

/* --- workers --- */

static guint64 own_chunk(Worker *w, GRand *rand)
{
  return g_rand_int_range(rand, 0, CHUNKS / WORKERS) * WORKERS + w->index;
}

static void check_own(Worker *w, guint64 begin, const Sector *found, guint64 n)
{
  guint64 id = thin_volume_id(w->volume);
  for (guint64 i = 0; i < n; i++)
    if (!is_whole(&found[i], id, begin + i) || found[i].count != w->counts[begin + i])
      wrong("read", id, begin + i, &found[i], w->counts[begin + i]);
}

/* Out of space: each sector is as it was or as it was to be. */
static void settle(Worker *w, guint64 begin, guint64 n, guint64 count)
{
  Sector found[PER_CHUNK];
  guint64 id = thin_volume_id(w->volume);
  MUST(thin_volume_read(w->volume, found, n * SECTOR, begin * SECTOR, &error));
  for (guint64 i = 0; i < n; i++) {
    if (!is_whole(&found[i], id, begin + i) ||
        (found[i].count != count && found[i].count != w->counts[begin + i]))
      wrong("after ENOSPC", id, begin + i, &found[i], w->counts[begin + i]);
    w->counts[begin + i] = found[i].count;
  }
}

static void change(Worker *w, guint64 begin, guint64 n, guint kind)
{
  Sector sectors[PER_CHUNK];
  guint64 count = kind == 0 ? w->next++ : 0;
  g_autoptr(GError) error = NULL;
  gboolean ok;
  for (guint64 i = 0; i < n; i++)
    fill(&sectors[i], thin_volume_id(w->volume), begin + i, count);
  if (kind == 0)
    ok = thin_volume_write(w->volume, sectors, n * SECTOR, begin * SECTOR, &error);
  else if (kind == 1)
    ok = thin_volume_zero(w->volume, begin * SECTOR, n * SECTOR, n % 2, &error);
  else
    ok = thin_volume_discard(w->volume, begin * SECTOR, n * SECTOR, &error);
  if (!ok && g_error_matches(error, VT_ERROR, ENOSPC)) {
    settle(w, begin, n, count);
    __atomic_fetch_add(&w->bench->n_no_space, 1, __ATOMIC_RELAXED);
    return;
  }
  if (!ok)
    harness_must(FALSE, &error, "change");
  for (guint64 i = 0; i < n; i++)
    w->counts[begin + i] = count;
}

static void read_across(Worker *w, GRand *rand)
{
  enum { N = 3 * CHUNK / SECTOR };
  g_autofree Sector *found = g_new(Sector, N);
  guint64 begin = g_rand_int_range(rand, 0, CHUNKS * PER_CHUNK - N), id = thin_volume_id(w->volume);
  MUST(thin_volume_read(w->volume, found, N * SECTOR, begin * SECTOR, &error));
  /* A write under way may be seen in part, but never anything else than sectors of this place. */
  for (guint64 i = 0; i < N; i++) {
    guint64 number = begin + i;
    gboolean own = number / PER_CHUNK % WORKERS == w->index;
    if (found[i].count != 0 && (found[i].volume != id || found[i].number != number))
      wrong("read across", id, number, &found[i], w->counts[number]);
    if (own)
      check_own(w, number, &found[i], 1);
  }
}

static void *work(void *data)
{
  Worker *w = data;
  g_autoptr(GRand) rand =
      g_rand_new_with_seed(w->bench->seed + thin_volume_id(w->volume) * 100 + w->index);
  for (guint i = 0; i < w->bench->rounds; i++) {
    guint64 chunk = own_chunk(w, rand), begin = chunk * PER_CHUNK, n = PER_CHUNK;
    guint pick = g_rand_int_range(rand, 0, 100);
    __atomic_fetch_add(&w->n_ops, 1, __ATOMIC_RELAXED);
    if (g_rand_boolean(rand)) {
      guint64 skip = g_rand_int_range(rand, 0, PER_CHUNK);
      begin += skip;
      n = 1 + g_rand_int_range(rand, 0, PER_CHUNK - skip);
    }
    if (pick < 50)
      change(w, begin, n, 0);
    else if (pick < 58)
      change(w, begin, n, 1);
    else if (pick < 66)
      change(w, chunk * PER_CHUNK, PER_CHUNK, 2);
    else if (pick < 80) {
      Sector found[PER_CHUNK];
      MUST(thin_volume_read(w->volume, found, n * SECTOR, begin * SECTOR, &error));
      check_own(w, begin, found, n);
    } else if (pick < 92)
      read_across(w, rand);
    else
      MUST(thin_volume_flush(w->volume, &error));
  }
  __atomic_fetch_sub(&w->bench->n_working, 1, __ATOMIC_RELEASE);
  return NULL;
}

/* --- those who change the pool --- */

static gboolean still_working(Bench *bench)
{
  return __atomic_load_n(&bench->n_working, __ATOMIC_ACQUIRE) > 0;
}

static gboolean send(Bench *bench, const ThinMessage *messages, gsize n)
{
  g_autoptr(GError) error = NULL;
  pthread_mutex_lock(&bench->messages);
  gboolean ok = thin_pool_send(bench->harness.pool, messages, n, bench->harness.tid,
                               bench->harness.tid + 1, &error);
  bench->harness.tid += ok;
  pthread_mutex_unlock(&bench->messages);
  if (!ok && !g_error_matches(error, VT_ERROR, ENOSPC))
    harness_must(FALSE, &error, "thin_pool_send");
  return ok;
}

static void look_at_snapshot(ThinVolume *snapshot, guint64 origin, Sector *found)
{
  MUST(thin_volume_read(snapshot, found, SIZE, 0, &error));
  for (guint64 i = 0; i < CHUNKS * PER_CHUNK; i++)
    if (!is_whole(&found[i], origin, i))
      wrong("snapshot", origin, i, &found[i], 0);
}

static void *take_snapshots(void *data)
{
  Bench *bench = data;
  g_autofree Sector *first = g_malloc(SIZE), *second = g_malloc(SIZE);
  g_autoptr(GRand) rand = g_rand_new_with_seed(bench->seed);
  for (guint32 id = 100; still_working(bench); id++) {
    guint32 origin = 1 + g_rand_int_range(rand, 0, VOLUMES);
    ThinMessage make = {THIN_SNAPSHOT, id, origin}, drop = {THIN_DELETE, id, 0};
    if (!send(bench, &make, 1))
      continue;
    ThinVolume *snapshot = NULL;
    MUST(snapshot = thin_volume_open(bench->harness.pool, id, SIZE, TRUE, &error));
    look_at_snapshot(snapshot, origin, first);
    /* Forth and back: nothing may come of it but that all look again. */
    ThinMessage both[] = {{THIN_EXCHANGE, id, origin}, {THIN_EXCHANGE, origin, id}};
    send(bench, both, 2);
    look_at_snapshot(snapshot, origin, second);
    if (memcmp(first, second, SIZE) != 0) {
      printf("Bail out! a snapshot did not hold still\n");
      abort();
    }
    thin_volume_close(snapshot);
    send(bench, &drop, 1);
  }
  return NULL;
}

static void *disturb(void *data)
{
  Worker *w = data;
  Bench *bench = w->bench;
  char buf[1000] = "tail";
  for (guint i = 0; still_working(bench); i++) {
    ThinStatus status;
    guint64 length, exclusive, shared;
    gboolean mapped;
    g_autoptr(GError) error = NULL;
    /* To cut a shared chunk takes a copy of it. */
    gboolean resized = thin_volume_resize(w->volume, SIZE + (i % 2 ? TAIL : 512), &error);
    if (!resized && !g_error_matches(error, VT_ERROR, ENOSPC))
      harness_must(FALSE, &error, "resize");
    if (i % 2 && resized &&
        !thin_volume_write(w->volume, buf, sizeof buf, SIZE + i % 7 * CHUNK + 100, &error) &&
        !g_error_matches(error, VT_ERROR, ENOSPC))
      harness_must(FALSE, &error, "write at the tail");
    MUST(thin_volume_extent(w->volume, i % CHUNKS * CHUNK, SIZE, &length, &mapped, &error));
    MUST(thin_pool_commit(bench->harness.pool, &error));
    MUST(thin_pool_count_device(bench->harness.pool, 1 + i % VOLUMES, &exclusive, &shared, &error));
    thin_pool_get_status(bench->harness.pool, &status);
    g_assert_cmpint(status.mode, !=, THIN_MODE_FAILED);
  }
  return NULL;
}

/* --- a run --- */

static void run(Bench *bench, guint n_chunks)
{
  Worker workers[VOLUMES][WORKERS];
  ThinVolume *volumes[VOLUMES];
  pthread_t threads[VOLUMES][WORKERS], snapshots, disturber;
  guint64 *counts[VOLUMES], n_ops = 0;
  Harness *h = &bench->harness;

  harness_open(h, n_chunks, 4 * MIB, NULL);
  bench->n_working = VOLUMES * WORKERS;
  bench->n_no_space = 0;
  for (guint v = 0; v < VOLUMES; v++) {
    harness_create(h, v + 1);
    volumes[v] = harness_volume(h, v + 1, SIZE);
    counts[v] = g_new0(guint64, CHUNKS * PER_CHUNK);
    for (guint i = 0; i < WORKERS; i++)
      workers[v][i] = (Worker){
          .bench = bench, .volume = volumes[v], .index = i, .counts = counts[v], .next = 1};
  }
  for (guint v = 0; v < VOLUMES; v++)
    for (guint i = 0; i < WORKERS; i++)
      g_assert_true(pthread_create(&threads[v][i], NULL, work, &workers[v][i]) == 0);
  g_assert_true(pthread_create(&snapshots, NULL, take_snapshots, bench) == 0);
  g_assert_true(pthread_create(&disturber, NULL, disturb, &workers[0][0]) == 0);
  for (; still_working(bench); g_usleep(100000)) {
    n_ops = 0;
    for (guint v = 0; v < VOLUMES; v++)
      for (guint i = 0; i < WORKERS; i++)
        n_ops += __atomic_load_n(&workers[v][i].n_ops, __ATOMIC_RELAXED);
    progress("%" G_GUINT64_FORMAT " operations", n_ops);
  }
  n_ops = 0;
  for (guint v = 0; v < VOLUMES; v++)
    for (guint i = 0; i < WORKERS; i++) {
      pthread_join(threads[v][i], NULL);
      n_ops += workers[v][i].n_ops;
    }
  pthread_join(snapshots, NULL);
  pthread_join(disturber, NULL);

  for (guint v = 0; v < VOLUMES; v++)
    thin_volume_close(volumes[v]);
  harness_reopen(h);
  for (guint v = 0; v < VOLUMES; v++) {
    g_autofree Sector *found = g_malloc(SIZE);
    ThinVolume *volume = harness_volume(h, v + 1, SIZE);
    MUST(thin_volume_read(volume, found, SIZE, 0, &error));
    workers[v][0].volume = volume;
    check_own(&workers[v][0], 0, found, CHUNKS * PER_CHUNK);
    thin_volume_close(volume);
    g_free(counts[v]);
  }
  guint64 n_snapshots = h->tid - VOLUMES;
  MUST(thin_pool_close(g_steal_pointer(&h->pool), &error));
  harness_check(h->metadata, n_chunks * CHUNK, FALSE);
  harness_tool("thin_check", h->metadata_fd);
  harness_close(h);
  printf("# %u chunks: %" G_GUINT64_FORMAT " operations by %u threads, %" G_GUINT64_FORMAT
         " messages meanwhile, %" G_GUINT64_FORMAT " ran out of space\n",
         n_chunks, n_ops, VOLUMES * WORKERS, n_snapshots, bench->n_no_space);
}

int main(int argc, char **argv)
{
  Bench bench = {.rounds = g_getenv("VIRT_THIN_TEST_LONG") ? 20000 : 2000,
                 .seed = argc > 1 ? strtoul(argv[1], NULL, 0) : 20250303};
  pthread_mutex_init(&bench.messages, NULL);
  printf("TAP version 13\n1..2\n# seed %u\n", bench.seed);
  run(&bench, 400);
  printf("ok 1 - with room\n");
  run(&bench, 70);
  printf("ok 2 - short of space\n");
  return 0;
}
