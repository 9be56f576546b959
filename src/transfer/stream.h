/* virt-thin - a stream of volumes: records with checksums, written and read
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * docs/stream.md draws the format. A stream is a header and records: of each volume one that
 * begins it, what is in it, and one that ends it; and a last record. The reader gives out nothing
 * that it has not checked: each record's checksums and number, that offsets rise and stay within
 * the volume, that a base is an earlier volume, and at a volume's and the stream's end the digest
 * over all of it. What it has given out before the last record may still be of a stream that is
 * cut: who receives acts on it only in what can be taken back.
 *
 * Units: bytes. Errors: VT_ERROR; EBADMSG: the stream is cut or damaged; EOPNOTSUPP: a later
 * version's, or of another kind; ECANCELED after a signal (image/interrupt.h). Thread-safety: a
 * writer or reader is one thread's at a time.
 */
#pragma once

#include "util/error.h"

#define STREAM_MAX_DATA (1u << 20)   /* bytes in one record */
#define STREAM_MAX_DICT (256u << 10) /* of a description */
#define STREAM_MAX_DICTS (64u << 20) /* of all descriptions of a stream */
#define STREAM_MAX_VOLUMES 65536u
#define STREAM_MAX_SIZE ((guint64)1 << 62) /* of a volume */
#define STREAM_ID_SIZE 16
#define STREAM_IDENTITY_LENGTH 32 /* hexadecimal digits */

typedef enum {
  STREAM_ARCHIVE = 1 << 0, /* whole volume groups: for unarchive, not for receive */
  STREAM_RESUMED = 1 << 1, /* its first volumes are there, from a stream of the same id */
} StreamFlags;

typedef struct {
  guint8 id[STREAM_ID_SIZE]; /* random: records of two streams do not mix */
  StreamFlags flags;
  guint64 estimate; /* so much data is to come, about; 0: not known */
} StreamHeader;

typedef enum {
  STREAM_BEGIN_VOLUME = 1,
  STREAM_DATA = 2,
  STREAM_ZERO = 3, /* a range that reads zero, and is to be unmapped */
  STREAM_END_VOLUME = 4,
  STREAM_END = 5,
  STREAM_DESCRIPTION = 6,   /* between volumes: a dictionary, whose meaning is its writer's */
  STREAM_MAPPED_ZERO = 7,   /* of an archive: reads zero, and is to be mapped all the same */
  STREAM_OPTIONAL = 0x8000, /* of a type: who does not know it leaves it out */
} StreamType;

typedef enum {
  STREAM_VOLUME,   /* writable */
  STREAM_SNAPSHOT, /* read-only, of volume @snapshot_of (which may be NULL) */
  STREAM_TEMPLATE, /* read-only */
  STREAM_LINEAR,   /* in no thin pool; not in a stream for receive */
  STREAM_N_KINDS,
} StreamKind;

typedef enum {
  STREAM_BASE_NONE,    /* it begins empty: all that is not sent reads zero */
  STREAM_BASE_EARLIER, /* as volume number @base_index of this stream */
  STREAM_BASE_THERE,   /* as the volume that the receiver has of identity @base_identity */
  STREAM_N_BASES,
} StreamBase;

/* Strings that may be NULL say so; @tags never is. */
typedef struct {
  char *name;
  StreamKind kind;
  char *snapshot_of, *snapshot_name; /* NULL: it is none */
  char *origin;                      /* name of the volume it counts as made from; NULL: none */
  char *pool;                        /* its thin pool; NULL: who receives says */
  char *uuid;                        /* of the LV where it was first */
  char *identity;                    /* of its content (transfer/identity.h); NULL: it changes */
  guint64 size, creation_time;
  GStrv tags;
  StreamBase base;
  guint base_index;
  char *base_identity;
  gboolean
      moves; /* the receiver's volume @snapshot_of, if it is as the base, becomes as this one */
  GVariant *more; /* a{sv} of a writer's own; NULL: nothing */
} StreamVolume;

void stream_volume_free(StreamVolume *volume);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StreamVolume, stream_volume_free)

/* --- writing --- */

typedef struct StreamWriter StreamWriter;

/* A stream to @fd, which stays the caller's; @name: for messages. @zstd: compressed. */
StreamWriter *stream_writer_new(int fd, const char *name, const StreamHeader *header, gboolean zstd,
                                GError **error);
/* The stream is whole only if stream_write_end() has succeeded. */
void stream_writer_free(StreamWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StreamWriter, stream_writer_free)

gboolean stream_write_description(StreamWriter *writer, GVariant *dict, GError **error);
/* *index, if not NULL: its number, for a later volume's base. */
gboolean stream_write_begin(StreamWriter *writer, const StreamVolume *volume, guint *index,
                            GError **error);
/* Offsets rise within a volume. Of data STREAM_MAX_DATA at most, and not nothing. */
gboolean stream_write_data(StreamWriter *writer, guint64 offset, const void *data, gsize length,
                           GError **error);
gboolean stream_write_zero(StreamWriter *writer, guint64 offset, guint64 length, GError **error);
gboolean stream_write_mapped_zero(StreamWriter *writer, guint64 offset, guint64 length,
                                  GError **error);
gboolean stream_write_end_volume(StreamWriter *writer, GError **error);
/* The last record; all is written on return. */
gboolean stream_write_end(StreamWriter *writer, GError **error);
/* Bytes that went to the descriptor so far, compressed if they are. */
guint64 stream_writer_sent(const StreamWriter *writer);

/* --- reading --- */

typedef struct {
  StreamType type;
  const StreamVolume *volume; /* of STREAM_BEGIN_VOLUME: as long as the reader is */
  guint index;                /* its number; also at STREAM_END_VOLUME */
  guint64 offset, length;     /* of STREAM_DATA, STREAM_ZERO, STREAM_MAPPED_ZERO */
  const void *data;           /* of STREAM_DATA: until the next record */
  GVariant *dict; /* of STREAM_DESCRIPTION, STREAM_BEGIN_VOLUME: until the next record */
} StreamRecord;

typedef struct StreamReader StreamReader;

/* From @fd, which stays the caller's; compressed or not, as it begins. Reads the header. */
StreamReader *stream_reader_new(int fd, const char *name, StreamHeader *header, GError **error);
void stream_reader_free(StreamReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StreamReader, stream_reader_free)

/* The next record. After STREAM_END, which comes once, the input has ended too: what follows it is
 * EBADMSG. */
gboolean stream_read(StreamReader *reader, StreamRecord *record, GError **error);
