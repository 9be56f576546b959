/* virt-thin - the folder of storage backends that libvirt is pointed to
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirt looks for all its storage backends in one folder, $LIBVIRT_STORAGE_BACKEND_DIR. Ours has
 * a link to each stock module - also to those that are not installed: libvirt passes over a
 * dangling link, and a module that is installed later is then there - but for the logical one,
 * which is our shim.
 *
 * The shim is a copy, for it must be there when what is installed is not: it then lets libvirt's
 * own backend serve. The backend that it loads is a link, to be of the version that is installed.
 */
#include "config.h"

#include <dlfcn.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "commands/backend-folder.h"
#include "util/files.h"

#define PREFIX "libvirt_storage_backend_"
#define SHIM PREFIX "logical.so"
#define BACKEND "virt-thin-backend.so"

/* libvirt src/storage/storage_backend.c, virStorageBackendDriversRegister(). */
static const char *const modules[] = {"fs",   "iscsi", "iscsi-direct", "scsi", "mpath",
                                      "disk", "rbd",   "gluster",      "zfs",  "vstorage"};

/* @path under @root. */
static char *rooted(const char *root, const char *path)
{
  return root ? g_build_filename(root, path, NULL) : g_strdup(path);
}

static gboolean link_stock_module(const char *folder, const char *name, GError **error)
{
  g_autofree char *target = g_build_filename(STOCK_BACKEND_DIR, name, NULL);

  return files_link(folder, name, target, error);
}

/* The modules we know, and whatever else is there. */
static gboolean link_stock_modules(const char *folder, const char *root, GError **error)
{
  g_autofree char *stock = rooted(root, STOCK_BACKEND_DIR);
  GDir *dir = g_dir_open(stock, 0, NULL);
  gboolean ok = TRUE;
  const char *name;

  for (gsize i = 0; i < G_N_ELEMENTS(modules) && ok; i++) {
    g_autofree char *known = g_strdup_printf(PREFIX "%s.so", modules[i]);

    ok = link_stock_module(folder, known, error);
  }
  while (ok && dir && (name = g_dir_read_name(dir)))
    if (g_str_has_prefix(name, PREFIX) && g_str_has_suffix(name, ".so") && strcmp(name, SHIM) != 0)
      ok = link_stock_module(folder, name, error);
  if (dir)
    g_dir_close(dir);
  return ok;
}

/* SELinux lets a daemon load what is labelled as a library, as what is installed is, but not any
 * file in /var. */
static gboolean copy_label(const char *from, const char *to, GError **error)
{
  char label[256];
  gssize length = lgetxattr(from, "security.selinux", label, sizeof label);

  return length <= 0 || lsetxattr(to, "security.selinux", label, length, 0) == 0 ||
         vt_set_errno(error, errno, "%s: its SELinux label", to);
}

/* libvirtd does not start with a module that it cannot load. */
static gboolean can_be_loaded(const char *path, GError **error)
{
  void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);

  if (!module)
    return vt_set_error(error, ENOEXEC,
                        "libvirt could not load it, is its file system mounted noexec? %s",
                        dlerror());
  dlclose(module);
  return TRUE;
}

/* A daemon that has it loaded keeps it then. */
static gboolean is_copy(const char *path, const char *data, gsize length)
{
  g_autofree char *have = NULL;
  gsize has;

  return !g_file_test(path, G_FILE_TEST_IS_SYMLINK) &&
         g_file_get_contents(path, &have, &has, NULL) && has == length &&
         memcmp(have, data, length) == 0;
}

static gboolean copy_shim(const char *folder, const char *root, GError **error)
{
  g_autofree char *installed = rooted(root, VIRT_THIN_BACKEND_DIR "/" SHIM),
                  *path = g_build_filename(folder, SHIM, NULL);
  g_autofree char *data = NULL;
  g_autoptr(GError) local = NULL;
  gsize length;

  if (!g_file_get_contents(installed, &data, &length, &local))
    return vt_set_error(error, EIO, "%s", local->message);
  if ((!is_copy(path, data, length) && !files_write(path, data, length, 0644, error)) ||
      !copy_label(installed, path, error))
    return FALSE;
  if (root || can_be_loaded(path, error))
    return TRUE;
  unlink(path);
  rmdir(folder); /* stays when libvirt is switched over already */
  return FALSE;
}

gboolean backend_folder_fill(const char *folder, const char *root, GError **error)
{
  g_autofree char *installed = rooted(root, VIRT_THIN_BACKEND_DIR "/" SHIM);

  if (access(installed, R_OK) < 0)
    return vt_set_errno(error, errno, "the storage backend is not installed: %s", installed);
  return files_make_folder(folder, error) && copy_shim(folder, root, error) &&
         link_stock_modules(folder, root, error) &&
         files_link(folder, BACKEND, VIRT_THIN_BACKEND_DIR "/" BACKEND, error);
}

/* An earlier version linked the shim, too. */
gboolean backend_folder_is_ours(const char *folder)
{
  const char *const links[] = {BACKEND, SHIM};
  gboolean ours = FALSE;

  for (gsize i = 0; i < G_N_ELEMENTS(links) && !ours; i++) {
    g_autofree char *path = g_build_filename(folder, links[i], NULL),
                    *target = g_file_read_link(path, NULL);

    ours = target && g_str_has_prefix(target, VIRT_THIN_BACKEND_DIR "/");
  }
  return ours;
}

/* Last what backend_folder_is_ours() looks at. */
gboolean backend_folder_remove(const char *folder, GError **error)
{
  if (!files_remove(folder, SHIM, FALSE, error) || !files_remove(folder, PREFIX, TRUE, error) ||
      !files_remove(folder, BACKEND, TRUE, error))
    return FALSE;
  return rmdir(folder) == 0 || errno == ENOENT || errno == ENOTEMPTY ||
         vt_set_errno(error, errno, "removing %s", folder);
}
