/* virt-thin - the bundled pool: changes of volumes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each function makes the volume group as it shall be in a copy, where every mistake of the caller shows, and commits
 * that (pool-bundled-commit.c).
 *
 * Rollback leaves the LV as it is, with its name, UUID, tags, device id and the origin keys of its snapshots, and gives
 * its thin device the snapshot's map: one thin commit makes a snapshot of the snapshot under a new device id, lets the
 * two devices trade places, and deletes the new id, which holds the old map by then. For LVM nothing happens but the
 * deletion of a device that no LV has: should lvm2 come upon the volume group in between, it finds a message to delete
 * what is not there (fine), or one that was carried out. What it cannot know, the volume's new size and its segment's
 * transaction_id, is kept in a tag until our own next open.
 */
#include "pool/pool-bundled.h"

#include <string.h>

#include "pool/pool-rules.h"
#include "pool/settings.h"
#include "util/size.h"

/* --- what stands in the way --- */

static gboolean find_user(Bundled *b, const char *const *names, gboolean claim, GError **error)
{
  g_autofree char *user = NULL;
  const char *used = NULL;
  PoolUserFunc func;
  gpointer data;

  bundled_lock(b);
  func = b->user_func;
  data = b->user_data;
  bundled_unlock(b);
  user = func && names[0] ? func(names, claim, &used, data) : NULL;
  return !user || vt_set_error(error, EBUSY, "volume %s/%s is in use by %s", b->vg_name, used, user);
}

static gboolean any_is_open(Bundled *b, const char *const *names)
{
  gboolean open = FALSE;

  bundled_lock(b);
  for (; *names && !open; names++) {
    g_autofree char *openers = bundled_volume_openers(b, *names);
    open = openers != NULL;
  }
  bundled_unlock(b);
  return open;
}

/* What is open the change itself refuses: for that no nodes need go and come back. */
gboolean bundled_ask_users(Bundled *b, const char *const *names, GError **error)
{
  return find_user(b, names, FALSE, error) && (any_is_open(b, names) || find_user(b, names, TRUE, error));
}

gboolean bundled_ask_user(Bundled *b, const char *name, GError **error)
{
  const char *const names[] = {name, NULL};
  return bundled_ask_users(b, names, error);
}

gboolean bundled_require_closed(Bundled *b, const char *name, GError **error)
{
  g_autofree char *openers = bundled_volume_openers(b, name);

  if (!openers)
    return TRUE;
  return vt_set_error(error, EBUSY, "volume %s/%s is in use by %s", b->vg_name, name, openers);
}

static gboolean require_no_old_snapshot(LvmLv *lv, GError **error)
{
  if (!lvm_lv_has_old_snapshot(lv))
    return TRUE;
  return vt_set_error(
      error, EOPNOTSUPP,
      "it has a snapshot that needs a copy of what is overwritten, which lvm2 and the kernel alone make: "
      "use lvm2's commands, or remove that snapshot with lvremove");
}

LvmLv *bundled_find_thin(Bundled *b, LvmVg *vg, const char *name, BundledPool **pool, GError **error)
{
  LvmLv *lv = bundled_find_volume(b, vg, name, error);

  if (!lv)
    return NULL;
  if (lvm_lv_kind(lv) != LVM_LV_THIN) {
    vt_set_error(error, EOPNOTSUPP,
                 "volume %s/%s is in no thin pool (its segments are of type %s): use lvm2's commands on it", b->vg_name,
                 name, lvm_lv_segment_type(lv));
    return NULL;
  }
  if (lvm_thin_external_origin(lv)) {
    vt_set_error(error, EOPNOTSUPP, "volume %s/%s has the external origin %s, which virt-thin does not read",
                 b->vg_name, name, lvm_thin_external_origin(lv));
    return NULL;
  }
  *pool = bundled_usable_pool(b, lvm_thin_pool(lv), error);
  return *pool ? lv : NULL;
}

/* EINVAL: "4.00 MiB is less than the 8.00 MiB<...>". */
static gboolean too_small(guint64 size, guint64 needed, GError **error, const char *format, ...) G_GNUC_PRINTF(4, 5);

