/* virt-thin - NBD server: a request carried out, and its reply
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Replies are built in the worker's arena in the order of sending and go out together at the end of
 * the batch (or when the arena is full). What is read from the volume is read straight to its place
 * there, behind its header.
 *
 * The only error numbers a client may see are those of the protocol; what else the pool says
 * becomes EIO. With structured replies the client gets the message, too; and it is logged, at most
 * once in LOG_INTERVAL per connection.
 */
#include <string.h>
#include <sys/uio.h>

#include "service/nbd/nbd-private.h"
#include "util/latency.h"

#define DATA_ALIGN 64
#define SMALL_PIECE (NBD_ARENA / 2) /* where there is no memory for NBD_PIECE */
#define PIECE_MARGIN 4096           /* of an arena beside a piece: headers, a refusal */
#define EXTENTS_MAX 4096            /* descriptors in one block status reply */
#define SLICE (64u << 20)           /* long zeroing and trimming looks up now and then */
#define LOG_INTERVAL (10 * G_USEC_PER_SEC)

/* --- the arena --- */

void nbd_worker_clear(NbdWorker *worker)
{
  if (worker->arena_size > NBD_ARENA)
    nbd_memory_give(worker->connection, worker->arena_size - NBD_ARENA);
  g_clear_pointer(&worker->arena, g_free);
  worker->arena_size = worker->arena_used = 0;
}

void nbd_worker_trim(NbdWorker *worker)
{
  if (worker->arena_size > NBD_ARENA)
    nbd_worker_clear(worker);
}

static void send_replies(NbdWorker *worker)
{
  if (worker->n_out > 0)
    nbd_send(worker->connection, worker->out, worker->n_out);
  worker->n_out = 0;
  worker->arena_used = 0;
}

/* Have an arena for @length bytes at once. FALSE: there is no memory for more than NBD_ARENA. */
static gboolean make_arena(NbdWorker *worker, gsize length)
{
  gsize size = MAX(length, NBD_ARENA);
  if (size <= worker->arena_size)
    return TRUE;
  if (size > NBD_ARENA && !nbd_memory_take(worker->connection, size - NBD_ARENA)) {
    make_arena(worker, NBD_ARENA);
    return FALSE;
  }
  send_replies(worker);
  nbd_worker_clear(worker);
  worker->arena = g_malloc(size);
  worker->arena_size = size;
  return TRUE;
}

/* An arena for pieces of @length bytes, NBD_PIECE at most; the length that they can have. */
static gsize make_piece(NbdWorker *worker, gsize length)
{
  length = MIN(length, NBD_PIECE);
  return make_arena(worker, length + PIECE_MARGIN) ? length : SMALL_PIECE;
}

/* Room for @length bytes of a reply, of which those from @header on are aligned. The room is sent
 * with the rest unless drop_room() takes it back. For more than SMALL_PIECE make_arena() has been
 * asked. */
