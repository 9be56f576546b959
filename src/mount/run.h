/* virt-thin - a command that is given snapshots of volumes, and what it leaves taken away
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: VT_ERROR. Thread-safety: main thread.
 */
#pragma once

#include "util/error.h"

typedef struct {
  const char *vg;
  const char *const *names; /* "LV", "LV@SNAPSHOT" */
  const char *snapshot;     /* also make these, which stay; NULL: none */
  const char *partition;    /* of each; NULL: the only one */
  gboolean raw;             /* the volumes themselves, not what is mounted from them */
  const char *const *words; /* the command's; {} in them is where it finds them */
} MountRun;

/* Run it, and take everything away again: also when it fails, or a signal is to end this process,
 * which then ends it. Returns its exit status, 128 and the signal's number if one has ended it.
 * What goes wrong before is an error; afterwards it is told, and makes a status of 0 a 1. */
int mount_run(const MountRun *run, GError **error);
