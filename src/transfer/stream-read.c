/* virt-thin - a stream of volumes: reading, of which nothing is taken for granted
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "transfer/stream-private.h"
#include "util/crc.h"

struct StreamReader {
  StreamInput *in;
  const char *name;
  guint8 id[STREAM_ID_SIZE];
  guint64 number;
  GChecksum *volume_sum, *all_sum; /* of headers; volume_sum NULL: in no volume */
  guint64 n_records;
  guint n_volumes;
  gsize dicts;          /* bytes of descriptions so far */
  GPtrArray *volumes;   /* of StreamVolume */
  StreamVolume *volume; /* the last of them */
  guint64 at;           /* behind what was read of it */
  char *data;           /* STREAM_MAX_DATA */
  GVariant *dict;
  gboolean archive, ended;
};

static gboolean cut(StreamReader *r, GError **error)
{
  return vt_set_error(error, EBADMSG,
                      "%s ends in the middle (after %" G_GUINT64_FORMAT " records): it was cut",
                      r->name, r->number);
}

static gboolean damaged(StreamReader *r, GError **error, const char *what)
{
  return vt_set_error(error, EBADMSG, "%s is damaged at record %" G_GUINT64_FORMAT ": %s", r->name,
                      r->number, what);
}

static gboolean read_all(StreamReader *r, void *buffer, gsize length, GError **error)
{
  gsize got;

  return stream_input_read(r->in, buffer, length, &got, error) && (got == length || cut(r, error));
}

/* --- the header --- */

static gboolean read_header(StreamReader *r, StreamHeader *header, GError **error)
{
  StreamRawHeader raw;
  guint16 version;
  gsize got;

  if (!stream_input_read(r->in, &raw, sizeof raw, &got, error))
    return FALSE;
  if (got == 0)
    return vt_set_error(error, EBADMSG, "%s is empty: its sender has told why", r->name);
  if (got < sizeof raw || memcmp(raw.magic, STREAM_MAGIC, sizeof raw.magic) != 0)
    return vt_set_error(error, EBADMSG, "%s is no stream of virt-thin send", r->name);
  if (GUINT32_FROM_LE(raw.crc) != vt_crc32c(&raw, offsetof(StreamRawHeader, crc)))
    return damaged(r, error, "its header's checksum is wrong");
  version = GUINT16_FROM_LE(raw.version);
  header->flags = GUINT32_FROM_LE(raw.flags);
  if (version != STREAM_VERSION || header->flags & ~(guint32)(STREAM_ARCHIVE | STREAM_RESUMED))
    return vt_set_error(error, EOPNOTSUPP,
                        "%s is of version %u with flags 0x%x, and this virt-thin knows version %u: "
                        "it takes a newer one",
                        r->name, version, header->flags, STREAM_VERSION);
  r->archive = (header->flags & STREAM_ARCHIVE) != 0;
  memcpy(header->id, raw.id, STREAM_ID_SIZE);
  memcpy(r->id, raw.id, STREAM_ID_SIZE);
  header->estimate = GUINT64_FROM_LE(raw.estimate);
  g_checksum_update(r->all_sum, (const guchar *)&raw, sizeof raw);
  return TRUE;
}

StreamReader *stream_reader_new(int fd, const char *name, StreamHeader *header, GError **error)
{
  g_autoptr(StreamReader) r = g_new0(StreamReader, 1);

  r->in = stream_input_new(fd, name);
  r->name = stream_input_name(r->in);
  r->all_sum = g_checksum_new(G_CHECKSUM_SHA256);
  r->volumes = g_ptr_array_new_with_free_func((GDestroyNotify)stream_volume_free);
  r->data = g_malloc(STREAM_MAX_DATA);
  return read_header(r, header, error) ? g_steal_pointer(&r) : NULL;
}

void stream_reader_free(StreamReader *r)
{
  if (!r)
    return;
  g_clear_pointer(&r->volume_sum, g_checksum_free);
  g_clear_pointer(&r->all_sum, g_checksum_free);
  g_clear_pointer(&r->dict, g_variant_unref);
  g_clear_pointer(&r->volumes, g_ptr_array_unref);
  stream_input_free(r->in);
  g_free(r->data);
  g_free(r);
}

/* --- kinds of records --- */

static gboolean read_dict(StreamReader *r, gsize length, GError **error)
{
  g_clear_pointer(&r->dict, g_variant_unref);
  r->dicts += length;
  if (r->dicts > STREAM_MAX_DICTS)
    return damaged(r, error, "its descriptions are too long");
  r->dict = stream_dict_from_data(memcpy(g_malloc(length + 1), r->data, length), length, error);
  return r->dict != NULL;
}

static gboolean take_begin(StreamReader *r, gsize length, StreamRecord *record, GError **error)
{
  if (r->volume_sum)
    return damaged(r, error, "a volume begins within another");
  if (r->n_volumes == STREAM_MAX_VOLUMES)
    return damaged(r, error, "it has too many volumes");
  if (!read_dict(r, length, error) ||
      !(r->volume = stream_volume_from_dict(r->dict, r->n_volumes, error)))
    return FALSE;
  g_ptr_array_add(r->volumes, r->volume);
  r->volume_sum = g_checksum_new(G_CHECKSUM_SHA256);
  r->n_records = 0;
  r->at = 0;
  record->dict = r->dict;
  record->volume = r->volume;
  record->index = r->n_volumes++;
  return TRUE;
}

