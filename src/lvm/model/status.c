/* virt-thin - what the status of a volume group, its physical and its logical volumes lets us do
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What lvm2 refuses because of a mark in the text is refused here, too: a mark that is honoured by
 * one of two programs protects nothing. Names: lvm2 lib/format_text/flags.c; what they forbid:
 * lib/metadata/metadata.c (vg_read(), vg_bad_status_bits(), add_pv_to_vg()), lv_manip.c. A status
 * or segment type that lvm2 does not know makes it refuse the VG; one that we do not know makes us
 * leave it alone. Unknown words in "flags" are lvm2's own way to say that an older version need not
 * care.
 */
#include "config.h"

#include <string.h>

#include "lvm/model/vg-private.h"

static const char *const vg_statuses[] = {"EXPORTED", "RESIZEABLE", "PVMOVE", "READ",
                                          "WRITE",    "CLUSTERED",  "SHARED", NULL};
static const char *const pv_statuses[] = {"ALLOCATABLE", "EXPORTED", "MISSING", NULL};
static const char *const lv_statuses[] = {"READ",        "WRITE",     "FIXED_MINOR", "VISIBLE",
                                          "PVMOVE",      "LOCKED",    "NOTSYNCED",   "REBUILD",
                                          "WRITEMOSTLY", "CACHE_VOL", NULL};
static const char *const segment_types[] = {"striped",  "linear",     "thin",       "thin-pool",
                                            "snapshot", "mirror",     "zero",       "error",
                                            "cache",    "cache-pool", "writecache", "integrity",
                                            "vdo",      "vdo-pool",   NULL}; /* and raid… */
static const char *const segment_flags[] = {"CROP_METADATA",
                                            "METADATA_FORMAT",
                                            "CACHE_USES_CACHEVOL",
                                            "RESHAPE",
                                            "RESHAPE_DATA_OFFSET",
                                            "RESHAPE_DELTA_DISKS_PLUS",
                                            "RESHAPE_DELTA_DISKS_MINUS",
                                            "REMOVE_AFTER_RESHAPE",
                                            NULL};

/* --- READ and WRITE --- */

static const char *lock_type(LvmVg *vg)
{
  const char *type = lvm_section_get_string(vg->node, "lock_type");

  return type && *type && strcmp(type, "none") != 0 ? type : NULL;
}

/* A VG that is not for every host is written so that versions of lvm2 which know neither system_id
 * nor lock_type find it read-only (vg_flag_write_locked()). */
static gboolean is_write_locked(LvmVg *vg)
{
  return lvm_vg_system_id(vg) || lock_type(vg);
}

gboolean lvm_section_is_writable(LvmNode *section)
{
  return lvm_section_has_word(section, "status", "WRITE") ||
         lvm_section_has_word(section, "flags", LVM_WRITE_LOCKED);
}

void lvm_section_set_writable(LvmVg *vg, LvmNode *section, gboolean writable)
{
  gboolean locked = is_write_locked(vg);

  lvm_section_change_word(section, "status", "WRITE", writable && !locked, "id");
  lvm_section_change_word(section, "flags", LVM_WRITE_LOCKED, writable && locked, "status");
}

void lvm_lv_set_writable(LvmLv *lv, gboolean writable)
{
  gboolean locked = is_write_locked(lv->vg);
  LvmNode *node = lvm_lv_node(lv);

  if (lvm_section_has_word(node, "status", "WRITE") == (writable && !locked) &&
      lvm_section_has_word(node, "flags", LVM_WRITE_LOCKED) == (writable && locked))
    return;
  lvm_section_set_writable(lv->vg, lvm_lv_edit(lv), writable);
  lvm_lv_edited(lv);
}

void lvm_vg_set_system_id(LvmVg *vg, const char *system_id)
{
  gboolean writable = lvm_section_is_writable(vg->node);

  if (system_id)
    lvm_section_set_string(vg->node, "system_id", system_id,
                           lvm_section_find(vg->node, "tags") ? "tags" : "flags");
  else
    lvm_section_remove(vg->node, "system_id");
  lvm_section_set_writable(vg, vg->node, writable);
  for (GList *link = vg->lvs.head; link; link = link->next)
    lvm_lv_set_writable(link->data, lvm_section_is_writable(lvm_lv_node(link->data)));
}

/* --- may the VG be changed? --- */

/* A copy of the first word of status that is not @known, which the caller frees. */
static char *unknown_status(LvmNode *section, const char *const *known)
{
  LvmValue it;

  lvm_value_init(&it, lvm_section_find(section, "status"));
  while (lvm_value_next(&it))
    if (!g_strv_contains(known, it.text))
      return g_strdup(it.text);
  return NULL;
}

gboolean lvm_segment_is_known(LvmNode *segment)
{
  g_auto(GStrv) words = g_strsplit(lvm_section_get_string(segment, "type"), "+", -1);

  if (!*words || (!g_strv_contains(segment_types, words[0]) && !g_str_has_prefix(words[0], "raid")))
    return FALSE;
  for (char **flag = words + 1; *flag; flag++)
    if (!g_strv_contains(segment_flags, *flag))
      return FALSE;
  return TRUE;
}

