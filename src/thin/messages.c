/* virt-thin - changes of devices: created, snapshotted, deleted, exchanged; and the metadata
 * snapshot SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Messages of one call are one commit. What may refuse them is looked at before the first is
 * carried out, so that a refusal leaves all as it was; what goes wrong after that (damage, an I/O
 * error) takes the transaction with it, and the pool fails.
 *
 * The data device is flushed before the volumes named are quiesced, so that they stand still for
 * the little that came in between only.
 */
#include "thin/pool-private.h"

#define TIME_MAX                                                                                   \
  ((1u << 24) - 1) /* a mapping keeps 24 bits of its time: dm-thin-metadata.c pack_block_time() */

typedef struct {
  const ThinMessage *messages;
  gsize n;
  guint64 old_tid, new_tid;
  GPtrArray *volumes; /* to be quiesced */
} Send;

/* --- may they be carried out? --- */

/* @pending: id -> exists, for what earlier messages of the same call will have changed. */
static gboolean device_exists(ThinPool *pool, GHashTable *pending, guint32 id, gboolean *exists,
                              GError **error)
{
  gpointer value;
  *exists = TRUE;
  if (g_hash_table_lookup_extended(pending, GUINT_TO_POINTER(id), NULL, &value)) {
    *exists = GPOINTER_TO_INT(value);
    return TRUE;
  }
  ThinDevice device;
  g_autoptr(GError) cause = NULL;
  if (thin_metadata_get_device(pool->md, id, &device, &cause))
    return TRUE;
  *exists = FALSE;
  if (g_error_matches(cause, VT_ERROR, ENOENT))
    return TRUE;
  g_propagate_error(error, g_steal_pointer(&cause));
  return FALSE;
}

static gboolean expect_device(ThinPool *pool, GHashTable *pending, guint32 id, gboolean wanted,
                              GError **error)
{
  gboolean exists;
  if (id > THIN_DEVICE_MAX)
    return vt_set_error(error, EINVAL, "%s: %u is no thin device id: the highest is %u",
                        vt_io_name(pool->metadata), id, THIN_DEVICE_MAX);
  if (!device_exists(pool, pending, id, &exists, error))
    return FALSE;
  if (exists == wanted)
    return TRUE;
  return exists ? vt_set_error(error, EEXIST, "%s: there is a thin device %u already",
                               vt_io_name(pool->metadata), id)
                : vt_set_error(error, ENOENT, "%s: there is no thin device %u",
                               vt_io_name(pool->metadata), id);
}

static gboolean check_message(ThinPool *pool, GHashTable *pending, const ThinMessage *m,
                              GError **error)
{
  switch (m->kind) {
  case THIN_CREATE:
  case THIN_SNAPSHOT:
    if (!expect_device(pool, pending, m->device, FALSE, error) ||
        (m->kind == THIN_SNAPSHOT && !expect_device(pool, pending, m->other, TRUE, error)))
      return FALSE;
    g_hash_table_insert(pending, GUINT_TO_POINTER(m->device), GINT_TO_POINTER(TRUE));
    return TRUE;
  case THIN_DELETE:
    if (!expect_device(pool, pending, m->device, TRUE, error))
      return FALSE;
    if (g_hash_table_contains(pool->volumes, GUINT_TO_POINTER(m->device)))
      return vt_set_error(error, EBUSY, "%s: cannot delete thin device %u: it is open",
                          vt_io_name(pool->metadata), m->device);
    g_hash_table_insert(pending, GUINT_TO_POINTER(m->device), GINT_TO_POINTER(FALSE));
    return TRUE;
  case THIN_EXCHANGE:
    return expect_device(pool, pending, m->device, TRUE, error) &&
           expect_device(pool, pending, m->other, TRUE, error);
  }
  return vt_set_error(error, EINVAL, "%s: unknown message %d", vt_io_name(pool->metadata), m->kind);
}

