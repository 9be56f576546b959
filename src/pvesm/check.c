/* virt-thin - command storage check: what Proxmox makes of a storage.cfg
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>

#include "cli/json.h"
#include "pvesm/commands.h"

static gboolean json, strict;

/* --- JSON --- */

static void add_value(JsonBuilder *builder, const StorageCfgValue *value)
{
  const char *name = storagecfg_property_name(value->property);

  switch (storagecfg_property_kind(value->property)) {
  case STORAGECFG_LIST:
    cli_json_strings(builder, name, value->list, g_strv_length(value->list));
    return;
  case STORAGECFG_BOOLEAN: cli_json_boolean(builder, name, strcmp(value->text, "1") == 0); return;
  case STORAGECFG_INTEGER:
    json_builder_set_member_name(builder, name);
    json_builder_add_int_value(builder, g_ascii_strtoll(value->text, NULL, 10));
    return;
  case STORAGECFG_STRING: cli_json_string(builder, name, value->text); return;
  }
}

static void add_storage(JsonBuilder *builder, const StorageCfgStorage *storage)
{
  json_builder_begin_object(builder);
  cli_json_string(builder, "id", storage->id);
  cli_json_string(builder, "type", storage->type->name);
  cli_json_number(builder, "order", storage->order);
  cli_json_boolean(builder, "broken", storage->broken);
  json_builder_set_member_name(builder, "properties");
  json_builder_begin_object(builder);
  for (guint i = 0; i < storage->values->len; i++)
    add_value(builder, storage->values->pdata[i]);
  json_builder_end_object(builder);
  json_builder_end_object(builder);
}

static void add_warning(JsonBuilder *builder, const StorageCfgWarning *warning)
{
  json_builder_begin_object(builder);
  cli_json_number(builder, "line", warning->line);
  cli_json_string(builder, "section", warning->section);
  cli_json_string(builder, "verdict", storagecfg_verdict_name(warning->verdict));
  cli_json_string(builder, "message", warning->message);
  json_builder_end_object(builder);
}

static void print_json(const StorageCfg *cfg)
{
  const GPtrArray *storages = storagecfg_storages(cfg), *warnings = storagecfg_warnings(cfg);
  g_autoptr(JsonBuilder) builder = json_builder_new();

  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, "storages");
  json_builder_begin_array(builder);
  for (guint i = 0; i < storages->len; i++)
    add_storage(builder, storages->pdata[i]);
  json_builder_end_array(builder);
  json_builder_set_member_name(builder, "warnings");
  json_builder_begin_array(builder);
  for (guint i = 0; i < warnings->len; i++)
    add_warning(builder, warnings->pdata[i]);
  json_builder_end_array(builder);
  json_builder_end_object(builder);
  cli_json_print(builder);
}

/* --- text --- */

static char *describe_state(const StorageCfgStorage *storage)
{
  const StorageCfgValue *nodes = storagecfg_value(storage, "nodes");

  if (storage->broken)
    return g_strdup("broken");
  if (!storagecfg_is_enabled(storage))
    return g_strdup("disabled");
  if (nodes && !nodes->list[0])
    return g_strdup("on no node");
  if (nodes) {
    g_autofree char *list = g_strjoinv(",", nodes->list);

    return g_strconcat("on ", list, NULL);
  }
  return g_strdup("on all nodes");
}

static void print_text(const StorageCfg *cfg)
{
  const GPtrArray *storages = storagecfg_storages(cfg);
  int width = (int)strlen("STORAGE");

  for (guint i = 0; i < storages->len; i++)
    width = MAX(width, (int)strlen(((StorageCfgStorage *)storages->pdata[i])->id));
  printf("%-*s %-11s %-24s %s\n", width, "STORAGE", "TYPE", "STATE", "CONTENT");
  for (guint i = 0; i < storages->len; i++) {
    const StorageCfgStorage *storage = storages->pdata[i];
    const StorageCfgValue *content = storagecfg_value(storage, "content");
    g_autofree char *words =
        content && !storage->broken ? g_strjoinv(",", content->list) : g_strdup("-");
    g_autofree char *where = describe_state(storage);

    printf("%-*s %-11s %-24s %s\n", width, storage->id, storage->type->name, where, words);
    if (storage->replaced)
      cli_warn("note: storage \"local\" is the folder /var/lib/vz on every node, whatever line %u "
               "and those behind it "
               "say",
               storage->line);
  }
}

static int run_check(char **args, GError **error)
{
  g_autoptr(StorageCfg) cfg = pvesm_config_load(args ? args[0] : NULL, json, error);
  guint n;

  if (!cfg)
    return CLI_FAILED;
  if (json)
    print_json(cfg);
  else
    print_text(cfg);
  n = storagecfg_warnings(cfg)->len;
  if (strict && n) {
    vt_set_error(error, EINVAL, "%s: %u warning%s, which --strict takes for errors",
                 storagecfg_name(cfg), n, n == 1 ? "" : "s");
    return CLI_FAILED;
  }
  return CLI_OK;
}

static const GOptionEntry check_options[] = {
    {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON, warnings included", NULL},
    {"strict", 0, 0, G_OPTION_ARG_NONE, &strict, "Exit status 1 if there is any warning", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand pvesm_check = {
    .name = "check",
    .arguments = "[FILE]",
    .summary = "Tell what Proxmox VE makes of a storage.cfg",
    .description = "Lists the storages, and on standard error what is wrong, by file, line and "
                   "section, with Proxmox's verdict:\n"
                   "a storage is broken (fatal), a section is no storage (skipped), a property "
                   "(dropped) or a line (ignored) has\n"
                   "no effect. A broken section harms no other. Without FILE: "
                   "/etc/virt-thin/storage.cfg, else\n"
                   "/etc/pve/storage.cfg. Changes nothing.",
    .options = check_options,
    .min_args = 0,
    .max_args = 1,
    .run = run_check,
};
