/* virt-thin - the label of a physical volume
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "lvm/label.h"

#include <string.h>

#include "util/crc.h"

#define N_SECTORS 4
#define MAX_AREAS 8

/* lvm2 lib/label/label.h, struct label_header */
typedef struct {
  char id[8];     /* "LABELONE" */
  guint64 sector; /* where it is */
  guint32 crc;    /* of the rest of the sector, from the next field */
  guint32 offset; /* of pv_header, from this struct's start */
  char type[8];   /* "LVM2 001" */
} __attribute__((packed)) LabelHeader;
G_STATIC_ASSERT(sizeof(LabelHeader) == 32);
G_STATIC_ASSERT(offsetof(LabelHeader, offset) == 20);

/* lvm2 lib/format_text/layout.h, struct pv_header; two lists of DiskRange follow, then the
 * extension: version, flags, one more list */
typedef struct {
  char uuid[32];
  guint64 device_size;
} __attribute__((packed)) PvHeader;
G_STATIC_ASSERT(sizeof(PvHeader) == 40);

typedef struct {
  guint64 offset, size;
} __attribute__((packed)) DiskRange;
G_STATIC_ASSERT(sizeof(DiskRange) == 16);

#define EXTENSION_VERSION 2
#define EXTENSION_USED 1 /* PV_EXT_USED: by a VG */

LvmLabel *lvm_label_new(void)
{
  LvmLabel *label = g_new0(LvmLabel, 1);

  label->sector = 1;
  label->data_areas = g_array_new(FALSE, FALSE, sizeof(LvmRange));
  label->metadata_areas = g_array_new(FALSE, FALSE, sizeof(LvmRange));
  return label;
}

void lvm_label_free(LvmLabel *label)
{
  if (!label)
    return;
  g_array_unref(label->data_areas);
  g_array_unref(label->metadata_areas);
  g_free(label);
}

/* 32 characters, as in the text: with dashes. */
static void add_dashes(char *uuid, const char *plain)
{
  for (guint i = 0; i < 32; i++) {
    if (i >= 6 && i < 30 && (i - 6) % 4 == 0)
      *uuid++ = '-';
    *uuid++ = plain[i] ? plain[i] : '?';
  }
  *uuid = '\0';
}

static void drop_dashes(char *plain, const char *uuid)
{
  for (; *uuid; uuid++)
    if (*uuid != '-')
      *plain++ = *uuid;
}

/* A list of ranges at *p up to its end, a zero offset. */
static gboolean read_ranges(const guint8 **p, const guint8 *end, GArray *ranges)
{
  for (;;) {
    DiskRange disk;
    LvmRange range;

    if ((gsize)(end - *p) < sizeof disk || ranges->len > MAX_AREAS)
      return FALSE;
    memcpy(&disk, *p, sizeof disk);
    *p += sizeof disk;
    range.offset = GUINT64_FROM_LE(disk.offset);
    range.size = GUINT64_FROM_LE(disk.size);
    if (range.offset == 0)
      return TRUE;
    g_array_append_val(ranges, range);
  }
}

static LvmLabel *parse(const guint8 *sector, guint number)
{
  g_autoptr(LvmLabel) label = lvm_label_new();
  LabelHeader header;
  PvHeader pv;
  guint32 extension[2];
  const guint8 *p, *end = sector + LVM_SECTOR;

  memcpy(&header, sector, sizeof header);
  label->sector = number;
  if (GUINT32_FROM_LE(header.offset) < sizeof header ||
      GUINT32_FROM_LE(header.offset) > LVM_SECTOR - sizeof pv)
    return NULL;
  memcpy(label->data, sector, LVM_SECTOR);
  label->pv_header = GUINT32_FROM_LE(header.offset);
  p = sector + label->pv_header;
  memcpy(&pv, p, sizeof pv);
  p += sizeof pv;
  add_dashes(label->uuid, pv.uuid);
  label->device_size = GUINT64_FROM_LE(pv.device_size);
  if (!read_ranges(&p, end, label->data_areas) || !read_ranges(&p, end, label->metadata_areas))
    return NULL;
  label->used = TRUE;
  if ((gsize)(end - p) < sizeof extension)
    return g_steal_pointer(&label);
  memcpy(extension, p, sizeof extension);
  if (GUINT32_FROM_LE(extension[0]) >= EXTENSION_VERSION) {
    label->extension = p - sector;
    label->used = GUINT32_FROM_LE(extension[1]) & EXTENSION_USED;
  }
  return g_steal_pointer(&label);
}

gboolean lvm_label_areas_overlap(const LvmRange *a, const LvmRange *b)
{
  return a->offset <= b->offset ? b->offset - a->offset < a->size : a->offset - b->offset < b->size;
}

gboolean lvm_label_area_possible(const LvmRange *area)
{
  return area->offset % LVM_SECTOR == 0 && area->offset >= N_SECTORS * LVM_SECTOR;
}

static gboolean areas_possible(const LvmLabel *label)
{
  for (guint i = 0; i < label->metadata_areas->len; i++) {
    const LvmRange *area = &g_array_index(label->metadata_areas, LvmRange, i);

    if (!lvm_label_area_possible(area))
      return FALSE;
    for (guint j = 0; j < i; j++)
      if (lvm_label_areas_overlap(area, &g_array_index(label->metadata_areas, LvmRange, j)))
        return FALSE;
  }
  return TRUE;
}

