/* virt-thin - storage.cfg: the libvirt pools that a storage becomes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   lvmthin                  logical, of our backend: source name VG/POOL, without a device
 *                            (libvirt takes two logical pools that name one device for a conflict)
 *   lvm                      logical
 *   dir, btrfs               dir: <id> at the folder of images, <id>-iso at that of iso
 *   nfs, cifs, glusterfs     netfs: <id> mounted at the storage's path; <id>-iso, a dir pool, in it
 *   iscsi                    iscsi
 *   iscsidirect              iscsi-direct
 *   rbd                      rbd
 *   zfspool                  zfs
 *
 * Others have none. A pool has the UUIDv5 of its storage's id ("<id>", "<id>/iso"), so that those
 * of ours can be told from others'. The documents are valid by libvirt's storagepool.rng (9.0.0).
 *
 * Ownership: the caller's. Thread-safety: pure functions.
 */
#pragma once

#include "storagecfg/storagecfg.h"

/* What a document needs to know of the host. */
typedef struct {
  const char *initiator; /* the host's iSCSI name; NULL: the one that QEMU has without any */
  gboolean ceph_keyring; /* there is a key for the storage, though the file names no user */
} StorageCfgHost;

typedef struct {
  char *name, *uuid;
  char *document;         /* for virStoragePoolDefineXML() */
  const char *type;       /* libvirt's: "logical" */
  char *target;           /* folder; NULL: none of its own */
  char *secret_uuid;      /* of the Ceph user's key; NULL: none is needed */
  gboolean makes_folders; /* virStoragePoolBuild() makes the folder, and destroys nothing */
} StorageCfgPool;

typedef struct {
  GPtrArray *pools; /* of StorageCfgPool, in the order of starting */
  char *why_not;    /* why there are none */
  GPtrArray *notes; /* of char *: what has no effect on the pools, and what does not show in them */
} StorageCfgPools;

StorageCfgPools *storagecfg_pools_new(const StorageCfgStorage *storage, const StorageCfgHost *host);
void storagecfg_pools_free(StorageCfgPools *pools);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StorageCfgPools, storagecfg_pools_free)

/* UUIDv5 (RFC 4122) of @name in virt-thin's name space. */
char *storagecfg_pool_uuid(const char *name);
/* The folder of a word of content ("images", "iso", ...) of a storage with a path:
 * PVE::Storage::Plugin's vtype_subdirs, and content-dirs. */
char *storagecfg_content_folder(const StorageCfgStorage *storage, const char *content);
/* "host", "host:port", "[IPv6]:port", "IPv6.port" in two; *port 0: not given. */
void storagecfg_split_portal(const char *portal, char **host, guint *port);
