/* virt-thin - running lvm2's commands
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * As argument vectors, never through a shell, with LC_ALL=C, standard input from /dev/null - what
 * lvm2 asks is thereby answered with no - and no descriptor but the standard ones. Which devices
 * lvm2 looks at is its own business (devices file, filters). A command is never interrupted: in the
 * middle of a change it may hold devices suspended.
 *
 * Errors: VT_ERROR with what lvm2 said; the code is EBUSY, ENOSPC, EEXIST, ENOENT where its words
 * leave no doubt, else EIO. Thread-safety: every function may be called from any thread.
 */
#pragma once

#include "util/error.h"

/* Run `lvm @argv...`, as in {"lvremove", "--yes", "pve/vm-1", NULL}. The program is the first lvm
 * in $PATH. */
gboolean dmk_lvm2(const char *const *argv, GError **error);
/* Any other program of lvm2's kin, such as thin_check; with its standard error (the caller's) also
 * when it fails: then
 * *@status is its exit status. FALSE: it could not be run. */
gboolean dmk_run(const char *const *argv, int *status, char **said, GError **error);
