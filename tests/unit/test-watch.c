/* virt-thin - tests: what lvm.conf says of growing thin pools, against lvm2's own lvmconfig
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#include "dm/watch.h"

static char *folder;

static void write_file(const char *name, const char *text)
{
  g_autofree char *path = g_build_filename(folder, name, NULL), *above = g_path_get_dirname(path);

  assert_int_equal(g_mkdir_with_parents(above, 0700), 0);
  if (text)
    assert_true(g_file_set_contents(path, text, -1, NULL));
  else
    g_remove(path);
}

static int setup(void **state)
{
  folder = g_dir_make_tmp("virt-thin-watch.XXXXXX", NULL);
  g_setenv("LVM_SYSTEM_DIR", folder, TRUE);
  g_setenv("LVM_SUPPRESS_FD_WARNINGS", "1", TRUE);
  return folder ? 0 : -1;
}

static int teardown(void **state)
{
  static const char *const names[] = {
      "lvm.conf", "lvmlocal.conf", "profile/eager.profile", "other/eager.profile",
      "profile",  "other"};

  for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *path = g_build_filename(folder, names[i], NULL);

    g_remove(path);
  }
  return g_rmdir(folder);
}

static guint ask_lvmconfig(const char *program, const char *profile, const char *key)
{
  const char *argv[] = {
      program, "--typeconfig", "full", key, profile ? "--metadataprofile" : NULL, profile, NULL};
  g_autofree char *said = NULL;
  g_autoptr(GError) error = NULL;
  int status;

  if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &said, NULL,
                    &status, &error))
    fail_msg("%s", error->message);
  assert_int_equal(status, 0);
  assert_non_null(strchr(said, '='));
  return (guint)atoi(strchr(said, '=') + 1);
}

static void assert_as_lvm2(const char *profile)
{
  g_autofree char *program = g_find_program_in_path("lvmconfig");
  DmkWatchSettings settings;

  if (!program && g_file_test("/usr/sbin/lvmconfig", G_FILE_TEST_IS_EXECUTABLE))
    program = g_strdup("/usr/sbin/lvmconfig");
  if (!program)
    skip();
  dmk_watch_settings(profile, &settings);
  assert_int_equal(settings.monitoring, ask_lvmconfig(program, profile, "activation/monitoring"));
  assert_int_equal(settings.percent,
                   ask_lvmconfig(program, profile, "activation/thin_pool_autoextend_percent"));
  assert_int_equal(
      settings.threshold,
      MAX(ask_lvmconfig(program, profile, "activation/thin_pool_autoextend_threshold"), 50));
}

static void assert_settings(const char *profile, gboolean monitoring, guint threshold,
                            guint percent)
{
  DmkWatchSettings settings;

  dmk_watch_settings(profile, &settings);
  assert_int_equal(settings.monitoring, monitoring);
  assert_int_equal(settings.threshold, threshold);
  assert_int_equal(settings.percent, percent);
  assert_as_lvm2(profile);
}

static void test_defaults(void **state)
{
  write_file("lvm.conf", "log {\n}\n"); /* lvmconfig fails on an empty one */
  assert_settings(NULL, TRUE, 100, 20);
}

static void test_files(void **state)
{
  write_file("lvm.conf", "# threshold=60\nactivation {\n\tmonitoring = 0 # why "
                         "not\n\tthin_pool_autoextend_threshold=70\n}\n");
  assert_settings(NULL, FALSE, 70, 20);
  write_file("lvmlocal.conf",
             "activation/thin_pool_autoextend_percent=33\nactivation/monitoring=1");
  assert_settings(NULL, TRUE, 70, 33);
  write_file("lvm.conf", "activation { thin_pool_autoextend_threshold=30 }");
  assert_settings(NULL, TRUE, 50, 33); /* the least that lvm2 goes by */
}

static void test_profiles(void **state)
{
  write_file("lvmlocal.conf", NULL);
  write_file("lvm.conf", "activation { thin_pool_autoextend_threshold=80 }");
  write_file("profile/eager.profile",
             "activation { thin_pool_autoextend_threshold=60\nthin_pool_autoextend_percent=50 }");
  assert_settings(NULL, TRUE, 80, 20);
  assert_settings("eager", TRUE, 60, 50);
}

static void test_profile_folder(void **state)
{
  g_autofree char *text = g_strdup_printf("config { profile_dir=\"%s/other\" }", folder);

  write_file("lvm.conf", text);
  write_file("other/eager.profile", "activation { thin_pool_autoextend_threshold=55 }");
  assert_settings("eager", TRUE, 55, 20);
}

/* What is no configuration has lvm2 use its defaults; a name that is a path is not followed. */
static void test_nonsense(void **state)
{
  DmkWatchSettings settings;

  write_file("lvm.conf", "activation {{ \"");
  dmk_watch_settings("../other/eager", &settings);
  assert_int_equal(settings.threshold, 100);
  write_file("lvm.conf", "activation { thin_pool_autoextend_threshold=\"a lot\"\nmonitoring=[] }");
  dmk_watch_settings("nobody", &settings);
  assert_int_equal(settings.threshold, 100);
  assert_true(settings.monitoring);
}

static void test_nobody_watches(void **state)
{
  assert_false(dmk_is_watched("LVM-00000000000000000000000000000000-tpool", NULL));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_defaults), cmocka_unit_test(test_files),
      cmocka_unit_test(test_profiles), cmocka_unit_test(test_profile_folder),
      cmocka_unit_test(test_nonsense), cmocka_unit_test(test_nobody_watches),
  };

  return cmocka_run_group_tests(tests, setup, teardown);
}
