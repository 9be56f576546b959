/* virt-thin - who uses the chunks of a thin pool: alone, together with others, and in a set
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A node that several maps share is looked at for the first two of them only, and each leaf is read
 * twice at most, in the order in which they lie: the cost is that of the nodes there are, however
 * many snapshots share them. Memory: a byte for each chunk, four for each metadata block.
 *
 * Units: bytes. Errors: VT_ERROR; EBADMSG: damaged, the message names the block; ENOENT: not
 * formatted; ENOMEM; else what the VtIo said. Thread-safety: none for one call; calls are
 * independent of each other.
 */
#pragma once

#include "thin/format/block.h"

typedef enum {
  THIN_USAGE_CHOSEN = 1, /* of the set that is asked about */
  THIN_USAGE_KNOWN = 2,  /* another device that is a volume */
  THIN_USAGE_STRAY = 4,  /* a device that no volume is known for */
} ThinUsageClass;

typedef struct {
  guint32 id;
  ThinUsageClass class;
  guint64 mapped, exclusive; /* the rest of what is mapped is shared */
} ThinUsageDevice;

typedef struct {
  /* The question. */
  guint64 superblock; /* its block: 0, or that of a metadata snapshot */
  ThinUsageClass (*classify)(guint32 id, gpointer data); /* NULL: all are known */
  gpointer data;
  /* The answer. */
  GArray *devices; /* of ThinUsageDevice, in order of id */
  guint64 chunk_size;
  guint64 allocated; /* of the data device, whoever has it */
  guint64 known;     /* mapped by a chosen or known device */
  guint64 strays;    /* mapped by strays, and by no volume */
  /* What is mapped by chosen devices and by nothing else, so that removing them all frees it: not
   * what another device has, and not what a metadata snapshot holds. */
  guint64 freed;
} ThinUsage;

/* Answer. @usage is the caller's, to be cleared also on failure. */
gboolean thin_usage(VtIo *metadata, ThinUsage *usage, GError **error);
void thin_usage_clear(ThinUsage *usage);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ThinUsage, thin_usage_clear)
/* NULL: there is no such device. */
const ThinUsageDevice *thin_usage_find(const ThinUsage *usage, guint32 id);
