/* virt-thin - the NBD server's commands: each one, each flag, each error
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "nbd-client.h"

#define VOL_SIZE (8u << 20)

static int setup(void **state)
{
  alarm(100);
  *state = served_new();
  return 0;
}

/* All memory that connections share is with others. */
static int setup_scarce(void **state)
{
  alarm(100);
  *state = served_new_with(&(NbdServerOptions){.memory = 1});
  return 0;
}

static int teardown(void **state)
{
  served_free(*state);
  return 0;
}

static void simple_read(int fd, guint64 offset, guint8 *data, guint32 length)
{
  client_request(fd, 0, NBD_CMD_READ, 7, offset, length);
  g_assert_cmpuint(client_simple(fd, 7), ==, 0);
  client_receive(fd, data, length);
}

static void test_simple(void **state)
{
  int fd = client_go(*state, "vol", FALSE, FALSE);
  g_autofree guint8 *data = pattern_new(1, 10000), *back = g_malloc(20000);
  g_assert_cmpuint(client_write(fd, 0, 65000, data, 10000), ==, 0);
  simple_read(fd, 60000, back, 20000);
  for (guint i = 0; i < 5000; i++)
    g_assert_true(back[i] == 0 && back[15000 + i] == 0);
  g_assert_cmpmem(back + 5000, 10000, data, 10000);
  simple_read(fd, VOL_SIZE - 1, back, 1);
  close(fd);
}

static void test_structured(void **state)
{
  int fd = client_go(*state, "vol", TRUE, FALSE);
  g_autofree guint8 *data = pattern_new(2, MEMORY_CHUNK), *back = g_malloc(VOL_SIZE),
                    *expected = g_malloc0(VOL_SIZE);
  for (guint64 offset = MEMORY_CHUNK; offset < VOL_SIZE;
       offset += 2 * MEMORY_CHUNK) { /* every other chunk */
    g_assert_cmpuint(client_write(fd, 0, offset, data, MEMORY_CHUNK), ==, 0);
    memcpy(expected + offset, data, MEMORY_CHUNK);
  }
  guint holes = 0, pieces = 0, n = VOL_SIZE / MEMORY_CHUNK / 2;
  client_request(fd, 0, NBD_CMD_READ, 1, 0, VOL_SIZE);
  g_assert_cmpuint(client_structured_read(fd, 1, 0, back, VOL_SIZE, &holes, &pieces), ==, 0);
  g_assert_cmpuint(holes, ==, n);
  g_assert_cmpuint(pieces, ==, n);
  g_assert_cmpmem(back, VOL_SIZE, expected, VOL_SIZE);

  /* In one piece when asked for. */
  memset(back, 1, VOL_SIZE);
  holes = pieces = 0;
  client_request(fd, NBD_CMD_FLAG_DF, NBD_CMD_READ, 2, 0, VOL_SIZE);
  g_assert_cmpuint(client_structured_read(fd, 2, 0, back, VOL_SIZE, &holes, &pieces), ==, 0);
  g_assert_cmpuint(holes, ==, 0);
  g_assert_cmpuint(pieces, ==, 1);
  g_assert_cmpmem(back, VOL_SIZE, expected, VOL_SIZE);

  /* Odd ends. */
  holes = pieces = 0;
  client_request(fd, 0, NBD_CMD_READ, 3, MEMORY_CHUNK - 3, 7);
  g_assert_cmpuint(client_structured_read(fd, 3, MEMORY_CHUNK - 3, back, 7, &holes, &pieces), ==,
                   0);
  g_assert_cmpuint(holes, ==, 1);
  g_assert_cmpuint(pieces, ==, 1);
  g_assert_cmpmem(back, 7, expected + MEMORY_CHUNK - 3, 7);
  close(fd);
}

