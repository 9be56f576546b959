/* virt-thin - where the fields of libvirt's private objects lie: discovered and proven in the
 * running daemon SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The layout of virStoragePoolDef and virStorageVolDef changes between libvirt's releases. What the
 * backend reads or sets in them is few: found at registration by parsing sentinel documents with
 * libvirt's own parser, looking where the sentinels went, and seeing what libvirt's own formatter
 * prints after a field has been set. Everything else the backend learns by formatting an object to
 * XML and makes by parsing one.
 *
 * Thread-safety: discovered once at registration, constant afterwards.
 */
#pragma once

#include "libvirt/vtbackend-libvirt.h"

/* Offsets in bytes. */
typedef struct {
  guint32 pool_source_name; /* char * */
  guint32 pool_target_path; /* char * */
  guint32 pool_capacity;    /* unsigned long long, as the next two */
  guint32 pool_allocation;
  guint32 pool_available;
  guint32 vol_name; /* char *, as the next two */
  guint32 vol_key;
  guint32 vol_path;
  guint32 vol_type;     /* int: virStorageVolType */
  guint32 vol_capacity; /* unsigned long long, as the next two */
  guint32 vol_allocation;
  guint32 vol_physical;
} VtLayout;

/* EINVAL says which field could not be found or did not behave. Takes up to some seconds when
 * libvirt's functions hang.
 */
gboolean vtbackend_layout_discover(const VtLibvirt *libvirt, VtLayout *layout, GError **error);

#define VT_FIELD(object, offset, ctype) G_STRUCT_MEMBER(ctype, (gpointer)(object), (offset))

/* Free the string at @offset of @object and put a copy of @value there. */
void vtbackend_layout_set_string(gpointer object, guint32 offset, const char *value);
