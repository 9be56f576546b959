/* virt-thin - every I/O of a run is made to fail in turn
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: io-failures [SEED]      $VIRT_THIN_TEST_LONG: longer runs, more of them
 *
 * The same random work is done again and again; the first time its first read of the metadata
 * fails, then the second, and so on through all kinds of I/O on both devices. An operation that
 * fails may have been done or not; all that was flushed before must still be there, in the pool
 * that goes on and after a reopen; the metadata must pass the check; and a pool that failed refuses
 * writes. A fault that no run meets tests nothing: that is a failure, too. (The metadata device is
 * neither zeroed nor discarded.)
 */
#include <stdio.h>
#include <stdlib.h>

#include "../unit/progress.h"
#include "scenario.h"

/* never out of space: how far such a write came could not be asked of a pool that fails */
#define DATA_CHUNKS 512u

typedef struct {
  gboolean data; /* the data device, else the metadata */
  VtIoKinds kind;
  guint countdown;
  gboolean lasting; /* it goes on failing until the pool is closed; else only while the operation
                       lasts */
} Fault;

typedef struct {
  guint runs, hit, failed_pools, failed_ops, needed_check;
} Totals;

static void quiet(const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
}

static void arm(Harness *h, const Fault *fault, gboolean on)
{
  vt_io_failer_arm(fault->data ? h->data : h->metadata, fault->kind,
                   on ? fault->countdown : G_MAXUINT, EIO);
}

/* After a failure: may this pool be written to? It must say so itself. */
static void try_to_go_on(Scenario *scenario, Model *model, Totals *totals)
{
  ThinStatus status;
  thin_pool_get_status(scenario->harness->pool, &status);
  if (status.mode != THIN_MODE_FAILED)
    return;
  totals->failed_pools++;
  GHashTableIter iter;
  gpointer volume;
  g_hash_table_iter_init(&iter, scenario->volumes);
  while (g_hash_table_iter_next(&iter, NULL, &volume)) {
    g_autoptr(GError) error = NULL;
    char byte = 0;
    g_assert_false(thin_volume_write(volume, &byte, 1, 0, &error));
    g_assert_error(error, VT_ERROR, EROFS);
    g_clear_error(&error);
    g_assert_false(thin_volume_flush(volume, &error));
    g_assert_error(error, VT_ERROR, EROFS);
  }
}

/* Zeroing asks the device for it where it is long and the chunks stay; discards are passed on. */
static const guint zeroing_weights[OP_REOPEN + 1] = {
    [OP_CREATE] = 2, [OP_WRITE] = 40, [OP_ZERO] = 40, [OP_READ] = 10, [OP_FLUSH] = 8,
};