/* The largest requests that every client may send, through each way a reply can take. */
static void test_large(void **state)
{
  Served *served = *state;
  const guint32 length = 32 << 20, offset = 12345;
  g_autofree guint8 *data = pattern_new(3, length), *back = g_malloc(length);
  int fd = client_go(served, "big", FALSE, FALSE);
  g_assert_cmpuint(client_write(fd, 0, offset, data, length), ==, 0);
  simple_read(fd, offset, back, length);
  g_assert_cmpmem(back, length, data, length);
  close(fd);

  fd = client_go(served, "big", TRUE, FALSE);
  for (guint flags = 0; flags <= NBD_CMD_FLAG_DF; flags += NBD_CMD_FLAG_DF) {
    memset(back, 0, length);
    guint pieces = 0;
    client_request(fd, flags, NBD_CMD_READ, 1, offset, length);
    g_assert_cmpuint(client_structured_read(fd, 1, offset, back, length, NULL, &pieces), ==, 0);
    g_assert_cmpmem(back, length, data, length);
    g_assert_true(flags ? pieces == 1 : pieces > 1);
  }
  /* Every size around the limits of the server's buffers. */
  static const guint32 sizes[] = {
      1,      4095,   4096,    65536,         262144 - 29, 262144 - 28,   262144 - 27,
      262144, 262145, 1 << 20, (2 << 20) - 1, 2 << 20,     (2 << 20) + 1, (3 << 20) + 77};
  for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
    g_assert_cmpuint(client_write(fd, 0, 1000 + i, data + i, sizes[i]), ==, 0);
    client_request(fd, 0, NBD_CMD_READ, i, 1000 + i, sizes[i]);
    g_assert_cmpuint(client_structured_read(fd, i, 1000 + i, back, sizes[i], NULL, NULL), ==, 0);
    g_assert_cmpmem(back, sizes[i], data + i, sizes[i]);
  }
  close(fd);
}

static void test_ranges(void **state)
{
  g_autofree guint8 *data = g_malloc0(70 << 20);
  for (guint structured = 0; structured < 2; structured++) {
    int fd = client_go(*state, "vol", structured, structured);
    static const struct {
      guint64 offset;
      guint32 length;
    } beyond[] = {{VOL_SIZE, 1},    {VOL_SIZE - 1, 2},          {VOL_SIZE + 1, 1},
                  {G_MAXUINT64, 1}, {G_MAXUINT64 - 4095, 4096}, {1ull << 63, 65536}};
    for (guint i = 0; i < G_N_ELEMENTS(beyond); i++) {
      guint64 offset = beyond[i].offset;
      guint32 length = beyond[i].length;
      g_assert_cmpuint(client_call(fd, 0, NBD_CMD_READ, offset, length), ==, NBD_EINVAL);
      g_assert_cmpuint(client_write(fd, 0, offset, data, length), ==, NBD_ENOSPC);
      g_assert_cmpuint(client_call(fd, 0, NBD_CMD_TRIM, offset, length), ==, NBD_EINVAL);
      g_assert_cmpuint(client_call(fd, 0, NBD_CMD_WRITE_ZEROES, offset, length), ==, NBD_ENOSPC);
      g_assert_cmpuint(client_call(fd, 0, NBD_CMD_CACHE, offset, length), ==, NBD_EINVAL);
      g_assert_cmpuint(client_call(fd, 0, NBD_CMD_BLOCK_STATUS, offset, length), ==, NBD_EINVAL);
    }
    g_assert_cmpuint(client_call(fd, 0, NBD_CMD_READ, 0, 0), ==, NBD_EINVAL);
    g_assert_cmpuint(client_write(fd, 0, 0, data, 0), ==, NBD_EINVAL);
    g_assert_cmpuint(client_call(fd, 0, NBD_CMD_TRIM, 0, 0), ==, NBD_EINVAL);
    g_assert_cmpuint(client_call(fd, 0, NBD_CMD_WRITE_ZEROES, 0, 0), ==, NBD_EINVAL);
    g_assert_cmpuint(client_call(fd, 0, NBD_CMD_FLUSH, 0, 4096), ==, NBD_EINVAL);
    g_assert_cmpuint(client_call(fd, 0, NBD_CMD_FLUSH, 4096, 0), ==, NBD_EINVAL);
    /* Longer than any request may be. */
    g_assert_cmpuint(client_call(fd, 0, NBD_CMD_READ, 0, (32 << 20) + 1), ==, NBD_EINVAL);
    g_assert_cmpuint(client_call(fd, 0, NBD_CMD_READ, 0, 0xffffffff), ==, NBD_EINVAL);
    g_assert_cmpuint(client_call(fd, 0, NBD_CMD_TRIM, 0, 0xffffffff), ==, NBD_EINVAL);
    g_assert_cmpuint(client_write(fd, 0, 0, data, (32 << 20) + 1), ==, NBD_EINVAL); /* swallowed */
    g_assert_cmpuint(client_write(fd, 0, VOL_SIZE - 1, data, 3 << 20), ==, NBD_ENOSPC);
    g_assert_cmpuint(client_call(fd, 0, NBD_CMD_FLUSH, 0, 0), ==, 0); /* still in step */
    client_request(fd, 0, NBD_CMD_WRITE, 1, 0, 0xffffffff);           /* not to be swallowed */
    assert_closed(fd);
  }
}

