/* virt-thin - what the files of the NBD server share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * nbd-server.c      listens, keeps the list of connections, stops
 * nbd/handshake.c   options, up to the choice of an export
 * nbd/context.c     which metadata contexts an export has
 * nbd/connection.c  receives requests in batches, and shares them among the connection's threads
 * nbd/request.c     carries out a request and builds its reply
 * nbd/dirty.c       what has changed since a snapshot
 * nbd/memory.c      what all connections may take together
 *
 * Locks are pthread's, so that a thread checker sees them. Order: server->lock, then
 * connection->lock, then server->memory_lock; never with connection->send_lock.
 */
#pragma once

#include <pthread.h>

#include "service/nbd/nbd-protocol.h"
#include "service/nbd/nbd-server.h"

#define NBD_BATCH 16                /* requests that a thread takes at once */
#define NBD_PIECE (2u << 20)        /* longer transfers go through buffers of this size */
#define NBD_REQUEST_MAX (32u << 20) /* the advertised maximum: what every client may send */
#define NBD_ARENA (256u << 10) /* reply and receive buffers of a connection that does small I/O */
#define NBD_THREAD_MEMORY (2 * NBD_ARENA) /* of each: its arena, and what it was sent */
#define NBD_HANDSHAKE_MS 60000

/* Received bytes; several batches may point into one. */
typedef struct {
  gint refs;
  gsize capacity;
  guint8 *data;
} NbdBuffer;

/* What has changed in an export since a snapshot; nbd/dirty.c. */
typedef struct NbdDirty NbdDirty;

/* A metadata context. */
typedef struct {
  guint32 id;
  char *name;
  NbdDirty *dirty; /* NULL: base:allocation */
} NbdContext;

typedef struct {
  NbdServer *server;
  int fd;
  gboolean view;
  pid_t pid;
  uid_t uid;
  char *command;
  gint64 since; /* monotonic time */

  /* Set by the handshake, then constant. */
  char *export_name; /* published under server->lock */
  VtIo *volume;
  gboolean read_only;
  gboolean structured;
  GPtrArray *contexts; /* of NbdContext: those selected for export_name; NULL: none */
  guint64 chunk_size;

  pthread_mutex_t lock; /* guards the next block */
  pthread_cond_t leader_gone;
  gboolean has_leader;
  guint n_threads, n_waiting;
  NbdBuffer *spares[4];

  /* The leader's alone. */
  NbdBuffer *rx;
  gsize rx_start, rx_end; /* received, not yet taken */
  gboolean idle;          /* recv() waits without a limit */

  pthread_mutex_t send_lock; /* whole replies, one after the other */
  pthread_mutex_t big_lock;  /* one reply larger than NBD_PIECE at a time */

  /* Atomic. */
  gboolean ended;    /* take no more requests: client said so, hung up, or the server stops */
  gboolean dead;     /* nothing can be sent any more */
  gint64 request_ns; /* how long a request takes, averaged */
  guint64 requests, errors;
  guint64 moved;        /* bytes received and sent */
  gint64 sending_since; /* monotonic time of the last progress of who is sending; 0: nobody is */
  gint64 warned;        /* monotonic time of the last logged error */

  gsize holds; /* of server->memory_left; under its lock */
} NbdConnection;

struct NbdServer {
  VolumeGroup *group;
  gboolean read_only, check_peer;
  GStrv exports; /* NULL: all volumes */
  guint threads, max_clients;
  gboolean (*is_view)(pid_t pid, gpointer user_data);
  gpointer user_data;
  int listen_fd, wake_fd;
  char *socket_path; /* to remove; NULL */
  pthread_t acceptor;
  pthread_mutex_t lock;
  pthread_cond_t connection_gone;
  GPtrArray *connections;
  gboolean stopping;
  gint64 stall_us; /* constant */
  gint64 looked;   /* for connections that have stalled: monotonic time */
  pthread_mutex_t memory_lock;
  gsize memory_left; /* of what connections share */
};

/* A thread of a connection, with the requests it carries out and the replies it gathers. */
typedef struct {
  NbdConnection *connection;

  NbdRequest batch[NBD_BATCH]; /* in the processor's byte order */
  const guint8 *payload[NBD_BATCH];
  guint n_requests;
  NbdBuffer *rx;     /* what payload points into; referenced */
  gboolean streamed; /* batch[0] is a write whose payload is still in the socket */

  guint8 *arena; /* replies in the order of sending, with gaps for alignment */
  gsize arena_size, arena_used;
  struct iovec out[2 * NBD_BATCH];
  guint n_out;
} NbdWorker;

/* nbd-server.c */
gboolean nbd_thread_start(pthread_t *thread, void *(*function)(void *), void *data);
void nbd_server_forget(NbdConnection *connection); /* by its last thread; frees it */
/* Claim @name for @connection, a view. EBUSY: another view has it; ETIMEDOUT: one that has hung up
 * is still busy at
 * @deadline_us of g_get_monotonic_time(). */
gboolean nbd_server_claim(NbdConnection *connection, const char *name, gint64 deadline_us,
                          GError **error);

/* nbd/memory.c: beyond a connection's own NBD_THREAD_MEMORY. FALSE: do without. Not to be taken
 * under a lock. */
gboolean nbd_memory_take(NbdConnection *connection, gsize bytes);
void nbd_memory_give(NbdConnection *connection, gsize bytes);

/* nbd/context.c: what @volume has of @queries (NULL at the end): GPtrArray of NbdContext, in the
 * order in which they are told; unref it. @listing: for LIST_META_CONTEXT, else for SET_. */
GPtrArray *nbd_context_find(VolumeGroup *group, const PoolVolumeInfo *volume,
                            const char *const *queries, gboolean listing, GError **error);
void nbd_context_free(NbdContext *context);

/* nbd/dirty.c */
NbdDirty *nbd_dirty_new(const PoolVolumeInfo *volume, const PoolVolumeInfo *since);
/* @connection is to use it, and outlives it. */
void nbd_dirty_begin(NbdDirty *dirty, NbdConnection *connection);
void nbd_dirty_free(NbdDirty *dirty);
/* The runs of the range, neighbours of one kind joined, into @descriptors, perhaps not to its end;
 * their number, 0: @error. Any thread. */
guint nbd_dirty_map(NbdDirty *dirty, NbdConnection *connection, guint64 offset, guint32 length,
                    NbdDescriptor *descriptors, guint max, GError **error);

/* nbd/handshake.c: FALSE: the connection ends. */
gboolean nbd_handshake(NbdConnection *connection);

/* nbd/connection.c */
void *nbd_connection_main(void *connection);
/* No more requests; what is in flight goes on. */
void nbd_connection_end(NbdConnection *connection);
void nbd_connection_kill(NbdConnection *connection); /* and nothing is sent any more */
gboolean nbd_connection_is_dead(NbdConnection *connection);
/* Receive exactly @length bytes that belong to a streamed write. */
gboolean nbd_receive_payload(NbdConnection *connection, void *data, gsize length);
/* One reply, or several. FALSE: the connection is dead. */
gboolean nbd_send(NbdConnection *connection, struct iovec *iov, guint n_iov);
/* The same of a part, by who holds send_lock for the whole. */
gboolean nbd_send_locked(NbdConnection *connection, struct iovec *iov, guint n_iov);
void nbd_buffer_free(NbdConnection *connection, NbdBuffer *buffer);

/* nbd/request.c */
void nbd_execute(NbdWorker *worker); /* the whole batch, and sends the replies */
void nbd_worker_clear(NbdWorker *worker);
void nbd_worker_trim(NbdWorker *worker); /* give memory back that only large requests needed */
