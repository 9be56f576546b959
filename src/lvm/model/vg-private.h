/* virt-thin - how a volume group lies in memory
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A VG of 20,000 volumes is copied for each change, and all but one of its LVs are the same
 * afterwards. So the LVs' sections are taken out of the tree into views, one per LV; copies of a VG
 * share the sections, and the first change of one copies that section (lvm_lv_edit()). A section
 * also carries its own text once it has been formatted (LvmLvText), which makes the next format a
 * row of memcpy().
 */
#pragma once

#include "lvm/model/text.h"
#include "lvm/model/vg.h"

/* What the copies of a VG share of an LV. */
typedef struct {
  gint refs;
  LvmNode *node;
  char *text; /* as formatted; NULL: not yet */
  gsize text_length;
} LvmLvText;

struct LvmLv {
  GList link; /* in the VG's list; link.data is the LV */
  LvmVg *vg;
  LvmLvText *shared;
  /* What lvm_lv_read() has found in the section; strings are the section's. */
  LvmNode *segment; /* the first */
  LvmLvKind kind;
  gboolean visible;
  /* see mark_old_snapshots(); what a re-reading of the section does not change */
  gboolean is_cow, has_cow;
  guint64 n_extents;
  const char *pool, *origin; /* thin */
  guint32 device;            /* thin */
  guint32 highest_device;    /* pool: the highest its volumes and messages name... */
  gboolean highest_known;    /* ...if this is set */
};

struct LvmPv {
  LvmVg *vg;
  LvmNode *node;
  guint64 n_extents;
};

struct LvmVg {
  LvmNode *header;     /* the lines around the VG: contents, version, description... */
  LvmNode *node;       /* the VG's section */
  LvmNode *lv_section; /* logical_volumes; its LVs are in @lvs instead */
  guint64 extent_size; /* bytes */
  GQueue lvs;
  LvmLv *first_hidden; /* visible LVs come first in what lvm2 writes */
  GHashTable *by_name; /* name (the section's) -> LvmLv */
  GPtrArray *pvs;
  char *unwritable;  /* as lvm_vg_unwritable() last said */
  gsize text_length; /* of the last format: how much the next will need */
};

/* The tag of a VG that an engine has taken, before the system_id it had (ownership.c). */
#define LVM_TAKEN_TAG "virt-thin.system_id="

/* Read the fields of @lv again out of its section. FALSE: EBADMSG. */
gboolean lvm_lv_read(LvmLv *lv, GError **error);
/* The LV's section, no longer shared and free to be changed; lvm_lv_edited() afterwards. */
LvmNode *lvm_lv_edit(LvmLv *lv);
void lvm_lv_edited(LvmLv *lv);
/* The name alone: not what refers to it. */
void lvm_lv_set_name(LvmLv *lv, const char *name);
LvmLv *lvm_lv_new(LvmVg *vg, LvmNode *section); /* takes the section */
void lvm_lv_free(LvmLv *lv);
/* Into the list, at the end of the visible or the hidden LVs, and out of it. */
void lvm_vg_link_lv(LvmVg *vg, LvmLv *lv);
void lvm_vg_unlink_lv(LvmVg *vg, LvmLv *lv);
/* A new LV: into list and index; NULL, the section freed, when it is no LV. */
LvmLv *lvm_vg_add_lv(LvmVg *vg, LvmNode *section, GError **error);
/* Out of list and index, and freed. */
void lvm_vg_drop_lv(LvmVg *vg, LvmLv *lv);
static inline LvmNode *lvm_lv_node(LvmLv *lv)
{
  return lv->shared->node;
}

/* What a section must have, as lvm2 demands it. */
typedef struct {
  const char *key; /* NULL: the end of a list */
  enum { LVM_KEY_NUMBER, LVM_KEY_STRING } type;
  gboolean optional; /* but of that type if it is there */
} LvmKey;
/* The first key that is not as in @keys; NULL: all are. */
const char *lvm_section_wrong_key(LvmNode *section, const LvmKey *keys);

/* segment1, segment2...: the first of @section; the next after @segment. NULL: none. */
LvmNode *lvm_segment_first(LvmNode *section);
LvmNode *lvm_segment_next(LvmNode *segment);
/* "thin-pool" of "thin-pool+CROP_METADATA". */
gboolean lvm_segment_is_type(LvmNode *segment, const char *type);
/* Where a snapshot of the old kind keeps what was overwritten; the segment's. */
const char *lvm_snapshot_store(LvmNode *segment);

/* --- where extents lie --- */

/* A run of extents on one PV. */
typedef struct {
  LvmPv *pv;
  guint64 start, n;
} LvmArea;

/* The areas a segment takes on PVs, into @areas (GArray of LvmArea). FALSE: it names a PV or an
 * extent that is not there; EBADMSG. */
gboolean lvm_segment_areas(LvmVg *vg, LvmNode *segment, GArray *areas, GError **error);
LvmPv *lvm_vg_find_pv(LvmVg *vg, const char *name);
LvmPv *lvm_vg_find_pv_by_uuid(LvmVg *vg, const char *uuid);
gboolean lvm_pv_has_status(LvmPv *pv, const char *status); /* in status or flags */
/* Free runs of @pv in order (GArray of LvmArea); EBADMSG when two LVs claim one extent. @vg's free
 * runs when @pv is NULL: only of PVs that are allocatable and there. */
GArray *lvm_vg_free_areas(LvmVg *vg, LvmPv *pv, GError **error);
/* Give @lv, made of linear segments, @n more extents, where its allocation policy lets them be.
 * ENOSPC. */
gboolean lvm_lv_allocate(LvmLv *lv, guint64 n, GError **error);

/* --- what a commit sets --- */
void lvm_vg_set_seqno(LvmVg *vg, guint64 seqno);
/* The lines after the VG: contents, version, @description, host, time now. */
void lvm_vg_set_header(LvmVg *vg, const char *description);
LvmNode *lvm_header_new(const char *description);
/* The VG without the lines around it, appended to @out. */
void lvm_vg_format_group(LvmVg *vg, GString *out);

/* The list @key of @section with @word put in or left out. */
void lvm_section_change_word(LvmNode *section, const char *key, const char *word, gboolean in,
                             const char *after);
gboolean lvm_section_has_word(LvmNode *section, const char *key, const char *word);

/* --- status.c --- */
/* the flag that stands for the status WRITE in VGs that not every host has */
#define LVM_WRITE_LOCKED "WRITE_LOCKED"
/* What the status of a VG or an LV says, and setting it as @vg wants it to be written. */
gboolean lvm_section_is_writable(LvmNode *section);
void lvm_section_set_writable(LvmVg *vg, LvmNode *section, gboolean writable);
/* Is the segment of a type that lvm2 has, with flags ("thin-pool+CROP_METADATA") that it has? */
gboolean lvm_segment_is_known(LvmNode *segment);
/* May one more PV be taken in? EPERM. */
gboolean lvm_vg_check_new_pv(LvmVg *vg, GError **error);
/* May @lv, a pool with its parts, be changed? EBUSY: lvm2 has locked it. */
gboolean lvm_lv_check_unlocked(LvmLv *lv, GError **error);
