/* virt-thin - commands enable and disable: switch libvirt over to our storage backend, and back
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The host's: systemd drop-ins point libvirtd and virtstoraged to our folder of storage backends
 * (backend-folder.h). A user's session: enable-session.h.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands/backend-folder.h"
#include "commands/commands.h"
#include "commands/enable-session.h"
#include "commands/libvirt-daemons.h"
#include "schedule/timers.h"
#include "settings/settings.h"
#include "util/files.h"
#include "util/systemd.h"

#define DROP_IN "50-virt-thin.conf"

static char *root;
static gboolean session, no_restart, if_enabled;

static const char *const services[] = {"libvirtd", "virtstoraged"};

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

static gboolean write_drop_in(const char *service, GError **error)
{
  g_autofree char *folder = drop_in_folder(service),
                  *path = g_build_filename(folder, DROP_IN, NULL), *text = NULL;

  text = g_strdup_printf("# Written by virt-thin enable; virt-thin disable removes "
                         "it.\n[Service]\nEnvironment=LIBVIRT_STORAGE_BACKEND_DIR=%s\n",
                         folder_path());
  return files_make_folder(folder, error) && files_write(path, text, -1, 0644, error);
}

/* Have systemd read what has changed, and the daemons that run now follow. Guests are not touched
 * by that. */
static gboolean tell_systemd(GError **error)
{
  const char *const reload[] = {"daemon-reload", NULL};
  /* Patterns: those match only what systemd has loaded, while the name of a daemon that this host
   * does not have would be an error. */
  const char *const restart[] = {"try-restart", "libvirtd.servic[e]", "virtstoraged.servic[e]",
                                 NULL};

  if (root || !systemd_runs())
    return TRUE;
  return systemd_tell(reload, error) && (no_restart || systemd_tell(restart, error));
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
  if (enabled && !systemd_runs())
    cli_warn("systemd does not run here: who starts libvirtd or virtstoraged sets "
             "LIBVIRT_STORAGE_BACKEND_DIR=%s in its environment",
             folder_path());
}

/* Whose libvirt, and may it be done? */
static gboolean check_options(GError **error)
{
  if (session && (root || no_restart))
    return cli_usage(error, "--session is about your own libvirt: no --root, no --no-restart");
  if (session && geteuid() == 0)
    return vt_set_error(error, EPERM,
                        "--session is for users without root, run it as one: root's own libvirt is "
                        "the host's");
  if (!session && !root && geteuid() != 0)
    return vt_set_error(error, EPERM,
                        "the host's libvirt is root's to switch; --session is about your own "
                        "(qemu:///session)");
  return TRUE;
}

static gboolean enable_host(const char *folder, GError **error)
{
  if (!backend_folder_fill(folder, root, error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS(services); i++)
    if (!write_drop_in(services[i], error))
      return FALSE;
  if (!tell_systemd(error))
    return FALSE;
  tell_user(TRUE);
  return TRUE;
}

static int run_enable(char **args, GError **error)
{
  g_autofree char *folder = session ? session_folder() : rooted(folder_path());

  if (if_enabled && !backend_folder_is_ours(folder))
    return CLI_OK;
  return cli_status(check_options(error) &&
                    (session ? session_enable(folder, error) : enable_host(folder, error)));
}

/* But not the one of an installation that has another folder. */
static gboolean remove_drop_in(const char *service, GError **error)
{
  g_autofree char *folder = drop_in_folder(service),
                  *path = g_build_filename(folder, DROP_IN, NULL), *text = NULL;
  g_autofree char *setting = g_strdup_printf("=%s\n", folder_path());

  if (g_file_get_contents(path, &text, NULL, NULL) && *text && !strstr(text, setting))
    return TRUE;
  if (!files_remove(folder, DROP_IN, FALSE, error))
    return FALSE;
  rmdir(folder); /* stays when somebody else has something in it */
  return TRUE;
}

/* Also where libvirt was not switched over: without the program they would fail at each run. */
static gboolean remove_timers(GError **error)
{
  g_autofree char *folder = root ? rooted("/etc/systemd/system") : settings_unit_dir();
  guint n = 0;

  if (geteuid() != 0 && !session && !root)
    return TRUE;
  if (!timers_remove(folder, !root, &n, error))
    return FALSE;
  if (n > 0)
    printf("the timers of schedules are gone (%u); virt-thin schedule apply makes them anew\n", n);
  return TRUE;
}

static gboolean disable_host(const char *folder, GError **error)
{
  for (gsize i = 0; i < G_N_ELEMENTS(services); i++)
    if (!remove_drop_in(services[i], error))
      return FALSE;
  /* systemd first: a daemon that it starts in between must find its modules. */
  if (!tell_systemd(error) || !backend_folder_remove(folder, error))
    return FALSE;
  tell_user(FALSE);
  return TRUE;
}

static int run_disable(char **args, GError **error)
{
  g_autofree char *folder = session ? session_folder() : rooted(folder_path());

  if (if_enabled && !backend_folder_is_ours(folder))
    return cli_status(remove_timers(error));
  return cli_status(check_options(error) && remove_timers(error) &&
                    (session ? session_disable(folder, error) : disable_host(folder, error)));
}

static const GOptionEntry options[] = {
    {"session", 0, 0, G_OPTION_ARG_NONE, &session,
     "Your own libvirt (qemu:///session), without root", NULL},
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
    .summary = "Switch libvirt over to virt-thin's storage backend",
    .description =
        "Writes a drop-in for libvirtd.service and virtstoraged.service, and restarts those that "
        "run;\nguests go on. Pools of plain volume groups are served by libvirt's own backend as\n"
        "before, also if virt-thin is removed without disable. With --session it is done to the\n"
        "libvirt that runs for you alone, by units of your own systemd.",
    .options = options,
    .min_args = 0,
    .max_args = 0,
    .run = run_enable,
};

const CliCommand cli_disable = {
    .name = "disable",
    .arguments = "",
    .summary = "Switch libvirt back to its own storage backend",
    .options = options,
    .min_args = 0,
    .max_args = 0,
    .run = run_disable,
};
