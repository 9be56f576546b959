/* virt-thin - power cuts at more than a thousand points of recorded runs
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: power-cut [SEED]      $VIRT_THIN_TEST_LONG: ten times the points, all of them judged by
 *                              the real thin_check
 *
 * Each run does random work on a new pool whose devices are recorded in one order. Then it is
 * replayed up to a point: what was flushed before is there, of the rest each write is applied,
 * dropped, or torn at 512 bytes, in any order, on each device by itself. Such a state must pass the
 * check, open for writing, hold of every sector what was durable or was written since, and go on
 * working.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../unit/progress.h"
#include "scenario.h"

#define DATA_CHUNKS 96u
#define METADATA_SIZE (2 * MIB)
#define OPS 60u

typedef struct {
  Op op;
  guint begin, end; /* length of the log when it was begun, and when it had returned */
  guint64 tid;      /* before it */
} Step;

typedef struct {
  VtIoLog *log;
  GArray *steps;            /* of Step */
  int metadata_fd, data_fd; /* the state when recording began */
} Recording;

typedef struct {
  guint points, judged;
  guint64 sectors;
} Totals;

/* --- recording --- */

static int copy_of(int fd, guint64 size)
{
  int copy = memfd_create("copy", MFD_CLOEXEC);
  g_assert_true(copy >= 0 && ftruncate(copy, size) == 0);
  off_t at = 0;
  g_autofree char *buf = g_malloc(MIB);
  /* Only what is there: most of it is a hole. */
  while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
    off_t end = lseek(fd, at, SEEK_HOLE);
    for (; at < end;) {
      ssize_t n = pread(fd, buf, MIN((off_t)MIB, end - at), at);
      g_assert_true(n > 0 && pwrite(copy, buf, n, at) == n);
      at += n;
    }
  }
  return copy;
}

/* Put recorders between the pool and its devices. */
static void start_recording(Harness *h, Recording *r)
{
  MUST(thin_pool_close(h->pool, &error));
  r->log = vt_io_log_new();
  r->steps = g_array_new(FALSE, FALSE, sizeof(Step));
  r->metadata_fd = copy_of(h->metadata_fd, METADATA_SIZE);
  r->data_fd = copy_of(h->data_fd, DATA_CHUNKS * CHUNK);
  VtIo *metadata = vt_io_recorder_new(h->metadata, r->log),
       *data = vt_io_recorder_new(h->data, r->log);
  vt_io_unref(h->metadata);
  vt_io_unref(h->data);
  h->metadata = metadata;
  h->data = data;
  MUST(h->pool = thin_pool_open(h->metadata, h->data, &h->options, &error));
}

static void record(Recording *r, GRand *rand)
{
  static const guint weights[OP_REOPEN + 1] = {
      [OP_CREATE] = 3, [OP_SNAPSHOT] = 6, [OP_DELETE] = 5,   [OP_EXCHANGE] = 3,
      [OP_WRITE] = 45, [OP_ZERO] = 6,     [OP_DISCARD] = 10, [OP_RESIZE] = 2,
      [OP_READ] = 2,   [OP_FLUSH] = 12,   [OP_COMMIT] = 5,   [OP_REOPEN] = 1,
  };
  Harness h;
  Scenario scenario;
  g_autoptr(Model) model = model_new();
  harness_open(&h, DATA_CHUNKS, METADATA_SIZE, NULL);
  start_recording(&h, r);
  scenario_init(&scenario, &h);
  /* Out of space ends it: how far that write came, a replay cannot ask. */
  for (gboolean full = FALSE; r->steps->len < OPS && !full;) {
    Step step = {
        .op = scenario_next(model, rand, weights), .begin = vt_io_log_length(r->log), .tid = h.tid};
    MUST(scenario_do(&scenario, model, &step.op, &error));
    step.end = vt_io_log_length(r->log);
    model_do(model, &scenario, &step.op);
    g_array_append_val(r->steps, step);
    full = step.op.no_space;
  }
  scenario_clear(&scenario);
  harness_close(&h);
}

static void recording_clear(Recording *r)
{
  vt_io_log_free(r->log);
  g_array_unref(r->steps);
  close(r->metadata_fd);
  close(r->data_fd);
}

/* --- replaying --- */

static gboolean is_message(OpKind kind)
{
  return kind <= OP_EXCHANGE;
}

