/* virt-thin - tests: which of many points in time are kept
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * All in the time zone Europe/Berlin, which has summer time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/error.h"
#include "util/keep.h"

static gint64 at(const char *text)
{
  struct tm tm = {.tm_isdst = -1};

  assert_non_null(strptime(text, "%Y-%m-%d %H:%M", &tm));
  return mktime(&tm);
}

/* What @rules keep of @points ("2026-01-02 03:04" each, NULL-ended): a string of 1 and 0. */
static void assert_kept(const char *rules, const char *const *points, const char *expected)
{
  guint n = g_strv_length((char **)points);
  g_autofree gint64 *times = g_new(gint64, n);
  g_autofree gboolean *keep = g_new(gboolean, n);
  g_autofree char *found = g_malloc0(n + 1);
  g_autoptr(GError) error = NULL;
  VtRetention retention;

  for (guint i = 0; i < n; i++)
    times[i] = at(points[i]);
  vt_retention_parse(rules, &retention, &error);
  g_assert_no_error(error);
  vt_retention_select(&retention, times, n, keep);
  for (guint i = 0; i < n; i++)
    found[i] = keep[i] ? '1' : '0';
  assert_string_equal(found, expected);
}

#define KEPT(rules, expected, ...)                                                                 \
  assert_kept(rules, (const char *const[]){__VA_ARGS__, NULL}, expected)

static void test_no_rule_keeps_everything(void **state)
{
  KEPT("", "111", "2026-01-01 01:00", "2026-01-01 02:00", "2020-01-01 02:00");
  KEPT("keep-all=1", "11", "2026-01-01 01:00", "2026-01-01 02:00");
  KEPT("keep-last=0,keep-yearly=0", "11", "2026-01-01 01:00", "2026-01-01 02:00");
  vt_retention_select(&(VtRetention){.last = 1}, NULL, 0, NULL);
}

static void test_each_rule_keeps_the_newest_of_a_period(void **state)
{
  KEPT("keep-last=2", "1100", "2026-01-01 01:00", "2026-01-01 01:00", "2026-01-01 01:00",
       "2025-01-02 01:01");
  KEPT("keep-last=2", "0101", "2026-01-01 01:00", "2026-01-03 01:00", "2026-01-02 01:00",
       "2026-01-02 01:01");
  KEPT("keep-hourly=2", "01001", "2026-01-01 01:10", "2026-01-01 01:50", "2026-01-01 01:50",
       "2026-01-01 05:00", "2026-01-01 05:30");
}

static void test_periods(void **state)
{
  KEPT("keep-daily=2", "0101", "2026-01-01 01:00", "2026-01-02 23:59", "2026-01-03 00:00",
       "2026-01-03 09:00");
  KEPT("keep-monthly=2", "0101", "2026-01-31 01:00", "2026-02-01 23:59", "2026-03-01 00:00",
       "2026-03-31 09:00");
  KEPT("keep-yearly=2", "0101", "2024-12-31 23:59", "2025-12-31 23:59", "2026-01-01 00:00",
       "2026-12-01 00:00");
  /* Week 1 of 2026 begins on Monday, 2025-12-29. */
  KEPT("keep-weekly=2", "01010", "2025-12-27 01:00", "2025-12-28 01:00", "2025-12-29 01:00",
       "2026-01-04 01:00", "2025-12-31 01:00");
}

static void test_periods_of_which_something_is_kept_do_not_count(void **state)
{
  /* The newest is kept by keep-last: keep-daily begins with the day before. */
  KEPT("keep-last=1,keep-daily=2", "0111", "2026-01-01 01:00", "2026-01-02 01:00",
       "2026-01-03 01:00", "2026-01-04 01:00");
  /* Nor does a gap. */
  KEPT("keep-daily=2", "0101", "2025-01-01 01:00", "2025-02-02 01:00", "2026-01-04 00:00",
       "2026-01-04 01:00");
}

static void test_what_a_rule_passed_over_is_kept_by_none(void **state)
{
  /* 00:10 loses to 00:50 in its hour: keep-daily does not take it up for January 1. */
  KEPT("keep-hourly=1,keep-daily=1", "0011", "2025-12-30 00:00", "2025-12-31 00:00",
       "2025-12-31 23:00", "2026-01-01 00:50");
  KEPT("keep-hourly=2,keep-monthly=1", "10110", "2025-11-30 00:00", "2025-12-31 00:10",
       "2025-12-31 00:50", "2026-01-01 00:50", "2026-01-01 00:10");
}

