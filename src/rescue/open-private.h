/* virt-thin - opening a volume of a pool that does not open: what its files share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "rescue/open.h"

void rescue_note(RescueGroup *group, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* EBUSY: the kernel has @lv active. */
gboolean rescue_check_idle(RescueGroup *group, LvmLv *lv, GError **error);