static gboolean too_small(guint64 size, guint64 needed, GError **error, const char *format, ...)
{
  g_autofree char *a = vt_size_format(size), *z = vt_size_format(needed), *rest = NULL;
  va_list args;

  va_start(args, format);
  rest = g_strdup_vprintf(format, args);
  va_end(args);
  return vt_set_error(error, EINVAL, "%s is less than the %s%s", a, z, rest);
}

/* --- pieces of a change --- */

typedef struct {
  GArray *text, *thin;
} Messages;

static Messages messages_new(void)
{
  Messages messages = {g_array_new(FALSE, TRUE, sizeof(LvmMessage)), g_array_new(FALSE, TRUE, sizeof(ThinMessage))};

  return messages;
}

static void messages_free(Messages *messages)
{
  g_array_unref(messages->text);
  g_array_unref(messages->thin);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Messages, messages_free)

static void add_thin_message(Messages *messages, ThinMessageKind kind, guint32 device, guint32 other)
{
  ThinMessage message = {kind, device, other};

  g_array_append_val(messages->thin, message);
}

static void add_delete(Messages *messages, guint32 device)
{
  LvmMessage text = {NULL, device};

  g_array_append_val(messages->text, text);
}

/* A device id that neither text nor pool knows: what an interrupted command of others left in the pool is not taken for
 * ours. 0: ENOSPC. */
static guint32 free_device(Bundled *b, LvmVg *vg, BundledPool *pool, GError **error)
{
  guint32 id = lvm_pool_next_device(vg, lvm_vg_find_lv(vg, pool->name));
  ThinDevice device;

  while (id && thin_pool_get_device(pool->thin, id, &device, NULL))
    id = id < THIN_DEVICE_MAX ? id + 1 : 0;
  if (!id)
    vt_set_error(error, ENOSPC, "thin pool %s/%s has used up its %u device ids", b->vg_name, pool->name,
                 THIN_DEVICE_MAX);
  return id;
}

/* Would a volume of @extents in place of one of @old_extents keep within the limit? */
static gboolean check_limit(LvmVg *vg, BundledPool *pool, guint64 old_extents, guint64 extents, GError **error)
{
  guint64 extent_size = lvm_vg_extent_size(vg), sum = pool_rules_virtual_size(vg, pool->name, NULL);

  return pool_rules_check_overcommit(lvm_vg_name(vg), pool->name,
                                     sum - old_extents * extent_size + extents * extent_size,
                                     lvm_lv_size(lvm_vg_find_lv(vg, pool->name)), settings_overcommit_limit(), error);
}

void bundled_seal(LvmLv *lv)
{
  lvm_lv_set_writable(lv, FALSE);
  lvm_lv_set_flag(lv, POOL_SKIP_FLAG, TRUE);
}

/* --- create, clone, snapshot --- */

/* Add the volume to @vg and commit; @vg is taken. @origin: a volume in @vg, or NULL. */
static gboolean add_volume(Bundled *b, LvmVg *vg_taken, BundledPool *pool, const char *name, guint64 extents,
                           LvmLv *origin, GError **error)
{
  g_autoptr(LvmVg) vg = vg_taken;
  g_auto(Messages) messages = messages_new();
  gboolean snapshot = origin && pool_rules_is_snapshot_name(name, lvm_lv_name(origin));
  g_autofree char *description = NULL, *tag = snapshot ? pool_rules_snapshot_tag(lvm_lv_name(origin)) : NULL;
  guint32 device = free_device(b, vg, pool, error);
  LvmMessage create = {(char *)name, 0};
  LvmLv *lv;

  if (!device || !check_limit(vg, pool, 0, extents, error))
    return FALSE;
  lv = lvm_vg_add_thin(vg, lvm_vg_find_lv(vg, pool->name), name, extents, device, origin ? lvm_lv_name(origin) : NULL,
                       error);
  if (!lv || (tag && !lvm_lv_add_tag(lv, tag, error)))
    return FALSE;
  if (snapshot || (origin && pool_rules_is_template_name(name)))
    bundled_seal(lv);
  g_array_append_val(messages.text, create);
  add_thin_message(&messages, origin ? THIN_SNAPSHOT : THIN_CREATE, device, origin ? lvm_thin_device(origin) : 0);
  description = g_strdup_printf("%s %s", origin ? "snapshot or clone" : "volume", name);
  if (!bundled_commit_thin(b, g_steal_pointer(&vg), pool, messages.text, messages.thin, NULL, NULL, description, error))
    return FALSE;
  bundled_event(b, POOL_EVENT_ADDED, name, NULL);
  return TRUE;
}

