/* virt-thin - tests: schedules: their sections in virt-thin.conf, and a year of snapshots
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool-helper.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "schedule/snapshots.h"

/* --- the file --- */

static const char *config_path(void)
{
  return g_getenv("VIRT_THIN_CONFIG");
}

static void write_config(const char *text)
{
  g_assert_true(g_file_set_contents(config_path(), text, -1, NULL));
}

static int setup(void **state)
{
  int failed = helper_setup(state);

  g_setenv("VIRT_THIN_CONFIG", helper_path("virt-thin.conf"), TRUE);
  write_config("");
  return failed;
}

static char *read_config(void)
{
  char *text = NULL;

  g_assert_true(g_file_get_contents(config_path(), &text, NULL, NULL));
  return text;
}

/* Section "s" with @lines. */
static Schedule *parse(const char *lines, GError **error)
{
  g_autofree char *text = g_strconcat("[schedule s]\n", lines, "\n", NULL);
  g_autoptr(ScheduleFile) file = NULL;

  write_config(text);
  file = schedule_file_open(FALSE, error);
  return file ? schedule_file_get(file, "s", error) : NULL;
}

static void refuse(const char *lines, const char *said)
{
  g_autoptr(GError) error = NULL;
  Schedule *s = parse(lines, &error);

  if (s)
    fail_msg("%s: is taken", lines);
  helper_check_error(lines, error, EINVAL, said);
}

static void test_section(void **state)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(Schedule) s =
      parse("kind=snapshot\nwhat= pve/data ; 101;;\nwhen=*-*-* 01:00\n"
            "delay=10min\nkeep-last=3\nkeep-yearly=1\nkeep-within=36h\nenabled=no",
            &error);
  g_autofree char *what = NULL, *keep = NULL;

  g_assert_no_error(error);
  what = schedule_describe_what(s);
  keep = vt_keep_format(&s->keep);
  assert_string_equal(what, "pve/data, 101");
  assert_string_equal(keep, "keep-within=36h,keep-last=3,keep-yearly=1");
  assert_string_equal(s->when, "*-*-* 01:00");
  assert_string_equal(s->delay, "10min");
  assert_false(s->enabled);
  assert_int_equal(s->kind, SCHEDULE_SNAPSHOT);
}

#define MINIMAL "kind=snapshot\nwhat=pve/data\n"

static void test_nonsense_is_named(void **state)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(Schedule) all = parse(MINIMAL "keep-all=1", &error);

  g_assert_no_error(error);
  assert_true(all->enabled && !all->when);
  refuse(MINIMAL, "[schedule s] nothing says how many snapshots are kept");
  refuse(MINIMAL "keep-dayly=7", "keep-dayly");
  refuse(MINIMAL "keep-daily=-7", "keep-daily: \"-7\"");
  refuse(MINIMAL "keep-daily=7\nkeep-all=1", "contradict");
  refuse(MINIMAL "keep-all=yes", "keep-all: \"yes\"");
  refuse(MINIMAL "keep-last=1\nenabled=0", "enabled: \"0\"");
  refuse(MINIMAL "keep-last=1\ntime=daily", "no key \"time\"");
  refuse(MINIMAL "keep-last=1\nwhen=daily\\nOnBootSec=1", "one line");
  refuse(MINIMAL "keep-last=1\nto=/srv", "has no folder");
  refuse("kind=replicate\nwhat=pve/data\nkeep-last=1", "to: \"\" is not HOST:VG/POOL");
  refuse("kind=replicate\nwhat=pve/data\nkeep-last=1\nto=-oX:a/b", "is not HOST:VG/POOL");
  refuse("kind=replicate\nwhat=pve/data\nkeep-last=1\nto=host:pve", "is not HOST:VG/POOL");
  refuse("kind=replicate\nwhat=pve/data\nto=host:a/b", "nothing says how many");
  refuse(MINIMAL "keep-last=1\nssh=ssh", "no other host");
  refuse("kind=backup\nwhat=pve/data\nto=srv", "full path");
  refuse("what=pve/data\nkeep-last=1", "kind: give");
  refuse("kind=dump\nwhat=pve/data\nkeep-last=1", "\"dump\"");
  refuse("kind=snapshot\nkeep-last=1", "nothing is named");
  refuse("kind=snapshot\nwhat=;\nkeep-last=1", "nothing is named");
  refuse("kind=snapshot\nwhat=pve\nkeep-last=1", "\"pve\" is neither");
  refuse("kind=snapshot\nwhat=99\nkeep-last=1", "\"99\" is neither");
  refuse("kind=snapshot\nwhat=pve/../x\nkeep-last=1", "\"pve/../x\"");
  write_config("[schedule s\n");
  assert_null(schedule_file_open(FALSE, NULL));
}

