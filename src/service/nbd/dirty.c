/* virt-thin - NBD server: what has changed in an export since a snapshot
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pool_delta() tells it, a page of runs at a time: what of a volume a page covers is known,
 * whatever is between its runs being the same. Both sides of a page that is kept are read-only, so
 * that it stays right, and the next request, which mostly goes on where this one ended, finds its
 * answer in it; the pages of who reads on become longer. Of a volume that is written to nothing is
 * kept from one request to the next: what was written before a request shows in its answer.
 *
 * The snapshot, and the export, are those of the handshake, known by UUID and thin device: a name
 * may come to be another's. What was read-only must be so still. That is looked at after a page is
 * taken, so that no wrong bit is sent, and of a page that is kept once in CHECK_US.
 */
#include <string.h>

#include "service/nbd/nbd-private.h"

#define PAGE_MIN 64u      /* runs */
#define PAGE_MAX 1024u    /* where there is memory for it */
#define PAGES_A_REQUEST 8 /* beyond them an answer is cut short, if there is one */
#define CHECK_US G_USEC_PER_SEC

/* What a volume is beside its name. */
typedef struct {
  char *name, *uuid;
  guint32 device;
  gboolean read_only;
} Identity;

struct NbdDirty {
  Identity volume, since;
  gboolean constant;     /* both are read-only */
  guint max;             /* runs in a page */
  NbdConnection *holder; /* of memory for PAGE_MAX; NULL */

  pthread_mutex_t lock; /* guards the rest; the pool is called with it held */
  GArray *runs;         /* of PoolDeltaRun */
  guint64 start, end;   /* what they cover */
  guint step;           /* how many to ask for next */
  gint64 checked;       /* monotonic time */
};

static Identity identity_of(const PoolVolumeInfo *info)
{
  return (Identity){g_strdup(info->name), g_strdup(info->uuid), info->device_id, info->read_only};
}

static void identity_clear(Identity *identity)
{
  g_free(identity->name);
  g_free(identity->uuid);
}

NbdDirty *nbd_dirty_new(const PoolVolumeInfo *volume, const PoolVolumeInfo *since)
{
  NbdDirty *dirty = g_new0(NbdDirty, 1);
  dirty->volume = identity_of(volume);
  dirty->since = identity_of(since);
  dirty->constant = volume->read_only && since->read_only;
  dirty->max = dirty->step = PAGE_MIN;
  dirty->runs = g_array_new(FALSE, FALSE, sizeof(PoolDeltaRun));
  pthread_mutex_init(&dirty->lock, NULL);
  return dirty;
}

void nbd_dirty_begin(NbdDirty *dirty, NbdConnection *connection)
{
  if (!nbd_memory_take(connection, PAGE_MAX * sizeof(PoolDeltaRun)))
    return;
  dirty->holder = connection;
  dirty->max = PAGE_MAX;
}

void nbd_dirty_free(NbdDirty *dirty)
{
  if (!dirty)
    return;
  if (dirty->holder)
    nbd_memory_give(dirty->holder, PAGE_MAX * sizeof(PoolDeltaRun));
  identity_clear(&dirty->volume);
  identity_clear(&dirty->since);
  g_array_unref(dirty->runs);
  pthread_mutex_destroy(&dirty->lock);
  g_free(dirty);
}

static gboolean is_still(VolumeGroup *group, const Identity *identity, GError **error)
{
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, identity->name, error);
  if (!info)
    return FALSE;
  if (g_strcmp0(info->uuid, identity->uuid) != 0 || info->device_id != identity->device)
    return vt_set_error(error, ENOENT,
                        "%s is another volume than when the client asked for its changes: connect "
                        "again",
                        identity->name);
  return info->read_only || !identity->read_only ||
         vt_set_error(error, EIO,
                      "%s was made writable: what has changed since is not known any more",
                      identity->name);
}

static gboolean check(NbdDirty *dirty, VolumeGroup *group, GError **error)
{
  gint64 now = g_get_monotonic_time();
  if (!is_still(group, &dirty->since, error) || !is_still(group, &dirty->volume, error))
    return FALSE;
  dirty->checked = now;
  return TRUE;
}

