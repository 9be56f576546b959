/* virt-thin - one interface to the thin pools of a volume group, whoever serves them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A VolumeGroup is one that is open. Volumes are known by their LV names, unique in the group; a
 * thin pool is an LV as well. Three implementations; which one serves a VG, pool/open.h says:
 *   pool_open_bundled()  in this process, over src/lvm and src/thin, with the PVs locked
 *                        (bundled/pool.c)
 *   pool_connect()       a VG service over D-Bus (remote/pool.c)
 *   pool_open_kernel()   the kernel's device-mapper and lvm2's commands (kernel/pool.c, src/dm)
 * What a change comes to - names, what a backing volume makes, snapshots, rollback, templates - is
 * decided in plan.c, once.
 *
 * Units: bytes. Errors: VT_ERROR (util/error.h), code an errno value; every message names the
 * volume or pool, what was tried and the next step. Ownership: info structs and arrays returned are
 * the caller's. Thread-safety: every function may be called from any thread.
 */
#pragma once

#include "util/error.h"
#include "util/io.h"

typedef struct VolumeGroup VolumeGroup;

/* --- what there is --- */

typedef enum {
  POOL_VOLUME_THIN,   /* in a thin pool: all that is below applies */
  POOL_VOLUME_LINEAR, /* a plain linear or striped LV: listed, and readable and writable */
} PoolVolumeKind;

typedef struct {
  char *vg, *name, *uuid;
  PoolVolumeKind kind;
  char *pool;        /* thin pool; NULL for a linear LV */
  char *origin;      /* the volume it was cloned or snapshotted from; NULL */
  char *snapshot_of; /* it is a snapshot of this volume (by tag, else by origin, read-only); NULL */
  char *snapshot_name; /* "before" of snap_vm-100-disk-0_before; NULL */
  guint64 size;
  guint sector_size; /* bytes, of a block node as the kernel would make it; 0: only the bundled
                        engine says */
  guint64 mapped;    /* G_MAXUINT64: not known */
  gint64 vmid;       /* of vm-<VMID>-… and base-<VMID>-…; -1 */
  guint32 device_id; /* thin device; 0 for a linear LV */
  gboolean read_only;
  gboolean active;  /* the kernel, or a service, shows it */
  gboolean skipped; /* it is not activated with its pool; of a service's volumes not told */
  GStrv tags;
  guint64 creation_time; /* seconds since the epoch, 0: not recorded */
  char *path; /* where a program finds it: /dev/<vg>/<lv>, the FUSE file, or NULL when not served */
  gboolean path_is_block;
  char *damage;  /* NULL, or why (part of) it cannot be read */
  char *open_by; /* by whom, as its engine knows: NBD's clients, and programs that opened its file;
                    NULL: by nobody that this one knows of */
} PoolVolumeInfo;
void pool_volume_info_free(PoolVolumeInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PoolVolumeInfo, pool_volume_info_free)

typedef struct {
  char *vg, *name, *uuid;
  /* data, and metadata; used G_MAXUINT64: not known, for it cannot be read */
  guint64 size, used, metadata_size, metadata_used;
  /* Of the last snapshots (ten at most) so many took so much metadata, bytes, and for
   * snapshots_left more like those there is room in it. G_MAXUINT64: not known; a pool of the
   * kernel's is read for it by pool_get_info(), not by pool_list_pools(). */
  guint snapshots_counted;
  guint64 snapshots_metadata, snapshots_left;
  guint64 metadata_spare; /* of the VG, what a repair needs: as large as the metadata, if all is
                             well; 0: none */
  guint64 chunk_size;
  gboolean zeroes;      /* a new chunk reads zero but for what is written; else (lvm2's --zero n) it
                           shows what it held */
  guint64 virtual_size; /* sum of its volumes' sizes: beyond size it is overcommitted */
  guint64 available;    /* what libvirt is told: what is free, or may still be promised */
  guint64 transaction_id;
  guint n_volumes;
  gboolean needs_check;
  gboolean read_only;
  gboolean active;
  guint64 max_size; /* what its data may grow to by itself; 0: it does not grow */
  /* percent: data or metadata of which that much is in use grows by that much of its size, metadata
   * as far as the VG has room; grows_at 100: never */
  guint grows_at, grows_by;
  char *unwatched; /* NULL: and something watches it that it does; else why not, and what to do */
  char *grown;  /* what grew by itself last, from and to what, and when; NULL: nothing since it is
                   served */
  char *health; /* NULL: well; the same for whoever asks (health.h): "out of data space",
               "metadata read-only: needs_check",
               "transaction id is 9, expected 7", "something other than LVM manages it…", … */
} PoolInfo;
void pool_info_free(PoolInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PoolInfo, pool_info_free)

