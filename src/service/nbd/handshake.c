/* virt-thin - NBD server: the handshake, up to the choice of an export
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Exact reads, never ahead: what follows the last option belongs to nbd/connection.c. The whole
 * handshake has one deadline, so that a client that stalls in it gives its place back.
 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "service/nbd/nbd-private.h"
#include "util/size.h"

#define OPTION_MAX (64u << 10) /* longest option that is looked at */
#define OPTION_SKIP_MAX                                                                            \
  (8u << 20) /* longest that is read and refused; beyond it the client is thrown out */
#define QUERIES_MAX 64

typedef struct {
  NbdConnection *connection;
  gint64 deadline; /* g_get_monotonic_time() */
  gboolean no_zeroes;
  char *context_export; /* for which @contexts were selected; NULL */
  GPtrArray *contexts;
} Handshake;

/* The two ends of a handshake loop. */
typedef enum { HANDSHAKE_NEXT, HANDSHAKE_END, HANDSHAKE_DONE } Step;

/* --- bytes --- */

static gboolean wait_for(Handshake *handshake, short events)
{
  gint64 left = handshake->deadline - g_get_monotonic_time();
  struct pollfd pfd = {.fd = handshake->connection->fd, .events = events};
  return left > 0 && poll(&pfd, 1, left / 1000 + 1) > 0;
}

static gboolean receive(Handshake *handshake, void *data, gsize length)
{
  for (gsize done = 0; done < length;) {
    ssize_t n = recv(handshake->connection->fd, (char *)data + done, length - done, MSG_DONTWAIT);
    if (n > 0)
      done += n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR) || !wait_for(handshake, POLLIN))
      return FALSE;
  }
  return TRUE;
}

static gboolean skip(Handshake *handshake, gsize length)
{
  char buf[4096];
  for (gsize n; length > 0; length -= n)
    if (!receive(handshake, buf, n = MIN(length, sizeof buf)))
      return FALSE;
  return TRUE;
}

static gboolean transmit(Handshake *handshake, const void *data, gsize length)
{
  for (gsize done = 0; done < length;) {
    ssize_t n = send(handshake->connection->fd, (const char *)data + done, length - done,
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
      done += n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR) || !wait_for(handshake, POLLOUT))
      return FALSE;
  }
  return TRUE;
}

static void add_reply(GByteArray *out, guint32 option, guint32 type, const void *data, gsize length)
{
  NbdOptionReply reply = {GUINT64_TO_BE(NBD_REP_MAGIC), GUINT32_TO_BE(option), GUINT32_TO_BE(type),
                          GUINT32_TO_BE(length)};
  g_byte_array_append(out, (const guint8 *)&reply, sizeof reply);
  g_byte_array_append(out, data, length);
}

static Step reply(Handshake *handshake, guint32 option, guint32 type, const char *message)
{
  g_autoptr(GByteArray) out = g_byte_array_new();
  add_reply(out, option, type, message ?: "", message ? MIN(strlen(message), NBD_NAME_MAX) : 0);
  return transmit(handshake, out->data, out->len) ? HANDSHAKE_NEXT : HANDSHAKE_END;
}

static Step reply_error(Handshake *handshake, guint32 option, const GError *error)
{
  switch (vt_error_to_errno(error)) {
  case ENOENT: return reply(handshake, option, NBD_REP_ERR_UNKNOWN, error->message);
  case EBUSY:
  case EPERM:
  case EACCES: return reply(handshake, option, NBD_REP_ERR_POLICY, error->message);
  default: return reply(handshake, option, NBD_REP_ERR_PLATFORM, error->message);
  }
}

/* --- what a client sent, read with its length checked --- */

typedef struct {
  const guint8 *data;
  gsize left;
} Reader;

static gboolean read_bytes(Reader *reader, void *data, gsize length)
{
  if (reader->left < length)
    return FALSE;
  memcpy(data, reader->data, length);
  reader->data += length;
  reader->left -= length;
  return TRUE;
}

static gboolean read_u32(Reader *reader, guint32 *value)
{
  if (!read_bytes(reader, value, sizeof *value))
    return FALSE;
  *value = GUINT32_FROM_BE(*value);
  return TRUE;
}

static gboolean read_u16(Reader *reader, guint16 *value)
{
  if (!read_bytes(reader, value, sizeof *value))
    return FALSE;
  *value = GUINT16_FROM_BE(*value);
  return TRUE;
}

/* A string of @length bytes: UTF-8, without NUL, no longer than the protocol allows. NULL: it is
 * not. */
