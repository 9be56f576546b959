/* virt-thin - tests: who uses the chunks of a pool, against a count chunk by chunk
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A seeded history of inserts, removals, snapshots and deletions; then every chunk is looked up in
 * every device, and what that gives is compared with one reading of the trees, for sets of devices
 * drawn at random, with strays, and with a metadata snapshot that holds what is removed since. What
 * the skipping of shared nodes saves is counted in reads.
 */
#include "thin-helper.h"

#include <string.h>

#include "thin/format/usage.h"
#include "thin-harness.h"

#undef CHUNK
#define CHUNK 65536u
#define N_CHUNKS 3000u /* of a device: a tree of three levels */
#define N_POOL 100000u
#define N_DEVICES 8u /* ids 1 to 8, some of which are removed */
#define HELD 31u     /* the bit of the metadata snapshot among owners */

typedef struct {
  VtIo *io;
  ThinMetadata *md;
  GRand *rand;
  guint32 held[N_POOL]; /* owners of each chunk when the metadata snapshot was taken; 0: none was */
} Fixture;

static Fixture *open_fixture(ThinTest *test, guint32 seed)
{
  Fixture *f = g_new0(Fixture, 1);

  f->io = thin_test_file(test, "usage", 16 << 20);
  assert_ok(thin_metadata_format(f->io, CHUNK, N_POOL, &error));
  assert_ok((f->md = thin_metadata_open(f->io, FALSE, 0, &error)) != NULL);
  f->rand = g_rand_new_with_seed(seed);
  return f;
}

static void close_fixture(Fixture *f)
{
  thin_metadata_close(f->md);
  vt_io_unref(f->io);
  g_rand_free(f->rand);
  g_free(f);
}

/* Device 1 and snapshots of any that is there; then some go. */
static void make_history(Fixture *f)
{
  assert_ok(thin_metadata_create(f->md, 1, &error));
  thin_test_map(f->md, 1, 0, N_CHUNKS / 2);
  for (guint32 id = 2; id <= N_DEVICES; id++) {
    guint32 origin = (guint32)g_rand_int_range(f->rand, 1, (gint32)id);

    assert_ok(thin_metadata_snapshot(f->md, id, origin, &error));
    for (int i = 0; i < 8; i++)
      thin_test_change(f->md, f->rand, (guint32)g_rand_int_range(f->rand, 1, (gint32)id + 1),
                       N_CHUNKS);
    thin_test_commit(f->md);
  }
}

/* A bit for each device that maps a chunk. */
static guint32 *find_owners(Fixture *f, GArray *devices)
{
  guint32 *owners = g_memdup2(f->held, sizeof f->held);

  for (guint i = 0; i < devices->len; i++) {
    guint32 id = g_array_index(devices, ThinDevice, i).id;

    for (guint64 key = 0; key < N_CHUNKS; key++) {
      ThinRun run;

      assert_ok(thin_metadata_lookup(f->md, id, key, key + 1, &run, &error));
      if (run.mapped)
        owners[run.chunk] |= 1u << id;
    }
  }
  return owners;
}

static ThinUsageClass class_of(guint32 id, gpointer data)
{
  guint32 *sets = data; /* chosen, strays */

  return sets[0] >> id & 1   ? THIN_USAGE_CHOSEN
         : sets[1] >> id & 1 ? THIN_USAGE_STRAY
                             : THIN_USAGE_KNOWN;
}

static void compare_devices(const ThinUsage *usage, GArray *devices, const guint32 *owners)
{
  assert_int_equal(usage->devices->len, devices->len);
  for (guint i = 0; i < devices->len; i++) {
    const ThinDevice *device = &g_array_index(devices, ThinDevice, i);
    const ThinUsageDevice *found = thin_usage_find(usage, device->id);
    guint64 mapped = 0, exclusive = 0;

    for (guint chunk = 0; chunk < N_POOL; chunk++) {
      guint32 who = owners[chunk] & ~(1u << HELD);

      mapped += who >> device->id & 1;
      exclusive += who == 1u << device->id;
    }
    assert_non_null(found);
    assert_int_equal(found->mapped, mapped * CHUNK);
    assert_int_equal(found->exclusive, exclusive * CHUNK);
  }
  assert_null(thin_usage_find(usage, N_DEVICES + 1));
}

/* For one set of devices, and one of strays. */
static void compare(Fixture *f, GArray *devices, const guint32 *owners, guint32 chosen,
                    guint32 strays)
{
  guint32 sets[2] = {chosen, strays}, all = 0, volumes, only_strays;
  g_auto(ThinUsage) usage = {.classify = class_of, .data = sets};
  guint64 freed = 0, known = 0, stray = 0, allocated = 0;

  assert_ok(thin_usage(f->io, &usage, &error));
  compare_devices(&usage, devices, owners);
  for (guint i = 0; i < devices->len; i++)
    all |= 1u << g_array_index(devices, ThinDevice, i).id;
  only_strays = strays & ~chosen;
  volumes = all & ~only_strays;
  for (guint chunk = 0; chunk < N_POOL; chunk++) {
    guint32 who = owners[chunk];

    freed += (who & chosen) && !(who & ~chosen);
    known += (who & volumes) != 0;
    stray += (who & only_strays) && !(who & volumes);
    allocated += who != 0;
  }
  assert_int_equal(usage.chunk_size, CHUNK);
  assert_int_equal(usage.freed, freed * CHUNK);
  assert_int_equal(usage.known, known * CHUNK);
  assert_int_equal(usage.strays, stray * CHUNK);
  assert_int_equal(usage.allocated, allocated * CHUNK);
}

