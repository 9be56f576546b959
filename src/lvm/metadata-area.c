/* virt-thin - a metadata area: a header that points into a ring of texts
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "lvm/metadata-area.h"

#include <string.h>

#include "util/crc.h"

#define MAX_TEXT (256u << 20) /* beyond this a size is damage: 500,000 volumes */
#define IGNORED 1             /* RAW_LOCN_IGNORED */
#define N_ATTEMPTS 20         /* to read what somebody else is writing */

/* lvm2 lib/format_text/layout.h, struct raw_locn */
typedef struct {
  guint64 offset, size;
  guint32 crc, flags;
} __attribute__((packed)) DiskPlace;
G_STATIC_ASSERT(sizeof(DiskPlace) == 24);

/* lvm2 lib/format_text/layout.h, struct mda_header; a list of DiskPlace follows: committed,
 * precommitted, end */
typedef struct {
  guint32 crc; /* of the rest of the sector */
  guint8 magic[16];
  guint32 version;
  guint64 start, size;
} __attribute__((packed)) DiskHeader;
G_STATIC_ASSERT(sizeof(DiskHeader) == 40);

static const guint8 magic[16] = {0x20, 0x4c, 0x56, 0x4d, 0x32, 0x20, 0x78, 0x5b,
                                 0x35, 0x41, 0x25, 0x72, 0x30, 0x4e, 0x2a, 0x3e};

LvmMetadataArea *lvm_metadata_area_new(VtIo *io, const LvmRange *range)
{
  LvmMetadataArea *area = g_new0(LvmMetadataArea, 1);

  area->io = vt_io_ref(io);
  area->start = range->offset;
  area->size = range->size;
  return area;
}

void lvm_metadata_area_free(LvmMetadataArea *area)
{
  vt_io_unref(area->io);
  g_free(area);
}

static gboolean damaged(LvmMetadataArea *area, const char *what, GError **error)
{
  return vt_set_error(error, EBADMSG,
                      "%s: the metadata header at offset %" G_GUINT64_FORMAT " is damaged: %s",
                      vt_io_name(area->io), area->start, what);
}

static guint32 header_crc(const guint8 *sector)
{
  return vt_lvm_crc(LVM_CRC_INITIAL, sector + 4, LVM_SECTOR - 4);
}

static LvmTextPlace read_place(const guint8 *sector, guint slot)
{
  DiskPlace disk;

  memcpy(&disk, sector + sizeof(DiskHeader) + slot * sizeof disk, sizeof disk);
  return (LvmTextPlace){GUINT64_FROM_LE(disk.offset), GUINT64_FROM_LE(disk.size),
                        GUINT32_FROM_LE(disk.crc), GUINT32_FROM_LE(disk.flags)};
}

/* Is it a place that a text can lie in? */
static gboolean place_is_valid(const LvmMetadataArea *area, const LvmTextPlace *place)
{
  return place->offset >= LVM_SECTOR && place->offset < area->size && place->size > 1 &&
         place->size <= MIN(MAX_TEXT, area->size - LVM_SECTOR);
}

/* @area->header holds what is on the disk. */
static gboolean parse_header(LvmMetadataArea *area, GError **error)
{
  DiskHeader header;

  memcpy(&header, area->header, sizeof header);
  if (header_crc(area->header) != GUINT32_FROM_LE(header.crc))
    return damaged(area, "its checksum is wrong", error);
  if (memcmp(header.magic, magic, sizeof magic) != 0)
    return damaged(area, "it has no LVM2 magic", error);
  if (GUINT32_FROM_LE(header.version) != 1)
    return damaged(area, "it is not of version 1", error);
  if (GUINT64_FROM_LE(header.start) != area->start || GUINT64_FROM_LE(header.size) != area->size)
    return damaged(area, "it describes another area", error);
  area->text = read_place(area->header, 0);
  if (area->text.flags & IGNORED)
    return TRUE;
  if (area->text.offset && !place_is_valid(area, &area->text))
    return damaged(area, "the text does not lie within the area", error);
  area->usable = TRUE;
  return TRUE;
}

gboolean lvm_metadata_area_fits(const LvmMetadataArea *area)
{
  guint64 device = vt_io_size(area->io);

  return area->size >= LVM_AREA_MIN && area->start <= device && area->size <= device - area->start;
}

/* Readers take no lock, so a header that looks damaged may have been read while it was written:
 * then it looks different the next time. */
