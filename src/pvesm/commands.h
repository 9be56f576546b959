/* virt-thin - command storage, and the commands that it has
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: main thread only.
 */
#pragma once

#include "pvesm/pvesm.h"

extern const CliCommand cli_storage;

extern const CliCommand storage_check, storage_apply;
extern const CliCommand storage_status, storage_list, storage_alloc, storage_free, storage_path,
    storage_scan, storage_lvmscan, storage_lvmthinscan, storage_export, storage_import,
    storage_prune, storage_extract, storage_add, storage_set, storage_remove;
