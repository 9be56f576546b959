/* virt-thin - the transaction manager: new blocks, and shadows of old ones
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A block that the last commit reaches is never changed in place: shadow it, change the copy, and
 * let the parent point to that. A block made since the last commit and referred to once is its own
 * shadow.
 *
 * NOT thread-safe. Errors: ENOSPC (no free metadata block), EBADMSG, else of the I/O.
 */
#pragma once

#include "thin/metadata/block-cache.h"
#include "thin/metadata/space-map-metadata.h"

typedef struct ThinTm {
  ThinCache *cache;
  ThinMetadataMap *map; /* NULL: its blocks cannot be read, and nothing may be changed */
} ThinTm;

/* Hold a new, zeroed block with count 1. */
ThinBlock *thin_tm_new_block(ThinTm *tm, ThinKind kind, GError **error);

/* Hold a block with the content of @number that may be changed; one reference moves from @number to
 * it. */
typedef enum {
  THIN_SHADOW_OWN,    /* only we referred to it, also at the last commit */
  THIN_SHADOW_SHARED, /* others still refer to @number: what the content refers to is now referred
                         to once more: the caller counts that */
  THIN_SHADOW_FELL, /* others did at the last commit: the caller marks what the content refers to */
} ThinShadow;
ThinBlock *thin_tm_shadow(ThinTm *tm, guint64 number, ThinKind kind, ThinShadow *shadow,
                          GError **error);

gboolean thin_tm_inc(ThinTm *tm, guint64 number, GError **error);
/* @left: references that remain. */
gboolean thin_tm_dec(ThinTm *tm, guint64 number, guint32 *left, GError **error);
guint32 thin_tm_count(ThinTm *tm, guint64 number); /* G_MAXUINT32 when not known */
/* Does, or did at the last commit, more than one refer to it? */
gboolean thin_tm_is_shared(ThinTm *tm, guint64 number);