/* What is wrong with the label in @sector? NULL: nothing. */
static const char *problem(const guint8 *sector, guint number, const LvmLabel *label)
{
  LabelHeader header;

  memcpy(&header, sector, sizeof header);
  if (vt_lvm_crc(LVM_CRC_INITIAL, sector + offsetof(LabelHeader, offset),
                 LVM_SECTOR - offsetof(LabelHeader, offset)) != GUINT32_FROM_LE(header.crc))
    return "its checksum is wrong";
  if (GUINT64_FROM_LE(header.sector) != number)
    return "it was written for another sector";
  if (memcmp(header.type, "LVM2 001", 8) != 0)
    return "it is not of type LVM2 001";
  if (!label)
    return "its lists of areas have no end";
  return areas_possible(label) ? NULL : "it has a metadata area where none can be";
}

gboolean lvm_label_read(VtIo *io, LvmLabel **label, GError **error)
{
  guint8 sectors[N_SECTORS * LVM_SECTOR] = {0};
  guint length = MIN(vt_io_size(io),
                     sizeof sectors); /* less: nothing, or a PV truncated, perhaps amid its label */
  guint n_sectors = (length + LVM_SECTOR - 1) / LVM_SECTOR;
  GError *damage = NULL;

  *label = NULL;
  if (length == 0)
    return TRUE;
  if (!vt_io_read(io, sectors, length, 0, error))
    return FALSE;
  for (guint i = 0; i < n_sectors; i++) {
    const guint8 *sector = sectors + i * LVM_SECTOR;
    LvmLabel *found;
    const char *what;

    if (memcmp(sector, "LABELONE", 8) != 0)
      continue;
    found = parse(sector, i);
    what = problem(sector, i, found);
    if (!what) {
      g_clear_error(&damage);
      lvm_label_free(*label);
      *label = found;
      return TRUE;
    }
    if (damage) {
      lvm_label_free(found);
      continue;
    }
    vt_set_error(&damage, EBADMSG, "%s: the label at offset %u is damaged: %s", vt_io_name(io),
                 i * LVM_SECTOR, what);
    *label = found;
  }
  if (damage)
    g_propagate_error(error, damage);
  return damage == NULL;
}

static guint8 *write_ranges(guint8 *p, GArray *ranges)
{
  for (guint i = 0; i < ranges->len; i++) {
    const LvmRange *range = &g_array_index(ranges, LvmRange, i);
    DiskRange disk = {GUINT64_TO_LE(range->offset), GUINT64_TO_LE(range->size)};

    memcpy(p, &disk, sizeof disk);
    p += sizeof disk;
  }
  return p + sizeof(DiskRange);
}

static void build(const LvmLabel *label, guint8 *sector)
{
  LabelHeader header = {"LABELONE", GUINT64_TO_LE(label->sector), 0, GUINT32_TO_LE(sizeof header),
                        "LVM2 001"};
  PvHeader pv = {.device_size = GUINT64_TO_LE(label->device_size)};
  guint32 extension[2] = {GUINT32_TO_LE(EXTENSION_VERSION),
                          GUINT32_TO_LE(label->used ? EXTENSION_USED : 0)};
  guint8 *p = sector + sizeof header;

  memcpy(sector, &header, sizeof header);
  drop_dashes(pv.uuid, label->uuid);
  memcpy(p, &pv, sizeof pv);
  p = write_ranges(p + sizeof pv, label->data_areas);
  p = write_ranges(p, label->metadata_areas);
  memcpy(p, extension, sizeof extension);
}

static void patch(const LvmLabel *label, guint8 *sector)
{
  guint64 size = GUINT64_TO_LE(label->device_size);
  guint32 flags;

  memcpy(sector, label->data, LVM_SECTOR);
  memcpy(sector + label->pv_header + offsetof(PvHeader, device_size), &size, sizeof size);
  if (!label->extension)
    return;
  memcpy(&flags, sector + label->extension + 4, sizeof flags);
  flags = GUINT32_FROM_LE(flags);
  flags = GUINT32_TO_LE(label->used ? flags | EXTENSION_USED : flags & ~EXTENSION_USED);
  memcpy(sector + label->extension + 4, &flags, sizeof flags);
}

gboolean lvm_label_write(VtIo *io, const LvmLabel *label, GError **error)
{
  guint8 sector[LVM_SECTOR] = {0};
  guint32 crc;

  g_return_val_if_fail(
      label->data_areas->len <= MAX_AREAS && label->metadata_areas->len <= MAX_AREAS, FALSE);
  if (label->pv_header)
    patch(label, sector);
  else
    build(label, sector);
  crc = GUINT32_TO_LE(vt_lvm_crc(LVM_CRC_INITIAL, sector + offsetof(LabelHeader, offset),
                                 LVM_SECTOR - offsetof(LabelHeader, offset)));
  memcpy(sector + offsetof(LabelHeader, crc), &crc, sizeof crc);
  return vt_io_write(io, sector, sizeof sector, (guint64)label->sector * LVM_SECTOR, error);
}