static void test_unknown(void **state)
{
  for (guint structured = 0; structured < 2; structured++) {
    int fd = client_go(*state, "vol", structured, structured);
    static const guint16 unknown[] = {8, 9, 100, 0xffff};
    for (guint i = 0; i < G_N_ELEMENTS(unknown); i++)
      g_assert_cmpuint(client_call(fd, 0, unknown[i], 0, 4096), ==, NBD_EINVAL);
    /* Which flags each command may have. */
    static const struct {
      guint16 type, allowed;
    } commands[] = {{NBD_CMD_READ, NBD_CMD_FLAG_DF},
                    {NBD_CMD_WRITE, 0},
                    {NBD_CMD_FLUSH, 0},
                    {NBD_CMD_TRIM, 0},
                    {NBD_CMD_CACHE, 0},
                    {NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO},
                    {NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE}};
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++)
      for (guint bit = 1; bit < 16; bit++)
        if (!(commands[i].allowed & 1 << bit)) {
          char data[512] = {0};
          guint32 error = commands[i].type == NBD_CMD_WRITE
                              ? client_write(fd, 1 << bit, 0, data, sizeof data)
                              : client_call(fd, 1 << bit, commands[i].type, 0, 512);
          g_assert_cmpuint(error, ==, NBD_EINVAL);
        }
    if (!structured)
      g_assert_cmpuint(client_call(fd, NBD_CMD_FLAG_DF, NBD_CMD_READ, 0, 512), ==, NBD_EINVAL);
    NbdRequest garbage = {.magic = GUINT32_TO_BE(0x25609514)};
    client_send(fd, &garbage, sizeof garbage);
    assert_closed(fd);
  }
}

