/* virt-thin - damage to the image of a physical volume, with checksums that are right
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * LVM's structures: lvm2 lib/label/label.h, lib/format_text/layout.h.
 */
#include "image-mutate.h"

#include <string.h>

#include "util/crc.h"

#define LABEL_AT 512
#define AREA_AT 4096
#define SECTOR 512
#define TEXT_PLACE 40 /* of the first raw_locn in the area's header: offset, size, crc, flags */
#define TEXT_MAX 65536u

static guint64 get64(const guint8 *p)
{
  guint64 v;
  memcpy(&v, p, sizeof v);
  return GUINT64_FROM_LE(v);
}

static void put32(guint8 *p, guint32 v)
{
  v = GUINT32_TO_LE(v);
  memcpy(p, &v, sizeof v);
}

static void put64(guint8 *p, guint64 v)
{
  v = GUINT64_TO_LE(v);
  memcpy(p, &v, sizeof v);
}

static void find_blocks(Image *image, guint64 start)
{
  for (guint64 number = 0; start + (number + 1) * THIN_METADATA_BLOCK <= image->size; number++)
    for (guint kind = THIN_KIND_SUPERBLOCK; kind <= THIN_KIND_INDEX; kind++) {
      ImageBlock block = {start + number * THIN_METADATA_BLOCK, number, (ThinKind)kind};

      if (thin_block_verify(image->data + block.at, number, block.kind, "image", NULL))
        g_array_append_val(image->blocks, block);
    }
}

gboolean image_find(Image *image, guint8 *data, gsize size)
{
  *image = (Image){.data = data, .size = size, .area = AREA_AT};
  image->blocks = g_array_new(FALSE, FALSE, sizeof(ImageBlock));
  for (guint64 at = 0; at + THIN_METADATA_BLOCK <= size; at += THIN_METADATA_BLOCK)
    if (thin_block_verify(data + at, 0, THIN_KIND_SUPERBLOCK, "image", NULL))
      find_blocks(image, at);
  return memcmp(data + LABEL_AT, "LABELONE", 8) == 0 && image->blocks->len;
}

/* --- one value --- */

static guint64 random64(GRand *rand)
{
  return (guint64)g_rand_int(rand) << 32 | g_rand_int(rand);
}

/* What a value is likely to be mistaken at. */
static guint64 other_value(GRand *rand, guint64 value)
{
  static const guint64 edges[] = {0,          1,          2,          3,          255,
                                  256,        65535,      G_MAXINT32, 1u << 31,   G_MAXUINT32,
                                  1ull << 32, 1ull << 40, G_MAXINT64, 1ull << 63, G_MAXUINT64};

  switch (g_rand_int_range(rand, 0, 6)) {
  case 0: return edges[g_rand_int_range(rand, 0, G_N_ELEMENTS(edges))];
  case 1: return value ^ G_GUINT64_CONSTANT(1) << g_rand_int_range(rand, 0, 64);
  case 2: return value + (guint64)g_rand_int_range(rand, -16, 17);
  case 3: return (guint64)g_rand_int_range(rand, 0, 1024);
  case 4: return value * 2;
  default: return random64(rand);
  }
}

/* A number of 8, 4, 2 or 1 bytes, or the 40 bits of a mapping. */
static void change_value(GRand *rand, guint8 *at, gsize room)
{
  guint64 old = 0, value;
  gsize width = MIN((gsize)1 << g_rand_int_range(rand, 0, 4), room);

  memcpy(&old, at, width);
  old = GUINT64_FROM_LE(old);
  value = other_value(rand, old);
  if (width == 8 && g_rand_int_range(rand, 0, 3) == 0)
    value = THIN_MAPPING(other_value(rand, THIN_MAPPING_CHUNK(old)), THIN_MAPPING_TIME(old));
  value = GUINT64_TO_LE(value);
  memcpy(at, &value, width);
}

/* --- a block of a thin pool's metadata --- */