static void compare_sets(Fixture *f)
{
  g_autoptr(GArray) devices = thin_metadata_list_devices(f->md, NULL);
  g_autofree guint32 *owners = find_owners(f, devices);
  guint32 any = (2u << N_DEVICES) - 2;

  compare(f, devices, owners, 0, 0);
  compare(f, devices, owners, any, 0);
  compare(f, devices, owners, 0, any);
  for (int i = 0; i < 20; i++)
    compare(f, devices, owners, g_rand_int(f->rand) & any, g_rand_int(f->rand) & any);
}

static void remove_some(Fixture *f)
{
  for (guint32 id = 1; id <= N_DEVICES; id += 3)
    assert_ok(thin_metadata_delete(f->md, id, &error));
  thin_test_commit(f->md);
}

/* What the devices have now stays, whatever is removed later. */
static void hold(Fixture *f)
{
  g_autoptr(GArray) devices = thin_metadata_list_devices(f->md, NULL);
  g_autofree guint32 *owners = find_owners(f, devices);

  for (guint chunk = 0; chunk < N_POOL; chunk++)
    f->held[chunk] = owners[chunk] ? 1u << HELD : 0;
  assert_ok(thin_metadata_reserve_snapshot(f->md, &error));
  thin_test_commit(f->md);
}

static void test_history(void **state)
{
  for (guint32 seed = 1; seed <= 6; seed++) {
    Fixture *f = open_fixture(*state, seed);

    make_history(f);
    compare_sets(f);
    if (seed % 2)
      hold(f);
    remove_some(f);
    compare_sets(f);
    close_fixture(f);
  }
}

static void test_empty_pool(void **state)
{
  Fixture *f = open_fixture(*state, 1);
  g_auto(ThinUsage) usage = {0};

  assert_ok(thin_usage(f->io, &usage, &error));
  assert_int_equal(usage.devices->len, 0);
  assert_int_equal(usage.allocated, 0);
  close_fixture(f);
}

static guint64 bytes_read;

static void count_read(VtIoKinds kind, guint64 offset, guint64 length, gpointer user_data)
{
  bytes_read += length;
}

/* 500 snapshots that share all but a leaf: nothing like 500 maps is read. */
static void test_cost_follows_nodes(void **state)
{
  Fixture *f = open_fixture(*state, 7);
  VtIo *watched = harness_watch_new(f->io, count_read, NULL);
  g_auto(ThinUsage) usage = {0};
  ThinStatus status;

  assert_ok(thin_metadata_create(f->md, 1, &error));
  thin_test_map(f->md, 1, 0, N_CHUNKS);
  for (guint32 id = 2; id <= 501; id++) {
    assert_ok(thin_metadata_snapshot(f->md, id, 1, &error));
    thin_test_map(f->md, 1, id, 1);
    thin_test_commit(f->md);
  }
  thin_metadata_status(f->md, &status);
  assert_ok(thin_usage(watched, &usage, &error));
  assert_true(bytes_read < 4 * status.metadata_used);
  assert_int_equal(usage.devices->len, 501);
  assert_int_equal(usage.freed, 0);
  vt_io_unref(watched);
  close_fixture(f);
}

/* Every block in turn is overwritten: it is answered as before, or an error that says where. */
static void test_damage_is_an_error(void **state)
{
  Fixture *f = open_fixture(*state, 3);
  g_autofree guint8 *block = g_malloc(THIN_METADATA_BLOCK);
  g_auto(ThinUsage) whole = {0};
  guint failures = 0;

  make_history(f);
  assert_ok(thin_usage(f->io, &whole, &error));
  for (guint64 at = 0; at < 16 << 20; at += THIN_METADATA_BLOCK) {
    g_auto(ThinUsage) usage = {0};
    g_autoptr(GError) failure = NULL;

    assert_ok(vt_io_read(f->io, block, THIN_METADATA_BLOCK, at, &error));
    assert_ok(vt_io_write(f->io, "damage", 6, at + 100, &error));
    if (thin_usage(f->io, &usage, &failure))
      assert_int_equal(usage.known, whole.known);
    else
      failures++;
    if (failure)
      assert_int_equal(failure->code, EBADMSG);
    assert_ok(vt_io_write(f->io, block, THIN_METADATA_BLOCK, at, &error));
  }
  assert_true(failures > 10);
  close_fixture(f);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_history, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_empty_pool, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_cost_follows_nodes, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_damage_is_an_error, thin_test_setup, thin_test_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
