/* virt-thin - what the commands of `virt-thin storage` share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: main thread only. Errors: as cli.h.
 */
#pragma once

#include "cli/cli.h"
#include "storagecfg/storagecfg.h"

extern const CliCommand storage_check, storage_apply;

/* The file: @given, else /etc/virt-thin/storage.cfg (sysconfdir) when it is there, else /etc/pve/storage.cfg.
 * Free with g_free(). */
char *storage_config_path(const char *given);
/* Parse it. What is wrong in it is told on standard error in Proxmox's words, unless @quietly. */
StorageCfg *storage_config_load(const char *given, gboolean quietly, GError **error);
/* This node's name, as Proxmox takes it: the host's name up to the first dot. Free with g_free(). */
char *storage_node_name(void);
