/* virt-thin - a bare NBD client for tests: says exactly the bytes it is told to
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "nbd-client.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

Served *served_new(void)
{
  return served_new_with(NULL);
}

Served *served_new_with(const NbdServerOptions *options)
{
  Served *served = g_new0(Served, 1);
  served->pool = memory_pool_new();
  memory_pool_add(served->pool, "vol", 8 << 20, FALSE);
  memory_pool_add(served->pool, "other", 1 << 20, FALSE);
  memory_pool_add(served->pool, "ro", 1 << 20, TRUE);
  memory_pool_add(served->pool, "big", 64 << 20, FALSE);
  g_autoptr(GError) error = NULL;
  served->server = nbd_server_start_fd(served->pool, -1, options, &error);
  g_assert_no_error(error);
  return served;
}

void served_free(Served *served)
{
  nbd_server_stop(served->server, 5000); /* NULL: the test has stopped it */
  g_assert_cmpint(memory_pool_opens(served->pool, "vol", NULL), ==, 0);
  g_assert_cmpint(memory_pool_views(served->pool, "vol"), ==, 0);
  pool_unref(served->pool);
  g_free(served);
}

int client_new(Served *served)
{
  int pair[2];
  g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
  struct timeval timeout = {20, 0};
  setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  g_autoptr(GError) error = NULL;
  nbd_server_add(served->server, pair[0], FALSE, &error);
  g_assert_no_error(error);
  return pair[1];
}

void client_send(int fd, const void *data, gsize length)
{
  for (gsize done = 0; done < length;) {
    ssize_t n = send(fd, (const char *)data + done, length - done, MSG_NOSIGNAL);
    g_assert_cmpint(n, >, 0);
    done += n;
  }
}

void client_receive(int fd, void *data, gsize length)
{
  for (gsize done = 0; done < length;) {
    ssize_t n = recv(fd, (char *)data + done, length - done, 0);
    if (n < 0)
      g_error("waiting for %zu bytes: %s", length - done, g_strerror(errno));
    if (n == 0)
      g_error("closed, waiting for %zu bytes", length - done);
    done += n;
  }
}

void assert_closed(int fd)
{
  char byte;
  ssize_t n = recv(fd, &byte, 1, 0);
  g_assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
  close(fd);
}

