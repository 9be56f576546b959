/* virt-thin - from disks to snapshots, in lines
 * SPDX-License-Identifier: LGPL-2.1-or-later
 * Thread-safety: main thread only.
 */
#pragma once

#include "commands/tree-nodes.h"

/* On standard output, in @width columns; 0: as many as it takes. What is on several things hangs on
 * the last of them. */
void tree_text_print(const TreeNodes *nodes, guint width);
