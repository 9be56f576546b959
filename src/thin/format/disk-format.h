/* virt-thin - dm-thin's metadata, version 2, as it lies on disk
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Sources: linux drivers/md/dm-thin-metadata.c (superblock, device details, packing of mappings),
 * drivers/md/persistent-data/dm-btree-internal.h (nodes), dm-space-map-common.h (space maps). All
 * integers are little endian. A metadata block is 4096 bytes; each starts with a CRC-32C over
 * bytes 4..4095, XORed with a salt that depends on the kind of block and is the only mark of its
 * kind.
 */
#pragma once

#include <string.h>

#include "thin/format/device.h"

#define THIN_SUPERBLOCK_MAGIC 27022010u
#define THIN_SUPERBLOCK_VERSION 2
#define THIN_SUPERBLOCK_NEEDS_CHECK 1u /* in flags */
#define THIN_SECTOR 512u

#define THIN_SALT_SUPERBLOCK 160774u
#define THIN_SALT_NODE 121107u
#define THIN_SALT_BITMAP 240779u
#define THIN_SALT_INDEX 160478u

/* What every kind of block begins with. */
typedef struct __attribute__((packed)) {
  guint32 csum;
  guint32 flags; /* of a superblock or node; unused in the others */
  guint64 blocknr;
} ThinDiskHeader;
G_STATIC_ASSERT(sizeof(ThinDiskHeader) == 16);

typedef struct __attribute__((packed)) {
  guint64 nr_blocks;
  guint64 nr_allocated;
  guint64 bitmap_root;
  guint64 ref_count_root;
} ThinDiskSpaceMapRoot;
G_STATIC_ASSERT(sizeof(ThinDiskSpaceMapRoot) == 32);

typedef struct __attribute__((packed)) {
  ThinDiskHeader header;
  guint8 uuid[16];
  guint64 magic;
  guint32 version;
  guint32 time;
  guint64 trans_id;
  guint64 held_root;
  union {
    ThinDiskSpaceMapRoot root;
    guint8 room[128];
  } data_space_map, metadata_space_map;
  guint64 data_mapping_root;
  guint64 device_details_root;
  guint32 data_block_size;     /* sectors */
  guint32 metadata_block_size; /* sectors */
  /* at format time; the kernel leaves it stale when the metadata grows */
  guint64 metadata_nr_blocks;
  guint32 compat_flags;
  guint32 compat_ro_flags;
  guint32 incompat_flags;
} ThinDiskSuperblock;
G_STATIC_ASSERT(sizeof(ThinDiskSuperblock) == 364);
G_STATIC_ASSERT(G_STRUCT_OFFSET(ThinDiskSuperblock, magic) == 32);
G_STATIC_ASSERT(G_STRUCT_OFFSET(ThinDiskSuperblock, held_root) == 56);
G_STATIC_ASSERT(G_STRUCT_OFFSET(ThinDiskSuperblock, metadata_space_map) == 192);
G_STATIC_ASSERT(G_STRUCT_OFFSET(ThinDiskSuperblock, data_mapping_root) == 320);
G_STATIC_ASSERT(G_STRUCT_OFFSET(ThinDiskSuperblock, metadata_nr_blocks) == 344);

#define THIN_NODE_INTERNAL 1u /* in flags */
#define THIN_NODE_LEAF 2u

/* Followed by max_entries keys of 8 bytes, then max_entries values. */
typedef struct __attribute__((packed)) {
  ThinDiskHeader header;
  guint32 nr_entries;
  guint32 max_entries;
  guint32 value_size;
  guint32 padding;
} ThinDiskNode;
G_STATIC_ASSERT(sizeof(ThinDiskNode) == 32);

/* Entries of a node (dm-btree.c calc_max_entries: a multiple of 3, so that a third is whole). */
#define THIN_NODE_MAX(value_size)                                                                  \
  ((THIN_METADATA_BLOCK - sizeof(ThinDiskNode)) / (8 + (value_size)) / 3 * 3)
G_STATIC_ASSERT(THIN_NODE_MAX(8) == 252);
G_STATIC_ASSERT(THIN_NODE_MAX(24) == 126);
G_STATIC_ASSERT(THIN_NODE_MAX(16) == 168);
G_STATIC_ASSERT(THIN_NODE_MAX(4) == 336);

/* Value of the device details tree; the key is the device id. */
typedef struct __attribute__((packed)) {
  guint64 mapped_blocks;
  guint64 transaction_id;
  guint32 creation_time;
  guint32 snapshotted_time;
} ThinDiskDetails;
G_STATIC_ASSERT(sizeof(ThinDiskDetails) == 24);

