/* virt-thin - one error convention for every layer
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Every function that can fail takes a GError ** last. Its domain is VT_ERROR and
 * its code IS an errno value, so that NBD, FUSE, D-Bus and the shell can all pass
 * it on without a table. The codes with a meaning of their own:
 *
 *   ENOENT     no such volume, pool, device, volume group
 *   EEXIST     the name, file or device id is taken
 *   EBUSY      in use; the message names by whom
 *   EINVAL     the request is wrong: a bad name, a size out of range
 *   EROFS      opened read-only, or the pool does not take writes
 *   ENOSPC     no free chunk, extent, metadata block or metadata-area byte; no room on the file
 *              system beneath, be it full, over a quota (EDQUOT) or beyond RLIMIT_FSIZE (EFBIG):
 *              whoever writes to a volume knows but this one
 *   EBADMSG    what is on disk is damaged; the message says where
 *   ESTALE     somebody else changed the volume group under us
 *   EPERM      refused by policy (a limit in virt-thin.conf, a transaction id apart)
 *   EOPNOTSUPP valid, but not something virt-thin can do
 *   ETIMEDOUT  a service did not answer in time
 *   anything else: what the system call said
 *
 * Thread-safety: as GError. Ownership: as GError.
 */
#pragma once

#include <errno.h>
#include <glib.h>

#define VT_ERROR (vt_error_quark())
GQuark vt_error_quark(void);

/* Set @error from errno value @err: "<formatted message>: <strerror>"; EDQUOT and EFBIG get code
 * ENOSPC. Always returns FALSE. */
gboolean vt_set_errno(GError **error, int err, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Set @error with code @err and the formatted message alone. Always returns FALSE. */
gboolean vt_set_error(GError **error, int err, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Is it room that was wanting (ENOSPC): nothing is broken, and it may do when asked again later?
 * NULL: no. */
gboolean vt_error_is_room(const GError *error);

/* The errno value that stands for @error, whatever its domain: EIO when it has none. */
int vt_error_to_errno(const GError *error);
