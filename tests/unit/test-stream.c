/* virt-thin - tests of the stream's records: what is written is read, and nothing else is
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "transfer/stream-private.h"
#include "util/crc.h"

#define MIB (1u << 20)
#define IDENTITY "0123456789abcdef0123456789abcdef"

static const StreamHeader header = {.id = "sixteen bytes of", .estimate = 3 * MIB};

/* --- a stream to try things on --- */

static StreamVolume *new_volume(const char *name, guint64 size)
{
  StreamVolume *v = g_new0(StreamVolume, 1);

  v->name = g_strdup(name);
  v->size = size;
  v->tags = g_strsplit("pve-vm-100 a=b", " ", -1);
  return v;
}

static void write_snapshot(StreamWriter *w)
{
  g_autoptr(StreamVolume) v = new_volume("snap_vm-100-disk-0_a", 8 * MIB);
  g_autofree char *data = g_malloc(MIB);
  guint index;

  memset(data, 'x', MIB);
  v->kind = STREAM_SNAPSHOT;
  v->snapshot_of = g_strdup("vm-100-disk-0");
  v->snapshot_name = g_strdup("a");
  v->identity = g_strdup(IDENTITY);
  v->base = STREAM_BASE_THERE;
  v->base_identity = g_strdup(IDENTITY);
  v->moves = TRUE;
  v->creation_time = 42;
  assert_true(stream_write_begin(w, v, &index, NULL));
  assert_int_equal(index, 0);
  assert_true(stream_write_data(w, 0, data, MIB, NULL));
  assert_true(stream_write_zero(w, 2 * MIB, 3 * MIB, NULL));
  assert_true(stream_write_data(w, 8 * MIB - 512, data, 512, NULL));
  assert_true(stream_write_end_volume(w, NULL));
}

static void write_volume(StreamWriter *w)
{
  g_autoptr(StreamVolume) v = new_volume("vm-100-disk-0", G_GUINT64_CONSTANT(1) << 40);
  guint index;

  v->base = STREAM_BASE_EARLIER;
  v->base_index = 0;
  assert_true(stream_write_begin(w, v, &index, NULL));
  assert_int_equal(index, 1);
  assert_true(stream_write_data(w, (G_GUINT64_CONSTANT(1) << 40) - 4, "last", 4, NULL));
  assert_true(stream_write_end_volume(w, NULL));
}

static GVariant *description(void)
{
  GVariantDict dict;

  g_variant_dict_init(&dict, NULL);
  g_variant_dict_insert(&dict, "vg", "s", "pve");
  return g_variant_dict_end(&dict);
}

/* In a file without a name; the caller's. */
static int write_stream(gboolean zstd)
{
  int fd = memfd_create("stream", MFD_CLOEXEC);
  g_autoptr(StreamWriter) w = stream_writer_new(fd, "the stream", &header, zstd, NULL);

  assert_non_null(w);
  assert_true(stream_write_description(w, description(), NULL));
  write_snapshot(w);
  write_volume(w);
  assert_true(stream_write_end(w, NULL));
  assert_int_equal(stream_writer_sent(w), lseek(fd, 0, SEEK_CUR));
  return fd;
}

static GByteArray *stream_bytes(void)
{
  int fd = write_stream(FALSE);
  gsize size = (gsize)lseek(fd, 0, SEEK_END);
  GByteArray *bytes = g_byte_array_new();

  g_byte_array_set_size(bytes, (guint)size);
  assert_int_equal(pread(fd, bytes->data, size, 0), size);
  close(fd);
  return bytes;
}

/* Read all of it. *n_records: how many were given out. */
static gboolean read_fd(int fd, guint *n_records, GError **error)
{
  StreamHeader got;
  StreamRecord record = {0};
  g_autoptr(StreamReader) r = NULL;

  *n_records = 0;
  lseek(fd, 0, SEEK_SET);
  r = stream_reader_new(fd, "the stream", &got, error);
  if (!r)
    return FALSE;
  while (record.type != STREAM_END) {
    if (!stream_read(r, &record, error))
      return FALSE;
    (*n_records)++;
  }
  return TRUE;
}

static gboolean read_bytes(const GByteArray *bytes, guint *n_records, GError **error)
{
  int fd = memfd_create("stream", MFD_CLOEXEC);
  gboolean ok;

  assert_int_equal(write(fd, bytes->data, bytes->len), bytes->len);
  ok = read_fd(fd, n_records, error);
  close(fd);
  return ok;
}

static void assert_refused(const GByteArray *bytes, int code, const char *part)
{
  g_autoptr(GError) error = NULL;
  guint n;

  if (read_bytes(bytes, &n, &error))
    fail_msg("it was taken, where \"%s\" was expected", part);
  assert_int_equal(error->domain, VT_ERROR);
  if (error->code != code || !strstr(error->message, part))
    fail_msg("%d: %s, where %d: \"%s\" was expected", error->code, error->message, code, part);
}