/* TRUE: the fault was met. */
static gboolean run(const Fault *fault, guint32 seed, guint n_ops, Totals *totals)
{
  Harness h;
  Scenario scenario;
  gboolean failed = FALSE, met;
  const guint *weights = fault->kind == VT_IO_ZERO ? zeroing_weights : scenario_weights;
  g_autoptr(Model) model = model_new();
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  harness_open_failing(&h, DATA_CHUNKS, 2 * MIB,
                       &(ThinOptions){.block_cache = 64 * 4096,
                                      .translations = 4096,
                                      .discards = THIN_DISCARD_PASSDOWN});
  scenario_init(&scenario, &h);
  arm(&h, fault, TRUE);
  for (guint i = 0; i < n_ops && !failed; i++) {
    Op op = scenario_next(model, rand, weights);
    guint64 tid = h.tid;
    g_autoptr(GError) error = NULL;
    failed = !scenario_do(&scenario, model, &op, &error);
    if (!failed) {
      model_do(model, &scenario, &op);
      continue;
    }
    g_assert_true(error != NULL);
    totals->failed_ops++;
    if (!fault->lasting)
      arm(&h, fault, FALSE);
    if (!h.pool)
      break;
    ThinStatus status;
    thin_pool_get_status(h.pool, &status);
    if (op.kind <= OP_EXCHANGE && status.transaction_id > tid)
      model_do(model, NULL, &op);
    else
      model_begin(model, &op);
    try_to_go_on(&scenario, model, totals);
  }
  scenario_clear(&scenario);
  if (h.pool)
    thin_pool_close(g_steal_pointer(&h.pool), NULL);
  met = vt_io_failer_failed(fault->data ? h.data : h.metadata) > 0;
  vt_io_failer_arm(h.metadata, 0, G_MAXUINT, EIO);
  vt_io_failer_arm(h.data, 0, G_MAXUINT, EIO);

  h.options.read_only = TRUE;
  MUST(h.pool = thin_pool_open(h.metadata, h.data, &h.options, &error));
  ThinStatus status;
  thin_pool_get_status(h.pool, &status);
  model_verify(model, h.pool, TRUE, "after a failure");
  MUST(thin_pool_close(h.pool, &error));
  h.pool = NULL;
  h.options.read_only = FALSE;
  if (status.needs_check) {
    g_autoptr(GError) error = NULL;
    g_assert_null(thin_pool_open(h.metadata, h.data, &h.options, &error));
    g_assert_error(error, VT_ERROR, EPERM);
    harness_tool_with("thin_check", "--clear-needs-check-flag", h.metadata_fd);
    totals->needed_check++;
  }
  harness_check(h.metadata, DATA_CHUNKS * CHUNK, TRUE);
  MUST(h.pool = thin_pool_open(h.metadata, h.data, &h.options, &error));
  model_verify(model, h.pool, TRUE, "after a failure, opened for writing");
  harness_close(&h);
  totals->runs++;
  totals->hit += met;
  return met;
}

/* One kind of fault, met at its first occasion, its second, … until there is none any more. */
static Totals run_all(Fault fault, guint32 seed, guint n_ops)
{
  Totals totals = {0};
  for (guint misses = 0; misses < 2; fault.countdown++) {
    fault.lasting = fault.countdown % 2;
    misses = run(&fault, seed, n_ops, &totals) ? 0 : misses + 1;
    progress("%u runs, %u met their fault", totals.runs, totals.hit);
  }
  return totals;
}

int main(int argc, char **argv)
{
  static const struct {
    Fault fault;
    const char *name;
  } faults[] = {{{.data = FALSE, .kind = VT_IO_READ}, "read of the metadata"},
                {{.data = FALSE, .kind = VT_IO_WRITE}, "write of the metadata"},
                {{.data = FALSE, .kind = VT_IO_FLUSH}, "flush of the metadata"},
                {{.data = TRUE, .kind = VT_IO_READ}, "read of the data"},
                {{.data = TRUE, .kind = VT_IO_WRITE}, "write of the data"},
                {{.data = TRUE, .kind = VT_IO_FLUSH}, "flush of the data"},
                {{.data = TRUE, .kind = VT_IO_ZERO}, "zero of the data"},
                {{.data = TRUE, .kind = VT_IO_DISCARD}, "discard of the data"}};
  gboolean is_long = g_getenv("VIRT_THIN_TEST_LONG") != NULL;
  guint32 seed = argc > 1 ? strtoul(argv[1], NULL, 0) : 20250404;
  printf("TAP version 13\n1..%u\n# seed %u\n", (guint)G_N_ELEMENTS(faults), seed);
  g_log_set_default_handler(quiet, NULL);
  for (guint i = 0; i < G_N_ELEMENTS(faults); i++) {
    Totals totals = run_all(faults[i].fault, seed, is_long ? 200 : 60);
    printf("# %u runs: %u met the fault, %u operations failed, %u pools went read-only, %u had "
           "needs_check set\n",
           totals.runs, totals.hit, totals.failed_ops, totals.failed_pools, totals.needed_check);
    printf("%s %u - failing %s\n", totals.hit > 0 ? "ok" : "not ok", i + 1, faults[i].name);
  }
  return 0;
}
