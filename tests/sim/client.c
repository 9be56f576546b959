/* virt-thin - simulation: a client of the NBD server, as a VtIo
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/nbd/nbd-protocol.h"
#include "util/error.h"
#include "world.h"

typedef struct {
  VtIo io;
  int fd; /* -1: it has hung up */
  guint64 size, cookie;
  SimRandom random;
  gboolean may_hang_up;
} Client;

/* --- bytes --- */

static gboolean end(Client *c, int code, GError **error)
{
  if (c->fd >= 0)
    close(c->fd);
  c->fd = -1;
  return vt_set_error(error, code, "%s: the connection is gone", c->io.name);
}

static gboolean gone(Client *c, GError **error)
{
  return end(c, ECONNRESET, error);
}

static gboolean put(Client *c, const void *data, gsize length, GError **error)
{
  for (gsize done = 0; done < length;) {
    ssize_t n = send(c->fd, (const char *)data + done, length - done, MSG_NOSIGNAL);

    if (n <= 0)
      return gone(c, error);
    done += n;
  }
  return TRUE;
}

static gboolean get(Client *c, void *data, gsize length, GError **error)
{
  for (gsize done = 0; done < length;) {
    ssize_t n = recv(c->fd, (char *)data + done, length - done, 0);

    if (n <= 0)
      return gone(c, error);
    done += n;
  }
  return TRUE;
}

/* --- requests --- */

/* Somewhere in the midst of one. */
static gboolean hangs_up(Client *c)
{
  gboolean up = c->may_hang_up && sim_chance(&c->random, 60);

  sim_totals.hung_up += up;
  return up;
}

static gboolean ask(Client *c, guint16 flags, guint16 type, guint64 offset, guint64 length,
                    const void *payload, GError **error)
{
  NbdRequest request = {GUINT32_TO_BE(NBD_REQUEST_MAGIC),
                        GUINT16_TO_BE(flags),
                        GUINT16_TO_BE(type),
                        ++c->cookie,
                        GUINT64_TO_BE(offset),
                        GUINT32_TO_BE((guint32)length)};

  if (c->fd < 0)
    return gone(c, error);
  if (!put(c, &request, sizeof request, error))
    return FALSE;
  if (payload && hangs_up(c)) {
    put(c, payload, sim_next(&c->random, (guint32)length), NULL);
    return end(c, ECANCELED, error);
  }
  return !payload || put(c, payload, length, error);
}

gboolean client_has_hung_up(VtIo *io)
{
  return ((Client *)io)->fd < 0;
}

static gboolean answer(Client *c, void *data, gsize length, GError **error)
{
  NbdSimpleReply reply;
  guint32 code;

  if (hangs_up(c))
    return end(c, ECANCELED, error);
  if (!get(c, &reply, sizeof reply, error))
    return FALSE;
  if (reply.cookie != c->cookie || reply.magic != GUINT32_TO_BE(NBD_SIMPLE_REPLY_MAGIC))
    sim_fail("an NBD client gets a reply that it has not asked for");
  code = GUINT32_FROM_BE(reply.error);
  if (code)
    return vt_set_error(error, code == NBD_EPERM ? EROFS : (int)code, "%s: NBD error %u",
                        c->io.name, code);
  return length == 0 || get(c, data, length, error);
}

static gboolean client_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                             GError **error)
{
  Client *c = (Client *)io;

  for (int i = 0; i < n_iov; offset += iov[i++].iov_len)
    if (!ask(c, 0, NBD_CMD_READ, offset, iov[i].iov_len, NULL, error) ||
        !answer(c, iov[i].iov_base, iov[i].iov_len, error))
      return FALSE;
  return TRUE;
}

static gboolean client_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                              GError **error)
{
  Client *c = (Client *)io;

  for (int i = 0; i < n_iov; offset += iov[i++].iov_len)
    if (!ask(c, 0, NBD_CMD_WRITE, offset, iov[i].iov_len, iov[i].iov_base, error) ||
        !answer(c, NULL, 0, error))
      return FALSE;
  return TRUE;
}

static gboolean client_flush(VtIo *io, GError **error)
{
  Client *c = (Client *)io;

  return ask(c, 0, NBD_CMD_FLUSH, 0, 0, NULL, error) && answer(c, NULL, 0, error);
}

static gboolean client_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                            GError **error)
{
  Client *c = (Client *)io;
  guint16 nbd_flags = flags & VT_IO_ZERO_MAY_UNMAP ? 0 : NBD_CMD_FLAG_NO_HOLE;

  return ask(c, nbd_flags, NBD_CMD_WRITE_ZEROES, offset, length, NULL, error) &&
         answer(c, NULL, 0, error);
}

static gboolean client_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  Client *c = (Client *)io;

  return ask(c, 0, NBD_CMD_TRIM, offset, length, NULL, error) && answer(c, NULL, 0, error);
}

static guint64 client_size(VtIo *io)
{
  return ((Client *)io)->size;
}

/* With a word, or without. */
static void client_free(VtIo *io)
{
  Client *c = (Client *)io;

  if (c->fd >= 0 && sim_chance(&c->random, 2))
    ask(c, 0, NBD_CMD_DISC, 0, 0, NULL, NULL);
  if (c->fd >= 0)
    close(c->fd);
  g_free(c);
}

static const VtIoOps ops = {
    .readv = client_readv,
    .writev = client_writev,
    .flush = client_flush,
    .zero = client_zero,
    .discard = client_discard,
    .size = client_size,
    .free = client_free,
};

/* --- choosing an export --- */

static gboolean go(Client *c, const char *name, GError **error)
{
  guint32 length = (guint32)strlen(name),
          flags = GUINT32_TO_BE(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
  NbdOption option = {GUINT64_TO_BE(NBD_OPTION_MAGIC), GUINT32_TO_BE(NBD_OPT_GO),
                      GUINT32_TO_BE(length + 6)};
  guint32 length_be = GUINT32_TO_BE(length);
  guint16 none = 0;
  NbdGreeting greeting;

  return get(c, &greeting, sizeof greeting, error) && put(c, &flags, sizeof flags, error) &&
         put(c, &option, sizeof option, error) && put(c, &length_be, sizeof length_be, error) &&
         put(c, name, length, error) && put(c, &none, sizeof none, error);
}

static gboolean take_replies(Client *c, GError **error)
{
  for (;;) {
    NbdOptionReply reply;
    guint8 data[4096];
    guint32 type, length;

    if (!get(c, &reply, sizeof reply, error))
      return FALSE;
    type = GUINT32_FROM_BE(reply.type);
    length = GUINT32_FROM_BE(reply.length);
    if (length > sizeof data)
      sim_fail("an NBD client gets a reply of %u bytes to an option", length);
    if (length && !get(c, data, length, error))
      return FALSE;
    if (type == NBD_REP_ACK)
      return TRUE;
    if (type != NBD_REP_INFO)
      return vt_set_error(error, EIO, "%s: the server refuses (%x): %.*s", c->io.name, type,
                          (int)length, data);
  }
}

VtIo *client_open(NbdServer *server, const char *name, guint64 size, SimRandom random,
                  gboolean may_hang_up, GError **error)
{
  Client *c = g_new0(Client, 1);
  int pair[2];

  vt_io_init(&c->io, &ops, name, FALSE);
  c->size = size;
  c->random = random;
  c->may_hang_up = may_hang_up;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    sim_fail("no sockets");
  c->fd = pair[0];
  if (nbd_server_add(server, pair[1], FALSE, error) && go(c, name, error) && take_replies(c, error))
    return &c->io;
  vt_io_unref(&c->io);
  return NULL;
}