static gboolean take_range(StreamReader *r, const StreamRawRecord *raw, gsize length,
                           StreamRecord *record, GError **error)
{
  guint64 offset = GUINT64_FROM_LE(raw->offset), span = GUINT64_FROM_LE(raw->span);

  if (!r->volume_sum)
    return damaged(r, error, "there is data of no volume");
  if (record->type == STREAM_DATA ? span != length : length != 0)
    return damaged(r, error, "a range is not as long as it says");
  if (span == 0 || offset < r->at || offset > r->volume->size || span > r->volume->size - offset)
    return damaged(r, error, "a range is out of its order, or beyond the volume's end");
  r->at = offset + span;
  record->offset = offset;
  record->length = span;
  record->data = r->data;
  return TRUE;
}

static gboolean check_end(StreamReader *r, gsize length, guint64 count, const guint8 *digest,
                          GError **error)
{
  StreamRawEnd end;

  if (length != sizeof end)
    return damaged(r, error, "an end is too long or too short");
  memcpy(&end, r->data, sizeof end);
  if (GUINT64_FROM_LE(end.count) != count || memcmp(end.digest, digest, STREAM_DIGEST_SIZE) != 0)
    return damaged(r, error, "its records are not those that were sent");
  return TRUE;
}

/* --- a record --- */

static gboolean read_raw(StreamReader *r, StreamRawRecord *raw, gsize *length, GError **error)
{
  guint16 type;

  if (!read_all(r, raw, sizeof *raw, error))
    return FALSE;
  if (GUINT32_FROM_LE(raw->crc) != stream_record_crc(r->id, raw))
    return damaged(r, error, "the checksum of its header is wrong");
  if (GUINT64_FROM_LE(raw->number) != r->number)
    return damaged(r, error, "it is another one: some are missing, or come twice");
  type = GUINT16_FROM_LE(raw->type);
  *length = GUINT32_FROM_LE(raw->length);
  if (*length > STREAM_MAX_DATA ||
      ((type == STREAM_BEGIN_VOLUME || type == STREAM_DESCRIPTION) && *length > STREAM_MAX_DICT))
    return damaged(r, error, "it is too long");
  if (!read_all(r, r->data, *length, error))
    return FALSE;
  if (GUINT32_FROM_LE(raw->data_crc) != vt_crc32c(r->data, *length))
    return damaged(r, error, "the checksum of its data is wrong");
  return TRUE;
}

/* Digests are over what comes before an end's own record. */
static gboolean take(StreamReader *r, const StreamRawRecord *raw, gsize length,
                     const guint8 *volume_digest, const guint8 *all_digest, StreamRecord *record,
                     GError **error)
{
  switch (record->type) {
  case STREAM_BEGIN_VOLUME: return take_begin(r, length, record, error);
  case STREAM_DATA:
  case STREAM_ZERO: return take_range(r, raw, length, record, error);
  case STREAM_MAPPED_ZERO:
    return r->archive ? take_range(r, raw, length, record, error)
                      : damaged(r, error, "it belongs into an archive");
  case STREAM_DESCRIPTION:
    if (r->volume_sum)
      return damaged(r, error, "a description is within a volume");
    if (!read_dict(r, length, error))
      return FALSE;
    record->dict = r->dict;
    return TRUE;
  case STREAM_END_VOLUME:
    if (!r->volume_sum)
      return damaged(r, error, "a volume ends that has not begun");
    g_clear_pointer(&r->volume_sum, g_checksum_free);
    record->index = r->n_volumes - 1;
    return check_end(r, length, r->n_records, volume_digest, error);
  case STREAM_END:
    if (r->volume_sum)
      return damaged(r, error, "it ends within a volume");
    return check_end(r, length, r->n_volumes, all_digest, error);
  default:
    if (record->type & STREAM_OPTIONAL)
      return TRUE;
    return vt_set_error(error, EOPNOTSUPP,
                        "%s has records of type %u, which this version does not know: it takes a "
                        "newer virt-thin",
                        r->name, record->type);
  }
}

static gboolean read_record(StreamReader *r, StreamRecord *record, GError **error)
{
  guint8 volume_digest[STREAM_DIGEST_SIZE] = {0}, all_digest[STREAM_DIGEST_SIZE] = {0};
  StreamRawRecord raw;
  gsize length = 0;

  if (!read_raw(r, &raw, &length, error))
    return FALSE;
  *record = (StreamRecord){.type = GUINT16_FROM_LE(raw.type)};
  if (record->type == STREAM_END_VOLUME && r->volume_sum)
    stream_get_digest(r->volume_sum, volume_digest);
  if (record->type == STREAM_END)
    stream_get_digest(r->all_sum, all_digest);
  if (!take(r, &raw, length, volume_digest, all_digest, record, error))
    return FALSE;
  r->number++;
  r->n_records++;
  if (r->volume_sum)
    g_checksum_update(r->volume_sum, (const guchar *)&raw, sizeof raw);
  g_checksum_update(r->all_sum, (const guchar *)&raw, sizeof raw);
  return TRUE;
}

static gboolean require_end(StreamReader *r, GError **error)
{
  char byte;
  gsize got;

  return stream_input_read(r->in, &byte, 1, &got, error) &&
         (got == 0 || damaged(r, error, "something follows its end"));
}

gboolean stream_read(StreamReader *r, StreamRecord *record, GError **error)
{
  g_assert(!r->ended);
  do {
    if (!read_record(r, record, error))
      return FALSE;
  } while (record->type & STREAM_OPTIONAL);
  r->ended = record->type == STREAM_END;
  return !r->ended || require_end(r, error);
}
