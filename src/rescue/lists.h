/* virt-thin - the texts and roots that a volume can be rescued by, as lists to choose from
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "rescue/open.h"

/* On standard output. */
void rescue_print_texts(RescueGroup *group, const char *lv);
void rescue_print_roots(RescueGroup *group, GPtrArray *pairs, LvmLv *pool, const char *lv);
