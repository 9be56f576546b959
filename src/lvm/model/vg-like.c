/* virt-thin - a volume group made like another: the same volumes on other physical volumes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a volume group is, is in its text: names, UUIDs, tags, flags, origins, device and
 * transaction ids, times. All that is kept; where extents lie is chosen anew, and how many there
 * are follows from the new extent size. The text may be anybody's: what must hold for the result to
 * be whole is looked at first.
 */
#include "config.h"

#include <string.h>

#include "lvm/model/vg-private.h"
#include "util/name.h"
#include "util/size.h"

/* --- can it be made like that? --- */

static gboolean refuse(LvmLv *lv, GError **error, const char *why)
{
  return vt_set_error(error, EOPNOTSUPP, "volume group %s cannot be made again as it is: %s %s",
                      lvm_vg_name(lv->vg), lvm_lv_name(lv), why);
}

/* Is @lv, which is hidden, the pools' spare? */
static gboolean is_spare(LvmLv *lv)
{
  return g_str_has_suffix(lvm_lv_name(lv), "_pmspare");
}

/* A part of a pool: hidden, with extents, and nobody else's. Reading a text sees to it that a pool
 * names its parts. */
static gboolean check_part(LvmLv *pool, const char *name, const char *suffix, GHashTable *parts,
                           GError **error)
{
  LvmLv *part = lvm_vg_find_lv(pool->vg, name);
  g_autofree char *base = g_strndup(name, strlen(name) - MIN(strlen(name), strlen(suffix)));

  if (!part || part->visible || part->kind == LVM_LV_THIN || part->kind == LVM_LV_THIN_POOL ||
      part->n_extents == 0 || !g_str_has_suffix(name, suffix) || !vt_lv_name_check(base, NULL))
    return refuse(pool, error, "has no data and metadata of its own");
  return g_hash_table_add(parts, part) ||
         refuse(pool, error, "shares its data or metadata with another pool");
}

static gboolean check_pool(LvmLv *pool, GHashTable *parts, GError **error)
{
  g_autoptr(GArray) messages = lvm_pool_messages(pool);

  if (messages->len)
    return refuse(pool, error, "has a change under way, which opening it would finish");
  return check_part(pool, lvm_pool_data(pool), "_tdata", parts, error) &&
         check_part(pool, lvm_pool_metadata(pool), "_tmeta", parts, error);
}

static gboolean check_thin(LvmLv *lv, GHashTable *devices, GError **error)
{
  LvmLv *pool = lvm_vg_find_lv(lv->vg, lv->pool);
  g_autofree char *device = g_strdup_printf("%u %s", lv->device, lv->pool);

  if (!pool || pool->kind != LVM_LV_THIN_POOL)
    return refuse(lv, error, "lies in a thin pool that is not there");
  if (!lv->visible)
    return refuse(lv, error, "is hidden: a change of it is under way");
  if (lvm_thin_merge(lv))
    return refuse(lv, error, "is to be merged: let lvm2 finish that first");
  if (lvm_thin_external_origin(lv))
    return refuse(lv, error, "has an origin outside its pool");
  if (lv->device == 0 || !g_hash_table_add(devices, g_steal_pointer(&device)))
    return refuse(lv, error, "has a device id that another volume has");
  if (lvm_thin_transaction_id(lv) > lvm_pool_transaction_id(pool))
    return refuse(lv, error, "has a later transaction id than its pool");
  return TRUE;
}

static gboolean check_lv(LvmLv *lv, GHashTable *parts, GHashTable *devices, GError **error)
{
  g_autoptr(GError) fault = NULL;

  if (!lv->visible && lv->kind != LVM_LV_THIN)
    return TRUE; /* a part, or what is left out */
  if (!vt_lv_name_check(lvm_lv_name(lv), &fault))
    return refuse(lv, error, fault->message);
  if (lvm_section_has_word(lvm_lv_node(lv), "status", "LOCKED"))
    return refuse(lv, error, "is locked: lvm2 is at work on it");
  if (lv->kind == LVM_LV_THIN_POOL)
    return check_pool(lv, parts, error);
  if (lv->kind == LVM_LV_THIN)
    return check_thin(lv, devices, error);
  if (lv->kind != LVM_LV_STRIPED || lv->has_cow) {
    g_autofree char *why = g_strdup_printf("is of type %s, which virt-thin does not carry over",
                                           lv->has_cow ? "snapshot" : lvm_lv_segment_type(lv));
    return refuse(lv, error, why);
  }
  return TRUE;
}

