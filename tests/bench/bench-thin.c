/* virt-thin - how fast the engine is against plain pread() and pwrite() on the same file system
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: bench-thin [SECONDS] [THREADS]      default: 2 seconds a measurement, 1 and 2 threads;
 *                                            files in memory (memfd)
 *
 * Both sides are measured in turns within one run, several times; the ratios are medians of the
 * turns. The raw side does the same I/O at offsets drawn alike on a file of the volume's size whose
 * bytes are all there.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../unit/thin-harness.h"

#define VOLUME (1024 * MIB)
#define TURNS 5
#define THREADS_MAX 16

typedef enum { RANDOM_READ, RANDOM_WRITE, FILL } Kind;

typedef struct {
  Kind kind;
  ThinVolume *volume; /* NULL: raw */
  int fd;
  guint index, n_threads;
  double seconds; /* FILL: as long as it takes */
  guint64 bytes;
  double took, cpu; /* seconds */
} Job;

static double clock_now(clockid_t clock)
{
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void one(Job *job, char *buf, gsize n, guint64 offset)
{
  if (job->volume && job->kind == RANDOM_READ)
    MUST(thin_volume_read(job->volume, buf, n, offset, &error));
  else if (job->volume)
    MUST(thin_volume_write(job->volume, buf, n, offset, &error));
  else
    g_assert_cmpint(job->kind == RANDOM_READ ? pread(job->fd, buf, n, offset)
                                             : pwrite(job->fd, buf, n, offset),
                    ==, n);
  job->bytes += n;
}

static void *do_job(void *data)
{
  Job *job = data;
  g_autofree char *buf = g_malloc(MIB);
  guint64 random = 88172645463325252u + job->index * 7919;
  memset(buf, 1 + job->index, MIB);
  double start = clock_now(CLOCK_MONOTONIC), end = start + job->seconds,
         cpu = clock_now(CLOCK_THREAD_CPUTIME_ID);
  if (job->kind == FILL)
    for (guint64 at = job->index * MIB; at < VOLUME; at += job->n_threads * MIB)
      one(job, buf, MIB, at);
  else
    while (clock_now(CLOCK_MONOTONIC) < end)
      for (guint i = 0; i < 64; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        one(job, buf, 4096, random % (VOLUME / 4096) * 4096);
      }
  job->took = clock_now(CLOCK_MONOTONIC) - start;
  job->cpu = clock_now(CLOCK_THREAD_CPUTIME_ID) - cpu;
  return NULL;
}

typedef struct {
  double wall, cpu; /* bytes a second */
} Rate;

static Rate measure(Kind kind, ThinVolume *volume, int fd, guint n_threads, double seconds)
{
  Job jobs[THREADS_MAX];
  pthread_t threads[THREADS_MAX];
  Rate rate = {0};
  for (guint i = 0; i < n_threads; i++) {
    jobs[i] = (Job){.kind = kind,
                    .volume = volume,
                    .fd = fd,
                    .index = i,
                    .n_threads = n_threads,
                    .seconds = seconds};
    g_assert_true(pthread_create(&threads[i], NULL, do_job, &jobs[i]) == 0);
  }
  for (guint i = 0; i < n_threads; i++) {
    pthread_join(threads[i], NULL);
    rate.wall += jobs[i].bytes / jobs[i].took;
    rate.cpu += jobs[i].bytes / jobs[i].cpu;
  }
  return rate;
}

static int by_size(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double median(double *values)
{
  qsort(values, TURNS, sizeof *values, by_size);
  return values[TURNS / 2];
}

/* The ratio of processor time says more than that of wall clocks on a machine that does something
 * else besides. */
static void report(const char *what, guint n_threads, const Rate *thin, const Rate *raw,
                   double unit, const char *unit_name)
{
  double a[TURNS], b[TURNS], c[TURNS], d[TURNS];
  for (int i = 0; i < TURNS; i++) {
    a[i] = thin[i].wall / unit, b[i] = raw[i].wall / unit;
    c[i] = thin[i].wall / raw[i].wall, d[i] = thin[i].cpu / raw[i].cpu;
  }
  printf("%-30s %2u thread%s engine %8.0f %s  raw %8.0f %s  ratio %.2f  per processor time %.2f\n",
         what, n_threads, n_threads == 1 ? " " : "s", median(a), unit_name, median(b), unit_name,
         median(c), median(d));
  fflush(stdout);
}

static void bench_random(Harness *h, int raw_fd, guint n_threads, double seconds)
{
  static const char *const names[] = {"4 KiB random read, mapped", "4 KiB random write, mapped"};
  ThinVolume *volume = harness_volume(h, 1, VOLUME);
  for (Kind kind = RANDOM_READ; kind <= RANDOM_WRITE; kind++) {
    Rate thin[TURNS], raw[TURNS];
    for (int i = 0; i < TURNS; i++) {
      thin[i] = measure(kind, volume, -1, n_threads, seconds / TURNS);
      raw[i] = measure(kind, NULL, raw_fd, n_threads, seconds / TURNS);
    }
    report(names[kind], n_threads, thin, raw, 4096e3, "kIOPS");
  }
  thin_volume_close(volume);
}

/* On both sides a file that has no blocks yet. */
static void bench_fill(guint n_threads)
{
  Rate thin[TURNS], raw[TURNS];
  for (int i = 0; i < TURNS; i++) {
    Harness h;
    harness_open(&h, VOLUME / CHUNK + 100, 16 * MIB, NULL);
    harness_create(&h, 1);
    ThinVolume *volume = harness_volume(&h, 1, VOLUME);
    thin[i] = measure(FILL, volume, -1, n_threads, 0);
    thin_volume_close(volume);
    harness_close(&h);
    int fd = memfd_create("raw", MFD_CLOEXEC);
    g_assert_true(fd >= 0 && ftruncate(fd, VOLUME) == 0);
    raw[i] = measure(FILL, NULL, fd, n_threads, 0);
    close(fd);
  }
  report("1 MiB sequential fill, empty", n_threads, thin, raw, MIB, "MiB/s");
}

/* A volume of a million chunks, mapped by a zero-length trick: whole chunks of a data device that
 * is a hole cost no memory when they are not zeroed. */
static void bench_snapshot(void)
{
  enum { CHUNKS = 1000000 };
  Harness h;
  harness_open(&h, CHUNKS + 100000, 256 * MIB,
               &(ThinOptions){.skip_zeroing = TRUE, .block_cache = 64 * MIB});
  harness_create(&h, 1);
  ThinVolume *volume = harness_volume(&h, 1, (guint64)CHUNKS * CHUNK);
  for (guint64 i = 0; i < CHUNKS; i++)
    MUST(thin_volume_write(volume, "", 1, i * CHUNK, &error));
  MUST(thin_pool_commit(h.pool, &error));
  double took[TURNS];
  for (guint32 i = 0; i < TURNS; i++) {
    /* Something to commit besides. */
    MUST(thin_volume_write(volume, "x", 1, (guint64)i * 1000 * CHUNK, &error));
    gint64 start = g_get_monotonic_time();
    harness_snapshot(&h, 2 + i, 1);
    took[i] = (g_get_monotonic_time() - start) / 1e3;
  }
  qsort(took, TURNS, sizeof *took, by_size);
  printf("snapshot of %d mapped chunks with its commit: median %.2f ms, slowest %.2f ms\n", CHUNKS,
         took[TURNS / 2], took[TURNS - 1]);
  thin_volume_close(volume);
  harness_close(&h);
}

int main(int argc, char **argv)
{
  double seconds = argc > 1 ? atof(argv[1]) : 2;
  guint most = argc > 2 ? MIN(atoi(argv[2]), THREADS_MAX) : 2;
  Harness h;
  harness_open(&h, VOLUME / CHUNK + 100, 16 * MIB, &(ThinOptions){.translations = 1 << 20});
  harness_create(&h, 1);
  ThinVolume *volume = harness_volume(&h, 1, VOLUME);
  int raw_fd = memfd_create("raw", MFD_CLOEXEC);
  g_assert_true(raw_fd >= 0);
  measure(FILL, volume, -1, 1, 0);
  measure(FILL, NULL, raw_fd, 1, 0);
  thin_volume_close(volume);
  for (guint n = 1; n <= most; n *= 2)
    bench_random(&h, raw_fd, n, seconds);
  harness_close(&h);
  close(raw_fd);
  for (guint n = 1; n <= most; n *= 2)
    bench_fill(n);
  bench_snapshot();
  return 0;
}