typedef struct {
  char *name, *uuid;
  guint64 extent_size, size, free; /* bytes */
  guint64 seqno;
  guint64 metadata_area_used, metadata_area_size;
  GStrv devices;   /* PV paths */
  char *served_by; /* "virt-thin service, pid 123"; NULL: nobody */
  char *health; /* NULL: well; else which physical volume is missing, whose label is damaged… */
} PoolVgInfo;
void pool_vg_info_free(PoolVgInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PoolVgInfo, pool_vg_info_free)

/* --- opening: open.h --- */

typedef enum {
  POOL_HOLDER_BUNDLED, /* nobody, until the engine opens it */
  POOL_HOLDER_KERNEL,
  POOL_HOLDER_SERVICE,
} PoolHolder;

typedef enum {
  /* changes no byte, takes no lock, opens what is damaged as far as it goes */
  POOL_READ_ONLY = 1 << 0,
} PoolOpenFlags;

PoolHolder pool_get_holder(VolumeGroup *group); /* who carries out what is asked of it */
/* Release everything; a bundled pool commits. The error tells of a failed last commit. */
gboolean pool_close(VolumeGroup *group, GError **error);
void pool_unref(VolumeGroup *group); /* pool_close(), failure logged */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VolumeGroup, pool_unref)

PoolVgInfo *pool_get_vg_info(VolumeGroup *group, GError **error);
GPtrArray *pool_list_pools(VolumeGroup *group, GError **error); /* of PoolInfo */
PoolInfo *pool_get_info(VolumeGroup *group, const char *thin_pool, GError **error);
/* Of PoolVolumeInfo; NULL: of the whole VG, hidden LVs left out. */
GPtrArray *pool_list_volumes(VolumeGroup *group, const char *thin_pool, GError **error);
PoolVolumeInfo *pool_get_volume(VolumeGroup *group, const char *name, GError **error);
gboolean pool_count_volume(VolumeGroup *group, const char *name, guint64 *exclusive,
                           guint64 *shared, GError **error);

/* --- who uses a thin pool's chunks, from the metadata alone --- */

typedef struct {
  char *name;
  guint32 device_id;
  gboolean chosen;           /* of the set that was asked about */
  guint64 mapped, exclusive; /* the rest of what is mapped is shared */
} PoolVolumeUsage;
void pool_volume_usage_free(PoolVolumeUsage *volume);

typedef struct {
  char *pool;
  GPtrArray *volumes; /* of PoolVolumeUsage: all of the pool's, by name */
  guint64 used;       /* of the data, whoever has it */
  guint64 mapped;     /* by one volume or more */
  guint64 strays;     /* by no volume, but by thin devices that the VG's text does not know */
  guint64 freed;      /* by nothing but the set: what comes free when all of it is removed */
} PoolUsage;
void pool_usage_free(PoolUsage *usage);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PoolUsage, pool_usage_free)

/* Of @thin_pool, at one moment. @chosen: the set, names of volumes in it; NULL: all. The cost is
 * that of the metadata there is, however many volumes share it. EBADMSG: it is damaged. */
PoolUsage *pool_usage(VolumeGroup *group, const char *thin_pool, const char *const *chosen,
                      GError **error);

/* --- how two volumes differ, from the metadata alone --- */

typedef enum {
  POOL_DELTA_DIFFERENT,  /* both map it, to different chunks: their data may differ */
  POOL_DELTA_LEFT_ONLY,  /* the right one does not map it, and reads zero there */
  POOL_DELTA_RIGHT_ONLY, /* the left one does not */
  POOL_DELTA_SAME,       /* both map it to the same chunks */
} PoolDeltaKind;

