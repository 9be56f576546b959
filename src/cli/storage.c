/* virt-thin - command storage: what storage.cfg says, and pvesm's commands
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cli/storage.h"

#include <string.h>

#define PVE_CONFIG "/etc/pve/storage.cfg"

char *storage_config_path(const char *given)
{
  g_autofree char *own = g_build_filename(VIRT_THIN_SYSCONFDIR, "virt-thin", "storage.cfg", NULL);

  if (given)
    return g_strdup(given);
  return g_file_test(own, G_FILE_TEST_EXISTS) || !g_file_test(PVE_CONFIG, G_FILE_TEST_EXISTS) ? g_steal_pointer(&own)
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

const CliCommand cli_end = {.name = NULL};

static const CliCommand *const commands[] = {&storage_check, &storage_apply, &cli_end};

const CliCommand cli_storage = {
    .name = "storage",
    .arguments = "COMMAND [ARGUMENT...]",
    .summary = "What storage.cfg says: check and apply it; pvesm's commands",
    .description = "The file is --config FILE, else /etc/virt-thin/storage.cfg, else /etc/pve/storage.cfg; see\n"
                   "virt-thin-storage.cfg(5).",
    .commands = commands,
};
