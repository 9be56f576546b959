/* virt-thin - command restore --metadata: a thin pool's metadata from XML
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

/* Onto the file or block device @path, all of it, from file @xml ("-": standard input). @force:
 * whatever is there. EBUSY: somebody uses it; EEXIST: something else than a pool's metadata is
 * there; else as thin_restore(). */
gboolean restore_metadata(const char *path, const char *xml, gboolean force, GError **error);
