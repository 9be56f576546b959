/* virt-thin - command storage, and the commands that it has
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: main thread only.
 */
#pragma once

#include "pvesm/pvesm.h"

extern const CliCommand cli_storage;

extern const CliCommand pvesm_check, pvesm_apply;
extern const CliCommand pvesm_status, pvesm_list, pvesm_alloc, pvesm_free, pvesm_path, pvesm_scan,
    pvesm_lvmscan, pvesm_lvmthinscan, pvesm_export, pvesm_import, pvesm_prune, pvesm_extract,
    pvesm_add, pvesm_set, pvesm_remove;