static char *read_string(Reader *reader, gsize length)
{
  if (reader->left < length || length > NBD_NAME_MAX ||
      !g_utf8_validate_len((const char *)reader->data, length, NULL))
    return NULL;
  char *string = g_strndup((const char *)reader->data, length);
  reader->data += length;
  reader->left -= length;
  return string;
}

static char *read_counted_string(Reader *reader)
{
  guint32 length;
  return read_u32(reader, &length) ? read_string(reader, length) : NULL;
}

/* --- exports --- */

static char *describe(const PoolVolumeInfo *info)
{
  g_autofree char *size = vt_size_format(info->size);
  GString *text = g_string_new(NULL);
  g_string_printf(text, "%s %s in %s%s%s", size,
                  info->snapshot_of                ? "snapshot"
                  : info->kind == POOL_VOLUME_THIN ? "thin volume"
                                                   : "linear volume",
                  info->vg, info->pool ? "/" : "", info->pool ?: "");
  if (info->snapshot_of)
    g_string_append_printf(text, ", of %s%s%s", info->snapshot_of, info->snapshot_name ? ": " : "",
                           info->snapshot_name ?: "");
  else if (info->origin)
    g_string_append_printf(text, ", from %s", info->origin);
  if (info->read_only)
    g_string_append(text, ", read-only");
  if (info->damage)
    g_string_append_printf(text, "; damaged: %s", info->damage);
  return g_string_free(text, FALSE);
}

static gboolean is_export(NbdServer *server, const char *name)
{
  return !server->exports || g_strv_contains((const char *const *)server->exports, name);
}

static PoolVolumeInfo *get_export(Handshake *handshake, const char *name, GError **error)
{
  NbdServer *server = handshake->connection->server;
  if (!*name) {
    vt_set_error(error, ENOENT, "there is no default export: say the name of a logical volume");
    return NULL;
  }
  if (!is_export(server, name)) {
    vt_set_error(error, ENOENT, "volume %s is not among those that are served here", name);
    return NULL;
  }
  return pool_get_volume(server->group, name, error);
}

/* Open what is called @info->name for transmission, or only to tell about it (@peek: nobody's
 * use). */
static VtIo *open_export(Handshake *handshake, const PoolVolumeInfo *info, gboolean peek,
                         GError **error)
{
  NbdConnection *connection = handshake->connection;
  VolumeGroup *group = connection->server->group;
  if (!peek && connection->view &&
      !nbd_server_claim(connection, info->name, handshake->deadline, error))
    return NULL;
  if (peek || connection->view)
    return pool_volume_open_view(group, info->name, error);
  g_autofree char *opener = g_strdup_printf(
      "nbd client, pid %d%s%s%s", (int)connection->pid, connection->command ? " (" : "",
      connection->command ?: "", connection->command ? ")" : "");
  if (info->read_only || connection->server->read_only)
    return pool_volume_open(group, info->name, TRUE, opener, error);
  g_autoptr(GError) first = NULL;
  VtIo *volume = pool_volume_open(group, info->name, FALSE, opener, &first);
  if (!volume &&
      vt_error_to_errno(first) == EROFS) /* a pool that takes no writes can still be read */
    return pool_volume_open(group, info->name, TRUE, opener, error);
  if (!volume)
    g_propagate_error(error, g_steal_pointer(&first));
  return volume;
}

static gboolean export_is_read_only(NbdConnection *connection, const PoolVolumeInfo *info,
                                    VtIo *volume)
{
  return info->read_only || connection->server->read_only || vt_io_is_read_only(volume);
}

static guint16 export_flags(NbdConnection *connection, gboolean read_only)
{
  guint16 flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA |
                  NBD_FLAG_CAN_MULTI_CONN | NBD_FLAG_SEND_CACHE;
  if (read_only)
    flags |= NBD_FLAG_READ_ONLY;
  else
    flags |= NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO;
  if (connection->structured)
    flags |= NBD_FLAG_SEND_DF;
  return flags;
}