gboolean lvm_vg_check_like(LvmVg *like, GError **error)
{
  g_autoptr(GHashTable) parts = g_hash_table_new(NULL, NULL),
                        devices = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                        ids = g_hash_table_new(g_str_hash, g_str_equal);

  for (GList *link = like->lvs.head; link; link = link->next) {
    if (!check_lv(link->data, parts, devices, error))
      return FALSE;
    if (!g_hash_table_add(ids, (gpointer)lvm_lv_uuid(link->data)))
      return refuse(link->data, error, "has no UUID of its own");
  }
  return TRUE;
}

/* --- the group without volumes --- */

static void drop_own(LvmNode *group)
{
  g_autoptr(GPtrArray) tags = lvm_node_strings(lvm_section_find(group, "tags"));

  static const char *const own[] = {
      "logical_volumes", "historical_logical_volumes", "system_id", "lock_type", "lock_args", "pr"};
  LvmNode *pvs = lvm_section_find_section(group, "physical_volumes"), *child;

  for (guint i = 0; i < G_N_ELEMENTS(own); i++)
    lvm_section_remove(group, own[i]);
  while ((child = lvm_section_first(pvs)))
    lvm_node_unref(lvm_section_steal(pvs, child));
  for (guint i = 0; i < tags->len; i++)
    if (g_str_has_prefix(tags->pdata[i], LVM_TAKEN_TAG)) {
      g_autofree char *tag = g_strdup(tags->pdata[i]);
      lvm_section_change_word(group, "tags", tag, FALSE, NULL);
      break; /* the others' text is gone with the list */
    }
}

static void set_words(LvmNode *node, const char *const *keep)
{
  g_autoptr(GPtrArray) words = lvm_node_strings(lvm_section_find(node, "status"));
  g_autoptr(GPtrArray) kept = g_ptr_array_new();

  for (guint i = 0; i < words->len; i++)
    if (g_strv_contains(keep, words->pdata[i]))
      g_ptr_array_add(kept, words->pdata[i]);
  g_ptr_array_add(kept, NULL);
  lvm_section_set_strings(node, "status", (const char *const *)kept->pdata, "id");
}

LvmVg *lvm_vg_new_like(LvmVg *like, const char *name, guint64 extent_size, const char *uuid,
                       GError **error)
{
  static const char *const kept[] = {"RESIZEABLE", "READ", "WRITE", NULL};
  g_autoptr(LvmVg) plain = lvm_vg_copy(like);
  g_autoptr(LvmNode) group = NULL;
  g_autoptr(GString) text = g_string_new(NULL);

  lvm_vg_set_system_id(plain, NULL); /* so that what is writable says so in the usual way */
  group = lvm_node_copy(plain->node, name);
  drop_own(group);
  set_words(group, kept);
  lvm_section_set_uint(group, "seqno", 0, "id");
  lvm_section_set_uint(group, "extent_size", extent_size / 512, NULL);
  lvm_section_set_uint(group, "max_pv", 0, NULL); /* it was of those that it had */
  lvm_section_set_uint(group, "metadata_copies", 0, NULL);
  if (uuid)
    lvm_section_set_string(group, "id", uuid, NULL);
  lvm_node_format(group, text);
  g_string_append(text, "contents = \"Text Format Volume Group\"\nversion = 1\n");
  return lvm_vg_parse(text->str, text->len, error);
}

/* --- sizes --- */

typedef struct {
  LvmLv *like, *lv, *metadata, *data;                        /* of @vg but @like */
  const LvmLikeSize *size;                                   /* NULL: nothing is said */
  guint64 wanted, least, least_metadata, n_metadata, n_data; /* extents */
} LikePool;

typedef struct {
  LvmVg *vg, *like;
  GHashTable *sizes;
  GArray *pools; /* of LikePool */
  LvmLv *spare;
  guint64 fixed, spare_extents; /* extents of what is linear; of the spare */
} Like;

static guint64 extents_of(LvmVg *vg, guint64 bytes)
{
  return bytes / vg->extent_size + (bytes % vg->extent_size != 0);
}

static const LvmLikeSize *size_of(Like *l, const char *name)
{
  return l->sizes ? g_hash_table_lookup(l->sizes, name) : NULL;
}

/* How large volume @like is to be. */
static gboolean volume_extents(Like *l, LvmLv *like, guint64 *n, GError **error)
{
  const LvmLikeSize *size = size_of(l, lvm_lv_name(like));
  guint64 has = lvm_lv_size(like), wanted = size && size->size ? size->size : has;
  g_autofree char *has_text = vt_size_format(has), *wanted_text = vt_size_format(wanted);

  *n = extents_of(l->vg, wanted);
  if (wanted < has && like->kind != LVM_LV_THIN_POOL)
    return vt_set_error(error, EINVAL, "volume %s has %s and cannot shrink to %s",
                        lvm_lv_name(like), has_text, wanted_text);
  if (*n == 0 || *n > G_MAXUINT32)
    return vt_set_error(error, EINVAL, "volume %s cannot have %s", lvm_lv_name(like), wanted_text);
  return TRUE;
}

