/* virt-thin - simulation: a mounted FUSE folder, as the kernel has it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Requests lie here until a worker of the engine reads one into its slot; from then on until it is
 * answered the kernel keeps no more of it than who waits. libfuse's session is the real one, and
 * writes its replies to a socket.
 */
#include "mount.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/fuse/fuse-ops.h"
#include "util/error.h"

#define SLOTS 4u

typedef struct {
  guint64 ino, fh;
} Open;

struct Mount {
  Shared shared;
  int fd[2]; /* the engine's, the kernel's */
  struct fuse_session *session;
  guint64 last_unique;
  GQueue pending;       /* of Asked: not read yet */
  GPtrArray *in_flight; /* of Asked: read, and not answered */
  GPtrArray *done;      /* of Asked: answered when nobody waited any more */
  GArray *opens;        /* of Open */
  guint workers;
  gboolean ended; /* unmounted */
};

#define SHARED_SIZE (sizeof(SharedHeader) + SLOTS * sizeof(SharedRequest))

static GPtrArray *mounts; /* those that engines serve, the dead ones' too */

/* Of the calling worker, or of descriptor @fd. */
static Mount *mount_of(int fd)
{
  for (guint i = 0; mounts && i < mounts->len; i++) {
    Mount *mount = mounts->pdata[i];

    if (fuse_worker.request ? fuse_worker.request >= mount->shared.slots &&
                                  fuse_worker.request < mount->shared.slots + SLOTS
                            : fd == mount->fd[0])
      return mount;
  }
  return NULL;
}

/* --- requests --- */

void mount_forget(Asked *asked)
{
  g_byte_array_unref(asked->request);
  if (asked->reply)
    g_byte_array_unref(asked->reply);
  g_free(asked);
}

static Asked *asked_new(Mount *mount, guint32 opcode, guint64 ino, gconstpointer in, gsize in_size,
                        gconstpointer data, gsize size)
{
  Asked *asked = g_new0(Asked, 1);
  struct fuse_in_header header = {.len = (guint32)(sizeof header + in_size + size),
                                  .opcode = opcode,
                                  .unique = mount->last_unique += 2,
                                  .nodeid = ino,
                                  .pid = (guint32)getpid()};

  asked->unique = header.unique;
  asked->request = g_byte_array_sized_new(header.len);
  g_byte_array_append(asked->request, (const guint8 *)&header, sizeof header);
  g_byte_array_append(asked->request, in, (guint)in_size);
  if (size)
    g_byte_array_append(asked->request, data, (guint)size);
  g_queue_push_tail(&mount->pending, asked);
  sim_wake(mount, FALSE);
  return asked;
}

Asked *mount_ask(Mount *mount, guint32 opcode, guint64 ino, gconstpointer in, gsize in_size,
                 gconstpointer data, gsize size, ModelVolume *volume, guint32 number)
{
  Asked *asked;

  if (sim_is_ghost())
    return NULL;
  asked = asked_new(mount, opcode, ino, in, in_size, data, size);
  asked->volume = volume;
  asked->number = number;
  while (!sim_is_ghost() && !asked->answered)
    sim_wait(asked, G_MAXINT64);
  return sim_is_ghost() ? NULL : asked;
}

void mount_keep_open(Mount *mount, guint64 ino, guint64 fh, gboolean open)
{
  const Open one = {ino, fh};

  if (open)
    g_array_append_val(mount->opens, one);
  for (guint i = 0; !open && i < mount->opens->len; i++)
    if (g_array_index(mount->opens, Open, i).fh == fh)
      g_array_remove_index_fast(mount->opens, i--);
}

/* --- what the linker calls in place of the device --- */

ssize_t __wrap_read(int fd, void *buf, size_t size);
ssize_t __real_read(int fd, void *buf, size_t size);
void __wrap_fuse_session_process_buf(struct fuse_session *session, const struct fuse_buf *buf);
void __real_fuse_session_process_buf(struct fuse_session *session, const struct fuse_buf *buf);
void __wrap_shared_populate(Shared *shared);

/* Its pages are copied by nobody but this program. */
void __wrap_shared_populate(Shared *shared)
{
}

static Asked *take_in_flight(Mount *mount, guint64 unique)
{
  for (guint i = 0; i < mount->in_flight->len; i++)
    if (((Asked *)mount->in_flight->pdata[i])->unique == unique)
      return g_ptr_array_steal_index(mount->in_flight, i);
  return NULL;
}

