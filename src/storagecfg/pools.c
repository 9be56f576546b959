/* virt-thin - storage.cfg: the libvirt pools that a storage becomes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "storagecfg/pools.h"

#include <string.h>

#define QEMU_INITIATOR "iqn.2008-11.org.linux-kvm" /* QEMU block/iscsi.c */
/* libvirt's extensions of its pool document. */
#define FS_NAMESPACE " xmlns:fs='http://libvirt.org/schemas/storagepool/fs/1.0'"
#define RBD_NAMESPACE " xmlns:rbd='http://libvirt.org/schemas/storagepool/rbd/1.0'"

/* --- UUIDs --- */

char *storagecfg_pool_uuid(const char *name)
{
  /* virt-thin's name space, a random UUID. */
  static const guchar space[16] = {0x6f, 0x0a, 0x0c, 0x5e, 0x53, 0x2b, 0x4e, 0x0c,
                                   0x9d, 0x2e, 0x6c, 0x1f, 0x45, 0x1b, 0x7a, 0x31};
  g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA1);
  guchar u[20];
  gsize length = sizeof u;

  g_checksum_update(sum, space, sizeof space);
  g_checksum_update(sum, (const guchar *)name, (gssize)strlen(name));
  g_checksum_get_digest(sum, u, &length);
  u[6] = (u[6] & 0x0f) | 0x50;
  u[8] = (u[8] & 0x3f) | 0x80;
  return g_strdup_printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                         u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11],
                         u[12], u[13], u[14], u[15]);
}

/* --- places --- */

char *storagecfg_content_folder(const StorageCfgStorage *storage, const char *content)
{
  static const char *const folders[][2] = {{"backup", "dump"},
                                           {"iso", "template/iso"},
                                           {"rootdir", "private"},
                                           {"vztmpl", "template/cache"}};
  const StorageCfgValue *dirs = storagecfg_value(storage, "content-dirs");
  const char *path = storagecfg_string(storage, "path"), *folder = content;
  g_autofree char *key = g_strconcat(content, "=", NULL);

  for (char **dir = dirs ? dirs->list : NULL; dir && *dir; dir++)
    if (g_str_has_prefix(*dir, key))
      return g_build_filename(path, *dir + strlen(key), NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(folders); i++)
    if (strcmp(content, folders[i][0]) == 0)
      folder = folders[i][1];
  return g_build_filename(path, folder, NULL);
}

void storagecfg_split_portal(const char *portal, char **host, guint *port)
{
  const char *colon = strchr(portal, ':'), *close = strchr(portal, ']'), *end = NULL;

  if (portal[0] == '[' && close) {
    *host = g_strndup(portal + 1, close - portal - 1);
    end = close[1] == ':' ? close + 2 : NULL;
  } else if (colon && !strchr(colon + 1, ':')) {
    *host = g_strndup(portal, colon - portal);
    end = colon + 1;
  } else {
    const char *dot = colon ? strrchr(portal, '.') : NULL;
    g_autofree char *before = dot ? g_strndup(portal, dot - portal) : NULL;

    /* IPv6.port, but not the IPv4 address that an IPv6 one may end with. */
    if (before && !strchr(before, '.')) {
      *host = g_steal_pointer(&before);
      end = dot + 1;
    } else {
      *host = g_strdup(portal);
    }
  }
  *port = end ? (guint)MIN(g_ascii_strtoull(end, NULL, 10), G_MAXUINT16) : 0;
}

/* --- documents --- */

