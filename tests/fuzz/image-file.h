/* virt-thin - the file of a volume group that is damaged again and again
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Most of it is holes, and most of the time nothing has changed in it: both make comparing it
 * cheap. Thread-safety: none.
 */
#pragma once

#include "image-mutate.h"

#define MIB G_GUINT64_CONSTANT(1048576)
#define IMAGE_SIZE (36 * MIB)

/* Make volume group v with thin pool data, volume vm-1-disk-0, snapshot s of it, and template
 * base-9-disk-0 at @path. What goes wrong ends the process. */
void image_file_make(const char *path);
/* @image: of a copy that image_mutate() may damage. FALSE: it is not as it should be. */
gboolean image_file_open(const char *path, Image *image);
/* The copy is as made. */
void image_file_reset(void);
/* The file becomes what the copy is. */
void image_file_put_back(void);
/* Is it another? */
gboolean image_file_is_changed(void);