/* --- as it was written --- */

static void assert_first(StreamReader *r)
{
  StreamRecord record;

  assert_true(stream_read(r, &record, NULL));
  assert_int_equal(record.type, STREAM_DESCRIPTION);
  assert_true(g_variant_lookup(record.dict, "vg", "s", NULL));
  assert_true(stream_read(r, &record, NULL));
  assert_int_equal(record.type, STREAM_BEGIN_VOLUME);
  assert_string_equal(record.volume->name, "snap_vm-100-disk-0_a");
  assert_string_equal(record.volume->snapshot_of, "vm-100-disk-0");
  assert_string_equal(record.volume->base_identity, IDENTITY);
  assert_string_equal(record.volume->tags[1], "a=b");
  assert_true(record.volume->moves);
  assert_int_equal(record.volume->creation_time, 42);
  assert_int_equal(record.volume->base, STREAM_BASE_THERE);
  assert_true(stream_read(r, &record, NULL));
  assert_int_equal(record.type, STREAM_DATA);
  assert_int_equal(record.length, MIB);
  assert_int_equal(((const char *)record.data)[MIB - 1], 'x');
  assert_true(stream_read(r, &record, NULL));
  assert_int_equal(record.type, STREAM_ZERO);
  assert_int_equal(record.offset, 2 * MIB);
  assert_int_equal(record.length, 3 * MIB);
  assert_true(stream_read(r, &record, NULL));
  assert_true(stream_read(r, &record, NULL));
  assert_int_equal(record.type, STREAM_END_VOLUME);
}

static void assert_as_written(int fd)
{
  StreamHeader got;
  StreamRecord record;
  g_autoptr(StreamReader) r = NULL;

  lseek(fd, 0, SEEK_SET);
  r = stream_reader_new(fd, "the stream", &got, NULL);
  assert_non_null(r);
  assert_memory_equal(got.id, header.id, STREAM_ID_SIZE);
  assert_int_equal(got.estimate, 3 * MIB);
  assert_first(r);
  assert_true(stream_read(r, &record, NULL));
  assert_int_equal(record.index, 1);
  assert_null(record.volume->snapshot_of);
  assert_int_equal(record.volume->base, STREAM_BASE_EARLIER);
  assert_true(stream_read(r, &record, NULL));
  assert_memory_equal(record.data, "last", 4);
  assert_true(stream_read(r, &record, NULL));
  assert_true(stream_read(r, &record, NULL));
  assert_int_equal(record.type, STREAM_END);
  close(fd);
}

static void test_round_trip(void **state)
{
  assert_as_written(write_stream(FALSE));
}

static void test_zstd(void **state)
{
  int fd = write_stream(TRUE);

  assert_true(lseek(fd, 0, SEEK_END) < MIB / 4);
  assert_as_written(fd);
}

/* --- cut and flipped --- */

static void test_cut(void **state)
{
  g_autoptr(GByteArray) bytes = stream_bytes();
  guint step, n, whole = bytes->len;

  for (bytes->len = 0; bytes->len < whole; bytes->len += step) {
    g_autoptr(GError) error = NULL;

    step = bytes->len < 2000 || bytes->len > whole - 2000 ? 1 : 9973;
    assert_false(read_bytes(bytes, &n, &error));
    assert_int_equal(error->code, EBADMSG);
    step = MIN(step, whole - bytes->len);
  }
  assert_true(read_bytes(bytes, &n, NULL));
  bytes->len = 0;
  assert_refused(bytes, EBADMSG, "empty");
}

static void test_cut_zstd(void **state)
{
  int fd = write_stream(TRUE);
  off_t whole = lseek(fd, 0, SEEK_END);
  guint n;

  assert_true(read_fd(fd, &n, NULL));
  for (off_t length = whole - 1; length > 0; length -= 3) {
    g_autoptr(GError) error = NULL;

    assert_int_equal(ftruncate(fd, length), 0);
    assert_false(read_fd(fd, &n, &error));
    assert_int_equal(error->code, EBADMSG);
  }
  close(fd);
}

static void test_flipped(void **state)
{
  g_autoptr(GByteArray) bytes = stream_bytes();
  guint step, n;

  for (guint at = 0; at < bytes->len; at += step) {
    g_autoptr(GError) error = NULL;

    step = at < 2000 || at > bytes->len - 2000 ? 1 : 9973;
    bytes->data[at] ^= (guint8)(1 << at % 8);
    if (read_bytes(bytes, &n, &error))
      fail_msg("a bit of byte %u was flipped, and nothing said", at);
    assert_int_equal(error->code, EBADMSG);
    bytes->data[at] ^= (guint8)(1 << at % 8);
  }
}

