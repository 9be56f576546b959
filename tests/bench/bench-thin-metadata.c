/* virt-thin - how fast the thin metadata is: prints one line per operation
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: bench-thin-metadata [CHUNKS]     (default 1000000; the metadata lies in /dev/shm where
 *                                         there is one)
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <glib/gstdio.h>
#include <time.h>
#include <unistd.h>

#include "thin/metadata/metadata.h"

static void must(gboolean ok, GError *error, const char *what)
{
  if (ok)
    return;
  fprintf(stderr, "bench-thin-metadata: %s: %s\n", what, error ? error->message : "failed");
  exit(1);
}
#define MUST(call)                                                                                 \
  do {                                                                                             \
    GError *error = NULL;                                                                          \
    must(call, error, #call);                                                                      \
  } while (0)

/* The time of day, and the time this process was given: on a busy machine only the second says
 * something. */
typedef struct {
  double wall, cpu;
} Moment;

static Moment now(void)
{
  struct timespec cpu;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  return (Moment){(double)g_get_monotonic_time() / 1e6,
                  (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9};
}

static void line(const char *what, Moment began, guint64 n, const char *unit)
{
  Moment ended = now();
  double wall = ended.wall - began.wall, cpu = ended.cpu - began.cpu;
  printf("%-45s %10.3f ms, cpu %10.3f ms  %12.1f ns per %s\n", what, wall * 1e3, cpu * 1e3,
         cpu * 1e9 / (double)n, unit);
}

static void map_run(ThinMetadata *md, guint32 device, guint64 begin, guint64 n, guint64 step)
{
  while (n > 0) {
    guint64 chunk, got;
    MUST(thin_metadata_alloc(md, MIN(n, step), &chunk, &got, &error));
    MUST(thin_metadata_insert(md, device, begin, chunk, got, &error));
    begin += got;
    n -= got;
  }
}

static void commit(ThinMetadata *md)
{
  MUST(thin_metadata_commit(md, NULL, NULL, &error));
  thin_metadata_freed_done(md);
}

static void bench_fill(ThinMetadata *md, guint64 n)
{
  Moment began = now();
  MUST(thin_metadata_create(md, 1, &error));
  map_run(md, 1, 0, n, n);
  line("map as one run", began, n, "chunk");
  began = now();
  commit(md);
  line("  its commit", began, 1, "commit");
  began = now();
  MUST(thin_metadata_create(md, 2, &error));
  map_run(md, 2, 0, n, 1);
  line("map chunk by chunk, rising", began, n, "chunk");
  commit(md);
}

static void bench_lookup(ThinMetadata *md, guint64 n, const char *what)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(1);
  guint64 sum = 0, times = 1000000;
  g_autofree guint32 *where = g_new(guint32, times);
  for (guint64 i = 0; i < times; i++)
    where[i] = (guint32)g_rand_int_range(rand, 0, (gint32)n);
  Moment began = now();
  for (guint64 i = 0; i < times; i++) {
    ThinRun run;
    MUST(thin_metadata_lookup(md, 1, where[i], where[i] + 1, &run, &error));
    sum += run.chunk;
  }
  line(what, began, times, "lookup");
  if (sum == 1)
    puts("");
}

static void bench_snapshots(ThinMetadata *md, guint64 n)
{
  Moment began = now();
  MUST(thin_metadata_snapshot(md, 3, 1, &error));
  commit(md);
  line("snapshot with its commit", began, 1, "snapshot");
  bench_lookup(md, n, "look up at random, shared with a snapshot");
  began = now();
  for (guint i = 0; i < 100; i++) {
    MUST(thin_metadata_snapshot(md, 100 + i, 1, &error));
    commit(md);
  }
  line("100 more, each with a commit", began, 100, "snapshot");
  began = now();
  map_run(md, 1, 0, n / 4, 1);
  line("break sharing of a quarter, chunk by chunk", began, n / 4, "chunk");
  commit(md);
  began = now();
  for (guint i = 0; i < 100; i++)
    MUST(thin_metadata_delete(md, 100 + i, &error));
  commit(md);
  line("delete the 100 in one commit", began, 100, "snapshot");
}

static void bench_delete(ThinMetadata *md, guint64 n)
{
  Moment began = now();
  MUST(thin_metadata_delete(md, 2, &error));
  line("delete a device that shares nothing", began, n, "chunk");
  began = now();
  commit(md);
  line("  its commit", began, 1, "commit");
  began = now();
  MUST(thin_metadata_remove(md, 1, n / 10, n - n / 10, &error));
  commit(md);
  line("discard four fifths of a device", began, n - 2 * (n / 10), "chunk");
}

int main(int argc, char **argv)
{
  guint64 n = argc > 1 ? g_ascii_strtoull(argv[1], NULL, 10) : 1000000;
  const char *base = g_access("/dev/shm", W_OK) == 0 ? "/dev/shm" : g_get_tmp_dir();
  g_autofree char *path = g_strdup_printf("%s/virt-thin-bench-XXXXXX", base);
  int fd = g_mkstemp(path);
  VtIo *io = NULL;

  if (n < 1000 || n > G_MAXINT32 || fd < 0 ||
      ftruncate(fd, (off_t)(64 << 20) + (off_t)n * 128) < 0) {
    fprintf(stderr, "bench-thin-metadata: cannot prepare %s for %s chunks\n", path,
            argc > 1 ? argv[1] : "1000000");
    return 2;
  }
  close(fd);
  MUST((io = vt_io_open_file(path, FALSE, &error)) != NULL);
  g_unlink(path);
  MUST(thin_metadata_format(io, THIN_CHUNK_MIN, n * 4, &error));
  ThinMetadata *md = thin_metadata_open(io, FALSE, 0, NULL);
  bench_fill(md, n);
  bench_lookup(md, n, "look up at random");
  bench_snapshots(md, n);
  Moment began = now();
  ThinReport *report = thin_check(io, 0, NULL);
  line("check", began, 2 * n, "mapping");
  if (report->errors->len || report->leaks->len)
    printf("%s\n", (char *)(report->errors->len ? report->errors : report->leaks)->pdata[0]);
  thin_report_free(report);
  bench_delete(md, n);
  thin_metadata_close(md);
  vt_io_unref(io);
  return 0;
}