static gboolean create_locked(Bundled *b, const char *thin_pool, const char *name, guint64 size, GError **error)
{
  g_autoptr(LvmVg) vg = NULL;
  BundledPool *pool;
  guint64 extents;

  if (!lvm_name_check(name, error) || !bundled_begin(b, &vg, error))
    return FALSE;
  pool = bundled_usable_pool(b, thin_pool, error);
  if (!pool || !pool_rules_extents("a volume", size, lvm_vg_extent_size(vg), &extents, error))
    return FALSE;
  return add_volume(b, g_steal_pointer(&vg), pool, name, extents, NULL, error);
}

void bundled_prefix(GError **error, Bundled *b, const char *what, const char *name)
{
  g_autofree char *shown = bundled_show(name);

  g_prefix_error(error, "cannot %s %s/%s: ", what, b->vg_name, shown);
}

gboolean bundled_create(Pool *pool, const char *thin_pool, const char *name, guint64 size, GError **error)
{
  Bundled *b = (Bundled *)pool;
  gboolean ok;

  bundled_lock(b);
  ok = create_locked(b, thin_pool, name, size, error);
  bundled_unlock(b);
  if (!ok)
    bundled_prefix(error, b, "create volume", name);
  return ok;
}

static gboolean create_linear_locked(Bundled *b, const char *name, guint64 size, GError **error)
{
  g_autoptr(LvmVg) vg = NULL;
  g_autofree char *description = NULL;
  guint64 extents;
  LvmLv *lv;

  if (!lvm_name_check(name, error) || !bundled_begin(b, &vg, error) ||
      !pool_rules_extents("a volume", size, lvm_vg_extent_size(vg), &extents, error))
    return FALSE;
  lv = lvm_vg_add_linear(vg, name, extents, error);
  if (!lv)
    return FALSE;
  lvm_lv_set_flag(lv, "NOAUTOACTIVATE", TRUE);
  description = g_strdup_printf("linear volume %s", name);
  if (!bundled_check_seqno(b, error) || !lvm_store_zero_new(b->store, vg, name, error) ||
      !bundled_commit_text(b, g_steal_pointer(&vg), description, error))
    return FALSE;
  bundled_event(b, POOL_EVENT_ADDED, name, NULL);
  return TRUE;
}

gboolean bundled_create_linear(Pool *pool, const char *name, guint64 size, GError **error)
{
  Bundled *b = (Bundled *)pool;
  gboolean ok;

  bundled_lock(b);
  ok = create_linear_locked(b, name, size, error);
  bundled_unlock(b);
  if (!ok)
    bundled_prefix(error, b, "create volume", name);
  return ok;
}

static gboolean clone_locked(Bundled *b, const char *origin, const char *name, guint64 size, GError **error)
{
  g_autoptr(LvmVg) vg = NULL;
  BundledPool *pool;
  guint64 extents;
  LvmLv *lv;

  if (!lvm_name_check(name, error) || !bundled_begin(b, &vg, error))
    return FALSE;
  lv = bundled_find_thin(b, vg, origin, &pool, error);
  if (!lv)
    return FALSE;
  extents = lvm_lv_n_extents(lv);
  if (size && !pool_rules_extents("a volume", size, lvm_vg_extent_size(vg), &extents, error))
    return FALSE;
  if (extents < lvm_lv_n_extents(lv))
    return too_small(size, lvm_lv_size(lv), error, " of volume %s/%s that it is backed by: give as much or more",
                     b->vg_name, origin);
  return add_volume(b, g_steal_pointer(&vg), pool, name, extents, lv, error);
}

gboolean bundled_clone(Pool *pool, const char *origin, const char *name, guint64 size, GError **error)
{
  Bundled *b = (Bundled *)pool;
  gboolean ok;

  bundled_lock(b);
  ok = clone_locked(b, origin, name, size, error);
  bundled_unlock(b);
  if (!ok)
    bundled_prefix(error, b, "create volume", name);
  return ok;
}