/* Where in it: the beginning says most, then its first entries. */
static gsize choose_place(GRand *rand, const ImageBlock *block)
{
  gsize header = sizeof(ThinDiskHeader), end = THIN_METADATA_BLOCK;

  if (block->kind == THIN_KIND_SUPERBLOCK)
    return (gsize)g_rand_int_range(rand, 4, sizeof(ThinDiskSuperblock)) & ~(gsize)3;
  if (g_rand_int_range(rand, 0, 3) == 0)
    end = header + 64;
  return (gsize)g_rand_int_range(rand, 4, (gint)end) & ~(gsize)3;
}

static const ImageBlock *any_block(Image *image, GRand *rand)
{
  return &g_array_index(image->blocks, ImageBlock,
                        g_rand_int_range(rand, 0, (gint)image->blocks->len));
}

static void mutate_block(Image *image, GRand *rand, GString *what)
{
  const ImageBlock *block = any_block(image, rand), *other = any_block(image, rand);
  guint8 *data = image->data + block->at;
  int n = g_rand_int_range(rand, 1, 5);

  g_string_append_printf(what, "%s %" G_GUINT64_FORMAT, thin_kind_name(block->kind), block->number);
  if (g_rand_int_range(rand, 0, 8) == 0) {
    memcpy(data, image->data + other->at, THIN_METADATA_BLOCK);
    g_string_append_printf(what, " is a copy of %" G_GUINT64_FORMAT, other->number);
    n = 0;
  }
  for (int i = 0; i < n; i++) {
    gsize at = choose_place(rand, block);

    change_value(rand, data + at, THIN_METADATA_BLOCK - at);
    g_string_append_printf(what, " at %" G_GSIZE_FORMAT, at);
  }
  thin_block_seal(data, block->number, block->kind);
}

/* --- LVM's label, header and text --- */

static void seal_label(Image *image)
{
  guint8 *label = image->data + LABEL_AT;

  put32(label + 16, vt_lvm_crc(LVM_CRC_INITIAL, label + 20, SECTOR - 20));
}

static void mutate_label(Image *image, GRand *rand, GString *what)
{
  gsize at = (gsize)g_rand_int_range(rand, 0, 200);

  change_value(rand, image->data + LABEL_AT + at, SECTOR - at);
  seal_label(image);
  g_string_append_printf(what, "label at %" G_GSIZE_FORMAT, at);
}

static void seal_area(Image *image)
{
  guint8 *header = image->data + image->area;

  put32(header, vt_lvm_crc(LVM_CRC_INITIAL, header + 4, SECTOR - 4));
}

static void mutate_area(Image *image, GRand *rand, GString *what)
{
  gsize at = (gsize)g_rand_int_range(rand, 4, TEXT_PLACE + 60);

  change_value(rand, image->data + image->area + at, SECTOR - at);
  seal_area(image);
  g_string_append_printf(what, "metadata area's header at %" G_GSIZE_FORMAT, at);
}

/* The number at or behind @at becomes another. */
static void change_number(GRand *rand, GString *text, gsize at)
{
  gsize length;

  at += strcspn(text->str + at, "0123456789");
  length = strspn(text->str + at, "0123456789");
  if (length) {
    g_autofree char *number = g_strdup_printf(
        "%" G_GINT64_FORMAT, (gint64)other_value(rand, g_ascii_strtoull(text->str + at, NULL, 10)));

    g_string_erase(text, (gssize)at, (gssize)length);
    g_string_insert(text, (gssize)at, number);
  }
}

/* The word in quotes behind @at becomes another that stands there. */
static void change_word(GRand *rand, GString *text, gsize at)
{
  const char *from = strchr(text->str + g_rand_int_range(rand, 0, (gint)text->len), '"');
  const char *to = strchr(text->str + at, '"');
  gsize n = from ? strcspn(from + 1, "\"") : 0, m = to ? strcspn(to + 1, "\"") : 0;
  g_autofree char *word = from ? g_strndup(from + 1, n) : NULL;

  if (word && to) {
    at = (gsize)(to + 1 - text->str);
    g_string_erase(text, (gssize)at, (gssize)m);
    g_string_insert(text, (gssize)at, word);
  }
}

