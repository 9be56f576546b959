/* virt-thin - a volume group: reading its text, copying it, writing it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "lvm/model/vg-private.h"
#include "util/memory.h"
#include "util/name.h"
#include "util/size.h"

#define SECTOR 512

/* --- the LVs of a VG --- */

static void lv_text_unref(LvmLvText *text)
{
  if (!g_atomic_int_dec_and_test(&text->refs))
    return;
  lvm_node_unref(text->node);
  g_free(text->text);
  g_free(text);
}

static LvmLvText *lv_text_new(LvmNode *section)
{
  LvmLvText *text = g_new0(LvmLvText, 1);

  text->refs = 1;
  text->node = section;
  return text;
}

LvmLv *lvm_lv_new(LvmVg *vg, LvmNode *section)
{
  LvmLv *lv = g_new0(LvmLv, 1);

  lv->link.data = lv;
  lv->vg = vg;
  lv->shared = lv_text_new(section);
  return lv;
}

void lvm_lv_free(LvmLv *lv)
{
  lv_text_unref(lv->shared);
  g_free(lv);
}

LvmNode *lvm_lv_edit(LvmLv *lv)
{
  LvmLvText *shared = lv->shared;

  if (g_atomic_int_get(&shared->refs) > 1) {
    lv->shared = lv_text_new(lvm_node_copy(shared->node, NULL));
    g_hash_table_replace(lv->vg->by_name, (gpointer)lvm_node_name(lv->shared->node), lv);
    lv_text_unref(shared);
  } else {
    g_clear_pointer(&shared->text, g_free);
  }
  return lv->shared->node;
}

void lvm_lv_edited(LvmLv *lv)
{
  g_autoptr(GError) error = NULL;

  if (!lvm_lv_read(lv, &error))
    g_error("a change of logical volume %s made it unreadable: %s", lvm_node_name(lvm_lv_node(lv)),
            error->message);
}

void lvm_lv_set_name(LvmLv *lv, const char *name)
{
  LvmLvText *old = lv->shared;

  g_hash_table_remove(lv->vg->by_name, lvm_lv_name(lv));
  lv->shared = lv_text_new(lvm_node_copy(old->node, name));
  g_hash_table_insert(lv->vg->by_name, (gpointer)lvm_lv_name(lv), lv);
  lv_text_unref(old);
  lvm_lv_edited(lv);
}

void lvm_vg_link_lv(LvmVg *vg, LvmLv *lv)
{
  if (!lv->visible && !vg->first_hidden)
    vg->first_hidden = lv;
  if (lv->visible && vg->first_hidden)
    g_queue_insert_before_link(&vg->lvs, &vg->first_hidden->link, &lv->link);
  else
    g_queue_push_tail_link(&vg->lvs, &lv->link);
}

void lvm_vg_unlink_lv(LvmVg *vg, LvmLv *lv)
{
  if (vg->first_hidden == lv) {
    GList *next = lv->link.next;

    while (next && ((LvmLv *)next->data)->visible)
      next = next->next;
    vg->first_hidden = next ? next->data : NULL;
  }
  g_queue_unlink(&vg->lvs, &lv->link);
}

LvmLv *lvm_vg_add_lv(LvmVg *vg, LvmNode *section, GError **error)
{
  LvmLv *lv = lvm_lv_new(vg, section);
  const char *name = lvm_node_name(section);

  if (!lvm_lv_read(lv, error)) {
    lvm_lv_free(lv);
    return NULL;
  }
  if (g_hash_table_contains(vg->by_name, name)) {
    vt_set_error(error, EEXIST, "volume group %s has a logical volume %s already", lvm_vg_name(vg),
                 name);
    lvm_lv_free(lv);
    return NULL;
  }
  g_hash_table_insert(vg->by_name, (gpointer)name, lv);
  lvm_vg_link_lv(vg, lv);
  return lv;
}

void lvm_vg_drop_lv(LvmVg *vg, LvmLv *lv)
{
  g_hash_table_remove(vg->by_name, lvm_lv_name(lv));
  lvm_vg_unlink_lv(vg, lv);
  lvm_lv_free(lv);
}

/* --- reading --- */