gboolean bundled_snapshot(Pool *pool, const char *volume, const char *snapshot, GError **error)
{
  Bundled *b = (Bundled *)pool;
  g_autofree char *name = pool_rules_snapshot_name(volume, snapshot, error);
  gboolean ok = FALSE;

  bundled_lock(b);
  if (name && lvm_vg_find_lv(lvm_store_vg(b->store), name))
    vt_set_error(error, EEXIST, "there is a volume %s already: choose another name for the snapshot, or remove that",
                 name);
  else if (name)
    ok = clone_locked(b, volume, name, 0, error);
  bundled_unlock(b);
  if (!ok)
    bundled_prefix(error, b, "take a snapshot of", volume);
  return ok;
}

/* --- rollback, and making a volume a clone afterwards --- */

/* A tag <prefix><extents before>/<LV whose content it takes>. */
#define ROLLBACK_TAG BUNDLED_TAG "rollback="
#define CLONE_TAG BUNDLED_TAG "clone="

/* Is @lv, or what it was made from, and so on, made from @name? Origin keys must not run in circles. */
static gboolean descends_from(LvmVg *vg, LvmLv *lv, const char *name)
{
  for (guint i = 0; lv && i < 1000; i++) {
    const char *origin = lvm_lv_kind(lv) == LVM_LV_THIN ? lvm_thin_origin(lv) : NULL;

    if (!origin || strcmp(origin, name) == 0)
      return origin != NULL;
    lv = lvm_vg_find_lv(vg, origin);
  }
  return TRUE;
}

/* Take the tag out; what it stands for was done, or was not. */
static void end_replacement(LvmVg *vg, LvmLv *lv, const char *tag, gboolean done, guint64 details_tid)
{
  gboolean rollback = g_str_has_prefix(tag, ROLLBACK_TAG);
  char *name;
  guint64 extents = g_ascii_strtoull(strchr(tag, '=') + 1, &name, 10);
  LvmLv *from = *name == '/' ? lvm_vg_find_lv(vg, name + 1) : NULL;

  if (done) {
    lvm_thin_set_device(lv, lvm_thin_device(lv), details_tid);
    if (rollback)
      extents = from ? lvm_lv_n_extents(from) : 0;
    else if (from && from != lv && !descends_from(vg, from, lvm_lv_name(lv)))
      lvm_thin_set_origin(lv, name + 1);
  }
  if (extents)
    lvm_thin_set_extents(lv, extents, NULL);
  lvm_lv_remove_tag(lv, tag);
}

/* The device's details tell: a device that took another's place was made later than the text says. */
gboolean bundled_finish_replacement(LvmVg *vg, LvmLv *lv, guint64 details_tid)
{
  g_auto(GStrv) tags = lvm_lv_tags(lv);

  for (guint i = 0; tags && tags[i]; i++)
    if (g_str_has_prefix(tags[i], ROLLBACK_TAG) || g_str_has_prefix(tags[i], CLONE_TAG)) {
      end_replacement(vg, lv, tags[i], details_tid != lvm_thin_transaction_id(lv), details_tid);
      return TRUE;
    }
  return FALSE;
}

typedef struct {
  const char *volume, *tag;
  guint64 details_tid;
} Replacement;

static void finish_replacement(LvmVg *vg, gpointer user_data)
{
  Replacement *r = user_data;

  end_replacement(vg, lvm_vg_find_lv(vg, r->volume), r->tag, TRUE, r->details_tid);
}

