/* virt-thin - a long random run of the engine against a plain model in memory
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: model-run [SEED]      $VIRT_THIN_TEST_LONG: more, and strangers asked more often
 *
 * Every read is compared with the model, our own check follows every operation, the strangers'
 * tools every so many, and every so often everything is read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/progress.h"
#include "scenario.h"

#define DATA_CHUNKS 160u /* small enough to run full at times */

typedef struct {
  guint ops, tools_every, verify_every;
} Plan;

static void judge(Harness *h, Model *model, guint *tools)
{
  MUST(thin_pool_commit(h->pool, &error));
  model_do(model, NULL, &(Op){.kind = OP_COMMIT});
  const char *all[] = {"thin_check", "thin_dump", "thin_ls"};
  for (guint i = 0; i < G_N_ELEMENTS(all); i++)
    harness_tool(all[i], h->metadata_fd);
  *tools += G_N_ELEMENTS(all);
}

int main(int argc, char **argv)
{
  gboolean is_long = g_getenv("VIRT_THIN_TEST_LONG") != NULL;
  guint32 seed = argc > 1 ? strtoul(argv[1], NULL, 0) : 20250101;
  const Plan plan = is_long ? (Plan){200000, 100, 100} : (Plan){20000, 100, 200};
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  g_autoptr(Model) model = model_new();
  Harness h;
  Scenario scenario;
  printf("TAP version 13\n1..1\n# seed %u\n", seed);
  harness_open(&h, DATA_CHUNKS, 4 * MIB, NULL);
  scenario_init(&scenario, &h);
  guint done[OP_REOPEN + 1] = {0}, tools = 0, full = 0, checks = 0;
  guint64 sectors = 0;
  for (guint i = 0; i < plan.ops; i++) {
    progress("%u of %u operations", i, plan.ops);
    Op op = scenario_next(model, rand, scenario_weights);
    MUST(scenario_do(&scenario, model, &op, &error));
    model_do(model, &scenario, &op);
    done[op.kind]++;
    full += op.no_space;
    /* On disk is the last commit, which must stand by itself at any moment. */
    harness_check(h.metadata, DATA_CHUNKS * CHUNK, FALSE);
    checks++;
    if ((i + 1) % plan.verify_every == 0) {
      scenario_close_volumes(&scenario);
      sectors += model_verify(model, h.pool, FALSE, "verify");
    }
    if ((i + 1) % plan.tools_every == 0)
      judge(&h, model, &tools);
  }
  scenario_clear(&scenario);
  harness_close(&h);
  printf("# %u operations: %u creates, %u snapshots, %u deletes, %u exchanges, %u writes, %u "
         "zeros, %u discards, %u "
         "resizes, %u reads, %u flushes, "
         "%u commits, %u reopens; %u ran out of space\n",
         plan.ops, done[0], done[1], done[2], done[3], done[4], done[5], done[6], done[7], done[8],
         done[9], done[10], done[11], full);
  printf("# %u runs of thin_check(), %u of the strangers' tools, %" G_GUINT64_FORMAT
         " sectors verified besides the reads\n",
         checks, tools, sectors);
  printf("ok 1 - the pool held what the model held\n");
  return 0;
}
