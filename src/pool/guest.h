/* virt-thin - guests' volumes as Proxmox VE knows them: names, what can be done with one, templates
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The rules of pve-storage 9.1.7 (PVE::Storage::Plugin, LVMPlugin, LvmThinPlugin), observed by
 * running them. One thing is stricter: a name may not end in a line feed.
 *
 * Errors: VT_ERROR, with Proxmox's words. Ownership: strings returned are the caller's.
 * Thread-safety: pure functions, but for those that take a VolumeGroup.
 */
#pragma once

#include "pool/pool.h"

typedef enum {
  POOL_GUEST_THIN,  /* a storage of type lvmthin */
  POOL_GUEST_THICK, /* lvm */
} PoolGuestStorage;

/* "vm-<VMID>-…", of a thin storage also "base-<VMID>-…". EINVAL. */
typedef struct {
  char *vmid; /* the digits as written */
  gboolean is_base;
  const char *format; /* "raw"; of a thick storage "qcow2" for a name that ends so */
} PoolGuestName;
gboolean pool_guest_parse_name(PoolGuestStorage storage, const char *name, PoolGuestName *parsed,
                               GError **error);
void pool_guest_name_clear(PoolGuestName *parsed);

/* "<storage>:<volume>" in two; the volume may hold further colons. EINVAL. */
gboolean pool_guest_parse_volume_id(const char *volume_id, char **storage, char **volume,
                                    GError **error);
/* 100 to 999999999, without leading zeros. */
gboolean pool_guest_is_vmid(const char *text);
/* Of a snapshot: a letter, then letters, digits, _ and -; 2 to 40 characters. EINVAL. */
gboolean pool_guest_check_snapshot(const char *name, GError **error);
/* May a new volume of guest @vmid be called @name? EINVAL. */
gboolean pool_guest_check_new_name(const char *name, const char *vmid, GError **error);

/* vm-<vmid>-disk-<n> with the lowest n from 0 to 1023 that no name of @names uses: vm- or
 * base-<vmid>-disk-<n> anywhere in it counts, so that snapshots and what is to be deleted keep
 * theirs. @names: of the whole volume group. ENOSPC. */
char *pool_guest_next_name(const char *const *names, const char *vmid, const char *storage,
                           GError **error);

typedef enum { POOL_GUEST_CURRENT, POOL_GUEST_BASE, POOL_GUEST_SNAPSHOT } PoolGuestState;
/* "snapshot", "clone", "template", "copy", "sparseinit", "rename", "replicate". */
gboolean pool_guest_has_feature(PoolGuestStorage storage, const char *feature,
                                PoolGuestState state);

/* What Proxmox says is used of a thin pool: lvs's percentage, which has two decimals and is 0 or
 * 100 only for a pool that is quite empty or full, of @size bytes. */
guint64 pool_guest_used(guint64 size, guint64 used);

/* --- on a pool --- */

/* Does what was never written to volume @name read zero for good? Not in a pool that does not zero
 * its new chunks (PoolInfo.zeroes): there zeros are to be written, too. */
gboolean pool_guest_reads_zero(VolumeGroup *group, const char *name, gboolean *reads_zero,
                               GError **error);

/* The LVs of the whole volume group, NULL-terminated: for pool_guest_next_name(). */
GStrv pool_guest_names(VolumeGroup *group, GError **error);
/* EBUSY: a template of @names has linked clones that are not of @names; @otherwise says what
 * removes it nevertheless.
 */
gboolean pool_guest_check_clones(VolumeGroup *group, const char *const *names,
                                 const char *otherwise, GError **error);
/* Make volume vm-<VMID>-… the template base-<VMID>-…: read-only, skipped at activation. *base: its
 * name. EINVAL: it is one, or no guest's. EBUSY: it is in use, or has snapshots. EEXIST: the name
 * is taken. A failure leaves the volume as it was. */
gboolean pool_guest_make_template(VolumeGroup *group, const char *name, char **base,
                                  GError **error);
/* New volume @name has its content: it becomes a template now if it is called one. */
gboolean pool_guest_finish(VolumeGroup *group, const char *name, GError **error);
/* A copy of @name that shares nothing with it, in @thin_pool (NULL: its own; of a linear volume the
 * only one): what is not mapped is not copied. Its progress is told to @told, bytes of the volume,
 * where that is not NULL. A failure leaves nothing. */
gboolean pool_guest_copy(VolumeGroup *group, const char *name, const char *thin_pool,
                         const char *new_name, void (*told)(guint64 done, gpointer user_data),
                         gpointer user_data, GError **error);
