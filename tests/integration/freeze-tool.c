/* virt-thin - freezes the file systems on a device, says so, and thaws them when its input ends
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: freeze-tool DEVICE [FILE]
 */
#include <stdio.h>
#include <unistd.h>

#include "util/freeze.h"

int main(int argc, char **argv)
{
  const FreezeDisk disk = {argv[1], argc > 2 ? argv[2] : NULL};
  g_autoptr(GError) error = NULL;
  Freeze *freeze = freeze_begin(&disk, 1, 0, &error);
  char byte;

  if (error) {
    fprintf(stderr, "%s\n", error->message);
    return 1;
  }
  puts(freeze ? "frozen" : "nothing");
  fflush(stdout);
  while (read(STDIN_FILENO, &byte, 1) > 0)
    ;
  freeze_end(freeze);
  puts("thawed");
  return 0;
}
