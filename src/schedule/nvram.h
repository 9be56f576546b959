/* virt-thin - replicas: a domain's UEFI variables, which are a file and not in its document
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * They travel with the document, as they are when the replicas are made, and packed: most of such a
 * file is empty. Where <nvram> is no file (a block device, a network's) it does not.
 *
 * Errors: VT_ERROR. Thread-safety: pure functions.
 */
#pragma once

#include "util/error.h"

#define NVRAM_MAX_SIZE (16 * 1024 * 1024) /* bytes */

/* The variables of the domain of @document, packed, as text; "": it has none. NULL: they cannot be
 * read, or are more than NVRAM_MAX_SIZE. The caller's. */
char *nvram_pack(const char *document, GError **error);

typedef enum { NVRAM_NONE, NVRAM_WRITTEN, NVRAM_SAME, NVRAM_OTHER } NvramPut;
/* @packed where @document has them, for its owner alone. What is there already stays: *put says
 * whether it is the same. *path is the caller's; NULL: there are none. EBADMSG: @packed is not what
 * nvram_pack() makes. */
gboolean nvram_put(const char *document, const char *packed, gboolean dry_run, NvramPut *put,
                   char **path, GError **error);