/* The model of what must be there at @point; @tid: what the pool says. */
static Model *model_at(const Recording *r, guint point, guint64 tid)
{
  Model *model = model_new();
  for (guint i = 0; i < r->steps->len; i++) {
    const Step *step = &g_array_index(r->steps, Step, i);
    gboolean returned = step->end <= point, begun = step->begin < point;
    if (is_message(step->op.kind) && !step->op.no_space && !returned)
      returned = begun && tid > step->tid;
    if (returned)
      model_do(model, NULL, &step->op);
    else if (begun)
      model_begin(model, &step->op);
    else
      break;
  }
  return model;
}

/* A pool that lives on after the cut must work: write something to each device, and read it
 * again. */
static void go_on(ThinPool *pool, Model *model)
{
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init(&iter, model->devices);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    ThinVolume *volume = NULL;
    MUST(volume = thin_volume_open(pool, ((ModelDevice *)value)->id, SCENARIO_SECTORS * SECTOR,
                                   FALSE, &error));
    MUST(thin_volume_discard(volume, 0, 2 * CHUNK, &error));
    harness_expect(volume, 0, 2 * CHUNK, 0);
    thin_volume_close(volume);
  }
  MUST(thin_pool_commit(pool, &error));
}

static void cut(const Recording *r, guint point, GRand *rand, gboolean judge, Totals *totals)
{
  int metadata_fd = copy_of(r->metadata_fd, METADATA_SIZE),
      data_fd = copy_of(r->data_fd, DATA_CHUNKS * CHUNK);
  MUST(vt_io_log_replay(r->log, 0, point, rand, metadata_fd, &error));
  MUST(vt_io_log_replay(r->log, 1, point, rand, data_fd, &error));
  g_autofree char *metadata_path = g_strdup_printf("/proc/self/fd/%d", metadata_fd),
                  *data_path = g_strdup_printf("/proc/self/fd/%d", data_fd);
  g_autoptr(VtIo) metadata = NULL, data = NULL;
  MUST(metadata = vt_io_open_file(metadata_path, FALSE, &error));
  MUST(data = vt_io_open_file(data_path, FALSE, &error));
  g_autofree char *where = g_strdup_printf("cut at %u of %u", point, vt_io_log_length(r->log));

  harness_check(metadata, DATA_CHUNKS * CHUNK, TRUE);
  if (judge)
    harness_tool("thin_check", metadata_fd);
  const ThinOptions options = {.block_cache = MIB, .translations = 4096};
  ThinPool *pool = NULL;
  MUST(pool = thin_pool_open(metadata, data, &options, &error));
  ThinStatus status;
  thin_pool_get_status(pool, &status);
  g_autoptr(Model) model = model_at(r, point, status.transaction_id);
  totals->sectors += model_verify(model, pool, TRUE, where);
  go_on(pool, model);
  MUST(thin_pool_close(pool, &error));
  harness_check(metadata, DATA_CHUNKS * CHUNK, TRUE);
  totals->points++;
  totals->judged += judge;
  close(metadata_fd);
  close(data_fd);
}

int main(int argc, char **argv)
{
  gboolean is_long = g_getenv("VIRT_THIN_TEST_LONG") != NULL;
  guint32 seed = argc > 1 ? strtoul(argv[1], NULL, 0) : 20250202;
  guint n_runs = is_long ? 300 : 30, per_run = is_long ? 50 : 40;
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  Totals totals = {0};
  guint64 entries = 0;
  printf("TAP version 13\n1..1\n# seed %u\n", seed);
  for (guint run = 0; run < n_runs; run++) {
    Recording r;
    record(&r, rand);
    guint length = vt_io_log_length(r.log);
    entries += length;
    for (guint i = 0; i < per_run; i++) {
      cut(&r, g_rand_int_range(rand, 0, length + 1), rand, is_long || i % 4 == 0, &totals);
      progress("%u of %u power cuts", run * per_run + i + 1, n_runs * per_run);
    }
    recording_clear(&r);
  }
  printf("# %u runs of up to %u operations, %" G_GUINT64_FORMAT
         " recorded writes, flushes and discards\n",
         n_runs, OPS, entries);
  printf("# %u power cuts: each opened for writing, passed thin_check() before and after, held "
         "what was flushed "
         "(%" G_GUINT64_FORMAT " sectors looked at); %u judged by the real thin_check\n",
         totals.points, totals.sectors, totals.judged);
  printf("ok 1 - nothing that was flushed was lost\n");
  return 0;
}