static guint8 *add_room(NbdWorker *worker, gsize header, gsize length)
{
  gsize start = worker->arena_used;
  if (length > header)
    start = (start + header + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN - header;
  if (start + length > worker->arena_size || worker->n_out == G_N_ELEMENTS(worker->out)) {
    send_replies(worker);
    start = length > header ? -header % DATA_ALIGN : 0;
    make_arena(worker, start + length);
  }
  guint8 *room = worker->arena + start;
  struct iovec *last = worker->n_out ? &worker->out[worker->n_out - 1] : NULL;
  if (last && (guint8 *)last->iov_base + last->iov_len == room)
    last->iov_len += length;
  else
    worker->out[worker->n_out++] = (struct iovec){room, length};
  worker->arena_used = start + length;
  return room;
}

/* Take the last @length bytes of room back. */
static void drop_room(NbdWorker *worker, gsize length)
{
  struct iovec *last = &worker->out[worker->n_out - 1];
  last->iov_len -= length;
  if (last->iov_len == 0)
    worker->n_out--;
  worker->arena_used -= length;
}

/* --- replies --- */

static NbdChunk chunk(const NbdRequest *request, guint16 flags, guint16 type, gsize length)
{
  return (NbdChunk){GUINT32_TO_BE(NBD_STRUCTURED_REPLY_MAGIC), GUINT16_TO_BE(flags),
                    GUINT16_TO_BE(type), request->cookie, GUINT32_TO_BE(length)};
}

static void reply_simple(NbdWorker *worker, const NbdRequest *request, guint32 error)
{
  NbdSimpleReply reply = {GUINT32_TO_BE(NBD_SIMPLE_REPLY_MAGIC), GUINT32_TO_BE(error),
                          request->cookie};
  memcpy(add_room(worker, sizeof reply, sizeof reply), &reply, sizeof reply);
}

static guint32 protocol_error(const GError *error)
{
  switch (vt_error_to_errno(error)) {
  case EPERM:
  case EROFS:
  case EACCES: return NBD_EPERM;
  case ENOMEM: return NBD_ENOMEM;
  case EINVAL: return NBD_EINVAL;
  case ENOSPC:
  case EDQUOT:
  case EFBIG: return NBD_ENOSPC;
  case EOVERFLOW: return NBD_EOVERFLOW;
  case ESHUTDOWN: return NBD_ESHUTDOWN;
  default: return NBD_EIO;
  }
}

static const char *command_name(guint16 type)
{
  static const char *const names[] = {"read", "write", "disconnect",   "flush",
                                      "trim", "cache", "write zeroes", "block status"};
  return type < G_N_ELEMENTS(names) ? names[type] : "unknown command";
}

static void log_error(NbdWorker *worker, const NbdRequest *request, gboolean quiet,
                      const char *message)
{
  NbdConnection *connection = worker->connection;
  __atomic_fetch_add(&connection->errors, 1, __ATOMIC_RELAXED);
  gint64 now = g_get_monotonic_time(),
         last = __atomic_load_n(&connection->warned, __ATOMIC_RELAXED);
  quiet |= last && now - last < LOG_INTERVAL;
  if (!quiet)
    __atomic_store_n(&connection->warned, now, __ATOMIC_RELAXED);
  g_log(G_LOG_DOMAIN, quiet ? G_LOG_LEVEL_DEBUG : G_LOG_LEVEL_WARNING,
        "nbd: %s: %s of %u bytes at %" G_GUINT64_FORMAT " for client pid %d (%s) failed: %s",
        connection->export_name, command_name(request->type), request->length, request->offset,
        (int)connection->pid, connection->command ?: "?", message);
}

static void send_failure(NbdWorker *worker, const NbdRequest *request, guint32 code,
                         const char *message)
{
  if (!worker->connection->structured) {
    reply_simple(worker, request, code);
    return;
  }
  gsize length = MIN(strlen(message), 1024);
  NbdErrorChunk reply = {chunk(request, NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_ERROR, 6 + length),
                         GUINT32_TO_BE(code), GUINT16_TO_BE(length)};
  guint8 *room = add_room(worker, sizeof reply + length, sizeof reply + length);
  memcpy(room, &reply, sizeof reply);
  memcpy(room + sizeof reply, message, length);
}

/* The client asked for what it cannot have. */
static void reply_refusal(NbdWorker *worker, const NbdRequest *request, guint32 code,
                          const char *message)
{
  log_error(worker, request, TRUE, message);
  send_failure(worker, request, code, message);
}

/* The pool could not do it. */
static void reply_error(NbdWorker *worker, const NbdRequest *request, const GError *error)
{
  log_error(worker, request, FALSE, error->message);
  send_failure(worker, request, protocol_error(error), error->message);
}

static void reply_result(NbdWorker *worker, const NbdRequest *request, gboolean ok,
                         const GError *error)
{
  if (ok)
    reply_simple(worker, request, NBD_SUCCESS);
  else
    reply_error(worker, request, error);
}

/* --- checks: they reply when something is wrong --- */

static gboolean check_flags(NbdWorker *worker, const NbdRequest *request, guint16 allowed)
{
  if ((request->flags & ~(allowed | NBD_CMD_FLAG_FUA)) ==
      0) /* clients set FUA on whatever they like; the protocol allows it */
    return TRUE;
  reply_refusal(worker, request, NBD_EINVAL, "the request has a flag that it cannot have");
  return FALSE;
}

static gboolean check_range(NbdWorker *worker, const NbdRequest *request, guint32 beyond)
{
  guint64 size = vt_io_size(worker->connection->volume);
  if (request->length == 0)
    reply_refusal(worker, request, NBD_EINVAL, "the request is for no byte at all");
  else if (request->offset > size || request->length > size - request->offset)
    reply_refusal(worker, request, beyond, "the request reaches beyond the end of the volume");
  else
    return TRUE;
  return FALSE;
}

static gboolean check_writable(NbdWorker *worker, const NbdRequest *request)
{
  if (!worker->connection->read_only)
    return TRUE;
  reply_refusal(worker, request, NBD_EPERM, "the export is read-only");
  return FALSE;
}

static gboolean check_length(NbdWorker *worker, const NbdRequest *request)
{
  if (request->length <= NBD_REQUEST_MAX)
    return TRUE;
  reply_refusal(worker, request, NBD_EINVAL,
                "the request is longer than the export's largest block size, 32 MiB");
  return FALSE;
}

/* --- read --- */

static gboolean read_into(NbdWorker *worker, guint8 *data, gsize length, guint64 offset,
                          GError **error)
{
  struct iovec iov = {data, length};
  return vt_io_readv(worker->connection->volume, &iov, 1, offset, error);
}

/* Of a reply in one piece: simple, or a single data chunk. */
static gsize read_header_size(NbdWorker *worker)
{
  return worker->connection->structured ? sizeof(NbdDataChunk) : sizeof(NbdSimpleReply);
}

static void put_read_header(NbdWorker *worker, const NbdRequest *request, guint8 *room)
{
  NbdDataChunk data = {
      chunk(request, NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_OFFSET_DATA, 8 + request->length),
      GUINT64_TO_BE(request->offset)};
  NbdSimpleReply simple = {GUINT32_TO_BE(NBD_SIMPLE_REPLY_MAGIC), 0, request->cookie};
  if (worker->connection->structured)
    memcpy(room, &data, sizeof data);
  else
    memcpy(room, &simple, sizeof simple);
}

/* A reply in one piece, read and sent part by part for want of memory. Once it has begun, an error
 * can only be told by hanging up. */
static void read_in_parts(NbdWorker *worker, const NbdRequest *request)
{
  NbdConnection *connection = worker->connection;
  gsize header = read_header_size(worker);
  guint8 *data = worker->arena + PIECE_MARGIN;
  g_autoptr(GError) error = NULL;
  gboolean ok = TRUE;
  send_replies(worker);
  pthread_mutex_lock(&connection->send_lock);
  for (guint32 done = 0, n; ok && done < request->length; done += n, header = 0) {
    n = MIN(SMALL_PIECE, request->length - done);
    ok = read_into(worker, data, n, request->offset + done, &error);
    if (!ok && done == 0)
      break;
    if (done == 0)
      put_read_header(worker, request, data - header);
    struct iovec iov = {data - header, header + n};
    ok = ok && nbd_send_locked(connection, &iov, 1);
    if (!ok)
      nbd_connection_kill(connection);
  }
  pthread_mutex_unlock(&connection->send_lock);
  if (error)
    reply_error(worker, request, error);
}

/* A reply in one piece. */
static void read_whole(NbdWorker *worker, const NbdRequest *request)
{
  gsize header = read_header_size(worker);
  gboolean big = request->length > NBD_PIECE;
  if (big) {
    send_replies(worker);
    pthread_mutex_lock(&worker->connection->big_lock);
  }
  if (!make_arena(worker, header + request->length + DATA_ALIGN)) {
    read_in_parts(worker, request);
  } else {
    guint8 *room = add_room(worker, header, header + request->length);
    g_autoptr(GError) error = NULL;
    put_read_header(worker, request, room);
    if (!read_into(worker, room + header, request->length, request->offset, &error)) {
      drop_room(worker, header + request->length);
      reply_error(worker, request, error);
    }
  }
  if (big) {
    send_replies(worker);
    nbd_worker_trim(worker);
    pthread_mutex_unlock(&worker->connection->big_lock);
  }
}

static void reply_hole(NbdWorker *worker, const NbdRequest *request, guint16 flags, guint64 offset,
                       guint32 length)
{
  NbdHoleChunk reply = {chunk(request, flags, NBD_REPLY_TYPE_OFFSET_HOLE, 12),
                        GUINT64_TO_BE(offset), GUINT32_TO_BE(length)};
  memcpy(add_room(worker, sizeof reply, sizeof reply), &reply, sizeof reply);
}

static gboolean reply_data(NbdWorker *worker, const NbdRequest *request, guint16 flags,
                           guint64 offset, guint32 length, GError **error)
{
  NbdDataChunk reply = {chunk(request, flags, NBD_REPLY_TYPE_OFFSET_DATA, 8 + length),
                        GUINT64_TO_BE(offset)};
  guint8 *room = add_room(worker, sizeof reply, sizeof reply + length);
  if (!read_into(worker, room + sizeof reply, length, offset, error)) {
    drop_room(worker, sizeof reply + length);
    return FALSE;
  }
  memcpy(room, &reply, sizeof reply);
  return TRUE;
}

/* Data and holes in turn. */
static void read_pieces(NbdWorker *worker, const NbdRequest *request)
{
  VtIo *volume = worker->connection->volume;
  guint64 offset = request->offset, end = offset + request->length, length;
  gsize piece = make_piece(worker, request->length);
  for (; offset < end; offset += length) {
    gboolean mapped;
    g_autoptr(GError) error = NULL;
    gboolean ok = vt_io_extent(volume, offset, end - offset, &length, &mapped, &error);
    if (ok && mapped)
      length = MIN(length, piece);
    guint16 flags = ok && offset + length == end ? NBD_REPLY_FLAG_DONE : 0;
    if (ok && !mapped)
      reply_hole(worker, request, flags, offset, length);
    else if (!ok || !reply_data(worker, request, flags, offset, length, &error)) {
      reply_error(worker, request, error);
      return;
    }
    if (nbd_connection_is_dead(worker->connection))
      return;
  }
}

static void do_read(NbdWorker *worker, const NbdRequest *request)
{
  gboolean structured = worker->connection->structured;
  if (!check_flags(worker, request, structured ? NBD_CMD_FLAG_DF : 0) ||
      !check_length(worker, request) || !check_range(worker, request, NBD_EINVAL))
    return;
  if (structured && !(request->flags & NBD_CMD_FLAG_DF))
    read_pieces(worker, request);
  else
    read_whole(worker, request);
}

/* --- write --- */

static gboolean finish_write(NbdWorker *worker, const NbdRequest *request, GError **error)
{
  return !(request->flags & NBD_CMD_FLAG_FUA) || vt_io_flush(worker->connection->volume, error);
}

static gboolean check_write(NbdWorker *worker, const NbdRequest *request)
{
  return check_flags(worker, request, 0) && check_writable(worker, request) &&
         check_length(worker, request) && check_range(worker, request, NBD_ENOSPC);
}

static void do_write(NbdWorker *worker, const NbdRequest *request, const guint8 *payload)
{
  if (!check_write(worker, request))
    return;
  struct iovec iov = {(void *)payload, request->length};
  g_autoptr(GError) error = NULL;
  gboolean ok = vt_io_writev(worker->connection->volume, &iov, 1, request->offset, &error) &&
                finish_write(worker, request, &error);
  reply_result(worker, request, ok, error);
}

/* A write whose payload is still to come: written piece by piece, cut where chunks are, so that
 * whole chunks stay whole. Also what is refused must be received. */
static void do_streamed_write(NbdWorker *worker, const NbdRequest *request)
{
  gsize piece = make_piece(worker, NBD_PIECE);
  guint8 *data = worker->arena + PIECE_MARGIN; /* before it: a refusal */
  gboolean refused = !check_write(worker, request), ok = !refused;
  g_autoptr(GError) error = NULL;
  gsize length;
  for (guint64 done = 0; done < request->length; done += length) {
    guint64 offset = request->offset + done;
    length = MIN(piece - offset % piece, request->length - done);
    if (!nbd_receive_payload(worker->connection, data, length)) {
      nbd_connection_kill(worker->connection);
      return;
    }
    struct iovec iov = {data, length};
    ok = ok && vt_io_writev(worker->connection->volume, &iov, 1, offset, &error);
  }
  if (refused)
    return;
  ok = ok && finish_write(worker, request, &error);
  reply_result(worker, request, ok, error);
}

/* --- trim, zero --- */

/* The end of the slice that begins at @offset: a multiple of the chunk size, so that no chunk is
 * cut that was whole. */
static guint64 slice_length(NbdConnection *connection, guint64 offset, guint64 end)
{
  guint64 slice = SLICE, chunk_size = connection->chunk_size;
  if (chunk_size)
    slice = (slice + chunk_size - 1) / chunk_size * chunk_size;
  return MIN(slice - offset % slice, end - offset);
}

static void do_trim(NbdWorker *worker, const NbdRequest *request)
{
  if (!check_flags(worker, request, 0) || !check_writable(worker, request) ||
      !check_range(worker, request, NBD_EINVAL))
    return;
  NbdConnection *connection = worker->connection;
  guint64 offset = request->offset, end = offset + request->length, length;
  g_autoptr(GError) error = NULL;
  gboolean ok = TRUE;
  for (; ok && offset < end && !nbd_connection_is_dead(connection); offset += length) {
    length = slice_length(connection, offset, end);
    ok = vt_io_discard(connection->volume, offset, length, &error);
  }
  if (!ok &&
      vt_error_to_errno(error) == EOPNOTSUPP) { /* trim is a hint; a pool may be set to take none */
    g_clear_error(&error);
    ok = TRUE;
  }
  ok = ok && finish_write(worker, request, &error);
  reply_result(worker, request, ok, error);
}

/* Is zeroing faster than writing? Where there are whole chunks to unmap, or nothing is mapped
 * anyway. */
static gboolean zeroing_is_fast(NbdConnection *connection, const NbdRequest *request)
{
  guint64 chunk_size = connection->chunk_size, end = request->offset + request->length;
  if (request->flags & NBD_CMD_FLAG_NO_HOLE || chunk_size == 0)
    return FALSE;
  if ((request->offset + chunk_size - 1) / chunk_size < end / chunk_size)
    return TRUE;
  guint64 length;
  gboolean mapped;
  return vt_io_extent(connection->volume, request->offset, request->length, &length, &mapped,
                      NULL) &&
         !mapped && length >= request->length;
}

static void do_write_zeroes(NbdWorker *worker, const NbdRequest *request)
{
  if (!check_flags(worker, request, NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO) ||
      !check_writable(worker, request) || !check_range(worker, request, NBD_ENOSPC))
    return;
  NbdConnection *connection = worker->connection;
  if (request->flags & NBD_CMD_FLAG_FAST_ZERO && !zeroing_is_fast(connection, request)) {
    reply_refusal(worker, request, NBD_ENOTSUP, "zeroing this range is no faster than writing it");
    return;
  }
  guint64 offset = request->offset, end = offset + request->length, length;
  g_autoptr(GError) error = NULL;
  gboolean ok = TRUE;
  for (; ok && offset < end && !nbd_connection_is_dead(connection); offset += length) {
    length = slice_length(connection, offset, end);
    ok = request->flags & NBD_CMD_FLAG_NO_HOLE
             ? vt_io_zero(connection->volume, offset, length, 0, &error) &&
                   vt_io_back(connection->volume, offset, length, &error)
             : vt_io_zero(connection->volume, offset, length, VT_IO_ZERO_MAY_UNMAP, &error);
  }
  ok = ok && finish_write(worker, request, &error);
  reply_result(worker, request, ok, error);
}

/* --- flush, cache, block status --- */

static void do_flush(NbdWorker *worker, const NbdRequest *request)
{
  if (!check_flags(worker, request, 0))
    return;
  if (request->offset != 0 || request->length != 0) {
    reply_refusal(worker, request, NBD_EINVAL, "a flush has neither offset nor length");
    return;
  }
  g_autoptr(GError) error = NULL;
  gboolean ok = vt_io_flush(worker->connection->volume, &error);
  reply_result(worker, request, ok, error);
}

/* The page cache under the pool is cache enough: there is nothing to prepare. */
static void do_cache(NbdWorker *worker, const NbdRequest *request)
{
  if (check_flags(worker, request, 0) && check_range(worker, request, NBD_EINVAL))
    reply_simple(worker, request, NBD_SUCCESS);
}

/* The runs of the range, neighbours of one kind joined, into @descriptors; their number, 0:
 * @error. */
static guint map_range(NbdConnection *connection, const NbdRequest *request,
                       NbdDescriptor *descriptors, guint max, GError **error)
{
  guint n = 0;
  guint32 length_so_far = 0, flags_so_far = 0;
  guint64 offset = request->offset, end = offset + request->length, length;
  for (; offset < end; offset += length) {
    gboolean mapped;
    if (!vt_io_extent(connection->volume, offset, end - offset, &length, &mapped, error)) {
      if (n == 0)
        return 0;
      g_clear_error(error); /* as far as it goes; the client asks again from there */
      break;
    }
    guint32 flags = mapped ? 0 : NBD_STATE_HOLE | NBD_STATE_ZERO;
    if (n > 0 && flags == flags_so_far)
      length_so_far += length;
    else if (n == max)
      break;
    else {
      n++;
      length_so_far = length;
      flags_so_far = flags;
    }
    descriptors[n - 1] = (NbdDescriptor){GUINT32_TO_BE(length_so_far), GUINT32_TO_BE(flags)};
  }
  return n;
}

/* One context's part of the answer; FALSE: it is an error. */
static gboolean add_status(NbdWorker *worker, const NbdRequest *request, const NbdContext *context,
                           guint16 flags, NbdDescriptor *descriptors, guint max)
{
  NbdConnection *connection = worker->connection;
  g_autoptr(GError) error = NULL;
  guint n = context->dirty ? nbd_dirty_map(context->dirty, connection, request->offset,
                                           request->length, descriptors, max, &error)
                           : map_range(connection, request, descriptors, max, &error);
  if (n == 0) {
    reply_error(worker, request, error);
    return FALSE;
  }
  gsize length = n * sizeof *descriptors;
  NbdStatusChunk reply = {chunk(request, flags, NBD_REPLY_TYPE_BLOCK_STATUS, 4 + length),
                          GUINT32_TO_BE(context->id)};
  guint8 *room = add_room(worker, sizeof reply + length, sizeof reply + length);
  memcpy(room, &reply, sizeof reply);
  memcpy(room + sizeof reply, descriptors, length);
  return TRUE;
}

static void do_block_status(NbdWorker *worker, const NbdRequest *request)
{
  GPtrArray *contexts = worker->connection->contexts;
  if (!check_flags(worker, request, NBD_CMD_FLAG_REQ_ONE) ||
      !check_range(worker, request, NBD_EINVAL))
    return;
  if (!contexts || contexts->len == 0) {
    reply_refusal(worker, request, NBD_EINVAL,
                  "no metadata context was negotiated for this export");
    return;
  }
  guint max = request->flags & NBD_CMD_FLAG_REQ_ONE ? 1 : EXTENTS_MAX;
  g_autofree NbdDescriptor *descriptors = g_new(NbdDescriptor, max);
  for (guint i = 0; i < contexts->len && !nbd_connection_is_dead(worker->connection); i++)
    if (!add_status(worker, request, contexts->pdata[i],
                    i + 1 == contexts->len ? NBD_REPLY_FLAG_DONE : 0, descriptors, max))
      return;
}

/* --- the batch --- */

/* A request that was carried out, well or not, until its answer was ready: now, which is when the
 * next of the batch begins. */
static gint64 count_time(const NbdRequest *request, gint64 begin)
{
  switch (request->type) {
  case NBD_CMD_READ: return latency_add(LATENCY_NBD, LATENCY_READ, begin, request->length);
  case NBD_CMD_WRITE: return latency_add(LATENCY_NBD, LATENCY_WRITE, begin, request->length);
  case NBD_CMD_FLUSH: return latency_add(LATENCY_NBD, LATENCY_FLUSH, begin, 0);
  case NBD_CMD_TRIM:
  case NBD_CMD_WRITE_ZEROES:
    return latency_add(LATENCY_NBD, LATENCY_DISCARD, begin, request->length);
  default: return g_get_monotonic_time();
  }
}

static void execute(NbdWorker *worker, guint i)
{
  const NbdRequest *request = &worker->batch[i];
  switch (request->type) {
  case NBD_CMD_READ: do_read(worker, request); break;
  case NBD_CMD_WRITE:
    if (worker->streamed)
      do_streamed_write(worker, request);
    else
      do_write(worker, request, worker->payload[i]);
    break;
  case NBD_CMD_FLUSH: do_flush(worker, request); break;
  case NBD_CMD_TRIM: do_trim(worker, request); break;
  case NBD_CMD_CACHE: do_cache(worker, request); break;
  case NBD_CMD_WRITE_ZEROES: do_write_zeroes(worker, request); break;
  case NBD_CMD_BLOCK_STATUS: do_block_status(worker, request); break;
  default: reply_refusal(worker, request, NBD_EINVAL, "this command is not known");
  }
}

void nbd_execute(NbdWorker *worker)
{
  gint64 begin = g_get_monotonic_time();

  for (guint i = 0; i < worker->n_requests && !nbd_connection_is_dead(worker->connection); i++) {
    execute(worker, i);
    begin = count_time(&worker->batch[i], begin);
  }
  send_replies(worker);
}
