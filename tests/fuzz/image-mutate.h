/* virt-thin - damage to the image of a physical volume, with checksums that are right
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What an image from elsewhere may hold: anything. A checksum keeps accidents out, not whoever made
 * the image; so most of these are made right again. Thread-safety: none.
 */
#pragma once

#include "thin/format/disk-format.h"
#include "thin/format/block.h"

typedef struct {
  guint64 at; /* in the image */
  guint64 number;
  ThinKind kind;
} ImageBlock;

typedef struct {
  guint8 *data;
  gsize size;
  guint64 area;   /* LVM's metadata area: its header, then the ring */
  GArray *blocks; /* of ImageBlock: all of the thin pools' metadata that is in use, and what is left
                     of earlier transactions */
} Image;

/* Find what there is to damage in @data, which stays the caller's. FALSE: no image of ours. */
gboolean image_find(Image *image, guint8 *data, gsize size);

/* Damage it as @seed and @number tell; what was done is the caller's. */
char *image_mutate(Image *image, guint32 seed, guint32 number);
