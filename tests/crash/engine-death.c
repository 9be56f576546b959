/* virt-thin - the engine is killed at each of its I/Os; with a journal, nothing that was
 * acknowledged is lost SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: engine-death [SEED]      $VIRT_THIN_TEST_LONG: more runs
 *
 * A child works on a pool whose devices and journal are shared memory, and kills itself right
 * before its n-th I/O. The machine runs on, so what was written is there; what the next engine must
 * know besides is in the journal. It must find every operation that had returned, flushed or not,
 * and of the one under way all, nothing or a part.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/progress.h"
#include "scenario.h"
#include "thin/journal.h"

#define DATA_CHUNKS 512u
#define OPS 80u

typedef struct {
  guint done; /* operations that had returned */
  guint ios;
  guint64 tid;
} Shared;

typedef struct {
  Shared *shared;
  guint die_at;
} Death;

static const guint weights[OP_REOPEN + 1] = {
    [OP_CREATE] = 3, [OP_SNAPSHOT] = 5, [OP_DELETE] = 4,   [OP_EXCHANGE] = 2,
    [OP_WRITE] = 60, [OP_ZERO] = 6,     [OP_DISCARD] = 10, [OP_RESIZE] = 2,
    [OP_READ] = 5,   [OP_FLUSH] = 4,    [OP_COMMIT] = 3,   [OP_REOPEN] = 1,
};

static void maybe_die(VtIoKinds kind, guint64 offset, guint64 length, gpointer user_data)
{
  Death *death = user_data;
  if (kind != VT_IO_READ && ++death->shared->ios == death->die_at)
    kill(getpid(), SIGKILL);
}

static void watch(VtIo **io, Death *death)
{
  VtIo *watched = harness_watch_new(*io, maybe_die, death);
  vt_io_unref(*io);
  *io = watched;
}

/* The child's life: it does not return. */
static G_GNUC_NORETURN void live(Harness *h, Shared *shared, guint die_at, guint32 seed)
{
  Death death = {shared, die_at};
  Scenario scenario;
  g_autoptr(Model) model = model_new();
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  watch(&h->metadata, &death);
  watch(&h->data, &death);
  MUST(h->pool = thin_pool_open(h->metadata, h->data, &h->options, &error));
  scenario_init(&scenario, h);
  for (guint i = 0; i < OPS; i++) {
    Op op = scenario_next(model, rand, weights);
    MUST(scenario_do(&scenario, model, &op, &error));
    model_do(model, &scenario, &op);
    shared->tid = h->tid;
    shared->done = i + 1;
  }
  kill(getpid(), SIGKILL); /* without a word */
  abort();
}

/* What must be there after @done operations, with the next one under way. */
static Model *model_after(guint done, guint32 seed, guint64 tid_then, guint64 tid)
{
  Model *model = model_new();
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  for (guint i = 0; i < done; i++) {
    Op op = scenario_next(model, rand, weights);
    model_do(model, NULL, &op);
  }
  model_do(model, NULL, &(Op){.kind = OP_COMMIT}); /* all of it counts */
  if (done == OPS)
    return model;
  Op op = scenario_next(model, rand, weights);
  if (op.kind > OP_EXCHANGE)
    model_begin(model, &op);
  else if (tid > tid_then)
    model_do(model, NULL, &op);
  return model;
}

/* TRUE: it died at its I/O number @die_at; else it did all it had to. */
static gboolean run(guint die_at, guint32 seed, void *journal, Shared *shared, guint64 *sectors)
{
  Harness h;
  ThinOptions options = {
      .journal = journal, .journal_size = THIN_JOURNAL_MIN, .journal_key = "one-pool"};
  *shared = (Shared){0};
  memset(journal, 0, THIN_JOURNAL_MIN);
  harness_open(&h, DATA_CHUNKS, 2 * MIB, &options);
  MUST(thin_pool_close(g_steal_pointer(&h.pool), &error));
  pid_t pid = fork();
  g_assert_cmpint(pid, >=, 0);
  if (pid == 0)
    live(&h, shared, die_at, seed);
  int status;
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
    printf("Bail out! the child ended with status %d\n", status);
    abort();
  }
  MUST(h.pool = thin_pool_open(h.metadata, h.data, &h.options, &error));
  ThinStatus found;
  thin_pool_get_status(h.pool, &found);
  g_autoptr(Model) model = model_after(shared->done, seed, shared->tid, found.transaction_id);
  g_autofree char *where =
      g_strdup_printf("death at I/O %u, after %u operations", die_at, shared->done);
  *sectors += model_verify(model, h.pool, TRUE, where);
  harness_reopen(&h);
  *sectors += model_verify(model, h.pool, TRUE, where);
  MUST(thin_pool_close(g_steal_pointer(&h.pool), &error));
  harness_check(h.metadata, DATA_CHUNKS * CHUNK, FALSE);
  harness_close(&h);
  return shared->done < OPS;
}

/* More changes than the journal holds: it makes the pool commit. */
static void run_full(void *journal)
{
  Harness h;
  ThinOptions options = {
      .journal = journal, .journal_size = THIN_JOURNAL_MIN, .journal_key = "one-pool"};
  enum { N = 3000 };
  memset(journal, 0, THIN_JOURNAL_MIN);
  harness_open(&h, N + 10, 4 * MIB, &options);
  harness_create(&h, 1);
  MUST(thin_pool_close(g_steal_pointer(&h.pool), &error));
  pid_t pid = fork();
  if (pid == 0) {
    MUST(h.pool = thin_pool_open(h.metadata, h.data, &h.options, &error));
    ThinVolume *v = harness_volume(&h, 1, 2 * N * CHUNK);
    for (guint i = 0; i < N; i++)
      harness_write(v, 2 * i * CHUNK, 512, 1 + i % 200);
    kill(getpid(), SIGKILL);
  }
  g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
  MUST(h.pool = thin_pool_open(h.metadata, h.data, &h.options, &error));
  ThinVolume *v = harness_volume(&h, 1, 2 * N * CHUNK);
  for (guint i = 0; i < N; i++)
    harness_expect(v, 2 * i * CHUNK, 512, 1 + i % 200);
  g_assert_cmpuint(harness_used(&h), ==, N);
  thin_volume_close(v);
  harness_close(&h);
}

int main(int argc, char **argv)
{
  gboolean is_long = g_getenv("VIRT_THIN_TEST_LONG") != NULL;
  guint32 seed = argc > 1 ? strtoul(argv[1], NULL, 0) : 20250505;
  guint n_seeds = is_long ? 50 : 3, deaths = 0;
  guint64 sectors = 0;
  void *journal =
      mmap(NULL, THIN_JOURNAL_MIN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Shared *shared =
      mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_true(journal != MAP_FAILED && shared != MAP_FAILED);
  printf("TAP version 13\n1..2\n# seed %u\n", seed);
  fflush(stdout);
  for (guint i = 0; i < n_seeds; i++)
    for (guint die_at = 1;; die_at++, deaths++)
      if (run(die_at, seed + i, journal, shared, &sectors))
        progress("%u engines killed, run %u of %u", deaths, i + 1, n_seeds);
      else
        break;
  printf("# %u runs of %u operations, killed %u times, at each I/O in turn; %" G_GUINT64_FORMAT
         " sectors looked at\n",
         n_seeds, OPS, deaths + n_seeds, sectors);
  printf("ok 1 - nothing that was acknowledged was lost\n");
  run_full(journal);
  printf("ok 2 - a full journal commits\n");
  return 0;
}