/* @lv's content becomes that of @from. @vg is taken. */
static gboolean replace_content(Bundled *b, LvmVg *vg_taken, BundledPool *pool, LvmLv *lv, LvmLv *from,
                                const char *kind, GError **error)
{
  g_autoptr(LvmVg) vg = vg_taken;
  g_auto(Messages) messages = messages_new();
  g_autofree char *volume = g_strdup(lvm_lv_name(lv)), *tag = NULL, *description = NULL;
  guint64 old_extents = lvm_lv_n_extents(lv), extents = MAX(old_extents, lvm_lv_n_extents(from));
  Replacement replacement = {volume, NULL, lvm_pool_transaction_id(lvm_vg_find_lv(vg, pool->name))};
  ThinDevice device;
  guint32 id;

  id = free_device(b, vg, pool, error);
  if (!id || !thin_pool_get_device(pool->thin, lvm_thin_device(lv), &device, error) ||
      !check_limit(vg, pool, old_extents, extents, error))
    return FALSE;
  replacement.tag = tag = g_strdup_printf("%s%" G_GUINT64_FORMAT "/%s", kind, old_extents, lvm_lv_name(from));
  lvm_thin_set_device(lv, device.id, device.transaction_id);
  /* Until it is finished the volume shows all of either content. */
  if (!lvm_lv_add_tag(lv, tag, error) || !lvm_thin_set_extents(lv, extents, error))
    return FALSE;
  add_delete(&messages, id);
  add_thin_message(&messages, THIN_SNAPSHOT, id, lvm_thin_device(from));
  add_thin_message(&messages, THIN_EXCHANGE, device.id, id);
  add_thin_message(&messages, THIN_DELETE, id, 0);
  description = g_strdup_printf("content of %s from %s", volume, lvm_lv_name(from));
  if (!bundled_commit_thin(b, g_steal_pointer(&vg), pool, messages.text, messages.thin, finish_replacement,
                           &replacement, description, error))
    return FALSE;
  lv = lvm_vg_find_lv(lvm_store_vg(b->store), volume);
  bundled_event(b, POOL_EVENT_REPLACED, volume, NULL);
  if (lvm_lv_n_extents(lv) != old_extents)
    bundled_event(b, POOL_EVENT_RESIZED, volume, NULL);
  return bundled_volume_resized(b, volume, lvm_lv_size(lv), error);
}

static gboolean rollback_locked(Bundled *b, const char *volume, const char *snapshot, GError **error)
{
  g_autoptr(LvmVg) vg = NULL;
  BundledPool *pool;
  LvmLv *lv, *from;

  if (!bundled_begin(b, &vg, error) || !(lv = bundled_find_thin(b, vg, volume, &pool, error)) ||
      !require_no_old_snapshot(lv, error) || !(from = pool_rules_find_snapshot(vg, volume, snapshot, error)) ||
      !bundled_require_closed(b, volume, error))
    return FALSE;
  if (strcmp(lvm_thin_pool(from), pool->name) != 0)
    return vt_set_error(error, EOPNOTSUPP, "snapshot %s is in another thin pool (%s)", lvm_lv_name(from),
                        lvm_thin_pool(from));
  return replace_content(b, g_steal_pointer(&vg), pool, lv, from, ROLLBACK_TAG, error);
}

gboolean bundled_rollback(Pool *pool, const char *volume, const char *snapshot, GError **error)
{
  Bundled *b = (Bundled *)pool;
  gboolean ok = bundled_ask_user(b, volume, error);

  if (ok) {
    bundled_lock(b);
    ok = rollback_locked(b, volume, snapshot, error);
    bundled_unlock(b);
  }
  if (!ok)
    bundled_prefix(error, b, "roll back volume", volume);
  return ok;
}

static gboolean clone_into_locked(Bundled *b, const char *origin, const char *name, GError **error)
{
  g_autoptr(LvmVg) vg = NULL;
  BundledPool *pool, *its;
  LvmLv *lv, *from;

  if (!bundled_begin(b, &vg, error) || !(lv = bundled_find_thin(b, vg, name, &pool, error)) ||
      !(from = bundled_find_thin(b, vg, origin, &its, error)) || !bundled_require_closed(b, name, error))
    return FALSE;
  if (lv == from)
    return vt_set_error(error, EINVAL, "a volume cannot be a clone of itself");
  if (its != pool)
    return vt_set_error(error, EINVAL, "it is in thin pool %s, volume %s in %s: a clone shares chunks of one pool",
                        pool->name, origin, its->name);
  if (lvm_lv_n_extents(lv) < lvm_lv_n_extents(from))
    return too_small(lvm_lv_size(lv), lvm_lv_size(from), error, " of volume %s/%s: resize it first", b->vg_name,
                     origin);
  return replace_content(b, g_steal_pointer(&vg), pool, lv, from, CLONE_TAG, error);
}