static void test_behind_the_end(void **state)
{
  g_autoptr(GByteArray) bytes = stream_bytes();

  g_byte_array_append(bytes, (const guint8 *)"x", 1);
  assert_refused(bytes, EBADMSG, "follows");
}

static void test_other_content(void **state)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new();

  g_byte_array_set_size(bytes, 4096);
  memset(bytes->data, 0, bytes->len);
  assert_refused(bytes, EBADMSG, "no stream");
}

/* --- with checksums that are right --- */

static StreamRawRecord *record_at(GByteArray *bytes, guint number, guint *offset)
{
  *offset = sizeof(StreamRawHeader);
  for (;;) {
    StreamRawRecord *raw = (gpointer)(bytes->data + *offset);

    if (raw->number == GUINT64_TO_LE(number))
      return raw;
    *offset += (guint)sizeof *raw + GUINT32_FROM_LE(raw->length);
    assert_true(*offset < bytes->len);
  }
}

static void seal(StreamRawRecord *raw)
{
  raw->data_crc = GUINT32_TO_LE(vt_crc32c(raw + 1, GUINT32_FROM_LE(raw->length)));
  raw->crc = GUINT32_TO_LE(stream_record_crc(header.id, raw));
}

static void test_version(void **state)
{
  g_autoptr(GByteArray) bytes = stream_bytes();
  StreamRawHeader *raw = (gpointer)bytes->data;

  raw->version = GUINT16_TO_LE(2);
  raw->crc = GUINT32_TO_LE(vt_crc32c(raw, offsetof(StreamRawHeader, crc)));
  assert_refused(bytes, EOPNOTSUPP, "version 2");
  raw->version = GUINT16_TO_LE(1);
  raw->flags = GUINT32_TO_LE(4);
  raw->crc = GUINT32_TO_LE(vt_crc32c(raw, offsetof(StreamRawHeader, crc)));
  assert_refused(bytes, EOPNOTSUPP, "flags 0x4");
}

static void test_unknown_record(void **state)
{
  g_autoptr(GByteArray) bytes = stream_bytes();
  guint offset;
  StreamRawRecord *raw = record_at(bytes, 0, &offset);

  raw->type = GUINT16_TO_LE(99);
  seal(raw);
  assert_refused(bytes, EOPNOTSUPP, "type 99");
  raw->type = GUINT16_TO_LE(99 | STREAM_OPTIONAL); /* left out, but its digest is another */
  seal(raw);
  assert_refused(bytes, EBADMSG, "not those that were sent");
}

static void set_range(guint number, guint64 offset, guint64 span, const char *part)
{
  g_autoptr(GByteArray) bytes = stream_bytes();
  guint at;
  StreamRawRecord *raw = record_at(bytes, number, &at);

  raw->offset = GUINT64_TO_LE(offset);
  raw->span = GUINT64_TO_LE(span);
  seal(raw);
  assert_refused(bytes, EBADMSG, part);
}

/* Records: 0 description, 1 begin, 2 data, 3 zero, 4 data, 5 end… */
static void test_ranges(void **state)
{
  set_range(2, 0, MIB + 1, "not as long");
  set_range(2, 8 * MIB, MIB, "beyond");
  set_range(2, G_MAXUINT64 - 4, MIB, "beyond");
  set_range(3, 2 * MIB, G_MAXUINT64, "beyond");
  set_range(3, 2 * MIB, 0, "out of its order");
  set_range(3, 512, 512, "out of its order");
}

/* An archive's record: who makes a volume in a pool of his own would leave out what it says. */
static void test_mapped_zero(void **state)
{
  for (guint archive = 0; archive < 2; archive++) {
    const StreamHeader its = {.flags = archive ? STREAM_ARCHIVE : 0};
    int fd = memfd_create("stream", MFD_CLOEXEC);
    g_autoptr(StreamWriter) w = stream_writer_new(fd, "the stream", &its, FALSE, NULL);
    g_autoptr(StreamVolume) v = new_volume("vm-1-disk-0", MIB);
    g_autoptr(GError) error = NULL;
    guint n;

    assert_true(stream_write_begin(w, v, NULL, NULL));
    assert_true(stream_write_mapped_zero(w, 4096, 65536, NULL));
    assert_true(stream_write_end_volume(w, NULL));
    assert_true(stream_write_end(w, NULL));
    assert_int_equal(read_fd(fd, &n, &error), archive);
    if (!archive)
      assert_non_null(strstr(error->message, "belongs into an archive"));
    close(fd);
  }
}

