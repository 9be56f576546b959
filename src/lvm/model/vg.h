/* virt-thin - a volume group as LVM2 writes it in its metadata text
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The text tree (text.h) IS the model: LvmVg owns the tree, and LvmLv and LvmPv are views on its
 * nodes. What this code does not understand stays in the tree and is written back byte for
 * byte. Names of keys and their meaning: lvm2 lib/format_text/{import,export}_vsn1.c, flags.c;
 * segment types: lib/thin/thin.c, lib/striped/striped.c.
 *
 * Units: sizes in bytes unless the name says extents. Ownership: views live as long as their LvmVg
 * and until the LV is removed; strings returned as const belong to it. Thread-safety: none; the
 * owner serialises. Errors: VT_ERROR (util/error.h).
 */
#pragma once

#include "util/error.h"

typedef struct LvmVg LvmVg;
typedef struct LvmLv LvmLv;
typedef struct LvmPv LvmPv;

/* What lvm2 lets a thin pool's metadata grow to, bytes (lvm2 lib/config/defaults.h, in the form of
 * thin_pool_crop_metadata). */
#define LVM_POOL_METADATA_MAX (G_GUINT64_CONSTANT(33161216) * 512)

/* Parse metadata text (on disk or vgcfgbackup form). EBADMSG names the line. */
LvmVg *lvm_vg_parse(const char *text, gsize length, GError **error);
LvmVg *lvm_vg_copy(LvmVg *vg);
void lvm_vg_free(LvmVg *vg);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LvmVg, lvm_vg_free)
/* The text as lvm2 writes it on disk, NUL-terminated; @length without the NUL. Free with
 * g_free(). */
char *lvm_vg_format(LvmVg *vg, gsize *length);

const char *lvm_vg_name(LvmVg *vg);
const char *lvm_vg_uuid(LvmVg *vg);
guint64 lvm_vg_seqno(LvmVg *vg);
guint64 lvm_vg_extent_size(LvmVg *vg); /* bytes */
guint64 lvm_vg_n_extents(LvmVg *vg);
char *lvm_vg_format_extents(LvmVg *vg, guint64 n); /* "8.00 GiB": for messages; the caller's */
guint64 lvm_vg_n_free_extents(LvmVg *vg);          /* on allocatable, present PVs */
const char *lvm_vg_system_id(LvmVg *vg);           /* NULL: none */
void lvm_vg_set_system_id(LvmVg *vg, const char *system_id); /* NULL: none */
GStrv lvm_vg_tags(LvmVg *vg);                                /* the caller's */
gboolean lvm_vg_has_tag(LvmVg *vg, const char *tag);
void lvm_vg_set_tag(LvmVg *vg, const char *tag, gboolean set);
gboolean lvm_vg_has_flag(LvmVg *vg, const char *flag); /* in status or flags: "NOAUTOACTIVATE" */
void lvm_vg_set_flag(LvmVg *vg, const char *flag, gboolean set);
/* Why this VG must not be changed by us (exported, clustered, lock_type, partial, unknown status or
 * segment type…); NULL: it may. */
const char *lvm_vg_unwritable(LvmVg *vg);
/* What the text says against itself, so that lvm2 refuses all of the VG: a volume names another, as
 * its origin, thin pool or metadata, or extents, that are not there; two have the same extents.
 * NULL: nothing. The caller's. */
char *lvm_vg_contradiction(LvmVg *vg);
/* Take names of volumes out that lead nowhere, where that loses nothing: origins and merges of thin
 * volumes. */
void lvm_vg_drop_dangling(LvmVg *vg);

/* --- physical volumes --- */
GPtrArray *lvm_vg_pvs(LvmVg *vg);     /* of LvmPv *, in order; caller unrefs the array */
const char *lvm_pv_name(LvmPv *pv);   /* "pv0" */
const char *lvm_pv_uuid(LvmPv *pv);   /* with dashes */
const char *lvm_pv_device(LvmPv *pv); /* the hint */
void lvm_pv_set_device(LvmPv *pv, const char *path);
guint64 lvm_pv_start(LvmPv *pv); /* bytes: where extent 0 begins */
guint64 lvm_pv_size(LvmPv *pv);  /* bytes of the device (dev_size) */
guint64 lvm_pv_n_extents(LvmPv *pv);
guint64 lvm_pv_n_free_extents(LvmPv *pv);

/* --- logical volumes --- */
typedef enum {
  LVM_LV_THIN_POOL,
  LVM_LV_THIN,
  LVM_LV_STRIPED, /* linear, too */
  LVM_LV_OTHER,   /* anything else: kept, listed, not opened */
} LvmLvKind;