typedef struct {
  guint64 offset, length; /* bytes; whole chunks, but for the end of a volume */
  PoolDeltaKind kind;
} PoolDeltaRun;

typedef enum {
  POOL_DELTA_WITH_SAME = 1 << 0, /* POOL_DELTA_SAME as well: then what is shared is walked, too */
} PoolDeltaFlags;

/* Append the runs in which thin volumes @left and @right of one thin pool differ to @runs (of
 * PoolDeltaRun): in order, adjacent ones of one kind joined, from *@offset on, at most @max. What
 * neither maps is in none. *@offset: where to go on, G_MAXUINT64 at the end; fewer than @max may
 * come before that. @left NULL: an empty volume, so that all that @right maps is RIGHT_ONLY; what
 * lies behind the end of the smaller one is the larger's alone. No data is read; what the two share
 * is skipped, so the cost is that of the difference. Of volumes that are written to, each call sees
 * a moment of its own. EINVAL: not of one thin pool. */
gboolean pool_delta(VolumeGroup *group, const char *left, const char *right, PoolDeltaFlags flags,
                    guint64 *offset, guint max, GArray *runs, GError **error);

/* --- changing: each is done, and durable, or has changed nothing --- */

/* A new, empty volume. @thin_pool NULL: the only one. Sizes are rounded up to extents. */
gboolean pool_create(VolumeGroup *group, const char *thin_pool, const char *name, guint64 size,
                     GError **error);
/* A new linear volume, in no thin pool: all its space is taken from the volume group now, and what
 * was there before may show in it, but for what a program would take for content (lvm2 wipes
 * signatures, the bundled engine zeroes all). It is not activated with the host (lvm2's
 * autoactivation), as the volume group may be other hosts', too. */
gboolean pool_create_linear(VolumeGroup *group, const char *name, guint64 size, GError **error);
/* EBUSY when open, or when another volume needs it; EINVAL for a thin one. */
gboolean pool_remove_linear(VolumeGroup *group, const char *name, GError **error);
/* A new volume backed by @origin, O(1): read-only and skipped at activation when @name is
 * snap_<origin>_<something> (a snapshot) or base-<VMID>-<something> (a template), else a writable
 * clone.
 * @size 0: the origin's; smaller is EINVAL, larger grows. */
gboolean pool_clone(VolumeGroup *group, const char *origin, const char *name, guint64 size,
                    GError **error);
/* Snapshot snap_<volume>_<snapshot>. */
gboolean pool_snapshot(VolumeGroup *group, const char *volume, const char *snapshot,
                       GError **error);
/* The same of several volumes (each once) of one thin pool, at one instant: all, or none.
 * ETIMEDOUT: one of them could not be held still. */
gboolean pool_snapshot_group(VolumeGroup *group, const char *const *volumes, const char *snapshot,
                             GError **error);
/* The same, and each has @tags from the first moment on: no crash leaves one without them. EINVAL,
 * EPERM: no tags for a user to set. */
gboolean pool_snapshot_tagged(VolumeGroup *group, const char *const *volumes, const char *snapshot,
                              const char *const *tags, GError **error);
/* The volume's content becomes the snapshot's; the volume keeps name, UUID, tags, size of the
 * snapshot, and all its snapshots. EBUSY when open. */
gboolean pool_rollback(VolumeGroup *group, const char *volume, const char *snapshot,
                       GError **error);
/* The content of volume @name becomes @origin's, O(1), as if pool_clone() had made it; it keeps
 * name, UUID, tags, its size (EINVAL when that is smaller than the origin's) and its snapshots.
 * Both in one thin pool (else EINVAL). EBUSY when @name is open. For those who learn what a volume
 * is a clone of after they had to name it: libvirt creates an empty volume first and says from what
 * it is built afterwards. */
