/* virt-thin - command storage: what storage.cfg says, and pvesm's commands
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pvesm/commands.h"

#include <stdio.h>

/* What plugins of pve-storage 9.1.7 are made for: scripts ask for it. */
static gboolean tell_api(const PvesmWords *words, GError **error)
{
  printf("APIVER 15\nAPIAGE 6\n");
  return TRUE;
}

static int run_apiinfo(char **words)
{
  static const char *const no_arguments[] = {NULL};
  static const PvesmUsage usage = {.name = "apiinfo",
                                   .arguments = no_arguments,
                                   .summary =
                                       "Which version of Proxmox's storage API this is like"};

  return pvesm_run(&usage, tell_api, words);
}

static const CliCommand pvesm_apiinfo = {.name = "apiinfo",
                                         .summary =
                                             "Which version of Proxmox's storage API this is like",
                                         .run_words = run_apiinfo};

static const CliCommand *const commands[] = {
    &pvesm_check,       &pvesm_apply,   NULL,           &pvesm_status,
    &pvesm_list,        &pvesm_alloc,   &pvesm_free,    &pvesm_path,
    &pvesm_scan,        &pvesm_export,  &pvesm_import,  NULL,
    &pvesm_add,         &pvesm_set,     &pvesm_remove,  NULL,
    &pvesm_prune,       &pvesm_extract, &pvesm_apiinfo, &pvesm_lvmscan,
    &pvesm_lvmthinscan, &cli_end,
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