gboolean lvm_metadata_area_read_header(LvmMetadataArea *area, GError **error)
{
  area->usable = FALSE;
  if (!lvm_metadata_area_fits(area))
    return damaged(area, "the area does not lie within the device", error);
  for (guint attempt = 0;; attempt++) {
    guint8 before[LVM_SECTOR];
    GError *failure = NULL;

    memcpy(before, area->header, sizeof before);
    if (!vt_io_read(area->io, area->header, sizeof area->header, area->start, error))
      return FALSE;
    if (parse_header(area, &failure))
      return TRUE;
    if (attempt > 0 &&
        (attempt >= N_ATTEMPTS || memcmp(before, area->header, sizeof before) == 0)) {
      g_propagate_error(error, failure);
      return FALSE;
    }
    g_error_free(failure);
  }
}

gboolean lvm_metadata_area_check(LvmMetadataArea *area, GError **error)
{
  guint8 sector[LVM_SECTOR];

  if (!vt_io_read(area->io, sector, sizeof sector, area->start, error))
    return FALSE;
  if (memcmp(sector, area->header, sizeof sector) == 0)
    return TRUE;
  return vt_set_error(error, ESTALE,
                      "%s: the metadata header at offset %" G_GUINT64_FORMAT
                      " has been changed by somebody else since it was read; nothing is written; "
                      "open the volume group again",
                      vt_io_name(area->io), area->start);
}

/* Read or write @length bytes of the ring at @offset. */
static gboolean ring_read(LvmMetadataArea *area, char *buf, gsize length, guint64 offset,
                          GError **error)
{
  gsize first = MIN(length, area->size - offset);

  return vt_io_read(area->io, buf, first, area->start + offset, error) &&
         (first == length ||
          vt_io_read(area->io, buf + first, length - first, area->start + LVM_SECTOR, error));
}

static char *read_text(LvmMetadataArea *area, gsize *length, GError **error)
{
  g_autofree char *text = g_try_malloc(area->text.size + 1);
  guint32 crc;

  if (!text) {
    vt_set_error(error, ENOMEM,
                 "%s: no memory for the metadata text of %" G_GUINT64_FORMAT " bytes",
                 vt_io_name(area->io), area->text.size);
    return NULL;
  }
  if (!ring_read(area, text, area->text.size, area->text.offset, error))
    return NULL;
  crc = vt_lvm_crc(LVM_CRC_INITIAL, text, area->text.size);
  if (crc != area->text.crc) {
    vt_set_error(error, EBADMSG,
                 "%s: the metadata text at offset %" G_GUINT64_FORMAT " (%" G_GUINT64_FORMAT
                 " bytes) is damaged: its checksum is 0x%08x, the header says 0x%08x",
                 vt_io_name(area->io), area->start + area->text.offset, area->text.size, crc,
                 area->text.crc);
    return NULL;
  }
  text[area->text.size] = '\0';
  for (*length = area->text.size; *length && text[*length - 1] == '\0';)
    --*length;
  return g_steal_pointer(&text);
}

/* A writer writes over a text only after the header points elsewhere: so where the text is not what
 * the header says, the header is looked at again. */
char *lvm_metadata_area_read_text(LvmMetadataArea *area, gsize *length, GError **error)
{
  for (guint attempt = 0;; attempt++) {
    g_autoptr(GError) failure = NULL;
    char *text = read_text(area, length, &failure);

    if (text)
      return text;
    if (attempt >= N_ATTEMPTS || lvm_metadata_area_check(area, NULL) ||
        !lvm_metadata_area_read_header(area, NULL) || !area->usable || !area->text.offset) {
      g_propagate_error(error, g_steal_pointer(&failure));
      return NULL;
    }
  }
}

/* A text begins with the VG's name and its id, which lvm2 writes first: within @sector. */
static gboolean looks_like_text(const char *sector)
{
  gsize name = 0;
  static const char id[] = " {\nid = \"";
  G_STATIC_ASSERT(128 + sizeof id <= LVM_SECTOR);

  while (name < 128 && (g_ascii_isalnum(sector[name]) || strchr("+_.-", sector[name])) &&
         sector[name])
    name++;
  return name > 0 && memcmp(sector + name, id, sizeof id - 1) == 0;
}

void lvm_metadata_area_search(LvmMetadataArea *area, LvmTextFunc func, gpointer user_data)
{
  guint64 device = vt_io_size(area->io);
  gsize size = area->start < device ? MIN(area->size, device - area->start) : 0, ring;
  g_autofree char *twice = NULL;

  if (size <= 2 * LVM_SECTOR || size > MAX_TEXT)
    return;
  ring = size - LVM_SECTOR;
  if (!(twice = g_try_malloc(2 * ring)) ||
      !vt_io_read(area->io, twice, ring, area->start + LVM_SECTOR, NULL))
    return;
  memcpy(twice + ring, twice, ring); /* so that a text that wraps is in one piece */
  for (gsize offset = 0; offset + LVM_SECTOR <= ring; offset += LVM_SECTOR) {
    const char *end;

    if (!looks_like_text(twice + offset))
      continue;
    end = memchr(twice + offset, '\0', ring);
    if (end &&
        func(twice + offset, end - (twice + offset), area->start + LVM_SECTOR + offset, user_data))
      return;
  }
}

