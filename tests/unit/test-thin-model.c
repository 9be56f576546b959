/* virt-thin - the thin metadata against a plain model, over a long random run
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * After every operation what the devices map is compared with the model, and the metadata on disk,
 * which is that of the last commit, is checked; so a block that a transaction writes too early
 * shows at once. The cache is as small as it gets, so that blocks are written back all the time.
 * Every hundred operations thin_check and thin_dump judge. $VIRT_THIN_TEST_SEED sets the seed,
 * $VIRT_THIN_TEST_LONG makes the run fifty times as long.
 */
#include "config.h"
#include "progress.h"
#include "thin-helper.h"

#define N_DEVICES 12
#define N_VIRTUAL 1500u /* virtual chunks of a device: several leaves */
#define STRIDE 1000u    /* ... of which half lie far away */
#define N_CHUNKS_MAX 40000u
#define UNMAPPED G_MAXUINT64

typedef struct {
  gboolean exists;
  guint64 map[N_VIRTUAL]; /* THIN_MAPPING(), or UNMAPPED */
  guint64 mapped, transaction_id;
  guint32 creation_time, snapshotted_time;
} ModelDevice;

typedef struct {
  ModelDevice devices[N_DEVICES];
  guint64 refs[N_CHUNKS_MAX]; /* devices that map the chunk */
  guint64 n_chunks, n_blocks, transaction_id;
  guint32 time;
  gboolean held;
} Model;

typedef struct {
  ThinTest *test;
  GRand *rand;
  VtIo *io;
  ThinMetadata *md;
  Model now, committed;
  gboolean dirty, held_since_commit;
  guint n_done[16];
} Run;

/* Virtual chunk number @i of a device. */
static guint64 key_of(guint i)
{
  return i < N_VIRTUAL / 2 ? i : (guint64)i * STRIDE * STRIDE;
}

static void model_set(Model *model, ModelDevice *device, guint i, guint64 value)
{
  if (device->map[i] != UNMAPPED) {
    model->refs[THIN_MAPPING_CHUNK(device->map[i])]--;
    device->mapped--;
  }
  device->map[i] = value;
  if (value != UNMAPPED) {
    model->refs[THIN_MAPPING_CHUNK(value)]++;
    device->mapped++;
  }
}

static gint pick_device(Run *run, gboolean exists)
{
  gint first = g_rand_int_range(run->rand, 0, N_DEVICES);
  for (gint i = 0; i < N_DEVICES; i++)
    if (run->now.devices[(first + i) % N_DEVICES].exists == exists)
      return (first + i) % N_DEVICES;
  return -1;
}

/* --- comparing ---------------------------------------------------------------------- */

static gboolean model_is_shared(const Model *model, guint device, guint i)
{
  guint64 value = model->devices[device].map[i];
  return THIN_MAPPING_TIME(value) < model->devices[device].snapshotted_time &&
         (model->refs[THIN_MAPPING_CHUNK(value)] > 1 || model->held);
}

/* Must the chunk be copied, if this transaction may yet be lost? */
static gboolean must_share(Run *run, guint device, guint i)
{
  guint64 value = run->now.devices[device].map[i], chunk = THIN_MAPPING_CHUNK(value);
  if (model_is_shared(&run->now, device, i))
    return TRUE;
  return THIN_MAPPING_TIME(value) < run->now.devices[device].snapshotted_time &&
         run->committed.refs[chunk] > 1;
}

static void compare_mapped(Run *run, guint device, guint i, const ThinRun *found)
{
  guint64 value = run->now.devices[device].map[i];
  assert_true(value != UNMAPPED);
  assert_int_equal(found->chunk + key_of(i) - found->begin, THIN_MAPPING_CHUNK(value));
  if (!found->shared)
    assert_false(must_share(run, device, i));
  else if (!run->dirty)
    assert_true(model_is_shared(&run->now, device, i));
}

