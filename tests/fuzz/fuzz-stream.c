/* virt-thin - libFuzzer target: whatever a stream of volumes may hold
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The input is read as a stream. By its first byte: bit 0 the checksums and numbers of its header
 * and records are put right before, so that what is behind them is reached; bit 1 ends get the
 * digests that are right, too, as far as records go. What is given out must be in order.
 */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "transfer/stream-private.h"
#include "util/crc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_header_right(StreamRawHeader *raw)
{
  memcpy(raw->magic, STREAM_MAGIC, sizeof raw->magic);
  raw->version = GUINT16_TO_LE(STREAM_VERSION);
  raw->flags &= GUINT32_TO_LE(1);
  raw->crc = GUINT32_TO_LE(vt_crc32c(raw, offsetof(StreamRawHeader, crc)));
}

static void put_digest_right(guint8 *payload, guint64 count, const GChecksum *checksum)
{
  StreamRawEnd end = {.count = GUINT64_TO_LE(count)};

  stream_get_digest(checksum, end.digest);
  memcpy(payload, &end, sizeof end);
}

typedef struct {
  GChecksum *all, *volume;
  guint64 number, n_records, n_volumes;
  guint8 id[STREAM_ID_SIZE];
  gboolean digests;
} Fixer;

static void put_record_right(Fixer *f, StreamRawRecord *raw, guint8 *payload, guint32 length)
{
  guint16 type = GUINT16_FROM_LE(raw->type);

  if (type == STREAM_BEGIN_VOLUME) {
    g_checksum_reset(f->volume);
    f->n_records = 0;
    f->n_volumes++;
  }
  if (f->digests && length == sizeof(StreamRawEnd) && type == STREAM_END_VOLUME)
    put_digest_right(payload, f->n_records, f->volume);
  if (f->digests && length == sizeof(StreamRawEnd) && type == STREAM_END)
    put_digest_right(payload, f->n_volumes, f->all);
  raw->number = GUINT64_TO_LE(f->number++);
  raw->data_crc = GUINT32_TO_LE(vt_crc32c(payload, length));
  raw->crc = GUINT32_TO_LE(stream_record_crc(f->id, raw));
  g_checksum_update(f->volume, (const guchar *)raw, sizeof *raw);
  g_checksum_update(f->all, (const guchar *)raw, sizeof *raw);
  f->n_records++;
}

static void put_right(guint8 *data, size_t size, gboolean digests)
{
  Fixer f = {.all = g_checksum_new(G_CHECKSUM_SHA256),
             .volume = g_checksum_new(G_CHECKSUM_SHA256),
             .digests = digests};
  StreamRawHeader header;
  size_t at = sizeof header;

  if (size >= sizeof header) {
    memcpy(&header, data, sizeof header);
    put_header_right(&header);
    memcpy(data, &header, sizeof header);
    memcpy(f.id, header.id, STREAM_ID_SIZE);
    g_checksum_update(f.all, (const guchar *)&header, sizeof header);
  }
  while (size >= sizeof(StreamRawRecord) && at <= size - sizeof(StreamRawRecord)) {
    StreamRawRecord raw;
    guint32 length;

    memcpy(&raw, data + at, sizeof raw);
    length = GUINT32_FROM_LE(raw.length);
    if (length > size - at - sizeof raw)
      break;
    put_record_right(&f, &raw, data + at + sizeof raw, length);
    memcpy(data + at, &raw, sizeof raw);
    at += sizeof raw + length;
  }
  g_checksum_free(f.all);
  g_checksum_free(f.volume);
}

static void check_record(const StreamRecord *record, const StreamVolume **volume, guint64 *at)
{
  volatile guint8 sum = 0;

  if (record->type == STREAM_BEGIN_VOLUME) {
    *volume = record->volume;
    *at = 0;
    g_assert(record->volume->name && record->volume->tags && record->volume->size > 0);
    g_assert(record->volume->base != STREAM_BASE_EARLIER ||
             record->volume->base_index < record->index);
  }
  if (record->type != STREAM_DATA && record->type != STREAM_ZERO)
    return;
  g_assert(*volume && record->length > 0 && record->offset >= *at);
  g_assert(record->length <= (*volume)->size && record->offset <= (*volume)->size - record->length);
  *at = record->offset + record->length;
  for (guint64 i = 0; record->type == STREAM_DATA && i < record->length; i++)
    sum ^= ((const guint8 *)record->data)[i];
}

static void read_stream(int fd)
{
  const StreamVolume *volume = NULL;
  StreamHeader header;
  StreamRecord record = {0};
  g_autoptr(GError) error = NULL;
  g_autoptr(StreamReader) reader = stream_reader_new(fd, "it", &header, &error);
  guint64 at = 0;

  while (reader && record.type != STREAM_END && stream_read(reader, &record, &error))
    check_record(&record, &volume, &at);
  g_assert(error || record.type == STREAM_END);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static int fd = -1;
  g_autofree guint8 *copy = NULL;

  if (size == 0)
    return 0;
  if (fd < 0)
    fd = memfd_create("stream", MFD_CLOEXEC);
  copy = g_malloc(size);
  memcpy(copy, data + 1, size - 1);
  if (data[0] & 1)
    put_right(copy, size - 1, (data[0] & 2) != 0);
  g_assert(ftruncate(fd, 0) == 0);
  g_assert(pwrite(fd, copy, size - 1, 0) == (ssize_t)size - 1);
  lseek(fd, 0, SEEK_SET);
  read_stream(fd);
  return 0;
}