/* What the pool says, and what a client may see of it. */
static void test_errors(void **state)
{
  Served *served = *state;
  static const struct {
    int err;
    guint32 error;
  } table[] = {{EPERM, NBD_EPERM},         {EROFS, NBD_EPERM},         {EIO, NBD_EIO},
               {EBADMSG, NBD_EIO},         {ESTALE, NBD_EIO},          {ENOMEM, NBD_ENOMEM},
               {EINVAL, NBD_EINVAL},       {ENOSPC, NBD_ENOSPC},       {EDQUOT, NBD_ENOSPC},
               {EFBIG, NBD_ENOSPC},        {ENOENT, NBD_EIO},          {ETIMEDOUT, NBD_EIO},
               {EOVERFLOW, NBD_EOVERFLOW}, {ESHUTDOWN, NBD_ESHUTDOWN}, {EOPNOTSUPP, NBD_EIO}};
  static const struct {
    MemoryKind kind;
    guint16 type, flags;
  } calls[] = {{MEMORY_READ, NBD_CMD_READ, 0},
               {MEMORY_EXTENT, NBD_CMD_READ, 0},
               {MEMORY_READ, NBD_CMD_READ, NBD_CMD_FLAG_DF},
               {MEMORY_WRITE, NBD_CMD_WRITE, 0},
               {MEMORY_FLUSH, NBD_CMD_FLUSH, 0},
               {MEMORY_FLUSH, NBD_CMD_WRITE, NBD_CMD_FLAG_FUA},
               {MEMORY_ZERO, NBD_CMD_WRITE_ZEROES, 0},
               {MEMORY_FLUSH, NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_FUA},
               {MEMORY_DISCARD, NBD_CMD_TRIM, 0},
               {MEMORY_FLUSH, NBD_CMD_TRIM, NBD_CMD_FLAG_FUA},
               {MEMORY_EXTENT, NBD_CMD_BLOCK_STATUS, 0},
               {MEMORY_EXTENT, NBD_CMD_BLOCK_STATUS, NBD_CMD_FLAG_REQ_ONE}};
  int fd = client_go(served, "vol", TRUE, TRUE);
  char data[512] = {0};
  g_assert_cmpuint(client_write(fd, 0, 0, data, 512), ==, 0); /* mapped, so that reads read */
  for (guint i = 0; i < G_N_ELEMENTS(table); i++)
    for (guint j = 0; j < G_N_ELEMENTS(calls); j++) {
      if (calls[j].type == NBD_CMD_TRIM && table[i].err == EOPNOTSUPP && !calls[j].flags)
        continue; /* trim is a hint: see test_trim */
      memory_pool_fail(served->pool, calls[j].kind, table[i].err);
      gboolean flush = calls[j].type == NBD_CMD_FLUSH;
      client_request(fd, calls[j].flags, calls[j].type, 55, 0, flush ? 0 : 512);
      if (calls[j].type == NBD_CMD_WRITE)
        client_send(fd, data, 512);
      g_autofree char *message = NULL;
      g_assert_cmpuint(client_result(fd, 55, &message), ==, table[i].error);
      g_assert_nonnull(strstr(message, "the test says no"));
      memory_pool_fail(served->pool, calls[j].kind, 0);
    }
  close(fd);

  fd = client_go(served, "vol", FALSE, FALSE);
  memory_pool_fail(served->pool, MEMORY_READ, EBADMSG);
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_READ, 0, 4096), ==, NBD_EIO);
  memory_pool_fail(served->pool, MEMORY_WRITE, ENOSPC);
  g_autofree guint8 *large = g_malloc0(5 << 20);
  g_assert_cmpuint(client_write(fd, 0, 0, large, 5 << 20), ==,
                   NBD_ENOSPC); /* received whole all the same */
  memory_pool_fail(served->pool, MEMORY_READ, 0);
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_FLUSH, 0, 0), ==, 0);
  close(fd);
}

/* An error in the middle of a read in pieces: what came before has been sent, the error ends it. */
static void test_late_error(void **state)
{
  Served *served = *state;
  int fd = client_go(served, "big", TRUE, FALSE);
  g_autofree guint8 *data = pattern_new(9, 4 << 20), *back = g_malloc(16 << 20);
  g_assert_cmpuint(client_write(fd, 0, 8 << 20, data, 4 << 20), ==, 0);
  memory_pool_fail(served->pool, MEMORY_READ, EBADMSG);
  guint holes = 0, pieces = 0;
  client_request(fd, 0, NBD_CMD_READ, 4, 0, 16 << 20);
  g_assert_cmpuint(client_structured_read(fd, 4, 0, back, 16 << 20, &holes, &pieces), ==, NBD_EIO);
  g_assert_cmpuint(holes, ==, 1);
  g_assert_cmpuint(pieces, ==, 0);
  memory_pool_fail(served->pool, MEMORY_READ, 0);
  client_request(fd, 0, NBD_CMD_READ, 5, 8 << 20, 4 << 20);
  g_assert_cmpuint(client_structured_read(fd, 5, 8 << 20, back, 4 << 20, NULL, NULL), ==, 0);
  g_assert_cmpmem(back, 4 << 20, data, 4 << 20);
  close(fd);
}

