/* virt-thin - the NBD protocol on the wire: numbers and structures
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Source: the protocol document of the NetworkBlockDevice project, doc/proto.md (public domain).
 * Everything is big-endian; the structures are packed and hold what is sent, so each field goes
 * through GUINTxx_TO_BE / GUINTxx_FROM_BE.
 */
#pragma once

#include <glib.h>

/* --- handshake --- */

#define NBD_MAGIC G_GUINT64_CONSTANT(0x4e42444d41474943)        /* "NBDMAGIC" */
#define NBD_OPTION_MAGIC G_GUINT64_CONSTANT(0x49484156454f5054) /* "IHAVEOPT" */
#define NBD_REP_MAGIC G_GUINT64_CONSTANT(0x3e889045565a9)

enum {
  NBD_FLAG_FIXED_NEWSTYLE = 1 << 0, /* the client's flags have the same bits */
  NBD_FLAG_NO_ZEROES = 1 << 1,
};

enum {
  NBD_OPT_EXPORT_NAME = 1,
  NBD_OPT_ABORT = 2,
  NBD_OPT_LIST = 3,
  NBD_OPT_STARTTLS = 5,
  NBD_OPT_INFO = 6,
  NBD_OPT_GO = 7,
  NBD_OPT_STRUCTURED_REPLY = 8,
  NBD_OPT_LIST_META_CONTEXT = 9,
  NBD_OPT_SET_META_CONTEXT = 10,
};

#define NBD_REP_ERR(n) (0x80000000u + (n))
#define NBD_REP_ACK 1u
#define NBD_REP_SERVER 2u
#define NBD_REP_INFO 3u
#define NBD_REP_META_CONTEXT 4u
#define NBD_REP_ERR_UNSUP NBD_REP_ERR(1)
#define NBD_REP_ERR_POLICY NBD_REP_ERR(2)
#define NBD_REP_ERR_INVALID NBD_REP_ERR(3)
#define NBD_REP_ERR_PLATFORM NBD_REP_ERR(4)
#define NBD_REP_ERR_UNKNOWN NBD_REP_ERR(6)
#define NBD_REP_ERR_SHUTDOWN NBD_REP_ERR(7)
#define NBD_REP_ERR_TOO_BIG NBD_REP_ERR(9)

enum {
  NBD_INFO_EXPORT = 0,
  NBD_INFO_NAME = 1,
  NBD_INFO_DESCRIPTION = 2,
  NBD_INFO_BLOCK_SIZE = 3,
};

#define NBD_NAME_MAX 4096u /* longest string of the protocol */

typedef struct {
  guint64 magic, option_magic;
  guint16 flags;
} __attribute__((packed)) NbdGreeting;
G_STATIC_ASSERT(sizeof(NbdGreeting) == 18);

typedef struct {
  guint64 magic;
  guint32 option, length;
} __attribute__((packed)) NbdOption;
G_STATIC_ASSERT(sizeof(NbdOption) == 16);

typedef struct {
  guint64 magic;
  guint32 option, type, length;
} __attribute__((packed)) NbdOptionReply;
G_STATIC_ASSERT(sizeof(NbdOptionReply) == 20);

typedef struct {
  guint16 info;
  guint64 size;
  guint16 flags;
} __attribute__((packed)) NbdInfoExport;
G_STATIC_ASSERT(sizeof(NbdInfoExport) == 12);

typedef struct {
  guint16 info;
  guint32 minimum, preferred, maximum;
} __attribute__((packed)) NbdInfoBlockSize;
G_STATIC_ASSERT(sizeof(NbdInfoBlockSize) == 14);

typedef struct {
  guint64 size;
  guint16 flags;
  guint8 zeroes[124]; /* not sent after NBD_FLAG_NO_ZEROES */
} __attribute__((packed)) NbdExportNameReply;
G_STATIC_ASSERT(sizeof(NbdExportNameReply) == 134);

/* Transmission flags: what an export can do. */
enum {
  NBD_FLAG_HAS_FLAGS = 1 << 0,
  NBD_FLAG_READ_ONLY = 1 << 1,
  NBD_FLAG_SEND_FLUSH = 1 << 2,
  NBD_FLAG_SEND_FUA = 1 << 3,
  NBD_FLAG_SEND_TRIM = 1 << 5,
  NBD_FLAG_SEND_WRITE_ZEROES = 1 << 6,
  NBD_FLAG_SEND_DF = 1 << 7,
  NBD_FLAG_CAN_MULTI_CONN = 1 << 8,
  NBD_FLAG_SEND_CACHE = 1 << 10,
  NBD_FLAG_SEND_FAST_ZERO = 1 << 11,
};

