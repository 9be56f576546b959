/* virt-thin - a bare NBD client for tests: says exactly the bytes it is told to
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Every function asserts; receiving gives up after 20 seconds.
 */
#pragma once

#include "memory-pool.h"
#include "service/nbd/nbd-protocol.h"
#include "service/nbd/nbd-server.h"

/* A server on a memory pool with volumes "vol" (8 MiB), "other" (1 MiB), "ro" (1 MiB, read-only),
 * "big" (64 MiB). */
typedef struct {
  VolumeGroup *pool;
  NbdServer *server;
} Served;
Served *served_new(void);
Served *served_new_with(const NbdServerOptions *options);
void served_free(Served *served); /* also checks that nothing stays open */

/* A new connection, nothing read or sent. */
int client_new(Served *served);
/* Greeting read, flags sent. */
int client_hello(Served *served);
/* A connection in transmission. */
int client_go(Served *served, const char *name, gboolean structured, gboolean block_status);

void client_send(int fd, const void *data, gsize length);
void client_receive(int fd, void *data, gsize length);
/* The server has closed the connection, and sent nothing before. */
void assert_closed(int fd);

void client_option(int fd, guint32 option, const void *data, guint32 length);
/* The next option reply: its type; @data (may be NULL) receives its data, the caller's. */
guint32 client_option_reply(int fd, guint32 option, GByteArray **data);
/* Data of INFO and GO: @infos ends with -1. */
GByteArray *client_info_data(const char *name, const int *infos);
/* Data of LIST_META_CONTEXT and SET_META_CONTEXT: @queries ends with NULL. */
GByteArray *client_context_data(const char *name, const char *const *queries);

void client_request(int fd, guint16 flags, guint16 type, guint64 cookie, guint64 offset,
                    guint32 length);
/* A simple reply: its error number. */
guint32 client_simple(int fd, guint64 cookie);
/* The answer to any request without data, simple or structured: its error number; @message, if not
 * NULL, receives the text, the caller's. */
guint32 client_result(int fd, guint64 cookie, char **message);
/* One request without data, and its error number. */
guint32 client_call(int fd, guint16 flags, guint16 type, guint64 offset, guint32 length);
guint32 client_write(int fd, guint16 flags, guint64 offset, const void *data, guint32 length);
/* A structured reply to a read of @length at @offset, put together in @data; the number of holes in
 * it is added to
 * @holes. Its error number. */
guint32 client_structured_read(int fd, guint64 cookie, guint64 offset, guint8 *data, guint32 length,
                               guint *holes, guint *pieces);

/* Bytes that say where they are. */
guint8 *pattern_new(guint64 seed, gsize length);
