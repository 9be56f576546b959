/* virt-thin - what LVM2 takes for a name, a tag
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: VT_ERROR, EINVAL with the rule broken: characters, '-' first, "." "..", 128 characters,
 * of a volume reserved prefix or substring. Thread-safety: pure functions.
 */
#pragma once

#include "util/error.h"

#define VT_NAME_MAX 127

gboolean vt_vg_name_check(const char *name, GError **error);
gboolean vt_lv_name_check(const char *name, GError **error);
gboolean vt_tag_check(const char *tag, GError **error);