/* --- transmission --- */

#define NBD_REQUEST_MAGIC 0x25609513u
#define NBD_SIMPLE_REPLY_MAGIC 0x67446698u
#define NBD_STRUCTURED_REPLY_MAGIC 0x668e33efu

enum {
  NBD_CMD_READ = 0,
  NBD_CMD_WRITE = 1,
  NBD_CMD_DISC = 2,
  NBD_CMD_FLUSH = 3,
  NBD_CMD_TRIM = 4,
  NBD_CMD_CACHE = 5,
  NBD_CMD_WRITE_ZEROES = 6,
  NBD_CMD_BLOCK_STATUS = 7,
};

enum {
  NBD_CMD_FLAG_FUA = 1 << 0,
  NBD_CMD_FLAG_NO_HOLE = 1 << 1,
  NBD_CMD_FLAG_DF = 1 << 2,
  NBD_CMD_FLAG_REQ_ONE = 1 << 3,
  NBD_CMD_FLAG_FAST_ZERO = 1 << 4,
};

enum { NBD_REPLY_FLAG_DONE = 1 << 0 };

enum {
  NBD_REPLY_TYPE_NONE = 0,
  NBD_REPLY_TYPE_OFFSET_DATA = 1,
  NBD_REPLY_TYPE_OFFSET_HOLE = 2,
  NBD_REPLY_TYPE_BLOCK_STATUS = 5,
  NBD_REPLY_TYPE_ERROR = (1 << 15) + 1,
};

/* base:allocation */
enum { NBD_STATE_HOLE = 1 << 0, NBD_STATE_ZERO = 1 << 1 };
/* qemu:dirty-bitmap:NAME, QEMU's */
enum { NBD_STATE_DIRTY = 1 << 0 };

/* The only error numbers that may be sent; they are Linux's of the same name. */
enum {
  NBD_SUCCESS = 0,
  NBD_EPERM = 1,
  NBD_EIO = 5,
  NBD_ENOMEM = 12,
  NBD_EINVAL = 22,
  NBD_ENOSPC = 28,
  NBD_EOVERFLOW = 75,
  NBD_ENOTSUP = 95,
  NBD_ESHUTDOWN = 108,
};

typedef struct {
  guint32 magic;
  guint16 flags, type;
  guint64 cookie, offset;
  guint32 length;
} __attribute__((packed)) NbdRequest;
G_STATIC_ASSERT(sizeof(NbdRequest) == 28);

typedef struct {
  guint32 magic, error;
  guint64 cookie;
} __attribute__((packed)) NbdSimpleReply;
G_STATIC_ASSERT(sizeof(NbdSimpleReply) == 16);

typedef struct {
  guint32 magic;
  guint16 flags, type;
  guint64 cookie;
  guint32 length; /* of what follows */
} __attribute__((packed)) NbdChunk;
G_STATIC_ASSERT(sizeof(NbdChunk) == 20);

typedef struct {
  NbdChunk chunk;
  guint64 offset;
} __attribute__((packed)) NbdDataChunk;
G_STATIC_ASSERT(sizeof(NbdDataChunk) == 28);

typedef struct {
  NbdChunk chunk;
  guint64 offset;
  guint32 length;
} __attribute__((packed)) NbdHoleChunk;
G_STATIC_ASSERT(sizeof(NbdHoleChunk) == 32);

typedef struct {
  NbdChunk chunk;
  guint32 error;
  guint16 message_length;
} __attribute__((packed)) NbdErrorChunk;
G_STATIC_ASSERT(sizeof(NbdErrorChunk) == 26);

typedef struct {
  NbdChunk chunk;
  guint32 context;
} __attribute__((packed)) NbdStatusChunk;
G_STATIC_ASSERT(sizeof(NbdStatusChunk) == 24);

typedef struct {
  guint32 length, flags;
} __attribute__((packed)) NbdDescriptor;
G_STATIC_ASSERT(sizeof(NbdDescriptor) == 8);
