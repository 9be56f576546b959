/* virt-thin - files that are written for others: whole, or not at all
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/files.h"

#include <glib/gstdio.h>
#include <unistd.h>

gboolean files_make_folder(const char *path, GError **error)
{
  return g_mkdir_with_parents(path, 0755) == 0 ||
         vt_set_errno(error, errno, "making folder %s", path);
}

gboolean files_link(const char *folder, const char *name, const char *target, GError **error)
{
  g_autofree char *path = g_build_filename(folder, name, NULL),
                  *fresh = g_strconcat(path, ".new", NULL);

  if (unlink(fresh) < 0 && errno != ENOENT)
    return vt_set_errno(error, errno, "removing %s", fresh);
  if (symlink(target, fresh) < 0)
    return vt_set_errno(error, errno, "linking %s to %s", fresh, target);
  if (rename(fresh, path) < 0)
    return vt_set_errno(error, errno, "linking %s to %s", path, target);
  return TRUE;
}

gboolean files_write(const char *path, const char *data, gssize length, int mode, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (!g_file_set_contents_full(path, data, length,
                                G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, mode,
                                &local))
    return vt_set_error(error, EIO, "%s", local->message);
  return g_chmod(path, mode) == 0 || vt_set_errno(error, errno, "%s: its mode", path);
}

gboolean files_remove(const char *folder, const char *prefix, gboolean only_links, GError **error)
{
  GDir *dir = g_dir_open(folder, 0, NULL);
  const char *name;
  gboolean ok = TRUE;

  while (ok && dir && (name = g_dir_read_name(dir))) {
    g_autofree char *path = g_build_filename(folder, name, NULL);
    GStatBuf st;

    if (g_str_has_prefix(name, prefix) && g_lstat(path, &st) == 0 &&
        (!only_links || S_ISLNK(st.st_mode)) && unlink(path) < 0)
      ok = vt_set_errno(error, errno, "removing %s", path);
  }
  if (dir)
    g_dir_close(dir);
  return ok;
}
