/* virt-thin - a volume group on its physical volumes: labels, metadata areas, commits
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Format facts: lvm2 lib/format_text/{layout.h,format-text.c,text_label.c}, lib/label/label.c.
 * Units: bytes. Errors: VT_ERROR: ENOENT no PV of that VG among the paths; EBUSY locked, the holder
 * named; EBADMSG label, header or text damaged, with the place; ENOSPC metadata area full, with
 * used and available bytes; ESTALE somebody else committed since. Thread-safety: none; the owner
 * serialises. VtIos of logical volumes may be used from any thread.
 */
#pragma once

#include "lvm/model/vg.h"
#include "util/io.h"

typedef struct LvmStore LvmStore;

typedef struct {
  char *path;
  char *pv_uuid; /* with dashes */
  char *vg_name; /* NULL: a PV of no volume group */
} LvmScan;
void lvm_scan_free(LvmScan *scan);

typedef VtIo *(*LvmOpenFunc)(const char *path, gboolean read_only, gpointer user_data,
                             GError **error);

/* What there is on some paths: looked at once, for any number of questions and openings. Holds the
 * PVs open, reads only, locks nothing. */
typedef struct LvmProbe LvmProbe;
/* @pv_ids NULL, or the ids (without dashes; kept) of the PVs that count. @open: as for
 * lvm_store_open(), read-only. */
LvmProbe *lvm_probe(const char *const *paths, GHashTable *pv_ids, LvmOpenFunc open,
                    gpointer user_data);
void lvm_probe_free(LvmProbe *probe);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LvmProbe, lvm_probe_free)
/* Which of the paths are PVs, and whose. Paths that are no PV are left out; unreadable or damaged
 * ones, and those with a PV's label that are a part of something else (lvm_content_belongs_to()),
 * are reported in @problems (GPtrArray of char *, may be NULL). GPtrArray of LvmScan. */
GPtrArray *lvm_probe_list(LvmProbe *probe, GPtrArray *problems);
/* Those of VG @name; the caller's GStrv, perhaps empty. */
GStrv lvm_probe_paths(LvmProbe *probe, const char *name);
/* The newest text of VG @name (NULL: the only one); the probe's, until the next opening. ENOENT,
 * EINVAL (there are several), EBADMSG. */
LvmVg *lvm_probe_vg(LvmProbe *probe, const char *name, GError **error);
/* FALSE: somebody has committed to one of its volume groups since. Reads headers only. */
gboolean lvm_probe_is_current(LvmProbe *probe);

/* Open VG @name found among @paths (NULL: the only VG there). Read-write: takes the PVs' locks
 * (vt_io_lock) and refuses a VG with missing PVs, a foreign system_id, or another reason of
 * lvm_vg_unwritable(). Read-only: takes no lock, and makes do with any copy that is whole. @open
 * NULL: vt_io_open_file; tests pass their own to record or fail. */
LvmStore *lvm_store_open(const char *const *paths, const char *name, gboolean read_only,
                         LvmOpenFunc open, gpointer user_data, GError **error);
/* The same, found by @probe; what has changed since is looked at anew. */
typedef struct {
  gboolean read_only;
  /* the paths are but the usual places: a PV that is not there is also looked for where the VG says
   * that it was last seen (an extended VG may have its PVs anywhere). Not if one of its PVs has
   * moved, for then the VG may be a copy. */
  gboolean usual;
  LvmOpenFunc open; /* for writing; to read, the probe's */
  gpointer user_data;
  const VtIoLocks *locks; /* NULL, or valid until the store is closed: see vt_io_lock() */
} LvmOpening;
LvmStore *lvm_store_open_probed(LvmProbe *probe, const char *name, const LvmOpening *how,
                                GError **error);
void lvm_store_close(LvmStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LvmStore, lvm_store_close)

/* The committed VG. Change a lvm_vg_copy() of it and commit that. */
LvmVg *lvm_store_vg(LvmStore *store);
/* Warnings of open: damaged copies that another made up for. GStrv, the store's. */
const char *const *lvm_store_warnings(LvmStore *store);
/* NULL-terminated. */
const char *const *lvm_store_paths(LvmStore *store); /* of the PVs in use */

/* Write @vg (ownership taken on success; it becomes lvm_store_vg()) to every metadata area: headers
 * read again first (ESTALE if another's seqno is there), text, flush, precommit and commit headers,
 * flush; seqno is set here. The text replaced is archived under @archive_dir/NAME_NNNNN-RANDOM.vg
 * with lvm2's retention (10 files, 30 days), @description in it; NULL: no archive. Where that
 * cannot be written, @vg is refused if it has more LVs than before; else the change goes on with a
 * warning (once), for it may be the one that makes room. */
gboolean lvm_store_commit(LvmStore *store, LvmVg *vg, const char *archive_dir,
                          const char *description, GError **error);

/* The file that the last commit put the text before it into; NULL: none. The store's, until the
 * next commit. */
const char *lvm_store_archive_path(LvmStore *store);
/* The PVs' labels say that they are a VG's: a crash may have come between the commit that took one
 * in and that mark. For who has found what is on them to be well: what is refused stays as it
 * is. */
gboolean lvm_store_mark_used(LvmStore *store, GError **error);

/* Has somebody else committed? Reads headers only. ESTALE if so. */
gboolean lvm_store_check_seqno(LvmStore *store, GError **error);

/* vt_io_check() of every PV; the first error. */
gboolean lvm_store_check_devices(LvmStore *store, GError **error);

/* Has no PV's file been deleted? Else all of it goes once the store is closed; the error of
 * vt_io_check() says how it is saved. */
gboolean lvm_store_check_names(LvmStore *store, GError **error);