/* The connection takes @volume over and serves it from now on. */
static void begin(Handshake *handshake, const PoolVolumeInfo *info, VtIo *volume)
{
  NbdConnection *connection = handshake->connection;
  pthread_mutex_lock(&connection->server->lock);
  connection->volume = volume;
  connection->read_only = export_is_read_only(connection, info, volume);
  connection->chunk_size = vt_io_chunk_size(volume);
  if (g_strcmp0(handshake->context_export, info->name) == 0)
    connection->contexts = g_steal_pointer(&handshake->contexts);
  if (!connection->view) /* a view has claimed it */
    connection->export_name = g_strdup(info->name);
  pthread_mutex_unlock(&connection->server->lock);
  for (guint i = 0; connection->contexts && i < connection->contexts->len; i++) {
    NbdContext *context = connection->contexts->pdata[i];
    if (context->dirty)
      nbd_dirty_begin(context->dirty, connection);
  }
}

static Step export_name(Handshake *handshake, Reader reader)
{
  g_autofree char *name = read_string(&reader, reader.left);
  g_autoptr(GError) error = NULL;
  g_autoptr(PoolVolumeInfo) info = name ? get_export(handshake, name, &error) : NULL;
  VtIo *volume = info ? open_export(handshake, info, FALSE, &error) : NULL;
  if (!volume) {
    g_debug("nbd: %s", error ? error->message : "a client sent a name that is none");
    return HANDSHAKE_END; /* this option has no error reply */
  }
  begin(handshake, info, volume);
  NbdExportNameReply out = {.size = GUINT64_TO_BE(vt_io_size(volume)),
                            .flags = GUINT16_TO_BE(export_flags(handshake->connection,
                                                                handshake->connection->read_only))};
  return transmit(handshake, &out, handshake->no_zeroes ? 10 : sizeof out) ? HANDSHAKE_DONE
                                                                           : HANDSHAKE_END;
}

static void add_text_info(GByteArray *out, guint32 option, guint16 kind, const char *text)
{
  g_autoptr(GByteArray) data = g_byte_array_new();
  guint16 be = GUINT16_TO_BE(kind);
  g_byte_array_append(data, (const guint8 *)&be, sizeof be);
  g_byte_array_append(data, (const guint8 *)text, MIN(strlen(text), NBD_NAME_MAX));
  add_reply(out, option, NBD_REP_INFO, data->data, data->len);
}

/* A client takes the preferred size for its alignment: a power of two, by the protocol. */
static guint32 preferred_size(guint64 chunk_size)
{
  gboolean fits =
      chunk_size >= 4096 && chunk_size <= NBD_REQUEST_MAX && (chunk_size & (chunk_size - 1)) == 0;
  return fits ? chunk_size : 4096;
}

/* Requests of any length are served. But where the kernel's node would have large sectors, a client
 * that keeps to what it is told is not to see a disk of smaller ones. */
static guint32 minimum_size(guint sector_size)
{
  return sector_size > 512 ? sector_size : 1;
}

static void add_info(GByteArray *out, Handshake *handshake, guint32 option, guint32 asked,
                     const PoolVolumeInfo *info, VtIo *volume)
{
  NbdConnection *connection = handshake->connection;
  NbdInfoExport export = {
      GUINT16_TO_BE(NBD_INFO_EXPORT), GUINT64_TO_BE(vt_io_size(volume)),
      GUINT16_TO_BE(export_flags(connection, export_is_read_only(connection, info, volume)))};
  add_reply(out, option, NBD_REP_INFO, &export, sizeof export);
  NbdInfoBlockSize size = {
      GUINT16_TO_BE(NBD_INFO_BLOCK_SIZE), GUINT32_TO_BE(minimum_size(info->sector_size)),
      GUINT32_TO_BE(MAX(preferred_size(vt_io_chunk_size(volume)), info->sector_size)),
      GUINT32_TO_BE(NBD_REQUEST_MAX)};
  if (asked & 1u << NBD_INFO_BLOCK_SIZE)
    add_reply(out, option, NBD_REP_INFO, &size, sizeof size);
  if (asked & 1u << NBD_INFO_NAME)
    add_text_info(out, option, NBD_INFO_NAME, info->name);
  if (asked & 1u << NBD_INFO_DESCRIPTION) {
    g_autofree char *text = describe(info);
    add_text_info(out, option, NBD_INFO_DESCRIPTION, text);
  }
  add_reply(out, option, NBD_REP_ACK, NULL, 0);
}

