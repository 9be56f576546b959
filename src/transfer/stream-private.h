/* virt-thin - a stream of volumes: what its writer and its reader share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "transfer/stream.h"

#define STREAM_MAGIC "VTSTREAM"
#define STREAM_VERSION 1
#define STREAM_ZSTD_MAGIC 0xfd2fb528u

/* On the wire; little endian. */
typedef struct {
  char magic[8];
  guint16 version, zero;
  guint32 flags;
  guint8 id[STREAM_ID_SIZE];
  guint64 estimate;
  guint8 zeros[20];
  guint32 crc; /* of all before it: at this place in every version */
} StreamRawHeader;
G_STATIC_ASSERT(sizeof(StreamRawHeader) == 64);

typedef struct {
  guint16 type, zero;
  guint32 length; /* of what follows this header */
  guint64 number; /* of the record in its stream, from 0 */
  guint64 offset, span;
  guint32 data_crc; /* of what follows */
  guint32 crc;      /* of the stream's id and all of this before it */
} StreamRawRecord;
G_STATIC_ASSERT(sizeof(StreamRawRecord) == 40);

#define STREAM_DIGEST_SIZE 32

typedef struct {
  guint64 count; /* of a volume's records with this one; of the stream's volumes */
  guint8 digest[STREAM_DIGEST_SIZE];
} StreamRawEnd;
G_STATIC_ASSERT(sizeof(StreamRawEnd) == 40);

guint32 stream_record_crc(const guint8 *id, const StreamRawRecord *raw);
/* Where a checksum stands. */
void stream_get_digest(const GChecksum *checksum, guint8 *digest);

/* What STREAM_BEGIN_VOLUME holds: a dictionary, in little endian. */
GBytes *stream_dict_to_bytes(GVariant *dict);
/* @data is taken. EBADMSG. */
GVariant *stream_dict_from_data(gpointer data, gsize length, GError **error);
GVariant *stream_volume_to_dict(const StreamVolume *volume); /* floating */
/* @index: its own number. EBADMSG, EOPNOTSUPP. */
StreamVolume *stream_volume_from_dict(GVariant *dict, guint index, GError **error);

/* --- bytes, compressed or not --- */

typedef struct StreamOutput StreamOutput;
StreamOutput *stream_output_new(int fd, const char *name, gboolean zstd, GError **error);
void stream_output_free(StreamOutput *output);
gboolean stream_output_write(StreamOutput *output, const void *head, gsize head_length,
                             const void *data, gsize length, GError **error);
gboolean stream_output_end(StreamOutput *output, GError **error);
guint64 stream_output_sent(const StreamOutput *output);

typedef struct StreamInput StreamInput;
StreamInput *stream_input_new(int fd, const char *name);
void stream_input_free(StreamInput *input);
const char *stream_input_name(const StreamInput *input);
/* *got is less than @length at the end alone. */
gboolean stream_input_read(StreamInput *input, void *buffer, gsize length, gsize *got,
                           GError **error);
