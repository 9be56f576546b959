/* virt-thin - metadata blocks: number, checksum, and what else a block must show to be what its
 * place demands SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin/format/block.h"

#include "util/crc.h"
#include "util/memory.h"

const char *thin_kind_name(ThinKind kind)
{
  static const char *names[] = {"superblock", "B-tree node", "bitmap", "metadata index"};
  return names[kind];
}

static guint32 checksum(const guint8 *data, ThinKind kind)
{
  return vt_crc32c(data + sizeof(guint32), THIN_METADATA_BLOCK - sizeof(guint32)) ^ thin_salt(kind);
}

static const char *node_fault(const guint8 *data)
{
  const ThinDiskNode *node = (const ThinDiskNode *)data;
  guint32 flags = GUINT32_FROM_LE(node->header.flags), nr = GUINT32_FROM_LE(node->nr_entries);
  guint32 size = GUINT32_FROM_LE(node->value_size);
  const guint64 *keys = (const guint64 *)(const void *)(data + sizeof *node);

  if (flags != THIN_NODE_INTERNAL && flags != THIN_NODE_LEAF)
    return "is neither leaf nor internal node";
  if ((flags == THIN_NODE_INTERNAL && size != 8) || size == 0 || size > 128)
    return "has values of a wrong size";
  if (GUINT32_FROM_LE(node->max_entries) != THIN_NODE_MAX(size))
    return "has a wrong number of places for entries";
  if (nr > THIN_NODE_MAX(size))
    return "has more entries than places";
  if (flags == THIN_NODE_INTERNAL && nr == 0)
    return "is an internal node without children";
  for (guint32 i = 1; i < nr; i++)
    if (GUINT64_FROM_LE(keys[i - 1]) >= GUINT64_FROM_LE(keys[i]))
      return "has keys out of order";
  return NULL;
}

gboolean thin_block_verify(const guint8 *data, guint64 number, ThinKind kind, const char *device,
                           GError **error)
{
  const ThinDiskHeader *header = (const ThinDiskHeader *)data;
  const char *fault = NULL;

#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
  if (GUINT32_FROM_LE(header->csum) != checksum(data, kind))
    fault = "has a wrong checksum";
  else
#endif
      if (GUINT64_FROM_LE(header->blocknr) != number)
    fault = "carries another block's number";
  else if (kind == THIN_KIND_NODE)
    fault = node_fault(data);
  if (fault)
    return vt_set_error(error, EBADMSG, "%s: metadata block %" G_GUINT64_FORMAT " (%s) %s", device,
                        number, thin_kind_name(kind), fault);
  return TRUE;
}

gboolean thin_block_read(VtIo *io, guint64 number, ThinKind kind, guint8 *data, GError **error)
{
  if (number >= vt_io_size(io) / THIN_METADATA_BLOCK)
    return vt_set_error(error, EBADMSG,
                        "%s: metadata block %" G_GUINT64_FORMAT " (%s) is beyond its end",
                        vt_io_name(io), number, thin_kind_name(kind));
  return vt_io_read(io, data, THIN_METADATA_BLOCK, number * THIN_METADATA_BLOCK, error) &&
         thin_block_verify(data, number, kind, vt_io_name(io), error);
}

void thin_block_seal(guint8 *data, guint64 number, ThinKind kind)
{
  ThinDiskHeader *header = (ThinDiskHeader *)data;
  header->blocknr = GUINT64_TO_LE(number);
  header->csum = GUINT32_TO_LE(checksum(data, kind));
}

gboolean thin_superblock_read(VtIo *io, guint64 number, guint8 *data, GError **error)
{
  const ThinDiskSuperblock *sb = (const ThinDiskSuperblock *)data;
  const char *name = vt_io_name(io);

  if (number >= vt_io_size(io) / THIN_METADATA_BLOCK)
    return vt_set_error(error, EBADMSG,
                        "%s: too short to hold the superblock in metadata block %" G_GUINT64_FORMAT,
                        name, number);
  if (!vt_io_read(io, data, THIN_METADATA_BLOCK, number * THIN_METADATA_BLOCK, error))
    return FALSE;
  if (number == 0 && vt_is_zero(data, THIN_METADATA_BLOCK))
    return vt_set_error(error, ENOENT,
                        "%s: holds no thin metadata yet (the superblock is all zero)", name);
  if (GUINT64_FROM_LE(sb->magic) != THIN_SUPERBLOCK_MAGIC)
    return vt_set_error(error, EBADMSG,
                        "%s: metadata block %" G_GUINT64_FORMAT
                        " is no superblock of thin metadata (wrong magic number)",
                        name, number);
  if (!thin_block_verify(data, number, THIN_KIND_SUPERBLOCK, name, error))
    return FALSE;
  guint32 version = GUINT32_FROM_LE(sb->version), sectors = GUINT32_FROM_LE(sb->data_block_size);
  if (version < 1 || version > THIN_SUPERBLOCK_VERSION)
    return vt_set_error(error, EBADMSG, "%s: superblock: version %u is not known", name, version);
  if (sectors < THIN_CHUNK_MIN / THIN_SECTOR || sectors > THIN_CHUNK_MAX / THIN_SECTOR ||
      sectors % (THIN_CHUNK_MIN / THIN_SECTOR))
    return vt_set_error(error, EBADMSG, "%s: superblock: chunks of %u sectors cannot be", name,
                        sectors);
  if (GUINT32_FROM_LE(sb->metadata_block_size) != THIN_METADATA_BLOCK / THIN_SECTOR)
    return vt_set_error(error, EBADMSG, "%s: superblock: metadata blocks of %u sectors cannot be",
                        name, GUINT32_FROM_LE(sb->metadata_block_size));
  return TRUE;
}