/* Value of a device's mapping tree; the key is the virtual chunk (dm-thin-metadata.c
 * pack_block_time). */
#define THIN_MAPPING_TIME_BITS 24
#define THIN_MAPPING_TIME_MAX ((1u << THIN_MAPPING_TIME_BITS) - 1)
#define THIN_MAPPING(chunk, time)                                                                  \
  ((guint64)(chunk) << THIN_MAPPING_TIME_BITS | ((time)&THIN_MAPPING_TIME_MAX))
#define THIN_MAPPING_CHUNK(value) ((value) >> THIN_MAPPING_TIME_BITS)
#define THIN_MAPPING_TIME(value) ((guint32)((value)&THIN_MAPPING_TIME_MAX))
#define THIN_CHUNKS_MAX (G_GUINT64_CONSTANT(1) << 40)

/* Where one bitmap block lies and what is free in it: value of the data space map's index tree, and
 * entry of the metadata space map's one index block. nr_free counts every slot, also those past the
 * end of the device. */
typedef struct __attribute__((packed)) {
  guint64 blocknr;
  guint32 nr_free;
  guint32 none_free_before;
} ThinDiskIndexEntry;
G_STATIC_ASSERT(sizeof(ThinDiskIndexEntry) == 16);

#define THIN_INDEX_MAX 255u
typedef struct __attribute__((packed)) {
  ThinDiskHeader header; /* the kernel has csum, padding, blocknr: the same places */
  ThinDiskIndexEntry entries[THIN_INDEX_MAX];
} ThinDiskIndex;
G_STATIC_ASSERT(sizeof(ThinDiskIndex) == THIN_METADATA_BLOCK);

/* A bitmap block: the header, then 2 bits per count. 3 stands for "3 or more, see the reference
 * count tree". */
#define THIN_BITMAP_SLOTS ((THIN_METADATA_BLOCK - (guint)sizeof(ThinDiskHeader)) * 4)
G_STATIC_ASSERT(THIN_BITMAP_SLOTS == 16320);
/* dm-space-map-metadata.h DM_SM_METADATA_MAX_BLOCKS */
#define THIN_METADATA_BLOCKS_MAX (THIN_INDEX_MAX * THIN_BITMAP_SLOTS)

/* The high bit of a count comes first (dm-space-map-common.c sm_lookup_bitmap), so 10b is 1 and 01b
 * is 2. */
static inline guint thin_bitmap_get(const guint8 *block, guint slot)
{
  guint bits = block[sizeof(ThinDiskHeader) + slot / 4] >> (2 * (slot % 4)) & 3;
  return (bits & 1) << 1 | bits >> 1;
}

static inline void thin_bitmap_set(guint8 *block, guint slot, guint count)
{
  guint8 *byte = &block[sizeof(ThinDiskHeader) + slot / 4];
  guint shift = 2 * (slot % 4);
  *byte = (guint8)((*byte & ~(3u << shift)) | ((count & 1) << 1 | count >> 1) << shift);
}

/* The free slots among the 32 of 64-bit word @word: bit 2k is set when slot 32 * word + k is free.
 */
static inline guint64 thin_bitmap_free_mask(const guint8 *block, guint word)
{
  guint64 bits;
  memcpy(&bits, block + sizeof(ThinDiskHeader) + 8 * word, sizeof bits);
  bits = GUINT64_FROM_LE(bits);
  return ~(bits | bits >> 1) & G_GUINT64_CONSTANT(0x5555555555555555);
}

/* Of @n_blocks of metadata, what is kept for freeing and for commits (dm-thin-metadata.c,
 * __set_metadata_reserve()); and what is shown as used of them, which includes it
 * (dm_pool_get_free_metadata_block_count()). */
static inline guint64 thin_metadata_reserve(guint64 n_blocks)
{
  return MIN(4096, n_blocks / 10);
}

static inline guint64 thin_metadata_shown_used(guint64 n_blocks, guint64 n_allocated)
{
  return MIN(n_blocks, n_allocated + thin_metadata_reserve(n_blocks));
}

typedef enum {
  THIN_KIND_SUPERBLOCK,
  THIN_KIND_NODE,
  THIN_KIND_BITMAP,
  THIN_KIND_INDEX,
} ThinKind;

static inline guint32 thin_salt(ThinKind kind)
{
  static const guint32 salts[] = {THIN_SALT_SUPERBLOCK, THIN_SALT_NODE, THIN_SALT_BITMAP,
                                  THIN_SALT_INDEX};
  return salts[kind];
}