/* Deletes work from the reserve; what adds a device needs blocks besides. */
static gboolean check_room(ThinPool *pool, const Send *send, GError **error)
{
  guint64 adds = 0, snapshots = 0;
  for (gsize i = 0; i < send->n; i++) {
    adds += send->messages[i].kind == THIN_CREATE || send->messages[i].kind == THIN_SNAPSHOT;
    snapshots += send->messages[i].kind == THIN_SNAPSHOT;
  }
  if (adds == 0)
    return thin_metadata_has_reserve(pool->md, error);
  if (!thin_metadata_has_room(pool->md, adds * THIN_MESSAGE_BLOCKS, error))
    return FALSE;
  ThinStatus status = {0};
  thin_metadata_status(pool->md, &status);
  if (status.time + snapshots > TIME_MAX)
    return vt_set_error(
        error, ENOSPC,
        "%s: this pool has seen %u snapshots, the most that the format can tell apart",
        vt_io_name(pool->metadata), status.time);
  return TRUE;
}

static gboolean check_send_locked(ThinPool *pool, const Send *send, GError **error)
{
  guint64 tid = thin_metadata_transaction_id(pool->md);
  if (tid != send->old_tid)
    return vt_set_error(error, EPERM,
                        "%s: the transaction id is %" G_GUINT64_FORMAT ", not %" G_GUINT64_FORMAT,
                        vt_io_name(pool->metadata), tid, send->old_tid);
  g_autoptr(GHashTable) pending = g_hash_table_new(NULL, NULL);
  for (gsize i = 0; i < send->n; i++)
    if (!check_message(pool, pending, &send->messages[i], error))
      return FALSE;
  return check_room(pool, send, error);
}

/* --- quiescing --- */

static void add_volume_locked(ThinPool *pool, GPtrArray *volumes, guint32 id)
{
  ThinVolume *volume = g_hash_table_lookup(pool->volumes, GUINT_TO_POINTER(id));
  if (volume && !g_ptr_array_find(volumes, volume, NULL))
    g_ptr_array_add(volumes, volume);
}

/* The volumes whose map becomes another one, or shared: those must look again. */
static void find_volumes_locked(ThinPool *pool, Send *send)
{
  for (gsize i = 0; i < send->n; i++) {
    const ThinMessage *m = &send->messages[i];
    if (m->kind == THIN_EXCHANGE)
      add_volume_locked(pool, send->volumes, m->device);
    if (m->kind == THIN_EXCHANGE || m->kind == THIN_SNAPSHOT)
      add_volume_locked(pool, send->volumes, m->other);
  }
}

static void find_all_volumes(ThinPool *pool, GPtrArray *volumes)
{
  GHashTableIter iter;
  gpointer volume;
  pthread_mutex_lock(&pool->meta);
  g_hash_table_iter_init(&iter, pool->volumes);
  while (g_hash_table_iter_next(&iter, NULL, &volume))
    g_ptr_array_add(volumes, volume);
  pthread_mutex_unlock(&pool->meta);
}

/* No order among volumes is needed: who quiesces more than one holds pool->admin, and I/O never
 * touches two. */
static void quiesce(GPtrArray *volumes)
{
  for (guint i = 0; i < volumes->len; i++)
    thin_volume_quiesce(volumes->pdata[i]);
}

static void renew_tags_locked(ThinPool *pool, GPtrArray *volumes)
{
  for (guint i = 0; i < volumes->len; i++)
    ((ThinVolume *)volumes->pdata[i])->tag = translations_new_tag(pool->translations);
}

/* Commit what @action does with @volumes standing still; with @commit_first, to a transaction in
 * which nothing else is. */
static gboolean commit_quiesced(ThinPool *pool, GPtrArray *volumes, gboolean commit_first,
                                ThinAction action, gpointer user_data, GError **error)
{
  quiesce(volumes);
  thin_pool_commit_begin(pool);
  gboolean ok = (!commit_first || thin_pool_commit_run(pool, NULL, NULL, error)) &&
                thin_pool_commit_run(pool, action, user_data, error);
  for (guint i = volumes->len; i > 0; i--)
    thin_volume_unquiesce(volumes->pdata[i - 1]);
  thin_pool_commit_end(pool);
  return ok;
}

/* --- messages --- */

