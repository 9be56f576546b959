/* virt-thin - libFuzzer target: whatever a client may send to the NBD server
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The input goes through a socket pair to a connection over a pool in memory; the replies are read
 * and thrown away. Its first byte says how: bit 0 a handshake in good order comes first (structured
 * replies by bit 1, base:allocation and what has changed since a snapshot by bit 2), so that the
 * rest are requests; bits 3 and 4 the sizes of the pieces it is sent in; bit 5 it hangs up without
 * reading the replies; bit 6 the pool fails every write. With a handshake, each request's magic
 * number is put right.
 */
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/memory-pool.h"
#include "service/nbd/nbd-protocol.h"
#include "service/nbd/nbd-server.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static VolumeGroup *group;
static NbdServer *server;

static void silence(const char *domain, GLogLevelFlags level, const char *message, gpointer data)
{
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  g_log_set_handler("virt-thin", G_LOG_LEVEL_WARNING | G_LOG_LEVEL_DEBUG, silence, NULL);
  group = memory_pool_new();
  memory_pool_add(group, "v", 1 << 20, FALSE);
  memory_pool_add(group, "r", 1 << 20, TRUE);
  memory_pool_snapshot(group, "v", "a");
  server = nbd_server_start_fd(group, -1, NULL, NULL);
  return 0;
}

static void add(GByteArray *out, const void *data, gsize length)
{
  g_byte_array_append(out, data, length);
}

static void add_option(GByteArray *out, guint32 option, const void *data, guint32 length)
{
  NbdOption header = {GUINT64_TO_BE(NBD_OPTION_MAGIC), GUINT32_TO_BE(option),
                      GUINT32_TO_BE(length)};
  add(out, &header, sizeof header);
  add(out, data, length);
}

static void add_handshake(GByteArray *out, guint8 how)
{
  guint32 flags = GUINT32_TO_BE(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
  add(out, &flags, sizeof flags);
  if (how & 2)
    add_option(out, NBD_OPT_STRUCTURED_REPLY, "", 0);
  if (how & 4)
    add_option(out, NBD_OPT_SET_META_CONTEXT,
               "\0\0\0\1v\0\0\0\2\0\0\0\017base:allocation"
               "\0\0\0\031qemu:dirty-bitmap:since-a",
               57);
  add_option(out, NBD_OPT_GO, "\0\0\0\1v\0\0", 7);
}

/* Requests with their magic number put right, as far as the input goes. */
static void add_requests(GByteArray *out, const guint8 *data, gsize size)
{
  while (size >= sizeof(NbdRequest)) {
    NbdRequest request;
    memcpy(&request, data, sizeof request);
    request.magic = GUINT32_TO_BE(NBD_REQUEST_MAGIC);
    gsize payload =
        request.type == GUINT16_TO_BE(NBD_CMD_WRITE) ? GUINT32_FROM_BE(request.length) : 0;
    gsize length = sizeof request + MIN(payload, size - sizeof request);
    add(out, &request, sizeof request);
    add(out, data + sizeof request, length - sizeof request);
    data += length;
    size -= length;
  }
  add(out, data, size);
}

/* Send in pieces of @piece, reading what comes; FALSE: the server hung up. */
static gboolean exchange(int fd, const guint8 *data, gsize size, gsize piece)
{
  char sink[65536];
  while (size > 0) {
    struct pollfd pfd = {fd, POLLIN | POLLOUT, 0};
    poll(&pfd, 1, -1);
    if (pfd.revents & POLLIN && recv(fd, sink, sizeof sink, MSG_DONTWAIT) == 0)
      return FALSE;
    if (pfd.revents & POLLOUT) {
      ssize_t n = send(fd, data, MIN(size, piece), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN)
        return FALSE;
      data += MAX(n, 0);
      size -= MAX(n, 0);
    }
  }
  return TRUE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static const gsize pieces[] = {1 << 20, 1, 27, 4096};
  if (size == 0)
    return 0;
  guint8 how = *data++;
  size--;
  int pair[2];
  g_assert_true(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  memory_pool_fail(group, MEMORY_WRITE, how & 64 ? ENOSPC : 0);
  g_assert_true(nbd_server_add(server, pair[0], FALSE, NULL));
  g_autoptr(GByteArray) out = g_byte_array_new();
  if (how & 1) {
    add_handshake(out, how);
    add_requests(out, data, size);
  } else
    add(out, data, size);
  gboolean alive = exchange(pair[1], out->data, out->len, pieces[how >> 3 & 3]);
  if (alive && !(how & 32)) {
    char sink[65536];
    shutdown(pair[1], SHUT_WR);
    while (recv(pair[1], sink, sizeof sink, 0) > 0)
      ;
  }
  close(pair[1]);
  /* It must end, and close what it had open. */
  for (;;) {
    g_autoptr(GPtrArray) clients = nbd_server_list_clients(server);
    if (clients->len == 0)
      break;
    g_usleep(20);
  }
  g_assert_cmpuint(memory_pool_opens(group, "v", NULL), ==, 0);
  return 0;
}
