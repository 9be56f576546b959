/* virt-thin - a volume of the kernel's as a regular file, for one of libvirt's streams
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirt knows no holes in a block device: it sends them as zeros, and writes zeros for those that
 * it is sent (src/util/virfdstream.c, virFDStreamThreadDoRead and ...DoWrite). In a regular file it
 * finds them by SEEK_DATA and SEEK_HOLE, and makes them by seeking over them and cutting the file
 * there. A volume that virt-thin's own engine has is such a file already (process/service.h); of
 * the kernel's this makes one for as long as a stream lasts:
 *   - the file's holes are what is not mapped;
 *   - whole chunks of zeros that are written are unmapped, and zeros for a chunk that is not mapped
 *     are not written: they would be nothing but space;
 *   - truncation changes nothing.
 *
 * Thread-safety: for main(). Errors: VT_ERROR.
 */
#pragma once

#include "pool/pool.h"

/* Mount @folder with one file in it, named as volume @name, writable unless @read_only, and call
 * @ready. The mount, and the empty folder, go as soon as the file is open. A close() of it waits
 * until everything is on disk and the volume is not held any more. Returns after the last close(),
 * or when nobody has opened the file for @patience_ms. */
gboolean stream_file_serve(VolumeGroup *group, const char *name, gboolean read_only,
                           const char *folder, int patience_ms, void (*ready)(void),
                           GError **error);
