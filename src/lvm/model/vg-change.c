/* virt-thin - changing a volume group: logical volumes made, renamed, resized, tagged, removed
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each function leaves the VG as it was when it fails, but for pools whose parts find no place
 * where the VG's allocation policy lets them lie: the caller's copy is of no use then. What a new
 * LV's section holds, and in which order: lvm2 lib/format_text/export.c, lib/thin/thin.c.
 */
#include "config.h"

#include <string.h>

#include "lvm/model/vg-private.h"
#include "util/name.h"

#define SECTOR 512
#define MAX_DEVICE ((1u << 24) - 1) /* DM_THIN_MAX_DEVICE_ID */

/* --- words of a volume --- */

static void change_lv_word(LvmLv *lv, const char *key, const char *word, gboolean in,
                           const char *after)
{
  if (lvm_section_has_word(lvm_lv_node(lv), key, word) == in)
    return;
  lvm_section_change_word(lvm_lv_edit(lv), key, word, in, after);
  lvm_lv_edited(lv);
}

gboolean lvm_lv_add_tag(LvmLv *lv, const char *tag, GError **error)
{
  if (!vt_tag_check(tag, error))
    return FALSE;
  change_lv_word(lv, "tags", tag, TRUE, "flags");
  return TRUE;
}

void lvm_lv_remove_tag(LvmLv *lv, const char *tag)
{
  change_lv_word(lv, "tags", tag, FALSE, "flags");
}

void lvm_lv_set_flag(LvmLv *lv, const char *flag, gboolean set)
{
  change_lv_word(lv, "flags", flag, set, "status");
}

void lvm_lv_set_visible(LvmLv *lv, gboolean visible)
{
  if (lv->visible == visible)
    return;
  lvm_vg_unlink_lv(lv->vg, lv);
  change_lv_word(lv, "status", "VISIBLE", visible, "id");
  lvm_vg_link_lv(lv->vg, lv);
}

/* --- new sections --- */

static LvmNode *lv_section_new(LvmVg *vg, const char *name, gboolean visible)
{
  LvmNode *node = lvm_section_new(name);
  g_autofree char *uuid = lvm_uuid_new();

  lvm_node_set_blanks(node, 1);
  lvm_section_set_string(node, "id", uuid, NULL);
  lvm_section_set_strings(node, "status",
                          (const char *const[]){"READ", visible ? "VISIBLE" : NULL, NULL}, NULL);
  lvm_section_set_strings(node, "flags", (const char *const[]){NULL}, NULL);
  lvm_section_set_writable(vg, node, TRUE);
  lvm_section_set_uint(node, "creation_time", g_get_real_time() / G_USEC_PER_SEC, NULL);
  lvm_section_set_string(node, "creation_host", g_get_host_name(), NULL);
  lvm_section_set_uint(node, "segment_count", 0, NULL);
  return node;
}

/* The one segment of an LV that lies in no extents of its own. */
static LvmNode *add_virtual_segment(LvmNode *node, const char *type, guint64 n_extents)
{
  LvmNode *segment;

  lvm_section_set_uint(node, "segment_count", 1, NULL);
  segment = lvm_section_add_section(node, "segment1", 1, NULL);
  lvm_section_set_uint(segment, "start_extent", 0, NULL);
  lvm_section_set_uint(segment, "extent_count", n_extents, NULL);
  lvm_section_set_string(segment, "type", type, NULL);
  lvm_node_set_blanks(lvm_section_find(segment, "type"), 1);
  return segment;
}

/* lvm2 limits "/dev/VG/LV" (tools/lvrename.c), and a device-mapper name, VG-LV with each '-' of
 * either doubled, has at most 127 characters (linux uapi/linux/dm-ioctl.h). */
static gboolean check_length(LvmVg *vg, const char *name, GError **error)
{
  gsize length = strlen(lvm_vg_name(vg)) + 1;

  for (const char *p = lvm_vg_name(vg); *p; p++)
    length += *p == '-';
  for (const char *p = name; *p; p++)
    length += 1 + (*p == '-');
  if (length <= 127 && strlen(name) + strlen(lvm_vg_name(vg)) + 3 <= 128)
    return TRUE;
  return vt_set_error(error, EINVAL,
                      "volume name \"%s\" is too long in volume group %s: its device-mapper name "
                      "would have %zu characters",
                      name, lvm_vg_name(vg), length);
}

