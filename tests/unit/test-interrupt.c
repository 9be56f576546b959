/* virt-thin - tests of a signal that ends a copy
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "image/interrupt.h"

/* The signal is there before the reading begins, and nobody has looked: the reading ends all the
 * same. What comes after a look is not disturbed. */
static void test_signal_before_a_call(void **state)
{
  int fds[2];
  char byte;

  assert_int_equal(pipe(fds), 0);
  image_catch_interrupts();
  assert_false(image_interrupted());
  raise(SIGTERM);
  assert_int_equal(read(fds[0], &byte, 1), -1);
  assert_int_equal(errno, EINTR);
  assert_int_equal(read(fds[0], &byte, 1), -1); /* and again */
  assert_true(image_interrupted());
  assert_int_equal(poll(NULL, 0, 1500), 0);
  close(fds[0]);
  close(fds[1]);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_signal_before_a_call)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