static gboolean check_contents(LvmNode *header, GError **error)
{
  const char *contents = lvm_section_get_string(header, "contents");
  guint64 version;

  if (g_strcmp0(contents, "Text Format Volume Group") != 0)
    return vt_set_error(error, EBADMSG,
                        "this is no LVM2 metadata: no 'contents = \"Text Format Volume Group\"'");
  if (!lvm_section_get_uint(header, "version", &version) || version != 1)
    return vt_set_error(error, EBADMSG, "this LVM2 metadata is not of version 1");
  return TRUE;
}

static gboolean check_vg(LvmVg *vg, GError **error)
{
  static const LvmKey keys[] = {{"seqno", LVM_KEY_NUMBER, FALSE},
                                {"extent_size", LVM_KEY_NUMBER, FALSE},
                                {"max_lv", LVM_KEY_NUMBER, FALSE},
                                {"max_pv", LVM_KEY_NUMBER, FALSE},
                                {NULL, 0, FALSE}};
  guint64 seqno = 0, extent_size = 0;
  const char *name = lvm_vg_name(vg), *wrong;

  if (!vt_vg_name_check(name, NULL))
    return vt_set_error(error, EBADMSG, "the metadata's section \"%s\" has no volume group's name",
                        name);
  if (!lvm_uuid_is_valid(lvm_section_get_string(vg->node, "id")))
    return vt_set_error(error, EBADMSG, "volume group %s has no valid id", name);
  if ((wrong = lvm_section_wrong_key(vg->node, keys)))
    return vt_set_error(error, EBADMSG, "volume group %s has no valid %s", name, wrong);
  lvm_section_get_uint(vg->node, "seqno", &seqno);
  lvm_section_get_uint(vg->node, "extent_size", &extent_size);
  if (seqno > G_MAXUINT32)
    return vt_set_error(error, EBADMSG, "volume group %s has no valid seqno", name);
  if (extent_size == 0 || extent_size > G_MAXUINT32)
    return vt_set_error(error, EBADMSG, "volume group %s has no valid extent_size", name);
  vg->extent_size = extent_size * SECTOR;
  return TRUE;
}

static gboolean read_pv(LvmVg *vg, LvmNode *node, GError **error)
{
  const char *name = lvm_node_name(node);
  guint64 pe_start, pe_count, dev_size = 0, extent_size = lvm_vg_extent_size(vg);
  LvmPv *pv;

  if (!lvm_uuid_is_valid(lvm_section_get_string(node, "id")))
    return vt_set_error(error, EBADMSG, "volume group %s: physical volume %s has no valid id",
                        lvm_vg_name(vg), name);
  if (!lvm_section_get_uint(node, "pe_start", &pe_start) ||
      !lvm_section_get_uint(node, "pe_count", &pe_count) || pe_count > G_MAXUINT32 ||
      pe_start > G_MAXINT64 / SECTOR || pe_count > (G_MAXINT64 - pe_start * SECTOR) / extent_size)
    return vt_set_error(error, EBADMSG,
                        "volume group %s: physical volume %s has no valid pe_start and pe_count",
                        lvm_vg_name(vg), name);
  if (lvm_section_find(node, "dev_size") &&
      (!lvm_section_get_uint(node, "dev_size", &dev_size) || dev_size > G_MAXINT64 / SECTOR))
    return vt_set_error(error, EBADMSG, "volume group %s: physical volume %s has no valid dev_size",
                        lvm_vg_name(vg), name);
  if (lvm_vg_find_pv(vg, name))
    return vt_set_error(error, EBADMSG, "volume group %s has two physical volumes %s",
                        lvm_vg_name(vg), name);
  pv = g_new0(LvmPv, 1);
  pv->vg = vg;
  pv->node = node;
  pv->n_extents = pe_count;
  g_ptr_array_add(vg->pvs, pv);
  return TRUE;
}

static gboolean read_pvs(LvmVg *vg, GError **error)
{
  LvmNode *section = lvm_section_find_section(vg->node, "physical_volumes");

  if (!section)
    return vt_set_error(error, EBADMSG, "volume group %s has no section physical_volumes",
                        lvm_vg_name(vg));
  for (LvmNode *node = lvm_section_first(section); node; node = lvm_node_next(node))
    if (lvm_node_kind(node) == LVM_NODE_SECTION && !read_pv(vg, node, error))
      return FALSE;
  return TRUE;
}

/* logical_volumes is not there when there are none. lvm2 then writes the blank lines around it all
 * the same, and nothing behind it. */
