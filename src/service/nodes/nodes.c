/* virt-thin - the engine's side of block nodes: tells the nodes process what to show
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/nodes/nodes.h"
#include "util/condition.h"

#define REPLY_MS 15000

struct Nodes {
  char *vg;
  int fd;
  pthread_mutex_t sync_lock; /* one sync at a time; taken before all others */
  pthread_mutex_t call_lock; /* one request at a time */
  guint64 last_id;
  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t changed;
  GHashTable *shown; /* names that have a node */
  guint n_urgent;    /* callers other than the background */
  guint n_syncs, n_synced;
  gboolean unusable;
};

Nodes *nodes_new(const char *vg, int fd)
{
  Nodes *nodes = g_new0(Nodes, 1);

  nodes->vg = g_strdup(vg);
  nodes->fd = fd;
  nodes->last_id = (guint64)getpid() << 32; /* replies to a dead engine's requests may still come */
  nodes->shown = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  pthread_mutex_init(&nodes->sync_lock, NULL);
  pthread_mutex_init(&nodes->call_lock, NULL);
  pthread_mutex_init(&nodes->lock, NULL);
  vt_condition_init(&nodes->changed);
  return nodes;
}

static gboolean receive_reply(Nodes *nodes, guint64 id, NodeReply *reply)
{
  gint64 deadline = g_get_monotonic_time() + REPLY_MS * G_TIME_SPAN_MILLISECOND;
  struct pollfd poll_fd = {.fd = nodes->fd, .events = POLLIN};

  for (;;) {
    gint64 left = (deadline - g_get_monotonic_time()) / G_TIME_SPAN_MILLISECOND;
    if (left <= 0 || (poll(&poll_fd, 1, left) == -1 && errno != EINTR))
      return FALSE;
    if (recv(nodes->fd, reply, sizeof *reply, MSG_DONTWAIT) == sizeof *reply && reply->id == id)
      return TRUE;
  }
}

static gboolean call(Nodes *nodes, NodeOp op, const char *name, const char *new_name,
                     const NodeShape *shape, NodeReply *reply, GError **error)
{
  NodeRequest request = {.op = op};

  if (shape) {
    request.read_only = shape->read_only;
    request.sector_size = shape->sector_size;
  }
  g_strlcpy(request.name, name ? name : "", sizeof request.name);
  g_strlcpy(request.new_name, new_name ? new_name : "", sizeof request.new_name);
  pthread_mutex_lock(&nodes->call_lock);
  request.id = ++nodes->last_id;
  gboolean answered = send(nodes->fd, &request, sizeof request, MSG_NOSIGNAL) == sizeof request &&
                      receive_reply(nodes, request.id, reply);
  pthread_mutex_unlock(&nodes->call_lock);
  if (!answered)
    return vt_set_error(error, ETIMEDOUT,
                        "%s/%s: the process that makes block nodes does not answer", nodes->vg,
                        name ? name : "");
  reply->text[sizeof reply->text - 1] = '\0';
  if (reply->err)
    return vt_set_error(error, reply->err, "%s", reply->text);
  return TRUE;
}

/* A call that somebody waits for, ahead of the background's. */
static gboolean call_urgently(Nodes *nodes, NodeOp op, const char *name, const char *new_name,
                              const NodeShape *shape, NodeReply *reply, GError **error)
{
  pthread_mutex_lock(&nodes->lock);
  nodes->n_urgent++;
  pthread_mutex_unlock(&nodes->lock);
  gboolean done = call(nodes, op, name, new_name, shape, reply, error);
  pthread_mutex_lock(&nodes->lock);
  nodes->n_urgent--;
  pthread_cond_broadcast(&nodes->changed);
  pthread_mutex_unlock(&nodes->lock);
  return done;
}

static void set_shown(Nodes *nodes, const char *name, gboolean shown)
{
  pthread_mutex_lock(&nodes->lock);
  if (shown)
    g_hash_table_add(nodes->shown, g_strdup(name));
  else
    g_hash_table_remove(nodes->shown, name);
  pthread_mutex_unlock(&nodes->lock);
}