static gboolean carry_out(ThinPool *pool, const ThinMessage *m, GError **error)
{
  switch (m->kind) {
  case THIN_CREATE: return thin_metadata_create(pool->md, m->device, error);
  case THIN_SNAPSHOT: return thin_metadata_snapshot(pool->md, m->device, m->other, error);
  case THIN_DELETE: pool->freed = TRUE; return thin_metadata_delete(pool->md, m->device, error);
  case THIN_EXCHANGE: return thin_metadata_exchange(pool->md, m->device, m->other, error);
  }
  return FALSE;
}

static gboolean send_action(ThinPool *pool, gpointer user_data, GError **error)
{
  Send *send = user_data;
  if (!check_send_locked(pool, send, error))
    return FALSE;
  renew_tags_locked(pool, send->volumes);
  for (gsize i = 0; i < send->n; i++) {
    g_autoptr(GError) cause = NULL;
    if (!carry_out(pool, &send->messages[i], &cause)) {
      thin_pool_fail_locked(pool, cause);
      g_propagate_error(error, g_steal_pointer(&cause));
      return FALSE;
    }
  }
  if (send->new_tid != send->old_tid)
    thin_metadata_set_transaction_id(pool->md, send->new_tid);
  return TRUE;
}

static gboolean send_as_admin(ThinPool *pool, Send *send, GError **error)
{
  pthread_mutex_lock(&pool->meta);
  gboolean ok = check_send_locked(pool, send, error);
  if (ok)
    find_volumes_locked(pool, send);
  pthread_mutex_unlock(&pool->meta);
  return ok && commit_quiesced(pool, send->volumes, FALSE, send_action, send, error);
}

gboolean thin_pool_send(ThinPool *pool, const ThinMessage *messages, gsize n_messages,
                        guint64 old_tid, guint64 new_tid, GError **error)
{
  g_autoptr(GPtrArray) volumes = g_ptr_array_new();
  Send send = {.messages = messages,
               .n = n_messages,
               .old_tid = old_tid,
               .new_tid = new_tid,
               .volumes = volumes};
  if (!thin_pool_check_writable(pool, error))
    return FALSE;
  pthread_mutex_lock(&pool->admin);
  gboolean ok = thin_pool_flush_data(pool, error) && send_as_admin(pool, &send, error);
  pthread_mutex_unlock(&pool->admin);
  return ok;
}

/* --- the metadata snapshot --- */

static gboolean reserve_action(ThinPool *pool, gpointer user_data, GError **error)
{
  renew_tags_locked(pool, user_data);
  g_autoptr(GError) cause = NULL;
  if (thin_metadata_reserve_snapshot(pool->md, &cause))
    return TRUE;
  thin_pool_judge_locked(pool, cause);
  g_propagate_error(error, g_steal_pointer(&cause));
  return FALSE;
}

static gboolean release_action(ThinPool *pool, gpointer user_data, GError **error)
{
  pool->freed = TRUE;
  g_autoptr(GError) cause = NULL;
  if (thin_metadata_release_snapshot(pool->md, &cause))
    return TRUE;
  thin_pool_judge_locked(pool, cause);
  g_propagate_error(error, g_steal_pointer(&cause));
  return FALSE;
}

/* Every node counts twice while it is held: nobody owns what only the exact test called owned, so
 * all volumes look again. */
gboolean thin_pool_reserve_metadata_snapshot(ThinPool *pool, GError **error)
{
  g_autoptr(GPtrArray) volumes = g_ptr_array_new();
  if (!thin_pool_check_writable(pool, error))
    return FALSE;
  pthread_mutex_lock(&pool->admin);
  find_all_volumes(pool, volumes);
  gboolean ok = thin_pool_flush_data(pool, error) &&
                commit_quiesced(pool, volumes, TRUE, reserve_action, volumes, error);
  pthread_mutex_unlock(&pool->admin);
  return ok;
}

gboolean thin_pool_release_metadata_snapshot(ThinPool *pool, GError **error)
{
  g_autoptr(GPtrArray) volumes = g_ptr_array_new();
  if (!thin_pool_check_writable(pool, error))
    return FALSE;
  pthread_mutex_lock(&pool->admin);
  gboolean ok = commit_quiesced(pool, volumes, FALSE, release_action, NULL, error);
  pthread_mutex_unlock(&pool->admin);
  return ok;
}