static void test_absurd_length(void **state)
{
  static const guint32 lengths[] = {STREAM_MAX_DATA + 1, 0x7fffffff, 0xffffffff};

  for (guint i = 0; i < G_N_ELEMENTS(lengths); i++) {
    g_autoptr(GByteArray) bytes = stream_bytes();
    guint at;
    StreamRawRecord *raw = record_at(bytes, 2, &at);

    raw->length = GUINT32_TO_LE(lengths[i]);
    raw->crc = GUINT32_TO_LE(stream_record_crc(header.id, raw));
    assert_refused(bytes, EBADMSG, "too long");
  }
}

/* Records @a and @b change places; or @b is left out, or comes twice. */
static void test_order(void **state)
{
  g_autoptr(GByteArray) whole = stream_bytes(), bytes = g_byte_array_new();
  guint from, to;

  record_at(whole, 3, &from);
  record_at(whole, 4, &to);
  g_byte_array_append(bytes, whole->data, from);
  g_byte_array_append(bytes, whole->data + to, whole->len - to);
  assert_refused(bytes, EBADMSG, "missing");
  g_byte_array_set_size(bytes, to);
  memcpy(bytes->data, whole->data, to);
  g_byte_array_append(bytes, whole->data + from, whole->len - from);
  assert_refused(bytes, EBADMSG, "come twice");
}

static void test_mixed(void **state)
{
  g_autoptr(GByteArray) bytes = stream_bytes();
  StreamRawHeader *raw = (gpointer)bytes->data;

  raw->id[0] ^= 1;
  raw->crc = GUINT32_TO_LE(vt_crc32c(raw, offsetof(StreamRawHeader, crc)));
  assert_refused(bytes, EBADMSG, "checksum of its header");
}

/* --- what it says of a volume --- */

static void assert_volume_refused(const char *text, int code, const char *part)
{
  g_autoptr(GVariant) dict = g_variant_ref_sink(g_variant_new_parsed(text));
  g_autoptr(GError) error = NULL;

  assert_null(stream_volume_from_dict(dict, 3, &error));
  if (error->code != code || !strstr(error->message, part))
    fail_msg("%d: %s, where \"%s\" was expected", error->code, error->message, part);
}

#define VOLUME "{'kind': <'volume'>, 'base': <'none'>, 'name': <'v'>, 'size': <uint64 4096>"

static void test_volumes(void **state)
{
  g_autoptr(GVariant) good = g_variant_ref_sink(g_variant_new_parsed(VOLUME "}"));
  g_autoptr(StreamVolume) v = stream_volume_from_dict(good, 3, NULL);

  assert_non_null(v);
  assert_non_null(v->tags);
  assert_volume_refused("{'name': <'v'>}", EBADMSG, "no kind");
  assert_volume_refused("{'kind': <'disk'>}", EOPNOTSUPP, "disk");
  assert_volume_refused("{'kind': <'volume'>, 'base': <'none'>}", EBADMSG, "no name");
  assert_volume_refused("{'kind': <'volume'>, 'base': <'none'>, 'name': <'../v'>}", EINVAL, "..");
  assert_volume_refused("{'kind': <'volume'>, 'base': <'none'>, 'name': <'v'>}", EBADMSG, "size");
  assert_volume_refused("{'kind': <'volume'>, 'base': <'none'>, 'name': <'v'>, 'size': <-1>}",
                        EBADMSG, "size");
  assert_volume_refused("{'kind': <'volume'>, 'base': <'earlier'>, 'name': <'v'>, "
                        "'size': <uint64 1>, 'base-index': <uint64 3>}",
                        EBADMSG, "comes later");
  assert_volume_refused("{'kind': <'volume'>, 'base': <'there'>, 'name': <'v'>, "
                        "'size': <uint64 1>}",
                        EBADMSG, "identity");
  assert_volume_refused("{'kind': <'snapshot'>, 'base': <'none'>, 'name': <'v'>, "
                        "'size': <uint64 1>}",
                        EBADMSG, "half a snapshot");
  assert_volume_refused(VOLUME ", 'tags': <['a b']>}", EINVAL, "a b");
  assert_volume_refused(VOLUME ", 'identity': <'0123'>}", EBADMSG, "identity");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_zstd),
      cmocka_unit_test(test_cut),
      cmocka_unit_test(test_cut_zstd),
      cmocka_unit_test(test_flipped),
      cmocka_unit_test(test_behind_the_end),
      cmocka_unit_test(test_other_content),
      cmocka_unit_test(test_version),
      cmocka_unit_test(test_unknown_record),
      cmocka_unit_test(test_ranges),
      cmocka_unit_test(test_mapped_zero),
      cmocka_unit_test(test_absurd_length),
      cmocka_unit_test(test_order),
      cmocka_unit_test(test_mixed),
      cmocka_unit_test(test_volumes),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
