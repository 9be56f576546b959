/* virt-thin - telling systemd: root's, or that of the user who asks
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/systemd.h"

#include <stdio.h>
#include <unistd.h>

gboolean systemd_runs(void)
{
  g_autofree char *path =
      geteuid() == 0 ? g_strdup("/run/systemd/system")
                     : g_build_filename(g_get_user_runtime_dir(), "systemd", "private", NULL);

  return access(path, F_OK) == 0;
}

/* What it says on @out and @err; each may be NULL. Times are those of UTC. */
static gboolean run(GPtrArray *args, char **out, char **err, GError **error)
{
  g_auto(GStrv) environment = g_get_environ();
  int status;

  environment = g_environ_setenv(environment, "LC_ALL", "C", TRUE);
  environment = g_environ_setenv(environment, "TZ", "UTC", TRUE);
  g_ptr_array_add(args, NULL);
  return g_spawn_sync(NULL, (char **)args->pdata, environment,
                      G_SPAWN_SEARCH_PATH | (out ? 0 : G_SPAWN_STDOUT_TO_DEV_NULL), NULL, NULL, out,
                      err, &status, error) &&
         g_spawn_check_wait_status(status, error);
}

static GPtrArray *systemctl(void)
{
  GPtrArray *args = g_ptr_array_new();

  g_ptr_array_add(args, (char *)"systemctl");
  if (geteuid() != 0)
    g_ptr_array_add(args, (char *)"--user");
  return args;
}

gboolean systemd_tell(const char *const *words, GError **error)
{
  g_autoptr(GPtrArray) args = systemctl();
  g_autofree char *said = NULL;
  g_autoptr(GError) local = NULL;

  for (const char *const *word = words; *word; word++)
    g_ptr_array_add(args, (char *)*word);
  return run(args, NULL, &said, &local) ||
         vt_set_error(error, EIO, "systemctl %s: %s %s", words[0], local->message,
                      said ? g_strstrip(said) : "");
}

/* "Tue 2026-12-01 01:00:00 UTC"; 0: it is none. */
static gint64 read_time(const char *text)
{
  int year, month, day, hour, minute, second;
  g_autoptr(GDateTime) time = NULL;

  if (sscanf(text, "%*s %d-%d-%d %d:%d:%d UTC", &year, &month, &day, &hour, &minute, &second) != 6)
    return 0;
  time = g_date_time_new_utc(year, month, day, hour, minute, second);
  return time ? g_date_time_to_unix(time) : 0;
}

gint64 systemd_ask_time(const char *unit, const char *property)
{
  g_autoptr(GPtrArray) args = systemctl();
  g_autofree char *out = NULL, *said = NULL;
  const char *const words[] = {"show", "--value", "-p", property, unit};

  for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
    g_ptr_array_add(args, (char *)words[i]);
  return run(args, &out, &said, NULL) ? read_time(out) : 0;
}

gboolean systemd_check(const char *what, const char *text, GError **error)
{
  g_autoptr(GPtrArray) args = g_ptr_array_new();
  g_autofree char *said = NULL;
  g_autoptr(GError) local = NULL;
  const char *const words[] = {"systemd-analyze", what, "--", text};

  for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
    g_ptr_array_add(args, (char *)words[i]);
  if (run(args, NULL, &said, &local))
    return TRUE;
  if (local->domain == G_SPAWN_ERROR)
    return vt_set_error(error, EOPNOTSUPP, "systemd, which would do it, is not here: %s",
                        local->message);
  return vt_set_error(error, EINVAL, "\"%s\" is not what systemd takes: %s", text,
                      g_strdelimit(g_strstrip(said), "\n", ' '));
}