static void compare_device(Run *run, guint device)
{
  ModelDevice *model = &run->now.devices[device];
  ThinDevice details;
  ThinRun found = {.end = 0};

  if (!model->exists) {
    assert_fails(thin_metadata_get_device(run->md, device, &details, &error), ENOENT);
    return;
  }
  assert_ok(thin_metadata_get_device(run->md, device, &details, &error));
  assert_int_equal(details.mapped, model->mapped * THIN_CHUNK_MIN);
  assert_int_equal(details.transaction_id, model->transaction_id);
  assert_int_equal(details.creation_time, model->creation_time);
  assert_int_equal(details.snapshotted_time, model->snapshotted_time);
  for (guint i = 0; i < N_VIRTUAL;) {
    assert_ok(thin_metadata_lookup(run->md, device, key_of(i), key_of(N_VIRTUAL), &found, &error));
    assert_true(found.end > found.begin);
    for (; i < N_VIRTUAL && key_of(i) < found.end; i++)
      if (found.mapped)
        compare_mapped(run, device, i, &found);
      else
        assert_true(model->map[i] == UNMAPPED);
  }
}

static void compare_counts(Run *run, guint device)
{
  guint64 exclusive, shared, expected = 0;
  if (run->dirty || run->now.held || !run->now.devices[device].exists)
    return;
  for (guint i = 0; i < N_VIRTUAL; i++)
    if (run->now.devices[device].map[i] != UNMAPPED)
      expected += run->now.refs[THIN_MAPPING_CHUNK(run->now.devices[device].map[i])] == 1;
  assert_ok(thin_metadata_count_device(run->md, device, &exclusive, &shared, &error));
  assert_int_equal(exclusive, expected);
  assert_int_equal(exclusive + shared, run->now.devices[device].mapped);
}

/* The devices, and how much each maps, as of now and not as of the last commit. */
static guint compare_list(Run *run)
{
  g_autoptr(GArray) list = thin_metadata_list_devices(run->md, NULL);
  guint n = 0;
  assert_non_null(list);
  for (guint i = 0; i < N_DEVICES; i++) {
    if (!run->now.devices[i].exists)
      continue;
    assert_true(n < list->len);
    assert_int_equal(g_array_index(list, ThinDevice, n).id, i);
    assert_int_equal(g_array_index(list, ThinDevice, n).mapped,
                     run->now.devices[i].mapped * THIN_CHUNK_MIN);
    n++;
  }
  assert_int_equal(list->len, n);
  return n;
}

static void compare_all(Run *run)
{
  guint n = compare_list(run);
  ThinStatus status;
  for (guint i = 0; i < N_DEVICES; i++)
    compare_device(run, i);
  thin_metadata_status(run->md, &status);
  assert_int_equal(status.n_devices, n);
  assert_int_equal(status.time, run->now.time);
  assert_int_equal(status.held_root != 0, run->now.held);
}

/* --- operations; each returns whether it did something ------------------------------- */

static void see_freed(guint64 chunk, guint64 n, gpointer user_data)
{
  Run *run = user_data;
  for (guint64 i = chunk; i < chunk + n; i++)
    assert_int_equal(run->now.refs[i], 0);
}

static gboolean do_commit(Run *run)
{
  assert_ok(thin_metadata_commit(run->md, NULL, NULL, &error));
  run->committed = run->now;
  run->dirty = FALSE;
  thin_metadata_freed_foreach(run->md, see_freed, run);
  if (g_rand_boolean(run->rand))
    thin_metadata_freed_done(run->md);
  return TRUE;
}

static void reopen(Run *run)
{
  g_autoptr(GError) error = NULL;
  run->md = thin_metadata_open(run->io, FALSE, 1, &error);
  assert_no_error(error);
  run->now = run->committed;
  run->dirty = FALSE;
}

static gboolean do_reopen(Run *run)
{
  if (g_rand_boolean(run->rand))
    do_commit(run);
  thin_metadata_close(run->md);
  reopen(run);
  compare_all(run);
  return TRUE;
}

static gboolean do_abort(Run *run)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  thin_metadata_abort(run->md, TRUE);
  run->now = run->committed;
  run->dirty = FALSE;
  compare_all(run);
  assert_fails(thin_metadata_create(run->md, N_DEVICES, &error), EROFS);
  thin_metadata_close(run->md);
  assert_fails(thin_metadata_open(run->io, FALSE, 1, &error), EPERM);
  /* As thin_check --clear-needs-check-flag does. */
  assert_ok(vt_io_read(run->io, block, sizeof block, 0, &error));
  ((ThinDiskHeader *)block)->flags = 0;
  thin_block_seal((guint8 *)block, 0, THIN_KIND_SUPERBLOCK);
  assert_ok(vt_io_write(run->io, block, sizeof block, 0, &error));
  reopen(run);
  return TRUE;
}

