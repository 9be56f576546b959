/* virt-thin - command storage: what storage.cfg says, and pvesm's commands
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cli/storage.h"

#include <stdio.h>
#include <string.h>

#define PVE_CONFIG "/etc/pve/storage.cfg"

char *storage_config_path(const char *given)
{
  g_autofree char *own = g_build_filename(VIRT_THIN_SYSCONFDIR, "virt-thin", "storage.cfg", NULL);

  if (given)
    return g_strdup(given);
  return g_file_test(own, G_FILE_TEST_EXISTS) || !g_file_test(PVE_CONFIG, G_FILE_TEST_EXISTS)
             ? g_steal_pointer(&own)
             : g_strdup(PVE_CONFIG);
}

StorageCfg *storage_config_load(const char *given, gboolean quietly, GError **error)
{
  g_autofree char *path = storage_config_path(given);
  StorageCfg *cfg = storagecfg_load(path, error);
  const GPtrArray *warnings;

  if (!cfg || quietly)
    return cfg;
  warnings = storagecfg_warnings(cfg);
  for (guint i = 0; i < warnings->len; i++) {
    g_autofree char *text = storagecfg_warning_format(cfg, warnings->pdata[i]);

    cli_warn("%s", text);
  }
  return cfg;
}

char *storage_node_name(void)
{
  const char *host = g_get_host_name();

  return g_strndup(host, strcspn(host, "."));
}

const StorageCfgStorage *storage_find(const StorageCfg *cfg, const char *id, GError **error)
{
  const StorageCfgStorage *storage = storagecfg_find(cfg, id);

  if (!storage)
    vt_set_error(error, ENOENT, "storage '%s' does not exist", id);
  else if (storage->broken)
    vt_set_error(error, EINVAL, "storage '%s' is broken: see line %u of %s", id, storage->line,
                 storagecfg_name(cfg));
  return storage && !storage->broken ? storage : NULL;
}

const StorageCfgStorage *storage_find_enabled(const StorageCfg *cfg, const char *id, GError **error)
{
  const StorageCfgStorage *storage = storage_find(cfg, id, error);
  g_autofree char *node = storage_node_name();

  if (!storage)
    return NULL;
  if (!storagecfg_is_enabled(storage))
    vt_set_error(error, EPERM, "storage '%s' is disabled", id);
  else if (!storagecfg_is_on_node(storage, node))
    vt_set_error(error, EPERM, "storage '%s' is not available on node '%s'", id, node);
  else
    return storage;
  return NULL;
}

gboolean storage_check_vmid(const char *vmid, GError **error)
{
  if (!*vmid || strspn(vmid, "0123456789") != strlen(vmid))
    return storage_bad_parameter(error, "vmid", "type check ('integer') failed - got '%s'", vmid);
  return pool_guest_is_vmid(vmid) ||
         storage_bad_parameter(error, "vmid",
                               "invalid format - value does not look like a valid VM ID");
}

gboolean storage_require_lvm(const StorageCfgStorage *storage, const char *what,
                             PoolGuestStorage *kind, GError **error)
{
  gboolean thin = strcmp(storage->type->name, "lvmthin") == 0;

  *kind = thin ? POOL_GUEST_THIN : POOL_GUEST_THICK;
  return thin || strcmp(storage->type->name, "lvm") == 0 ||
         vt_set_error(error, EOPNOTSUPP,
                      "storage '%s' is of type %s: virt-thin can %s in folders and on storages of "
                      "types lvmthin and "
                      "lvm; use virsh for its pool",
                      storage->id, storage->type->name, what);
}

gboolean storage_split_volume(const char *text, const char *storage, char **id, char **volume,
                              GError **error)
{
  g_autoptr(GError) local = NULL;

  *id = *volume = NULL;
  if (!strchr(text, ':')) {
    if (!storage)
      return storage_bad_parameter(error, "volume", "no storage specified - incomplete volume ID");
    *id = g_strdup(storage);
    *volume = g_strdup(text);
    return TRUE;
  }
  if (!pool_guest_parse_volume_id(text, id, volume, &local))
    return storage_bad_parameter(error, "volume", "%s", local->message);
  if (storage && strcmp(storage, *id) != 0)
    return storage_bad_parameter(error, "volume", "storage ID mismatch (%s != %s)", *id, storage);
  return TRUE;
}

/* What plugins of pve-storage 9.1.7 are made for: scripts ask for it. */
static gboolean tell_api(const StorageWords *words, GError **error)
{
  printf("APIVER 15\nAPIAGE 6\n");
  return TRUE;
}

static int run_apiinfo(char **words)
{
  static const char *const no_arguments[] = {NULL};
  static const StorageUsage usage = {.name = "apiinfo",
                                     .arguments = no_arguments,
                                     .summary =
                                         "Which version of Proxmox's storage API this is like"};

  return storage_run(&usage, tell_api, words);
}

static const CliCommand storage_apiinfo = {
    .name = "apiinfo",
    .summary = "Which version of Proxmox's storage API this is like",
    .run_words = run_apiinfo};

const CliCommand cli_end = {.name = NULL};

static const CliCommand *const commands[] = {
    &storage_check,
    &storage_apply,
    NULL,
    &storage_status,
    &storage_list,
    &storage_alloc,
    &storage_free,
    &storage_path,
    &storage_scan,
    &storage_export,
    &storage_import,
    NULL,
    &storage_add,
    &storage_set,
    &storage_remove,
    NULL,
    &storage_prune,
    &storage_extract,
    &storage_apiinfo,
    &storage_lvmscan,
    &storage_lvmthinscan,
    &cli_end,
};

const CliCommand cli_storage = {
    .name = "storage",
    .arguments = "COMMAND [ARGUMENT...]",
    .summary = "What storage.cfg says: check and apply it; pvesm's commands",
    .description = "The file is --config FILE, else /etc/virt-thin/storage.cfg, else "
                   "/etc/pve/storage.cfg; see\n"
                   "virt-thin-storage.cfg(5). All but check and apply are Proxmox VE's pvesm: its "
                   "words, arguments and\n"
                   "output. 'virt-thin storage COMMAND --help' explains a command.",
    .commands = commands,
};