static void test_flush(void **state)
{
  Served *served = *state;
  int fd = client_go(served, "vol", TRUE, FALSE);
  char data[4096] = {1};
  guint before = memory_pool_count(served->pool, MEMORY_FLUSH);
  g_assert_cmpuint(client_write(fd, 0, 0, data, sizeof data), ==, 0);
  g_assert_cmpuint(memory_pool_count(served->pool, MEMORY_FLUSH), ==, before);
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_FLUSH, 0, 0), ==, 0);
  g_assert_cmpuint(memory_pool_count(served->pool, MEMORY_FLUSH), ==, before + 1);
  g_assert_cmpuint(client_write(fd, NBD_CMD_FLAG_FUA, 0, data, sizeof data), ==, 0);
  g_assert_cmpuint(client_call(fd, NBD_CMD_FLAG_FUA, NBD_CMD_WRITE_ZEROES, 0, 4096), ==, 0);
  g_assert_cmpuint(client_call(fd, NBD_CMD_FLAG_FUA, NBD_CMD_TRIM, 0, 4096), ==, 0);
  g_assert_cmpuint(memory_pool_count(served->pool, MEMORY_FLUSH), ==, before + 4);
  g_assert_cmpuint(client_call(fd, NBD_CMD_FLAG_FUA, NBD_CMD_FLUSH, 0, 0), ==, 0);
  g_assert_cmpuint(client_call(fd, NBD_CMD_FLAG_FUA, NBD_CMD_CACHE, 0, 4096), ==, 0);
  close(fd);
}

/* @length bytes at @offset: is the first mapped? */
static gboolean mapped_at(int fd, guint64 offset)
{
  client_request(fd, NBD_CMD_FLAG_REQ_ONE, NBD_CMD_BLOCK_STATUS, 88, offset, 4096);
  struct {
    NbdStatusChunk status;
    NbdDescriptor descriptor;
  } __attribute__((packed)) reply;
  client_receive(fd, &reply, sizeof reply);
  g_assert_cmphex(GUINT32_FROM_BE(reply.status.chunk.magic), ==, NBD_STRUCTURED_REPLY_MAGIC);
  g_assert_cmpint(GUINT16_FROM_BE(reply.status.chunk.type), ==, NBD_REPLY_TYPE_BLOCK_STATUS);
  g_assert_cmpint(GUINT32_FROM_BE(reply.status.chunk.length), ==, 12);
  g_assert_cmpint(GUINT32_FROM_BE(reply.descriptor.length), ==, 4096);
  guint32 flags = GUINT32_FROM_BE(reply.descriptor.flags);
  g_assert_true(flags == 0 || flags == (NBD_STATE_HOLE | NBD_STATE_ZERO));
  return flags == 0;
}

static void test_trim(void **state)
{
  Served *served = *state;
  int fd = client_go(served, "vol", TRUE, TRUE);
  g_autofree guint8 *data = pattern_new(4, 4 * MEMORY_CHUNK), *back = g_malloc(4 * MEMORY_CHUNK);
  g_assert_cmpuint(client_write(fd, 0, 0, data, 4 * MEMORY_CHUNK), ==, 0);
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_TRIM, MEMORY_CHUNK / 2, 2 * MEMORY_CHUNK), ==, 0);
  g_assert_true(mapped_at(fd, 0));
  g_assert_false(mapped_at(fd, MEMORY_CHUNK));
  g_assert_true(mapped_at(fd, 2 * MEMORY_CHUNK));
  client_request(fd, 0, NBD_CMD_READ, 1, 0, 4 * MEMORY_CHUNK);
  g_assert_cmpuint(client_structured_read(fd, 1, 0, back, 4 * MEMORY_CHUNK, NULL, NULL), ==, 0);
  memset(data + MEMORY_CHUNK, 0, MEMORY_CHUNK);
  g_assert_cmpmem(back, 4 * MEMORY_CHUNK, data,
                  4 * MEMORY_CHUNK); /* the parts at the ends keep what they had */
  memory_pool_fail(served->pool, MEMORY_DISCARD,
                   EOPNOTSUPP); /* a pool that ignores discards: a hint not taken is no error */
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_TRIM, 0, MEMORY_CHUNK), ==, 0);
  close(fd);
}