int client_hello(Served *served)
{
  int fd = client_new(served);
  NbdGreeting greeting;
  client_receive(fd, &greeting, sizeof greeting);
  g_assert_cmphex(GUINT64_FROM_BE(greeting.magic), ==, NBD_MAGIC);
  g_assert_cmphex(GUINT64_FROM_BE(greeting.option_magic), ==, NBD_OPTION_MAGIC);
  g_assert_cmphex(GUINT16_FROM_BE(greeting.flags), ==,
                  NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
  guint32 flags = GUINT32_TO_BE(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
  client_send(fd, &flags, sizeof flags);
  return fd;
}

void client_option(int fd, guint32 option, const void *data, guint32 length)
{
  NbdOption header = {GUINT64_TO_BE(NBD_OPTION_MAGIC), GUINT32_TO_BE(option),
                      GUINT32_TO_BE(length)};
  client_send(fd, &header, sizeof header);
  if (data)
    client_send(fd, data, length);
}

guint32 client_option_reply(int fd, guint32 option, GByteArray **data)
{
  NbdOptionReply reply;
  client_receive(fd, &reply, sizeof reply);
  g_assert_cmphex(GUINT64_FROM_BE(reply.magic), ==, NBD_REP_MAGIC);
  g_assert_cmpint(GUINT32_FROM_BE(reply.option), ==, option);
  guint32 length = GUINT32_FROM_BE(reply.length);
  g_autoptr(GByteArray) bytes = g_byte_array_sized_new(length);
  g_byte_array_set_size(bytes, length);
  client_receive(fd, bytes->data, length);
  if (data)
    *data = g_steal_pointer(&bytes);
  return GUINT32_FROM_BE(reply.type);
}

static void append_u32(GByteArray *array, guint32 value)
{
  value = GUINT32_TO_BE(value);
  g_byte_array_append(array, (const guint8 *)&value, sizeof value);
}

static void append_u16(GByteArray *array, guint16 value)
{
  value = GUINT16_TO_BE(value);
  g_byte_array_append(array, (const guint8 *)&value, sizeof value);
}

static void append_string(GByteArray *array, const char *string)
{
  append_u32(array, strlen(string));
  g_byte_array_append(array, (const guint8 *)string, strlen(string));
}

GByteArray *client_info_data(const char *name, const int *infos)
{
  GByteArray *data = g_byte_array_new();
  append_string(data, name);
  guint16 n = 0;
  while (infos && infos[n] >= 0)
    n++;
  append_u16(data, n);
  for (guint16 i = 0; i < n; i++)
    append_u16(data, infos[i]);
  return data;
}

GByteArray *client_context_data(const char *name, const char *const *queries)
{
  GByteArray *data = g_byte_array_new();
  append_string(data, name);
  append_u32(data, g_strv_length((char **)queries));
  for (; *queries; queries++)
    append_string(data, *queries);
  return data;
}

int client_go(Served *served, const char *name, gboolean structured, gboolean block_status)
{
  int fd = client_hello(served);
  if (structured) {
    client_option(fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
    g_assert_cmpuint(client_option_reply(fd, NBD_OPT_STRUCTURED_REPLY, NULL), ==, NBD_REP_ACK);
  }
  if (block_status) {
    g_autoptr(GByteArray) data =
        client_context_data(name, (const char *const[]){"base:allocation", NULL});
    client_option(fd, NBD_OPT_SET_META_CONTEXT, data->data, data->len);
    g_assert_cmpuint(client_option_reply(fd, NBD_OPT_SET_META_CONTEXT, NULL), ==,
                     NBD_REP_META_CONTEXT);
    g_assert_cmpuint(client_option_reply(fd, NBD_OPT_SET_META_CONTEXT, NULL), ==, NBD_REP_ACK);
  }
  g_autoptr(GByteArray) data = client_info_data(name, NULL);
  client_option(fd, NBD_OPT_GO, data->data, data->len);
  g_assert_cmpuint(client_option_reply(fd, NBD_OPT_GO, NULL), ==, NBD_REP_INFO);
  g_assert_cmpuint(client_option_reply(fd, NBD_OPT_GO, NULL), ==, NBD_REP_ACK);
  return fd;
}

void client_request(int fd, guint16 flags, guint16 type, guint64 cookie, guint64 offset,
                    guint32 length)
{
  NbdRequest request = {GUINT32_TO_BE(NBD_REQUEST_MAGIC),
                        GUINT16_TO_BE(flags),
                        GUINT16_TO_BE(type),
                        cookie,
                        GUINT64_TO_BE(offset),
                        GUINT32_TO_BE(length)};
  client_send(fd, &request, sizeof request);
}

guint32 client_simple(int fd, guint64 cookie)
{
  NbdSimpleReply reply;
  client_receive(fd, &reply, sizeof reply);
  g_assert_cmphex(GUINT32_FROM_BE(reply.magic), ==, NBD_SIMPLE_REPLY_MAGIC);
  g_assert_cmphex(reply.cookie, ==, cookie);
  return GUINT32_FROM_BE(reply.error);
}

/* What follows the magic of an error chunk. */
static guint32 receive_error_chunk(int fd, guint64 cookie, char **message)
{
  NbdErrorChunk reply;
  client_receive(fd, &reply.chunk.flags, sizeof reply - 4);
  g_assert_cmphex(reply.chunk.cookie, ==, cookie);
  g_assert_cmpint(GUINT16_FROM_BE(reply.chunk.type), ==, NBD_REPLY_TYPE_ERROR);
  g_assert_cmpint(GUINT16_FROM_BE(reply.chunk.flags), ==, NBD_REPLY_FLAG_DONE);
  guint16 length = GUINT16_FROM_BE(reply.message_length);
  g_assert_cmpint(GUINT32_FROM_BE(reply.chunk.length), ==, 6 + length);
  g_autofree char *text = g_malloc0(length + 1);
  client_receive(fd, text, length);
  if (message)
    *message = g_steal_pointer(&text);
  return GUINT32_FROM_BE(reply.error);
}

guint32 client_result(int fd, guint64 cookie, char **message)
{
  guint32 magic;
  client_receive(fd, &magic, sizeof magic);
  if (magic == GUINT32_TO_BE(NBD_STRUCTURED_REPLY_MAGIC))
    return receive_error_chunk(fd, cookie, message);
  g_assert_cmphex(GUINT32_FROM_BE(magic), ==, NBD_SIMPLE_REPLY_MAGIC);
  NbdSimpleReply reply;
  client_receive(fd, &reply.error, sizeof reply - 4);
  g_assert_cmphex(reply.cookie, ==, cookie);
  if (message)
    *message = NULL;
  return GUINT32_FROM_BE(reply.error);
}

guint32 client_call(int fd, guint16 flags, guint16 type, guint64 offset, guint32 length)
{
  static guint64 cookie = 1000;
  guint64 mine = __atomic_add_fetch(&cookie, 1, __ATOMIC_RELAXED);
  client_request(fd, flags, type, mine, offset, length);
  return client_result(fd, mine, NULL);
}

guint32 client_write(int fd, guint16 flags, guint64 offset, const void *data, guint32 length)
{
  client_request(fd, flags, NBD_CMD_WRITE, offset + 1, offset, length);
  client_send(fd, data, length);
  return client_result(fd, offset + 1, NULL);
}

guint32 client_structured_read(int fd, guint64 cookie, guint64 offset, guint8 *data, guint32 length,
                               guint *holes, guint *pieces)
{
  guint32 left = length;
  for (gboolean done = FALSE; !done;) {
    NbdChunk chunk;
    client_receive(fd, &chunk, sizeof chunk);
    g_assert_cmphex(GUINT32_FROM_BE(chunk.magic), ==, NBD_STRUCTURED_REPLY_MAGIC);
    g_assert_cmphex(chunk.cookie, ==, cookie);
    done = GUINT16_FROM_BE(chunk.flags) & NBD_REPLY_FLAG_DONE;
    guint32 n = GUINT32_FROM_BE(chunk.length);
    if (GUINT16_FROM_BE(chunk.type) == NBD_REPLY_TYPE_ERROR) {
      g_autofree guint8 *rest = g_malloc(n);
      client_receive(fd, rest, n);
      g_assert_true(done);
      return GUINT32_FROM_BE(*(guint32 *)rest);
    }
    guint64 at;
    client_receive(fd, &at, sizeof at);
    at = GUINT64_FROM_BE(at);
    if (GUINT16_FROM_BE(chunk.type) == NBD_REPLY_TYPE_OFFSET_HOLE) {
      client_receive(fd, &n, sizeof n);
      n = GUINT32_FROM_BE(n);
      memset(data + (at - offset), 0, n);
      if (holes)
        ++*holes;
    } else {
      g_assert_cmpint(GUINT16_FROM_BE(chunk.type), ==, NBD_REPLY_TYPE_OFFSET_DATA);
      n -= 8;
      g_assert_cmpuint(at - offset + n, <=, length);
      client_receive(fd, data + (at - offset), n);
      if (pieces)
        ++*pieces;
    }
    left -= n;
  }
  g_assert_cmpuint(left, ==, 0);
  return 0;
}

guint8 *pattern_new(guint64 seed, gsize length)
{
  guint8 *data = g_malloc(length);
  for (gsize i = 0; i < length; i++)
    data[i] = (seed + i / 8) * 0x9e3779b97f4a7c15ull >> (i % 8 * 8);
  return data;
}
