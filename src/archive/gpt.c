/* virt-thin - the partition table of a disk that has become larger
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The copy at the new end is written and flushed first, then the primary header that points to it,
 * then the old copy is wiped: with any of that missing there are two whole tables, or one.
 */
#include "archive/gpt.h"

#include <string.h>

#include "util/error.h"

#define MAX_ENTRIES (1u << 20) /* bytes; 16 KiB is usual */

/* Little endian. */
typedef struct {
  char signature[8];
  guint32 revision, header_size, header_crc, zero;
  guint64 this_lba, other_lba, first_usable, last_usable;
  guint8 disk_guid[16];
  guint64 entries_lba;
  guint32 n_entries, entry_size, entries_crc;
} __attribute__((packed)) GptHeader;
G_STATIC_ASSERT(sizeof(GptHeader) == 92);

typedef struct {
  VtIo *disk;
  guint sector;  /* bytes */
  guint8 *block; /* the sector of the primary header */
  GptHeader header;
  guint8 *entries;
  gsize entries_length;
} Gpt;

/* The CRC of zlib and of the UEFI specification. */
static guint32 crc32_of(const guint8 *data, gsize length)
{
  guint32 crc = 0xffffffff;

  for (gsize i = 0; i < length; i++) {
    crc ^= data[i];
    for (guint bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

static guint32 header_crc(const guint8 *block)
{
  guint32 length = GUINT32_FROM_LE(((const GptHeader *)(const void *)block)->header_size);
  g_autofree guint8 *copy = g_malloc(length);

  memcpy(copy, block, length);
  memset(copy + G_STRUCT_OFFSET(GptHeader, header_crc), 0, sizeof(guint32));
  return crc32_of(copy, length);
}

/* Is the block read a header that belongs to sector @lba? */
static gboolean is_header(const guint8 *block, guint sector, guint64 lba, GptHeader *header)
{
  memcpy(header, block, sizeof *header);
  return memcmp(header->signature, "EFI PART", 8) == 0 &&
         GUINT32_FROM_LE(header->header_size) >= sizeof *header &&
         GUINT32_FROM_LE(header->header_size) <= sector &&
         GUINT64_FROM_LE(header->this_lba) == lba &&
         header_crc(block) == GUINT32_FROM_LE(header->header_crc);
}

/* The primary header in sectors of that size; FALSE without an error: there is none. */
static gboolean read_primary(Gpt *gpt, guint64 old_size, GError **error)
{
  guint64 lba, length, sectors = old_size / gpt->sector;

  if (old_size < 8 * (guint64)gpt->sector ||
      !vt_io_read(gpt->disk, gpt->block, gpt->sector, gpt->sector, error) ||
      !is_header(gpt->block, gpt->sector, 1, &gpt->header))
    return FALSE;
  lba = GUINT64_FROM_LE(gpt->header.entries_lba);
  length =
      (guint64)GUINT32_FROM_LE(gpt->header.n_entries) * GUINT32_FROM_LE(gpt->header.entry_size);
  if (length == 0 || length > MAX_ENTRIES || lba < 2 || lba >= sectors ||
      length > (sectors - lba) * gpt->sector ||
      GUINT64_FROM_LE(gpt->header.other_lba) != sectors - 1)
    return FALSE;
  gpt->entries_length = length;
  gpt->entries = g_malloc0(length + gpt->sector);
  return vt_io_read(gpt->disk, gpt->entries, length, lba * gpt->sector, error) &&
         crc32_of(gpt->entries, length) == GUINT32_FROM_LE(gpt->header.entries_crc);
}

static gboolean write_header(Gpt *gpt, guint64 this_lba, guint64 other_lba, guint64 entries_lba,
                             guint64 last_usable, GError **error)
{
  GptHeader *header = (GptHeader *)(void *)gpt->block;

  header->this_lba = GUINT64_TO_LE(this_lba);
  header->other_lba = GUINT64_TO_LE(other_lba);
  header->entries_lba = GUINT64_TO_LE(entries_lba);
  header->last_usable = GUINT64_TO_LE(last_usable);
  header->header_crc = GUINT32_TO_LE(header_crc(gpt->block));
  return vt_io_write(gpt->disk, gpt->block, gpt->sector, this_lba * gpt->sector, error);
}

/* The old MBR's one partition, of type 0xee, covers the disk. One with others is a hybrid of its
 * owner's. */
static gboolean update_mbr(Gpt *gpt, guint64 old_sectors, guint64 sectors, GError **error)
{
  guint8 mbr[512];
  guint32 size;

  if (!vt_io_read(gpt->disk, mbr, sizeof mbr, 0, error))
    return FALSE;
  memcpy(&size, mbr + 458, sizeof size);
  if (mbr[510] != 0x55 || mbr[511] != 0xaa || mbr[450] != 0xee ||
      GUINT32_FROM_LE(size) != MIN(old_sectors - 1, G_MAXUINT32))
    return TRUE;
  size = GUINT32_TO_LE((guint32)MIN(sectors - 1, G_MAXUINT32));
  memcpy(mbr + 458, &size, sizeof size);
  return vt_io_write(gpt->disk, mbr, sizeof mbr, 0, error);
}

/* Of the old copy no more is left than belongs to the new one; a partition table's tools take a
 * second one for damage. */
static gboolean wipe_old(Gpt *gpt, guint64 old_sectors, guint64 new_entries_lba, GError **error)
{
  guint64 last = old_sectors - 1;
  g_autofree guint8 *block = g_malloc(gpt->sector);
  GptHeader old;

  if (last >= new_entries_lba)
    return TRUE;
  return vt_io_read(gpt->disk, block, gpt->sector, last * gpt->sector, error) &&
         (!is_header(block, gpt->sector, last, &old) ||
          vt_io_zero(gpt->disk, last * gpt->sector, gpt->sector, 0, error));
}

static gboolean move(Gpt *gpt, guint64 old_size, GError **error)
{
  guint64 old_sectors = old_size / gpt->sector, sectors = vt_io_size(gpt->disk) / gpt->sector;
  guint64 entries_sectors = (gpt->entries_length + gpt->sector - 1) / gpt->sector;
  guint64 entries_lba = sectors - 1 - entries_sectors;
  guint64 first_lba = GUINT64_FROM_LE(gpt->header.entries_lba);

  return vt_io_write(gpt->disk, gpt->entries, entries_sectors * gpt->sector,
                     entries_lba * gpt->sector, error) &&
         write_header(gpt, sectors - 1, 1, entries_lba, entries_lba - 1, error) &&
         vt_io_flush(gpt->disk, error) &&
         write_header(gpt, 1, sectors - 1, first_lba, entries_lba - 1, error) &&
         update_mbr(gpt, old_sectors, sectors, error) && vt_io_flush(gpt->disk, error) &&
         wipe_old(gpt, old_sectors, entries_lba, error);
}

gboolean gpt_follow_end(VtIo *disk, guint64 old_size, gboolean *moved, GError **error)
{
  static const guint sectors[] = {512, 4096};
  g_autoptr(GError) fault = NULL;

  *moved = FALSE;
  for (guint i = 0; i < G_N_ELEMENTS(sectors) && !*moved && !fault; i++) {
    g_autofree guint8 *block = g_malloc(sectors[i]);
    Gpt gpt = {.disk = disk, .sector = sectors[i], .block = block};

    if (vt_io_size(disk) / sectors[i] > old_size / sectors[i])
      *moved = read_primary(&gpt, old_size, &fault) && move(&gpt, old_size, &fault);
    g_free(gpt.entries);
  }
  if (!fault)
    return TRUE;
  g_propagate_error(error, g_steal_pointer(&fault));
  return FALSE;
}