static void test_zero(void **state)
{
  Served *served = *state;
  int fd = client_go(served, "vol", TRUE, TRUE);
  const guint32 chunk = MEMORY_CHUNK, length = 4 * MEMORY_CHUNK;
  g_autofree guint8 *data = pattern_new(5, length), *back = g_malloc(length);
  g_assert_cmpuint(client_write(fd, 0, 0, data, length), ==, 0);
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_WRITE_ZEROES, chunk / 2, 2 * chunk), ==, 0);
  g_assert_false(mapped_at(fd, chunk));
  memset(data + chunk / 2, 0, 2 * chunk);
  client_request(fd, 0, NBD_CMD_READ, 1, 0, length);
  g_assert_cmpuint(client_structured_read(fd, 1, 0, back, length, NULL, NULL), ==, 0);
  g_assert_cmpmem(back, length, data, length);

  /* Without making a hole, and without leaving one. */
  g_assert_cmpuint(client_call(fd, NBD_CMD_FLAG_NO_HOLE, NBD_CMD_WRITE_ZEROES, 0, length), ==, 0);
  for (guint i = 0; i < 4; i++)
    g_assert_true(mapped_at(fd, i * chunk));
  memset(data, 0, length);
  client_request(fd, 0, NBD_CMD_READ, 2, 0, length);
  g_assert_cmpuint(client_structured_read(fd, 2, 0, back, length, NULL, NULL), ==, 0);
  g_assert_cmpmem(back, length, data, length);

  /* Only if it is faster than writing. */
  guint16 fast = NBD_CMD_FLAG_FAST_ZERO, zero = NBD_CMD_WRITE_ZEROES;
  guint before = memory_pool_count(served->pool, MEMORY_ZERO);
  g_assert_cmpuint(client_call(fd, fast | NBD_CMD_FLAG_NO_HOLE, zero, 0, length), ==, NBD_ENOTSUP);
  g_assert_cmpuint(client_call(fd, fast, zero, 1, chunk - 1), ==,
                   NBD_ENOTSUP); /* part of a mapped chunk */
  g_assert_cmpuint(client_call(fd, fast, zero, 1, 2 * chunk - 2), ==,
                   NBD_ENOTSUP); /* parts of two */
  g_assert_cmpuint(memory_pool_count(served->pool, MEMORY_ZERO), ==, before);
  g_assert_cmpuint(client_call(fd, fast, zero, chunk / 2, 2 * chunk), ==, 0);
  g_assert_false(mapped_at(fd, chunk));
  g_assert_cmpuint(client_call(fd, fast, zero, chunk + 5, 100), ==, 0); /* nothing there */
  g_assert_cmpuint(client_call(fd, fast, zero, 0, VOL_SIZE), ==, 0);
  g_assert_false(mapped_at(fd, 0));
  close(fd);
}

