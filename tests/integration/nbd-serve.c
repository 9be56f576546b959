/* virt-thin - the NBD server alone, for tests with real clients
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * nbd-serve SOCKET memory NAME=SIZE...   volumes in memory; NAME=SIZE,ro is read-only
 * Ends on SIGTERM, after printing how long that took.
 */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "../unit/memory-pool.h"
#include "service/nbd/nbd-server.h"
#include "util/size.h"

static VolumeGroup *open_memory(char **volumes, GError **error)
{
  VolumeGroup *group = memory_pool_new();
  for (; *volumes; volumes++) {
    g_auto(GStrv) parts = g_strsplit_set(*volumes, "=,", 3);
    guint64 size = 0;
    if (!parts[0] || !parts[1] || !vt_size_parse(parts[1], &size, NULL, error)) {
      pool_unref(group);
      return NULL;
    }
    memory_pool_add(group, parts[0], size, parts[2] != NULL);
  }
  return group;
}

int main(int argc, char **argv)
{
  setlocale(LC_ALL, "");
  if (argc < 3 || strcmp(argv[2], "memory") != 0) {
    fprintf(stderr, "usage: nbd-serve SOCKET memory NAME=SIZE[,ro]...\n");
    return 2;
  }
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  sigaddset(&end, SIGINT);
  sigprocmask(SIG_BLOCK, &end, NULL);

  g_autoptr(GError) error = NULL;
  VolumeGroup *group = open_memory(argv + 3, &error);
  NbdServer *server = group ? nbd_server_start(group, argv[1], NULL, &error) : NULL;
  if (!server) {
    fprintf(stderr, "nbd-serve: %s\n", error->message);
    return 1;
  }
  int signal;
  sigwait(&end, &signal);
  gint64 start = g_get_monotonic_time();
  nbd_server_stop(server, 2000);
  printf("stopped in %" G_GINT64_FORMAT " ms\n", (g_get_monotonic_time() - start) / 1000);
  if (pool_close(group, &error))
    return 0;
  fprintf(stderr, "nbd-serve: %s\n", error->message);
  return 1;
}
