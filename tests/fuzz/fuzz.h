/* virt-thin - what every fuzz target is built with (run.sh includes it)
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * g_error() ends in a breakpoint trap, of which libFuzzer takes no notice: no input would be kept
 * of what was found.
 */
#pragma once

#include <signal.h>
#include <stdlib.h>

static void fuzz_on_trap(int number)
{
  (void)number;
  abort();
}

__attribute__((constructor)) static void fuzz_catch_traps(void)
{
  signal(SIGTRAP, fuzz_on_trap);
}
