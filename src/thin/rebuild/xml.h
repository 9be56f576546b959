/* virt-thin - the metadata of a thin pool made from XML, as thin_dump writes it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Sources: what thin_dump of thin-provisioning-tools 0.9 and 1.x writes, with the shared stretches
 * ("def", "ref") that some of 1.x have. The text is read twice, and the first time all of it is
 * checked, and what it takes is counted: so bad input changes nothing. What mapped_blocks says is
 * not believed, mappings are counted; a uuid, which nobody uses, and a metadata snapshot are left
 * out.
 *
 * Memory: the builder's (build.h). Errors: VT_ERROR; EINVAL: the text is wrong, the message says in
 * which line; ENOSPC: @to is too small, and how large it would have to be; else of reading, or of
 * @to. Thread-safety: none for one call; calls are independent of each other.
 */
#pragma once

#include <stdio.h>

#include "thin/rebuild/build.h"

/* Of what @in holds from where it stands on, @name in messages. What cannot be read twice is copied
 * to a temporary file first. @to NULL: a dry run. @n_used (may be NULL): metadata blocks in use. */
gboolean thin_restore(FILE *in, const char *name, VtIo *to, guint64 *n_used, GError **error);
