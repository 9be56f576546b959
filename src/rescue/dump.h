/* virt-thin - a pool's metadata as a dump has it that was kept
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "util/error.h"
#include "util/io.h"

/* What the XML in file @path (thin/rebuild/xml.h) says, as metadata in a temporary file that goes
 * with the VtIo. EINVAL: the XML is wrong. */
VtIo *rescue_metadata_of_dump(const char *path, GError **error);
