/* virt-thin - power cuts of runs in which many threads write, flush, snapshot and commit at once
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: power-cut-threads [SEED]      $VIRT_THIN_TEST_LONG: ten times the points
 *
 * Each worker writes blocks of its own with counts that only rise, and notes how long the log was
 * when a write began and when a flush had returned. After a cut, each sector must hold a count at
 * least as high as the last flush that had returned promised, and no higher than what had been
 * begun: a flush that shares another's commit is held to what it said.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../unit/progress.h"
#include "../unit/thin-harness.h"

#define SECTOR 512u
#define DATA_CHUNKS 400u
#define METADATA_SIZE (2 * MIB)
#define VOLUMES 2u
#define WORKERS 4u /* of each volume */
#define BLOCKS 16u /* of each worker */
#define BLOCK 4096u
#define ROUNDS 40u
#define VOLUME_SIZE (WORKERS * BLOCKS * CHUNK)

typedef struct {
  guint log;     /* its length then */
  guint block;   /* G_MAXUINT: a flush */
  guint64 count; /* of a write; of a flush: index into flushed */
} Event;

typedef struct {
  VtIoLog *log;
  ThinVolume *volume;
  guint32 device;
  guint index;
  guint32 seed;
  guint64 counts[BLOCKS];
  GArray *events;  /* of Event */
  GArray *flushed; /* of guint64[BLOCKS] */
} Worker;

typedef struct {
  Harness harness;
  VtIoLog *log;
  Worker workers[VOLUMES][WORKERS];
  guint working; /* atomic */
} Recording;

/* Workers' chunks alternate, and in each chunk there is one block. */
static guint64 offset_of(const Worker *w, guint block)
{
  return (block * WORKERS + w->index) * CHUNK + block % 4 * BLOCK;
}

static void fill(guint64 *words, guint64 count, guint64 place)
{
  for (guint i = 0; i < BLOCK / 8; i++)
    words[i] = i % 2 ? place + i / (SECTOR / 8) : count;
}

static void note(Worker *w, guint log, guint block, guint64 count)
{
  Event event = {log, block, count};
  g_array_append_val(w->events, event);
}

static void write_one(Worker *w, guint block)
{
  guint64 words[BLOCK / 8], offset = offset_of(w, block);
  fill(words, ++w->counts[block], offset);
  note(w, vt_io_log_length(w->log), block, w->counts[block]);
  MUST(thin_volume_write(w->volume, words, sizeof words, offset, &error));
}

static void flush(Worker *w)
{
  MUST(thin_volume_flush(w->volume, &error));
  note(w, vt_io_log_length(w->log), G_MAXUINT, w->flushed->len);
  g_array_append_val(w->flushed, w->counts);
}

static Recording *current;

static void *work(void *data)
{
  Worker *w = data;
  g_autoptr(GRand) rand = g_rand_new_with_seed(w->seed);
  for (guint i = 0; i < ROUNDS; i++) {
    for (gint n = g_rand_int_range(rand, 1, 4); n > 0; n--)
      write_one(w, g_rand_int_range(rand, 0, BLOCKS));
    if (g_rand_int_range(rand, 0, 3) == 0)
      flush(w);
  }
  __atomic_fetch_sub(&current->working, 1, __ATOMIC_RELEASE);
  return NULL;
}

/* Snapshots make the workers copy; their deletion lets them write in place again. */
static void *snapshot(void *data)
{
  Recording *r = data;
  for (guint32 i = 0; __atomic_load_n(&r->working, __ATOMIC_ACQUIRE) > 0; i++) {
    harness_snapshot(&r->harness, 100 + i, 1 + i % VOLUMES);
    if (i >= 2)
      harness_delete(&r->harness, 98 + i);
    MUST(thin_pool_commit(r->harness.pool, &error));
  }
  return NULL;
}

static int empty_copy(guint64 size)
{
  int fd = memfd_create("cut", MFD_CLOEXEC);
  g_assert_true(fd >= 0 && ftruncate(fd, size) == 0);
  return fd;
}