gboolean bundled_clone_into(Pool *pool, const char *origin, const char *name, GError **error)
{
  Bundled *b = (Bundled *)pool;
  gboolean ok = bundled_ask_user(b, name, error);

  if (ok) {
    bundled_lock(b);
    ok = clone_into_locked(b, origin, name, error);
    bundled_unlock(b);
  }
  if (!ok)
    bundled_prefix(error, b, "make a clone of volume", name);
  return ok;
}

/* --- resize --- */

/* What lies beyond @size is unmapped, durably, once the text says that the volume ends there: a crash in between leaves
 * the volume whole up to its new end. */
static gboolean cut_device(Bundled *b, BundledPool *pool, const char *name, guint64 size, GError **error)
{
  BundledVolume *volume = bundled_volume_get(b, name, error);
  gboolean ok;

  if (!volume)
    return FALSE;
  ok = thin_volume_resize(volume->thin, size, error) && thin_pool_commit(pool->thin, error);
  bundled_volume_put(volume);
  return ok;
}

static gboolean resize_lv(Bundled *b, LvmVg *vg_taken, LvmLv *lv, BundledPool *pool, guint64 extents, GError **error)
{
  g_autoptr(LvmVg) vg = vg_taken;
  guint64 old = lvm_lv_n_extents(lv), size = extents * lvm_vg_extent_size(vg);
  g_autofree char *name = g_strdup(lvm_lv_name(lv)), *description = g_strdup_printf("resize of %s", name);
  BundledVolume *held = NULL;
  gboolean ok;

  if (extents > old && !check_limit(vg, pool, old, extents, error))
    return FALSE;
  /* Opened now, at its old size: what is beyond the new one can be reached. */
  if (extents < old && !(held = bundled_volume_get(b, name, error)))
    return FALSE;
  ok = lvm_thin_set_extents(lv, extents, error) && bundled_commit_text(b, g_steal_pointer(&vg), description, error) &&
       (extents < old ? cut_device(b, pool, name, size, error) : bundled_volume_resized(b, name, size, error));
  if (held)
    bundled_volume_put(held);
  if (ok)
    bundled_event(b, POOL_EVENT_RESIZED, name, NULL);
  return ok;
}

static gboolean resize_locked(Bundled *b, const char *name, guint64 size, gboolean shrink, GError **error)
{
  g_autoptr(LvmVg) vg = NULL;
  BundledPool *pool;
  guint64 extents;
  LvmLv *lv;

  if (!bundled_begin(b, &vg, error) || !(lv = bundled_find_thin(b, vg, name, &pool, error)) ||
      !pool_rules_extents("a volume", size, lvm_vg_extent_size(vg), &extents, error))
    return FALSE;
  if (extents == lvm_lv_n_extents(lv))
    return TRUE;
  if (!require_no_old_snapshot(lv, error))
    return FALSE;
  if (!lvm_lv_is_writable(lv))
    return vt_set_error(error, EPERM, "it is read-only (a snapshot or template): make a clone of it, and resize that");
  if (extents < lvm_lv_n_extents(lv)) {
    if (!shrink)
      return too_small(
          size, lvm_lv_size(lv), error,
          " that it has, and what lies beyond would be lost: allow it to shrink (--shrink) if that is meant");
    if (!bundled_require_closed(b, name, error))
      return FALSE;
  }
  return resize_lv(b, g_steal_pointer(&vg), lv, pool, extents, error);
}

gboolean bundled_resize(Pool *pool, const char *name, guint64 size, gboolean shrink, GError **error)
{
  Bundled *b = (Bundled *)pool;
  gboolean ok = !shrink || bundled_ask_user(b, name, error);

  if (ok) {
    bundled_lock(b);
    ok = resize_locked(b, name, size, shrink, error);
    bundled_unlock(b);
  }
  if (!ok)
    bundled_prefix(error, b, "resize volume", name);
  return ok;
}

/* --- remove --- */

static void add_name(GPtrArray *names, GHashTable *seen, const char *name)
{
  if (g_hash_table_contains(seen, name))
    return;
  g_ptr_array_add(names, g_strdup(name));
  g_hash_table_add(seen, names->pdata[names->len - 1]);
}

