/* virt-thin - tests: labels that are odd but whole; areas that change, or fail, while they are read
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "lvm-helper.h"
#include "lvm/label.h"
#include "lvm/metadata-area.h"
#include "util/crc.h"

#define UUID "abcdef-0000-1111-2222-3333-4444-567890"
#define START 4096
#define AREA_SIZE (64 * 1024)

static char *folder;
static VtIo *io;

static int setup(void **state)
{
  g_autofree char *path = NULL;

  folder = lvm_test_folder();
  path = lvm_test_file(folder, "pv.img", MIB);
  io = vt_io_open_file(path, FALSE, NULL);
  return io ? 0 : -1;
}

static int teardown(void **state)
{
  vt_io_unref(io);
  lvm_test_clean(folder);
  return 0;
}

/* --- labels ------------------------------------------------------------------------- */

/* The sector of a label whose lists of areas are @n_data and @n_metadata long. */
static void make_label(guint8 *sector, guint n_data, guint n_metadata)
{
  LvmLabel *label = lvm_label_new();
  GError *error = NULL;

  g_strlcpy(label->uuid, UUID, sizeof label->uuid);
  label->device_size = MIB;
  for (guint i = 0; i < n_data + n_metadata; i++) {
    const LvmRange range = {START * (i + 1), 1024};

    g_array_append_val(i < n_data ? label->data_areas : label->metadata_areas, range);
  }
  assert_ok(lvm_label_write(io, label, &error), error);
  assert_ok(vt_io_read(io, sector, LVM_SECTOR, LVM_SECTOR, &error), error);
  lvm_label_free(label);
}

static void put_sector(guint8 *sector)
{
  GError *error = NULL;

  lvm_test_seal_label(sector);
  assert_ok(vt_io_write(io, sector, LVM_SECTOR, LVM_SECTOR, &error), error);
}

static LvmLabel *read_label(void)
{
  GError *error = NULL;
  LvmLabel *label;

  assert_ok(lvm_label_read(io, &label, &error), error);
  assert_non_null(label);
  assert_string_equal(label->uuid, UUID);
  return label;
}

static void assert_endless(guint8 *sector)
{
  GError *error = NULL;
  LvmLabel *label;

  put_sector(sector);
  assert_false(lvm_label_read(io, &label, &error));
  assert_error(error, EBADMSG, "its lists of areas have no end");
  lvm_label_free(label);
}

/* The lists are said to begin where the sector ends; the first ends, and the second does not. */
static void test_lists_without_end(void **state)
{
  guint8 sector[LVM_SECTOR];
  guint32 begin = GUINT32_TO_LE(LVM_SECTOR - 40);

  make_label(sector, 1, 1);
  memcpy(sector + 20, &begin, sizeof begin);
  assert_endless(sector);
  make_label(sector, 1, 1);
  memset(sector + 104, 1, LVM_SECTOR - 104);
  assert_endless(sector);
}

/* A label as lvm2 made them before there was the extension: the lists go up to the sector's end,
 * or what follows them is of an earlier version. It is used by a VG, for all that it says; and when
 * its size is changed, nothing else is. */
static void test_no_extension(void **state)
{
  const LvmRange last = {START, 1024};
  guint8 sector[LVM_SECTOR], after[LVM_SECTOR];
  GError *error = NULL;
  LvmLabel *label;

  make_label(sector, 1, 1);
  memmove(sector + LVM_SECTOR - 104, sector + 32, 104); /* both lists, and no more */
  sector[20] = (LVM_SECTOR - 104) & 0xff;
  sector[21] = (LVM_SECTOR - 104) >> 8;
  put_sector(sector);
  label = read_label();
  assert_true(label->used);
  assert_int_equal(label->extension, 0);
  assert_memory_equal(&g_array_index(label->data_areas, LvmRange, 0), &last, sizeof last);
  lvm_label_free(label);
  make_label(sector, 1, 1);
  sector[136] = 1;
  put_sector(sector);
  label = read_label();
  assert_true(label->used);
  label->device_size = MIB / 2;
  assert_ok(lvm_label_write(io, label, &error), error);
  lvm_label_free(label);
  label = read_label();
  assert_int_equal(label->device_size, MIB / 2);
  assert_true(label->used);
  assert_ok(vt_io_read(io, after, sizeof after, LVM_SECTOR, &error), error);
  assert_memory_equal(after + 72, sector + 72, LVM_SECTOR - 72);
  lvm_label_free(label);
}

static void test_nothing(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "empty.img", 0);
  VtIo *empty = vt_io_open_file(path, TRUE, NULL);
  GError *error = NULL;
  LvmLabel *label;

  assert_non_null(empty);
  assert_ok(lvm_label_read(empty, &label, &error), error);
  assert_null(label);
  vt_io_unref(empty);
}

/* --- areas -------------------------------------------------------------------------- */

static LvmMetadataArea *new_area(VtIo *on)
{
  const LvmRange range = {START, AREA_SIZE};

  return lvm_metadata_area_new(on, &range);
}

/* Write @size bytes of @text behind the committed one, and let the header point there, with
 * @flags. */
static void put_text(LvmMetadataArea *area, const char *text, gsize size, guint32 flags)
{
  guint32 crc = vt_lvm_crc(LVM_CRC_INITIAL, text, size);
  LvmTextPlace place;
  GError *error = NULL;

  assert_ok(lvm_metadata_area_write_text(area, text, size, crc, &place, &error), error);
  place.flags = flags;
  assert_ok(lvm_metadata_area_write_header(area, &place, NULL, &error), error);
}

