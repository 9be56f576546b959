/* virt-thin - the two checksums of the formats
 * SPDX-License-Identifier: LGPL-2.1-or-later
 * Thread-safety: pure functions.
 */
#pragma once

#include <glib.h>

/* CRC-32C (Castagnoli), reflected, register starting at 0xffffffff, NO final inversion: what
 * dm-thin XORs with a salt (linux drivers/md/persistent-data/dm-space-map-*.c, dm_bm_checksum).
 * Uses the processor's instruction where it has one. */
guint32 vt_crc32c(const void *data, gsize length);

/* LVM2's CRC-32 (IEEE, reflected), register @initial and no inversion (lvm2 lib/misc/crc.c).
 * Text and headers start from LVM_CRC_INITIAL; pass the previous result to go on. */
#define LVM_CRC_INITIAL 0xf597a6cfu
guint32 vt_lvm_crc(guint32 initial, const void *data, gsize length);