/* --- volumes: their sections first, in the order they had; those that take extents without any
 * --- */

static LvmNode *section_like(LvmLv *like)
{
  static const char *const kept[] = {"READ", "WRITE", "VISIBLE", "FIXED_MINOR", NULL};
  LvmNode *node = lvm_node_copy(lvm_lv_node(like), NULL);

  set_words(node, kept);
  return node;
}

static LvmLv *add_linear_like(Like *l, LvmLv *like, GError **error)
{
  LvmNode *node = section_like(like), *segment;

  while ((segment = lvm_segment_first(node)))
    lvm_node_unref(lvm_section_steal(node, segment));
  lvm_section_set_uint(node, "segment_count", 0, NULL);
  return lvm_vg_add_lv(l->vg, node, error);
}

/* One that lies in no extents of its own. */
static LvmLv *add_virtual_like(Like *l, LvmLv *like, guint64 n_extents, GError **error)
{
  LvmNode *node = section_like(like);
  LvmLv *lv;

  lvm_section_set_uint(lvm_segment_first(node), "extent_count", n_extents, NULL);
  lv = lvm_vg_add_lv(l->vg, node, error);
  if (lv && lv->kind == LVM_LV_THIN && lv->origin && !lvm_vg_find_lv(l->like, lv->origin))
    lvm_thin_set_origin(lv, NULL);
  return lv;
}

static gboolean add_pool_like(Like *l, LvmLv *like, GError **error)
{
  LikePool pool = {.like = like, .size = size_of(l, lvm_lv_name(like))};
  LvmLv *metadata = lvm_vg_find_lv(l->like, lvm_pool_metadata(like));
  const LvmLikeSize *size = pool.size;

  if (!volume_extents(l, like, &pool.wanted, error))
    return FALSE;
  pool.n_metadata = extents_of(l->vg, lvm_lv_size(metadata));
  pool.least = pool.wanted;
  if (size && !size->size && size->least)
    pool.least = MIN(pool.wanted, extents_of(l->vg, MAX(size->least, lvm_pool_chunk_size(like))));
  if (size && size->size && size->size < size->least) {
    g_autofree char *used = vt_size_format(size->least);
    return vt_set_error(error, EINVAL, "thin pool %s cannot be smaller than what is in it, %s",
                        lvm_lv_name(like), used);
  }
  pool.least_metadata = size && size->least_metadata
                            ? MIN(pool.n_metadata, extents_of(l->vg, size->least_metadata))
                            : pool.n_metadata;
  pool.lv = add_virtual_like(l, like, pool.wanted, error);
  g_array_append_val(l->pools, pool);
  return pool.lv != NULL;
}

static LikePool *pool_with_part(Like *l, LvmLv *part, gboolean *metadata)
{
  for (guint i = 0; i < l->pools->len; i++) {
    LikePool *pool = &g_array_index(l->pools, LikePool, i);

    *metadata = g_strcmp0(lvm_pool_metadata(pool->like), lvm_lv_name(part)) == 0;
    if (*metadata || g_strcmp0(lvm_pool_data(pool->like), lvm_lv_name(part)) == 0)
      return pool;
  }
  return NULL;
}

static gboolean add_hidden_like(Like *l, LvmLv *like, GError **error)
{
  gboolean metadata;
  LikePool *pool = pool_with_part(l, like, &metadata);
  LvmLv **place = pool ? (metadata ? &pool->metadata : &pool->data) : &l->spare;

  if (!pool && !is_spare(like))
    return TRUE; /* beneath a part that is linear now */
  if (*place)
    return refuse(like, error, "is there twice");
  *place = add_linear_like(l, like, error);
  return *place != NULL;
}

static gboolean add_like(Like *l, LvmLv *like, GError **error)
{
  guint64 n;

  if (!like->visible)
    return add_hidden_like(l, like, error);
  if (like->kind == LVM_LV_THIN_POOL)
    return add_pool_like(l, like, error);
  if (!volume_extents(l, like, &n, error))
    return FALSE;
  if (like->kind == LVM_LV_THIN)
    return add_virtual_like(l, like, n, error) != NULL;
  l->fixed += n;
  return add_linear_like(l, like, error) != NULL;
}