static gboolean do_create(Run *run)
{
  gint id = pick_device(run, FALSE);
  if (id < 0)
    return FALSE;
  assert_ok(thin_metadata_create(run->md, (guint32)id, &error));
  ModelDevice *device = &run->now.devices[id];
  device->exists = TRUE;
  device->mapped = 0;
  device->transaction_id = run->now.transaction_id;
  device->creation_time = device->snapshotted_time = run->now.time;
  for (guint i = 0; i < N_VIRTUAL; i++)
    device->map[i] = UNMAPPED;
  return TRUE;
}

static gboolean do_snapshot(Run *run)
{
  gint id = pick_device(run, FALSE), origin = pick_device(run, TRUE);
  if (origin < 0)
    return FALSE;
  if (id < 0) {
    assert_fails(thin_metadata_snapshot(run->md, (guint32)origin, (guint32)origin, &error), EEXIST);
    return FALSE;
  }
  assert_ok(thin_metadata_snapshot(run->md, (guint32)id, (guint32)origin, &error));
  ModelDevice *from = &run->now.devices[origin], *to = &run->now.devices[id];
  *to = *from;
  to->transaction_id = run->now.transaction_id;
  to->creation_time = to->snapshotted_time = from->snapshotted_time = ++run->now.time;
  for (guint i = 0; i < N_VIRTUAL; i++)
    if (to->map[i] != UNMAPPED)
      run->now.refs[THIN_MAPPING_CHUNK(to->map[i])]++;
  return TRUE;
}

static gboolean do_delete(Run *run)
{
  gint id = pick_device(run, TRUE);
  if (id < 0)
    return FALSE;
  assert_ok(thin_metadata_delete(run->md, (guint32)id, &error));
  for (guint i = 0; i < N_VIRTUAL; i++)
    model_set(&run->now, &run->now.devices[id], i, UNMAPPED);
  run->now.devices[id].exists = FALSE;
  return TRUE;
}

static gboolean do_exchange(Run *run)
{
  gint a = pick_device(run, TRUE), b = pick_device(run, TRUE);
  if (a < 0)
    return FALSE;
  assert_ok(thin_metadata_exchange(run->md, (guint32)a, (guint32)b, &error));
  ModelDevice was = run->now.devices[a];
  run->now.devices[a] = run->now.devices[b];
  run->now.devices[b] = was;
  return TRUE;
}

static void check_is_free(Run *run, guint64 chunk, guint64 n)
{
  for (guint64 i = chunk; i < chunk + n; i++)
    assert_true(run->now.refs[i] == 0 && run->committed.refs[i] == 0);
}

static gboolean do_insert(Run *run)
{
  gint id = pick_device(run, TRUE);
  if (id < 0)
    return FALSE;
  guint i = (guint)g_rand_int_range(run->rand, 0, N_VIRTUAL),
        n = (guint)g_rand_int_range(run->rand, 1, g_rand_boolean(run->rand) ? 4 : 500);
  n = MIN(n, i < N_VIRTUAL / 2 ? N_VIRTUAL / 2 - i : 1);
  while (n > 0) {
    g_autoptr(GError) error = NULL;
    guint64 chunk, got;
    if (!thin_metadata_alloc(run->md, n, &chunk, &got, &error)) {
      assert_true(g_error_matches(error, VT_ERROR, ENOSPC));
      do_commit(run);
      thin_metadata_freed_done(run->md);
      return TRUE;
    }
    check_is_free(run, chunk, got);
    if (g_rand_int_range(run->rand, 0, 20) == 0) {
      assert_ok(thin_metadata_unalloc(run->md, chunk, got, &error));
      return TRUE;
    }
    assert_ok(thin_metadata_insert(run->md, (guint32)id, key_of(i), chunk, got, &error));
    for (; got > 0; got--, n--)
      model_set(&run->now, &run->now.devices[id], i++, THIN_MAPPING(chunk++, run->now.time));
  }
  return TRUE;
}