static void add(GString *xml, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void add(GString *xml, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start(args, format);
  text = g_markup_vprintf_escaped(format, args);
  va_end(args);
  g_string_append(xml, text);
}

static void pool_free(StorageCfgPool *pool)
{
  g_free(pool->name);
  g_free(pool->uuid);
  g_free(pool->document);
  g_free(pool->target);
  g_free(pool->secret_uuid);
  g_free(pool);
}

static GString *begin(const char *type, const char *name, const char *uuid, const char *name_space)
{
  GString *xml = g_string_new(NULL);

  add(xml, "<pool type='%s'", type);
  g_string_append(xml, name_space);
  add(xml, ">\n  <name>%s</name>\n  <uuid>%s</uuid>\n", name, uuid);
  if (strcmp(type, "dir") != 0)
    add(xml, "  <source>\n");
  return xml;
}

static void add_hosts(GString *xml, const char *const *portals)
{
  for (; *portals; portals++) {
    g_autofree char *host = NULL;
    guint port;

    storagecfg_split_portal(*portals, &host, &port);
    add(xml, "    <host name='%s'", host);
    if (port)
      add(xml, " port='%u'", port);
    add(xml, "/>\n");
  }
}

/* The mount options of the property "options", and more. */
static char *mount_options(const char *options, const char *more)
{
  g_auto(GStrv) list = g_strsplit(options ? options : "", ",", -1);
  GString *xml = g_string_new(NULL);

  if (options || more)
    add(xml, "  <fs:mount_opts>\n");
  for (char **option = list; *option; option++)
    if (**option)
      add(xml, "    <fs:option name='%s'/>\n", *option);
  if (more)
    add(xml, "    <fs:option name='%s'/>\n", more);
  if (options || more)
    add(xml, "  </fs:mount_opts>\n");
  return g_string_free(xml, FALSE);
}

/* No document may hold what XML cannot. */
static gboolean is_xml(const char *document)
{
  if (!g_utf8_validate(document, -1, NULL) || strstr(document, "&#x"))
    return FALSE;
  for (const char *p = document; *p; p++)
    if ((guchar)*p < ' ' && *p != '\n' && *p != '\t')
      return FALSE;
  return TRUE;
}

/* @xml: up to the end of <source>'s content. @rest: what comes behind <target>, or NULL. */
static StorageCfgPool *finish(StorageCfgPools *pools, GString *xml, const char *type,
                              const char *name, const char *uuid, const char *target,
                              const char *rest)
{
  StorageCfgPool *pool = g_new0(StorageCfgPool, 1);

  if (strcmp(type, "dir") != 0)
    add(xml, "  </source>\n");
  if (target)
    add(xml, "  <target>\n    <path>%s</path>\n  </target>\n", target);
  else if (strcmp(type, "logical") == 0)
    add(xml, "  <target/>\n");
  if (rest)
    g_string_append(xml, rest);
  add(xml, "</pool>\n");
  pool->type = type;
  pool->name = g_strdup(name);
  pool->uuid = g_strdup(uuid);
  pool->target = g_strdup(target);
  pool->document = g_string_free(xml, FALSE);
  g_ptr_array_add(pools->pools, pool);
  return pool;
}

static void note(StorageCfgPools *pools, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void note(StorageCfgPools *pools, const char *format, ...)
{
  va_list args;

  va_start(args, format);
  g_ptr_array_add(pools->notes, g_strdup_vprintf(format, args));
  va_end(args);
}

/* --- by type --- */

static void make_lvmthin(StorageCfgPools *pools, const StorageCfgStorage *storage, const char *uuid)
{
  GString *xml = begin("logical", storage->id, uuid, "");

  add(xml, "    <name>%s/%s</name>\n", storagecfg_string(storage, "vgname"),
      storagecfg_string(storage, "thinpool"));
  finish(pools, xml, "logical", storage->id, uuid, NULL, NULL);
}

static void make_lvm(StorageCfgPools *pools, const StorageCfgStorage *storage, const char *uuid)
{
  const char *vg = storagecfg_string(storage, "vgname");
  g_autofree char *target = g_strconcat("/dev/", vg, NULL);
  GString *xml = begin("logical", storage->id, uuid, "");

  add(xml, "    <name>%s</name>\n    <format type='lvm2'/>\n", vg);
  finish(pools, xml, "logical", storage->id, uuid, target, NULL);
}

static void make_folder(StorageCfgPools *pools, const StorageCfgStorage *storage,
                        const char *content, gboolean is_main)
{
  g_autofree char *folder = storagecfg_content_folder(storage, content),
                  *name = is_main ? g_strdup(storage->id)
                                  : g_strconcat(storage->id, "-", content, NULL),
                  *key = is_main ? g_strdup(storage->id)
                                 : g_strconcat(storage->id, "/", content, NULL),
                  *uuid = storagecfg_pool_uuid(key);
  GString *xml = begin("dir", name, uuid, "");
  StorageCfgPool *pool;

  pool = finish(pools, xml, "dir", name, uuid, folder, NULL);
  pool->makes_folders = storagecfg_boolean(storage, "mkdir", TRUE) &&
                        storagecfg_boolean(storage, "create-base-path", TRUE) &&
                        storagecfg_boolean(storage, "create-subdirs", TRUE);
}

static void make_folders(StorageCfgPools *pools, const StorageCfgStorage *storage)
{
  if (storagecfg_has_content(storage, "images"))
    make_folder(pools, storage, "images", TRUE);
  if (storagecfg_has_content(storage, "iso"))
    make_folder(pools, storage, "iso", FALSE);
  if (!pools->pools->len)
    pools->why_not = g_strdup("it holds nothing that a libvirt pool lists: neither images nor iso");
}

static void make_share(StorageCfgPools *pools, const StorageCfgStorage *storage, const char *uuid,
                       const char *format, const char *server, const char *dir, const char *more)
{
  const char *options = storagecfg_string(storage, "options"),
             *path = storagecfg_string(storage, "path");
  g_autofree char *extension = mount_options(options, more);
  GString *xml = begin("netfs", storage->id, uuid, options || more ? FS_NAMESPACE : "");
  StorageCfgPool *pool;

  add(xml, "    <host name='%s'/>\n    <dir path='%s'/>\n    <format type='%s'/>\n", server, dir,
      format);
  pool = finish(pools, xml, "netfs", storage->id, uuid, path, extension);
  pool->makes_folders = storagecfg_boolean(storage, "mkdir", TRUE) &&
                        storagecfg_boolean(storage, "create-base-path", TRUE);
  if (storagecfg_has_content(storage, "iso"))
    make_folder(pools, storage, "iso", FALSE);
  if (storagecfg_has_content(storage, "images"))
    note(
        pools,
        "pool %s lists the top of the share: what Proxmox keeps in its folder images does not show",
        storage->id);
}

static void make_nfs(StorageCfgPools *pools, const StorageCfgStorage *storage, const char *uuid)
{
  make_share(pools, storage, uuid, "nfs", storagecfg_string(storage, "server"),
             storagecfg_string(storage, "export"), NULL);
}

static void make_cifs(StorageCfgPools *pools, const StorageCfgStorage *storage, const char *uuid)
{
  const char *subdir = storagecfg_string(storage, "subdir"),
             *version = storagecfg_string(storage, "smbversion");
  g_autofree char *dir = g_strconcat(storagecfg_string(storage, "share"), subdir, NULL),
                  *more = version ? g_strconcat("vers=", version, NULL) : NULL;

  if (storagecfg_string(storage, "username") || storagecfg_string(storage, "password")) {
    pools->why_not = g_strdup(
        "libvirt mounts a CIFS share as guest only: it has no place for credentials. Mount it by "
        "fstab(5), and make it a dir storage");
    return;
  }
  make_share(pools, storage, uuid, "cifs", storagecfg_string(storage, "server"), dir, more);
}

static void make_glusterfs(StorageCfgPools *pools, const StorageCfgStorage *storage,
                           const char *uuid)
{
  const char *server = storagecfg_string(storage, "server"),
             *transport = storagecfg_string(storage, "transport");
  g_autofree char *more = transport ? g_strconcat("transport=", transport, NULL) : NULL;

  make_share(pools, storage, uuid, "glusterfs", server ? server : "localhost",
             storagecfg_string(storage, "volume"), more);
}

/* libvirt's IscsiQualifiedName. */
static gboolean is_iqn(const char *target)
{
  return g_regex_match_simple("^iqn\\.[0-9]{4}-(0[1-9]|1[0-2])\\.[a-zA-Z0-9.-]+(:.+)?$", target, 0,
                              0);
}

static void make_iscsi(StorageCfgPools *pools, const StorageCfgStorage *storage, const char *uuid,
                       const StorageCfgHost *host)
{
  const char *target = storagecfg_string(storage, "target");
  const char *const portals[] = {storagecfg_string(storage, "portal"), NULL};
  gboolean direct = strcmp(storage->type->name, "iscsidirect") == 0;
  GString *xml;

  if (!is_iqn(target)) {
    pools->why_not = g_strdup_printf(
        "target \"%s\" is no iSCSI qualified name (iqn.…), which libvirt wants", target);
    return;
  }
  xml = begin(direct ? "iscsi-direct" : "iscsi", storage->id, uuid, "");
  add_hosts(xml, portals);
  add(xml, "    <device path='%s'/>\n", target);
  if (direct)
    add(xml, "    <initiator>\n      <iqn name='%s'/>\n    </initiator>\n",
        host->initiator ? host->initiator : QEMU_INITIATOR);
  finish(pools, xml, direct ? "iscsi-direct" : "iscsi", storage->id, uuid,
         direct ? NULL : "/dev/disk/by-path", NULL);
}

static void make_rbd(StorageCfgPools *pools, const StorageCfgStorage *storage, const char *uuid,
                     const StorageCfgHost *host)
{
  const StorageCfgValue *monitors = storagecfg_value(storage, "monhost");
  const char *user = storagecfg_string(storage, "username"),
             *name = storagecfg_string(storage, "pool"),
             *data_pool = storagecfg_string(storage, "data-pool");
  g_autofree char *extension = NULL;
  gboolean secret = user || storagecfg_string(storage, "keyring") || host->ceph_keyring;
  g_autofree char *key = g_strconcat(storage->id, "/secret", NULL),
                  *secret_uuid = storagecfg_pool_uuid(key);
  GString *xml;

  if (storagecfg_string(storage, "namespace"))
    pools->why_not = g_strdup("libvirt's rbd pools have no namespaces");
  else if (!monitors || !monitors->list[0])
    pools->why_not = g_strdup("monhost is not set, and libvirt needs to be told the monitors");
  if (pools->why_not)
    return;
  if (data_pool)
    extension = g_markup_printf_escaped(
        "  <rbd:config_opts>\n    <rbd:option name='rbd_default_data_pool' value='%s'/>\n"
        "  </rbd:config_opts>\n",
        data_pool);
  xml = begin("rbd", storage->id, uuid, data_pool ? RBD_NAMESPACE : "");
  add_hosts(xml, (const char *const *)monitors->list);
  add(xml, "    <name>%s</name>\n", name ? name : "rbd");
  if (secret)
    add(xml, "    <auth type='ceph' username='%s'>\n      <secret uuid='%s'/>\n    </auth>\n",
        user ? user : "admin", secret_uuid);
  finish(pools, xml, "rbd", storage->id, uuid, NULL, extension)->secret_uuid =
      secret ? g_steal_pointer(&secret_uuid) : NULL;
}

static void make_zfspool(StorageCfgPools *pools, const StorageCfgStorage *storage, const char *uuid)
{
  const char *name = storagecfg_string(storage, "pool");
  g_autofree char *target = g_strconcat("/dev/zvol/", name, NULL);
  GString *xml = begin("zfs", storage->id, uuid, "");

  add(xml, "    <name>%s</name>\n", name);
  finish(pools, xml, "zfs", storage->id, uuid, target, NULL);
}

static void make(StorageCfgPools *pools, const StorageCfgStorage *storage,
                 const StorageCfgHost *host)
{
  static const struct {
    const char *type, *why_not;
  } none[] = {
      {"cephfs", "libvirt has no pool for CephFS. Mount it by fstab(5), and make it a dir storage"},
      {"zfs", "libvirt has no pool that makes volumes on a ZFS server; an iscsi storage shows "
              "those that it exports"},
      {"pbs", "libvirt has no pool for a Proxmox Backup Server: it holds backups, no volumes"},
      {"esxi",
       "libvirt has no pool for an ESXi server's storages; it imports guests with virt-v2v(1)"},
  };
  const char *type = storage->type->name;
  g_autofree char *uuid = storagecfg_pool_uuid(storage->id);

  for (gsize i = 0; i < G_N_ELEMENTS(none); i++)
    if (strcmp(type, none[i].type) == 0)
      pools->why_not = g_strdup(none[i].why_not);
  if (strcmp(type, "lvmthin") == 0)
    make_lvmthin(pools, storage, uuid);
  else if (strcmp(type, "lvm") == 0)
    make_lvm(pools, storage, uuid);
  else if (strcmp(type, "dir") == 0 || strcmp(type, "btrfs") == 0)
    make_folders(pools, storage);
  else if (strcmp(type, "nfs") == 0)
    make_nfs(pools, storage, uuid);
  else if (strcmp(type, "cifs") == 0)
    make_cifs(pools, storage, uuid);
  else if (strcmp(type, "glusterfs") == 0)
    make_glusterfs(pools, storage, uuid);
  else if (strcmp(type, "iscsi") == 0 || strcmp(type, "iscsidirect") == 0)
    make_iscsi(pools, storage, uuid, host);
  else if (strcmp(type, "rbd") == 0)
    make_rbd(pools, storage, uuid, host);
  else if (strcmp(type, "zfspool") == 0)
    make_zfspool(pools, storage, uuid);
}

/* --- what does not come along --- */

/* Properties without an effect on libvirt's pools, and why. The how-to "From storage.cfg to
 * libvirt" has them all. */
static const struct {
  const char *property, *why;
} without_effect[] = {
    {"base", "libvirt does not attach the volume that the volume group is on: make its storage "
             "start first"},
    {"blocksize", "libvirt's zfs pools have no block size"},
    {"bwlimit", "libvirt limits guests' disks, not pools"},
    {"format", "a volume's format is chosen when it is created"},
    {"krbd", "QEMU opens the images itself"},
    {"max-protected-backups", "backups are not libvirt's"},
    {"maxfiles", "backups are not libvirt's"},
    {"mountpoint", "it is of filesystems, which libvirt does not list"},
    {"nocow",
     "libvirt's dir pools do not set file attributes for one storage: use chattr +C on the folder"},
    {"preallocation", "chosen when a volume is created"},
    {"prune-backups", "backups are not libvirt's"},
    {"saferemove", "wipe with virsh vol-wipe before vol-delete"},
    {"saferemove-stepsize", "see saferemove"},
    {"saferemove_throughput", "see saferemove"},
    {"server2", "libvirt's netfs pools have one host"},
    {"snapshot-as-volume-chain",
     "libvirt makes such chains by domain snapshots, for any pool of files"},
    {"sparse", "libvirt makes a zvol sparse when its allocation is less than its capacity"},
    {"tagged_only", "libvirt lists every volume of the group"},
};

static void note_properties(StorageCfgPools *pools, const StorageCfgStorage *storage)
{
  for (gsize i = 0; i < G_N_ELEMENTS(without_effect); i++) {
    const StorageCfgValue *value = storagecfg_value(storage, without_effect[i].property);

    if (value && value->line)
      note(pools, "%s has no effect: %s", without_effect[i].property, without_effect[i].why);
  }
}

static gboolean is_folder_type(const StorageCfgStorage *storage)
{
  return storagecfg_value(storage, "path") != NULL;
}

static void note_content(StorageCfgPools *pools, const StorageCfgStorage *storage)
{
  const StorageCfgValue *content = storagecfg_value(storage, "content");
  g_autoptr(GString) hidden = g_string_new(NULL);

  for (char **word = content->list; *word; word++)
    if (strcmp(*word, "none") != 0 && strcmp(*word, "images") != 0 &&
        !(is_folder_type(storage) ? strcmp(*word, "iso") == 0
                                  : strcmp(storage->type->name, "zfspool") != 0))
      g_string_append_printf(hidden, "%s%s", hidden->len ? ", " : "", *word);
  if (hidden->len)
    note(pools, "content that does not show in libvirt: %s", hidden->str);
  if (strcmp(((StorageCfgPool *)pools->pools->pdata[0])->type, "dir") == 0 &&
      storagecfg_has_content(storage, "images"))
    note(pools, "disks in Proxmox's folders by VMID (images/100/...) do not show: libvirt lists "
                "files, not folders in "
                "folders");
}

StorageCfgPools *storagecfg_pools_new(const StorageCfgStorage *storage, const StorageCfgHost *host)
{
  StorageCfgPools *pools = g_new0(StorageCfgPools, 1);

  pools->pools = g_ptr_array_new_with_free_func((GDestroyNotify)pool_free);
  pools->notes = g_ptr_array_new_with_free_func(g_free);
  make(pools, storage, host);
  for (guint i = 0; i < pools->pools->len && !pools->why_not; i++)
    if (!is_xml(((StorageCfgPool *)pools->pools->pdata[i])->document))
      pools->why_not = g_strdup("a value has characters that a libvirt document cannot hold");
  if (pools->why_not) {
    g_ptr_array_set_size(pools->pools, 0);
    return pools;
  }
  note_properties(pools, storage);
  note_content(pools, storage);
  return pools;
}

void storagecfg_pools_free(StorageCfgPools *pools)
{
  if (!pools)
    return;
  g_ptr_array_unref(pools->pools);
  g_ptr_array_unref(pools->notes);
  g_free(pools->why_not);
  g_free(pools);
}