static gboolean check_new_name(LvmVg *vg, const char *name, GError **error)
{
  if (!vt_lv_name_check(name, error) || !check_length(vg, name, error))
    return FALSE;
  if (lvm_vg_find_lv(vg, name))
    return vt_set_error(error, EEXIST, "volume group %s has a volume %s already", lvm_vg_name(vg),
                        name);
  return TRUE;
}

/* A pool's parts need names, too. */
static gboolean check_part_names(LvmVg *vg, const char *data, const char *metadata, GError **error)
{
  if (!check_length(vg, data, error)) /* the other is as long */
    return FALSE;
  if (lvm_vg_find_lv(vg, data) || lvm_vg_find_lv(vg, metadata))
    return vt_set_error(error, EEXIST, "volume group %s has a volume %s or %s already",
                        lvm_vg_name(vg), data, metadata);
  return TRUE;
}

static gboolean check_max_lv(LvmVg *vg, GError **error)
{
  guint64 max = 0, n = 0;

  lvm_section_get_uint(vg->node, "max_lv", &max);
  if (max == 0)
    return TRUE;
  for (GList *link = vg->lvs.head; link; link = link->next)
    n += ((LvmLv *)link->data)->visible;
  if (n >= max)
    return vt_set_error(error, EPERM,
                        "volume group %s may have %" G_GUINT64_FORMAT
                        " volumes, and has them; vgchange --logicalvolume 0 %s lifts that",
                        lvm_vg_name(vg), max, lvm_vg_name(vg));
  return TRUE;
}

static gboolean check_extents(LvmVg *vg, const char *name, guint64 n_extents, GError **error)
{
  if (n_extents == 0)
    return vt_set_error(error, EINVAL, "volume %s/%s cannot have a size of zero", lvm_vg_name(vg),
                        name);
  if (n_extents > G_MAXUINT32 || n_extents > G_MAXINT64 / lvm_vg_extent_size(vg))
    return vt_set_error(error, EINVAL,
                        "volume %s/%s cannot have %" G_GUINT64_FORMAT
                        " extents: LVM can address at most %" G_GUINT64_FORMAT,
                        lvm_vg_name(vg), name, n_extents,
                        MIN(G_MAXUINT32, G_MAXINT64 / lvm_vg_extent_size(vg)));
  return TRUE;
}

/* --- linear volumes --- */

static LvmLv *add_linear(LvmVg *vg, const char *name, gboolean visible, guint64 n, GError **error)
{
  LvmLv *lv = lvm_vg_add_lv(vg, lv_section_new(vg, name, visible), error);

  if (lv && !lvm_lv_allocate(lv, n, error)) {
    lvm_vg_drop_lv(vg, lv);
    return NULL;
  }
  return lv;
}

LvmLv *lvm_vg_add_linear(LvmVg *vg, const char *name, guint64 n_extents, GError **error)
{
  if (!check_new_name(vg, name, error) || !check_max_lv(vg, error) ||
      !check_extents(vg, name, n_extents, error))
    return NULL;
  return add_linear(vg, name, TRUE, n_extents, error);
}

/* --- thin pools --- */

static LvmLv *add_hidden(LvmVg *vg, const char *name, guint64 n, GError **error)
{
  return add_linear(vg, name, FALSE, n, error);
}

static LvmLv *find_spare(LvmVg *vg)
{
  for (GList *link = vg->first_hidden ? &vg->first_hidden->link : NULL; link; link = link->next)
    if (!((LvmLv *)link->data)->visible && g_str_has_suffix(lvm_lv_name(link->data), "_pmspare"))
      return link->data;
  return NULL;
}

static char *spare_name(LvmVg *vg)
{
  for (guint i = 0;; i++) {
    g_autofree char *plain = g_strdup_printf("lvol%u", i);
    g_autofree char *name = g_strdup_printf("lvol%u_pmspare", i);

    if (!lvm_vg_find_lv(vg, plain) && !lvm_vg_find_lv(vg, name))
      return g_steal_pointer(&name);
  }
}

