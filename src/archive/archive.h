/* virt-thin - a whole volume group as a stream, and made again from it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The stream (docs/stream.md) begins with descriptions: the volume group's text (LVM2's) at one
 * instant of each thin pool. Then come its volumes: a thin one as what differs from another that
 * came before, so that what several share travels once; a linear one as what is not zero.
 *
 * Units: bytes. Errors: VT_ERROR; ECANCELED after a signal (image/interrupt.h). Thread-safety: main
 * thread.
 */
#pragma once

#include "pool/open.h"

typedef struct {
  gboolean zstd;
  gboolean open_linear; /* linear volumes that are in use are taken as they are */
} ArchiveOptions;

/* Write volume group @group to @fd. Thin volumes that may be written to meanwhile get snapshots,
 * which go again. EOPNOTSUPP: it has volumes of kinds that cannot be carried over. EBUSY: a linear
 * volume is in use. */
gboolean archive_write(VolumeGroup *group, int fd, const char *name, const ArchiveOptions *options,
                       GError **error);

typedef struct {
  const char *vg;
  GStrv grow;               /* "VG/LV=SIZE" or "LV=SIZE"; NULL: none */
  guint64 extent_size;      /* 0: as it was */
  guint64 file_size;        /* of files that are made; 0: what is needed */
  gboolean new_identity;    /* another UUID for the VG, also if there is none with the same */
  gboolean force;           /* erase what is on the devices */
  const char *const *paths; /* absolute; NULL: VG.img in the state folder */
} UnarchiveOptions;

/* Make the volume group again. On FALSE there is none of that name, and files that were made for it
 * are gone. */
gboolean archive_read(int fd, const char *name, const UnarchiveOptions *options, GError **error);