/* --- writing --- */

static guint64 round_up(guint64 n)
{
  return (n + LVM_SECTOR - 1) / LVM_SECTOR * LVM_SECTOR;
}

guint64 lvm_metadata_area_max_text(const LvmMetadataArea *area)
{
  return (area->size - LVM_SECTOR) / 2 - LVM_SECTOR;
}

/* Behind the committed text, at the next sector. */
static guint64 next_offset(const LvmMetadataArea *area)
{
  guint64 offset;

  if (!area->text.offset)
    return LVM_SECTOR;
  offset = round_up(area->text.offset + area->text.size);
  if (offset > area->size)
    offset -= area->size - LVM_SECTOR;
  return area->size - offset < LVM_SECTOR ? LVM_SECTOR : offset;
}

gboolean lvm_metadata_area_is_untidy(LvmMetadataArea *area, guint64 seqno)
{
  static const char key[] = "seqno = ";
  char text[LVM_SECTOR + 1] = {0};
  const char *found;

  if (read_place(area->header, 1).offset ||
      !vt_io_read(area->io, text, LVM_SECTOR, area->start + next_offset(area), NULL))
    return TRUE;
  if (!looks_like_text(text))
    return FALSE;
  found = strstr(text, key);
  return found && g_ascii_strtoull(found + strlen(key), NULL, 10) > seqno;
}

gboolean lvm_metadata_area_write_text(LvmMetadataArea *area, const char *text, gsize size,
                                      guint32 crc, LvmTextPlace *place, GError **error)
{
  static const char zeros[LVM_SECTOR];
  guint64 offset = next_offset(area), max = lvm_metadata_area_max_text(area);
  gsize first = MIN(size, area->size - offset), padding = round_up(size) - size;
  struct iovec end[2] = {{(char *)text + first, size - first}, {(char *)zeros, padding}};

  if (size > max)
    return vt_set_error(error, ENOSPC,
                        "%s: the metadata area at offset %" G_GUINT64_FORMAT
                        " is full: the volume group's text needs %zu bytes, and %" G_GUINT64_FORMAT
                        " are available; remove volumes or snapshots",
                        vt_io_name(area->io), area->start, size, max);
  *place = (LvmTextPlace){.offset = offset, .size = size, .crc = crc};
  if (first == size) {
    end[0] = (struct iovec){(char *)text, size};
    padding = MIN(padding, area->size - offset - size);
    end[1].iov_len = padding;
    return vt_io_writev(area->io, end, 2, area->start + offset, error);
  }
  return vt_io_write(area->io, text, first, area->start + offset, error) &&
         vt_io_writev(area->io, end, 2, area->start + LVM_SECTOR, error);
}

static void put_place(guint8 *sector, guint slot, const LvmTextPlace *place)
{
  DiskPlace disk = {0};

  if (place)
    disk = (DiskPlace){GUINT64_TO_LE(place->offset), GUINT64_TO_LE(place->size),
                       GUINT32_TO_LE(place->crc), GUINT32_TO_LE(place->flags)};
  memcpy(sector + sizeof(DiskHeader) + slot * sizeof disk, &disk, sizeof disk);
}

gboolean lvm_metadata_area_write_header(LvmMetadataArea *area, const LvmTextPlace *committed,
                                        const LvmTextPlace *precommitted, GError **error)
{
  guint8 sector[LVM_SECTOR] = {0};
  DiskHeader header = {.version = GUINT32_TO_LE(1),
                       .start = GUINT64_TO_LE(area->start),
                       .size = GUINT64_TO_LE(area->size)};

  memcpy(header.magic, magic, sizeof magic);
  memcpy(sector, &header, sizeof header);
  put_place(sector, 0, committed);
  put_place(sector, 1, precommitted);
  header.crc = GUINT32_TO_LE(header_crc(sector));
  memcpy(sector, &header, sizeof header);
  if (!vt_io_write(area->io, sector, sizeof sector, area->start, error))
    return FALSE;
  memcpy(area->header, sector, sizeof sector);
  if (committed)
    area->text = *committed;
  return TRUE;
}