/* Are @n more extents free? */
static gboolean check_free(LvmVg *vg, const char *what, const char *name, guint64 n, GError **error)
{
  guint64 available = lvm_vg_n_free_extents(vg);
  g_autofree char *needed = lvm_vg_format_extents(vg, n),
                  *free_text = lvm_vg_format_extents(vg, available);

  return n <= available ||
         vt_set_error(error, ENOSPC,
                      "%s %s/%s needs %s with its metadata and spare, but only %s is free; add a "
                      "physical volume (virt-thin extend %s PATH) or choose a smaller size",
                      what, lvm_vg_name(vg), name, needed, free_text, lvm_vg_name(vg));
}

gboolean lvm_vg_grow_spare(LvmVg *vg, guint64 n_extents, GError **error)
{
  LvmLv *spare = find_spare(vg);
  g_autofree char *name = NULL;

  if (spare)
    return spare->n_extents >= n_extents ||
           lvm_lv_allocate(spare, n_extents - spare->n_extents, error);
  name = spare_name(vg);
  return add_hidden(vg, name, n_extents, error) != NULL;
}

static guint64 spare_growth(LvmVg *vg, guint64 n_extents)
{
  LvmLv *spare = find_spare(vg);
  guint64 has = spare ? spare->n_extents : 0;

  return n_extents > has ? n_extents - has : 0;
}

static LvmNode *pool_section_new(LvmVg *vg, const char *name, const char *data,
                                 const char *metadata, guint64 n_extents, guint64 chunk_size)
{
  LvmNode *node = lv_section_new(vg, name, TRUE);
  LvmNode *segment = add_virtual_segment(node, "thin-pool", n_extents);

  lvm_section_set_string(segment, "metadata", metadata, NULL);
  lvm_section_set_string(segment, "pool", data, NULL);
  lvm_section_set_uint(segment, "transaction_id", 0, NULL);
  lvm_section_set_uint(segment, "chunk_size", chunk_size / SECTOR, NULL);
  lvm_section_set_string(segment, "discards", "passdown", NULL);
  lvm_section_set_uint(segment, "zero_new_blocks", 1, NULL);
  return node;
}

LvmLv *lvm_vg_add_thin_pool(LvmVg *vg, const char *name, guint64 data_extents,
                            guint64 metadata_extents, guint64 chunk_size, GError **error)
{
  g_autofree char *data = g_strconcat(name ? name : "", "_tdata", NULL),
                  *metadata = g_strconcat(name ? name : "", "_tmeta", NULL);
  guint64 metadata_size = metadata_extents * lvm_vg_extent_size(vg);

  if (!check_new_name(vg, name, error) || !check_max_lv(vg, error) ||
      !check_extents(vg, name, data_extents, error) ||
      !check_extents(vg, metadata, metadata_extents, error) ||
      !lvm_pool_choose(data_extents * lvm_vg_extent_size(vg), lvm_vg_extent_size(vg), &chunk_size,
                       &metadata_size, error) ||
      !check_part_names(vg, data, metadata, error))
    return NULL;
  if (!check_free(vg, "thin pool", name,
                  data_extents + metadata_extents + spare_growth(vg, metadata_extents), error) ||
      !lvm_vg_grow_spare(vg, metadata_extents, error) ||
      !add_hidden(vg, metadata, metadata_extents, error) ||
      !add_hidden(vg, data, data_extents, error))
    return NULL;
  return lvm_vg_add_lv(vg, pool_section_new(vg, name, data, metadata, data_extents, chunk_size),
                       error);
}

/* The LV @name below @pool, if it can grow to @n_extents; *more: by how many. */
static LvmLv *growing_part(LvmLv *pool, const char *name, guint64 n_extents, guint64 *more,
                           GError **error)
{
  LvmVg *vg = pool->vg;
  LvmLv *lv = lvm_vg_find_lv(vg, name);

  if (!lv) {
    vt_set_error(error, EBADMSG, "thin pool %s/%s: its volume %s is not there", lvm_vg_name(vg),
                 lvm_lv_name(pool), name);
    return NULL;
  }
  if (!lvm_lv_check_unlocked(pool, error))
    return NULL;
  if (lv->kind != LVM_LV_STRIPED) {
    vt_set_error(error, EOPNOTSUPP,
                 "%s/%s is of type %s, which virt-thin cannot grow; use lvextend", lvm_vg_name(vg),
                 name, lvm_lv_segment_type(lv));
    return NULL;
  }
  if (n_extents < lv->n_extents) {
    g_autofree char *has = lvm_vg_format_extents(vg, lv->n_extents),
                    *asked = lvm_vg_format_extents(vg, n_extents);

    vt_set_error(error, EINVAL, "%s/%s has %s and cannot shrink to %s", lvm_vg_name(vg), name, has,
                 asked);
    return NULL;
  }
  *more = n_extents - lv->n_extents;
  return check_extents(vg, name, n_extents, error) ? lv : NULL;
}