/* A line is away, or there twice, or a section is. */
static void change_line(GRand *rand, GString *text, gsize at)
{
  const char *begin = memrchr(text->str, '\n', at), *end = strchr(text->str + at, '\n');
  gsize from = begin ? (gsize)(begin + 1 - text->str) : 0, to;
  gboolean more = g_rand_boolean(rand);

  if (end && g_rand_int_range(rand, 0, 4) == 0 && strstr(end, "}\n"))
    end = strstr(end, "}\n") + 1;
  to = end ? (gsize)(end + 1 - text->str) : text->len;
  if (more) {
    g_autofree char *line = g_strndup(text->str + from, to - from);
    g_string_insert(text, (gssize)to, line);
  } else {
    g_string_erase(text, (gssize)from, (gssize)(to - from));
  }
}

static void change_text(GRand *rand, GString *text)
{
  gsize at = (gsize)g_rand_int_range(rand, 0, (gint)text->len);

  switch (g_rand_int_range(rand, 0, 5)) {
  case 0:
  case 1: change_number(rand, text, at); break;
  case 2: change_word(rand, text, at); break;
  case 3: change_line(rand, text, at); break;
  default: text->str[at] = (char)g_rand_int_range(rand, 1, 256);
  }
}

static void mutate_text(Image *image, GRand *rand, GString *what)
{
  guint8 *place = image->data + image->area + TEXT_PLACE;
  guint64 at = image->area + get64(place), size = get64(place + 8);
  g_autoptr(GString) text = NULL;
  int n = g_rand_int_range(rand, 1, 4);

  if (!size || size > TEXT_MAX || at > image->size - TEXT_MAX)
    return;
  text = g_string_new_len((char *)image->data + at, (gssize)size - 1);
  for (int i = 0; i < n && text->len && text->len < TEXT_MAX / 2; i++)
    change_text(rand, text);
  memcpy(image->data + at, text->str, text->len + 1);
  put64(place + 8, text->len + 1);
  put32(place + 16, vt_lvm_crc(LVM_CRC_INITIAL, text->str, text->len + 1));
  seal_area(image);
  g_string_append_printf(what, "text with %d changes", n);
}

/* Without a checksum's repair. */
static void mutate_bytes(Image *image, GRand *rand, GString *what)
{
  const ImageBlock *block = any_block(image, rand);
  guint64 at = (g_rand_boolean(rand) ? block->at : 0) + (guint)g_rand_int_range(rand, 0, 4096);

  image->data[MIN(at, image->size - 1)] ^= (guint8)(1 << g_rand_int_range(rand, 0, 8));
  g_string_append_printf(what, "a bit at %" G_GUINT64_FORMAT, at);
}

char *image_mutate(Image *image, guint32 seed, guint32 number)
{
  static void (*const ways[])(Image *, GRand *, GString *) = {
      mutate_block, mutate_block, mutate_block, mutate_block, mutate_block, mutate_text,
      mutate_text,  mutate_text,  mutate_label, mutate_area,  mutate_bytes};
  g_autoptr(GString) what = g_string_new(NULL);
  const guint32 seeds[] = {seed, number};
  GRand *rand = g_rand_new_with_seed_array(seeds, G_N_ELEMENTS(seeds));
  int n = g_rand_int_range(rand, 0, 3) ? 1 : g_rand_int_range(rand, 2, 5);

  for (int i = 0; i < n; i++) {
    g_string_append(what, i ? "; " : "");
    ways[g_rand_int_range(rand, 0, G_N_ELEMENTS(ways))](image, rand, what);
  }
  g_rand_free(rand);
  return g_string_free(g_steal_pointer(&what), FALSE);
}
