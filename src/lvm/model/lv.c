/* virt-thin - what a logical volume says of itself
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Keys: lvm2 lib/format_text/import_vsn1.c, lib/thin/thin.c, lib/striped/striped.c.
 */
#include "config.h"

#include <string.h>

#include "lvm/model/vg-private.h"

#define SECTOR 512

/* --- sections and lists --- */

/* @node, or the first behind it that is a segment. */
static LvmNode *find_segment(LvmNode *node)
{
  while (node && (lvm_node_kind(node) != LVM_NODE_SECTION ||
                  !g_str_has_prefix(lvm_node_name(node), "segment")))
    node = lvm_node_next(node);
  return node;
}

LvmNode *lvm_segment_first(LvmNode *section)
{
  return find_segment(lvm_section_first(section));
}

LvmNode *lvm_segment_next(LvmNode *segment)
{
  return find_segment(lvm_node_next(segment));
}

gboolean lvm_segment_is_type(LvmNode *segment, const char *type)
{
  const char *t = lvm_section_get_string(segment, "type");

  return t && strncmp(t, type, strlen(type)) == 0 &&
         (t[strlen(type)] == '\0' || t[strlen(type)] == '+');
}

const char *lvm_section_wrong_key(LvmNode *section, const LvmKey *keys)
{
  guint64 number;

  for (; keys->key; keys++)
    if (!(keys->optional && !lvm_section_find(section, keys->key)) &&
        !(keys->type == LVM_KEY_NUMBER ? lvm_section_get_uint(section, keys->key, &number)
                                       : lvm_section_get_string(section, keys->key) != NULL))
      return keys->key;
  return NULL;
}

/* --- reading --- */

static const LvmKey lv_keys[] = {{"id", LVM_KEY_STRING, FALSE},
                                 {"segment_count", LVM_KEY_NUMBER, FALSE},
                                 {"creation_time", LVM_KEY_NUMBER, TRUE},
                                 {NULL, 0, FALSE}};
static const LvmKey segment_keys[] = {{"type", LVM_KEY_STRING, FALSE},
                                      {"start_extent", LVM_KEY_NUMBER, FALSE},
                                      {"extent_count", LVM_KEY_NUMBER, FALSE},
                                      {NULL, 0, FALSE}};
static const LvmKey thin_keys[] = {{"thin_pool", LVM_KEY_STRING, FALSE},
                                   {"transaction_id", LVM_KEY_NUMBER, FALSE},
                                   {"device_id", LVM_KEY_NUMBER, FALSE},
                                   {"origin", LVM_KEY_STRING, TRUE},
                                   {"merge", LVM_KEY_STRING, TRUE},
                                   {"external_origin", LVM_KEY_STRING, TRUE},
                                   {NULL, 0, FALSE}};
static const LvmKey pool_keys[] = {
    {"metadata", LVM_KEY_STRING, FALSE},       {"pool", LVM_KEY_STRING, FALSE},
    {"transaction_id", LVM_KEY_NUMBER, FALSE}, {"chunk_size", LVM_KEY_NUMBER, FALSE},
    {"discards", LVM_KEY_STRING, TRUE},        {"zero_new_blocks", LVM_KEY_NUMBER, TRUE},
    {"crop_metadata", LVM_KEY_NUMBER, TRUE},   {NULL, 0, FALSE}};
static const LvmKey striped_keys[] = {{"stripe_count", LVM_KEY_NUMBER, FALSE},
                                      {"stripe_size", LVM_KEY_NUMBER, TRUE},
                                      {NULL, 0, FALSE}};

static gboolean bad(LvmLv *lv, GError **error, const char *what)
{
  return vt_set_error(error, EBADMSG, "volume group %s: logical volume %s %s", lvm_vg_name(lv->vg),
                      lvm_node_name(lvm_lv_node(lv)), what);
}

