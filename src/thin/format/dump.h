/* virt-thin - a pool's metadata in words: XML as thin_dump writes it, or its human form
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Sources: thin-provisioning-tools 0.9, what thin_dump prints. In order of device ids and virtual
 * chunks; written as it is read, so memory does not grow with the pool but for its list of devices.
 *
 * Units: chunks, metadata blocks, sectors, as in the format. Errors: VT_ERROR; EBADMSG: damaged,
 * the message names the block; ENOENT: not formatted, or no such device; of writing what stdio
 * said.
 * Thread-safety: none for one call; calls are independent of each other.
 */
#pragma once

#include <stdio.h>

#include "thin/format/walk.h"

typedef enum {
  THIN_DUMP_XML,
  THIN_DUMP_HUMAN,
} ThinDumpFormat;

typedef struct {
  ThinDumpFormat format;
  guint64 superblock; /* its block: 0, or that of a metadata snapshot */
  gint64 device;      /* that alone; -1: all */
  gboolean skip_mappings;
  /* Leave out what cannot be read, and say here what that is (char *, added). NULL: it is an error,
   * after part of the output. */
  GPtrArray *lost;
} ThinDumpOptions;

gboolean thin_dump(VtIo *metadata, const ThinDumpOptions *options, FILE *out, GError **error);
