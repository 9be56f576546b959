/* virt-thin - a pool's metadata as a dump has it that was kept
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "rescue/dump.h"

#include <stdio.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "thin/format/disk-format.h"
#include "thin/rebuild/xml.h"

/* A file without a name that has room for @n_blocks, and for counting them. */
static VtIo *temporary_file(const char *name, guint64 n_blocks, GError **error)
{
  guint64 size = (2 * n_blocks + 1024) * THIN_METADATA_BLOCK;
  g_autofree char *path = NULL;
  int fd = g_file_open_tmp("virt-thin-rescue-XXXXXX", &path, error);

  if (fd < 0)
    return NULL;
  g_unlink(path);
  if (ftruncate(fd, (off_t)MIN(size, (guint64)THIN_METADATA_BLOCKS_MAX * THIN_METADATA_BLOCK)) <
      0) {
    vt_set_errno(error, errno, "%s: setting the size of a temporary file", path);
    close(fd);
    return NULL;
  }
  return vt_io_new_file(fd, name, FALSE, error);
}

static VtIo *restore(FILE *in, const char *path, GError **error)
{
  g_autoptr(VtIo) metadata = NULL;
  guint64 n_used;

  if (!thin_restore(in, path, NULL, &n_used, error))
    return NULL;
  if (fseek(in, 0, SEEK_SET) < 0) {
    vt_set_errno(error, errno, "%s: a file is wanted, to be read twice", path);
    return NULL;
  }
  metadata = temporary_file(path, n_used, error);
  return metadata && thin_restore(in, path, metadata, NULL, error) ? g_steal_pointer(&metadata)
                                                                   : NULL;
}

VtIo *rescue_metadata_of_dump(const char *path, GError **error)
{
  FILE *in = fopen(path, "re");
  VtIo *metadata;

  if (!in) {
    vt_set_errno(error, errno, "opening %s", path);
    return NULL;
  }
  metadata = restore(in, path, error);
  fclose(in);
  return metadata;
}