/* All that go: @names, and their snapshots if wanted; each once. Frees with the array. */
static GPtrArray *collect_names(LvmVg *vg, const char *const *names, gboolean with_snapshots)
{
  GPtrArray *all = g_ptr_array_new();
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

  for (guint i = 0; names[i]; i++) {
    g_autoptr(GPtrArray) snapshots = with_snapshots ? pool_rules_list_snapshots(vg, names[i]) : g_ptr_array_new();

    for (guint j = 0; j < snapshots->len; j++)
      add_name(all, seen, lvm_lv_name(snapshots->pdata[j]));
    add_name(all, seen, names[i]);
  }
  g_ptr_array_set_free_func(all, g_free);
  return all;
}

/* May volume @name go? */
static gboolean check_remove(Bundled *b, LvmVg *vg, const char *name, BundledPool **pool, GError **error)
{
  g_autoptr(GPtrArray) lvs = NULL;
  BundledPool *its = NULL;

  if (!bundled_find_thin(b, vg, name, &its, error) || !bundled_require_closed(b, name, error))
    return FALSE;
  if (*pool && *pool != its)
    return vt_set_error(error, EOPNOTSUPP,
                        "volume %s is in thin pool %s, others are in %s: what goes in one step is of one pool", name,
                        its->name, (*pool)->name);
  *pool = its;
  lvs = lvm_vg_lvs(vg);
  for (guint i = 0; i < lvs->len; i++)
    if (lvm_lv_kind(lvs->pdata[i]) == LVM_LV_THIN && !g_strcmp0(lvm_thin_external_origin(lvs->pdata[i]), name))
      return vt_set_error(error, EBUSY, "volume %s is the external origin of %s", name, lvm_lv_name(lvs->pdata[i]));
  return TRUE;
}

/* A foreign snapshot is known by its origin key, which goes with the origin: from then on it needs the tag. */
static gboolean keep_snapshots(LvmVg *vg, const char *name, GError **error)
{
  g_autoptr(GPtrArray) snapshots = pool_rules_list_snapshots(vg, name);
  g_autofree char *tag = pool_rules_snapshot_tag(name);

  for (guint i = 0; i < snapshots->len; i++)
    if (!lvm_lv_has_tag(snapshots->pdata[i], tag) && !lvm_lv_add_tag(snapshots->pdata[i], tag, error))
      return FALSE;
  return TRUE;
}

static gboolean take_out(LvmVg *vg, BundledPool *pool, const char *name, Messages *messages, GError **error)
{
  LvmLv *lv = lvm_vg_find_lv(vg, name);
  guint32 id = lvm_thin_device(lv);
  ThinDevice device;

  add_delete(messages, id);
  if (thin_pool_get_device(pool->thin, id, &device, NULL))
    add_thin_message(messages, THIN_DELETE, id, 0);
  return keep_snapshots(vg, name, error) && lvm_vg_remove_lv(vg, lv, error);
}

/* What becomes of a volume that was detached for its removal. */
static void end_removal(Bundled *b, const char *name, gboolean removed)
{
  g_autoptr(GError) failure = NULL;

  if (removed) {
    bundled_volume_gone(b, name);
    bundled_event(b, POOL_EVENT_REMOVED, name, NULL);
  } else if (!bundled_volume_attach(b, name, &failure)) {
    g_warning("volume %s/%s: %s", b->vg_name, name, failure->message);
  }
}

static gboolean remove_volumes(Bundled *b, LvmVg *vg_taken, GPtrArray *names, GError **error)
{
  g_autoptr(LvmVg) vg = vg_taken;
  g_auto(Messages) messages = messages_new();
  g_autofree char *description =
      g_strdup_printf("removal of %s%s", (char *)names->pdata[0], names->len > 1 ? " and others" : "");
  BundledPool *pool = NULL;
  gboolean ok;

  for (guint i = 0; i < names->len; i++)
    if (!check_remove(b, vg, names->pdata[i], &pool, error))
      return FALSE;
  for (guint i = 0; i < names->len; i++)
    if (!take_out(vg, pool, names->pdata[i], &messages, error))
      return FALSE;
  for (guint i = 0; i < names->len; i++)
    bundled_volume_detach(b, names->pdata[i]);
  ok = bundled_commit_thin(b, g_steal_pointer(&vg), pool, messages.text, messages.thin, NULL, NULL, description, error);
  for (guint i = 0; i < names->len; i++)
    end_removal(b, names->pdata[i], ok);
  return ok;
}

