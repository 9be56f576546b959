/* virt-thin - storage: volumes in storages that are folders (dir, nfs, cifs, btrfs, cephfs)
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Names, places and rules of pve-storage 9.1.7 (PVE::Storage::Plugin, DirPlugin, BTRFSPlugin,
 * PVE::Storage), read in its source. A guest's images are in images/<VMID>; what belongs to no
 * guest is directly in the folder of its content. A file that Proxmox's names do not fit is no
 * volume.
 *
 * Stricter: a name holds no control character, and is not "." or "..".
 *
 * Thread-safety: main thread only. Errors: VT_ERROR, where Proxmox has words for it with those.
 */
#pragma once

#include "image/copy.h"
#include "pvesm/item.h"
#include "pvesm/pvesm.h"

/* Is it a folder? Then its volumes are files. */
gboolean pvesm_is_folder(const StorageCfgStorage *storage);
/* Why it cannot be used now: nothing is mounted where something should be, the folder is not there,
 * is no btrfs though it should be, or has two contents in one place. NULL: it can. The caller's. */
char *pvesm_folder_problem(const StorageCfgStorage *storage);

/* Can it be used now? ENOENT: the above. A folder that is not there, though nothing need be
 * mounted, is made, if @make, else taken for empty - unless create-base-path says no. */
gboolean pvesm_folder_activate(const StorageCfgStorage *storage, gboolean make, GError **error);

/* The names (char *) in a folder but those that begin with a dot, as Perl's glob has them; of one
 * that is not there none.
 */
GPtrArray *pvesm_folder_read(const char *path, GError **error);

/* "100/vm-100-disk-0.qcow2", the linked clone
 * "9000/base-9000-disk-0.qcow2/100/vm-100-disk-0.qcow2", "iso/x.iso". */
typedef struct {
  const char *content; /* "images", "iso", "vztmpl", "backup", "snippets", "import" */
  char *vmid;          /* of an image: the digits as written; else NULL */
  char *file;          /* its name in the folder of the content, of images in that of the guest */
  char *format;        /* "qcow2"; of what is no image as `list` shows it: "iso", "tgz", "vma.zst",
                        * "snippet", "ova",        and of a disk in an archive "ova+vmdk" */
  gboolean is_base;    /* a template's image */
} FolderVolume;
/* EINVAL. */
gboolean pvesm_folder_parse(const char *volume, FolderVolume *parsed, GError **error);
void pvesm_folder_clear(FolderVolume *parsed);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(FolderVolume, pvesm_folder_clear)
/* Is @file the name of a volume of @content, and of which format? The caller's; NULL: it is
 * none. */
char *pvesm_folder_format(const char *content, const char *file);
/* Is an image of that format in a subvolume of its own, so that it can have snapshots? */
gboolean pvesm_folder_is_subvolume(const StorageCfgStorage *storage, const char *format);
/* Where a volume is, or would be. The caller's. */
char *pvesm_folder_path(const StorageCfgStorage *storage, const FolderVolume *volume);

/* Make an image of @size bytes for guest @vmid: @file, or "" for the next free
 * vm-<vmid>-disk-<n>.<format>, which is then given to no other process. @format NULL: the
 * storage's. @content "rootdir": with an ext4 file system. A failure leaves nothing. The volume's
 * name; the caller's. */
char *pvesm_folder_allocate(const StorageCfgStorage *storage, const char *vmid, const char *file,
                            const char *format, const char *content, guint64 size, GError **error);
/* Put something into new image @path, an empty file. */
typedef gboolean (*FolderFill)(const char *path, gpointer user_data, GError **error);
/* The same, with what @fill puts there, which is in format @format; while it does, nothing of the
 * guest is freed. EEXIST: @file is taken, and nothing has been done. */
char *pvesm_folder_make(const StorageCfgStorage *storage, const char *vmid, const char *file,
                        const char *format, FolderFill fill, gpointer user_data, GError **error);
/* Remove a volume; of a guest that has no other its folder, too. One that is not there is told on
 * standard error. EBUSY: a template with linked clones, unless @force; EPERM: a backup that is
 * protected. */
gboolean pvesm_folder_free(const StorageCfgStorage *storage, const char *volume, gboolean force,
                           GError **error);
/* Add the volumes of @content (NULL: of all that the storage has) to @items, of PvesmItem; @vmid
 * NULL: of every guest and of none. */
gboolean pvesm_folder_list(const StorageCfgStorage *storage, const char *vmid, const char *content,
                           GPtrArray *items, GError **error);
/* Is image @base of guest @vmid what others are linked clones of? *of: the volume id of one; NULL:
 * of none. */
gboolean pvesm_folder_find_clone(const StorageCfgStorage *storage, const char *vmid,
                                 const char *base, char **of, GError **error);

/* --- streams of format @format, "raw+size": what follows the size --- */

/* What is to be written of a volume, until pvesm_folder_source_free(). EINVAL: it is not
 * available in that format.
 */
typedef struct FolderSource FolderSource;
FolderSource *pvesm_folder_source_new(const StorageCfgStorage *storage, const char *volume,
                                      const char *format, gboolean with_snapshots, GError **error);
guint64 pvesm_folder_source_size(const FolderSource *source); /* of the disk, in bytes */
/* Is it that file? */
gboolean pvesm_folder_source_is(const FolderSource *source, const char *path);
gboolean pvesm_folder_source_copy(FolderSource *source, int fd, const char *name,
                                  ImageTarget target, GError **error);
void pvesm_folder_source_free(FolderSource *source); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FolderSource, pvesm_folder_source_free)

/* Can a stream of that format become @volume? EINVAL: Proxmox's words. */
gboolean pvesm_folder_check_import(const StorageCfgStorage *storage, const char *volume,
                                   const char *format, gboolean with_snapshots, GError **error);
/* Make @volume of the rest of stream @fd, whose disk has @size bytes. When its name is taken: under
 * another, which is told on standard error, or EEXIST. A failure leaves nothing. The volume's name;
 * the caller's. */
char *pvesm_folder_import(const StorageCfgStorage *storage, const char *volume,
                          gboolean allow_rename, int fd, guint64 size, GError **error);

/* --- subvolumes of btrfs, @name in a folder that is open; FALSE: errno --- */

#define PVESM_SUBVOLUME_FILE "disk.raw" /* what is in it */
gboolean pvesm_is_on_btrfs(const char *path);
gboolean pvesm_subvolume_make(int folder, const char *name);
/* Put an empty image into a new one. */
gboolean pvesm_subvolume_fill(int folder, const char *name, gboolean nocow, guint64 size,
                              GError **error);
gboolean pvesm_subvolume_remove(int folder, const char *name);
/* What cannot be removed is told on standard error. */
void pvesm_subvolume_remove_snapshots(int folder, const char *name);
