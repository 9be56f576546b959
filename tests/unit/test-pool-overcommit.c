/* virt-thin - tests: the limit of overcommitment in virt-thin.conf
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Settings are read once per process, so this is a program of its own.
 */
#include "pool-helper.h"

static void test_overcommit_limit(void **state)
{
  const char *const names[] = {"v2", NULL};
  g_autofree char *before = NULL, *after = NULL;
  char *config = helper_path("virt-thin.conf"), *path;
  VolumeGroup *group;

  assert_true(g_file_set_contents(config, "[limits]\novercommit=2.5\n", -1, NULL));
  g_setenv("VIRT_THIN_CONFIG", config, TRUE);
  path = helper_make(64 * MIB, 0); /* a pool of less than 48 MiB, so volumes of 120 MiB at most */
  group = helper_open(path);
  assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
  before = helper_digest(path);
  assert_fails(pool_create(group, NULL, "w", 120 * MIB, &error), EPERM,
               "over the limit of 2.5 times");
  assert_fails(pool_clone(group, "v", "w", 120 * MIB, &error), EPERM, "virt-thin.conf");
  assert_fails(pool_resize(group, "v", 128 * MIB, FALSE, &error), EPERM, "overcommitted");
  after = helper_digest(path);
  assert_string_equal(before, after);
  assert_done(pool_create(group, NULL, "v2", 60 * MIB, &error));
  assert_fails(pool_snapshot(group, "v2", "s", &error), EPERM, NULL);
  assert_done(pool_remove(group, names, FALSE, &error));
  assert_done(pool_snapshot(group, "v", "s", &error));
  helper_close(group);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_overcommit_limit, helper_setup, helper_teardown)};

  return cmocka_run_group_tests_name("pool-overcommit", tests, NULL, NULL);
}
