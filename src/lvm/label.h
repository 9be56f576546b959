/* virt-thin - the label of a physical volume
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * In one of the first four sectors: label_header (lvm2 lib/label/label.h), then pv_header with
 * lists of data and metadata areas and the extension (lib/format_text/layout.h). Units: bytes.
 * Errors: VT_ERROR; EBADMSG names path and offset. Thread-safety: none.
 */
#pragma once

#include "util/error.h"
#include "util/io.h"

#define LVM_SECTOR 512
#define LVM_UUID_LENGTH 38 /* with dashes */

typedef struct {
  guint64 offset, size; /* size 0 of a data area: to the end of the device */
} LvmRange;

typedef struct {
  guint sector;
  char uuid[LVM_UUID_LENGTH + 1];
  guint64 device_size;
  gboolean used; /* by a VG (PV_EXT_USED); so are all that have no such mark: it came with version 2
                    of the extension */
  GArray *data_areas, *metadata_areas; /* of LvmRange */
  guint8 data[LVM_SECTOR];             /* as read; what is not understood is written back */
  guint pv_header, extension; /* where they begin in @data; 0: a new label / no extension */
} LvmLabel;

LvmLabel *lvm_label_new(void);
void lvm_label_free(LvmLabel *label);
/* May a metadata area begin there? In a whole sector, and behind those that a label may be in. */
gboolean lvm_label_area_possible(const LvmRange *area);
gboolean lvm_label_areas_overlap(const LvmRange *a, const LvmRange *b);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LvmLabel, lvm_label_free)

/* FALSE: cannot be read, or damaged; *label is then what could be made out of it all the same, or
 * NULL. TRUE with *label NULL: there is none. */
gboolean lvm_label_read(VtIo *io, LvmLabel **label, GError **error);
/* Write it to its sector: of one that has been read, only size and mark can have changed. No
 * flush. */
gboolean lvm_label_write(VtIo *io, const LvmLabel *label, GError **error);