static void test_text_of_zeros(void **state)
{
  static const char zeros[100];
  LvmMetadataArea *area = new_area(io);
  g_autofree char *text = NULL;
  GError *error = NULL;
  gsize length;

  put_text(area, zeros, sizeof zeros, 0);
  assert_ok(text = lvm_metadata_area_read_text(area, &length, &error), error);
  assert_int_equal(length, 0);
  lvm_metadata_area_free(area);
}

/* A text that goes around the ring's end is written in two pieces, and read in two: each of which
 * may fail. */
static void test_halves_fail(void **state)
{
  g_autofree char *text = g_strnfill(20 * 1024, 't');
  VtIo *failer = vt_io_failer_new(io, 0, 0, EIO);
  LvmMetadataArea *area = new_area(failer);
  GError *error = NULL;
  LvmTextPlace place;
  gsize length;

  for (guint i = 0; i < 3; i++)
    put_text(area, text, 20 * 1024, 0);
  for (guint i = 0; i < 2; i++) {
    vt_io_failer_arm(failer, VT_IO_WRITE | VT_IO_ONCE, i, EIO);
    assert_false(lvm_metadata_area_write_text(area, text, 20 * 1024, 0, &place, &error));
    assert_error(error, EIO, "made to fail");
  }
  put_text(area, text, 20 * 1024, 0);
  assert_true(area->text.offset + area->text.size > AREA_SIZE);
  for (guint i = 0; i < 2; i++) {
    vt_io_failer_arm(failer, VT_IO_READ, i, EIO);
    assert_null(lvm_metadata_area_read_text(area, &length, &error));
    assert_error(error, EIO, "made to fail");
  }
  lvm_metadata_area_free(area);
  vt_io_unref(failer);
}

/* An area whose header is the first when it is read, and then the second: from then on, or for two
 * reads each. */
typedef struct {
  VtIo io;
  guint8 headers[2][LVM_SECTOR];
  gboolean back_and_forth;
  guint n_reads;
} Busy;

static gboolean busy_readv(VtIo *self, const struct iovec *iov, int n, guint64 offset,
                           GError **error)
{
  Busy *busy = (Busy *)self;
  guint which = busy->back_and_forth ? (busy->n_reads + 1) / 2 % 2 : busy->n_reads > 0;

  if (offset != START)
    return vt_io_readv(io, iov, n, offset, error);
  memcpy(iov[0].iov_base, busy->headers[which], LVM_SECTOR);
  busy->n_reads++;
  return TRUE;
}

static guint64 busy_size(VtIo *self)
{
  return vt_io_size(io);
}

static void busy_free(VtIo *self)
{
}

static const VtIoOps busy_ops = {.readv = busy_readv, .size = busy_size, .free = busy_free};

/* The text is damaged, and while it is read the header becomes @header. How many times was that
 * read? */
static guint read_damaged(Busy *busy, const guint8 *header, gboolean back_and_forth)
{
  LvmMetadataArea *area = new_area(&busy->io);
  GError *error = NULL;
  gsize length;

  memcpy(busy->headers[1], header, LVM_SECTOR);
  busy->back_and_forth = back_and_forth;
  busy->n_reads = 0;
  assert_ok(lvm_metadata_area_read_header(area, &error), error);
  assert_null(lvm_metadata_area_read_text(area, &length, &error));
  assert_error(error, EBADMSG, "bytes) is damaged: its checksum");
  lvm_metadata_area_free(area);
  return busy->n_reads - 1;
}

/* It is looked at again, but not for ever; where the new header is damaged, is to be ignored, or
 * points nowhere, nothing more is to be had. */
static void test_damaged_text(void **state)
{
  static Busy busy;
  LvmMetadataArea *area = new_area(io);
  guint8 other[LVM_SECTOR];
  GError *error = NULL;

  vt_io_init(&busy.io, &busy_ops, "busy", TRUE);
  put_text(area, "one text", 9, 0);
  memcpy(busy.headers[0], area->header, LVM_SECTOR);
  put_text(area, "another", 8, 0);
  memcpy(other, area->header, LVM_SECTOR);
  assert_ok(vt_io_zero(io, START + LVM_SECTOR, AREA_SIZE - LVM_SECTOR, 0, &error), error);
  assert_int_equal(read_damaged(&busy, other, TRUE), 2 * 20);
  other[10] ^= 1;
  assert_int_equal(read_damaged(&busy, other, FALSE), 1 + 2);
  put_text(area, "ignored", 8, 1);
  assert_ok(vt_io_zero(io, START + LVM_SECTOR, AREA_SIZE - LVM_SECTOR, 0, &error), error);
  assert_int_equal(read_damaged(&busy, area->header, FALSE), 2);
  assert_ok(lvm_metadata_area_write_header(area, NULL, NULL, &error), error);
  assert_int_equal(read_damaged(&busy, area->header, FALSE), 2);
  lvm_metadata_area_free(area);
  vt_io_unref(&busy.io);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_lists_without_end), TEST(test_no_extension), TEST(test_nothing),
      TEST(test_text_of_zeros),     TEST(test_halves_fail),  TEST(test_damaged_text),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
