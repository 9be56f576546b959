/* virt-thin - what /proc tells of processes, locks and mounts
 * SPDX-License-Identifier: LGPL-2.1-or-later
 * Thread-safety: all functions may be called from any thread.
 */
#pragma once

#include <sys/stat.h>

#include <glib.h>

/* @text, which a stranger chose (a process's name, a folder's), fit to be shown: what a terminal or
 * a log would obey, and what is not UTF-8, is "?". The caller's. */
char *vt_printable(const char *text);
/* What process @pid calls itself, fit to be shown. NULL: there is no such process. The caller's. */
char *vt_process_name(pid_t pid);
/* Is there a flock() on the file of @st? @holder (may be NULL): the process that took it, 0 when it
 * is not known. Takes no lock, and so is in nobody's way who is about to. Some file systems are
 * listed under another device number: those this does not find. */
gboolean vt_flock_holder(const struct stat *st, pid_t *holder);

typedef struct {
  guint id;     /* the kernel's, of the mount */
  dev_t device; /* of some file systems (btrfs) a number that is no device's: @source tells */
  char *source; /* "/dev/nbd0", or any word */
  char *where;
} VtMount;

/* The mounts that process @pid ("self": this one) sees, in the kernel's order: of VtMount, empty
 * when they are not to be had. The caller's. */
GArray *vt_list_mounts(const char *pid);
/* Is something mounted at @folder (absolute, without symbolic links)? */
gboolean vt_is_mounted(const char *folder);
