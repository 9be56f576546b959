/* virt-thin - simulation: laws of what lies on the disks
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "world.h"

/* Ends the program unless each count of blocks and chunks is what refers to them, and each device
 * has as many chunks as its details say. */
void laws_count(const guint8 *metadata, guint64 size, guint64 *transaction_id);