static void find_lv_section(LvmVg *vg)
{
  guint end_blanks = lvm_section_end_blanks(vg->node);
  gboolean own_blank;
  LvmNode *next;

  vg->lv_section = lvm_section_find_section(vg->node, "logical_volumes");
  if (vg->lv_section)
    return;
  next = lvm_node_next(lvm_section_find(vg->node, "physical_volumes"));
  own_blank = !next && end_blanks > 1;
  vg->lv_section = lvm_section_add_section(vg->node, "logical_volumes", own_blank, next);
  if (own_blank)
    lvm_section_set_end_blanks(vg->node, end_blanks - 1);
}

/* The snapshots that LVM had before it had thin ones: an LV of type "snapshot" that nobody is to
 * see ties the origin to the volume with what was overwritten since (lvm2 lib/snapshot/snapshot.c).
 * lvm2 shows the latter as the snapshot. Who writes to the origin without keeping copies there
 * destroys it. */
static void mark_old_snapshots(LvmVg *vg)
{
  for (GList *link = vg->lvs.head; link; link = link->next) {
    LvmLv *lv = link->data, *part;

    if (lv->kind != LVM_LV_OTHER || !lv->segment || !lvm_segment_is_type(lv->segment, "snapshot"))
      continue;
    if ((part = lvm_vg_find_lv(vg, lvm_snapshot_store(lv->segment)))) {
      part->is_cow = TRUE;
      part->kind = LVM_LV_OTHER;
    }
    if ((part = lvm_vg_find_lv(vg, lvm_section_get_string(lv->segment, "origin"))))
      part->has_cow = TRUE;
  }
}

static gboolean read_lvs(LvmVg *vg, GError **error)
{
  LvmNode *next;

  find_lv_section(vg);
  for (LvmNode *node = lvm_section_first(vg->lv_section); node; node = next) {
    LvmLv *lv;

    next = lvm_node_next(node);
    if (lvm_node_kind(node) != LVM_NODE_SECTION)
      continue;
    lv = lvm_lv_new(vg, lvm_section_steal(vg->lv_section, node));
    g_queue_push_tail_link(&vg->lvs, &lv->link);
    if (!lvm_lv_read(lv, error))
      return FALSE;
    if (!lv->visible && !vg->first_hidden)
      vg->first_hidden = lv;
    if (!g_hash_table_insert(vg->by_name, (gpointer)lvm_node_name(node), lv))
      return vt_set_error(error, EBADMSG, "volume group %s has two logical volumes %s",
                          lvm_vg_name(vg), lvm_node_name(node));
  }
  mark_old_snapshots(vg);
  return TRUE;
}

static LvmVg *vg_new(void)
{
  LvmVg *vg = g_new0(LvmVg, 1);

  g_queue_init(&vg->lvs);
  vg->by_name = g_hash_table_new(g_str_hash, g_str_equal);
  vg->pvs = g_ptr_array_new_with_free_func(g_free);
  return vg;
}

/* The VG is the one section at the top. */
static LvmNode *take_group(LvmNode *header, GError **error)
{
  LvmNode *group = NULL;

  for (LvmNode *node = lvm_section_first(header); node; node = lvm_node_next(node)) {
    if (lvm_node_kind(node) != LVM_NODE_SECTION)
      continue;
    if (group) {
      vt_set_error(error, EBADMSG, "the metadata has two volume groups, %s and %s",
                   lvm_node_name(group), lvm_node_name(node));
      return NULL;
    }
    group = node;
  }
  if (!group) {
    vt_set_error(error, EBADMSG, "the metadata has no volume group");
    return NULL;
  }
  lvm_node_set_blanks(group, 0);
  return lvm_section_steal(header, group);
}

/* Of what there should be one, two would be read as one, and written as the other. */
static gboolean check_sections(LvmVg *vg, GError **error)
{
  static const char *const names[] = {"physical_volumes", "logical_volumes"};

  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    LvmNode *found = NULL;

    for (LvmNode *node = lvm_section_first(vg->node); node; node = lvm_node_next(node)) {
      if (g_strcmp0(lvm_node_name(node), names[i]) != 0)
        continue;
      if (found || lvm_node_kind(node) != LVM_NODE_SECTION)
        return vt_set_error(error, EBADMSG, "volume group %s: %s is not one section",
                            lvm_vg_name(vg), names[i]);
      found = node;
    }
  }
  return TRUE;
}