/* A flush takes its time, as on a disk: others go on meanwhile, which is what the sharing of
 * flushes is about. */
static void be_slow(VtIoKinds kind, guint64 offset, guint64 length, gpointer user_data)
{
  if (kind == VT_IO_FLUSH)
    g_usleep(300);
}

static VtIo *recorded(VtIo *memory, VtIoLog *log)
{
  VtIo *slow = harness_watch_new(memory, be_slow, NULL), *recorder = vt_io_recorder_new(slow, log);
  vt_io_unref(slow);
  vt_io_unref(memory);
  return recorder;
}

static void start(Recording *r, guint32 seed)
{
  Harness *h = &r->harness;
  memset(r, 0, sizeof *r);
  r->log = vt_io_log_new();
  h->metadata = recorded(harness_memory("metadata", METADATA_SIZE, &h->metadata_fd), r->log);
  h->data = recorded(harness_memory("data", DATA_CHUNKS * CHUNK, &h->data_fd), r->log);
  h->options = (ThinOptions){.block_cache = 4 * MIB, .translations = 4096};
  MUST(thin_pool_format(h->metadata, CHUNK, DATA_CHUNKS * CHUNK, &error));
  MUST(h->pool = thin_pool_open(h->metadata, h->data, &h->options, &error));
  for (guint v = 0; v < VOLUMES; v++) {
    harness_create(h, v + 1);
    ThinVolume *volume = harness_volume(h, v + 1, VOLUME_SIZE);
    for (guint i = 0; i < WORKERS; i++)
      r->workers[v][i] = (Worker){.log = r->log,
                                  .volume = volume,
                                  .device = v + 1,
                                  .index = i,
                                  .seed = seed + v * 10 + i,
                                  .events = g_array_new(FALSE, FALSE, sizeof(Event)),
                                  .flushed = g_array_new(FALSE, FALSE, sizeof(guint64[BLOCKS]))};
  }
}

/* Returns the length of the log when the volumes had been made. */
static guint record(Recording *r, guint32 seed)
{
  pthread_t threads[VOLUMES][WORKERS], snapshots;
  start(r, seed);
  guint first = vt_io_log_length(r->log);
  current = r;
  r->working = VOLUMES * WORKERS;
  for (guint v = 0; v < VOLUMES; v++)
    for (guint i = 0; i < WORKERS; i++)
      g_assert_true(pthread_create(&threads[v][i], NULL, work, &r->workers[v][i]) == 0);
  g_assert_true(pthread_create(&snapshots, NULL, snapshot, r) == 0);
  for (guint v = 0; v < VOLUMES; v++)
    for (guint i = 0; i < WORKERS; i++)
      pthread_join(threads[v][i], NULL);
  pthread_join(snapshots, NULL);
  for (guint v = 0; v < VOLUMES; v++)
    thin_volume_close(r->workers[v][0].volume);
  harness_close(&r->harness);
  return first;
}

static void recording_clear(Recording *r)
{
  for (guint v = 0; v < VOLUMES; v++)
    for (guint i = 0; i < WORKERS; i++) {
      g_array_unref(r->workers[v][i].events);
      g_array_unref(r->workers[v][i].flushed);
    }
  vt_io_log_free(r->log);
}

/* What each block of @w must hold at least, and may hold at most. */
static void bounds_at(const Worker *w, guint point, guint64 *least, guint64 *most)
{
  memset(least, 0, sizeof(guint64[BLOCKS]));
  memset(most, 0, sizeof(guint64[BLOCKS]));
  for (guint i = 0; i < w->events->len; i++) {
    const Event *event = &g_array_index(w->events, Event, i);
    if (event->log > point)
      break;
    if (event->block != G_MAXUINT)
      most[event->block] = event->count;
    else
      memcpy(least, &w->flushed->data[event->count * sizeof(guint64[BLOCKS])],
             sizeof(guint64[BLOCKS]));
  }
}

