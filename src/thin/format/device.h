/* virt-thin - a thin device as its pool's metadata describes it, and the limits of the format
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

#define THIN_CHUNK_MIN (64u << 10) /* chunks are a multiple of this ... */
#define THIN_CHUNK_MAX                                                                             \
  (1024u << 20) /* ... up to 1 GiB (dm-thin.c DATA_DEV_BLOCK_SIZE_MIN/MAX_SECTORS) */
#define THIN_DEVICE_MAX ((1u << 24) - 1) /* highest device id (dm-thin.h MAX_DEV_ID) */
#define THIN_METADATA_BLOCK 4096u

typedef struct {
  guint32 id;
  guint64 mapped;         /* bytes, as the device details count them */
  guint64 transaction_id; /* the pool's when the device was made */
  guint32 creation_time, snapshotted_time;
} ThinDevice;
