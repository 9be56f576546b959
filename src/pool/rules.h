/* virt-thin - the rules that are virt-thin's own: names, snapshots, limits
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Snapshots are found by tag and origin, never by name pattern alone: snap_a_b_c may be snapshot
 * "b_c" of volume "a", or "c" of "a_b".
 *
 * A snapshot that virt-thin makes is an LV snap_<volume>_<snapshot>, read-only and skipped at
 * activation, with the tag
 *
 *     virt-thin.snapshot-of=<volume>
 *
 * (all characters legal in LVM's tags; no ':', which would shift the columns of `lvs --separator
 * :`, as Proxmox calls it). A rename of the volume carries name and tag along; while LVM records an
 * origin that is the truth, so that a volume renamed by lvrename keeps its snapshots, and the tag
 * is, once the origin is gone, so that a snapshot outlives its volume and is still found by its
 * name.
 *
 * A snapshot that was received from elsewhere (POOL_SOURCE_TAG) was made from whatever its content
 * was nearest to: there the tag is the truth, also while LVM records an origin.
 *
 * Foreign snapshots have no tag. An LV with an origin is taken for a snapshot of it when it is
 * read-only, or when it is skipped at activation and named snap_<origin>_….
 *
 * An LV that is named as a guest's volume (vm-<VMID>-…, base-<VMID>-…) is never a snapshot: a
 * template that is a linked clone is read-only with an origin, too, and a snapshot that lvrename
 * made a guest's volume still has the tag.
 *
 * Units: bytes. Errors: VT_ERROR. Thread-safety: pure functions.
 */
#pragma once

#include "lvm/store.h"
#include "pool/change.h"
#include "settings/settings.h"
#include "util/error.h"

#define POOL_OWN_TAGS "virt-thin." /* what begins so is not the user's to change */
#define POOL_SNAPSHOT_PREFIX "snap_"
#define POOL_SNAPSHOT_TAG "virt-thin.snapshot-of="

/* Proxmox's "lvm name": ASCII alphanumeric at both ends, and . _ - between (PVE::JSONSchema
 * pve-storage-vgname). */
gboolean pool_rules_is_proxmox_name(const char *name);
/* Of vm-<VMID>-… and base-<VMID>-…, when the name is one that Proxmox's lvmthin accepts; else
 * -1. */
gint64 pool_rules_vmid(const char *name);

/* Is @lv as snapshots and templates are: read-only, and skipped at activation? */
#define POOL_SKIP_FLAG "ACTIVATION_SKIP"
gboolean pool_rules_is_sealed(LvmLv *lv);
/* base-<VMID>-…: a clone with such a name is a template. */
gboolean pool_rules_is_template_name(const char *name);

/* snap_<volume>_<snapshot>, checked as a name for an LV (EINVAL). */
char *pool_rules_snapshot_name(const char *volume, const char *snapshot, GError **error);
/* Does a new volume @name backed by @origin become a snapshot (else a clone)? */
gboolean pool_rules_is_snapshot_name(const char *name, const char *origin);
/* A clone or snapshot that is called VOLUME_tmp.OWNER gets this tag, too, in the same step: it is
 * for one use, and whoever finds that over may remove it (pool/temporary.h, where OWNER is
 * explained). */
#define POOL_TEMPORARY_TAG POOL_OWN_TAGS "temporary"
gboolean pool_rules_is_temporary_name(const char *name);
/* The tag that binds a snapshot to @volume. Free with g_free(). */
char *pool_rules_snapshot_tag(const char *volume);

/* Tags that volume @lv loses and gains by becoming @new_name: pve-vm-<VMID> of its old guest (with
 * which it may be without) for that of the new one, as in Proxmox (rename_volume of LVMPlugin); and
 * it ceases to be a snapshot when it becomes a guest's volume. Each GPtrArray of char *, unref it;
 * empty: none. */
void pool_rules_rename_tags(LvmLv *lv, const char *new_name, GPtrArray **lost, GPtrArray **gained);

/* The volume that @lv is a snapshot of, and the snapshot's short name ("before" of
 * snap_vm-100-disk-0_before; the LV's name when it follows no pattern). FALSE: it is none. Strings
 * are the caller's; either may be NULL. */
gboolean pool_rules_snapshot_of(LvmLv *lv, char **volume, char **snapshot);