LvmVg *lvm_vg_parse(const char *text, gsize length, GError **error)
{
  g_autoptr(LvmVg) vg = vg_new();

  vg->header = lvm_text_parse(text, length, "LVM2 metadata", error);
  if (!vg->header || !check_contents(vg->header, error) ||
      !(vg->node = take_group(vg->header, error)) || !check_vg(vg, error) ||
      !check_sections(vg, error) || !read_pvs(vg, error) || !read_lvs(vg, error))
    return NULL;
  vg->text_length = length;
  return g_steal_pointer(&vg);
}

/* --- copying and freeing --- */

static void copy_pvs(LvmVg *vg)
{
  LvmNode *section = lvm_section_find_section(vg->node, "physical_volumes");

  for (LvmNode *node = lvm_section_first(section); node; node = lvm_node_next(node)) {
    LvmPv *pv;

    if (lvm_node_kind(node) != LVM_NODE_SECTION)
      continue;
    pv = g_new0(LvmPv, 1);
    pv->vg = vg;
    pv->node = node;
    lvm_section_get_uint(node, "pe_count", &pv->n_extents);
    g_ptr_array_add(vg->pvs, pv);
  }
}

LvmVg *lvm_vg_copy(LvmVg *vg)
{
  LvmVg *copy = vg_new();

  copy->header = lvm_node_copy(vg->header, NULL);
  copy->node = lvm_node_copy(vg->node, NULL);
  copy->lv_section = lvm_section_find_section(copy->node, "logical_volumes");
  copy->extent_size = vg->extent_size;
  copy->text_length = vg->text_length;
  copy_pvs(copy);
  for (GList *link = vg->lvs.head; link; link = link->next) {
    LvmLv *lv = vt_memdup(link->data, sizeof *lv);

    lv->link = (GList){.data = lv};
    lv->vg = copy;
    g_atomic_int_inc(&lv->shared->refs);
    g_queue_push_tail_link(&copy->lvs, &lv->link);
    if (link->data == vg->first_hidden)
      copy->first_hidden = lv;
    g_hash_table_insert(copy->by_name, (gpointer)lvm_lv_name(lv), lv);
  }
  return copy;
}

void lvm_vg_free(LvmVg *vg)
{
  GList *link;

  if (!vg)
    return;
  g_hash_table_unref(vg->by_name);
  while ((link = g_queue_pop_head_link(&vg->lvs)))
    lvm_lv_free(link->data);
  g_ptr_array_unref(vg->pvs);
  lvm_node_unref(vg->node);
  lvm_node_unref(vg->header);
  g_free(vg->unwritable);
  g_free(vg);
}

/* --- formatting --- */

static void format_lv(LvmLv *lv, GString *out)
{
  LvmLvText *shared = lv->shared;
  gsize start = out->len;

  if (shared->text) {
    g_string_append_len(out, shared->text, shared->text_length);
    return;
  }
  lvm_node_format(shared->node, out);
  shared->text_length = out->len - start;
  shared->text = vt_memdup(out->str + start, shared->text_length);
}

static void format_lvs(LvmVg *vg, GString *out)
{
  if (!vg->lvs.head && !lvm_section_first(vg->lv_section)) {
    for (guint i = 0; i < lvm_node_blanks(vg->lv_section); i++)
      g_string_append_c(out, '\n');
    return;
  }
  lvm_node_format_open(vg->lv_section, out);
  for (LvmNode *node = lvm_section_first(vg->lv_section); node; node = lvm_node_next(node))
    lvm_node_format(node, out);
  for (GList *link = vg->lvs.head; link; link = link->next)
    format_lv(link->data, out);
  lvm_node_format_close(vg->lv_section, out);
}

void lvm_vg_format_group(LvmVg *vg, GString *out)
{
  lvm_node_format_open(vg->node, out);
  for (LvmNode *node = lvm_section_first(vg->node); node; node = lvm_node_next(node)) {
    if (node == vg->lv_section)
      format_lvs(vg, out);
    else
      lvm_node_format(node, out);
  }
  lvm_node_format_close(vg->node, out);
}

char *lvm_vg_format(LvmVg *vg, gsize *length)
{
  GString *out = g_string_sized_new(vg->text_length + 16384);

  lvm_vg_format_group(vg, out);
  lvm_node_format(vg->header, out);
  vg->text_length = out->len;
  if (length)
    *length = out->len;
  return g_string_free(out, FALSE);
}

/* --- what a VG says of itself --- */

const char *lvm_vg_name(LvmVg *vg)
{
  return lvm_node_name(vg->node);
}

