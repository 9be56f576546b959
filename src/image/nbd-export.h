/* virt-thin - volumes as NBD exports, for a program that is run, or for whoever connects
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: VT_ERROR. Thread-safety: none for one ImageExport.
 */
#pragma once

#include "pool/open.h"

typedef struct ImageExport ImageExport;

/* Serve volumes @lvs (NULL at the end) of @group, and no others, by a server of our own until
 * image_export_free(), on a new Unix socket for root and this user: @socket, or NULL, one in a
 * private folder. */
ImageExport *image_export_new(VolumeGroup *group, const char *const *lvs, gboolean read_only,
                              const char *socket, GError **error);
/* The shortest way to volume @lv of @vg: its service's own socket, where anybody may write, if
 * @group is one, else as above. */
ImageExport *image_export_near(VolumeGroup *group, const char *vg, const char *lv,
                               gboolean read_only, GError **error);
void image_export_free(ImageExport *export); /* the clients' last requests are answered */

const char *image_export_socket(const ImageExport *export);
/* Of the volume number @i of those that are served. */
const char *image_export_uri(const ImageExport *export, guint i);

/* The metadata context of an export, "qemu:dirty-bitmap:since-before", that tells what has changed
 * since snapshot @since of what @lv is, or is a snapshot of. The caller's. ENOENT: it has none, and
 * the message lists those there are. */
char *image_export_since(VolumeGroup *group, const char *lv, const char *since, GError **error);