static void check_worker(const Worker *w, ThinVolume *volume, guint point)
{
  guint64 least[BLOCKS], most[BLOCKS], words[BLOCK / 8], expected[BLOCK / 8];
  bounds_at(w, point, least, most);
  for (guint block = 0; block < BLOCKS; block++) {
    guint64 offset = offset_of(w, block);
    MUST(thin_volume_read(volume, words, BLOCK, offset, &error));
    for (guint s = 0; s < BLOCK / SECTOR; s++) {
      guint at = s * SECTOR / 8;
      guint64 count = words[at];
      fill(expected, count, offset);
      if (count == 0)
        memset(expected, 0, sizeof expected);
      if (count >= least[block] && count <= most[block] &&
          memcmp(&words[at], &expected[at], SECTOR) == 0)
        continue;
      printf("Bail out! cut at %u: thin device %u, worker %u, block %u, sector %u: count "
             "%" G_GUINT64_FORMAT ", not from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT "\n",
             point, w->device, w->index, block, s, count, least[block], most[block]);
      fflush(stdout);
      abort();
    }
  }
}

static void cut(const Recording *r, guint point, GRand *rand, gboolean judge)
{
  int metadata_fd = empty_copy(METADATA_SIZE), data_fd = empty_copy(DATA_CHUNKS * CHUNK);
  MUST(vt_io_log_replay(r->log, 0, point, rand, metadata_fd, &error));
  MUST(vt_io_log_replay(r->log, 1, point, rand, data_fd, &error));
  g_autofree char *metadata_path = g_strdup_printf("/proc/self/fd/%d", metadata_fd),
                  *data_path = g_strdup_printf("/proc/self/fd/%d", data_fd);
  g_autoptr(VtIo) metadata = NULL, data = NULL;
  MUST(metadata = vt_io_open_file(metadata_path, FALSE, &error));
  MUST(data = vt_io_open_file(data_path, FALSE, &error));
  harness_check(metadata, DATA_CHUNKS * CHUNK, TRUE);
  if (judge)
    harness_tool("thin_check", metadata_fd);
  ThinPool *pool = NULL;
  MUST(pool = thin_pool_open(metadata, data, &r->harness.options, &error));
  for (guint v = 0; v < VOLUMES; v++) {
    ThinVolume *volume = NULL;
    MUST(volume = thin_volume_open(pool, v + 1, VOLUME_SIZE, FALSE, &error));
    for (guint i = 0; i < WORKERS; i++)
      check_worker(&r->workers[v][i], volume, point);
    thin_volume_close(volume);
  }
  MUST(thin_pool_close(pool, &error));
  close(metadata_fd);
  close(data_fd);
}

int main(int argc, char **argv)
{
  gboolean is_long = g_getenv("VIRT_THIN_TEST_LONG") != NULL;
  guint32 seed = argc > 1 ? strtoul(argv[1], NULL, 0) : 20250808;
  guint n_runs = is_long ? 100 : 10, per_run = is_long ? 100 : 40, messages = 0;
  guint64 entries = 0;
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  printf("TAP version 13\n1..1\n# seed %u\n", seed);
  for (guint run = 0; run < n_runs; run++) {
    Recording r;
    guint first = record(&r, seed + run * 1000), length = vt_io_log_length(r.log);
    entries += length;
    messages += r.harness.tid;
    for (guint i = 0; i < per_run; i++) {
      cut(&r, g_rand_int_range(rand, first, length + 1), rand, i % 8 == 0);
      progress("%u of %u power cuts", run * per_run + i + 1, n_runs * per_run);
    }
    recording_clear(&r);
  }
  printf("# %u runs of %u threads, %u messages meanwhile, %" G_GUINT64_FORMAT
         " recorded writes, flushes and discards; %u power cuts\n",
         n_runs, VOLUMES * WORKERS + 1, messages, entries, n_runs * per_run);
  printf("ok 1 - every flush kept its word\n");
  return 0;
}