gboolean pool_clone_into(VolumeGroup *group, const char *origin, const char *name, GError **error);
/* Its snapshots (by tag) are renamed with it. The tag pve-vm-<VMID>, by which Proxmox knows whose a
 * volume is, follows to the guest that @new_name names. */
gboolean pool_rename(VolumeGroup *group, const char *name, const char *new_name, GError **error);
/* Make thin volume @name the template @new_name: renamed as by pool_rename(), read-only and skipped
 * at activation, in one step. @new_name may be @name. EBUSY when open. */
gboolean pool_template(VolumeGroup *group, const char *name, const char *new_name, GError **error);
/* Smaller needs @shrink (EINVAL without it); what lies beyond is unmapped. A read-only snapshot is
 * EPERM. */
gboolean pool_resize(VolumeGroup *group, const char *name, guint64 size, gboolean shrink,
                     GError **error);
/* Grow a thin pool's data or metadata (shrinking is EOPNOTSUPP). */
gboolean pool_resize_pool(VolumeGroup *group, const char *thin_pool, guint64 size,
                          gboolean metadata, GError **error);
/* Remove thin volumes (or an empty thin pool): in one go, all or none. EBUSY when open; a thin
 * pool, too, that has thin devices which no volume is known for. Snapshots of it stay whole unless
 * @with_snapshots. */
gboolean pool_remove(VolumeGroup *group, const char *const *names, gboolean with_snapshots,
                     GError **error);
gboolean pool_set_tags(VolumeGroup *group, const char *name, const char *const *add,
                       const char *const *remove, GError **error);
/* What a volume that was made under a temporary name becomes. */
typedef struct {
  const char *name;        /* as it is */
  const char *new_name;    /* NULL: it keeps that, and only gives its content to @into */
  const char *snapshot_of; /* it is a snapshot of that volume; NULL: of none */
  const char *origin;      /* the volume it counts as made from; NULL: none */
  gboolean sealed;         /* read-only and skipped at activation, as snapshots and templates are */
  const char *const *tags; /* that it gains; NULL: none. Of virt-thin's own POOL_SOURCE_TAG alone */
  const char *into;        /* a volume whose content becomes this one's, too, as by a rollback;
                              NULL: none */
} PoolPublication;
/* The tag of what has come from elsewhere (transfer/identity.h): a snapshot with it is of the
 * volume that its other tag says, whatever it was made from here. */
#define POOL_SOURCE_TAG "virt-thin.source="
/* Thin volumes of one thin pool get their names and what else belongs to them: all, or none, and
 * by the bundled engine in one commit. EBUSY when one is open. */
gboolean pool_publish(VolumeGroup *group, const PoolPublication *volumes, guint n, GError **error);
/* A further thin pool in this VG. 0: the defaults (pool-layout.h); @size 0: all that is free but
 * @reserve, which is 0: room for the metadata to grow, POOL_NO_RESERVE: nothing.
 * @max_size: to what its data may grow by itself, or, with @size 0, its data and all else in the
 * VG; 0: it does not grow. */
#define POOL_NO_RESERVE G_MAXUINT64
typedef struct {
  guint64 size, reserve, chunk_size, metadata_size, max_size;
} PoolNew;
gboolean pool_create_pool(VolumeGroup *group, const char *thin_pool, const PoolNew *params,
                          GError **error);
/* Add a PV. */
gboolean pool_extend(VolumeGroup *group, const char *path, GError **error);
/* The same, of a file that is made with @size bytes (0: it is there) as by pool_init(), and goes
 * when that fails. Not in libpool: who has the file makes it. */
gboolean pool_extend_with_file(VolumeGroup *group, const char *path, guint64 size, GError **error);

/* Make VG @vg, of which there is none yet (pool_find_vg()), with thin pool @thin_pool on @path: a
 * block device, or a file, made sparse with @size bytes when it does not exist. @extent_size 0:
 * 4 MiB. */
gboolean pool_init(const char *vg, const char *thin_pool, const char *path, guint64 size,
                   guint64 extent_size, const PoolNew *params, GError **error);

/* The same by lvm2, on a block device; it is active afterwards. */
gboolean pool_kernel_init(const char *vg, const char *thin_pool, const char *path,
                          guint64 extent_size, const PoolNew *params, GError **error);

