/* virt-thin - command nbd: volumes as NBD exports, for as long as a command runs
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The server is our own, whoever has the volume group: over the engine in this process, the
 * kernel's devices, or a service's files. So the same holds everywhere: only what is named is an
 * export, and nobody writes unless --writable says so.
 */
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "commands/commands.h"
#include "image/nbd-export.h"

static char *since, *socket_path;
static char **command; /* NULL: until interrupted */
static gboolean writable;

/* --- what is asked for --- */

typedef struct {
  char *vg;
  GPtrArray *lvs; /* of char *, NULL at the end */
  GMainLoop *loop;
  GPid pid;
  int status;
} Run;

static void run_clear(Run *run)
{
  g_free(run->vg);
  g_ptr_array_unref(run->lvs);
  if (run->loop)
    g_main_loop_unref(run->loop);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

static gboolean parse(Run *run, char **args, GError **error)
{
  for (; *args; args++) {
    g_autofree char *vg = NULL, *lv = NULL;

    if (!cli_split_name(*args, &vg, &lv, error))
      return FALSE;
    if (run->vg && strcmp(run->vg, vg) != 0)
      return cli_usage(error, "volumes of one volume group are served, not of %s and %s", run->vg,
                       vg);
    if (!run->vg)
      run->vg = g_steal_pointer(&vg);
    g_ptr_array_add(run->lvs, g_steal_pointer(&lv));
  }
  g_ptr_array_add(run->lvs, NULL);
  return TRUE;
}

/* --- running --- */

static gboolean on_signal(Run *run, int signal)
{
  /* What the terminal sends has reached the command, too. */
  if (run->pid && signal != SIGINT)
    kill(run->pid, signal);
  if (!run->pid)
    g_main_loop_quit(run->loop);
  return G_SOURCE_CONTINUE;
}

static gboolean on_int(gpointer run)
{
  return on_signal(run, SIGINT);
}

static gboolean on_term(gpointer run)
{
  return on_signal(run, SIGTERM);
}

static gboolean on_hup(gpointer run)
{
  return on_signal(run, SIGHUP);
}

/* What nohup, say, has us ignore we go on to ignore. */
static void catch_signal(int signal, GSourceFunc func, Run *run)
{
  struct sigaction before;

  if (sigaction(signal, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
    g_unix_signal_add(signal, func, run);
}

static void on_exit_of_child(GPid pid, gint status, gpointer data)
{
  Run *run = data;

  run->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  run->pid = 0;
  g_spawn_close_pid(pid);
  g_main_loop_quit(run->loop);
}

static GStrv make_environment(const Run *run, const ImageExport *export, const char *context)
{
  GStrv env = g_get_environ();
  g_autoptr(GString) uris = g_string_new(image_export_uri(export, 0));

  for (guint i = 1; run->lvs->pdata[i]; i++)
    g_string_append_printf(uris, " %s", image_export_uri(export, i));
  env = g_environ_setenv(env, "NBD_URI", image_export_uri(export, 0), TRUE);
  env = g_environ_setenv(env, "NBD_URIS", uris->str, TRUE);
  env = g_environ_setenv(env, "NBD_SOCKET", image_export_socket(export), TRUE);
  return context ? g_environ_setenv(env, "NBD_CONTEXT", context, TRUE)
                 : g_environ_unsetenv(env, "NBD_CONTEXT");
}

static gboolean start_command(Run *run, const ImageExport *export, const char *context,
                              GError **error)
{
  g_auto(GStrv) env = make_environment(run, export, context);
  g_autoptr(GError) local = NULL;

  if (!g_spawn_async(NULL, command, env,
                     G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CHILD_INHERITS_STDIN,
                     NULL, NULL, &run->pid, &local))
    return vt_set_error(error, ENOENT, "%s", local->message);
  g_child_watch_add(run->pid, on_exit_of_child, run);
  return TRUE;
}

static gboolean print_uris(const Run *run, const ImageExport *export, GError **error)
{
  for (guint i = 0; run->lvs->pdata[i]; i++)
    puts(image_export_uri(export, i));
  return fflush(stdout) == 0 || vt_set_errno(error, errno, "cannot write to standard output");
}

/* @context: as NBD_CONTEXT; NULL. */
static gboolean serve(Run *run, VolumeGroup *group, const char *context, GError **error)
{
  ImageExport *export =
      image_export_new(group, (const char *const *)run->lvs->pdata, !writable, socket_path, error);
  gboolean ok = FALSE;

  if (!export)
    return FALSE;
  run->loop = g_main_loop_new(NULL, FALSE);
  catch_signal(SIGINT, on_int, run);
  catch_signal(SIGTERM, on_term, run);
  catch_signal(SIGHUP, on_hup, run);
  ok = command && *command ? start_command(run, export, context, error)
                           : print_uris(run, export, error);
  if (ok)
    g_main_loop_run(run->loop);
  image_export_free(export);
  return ok;
}

/* All volumes are there, and have what --since names. *context: the caller's; NULL without. */
static gboolean check_volumes(const Run *run, VolumeGroup *group, char **context, GError **error)
{
  for (guint i = 0; run->lvs->pdata[i]; i++) {
    const char *lv = run->lvs->pdata[i];
    g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, lv, error);

    if (!info)
      return FALSE;
    g_clear_pointer(context, g_free);
    if (since && !(*context = image_export_since(group, lv, since, error)))
      return FALSE;
  }
  return TRUE;
}

/* Opened as for writing, also to read: else nobody is kept from changing it meanwhile. But nothing
 * is changed that libvirt has to be told. */
static int run_nbd(char **args, GError **error)
{
  const PoolWhere where = cli_where(0);
  g_auto(Run) run = {.lvs = g_ptr_array_new_with_free_func(g_free)};
  g_autofree char *context = NULL;
  VolumeGroup *group;
  gboolean ok;

  if (!parse(&run, args, error))
    return CLI_WRONG_USAGE;
  group = pool_open(run.vg, &where, error);
  ok = group && check_volumes(&run, group, &context, error) && serve(&run, group, context, error);
  if (!cli_close(group, error) || !ok)
    return CLI_FAILED;
  return run.status;
}

static const GOptionEntry nbd_options[] = {
    {"since", 0, 0, G_OPTION_ARG_FILENAME, &since,
     "Each volume must have this older snapshot; NBD_CONTEXT is what tells of changes since",
     "SNAP"},
    {"socket", 0, 0, G_OPTION_ARG_FILENAME, &socket_path,
     "Where the socket is to be; a private folder without it", "PATH"},
    {"writable", 0, 0, G_OPTION_ARG_NONE, &writable, "Let clients write, too", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_nbd = {
    .name = "nbd",
    .arguments = "VG/LV... [-- COMMAND ARGUMENT...]",
    .summary = "Serve volumes over NBD while a command runs",
    .description =
        "COMMAND finds in its environment NBD_URI (of the first volume), NBD_URIS (of all), "
        "NBD_SOCKET, and with --since\n"
        "NBD_CONTEXT, the name of the metadata context for what has changed, which is as a dirty "
        "bitmap of QEMU's. Its exit\n"
        "status is that of COMMAND. Without COMMAND the addresses are printed, and served until "
        "interrupted.",
    .options = nbd_options,
    .min_args = 1,
    .max_args = -1,
    .words_option = "--",
    .words = &command,
    .run = run_nbd,
};