static Step info_or_go(Handshake *handshake, guint32 option, Reader reader)
{
  g_autofree char *name = read_counted_string(&reader);
  guint16 n = 0;
  if (!name || !read_u16(&reader, &n) || reader.left != n * 2u)
    return reply(handshake, option, NBD_REP_ERR_INVALID,
                 "the option's lengths do not fit each other, or its name is none");
  guint32 asked = 0;
  for (guint16 kind; read_u16(&reader, &kind);)
    asked |= kind < 32 ? 1u << kind : 0;

  g_autoptr(GError) error = NULL;
  g_autoptr(PoolVolumeInfo) info = get_export(handshake, name, &error);
  VtIo *volume = info ? open_export(handshake, info, option == NBD_OPT_INFO, &error) : NULL;
  if (!volume)
    return reply_error(handshake, option, error);
  g_autoptr(GByteArray) out = g_byte_array_new();
  add_info(out, handshake, option, asked, info, volume);
  if (option == NBD_OPT_INFO)
    vt_io_unref(volume);
  else
    begin(handshake, info, volume);
  if (!transmit(handshake, out->data, out->len))
    return HANDSHAKE_END;
  return option == NBD_OPT_GO ? HANDSHAKE_DONE : HANDSHAKE_NEXT;
}

static Step list(Handshake *handshake)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) volumes =
      pool_list_volumes(handshake->connection->server->group, NULL, &error);
  if (!volumes)
    return reply_error(handshake, NBD_OPT_LIST, error);
  g_autoptr(GByteArray) out = g_byte_array_new();
  for (guint i = 0; i < volumes->len; i++) {
    const PoolVolumeInfo *info = volumes->pdata[i];
    if (!is_export(handshake->connection->server, info->name))
      continue;
    g_autofree char *text = describe(info);
    g_autoptr(GByteArray) data = g_byte_array_new();
    guint32 length = GUINT32_TO_BE(strlen(info->name));
    g_byte_array_append(data, (const guint8 *)&length, sizeof length);
    g_byte_array_append(data, (const guint8 *)info->name, strlen(info->name));
    g_byte_array_append(data, (const guint8 *)text, MIN(strlen(text), NBD_NAME_MAX));
    add_reply(out, NBD_OPT_LIST, NBD_REP_SERVER, data->data, data->len);
  }
  add_reply(out, NBD_OPT_LIST, NBD_REP_ACK, NULL, 0);
  return transmit(handshake, out->data, out->len) ? HANDSHAKE_NEXT : HANDSHAKE_END;
}

/* --- metadata contexts --- */

static void forget_contexts(Handshake *handshake)
{
  g_clear_pointer(&handshake->context_export, g_free);
  g_clear_pointer(&handshake->contexts, g_ptr_array_unref);
}

/* The queries of a context option, NULL at the end; NULL: they do not fit, @type and @problem say
 * how. */
static GPtrArray *read_queries(Reader *reader, guint32 *type, const char **problem)
{
  g_autoptr(GPtrArray) queries = g_ptr_array_new_with_free_func(g_free);
  guint32 n = 0;
  *type = NBD_REP_ERR_INVALID;
  *problem = "the option's lengths do not fit each other, or its name is none";
  if (!read_u32(reader, &n))
    return NULL;
  if (n > QUERIES_MAX) {
    *type = NBD_REP_ERR_TOO_BIG;
    *problem = "too many queries in one option";
    return NULL;
  }
  for (guint32 i = 0; i < n; i++) {
    char *query = read_counted_string(reader);
    *problem = "a query must be namespace:name, and fit into the option";
    if (query)
      g_ptr_array_add(queries, query);
    if (!query || !strchr(query, ':'))
      return NULL;
  }
  *problem = "there are bytes after the last query";
  if (reader->left > 0)
    return NULL;
  g_ptr_array_add(queries, NULL);
  return g_steal_pointer(&queries);
}

static void add_context(GByteArray *out, guint32 option, guint32 id, const char *name)
{
  g_autoptr(GByteArray) data = g_byte_array_new();
  id = GUINT32_TO_BE(id);
  g_byte_array_append(data, (const guint8 *)&id, sizeof id);
  g_byte_array_append(data, (const guint8 *)name, strlen(name));
  add_reply(out, option, NBD_REP_META_CONTEXT, data->data, data->len);
}

