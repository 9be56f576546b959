/* virt-thin - tests: what virt-thin.conf sets to a thin pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Settings are read once per process, so this is a program of its own.
 */
#include "pool-helper.h"

/* What is available is the largest volume that can be had. */
static void assert_available(VolumeGroup *group)
{
  const char *const names[] = {"largest", NULL};
  g_autoptr(PoolInfo) info = NULL;

  assert_done((info = pool_get_info(group, NULL, &error)) != NULL);
  assert_fails(pool_create(group, NULL, "largest", info->available + 1, &error), EPERM, NULL);
  assert_done(pool_create(group, NULL, "largest", info->available, &error));
  assert_done(pool_remove(group, names, FALSE, &error));
}

static void test_overcommit_limit(void **state)
{
  const char *const names[] = {"v2", NULL};
  g_autofree char *before = NULL, *after = NULL;
  char *path = helper_make(64 * MIB, 0);
  VolumeGroup *group =
      helper_open(path); /* a pool of less than 48 MiB, so volumes of 120 MiB at most */
  assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
  assert_available(group);
  before = helper_digest(path);
  assert_fails(pool_create(group, NULL, "w", 120 * MIB, &error), EPERM,
               "over the limit of 2.5 times");
  assert_fails(pool_clone(group, "v", "w", 120 * MIB, &error), EPERM, "virt-thin.conf");
  assert_fails(pool_resize(group, "v", 128 * MIB, FALSE, &error), EPERM, "overcommitted");
  assert_fails(pool_create(group, NULL, "w", 200 * MIB, &error), EPERM, "largest-volume");
  after = helper_digest(path);
  assert_string_equal(before, after);
  assert_done(pool_create(group, NULL, "v2", 60 * MIB, &error));
  assert_fails(pool_snapshot(group, "v2", "s", &error), EPERM, NULL);
  assert_done(pool_remove(group, names, FALSE, &error));
  assert_done(pool_snapshot(group, "v", "s", &error));
  assert_available(group);
  helper_close(group);
}

/* The pool refuses between the two commits of the text: what the first one said is taken back. */
static void test_full_metadata(void **state)
{
  char *path = helper_path("pv.img");
  const PoolNew params = {.size = 4 * MIB, .metadata_size = 2 * MIB};
  g_autoptr(GError) failure = NULL;
  g_autoptr(GPtrArray) infos = NULL;
  g_autoptr(PoolInfo) before = NULL, after = NULL;
  const char *names[] = {"v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", NULL};
  guint n = 0;
  VolumeGroup *group;

  assert_done(pool_init("pve", "full", path, 40 * MIB, 64 * KIB, &params, &error));
  group = helper_open(path);
  for (;; n++) {
    g_autofree char *name = g_strdup_printf("v%u", n);

    g_clear_pointer(&before, pool_info_free);
    assert_done((before = pool_get_info(group, NULL, &error)) != NULL);
    if (!pool_create(group, NULL, name, 64 * KIB, &failure))
      break;
    assert_true(n < 1000);
  }
  helper_check_error("create", failure, ENOSPC, "metadata");
  assert_true(n > 100);
  assert_done((after = pool_get_info(group, NULL, &error)) != NULL);
  assert_int_equal(after->transaction_id, before->transaction_id);
  assert_done((infos = pool_list_volumes(group, NULL, &error)) != NULL);
  assert_int_equal(infos->len, n);
  helper_check_pool(group, NULL);
  assert_done(pool_remove(group, names, FALSE, &error)); /* from the reserve */
  assert_done(pool_create(group, NULL, "again", 64 * KIB, &error));
  helper_close(group);
  helper_judge(path, NULL);
  group = helper_open(path);
  assert_done(pool_resize_pool(group, NULL, 3 * MIB, TRUE, &error));
  for (guint i = 0; i < 20; i++) {
    g_autofree char *name = g_strdup_printf("w%u", i);

    assert_done(pool_create(group, NULL, name, 64 * KIB, &error));
  }
  helper_check_pool(group, NULL);
  helper_close(group);
}

static int setup(void **state)
{
  static const char text[] = "[limits]\novercommit=2.5\n"
                             "[pool pve/data]\navailable=promises\nlargest-volume=4\n"
                             "[pool pve/full]\novercommit=0\n"
                             "[autoextend]\nthreshold=100\n";
  char *config;

  if (helper_setup(state) != 0)
    return -1;
  config = helper_path("virt-thin.conf");
  g_setenv("VIRT_THIN_CONFIG", config, TRUE);
  return g_file_set_contents(config, text, -1, NULL) ? 0 : -1;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_overcommit_limit, setup, helper_teardown),
      cmocka_unit_test_setup_teardown(test_full_metadata, setup, helper_teardown),
  };

  return cmocka_run_group_tests_name("pool-limits", tests, NULL, NULL);
}