const char *lvm_vg_uuid(LvmVg *vg)
{
  return lvm_section_get_string(vg->node, "id");
}

guint64 lvm_vg_seqno(LvmVg *vg)
{
  guint64 seqno = 0;

  lvm_section_get_uint(vg->node, "seqno", &seqno);
  return seqno;
}

void lvm_vg_set_seqno(LvmVg *vg, guint64 seqno)
{
  lvm_section_set_uint(vg->node, "seqno", seqno, "id");
}

guint64 lvm_vg_extent_size(LvmVg *vg)
{
  return vg->extent_size;
}

char *lvm_vg_format_extents(LvmVg *vg, guint64 n)
{
  return vt_size_format(n * vg->extent_size);
}

guint64 lvm_vg_n_extents(LvmVg *vg)
{
  guint64 n = 0;

  for (guint i = 0; i < vg->pvs->len; i++)
    n += ((LvmPv *)vg->pvs->pdata[i])->n_extents;
  return n;
}

const char *lvm_vg_system_id(LvmVg *vg)
{
  const char *id = lvm_section_get_string(vg->node, "system_id");

  return id && *id ? id : NULL;
}

gboolean lvm_vg_has_tag(LvmVg *vg, const char *tag)
{
  return lvm_section_has_word(vg->node, "tags", tag);
}

GStrv lvm_vg_tags(LvmVg *vg)
{
  g_autoptr(GPtrArray) tags = lvm_node_strings(lvm_section_find(vg->node, "tags"));

  g_ptr_array_add(tags, NULL);
  return g_strdupv((char **)tags->pdata);
}

void lvm_vg_set_tag(LvmVg *vg, const char *tag, gboolean set)
{
  lvm_section_change_word(vg->node, "tags", tag, set, "flags");
}

gboolean lvm_vg_has_flag(LvmVg *vg, const char *flag)
{
  return lvm_section_has_word(vg->node, "flags", flag) ||
         lvm_section_has_word(vg->node, "status", flag);
}

void lvm_vg_set_flag(LvmVg *vg, const char *flag, gboolean set)
{
  lvm_section_change_word(vg->node, "flags", flag, set, "status");
}

/* --- physical volumes --- */

GPtrArray *lvm_vg_pvs(LvmVg *vg)
{
  GPtrArray *pvs = g_ptr_array_sized_new(vg->pvs->len);

  for (guint i = 0; i < vg->pvs->len; i++)
    g_ptr_array_add(pvs, vg->pvs->pdata[i]);
  return pvs;
}

LvmPv *lvm_vg_find_pv(LvmVg *vg, const char *name)
{
  for (guint i = 0; i < vg->pvs->len; i++)
    if (strcmp(lvm_pv_name(vg->pvs->pdata[i]), name) == 0)
      return vg->pvs->pdata[i];
  return NULL;
}

LvmPv *lvm_vg_find_pv_by_uuid(LvmVg *vg, const char *uuid)
{
  for (guint i = 0; i < vg->pvs->len; i++)
    if (strcmp(lvm_pv_uuid(vg->pvs->pdata[i]), uuid) == 0)
      return vg->pvs->pdata[i];
  return NULL;
}

const char *lvm_pv_name(LvmPv *pv)
{
  return lvm_node_name(pv->node);
}

const char *lvm_pv_uuid(LvmPv *pv)
{
  return lvm_section_get_string(pv->node, "id");
}

const char *lvm_pv_device(LvmPv *pv)
{
  return lvm_section_get_string(pv->node, "device");
}

void lvm_pv_set_device(LvmPv *pv, const char *path)
{
  lvm_section_set_string(pv->node, "device", path, "id");
}

guint64 lvm_pv_start(LvmPv *pv)
{
  guint64 sectors = 0;

  lvm_section_get_uint(pv->node, "pe_start", &sectors);
  return sectors * SECTOR;
}

guint64 lvm_pv_size(LvmPv *pv)
{
  guint64 sectors = 0;

  lvm_section_get_uint(pv->node, "dev_size", &sectors);
  return sectors * SECTOR;
}

guint64 lvm_pv_n_extents(LvmPv *pv)
{
  return pv->n_extents;
}

gboolean lvm_pv_has_status(LvmPv *pv, const char *status)
{
  return lvm_section_has_word(pv->node, "status", status) ||
         lvm_section_has_word(pv->node, "flags", status);
}
