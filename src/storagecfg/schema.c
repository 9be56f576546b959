/* virt-thin - storage.cfg: the types of storages and their properties
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The option tables of pve-storage 9.1.7 (each plugin's properties(), options() and plugindata()),
 * and of the glusterfs plugin as it was before its removal in 9.0.
 */
#include <string.h>

#include "storagecfg/formats.h"
#include "storagecfg/storagecfg-private.h"

static const char *const image_formats[] = {"raw", "qcow2", "subvol", "vmdk", NULL};
static const char *const preallocations[] = {"off", "metadata", "falloc", "full", NULL};
static const char *const smb_versions[] = {"default", "2.0", "2.1", "3", "3.0", "3.11", NULL};
static const char *const step_sizes[] = {"1", "2", "4", "8", "16", "32", NULL};
static const char *const transports[] = {"tcp", "rdma", "unix", NULL};

#define TEXT .kind = STORAGECFG_STRING
#define FLAG .kind = STORAGECFG_BOOLEAN
#define LIST .kind = STORAGECFG_LIST
#define NUMBER .kind = STORAGECFG_INTEGER, .minimum = G_MININT64, .maximum = G_MAXINT64

/* By name. */
static const StorageCfgProperty properties[] = {
    {.name = "authsupported", TEXT},
    {.name = "base", TEXT, .check = format_volume_id},
    {.name = "blocksize", TEXT},
    {.name = "bwlimit", TEXT, .check = format_bwlimit},
    {.name = "comstar_hg", TEXT},
    {.name = "comstar_tg", TEXT},
    {.name = "content", LIST, .check = format_content},
    {.name = "content-dirs", LIST, .check = format_content_dir},
    {.name = "create-base-path", FLAG},
    {.name = "create-subdirs", FLAG},
    {.name = "data-pool", TEXT},
    {.name = "datastore", TEXT},
    {.name = "disable", FLAG},
    {.name = "domain", TEXT, .max_length = 256},
    {.name = "encryption-key", TEXT},
    {.name = "export", TEXT, .check = format_path},
    {.name = "fingerprint", TEXT, .check = format_fingerprint},
    {.name = "format", TEXT, .words = image_formats},
    {.name = "fs-name", TEXT, .check = format_config_id},
    {.name = "fuse", FLAG},
    {.name = "is_mountpoint", TEXT},
    {.name = "iscsiprovider", TEXT},
    {.name = "keyring", TEXT},
    {.name = "krbd", FLAG},
    {.name = "lio_tpg", TEXT},
    {.name = "master-pubkey", TEXT},
    {.name = "max-protected-backups",
     .kind = STORAGECFG_INTEGER,
     .minimum = -1,
     .maximum = G_MAXINT64},
    {.name = "mkdir", FLAG},
    {.name = "monhost", LIST, .check = format_portal, .ordered = TRUE},
    {.name = "mountpoint", TEXT, .check = format_path},
    {.name = "namespace", TEXT},
    {.name = "nocow", FLAG},
    {.name = "nodes", LIST, .check = format_node},
    {.name = "nowritecache", FLAG},
    {.name = "options", TEXT, .check = format_options},
    {.name = "password", TEXT, .max_length = 256},
    {.name = "path", TEXT, .check = format_path},
    {.name = "pool", TEXT},
    {.name = "port", .kind = STORAGECFG_INTEGER, .minimum = 1, .maximum = 65535},
    {.name = "portal", TEXT, .check = format_portal},
    {.name = "preallocation", TEXT, .words = preallocations},
    {.name = "prune-backups", TEXT, .check = format_prune_backups},
    {.name = "saferemove", FLAG},
    {.name = "saferemove-stepsize", NUMBER, .words = step_sizes},
    {.name = "saferemove_throughput", TEXT},
    {.name = "server", TEXT, .check = format_server},
    {.name = "share", TEXT},
    {.name = "shared", FLAG},
    {.name = "skip-cert-verification", FLAG},
    {.name = "smbversion", TEXT, .words = smb_versions},
    {.name = "snapshot-as-volume-chain", FLAG},
    {.name = "sparse", FLAG},
    {.name = "storage", TEXT},
    {.name = "subdir", TEXT, .check = format_path},
    {.name = "tagged_only", FLAG},
    {.name = "target", TEXT},
    {.name = "thinpool", TEXT, .check = format_lvm_name},
    {.name = "type", TEXT},
    {.name = "username", TEXT},
    {.name = "vgname", TEXT, .check = format_lvm_name},
    {.name = "zfs-base-path", TEXT, .check = format_path},
};

/* Of the retired type alone: to all others they are unknown. */
static const StorageCfgProperty retired_properties[] = {
    {.name = "maxfiles", .kind = STORAGECFG_INTEGER, .minimum = 0, .maximum = G_MAXINT64},
    {.name = "server2", TEXT, .check = format_server},
    {.name = "transport", TEXT, .words = transports},
    {.name = "volume", TEXT},
};

