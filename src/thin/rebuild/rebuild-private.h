/* virt-thin - metadata written anew from damaged metadata: what its files share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "thin/rebuild/build-private.h"
#include "thin/rebuild/rebuild.h"

typedef enum {
  PART_UNSEEN,
  PART_UNDER_WAY,
  PART_TORN,  /* it cannot be used, or not all beneath it can */
  PART_WHOLE, /* it has been copied */
} PartState;

/* A node of a map, and what is beneath it. */
typedef struct {
  guint64 first, last; /* keys; first > last: none, or it cannot be read */
  guint64 n_mapped;    /* of a whole one */
  guint32 block;       /* its copy, of a whole one */
  guint16 n;           /* entries of the node itself */
  guint8 level;        /* 0: a leaf */
  guint8 state;        /* PartState */
} Part;

typedef struct {
  VtIo *from;
  guint64 n_blocks; /* of @from */
  ThinBuild *build;
  Part *parts; /* one for each block */
  GArray *lost;
  guint32 time; /* the latest that a mapping has */
} Rebuild;

/* Look at the tree of a map at @root, and copy what is whole. FALSE: an error of writing. */
gboolean rebuild_look(Rebuild *rebuild, guint64 root, Part *part, GError **error);
/* Give the builder's device what can be reached of the map at @root, which was looked at. */
gboolean rebuild_map(Rebuild *rebuild, guint64 root, GError **error);
/* The device lost virtual chunks [lower, upper); G_MAXUINT64: to the end. */
void rebuild_lose(Rebuild *rebuild, guint64 lower, guint64 upper);
