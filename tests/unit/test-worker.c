/* virt-thin - tests of work that is done beside one's own
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "util/error.h"
#include "util/worker.h"

#define N 1000

typedef struct {
  guint n, fails_at;
  guint seen[N];
} Log;

static gboolean note(gconstpointer item, gpointer user_data, GError **error)
{
  Log *log = user_data;
  guint number = *(const guint *)item;

  log->seen[log->n++] = number;
  return number != log->fails_at || vt_set_error(error, EIO, "item %u", number);
}

static void test_order(void **state)
{
  for (guint depth = 1; depth < 6; depth++) {
    Log log = {.fails_at = N};
    VtWorker *worker = vt_worker_new(note, &log, sizeof(guint), depth);

    for (guint i = 0; i < N; i++)
      assert_true(vt_worker_push(worker, &i, NULL));
    assert_true(vt_worker_finish(worker, NULL));
    assert_int_equal(log.n, N);
    for (guint i = 0; i < N; i++)
      assert_int_equal(log.seen[i], i);
    vt_worker_free(worker);
  }
}

/* It is told at once or later, and nothing behind it is done. */
static void test_failure(void **state)
{
  Log log = {.fails_at = 7};
  VtWorker *worker = vt_worker_new(note, &log, sizeof(guint), 3);
  g_autoptr(GError) pushed = NULL, finished = NULL;

  for (guint i = 0; i < N && vt_worker_push(worker, &i, &pushed); i++)
    ;
  assert_true(g_error_matches(pushed, VT_ERROR, EIO));
  assert_false(vt_worker_finish(worker, &finished));
  assert_string_equal(finished->message, "item 7");
  assert_int_equal(log.n, 8);
  vt_worker_free(worker);
}

static void test_unused(void **state)
{
  vt_worker_free(vt_worker_new(note, NULL, sizeof(guint), 1));
  vt_worker_free(NULL);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_order),
      cmocka_unit_test(test_failure),
      cmocka_unit_test(test_unused),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