/* A second answer is nobody's: the kernel ignores it. */
static void take_reply(Mount *mount, const guint8 *bytes, gsize length)
{
  const struct fuse_out_header *out = (gconstpointer)bytes;
  Asked *asked = take_in_flight(mount, out->unique);

  if (!asked)
    return;
  asked->answered = TRUE;
  asked->err = -out->error;
  asked->reply = g_byte_array_new();
  g_byte_array_append(asked->reply, bytes + sizeof *out, (guint)(length - sizeof *out));
  if (asked->orphan)
    g_ptr_array_add(mount->done, asked);
  sim_wake(asked, TRUE);
  sim_wake(mount->in_flight, TRUE);
}

/* What a ghost says reaches nobody; but it is taken, or the socket fills and all stands still. */
static void take_replies(Mount *mount)
{
  static guint8 bytes[SHARED_MAX_WRITE + 4096] __attribute__((aligned(8)));
  ssize_t n;

  while ((n = recv(mount->fd[1], bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
    if (!sim_is_ghost())
      take_reply(mount, bytes, (gsize)n);
}

/* The folder is not mounted any more. The worker ends, and its memory with its process. */
static ssize_t no_device(Mount *mount)
{
  if (fuse_worker.buffer) {
    free(fuse_worker.buffer);
    fuse_worker.buffer = NULL;
    mount->workers--;
    sim_wake(&mount->workers, TRUE);
  }
  errno = ENODEV;
  return -1;
}

static ssize_t receive(Mount *mount, void *buf, size_t size)
{
  Asked *asked;

  take_replies(mount);
  sim_point("receive", 0);
  while (!sim_is_ghost() && !mount->ended && g_queue_is_empty(&mount->pending))
    sim_wait(mount, G_MAXINT64);
  if (sim_is_ghost() || mount->ended)
    return no_device(mount);
  asked = g_queue_pop_head(&mount->pending);
  g_assert_cmpuint(asked->request->len, <=, size);
  memcpy(buf, asked->request->data, asked->request->len);
  g_ptr_array_add(mount->in_flight, asked);
  return (ssize_t)asked->request->len;
}

ssize_t __wrap_read(int fd, void *buf, size_t size)
{
  Mount *mount = mount_of(fd);

  return mount ? receive(mount, buf, size) : __real_read(fd, buf, size);
}

/* Between the answer and the slot's end there is room for others, and for the engine's death. */
void __wrap_fuse_session_process_buf(struct fuse_session *session, const struct fuse_buf *buf)
{
  Mount *mount = mount_of(-1);

  mount->session = session;
  __real_fuse_session_process_buf(session, buf);
  take_replies(mount);
  sim_point("answered", 0);
}

/* --- its life --- */

static void map_shared(Shared *shared)
{
  char *base = mmap(NULL, SHARED_SIZE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  shared->header = (SharedHeader *)(gpointer)base;
  shared->slots = (SharedRequest *)(gpointer)(base + sizeof(SharedHeader));
}

static Mount *mount_alloc(void)
{
  Mount *mount = g_new0(Mount, 1);

  map_shared(&mount->shared);
  mount->fd[0] = mount->fd[1] = -1;
  g_queue_init(&mount->pending);
  mount->in_flight = g_ptr_array_new();
  mount->done = g_ptr_array_new();
  mount->opens = g_array_new(FALSE, FALSE, sizeof(Open));
  return mount;
}

Mount *mount_new(void)
{
  const struct fuse_init_in init = {.major = FUSE_KERNEL_VERSION,
                                    .minor = 31,
                                    .max_readahead = 1u << 17,
                                    .flags = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO |
                                             FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES};
  Mount *mount = mount_alloc();

  mount->shared.header->version = SHARED_VERSION;
  mount->shared.header->n_slots = SLOTS;
  asked_new(mount, FUSE_INIT, 0, &init, sizeof init, NULL, 0)->orphan = TRUE;
  return mount;
}

Shared *mount_shared(Mount *mount)
{
  return &mount->shared;
}

static void forget_all(GPtrArray *all)
{
  for (guint i = 0; i < all->len; i++)
    mount_forget(all->pdata[i]);
  g_ptr_array_unref(all);
}

void mount_free(Mount *mount)
{
  munmap(mount->shared.header, SHARED_SIZE);
  forget_all(mount->in_flight);
  forget_all(mount->done);
  g_queue_clear_full(&mount->pending, (GDestroyNotify)mount_forget);
  g_array_unref(mount->opens);
  g_free(mount);
}

/* Workers end by themselves, when there is nothing to read any more. */
static void end_workers(Mount *mount)
{
  mount->ended = TRUE;
  sim_wake(mount, TRUE);
  while (mount->workers)
    sim_wait(&mount->workers, G_MAXINT64);
}

void mount_unserve(Mount *mount, FuseView *view)
{
  end_workers(mount);
  g_ptr_array_remove(mounts, mount);
  if (mount->session)
    fuse_session_destroy(mount->session); /* closes its descriptor */
  else
    close(mount->fd[0]);
  close(mount->fd[1]);
  g_free(view);
  fuse_worker = (FuseWorker){0};
}

/* Answers wait in the socket until a worker comes by: there is room for one of each. */
static void give_room(int fd)
{
  const int room = 2 * SLOTS * SHARED_REQUEST_MAX;

  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) < 0) /* who is not root */
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
}

FuseView *mount_serve(Mount *mount, Folder *folder, GError **error)
{
  FuseView *view;

  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, mount->fd) != 0)
    sim_fail("no socket pair: %s", g_strerror(errno));
  give_room(mount->fd[0]);
  if (!mounts)
    mounts = g_ptr_array_new();
  g_ptr_array_add(mounts, mount);
  view = fuse_view_new(folder, &mount->shared, mount->fd[0], error);
  if (!view) {
    mount_unserve(mount, NULL);
    return NULL;
  }
  mount->workers = SLOTS;
  if (!fuse_view_start(view, error))
    sim_fail("no workers for FUSE");
  return view;
}

