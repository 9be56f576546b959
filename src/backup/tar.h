/* virt-thin - a backup as a tar archive, for a pipe
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ustar, with GNU tar's long names and large sizes. What it unpacks to is a backup in a folder
 * (folder.h). Errors: VT_ERROR; EBADMSG. Thread-safety: pure but for the file descriptors.
 */
#pragma once

#include "util/error.h"

/* A folder when @size is G_MAXUINT64. */
gboolean backup_tar_write_header(int fd, const char *name, guint64 size, gint64 time,
                                 GError **error);
/* What fills up the last block of a file of @size bytes. */
gboolean backup_tar_pad(int fd, guint64 size, GError **error);
gboolean backup_tar_write_file(int fd, const char *name, const char *data, gsize length,
                               gint64 time, GError **error);
gboolean backup_tar_end(int fd, GError **error);

/* The next file's name without its folders, and size; *name NULL: the end. Folders are passed
 * over. The caller reads @size bytes and then backup_tar_skip_pad(). */
gboolean backup_tar_read_header(int fd, char **name, guint64 *size, GError **error);
gboolean backup_tar_skip_pad(int fd, guint64 size, GError **error);
