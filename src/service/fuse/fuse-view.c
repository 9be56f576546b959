/* virt-thin - the FUSE folder: requests from the kernel, through slots of shared memory, to the
 * pool's volumes SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libfuse's session does the protocol; the reading is ours, for a request has to lie in its slot
 * (shared.h) before anything else happens. The mount belongs to the holder and outlives
 * this process. A connection is negotiated once, by an INIT request; an engine that takes over
 * feeds its session that same request again, and the kernel ignores the answer (or, should the
 * first engine have died over it, takes it).
 *
 * How many workers read. The kernel hands requests to waiting readers in turn: with many, each
 * request wakes another one, and half of the time goes into switching between them. So, as long as
 * requests are carried out without waiting (from the page cache), only a few workers per processor
 * read, and the others are parked. Whether requests wait is sampled by what counts as waiting:
 * voluntary context switches. Requests that are known to wait (fsync and all but reads and writes)
 * let one more worker out meanwhile.
 */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "service/fuse/fuse-ops.h"
#include "service/fuse/fuse-view.h"

/* engines that try again what another has died over, before it is answered with EIO */
#define MAX_ATTEMPTS 3

struct FuseView {
  Shared *shared;
  int fd;
  struct fuse_session *session;
  gint stopping, busy;
  /* atomic: */
  gint out;     /* workers that are not parked */
  gint few;     /* so many are enough while nothing waits */
  gint slow;    /* requests that are known to wait, under way */
  gint waiting; /* of the requests sampled lately, how many waited: of 1024 */
  gint n_parked;
  pthread_mutex_t parking;
  pthread_cond_t released;
  guint n_replays; /* not ended. Under parking */
  pthread_cond_t replayed;
};

#define SAMPLE_EVERY 4   /* reads and writes */
#define WAITING_MANY 256 /* of 1024: from here on all workers read */

typedef struct {
  FuseView *view;
  SharedRequest *request;
} Start;

/* Answer without libfuse: what it does not know, or did in another process. */
static void answer(FuseView *view, const SharedRequest *request, int err, const void *data,
                   gsize length)
{
  struct fuse_out_header out = {
      .len = sizeof out + length, .error = -err, .unique = request->header.unique};
  struct iovec iov[2] = {{&out, sizeof out}, {(void *)data, length}};

  if (writev(view->fd, iov, length ? 2 : 1) == -1 && errno != ENOENT && errno != ENODEV)
    g_warning("cannot answer a FUSE request: %s", g_strerror(errno));
}

static void answer_executed(FuseView *view, const SharedRequest *request)
{
  const SharedSlot *slot = &request->slot;
  struct fuse_write_out write_out = {.size = slot->value};
  struct fuse_open_out open_out = {.fh = slot->value,
                                   .open_flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH |
                                                 1 << 6 /* FOPEN_PARALLEL_DIRECT_WRITES */};

  if (slot->outcome)
    answer(view, request, slot->outcome, NULL, 0);
  else if (request->header.opcode == FUSE_WRITE)
    answer(view, request, 0, &write_out, sizeof write_out);
  else if (request->header.opcode == FUSE_OPEN)
    answer(view, request, 0, &open_out, sizeof open_out);
  else
    answer(view, request, 0, NULL, 0);
}

/* What an engine that died had answered, and not yet taken out of its slot, is carried out once
 * more, while the kernel, which has its answer, may close the file. */
static void await_replays(FuseView *view)
{
  pthread_mutex_lock(&view->parking);
  while (view->n_replays)
    pthread_cond_wait(&view->replayed, &view->parking);
  pthread_mutex_unlock(&view->parking);
}

static void replay_ended(FuseView *view)
{
  pthread_mutex_lock(&view->parking);
  if (--view->n_replays == 0)
    pthread_cond_broadcast(&view->replayed);
  pthread_mutex_unlock(&view->parking);
}

static void process(FuseView *view, SharedRequest *request)
{
  struct fuse_buf buf = {.size = request->header.len, .mem = request->bytes};

  if (request->header.opcode == FUSE_RELEASE)
    await_replays(view);
  if (request->header.opcode == FUSE_INTERRUPT)
    answer(view, request, ENOSYS, NULL,
           0); /* our requests are short: the kernel stops sending these */
  else
    fuse_session_process_buf(view->session, &buf);
}

