/* virt-thin - a metadata area: a header that points into a ring of texts
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * lvm2 lib/format_text/{layout.h,format-text.c}. The header is one sector, so its write is atomic;
 * the text it points to is never written over by the next one. Units: bytes; offsets of texts from
 * the area's start. Errors: VT_ERROR; EBADMSG names path and offset. Thread-safety: none.
 */
#pragma once

#include "lvm/label.h"

#define LVM_AREA_START 4096           /* where lvm2 begins the first one */
#define LVM_AREA_MIN (8 * LVM_SECTOR) /* smaller ones are damage */

typedef struct {
  guint64 offset, size; /* size with one NUL; offset 0: none */
  guint32 crc;
  guint32 flags;
} LvmTextPlace;

typedef struct {
  VtIo *io;
  guint64 start, size;
  LvmTextPlace text;         /* committed */
  guint8 header[LVM_SECTOR]; /* as last read or written */
  gboolean usable;           /* the header is whole, and the area is not one that lvm2 ignores */
} LvmMetadataArea;

LvmMetadataArea *lvm_metadata_area_new(VtIo *io, const LvmRange *range);
void lvm_metadata_area_free(LvmMetadataArea *area);

/* Is there room for one, within the device? */
gboolean lvm_metadata_area_fits(const LvmMetadataArea *area);
/* FALSE: cannot be read, or damaged. */
gboolean lvm_metadata_area_read_header(LvmMetadataArea *area, GError **error);
/* Did a commit after that of @seqno not come to its end? The header points to a text that is not
 * committed, or one lies where the next will. */
gboolean lvm_metadata_area_is_untidy(LvmMetadataArea *area, guint64 seqno);
/* ESTALE: the header is not the one this area last read or wrote. */
gboolean lvm_metadata_area_check(LvmMetadataArea *area, GError **error);
/* The committed text, NUL-terminated; @length without the NUL. Reads the header again when a writer
 * has gone on since. Freed with g_free(). */
char *lvm_metadata_area_read_text(LvmMetadataArea *area, gsize *length, GError **error);
/* Texts that lie in the ring without any header's word for it: calls @func for each that has the
 * look of one, until it returns TRUE. For an area whose header or text is damaged. */
typedef gboolean (*LvmTextFunc)(const char *text, gsize length, guint64 offset, gpointer user_data);
void lvm_metadata_area_search(LvmMetadataArea *area, LvmTextFunc func, gpointer user_data);

/* The longest text, with its NUL, that fits beside another one. */
guint64 lvm_metadata_area_max_text(const LvmMetadataArea *area);
/* Write @text (with its NUL, @size bytes) behind the committed one; *place says where. ENOSPC names
 * both sizes. No flush. */
gboolean lvm_metadata_area_write_text(LvmMetadataArea *area, const char *text, gsize size,
                                      guint32 crc, LvmTextPlace *place, GError **error);
/* Write the header: @committed and @precommitted (NULL: none). No flush. */
gboolean lvm_metadata_area_write_header(LvmMetadataArea *area, const LvmTextPlace *committed,
                                        const LvmTextPlace *precommitted, GError **error);
