/* virt-thin - tests: how fast thin pools fill, of what was in use when
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#include "pool/growth.h"

#define MINUTE 60
#define HOUR 3600
#define START 1800000000
#define GIB (1024.0 * 1024 * 1024)

static char *folder, *path;

static PoolInfo pool_at(guint64 used, guint64 metadata_used)
{
  return (PoolInfo){.uuid = (char *)"aaaaaa-bbbb",
                    .size = (guint64)(100 * GIB),
                    .used = used,
                    .metadata_size = 1 << 20,
                    .metadata_used = metadata_used};
}

/* A sample each @step seconds, of what grows by @growth each time; the next one is not taken. */
static gint64 fill(PoolHistory *history, gint64 from, gint64 until, gint64 step, guint64 *used,
                   guint64 growth)
{
  gint64 now = from;

  for (; now < until; now += step, *used += growth) {
    PoolInfo info = pool_at(*used, *used >> 20);

    pool_history_add(history, &info, now);
  }
  return now;
}

static void test_nothing_known(void **state)
{
  g_autoptr(PoolHistory) history = pool_history_load("/nonexistent/growth");
  PoolInfo info = pool_at(1 << 30, 1 << 10);
  PoolGrowth growth = pool_history_growth(history, &info, FALSE, START);

  assert_true(isnan(growth.hour) && isnan(growth.day) && isnan(growth.full_in));
  pool_history_add(history, &info, START);
  growth = pool_history_growth(history, &info, FALSE, START + 9 * MINUTE);
  assert_true(isnan(growth.hour) && isnan(growth.full_in)); /* too short a time */
  info.used = G_MAXUINT64;
  growth = pool_history_growth(history, &info, FALSE, START + HOUR);
  assert_true(isnan(growth.hour));
}

static void test_steady(void **state)
{
  g_autoptr(PoolHistory) history = pool_history_load(path);
  guint64 used = (guint64)(40 * GIB);
  gint64 now = fill(history, START, START + 20 * HOUR, MINUTE, &used, (guint64)GIB / 60);
  PoolInfo info = pool_at(used, used >> 20);
  PoolGrowth growth = pool_history_growth(history, &info, FALSE, now);

  assert_true(fabs(growth.hour - GIB) < 1000 && fabs(growth.day - GIB) < 1000);
  assert_true(fabs(growth.full_in - 40 * HOUR) < 1); /* 60 of 100 GiB are in use */
  info.max_size = (guint64)(200 * GIB);
  growth = pool_history_growth(history, &info, FALSE, now);
  assert_true(fabs(growth.full_in - 140 * HOUR) < 1);
  growth = pool_history_growth(history, &info, TRUE, now);
  assert_true(fabs(growth.hour - 1024) < 60);
  info.uuid = (char *)"another";
  assert_true(isnan(pool_history_growth(history, &info, FALSE, now).day));
}

/* Steady for a day, then much in an hour, then a volume that is removed. */
static void test_faster_counts(void **state)
{
  g_autoptr(PoolHistory) history = pool_history_load(path);
  guint64 used = (guint64)(10 * GIB);
  gint64 now = fill(history, START, START + 23 * HOUR, 5 * MINUTE, &used, 0);
  PoolInfo info;
  PoolGrowth growth;

  now = fill(history, now, now + HOUR, 5 * MINUTE, &used, (guint64)GIB);
  info = pool_at(used, 0);
  growth = pool_history_growth(history, &info, FALSE, now);
  assert_true(growth.hour > 11 * GIB && growth.day < GIB);
  assert_true(fabs(growth.full_in - 78 * GIB / growth.hour * HOUR) < 1);

  info.used = 0;
  growth = pool_history_growth(history, &info, FALSE, now);
  assert_true(growth.hour < 0 && growth.day < 0 && isinf(growth.full_in) && growth.full_in > 0);
}

static void test_kept(void **state)
{
  g_autofree char *text = NULL;
  guint64 used = 1 << 30;
  gint64 now;
  guint lines = 0;

  {
    g_autoptr(PoolHistory) history = pool_history_load(path);

    now = fill(history, START, START + 72 * HOUR, MINUTE, &used, 1 << 20);
    assert_true(pool_history_save(history, path, NULL));
  }
  assert_true(g_file_get_contents(path, &text, NULL, NULL));
  for (const char *c = text; *c; c++)
    lines += *c == '\n';
  assert_in_range(lines, 24 * 12, 24 * 12 + 2); /* a day's, one in five minutes */
  {
    g_autoptr(PoolHistory) history = pool_history_load(path);
    PoolInfo info = pool_at(used, used >> 20);
    PoolGrowth growth = pool_history_growth(history, &info, FALSE, now);

    assert_true(fabs(growth.day - (60 << 20)) < 1);
    /* A clock that was set back: what is to come says nothing. */
    growth = pool_history_growth(history, &info, FALSE, START);
    assert_true(isnan(growth.day));
    pool_history_add(history, &info, START);
    assert_true(pool_history_save(history, path, NULL));
  }
  g_clear_pointer(&text, g_free);
  assert_true(g_file_get_contents(path, &text, NULL, NULL));
  assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void test_rubbish(void **state)
{
  g_autofree char *long_line = g_strnfill(100000, 'x');
  g_autofree char *text =
      g_strdup_printf("\n%s\nshort 1\naaaaaa-bbbb %d 1000 10\n\x01\xff", long_line, START);
  g_autoptr(PoolHistory) history = NULL;
  PoolInfo info = pool_at(2000, 20);

  assert_true(g_file_set_contents(path, text, -1, NULL));
  history = pool_history_load(path);
  assert_true(fabs(pool_history_growth(history, &info, FALSE, START + HOUR).hour - 1000) < 0.001);
}

static int make_folder(void **state)
{
  folder = g_dir_make_tmp("virt-thin-test.XXXXXX", NULL);
  path = g_build_filename(folder, "growth", NULL);
  return folder ? 0 : -1;
}

static int clear(void **state)
{
  g_unlink(path);
  return 0;
}

static int remove_folder(void **state)
{
  g_rmdir(folder);
  g_free(path);
  g_free(folder);
  return 0;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(test_nothing_known, clear),
      cmocka_unit_test_teardown(test_steady, clear),
      cmocka_unit_test_teardown(test_faster_counts, clear),
      cmocka_unit_test_teardown(test_kept, clear),
      cmocka_unit_test_teardown(test_rubbish, clear),
  };

  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
