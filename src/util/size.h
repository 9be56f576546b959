/* virt-thin - sizes as LVM's tools write and read them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 * Thread-safety: pure functions.
 */
#pragma once

#include <glib.h>

/* Parse a size with LVM's units into bytes: a decimal number, perhaps with a fraction, then one of
 * b s k m g t p e in either case (s = 512-byte sectors; the others are powers of 1024, as in lvm2's
 * size arguments), optionally followed by "iB" or "B". No unit means MiB, as in lvcreate --size.
 * EINVAL: not a size, or beyond 16 EiB.
 * @sign, if not NULL, receives '+', '-' or 0 for a leading sign; NULL refuses one. */
gboolean vt_size_parse(const char *text, guint64 *bytes, char *sign, GError **error);

/* "8.00 GiB", "512 B": for people. Free with g_free(). */
char *vt_size_format(guint64 bytes);
/* The same; where it is rounded also exactly: "8.00 GiB (8589935104 bytes)". For messages about a
 * size that somebody gave or has to give. */
char *vt_size_exact(guint64 bytes);
