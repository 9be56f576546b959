/* virt-thin - running lvm2's commands
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "dm/lvm2.h"

/* The caller may be a thread of libvirtd that blocks signals. Async-signal-safe. */
static void default_signals(gpointer unused)
{
  sigset_t none;

  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
}

/* Root's $PATH may lack the sbin folders, where lvm2 is. */
static char *find_program(const char *name)
{
  char *path = g_find_program_in_path(name);

  return path ? path : g_build_filename("/usr/sbin", name, NULL);
}

gboolean dmk_run(const char *const *argv, int *status, char **said, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autofree char *program = find_program(argv[0]);
  g_auto(GStrv) environment = g_environ_setenv(g_get_environ(), "LC_ALL", "C", TRUE);
  g_auto(GStrv) vector = g_strdupv((GStrv)argv);
  int wait_status = 0;

  g_free(vector[0]);
  vector[0] = g_steal_pointer(&program);
  if (!g_spawn_sync("/", vector, environment, G_SPAWN_STDOUT_TO_DEV_NULL, default_signals, NULL,
                    NULL, said, &wait_status, &local)) {
    if (g_error_matches(local, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT))
      return vt_set_error(error, ENOENT, "there is no program %s: install %s", argv[0],
                          strcmp(argv[0], "lvm") == 0 ? "lvm2" : "thin-provisioning-tools");
    return vt_set_error(error, EIO, "running %s: %s", argv[0], local->message);
  }
  *status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
  return TRUE;
}

/* What it said, in one line, without the warnings where there is more. The caller's. */
static char *condense(const char *said)
{
  g_auto(GStrv) lines = g_strsplit(said, "\n", -1);
  g_autoptr(GPtrArray) errors = g_ptr_array_new(), warnings = g_ptr_array_new();
  GPtrArray *chosen;

  for (char **line = lines; *line; line++) {
    g_strstrip(*line);
    if (**line)
      g_ptr_array_add(g_str_has_prefix(*line, "WARNING:") ? warnings : errors, *line);
  }
  chosen = errors->len ? errors : warnings;
  g_ptr_array_add(chosen, NULL);
  return g_strjoinv(" ", (char **)chosen->pdata);
}

static int guess_code(const char *said)
{
  static const struct {
    const char *words;
    int code;
  } guesses[] = {
      {" in use", EBUSY},
      {"is used by another device", EBUSY},
      {"nsufficient free space", ENOSPC},
      {"nsufficient suitable allocatable extents", ENOSPC},
      {"already exists", EEXIST},
      {"Failed to find logical volume", ENOENT},
      {"Cannot process volume group", ENOENT},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(guesses); i++)
    if (strstr(said, guesses[i].words))
      return guesses[i].code;
  return EIO;
}

gboolean dmk_lvm2(const char *const *argv, GError **error)
{
  g_autoptr(GPtrArray) vector = g_ptr_array_new();
  g_autofree char *said = NULL, *words = NULL;
  int status;

  g_ptr_array_add(vector, (gpointer) "lvm");
  for (const char *const *word = argv; *word; word++)
    g_ptr_array_add(vector, (gpointer)*word);
  g_ptr_array_add(vector, NULL);
  if (!dmk_run((const char *const *)vector->pdata, &status, &said, error))
    return FALSE;
  if (status == 0)
    return TRUE;
  words = condense(said);
  return vt_set_error(error, guess_code(words), "%s: %s", argv[0],
                      *words ? words : "failed and gave no reason");
}