gboolean nodes_has(Nodes *nodes, const char *name)
{
  pthread_mutex_lock(&nodes->lock);
  gboolean has = g_hash_table_contains(nodes->shown, name);
  pthread_mutex_unlock(&nodes->lock);
  return has;
}

static gboolean is_unusable(Nodes *nodes)
{
  pthread_mutex_lock(&nodes->lock);
  gboolean unusable = nodes->unusable;
  pthread_mutex_unlock(&nodes->lock);
  return unusable;
}

/* After a failed SHOW: is there a point in asking for more? */
static void judge(Nodes *nodes, const GError *error)
{
  if (!g_error_matches(error, VT_ERROR, EOPNOTSUPP))
    return;
  pthread_mutex_lock(&nodes->lock);
  if (!nodes->unusable)
    g_message("volumes of %s have no block nodes, only files: %s", nodes->vg, error->message);
  nodes->unusable = TRUE;
  pthread_mutex_unlock(&nodes->lock);
}

gboolean nodes_show(Nodes *nodes, const char *name, const NodeShape *shape, GError **error)
{
  g_autoptr(GError) local = NULL;
  NodeReply reply;

  if (is_unusable(nodes))
    return TRUE;
  if (call_urgently(nodes, NODE_SHOW, name, NULL, shape, &reply, &local)) {
    set_shown(nodes, name, TRUE);
    return TRUE;
  }
  judge(nodes, local);
  if (is_unusable(nodes))
    return TRUE;
  g_propagate_error(error, g_steal_pointer(&local));
  return FALSE;
}

gboolean nodes_hide(Nodes *nodes, const char *name, GError **error)
{
  NodeReply reply;

  set_shown(nodes, name, FALSE);
  return is_unusable(nodes) || call_urgently(nodes, NODE_HIDE, name, NULL, NULL, &reply, error);
}

gboolean nodes_rename(Nodes *nodes, const char *name, const char *new_name, GError **error)
{
  NodeReply reply;

  if (!nodes_has(nodes, name))
    return TRUE;
  set_shown(nodes, name, FALSE);
  if (!call_urgently(nodes, NODE_RENAME, name, new_name, NULL, &reply, error))
    return FALSE;
  set_shown(nodes, new_name, TRUE);
  return TRUE;
}

gboolean nodes_resized(Nodes *nodes, const char *name, GError **error)
{
  NodeReply reply;
  return is_unusable(nodes) || call_urgently(nodes, NODE_RESIZED, name, NULL, NULL, &reply, error);
}

gboolean nodes_flush(Nodes *nodes, const char *name, GError **error)
{
  NodeReply reply;
  return !nodes_has(nodes, name) ||
         call_urgently(nodes, NODE_FLUSH, name, NULL, NULL, &reply, error);
}

static char *perhaps_somebody(const GError *error)
{
  return g_strdup_printf("somebody, perhaps (%s)", error->message);
}

char *nodes_user(Nodes *nodes, const char *const *names, const char **used)
{
  g_autoptr(GError) error = NULL;
  NodeReply reply = {0};

  *used = names[0];
  if (is_unusable(nodes) || !names[0])
    return NULL;
  if (!call_urgently(nodes, NODE_LOOK, NULL, NULL, NULL, &reply, &error))
    return perhaps_somebody(error);
  for (; *names; names++) {
    *used = *names;
    if (!call_urgently(nodes, NODE_USER, *names, NULL, NULL, &reply, &error))
      return perhaps_somebody(error);
    if (reply.text[0])
      return g_strdup(reply.text);
  }
  return NULL;
}

char *nodes_claim(Nodes *nodes, const char *const *names, const char **used)
{
  for (; *names; names++) {
    g_autoptr(GError) error = NULL;
    NodeReply reply;

    if (!nodes_has(nodes, *names))
      continue;
    *used = *names;
    if (!call_urgently(nodes, NODE_CLAIM, *names, NULL, NULL, &reply, &error))
      return g_error_matches(error, VT_ERROR, EBUSY) ? g_strdup(error->message)
                                                     : perhaps_somebody(error);
    set_shown(nodes, *names, FALSE);
  }
  return NULL;
}

/* --- all of them --- */

typedef struct {
  Nodes *nodes;
  Folder *folder;
  guint number;
} Sync;