/* On block devices lvm2 must leave the VG alone while it is open for writing: take it by setting
 * its system_id, and give it back before closing, with the system_id it had. In between, also
 * across a crash, the VG tag "virt-thin.system_id=ID" remembers that one; opening and releasing a
 * VG that a crash left taken puts it back. A VG on files is left as it is. Each is a commit, or
 * nothing when there is nothing to change. */
gboolean lvm_store_take(LvmStore *store, const char *archive_dir, GError **error);
gboolean lvm_store_release(LvmStore *store, const char *archive_dir, GError **error);
gboolean lvm_store_is_taken(LvmStore *store);
gboolean lvm_vg_is_taken(LvmVg *vg);
/* Whose the VG is, by its system_id and lvm2's configuration, and how it is taken over; NULL: this
 * host's, or nobody's. The caller's. */
char *lvm_store_foreign(LvmStore *store);

/* Did a commit not come to its end, by a crash or a failure? A text that was not committed is left
 * then, or one area has an older text than another. The newest that is committed is gone by, and
 * the next commit tidies up. Until then what is read need not be what a power cut leaves: after a
 * flush that failed, Linux shows what it could not write. */
gboolean lvm_store_is_untidy(LvmStore *store);
/* Bytes of metadata text in use and the most that fits (smallest area). */
void lvm_store_metadata_space(LvmStore *store, guint64 *used, guint64 *available);

/* The bytes of a linear or striped LV as one VtIo, name "vg/lv"; grows with the LV when
 * lvm_store_commit() carries a larger one. EOPNOTSUPP for other segments. */
VtIo *lvm_store_open_lv(LvmStore *store, const char *lv_name, gboolean read_only, GError **error);

/* Is what is at @offset of such a VtIo on a PV that is there, and long enough? *length: for how
 * many bytes from there on that holds, @limit at most. FALSE: EIO. */
gboolean lvm_lv_io_is_there(VtIo *io, guint64 offset, guint64 limit, guint64 *length,
                            GError **error);

/* The logical sector size, in bytes, that the kernel would give to a linear or striped LV: the
 * largest of its PVs'. vt_io_sector_size() tells it of one that is open. */
guint lvm_store_sector_size(LvmStore *store, LvmLv *lv);

/* Of a VG open read-only: why a linear or striped LV cannot be read whole; NULL: it can. The
 * caller's. */
char *lvm_store_lv_damage(LvmStore *store, LvmLv *lv);

/* Zero the extents of @lv_name in @vg (not yet committed) that lvm_store_vg() does not give to it:
 * for new metadata and spare volumes. */
gboolean lvm_store_zero_new(LvmStore *store, LvmVg *vg, const char *lv_name, GError **error);

/* --- mending (store-mend.c) --- */

/* Open for writing what lvm_store_open() refuses: a VG with damaged labels, metadata areas or
 * texts, as @vg says it is; @open as for lvm_store_open(). PVs are locked; nothing is written.
 * ENOENT: a PV is missing; EPERM. */
LvmStore *lvm_store_open_mending(LvmProbe *probe, LvmVg *vg, LvmOpenFunc open, gpointer user_data,
                                 GError **error);
/* Has one of VG @name's metadata areas a text that its header vouches for? */
gboolean lvm_probe_has_text(LvmProbe *probe, const char *name);
/* Write damaged labels anew, then commit @vg (taken on success) to all areas. */
gboolean lvm_store_mend(LvmStore *store, LvmVg *vg, const char *archive_dir,
                        const char *description, GError **error);

/* --- making volume groups --- */

typedef struct {
  guint64 extent_size;      /* 0: 4 MiB */
  guint64 metadata_area;    /* 0: 16 MiB */
  gboolean no_autoactivate; /* for PVs that are files */
  LvmOpenFunc open;         /* as for lvm_store_open() */
  gpointer user_data;
} LvmCreate;

/* @params NULL: the defaults. Write labels and an empty VG on @paths, files or block devices that
 * exist and hold nothing (lvm_content_check_free(): EEXIST), with sectors of one size (EINVAL).
 * Returns it open read-write and locked.
 */
LvmStore *lvm_store_create(const char *name, const char *const *paths, const LvmCreate *params,
                           GError **error);

/* Set up VG @name like @like (lvm_vg_fill_like()) on @paths, which must be as for
 * lvm_store_create(). Its LVs can be opened and written to; nothing on the devices says that they
 * are there before lvm_store_finish(), and what a process that dies leaves is no PV. Metadata and
 * spares of its thin pools read zero, other LVs show what the devices held. @uuid NULL: @like's. */
LvmStore *lvm_store_create_like(LvmVg *like, const char *name, const char *uuid,
                                const char *const *paths, const LvmCreate *params,
                                GHashTable *sizes, GError **error);
/* Commit what lvm_store_create_like() has set up, and make the devices PVs. Flushed before that is
 * what was written to LVs. On FALSE they are none. */
gboolean lvm_store_finish(LvmStore *store, const char *description, GError **error);

/* Add @path as a PV and commit. EPERM: the VG takes no more; EINVAL: its sectors are not as large
 * as the other PVs'. */
gboolean lvm_store_add_pv(LvmStore *store, const char *path, const char *archive_dir,
                          GError **error);
/* The file or device behind a PV has grown: take the new extents and commit. */
gboolean lvm_store_grow_pv(LvmStore *store, const char *path, const char *archive_dir,
                           GError **error);
/* Make the last PV that is a regular file longer, by @n_extents, and take them. ENOENT: no PV is a
 * file. */
gboolean lvm_store_grow_file(LvmStore *store, guint64 n_extents, const char *archive_dir,
                             GError **error);