static gboolean is_request(const SharedRequest *request)
{
  return request->header.len >= sizeof request->header &&
         request->header.len <= sizeof request->bytes;
}

/* What an engine that died had read and not answered. */
static void replay(FuseView *view, SharedRequest *request)
{
  SharedSlot *slot = &request->slot;

  if (slot->executed) {
    answer_executed(view, request);
  } else if (++slot->attempts > MAX_ATTEMPTS) {
    g_warning("request %u of file %" G_GINT64_MODIFIER
              "x has ended %u engines: it is answered with an I/O error",
              request->header.opcode, (guint64)request->header.nodeid, slot->attempts);
    answer(view, request, EIO, NULL, 0);
  } else {
    process(view, request);
  }
}

/* FALSE: the folder is unmounted. */
static gboolean receive(FuseView *view, SharedRequest *request)
{
  for (;;) {
    ssize_t n = read(view->fd, request->bytes, sizeof request->bytes);
    if (n >= (ssize_t)sizeof request->header)
      return TRUE;
    if (n == -1 && errno == ENODEV)
      return FALSE;
    if (n == -1 && errno != EINTR && errno != EAGAIN && errno != ENOENT) {
      g_warning("cannot read FUSE requests: %s", g_strerror(errno));
      g_usleep(100000);
    }
  }
}

/* From here to work_end() the engine counts as busy; never returns when it is stopping. */
static void work_begin(FuseView *view)
{
  g_atomic_int_inc(&view->busy);
  if (!g_atomic_int_get(&view->stopping))
    return;
  g_atomic_int_add(&view->busy, -1);
  for (;;)
    pause();
}

static void work_end(FuseView *view, SharedRequest *request)
{
  request->header.len = 0;
  request->slot = (SharedSlot){0};
  g_atomic_int_add(&view->busy, -1);
}

static gint wanted_workers(FuseView *view)
{
  gint few = g_atomic_int_get(&view->waiting) > WAITING_MANY ? (gint)view->shared->header->n_slots
                                                             : g_atomic_int_get(&view->few);
  return few + g_atomic_int_get(&view->slow);
}

static void release_one(FuseView *view)
{
  if (g_atomic_int_get(&view->n_parked) == 0 ||
      g_atomic_int_get(&view->out) >= wanted_workers(view))
    return;
  pthread_mutex_lock(&view->parking);
  pthread_cond_signal(&view->released);
  pthread_mutex_unlock(&view->parking);
}

/* Between requests: stay out if there are enough others. */
static void park(FuseView *view)
{
  if (g_atomic_int_get(&view->out) <= wanted_workers(view))
    return;
  pthread_mutex_lock(&view->parking);
  g_atomic_int_inc(&view->n_parked);
  g_atomic_int_add(&view->out, -1);
  while (g_atomic_int_get(&view->out) >= wanted_workers(view))
    pthread_cond_wait(&view->released, &view->parking);
  g_atomic_int_inc(&view->out);
  g_atomic_int_add(&view->n_parked, -1);
  pthread_mutex_unlock(&view->parking);
}