gboolean lvm_vg_grow_pool_data(LvmVg *vg, LvmLv *pool, guint64 data_extents, GError **error)
{
  guint64 more;
  LvmLv *data = growing_part(pool, lvm_pool_data(pool), data_extents, &more, error);

  if (!data || !lvm_lv_allocate(data, more, error))
    return FALSE;
  lvm_pool_take_size(pool);
  return TRUE;
}

void lvm_pool_take_size(LvmLv *pool)
{
  LvmLv *data = lvm_vg_find_lv(pool->vg, lvm_pool_data(pool));

  lvm_lv_edit(pool);
  lvm_section_set_uint(lvm_segment_first(lvm_lv_node(pool)), "extent_count", data->n_extents, NULL);
  lvm_lv_edited(pool);
}

gboolean lvm_vg_grow_pool_metadata(LvmVg *vg, LvmLv *pool, guint64 metadata_extents, GError **error)
{
  guint64 more, limit = LVM_POOL_METADATA_MAX / lvm_vg_extent_size(vg) + 1;
  LvmLv *metadata = growing_part(pool, lvm_pool_metadata(pool), metadata_extents, &more, error);

  if (!metadata)
    return FALSE;
  if (metadata_extents > limit)
    return vt_set_error(error, EINVAL,
                        "thin pool %s/%s: the metadata cannot be larger than 15.81 GiB",
                        lvm_vg_name(vg), lvm_lv_name(pool));
  return check_free(vg, "thin pool", lvm_lv_name(pool), more + spare_growth(vg, metadata_extents),
                    error) &&
         lvm_vg_grow_spare(vg, metadata_extents, error) && lvm_lv_allocate(metadata, more, error);
}

void lvm_pool_set_transaction_id(LvmLv *pool, guint64 tid)
{
  lvm_lv_edit(pool);
  lvm_section_set_uint(lvm_segment_first(lvm_lv_node(pool)), "transaction_id", tid, NULL);
  lvm_lv_edited(pool);
}

/* --- messages --- */

static LvmNode *add_message(LvmLv *pool)
{
  LvmNode *segment = lvm_segment_first(lvm_lv_edit(pool));
  g_autofree char *name = NULL;
  guint n = 1;

  for (LvmNode *node = lvm_section_first(segment); node; node = lvm_node_next(node))
    n +=
        lvm_node_kind(node) == LVM_NODE_SECTION && g_str_has_prefix(lvm_node_name(node), "message");
  name = g_strdup_printf("message%u", n);
  return lvm_section_add_section(segment, name, n == 1, NULL);
}

void lvm_pool_add_create(LvmLv *pool, const char *lv_name)
{
  lvm_section_set_string(add_message(pool), "create", lv_name, NULL);
  lvm_lv_edited(pool);
}

void lvm_pool_add_delete(LvmLv *pool, guint32 device)
{
  lvm_section_set_uint(add_message(pool), "delete", device, NULL);
  lvm_lv_edited(pool);
  pool->highest_device = MAX(pool->highest_device, device);
}

static LvmNode *find_message(LvmNode *segment)
{
  for (LvmNode *node = lvm_section_first(segment); node; node = lvm_node_next(node))
    if (lvm_node_kind(node) == LVM_NODE_SECTION && g_str_has_prefix(lvm_node_name(node), "message"))
      return node;
  return NULL;
}

void lvm_pool_clear_messages(LvmLv *pool)
{
  LvmNode *segment, *node;

  if (!find_message(pool->segment))
    return;
  segment = lvm_segment_first(lvm_lv_edit(pool));
  while ((node = find_message(segment)))
    lvm_node_unref(lvm_section_steal(segment, node));
  lvm_lv_edited(pool);
  pool->highest_known = FALSE;
}

