/* virt-thin - a volume as far as it can be read, straight from what is left of its pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * No engine: the map is walked as the reader comes by, a window of it at a time, so memory does
 * not grow with the volume. vt_io_extent() answers EBADMSG for what lies beneath damaged metadata,
 * and EIO where the physical volume is missing or ends too early; so do reads, and EIO stands for
 * whatever error reading a physical volume comes to.
 *
 * Units: bytes; chunks as said. Errors: VT_ERROR. Thread-safety: as VtIo.
 */
#pragma once

#include "util/error.h"
#include "util/io.h"

/* Where the mappings of a volume come from. */
typedef struct RescueMap RescueMap;
/* A run of virtual chunks [begin, end) that are mapped to chunks from @chunk on, or lost. */
typedef struct {
  guint64 begin, end, chunk;
  char *lost; /* why; NULL: it is mapped */
} RescuePiece;
struct RescueMap {
  /* Add the pieces within [begin, end) to @pieces, in order. */
  gboolean (*load)(RescueMap *map, guint64 begin, guint64 end, GArray *pieces, GError **error);
  void (*free)(RescueMap *map);
};
/* Adds to @pieces, joining what continues the last one. @lost NULL: mapped. */
void rescue_piece_add(GArray *pieces, guint64 begin, guint64 end, guint64 chunk, const char *lost);
/* The map at block @root of @metadata (a reference is kept). */
RescueMap *rescue_map_of_tree(VtIo *metadata, guint64 root);

/* All of @lv, of lvm_store_open_lv() (a reference is kept). */
VtIo *rescue_volume_of_lv(VtIo *lv, const char *name);
/* What @map (taken) maps to @data, of lvm_store_open_lv(); @origin (NULL: none): what reads where
 * nothing is mapped. References are kept. */
VtIo *rescue_volume_new(const char *name, RescueMap *map, VtIo *data, VtIo *origin,
                        guint64 chunk_size, guint64 size);
