/* virt-thin - command storage apply: libvirt's pools as storage.cfg has them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>

#include "apply/apply.h"
#include "cli/json.h"
#include "pvesm/commands.h"

static char *config, *node_option, *uri;
static gboolean adopt, dry_run, json;

static void add_step(JsonBuilder *builder, const ApplyStep *step)
{
  json_builder_begin_object(builder);
  cli_json_string(builder, "storage", step->storage);
  cli_json_string(builder, "pool", step->pool);
  cli_json_string(builder, "uuid", step->uuid);
  cli_json_string(builder, "type", step->type);
  cli_json_string(builder, "action", apply_action_name(step->action));
  cli_json_string(builder, "reason", step->reason);
  cli_json_strings(builder, "notes", (char **)step->notes->pdata, step->notes->len);
  cli_json_boolean(builder, "done", step->done);
  cli_json_string(builder, "error", step->error ? step->error->message : NULL);
  json_builder_end_object(builder);
}

static void print_json(const StorageCfg *cfg, const ApplyPlan *plan, ApplyHost *host,
                       const char *node)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();
  g_autofree char *address = apply_host_uri(host);

  json_builder_begin_object(builder);
  cli_json_string(builder, "config", storagecfg_name(cfg));
  cli_json_string(builder, "node", node);
  cli_json_string(builder, "uri", address);
  cli_json_boolean(builder, "dry_run", dry_run);
  json_builder_set_member_name(builder, "plan");
  json_builder_begin_array(builder);
  for (guint i = 0; i < plan->steps->len; i++)
    add_step(builder, plan->steps->pdata[i]);
  json_builder_end_array(builder);
  json_builder_end_object(builder);
  cli_json_print(builder);
}

static void print_plan(const ApplyPlan *plan)
{
  int width = (int)strlen("POOL");

  for (guint i = 0; i < plan->steps->len; i++) {
    const ApplyStep *step = plan->steps->pdata[i];

    width = MAX(width, (int)strlen(step->pool ? step->pool : step->storage));
  }
  printf("%-12s %-*s %s\n", "PLAN", width, "POOL", "REASON");
  for (guint i = 0; i < plan->steps->len; i++) {
    const ApplyStep *step = plan->steps->pdata[i];

    printf("%-12s %-*s %s\n", apply_action_name(step->action), width,
           step->pool ? step->pool : step->storage, step->reason);
    for (guint j = 0; j < step->notes->len; j++)
      printf("%-12s %-*s note: %s\n", "", width, "", (char *)step->notes->pdata[j]);
  }
  fflush(stdout);
}

static void tell_failures(const ApplyPlan *plan)
{
  for (guint i = 0; i < plan->steps->len; i++) {
    const ApplyStep *step = plan->steps->pdata[i];

    if (step->error)
      cli_warn("storage %s: %s", step->storage, step->error->message);
    else if (step->conflict)
      cli_warn("storage %s: %s", step->storage, step->reason);
  }
}

static gboolean has_conflict(const ApplyPlan *plan)
{
  for (guint i = 0; i < plan->steps->len; i++)
    if (((ApplyStep *)plan->steps->pdata[i])->conflict)
      return TRUE;
  return FALSE;
}

static int run_apply(char **args, GError **error)
{
  g_autofree char *node = node_option ? g_strdup(node_option) : pvesm_node_name();
  g_autoptr(StorageCfg) cfg = NULL;
  g_autoptr(ApplyHost) host = NULL;
  g_autoptr(ApplyPlan) plan = NULL;
  g_autoptr(GError) local = NULL;
  gboolean ok;

  if (node_option && !storagecfg_check_node(node, &local))
    return cli_usage(error, "--node %s: %s", node, local->message), CLI_WRONG_USAGE;
  cfg = pvesm_config_load(config, FALSE, error);
  host = cfg ? apply_host_open(uri, error) : NULL;
  if (!host)
    return CLI_FAILED;
  plan = apply_plan_new(cfg, host, node, adopt);
  if (!json)
    print_plan(plan);
  ok = dry_run || apply_plan_run(plan, host);
  if (json)
    print_json(cfg, plan, host, node);
  tell_failures(plan);
  return cli_status(ok && !has_conflict(plan));
}

static const GOptionEntry apply_options[] = {
    {"config", 0, 0, G_OPTION_ARG_FILENAME, &config, "The storage.cfg to apply", "FILE"},
    {"node", 0, 0, G_OPTION_ARG_FILENAME, &node_option,
     "This node's name in it (default: the host's name)", "NAME"},
    {"connect", 'c', 0, G_OPTION_ARG_FILENAME, &uri, "libvirt's address (default: virsh's)", "URI"},
    {"adopt", 0, 0, G_OPTION_ARG_NONE, &adopt,
     "Take over pools of the same source that somebody else has defined", NULL},
    {"dry-run", 0, 0, G_OPTION_ARG_NONE, &dry_run, "Print the plan, and do nothing", NULL},
    {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print the plan, and what came of it, as JSON", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand pvesm_apply = {
    .name = "apply",
    .arguments = "",
    .summary = "Make libvirt's pools match a storage.cfg",
    .description = "Defines, starts and updates the pools of the storages that are enabled and "
                   "meant for this node, and stops\n"
                   "those of ours that are not; never what a domain uses, and no volume group that "
                   "another storage uses. Pools\n"
                   "that virt-thin did not make are left alone, or taken over by --adopt, and no "
                   "data is destroyed. Run\ntwice, the second run changes\n"
                   "nothing. Exit status 1 when a pool could not be brought to what the plan says, "
                   "or its name is taken.",
    .options = apply_options,
    .min_args = 0,
    .max_args = 0,
    .run = run_apply,
};