static void wait_for_urgent(Nodes *nodes)
{
  pthread_mutex_lock(&nodes->lock);
  while (nodes->n_urgent > 0)
    pthread_cond_wait(&nodes->changed, &nodes->lock);
  pthread_mutex_unlock(&nodes->lock);
}

/* Has somebody asked for another set of nodes since? Then this one is of no interest any more. */
static gboolean is_superseded(Sync *sync)
{
  pthread_mutex_lock(&sync->nodes->lock);
  gboolean superseded = sync->number != sync->nodes->n_syncs;
  pthread_mutex_unlock(&sync->nodes->lock);
  return superseded;
}

/* What is wanted now. Of the names that were shown those drop out that are not; what is made from
 * here on is in neither. */
static GArray *list_wanted(Sync *sync)
{
  Nodes *nodes = sync->nodes;

  pthread_mutex_lock(&nodes->lock);
  g_autoptr(GHashTable) unwanted = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  GHashTableIter iter;
  gpointer name;
  g_hash_table_iter_init(&iter, nodes->shown);
  while (g_hash_table_iter_next(&iter, &name, NULL))
    g_hash_table_add(unwanted, g_strdup(name));
  pthread_mutex_unlock(&nodes->lock);

  GArray *entries = folder_list_active(sync->folder);
  for (guint i = 0; i < entries->len; i++)
    g_hash_table_remove(unwanted, g_array_index(entries, FolderEntry, i).name);
  g_hash_table_iter_init(&iter, unwanted);
  while (g_hash_table_iter_next(&iter, &name, NULL))
    set_shown(nodes, name, FALSE);
  return entries;
}

static void show_entries(Sync *sync)
{
  Nodes *nodes = sync->nodes;
  guint n_failed = 0;
  NodeReply reply;

  /* First the beginning, then the list: a node made between the two counts as of this sync. */
  call(nodes, NODE_SYNC_BEGIN, NULL, NULL, NULL, &reply, NULL);
  g_autoptr(GArray) entries = list_wanted(sync);
  for (guint i = 0; i < entries->len && !is_unusable(nodes); i++) {
    FolderEntry *entry = &g_array_index(entries, FolderEntry, i);
    g_autoptr(GError) error = NULL;

    if (is_superseded(sync))
      return; /* nothing is hidden that the next one may want */
    wait_for_urgent(nodes);
    if (call(nodes, NODE_SHOW, entry->name, NULL, &entry->shape, &reply, &error)) {
      set_shown(nodes, entry->name, TRUE);
      continue;
    }
    judge(nodes, error);
    /* Removed meanwhile: ENOENT. */
    if (!g_error_matches(error, VT_ERROR, EOPNOTSUPP) &&
        !g_error_matches(error, VT_ERROR, ENOENT) && n_failed++ < 10)
      g_warning("%s/%s has no block node: %s", nodes->vg, entry->name, error->message);
  }
  call(nodes, NODE_SYNC_END, NULL, NULL, NULL, &reply, NULL);
}

static gpointer sync_thread(gpointer data)
{
  Sync *sync = data;
  Nodes *nodes = sync->nodes;

  pthread_mutex_lock(&nodes->sync_lock);
  if (!is_superseded(sync))
    show_entries(sync);
  pthread_mutex_unlock(&nodes->sync_lock);
  pthread_mutex_lock(&nodes->lock);
  nodes->n_synced = MAX(nodes->n_synced, sync->number);
  pthread_cond_broadcast(&nodes->changed);
  pthread_mutex_unlock(&nodes->lock);
  g_free(sync);
  return NULL;
}

void nodes_sync(Nodes *nodes, Folder *folder, guint wait_ms)
{
  gint64 deadline = g_get_monotonic_time() + wait_ms * G_TIME_SPAN_MILLISECOND;
  Sync *sync = g_new(Sync, 1);

  pthread_mutex_lock(&nodes->lock);
  guint number = ++nodes->n_syncs;
  *sync = (Sync){nodes, folder, number};
  g_thread_unref(g_thread_new("nodes", sync_thread, sync));
  while (nodes->n_synced < number &&
         vt_condition_wait_until(&nodes->changed, &nodes->lock, deadline))
    ;
  pthread_mutex_unlock(&nodes->lock);
}
