/* virt-thin - command restore --metadata: a thin pool's metadata from XML
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "commands/restore-metadata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/progress.h"
#include "commands/commands.h"
#include "lvm/content.h"
#include "thin/format/disk-format.h"
#include "thin/rebuild/xml.h"
#include "util/block-users.h"
#include "util/memory.h"

/* Whom the lock does not keep out. */
static gboolean check_users(const char *path, GError **error)
{
  g_autoptr(BlockScan) scan = block_scan_new();
  g_autofree char *full = realpath(path, NULL), *user = NULL;

  if (!full)
    return vt_set_errno(error, errno, "opening %s", path);
  if (g_file_test(full, G_FILE_TEST_IS_REGULAR))
    user = block_scan_file_user(scan, full, "");
  else
    user = block_scan_user(scan, full);
  return !user || vt_set_error(error, EBUSY, "%s is in use by %s", path, user);
}

/* A pool's metadata, also damaged; or nothing. */
static gboolean check_content(VtIo *io, const char *path, GError **error)
{
  union {
    ThinDiskSuperblock superblock;
    guint64 block[THIN_METADATA_BLOCK / 8];
  } head;
  g_autoptr(GError) found = NULL;

  if (!vt_io_read(io, &head, THIN_METADATA_BLOCK, 0, error))
    return FALSE;
  if (GUINT64_FROM_LE(head.superblock.magic) == THIN_SUPERBLOCK_MAGIC)
    return TRUE;
  if (!vt_is_zero(&head, THIN_METADATA_BLOCK))
    vt_set_error(&found, EEXIST, "data of no kind that is known");
  else if (lvm_content_check_unmarked(path, &found))
    return TRUE;
  return vt_set_error(error, found->code,
                      "%s holds no pool's metadata, but %s; if that is not needed any more, "
                      "--force writes over it",
                      path, found->message);
}

static VtIo *open_target(const char *path, gboolean force, GError **error)
{
  g_autoptr(VtIo) io = NULL;

  if (!check_users(path, error) || !(io = vt_io_open_file(path, FALSE, error)) ||
      !vt_io_lock(io, FALSE, NULL, error))
    return NULL;
  if (vt_io_size(io) < 16 * THIN_METADATA_BLOCK) {
    vt_set_error(error, EINVAL,
                 "%s has %" G_GUINT64_FORMAT " bytes, too few for any pool's metadata; its size is "
                 "what the metadata gets: make it as large as that is to be",
                 path, vt_io_size(io));
    return NULL;
  }
  return force || check_content(io, path, error) ? g_steal_pointer(&io) : NULL;
}

gboolean restore_metadata(const char *path, const char *xml, gboolean force, GError **error)
{
  g_autoptr(VtIo) io = open_target(path, force, error);
  gboolean is_stdin = strcmp(xml, "-") == 0, ok;
  FILE *in = is_stdin ? stdin : NULL;
  CliBusy *busy;

  if (!io)
    return FALSE;
  if (!is_stdin && !(in = fopen(xml, "re")))
    return vt_set_errno(error, errno, "opening %s", xml);
  busy = cli_busy_new("restoring the metadata on %s", path);
  ok = thin_restore(in, is_stdin ? "standard input" : xml, io, NULL, error);
  cli_busy_free(busy);
  if (!is_stdin)
    fclose(in);
  return ok;
}
