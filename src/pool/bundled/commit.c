/* virt-thin - the bundled pool: LVM's commit protocol
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A change of thin volumes is three commits, each durable before the next begins:
 *
 *   1. VG text: the volumes as they shall be, transaction id T + 1, and messages that say what the
 *      pool is to do
 *   2. thin pool: the messages and the transaction id, T to T + 1, in one commit
 *   3. VG text: without the messages
 *
 * A crash between any two is finished at the next open, by us (bundled/recover.c) or by
 * lvm2, which replays messages. A failure is undone as far as it is known to have changed nothing:
 *
 *   1 fails   nothing was sent. (Should the header have reached the disk all the same, its seqno
 *             gives us ESTALE from then on.)
 *   2 fails   and the pool still takes writes: the text as it was before is committed, under a new
 *             seqno.
 *             And the pool has failed: its superblock may or may not have got through. Then the
 *             text stays; either way the next open knows what to do, which it would not if the id
 *             went back.
 *   3 fails   the change is done and durable. The VG is not changed any more (Bundled.stuck), as
 *             its text is not what we think.
 *
 * When somebody else commits to the VG (ESTALE), the service goes on reading and writing what it
 * has open as long as the other's text leaves the extents of every pool and open volume where they
 * are; only changes are refused. If it does not, nothing is written any more.
 */
#include "pool/bundled/bundled-private.h"

#include <string.h>
#include <sys/stat.h>

#include "pool/rules.h"

gboolean bundled_check_writable(Bundled *b, GError **error)
{
  if (b->read_only)
    return pool_rules_read_only(b->vg_name, error);
  if (b->stuck)
    g_propagate_error(error, g_error_copy(b->stuck));
  return !b->stuck;
}

/* --- somebody else's commit --- */

/* Does the VG as it is on disk now still have @name where we think it is? Both texts are compared
 * node by node: the segments of the LV. */
static gboolean has_moved(LvmVg *ours, LvmVg *theirs, const char *name)
{
  LvmLv *a = lvm_vg_find_lv(ours, name), *z = lvm_vg_find_lv(theirs, name);

  return !a || !z || strcmp(lvm_lv_uuid(a), lvm_lv_uuid(z)) != 0 || !lvm_lv_same_extents(a, z);
}

static gboolean pools_have_moved(Bundled *b, LvmVg *theirs)
{
  LvmVg *ours = lvm_store_vg(b->store);
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init(&iter, b->pools);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    LvmLv *lv = lvm_vg_find_lv(ours, ((BundledPool *)value)->name);

    if (((BundledPool *)value)->thin && (has_moved(ours, theirs, lvm_pool_metadata(lv)) ||
                                         has_moved(ours, theirs, lvm_pool_data(lv))))
      return TRUE;
  }
  g_hash_table_iter_init(&iter, b->volumes);
  while (g_hash_table_iter_next(&iter, NULL, &value))
    if (!((BundledVolume *)value)->pool && has_moved(ours, theirs, ((BundledVolume *)value)->name))
      return TRUE;
  return FALSE;
}

static void become_stale(Bundled *b, const char *message)
{
  g_autoptr(LvmStore) now =
      lvm_store_open(lvm_store_paths(b->store), b->vg_name, TRUE, NULL, NULL, NULL);

  if (!now || pools_have_moved(b, lvm_store_vg(now)))
    g_atomic_int_set(&b->lost, 1);
  g_clear_error(&b->stuck);
  vt_set_error(&b->stuck, ESTALE, "%s. %s", message,
               g_atomic_int_get(&b->lost)
                   ? "Its extents moved: nothing is written any more. Stop the service, then "
                     "look at the volume group with vgck and "
                     "vgcfgrestore --list"
                   : "Reading and writing go on, changes are refused until the volume group is "
                     "opened again: restart the service");
  g_warning("volume group %s: %s", b->vg_name, b->stuck->message);
}

gboolean bundled_check_seqno(Bundled *b, GError **error)
{
  g_autoptr(GError) failure = NULL;

  if (b->stuck || lvm_store_check_seqno(b->store, &failure))
    return TRUE;
  if (g_error_matches(failure, VT_ERROR, ESTALE))
    become_stale(b, failure->message);
  g_propagate_error(error, g_steal_pointer(&failure));
  return FALSE;
}

/* --- the text --- */

