/* virt-thin - which backups of a folder are kept
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The rules are for the backups of the same volumes. The full image that a kept increment is based
 * on is kept, too; increments between them are merged into it (backup/merge.h).
 *
 * Errors: VT_ERROR. Thread-safety: main thread only.
 */
#pragma once

#include "backup/folder.h"
#include "util/keep.h"

/* Ids of those of @folder (loaded) that go, the newest first, when those that stay are merged.
 * @like: of this one's volumes alone; NULL: of all. *needed: how many are kept for others' sake
 * alone. GPtrArray of char *, the caller's. */
GPtrArray *backup_prune_select(BackupFolder *folder, const VtKeep *retention,
                               const BackupManifest *like, guint *needed);