/* The LVs that are snapshots of @volume: GPtrArray of LvmLv *, unref it. */
GPtrArray *pool_rules_list_snapshots(LvmVg *vg, const char *volume);
/* The snapshot @snapshot (short name, or name of the LV) of @volume. ENOENT lists those there
 * are. */
LvmLv *pool_rules_find_snapshot(LvmVg *vg, const char *volume, const char *snapshot,
                                GError **error);

/* Is @lv, or what it was made from, and so on, made from @name? Origin keys must not run in
 * circles. */
gboolean pool_rules_descends_from(LvmVg *vg, LvmLv *lv, const char *name);

/* The thin pool @name (NULL: the only one); a volume that users see; one that is thin, and has all
 * its content in its pool. ENOENT, EINVAL; EOPNOTSUPP: use lvm2. */
LvmLv *pool_rules_find_pool(LvmVg *vg, const char *name, GError **error);
LvmLv *pool_rules_find_volume(LvmVg *vg, const char *name, GError **error);
LvmLv *pool_rules_find_thin(LvmVg *vg, const char *name, GError **error);

/* The VG's spare metadata volume; NULL: none. */
LvmLv *pool_rules_find_spare(LvmVg *vg);

/* "cannot check thin pool pve/data: " before *error; @thin_pool NULL: the only one. Always FALSE.
 */
#define POOL_CHECKING "check"
gboolean pool_rules_failed(const char *what, const char *vg, const char *thin_pool, GError **error);
/* "cannot make volume group pve on /dev/sdb: " before *error. Always FALSE. */
gboolean pool_rules_init_failed(const char *vg, const char *path, GError **error);
/* Set EROFS: @vg is open read-only. Always FALSE. */
gboolean pool_rules_read_only(const char *vg, GError **error);
/* Set EBUSY: @user has volume @name open. Always FALSE. */
gboolean pool_rules_in_use(const char *vg, const char *name, const char *user, GError **error);

/* Extents for @size bytes, rounded up. EINVAL: 0, or more than LVM can address (2^32 - 1 extents,
 * lvm2 lib/metadata: 32-bit extent counts; and off_t). */
gboolean pool_rules_extents(const char *what, guint64 size, guint64 extent_size, guint64 *n_extents,
                            GError **error);

/* May thin pool @vg/@pool have volumes of @virtual_size bytes in all, under @limits->overcommit;
 * one volume of @size, under ->largest_volume? @pool_size: what it has, or may grow to. EPERM names
 * the setting. */
gboolean pool_rules_check_overcommit(const char *vg, const char *pool, guint64 virtual_size,
                                     guint64 pool_size, const PoolLimits *limits, GError **error);
gboolean pool_rules_check_volume(const char *vg, const char *pool, guint64 size, guint64 pool_size,
                                 const PoolLimits *limits, GError **error);
/* What of thin pool @info is available: what is free of it, or with ->promises the largest volume
 * that these limits would let it have besides its others. */
guint64 pool_rules_available(const PoolInfo *info, guint64 extent_size, const PoolLimits *limits);

/* Is @lv a volume that users see? In thin pool @pool, unless that is NULL? */
gboolean pool_rules_is_volume(LvmLv *lv);
gboolean pool_rules_is_in_pool(LvmLv *lv, const char *pool);
/* Bytes of all volumes of thin pool @pool in @vg; how many (may be NULL). */
guint64 pool_rules_virtual_size(LvmVg *vg, const char *pool, guint *n_volumes);
/* What is told when its volumes come to add up to more than a thin pool holds. The caller's. */
char *pool_rules_overcommit_note(const char *vg, const char *pool, guint64 virtual_size,
                                 guint64 pool_size);
/* The VG as @store has read it; a thin pool as the VG's text has it. What that does not say is left
 * at nothing; usage at "not known". */
PoolVgInfo *pool_rules_vg_info(LvmStore *store);
PoolInfo *pool_rules_pool_info(LvmVg *vg, LvmLv *pool);
/* Why thin volume @lv cannot be read: its pool is not there; else NULL. The caller's. */
char *pool_rules_missing_pool(LvmVg *vg, LvmLv *lv);
/* What the VG's text says of volume @lv. What it does not is left at nothing; "mapped" at the
 * volume's size. */
PoolVolumeInfo *pool_rules_volume_info(const char *vg, LvmLv *lv);
/* May a user set or remove these tags (NULL: none)? EINVAL, EPERM. */
gboolean pool_rules_check_tags(const char *const *tags, GError **error);