/* @archive: the text that is replaced goes to the archive; once per change. */
static gboolean commit_text(Bundled *b, LvmVg *vg, gboolean archive, const char *description,
                            GError **error)
{
  g_autoptr(GError) failure = NULL;

  if (lvm_store_commit(b->store, vg, archive ? b->archive_dir : NULL, description, &failure))
    return TRUE;
  lvm_vg_free(vg);
  if (g_error_matches(failure, VT_ERROR, ESTALE)) {
    become_stale(b, failure->message);
    g_propagate_error(error, g_error_copy(b->stuck));
  } else {
    g_propagate_error(error, g_steal_pointer(&failure));
  }
  return FALSE;
}

gboolean bundled_commit_text(Bundled *b, LvmVg *vg, const char *description, GError **error)
{
  return commit_text(b, vg, TRUE, description, error);
}

/* --- the pool --- */

/* A pool whose ids do not agree counts for something other than this VG. */
static gboolean may_send(Bundled *b, BundledPool *pool, guint64 tid, GError **error)
{
  ThinStatus status;

  thin_pool_get_status(pool->thin, &status);
  if (status.mode == THIN_MODE_FAILED)
    return vt_set_error(error, EROFS,
                        "thin pool %s/%s: a commit failed, nothing is written any more; open the "
                        "volume group again",
                        b->vg_name, pool->name);
  if (status.transaction_id == tid)
    return TRUE;
  return vt_set_error(error, EPERM,
                      "thin pool %s/%s: its transaction id is %" G_GUINT64_FORMAT
                      ", the volume group says %" G_GUINT64_FORMAT
                      ": its volumes are counted by something other than LVM",
                      b->vg_name, pool->name, status.transaction_id, tid);
}

/* Commit 2 failed. @before (taken) is the text of before commit 1. */
static void undo(Bundled *b, BundledPool *pool, LvmVg *before, const char *description,
                 GError **error)
{
  g_autoptr(GError) failure = NULL;
  ThinStatus status;

  thin_pool_get_status(pool->thin, &status);
  if (status.mode == THIN_MODE_FAILED) {
    lvm_vg_free(before);
    g_prefix_error(error,
                   "the pool failed in the middle of the change (%s); whether it is done shows "
                   "when the volume group "
                   "is opened again: ",
                   description);
    return;
  }
  if (commit_text(b, before, FALSE, description, &failure))
    return;
  g_prefix_error(error, "the change could not be taken back (%s), which the next open will do: ",
                 failure->message);
  if (!b->stuck)
    b->stuck = g_steal_pointer(&failure);
}

static void add_messages(LvmLv *pool_lv, GArray *messages)
{
  for (guint i = 0; i < messages->len; i++) {
    LvmMessage *message = &g_array_index(messages, LvmMessage, i);

    if (message->create)
      lvm_pool_add_create(pool_lv, message->create);
    else
      lvm_pool_add_delete(pool_lv, message->delete_device);
  }
}

static void take_messages_out(Bundled *b, const char *pool, BundledFinish finish,
                              gpointer user_data, const char *description)
{
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(b->store));
  g_autoptr(GError) failure = NULL;

  lvm_pool_clear_messages(lvm_vg_find_lv(vg, pool));
  if (finish)
    finish(vg, user_data);
  if (commit_text(b, vg, FALSE, description, &failure))
    return;
  g_warning(
      "volume group %s: %s is done, but could not be tidied up, which the next open will do: %s",
      b->vg_name, description, failure->message);
  if (!b->stuck)
    b->stuck = g_steal_pointer(&failure);
}

gboolean bundled_commit_thin(Bundled *b, LvmVg *vg, BundledPool *pool, GArray *text_messages,
                             GArray *messages, BundledFinish finish, gpointer user_data,
                             const char *description, GError **error)
{
  LvmLv *pool_lv = lvm_vg_find_lv(vg, pool->name);
  guint64 tid = lvm_pool_transaction_id(pool_lv);
  LvmVg *before;

  if (!may_send(b, pool, tid, error)) {
    lvm_vg_free(vg);
    return FALSE;
  }
  add_messages(pool_lv, text_messages);
  lvm_pool_set_transaction_id(pool_lv, tid + 1);
  before = lvm_vg_copy(lvm_store_vg(b->store));
  if (!commit_text(b, vg, TRUE, description, error)) {
    lvm_vg_free(before);
    return FALSE;
  }
  if (!thin_pool_send(pool->thin, (ThinMessage *)messages->data, messages->len, tid, tid + 1,
                      error)) {
    undo(b, pool, before, description, error);
    return FALSE;
  }
  lvm_vg_free(before);
  take_messages_out(b, pool->name, finish, user_data, description);
  return TRUE;
}