/* Leave out the create messages for @name, of which there can be several pools'. */
static void drop_create_messages(LvmLv *pool, const char *name)
{
  g_autoptr(GArray) messages = lvm_pool_messages(pool);
  gboolean found = FALSE;

  for (guint i = 0; i < messages->len; i++)
    found |= g_strcmp0(g_array_index(messages, LvmMessage, i).create, name) == 0;
  if (!found)
    return;
  lvm_pool_clear_messages(pool);
  for (guint i = 0; i < messages->len; i++) {
    const LvmMessage *m = &g_array_index(messages, LvmMessage, i);

    if (!m->create)
      lvm_pool_add_delete(pool, m->delete_device);
    else if (strcmp(m->create, name) != 0)
      lvm_pool_add_create(pool, m->create);
  }
}

/* --- thin volumes --- */

static void find_highest_device(LvmVg *vg, LvmLv *pool)
{
  g_autoptr(GArray) messages = lvm_pool_messages(pool);
  const char *name = lvm_lv_name(pool);

  pool->highest_device = 0;
  for (guint i = 0; i < messages->len; i++)
    pool->highest_device =
        MAX(pool->highest_device, g_array_index(messages, LvmMessage, i).delete_device);
  for (GList *link = vg->lvs.head; link; link = link->next) {
    LvmLv *lv = link->data;

    if (lv->kind == LVM_LV_THIN && lv->device > pool->highest_device && strcmp(lv->pool, name) == 0)
      pool->highest_device = lv->device;
  }
  pool->highest_known = TRUE;
}

/* The lowest id that no volume and no message of @pool names: needed only after 16 million
 * volumes. */
static guint32 find_hole(LvmVg *vg, LvmLv *pool)
{
  g_autoptr(GArray) messages = lvm_pool_messages(pool);
  g_autoptr(GHashTable) used = g_hash_table_new(NULL, NULL);

  for (guint i = 0; i < messages->len; i++)
    g_hash_table_add(used, GUINT_TO_POINTER(g_array_index(messages, LvmMessage, i).delete_device));
  for (GList *link = vg->lvs.head; link; link = link->next) {
    LvmLv *lv = link->data;

    if (lv->kind == LVM_LV_THIN && strcmp(lv->pool, lvm_lv_name(pool)) == 0)
      g_hash_table_add(used, GUINT_TO_POINTER(lv->device));
  }
  for (guint32 device = 1; device <= MAX_DEVICE; device++)
    if (!g_hash_table_contains(used, GUINT_TO_POINTER(device)))
      return device;
  return 0;
}

guint32 lvm_pool_next_device(LvmVg *vg, LvmLv *pool)
{
  if (!pool->highest_known)
    find_highest_device(vg, pool);
  return pool->highest_device < MAX_DEVICE ? pool->highest_device + 1 : find_hole(vg, pool);
}

LvmLv *lvm_vg_add_thin(LvmVg *vg, LvmLv *pool, const char *name, guint64 n_extents, guint32 device,
                       const char *origin, GError **error)
{
  LvmLv *lv, *from = origin ? lvm_vg_find_lv(vg, origin) : NULL;
  LvmNode *node, *segment;

  if (!check_new_name(vg, name, error) || !check_max_lv(vg, error) ||
      !check_extents(vg, name, n_extents, error) || !lvm_lv_check_unlocked(pool, error) ||
      (from && !lvm_lv_check_unlocked(from, error)))
    return NULL;
  if (device == 0 || device > MAX_DEVICE) {
    vt_set_error(error, EINVAL, "volume %s/%s: thin device %u is out of range", lvm_vg_name(vg),
                 name, device);
    return NULL;
  }
  node = lv_section_new(vg, name, TRUE);
  segment = add_virtual_segment(node, "thin", n_extents);
  lvm_section_set_string(segment, "thin_pool", lvm_lv_name(pool), NULL);
  lvm_section_set_uint(segment, "transaction_id", lvm_pool_transaction_id(pool), NULL);
  lvm_section_set_uint(segment, "device_id", device, NULL);
  if (origin)
    lvm_section_set_string(segment, "origin", origin, NULL);
  lv = lvm_vg_add_lv(vg, node, error);
  if (lv && pool->highest_known)
    pool->highest_device = MAX(pool->highest_device, device);
  return lv;
}

