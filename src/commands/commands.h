/* virt-thin - the commands of the virt-thin program
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * `virt-thin storage` and its commands are in pvesm/commands.h. Thread-safety: main thread only.
 */
#pragma once

#include "cli/cli.h"

/* In the order of the list of commands. */
extern const CliCommand cli_init, cli_extend, cli_serve, cli_stop, cli_release, cli_activate,
    cli_deactivate, cli_list, cli_tree, cli_info, cli_metrics, cli_top, cli_usage_command,
    cli_delta, cli_dump, cli_check, cli_repair, cli_create, cli_clone, cli_template, cli_snapshot,
    cli_rollback, cli_rename, cli_resize, cli_remove, cli_import, cli_export, cli_rescue, cli_mount,
    cli_umount, cli_nbd, cli_backup, cli_restore, cli_send, cli_receive, cli_archive, cli_unarchive,
    cli_replicate, cli_failover, cli_schedule, cli_enable, cli_disable, cli_stream, cli_refresh;