static void test_summer_time(void **state)
{
  /* The hour that comes twice, 2026-10-25 02:00 to 03:00, is one. */
  gint64 first = at("2026-10-25 01:30") + 3600, times[] = {first, first + 3600, first + 7200};
  gboolean keep[3];

  vt_retention_select(&(VtRetention){.hourly = 2}, times, 3, keep);
  assert_false(keep[0]);
  assert_true(keep[1]);
  assert_true(keep[2]);
  KEPT("keep-daily=2", "011", "2026-03-28 01:00", "2026-03-29 01:00", "2026-03-30 00:30");
}

/* One each day for thirteen months, and what the rules do not keep is removed at once: of the
 * months Sundays stay, as the other days had gone before the week was over. */
static void test_a_year(void **state)
{
  static const char *const expected[] = {
      "2025-12-28", "2026-01-25", "2026-02-22", "2026-03-29", "2026-04-26", "2026-05-31",
      "2026-06-28", "2026-07-26", "2026-08-30", "2026-09-27", "2026-10-25", "2026-11-22",
      "2026-11-29", "2026-12-06", "2026-12-13", "2026-12-20", "2026-12-25", "2026-12-26",
      "2026-12-27", "2026-12-28", "2026-12-29", "2026-12-30", "2026-12-31"};
  VtRetention retention = {.daily = 7, .weekly = 5, .monthly = 11, .yearly = 2};
  g_autoptr(GArray) times = g_array_new(FALSE, FALSE, sizeof(gint64));
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);

  for (int day = -30; day < 365; day++) {
    struct tm tm = {.tm_year = 126, .tm_mday = 1 + day, .tm_hour = 1, .tm_isdst = -1};
    gint64 time = mktime(&tm);

    g_array_append_val(times, time);
    g_autofree gboolean *keep = g_new(gboolean, times->len);
    vt_retention_select(&retention, (gint64 *)times->data, times->len, keep);
    for (guint i = times->len; i-- > 0;)
      if (!keep[i])
        g_array_remove_index(times, i);
  }
  for (guint i = 0; i < times->len; i++) {
    time_t time = g_array_index(times, gint64, i);
    char text[16];

    strftime(text, sizeof text, "%F", localtime(&time));
    g_ptr_array_add(found, g_strdup(text));
  }
  assert_int_equal(found->len, G_N_ELEMENTS(expected));
  for (guint i = 0; i < found->len; i++)
    assert_string_equal(found->pdata[i], expected[i]);
}

static void refuse(const char *text, const char *part)
{
  VtRetention retention = {.last = 5};
  g_autoptr(GError) error = NULL;

  assert_false(vt_retention_parse(text, &retention, &error));
  g_assert_error(error, VT_ERROR, EINVAL);
  assert_non_null(strstr(error->message, part));
  assert_int_equal(retention.last, 5);
}

static void test_text(void **state)
{
  VtRetention retention;
  g_autofree char *text = NULL, *all = NULL;

  assert_true(vt_retention_parse(
      " keep-yearly=1, keep-last=3,keep-daily=7,,keep-hourly=0,keep-all=0", &retention, NULL));
  assert_int_equal(retention.last, 3);
  assert_int_equal(retention.daily, 7);
  text = vt_retention_format(&retention);
  assert_string_equal(text, "keep-last=3,keep-daily=7,keep-yearly=1");
  assert_true(vt_retention_parse("keep-all=1,keep-last=0", &retention, NULL));
  assert_true(vt_retention_keeps_all(&retention));
  all = vt_retention_format(&retention);
  assert_string_equal(all, "keep-all=1");

  refuse("keep-last", "keep-last");
  refuse("keep-last=", "keep-last");
  refuse("keep-last=-1", "-1");
  refuse("keep-last=3x", "3x");
  refuse("keep-last=99999999999999999999", "9999");
  refuse("keep-last=1,keep-last=1", "twice");
  refuse("keep-all=yes", "yes");
  refuse("keep-all=1,keep-daily=2", "contradict");
  refuse("last=3", "\"last\"");
}

/* --- keep-within --- */

/* As assert_kept(), with "key=value" of VtKeep, separated by spaces. */
static void assert_within(const char *rules, const char *const *points, const char *expected)
{
  guint n = g_strv_length((char **)points);
  g_autofree gint64 *times = g_new(gint64, n);
  g_autofree gboolean *kept = g_new(gboolean, n);
  g_autofree char *found = g_malloc0(n + 1);
  g_auto(GStrv) parts = g_strsplit(rules, " ", -1);
  VtKeep keep = {0};

  for (char **part = parts; *part; part++) {
    g_auto(GStrv) pair = g_strsplit(*part, "=", 2);
    g_autoptr(GError) error = NULL;

    vt_keep_set(&keep, pair[0], pair[1], &error);
    g_assert_no_error(error);
  }
  for (guint i = 0; i < n; i++)
    times[i] = at(points[i]);
  vt_keep_select(&keep, times, n, kept);
  for (guint i = 0; i < n; i++)
    found[i] = kept[i] ? '1' : '0';
  assert_string_equal(found, expected);
}