static gboolean remove_locked(Bundled *b, const char *const *names, gboolean with_snapshots, GError **error)
{
  g_autoptr(LvmVg) vg = NULL;
  g_autoptr(GPtrArray) all = NULL;

  if (!names[0])
    return TRUE;
  if (!bundled_begin(b, &vg, error))
    return FALSE;
  if (!names[1] && g_hash_table_contains(b->pools, names[0]))
    return bundled_remove_pool(b, names[0], error);
  all = collect_names(vg, names, with_snapshots);
  return remove_volumes(b, g_steal_pointer(&vg), all, error);
}

gboolean bundled_remove(Pool *pool, const char *const *names, gboolean with_snapshots, GError **error)
{
  Bundled *b = (Bundled *)pool;
  g_autoptr(GPtrArray) all = NULL;
  gboolean ok;

  bundled_lock(b);
  all = collect_names(lvm_store_vg(b->store), names, with_snapshots);
  bundled_unlock(b);
  g_ptr_array_add(all, NULL);
  ok = bundled_ask_users(b, (const char *const *)all->pdata, error);
  if (ok) {
    bundled_lock(b);
    ok = remove_locked(b, names, with_snapshots, error);
    bundled_unlock(b);
  }
  if (!ok)
    bundled_prefix(error, b, "remove", names[0]);
  return ok;
}

static gboolean remove_linear_locked(Bundled *b, const char *name, GError **error)
{
  g_autoptr(LvmVg) vg = NULL;
  g_autofree char *description = g_strdup_printf("removal of %s", name);
  gboolean ok;
  LvmLv *lv;

  if (!bundled_begin(b, &vg, error) || !(lv = bundled_find_volume(b, vg, name, error)))
    return FALSE;
  if (lvm_lv_kind(lv) == LVM_LV_THIN)
    return vt_set_error(error, EINVAL, "it is in thin pool %s", lvm_thin_pool(lv));
  if (!require_no_old_snapshot(lv, error) || !bundled_require_closed(b, name, error) ||
      !lvm_vg_remove_lv(vg, lv, error))
    return FALSE;
  bundled_volume_detach(b, name);
  ok = bundled_commit_text(b, g_steal_pointer(&vg), description, error);
  end_removal(b, name, ok);
  return ok;
}

gboolean bundled_remove_linear(Pool *pool, const char *name, GError **error)
{
  Bundled *b = (Bundled *)pool;
  gboolean ok = bundled_ask_user(b, name, error);

  if (ok) {
    bundled_lock(b);
    ok = remove_linear_locked(b, name, error);
    bundled_unlock(b);
  }
  if (!ok)
    bundled_prefix(error, b, "remove", name);
  return ok;
}

/* --- tags --- */

static gboolean set_tags_locked(Bundled *b, const char *name, const char *const *add, const char *const *remove,
                                GError **error)
{
  g_autoptr(LvmVg) vg = NULL;
  g_autofree char *description = NULL;
  LvmLv *lv;

  if (!pool_rules_check_tags(add, error) || !pool_rules_check_tags(remove, error) || !bundled_begin(b, &vg, error))
    return FALSE;
  lv = g_hash_table_contains(b->pools, name) ? lvm_vg_find_lv(vg, name) : bundled_find_volume(b, vg, name, error);
  if (!lv)
    return FALSE;
  for (guint i = 0; remove && remove[i]; i++)
    lvm_lv_remove_tag(lv, remove[i]);
  for (guint i = 0; add && add[i]; i++)
    if (!lvm_lv_has_tag(lv, add[i]) && !lvm_lv_add_tag(lv, add[i], error))
      return FALSE;
  description = g_strdup_printf("tags of %s", name);
  return bundled_commit_text(b, g_steal_pointer(&vg), description, error);
}

gboolean bundled_set_tags(Pool *pool, const char *name, const char *const *add, const char *const *remove,
                          GError **error)
{
  Bundled *b = (Bundled *)pool;
  gboolean ok;

  bundled_lock(b);
  ok = set_tags_locked(b, name, add, remove, error);
  bundled_unlock(b);
  if (!ok)
    bundled_prefix(error, b, "change the tags of", name);
  return ok;
}