static void test_names(void **state)
{
  static const char *const good[] = {"a", "9", "nightly-pve_2.x"}, *const bad[] = {
                                                                       "",    "-a",  ".a", "a b",
                                                                       "a/b", "a@b", "ä",  "a\n"};
  g_autofree char *longest = g_strnfill(64, 'x'), *too_long = g_strnfill(65, 'x');

  for (gsize i = 0; i < G_N_ELEMENTS(good); i++)
    assert_true(schedule_check_name(good[i], NULL));
  for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
    assert_false(schedule_check_name(bad[i], NULL));
  assert_true(schedule_check_name(longest, NULL));
  assert_false(schedule_check_name(too_long, NULL));
}

static void test_changes_keep_the_rest(void **state)
{
  const char *before = "# mine\n\n[service]\n# of threads\nthreads=3\n";
  char *what[] = {(char *)"pve/data", (char *)"101", NULL};
  Schedule s = {.name = (char *)"nightly",
                .what = what,
                .when = (char *)"daily",
                .enabled = TRUE,
                .keep = {.rules = {.daily = 7}}};
  g_autoptr(ScheduleFile) file = NULL;
  g_autoptr(Schedule) again = NULL;
  g_autofree char *text = NULL, *after = NULL;
  char *link = helper_path("link.conf");
  struct stat st;

  write_config(before);
  g_assert_cmpint(chmod(config_path(), 0640), ==, 0);
  g_assert_cmpint(symlink(config_path(), link), ==, 0);
  g_setenv("VIRT_THIN_CONFIG", link, TRUE);
  assert_done(file = schedule_file_open(TRUE, &error));
  assert_done(schedule_file_add(file, &s, &error));
  assert_fails(schedule_file_add(file, &s, &error), EEXIST, "a schedule nightly already");
  assert_done(schedule_file_enable(file, "nightly", FALSE, &error));
  assert_done(schedule_file_save(file, &error));
  text = read_config();
  assert_non_null(strstr(text, "# mine\n"));
  assert_non_null(strstr(text, "# of threads\nthreads=3\n"));
  assert_non_null(strstr(text, "[schedule nightly]\nkind=snapshot\nwhat=pve/data;101\nwhen=daily\n"
                               "keep-daily=7\nenabled=no\n"));
  assert_true(g_file_test(link, G_FILE_TEST_IS_SYMLINK));
  g_assert_cmpint(stat(link, &st), ==, 0);
  assert_int_equal(st.st_mode & 07777, 0640);
  assert_done(again = schedule_file_get(file, "nightly", &error));
  assert_done(schedule_file_remove(file, "nightly", &error));
  assert_fails(schedule_file_remove(file, "nightly", &error), ENOENT, "no schedule \"nightly\"");
  assert_done(schedule_file_save(file, &error));
  after = read_config();
  assert_null(strstr(after, "schedule"));
  assert_non_null(strstr(after, "# mine\n"));
}

/* --- runs --- */

