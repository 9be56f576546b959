/* virt-thin - commands enable and disable: switch a host's libvirt over to our storage backend, and
 * back SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirt looks for all its storage backends in one folder, $LIBVIRT_STORAGE_BACKEND_DIR. Ours has
 * a link to each stock module - also to those that are not installed: libvirt passes over a
 * dangling link, and a module that is installed later is then there - but for the logical one,
 * which is our shim. systemd drop-ins point libvirtd and virtstoraged there.
 *
 * The shim is a copy, for it must be there when what is installed is not: it then lets libvirt's
 * own backend serve. The backend that it loads is a link, to be of the version that is installed.
 */
#include "config.h"

#include <dlfcn.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "commands/commands.h"
#include "commands/libvirt-daemons.h"

#define PREFIX "libvirt_storage_backend_"
#define SHIM PREFIX "logical.so"
#define BACKEND "virt-thin-backend.so"
#define DROP_IN "50-virt-thin.conf"

static char *root;
static gboolean no_restart, if_enabled;

static const char *const services[] = {"libvirtd", "virtstoraged"};
/* libvirt src/storage/pvesm_backend.c, virStorageBackendDriversRegister(). */
static const char *const modules[] = {"fs",   "iscsi", "iscsi-direct", "scsi", "mpath",
                                      "disk", "rbd",   "gluster",      "zfs",  "vstorage"};

/* @path under --root. */
static char *rooted(const char *path)
{
  return root ? g_build_filename(root, path, NULL) : g_strdup(path);
}

static const char *folder_path(void)
{
  return VIRT_THIN_LOCALSTATEDIR "/lib/virt-thin-libvirt";
}

static char *drop_in_folder(const char *service)
{
  g_autofree char *path = g_strdup_printf("/etc/systemd/system/%s.service.d", service);

  return rooted(path);
}

static gboolean make_folder(const char *path, GError **error)
{
  return g_mkdir_with_parents(path, 0755) == 0 ||
         vt_set_errno(error, errno, "making folder %s", path);
}

/* Link @folder/@name to @target, in one step where something is there already. */
static gboolean make_link(const char *folder, const char *name, const char *target, GError **error)
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

static gboolean link_stock_module(const char *folder, const char *name, GError **error)
{
  g_autofree char *target = g_build_filename(STOCK_BACKEND_DIR, name, NULL);

  return make_link(folder, name, target, error);
}