gboolean lvm_thin_set_extents(LvmLv *lv, guint64 n_extents, GError **error)
{
  if (!check_extents(lv->vg, lvm_lv_name(lv), n_extents, error) ||
      !lvm_lv_check_unlocked(lv, error))
    return FALSE;
  lvm_lv_edit(lv);
  lvm_section_set_uint(lvm_segment_first(lvm_lv_node(lv)), "extent_count", n_extents, NULL);
  lvm_lv_edited(lv);
  return TRUE;
}

void lvm_thin_set_device(LvmLv *lv, guint32 device, guint64 transaction_id)
{
  LvmLv *pool = lvm_vg_find_lv(lv->vg, lv->pool);
  LvmNode *segment = lvm_segment_first(lvm_lv_edit(lv));

  lvm_section_set_uint(segment, "transaction_id", transaction_id, NULL);
  lvm_section_set_uint(segment, "device_id", device, NULL);
  lvm_lv_edited(lv);
  if (pool)
    pool->highest_known = FALSE;
}

/* lvm2's order: thin_pool, transaction_id, device_id, external_origin, origin, merge. */
static void set_reference(LvmLv *lv, const char *key, const char *value, const char *after)
{
  LvmNode *segment = lvm_segment_first(lvm_lv_edit(lv));

  if (value)
    lvm_section_set_string(segment, key, value,
                           lvm_section_find(segment, after) ? after : "device_id");
  else
    lvm_section_remove(segment, key);
  lvm_lv_edited(lv);
}

void lvm_thin_set_origin(LvmLv *lv, const char *origin)
{
  set_reference(lv, "origin", origin, "external_origin");
}

void lvm_thin_set_merge(LvmLv *lv, const char *target)
{
  set_reference(lv, "merge", target, "origin");
}

/* --- renaming and removing --- */

static gboolean mentions(LvmNode *section, const char *name)
{
  for (LvmNode *node = lvm_section_first(section); node; node = lvm_node_next(node)) {
    if (lvm_node_kind(node) == LVM_NODE_SECTION
            ? mentions(node, name)
            : strcmp(lvm_node_name(node), "type") != 0 &&
                  strcmp(lvm_node_name(node), "tags") != 0 &&
                  lvm_section_has_word(section, lvm_node_name(node), name))
      return TRUE;
  }
  return FALSE;
}

/* An LV of a kind that we do not understand, and that names @name in a segment. */
static LvmLv *find_stranger(LvmVg *vg, const char *name)
{
  for (GList *link = vg->lvs.head; link; link = link->next) {
    LvmLv *lv = link->data;

    if (lv->kind != LVM_LV_OTHER && lv->kind != LVM_LV_STRIPED)
      continue;
    for (LvmNode *segment = lv->segment; segment; segment = lvm_segment_next(segment))
      if (mentions(segment, name))
        return lv;
  }
  return NULL;
}

static void rename_key(LvmLv *lv, const char *key, const char *old, const char *name)
{
  if (g_strcmp0(lvm_section_get_string(lv->segment, key), old) != 0)
    return;
  lvm_lv_edit(lv);
  lvm_section_set_string(lvm_segment_first(lvm_lv_node(lv)), key, name, NULL);
  lvm_lv_edited(lv);
}

static void rename_messages(LvmLv *pool, const char *old, const char *name)
{
  g_autoptr(GArray) messages = lvm_pool_messages(pool);
  LvmNode *node;
  gboolean found = FALSE;

  for (guint i = 0; i < messages->len; i++)
    found |= g_strcmp0(g_array_index(messages, LvmMessage, i).create, old) == 0;
  if (!found)
    return;
  for (node = lvm_section_first(lvm_segment_first(lvm_lv_edit(pool))); node;
       node = lvm_node_next(node))
    if (lvm_node_kind(node) == LVM_NODE_SECTION &&
        g_strcmp0(lvm_section_get_string(node, "create"), old) == 0)
      lvm_section_set_string(node, "create", name, NULL);
  lvm_lv_edited(pool);
}

static void rename_references(LvmVg *vg, const char *old, const char *name)
{
  for (GList *link = vg->lvs.head; link; link = link->next) {
    LvmLv *lv = link->data;

    if (lv->kind == LVM_LV_THIN) {
      rename_key(lv, "thin_pool", old, name);
      rename_key(lv, "origin", old, name);
      rename_key(lv, "external_origin", old, name);
      rename_key(lv, "merge", old, name);
    } else if (lv->kind == LVM_LV_THIN_POOL) {
      rename_key(lv, "metadata", old, name);
      rename_key(lv, "pool", old, name);
      rename_messages(lv, old, name);
    }
  }
}

