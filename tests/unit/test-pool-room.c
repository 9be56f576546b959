/* virt-thin - tests: metadata has room for snapshots, or makes it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool-helper.h"

#include <sys/stat.h>

#define VOLUME (256 * MIB)

/* A snapshot, and after it @n writes of 4 KiB to places of volume v that @rand chooses. */
static void snapshot_and_write(VolumeGroup *group, guint i, guint n, GRand *rand)
{
  g_autofree char *name = g_strdup_printf("s%u", i);
  g_autoptr(VtIo) volume = NULL;
  char block[4096] = {1};

  assert_done(pool_snapshot(group, "v", name, &error));
  assert_done((volume = pool_volume_open(group, "v", FALSE, "test", &error)) != NULL);
  for (guint j = 0; j < n; j++)
    assert_done(vt_io_write(
        volume, block, sizeof block,
        (guint64)g_rand_int_range(rand, 0, VOLUME / sizeof block) * sizeof block, &error));
}

/* Snapshots @from to @to. */
static void take_snapshots(VolumeGroup *group, guint from, guint to, guint n_writes)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(from);

  if (from == 0)
    assert_done(pool_create(group, NULL, "v", VOLUME, &error));
  for (guint i = from; i < to; i++)
    snapshot_and_write(group, i, n_writes, rand);
}

/* Nothing is said before there are two; then about what the next will cost:
 * a volume that fills has larger maps. */
static void test_forecast(void **state)
{
  VolumeGroup *group = helper_open(helper_make(3584 * MIB, 0));
  g_autoptr(PoolInfo) none = NULL, one = NULL, before = NULL, after = NULL;
  guint64 each, cost;

  assert_done((none = pool_get_info(group, NULL, &error)) != NULL);
  assert_int_equal(none->snapshots_left, G_MAXUINT64);
  take_snapshots(group, 0, 1, 64);
  assert_done((one = pool_get_info(group, NULL, &error)) != NULL);
  assert_int_equal(one->snapshots_left, G_MAXUINT64);
  assert_int_equal(one->snapshots_counted, 0);
  take_snapshots(group, 1, 30, 64);
  assert_done((before = pool_get_info(group, NULL, &error)) != NULL);
  assert_int_equal(before->snapshots_counted, 10);
  each = before->snapshots_metadata / 10;
  assert_in_range(before->snapshots_left * each, 0, before->metadata_size - before->metadata_used);
  take_snapshots(group, 30, 40, 64);
  assert_done((after = pool_get_info(group, NULL, &error)) != NULL);
  cost = (after->metadata_used - before->metadata_used) / 10;
  print_message("# %d bytes each, %d were foretold\n", (int)cost, (int)each);
  assert_in_range(cost, each * 2 / 3, each * 3 / 2);
  helper_close(group);
}

/* lvm2's choice, 4 MiB, is full at the 43rd. What the file takes on disk is no more for it. */
static void test_default_is_roomy(void **state)
{
  char *path = helper_make(3584 * MIB, 0);
  VolumeGroup *group = helper_open(path);
  g_autoptr(PoolInfo) info = NULL;
  struct stat st;

  assert_int_equal(stat(path, &st), 0);
  assert_true((guint64)st.st_blocks * 512 < 28 * MIB);
  take_snapshots(group, 0, 64, 64);
  assert_done((info = pool_get_info(group, NULL, &error)) != NULL);
  assert_null(info->health);
  assert_null(info->grown); /* it was there from the beginning */
  assert_int_equal(info->metadata_size, 28 * MIB);
  assert_int_equal(info->metadata_spare, info->metadata_size);
  helper_check_pool(group, NULL);
  helper_close(group);
  helper_judge(path, NULL);
}

/* No extent is free: the file grows, whoever meets the end first, a writer or a snapshot. */
static void test_metadata_grows_with_file(void **state)
{
  const PoolNew params = {.metadata_size = 2 * MIB};
  char *path = helper_path("pv.img");
  g_autoptr(PoolVgInfo) vg = NULL;
  g_autoptr(PoolInfo) info = NULL;
  VolumeGroup *group;

  assert_done(pool_init("pve", "data", path, 512 * MIB, MIB, &params, &error));
  group = helper_open(path);
  assert_done((vg = pool_get_vg_info(group, &error)) != NULL);
  assert_int_equal(vg->free, 0);
  take_snapshots(group, 0, 400, 1);
  assert_done((info = pool_get_info(group, NULL, &error)) != NULL);
  assert_null(info->health);
  assert_non_null(info->grown);
  assert_true(info->metadata_size > 2 * MIB);
  assert_int_equal(info->metadata_spare, info->metadata_size);
  helper_check_pool(group, NULL);
  helper_close(group);
  helper_judge(path, NULL);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_default_is_roomy, helper_setup, helper_teardown),
      cmocka_unit_test_setup_teardown(test_forecast, helper_setup, helper_teardown),
      cmocka_unit_test_setup_teardown(test_metadata_grows_with_file, helper_setup, helper_teardown),
  };

  return cmocka_run_group_tests_name("pool-room", tests, NULL, NULL);
}