/* Of LvmLv *, in order of the text, hidden ones too; caller unrefs the array. */
GPtrArray *lvm_vg_lvs(LvmVg *vg);
LvmLv *lvm_vg_find_lv(LvmVg *vg, const char *name); /* NULL: none. O(1) */
const char *lvm_lv_name(LvmLv *lv);
const char *lvm_lv_uuid(LvmLv *lv);
LvmLvKind lvm_lv_kind(LvmLv *lv);
const char *lvm_lv_segment_type(LvmLv *lv); /* of the first segment, for messages */
guint64 lvm_lv_n_extents(LvmLv *lv);
guint64 lvm_lv_size(LvmLv *lv); /* bytes */
/* By how many extents it can grow: its allocation policy may not let it use all that are free. */
guint64 lvm_lv_n_growth(LvmLv *lv);
/* Do @a and @b, of one VG at different times, lie on the same extents of the same PVs in the same
 * order? */
gboolean lvm_lv_same_extents(LvmLv *a, LvmLv *b);
/* Does it lie in one run, on one PV? Then from *offset of that on, bytes of the device. */
gboolean lvm_lv_find_run(LvmVg *vg, LvmLv *lv, LvmPv **pv, guint64 *offset);
gboolean lvm_lv_is_visible(LvmLv *lv); /* is it what lvm2 lists? */
/* Has it a snapshot of the kind before thin ones, which needs a copy of all that is overwritten? */
gboolean lvm_lv_has_old_snapshot(LvmLv *lv);
/* VG/LV of one of those, the caller's; NULL: there is none. */
char *lvm_lv_old_snapshot(LvmLv *lv);
/* FALSE, too, with such a snapshot: nobody makes the copies here. */
gboolean lvm_lv_is_writable(LvmLv *lv);
guint64 lvm_lv_creation_time(LvmLv *lv); /* 0: not recorded */
GStrv lvm_lv_tags(LvmLv *lv);            /* the caller's */
/* Lvm2's metadata profile: its own, else the VG's; NULL: none. */
const char *lvm_lv_profile(LvmVg *vg, LvmLv *lv);
gboolean lvm_lv_has_tag(LvmLv *lv, const char *tag);
gboolean lvm_lv_has_flag(LvmLv *lv, const char *flag); /* in status or flags: "ACTIVATION_SKIP",
                                                          "NOAUTOACTIVATE", "ERROR_WHEN_FULL" */

/* thin pools */
const char *lvm_pool_metadata(LvmLv *pool); /* name of _tmeta */
const char *lvm_pool_data(LvmLv *pool);     /* name of _tdata */
guint64 lvm_pool_chunk_size(LvmLv *pool);   /* bytes */
guint64 lvm_pool_transaction_id(LvmLv *pool);
const char *lvm_pool_discards(LvmLv *pool); /* "passdown", "nopassdown", "ignore" */
gboolean lvm_pool_zeroes(LvmLv *pool);
void lvm_pool_set_transaction_id(LvmLv *pool, guint64 tid);

typedef struct {
  char *create; /* LV name, or NULL for a delete */
  guint32 delete_device;
} LvmMessage;
GArray *lvm_pool_messages(LvmLv *pool); /* of LvmMessage, freed with the array */
void lvm_pool_add_create(LvmLv *pool, const char *lv_name);
void lvm_pool_add_delete(LvmLv *pool, guint32 device);
void lvm_pool_clear_messages(LvmLv *pool);

/* thin volumes */
const char *lvm_thin_pool(LvmLv *lv);
guint32 lvm_thin_device(LvmLv *lv);
guint64 lvm_thin_transaction_id(LvmLv *lv);
const char *lvm_thin_origin(LvmLv *lv);          /* NULL: none */
const char *lvm_thin_external_origin(LvmLv *lv); /* NULL: none */
const char *lvm_thin_merge(LvmLv *lv);           /* a merge into this LV is pending; NULL: none */
void lvm_thin_set_device(LvmLv *lv, guint32 device, guint64 transaction_id);
void lvm_thin_set_origin(LvmLv *lv, const char *origin); /* NULL drops it */
void lvm_thin_set_merge(LvmLv *lv, const char *target);  /* NULL drops it */

/* --- changes (of this copy; nothing reaches a disk before lvm_store_commit()) --- */

char *lvm_uuid_new(void); /* with dashes */
gboolean lvm_uuid_is_valid(const char *uuid);

/* Metadata and chunk size as lvcreate would choose them for a pool of @data_size bytes. 0 in
 * *chunk_size or *metadata_size asks for the default; given values are checked (EINVAL). The
 * metadata's comes back rounded up to extents. */
gboolean lvm_pool_choose(guint64 data_size, guint64 extent_size, guint64 *chunk_size,
                         guint64 *metadata_size, GError **error);