/* The last braces are no block: */
/* clang-format off */
#define COMMON {"content", 0}, {"disable", 0}, {"nodes", 0}
#define FOLDER                                                                                  \
  {"bwlimit", 0}, {"content-dirs", 0}, {"create-base-path", 0}, {"create-subdirs", 0},          \
  {"format", 0}, {"max-protected-backups", 0}, {"mkdir", 0}, {"prune-backups", 0}
/* clang-format on */
#define FIXED STORAGECFG_FIXED
#define NEEDED (STORAGECFG_REQUIRED | STORAGECFG_FIXED)
#define OPTIONS(name, ...)                                                                         \
  static const StorageCfgOption name##_options[] = {COMMON, __VA_ARGS__, {NULL, 0}}

OPTIONS(lvmthin, {"vgname", NEEDED}, {"thinpool", NEEDED}, {"bwlimit", 0});
OPTIONS(lvm, {"vgname", NEEDED}, {"base", FIXED}, {"saferemove", 0}, {"saferemove-stepsize", 0},
        {"saferemove_throughput", 0}, {"tagged_only", 0}, {"shared", 0}, {"bwlimit", 0},
        {"snapshot-as-volume-chain", 0});
OPTIONS(dir, {"path", NEEDED}, FOLDER, {"shared", 0}, {"is_mountpoint", 0}, {"preallocation", 0},
        {"snapshot-as-volume-chain", FIXED});
OPTIONS(nfs, {"path", NEEDED}, {"server", NEEDED}, {"export", NEEDED}, {"options", 0}, FOLDER,
        {"preallocation", 0}, {"snapshot-as-volume-chain", FIXED});
OPTIONS(cifs, {"path", NEEDED}, {"server", NEEDED}, {"share", NEEDED}, {"subdir", 0},
        {"username", 0}, {"password", 0}, {"domain", 0}, {"smbversion", 0}, {"options", 0}, FOLDER,
        {"preallocation", 0}, {"snapshot-as-volume-chain", FIXED});
OPTIONS(btrfs, {"path", NEEDED}, {"shared", 0}, {"is_mountpoint", 0}, {"nocow", 0},
        {"preallocation", 0}, {"format", 0}, {"mkdir", 0}, {"create-base-path", 0},
        {"create-subdirs", 0}, {"prune-backups", 0}, {"max-protected-backups", 0});
OPTIONS(cephfs, {"path", NEEDED}, {"monhost", 0}, {"subdir", 0}, {"options", 0}, {"username", 0},
        {"fuse", 0}, {"keyring", 0}, {"fs-name", 0}, FOLDER);
OPTIONS(iscsi, {"portal", NEEDED}, {"target", NEEDED}, {"bwlimit", 0});
OPTIONS(rbd, {"monhost", 0}, {"pool", 0}, {"data-pool", 0}, {"namespace", 0}, {"username", 0},
        {"krbd", 0}, {"keyring", 0}, {"bwlimit", 0});
OPTIONS(zfspool, {"pool", NEEDED}, {"blocksize", 0}, {"sparse", 0}, {"mountpoint", 0},
        {"bwlimit", 0});
OPTIONS(zfs, {"portal", NEEDED}, {"target", NEEDED}, {"pool", NEEDED}, {"blocksize", NEEDED},
        {"iscsiprovider", NEEDED}, {"nowritecache", 0}, {"sparse", 0}, {"comstar_hg", 0},
        {"comstar_tg", 0}, {"lio_tpg", 0}, {"zfs-base-path", 0}, {"bwlimit", 0});
OPTIONS(pbs, {"server", NEEDED}, {"datastore", NEEDED}, {"namespace", 0}, {"port", 0},
        {"username", 0}, {"password", 0}, {"encryption-key", 0}, {"master-pubkey", 0},
        {"fingerprint", 0}, {"prune-backups", 0}, {"max-protected-backups", 0});
OPTIONS(esxi, {"server", STORAGECFG_REQUIRED}, {"username", STORAGECFG_REQUIRED}, {"password", 0},
        {"skip-cert-verification", 0}, {"port", 0}, {"shared", 0});
OPTIONS(glusterfs, {"path", NEEDED}, {"volume", NEEDED}, {"server", 0}, {"server2", 0},
        {"transport", 0}, {"maxfiles", 0}, {"bwlimit", 0}, {"create-base-path", 0},
        {"create-subdirs", 0}, {"format", 0}, {"max-protected-backups", 0}, {"mkdir", 0},
        {"prune-backups", 0}, {"preallocation", 0});

#define ALL_CONTENT "backup images import iso none rootdir snippets vztmpl"
#define SHARE_CONTENT "backup images import iso rootdir snippets vztmpl"

