/* virt-thin - what the commands of `virt-thin storage` share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pvesm/pvesm.h"

#include <stdio.h>
#include <string.h>

#define PVE_CONFIG "/etc/pve/storage.cfg"

char *pvesm_config_path(const char *given)
{
  g_autofree char *own = g_build_filename(VIRT_THIN_SYSCONFDIR, "virt-thin", "storage.cfg", NULL);

  if (given)
    return g_strdup(given);
  return g_file_test(own, G_FILE_TEST_EXISTS) || !g_file_test(PVE_CONFIG, G_FILE_TEST_EXISTS)
             ? g_steal_pointer(&own)
             : g_strdup(PVE_CONFIG);
}

StorageCfg *pvesm_config_load(const char *given, gboolean quietly, GError **error)
{
  g_autofree char *path = pvesm_config_path(given);
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

char *pvesm_node_name(void)
{
  const char *host = g_get_host_name();

  return g_strndup(host, strcspn(host, "."));
}

const StorageCfgStorage *pvesm_find(const StorageCfg *cfg, const char *id, GError **error)
{
  const StorageCfgStorage *storage = storagecfg_find(cfg, id);

  if (!storage)
    vt_set_error(error, ENOENT, "storage '%s' does not exist", id);
  else if (storage->broken)
    vt_set_error(error, EINVAL, "storage '%s' is broken: see line %u of %s", id, storage->line,
                 storagecfg_name(cfg));
  return storage && !storage->broken ? storage : NULL;
}

const StorageCfgStorage *pvesm_find_enabled(const StorageCfg *cfg, const char *id, GError **error)
{
  const StorageCfgStorage *storage = pvesm_find(cfg, id, error);
  g_autofree char *node = pvesm_node_name();

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

gboolean pvesm_check_vmid(const char *vmid, GError **error)
{
  if (!*vmid || strspn(vmid, "0123456789") != strlen(vmid))
    return pvesm_bad_parameter(error, "vmid", "type check ('integer') failed - got '%s'", vmid);
  return pool_guest_is_vmid(vmid) ||
         pvesm_bad_parameter(error, "vmid",
                             "invalid format - value does not look like a valid VM ID");
}

gboolean pvesm_require_lvm(const StorageCfgStorage *storage, const char *what,
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

gboolean pvesm_split_volume(const char *text, const char *storage, char **id, char **volume,
                            GError **error)
{
  g_autoptr(GError) local = NULL;

  *id = *volume = NULL;
  if (!strchr(text, ':')) {
    if (!storage)
      return pvesm_bad_parameter(error, "volume", "no storage specified - incomplete volume ID");
    *id = g_strdup(storage);
    *volume = g_strdup(text);
    return TRUE;
  }
  if (!pool_guest_parse_volume_id(text, id, volume, &local))
    return pvesm_bad_parameter(error, "volume", "%s", local->message);
  if (storage && strcmp(storage, *id) != 0)
    return pvesm_bad_parameter(error, "volume", "storage ID mismatch (%s != %s)", *id, storage);
  return TRUE;
}
