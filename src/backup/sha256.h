/* virt-thin - SHA-256 as fast as the processor has it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * By GnuTLS where that is installed (it is loaded, and uses the processor's instructions), else by
 * GLib, which takes five times as long. Thread-safety: made on the main thread; then one thread at
 * a time.
 */
#pragma once

#include <glib.h>

typedef struct BackupSha256 BackupSha256;
BackupSha256 *backup_sha256_new(void);
void backup_sha256_update(BackupSha256 *sum, const void *data, gsize length);
/* 64 lower case digits, the caller's; the end of @sum. */
char *backup_sha256_end(BackupSha256 *sum);
void backup_sha256_free(BackupSha256 *sum); /* one that is not wanted */