/* Linear volume @name. Its extents hold what was there before. ENOSPC; EEXIST; EINVAL. */
LvmLv *lvm_vg_add_linear(LvmVg *vg, const char *name, guint64 n_extents, GError **error);
/* Thin pool @name with its _tdata and _tmeta, and the spare brought to at least the metadata's
 * size. New PV extents of metadata and spare must be zeroed by the caller (lvm/store.h) before the
 * commit. ENOSPC names wanted and free extents. */
LvmLv *lvm_vg_add_thin_pool(LvmVg *vg, const char *name, guint64 data_extents,
                            guint64 metadata_extents, guint64 chunk_size, GError **error);
/* Grow a pool's data, or its metadata (and the spare with it), to so many extents in all. New PV
 * extents of metadata and spare as above. */
gboolean lvm_vg_grow_pool_data(LvmVg *vg, LvmLv *pool, guint64 data_extents, GError **error);
/* Let a pool be as large as its data is. */
void lvm_pool_take_size(LvmLv *pool);
gboolean lvm_vg_grow_pool_metadata(LvmVg *vg, LvmLv *pool, guint64 metadata_extents,
                                   GError **error);
/* Make the VG's spare, or let it grow to @n_extents. New PV extents as above. ENOSPC. */
gboolean lvm_vg_grow_spare(LvmVg *vg, guint64 n_extents, GError **error);
/* Linear or striped LV @other becomes the metadata of @pool, hidden and under that one's name; what
 * was the metadata is the visible LV @kept. ENOENT, EOPNOTSUPP. */
gboolean lvm_vg_swap_pool_metadata(LvmVg *vg, LvmLv *pool, const char *other, const char *kept,
                                   GError **error);
/* "data_meta0", or the next that is free. The caller's. */
char *lvm_vg_kept_metadata_name(LvmVg *vg, LvmLv *pool);
/* @origin NULL: an empty volume. EEXIST; EINVAL for a bad name. */
LvmLv *lvm_vg_add_thin(LvmVg *vg, LvmLv *pool, const char *name, guint64 n_extents, guint32 device,
                       const char *origin, GError **error);
guint32 lvm_pool_next_device(LvmVg *vg, LvmLv *pool); /* highest used + 1; 0 when none is left */
/* EINVAL: zero, or more than LVM can address. */
gboolean lvm_thin_set_extents(LvmLv *lv, guint64 n_extents, GError **error);
/* Rename, with every reference to it (origin, messages, thin_pool; a pool's _tdata/_tmeta too).
 * EEXIST. */
gboolean lvm_vg_rename_lv(LvmVg *vg, LvmLv *lv, const char *name, GError **error);
/* Remove a thin volume (origin keys and create messages that name it are dropped), a linear one, or
 * a pool that has no volumes (with _tdata, _tmeta; the spare goes with the last pool). EBUSY when
 * another LV needs it, EOPNOTSUPP for other kinds. @lv is freed. */
gboolean lvm_vg_remove_lv(LvmVg *vg, LvmLv *lv, GError **error);
gboolean lvm_lv_add_tag(LvmLv *lv, const char *tag, GError **error);
void lvm_lv_remove_tag(LvmLv *lv, const char *tag);
void lvm_lv_set_flag(LvmLv *lv, const char *flag, gboolean set);
void lvm_lv_set_writable(LvmLv *lv, gboolean writable);
void lvm_lv_set_visible(LvmLv *lv, gboolean visible);

/* --- a volume group made like another (vg-like.c) --- */

/* What volume @like has there. Bytes; 0, or no entry: the size it had, which of a thin pool may
 * become less where there is no room for it, though not less than what it needs. */
typedef struct {
  guint64 size;
  guint64 least, least_metadata; /* of a thin pool: what it needs; 0: what it had */
} LvmLikeSize;

/* Can a VG be made like @like? EOPNOTSUPP: it has volumes of other kinds than thin and linear or
 * striped ones, or a change of it is under way. */
gboolean lvm_vg_check_like(LvmVg *like, GError **error);
/* VG @name with what @like says of itself (tags, flags, policies; nobody's system_id), and neither
 * physical nor logical volumes. @uuid NULL: @like's. */
LvmVg *lvm_vg_new_like(LvmVg *like, const char *name, guint64 extent_size, const char *uuid,
                       GError **error);
/* Give @vg, which has physical volumes and nothing on them, the LVs of @like, with all they are:
 * names, UUIDs, tags, permissions, origins, device and transaction ids, times. Sizes are rounded up
 * to extents; what was striped or on RAID is linear. @sizes: LV name -> LvmLikeSize; NULL: none.
 * EINVAL: a volume would shrink; ENOSPC. */
gboolean lvm_vg_fill_like(LvmVg *vg, LvmVg *like, GHashTable *sizes, GError **error);
