/* virt-thin - from disks to snapshots, as a picture
 * SPDX-License-Identifier: LGPL-2.1-or-later
 * Thread-safety: main thread only.
 */
#pragma once

#include "commands/tree-nodes.h"

/* SVG, from the left to the right; what does not fit into a box is in its title. The caller's. */
char *tree_svg_draw(const TreeNodes *nodes);