static void test_block_status(void **state)
{
  Served *served = *state;
  int fd = client_go(served, "vol", TRUE, TRUE);
  char byte[1] = {1};
  static const guint at[] = {1, 2, 3, 10, 127};
  for (guint i = 0; i < G_N_ELEMENTS(at); i++)
    g_assert_cmpuint(client_write(fd, 0, at[i] * (guint64)MEMORY_CHUNK, byte, 1), ==, 0);
  static const guint runs[] = {1, 3, 6, 1, 116, 1}; /* in chunks, hole first */
  client_request(fd, 0, NBD_CMD_BLOCK_STATUS, 9, 0, VOL_SIZE);
  struct {
    NbdStatusChunk status;
    NbdDescriptor descriptors[6];
  } __attribute__((packed)) reply;
  client_receive(fd, &reply, sizeof reply);
  g_assert_cmpint(GUINT32_FROM_BE(reply.status.chunk.length), ==, 4 + 6 * 8);
  for (guint i = 0; i < 6; i++) {
    g_assert_cmpuint(GUINT32_FROM_BE(reply.descriptors[i].length), ==, runs[i] * MEMORY_CHUNK);
    g_assert_cmpuint(GUINT32_FROM_BE(reply.descriptors[i].flags), ==, i % 2 ? 0 : 3);
  }
  /* One run that stops within the request. */
  client_request(fd, NBD_CMD_FLAG_REQ_ONE, NBD_CMD_BLOCK_STATUS, 10, 5000, VOL_SIZE - 5000);
  client_receive(fd, &reply, sizeof(NbdStatusChunk) + sizeof(NbdDescriptor));
  g_assert_cmpuint(GUINT32_FROM_BE(reply.descriptors[0].length), ==, MEMORY_CHUNK - 5000);
  close(fd);
}

static void test_read_only(void **state)
{
  Served *served = *state;
  int fd = client_go(served, "ro", TRUE, FALSE);
  g_autofree guint8 *data = g_malloc0(3 << 20);
  g_assert_cmpuint(client_write(fd, 0, 0, data, 512), ==, NBD_EPERM);
  g_assert_cmpuint(client_write(fd, 0, 0, data, 3 << 20), ==, NBD_EPERM);
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_TRIM, 0, 65536), ==, NBD_EPERM);
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_WRITE_ZEROES, 0, 65536), ==, NBD_EPERM);
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_FLUSH, 0, 0), ==, 0);
  client_request(fd, 0, NBD_CMD_READ, 1, 0, 65536);
  g_assert_cmpuint(client_structured_read(fd, 1, 0, data, 65536, NULL, NULL), ==, 0);
  close(fd);

  /* All of them, when the server is told so. */
  Served all = {served->pool, NULL};
  g_autoptr(GError) error = NULL;
  all.server =
      nbd_server_start_fd(served->pool, -1, &(NbdServerOptions){.read_only = TRUE}, &error);
  g_assert_no_error(error);
  fd = client_go(&all, "vol", FALSE, FALSE);
  g_assert_cmpuint(client_write(fd, 0, 0, data, 512), ==, NBD_EPERM);
  close(fd);
  nbd_server_stop(all.server, 1000);
}

static void test_resize(void **state)
{
  Served *served = *state;
  int fd = client_go(served, "vol", TRUE, FALSE);
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_READ, VOL_SIZE, 4096), ==, NBD_EINVAL);
  memory_pool_resize(served->pool, "vol", VOL_SIZE + 65536);
  guint8 data[4096];
  client_request(fd, 0, NBD_CMD_READ, 1, VOL_SIZE, 4096);
  g_assert_cmpuint(client_structured_read(fd, 1, VOL_SIZE, data, 4096, NULL, NULL), ==, 0);
  memory_pool_resize(served->pool, "vol", VOL_SIZE / 2);
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_READ, VOL_SIZE - 4096, 4096), ==, NBD_EINVAL);
  g_assert_cmpuint(client_write(fd, 0, VOL_SIZE - 4096, data, 4096), ==, NBD_ENOSPC);
  close(fd);
}

/* A process that sends while this one receives. */
static pid_t send_pipeline(int fd, guint16 type, guint n, const guint8 *data, guint32 size)
{
  pid_t pid = fork();
  if (pid != 0)
    return pid;
  for (guint i = 0; i < n; i++) {
    client_request(fd, 0, type, i, i * size, size);
    if (data)
      client_send(fd, data + i * size, size);
  }
  _exit(0);
}