/* Check the metadata of a thin pool (thin_check() of thin.h), and whether it and the VG's text have
 * the same thin devices. Strings as there; @errors and @leaks are the caller's GPtrArrays of char
 * *. Reads only. */
gboolean pool_check(VolumeGroup *group, const char *thin_pool, GPtrArray **errors,
                    GPtrArray **leaks, GError **error);

typedef struct {
  gboolean quick; /* the superblock, the roots, and whether the text agrees: no map, no count */
  /* Told now and then how far it is, in bytes of metadata; not by every implementation. NULL:
   * nobody. */
  void (*progress)(guint64 done, guint64 total, gpointer data);
  gpointer data;
} PoolCheckOptions;
/* @options NULL: as pool_check(). */
gboolean pool_check_as(VolumeGroup *group, const char *thin_pool, const PoolCheckOptions *options,
                       GPtrArray **errors, GPtrArray **leaks, GError **error);

/* Have @func read the metadata of @thin_pool as it is at one moment, damaged or not: @superblock is
 * the block of its superblock, or of a metadata snapshot. What @func returns is returned. EBUSY: a
 * service has the volume group. */
typedef gboolean (*PoolMetadataFunc)(VtIo *metadata, guint64 superblock, gpointer data,
                                     GError **error);
gboolean pool_read_metadata(VolumeGroup *group, const char *thin_pool, PoolMetadataFunc func,
                            gpointer data, GError **error);

/* --- activation: has a meaning where a service or the kernel makes nodes; else does nothing --- */
gboolean pool_activate(VolumeGroup *group, const char *thin_pool, GError **error);
/* For who has started the service because of @thin_pool: the others become inactive, and so are
 * those made later, but for what has been activated since the service began. */
gboolean pool_activate_alone(VolumeGroup *group, const char *thin_pool, GError **error);
/* EBUSY names volume and opener, unless @force. */
gboolean pool_deactivate(VolumeGroup *group, const char *thin_pool, gboolean force, GError **error);

/* --- volume I/O --- */

/* Open for I/O: a VtIo named vg/lv, which vt_io_unref() closes. @opener says who, for EBUSY
 * messages of others: "nbd client, pid 99". Several opens of one volume share it; a removal, a
 * rollback or a shrink meanwhile is EBUSY. Works on bundled pools, on a service's through its FUSE
 * file; on kernel pools through its device, where a volume that is not active is activated for as
 * long as it is open. */
VtIo *pool_volume_open(VolumeGroup *group, const char *name, gboolean read_only, const char *opener,
                       GError **error);
/* For the service's own standing views (the FUSE folder, block nodes): counts as nobody's use, sees
 * a rollback or resize at once, and turns to ENOENT when the volume is removed. */
VtIo *pool_volume_open_view(VolumeGroup *group, const char *name, GError **error);

/* --- for a service --- */

/* What happened, after the fact and outside all locks, so that views and nodes can follow. */
typedef enum {
  POOL_EVENT_ADDED,
  POOL_EVENT_REMOVED,
  POOL_EVENT_RENAMED,
  POOL_EVENT_RESIZED,
  POOL_EVENT_REPLACED /* content: rollback */
} PoolEvent;
typedef void (*PoolEventFunc)(PoolEvent event, const char *name, const char *old_name,
                              gpointer user_data);
void pool_set_event_func(VolumeGroup *group, PoolEventFunc func, gpointer user_data);
/* Asked, outside all locks, before a removal, rollback, shrink, template or deactivation of @names:
 * who else has one of them open (through a node)? NULL: nobody; else a description, freed by the
 * caller, and in @used that one of @names. First looks without @claim; with it, shortly before the
 * change, sees to it that nobody opens them until it is done. */
typedef char *(*PoolUserFunc)(const char *const *names, gboolean claim, const char **used,
                              gpointer user_data);
void pool_set_user_func(VolumeGroup *group, PoolUserFunc func, gpointer user_data);
/* Commit what has been written; the service calls it once a second. */
gboolean pool_commit(VolumeGroup *group, GError **error);