static const StorageCfgType lvmthin = {.name = "lvmthin",
                                       .options = lvmthin_options,
                                       .content = "images rootdir",
                                       .default_content = "images rootdir"},
                            lvm = {.name = "lvm",
                                   .options = lvm_options,
                                   .content = "images rootdir",
                                   .default_content = "images",
                                   .formats = "qcow2 raw"},
                            dir = {.name = "dir",
                                   .options = dir_options,
                                   .content = ALL_CONTENT,
                                   .default_content = "images rootdir",
                                   .formats = "qcow2 raw subvol vmdk"},
                            nfs = {.name = "nfs",
                                   .options = nfs_options,
                                   .content = SHARE_CONTENT,
                                   .default_content = "images",
                                   .formats = "qcow2 raw vmdk",
                                   .shared = TRUE,
                                   .has_default_path = TRUE},
                            cifs = {.name = "cifs",
                                    .options = cifs_options,
                                    .content = SHARE_CONTENT,
                                    .default_content = "images",
                                    .formats = "qcow2 raw vmdk",
                                    .shared = TRUE,
                                    .has_default_path = TRUE},
                            btrfs = {.name = "btrfs",
                                     .options = btrfs_options,
                                     .content = ALL_CONTENT,
                                     .default_content = "images rootdir",
                                     .formats = "raw subvol"},
                            cephfs = {.name = "cephfs",
                                      .options = cephfs_options,
                                      .content = "backup import iso snippets vztmpl",
                                      .default_content = "backup",
                                      .shared = TRUE,
                                      .has_default_path = TRUE},
                            iscsi = {.name = "iscsi",
                                     .options = iscsi_options,
                                     .content = "images none",
                                     .default_content = "images",
                                     .shared = TRUE},
                            iscsidirect = {.name = "iscsidirect",
                                           .options = iscsi_options,
                                           .content = "images none",
                                           .default_content = "images",
                                           .shared = TRUE},
                            rbd = {.name = "rbd",
                                   .options = rbd_options,
                                   .content = "images rootdir",
                                   .default_content = "images",
                                   .shared = TRUE},
                            zfspool = {.name = "zfspool",
                                       .options = zfspool_options,
                                       .content = "images rootdir",
                                       .default_content = "images rootdir",
                                       .formats = "raw subvol"},
                            zfs = {.name = "zfs",
                                   .options = zfs_options,
                                   .content = "images",
                                   .default_content = "images",
                                   .shared = TRUE},
                            pbs = {.name = "pbs",
                                   .options = pbs_options,
                                   .content = "backup none",
                                   .default_content = "backup",
                                   .shared = TRUE},
                            esxi = {.name = "esxi",
                                    .options = esxi_options,
                                    .content = "import",
                                    .default_content = "import",
                                    .formats = "qcow2 raw vmdk"},
                            glusterfs = {.name = "glusterfs",
                                         .options = glusterfs_options,
                                         .content = "backup images import iso snippets vztmpl",
                                         .default_content = "images",
                                         .formats = "qcow2 raw vmdk",
                                         .shared = TRUE,
                                         .has_default_path = TRUE,
                                         .retired = TRUE};

static const StorageCfgType *const types[] = {
    &btrfs, &cephfs,  &cifs, &dir, &esxi, &glusterfs, &iscsi,   &iscsidirect,
    &lvm,   &lvmthin, &nfs,  &pbs, &rbd,  &zfs,       &zfspool, NULL};

const StorageCfgType *const *storagecfg_types(void)
{
  return types;
}

const StorageCfgType *storagecfg_type_find(const char *name)
{
  for (gsize i = 0; types[i]; i++)
    if (strcmp(types[i]->name, name) == 0)
      return types[i];
  return NULL;
}

const StorageCfgOption *storagecfg_type_option(const StorageCfgType *type, const char *property)
{
  for (const StorageCfgOption *option = type->options; option->name; option++)
    if (strcmp(option->name, property) == 0)
      return option;
  return NULL;
}

const StorageCfgProperty *storagecfg_property_find(const char *name)
{
  gsize low = 0, high = G_N_ELEMENTS(properties);

  while (low < high) {
    gsize middle = (low + high) / 2;
    int order = strcmp(name, properties[middle].name);

    if (order == 0)
      return &properties[middle];
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return NULL;
}

const StorageCfgProperty *storagecfg_property_of(const StorageCfgType *type, const char *name)
{
  if (type->retired)
    for (gsize i = 0; i < G_N_ELEMENTS(retired_properties); i++)
      if (strcmp(retired_properties[i].name, name) == 0)
        return &retired_properties[i];
  return storagecfg_property_find(name);
}

const char *storagecfg_property_name(const StorageCfgProperty *property)
{
  return property->name;
}

StorageCfgKind storagecfg_property_kind(const StorageCfgProperty *property)
{
  return property->kind;
}

gboolean storagecfg_has_word(const char *words, const char *word)
{
  gsize length = strlen(word);
  const char *found = words;

  if (!words || !length || strchr(word, ' '))
    return FALSE;
  while ((found = strstr(found, word))) {
    if ((found == words || found[-1] == ' ') && (found[length] == ' ' || !found[length]))
      return TRUE;
    found += length;
  }
  return FALSE;
}