static char *unwritable_pvs(LvmVg *vg)
{
  for (guint i = 0; i < vg->pvs->len; i++) {
    LvmPv *pv = vg->pvs->pdata[i];
    g_autofree char *unknown = unknown_status(pv->node, pv_statuses);

    if (lvm_pv_has_status(pv, "MISSING"))
      return g_strdup_printf("physical volume %s (%s, last seen as %s) is marked as missing; when "
                             "it is back, take it in again: vgextend --restoremissing %s PATH",
                             lvm_pv_name(pv), lvm_pv_uuid(pv), lvm_pv_device(pv), lvm_vg_name(vg));
    if (unknown)
      return g_strdup_printf("physical volume %s has a status that virt-thin does not know, %s",
                             lvm_pv_name(pv), unknown);
  }
  return NULL;
}

static char *unwritable_lv(LvmLv *lv)
{
  g_autofree char *unknown = unknown_status(lvm_lv_node(lv), lv_statuses);

  if (unknown)
    return g_strdup_printf("logical volume %s has a status that virt-thin does not know, %s",
                           lvm_lv_name(lv), unknown);
  for (LvmNode *segment = lv->segment; segment; segment = lvm_segment_next(segment))
    if (!lvm_segment_is_known(segment))
      return g_strdup_printf(
          "logical volume %s has segments of a type that virt-thin does not know, %s",
          lvm_lv_name(lv), lvm_section_get_string(segment, "type"));
  return NULL;
}

static char *unwritable_lvs(LvmVg *vg)
{
  for (GList *link = vg->lvs.head; link; link = link->next) {
    char *why = unwritable_lv(link->data);

    if (why)
      return why;
  }
  return NULL;
}

const char *lvm_vg_unwritable(LvmVg *vg)
{
  g_autofree char *unknown = unknown_status(vg->node, vg_statuses);

  g_clear_pointer(&vg->unwritable, g_free);
  if (lvm_section_has_word(vg->node, "status", "EXPORTED"))
    vg->unwritable =
        g_strdup_printf("it is exported; take it back with vgimport %s", lvm_vg_name(vg));
  else if (lvm_section_has_word(vg->node, "status", "CLUSTERED") ||
           lvm_section_has_word(vg->node, "status", "SHARED"))
    vg->unwritable = g_strdup("it is shared between hosts");
  else if (lock_type(vg))
    vg->unwritable = g_strdup_printf("it is shared between hosts (lock_type %s)", lock_type(vg));
  else if (lvm_section_has_word(vg->node, "pr", "require"))
    vg->unwritable = g_strdup(
        "it wants a persistent reservation of its devices, which lvm2 alone makes (vgchange "
        "--setpersist)");
  else if (unknown)
    vg->unwritable = g_strdup_printf("it has a status that virt-thin does not know, %s", unknown);
  else if (!lvm_section_is_writable(vg->node))
    vg->unwritable = g_strdup_printf(
        "its text sets it read-only, which no command takes back: vgcfgbackup -f FILE %s, give its "
        "status in FILE a \"WRITE\" again, vgcfgrestore --force -f FILE %s",
        lvm_vg_name(vg), lvm_vg_name(vg));
  else if (!(vg->unwritable = unwritable_pvs(vg)))
    vg->unwritable = unwritable_lvs(vg);
  return vg->unwritable;
}

/* --- may this change be made? --- */

gboolean lvm_vg_check_new_pv(LvmVg *vg, GError **error)
{
  guint64 max = 0;

  if (!lvm_section_has_word(vg->node, "status", "RESIZEABLE"))
    return vt_set_error(error, EPERM,
                        "volume group %s is set to keep the physical volumes that it has; vgchange "
                        "--resizeable y %s "
                        "lets it take more",
                        lvm_vg_name(vg), lvm_vg_name(vg));
  lvm_section_get_uint(vg->node, "max_pv", &max);
  if (max > 0 && vg->pvs->len >= max)
    return vt_set_error(
        error, EPERM,
        "volume group %s may have %" G_GUINT64_FORMAT
        " physical volumes, and has them; vgchange --maxphysicalvolumes 0 %s lifts that",
        lvm_vg_name(vg), max, lvm_vg_name(vg));
  return TRUE;
}

gboolean lvm_lv_check_unlocked(LvmLv *lv, GError **error)
{
  const char *parts[] = {lvm_pool_data(lv), lvm_pool_metadata(lv)};

  if (lvm_section_has_word(lvm_lv_node(lv), "status", "LOCKED"))
    return vt_set_error(error, EBUSY,
                        "volume %s/%s is locked by lvm2, which is at work on it: finish that first "
                        "(pvmove, or pvmove "
                        "--abort)",
                        lvm_vg_name(lv->vg), lvm_lv_name(lv));
  for (guint i = 0; i < G_N_ELEMENTS(parts); i++) {
    LvmLv *part = parts[i] ? lvm_vg_find_lv(lv->vg, parts[i]) : NULL;

    if (part && part != lv && lvm_pool_data(part) == NULL && !lvm_lv_check_unlocked(part, error))
      return FALSE;
  }
  return TRUE;
}