#define WITHIN(rules, expected, ...)                                                               \
  assert_within(rules, (const char *const[]){__VA_ARGS__, NULL}, expected)

static void test_within(void **state)
{
  /* Before the newest, wherever that is in the list; what is just that old has gone. */
  WITHIN("keep-within=2d", "01101", "2025-12-30 01:00", "2026-01-01 01:00", "2025-12-30 01:01",
         "2025-12-01 01:00", "2025-12-31 01:00");
  WITHIN("keep-within=36h", "011", "2025-12-30 12:59", "2025-12-30 13:01", "2026-01-01 01:00");
  WITHIN("keep-within=1y1m", "011", "2024-12-01 01:00", "2024-12-01 01:01", "2026-01-01 01:00");
  /* Days are the calendar's: this one has 25 hours. */
  WITHIN("keep-within=1d", "011", "2026-10-24 12:00", "2026-10-24 12:01", "2026-10-25 12:00");
  WITHIN("keep-within=24h", "0011", "2026-10-24 12:01", "2026-10-24 13:00", "2026-10-24 13:01",
         "2026-10-25 12:00");
  /* More than there are years. */
  WITHIN("keep-within=1000y12000m365000d8760000h", "11", "1970-01-02 00:00", "2026-01-01 00:00");
  vt_keep_select(&(VtKeep){.within = {.days = 1}}, NULL, 0, NULL);
}

static void test_within_and_rules(void **state)
{
  /* Each is kept that either keeps; the rules count what is within, too. */
  WITHIN("keep-within=2h keep-daily=2", "00111", "2025-12-30 01:00", "2025-12-31 01:00",
         "2025-12-31 02:00", "2026-01-01 01:00", "2026-01-01 02:00");
  WITHIN("keep-within=1h keep-last=2", "011", "2026-01-01 01:00", "2026-01-02 01:00",
         "2026-01-03 01:00");
  WITHIN("keep-last=0", "11", "2026-01-01 01:00", "2026-01-02 01:00");
}

static void refuse_within(const char *value)
{
  VtKeep keep = {.within = {.days = 3}};
  g_autoptr(GError) error = NULL;

  assert_false(vt_keep_set(&keep, "keep-within", value, &error));
  g_assert_error(error, VT_ERROR, EINVAL);
  assert_non_null(strstr(error->message, "no span such as 7d"));
  assert_int_equal(keep.within.days, 3);
}

static void test_within_as_text(void **state)
{
  static const char *const nonsense[] = {"",   "7",   "d",    "0d",  "-1d",   "7d ",  "+7d",
                                         "7w", "7dd", "1d2d", "7 d", "1001y", "1.5d", "7D"};
  VtRetention retention = {.last = 5};
  VtKeep keep = {0};
  g_autofree char *alone = NULL, *both = NULL, *again = NULL, *all = vt_keep_format(&keep);

  assert_string_equal(all, "keep-all=1");
  assert_true(vt_keep_is_all(&keep));
  assert_true(vt_keep_set(&keep, "keep-within", "12h7d1y", NULL));
  assert_false(vt_keep_is_all(&keep));
  alone = vt_keep_format(&keep);
  assert_string_equal(alone, "keep-within=1y7d12h");
  assert_true(vt_keep_set(&keep, "keep-last", "3", NULL));
  both = vt_keep_format(&keep);
  assert_string_equal(both, "keep-within=1y7d12h,keep-last=3");
  assert_true(vt_keep_set(&keep, "keep-within", "6m", NULL));
  again = vt_keep_format(&keep);
  assert_string_equal(again, "keep-within=6m,keep-last=3");
  for (gsize i = 0; i < G_N_ELEMENTS(nonsense); i++)
    refuse_within(nonsense[i]);
  refuse_within("99999999999999999999d");
  /* Proxmox has no such word. */
  assert_false(vt_retention_set(&retention, "keep-within", "7d", NULL));
  refuse("keep-within=7d", "\"keep-within\"");
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_rule_keeps_everything),
      cmocka_unit_test(test_each_rule_keeps_the_newest_of_a_period),
      cmocka_unit_test(test_periods),
      cmocka_unit_test(test_periods_of_which_something_is_kept_do_not_count),
      cmocka_unit_test(test_what_a_rule_passed_over_is_kept_by_none),
      cmocka_unit_test(test_summer_time),
      cmocka_unit_test(test_a_year),
      cmocka_unit_test(test_text),
      cmocka_unit_test(test_within),
      cmocka_unit_test(test_within_and_rules),
      cmocka_unit_test(test_within_as_text),
  };

  g_setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", TRUE);
  tzset();
  return cmocka_run_group_tests_name("retention", tests, NULL, NULL);
}