static void orphan(Mount *mount, Asked *asked)
{
  asked->orphan = TRUE;
  asked->deaths++;
  sim_wake(asked, TRUE);
}

static void orphan_all(Mount *mount)
{
  for (guint i = 0; i < mount->in_flight->len; i++)
    orphan(mount, mount->in_flight->pdata[i]);
  for (GList *at = mount->pending.head; at; at = at->next)
    orphan(mount, at->data);
  sim_wake(mount, TRUE);
  sim_wake(mount->in_flight, TRUE);
}

/* Of a slot what it holds; modes are nobody's here. */
static void copy_shared(Shared *to, const Shared *from)
{
  memcpy(to->header, from->header, offsetof(SharedHeader, modes));
  for (guint i = 0; i < SLOTS; i++)
    memcpy(&to->slots[i], &from->slots[i],
           offsetof(SharedRequest, bytes) +
               MIN(from->slots[i].header.len, sizeof from->slots[i].bytes));
}

Mount *mount_survive(Mount *mount)
{
  Mount *next = mount_alloc();

  orphan_all(mount);
  copy_shared(&next->shared, &mount->shared);
  next->last_unique = mount->last_unique;
  next->pending = mount->pending;
  g_queue_init(&mount->pending);
  g_ptr_array_extend_and_steal(next->in_flight, g_steal_pointer(&mount->in_flight));
  mount->in_flight = g_ptr_array_new();
  g_array_append_vals(next->opens, mount->opens->data, mount->opens->len);
  return next;
}

void mount_vanish(Mount *mount)
{
  orphan_all(mount);
}

/* --- what the dead have left --- */

static gboolean wait_for_answers(Mount *mount)
{
  while (!sim_is_ghost() && (mount->in_flight->len || mount->pending.length))
    sim_wait(mount->in_flight, G_MAXINT64);
  return !sim_is_ghost();
}

static void keep_what_was_opened(Mount *mount, const Asked *asked)
{
  const struct fuse_in_header *in = (gconstpointer)asked->request->data;
  const struct fuse_open_out *out = (gconstpointer)asked->reply->data;

  if (in->opcode == FUSE_OPEN && !asked->err)
    mount_keep_open(mount, in->nodeid, out->fh, TRUE);
}

static void release_all(Mount *mount)
{
  for (guint i = 0; i < mount->opens->len; i++) {
    const Open *one = &g_array_index(mount->opens, Open, i);
    const struct fuse_release_in in = {.fh = one->fh};

    asked_new(mount, FUSE_RELEASE, one->ino, &in, sizeof in, NULL, 0)->orphan = TRUE;
  }
  g_array_set_size(mount->opens, 0);
}

gboolean mount_finish(Mount *mount, void (*func)(const Asked *asked, gpointer data), gpointer data)
{
  if (!wait_for_answers(mount))
    return FALSE;
  for (guint i = 0; i < mount->done->len; i++) {
    keep_what_was_opened(mount, mount->done->pdata[i]);
    func(mount->done->pdata[i], data);
  }
  release_all(mount);
  return wait_for_answers(mount);
}
