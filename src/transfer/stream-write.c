/* virt-thin - a stream of volumes: writing
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "transfer/stream-private.h"
#include "util/crc.h"

struct StreamWriter {
  StreamOutput *out;
  char *name;
  guint8 id[STREAM_ID_SIZE];
  guint64 number;
  GChecksum *volume, *all; /* of the headers of a volume's records, of all; NULL: in no volume */
  guint64 n_records;
  guint n_volumes;
  guint64 size, at; /* of the volume; behind what was written of it */
};

guint32 stream_record_crc(const guint8 *id, const StreamRawRecord *raw)
{
  guint8 bytes[STREAM_ID_SIZE + offsetof(StreamRawRecord, crc)];

  memcpy(bytes, id, STREAM_ID_SIZE);
  memcpy(bytes + STREAM_ID_SIZE, raw, offsetof(StreamRawRecord, crc));
  return vt_crc32c(bytes, sizeof bytes);
}

void stream_get_digest(const GChecksum *checksum, guint8 *digest)
{
  g_autoptr(GChecksum) copy = g_checksum_copy(checksum);
  gsize length = STREAM_DIGEST_SIZE;

  g_checksum_get_digest(copy, digest, &length);
}

StreamWriter *stream_writer_new(int fd, const char *name, const StreamHeader *header, gboolean zstd,
                                GError **error)
{
  g_autoptr(StreamWriter) w = g_new0(StreamWriter, 1);
  StreamRawHeader raw = {.version = GUINT16_TO_LE(STREAM_VERSION),
                         .flags = GUINT32_TO_LE(header->flags),
                         .estimate = GUINT64_TO_LE(header->estimate)};

  memcpy(raw.magic, STREAM_MAGIC, sizeof raw.magic);
  memcpy(raw.id, header->id, STREAM_ID_SIZE);
  raw.crc = GUINT32_TO_LE(vt_crc32c(&raw, offsetof(StreamRawHeader, crc)));
  memcpy(w->id, header->id, STREAM_ID_SIZE);
  w->name = g_strdup(name);
  w->all = g_checksum_new(G_CHECKSUM_SHA256);
  g_checksum_update(w->all, (const guchar *)&raw, sizeof raw);
  w->out = stream_output_new(fd, name, zstd, error);
  if (!w->out || !stream_output_write(w->out, &raw, sizeof raw, NULL, 0, error))
    return NULL;
  return g_steal_pointer(&w);
}

void stream_writer_free(StreamWriter *w)
{
  if (!w)
    return;
  g_clear_pointer(&w->volume, g_checksum_free);
  g_clear_pointer(&w->all, g_checksum_free);
  stream_output_free(w->out);
  g_free(w->name);
  g_free(w);
}

static gboolean write_record(StreamWriter *w, StreamType type, guint64 offset, guint64 span,
                             const void *data, gsize length, GError **error)
{
  StreamRawRecord raw = {.type = GUINT16_TO_LE(type),
                         .length = GUINT32_TO_LE((guint32)length),
                         .number = GUINT64_TO_LE(w->number++),
                         .offset = GUINT64_TO_LE(offset),
                         .span = GUINT64_TO_LE(span),
                         .data_crc = GUINT32_TO_LE(vt_crc32c(data, length))};

  raw.crc = GUINT32_TO_LE(stream_record_crc(w->id, &raw));
  if (w->volume)
    g_checksum_update(w->volume, (const guchar *)&raw, sizeof raw);
  g_checksum_update(w->all, (const guchar *)&raw, sizeof raw);
  w->n_records++;
  return stream_output_write(w->out, &raw, sizeof raw, data, length, error);
}

static gboolean write_dict(StreamWriter *w, StreamType type, GVariant *dict, GError **error)
{
  g_autoptr(GBytes) bytes = stream_dict_to_bytes(dict);
  gsize length;
  const void *data = g_bytes_get_data(bytes, &length);

  return length <= STREAM_MAX_DICT
             ? write_record(w, type, 0, 0, data, length, error)
             : vt_set_error(error, EINVAL, "writing %s: a description of %" G_GSIZE_FORMAT " bytes",
                            w->name, length);
}

gboolean stream_write_description(StreamWriter *w, GVariant *dict, GError **error)
{
  return write_dict(w, STREAM_DESCRIPTION, dict, error);
}

gboolean stream_write_begin(StreamWriter *w, const StreamVolume *volume, guint *index,
                            GError **error)
{
  if (w->n_volumes == STREAM_MAX_VOLUMES)
    return vt_set_error(error, EOPNOTSUPP, "writing %s: more than %u volumes", w->name,
                        STREAM_MAX_VOLUMES);
  if (index)
    *index = w->n_volumes;
  w->n_volumes++;
  w->n_records = 0;
  w->size = volume->size;
  w->at = 0;
  w->volume = g_checksum_new(G_CHECKSUM_SHA256);
  return write_dict(w, STREAM_BEGIN_VOLUME, stream_volume_to_dict(volume), error);
}

/* It is the caller's mistake. */
static void claim(StreamWriter *w, guint64 offset, guint64 length)
{
  g_assert(w->volume && length > 0 && offset >= w->at && offset <= w->size &&
           length <= w->size - offset);
  w->at = offset + length;
}

gboolean stream_write_data(StreamWriter *w, guint64 offset, const void *data, gsize length,
                           GError **error)
{
  g_assert(length <= STREAM_MAX_DATA);
  claim(w, offset, length);
  return write_record(w, STREAM_DATA, offset, length, data, length, error);
}

gboolean stream_write_zero(StreamWriter *w, guint64 offset, guint64 length, GError **error)
{
  claim(w, offset, length);
  return write_record(w, STREAM_ZERO, offset, length, NULL, 0, error);
}

gboolean stream_write_mapped_zero(StreamWriter *w, guint64 offset, guint64 length, GError **error)
{
  claim(w, offset, length);
  return write_record(w, STREAM_MAPPED_ZERO, offset, length, NULL, 0, error);
}

static gboolean write_end(StreamWriter *w, StreamType type, guint64 count,
                          const GChecksum *checksum, GError **error)
{
  StreamRawEnd end = {.count = GUINT64_TO_LE(count)};

  stream_get_digest(checksum, end.digest);
  return write_record(w, type, 0, 0, &end, sizeof end, error);
}

gboolean stream_write_end_volume(StreamWriter *w, GError **error)
{
  g_autoptr(GChecksum) checksum = g_steal_pointer(&w->volume);

  return write_end(w, STREAM_END_VOLUME, w->n_records, checksum, error);
}

gboolean stream_write_end(StreamWriter *w, GError **error)
{
  return write_end(w, STREAM_END, w->n_volumes, w->all, error) && stream_output_end(w->out, error);
}

guint64 stream_writer_sent(const StreamWriter *w)
{
  return stream_output_sent(w->out);
}