/* The parts of a pool that bear its name are renamed with it. */
static void rename_part(LvmVg *vg, const char *part, const char *old, const char *name)
{
  LvmLv *lv = lvm_vg_find_lv(vg, part);
  g_autofree char *old_part = g_strdup(part), *new_part = NULL;

  if (!lv || !g_str_has_prefix(part, old) ||
      (strcmp(part + strlen(old), "_tdata") != 0 && strcmp(part + strlen(old), "_tmeta") != 0))
    return;
  new_part = g_strconcat(name, part + strlen(old), NULL);
  lvm_lv_set_name(lv, new_part);
  rename_references(vg, old_part, new_part);
}

/* --- removed volumes of which lvm2 keeps a record (metadata/record_lvs_history) --- */

static void change_record(LvmNode *record, const char *name, const char *new_name)
{
  if (g_strcmp0(lvm_section_get_string(record, "origin"), name) == 0) {
    if (new_name)
      lvm_section_set_string(record, "origin", new_name, NULL);
    else
      lvm_section_remove(record, "origin");
  }
  if (!lvm_section_has_word(record, "descendants", name))
    return;
  lvm_section_change_word(record, "descendants", name, FALSE, NULL);
  if (new_name)
    lvm_section_change_word(record, "descendants", new_name, TRUE, "origin");
}

/* A name in a record that no LV has makes lvm2 refuse the whole VG (lvm2
 * lib/format_text/import_vsn1.c), a record that ties no LVs together displeases vgck. @new_name
 * NULL: the LV goes. */
static void change_history(LvmVg *vg, const char *name, const char *new_name)
{
  LvmNode *history = lvm_section_find_section(vg->node, "historical_logical_volumes"), *next;

  if (!history)
    return;
  for (LvmNode *node = lvm_section_first(history); node; node = next) {
    next = lvm_node_next(node);
    if (lvm_node_kind(node) != LVM_NODE_SECTION)
      continue;
    change_record(node, name, new_name);
    if (!lvm_section_find(node, "origin") && !lvm_section_find(node, "descendants"))
      lvm_node_unref(lvm_section_steal(history, node));
  }
  if (!lvm_section_first(history))
    lvm_node_unref(lvm_section_steal(vg->node, history));
}

gboolean lvm_vg_rename_lv(LvmVg *vg, LvmLv *lv, const char *new_name, GError **error)
{
  g_autofree char *old = g_strdup(lvm_lv_name(lv)), *name = g_strdup(new_name);
  g_autofree char *data = g_strconcat(new_name ? new_name : "", "_tdata", NULL),
                  *metadata = g_strconcat(new_name ? new_name : "", "_tmeta", NULL);
  LvmLv *stranger;

  if (!check_new_name(vg, name, error) || !lvm_lv_check_unlocked(lv, error))
    return FALSE;
  if (!lv->visible || lv->kind == LVM_LV_OTHER)
    return vt_set_error(error, EOPNOTSUPP,
                        "%s/%s is a part of another volume or of type %s, which virt-thin does not "
                        "rename; use lvrename %s %s %s",
                        lvm_vg_name(vg), old, lvm_lv_segment_type(lv), lvm_vg_name(vg), old, name);
  if ((stranger = find_stranger(vg, old)))
    return vt_set_error(
        error, EOPNOTSUPP,
        "%s/%s is used by %s of type %s, which virt-thin does not change; use lvrename %s %s %s",
        lvm_vg_name(vg), old, lvm_lv_name(stranger), lvm_lv_segment_type(stranger), lvm_vg_name(vg),
        old, name);
  if (lv->kind == LVM_LV_THIN_POOL && !check_part_names(vg, data, metadata, error))
    return FALSE;
  lvm_lv_set_name(lv, name);
  rename_references(vg, old, name);
  change_history(vg, old, name);
  if (lv->kind == LVM_LV_THIN_POOL) {
    rename_part(vg, lvm_pool_data(lv), old, name);
    rename_part(vg, lvm_pool_metadata(lv), old, name);
  }
  return TRUE;
}