static gboolean check_keys(LvmLv *lv, LvmNode *section, const LvmKey *keys, GError **error)
{
  const char *key = lvm_section_wrong_key(section, keys);
  g_autofree char *what =
      key ? g_strdup_printf("has no valid %s%s%s", key, section == lvm_lv_node(lv) ? "" : " in ",
                            section == lvm_lv_node(lv) ? "" : lvm_node_name(section))
          : NULL;

  return !key || bad(lv, error, what);
}

static gboolean read_segments(LvmLv *lv, GError **error)
{
  guint64 n_segments = 0, start = 0, n = 0, total = 0;
  guint64 limit = G_MAXINT64 / lvm_vg_extent_size(lv->vg);
  guint found = 0;

  lvm_section_get_uint(lvm_lv_node(lv), "segment_count", &n_segments);
  for (LvmNode *segment = lv->segment; segment; segment = lvm_segment_next(segment), found++) {
    if (!check_keys(lv, segment, segment_keys, error))
      return FALSE;
    lvm_section_get_uint(segment, "start_extent", &start);
    lvm_section_get_uint(segment, "extent_count", &n);
    if (n == 0 || start != total || n > G_MAXUINT32 || total + n > limit)
      return bad(lv, error, "has a segment without a valid start_extent and extent_count");
    total += n;
  }
  if (found != n_segments)
    return bad(lv, error, "has another number of segments than its segment_count");
  lv->n_extents = total;
  return TRUE;
}

static gboolean read_thin(LvmLv *lv, GError **error)
{
  guint64 device = 0;

  if (!check_keys(lv, lv->segment, thin_keys, error))
    return FALSE;
  lvm_section_get_uint(lv->segment, "device_id", &device);
  if (device >= 1u << 24)
    return bad(lv, error, "has no valid device_id");
  if (lvm_segment_next(lv->segment))
    return bad(lv, error, "is a thin volume with more than one segment");
  lv->pool = lvm_section_get_string(lv->segment, "thin_pool");
  lv->origin = lvm_section_get_string(lv->segment, "origin");
  lv->device = device;
  return TRUE;
}

static gboolean read_pool(LvmLv *lv, GError **error)
{
  guint64 chunk = 0;

  if (!check_keys(lv, lv->segment, pool_keys, error))
    return FALSE;
  lvm_section_get_uint(lv->segment, "chunk_size", &chunk);
  return (chunk > 0 && chunk <= G_MAXUINT32) || bad(lv, error, "has no valid chunk_size");
}

/* A stripe's size means something where there are several. */
static gboolean read_striped(LvmLv *lv, GError **error)
{
  for (LvmNode *segment = lv->segment; segment; segment = lvm_segment_next(segment)) {
    guint64 stripes = 1;

    if (lv->is_cow ||
        (!lvm_segment_is_type(segment, "striped") && !lvm_segment_is_type(segment, "linear"))) {
      lv->kind = LVM_LV_OTHER;
      continue;
    }
    if (!check_keys(lv, segment, striped_keys, error))
      return FALSE;
    lvm_section_get_uint(segment, "stripe_count", &stripes);
    if (stripes != 1 && !lvm_section_find(segment, "stripe_size"))
      return bad(lv, error, "has stripes without a stripe_size");
  }
  return TRUE;
}

/* lvm2 lib/snapshot/snapshot.c: one that is being merged has another key for its store. */
const char *lvm_snapshot_store(LvmNode *segment)
{
  const char *store = lvm_section_get_string(segment, "cow_store");

  return store ? store : lvm_section_get_string(segment, "merging_store");
}

static gboolean read_snapshot(LvmLv *lv, GError **error)
{
  return (lvm_snapshot_store(lv->segment) && lvm_section_get_string(lv->segment, "origin")) ||
         bad(lv, error, "is a snapshot of the old kind without a valid origin and cow_store");
}