static Step meta_context(Handshake *handshake, guint32 option, Reader reader)
{
  gboolean listing = option == NBD_OPT_LIST_META_CONTEXT;
  const char *problem = "the option's lengths do not fit each other, or its name is none";
  guint32 type = NBD_REP_ERR_INVALID;
  if (!listing)
    forget_contexts(handshake); /* also when it fails */
  if (!handshake->connection->structured)
    return reply(handshake, option, NBD_REP_ERR_INVALID, "ask for structured replies first");
  g_autofree char *name = read_counted_string(&reader);
  g_autoptr(GPtrArray) queries = name ? read_queries(&reader, &type, &problem) : NULL;
  if (!queries)
    return reply(handshake, option, type, problem);

  g_autoptr(GError) error = NULL;
  g_autoptr(PoolVolumeInfo) info = get_export(handshake, name, &error);
  g_autoptr(GPtrArray) contexts =
      info ? nbd_context_find(handshake->connection->server->group, info,
                              (const char *const *)queries->pdata, listing, &error)
           : NULL;
  if (!contexts)
    return reply_error(handshake, option, error);
  g_autoptr(GByteArray) out = g_byte_array_new();
  for (guint i = 0; i < contexts->len; i++) {
    const NbdContext *context = contexts->pdata[i];
    add_context(out, option, listing ? 0 : context->id, context->name);
  }
  if (!listing) {
    handshake->context_export = g_strdup(info->name);
    handshake->contexts = g_steal_pointer(&contexts);
  }
  add_reply(out, option, NBD_REP_ACK, NULL, 0);
  return transmit(handshake, out->data, out->len) ? HANDSHAKE_NEXT : HANDSHAKE_END;
}

/* --- the loop --- */

static Step option_step(Handshake *handshake, guint32 option, Reader reader)
{
  switch (option) {
  case NBD_OPT_EXPORT_NAME: return export_name(handshake, reader);
  case NBD_OPT_ABORT: reply(handshake, option, NBD_REP_ACK, NULL); return HANDSHAKE_END;
  case NBD_OPT_LIST:
    return reader.left ? reply(handshake, option, NBD_REP_ERR_INVALID, "this option takes no data")
                       : list(handshake);
  case NBD_OPT_INFO:
  case NBD_OPT_GO: return info_or_go(handshake, option, reader);
  case NBD_OPT_STRUCTURED_REPLY:
    if (reader.left)
      return reply(handshake, option, NBD_REP_ERR_INVALID, "this option takes no data");
    handshake->connection->structured = TRUE;
    return reply(handshake, option, NBD_REP_ACK, NULL);
  case NBD_OPT_LIST_META_CONTEXT:
  case NBD_OPT_SET_META_CONTEXT: return meta_context(handshake, option, reader);
  case NBD_OPT_STARTTLS:
    return reply(handshake, option, NBD_REP_ERR_POLICY,
                 "this socket is local: it needs no TLS, and has none");
  default: return reply(handshake, option, NBD_REP_ERR_UNSUP, NULL);
  }
}

static Step next_option(Handshake *handshake)
{
  NbdOption header;
  if (!receive(handshake, &header, sizeof header) ||
      header.magic != GUINT64_TO_BE(NBD_OPTION_MAGIC))
    return HANDSHAKE_END;
  guint32 option = GUINT32_FROM_BE(header.option), length = GUINT32_FROM_BE(header.length);
  if (length > OPTION_MAX) {
    if (option == NBD_OPT_EXPORT_NAME || length > OPTION_SKIP_MAX || !skip(handshake, length))
      return HANDSHAKE_END;
    return reply(handshake, option, NBD_REP_ERR_TOO_BIG, "the option's data is too long");
  }
  g_autofree guint8 *data = g_malloc(length + 1);
  if (!receive(handshake, data, length))
    return HANDSHAKE_END;
  return option_step(handshake, option, (Reader){data, length});
}

gboolean nbd_handshake(NbdConnection *connection)
{
  Handshake handshake = {connection, g_get_monotonic_time() + NBD_HANDSHAKE_MS * (gint64)1000,
                         FALSE, NULL, NULL};
  NbdGreeting greeting = {GUINT64_TO_BE(NBD_MAGIC), GUINT64_TO_BE(NBD_OPTION_MAGIC),
                          GUINT16_TO_BE(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)};
  guint32 flags;
  if (!transmit(&handshake, &greeting, sizeof greeting) ||
      !receive(&handshake, &flags, sizeof flags))
    return FALSE;
  flags = GUINT32_FROM_BE(flags);
  /* Newstyle that is not fixed knows but one option, and no reply to another. */
  if ((flags & ~(guint32)(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)) ||
      !(flags & NBD_FLAG_FIXED_NEWSTYLE))
    return FALSE;
  handshake.no_zeroes = flags & NBD_FLAG_NO_ZEROES;
  Step step;
  do
    step = next_option(&handshake);
  while (step == HANDSHAKE_NEXT);
  forget_contexts(&handshake);
  return step == HANDSHAKE_DONE;
}