/* Who cannot be without @lv? The caller frees the sentence. */
static char *needed_by(LvmVg *vg, LvmLv *lv)
{
  const char *name = lvm_lv_name(lv);
  LvmLv *stranger = find_stranger(vg, name);

  if (stranger)
    return g_strdup_printf("%s of type %s uses it", lvm_lv_name(stranger),
                           lvm_lv_segment_type(stranger));
  for (GList *link = vg->lvs.head; link; link = link->next) {
    LvmLv *other = link->data;

    if (other == lv || other->kind != LVM_LV_THIN)
      continue;
    if (lv->kind == LVM_LV_THIN_POOL && strcmp(other->pool, name) == 0)
      return g_strdup_printf("volume %s lies in it", lvm_lv_name(other));
    if (g_strcmp0(lvm_thin_external_origin(other), name) == 0)
      return g_strdup_printf("it is the external origin of %s", lvm_lv_name(other));
    if (g_strcmp0(lvm_thin_merge(other), name) == 0)
      return g_strdup_printf("%s is to be merged into it", lvm_lv_name(other));
  }
  return NULL;
}

static gboolean has_pool(LvmVg *vg)
{
  for (GList *link = vg->lvs.head; link; link = link->next) {
    LvmLv *lv = link->data;

    if (lv->kind == LVM_LV_THIN_POOL ||
        (lv->segment && lvm_segment_is_type(lv->segment, "cache-pool")))
      return TRUE;
  }
  return FALSE;
}

static void remove_thin(LvmVg *vg, LvmLv *lv)
{
  LvmLv *pool = lvm_vg_find_lv(vg, lv->pool);
  const char *name = lvm_lv_name(lv);

  for (GList *link = vg->lvs.head; link; link = link->next)
    if (g_strcmp0(((LvmLv *)link->data)->origin, name) == 0)
      lvm_thin_set_origin(link->data, NULL);
  if (pool) {
    drop_create_messages(pool, name);
    pool->highest_known &= pool->highest_device != lv->device;
  }
  lvm_vg_drop_lv(vg, lv);
}

/* What is below a pool goes with it; a text may say what it likes of that, but for no names. */
static gboolean remove_pool(LvmVg *vg, LvmLv *pool, GError **error)
{
  LvmLv *data = lvm_vg_find_lv(vg, lvm_pool_data(pool)),
        *metadata = lvm_vg_find_lv(vg, lvm_pool_metadata(pool)), *spare = find_spare(vg);

  if (data == pool || metadata == pool || (data && data == metadata) || (data && data->visible) ||
      (metadata && metadata->visible))
    return vt_set_error(error, EBADMSG,
                        "%s/%s cannot be removed: its data and metadata are not hidden volumes of "
                        "its own, so the text "
                        "of the volume group is damaged",
                        lvm_vg_name(vg), lvm_lv_name(pool));
  if (data)
    lvm_vg_drop_lv(vg, data);
  if (metadata)
    lvm_vg_drop_lv(vg, metadata);
  lvm_vg_drop_lv(vg, pool);
  if (spare && !has_pool(vg))
    lvm_vg_drop_lv(vg, spare);
  return TRUE;
}

gboolean lvm_vg_remove_lv(LvmVg *vg, LvmLv *lv, GError **error)
{
  g_autofree char *why = needed_by(vg, lv);

  if (!lv->visible && lv->kind != LVM_LV_THIN)
    return vt_set_error(error, EBUSY, "%s/%s cannot be removed: it is a part of another volume",
                        lvm_vg_name(vg), lvm_lv_name(lv));
  if (lv->kind == LVM_LV_OTHER)
    return vt_set_error(error, EOPNOTSUPP,
                        "%s/%s is of type %s, which virt-thin does not remove; use lvm2",
                        lvm_vg_name(vg), lvm_lv_name(lv), lvm_lv_segment_type(lv));
  if (why)
    return vt_set_error(error, EBUSY, "%s/%s cannot be removed: %s", lvm_vg_name(vg),
                        lvm_lv_name(lv), why);
  if (!lvm_lv_check_unlocked(lv, error))
    return FALSE;
  if (lv->kind == LVM_LV_THIN_POOL)
    return remove_pool(vg, lv, error);
  change_history(vg, lvm_lv_name(lv), NULL);
  if (lv->kind == LVM_LV_THIN)
    remove_thin(vg, lv);
  else
    lvm_vg_drop_lv(vg, lv);
  return TRUE;
}