gboolean lvm_lv_read(LvmLv *lv, GError **error)
{
  LvmNode *node = lvm_lv_node(lv);

  lv->segment = lvm_segment_first(node);
  lv->pool = lv->origin = NULL;
  lv->visible = lvm_section_has_word(node, "status", "VISIBLE");
  lv->kind = LVM_LV_OTHER;
  if (!check_keys(lv, node, lv_keys, error) || !read_segments(lv, error))
    return FALSE;
  if (!lvm_uuid_is_valid(lvm_section_get_string(node, "id")))
    return bad(lv, error, "has no valid id");
  if (lv->segment && lvm_segment_is_type(lv->segment, "snapshot"))
    return read_snapshot(lv, error);
  if (!lv->segment || !lvm_segment_is_known(lv->segment))
    return TRUE;
  if (lvm_segment_is_type(lv->segment, "thin")) {
    lv->kind = LVM_LV_THIN;
    return read_thin(lv, error);
  }
  if (lvm_segment_is_type(lv->segment, "thin-pool")) {
    lv->kind = LVM_LV_THIN_POOL;
    return read_pool(lv, error);
  }
  lv->kind = LVM_LV_STRIPED;
  return read_striped(lv, error);
}

/* --- all LVs --- */

GPtrArray *lvm_vg_lvs(LvmVg *vg)
{
  GPtrArray *lvs = g_ptr_array_sized_new(vg->lvs.length);

  for (GList *link = vg->lvs.head; link; link = link->next)
    g_ptr_array_add(lvs, link->data);
  return lvs;
}

LvmLv *lvm_vg_find_lv(LvmVg *vg, const char *name)
{
  return g_hash_table_lookup(vg->by_name, name);
}

const char *lvm_lv_name(LvmLv *lv)
{
  return lvm_node_name(lvm_lv_node(lv));
}

const char *lvm_lv_uuid(LvmLv *lv)
{
  return lvm_section_get_string(lvm_lv_node(lv), "id");
}

LvmLvKind lvm_lv_kind(LvmLv *lv)
{
  return lv->kind;
}

const char *lvm_lv_segment_type(LvmLv *lv)
{
  if (lv->is_cow)
    return "snapshot";
  return lv->segment ? lvm_section_get_string(lv->segment, "type") : "no segment";
}

guint64 lvm_lv_n_extents(LvmLv *lv)
{
  return lv->n_extents;
}

guint64 lvm_lv_size(LvmLv *lv)
{
  return lv->n_extents * lvm_vg_extent_size(lv->vg);
}

gboolean lvm_lv_is_visible(LvmLv *lv)
{
  if (lv->kind == LVM_LV_OTHER && lv->segment && lvm_segment_is_type(lv->segment, "snapshot"))
    return FALSE;
  return lv->visible || lv->is_cow;
}

gboolean lvm_lv_has_old_snapshot(LvmLv *lv)
{
  return lv->has_cow;
}

char *lvm_lv_old_snapshot(LvmLv *lv)
{
  for (GList *link = lv->vg->lvs.head; link; link = link->next) {
    LvmNode *segment = ((LvmLv *)link->data)->segment;

    if (segment && lvm_segment_is_type(segment, "snapshot") &&
        g_strcmp0(lvm_section_get_string(segment, "origin"), lvm_lv_name(lv)) == 0)
      return g_strdup_printf("%s/%s", lvm_vg_name(lv->vg), lvm_snapshot_store(segment));
  }
  return NULL;
}

gboolean lvm_lv_is_writable(LvmLv *lv)
{
  return !lv->has_cow && lvm_section_is_writable(lvm_lv_node(lv));
}

guint64 lvm_lv_creation_time(LvmLv *lv)
{
  guint64 time = 0;

  lvm_section_get_uint(lvm_lv_node(lv), "creation_time", &time);
  return time;
}

const char *lvm_lv_profile(LvmVg *vg, LvmLv *lv)
{
  const char *profile = lvm_section_get_string(lvm_lv_node(lv), "profile");

  return profile ? profile : lvm_section_get_string(vg->node, "profile");
}