/* Visible ones first, so that pools are known when their parts are met. */
static gboolean add_all(Like *l, GError **error)
{
  for (guint hidden = 0; hidden < 2; hidden++)
    for (GList *link = l->like->lvs.head; link; link = link->next)
      if (((LvmLv *)link->data)->visible == !hidden && !add_like(l, link->data, error))
        return FALSE;
  return TRUE;
}

/* --- room --- */

/* What is needed beside the pools' data. */
static guint64 beside_data(Like *l)
{
  guint64 n = l->fixed;

  l->spare_extents = 0;
  for (guint i = 0; i < l->pools->len; i++) {
    const LikePool *pool = &g_array_index(l->pools, LikePool, i);

    n += pool->n_metadata;
    l->spare_extents = MAX(l->spare_extents, pool->n_metadata);
  }
  return n + (l->spare ? l->spare_extents : 0);
}

static void sum_data(Like *l, guint64 *wanted, guint64 *least)
{
  *wanted = *least = 0;
  for (guint i = 0; i < l->pools->len; i++) {
    const LikePool *pool = &g_array_index(l->pools, LikePool, i);

    *wanted += pool->wanted;
    *least += pool->least;
  }
}

/* Who can do with less gets its part of what there is beyond the least. */
static gboolean share_out(Like *l, GError **error)
{
  guint64 available = lvm_vg_n_free_extents(l->vg), wanted, least, spare_room;

  sum_data(l, &wanted, &least);
  if (beside_data(l) + least > available)
    for (guint i = 0; i < l->pools->len; i++) {
      LikePool *pool = &g_array_index(l->pools, LikePool, i);

      pool->n_metadata = pool->least_metadata;
    }
  if (beside_data(l) + least > available) {
    g_autofree char *needed = lvm_vg_format_extents(l->vg, beside_data(l) + least),
                    *has = lvm_vg_format_extents(l->vg, available);

    return vt_set_error(error, ENOSPC,
                        "volume group %s needs %s for what is in use of it, and the devices given "
                        "have room for %s: give larger ones, or one more",
                        lvm_vg_name(l->vg), needed, has);
  }
  spare_room = MIN(available - beside_data(l), wanted) - least;
  for (guint i = 0; i < l->pools->len; i++) {
    LikePool *pool = &g_array_index(l->pools, LikePool, i);
    guint64 more = pool->wanted - pool->least;

    pool->n_data = pool->least;
    if (more)
      pool->n_data += (guint64)((double)more / (double)(wanted - least) * (double)spare_room);
    pool->n_data = MIN(pool->n_data, pool->wanted);
  }
  return TRUE;
}

static gboolean allocate_pools(Like *l, GError **error)
{
  for (guint i = 0; i < l->pools->len; i++)
    if (!lvm_lv_allocate(g_array_index(l->pools, LikePool, i).metadata,
                         g_array_index(l->pools, LikePool, i).n_metadata, error))
      return FALSE;
  if (l->spare && l->spare_extents && !lvm_lv_allocate(l->spare, l->spare_extents, error))
    return FALSE;
  for (guint i = 0; i < l->pools->len; i++) {
    LikePool *pool = &g_array_index(l->pools, LikePool, i);

    if (!lvm_lv_allocate(pool->data, pool->n_data, error))
      return FALSE;
    lvm_section_set_uint(lvm_segment_first(lvm_lv_edit(pool->lv)), "extent_count", pool->n_data,
                         NULL);
    lvm_lv_edited(pool->lv);
  }
  return TRUE;
}

static gboolean allocate_linear(Like *l, GError **error)
{
  for (GList *link = l->like->lvs.head; link; link = link->next) {
    LvmLv *like = link->data;
    guint64 n;

    if (like->visible && like->kind == LVM_LV_STRIPED &&
        (!volume_extents(l, like, &n, error) ||
         !lvm_lv_allocate(lvm_vg_find_lv(l->vg, lvm_lv_name(like)), n, error)))
      return FALSE;
  }
  return TRUE;
}

gboolean lvm_vg_fill_like(LvmVg *vg, LvmVg *like, GHashTable *sizes, GError **error)
{
  g_autoptr(GArray) pools = g_array_new(FALSE, TRUE, sizeof(LikePool));
  g_autoptr(LvmVg) plain = NULL;
  Like l = {.vg = vg, .sizes = sizes, .pools = pools};

  if (!lvm_vg_check_like(like, error))
    return FALSE;
  l.like = plain = lvm_vg_copy(like);
  lvm_vg_set_system_id(plain, NULL);
  return add_all(&l, error) && share_out(&l, error) && allocate_linear(&l, error) &&
         allocate_pools(&l, error);
}