static VolumeGroup *make_group(guint64 size)
{
  VolumeGroup *group = helper_open(helper_make(size, 0));

  assert_done(pool_create(group, "data", "vm-7-disk-0", 8 * MIB, &error));
  assert_done(pool_create(group, "data", "vm-7-disk-1", 8 * MIB, &error));
  return group;
}

static gint64 at(const char *text)
{
  struct tm tm = {.tm_isdst = -1};

  assert_non_null(strptime(text, "%Y-%m-%d %H:%M", &tm));
  return mktime(&tm);
}

/* A run at @now of a schedule of @names ("vm-7-disk-0 data"). */
static void run(VolumeGroup *group, const char *schedule, const char *names, const VtKeep *keep,
                gint64 now, guint failed)
{
  Schedule s = {.name = (char *)schedule, .keep = *keep};
  g_auto(GStrv) split = g_strsplit(names, " ", -1);
  g_autoptr(GPtrArray) list = g_ptr_array_new();
  ScheduleTarget target = {(char *)"pve", list};
  g_auto(ScheduleReport) report = {0};

  for (char **name = split; *name; name++)
    g_ptr_array_add(list, *name);
  schedule_snapshots_run(group, &s, &target, now, &report);
  assert_int_equal(report.failed, failed);
}

/* What is kept is that which test-retention says. */
static void test_a_year(void **state)
{
  static const char *const expected[] = {
      "2025-12-28", "2026-01-25", "2026-02-22", "2026-03-29", "2026-04-26", "2026-05-31",
      "2026-06-28", "2026-07-26", "2026-08-30", "2026-09-27", "2026-10-25", "2026-11-22",
      "2026-11-29", "2026-12-06", "2026-12-13", "2026-12-20", "2026-12-25", "2026-12-26",
      "2026-12-27", "2026-12-28", "2026-12-29", "2026-12-30", "2026-12-31"};
  const VtKeep keep = {.rules = {.daily = 7, .weekly = 5, .monthly = 11, .yearly = 2}};
  VolumeGroup *group = make_group(512 * MIB);
  g_autoptr(GString) names = g_string_new(NULL);
  g_autofree char *found = NULL;

  for (int day = -30; day < 365; day++) {
    struct tm tm = {.tm_year = 126, .tm_mday = 1 + day, .tm_hour = 1, .tm_isdst = -1};

    run(group, "nightly", "data", &keep, mktime(&tm), 0);
  }
  for (guint disk = 0; disk < 2; disk++)
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++)
      g_string_append_printf(names, "snap_vm-7-disk-%u_auto-%s-0100 ", disk, expected[i]);
  g_string_append(names, "vm-7-disk-0 vm-7-disk-1");
  found = helper_names(group);
  assert_string_equal(found, names->str);
  helper_check_pool(group, "data");
  helper_close(group);
}

static void assert_names(VolumeGroup *group, const char *expected)
{
  g_autofree char *names = helper_names(group);

  assert_string_equal(names, expected);
}

static void test_only_its_own_are_removed(void **state)
{
  const VtKeep one = {.rules = {.last = 1}};
  VolumeGroup *group = make_group(512 * MIB);

  assert_done(pool_snapshot(group, "vm-7-disk-0", "auto-2026-01-01-0000", &error));
  run(group, "a", "vm-7-disk-0", &one, at("2026-01-02 01:00"), 0);
  run(group, "b", "vm-7-disk-0", &one, at("2026-01-02 01:00"), 0);
  assert_names(group, "snap_vm-7-disk-0_auto-2026-01-01-0000 snap_vm-7-disk-0_auto-2026-01-02-0100 "
                      "snap_vm-7-disk-0_auto-2026-01-02-0100-2 vm-7-disk-0 vm-7-disk-1");
  /* Renamed, it is the user's. */
  assert_done(
      pool_rename(group, "snap_vm-7-disk-0_auto-2026-01-02-0100", "snap_vm-7-disk-0_mine", &error));
  run(group, "a", "vm-7-disk-0", &one, at("2026-01-03 01:00"), 0);
  run(group, "a", "vm-7-disk-0", &one, at("2026-01-04 01:00"), 0);
  assert_names(group, "snap_vm-7-disk-0_auto-2026-01-01-0000 "
                      "snap_vm-7-disk-0_auto-2026-01-02-0100-2 "
                      "snap_vm-7-disk-0_auto-2026-01-04-0100 snap_vm-7-disk-0_mine "
                      "vm-7-disk-0 vm-7-disk-1");
  helper_close(group);
}