GStrv lvm_lv_tags(LvmLv *lv)
{
  g_autoptr(GPtrArray) tags = lvm_node_strings(lvm_section_find(lvm_lv_node(lv), "tags"));

  g_ptr_array_add(tags, NULL);
  return g_strdupv((char **)tags->pdata);
}

gboolean lvm_lv_has_tag(LvmLv *lv, const char *tag)
{
  return lvm_section_has_word(lvm_lv_node(lv), "tags", tag);
}

gboolean lvm_lv_has_flag(LvmLv *lv, const char *flag)
{
  return lvm_section_has_word(lvm_lv_node(lv), "flags", flag) ||
         lvm_section_has_word(lvm_lv_node(lv), "status", flag);
}

/* --- thin pools --- */

static const char *segment_string(LvmLv *lv, LvmLvKind kind, const char *key)
{
  return lv->kind == kind ? lvm_section_get_string(lv->segment, key) : NULL;
}

static guint64 segment_uint(LvmLv *lv, LvmLvKind kind, const char *key)
{
  guint64 value = 0;

  if (lv->kind == kind)
    lvm_section_get_uint(lv->segment, key, &value);
  return value;
}

const char *lvm_pool_metadata(LvmLv *pool)
{
  return segment_string(pool, LVM_LV_THIN_POOL, "metadata");
}

const char *lvm_pool_data(LvmLv *pool)
{
  return segment_string(pool, LVM_LV_THIN_POOL, "pool");
}

guint64 lvm_pool_chunk_size(LvmLv *pool)
{
  return segment_uint(pool, LVM_LV_THIN_POOL, "chunk_size") * SECTOR;
}

guint64 lvm_pool_transaction_id(LvmLv *pool)
{
  return segment_uint(pool, LVM_LV_THIN_POOL, "transaction_id");
}

const char *lvm_pool_discards(LvmLv *pool)
{
  const char *discards = segment_string(pool, LVM_LV_THIN_POOL, "discards");

  return discards ? discards : "ignore";
}

gboolean lvm_pool_zeroes(LvmLv *pool)
{
  return segment_uint(pool, LVM_LV_THIN_POOL, "zero_new_blocks") != 0;
}

static void message_clear(gpointer data)
{
  g_free(((LvmMessage *)data)->create);
}

GArray *lvm_pool_messages(LvmLv *pool)
{
  GArray *messages = g_array_new(FALSE, TRUE, sizeof(LvmMessage));

  g_array_set_clear_func(messages, message_clear);
  if (pool->kind != LVM_LV_THIN_POOL)
    return messages;
  for (LvmNode *node = lvm_section_first(pool->segment); node; node = lvm_node_next(node)) {
    LvmMessage message = {0};
    guint64 device;

    if (lvm_node_kind(node) != LVM_NODE_SECTION ||
        !g_str_has_prefix(lvm_node_name(node), "message"))
      continue;
    message.create = g_strdup(lvm_section_get_string(node, "create"));
    if (lvm_section_get_uint(node, "delete", &device) && device < 1u << 24)
      message.delete_device = device;
    else if (!message.create)
      continue;
    g_array_append_val(messages, message);
  }
  return messages;
}

/* --- thin volumes --- */

const char *lvm_thin_pool(LvmLv *lv)
{
  return lv->pool;
}

guint32 lvm_thin_device(LvmLv *lv)
{
  return lv->device;
}

guint64 lvm_thin_transaction_id(LvmLv *lv)
{
  return segment_uint(lv, LVM_LV_THIN, "transaction_id");
}

const char *lvm_thin_origin(LvmLv *lv)
{
  return lv->origin;
}

const char *lvm_thin_external_origin(LvmLv *lv)
{
  return segment_string(lv, LVM_LV_THIN, "external_origin");
}

const char *lvm_thin_merge(LvmLv *lv)
{
  return segment_string(lv, LVM_LV_THIN, "merge");
}