static gboolean do_remove(Run *run)
{
  gint id = pick_device(run, TRUE);
  if (id < 0)
    return FALSE;
  guint i = (guint)g_rand_int_range(run->rand, 0, N_VIRTUAL),
        n = (guint)g_rand_int_range(run->rand, 1, g_rand_boolean(run->rand) ? 3 : N_VIRTUAL);
  guint end = MIN(i + n, N_VIRTUAL);
  assert_ok(thin_metadata_remove(run->md, (guint32)id, key_of(i), key_of(end - 1) + 1, &error));
  for (; i < end; i++)
    model_set(&run->now, &run->now.devices[id], i, UNMAPPED);
  return TRUE;
}

static gboolean do_grow(Run *run)
{
  if (g_rand_boolean(run->rand) && run->now.n_chunks + 100 < N_CHUNKS_MAX) {
    run->now.n_chunks += (guint64)g_rand_int_range(run->rand, 1, 100);
    assert_ok(thin_metadata_grow_data(run->md, run->now.n_chunks, &error));
  } else if (run->now.n_blocks < 17000) {
    run->now.n_blocks += 10;
    assert_ok(thin_metadata_grow_metadata(run->md, run->now.n_blocks, &error));
  }
  return TRUE;
}

static gboolean do_held(Run *run)
{
  do_commit(run);
  if (run->now.held)
    assert_ok(thin_metadata_release_snapshot(run->md, &error));
  else
    assert_ok(thin_metadata_reserve_snapshot(run->md, &error));
  run->now.held = !run->now.held;
  return do_commit(run);
}

static gboolean do_transaction_id(Run *run)
{
  thin_metadata_set_transaction_id(run->md, ++run->now.transaction_id);
  return TRUE;
}

static const struct {
  gboolean (*func)(Run *run);
  guint weight;
} operations[] = {
    {do_insert, 40}, {do_remove, 20},  {do_commit, 20}, {do_snapshot, 10},
    {do_delete, 6},  {do_exchange, 2}, {do_create, 3},  {do_reopen, 2},
    {do_abort, 1},   {do_grow, 1},     {do_held, 1},    {do_transaction_id, 2},
};

/* --- the run ------------------------------------------------------------------------ */

static void step(Run *run)
{
  guint total = 0, op = 0, at;
  for (guint i = 0; i < G_N_ELEMENTS(operations); i++)
    total += operations[i].weight;
  for (at = (guint)g_rand_int_range(run->rand, 0, (gint)total); at >= operations[op].weight; op++)
    at -= operations[op].weight;
  run->dirty = TRUE;
  run->n_done[op] += operations[op].func(run);
}

static void judge(Run *run, const char *path)
{
  const char *argv[] = {"thin_dump", path, NULL};
  do_commit(run);
  thin_test_assert_thin_check(path);
  compare_all(run);
  for (guint i = 0; i < N_DEVICES; i++)
    compare_counts(run, i);
  g_autofree char *ours = thin_test_dump(run->md), *theirs = thin_test_output(argv);
  assert_string_equal(ours, theirs);
}

static void test_random_run(void **state)
{
  const char *seed_text = g_getenv("VIRT_THIN_TEST_SEED");
  guint32 seed = seed_text ? (guint32)g_ascii_strtoull(seed_text, NULL, 10) : 20261121;
  guint n_steps = g_getenv("VIRT_THIN_TEST_LONG") ? 1000000 : 20000;
  g_autofree Run *run = g_new0(Run, 1);
  g_autofree char *path = thin_test_path(*state, "meta");

  run->test = *state;
  run->rand = g_rand_new_with_seed(seed);
  run->io = thin_test_file(run->test, "meta", 20000 * THIN_METADATA_BLOCK);
  run->committed = (Model){.n_chunks = 12000, .n_blocks = 20000};
  assert_ok(thin_metadata_format(run->io, THIN_CHUNK_MIN, run->committed.n_chunks, &error));
  reopen(run);
  print_message("# seed %u\n", seed);
  for (guint i = 0; i < n_steps; i++) {
    progress("%u of %u operations", i, n_steps);
    step(run);
    compare_device(run, (guint)g_rand_int_range(run->rand, 0, N_DEVICES));
    compare_list(run);
    thin_test_assert_clean(path, FALSE);
    if (i % 100 == 99)
      judge(run, path);
  }
  thin_metadata_close(run->md);
  g_rand_free(run->rand);
  vt_io_unref(run->io);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_random_run, thin_test_setup, thin_test_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