/* Many requests on their way at once, answered in any order, each to its own cookie. */
static void test_pipeline(void **state)
{
  Served *served = *state;
  enum { N = 2000, SIZE = 4096 };
  for (guint delay = 0; delay <= 50; delay += 50) { /* one thread; then several */
    memory_pool_delay(served->pool, MEMORY_READ, delay);
    memory_pool_delay(served->pool, MEMORY_WRITE, delay);
    int fd = client_go(served, "vol", FALSE, FALSE);
    g_autofree guint8 *data = pattern_new(6 + delay, N * SIZE), *back = g_malloc(SIZE);
    g_autofree gboolean *seen = g_new0(gboolean, N);
    pid_t sender = send_pipeline(fd, NBD_CMD_WRITE, N, data, SIZE);
    for (guint i = 0; i < N; i++) {
      NbdSimpleReply reply;
      client_receive(fd, &reply, sizeof reply);
      g_assert_cmpuint(reply.error, ==, 0);
      g_assert_cmpuint(reply.cookie, <, N);
      g_assert_false(seen[reply.cookie]);
      seen[reply.cookie] = TRUE;
    }
    g_assert_cmpint(waitpid(sender, NULL, 0), ==, sender);
    sender = send_pipeline(fd, NBD_CMD_READ, N, NULL, SIZE);
    for (guint i = 0; i < N; i++) {
      NbdSimpleReply reply;
      client_receive(fd, &reply, sizeof reply);
      g_assert_cmpuint(reply.error, ==, 0);
      g_assert_cmpuint(reply.cookie, <, N);
      g_assert_true(seen[reply.cookie]);
      seen[reply.cookie] = FALSE;
      client_receive(fd, back, SIZE);
      g_assert_cmpmem(back, SIZE, data + reply.cookie * SIZE, SIZE);
    }
    g_assert_cmpint(waitpid(sender, NULL, 0), ==, sender);
    close(fd);
  }
}

static void test_multi_conn(void **state)
{
  Served *served = *state;
  int a = client_go(served, "vol", TRUE, FALSE), b = client_go(served, "vol", TRUE, FALSE);
  g_autofree guint8 *data = pattern_new(8, 65536), *back = g_malloc(65536);
  g_assert_cmpuint(client_write(a, 0, 4096, data, 65536), ==, 0);
  client_request(b, 0, NBD_CMD_READ, 1, 4096, 65536);
  g_assert_cmpuint(client_structured_read(b, 1, 4096, back, 65536, NULL, NULL), ==, 0);
  g_assert_cmpmem(back, 65536, data, 65536);
  g_assert_cmpuint(client_call(b, 0, NBD_CMD_FLUSH, 0, 0), ==, 0);
  g_assert_cmpuint(memory_pool_opens(served->pool, "vol", NULL), ==, 2);
  close(a);
  close(b);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_simple),  TEST(test_structured), TEST(test_large),        TEST(test_ranges),
      TEST(test_unknown), TEST(test_errors),     TEST(test_late_error),   TEST(test_flush),
      TEST(test_trim),    TEST(test_zero),       TEST(test_block_status), TEST(test_read_only),
      TEST(test_resize),  TEST(test_pipeline),   TEST(test_multi_conn),
  };
  struct CMUnitTest all[2 * G_N_ELEMENTS(tests)];
  for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
    g_autofree char *name = g_strconcat(tests[i].name, "_with_scarce_memory", NULL);
    struct CMUnitTest *scarce = &all[G_N_ELEMENTS(tests) + i];
    all[i] = *scarce = tests[i];
    scarce->name = g_intern_string(name);
    scarce->setup_func = setup_scarce;
  }
  return cmocka_run_group_tests_name("nbd-requests", all, NULL, NULL);
}
