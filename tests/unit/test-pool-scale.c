/* virt-thin - tests: a pool of 10,000 volumes, made in one commit
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * In memory, where there is a /dev/shm, there is nothing to wait for: so what is held to a limit is
 * the thread's processor time, the best of several, which does not depend on what else the machine
 * does. The time on the clock is printed.
 */
#include "pool-helper.h"

#include <string.h>
#include <time.h>

#include "lvm/store.h"
#include "thin/thin.h"

#define N 10000
#define TRIES 7

/* What virt-thin does for each volume, for all at once. */
static void synthesise(const char *path)
{
  const char *paths[] = {path, NULL};
  g_autoptr(LvmStore) store = NULL;
  g_autofree ThinMessage *messages = g_new0(ThinMessage, N);
  const ThinOptions options = {.chunk_size = 64 * KIB};
  VtIo *metadata, *data;
  ThinPool *thin;
  LvmVg *vg;
  LvmLv *pool;

  assert_done((store = lvm_store_open(paths, NULL, FALSE, NULL, NULL, &error)) != NULL);
  vg = lvm_vg_copy(lvm_store_vg(store));
  pool = lvm_vg_find_lv(vg, "data");
  for (guint i = 0; i < N; i++) {
    g_autofree char *name = g_strdup_printf("vm-%u-disk-0", 100 + i);

    assert_done(lvm_vg_add_thin(vg, pool, name, 2048, i + 1, NULL, &error) != NULL);
    messages[i].device = i + 1;
  }
  lvm_pool_set_transaction_id(pool, 1);
  assert_done((metadata = lvm_store_open_lv(store, "data_tmeta", FALSE, &error)) != NULL);
  assert_done((data = lvm_store_open_lv(store, "data_tdata", FALSE, &error)) != NULL);
  assert_done((thin = thin_pool_open(metadata, data, &options, &error)) != NULL);
  assert_done(thin_pool_send(thin, messages, N, 0, 1, &error));
  assert_done(thin_pool_close(thin, &error));
  vt_io_unref(metadata);
  vt_io_unref(data);
  assert_done(lvm_store_commit(store, vg, NULL, "10,000 volumes", &error));
}

typedef struct {
  double clock, cpu; /* milliseconds */
} Time;

static Time now(void)
{
  struct timespec t;
  Time time;

  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  time.cpu = t.tv_sec * 1e3 + t.tv_nsec / 1e6;
  time.clock = g_get_monotonic_time() / 1e3;
  return time;
}

static void take_better(Time *best, Time start)
{
  Time end = now();

  best->cpu = MIN(best->cpu, end.cpu - start.cpu);
  best->clock = MIN(best->clock, end.clock - start.clock);
}

#define WORST                                                                                      \
  {                                                                                                \
    G_MAXDOUBLE, G_MAXDOUBLE                                                                       \
  }

/* The sanitizers' own work is none of ours. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOWER 10
#else
#define SLOWER 1
#endif

static void assert_faster(const char *what, Time time, double limit)
{
  print_message("# %s: %.1f ms on the clock, %.1f ms of processor time\n", what, time.clock,
                time.cpu);
  if (time.cpu > limit * SLOWER)
    fail_msg("%s took %.1f ms, more than %.0f", what, time.cpu, limit);
}

static Time best_list(VolumeGroup *group)
{
  Time best = WORST;

  for (guint i = 0; i < TRIES; i++) {
    Time start = now();
    GPtrArray *infos;

    assert_done((infos = pool_list_volumes(group, NULL, &error)) != NULL);
    take_better(&best, start);
    assert_true(infos->len >= N);
    g_ptr_array_unref(infos);
  }
  return best;
}

typedef enum { CREATE, SNAPSHOT, CLONE, ROLLBACK, RENAME, REMOVE } Kind;

static Time best_of(VolumeGroup *group, Kind kind)
{
  Time best = WORST;

  for (guint i = 0; i < TRIES; i++) {
    g_autofree char *name = g_strdup_printf("s%u", i), *volume = g_strdup_printf("new%u", i),
                    *clone = g_strdup_printf("clone%u", i);
    g_autofree char *renamed = g_strdup_printf("renamed%u", i);
    const char *names[] = {renamed, NULL};
    Time start = now();

    switch (kind) {
    case CREATE: assert_done(pool_create(group, NULL, volume, GIB, &error)); break;
    case SNAPSHOT: assert_done(pool_snapshot(group, "vm-100-disk-0", name, &error)); break;
    case CLONE: assert_done(pool_clone(group, "vm-100-disk-0", clone, 0, &error)); break;
    case ROLLBACK: assert_done(pool_rollback(group, "vm-100-disk-0", name, &error)); break;
    case RENAME: assert_done(pool_rename(group, clone, renamed, &error)); break;
    case REMOVE: assert_done(pool_remove(group, names, FALSE, &error)); break;
    }
    take_better(&best, start);
  }
  return best;
}

static void test_ten_thousand_volumes(void **state)
{
  char *path = helper_path("pv.img");
  const PoolNew params = {.metadata_size = 128 * MIB};
  Time time = WORST, start;
  VolumeGroup *group;

  assert_done(pool_init("pve", "data", path, GIB, 0, &params, &error));
  synthesise(path);
  start = now();
  group = helper_open(path);
  take_better(&time, start);
  assert_faster("open", time, 1000);
  assert_faster("list", best_list(group), 50);
  assert_faster("create", best_of(group, CREATE), 100);
  assert_faster("snapshot", best_of(group, SNAPSHOT), 100);
  assert_faster("clone", best_of(group, CLONE), 100);
  assert_faster("rollback", best_of(group, ROLLBACK), 100);
  assert_faster("rename", best_of(group, RENAME), 100);
  assert_faster("remove", best_of(group, REMOVE), 100);
  helper_check_pool(group, NULL);
  helper_close(group);
  helper_judge(path, NULL);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_ten_thousand_volumes, helper_setup, helper_teardown)};

  return cmocka_run_group_tests_name("pool-scale", tests, NULL, NULL);
}