/* Take a page with @offset in it, of @n runs at most. */
static gboolean load(NbdDirty *dirty, NbdConnection *connection, guint64 offset, guint n,
                     GError **error)
{
  VolumeGroup *group = connection->server->group;
  guint64 chunk_size = connection->chunk_size, begin = offset;
  if (chunk_size) /* a whole chunk is told of */
    begin -= begin % chunk_size;
  guint64 next = begin;
  dirty->start = dirty->end = 0;
  g_array_set_size(dirty->runs, 0);
  if (!pool_delta(group, dirty->since.name, dirty->volume.name, 0, &next, n, dirty->runs, error) ||
      !check(dirty, group, error))
    return FALSE;
  if (next <= offset)
    return vt_set_error(error, EIO,
                        "the differences of %s from %s do not go on at %" G_GUINT64_FORMAT,
                        dirty->volume.name, dirty->since.name, offset);
  dirty->start = begin;
  dirty->end = next;
  return TRUE;
}

/* How many runs to ask for at @offset, of which a client wants @max descriptors. */
static guint next_step(NbdDirty *dirty, guint64 offset, guint max)
{
  if (!dirty->constant) /* what is not used now is not used at all */
    return CLAMP(2 * max, 2, dirty->max);
  dirty->step = offset == dirty->end ? MIN(2 * dirty->step, dirty->max) : PAGE_MIN;
  return dirty->step;
}

/* The first run that ends behind @offset. */
static guint find_run(const NbdDirty *dirty, guint64 offset)
{
  guint low = 0, high = dirty->runs->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    const PoolDeltaRun *run = &g_array_index(dirty->runs, PoolDeltaRun, middle);
    if (run->offset + run->length <= offset)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* Descriptors in the making. */
typedef struct {
  NbdDescriptor *descriptors;
  guint n, max;
  guint64 length; /* of the last one */
  guint32 flags;
} Answer;

/* FALSE: there is no room for it. */
static gboolean answer_with(Answer *answer, guint64 length, guint32 flags)
{
  if (answer->n == 0 || flags != answer->flags) {
    if (answer->n == answer->max)
      return FALSE;
    answer->n++;
    answer->length = 0;
    answer->flags = flags;
  }
  answer->length += length;
  answer->descriptors[answer->n - 1] =
      (NbdDescriptor){GUINT32_TO_BE(answer->length), GUINT32_TO_BE(flags)};
  return TRUE;
}

/* What the page says of [*offset, end). FALSE: the answer is full. */
static gboolean answer_from_page(const NbdDirty *dirty, guint64 *offset, guint64 end,
                                 Answer *answer)
{
  guint i = find_run(dirty, *offset);
  end = MIN(end, dirty->end);
  while (*offset < end) {
    const PoolDeltaRun *run =
        i < dirty->runs->len ? &g_array_index(dirty->runs, PoolDeltaRun, i) : NULL;
    gboolean inside = run && run->offset <= *offset;
    guint64 until = !run ? end : inside ? run->offset + run->length : run->offset;
    until = MIN(until, end);
    if (!answer_with(answer, until - *offset, inside ? NBD_STATE_DIRTY : 0))
      return FALSE;
    *offset = until;
    i += inside;
  }
  return TRUE;
}

guint nbd_dirty_map(NbdDirty *dirty, NbdConnection *connection, guint64 offset, guint32 length,
                    NbdDescriptor *descriptors, guint max, GError **error)
{
  VolumeGroup *group = connection->server->group;
  Answer answer = {.descriptors = descriptors, .max = max};
  guint64 end = offset + length;
  gboolean ok = TRUE, more = TRUE;
  pthread_mutex_lock(&dirty->lock);
  if (!dirty->constant)
    dirty->start = dirty->end = 0;
  if (dirty->end && g_get_monotonic_time() - dirty->checked > CHECK_US)
    ok = check(dirty, group, error);
  for (guint pages = 0; ok && more && offset < end;) {
    if (offset >= dirty->start && offset < dirty->end)
      more = answer_from_page(dirty, &offset, end, &answer);
    else if (pages++ == PAGES_A_REQUEST && answer.n > 0)
      break;
    else
      ok = load(dirty, connection, offset, next_step(dirty, offset, max), error);
  }
  pthread_mutex_unlock(&dirty->lock);
  return ok ? answer.n : 0;
}