static void test_a_clock_that_was_wrong(void **state)
{
  const VtKeep one = {.rules = {.last = 1}};
  VolumeGroup *group = make_group(512 * MIB);

  run(group, "a", "vm-7-disk-0", &one, at("2036-01-01 01:00"), 0);
  run(group, "a", "vm-7-disk-0", &one, at("2026-01-01 01:00"), 0);
  run(group, "a", "vm-7-disk-0", &one, at("2026-01-02 01:00"), 0);
  assert_names(group, "snap_vm-7-disk-0_auto-2026-01-02-0100 snap_vm-7-disk-0_auto-2036-01-01-0100 "
                      "vm-7-disk-0 vm-7-disk-1");
  helper_close(group);
}

/* What is gone is told, the rest is done; a pool is its volumes, each once, without snapshots. */
static void test_what_is_meant(void **state)
{
  const VtKeep all = {0};
  VolumeGroup *group = make_group(512 * MIB);

  assert_done(pool_clone(group, "vm-7-disk-0", "base-8-disk-0", 0, &error));
  run(group, "a", "none vm-7-disk-0 data", &all, at("2026-01-01 01:00"), 1);
  run(group, "a", "vm-7-disk-1", &all, at("2026-01-02 01:00"), 0);
  assert_names(group, "base-8-disk-0 snap_vm-7-disk-0_auto-2026-01-01-0100 "
                      "snap_vm-7-disk-1_auto-2026-01-01-0100 "
                      "snap_vm-7-disk-1_auto-2026-01-02-0100 vm-7-disk-0 vm-7-disk-1");
  helper_close(group);
}

/* None is taken, and what is to go goes: then there is room. */
static void test_a_full_pool(void **state)
{
  const VtKeep two = {.rules = {.last = 2}}, one = {.rules = {.last = 1}};
  VolumeGroup *group = make_group(64 * MIB);
  PoolInfo *info;
  guint seed = 1;

  assert_done(pool_create(group, "data", "big", 64 * MIB, &error));
  run(group, "a", "vm-7-disk-0", &two, at("2026-01-01 01:00"), 0);
  helper_write(group, "vm-7-disk-0", 0, MIB, seed);
  run(group, "a", "vm-7-disk-0", &two, at("2026-01-02 01:00"), 0);
  helper_write(group, "vm-7-disk-0", 0, MIB, ++seed);
  assert_done(info = pool_get_info(group, "data", &error));
  helper_write(group, "big", 0, info->size - info->used, ++seed);
  pool_info_free(info);
  run(group, "a", "vm-7-disk-0 vm-7-disk-1", &one, at("2026-01-03 01:00"), 1);
  assert_names(group, "big snap_vm-7-disk-0_auto-2026-01-02-0100 vm-7-disk-0 vm-7-disk-1");
  helper_check(group, "vm-7-disk-0", 0, MIB, 2);
  helper_close(group);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, helper_teardown)
  static const struct CMUnitTest tests[] = {
      IN_FOLDER(test_section),
      IN_FOLDER(test_nonsense_is_named),
      IN_FOLDER(test_names),
      IN_FOLDER(test_changes_keep_the_rest),
      IN_FOLDER(test_a_year),
      IN_FOLDER(test_only_its_own_are_removed),
      IN_FOLDER(test_a_clock_that_was_wrong),
      IN_FOLDER(test_what_is_meant),
      IN_FOLDER(test_a_full_pool),
  };

  g_setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", TRUE);
  tzset();
  return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