static glong n_waits(void)
{
  struct rusage usage;
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

static void note_wait(FuseView *view, gboolean waited)
{
  gint before = g_atomic_int_get(&view->waiting),
       after = before + ((waited ? 1024 : 0) - before) / 16;

  g_atomic_int_set(&view->waiting, after); /* two at once: one sample is lost, no harm */
  if (waited)
    release_one(view);
}

/* Carry out a request, with as many other workers as that calls for. */
static void process_among_others(FuseView *view, SharedRequest *request, guint *n_done)
{
  guint32 opcode = request->header.opcode;
  glong before;

  if (opcode != FUSE_READ && opcode != FUSE_WRITE) {
    g_atomic_int_inc(&view->slow);
    release_one(view);
    process(view, request);
    g_atomic_int_add(&view->slow, -1);
  } else if ((*n_done)++ % SAMPLE_EVERY != 0) {
    process(view, request);
  } else {
    before = n_waits();
    process(view, request);
    note_wait(view, n_waits() != before);
  }
}

static void *worker(void *data)
{
  guint n_done = 0;
  Start *start = data;
  FuseView *view = start->view;
  SharedRequest *request = start->request;

  g_free(start);
  pthread_setname_np(pthread_self(), "fuse");
  fuse_worker.request = request;
  fuse_worker.buffer = aligned_alloc(4096, SHARED_MAX_WRITE);
  if (is_request(request)) {
    gboolean waits = request->header.opcode == FUSE_RELEASE; /* for the other replays */

    work_begin(view);
    if (waits)
      replay_ended(view);
    replay(view, request);
    if (!waits)
      replay_ended(view);
    work_end(view, request);
  }
  request->header.len = 0;
  request->slot = (SharedSlot){0};
  for (;;) {
    park(view);
    if (!receive(view, request))
      break;
    work_begin(view);
    process_among_others(view, request, &n_done);
    work_end(view, request);
  }
  return NULL;
}

/* Negotiate, or repeat what was negotiated. */
static gboolean start_session(FuseView *view, GError **error)
{
  SharedHeader *header = view->shared->header;
  SharedRequest *first = &view->shared->slots[0];

  if (header->init_length == 0) {
    if (!is_request(first) && !receive(view, first))
      return vt_set_error(error, ENOTCONN, "the FUSE folder is not mounted any more");
    if (first->header.opcode != FUSE_INIT || first->header.len > sizeof header->init)
      return vt_set_error(error, EPROTO, "the FUSE folder's first request is not INIT, but %u",
                          first->header.opcode);
    memcpy(header->init, first->bytes, first->header.len);
    __atomic_store_n(&header->init_length, first->header.len, __ATOMIC_RELEASE);
    first->header.len = 0;
  } else if (is_request(first) && first->header.opcode == FUSE_INIT) {
    first->header.len = 0;
  }
  struct fuse_buf buf = {.size = header->init_length, .mem = header->init};
  fuse_worker.request = first;
  fuse_session_process_buf(view->session, &buf);
  if (fuse_session_exited(view->session))
    return vt_set_error(error, EPROTO, "the kernel's FUSE protocol does not suit");
  return TRUE;
}

FuseView *fuse_view_new(Folder *folder, Shared *shared, int fuse_fd, GError **error)
{
  char *argv[] = {(char *)"virt-thin", NULL};
  struct fuse_args args = FUSE_ARGS_INIT(1, argv);
  g_autofree char *mount_point = g_strdup_printf("/dev/fd/%d", fuse_fd);
  FuseView *view = g_new0(FuseView, 1);

  view->shared = shared;
  view->fd = fuse_fd;
  view->few = CLAMP(2 * (gint)g_get_num_processors(), 4, (gint)shared->header->n_slots);
  view->out = shared->header->n_slots;
  pthread_mutex_init(&view->parking, NULL);
  pthread_cond_init(&view->released, NULL);
  pthread_cond_init(&view->replayed, NULL);
  view->session = fuse_session_new(&args, &fuse_ops, sizeof fuse_ops, folder);
  fuse_opt_free_args(&args);
  if (!view->session || fuse_session_mount(view->session, mount_point) != 0) {
    vt_set_error(error, EIO, "cannot start a FUSE session");
    g_free(view);
    return NULL;
  }
  shared_populate(shared);
  if (!start_session(view, error)) {
    g_free(view);
    return NULL;
  }
  return view;
}

gboolean fuse_view_start(FuseView *view, GError **error)
{
  for (guint i = 0; i < view->shared->header->n_slots; i++)
    view->n_replays += is_request(&view->shared->slots[i]);
  for (guint i = 0; i < view->shared->header->n_slots; i++) {
    pthread_t thread;
    Start *start = g_new(Start, 1);
    *start = (Start){view, &view->shared->slots[i]};
    int err = pthread_create(&thread, NULL, worker, start);
    if (err) {
      g_free(start);
      return vt_set_errno(error, err, "cannot start FUSE worker %u", i);
    }
    pthread_detach(thread);
  }
  return TRUE;
}

gboolean fuse_view_stop(FuseView *view, guint timeout_ms)
{
  gint64 deadline = g_get_monotonic_time() + timeout_ms * G_TIME_SPAN_MILLISECOND;

  g_atomic_int_set(&view->stopping, 1);
  while (g_atomic_int_get(&view->busy) > 0) {
    if (g_get_monotonic_time() > deadline)
      return FALSE;
    g_usleep(1000);
  }
  return TRUE;
}
