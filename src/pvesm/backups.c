/* virt-thin - commands storage prune-backups and extractconfig: pvesm's
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Backups of Proxmox's vzdump are no volumes: virt-thin neither makes nor reads them. A script that
 * asks every storage for them learns that a storage that can have none has none, and of another
 * that it has to ask Proxmox.
 */
#include <stdio.h>
#include <string.h>

#include "pvesm/commands.h"

static gboolean may_have_backups(const StorageCfgStorage *storage)
{
  g_auto(GStrv) words = g_strsplit(storage->type->content, " ", -1);

  return g_strv_contains((const char *const *)words, "backup");
}

static gboolean refuse(const StorageCfgStorage *storage, const char *what, GError **error)
{
  return vt_set_error(error, EOPNOTSUPP,
                      "storage '%s' is of type %s: virt-thin does not %s; use Proxmox VE's pvesm",
                      storage->id, storage->type->name, what);
}

/* --- prune-backups --- */

static const char *const keeps[] = {"keep-last",   "keep-hourly",  "keep-daily",
                                    "keep-weekly", "keep-monthly", "keep-yearly"};

static gboolean check_keeps(const PvesmWords *words, GError **error)
{
  gboolean any = FALSE;

  for (gsize i = 0; i < G_N_ELEMENTS(keeps); i++) {
    const char *text = pvesm_option(words, keeps[i]);
    guint64 number = 0;

    if (text && !g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT, &number, NULL))
      return pvesm_bad_parameter(error, keeps[i], "type check ('integer') failed - got '%s'", text);
    any = any || number > 0;
  }
  if (any && pvesm_flag(words, "keep-all"))
    return pvesm_bad_parameter(error, "prune-backups",
                               "keep-all cannot be set together with other options.");
  return TRUE;
}

static gboolean prune(const PvesmWords *words, GError **error)
{
  const char *id = pvesm_word(words, 0), *type = pvesm_option(words, "type"),
             *vmid = pvesm_option(words, "vmid");
  g_autoptr(StorageCfg) cfg = NULL;
  const StorageCfgStorage *storage;

  if (!check_keeps(words, error) || (vmid && !pvesm_check_vmid(vmid, error)))
    return FALSE;
  if (type && strcmp(type, "qemu") != 0 && strcmp(type, "lxc") != 0)
    return pvesm_bad_parameter(
        error, "type", "value '%s' does not have a value in the enumeration 'qemu, lxc'", type);
  cfg = pvesm_config_load(pvesm_option(words, "config"), FALSE, error);
  storage = cfg ? pvesm_find_enabled(cfg, id, error) : NULL;
  if (!storage)
    return FALSE;
  if (may_have_backups(storage))
    return refuse(storage, "prune backups", error);
  if (pvesm_flag(words, "dry-run"))
    printf("No backups found\n");
  return TRUE;
}

/* --- extractconfig --- */

static gboolean extract(const PvesmWords *words, GError **error)
{
  g_autoptr(StorageCfg) cfg = pvesm_config_load(pvesm_option(words, "config"), FALSE, error);
  g_autofree char *id = NULL, *volume = NULL;
  g_autoptr(GError) local = NULL;
  const StorageCfgStorage *storage;

  if (!cfg)
    return FALSE;
  if (!pool_guest_parse_volume_id(pvesm_word(words, 0), &id, &volume, &local))
    return pvesm_bad_parameter(error, "volume", "invalid format - %s", local->message);
  storage = pvesm_find_enabled(cfg, id, error);
  if (!storage)
    return FALSE;
  return may_have_backups(storage)
             ? refuse(storage, "read the configuration out of backups", error)
             : vt_set_error(error, EINVAL, "volume '%s:%s' is no backup", id, volume);
}

/* --- the commands --- */

static const char *const pvesm_argument[] = {"storage", NULL}, *const volume_argument[] = {"volume",
                                                                                           NULL};
static const PvesmOption prune_options[] = {
    {"keep-all", PVESM_FLAG, "[0|1]  As pvesm has it"},
    {"keep-last", PVESM_TEXT, "N  As pvesm has it"},
    {"keep-hourly", PVESM_TEXT, "N  As pvesm has it"},
    {"keep-daily", PVESM_TEXT, "N  As pvesm has it"},
    {"keep-weekly", PVESM_TEXT, "N  As pvesm has it"},
    {"keep-monthly", PVESM_TEXT, "N  As pvesm has it"},
    {"keep-yearly", PVESM_TEXT, "N  As pvesm has it"},
    {"type", PVESM_TEXT, "qemu|lxc  As pvesm has it"},
    {"vmid", PVESM_TEXT, "VMID  As pvesm has it"},
    {"dry-run", PVESM_FLAG, "[0|1]  Say what would be done"},
    {NULL, 0, NULL},
};
static const PvesmUsage prune_usage = {
    .name = "prune-backups",
    .arguments = pvesm_argument,
    .options = prune_options,
    .summary = "Of a storage that can have no backups: there are none. Of another it is refused",
};
static const PvesmUsage extract_usage = {
    .name = "extractconfig",
    .arguments = volume_argument,
    .summary = "Refused: virt-thin does not read vzdump's backups",
};

static int run_prune(char **words)
{
  return pvesm_run(&prune_usage, prune, words);
}

static int run_extract(char **words)
{
  return pvesm_run(&extract_usage, extract, words);
}

const CliCommand pvesm_prune = {
    .name = "prune-backups",
    .summary = "Of a storage that can have none: there are none",
    .run_words = run_prune,
};
const CliCommand pvesm_extract = {
    .name = "extractconfig",
    .summary = "Refused: vzdump's backups are not read",
    .run_words = run_extract,
};