/* The modules we know, and whatever else is there. */
static gboolean link_stock_modules(const char *folder, GError **error)
{
  g_autofree char *stock = rooted(STOCK_BACKEND_DIR);
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

/* All or nothing, also when the power fails: libvirtd does not start with half a module. */
static gboolean write_file(const char *path, const char *data, gssize length, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (!g_file_set_contents_full(path, data, length,
                                G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0644,
                                &local))
    return vt_set_error(error, EIO, "%s", local->message);
  return g_chmod(path, 0644) == 0 || vt_set_errno(error, errno, "%s: its mode", path);
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

static gboolean copy_shim(const char *folder, GError **error)
{
  g_autofree char *installed = rooted(VIRT_THIN_BACKEND_DIR "/" SHIM),
                  *path = g_build_filename(folder, SHIM, NULL);
  g_autofree char *data = NULL;
  g_autoptr(GError) local = NULL;
  gsize length;

  if (!g_file_get_contents(installed, &data, &length, &local))
    return vt_set_error(error, EIO, "%s", local->message);
  if ((!is_copy(path, data, length) && !write_file(path, data, length, error)) ||
      !copy_label(installed, path, error))
    return FALSE;
  if (root || can_be_loaded(path, error))
    return TRUE;
  unlink(path);
  rmdir(folder); /* stays when libvirt is switched over already */
  return FALSE;
}

static gboolean write_drop_in(const char *service, GError **error)
{
  g_autofree char *folder = drop_in_folder(service),
                  *path = g_build_filename(folder, DROP_IN, NULL), *text = NULL;

  text = g_strdup_printf("# Written by virt-thin enable; virt-thin disable removes "
                         "it.\n[Service]\nEnvironment=LIBVIRT_STORAGE_BACKEND_DIR=%s\n",
                         folder_path());
  return make_folder(folder, error) && write_file(path, text, -1, error);
}

/* Have systemd read what has changed, and the daemons that run now follow. Guests are not touched
 * by that. */
static gboolean tell_systemd(GError **error)
{
  const char *const reload[] = {"systemctl", "daemon-reload", NULL};
  /* Patterns: those match only what systemd has loaded, while the name of a daemon that this host
   * does not have would be an error. */
  const char *const restart[] = {"systemctl", "try-restart", "libvirtd.servic[e]",
                                 "virtstoraged.servic[e]", NULL};
  const char *const *const commands[] = {reload, restart};

  if (root || access("/run/systemd/system", F_OK) < 0)
    return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS(commands) && !(i == 1 && no_restart); i++) {
    g_autoptr(GError) local = NULL;
    int status;

    if (!g_spawn_sync(NULL, (char **)commands[i], NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
                      &status, &local) ||
        !g_spawn_check_wait_status(status, &local))
      return vt_set_error(error, EIO, "systemctl %s: %s", commands[i][1], local->message);
  }
  return TRUE;
}

/* Is it this installation that libvirt is switched over to? One with another prefix may be it, by
 * the same folder. An earlier version linked the shim, too. */
static gboolean is_enabled(const char *folder)
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

/* --- what came of it --- */

/* Of a daemon that runs: has it what it should have, @enabled or not, or what is to be done? */
static void tell_daemon(const LibvirtDaemon *daemon, gboolean enabled)
{
  gboolean has = g_strcmp0(daemon->backends, folder_path()) == 0;

  if (has == enabled && !daemon->is_old)
    printf("%s (pid %d) has them\n", daemon->name, daemon->pid);
  else if (daemon->by_systemd)
    cli_warn("%s (pid %d) keeps the storage backends it has until it is restarted: systemctl "
             "restart %s",
             daemon->name, daemon->pid, daemon->name);
  else
    cli_warn("%s (pid %d) runs outside systemd, and keeps the storage backends it has until it is "
             "restarted, with%s LIBVIRT_STORAGE_BACKEND_DIR=%s in its environment",
             daemon->name, daemon->pid, enabled ? "" : "out", folder_path());
}

static void tell_user(gboolean enabled)
{
  g_autoptr(GPtrArray) daemons = root ? NULL : libvirt_daemons_list();
  g_autofree char *folder = rooted(folder_path());

  if (enabled)
    printf("libvirt's storage backends are those in %s, by drop-ins for libvirtd.service and "
           "virtstoraged.service\n",
           folder);
  else
    printf("libvirt's storage backends are its own again: %s and the drop-ins are gone\n", folder);
  if (root)
    return;
  for (guint i = 0; i < daemons->len; i++)
    tell_daemon(daemons->pdata[i], enabled);
  if (daemons->len == 0)
    printf("neither libvirtd nor virtstoraged runs: they have them from the next start on\n");
  if (enabled && access("/run/systemd/system", F_OK) < 0)
    cli_warn("systemd does not run here: who starts libvirtd or virtstoraged sets "
             "LIBVIRT_STORAGE_BACKEND_DIR=%s in its environment",
             folder_path());
}

static int run_enable(char **args, GError **error)
{
  g_autofree char *folder = rooted(folder_path()),
                  *installed = rooted(VIRT_THIN_BACKEND_DIR "/" SHIM);

  if (if_enabled && !is_enabled(folder))
    return CLI_OK;
  if (access(installed, R_OK) < 0)
    return vt_set_errno(error, errno, "the storage backend is not installed: %s", installed),
           CLI_FAILED;
  if (!make_folder(folder, error) || !copy_shim(folder, error) ||
      !link_stock_modules(folder, error) ||
      !make_link(folder, BACKEND, VIRT_THIN_BACKEND_DIR "/" BACKEND, error))
    return CLI_FAILED;
  for (gsize i = 0; i < G_N_ELEMENTS(services); i++)
    if (!write_drop_in(services[i], error))
      return CLI_FAILED;
  if (!tell_systemd(error))
    return CLI_FAILED;
  tell_user(TRUE);
  return CLI_OK;
}

/* Those in @folder whose names begin with @prefix, so also what a write that was cut short has
 * left; or @only_links. */
static gboolean remove_files(const char *folder, const char *prefix, gboolean only_links,
                             GError **error)
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

/* But not the one of an installation that has another folder. */
static gboolean remove_drop_in(const char *service, GError **error)
{
  g_autofree char *folder = drop_in_folder(service),
                  *path = g_build_filename(folder, DROP_IN, NULL), *text = NULL;
  g_autofree char *setting = g_strdup_printf("=%s\n", folder_path());

  if (g_file_get_contents(path, &text, NULL, NULL) && *text && !strstr(text, setting))
    return TRUE;
  if (!remove_files(folder, DROP_IN, FALSE, error))
    return FALSE;
  rmdir(folder); /* stays when somebody else has something in it */
  return TRUE;
}

/* Only what enable makes, and last what is_enabled() looks at. */
static gboolean remove_folder(const char *folder, GError **error)
{
  if (!remove_files(folder, SHIM, FALSE, error) || !remove_files(folder, PREFIX, TRUE, error) ||
      !remove_files(folder, BACKEND, TRUE, error))
    return FALSE;
  return rmdir(folder) == 0 || errno == ENOENT || errno == ENOTEMPTY ||
         vt_set_errno(error, errno, "removing %s", folder);
}

static int run_disable(char **args, GError **error)
{
  g_autofree char *folder = rooted(folder_path());

  if (if_enabled && !is_enabled(folder))
    return CLI_OK;
  for (gsize i = 0; i < G_N_ELEMENTS(services); i++)
    if (!remove_drop_in(services[i], error))
      return CLI_FAILED;
  /* systemd first: a daemon that it starts in between must find its modules. */
  if (!tell_systemd(error) || !remove_folder(folder, error))
    return CLI_FAILED;
  tell_user(FALSE);
  return CLI_OK;
}

static const GOptionEntry options[] = {
    {"root", 0, 0, G_OPTION_ARG_FILENAME, &root,
     "Do it to the system under this folder, and tell no daemon", "DIR"},
    {"no-restart", 0, 0, G_OPTION_ARG_NONE, &no_restart,
     "Leave running daemons as they are until they are restarted", NULL},
    {"if-enabled", 0, 0, G_OPTION_ARG_NONE, &if_enabled,
     "Only if libvirt is switched over to this installation: for its upgrade, and its end", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_enable = {
    .name = "enable",
    .arguments = "",
    .summary = "Switch this host's libvirt over to virt-thin's storage backend",
    .description = "Writes a drop-in for libvirtd.service and virtstoraged.service, and restarts "
                   "those that run; "
                   "guests go on. Pools of plain volume groups\n"
                   "are served by libvirt's own backend as before, also if virt-thin is removed "
                   "without disable.",
    .options = options,
    .min_args = 0,
    .max_args = 0,
    .run = run_enable,
};

const CliCommand cli_disable = {
    .name = "disable",
    .arguments = "",
    .summary = "Switch this host's libvirt back to its own storage backend",
    .options = options,
    .min_args = 0,
    .max_args = 0,
    .run = run_disable,
};
